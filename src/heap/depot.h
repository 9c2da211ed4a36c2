/*
 * depot.h - full magazines that threads exchange: what one thread frees another allocates, without the slabs' bits. Layer: heap.
 *
 * A heap has a depot for each class whose objects fill cache lines of their own (struct class_row, line 1); objects of the
 * others go back to the slab's home. A depot is bounded, and so are all, together with the threads' magazines; and the keeper
 * empties it on each round.
 */
#ifndef HM_DEPOT_H
#define HM_DEPOT_H

#include "heap/heap.h"

/* Leaves up to `count` blocks of the class there. Returns how many, the first ones. */
size_t depot_put(struct heap *heap, unsigned class_index, void *const *blocks, size_t count);

/* Takes up to `want` blocks of the class. Returns how many. */
size_t depot_take(struct heap *heap, unsigned class_index, void **blocks, size_t want);

/* Gives all that the heap's depots hold back to its slabs. Returns whether there was anything. */
bool depot_empty(struct heap *heap);

/* How many blocks of the class are there; exact while nobody puts or takes. */
uint64_t depot_count(struct heap *heap, unsigned class_index);

/* Forgets what they hold: the heap's slabs are gone. */
void depot_forget(struct heap *heap);

#endif

/*
 * set.h - a heap's slabs of one class: which there are, and which have room. Layer: heap.
 *
 * A set is a row of places that grows by segments of 64, 128, 256, ... places. Each place names a slab by its first granule, or
 * nothing (0). Two bitmaps go with the places: `used` (the place belongs to a slab) and `full` (do not look here). A set never
 * shrinks until it is destroyed, and what it is made of is only ever used again for sets.
 *
 * A clear bit in `full` is a hint to look, nothing more: it may be cleared at any moment, by a thread that is late by any
 * amount. A set bit is a promise to whoever set it that someone will clear it when there is room; heap.c proves that.
 */
#ifndef HM_SET_H
#define HM_SET_H

#include "base/base.h"

#define SET_SEGMENTS 16u
#define SET_NONE SIZE_MAX

struct set {
    uint64_t segment[SET_SEGMENTS]; /* the n-th holds 64 << n places; 0 until it is needed */
    uint64_t depot, depot_charged;  /* see depot.c; on a cache line of their own */
    uint64_t unused[6];
};

/* Takes a place for a new slab; nobody finds it yet. ST_NO_MEMORY. */
enum status set_reserve(struct set *set, size_t *place);

/* Gives back a place that set_enter has not been called for. */
void set_cancel(struct set *set, size_t place);

/* Writes the slab into its place and, if it has room, lets others find it. */
void set_enter(struct set *set, size_t place, struct granule head, bool has_room);

/* Takes the slab out of its place; the caller owns the slab alone. */
void set_remove(struct set *set, size_t place);

/* The slab at a place, 0 for none. Out of date at once. */
struct granule set_slab(const struct set *set, size_t place);

/* The first place at or after `from` that may have room; SET_NONE past the last. */
size_t set_next(const struct set *set, size_t from);

/* How many places there are. */
size_t set_places(const struct set *set);

/* The slab at this place had no room when the caller last looked; the caller looks once more after this. */
void set_mark_full(struct set *set, size_t place);

/* The place may have room. */
void set_mark_room(struct set *set, size_t place);

/* The place named no slab: nobody needs to look there until one is entered. */
void set_mark_vacant(struct set *set, size_t place);

/* Gives back what the set is made of. Nobody uses it any more, but for late calls of set_mark_room. */
void set_destroy(struct set *set);

#endif

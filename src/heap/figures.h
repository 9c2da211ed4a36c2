/*
 * figures.h - a heap counted: its slabs and blocks by size class. Layer: heap.
 *
 * Counted from the slabs' words when asked, so that no request counts anything. Exact while the heap's threads rest.
 */
#ifndef HM_HEAP_FIGURES_H
#define HM_HEAP_FIGURES_H

#include "heap/classes.h"
#include "heap/heap.h"

#define FIGURES_LARGE CLASS_COUNT /* blocks above the largest class, each a slab of its own */
#define FIGURES_ROWS (CLASS_COUNT + 1)

struct class_figures {
    uint64_t slabs;
    uint64_t slab_bytes;
    uint64_t room;       /* blocks that fit in the slabs */
    uint64_t live;       /* blocks in the program's hands */
    uint64_t live_bytes;
    uint64_t cached;     /* freed blocks that threads keep at hand, each or together */
};

struct heap_figures {
    uint32_t number;
    uint64_t id; /* no two heaps ever have the same */
    bool executable;
    bool of_process;
    uint64_t limit_bytes; /* 0: none */
    uint64_t taken_bytes; /* slabs, all of them committed */
    uint64_t peak_bytes;  /* the most that it has been */
    struct class_figures row[FIGURES_ROWS];
};

void heap_figures(struct heap *heap, struct heap_figures *figures);

/* What they add up to. */
struct class_figures heap_figures_sum(const struct heap_figures *figures);

/* Calls visit for every block that is not free in its slab, those that threads keep at hand among them. */
void heap_each_block(const struct heap *heap, void (*visit)(void *block, size_t size_bytes, void *context), void *context);

/* How full the slab at this granule is: its objects that are not free, and all of them. False: there is none. */
bool heap_slab_fill(struct granule head, uint64_t *taken, uint64_t *objects);

#endif

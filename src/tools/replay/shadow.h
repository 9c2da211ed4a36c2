/*
 * shadow.h - what the replay knows of the memory that the trace's calls made: allocations page by page, heap blocks, and the
 * stand-ins for memory that the trace speaks of but did not allocate. Recorded addresses are numbers, live ones pointers.
 */
#ifndef HOSTMEM_REPLAY_SHADOW_H
#define HOSTMEM_REPLAY_SHADOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SHADOW_PAGE = 4096, SHADOW_GRANULE = 65536 };

enum content {
    CONTENT_ABSENT,  /* not committed */
    CONTENT_ZERO,    /* committed and never written */
    CONTENT_STAMPED, /* holds the page's stamp */
    CONTENT_UNKNOWN  /* given up by MEM_RESET */
};

struct page {
    uint8_t content;
    uint8_t prot; /* the base value of the protection; PAGE_NOACCESS for a guarded page */
};

struct allocation {
    uint64_t recorded;   /* its address in the recording */
    uint64_t size;       /* bytes, whole pages */
    unsigned char *live; /* its address in this process */
    struct page *page;
};

struct block {
    uint64_t recorded;
    unsigned char *live;
    size_t size;
    struct heap *heap;
    struct block *next; /* in its hash chain */
};

struct heap {
    uint64_t recorded;
    void *live;
};

/* Memory of the system's own that stands for [recorded, recorded + size). */
struct stand_in {
    uint64_t recorded;
    uint64_t size;
    unsigned char *live;
};

enum { SHADOW_CHAINS = 16384 };

struct shadow {
    struct allocation **allocation; /* by recorded address; they do not overlap */
    size_t count_allocations, capacity_allocations;
    struct stand_in *stand_in; /* in the order of making; a later one hides an earlier */
    size_t count_stand_ins, capacity_stand_ins;
    struct heap **heap;
    size_t count_heaps, capacity_heaps;
    struct block *chain[SHADOW_CHAINS];
    struct block *spare; /* nodes to use again */
};

static inline uint64_t page_down(uint64_t address) { return address & ~(uint64_t)(SHADOW_PAGE - 1); }
static inline uint64_t page_up(uint64_t address) { return page_down(address + SHADOW_PAGE - 1); }
static inline uint64_t granule_down(uint64_t address) { return address & ~(uint64_t)(SHADOW_GRANULE - 1); }
static inline uint64_t allocation_end(const struct allocation *one) { return one->recorded + one->size; }

/* The live address of a recorded one that lies in the allocation or not far from it. */
static inline unsigned char *allocation_live(const struct allocation *one, uint64_t recorded) {
    return (unsigned char *)((uintptr_t)one->live + (uintptr_t)(recorded - one->recorded));
}

/* The allocation with this address, or NULL. */
struct allocation *shadow_find(const struct shadow *shadow, uint64_t recorded);
/* The first allocation with a byte of [start, end), or NULL. */
struct allocation *shadow_overlap(const struct shadow *shadow, uint64_t start, uint64_t end);
/* NULL for no memory. The range must be free. */
struct allocation *shadow_add(struct shadow *shadow, uint64_t recorded, uint64_t size, void *live);
void shadow_remove(struct shadow *shadow, struct allocation *one);

/* The live address that stands for [recorded, recorded + size), made at need. NULL for no memory. */
unsigned char *shadow_stand_in(struct shadow *shadow, uint64_t recorded, uint64_t size, bool *made);
/* Gives a stand-in that begins there back to the system; false where there is none. */
bool shadow_stand_in_drop(struct shadow *shadow, uint64_t recorded);

struct heap *shadow_heap_find(const struct shadow *shadow, uint64_t recorded);
struct heap *shadow_heap_add(struct shadow *shadow, uint64_t recorded, void *live);
void shadow_heap_remove(struct shadow *shadow, struct heap *heap); /* and its blocks */

struct block *shadow_block_find(const struct shadow *shadow, uint64_t recorded);
struct block *shadow_block_add(struct shadow *shadow, uint64_t recorded, void *live, size_t size, struct heap *heap);
void shadow_block_remove(struct shadow *shadow, struct block *block);

#endif

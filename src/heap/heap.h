/*
 * heap.h - private heaps of blocks. Layer: heap.
 *
 * Any thread may allocate and free in any live heap, a block from one thread may be freed by any other; nothing waits. A heap
 * is destroyed when no thread uses it. Blocks are aligned to 16.
 */
#ifndef HM_HEAP_H
#define HM_HEAP_H

#include "base/atom.h"
#include "base/base.h"

#define FRONT_NUMBER_BITS 15
#define FRONT_NUMBER_MASK (((uint64_t)1 << FRONT_NUMBER_BITS) - 1)

/* What the threads' caches know a heap by: the first thing in a struct heap. */
struct heap_front {
    uint64_t id;     /* of all heaps that ever were: no two have the same; the number is in its low bits */
    uint64_t tag;    /* what its slabs' tags begin with: the number above the rest */
    uint32_t number; /* of all heaps that there are */
    uint32_t set;    /* of a thread's cache */
    uint64_t at;     /* CACHE_AT(set) */
};

struct budget;
struct heap;

static inline const struct heap_front *heap_front(const struct heap *heap) {
    return (const struct heap_front *)(const void *)heap;
}

/* Keeps the heap with this number and id from being cleared, until heap_leave. NULL if it is gone. */
struct heap *heap_enter(uint32_t number, uint64_t id);
void heap_leave(struct heap *heap);

/*
 * limit_bytes: the most that it takes from the system, 0 for no bound. Its budget lies below that of whoever asks. ST_NO_MEMORY.
 */
enum status heap_create(bool executable, uint64_t limit_bytes, struct heap **heap);

/* Frees every block of the heap with it. ST_BAD_HANDLE for what is not a live heap. */
enum status heap_destroy(struct heap *heap);

/* The heap that a caller means by this handle: NULL if it is not a live heap. Looks at no memory but the engine's own. */
struct heap *heap_of_handle(const void *handle);

/* The handles of live heaps, each at the place that heap_known_at says; a heap that was made later may have taken the place. */
#define HEAP_KNOWN 64u
extern HM_HIDDEN uint64_t heap_known[HEAP_KNOWN];
static inline uint64_t *heap_known_at(const void *handle) { return &heap_known[((uintptr_t)handle >> PAGE_SHIFT) % HEAP_KNOWN]; }

/* The same, at once: NULL means that heap_of_handle has to be asked. */
static inline struct heap *heap_of_handle_quick(const void *handle) {
    uint64_t known = atom_load_acq_u64(heap_known_at(handle)); /* acq: pairs with heap_make */
    return __builtin_expect(known == (uint64_t)(uintptr_t)handle, 1) ? (struct heap *)(uintptr_t)known : NULL;
}

extern HM_HIDDEN uint64_t heap_of_process; /* struct heap *, 0 until it is made */
struct heap *heap_default_make(void);

/* The process's own heap, made when it is first asked for. NULL if there is no memory. It cannot be destroyed. */
static inline struct heap *heap_default(void) {
    uint64_t seen = atom_load_acq_u64(&heap_of_process); /* acq: pairs with the CAS in heap_default_make */
    return __builtin_expect(seen != 0, 1) ? (struct heap *)(uintptr_t)seen : heap_default_make();
}

/* size_bytes 0 gives a block, too. ST_NO_MEMORY and the system's shortages. *block is NULL after a failure. */
enum status heap_alloc(struct heap *heap, size_t size_bytes, bool zero, void **block);

/* The same at a multiple of align, a power of two. */
enum status heap_alloc_aligned(struct heap *heap, size_t size_bytes, size_t align, bool zero, void **block);

/* A block that shares its slab with no other, whatever its size: heap_resize can lengthen that. */
enum status heap_alloc_apart(struct heap *heap, size_t size_bytes, void **block);

/*
 * Lets the block hold size_bytes where it is; its content stays. ST_NOT_OURS as for heap_free; ST_NO_ADDRESS_SPACE or
 * ST_NO_MEMORY: it would have to move, and holds what it held. What it gains may hold anything. A block that is to hold less may
 * stay as large as it is.
 */
enum status heap_resize(struct heap *heap, void *block, size_t size_bytes);

/* Who asks for many blocks. */
struct heap_asker {
    uint64_t home;  /* as in the tags; 0: whoever */
    uint32_t *hint; /* where it was served last: the place in the set, and 1; 0: nowhere yet */
};

/*
 * Up to `want` blocks of one class at once, for the threads' caches. Returns how many; 0 if there is no memory. As long as there
 * is memory, no two homes get blocks of one cache line.
 */
size_t heap_alloc_some(struct heap *heap, unsigned class_index, struct heap_asker asker, size_t want, void **blocks);

/* Frees blocks that came from heap_alloc_some; calls bad for each that is not a live block of this heap: it was freed twice. */
void heap_free_some(struct heap *heap, void *const *blocks, size_t count, void (*bad)(void *block));

/* ST_NOT_OURS for what is not a live block of this heap, as it was given out; then nothing has changed. */
enum status heap_free(struct heap *heap, void *block);

/* The block's usable size. ST_NOT_OURS as above. */
enum status heap_size(struct heap *heap, const void *block, size_t *size_bytes);

/* Gives slabs that hold nothing back to the system, of one heap or of all. Returns the bytes given back. */
size_t heap_trim_one(struct heap *heap);
size_t heap_trim(void);

/* Gives back what has been empty since the look before, of all live heaps. Returns whether empty slabs are left. */
bool heap_tidy(void);
/* Calls visit for every live heap, which is not cleared meanwhile. */
void heap_each(void (*visit)(struct heap *heap, void *context), void *context);

/* Its budget, for as long as it lives. */
struct budget *heap_budget(struct heap *heap);

/* What the heap has taken from the system and not given back, in bytes. */
uint64_t heap_taken(const struct heap *heap);

/* What of it is in blocks, in bytes, those that threads keep at hand among them; counted slab by slab. See figures.h. */
uint64_t heap_used(const struct heap *heap);

#endif

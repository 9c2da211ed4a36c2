/*
 * heap_table.c - heaps as a whole: making one, telling a live one from anything else, ending it.
 *
 * Heaps stand in a table that grows and never moves (core/table.h); a bit says that an entry is claimed, another that its
 * handle is good. A handle is the entry's address, so checking one looks at the engine's own memory alone. What is at work
 * in a heap without being asked by its program (a trim of all heaps, the flush of a thread's cache) counts as a user of it:
 * the heap is destroyed at once for its program, and cleared by the last user that leaves.
 *
 * Finding an entry's number takes a division. So good handles also stand in a small table of their own, which the flat calls look
 * at first. A handle is written there after its bit is set, and taken out after its bit is cleared but before the entry can be
 * claimed again: what stands there is good, or is just being destroyed.
 */
#include "base/prot.h"
#include "heap/depot.h"
#include "heap/heap_inside.h"
#include "heap/near.h"

#include "core/bitmap.h"
#include "core/cache.h"
#include "core/table.h"

#define HEAPS_AT_MOST ((size_t)16320) /* eight parts of the table */

static const struct table_shape heap_shape = {sizeof(struct heap), 64};
static struct table heap_table;
static uint64_t heap_claimed[HEAPS_AT_MOST / 64];
static uint64_t heap_live[HEAPS_AT_MOST / 64]; /* the handle is good */
uint64_t heap_of_process;
uint64_t heap_known[HEAP_KNOWN];
static uint64_t heaps_made;

struct heap *heap_numbered(uint64_t number) { return table_entry(&heap_table, heap_shape, (size_t)number - 1); }

/* Of a thread's cache: one set is the process's heap's alone, one is the spans', the heaps share the others. */
static uint32_t set_for(bool of_process, size_t index) {
    return of_process ? CACHE_PROCESS : CACHE_SPANS + 1 + (uint32_t)(index % (CACHE_SETS - CACHE_SPANS - 1));
}

static enum status heap_make(bool executable, uint64_t limit_bytes, bool of_process, struct heap **heap) {
    *heap = NULL;
    uint64_t mask;
    size_t word = bitmap_claim_some(heap_claimed, HEAPS_AT_MOST, 0, 1, &mask);
    if (word == BITMAP_NONE) return ST_NO_MEMORY;
    size_t index = word * 64 + (size_t)__builtin_ctzll(mask);
    struct heap *made = table_entry_make(&heap_table, heap_shape, index);
    if (made == NULL) {
        bitmap_release(heap_claimed, index, 1);
        return ST_NO_MEMORY;
    }
    /* The sets are as the table's first zeros or set_destroy left them. */
    made->front.number = (uint32_t)index + 1;
    made->front.tag = (uint64_t)(index + 1) << TAG_HEAP_SHIFT;
    made->front.set = set_for(of_process, index);
    made->front.at = CACHE_AT(made->front.set);
    uint64_t id = (atom_add_acqrel_u64(&heaps_made, 1) + 1) << FRONT_NUMBER_BITS | (index + 1);
    atom_store_rel_u64(&made->front.id, id); /* rel: pairs with heap_enter */
    made->budget.parent = budget_numbered(budget_asked_number());
    budget_hold(made->budget.parent);
    atom_store_rlx_u64(&made->budget.peak[BUDGET_RESERVE], 0); /* rlx: published below */
    atom_store_rlx_u64(&made->budget.peak[BUDGET_COMMIT], 0);
    for (int level = 0; level < BUDGET_LEVELS; level++) atom_store_rlx_u64(&made->budget.refused[level], 0); /* rlx: the same */
    budget_lines_set(&made->budget, &(struct budget_lines){.hard = {limit_bytes, limit_bytes}});
    made->state = executable ? PG_EXECUTE_READWRITE : PG_READWRITE;
    atom_store_rel_u64(&made->users, 1); /* rel: pairs with heap_enter */
    HM_CHECK(bitmap_claim(heap_live, index, 1));
    atom_store_rel_u64(heap_known_at(made), (uint64_t)(uintptr_t)made); /* rel: pairs with heap_of_handle_quick */
    *heap = made;
    return ST_OK;
}

enum status heap_create(bool executable, uint64_t limit_bytes, struct heap **heap) {
    return heap_make(executable, limit_bytes, false, heap);
}

struct heap *heap_of_handle(const void *handle) {
    size_t index = table_index(&heap_table, heap_shape, handle);
    bool live = index < HEAPS_AT_MOST && bitmap_taken(heap_live, index);
    return live ? (struct heap *)(uintptr_t)handle : NULL; /* a handle is the entry's address */
}

/* The last user is gone. */
static void heap_clear(struct heap *heap) {
    depot_forget(heap);
    for (struct slab_walk walk = {0}; slab_walk_next(heap, &walk);) {
        if (!slab_close_by_force(walk.slab, life_owner(walk.life), objects_of(walk.class_index))) continue;
        struct run run = slab_run(walk.slab, walk.head);
        /* If the system refuses, the run is lost and stays charged, but nothing of it is reused. */
        if (slab_discard(&run)) budget_refund(&heap->budget, run.count_pages, run.count_pages);
    }
    for (unsigned class_index = 0; class_index < SET_COUNT; class_index++) set_destroy(&heap->set[class_index]);
    budget_drop(heap->budget.parent);
    /* rlx, all: published by the release below. */
    atom_store_rlx_u64(&heap->budget.reserved, 0);
    atom_store_rlx_u64(&heap->budget.committed, 0);
    atom_store_rlx_u64(&heap->empty_bytes, 0);
    HM_CHECK(bitmap_release(heap_claimed, (size_t)heap->front.number - 1, 1));
}

/* A user more; false if the last one has left already. While a user is counted the heap is not cleared. */
static bool user_add(struct heap *heap) {
    uint64_t users = atom_load_acq_u64(&heap->users); /* acq: pairs with heap_make */
    while (users != 0 && !atom_cas_acqrel_u64(&heap->users, &users, users + 1)) continue;
    return users != 0;
}

struct heap *heap_enter(uint32_t number, uint64_t id) {
    struct heap *heap = heap_numbered(number);
    if (!user_add(heap)) return NULL;
    if (atom_load_acq_u64(&heap->front.id) == id) return heap; /* acq: pairs with heap_make */
    heap_leave(heap);
    return NULL;
}

void heap_leave(struct heap *heap) {
    if (atom_add_acqrel_u64(&heap->users, UINT64_MAX) == 1) heap_clear(heap);
}

enum status heap_destroy(struct heap *heap) {
    /* acq: pairs with the CAS in heap_default_make. */
    if (heap_of_handle(heap) == NULL || (uint64_t)(uintptr_t)heap == atom_load_acq_u64(&heap_of_process)) return ST_BAD_HANDLE;
    if (!bitmap_release(heap_live, (size_t)heap->front.number - 1, 1)) return ST_BAD_HANDLE; /* another destroys it */
    uint64_t known = (uint64_t)(uintptr_t)heap;
    atom_cas_acqrel_u64(heap_known_at(heap), &known, 0); /* acqrel: before the entry is free for another heap */
    heap_leave(heap);
    return ST_OK;
}

struct heap *heap_default_make(void) {
    uint64_t seen = atom_load_acq_u64(&heap_of_process); /* acq: pairs with the CAS */
    struct heap *made;
    if (seen != 0) return (struct heap *)(uintptr_t)seen;
    if (heap_make(false, 0, true, &made) != ST_OK) return NULL;
    if (atom_cas_acqrel_u64(&heap_of_process, &seen, (uint64_t)(uintptr_t)made)) {
        near_serve(made->front.number);
        return made;
    }
    heap_destroy(made);
    return (struct heap *)(uintptr_t)seen;
}

void heap_each(void (*visit)(struct heap *heap, void *context), void *context) {
    for (size_t index = 0; (index = bitmap_next_taken(heap_live, HEAPS_AT_MOST, index)) < HEAPS_AT_MOST; index++) {
        struct heap *heap = heap_numbered(index + 1);
        if (!user_add(heap)) continue;
        visit(heap, context);
        heap_leave(heap);
    }
}

static void trim(struct heap *heap, void *context) { *(size_t *)context += heap_trim_one(heap); }

static void tidy(struct heap *heap, void *context) { *(bool *)context |= heap_tidy_one(heap); }

size_t heap_trim(void) {
    size_t bytes = 0;
    heap_each(trim, &bytes);
    return bytes;
}

bool heap_tidy(void) {
    bool left = false;
    heap_each(tidy, &left);
    return left;
}

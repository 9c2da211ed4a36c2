/*
 * heap_scene.h - the production heap layer (heap/set.c, slab.c, heap.c on core/bitmap.c) in a small scene for the explorer: slabs
 * of two objects, a region of a few granules. Included by the heap's model programs, one source file each.
 */
#ifndef HM_TEST_HEAP_SCENE_H
#define HM_TEST_HEAP_SCENE_H

#include "check.h"
#include "explore.h"

#include <stdlib.h>
#include <string.h>

#include "one_class.h"
#define EMPTY_LEAST GRANULE_BYTES /* one slab */
#define LARGE_LEAST 1u
/* What is counted for people would only be steps more. */
#define HM_TALLY_H
enum tallied { TALLY_REFILL, TALLY_REFILL_BLOCKS, TALLY_FLUSH, TALLY_FLUSH_BLOCKS };
static inline void tally_add(enum tallied kind, uint64_t count) { (void)kind, (void)count; }
#include "../../src/core/bitmap.c"
#include "../../src/core/table.c"
#include "../../src/heap/empty.c"
#include "../../src/heap/heap.c"
#include "../../src/heap/heap_table.c"
#include "../../src/heap/large.c"
#include "../../src/heap/set.c"
#include "../../src/heap/slab.c"

#define OBJECTS 2u
#define SIZE 32768u
const uint16_t class_quick[CLASS_QUICK] = {[0 ... CLASS_QUICK - 1] = CLASS_MARK(0)}; /* only the smallest class is asked for */
const struct class_row class_table[112] = {[0] = {CLASS_MAGIC(SIZE, OBJECTS), OBJECTS, 0xffff, SIZE, PAGES_PER_GRANULE, 1}};

#define FIRST_GRANULE 0x20000u
#define GRANULES 6u
#define BLOCKS 6

static struct {
    uint64_t taken;            /* the region's bitmap */
    uint64_t work[GRANULES * OBJECTS];
    struct heap *heap[2];
    bool keeper;
    bool refuses; /* the system takes nothing back */
    void *old[BLOCKS];         /* made by setup */
    void *mine[MODEL_THREADS][2];
    enum status answer[MODEL_THREADS];
} scene;

/* ---- The layers below, as far as they matter here -------------------------------------------------------------- */

/* The address map: one slot, in which the slabs' descriptors are found. */
uint64_t space_map[SLOT_COUNT];
static struct slot only_slot;

/* Budgets have a model of their own (budget.c); here one count a heap is enough. */
struct budget budget_process;
__thread void *os_slot_value[OS_SLOT_COUNT] __attribute__((tls_model("initial-exec")));
struct budget *budget_numbered(uint32_t number) {
    (void)number;
    return &budget_process;
}
void budget_hold(struct budget *budget) { (void)budget; }
void budget_drop(struct budget *budget) { (void)budget; }
void budget_lines_set(struct budget *budget, const struct budget_lines *lines) { (void)budget, (void)lines; }
bool budget_charge(struct budget *budget, uint64_t reserved_pages, uint64_t committed_pages) {
    (void)reserved_pages;
    atom_add_acqrel_u64(&budget->committed, committed_pages);
    return true;
}
void budget_refund(struct budget *budget, uint64_t reserved_pages, uint64_t committed_pages) {
    (void)reserved_pages;
    atom_add_acqrel_u64(&budget->committed, -committed_pages);
}
void budget_undo(struct budget *budget, uint64_t reserved_pages, uint64_t committed_pages) {
    budget_refund(budget, reserved_pages, committed_pages);
}
uint64_t budget_held(const struct budget *budget, enum budget_kind kind) {
    (void)kind;
    return atom_load_rlx_u64(&budget->committed) << PAGE_SHIFT;
}

enum status os_tables_reserve(size_t size, void **start) {
    *start = calloc(1, size); /* large: address space until it is touched */
    return *start != NULL ? ST_OK : ST_NO_MEMORY;
}
enum status os_tables_commit(void *start, size_t size) {
    (void)start, (void)size;
    return ST_OK;
}
void os_tables_discard(void *start, size_t size) {
    (void)size;
    free(start);
}
enum status os_commit(uintptr_t address, size_t size, uint8_t state) {
    (void)address, (void)size, (void)state;
    return ST_OK;
}
enum status os_decommit(uintptr_t address, size_t size) {
    (void)address, (void)size;
    return ST_OK;
}
void pages_fill(struct page first, uint64_t count, uint8_t state) { (void)first, (void)count, (void)state; }
uint64_t pages_run_at(struct page first, uint64_t limit, uint8_t mask, uint8_t *state) {
    (void)first, (void)mask;
    *state = scene.refuses ? PG_NOACCESS : PG_READWRITE;
    return limit;
}
enum status os_protect(uintptr_t address, size_t size, uint8_t state) {
    return scene.refuses ? ST_NO_MEMORY : os_commit(address, size, state);
}
bool os_commit_is_lazy(void) { return true; }
uint32_t os_thread_id(void) { return 0; }
void keeper_wake(bool (*job)(void)) { (void)job; }
bool keeper_runs(void) { return scene.keeper; }
void keeper_missed(void) {}
bool depot_empty(struct heap *heap) {
    (void)heap;
    return false;
}
void depot_forget(struct heap *heap) { (void)heap; }
void heap_tell_double_free(void *block) { (void)block; }
/* Homes have a model of their own (near.c). */
void near_serve(uint64_t heap) { (void)heap; }
void near_add(struct granule head, uint64_t tag) { (void)head, (void)tag; }
void near_drop(struct granule head, uint64_t tag) { (void)head, (void)tag; }
void near_move(struct granule head, uint64_t home) { (void)head, (void)home; }
bool cache_home_active(uint64_t home) {
    (void)home;
    return false;
}

void os_discard(uintptr_t address, size_t size) { (void)address, (void)size; }
size_t os_touched(uintptr_t address, size_t size) {
    (void)address, (void)size;
    return 0;
}
size_t zero_used(void *start, size_t size, bool from_end) {
    (void)start, (void)size, (void)from_end;
    return 0;
}

enum status region_claim_open(uint64_t count_pages, size_t align, struct run *run) {
    size_t first = 0, count = granules_for_pages(count_pages);
    MODEL_HOLDS(align == GRANULE_BYTES);
    while (first + count <= GRANULES && !bitmap_claim(&scene.taken, first, count)) first++;
    if (first + count > GRANULES) return ST_NO_ADDRESS_SPACE;
    *run = (struct run){{FIRST_GRANULE + (uint32_t)first}, count_pages, 0};
    return ST_OK;
}
bool run_is_open(const struct run *run) {
    (void)run;
    return true;
}
enum status region_claim_aligned(uint64_t count_pages, size_t align, struct run *run) {
    (void)count_pages, (void)align, (void)run;
    MODEL_HOLDS(!"no heap of the scenes is executable");
    return ST_NO_MEMORY;
}
enum status region_claim_at(uintptr_t address, uint64_t count_pages, struct run *run) {
    return region_claim_aligned(address, count_pages, run);
}
enum status region_claim_more(uintptr_t address, uint64_t count_pages, struct run *run) {
    size_t first = granule_of(address).n - FIRST_GRANULE, count = granules_for_pages(count_pages);
    *run = (struct run){granule_of(address), count_pages, 0};
    return first + count <= GRANULES && bitmap_claim(&scene.taken, first, count) ? ST_OK : ST_BAD_ADDRESS;
}
void region_release(const struct run *run) {
    MODEL_HOLDS(bitmap_release(&scene.taken, run->first.n - FIRST_GRANULE, granules_for_pages(run->count_pages)));
}

enum status space_prepare(struct granule head, uint64_t count_pages) {
    (void)head, (void)count_pages;
    return ST_OK;
}
enum status space_extend(struct granule head, uint64_t held_pages, uint64_t count_pages) {
    (void)held_pages;
    return space_prepare(head, count_pages);
}
void space_cut(struct granule head, uint64_t count_pages) { (void)head, (void)count_pages; }
void space_publish(struct granule head, struct span span) { atom_store_rel_u64(space_word(head), span_pack(span)); }
bool space_find(uintptr_t address, struct found *found) {
    for (struct granule g = granule_of(address); g.n >= FIRST_GRANULE; g.n--) {
        if (!space_find_start(granule_address(g), found)) continue;
        return page_of(address).n < span_end_page(found);
    }
    return false;
}
bool space_retract(const struct found *found) {
    uint64_t seen = found->word;
    return atom_cas_acqrel_u64(found->place, &seen, 0);
}

/* ---- Scenes ---------------------------------------------------------------------------------------------------- */

/* Forgets all that an exploration before has left, and makes heaps; tables stay, as they do in a process. */
static void begin(size_t heaps) {
    if (heap_table.part[0] != 0) memset((void *)(uintptr_t)heap_table.part[0], 0, 2 * sizeof(struct heap));
    for (uint32_t g = 0; g < GRANULES; g++) {
        struct slab *slab = slab_at((struct granule){FIRST_GRANULE + g});
        if (slab == NULL) continue;
        memset(slab, 0, sizeof *slab);
        *slab_tag_at((struct granule){FIRST_GRANULE + g}) = 0;
        *space_word((struct granule){FIRST_GRANULE + g}) = 0;
    }
    heap_claimed[0] = heap_live[0] = 0;
    pool_taken[0][0] = 0;
    memset(&scene, 0, sizeof scene);
    space_map[FIRST_GRANULE / GRANULES_PER_SLOT] = (uint64_t)(uintptr_t)&only_slot;
    for (size_t i = 0; i < heaps; i++) MODEL_HOLDS(heap_create(false, 0, &scene.heap[i]) == ST_OK);
}

static uint64_t *work_of(const void *block) {
    uintptr_t offset = (uintptr_t)block - granule_address((struct granule){FIRST_GRANULE});
    MODEL_HOLDS(offset % SIZE == 0 && offset / SIZE < GRANULES * OBJECTS);
    return &scene.work[offset / SIZE];
}

/* An owner uses its block: a race here is a block with two owners, or an owner that could see the last one at work. */
static void use(const void *block) {
    uint64_t *work = work_of(block);
    model_data_write(work);
    ++*work;
}

static void drop(size_t heap, void *block) {
    use(block);
    MODEL_HOLDS(heap_free(scene.heap[heap], block) == ST_OK);
}

/* All that was given out is still the heap's, and what a heap gives up is all there is. */
static void finish(size_t heaps) {
    for (size_t i = 0; i < heaps; i++) MODEL_HOLDS(heap_destroy(scene.heap[i]) == ST_OK);
    MODEL_HOLDS(scene.taken == 0);
}

enum { MARK_ONE = 1, MARK_TWO, MARK_THREE };

struct scene_case {
    struct model model;
    unsigned marks; /* what must have been seen in some interleaving, bit by bit */
    bool plain;     /* with delayed stores there are too many interleavings */
};

static inline int cases_pass(const struct scene_case *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        for (unsigned tso = 0; tso <= (cases[i].plain ? 0 : MODEL_TSO); tso += MODEL_TSO) {
            struct model model = cases[i].model;
            model.flags = MODEL_NOBODY_WAITS | tso;
            CHECK(model_passes(&model));
            for (unsigned mark = 1; mark < 4 && cases[i].marks != 0; mark++) {
                CHECK_EQ(model_marked(mark) > 0, cases[i].marks >> mark & 1);
            }
        }
    }
    return check_done();
}

#endif

/*
 * The heap layer (heap/set.c, slab.c, heap.c on core/bitmap.c) under every interleaving, with slabs of two objects and a region
 * of a few granules: a block has one owner; a block freed twice is freed once; no slab with room stays marked full; of the empty
 * slabs of a class one is kept; a thread that is late to a slab, which by then is another heap's, does no harm; nobody waits.
 */
#include "check.h"
#include "explore.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#undef HM_ASSERT
#define HM_ASSERT(condition) MODEL_HOLDS(condition)
/* One class, and sets of one segment: what there is more of is only more of the same. */
#include "heap/classes.h"
#include "heap/set.h"
#undef CLASS_COUNT
#define CLASS_COUNT 1u
#undef SET_SEGMENTS
#define SET_SEGMENTS 1u
#define EMPTY_LEAST GRANULE_BYTES /* one slab */
/* What is counted for people would only be steps more. */
#define HM_TALLY_H
enum tallied { TALLY_REFILL, TALLY_REFILL_BLOCKS, TALLY_FLUSH, TALLY_FLUSH_BLOCKS };
static inline void tally_add(enum tallied kind, uint64_t count) { (void)kind, (void)count; }
#include "../../src/core/bitmap.c"
#include "../../src/core/table.c"
#include "../../src/heap/empty.c"
#include "../../src/heap/heap.c"
#include "../../src/heap/heap_table.c"
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
    uint64_t span[GRANULES];   /* 1: a slab starts here */
    uint64_t work[GRANULES * OBJECTS];
    struct heap *heap[2];
    void *old[BLOCKS];         /* made by setup */
    void *mine[MODEL_THREADS][2];
    enum status answer[MODEL_THREADS];
} scene;

/* ---- The layers below, as far as they matter here -------------------------------------------------------------- */

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
uint64_t pages_run(struct page first, uint64_t limit, uint8_t mask) {
    (void)first, (void)mask;
    return limit;
}
uint8_t pages_state(struct page page) {
    (void)page;
    return PG_READWRITE;
}
enum status os_protect(uintptr_t address, size_t size, uint8_t state) { return os_commit(address, size, state); }
bool os_commit_is_lazy(void) { return true; }
uint32_t os_thread_id(void) { return 0; }
void keeper_wake(bool (*job)(void)) { (void)job; }
bool keeper_runs(void) { return false; }
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

enum status region_claim_open(uint64_t count_pages, size_t align, struct run *run) {
    uint64_t mask;
    MODEL_HOLDS(align == GRANULE_BYTES && count_pages == PAGES_PER_GRANULE);
    if (bitmap_claim_some(&scene.taken, GRANULES, 0, 1, &mask) == BITMAP_NONE) return ST_NO_ADDRESS_SPACE;
    *run = (struct run){{FIRST_GRANULE + (uint32_t)__builtin_ctzll(mask)}, count_pages, 0};
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
    (void)address, (void)count_pages, (void)run;
    MODEL_HOLDS(!"a slab of two objects never grows");
    return ST_BAD_ADDRESS;
}
enum status region_claim_open_at(uintptr_t address, uint64_t count_pages, struct run *run) {
    return region_claim_at(address, count_pages, run);
}
void region_release(const struct run *run) { MODEL_HOLDS(bitmap_release(&scene.taken, run->first.n - FIRST_GRANULE, 1)); }

enum status space_prepare(struct granule head, uint64_t count_pages) {
    (void)head, (void)count_pages;
    return ST_OK;
}
enum status space_extend(struct granule head, uint64_t held_pages, uint64_t count_pages) {
    (void)held_pages;
    return space_prepare(head, count_pages);
}
void space_cut(struct granule head, uint64_t count_pages) { (void)head, (void)count_pages; }
void space_publish(struct granule head, struct span span) {
    (void)span;
    atom_store_rel_u64(&scene.span[head.n - FIRST_GRANULE], 1);
}
bool space_find(uintptr_t address, struct found *found) {
    found->head = granule_of(address);
    found->span = (struct span){.count_pages = PAGES_PER_GRANULE, .kind = SPAN_SLAB};
    found->word = atom_load_acq_u64(&scene.span[found->head.n - FIRST_GRANULE]);
    return found->word != 0;
}
bool space_retract(const struct found *found) {
    uint64_t seen = found->word;
    return atom_cas_acqrel_u64(&scene.span[found->head.n - FIRST_GRANULE], &seen, 0);
}

/* ---- Scenes ---------------------------------------------------------------------------------------------------- */

/* Forgets all that an exploration before has left, and makes heaps; tables stay, as they do in a process. */
static void begin(size_t heaps) {
    if (heap_table.part[0] != 0) memset((void *)(uintptr_t)heap_table.part[0], 0, 2 * sizeof(struct heap));
    for (uint32_t g = 0; g < GRANULES; g++) {
        struct slab *slab = slab_at((struct granule){FIRST_GRANULE + g});
        if (slab != NULL) memset(slab, 0, sizeof *slab);
    }
    heap_claimed[0] = heap_live[0] = 0;
    pool_taken[0][0] = 0;
    memset(&scene, 0, sizeof scene);
    for (size_t i = 0; i < heaps; i++) MODEL_HOLDS(heap_create(false, 0, &scene.heap[i]) == ST_OK);
}

static void fill(int count) {
    for (int i = 0; i < count; i++) MODEL_HOLDS(heap_alloc(scene.heap[0], 16, false, &scene.old[i]) == ST_OK);
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

static void take(int me, int slot, size_t heap) {
    MODEL_HOLDS(heap_alloc(scene.heap[heap], 16, false, &scene.mine[me][slot]) == ST_OK);
    use(scene.mine[me][slot]);
}

static void drop(size_t heap, void *block) {
    use(block);
    MODEL_HOLDS(heap_free(scene.heap[heap], block) == ST_OK);
}

/* What must be true of a heap that nobody is in: returns how many empty slabs it has. */
static size_t settle(size_t heap) {
    struct set *set = &scene.heap[heap]->set[0];
    size_t empty = 0, slabs = 0;
    for (size_t place = 0; place < set_places(set); place++) {
        struct granule head = set_slab(set, place);
        if (head.n == 0) continue;
        struct slab *slab = slab_at(head);
        slabs++;
        MODEL_HOLDS(life_owner(slab->life) == owner_of(scene.heap[heap], 0) && slab->place == place);
        MODEL_HOLDS(life_count(slab->life) == bitmap_count(slab_taken(slab, OBJECTS), OBJECTS)); /* no pin is left */
        if (life_count(slab->life) < OBJECTS) MODEL_HOLDS(set_next(set, place) == place); /* what has room is found */
        empty += life_count(slab->life) == 0;
    }
    MODEL_HOLDS(heap_taken(scene.heap[heap]) == slabs * GRANULE_BYTES);
    MODEL_HOLDS(scene.heap[heap]->empty_bytes == empty * GRANULE_BYTES);
    return empty;
}

/* All that was given out is still the heap's, and what a heap gives up is all there is. */
static void finish(size_t heaps) {
    for (size_t i = 0; i < heaps; i++) MODEL_HOLDS(heap_destroy(scene.heap[i]) == ST_OK);
    MODEL_HOLDS(scene.taken == 0);
}

enum { MARK_ONE = 1, MARK_TWO, MARK_THREE };

/* A slab that is full, freed into by one and looked at by another. */
static void begin_full(void) {
    begin(1);
    fill(2);
}
static void full_thread(int me) {
    if (me == 0) drop(0, scene.old[0]);
    else take(me, 0, 0);
}
static void check_full(void) {
    MODEL_HOLDS(settle(0) == 0);
    model_mark(scene.mine[1][0] == scene.old[0] ? MARK_ONE : MARK_TWO);
    finish(1);
}
static void full_thread_two(int me) {
    drop(0, scene.old[me]);
    if (me == 0) take(me, 0, 0);
}
static void check_full_two(void) {
    MODEL_HOLDS(settle(0) <= 1);
    finish(1);
}

/* Two slabs of one object each, emptied at the same time. */
static void begin_last(void) {
    begin(1);
    fill(4);
    drop(0, scene.old[1]);
    drop(0, scene.old[3]);
}
static void last_thread(int me) { drop(0, scene.old[me * 2]); }
static void check_last(void) {
    MODEL_HOLDS(settle(0) == 1);
    finish(1);
}

/* A slab empties, and is taken from before it is counted; two more that empty until then are counted beside it. */
static void begin_counted(void) {
    begin(1);
    fill(6);
    for (int i = 1; i < 6; i += 2) drop(0, scene.old[i]);
}
static void counted_thread(int me) {
    if (me == 0) {
        drop(0, scene.old[0]);
    } else {
        take(me, 0, 0);
        drop(0, scene.old[2]);
        drop(0, scene.old[4]);
    }
}
static void check_counted(void) {
    MODEL_HOLDS(settle(0) <= 1);
    finish(1);
}

/* A slab empties and goes while another thread is about to allocate from it. */
static void begin_leaving(void) {
    begin(1);
    fill(5);
    drop(0, scene.old[4]); /* the third slab is empty, and kept */
    drop(0, scene.old[1]);
}
static void leaving_thread(int me) {
    if (me == 0) drop(0, scene.old[0]);
    else take(me, 0, 0);
}
static void check_leaving(void) {
    size_t empty = settle(0);
    MODEL_HOLDS(empty <= 1);
    bool first = granule_of((uintptr_t)scene.mine[1][0]).n == granule_of((uintptr_t)scene.old[0]).n;
    model_mark(first ? MARK_ONE : MARK_TWO);
    finish(1);
}

/* The same, and the granule starts a slab of another heap before the late thread has looked. */
static void begin_late(void) {
    begin_leaving();
    void *other;
    MODEL_HOLDS(heap_create(false, 0, &scene.heap[1]) == ST_OK);
    MODEL_HOLDS(heap_alloc(scene.heap[1], 16, false, &other) == ST_OK); /* so that the set has its first segment */
    MODEL_HOLDS(heap_alloc(scene.heap[1], 16, false, &other) == ST_OK);
}
static void late_thread(int me) {
    if (me == 0) {
        drop(0, scene.old[0]);
        take(me, 0, 1);
        take(me, 1, 1);
    } else {
        take(me, 0, 0);
    }
}
static void check_late(void) {
    MODEL_HOLDS(settle(0) <= 1);
    MODEL_HOLDS(settle(1) == 0);
    model_mark(granule_of((uintptr_t)scene.mine[0][0]).n == granule_of((uintptr_t)scene.old[0]).n ? MARK_ONE : MARK_TWO);
    finish(2);
}

/* One block freed by two. */
static void begin_double(void) {
    begin(1);
    fill(2);
}
static void double_thread(int me) { scene.answer[me] = heap_free(scene.heap[0], scene.old[0]); }
static void check_double(void) {
    int freed = (scene.answer[0] == ST_OK) + (scene.answer[1] == ST_OK);
    MODEL_HOLDS(freed == 1);
    MODEL_HOLDS(settle(0) == 0);
    finish(1);
}

/* One thread trims while another frees the last object. */
static void trim_thread(int me) {
    if (me == 0) drop(0, scene.old[0]);
    else heap_trim_one(scene.heap[0]);
}
static void check_trim(void) {
    MODEL_HOLDS(settle(0) <= 1);
    heap_trim_one(scene.heap[0]);
    MODEL_HOLDS(settle(0) == 0);
    finish(1);
}

/* A slab goes, and another comes to its place in the set, while a thread looks there. */
static void again_thread(int me) {
    if (me == 0) {
        drop(0, scene.old[0]);
        heap_trim_one(scene.heap[0]);
    }
    take(me, 0, 0);
}
static void begin_again(void) {
    begin(1);
    fill(1);
}
static void check_again(void) {
    MODEL_HOLDS(settle(0) <= 1);
    finish(1);
}

/* A heap is destroyed while another thread trims all heaps: the one that leaves last clears it. */
static void begin_destroy(void) {
    begin(1);
    fill(1);
}
static void destroy_thread(int me) {
    if (me == 0) MODEL_HOLDS(heap_destroy(scene.heap[0]) == ST_OK);
    else if (user_add(scene.heap[0])) {
        heap_trim_one(scene.heap[0]);
        heap_leave(scene.heap[0]);
        model_mark(MARK_ONE);
    }
}
static void check_destroy(void) { MODEL_HOLDS(scene.taken == 0 && heap_claimed[0] == 0 && heap_live[0] == 0); }

static const struct {
    struct model model;
    unsigned marks; /* what must have been seen in some interleaving, bit by bit */
    bool plain;     /* with delayed stores there are too many interleavings */
} cases[] = {
    {{"a full slab freed into, and looked at", 2, 0, begin_full, full_thread, check_full}, 0x6, false},
    {{"a full slab emptied by two, one of whom takes again", 2, 0, begin_full, full_thread_two, check_full_two}, 0, false},
    {{"the last objects of two slabs", 2, 0, begin_last, last_thread, check_last}, 0, false},
    {{"a slab taken from before it is counted", 2, 0, begin_counted, counted_thread, check_counted}, 0, false},
    {{"a slab goes under a thread that is late", 2, 0, begin_leaving, leaving_thread, check_leaving}, 0x6, false},
    {{"and is another heap's by then", 2, 0, begin_late, late_thread, check_late}, 0x6, true},
    {{"one block freed by two", 2, 0, begin_double, double_thread, check_double}, 0, false},
    {{"a slab emptied and trimmed", 2, 0, begin_leaving, trim_thread, check_trim}, 0, false},
    {{"a slab trimmed and made again", 2, 0, begin_again, again_thread, check_again}, 0, true},
    {{"a heap destroyed and trimmed", 2, 0, begin_destroy, destroy_thread, check_destroy}, 0x2, false},
};

int main(void) {
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
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

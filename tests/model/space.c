/*
 * The address map of core/space.c, with the granule bitmap beneath it, under every interleaving: a lookup that runs while spans
 * are retracted and others published in the same granules answers with a span that lives and covers the address, or with none;
 * of two retractions one wins; of threads that make the same slot all use one; nobody waits.
 */
#include "check.h"
#include "explore.h"

#include <string.h>

#include "base/base.h"
#undef HM_ASSERT
#define HM_ASSERT(condition) MODEL_HOLDS(condition)
#include "../../src/core/bitmap.c"
#include "../../src/core/space.c"

#define SLOT_FIRST (1u * (uint32_t)GRANULES_PER_SLOT) /* the first granule of the first slot used; the next is the second */
#define SLOT_SECOND (2u * (uint32_t)GRANULES_PER_SLOT)
#define GRANULES_USED 32u /* at the start of each slot */

static struct slot slots[6]; /* two threads take at most two groups of one and two of two */

static struct {
    struct found old, other;                      /* the span published by setup, and a second copy */
    struct span fresh[MODEL_THREADS];             /* what a thread publishes */
    struct granule fresh_head[MODEL_THREADS];
    uint64_t work[GRANULES_USED];                 /* what an owner does with a granule */
    uint64_t gate;                                /* 1: the old span's address space has been given back */
    uint8_t answer[MODEL_THREADS];
    struct slot *made[MODEL_THREADS];
    uint64_t slots_given, slots_discarded;
} scene;

enum { MARK_OLD = 1, MARK_FRESH, MARK_NONE };

/* The system's part: tables from the array above, each once. */
enum status os_tables_reserve(size_t size, void **start) {
    MODEL_HOLDS(size % sizeof(struct slot) == 0);
    uint64_t first = atom_add_acqrel_u64(&scene.slots_given, size / sizeof(struct slot));
    MODEL_HOLDS(first + size / sizeof(struct slot) <= sizeof slots / sizeof slots[0]);
    *start = &slots[first];
    return ST_OK;
}

enum status os_tables_commit(void *start, size_t size) {
    /* Zeroing them is the writing that space_slot_new has to publish. */
    for (size_t i = 0; i < size / sizeof(struct slot); i++) model_data_write((struct slot *)start + i);
    return ST_OK;
}

void os_tables_discard(void *start, size_t size) {
    (void)start;
    atom_add_acqrel_u64(&scene.slots_discarded, size / sizeof(struct slot));
}

static struct span span_of(uint32_t granules, uint32_t owner) {
    return (struct span){.count_pages = (uint64_t)granules * PAGES_PER_GRANULE, .state = 3, .kind = SPAN_VM, .owner = owner};
}

/* Empties both slots where scenes use them. */
static void begin_empty(void) {
    memset(&scene, 0, sizeof scene);
    memset(groups, 0, sizeof groups);
    group_now = 0;
    for (int i = 0; i < 2; i++) {
        space_map[i + 1] = (uint64_t)(uintptr_t)&slots[i];
        memset(slots[i].taken, 0, sizeof slots[i].taken[0]);
        memset(slots[i].used, 0, sizeof slots[i].used);
        memset(&slots[i].sheet[0], 0, offsetof(struct sheet, state));
        slots[i].cover[0] = 0;
    }
    slots[0].sheet[SHEETS_PER_SLOT - 1].span[GRANULES_PER_SHEET - 2] = 0;
}

/* An old span, found by two threads. */
static void begin_old(uint32_t head, uint32_t granules) {
    begin_empty();
    MODEL_HOLDS(space_prepare((struct granule){head}, span_of(granules, 1).count_pages) == ST_OK);
    space_publish((struct granule){head}, span_of(granules, 1));
    MODEL_HOLDS(space_find(granule_address((struct granule){head}), &scene.old));
    scene.other = scene.old;
}

static void fresh(int thread, uint32_t head, uint32_t granules) {
    scene.fresh_head[thread] = (struct granule){head};
    scene.fresh[thread] = span_of(granules, (uint32_t)thread + 2);
}

/* Owners write to the granules that they own, at the start of the first slot. */
static void owner_work(uint32_t first, uint32_t count) {
    for (uint32_t i = first; i < first + count; i++) {
        model_data_write(&scene.work[i]);
        scene.work[i]++;
    }
}

static void publish(int me) {
    MODEL_HOLDS(space_prepare(scene.fresh_head[me], scene.fresh[me].count_pages) == ST_OK);
    space_publish(scene.fresh_head[me], scene.fresh[me]);
}

/* A lookup: the answer covers the address and is one that has been published, word for word. */
static bool look(uint32_t granule) {
    struct found found;
    uintptr_t address = granule_address((struct granule){granule}) + 5 * PAGE_BYTES;
    if (!space_find(address, &found)) {
        model_mark(MARK_NONE);
        return false;
    }
    MODEL_HOLDS(granule_page(found.head).n <= page_of(address).n && page_of(address).n < span_end_page(&found));
    uint32_t owner = found.span.owner;
    if (owner == 1) {
        MODEL_HOLDS(found.word == scene.old.word && found.head.n == scene.old.head.n);
        model_mark(MARK_OLD);
        return false;
    }
    MODEL_HOLDS(owner < 2 + MODEL_THREADS);
    int by = owner < 2 + MODEL_THREADS ? (int)owner - 2 : 0;
    MODEL_HOLDS(found.word == span_pack(scene.fresh[by]) && found.head.n == scene.fresh_head[by].n);
    model_mark(MARK_FRESH);
    return true;
}

static void look_once(uint32_t granule) { (void)look(granule); }

/* In a region: thread 0 gives an old span of four granules back, thread 1 takes some of them, thread 2 looks. */

static void begin_region(uint32_t head, uint32_t granules) {
    begin_old(SLOT_FIRST + 10, 4);
    bitmap_claim(slots[0].taken, 10, 4);
    fresh(1, SLOT_FIRST + head, granules);
}

static void begin_region_tail(void) { begin_region(12, 2); }
static void begin_region_middle(void) { begin_region(11, 2); }

static void begin_region_same_head(void) {
    begin_region(10, 1);
    scene.fresh[1].count_pages -= 3;
}

static void reuse(int me, uint32_t looked_at) {
    uint32_t first = scene.fresh_head[1].n - SLOT_FIRST;
    uint32_t count = (uint32_t)granules_for_pages(scene.fresh[1].count_pages);
    if (me == 0) {
        scene.answer[0] = space_retract(&scene.old);
        MODEL_HOLDS(scene.answer[0]);
        owner_work(10, 4);
        MODEL_HOLDS(bitmap_release(slots[0].taken, 10, 4));
    } else if (me == 1) {
        if (!bitmap_claim(slots[0].taken, first, count)) return;
        owner_work(first, count);
        publish(1);
        scene.answer[1] = 1;
    } else if (look(SLOT_FIRST + looked_at)) {
        model_data_read(&scene.work[first]); /* who sees the span sees what its owner did before */
    }
}

static void reuse_last(int me) { reuse(me, 13); }
static void reuse_inner(int me) { reuse(me, 12); }
static void reuse_first(int me) { reuse(me, 10); }

static void check_reuse(void) {
    struct found found;
    uint64_t first = granule_page(scene.fresh_head[1]).n;
    for (uint32_t g = SLOT_FIRST + 10; g < SLOT_FIRST + 14; g++) {
        uint64_t page = granule_page((struct granule){g}).n;
        bool covered = scene.answer[1] && page >= first && page < first + scene.fresh[1].count_pages;
        bool seen = space_find(granule_address((struct granule){g}), &found);
        MODEL_HOLDS(seen == covered);
        MODEL_HOLDS(!seen || found.span.owner == 3);
    }
}

/* From the system: an old span over a whole sheet and the end of the slot before; then a small one in that sheet. */

static void begin_cover(void) {
    begin_old(SLOT_SECOND - 2, (uint32_t)GRANULES_PER_SHEET + 2);
    fresh(1, SLOT_SECOND + 5, 2);
}

/* And the other way round. */
static void begin_uncovered(void) {
    begin_old(SLOT_SECOND + 5, 2);
    fresh(1, SLOT_SECOND - 2, (uint32_t)GRANULES_PER_SHEET + 2);
}

/* Thread 1, once thread 0 has let its granules go. */
static void publish_past_gate(void) {
    if (atom_load_acq_u64(&scene.gate) == 0) return;
    publish(1);
    scene.answer[1] = 1;
}

static void replace(int me) {
    if (me == 0) {
        MODEL_HOLDS(space_retract(&scene.old));
        atom_store_rel_u64(&scene.gate, 1);
    } else if (me == 1) {
        publish_past_gate();
    } else {
        look_once(SLOT_SECOND + 6);
    }
}

static void check_replace(void) {
    struct found found;
    bool seen = space_find(granule_address((struct granule){SLOT_SECOND + 6}), &found);
    MODEL_HOLDS(seen == scene.answer[1]);
    MODEL_HOLDS(!seen || found.span.owner == 3);
}

/* Two small spans in a sheet whose cover is out of date. */
static void begin_stale_cover(void) {
    begin_old(SLOT_SECOND - 2, (uint32_t)GRANULES_PER_SHEET + 2);
    MODEL_HOLDS(space_retract(&scene.old));
    fresh(0, SLOT_SECOND + 4, 1);
    fresh(1, SLOT_SECOND + 5, 2);
}

static void publish_two(int me) {
    if (me < 2) publish(me);
    else look_once(SLOT_SECOND + 6);
}

static void check_two(void) {
    struct found found;
    for (uint32_t g = 4; g < 7; g++) {
        MODEL_HOLDS(space_find(granule_address((struct granule){SLOT_SECOND + g}), &found));
        MODEL_HOLDS(found.span.owner == (g == 4 ? 2 : 3));
    }
}

/*
 * A span over a sheet and the end of the slot before is cut by thread 0, which then gives the end back; thread 1 publishes one
 * there, thread 2 looks at what is left.
 */
static void begin_cut(void) {
    begin_old(SLOT_SECOND - 2, (uint32_t)GRANULES_PER_SHEET + 2);
    fresh(1, SLOT_SECOND + 5, 2);
    scene.old.span.count_pages = 5 * PAGES_PER_GRANULE;
}

static void cut(int me) {
    if (me == 0) {
        space_publish(scene.old.head, scene.old.span);
        space_cut(scene.old.head, scene.old.span.count_pages);
        atom_store_rel_u64(&scene.gate, 1);
    } else if (me == 1) {
        publish_past_gate();
    } else {
        struct found found;
        MODEL_HOLDS(space_find(granule_address((struct granule){SLOT_SECOND + 1}), &found) && found.head.n == SLOT_SECOND - 2);
        model_mark(found.word == scene.old.word ? MARK_OLD : MARK_FRESH);
    }
}

static void check_cut(void) {
    struct found found;
    for (uint32_t g = 0; g < 8; g++) {
        bool seen = space_find(granule_address((struct granule){SLOT_SECOND + g}), &found), fresh_there = g >= 5 && g < 7;
        MODEL_HOLDS(seen == (g < 3 || (fresh_there && scene.answer[1])));
        MODEL_HOLDS(!seen || found.head.n == (g < 3 ? SLOT_SECOND - 2 : SLOT_SECOND + 5));
    }
}

/* Two threads retract what each has found. */
static void begin_retract(void) { begin_old(SLOT_FIRST + 10, 4); }

static void retract_twice(int me) {
    if (me < 2) {
        scene.answer[me] = space_retract(me ? &scene.old : &scene.other);
        if (scene.answer[me]) owner_work(10, 4);
    } else if (!space_unchanged(&scene.old)) {
        look_once(SLOT_FIRST + 11);
    } else {
        model_mark(MARK_OLD);
    }
}

static void check_retract(void) {
    MODEL_HOLDS(scene.answer[0] + scene.answer[1] == 1);
    MODEL_HOLDS(slots[0].sheet[0].span[10] == 0);
}

/* Threads make the same slot: two before there is any group of tables, and three from a group of four. */
static void begin_no_group(void) {
    begin_empty();
    space_map[1] = 0;
}

static void begin_no_slot(void) {
    begin_no_group();
    group_now = 2;
    groups[2].first = (uint64_t)(uintptr_t)slots;
    scene.slots_given = group_slots(2);
}

static void make_slot(int me) {
    scene.made[me] = space_slot_make(granule_address((struct granule){SLOT_FIRST}));
    model_data_read(scene.made[me]); /* zeroed, whoever took it from whichever group */
}

static void check_made(void) {
    bool three = scene.made[2] != NULL;
    MODEL_HOLDS(scene.made[0] == scene.made[1] && (!three || scene.made[1] == scene.made[2]));
    MODEL_HOLDS(space_map[1] == (uint64_t)(uintptr_t)scene.made[0]);
    uint64_t held = 0, taken = 0;
    for (size_t n = 0; n < 3; n++) {
        held += groups[n].first ? group_slots(n) : 0;
        taken += bitmap_count(&groups[n].taken, group_slots(n));
    }
    MODEL_HOLDS(taken == 1 && scene.slots_discarded + held == scene.slots_given);
    /* The first of its group, or, after a lost race, another. */
    model_mark(scene.made[0] == slots ? MARK_OLD : MARK_FRESH);
}

static const struct {
    struct model model;
    unsigned marks; /* what must have been seen in some interleaving, bit by bit */
} cases[] = {
    {{"a neighbour's tail published again, looked up", 3, 0, begin_region_tail, reuse_last, check_reuse}, 0xe},
    {{"the middle published again, the end looked up", 3, 0, begin_region_middle, reuse_last, check_reuse}, 0xa},
    {{"the middle published again, looked up", 3, 0, begin_region_middle, reuse_inner, check_reuse}, 0xe},
    {{"a shorter span at the same head, the end looked up", 3, 0, begin_region_same_head, reuse_last, check_reuse}, 0xa},
    {{"a shorter span at the same head, looked up", 3, 0, begin_region_same_head, reuse_first, check_reuse}, 0xe},
    {{"a sheet-wide span replaced by a small one", 3, 0, begin_cover, replace, check_replace}, 0xe},
    {{"a small span replaced by a sheet-wide one", 3, 0, begin_uncovered, replace, check_replace}, 0xe},
    {{"two small spans under a cover out of date", 3, 0, begin_stale_cover, publish_two, check_two}, 0xc},
    {{"a sheet-wide span cut", 3, 0, begin_cut, cut, check_cut}, 0x6},
    {{"one span retracted twice", 3, 0, begin_retract, retract_twice, check_retract}, 0xa},
    {{"one slot made by two, and groups", 2, 0, begin_no_group, make_slot, check_made}, 0x6},
    {{"one slot made by three", 3, 0, begin_no_slot, make_slot, check_made}, 0x6},
};

int main(void) {
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (unsigned tso = 0; tso <= MODEL_TSO; tso += MODEL_TSO) {
            struct model model = cases[i].model;
            model.flags = MODEL_NOBODY_WAITS | tso;
            CHECK(model_passes(&model));
            for (unsigned mark = 1; mark < 4; mark++) CHECK_EQ(model_marked(mark) > 0, cases[i].marks >> mark & 1);
        }
    }
    return check_done();
}

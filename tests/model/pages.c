/*
 * The busy bits and page bytes of core/pages.c under every interleaving: calls on common pages take effect one after the
 * other and hand their work over without a race, they never wait for each other in a ring, calls on disjoint pages never
 * wait at all, wherever another is stopped, and a page byte that has been seen publishes what was done before it was written. So
 * do calls of which some want whole sheets and some a few of their pages, whoever comes first.
 */
#include "check.h"
#include "explore.h"

#include <string.h>

#include "base/base.h"
#undef HM_ASSERT
#define HM_ASSERT(condition) MODEL_HOLDS(condition)
#include "../../src/core/pages.c"

/* Two slots of the address map, filled by hand; waiting is the explorer's. */
uint64_t space_map[SLOT_COUNT];
static struct slot slots[2];

void os_yield(unsigned attempt) {
    (void)attempt;
    model_pause();
}
bool os_others_ended(void) { return false; }
void space_each_slot(void (*visit)(struct slot *slot)) { (void)visit; }

#define COMMITTED 3 /* some byte */
#define PAGES_USED 200u /* at the start of each slot, and at the end of the first */
static const size_t sheets_used[] = {0, 3, 4, SHEETS_PER_LOCK - 1, SHEETS_PER_LOCK, SHEETS_PER_SLOT - 1};

static struct {
    struct {
        uint64_t first, count;
    } range[MODEL_THREADS];
    uint64_t work[3 * PAGES_USED]; /* of each page */
    size_t sheet;                  /* the first of two, for calls on whole sheets */
    uint64_t cell[6];              /* the work of some pages of these, see cell_page */
    bool inside[MODEL_THREADS];
} scene;

static void begin(void) {
    space_map[1] = (uint64_t)(uintptr_t)&slots[0];
    space_map[2] = (uint64_t)(uintptr_t)&slots[1];
    for (int i = 0; i < 2; i++) {
        for (size_t n = 0; n < sizeof sheets_used / sizeof sheets_used[0]; n++) {
            memset(slots[i].sheet[sheets_used[n]].busy, 0, sizeof slots[i].sheet[0].busy);
        }
        memset(slots[i].lock, 0, sizeof slots[i].lock);
        memset(slots[i].used, 0, sizeof slots[i].used);
        memset(slots[i].sheet[0].state, 0, PAGES_USED);
        memset(slots[i].sheet[SHEETS_PER_SLOT - 1].state + PAGES_PER_SHEET - PAGES_USED, 0, PAGES_USED);
    }
    memset(&scene, 0, sizeof scene);
    scene.sheet = 3;
}

static void range(int thread, uint64_t first, uint64_t count) {
    scene.range[thread].first = first;
    scene.range[thread].count = count;
}

/* Page n of the scene: from page 0 of the first slot; those from 2 * PAGES_USED on start the second slot. */
static struct page scene_page(uint64_t n) {
    uint64_t at = n < PAGES_USED ? n : PAGES_PER_SLOT - 2 * PAGES_USED + n;
    return (struct page){PAGES_PER_SLOT + at};
}

/* What a call on pages does: lock, change each page, unlock. */
static void work(int me, bool fills) {
    uint64_t first = scene.range[me].first, count = scene.range[me].count;
    pages_lock(scene_page(first), count);
    for (uint64_t i = first; i < first + count; i += 3) { /* some of the pages will do */
        model_data_write(&scene.work[i]);
        scene.work[i]++;
    }
    if (fills) pages_fill(scene_page(first), count, (uint8_t)(me + 1));
    pages_unlock(scene_page(first), count);
}

static void work_only(int me) { work(me, false); }
static void work_and_fill(int me) { work(me, true); }

/* All bits are given back, and all work was done. */
static void check_idle(void) {
    for (int i = 0; i < 2; i++) {
        for (size_t n = 0; n < sizeof sheets_used / sizeof sheets_used[0]; n++) {
            struct stretch sheet = {&slots[i], sheets_used[n] * PAGES_PER_SHEET, PAGES_PER_SHEET};
            MODEL_HOLDS(sheet_state(sheet) != SHEET_LOCKED);
            for (size_t w = 0; w < PAGES_PER_SHEET / 64; w++) MODEL_HOLDS(slots[i].sheet[sheets_used[n]].busy[w] == 0);
        }
    }
    uint64_t done[3 * PAGES_USED] = {0};
    for (int t = 0; t < MODEL_THREADS; t++) {
        for (uint64_t i = 0; i < scene.range[t].count; i += 3) done[scene.range[t].first + i]++;
    }
    MODEL_HOLDS(memcmp(done, scene.work, sizeof done) == 0);
}

/* Of two calls that fill, the later one's byte stands on all common pages. */
static void check_filled(void) {
    check_idle();
    uint8_t common = pages_state(scene_page(6));
    MODEL_HOLDS(common == 1 || common == 2);
    model_mark(common);
    for (uint64_t i = 6; i < 12; i++) MODEL_HOLDS(pages_state(scene_page(i)) == common);
    for (uint64_t i = 0; i < 6; i++) MODEL_HOLDS(pages_state(scene_page(i)) == 1);
    for (uint64_t i = 12; i < 18; i++) MODEL_HOLDS(pages_state(scene_page(i)) == 2);
    MODEL_HOLDS(pages_run(scene_page(0), 18, 0xff) == (common == 1 ? 12 : 6));
}

static void begin_common(void) {
    begin();
    range(0, 0, 12);
    range(1, 6, 12);
}

/* Each of three overlaps the next, over three words. */
static void begin_chain(void) {
    begin();
    range(0, 60, 9);
    range(1, 63, 66);
    range(2, 126, 6);
}

/* Two calls over the same two words, a third in the second one only. */
static void begin_same(void) {
    begin();
    range(0, 60, 12);
    range(1, 63, 6);
    range(2, 66, 3);
}

static void begin_two_slots(void) {
    begin();
    range(0, 2 * PAGES_USED - 3, 6);
    range(1, 2 * PAGES_USED, 3);
    range(2, 2 * PAGES_USED - 3, 3);
}

/* Neighbours in the same words, and over a boundary, but no page in common. */
static void begin_apart(void) {
    begin();
    range(0, 0, 3);
    range(1, 3, 60);
    range(2, 63, 6);
}

static void begin_two_apart(void) {
    begin();
    range(0, 0, 3);
    range(1, 3, 6);
}

/* A reader without a lock: who sees the byte sees what was done before. */
static void publish(int me) {
    if (me == 0) {
        model_data_write(&scene.work[0]);
        scene.work[0] = 7;
        pages_fill(scene_page(0), 9, COMMITTED);
    } else if (me == 1) {
        if (pages_state(scene_page(5)) != COMMITTED) return;
        model_data_read(&scene.work[0]);
        MODEL_HOLDS(scene.work[0] == 7);
        model_mark(1);
    } else {
        uint64_t run = pages_run(scene_page(0), 12, 0xff);
        MODEL_HOLDS(run >= 1 && run <= 12);
        if (run == 9) model_mark(2);
    }
}

/* ---- Whole sheets: ranges count from page 0 of the scene's first on ---- */

static const uint64_t cell_page[6] = {
    0, 100, PAGES_PER_SHEET - 1, PAGES_PER_SHEET, PAGES_PER_SHEET + 100, 2 * PAGES_PER_SHEET - 1,
};

static struct page sheet_page(uint64_t n) { return (struct page){PAGES_PER_SLOT + scene.sheet * PAGES_PER_SHEET + n}; }

static bool in_range(int thread, uint64_t page) { return page - scene.range[thread].first < scene.range[thread].count; }

static void work_inside(int me) {
    for (int c = 0; c < 6; c++) {
        if (!in_range(me, cell_page[c])) continue;
        model_data_write(&scene.cell[c]);
        scene.cell[c]++;
    }
    pages_unlock(sheet_page(scene.range[me].first), scene.range[me].count);
}

static void work_sheets(int me) {
    pages_lock(sheet_page(scene.range[me].first), scene.range[me].count);
    scene.inside[me] = true;
    work_inside(me);
}

static void try_sheets(int me) {
    scene.inside[me] = pages_try_lock(sheet_page(scene.range[me].first), scene.range[me].count);
    if (scene.inside[me]) work_inside(me);
}

/* What was done in each page is what all did who got in. */
static void check_sheets(void) {
    uint64_t done[6] = {0};
    memcpy(done, scene.cell, sizeof done);
    memset(scene.cell, 0, sizeof scene.cell);
    for (int t = 0; t < MODEL_THREADS; t++) {
        for (int c = 0; c < 6; c++) done[c] -= scene.inside[t] && in_range(t, cell_page[c]);
    }
    for (int c = 0; c < 6; c++) MODEL_HOLDS(done[c] == 0);
    for (int t = 0; t < MODEL_THREADS; t++) scene.range[t].count = 0;
    check_idle();
    if (!scene.inside[0]) model_mark(1);
    if (!scene.inside[1]) model_mark(2);
}

static void begin_sheet_twice(void) {
    begin();
    range(0, 0, PAGES_PER_SHEET);
    range(1, 0, PAGES_PER_SHEET);
}

static void begin_sheet_and_page(void) {
    begin();
    range(0, 0, PAGES_PER_SHEET);
    range(1, 100, 1);
}

/* All bits of it, in their words. */
static void begin_sheet_by_page(void) {
    begin_sheet_and_page();
    slots[0].lock[0] = (uint64_t)SHEET_BY_PAGE << 2 * scene.sheet;
}

static void begin_sheet_border(void) {
    begin();
    range(0, 0, 2 * PAGES_PER_SHEET);
    range(1, PAGES_PER_SHEET - 1, 2);
}

static void begin_sheets_shared(void) {
    begin();
    range(0, 0, 2 * PAGES_PER_SHEET);
    range(1, 0, PAGES_PER_SHEET);
    range(2, PAGES_PER_SHEET, PAGES_PER_SHEET);
    scene.sheet = SHEETS_PER_LOCK - 1; /* two words */
}

/* A sheet, and two that are the first to want pages of the next. */
static void begin_sheets_apart(void) {
    begin();
    range(0, 0, PAGES_PER_SHEET);
    range(1, PAGES_PER_SHEET, 1);
    range(2, PAGES_PER_SHEET + 100, 1);
}

static const struct {
    struct model model;
    enum model_fault fault;
} cases[] = {
    {{"pages in common, filled", 2, 0, begin_common, work_and_fill, check_filled}, FAULT_NONE},
    {{"pages in common, filled", 2, MODEL_TSO, begin_common, work_and_fill, check_filled}, FAULT_NONE},
    {{"three calls in a chain over three words", 3, 0, begin_chain, work_only, check_idle}, FAULT_NONE},
    {{"three calls in a chain over three words", 3, MODEL_TSO, begin_chain, work_only, check_idle}, FAULT_NONE},
    {{"two calls over two words, a third in one", 3, 0, begin_same, work_only, check_idle}, FAULT_NONE},
    {{"a call over two slots, one in each", 3, 0, begin_two_slots, work_only, check_idle}, FAULT_NONE},
    {{"no page in common", 3, MODEL_NOBODY_WAITS, begin_apart, work_only, check_idle}, FAULT_NONE},
    {{"no page in common, filled", 2, MODEL_NOBODY_WAITS | MODEL_TSO, begin_two_apart, work_and_fill, NULL}, FAULT_NONE},
    {{"pages in common, the holder frozen", 2, MODEL_NOBODY_WAITS, begin_common, work_only, NULL}, FAULT_WAITS},
    {{"a whole sheet, wanted by two", 2, MODEL_TSO, begin_sheet_twice, work_sheets, check_sheets}, FAULT_NONE},
    {{"a whole sheet and a page of it", 2, 0, begin_sheet_and_page, work_sheets, check_sheets}, FAULT_NONE},
    {{"a whole sheet and a page of it, by page", 2, 0, begin_sheet_by_page, work_sheets, check_sheets}, FAULT_NONE},
    {{"two whole sheets and a page of each", 2, 0, begin_sheet_border, work_sheets, check_sheets}, FAULT_NONE},
    {{"two whole sheets, each wanted by another", 3, 0, begin_sheets_shared, work_sheets, check_sheets}, FAULT_NONE},
    {{"a sheet and two pages of another", 3, MODEL_NOBODY_WAITS, begin_sheets_apart, work_sheets, check_sheets}, FAULT_NONE},
    {{"a whole sheet and a page, tried", 2, MODEL_NOBODY_WAITS, begin_sheet_and_page, try_sheets, check_sheets}, FAULT_NONE},
    {{"the same by page", 2, MODEL_NOBODY_WAITS, begin_sheet_by_page, try_sheets, check_sheets}, FAULT_NONE},
    {{"a sheet and a page, the holder frozen", 2, MODEL_NOBODY_WAITS, begin_sheet_and_page, work_sheets, NULL}, FAULT_WAITS},
    {{"a page's byte read without a lock", 3, MODEL_NOBODY_WAITS, begin, publish, NULL}, FAULT_NONE},
    {{"a page's byte read without a lock", 3, MODEL_NOBODY_WAITS | MODEL_TSO, begin, publish, NULL}, FAULT_NONE},
};

int main(void) {
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (cases[i].fault == FAULT_NONE) CHECK(model_passes(&cases[i].model));
        else CHECK(model_finds(&cases[i].model, cases[i].fault));
        void (*thread)(int) = cases[i].model.thread;
        if (cases[i].model.check == check_filled || thread == publish || thread == try_sheets) {
            CHECK(model_marked(1) > 0);
            CHECK(model_marked(2) > 0);
        }
    }
    return check_done();
}

/* Page bytes in runs, against an array; runs that cross slots; and the locks of pages. */
#include "core/pages.h"

#include <string.h>

#include "check.h"
#include "core/space.h"
#include "thread.h"

#define BASE_PAGE ((uint64_t)0x234500000000 >> PAGE_SHIFT)
#define COUNT 12288 /* six sheets */

static uint8_t model[COUNT];

/* The range lies half in one slot, half in the next. */
static struct page page(size_t i) { return (struct page){BASE_PAGE + PAGES_PER_SLOT - COUNT / 2 + i}; }

static uint64_t run_of_model(size_t first, size_t limit, uint8_t mask) {
    size_t n = 1;
    while (n < limit && ((model[first + n] ^ model[first]) & mask) == 0) n++;
    return n;
}

static void against_model(void) {
    static const uint8_t states[] = {PG_NONE, PG_READWRITE, PG_READ, PG_READWRITE | PG_RESET, PG_READWRITE | PG_GUARD};
    uint64_t random = 42;
    for (int round = 0; round < 20000; round++) {
        size_t first = thread_random(&random) % COUNT;
        size_t count = 1 + thread_random(&random) % (COUNT - first);
        if (round % 2) count = 1 + count % 40 % (COUNT - first);
        uint8_t state = states[thread_random(&random) % (sizeof states)];
        pages_fill(page(first), count, state);
        memset(model + first, state, count);
        size_t from = thread_random(&random) % COUNT, limit = 1 + thread_random(&random) % (COUNT - from);
        uint8_t mask = round % 3 ? PG_STATE_MASK : 0xff;
        CHECK_EQ(pages_run(page(from), limit, mask), run_of_model(from, limit, mask));
        CHECK_EQ(pages_state(page(from)), model[from]);
        size_t committed = 0;
        for (size_t i = 0; i < limit; i++) committed += prot_committed(model[from + i]);
        CHECK_EQ(pages_count_committed(page(from), limit), committed);
        CHECK_EQ(pages_all_committed(page(from), limit), committed == limit);
        uint64_t walked = 0, most = round % 5 ? UINT64_MAX : 7;
        for (struct piece at = {0}; pages_next_within(page(from), limit, &at, mask, most); walked = at.walked) {
            uint64_t left = limit - walked;
            CHECK(at.first.n == page(from + walked).n && at.state == model[from + walked]);
            CHECK_EQ(at.count, run_of_model(from + walked, left < most ? left : most, mask));
            CHECK_EQ(at.walked, walked + at.count);
        }
        CHECK_EQ(walked, limit);
    }
}

/* Runs of granules within the slots and across sheets, with a page that differs, or that somebody is at, or without. */
static void at_rest(void) {
    uint64_t random = 7;
    pages_fill(page(0), COUNT, PG_READWRITE);
    for (int round = 0; round < 5000; round++) {
        size_t first = thread_random(&random) % (COUNT - 600) / PAGES_PER_GRANULE * PAGES_PER_GRANULE;
        size_t count = 1 + thread_random(&random) % 512, other = thread_random(&random) % COUNT;
        struct granule start = {(uint32_t)(page(first).n / PAGES_PER_GRANULE)};
        CHECK(pages_at_rest(start, count, PG_READWRITE) && !pages_at_rest(start, count, PG_READ));
        if (round % 4) other = first + other % (count + 8);
        bool outside = other < first || other >= first + count;
        pages_fill(page(other), 1, PG_READ);
        CHECK_EQ(pages_at_rest(start, count, PG_READWRITE), outside);
        pages_fill(page(other), 1, PG_READWRITE);
        pages_lock(page(other), 1);
        CHECK_EQ(pages_at_rest(start, count, PG_READWRITE), outside);
        pages_unlock(page(other), 1);
    }
    CHECK_EQ(sizeof(struct sheet), PAGE_BYTES);
}

/* What nobody used is passed over and left alone; a byte that is not 0 makes a sheet a used one. */
static void unused(void) {
    struct page start = {BASE_PAGE + 8 * PAGES_PER_SLOT};
    struct slot *slot = space_slot_make(page_address(start));
    CHECK(space_slot_make(page_address(start) + SLOT_BYTES) != NULL);
    pages_fill(start, 2 * PAGES_PER_SLOT, PG_NONE);
    CHECK(!slot_used(slot, 0) && !slot_used(slot, SHEETS_PER_SLOT - 1));
    CHECK_EQ(pages_run(start, 2 * PAGES_PER_SLOT, 0xff), 2 * PAGES_PER_SLOT);
    struct page in = {start.n + 5 * PAGES_PER_SHEET + 3};
    pages_fill(in, 1, PG_READ);
    CHECK(slot_used(slot, 5) && !slot_used(slot, 4) && !slot_used(slot, 6));
    CHECK_EQ(pages_run(start, 2 * PAGES_PER_SLOT, 0xff), in.n - start.n);
    CHECK_EQ(pages_run((struct page){in.n + 1}, PAGES_PER_SLOT, 0xff), PAGES_PER_SLOT);
    CHECK_EQ(pages_run((struct page){in.n - 1}, PAGES_PER_SLOT, 0xff), 1);
    CHECK_EQ(pages_count_committed(start, 2 * PAGES_PER_SLOT), 1);
    pages_fill(start, 2 * PAGES_PER_SLOT, PG_NONE);
    CHECK_EQ(pages_run(start, 2 * PAGES_PER_SLOT, 0xff), 2 * PAGES_PER_SLOT);
}

static unsigned lock_of(struct slot *slot, size_t sheet) {
    return slot->lock[sheet / SHEETS_PER_LOCK] >> sheet % SHEETS_PER_LOCK * 2 & 3;
}

static bool locked(struct page first, uint64_t count) {
    bool got = pages_try_lock(first, count);
    if (got) pages_unlock(first, count);
    return !got;
}

/* Sheets are locked as they are wanted: whole, or page by page from the first time on that only some are. */
static void whole_sheets(void) {
    const uint64_t sheet = PAGES_PER_SHEET;
    struct page start = {BASE_PAGE + 16 * PAGES_PER_SLOT}, odd = {start.n + 3 * sheet - 5};
    struct slot *slot = space_slot_make(page_address(start)), *next = space_slot_make(page_address(start) + SLOT_BYTES);
    pages_lock(odd, PAGES_PER_SLOT); /* 5 pages, all sheets of the slot that follow, three of the next but for 5 pages */
    CHECK(lock_of(slot, 1) == SHEET_FREE && lock_of(slot, 2) == SHEET_BY_PAGE && lock_of(slot, 3) == SHEET_LOCKED);
    CHECK(lock_of(slot, SHEETS_PER_SLOT - 1) == SHEET_LOCKED && lock_of(next, 0) == SHEET_LOCKED);
    CHECK(lock_of(next, 1) == SHEET_LOCKED && lock_of(next, 2) == SHEET_BY_PAGE && lock_of(next, 3) == SHEET_FREE);
    for (size_t i = 3; i < SHEETS_PER_SLOT; i++) CHECK(lock_of(slot, i) == SHEET_LOCKED && !slot_used(slot, i));
    CHECK(locked(odd, 1) && locked((struct page){odd.n + 5}, 1) && locked((struct page){odd.n + PAGES_PER_SLOT - 1}, 1));
    CHECK(locked((struct page){start.n + 2 * sheet}, sheet) && locked((struct page){start.n + 3 * sheet}, sheet));
    CHECK(locked(start, 2 * PAGES_PER_SLOT) && lock_of(slot, 0) == SHEET_FREE && lock_of(slot, 1) == SHEET_FREE);
    CHECK(!locked(start, odd.n - start.n) && !locked((struct page){odd.n + PAGES_PER_SLOT}, 5));
    pages_fill(odd, PAGES_PER_SLOT, PG_READ); /* as they come to be used they stay locked as they are */
    CHECK(locked((struct page){odd.n + 9}, 1));
    pages_unlock(odd, PAGES_PER_SLOT);
    CHECK(lock_of(slot, 3) == SHEET_FREE && lock_of(next, 2) == SHEET_BY_PAGE && !locked(start, 2 * PAGES_PER_SLOT));

    struct page four = {start.n + 4 * sheet}; /* a whole sheet of which some pages have been wanted */
    pages_lock((struct page){four.n + 70}, 2);
    CHECK(lock_of(slot, 4) == SHEET_BY_PAGE && locked(four, sheet) && locked((struct page){four.n - sheet}, 2 * sheet));
    CHECK(!locked(four, 70) && !locked((struct page){four.n + 72}, sheet - 72) && lock_of(slot, 3) == SHEET_FREE);
    pages_unlock((struct page){four.n + 70}, 2);
    pages_lock(four, sheet);
    CHECK(lock_of(slot, 4) == SHEET_BY_PAGE && locked((struct page){four.n + sheet - 1}, 1));
    pages_after_fork();
    CHECK(!locked(four, sheet));
    pages_lock((struct page){start.n + 5 * sheet}, 2 * sheet);
    CHECK(lock_of(slot, 6) == SHEET_LOCKED);
    pages_after_fork();
    CHECK(lock_of(slot, 6) == SHEET_FREE && !locked(start, PAGES_PER_SLOT));
    pages_fill(start, 2 * PAGES_PER_SLOT, PG_NONE);
}

static uint64_t counters[COUNT];

/* Adds to plain counters of the pages that it holds: two holders of one page at a time would lose an addition. */
static void *hold_and_add(void *context) {
    uint64_t random = (uint64_t)(uintptr_t)context, added = 0;
    for (int i = 0; i < 20000; i++) {
        size_t first = thread_random(&random) % 256 + COUNT / 2 - 128;
        size_t count = 1 + thread_random(&random) % 150;
        if (i % 64 == 0) first = COUNT / 2 - PAGES_PER_SHEET, count = 2 * PAGES_PER_SHEET; /* one whole sheet in each slot */
        pages_lock(page(first), count);
        for (size_t p = first; p < first + count; p++) counters[p]++;
        pages_unlock(page(first), count);
        added += count;
    }
    return (void *)(uintptr_t)added;
}

static void holding(void) {
    pthread_t ids[3];
    uint64_t added = 0, counted = 0;
    for (uintptr_t i = 0; i < 3; i++) CHECK_EQ(pthread_create(&ids[i], NULL, hold_and_add, (void *)(i + 1)), 0);
    for (int i = 0; i < 3; i++) {
        void *result;
        pthread_join(ids[i], &result);
        added += (uint64_t)(uintptr_t)result;
    }
    for (size_t i = 0; i < COUNT; i++) counted += counters[i];
    CHECK_EQ(counted, added);
    struct slot *slot = space_slot(page_address(page(0)));
    for (size_t i = 0; i < SHEETS_PER_SLOT * (PAGES_PER_SHEET / 64); i++) {
        uint64_t busy = slot->sheet[i / (PAGES_PER_SHEET / 64)].busy[i % (PAGES_PER_SHEET / 64)];
        if (busy) CHECK_EQ(busy, 0);
    }
}

int main(void) {
    CHECK(space_slot_make(page_address(page(0))) != NULL);
    CHECK(space_slot_make(page_address(page(COUNT - 1))) != NULL);
    against_model();
    at_rest();
    unused();
    whole_sheets();
    holding();
    return check_done();
}

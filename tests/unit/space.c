/* The address map: spans are found from every page they cover, and from no other; in one slot and across slots. */
#include "core/space.h"

#include <string.h>

#include "check.h"
#include "base/prot.h"
#include "core/bitmap.h"
#include "os/fault.h"
#include "thread.h"

/* Addresses that no test maps: the tables do not care whether there is memory. */
#define NOWHERE ((uintptr_t)0x123400000000)

static struct granule at(uintptr_t address) { return granule_of(address); }

static void publish(uintptr_t address, uint64_t count_pages) {
    CHECK_EQ(space_prepare(at(address), count_pages), ST_OK);
    space_publish(at(address),
                  (struct span){.count_pages = count_pages, .state = PG_READWRITE, .kind = SPAN_VM, .flags = SPAN_WATCH});
}

static bool finds(uintptr_t address, uintptr_t base) {
    struct found f;
    return space_find(address, &f) && granule_address(f.head) == base;
}

static void retract(uintptr_t address) {
    struct found f;
    if (CHECK(space_find(address, &f))) {
        CHECK(space_unchanged(&f));
        CHECK(space_retract(&f));
        CHECK(!space_retract(&f));
        CHECK(!space_unchanged(&f));
    }
}

static void one_slot(void) {
    struct found f;
    CHECK(!space_find(NOWHERE, &f));
    publish(NOWHERE, 1);
    publish(NOWHERE + GRANULE_BYTES, 33);
    CHECK(finds(NOWHERE, NOWHERE));
    CHECK(!space_find(NOWHERE + PAGE_BYTES, &f)); /* the rest of the granule is nobody's */
    CHECK(finds(NOWHERE + 2 * GRANULE_BYTES, NOWHERE + GRANULE_BYTES));
    CHECK(finds(NOWHERE + 3 * GRANULE_BYTES + PAGE_BYTES - 1, NOWHERE + GRANULE_BYTES));
    CHECK(!space_find(NOWHERE + 3 * GRANULE_BYTES + PAGE_BYTES, &f));
    CHECK(space_find(NOWHERE, &f));
    CHECK_EQ(f.span.count_pages, 1);
    CHECK_EQ(f.span.state, PG_READWRITE);
    CHECK_EQ(f.span.kind, SPAN_VM);
    CHECK_EQ(f.span.flags, SPAN_WATCH);
    retract(NOWHERE + GRANULE_BYTES);
    CHECK(!space_find(NOWHERE + 2 * GRANULE_BYTES, &f)); /* its head is stale, and does not mislead */
    publish(NOWHERE + 2 * GRANULE_BYTES, 16);
    CHECK(finds(NOWHERE + 2 * GRANULE_BYTES, NOWHERE + 2 * GRANULE_BYTES));
    CHECK(!space_find(NOWHERE + 3 * GRANULE_BYTES, &f));
    retract(NOWHERE + 2 * GRANULE_BYTES);
    retract(NOWHERE);
}

static void across_slots(void) {
    uintptr_t base = NOWHERE + SLOT_BYTES + SLOT_BYTES / 2;
    uint64_t pages = 2 * PAGES_PER_SLOT + 7; /* half a slot, a whole one, half of the third */
    struct found f;
    publish(base, pages);
    CHECK(finds(base, base));
    CHECK(finds(base + SLOT_BYTES, base));
    CHECK(finds(base + (pages << PAGE_SHIFT) - 1, base));
    CHECK(!space_find(base + (pages << PAGE_SHIFT), &f));
    CHECK(!space_find(base - 1, &f));
    retract(base + SLOT_BYTES);
    CHECK(!space_find(base + SLOT_BYTES, &f));
    /* A small span in the slot that was covered whole. */
    uintptr_t inner = NOWHERE + 2 * SLOT_BYTES + 5 * GRANULE_BYTES;
    publish(inner, 16);
    CHECK(finds(inner + 5, inner));
    CHECK(!space_find(inner + GRANULE_BYTES, &f));
    retract(inner);
}

/* A span over whole sheets and parts of others, and what is left when its end is cut off and others come there. */
static void across_sheets(void) {
    struct found f;
    for (uint32_t left = 1; left < 4 * GRANULES_PER_SHEET; left += 61) {
        uintptr_t base = NOWHERE + 3 * SLOT_BYTES + 100 * GRANULE_BYTES, end = base + (uintptr_t)left * GRANULE_BYTES;
        publish(base, 4 * PAGES_PER_SHEET);
        for (uint32_t i = 0; i < 4 * GRANULES_PER_SHEET; i += 7) CHECK(finds(base + i * GRANULE_BYTES + 5, base));
        CHECK(!space_find(base + 4 * SHEET_BYTES, &f) && !space_find(base - 1, &f));
        space_publish(at(base), (struct span){.count_pages = left * PAGES_PER_GRANULE, .state = PG_READWRITE, .kind = SPAN_VM});
        space_cut(at(base), left * PAGES_PER_GRANULE);
        publish(end, 3);
        publish(end + GRANULE_BYTES, 2 * PAGES_PER_SHEET);
        for (uint32_t i = 0; i < left; i++) CHECK(finds(base + i * GRANULE_BYTES + 5, base));
        CHECK(finds(end, end) && !space_find(end + 3 * PAGE_BYTES, &f));
        CHECK(finds(end + GRANULE_BYTES + 2 * SHEET_BYTES - 1, end + GRANULE_BYTES));
        CHECK(!space_find(end + GRANULE_BYTES + 2 * SHEET_BYTES, &f));
        retract(base);
        retract(end);
        retract(end + GRANULE_BYTES);
    }
}

static bool count_visit(const struct found *found, void *context) {
    (void)found;
    return ++*(size_t *)context < 2;
}

static void walking(void) {
    size_t seen = 0;
    uintptr_t base = NOWHERE + 4 * SLOT_BYTES;
    for (int i = 0; i < 3; i++) publish(base + (uintptr_t)i * 300 * GRANULE_BYTES, 16);
    space_each(count_visit, &seen);
    CHECK_EQ(seen, 2); /* stops when told to */
    uint32_t first = at(base).n;
    CHECK_EQ(space_next_start(first, first + 1000), first);
    CHECK_EQ(space_next_start(first + 1, first + 1000), first + 300);
    CHECK_EQ(space_next_start(first + 301, first + 599), first + 599);
    CHECK_EQ(space_next_start(first + 301, first + 10 * (uint32_t)GRANULES_PER_SLOT), first + 600);
    CHECK_EQ(space_next_start(first + 601, first + 10 * (uint32_t)GRANULES_PER_SLOT), first + 10 * (uint32_t)GRANULES_PER_SLOT);
}

/* The same in a region, where `taken` tells what need not be looked at. */
static void walking_region(void) {
    uintptr_t base = NOWHERE + 5 * SLOT_BYTES;
    uint32_t first = at(base).n, end = first + (uint32_t)GRANULES_PER_SLOT;
    publish(base + 70 * GRANULE_BYTES, 16);
    publish(base + 200 * GRANULE_BYTES, 16);
    space_slot(base)->region = REGION_PLAIN;
    CHECK_EQ(space_next_start(first, end), end);
    CHECK(bitmap_claim(space_slot(base)->taken, 70, 1) && bitmap_claim(space_slot(base)->taken, 200, 1));
    CHECK_EQ(space_next_start(first, end), first + 70);
    CHECK_EQ(space_next_start(first + 71, end), first + 200);
    CHECK_EQ(space_next_start(first + 201, end), end);
}

/* Where the engine's begins and ends, for who looks at memory of others. */
static void ours(void) {
    uintptr_t base = NOWHERE + 6 * SLOT_BYTES, end = base + 3 * SLOT_BYTES;
    CHECK(space_next_ours(base, end) == end && space_ours_end(base) == 0);
    publish(base + 3 * GRANULE_BYTES, 5);
    publish(base + SLOT_BYTES - GRANULE_BYTES, 2 * PAGES_PER_GRANULE);
    CHECK_EQ(space_next_ours(base, end), base + 3 * GRANULE_BYTES);
    CHECK_EQ(space_next_ours(base, base + 3 * GRANULE_BYTES), base + 3 * GRANULE_BYTES);
    CHECK_EQ(space_next_ours(base, base + 3 * GRANULE_BYTES + PAGE_BYTES), base + 3 * GRANULE_BYTES);
    CHECK_EQ(space_next_ours(base + 3 * GRANULE_BYTES + PAGE_BYTES, end), base + 3 * GRANULE_BYTES + PAGE_BYTES);
    CHECK_EQ(space_ours_end(base + 3 * GRANULE_BYTES + PAGE_BYTES), base + 3 * GRANULE_BYTES + 5 * PAGE_BYTES);
    CHECK_EQ(space_next_ours(base + 3 * GRANULE_BYTES + 5 * PAGE_BYTES, end), base + SLOT_BYTES - GRANULE_BYTES);
    CHECK_EQ(space_next_ours(base + SLOT_BYTES, end), base + SLOT_BYTES);
    CHECK_EQ(space_next_ours(base + SLOT_BYTES + GRANULE_BYTES, end), end);
    CHECK(space_slot_make(base + 2 * SLOT_BYTES) != NULL);
    space_slot(base + 2 * SLOT_BYTES)->region = REGION_PLAIN;
    space_slot(base + 2 * SLOT_BYTES)->given = 2;
    CHECK_EQ(space_next_ours(base + SLOT_BYTES + GRANULE_BYTES, end), base + 2 * SLOT_BYTES);
    CHECK_EQ(space_ours_end(end - 3 * GRANULE_BYTES), end - 2 * GRANULE_BYTES);
    CHECK_EQ(space_next_ours(end - 2 * GRANULE_BYTES, end), end);
}

/* ---- Tables of slots ---------------------------------------------------------------------------------------------- */

enum { MAKERS = 3, SLOTS = 100 };

static struct slot *made[MAKERS][SLOTS];

static uintptr_t nth_slot(size_t i) { return NOWHERE + (100 + i) * SLOT_BYTES; }

static void *make_slots(void *context) {
    struct slot **mine = context;
    for (size_t i = 0; i < SLOTS; i++) mine[i] = space_slot_make(nth_slot(i));
    return NULL;
}

/* Threads that want the same slots have the same tables, and no two slots have a byte in common. */
static void slots_made(void) {
    struct threads threads = {0};
    for (int t = 0; t < MAKERS; t++) threads_start(&threads, make_slots, made[t]);
    threads_join(&threads);
    for (size_t i = 0; i < SLOTS; i++) {
        struct slot *slot = made[0][i];
        if (!CHECK(slot != NULL && slot == made[1][i] && slot == made[2][i] && slot == space_slot(nth_slot(i)))) return;
        CHECK_EQ(slot->taken[0] | slot->region | slot->given | slot->sheet[SHEETS_PER_SLOT - 1].span[0], 0);
        slot->taken[0] = slot->sheet[SHEETS_PER_SLOT - 1].span[0] = i + 1;
        memset(&slot->sheet[SHEETS_PER_SLOT - 1].state[PAGES_PER_SHEET - 8], (int)i, 8);
    }
    for (size_t i = 0; i < SLOTS; i++) {
        struct slot *slot = made[0][i];
        CHECK(slot->taken[0] == i + 1 && slot->sheet[SHEETS_PER_SLOT - 1].span[0] == i + 1);
        CHECK_EQ(slot->sheet[SHEETS_PER_SLOT - 1].state[PAGES_PER_SHEET - 1], (uint8_t)i);
        slot->taken[0] = slot->sheet[SHEETS_PER_SLOT - 1].span[0] = 0;
    }
}

#ifdef HM_FAULT
/*
 * Without memory for tables there are slots as long as what is there lasts, and again once there is some. Where one group is
 * refused, one slot will do.
 */
static void slots_refused(void) {
    static const char *const functions[] = {"tables_reserve", "tables_commit"};
    size_t next = SLOTS;
    for (int i = 0; i < 2; i++) {
        os_fault_set(functions[i], 1, true);
        size_t first = next;
        while (next < first + 20 && space_slot_make(nth_slot(next)) != NULL) next++;
        CHECK(next < first + 20 && space_slot(nth_slot(next)) == NULL);
        os_fault_set(functions[i], 1, false);
        CHECK(space_slot_make(nth_slot(next++)) != NULL);
        os_fault_set(NULL, 0, false);
        CHECK(space_slot_make(nth_slot(next++)) != NULL);
    }
}
#endif

int main(void) {
    one_slot();
    across_slots();
    across_sheets();
    walking();
    walking_region();
    ours();
    slots_made();
#ifdef HM_FAULT
    slots_refused();
#endif
    struct found f;
    CHECK(!space_find(UINTPTR_MAX, &f));
    CHECK(space_slot((uintptr_t)1 << ADDRESS_BITS) == NULL);
    return check_done();
}

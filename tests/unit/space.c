/* The address map: spans are found from every page they cover, and from no other; in one slot and across slots. */
#include "core/space.h"

#include "check.h"
#include "base/prot.h"
#include "core/bitmap.h"

/* Addresses that no test maps: the tables do not care whether there is memory. */
#define NOWHERE ((uintptr_t)0x123400000000)

static struct granule at(uintptr_t address) {
    return granule_of(address);
}

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

static bool count_visit(const struct found *found, void *context) {
    (void)found;
    return ++*(size_t *)context < 2;
}

static void walking(void) {
    size_t seen = 0;
    uintptr_t base = NOWHERE + 4 * SLOT_BYTES;
    for (int i = 0; i < 3; i++) {
        publish(base + (uintptr_t)i * 300 * GRANULE_BYTES, 16);
        CHECK(bitmap_claim(space_slot(base)->taken, (size_t)i * 300, 1));
    }
    space_each(count_visit, &seen);
    CHECK_EQ(seen, 2); /* stops when told to */
    uint32_t first = at(base).n;
    CHECK_EQ(space_next_start(first, first + 1000), first);
    CHECK_EQ(space_next_start(first + 1, first + 1000), first + 300);
    CHECK_EQ(space_next_start(first + 301, first + 599), first + 599);
    CHECK_EQ(space_next_start(first + 301, first + 10 * (uint32_t)GRANULES_PER_SLOT), first + 600);
    CHECK_EQ(space_next_start(first + 601, first + 10 * (uint32_t)GRANULES_PER_SLOT), first + 10 * (uint32_t)GRANULES_PER_SLOT);
}

int main(void) {
    one_slot();
    across_slots();
    walking();
    struct found f;
    CHECK(!space_find(UINTPTR_MAX, &f));
    CHECK(space_slot((uintptr_t)1 << ADDRESS_BITS) == NULL);
    return check_done();
}

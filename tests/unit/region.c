/* Regions: made as needed, to 64 GiB and more; runs at wanted places; what the system has to serve; limits and failures. */
#include "core/region.h"

#include "check.h"
#include "core/bitmap.h"
#include "os/fault.h"
#include "os/os.h"

/* Addresses that are free in every build; the sanitizers use most others. */
#define WANTED ((uintptr_t)0x7e9000000000)
#define OTHER_WANTED ((uintptr_t)0x7ea000000000)

static size_t taken(void) {
    struct region_totals totals;
    region_totals(&totals);
    return totals.granules_taken;
}

static size_t regions(void) {
    struct region_totals totals;
    region_totals(&totals);
    return totals.count_regions;
}

static void basics(void) {
    struct run a, b, c;
    CHECK_EQ(region_claim(1, false, &a), ST_OK);
    CHECK_EQ(region_claim(17, false, &b), ST_OK);
    CHECK_EQ(taken(), 3);
    uintptr_t address = granule_address(a.first);
    CHECK(space_in_region(address));
    CHECK_EQ(a.flags, 0);
    CHECK_EQ(region_claim_at(address, 1, &c), ST_BAD_ADDRESS);
    region_release(&a);
    CHECK_EQ(region_claim_at(address, 16, &c), ST_OK);
    CHECK_EQ(granule_address(c.first), address);
    region_release(&b);
    region_release(&c);
    CHECK_EQ(taken(), 0);
}

static void high(void) {
    struct run low, top, next;
    CHECK_EQ(region_claim(16, false, &low), ST_OK);
    CHECK_EQ(region_claim(16, true, &top), ST_OK);
    CHECK_EQ(region_claim(32, true, &next), ST_OK);
    CHECK(top.first.n > low.first.n);
    CHECK_EQ(top.first.n % GRANULES_PER_SLOT, GRANULES_PER_SLOT - 1);
    CHECK_EQ(next.first.n + 2, top.first.n);
    region_release(&low);
    region_release(&top);
    region_release(&next);
}

/* 72 GiB at once in runs of 1 GiB: regions appear as they are needed. */
static void many(void) {
    enum { RUNS = 72 };
    static struct run runs[RUNS];
    for (int i = 0; i < RUNS; i++) {
        if (!CHECK_EQ(region_claim(PAGES_PER_SLOT / 4, false, &runs[i]), ST_OK)) return;
        CHECK_EQ(runs[i].flags, 0);
    }
    CHECK(regions() >= RUNS / 4);
    CHECK_EQ(taken(), RUNS * GRANULES_PER_SLOT / 4);
    size_t made = regions();
    for (int i = 0; i < RUNS; i += 2) region_release(&runs[i]);
    for (int i = 0; i < RUNS; i += 2) CHECK_EQ(region_claim(PAGES_PER_SLOT / 4, false, &runs[i]), ST_OK);
    CHECK_EQ(regions(), made); /* what was released is found again */
    for (int i = 0; i < RUNS; i++) region_release(&runs[i]);
    CHECK_EQ(taken(), 0);
}

static void whole_and_larger(void) {
    struct run whole, larger;
    CHECK_EQ(region_claim(PAGES_PER_SLOT, false, &whole), ST_OK);
    CHECK_EQ(whole.flags, 0);
    CHECK_EQ(granule_address(whole.first) % SLOT_BYTES, 0);
    CHECK_EQ(region_claim(PAGES_PER_SLOT + 1, false, &larger), ST_OK);
    CHECK_EQ(larger.flags, SPAN_SYSTEM);
    CHECK(!space_in_region(granule_address(larger.first)));
    CHECK_EQ(granule_address(larger.first) % GRANULE_BYTES, 0);
    region_release(&whole);
    region_release(&larger);
    struct run wanted;
    CHECK_EQ(region_claim_at(WANTED, 3, &wanted), ST_OK);
    CHECK_EQ(wanted.flags, SPAN_SYSTEM);
    struct run again;
    CHECK_EQ(region_claim_at(WANTED, 3, &again), ST_BAD_ADDRESS);
    region_release(&wanted);
    CHECK_EQ(region_claim_at(WANTED, 3, &again), ST_OK);
    region_release(&again);
}

/* The regions that are older fill up first, so that the last ones stay empty: also one that was full, as soon as it is not. */
static void older_first(void) {
    enum { MOST = 64 };
    struct run whole[MOST], first, next;
    size_t count = 0, made = regions();
    CHECK_EQ(region_claim(PAGES_PER_SLOT, false, &whole[count++]), ST_OK); /* the oldest there is */
    while (count < MOST && regions() == made) CHECK_EQ(region_claim(PAGES_PER_SLOT, false, &whole[count++]), ST_OK);
    CHECK_EQ(region_claim(1, false, &first), ST_OK); /* all are full: one more is made for it, and each was found to be so */
    CHECK(regions() > made + 1);
    region_release(&whole[0]);
    CHECK_EQ(region_claim(1, false, &next), ST_OK);
    CHECK_EQ(next.first.n / GRANULES_PER_SLOT, whole[0].first.n / GRANULES_PER_SLOT);
    for (size_t i = 1; i < count; i++) region_release(&whole[i]);
    region_release(&first);
    region_release(&next);
}

#ifdef HM_FAULT
static void failures(void) {
    struct run run;
    os_fault_set("reserve", 1, true);
    CHECK_EQ(region_claim(2 * PAGES_PER_SLOT, false, &run), ST_NO_ADDRESS_SPACE);
    CHECK_EQ(region_claim_at(OTHER_WANTED, 1, &run), ST_NO_ADDRESS_SPACE);
    os_fault_set("tables_reserve", 1, true);
    /* Until the tables that are there are used up. */
    for (uintptr_t at = OTHER_WANTED + 2 * SLOT_BYTES; region_claim_at(at, 1, &run) == ST_OK; at += SLOT_BYTES) {
        region_release(&run);
    }
    CHECK_EQ(region_claim_at(OTHER_WANTED, 1, &run), ST_NO_MEMORY);
    os_fault_set("tables_commit", 1, true);
    CHECK_EQ(region_claim_at(OTHER_WANTED, 1, &run), ST_NO_MEMORY);
    os_fault_set(NULL, 0, false);
    CHECK_EQ(region_claim_at(OTHER_WANTED, 1, &run), ST_OK); /* nothing was left in the way */
    region_release(&run);
}

/* No room for a region: runs come from the system one by one. */
static void no_region(void) {
    struct run fill[64], run;
    int count = 0;
    size_t made = regions();
    while (count < 64 && regions() == made) {
        if (!CHECK_EQ(region_claim(PAGES_PER_SLOT, false, &fill[count++]), ST_OK)) return;
    }
    while (count < 64 && taken() < regions() * GRANULES_PER_SLOT) {
        if (!CHECK_EQ(region_claim(PAGES_PER_SLOT, false, &fill[count++]), ST_OK)) return;
    }
    os_fault_set("reserve", 1, false);
    CHECK_EQ(region_claim(5, false, &run), ST_OK);
    CHECK_EQ(run.flags, SPAN_SYSTEM);
    os_fault_set(NULL, 0, false);
    region_release(&run);
    region_limit_set(regions() * SLOT_BYTES);
    region_limit_set(0);                              /* no bound is no tighter one */
    region_limit_set((regions() + 10) * SLOT_BYTES);  /* nor is a looser one */
    CHECK_EQ(region_claim(5, false, &run), ST_NO_ADDRESS_SPACE);
    for (int i = 0; i < count; i++) region_release(&fill[i]);
    CHECK_EQ(region_claim(5, false, &run), ST_OK);
    region_release(&run);
}
#endif

int main(void) {
    basics();
    high();
    many();
    whole_and_larger();
    older_first();
#ifdef HM_FAULT
    failures();
    no_region();
#endif
    CHECK_EQ(taken(), 0);
    return check_done();
}

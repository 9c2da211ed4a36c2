/*
 * held_sum.c - what is held is counted exactly, by the page tables after every step of a random run; and it yields to the
 * process's limits.
 */
#include <string.h>

#include "check.h"
#include "core/bitmap.h"
#include "core/keeper.h"
#include "core/pages.h"
#include "core/region.h"
#include "flat.h"
#include "hostmem.h"
#include "os/os.h"
#include "policy/pressure.h"
#include "thread.h"
#include "vm/held.h"

/* ---- Adding up ---------------------------------------------------------------------------------------------------- */

/* Bytes of the pages that the tables say are held. */
static uint64_t held_in_tables(void) {
    uint64_t pages = 0;
    uintptr_t base;
    struct slot *slot;
    for (size_t n = 0; (slot = region_slot(n, &base)) != NULL; n++) {
        for (size_t g = 0; (g = bitmap_next_taken(slot->taken, GRANULES_PER_SLOT, g)) < GRANULES_PER_SLOT; g++) {
            struct page first = page_of(base + g * GRANULE_BYTES);
            for (uint64_t i = 0; i < PAGES_PER_GRANULE; i++) pages += prot_held(pages_state((struct page){first.n + i}));
        }
    }
    return pages << PAGE_SHIFT;
}

/* After every step of a random run the sum is what the tables say. (The keeper may be at work between one look and the other.) */
static void sum_is_exact(void) {
    enum { MANY = 12 };
    static struct { char *start; size_t size; } own[MANY];
    uint64_t random = 11, most = 0;
    for (int step = 0; step < 1500; step++) {
        size_t i = thread_random(&random) % MANY, size = own[i].size;
        char *p = own[i].start;
        if (!p) {
            own[i].size = (1 + thread_random(&random) % (i % 3 ? 6 : 40)) * 128 * KIB;
            own[i].start = reserve(own[i].size);
        } else if (thread_random(&random) % 5 == 0) {
            CHECK(commit(p, size));
            memset(p, 1, size);
            CHECK(release(p));
            own[i].start = NULL;
        } else {
            size_t at = thread_random(&random) % (size / PAGE) * PAGE, count = (1 + thread_random(&random) % 64) * PAGE;
            if (count > size - at) count = size - at;
            CHECK(thread_random(&random) % 2 ? commit(p + at, count) : decommit(p + at, count));
        }
        uint64_t sum = held_bytes(), tables = held_in_tables();
        for (int look = 0; look < 200 && sum != tables; look++, sum = held_bytes(), tables = held_in_tables()) os_yield(100);
        CHECK_EQ(sum, tables);
        most = sum > most ? sum : most;
    }
    CHECK(most > 2 * MIB);
    for (size_t i = 0; i < MANY; i++) if (own[i].start) CHECK(release(own[i].start));
    HmTrim();
    /* What the keeper has in hand just now goes a moment later. */
    for (int look = 0; look < 200 && (held_bytes() != 0 || held_in_tables() != 0); look++) os_yield(100);
    CHECK(held_bytes() == 0 && held_in_tables() == 0);
}

static HM_USAGE usage_now(void) {
    HM_USAGE usage = {.cbSize = sizeof usage};
    CHECK(HmGetLimits(NULL, NULL, &usage) == S_OK);
    return usage;
}

/* With what is committed it stays below where limits begin to press; nothing is refused while anything is held. */
static void below_limits(void) {
    HmTrim();
    size_t base = usage_now().cbCommitted, hard = base + 16 * MIB;
    CHECK(HmSetLimits(NULL, &(HM_LIMITS){.cbSize = sizeof(HM_LIMITS), .cbHardCommit = hard}) == S_OK);
    char *p = reserve(64 * MIB);
    CHECK(commit(p, 13 * MIB) && held_bytes() == 0);
    for (size_t at = 0; at < 13 * MIB; at += MIB / 2) {
        p[at] = 1;
        CHECK(decommit(p + at, MIB / 2));
        CHECK(usage_now().cbCommitted + held_bytes() <= hard - hard / 8);
    }
    CHECK(held_bytes() > 8 * MIB);
    CHECK(!commit(p + 20 * MIB, 17 * MIB) && HmGetLastError() == ERROR_NOT_ENOUGH_QUOTA);
    /* The watching thread gives back as well, and may be at work on the last of it. In time it would go too, but much later. */
    for (double end = thread_seconds() + 0.1; held_bytes() != 0 && thread_seconds() < end;) os_yield(100);
    CHECK_EQ(held_bytes(), 0);
    CHECK_EQ(usage_now().cRefused[1], 1);
    CHECK(release(p) && HmSetLimits(NULL, &(HM_LIMITS){.cbSize = sizeof(HM_LIMITS)}) == S_OK);
    while (pressure_watched()) os_yield(100);
    HmTrim();
}

int main(void) {
    keeper_wanted(); /* without it nothing is held */
    sum_is_exact();
    below_limits();
    return check_done();
}

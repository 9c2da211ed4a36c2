/*
 * Whole allocations in the thread's cache: zero whenever they are taken, whatever was written; whether the content of large ones
 * is kept or dropped follows what was done with the ones before; and however many are released, no call gives back more than a
 * few.
 */
#include <string.h>

#include "alone.h"
#include "check.h"
#include "core/cache.h"
#include "flat.h"
#include "hostmem.h"
#include "os/fault.h"
#include "os/os.h"
#include "thread.h"

static char *take(size_t size) { return HmVirtualAlloc(NULL, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE); }

static void untouched(size_t size, int times) {
    for (int i = 0; i < times; i++) {
        char *p = take(size);
        CHECK(p && release(p));
    }
}

/* Every page is written, and found zero by the next one who has it. */
static void touched(size_t size, int times) {
    for (int i = 0; i < times; i++) {
        char *p = take(size);
        if (!CHECK(p && is_zero(p, size))) return;
        for (size_t at = 0; at < size; at += PAGE) p[at + (at / PAGE * 61) % PAGE] = 1;
        CHECK(release(p));
    }
}

/* How many pages of the next one have memory behind them. */
static size_t behind(size_t size) {
    char *p = take(size);
    size_t pages = os_touched((uintptr_t)p, size);
    CHECK(p && release(p));
    return pages;
}

static void habits(size_t size) {
    bool lazy = os_commit_is_lazy();
    size_t all = size / PAGE;
    untouched(size, 100);
    CHECK_EQ(behind(size), lazy ? 0 : all); /* nothing has looked through it */
    touched(size, 20);
    CHECK_EQ(behind(size), all); /* it is kept */
    untouched(size, 5);
    CHECK_EQ(behind(size), all); /* and a few others do not change that */
    touched(size, 3);
    untouched(size, 200);
    CHECK_EQ(behind(size), lazy ? 0 : all); /* many do */
    touched(size, 20);
    CHECK_EQ(behind(size), all);
}

/* Any part of it, of several at a time, in any order. */
static void any_use(void) {
    enum { COUNT = 6 };
    char *held[COUNT] = {0};
    uint64_t random = 7;
    for (int round = 0; round < 3000; round++) {
        unsigned which = (unsigned)thread_random(&random) % COUNT;
        if (held[which]) {
            CHECK(release(held[which]));
            held[which] = NULL;
            continue;
        }
        char *p = held[which] = take(MIB);
        if (!CHECK(p && is_zero(p, MIB))) return;
        size_t writes = round / 300 % 2 ? 0 : (size_t)thread_random(&random) % 40;
        for (size_t i = 0; i < writes; i++) p[thread_random(&random) % MIB] = 1;
    }
    for (int i = 0; i < COUNT; i++) CHECK(!held[i] || release(held[i]));
}

/* ---- How they go back ---------------------------------------------------------------------------------------------- */

enum { BURST = 3000 };
static char *burst[BURST];

/* What is at hand is not swept in the middle, however long all this takes. */
static void no_sweep(void) { atom_store_rlx_u64(&cache_mine()->swept_ms, os_clock_ms()); }

static void burst_take(size_t size) {
    for (int i = 0; i < BURST; i++) {
        if (i != 0) no_sweep(); /* before the first there may be no cache */
        burst[i] = take(size);
        if (!CHECK(burst[i] != NULL)) return;
        burst[i][0] = 1;
    }
}

/* Each release gives back no more than a few, although the magazine runs full. Returns how many granules stay at hand. */
static size_t burst_leave(size_t size, size_t before, size_t most) {
    size_t each = (size + GRANULE_BYTES - 1) / GRANULE_BYTES;
    CHECK_EQ(granules_taken(), before + each * BURST);
    for (int i = 0; i < BURST; i++) {
        size_t taken = granules_taken();
        no_sweep();
        CHECK(release(burst[i]));
        CHECK(granules_taken() + most * each >= taken);
    }
    return granules_taken() - before;
}

static void a_few_at_once(void) {
    HmTrim();
    size_t before = granules_taken();
    for (int round = 0; round < 3; round++) {
        burst_take(2 * GRANULE_BYTES);
        size_t kept = burst_leave(2 * GRANULE_BYTES, before, 1);
        CHECK(kept >= (round == 0 ? 4 : 64) && kept < 2 * BURST); /* it grows by use */
        burst_take(PAGE);
        CHECK(burst_leave(PAGE, before + kept, 4) >= 64);
        HmTrim();
        CHECK_EQ(granules_taken(), before);
    }
}

/* What a sweep takes out are those that rested, the rest comes later, and all are somebody's until they have gone. */
static void swept_in_parts(void) {
    static struct swept swept;
    HmTrim();
    size_t before = granules_taken();
    burst_take(PAGE);
    size_t kept = burst_leave(PAGE, before, 4);
    CHECK(kept > SWEPT_MOST);
    struct cache *cache = cache_enter();
    if (!CHECK(cache != NULL)) return;
    CHECK_EQ(cache_sweep(cache), 0);
    CHECK_EQ(cache_sweep_spans(cache, &swept), kept * PAGE);
    CHECK_EQ(swept.count, 0);
    for (size_t left = kept; left != 0; left -= swept.count) {
        CHECK_EQ(cache_sweep_spans(cache, &swept), (left - (left < SWEPT_MOST ? left : SWEPT_MOST)) * PAGE);
        if (!CHECK_EQ(swept.count, left < SWEPT_MOST ? left : SWEPT_MOST)) break;
        CHECK_EQ(granules_taken(), before + left);
        cache_give_back(&swept);
        CHECK_EQ(granules_taken(), before + left - swept.count);
    }
    cache_leave(cache);
    CHECK_EQ(granules_taken(), before);
}

/* ---- Wanted places ------------------------------------------------------------------------------------------------ */

static uint64_t others_step;
static char *others[4];

static void *keeps_them(void *context) {
    for (size_t i = 0; i < 4; i++) others[i] = take(GRANULE_BYTES << i);
    for (size_t i = 0; i < 4; i++) CHECK(release(others[i]));
    atom_store_rel_u64(&others_step, 1);
    while (atom_load_acq_u64(&others_step) != 2) os_yield(100);
    return context;
}

/* What a query calls free can be had, although another thread keeps it at hand. */
static void wanted_places(void) {
    struct threads threads = {0};
    threads_start(&threads, keeps_them, NULL);
    while (atom_load_acq_u64(&others_step) != 1) os_yield(100);
    for (size_t i = 0; i < 4; i++) {
        MEMORY_BASIC_INFORMATION info;
        CHECK(HmVirtualQuery(others[i], &info, sizeof info) == sizeof info && info.State == MEM_FREE);
        CHECK(HmVirtualAlloc(others[i], GRANULE_BYTES << i, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE) == others[i]);
        CHECK(is_zero(others[i], GRANULE_BYTES << i));
    }
    for (size_t i = 0; i < 4; i++) CHECK(release(others[i]));
    atom_store_rel_u64(&others_step, 2);
    threads_join(&threads);
}

/* ---- Where the system does not take them back ------------------------------------------------------------------------ */

#ifdef HM_FAULT
static size_t charged(void) {
    HM_STATS stats = {.cbSize = sizeof stats};
    CHECK(HmGetStats(&stats));
    return stats.cbCharged[0] + stats.cbCharged[1];
}

/* Out of mappings: their memory goes, and counts for nobody, and their granules go when they can. */
static void refused(void) {
    enum { COUNT = 40 };
    HmTrim();
    size_t before = granules_taken(), charged_before = charged();
    for (int i = 0; i < COUNT; i++) burst[i] = used(GRANULE_BYTES);
    for (int i = 0; i < COUNT; i++) CHECK(release(burst[i]));
    os_fault_set("decommit", 1, true);
    HmTrim();
    CHECK_EQ(granules_taken(), before + COUNT);
    CHECK_EQ(charged(), charged_before);
    size_t behind = 0;
    for (int i = 0; i < COUNT && os_commit_is_lazy(); i++) behind += os_touched((uintptr_t)burst[i], GRANULE_BYTES);
    CHECK_EQ(behind, 0);
    char *p = used(PAGE); /* the system still refuses, and then not any more */
    CHECK(release(p));
    HmTrim();
    CHECK_EQ(granules_taken(), before + COUNT + 1);
    os_fault_set(NULL, 0, false);
    p = used(PAGE);
    CHECK(release(p));
    HmTrim();
    CHECK_EQ(granules_taken(), before);
    CHECK_EQ(charged(), charged_before);
    for (int i = 0; i < COUNT; i++) CHECK(is_zero(burst[i] = take(GRANULE_BYTES), GRANULE_BYTES));
    for (int i = 0; i < COUNT; i++) CHECK(release(burst[i]));
}
#endif

int main(void) {
    keeper_forbid();
    a_few_at_once();
    swept_in_parts();
    habits(MIB / 4);
    habits(MIB);
    any_use();
    wanted_places();
#ifdef HM_FAULT
    refused();
#endif
    return check_done();
}

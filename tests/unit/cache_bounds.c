/*
 * The bounds on what threads keep at hand hold whatever sizes come, and a size that comes late is kept all the same, once what
 * others have no use for has gone. In a process of its own, since a bound that is set stays.
 */
#include "alone.h"
#include "check.h"
#include "core/cache.h"
#include "core/census.h"
#include "flat.h"
#include "thread.h"

enum { COUNT = 600, HEAPS = 8 };

static HANDLE heaps[HEAPS];

static void add(const struct census *held, void *bytes) { *(uint64_t *)bytes += held->block_bytes + held->span_bytes; }

/* By threads, and not by heaps for them. */
static uint64_t kept_by_threads(void) {
    uint64_t bytes = 0;
    census_each(add, &bytes);
    return bytes;
}

static uint64_t kept(void) {
    HM_STATS stats = {.cbSize = sizeof stats};
    return CHECK(HmGetStats(&stats)) ? stats.cbBlocksCached + stats.cbSpansCached : 0;
}

static void blocks_come_and_go(HANDLE heap, size_t size, size_t more) {
    void *blocks[COUNT];
    for (size_t i = 0; i < COUNT; i++) CHECK((blocks[i] = HmHeapAlloc(heap, 0, size + i * more)) != NULL);
    for (size_t i = 0; i < COUNT; i++) CHECK(HmHeapFree(heap, 0, blocks[i]));
}

static void allocations_come_and_go(void) {
    void *all[64];
    for (size_t i = 0; i < 64; i++) CHECK((all[i] = HmVirtualAlloc(NULL, (i % 16 + 1) * 64 * KIB, MEM_COMMIT, PAGE_READWRITE)));
    for (size_t i = 0; i < 64; i++) CHECK(HmVirtualFree(all[i], 0, MEM_RELEASE));
}

/* All sizes in all heaps, many of each. The most that there ever was, as measured. */
static uint64_t most_of_everything(uint64_t (*measure)(void)) {
    uint64_t most = 0;
    for (int h = 0; h < 2 * HEAPS; h++) {
        for (size_t size = 16; size <= 512 * KIB; size *= 4) {
            blocks_come_and_go(heaps[h % HEAPS], size, 0);
            if (measure() > most) most = measure();
        }
        blocks_come_and_go(heaps[h % HEAPS], 0, 100);
        allocations_come_and_go();
        if (measure() > most) most = measure();
    }
    return most;
}

/* All depots of all heaps, as full as they get: what is freed at once is far more than magazines take. */
static void depots_are_filled(void) {
    static void *blocks[512 * KIB / 64];
    for (int h = 0; h < HEAPS; h++) {
        for (size_t size = 64; size <= 4 * KIB; size += 64) {
            size_t count = 512 * KIB / size;
            for (size_t i = 0; i < count; i++) CHECK((blocks[i] = HmHeapAlloc(heaps[h], 0, size)) != NULL);
            for (size_t i = 0; i < count; i++) CHECK(HmHeapFree(heaps[h], 0, blocks[i]));
        }
    }
}

/* What another thread has made, of a size that fills no lines. */
#define AWAY_SIZE 480u
enum { AWAY = 20000 };
static void *away[AWAY];

static void *away_make(void *heap) {
    for (size_t i = 0; i < AWAY; i++) CHECK((away[i] = HmHeapAlloc(heap, 0, AWAY_SIZE)) != NULL);
    return heap;
}

/* The most of it that was kept by who frees it. */
static uint64_t most_of_away(HANDLE heap) {
    struct threads threads = {0};
    uint64_t most = 0;
    threads_start(&threads, away_make, heap);
    threads_join(&threads);
    HmTrim();
    for (size_t i = 0; i < AWAY; i++) {
        CHECK(HmHeapFree(heap, 0, away[i]));
        uint64_t now = i % 100 == 99 ? kept() : 0;
        if (now > most) most = now;
    }
    return most;
}

/* Is what comes now at hand the next time? */
static bool comes_back(HANDLE heap, size_t size) {
    void *block = HmHeapAlloc(heap, 0, size);
    CHECK(block && HmHeapFree(heap, 0, block));
    uint64_t before = kept();
    void *again = HmHeapAlloc(heap, 0, size);
    bool at_hand = again == block && kept() < before;
    CHECK(HmHeapFree(heap, 0, again));
    return at_hand;
}

/* What lies at hand goes for a block that a limited heap has no room for otherwise, though none of its size is ever kept. */
static void gives_way(void) {
    HANDLE heap = HmHeapCreate(0, 0, MIB);
    void *blocks[24], *large;
    for (size_t i = 0; i < 24; i++) CHECK((blocks[i] = HmHeapAlloc(heap, 0, 32 * KIB)) != NULL);
    for (size_t i = 0; i < 24; i++) CHECK(HmHeapFree(heap, 0, blocks[i]));
    CHECK((large = HmHeapAlloc(heap, 0, 896 * KIB)) != NULL && HmHeapFree(heap, 0, large));
    CHECK(HmHeapDestroy(heap));
}

int main(void) {
    keeper_forbid(); /* nothing goes back by itself */
    for (int h = 0; h < HEAPS; h++) CHECK((heaps[h] = HmHeapCreate(0, 0, 0)) != NULL);
    cache_bound_set(MIB, 0);
    uint64_t most = most_of_everything(kept_by_threads);
    CHECK(most <= MIB && most > MIB / 4);
    for (int sweep = 0; sweep < 2; sweep++) { /* what lies there of no use goes */
        thread_rest(0.12);
        comes_back(heaps[1], 24);
    }
    for (size_t size = 24; size <= 96 * KIB; size *= 2) CHECK(comes_back(heaps[1], size));
    CHECK(kept_by_threads() <= MIB);
    gives_way();
    HmTrim();
    cache_bound_set(0, 16 * MIB);
    depots_are_filled();
    CHECK(kept() <= 16 * MIB && kept() > 8 * MIB);
    HmTrim();
    cache_bound_set(0, 256 * KIB);
    blocks_come_and_go(heaps[0], 1000, 0); /* more than there is room for: others might want them, but not so many */
    CHECK(kept() <= 256 * KIB);
    CHECK(most_of_everything(kept) <= 256 * KIB);
    cache_bound_set(16 * KIB, 0);
    CHECK(most_of_away(heaps[0]) <= 16 * KIB);
    HmTrim();
    cache_bound_set(1, 0);
    CHECK_EQ(most_of_everything(kept), 0);
    for (int h = 0; h < HEAPS; h++) CHECK(HmHeapDestroy(heaps[h]));
    CHECK_EQ(taken(), 0);
    return check_done();
}

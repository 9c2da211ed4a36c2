/*
 * The threads' caches: what is left comes back, limits grow with use and hold, idle items go back, a thread's end returns
 * everything, and calls from inside a call (as a signal handler makes them) go past the cache.
 */
#include "core/cache.h"

#include <string.h>

#include "alone.h"
#include "check.h"
#include "core/census.h"
#include "core/region.h"
#include "heap/figures.h"
#include "heap/front.h"
#include "hostmem.h"
#include "os/os.h"
#include "thread.h"

#define KIB ((size_t)1024)

static size_t taken(void) {
    struct region_totals totals;
    HmTrim();
    region_totals(&totals);
    return totals.granules_taken;
}

static void *allocation(size_t size) { return HmVirtualAlloc(NULL, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE); }

/* Sizes that are kept come back at the same place and zero, others do not linger. */
static void spans_come_back(void) {
    static const size_t sizes[] = {4 * KIB, 20 * KIB, 64 * KIB, 192 * KIB, 1024 * KIB};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *p = allocation(sizes[i]);
        memset(p, 0xaa, sizes[i]);
        CHECK(HmVirtualFree(p, 0, MEM_RELEASE));
        MEMORY_BASIC_INFORMATION info;
        CHECK(HmVirtualQuery(p, &info, sizeof info) && info.State == MEM_FREE);
        CHECK(!HmVirtualFree(p, 0, MEM_RELEASE));
        CHECK(!HmVirtualAlloc(p, 4 * KIB, MEM_COMMIT, PAGE_READWRITE));
        unsigned char *q = allocation(sizes[i]);
        CHECK(q == p);
        size_t dirty = 0;
        for (size_t b = 0; b < sizes[i]; b++) dirty += q[b] != 0;
        CHECK_EQ(dirty, 0);
        CHECK(HmVirtualQuery(q, &info, sizeof info) && info.State == MEM_COMMIT && info.RegionSize == sizes[i]);
        CHECK(HmVirtualFree(q, 0, MEM_RELEASE));
        /* A wanted address that only the cache holds is honoured. */
        CHECK(HmVirtualAlloc(p, 4 * KIB, MEM_RESERVE, PAGE_READONLY) == p);
        CHECK(HmVirtualFree(p, 0, MEM_RELEASE));
    }
}

/* What is not an ordinary read-write allocation goes the ordinary way. */
static void others_do_not(void) {
    size_t before = taken();
    DWORD old;
    char *reserved = HmVirtualAlloc(NULL, 64 * KIB, MEM_RESERVE, PAGE_READWRITE);
    char *changed = allocation(64 * KIB), *holed = allocation(64 * KIB), *odd = allocation(68 * KIB);
    CHECK(HmVirtualProtect(changed + 4 * KIB, 1, PAGE_READONLY, &old));
    CHECK(HmVirtualFree(holed + 60 * KIB, 1, MEM_DECOMMIT));
    char *code = HmVirtualAlloc(NULL, 64 * KIB, MEM_RESERVE | MEM_COMMIT, PAGE_EXECUTE_READWRITE);
    char *all[] = {reserved, changed, holed, odd, code};
    for (int i = 0; i < 5; i++) CHECK(HmVirtualFree(all[i], 0, MEM_RELEASE));
    struct region_totals totals;
    region_totals(&totals); /* without a trim */
    CHECK_EQ(totals.granules_taken, before);
}

static void *blocks[3000];

/* A burst of 1,000 and back, over and over: soon nothing goes to the bitmaps any more. */
static void bursts_settle(void) {
    struct heap *heap;
    CHECK_EQ(heap_create(false, 0, &heap), ST_OK);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 1000; i++) CHECK_EQ(front_alloc(heap, 64, false, &blocks[i]), ST_OK);
        for (int i = 0; i < 1000; i++) CHECK_EQ(front_free(heap, blocks[i]), ST_OK);
    }
    struct cache *cache = cache_enter();
    struct magazine *m = cache_magazine(cache, heap_front(heap)->set, class_of(64));
    CHECK(m->top - m->floor >= 999);
    cache_leave(cache);
    CHECK_EQ(heap_used(heap), (size_t)(m->top - m->floor + 1) * 64); /* and the one that came last */
    HmTrim();
    CHECK_EQ(heap_used(heap), 0);
    CHECK_EQ(heap_taken(heap), 0);
    CHECK_EQ(heap_destroy(heap), ST_OK);
}

/*
 * The block that came last makes room for one of another size while its magazine is full, at the time of a sweep that finds it
 * where it was at the sweep before: it goes to the magazine or back, and not both ways.
 */
static void swept_on_its_way(void) {
    struct heap *heap;
    void *other;
    CHECK_EQ(heap_create(false, 0, &heap), ST_OK);
    CHECK_EQ(front_alloc(heap, 256, false, &other), ST_OK);
    for (int i = 0; i < 300; i++) CHECK_EQ(front_alloc(heap, 64, false, &blocks[i]), ST_OK);
    struct magazine *m = cache_magazine(cache_mine(), heap_front(heap)->set, class_of(64));
    int freed = 0;
    while (freed < 300 && (freed < 2 || m->top != m->end)) CHECK_EQ(front_free(heap, blocks[freed++]), ST_OK);
    struct cache *cache = cache_enter();
    CHECK(m->top == m->end);
    CHECK_EQ(cache->own[heap_front(heap)->set].head.last.mark, cache_mark(class_of(64)));
    cache_sweep(cache);
    atom_store_rlx_u64(&cache->swept_ms, 0); /* long ago */
    cache_leave(cache);
    CHECK_EQ(front_free(heap, other), ST_OK);
    unsigned same = 0;
    for (int i = 0; i < freed; i++) {
        CHECK_EQ(front_alloc(heap, 64, false, &blocks[i]), ST_OK);
        for (int j = 0; j < i; j++) same += blocks[j] == blocks[i];
    }
    CHECK_EQ(same, 0);
    CHECK_EQ(heap_destroy(heap), ST_OK);
}

/*
 * A thread that found its cache stopped asks on its slow path, and the cache may have been let go on in between: the magazine is
 * not empty then, but may be full.
 */
static void fetched_though_full(void) {
    struct heap *heap;
    void *again;
    CHECK_EQ(heap_create(false, 0, &heap), ST_OK);
    unsigned class_index = class_of(64);
    for (int i = 0; i < 200; i++) CHECK_EQ(front_alloc(heap, 64, false, &blocks[i]), ST_OK);
    const struct magazine *m = cache_magazine(cache_mine(), heap_front(heap)->set, class_index);
    int freed = 0;
    while (freed == 0 || m->top != m->end) CHECK_EQ(front_free(heap, blocks[freed++]), ST_OK);
    again = front_fetch(heap, class_index);
    CHECK(again == blocks[0]); /* in front of the magazine, since it came first */
    CHECK(m->top == m->end);
    CHECK_EQ(front_free(heap, again), ST_OK);
    CHECK_EQ(front_free(heap, again), ST_NOT_OURS);
    again = front_fetch(heap, class_index);
    CHECK_EQ(front_free(heap, again), ST_OK);
    while (freed < 200) CHECK_EQ(front_free(heap, blocks[freed++]), ST_OK);
    HmTrim();
    CHECK_EQ(heap_used(heap), 0);
    CHECK_EQ(heap_destroy(heap), ST_OK);
}

/*
 * Sizes that are mixed leave the place in front empty for a while. On the way there, meanwhile, and on the way back no block is
 * lost or handed out twice, and a second free right after the first is refused.
 */
static void mixed_sizes(void) {
    enum { LIVE = 300, TURNS = 3 * MIXED_FOR };
    static uint64_t stamp[LIVE];
    struct heap *heap;
    struct heap_figures figures;
    void *pair;
    CHECK_EQ(heap_create(false, 0, &heap), ST_OK);
    const struct head *head = &cache_mine()->own[heap_front(heap)->set].head;
    uint64_t random = 5, was = LAST_NONE;
    memset(blocks, 0, LIVE * sizeof *blocks);
    int closed = 0, opened = 0;
    for (uint64_t turn = 1; turn < TURNS; turn++) {
        uint64_t i = thread_random(&random) % LIVE;
        if (blocks[i]) {
            CHECK_EQ(*(uint64_t *)blocks[i], stamp[i]);
            CHECK_EQ(front_free(heap, blocks[i]), ST_OK);
            CHECK_EQ(front_free(heap, blocks[i]), ST_NOT_OURS);
        }
        closed += head->last.mark == LAST_MIXED && was != LAST_MIXED;
        opened += head->last.mark != LAST_MIXED && was == LAST_MIXED;
        was = head->last.mark;
        CHECK_EQ(front_alloc(heap, (size_t)16 << thread_random(&random) % 4, false, &blocks[i]), ST_OK);
        *(uint64_t *)blocks[i] = stamp[i] = turn;
    }
    CHECK(closed >= 3 && opened >= 2);
    heap_figures(heap, &figures);
    CHECK_EQ(heap_figures_sum(&figures).live, LIVE);
    /* Pairs of one size have their place in front again. */
    for (uint64_t turn = 0; turn < MIXED_FOR; turn++) {
        CHECK_EQ(front_alloc(heap, 32, false, &pair), ST_OK);
        CHECK_EQ(front_free(heap, pair), ST_OK);
    }
    CHECK(head->last.item == pair);
    for (int i = 0; i < LIVE; i++) CHECK_EQ(front_free(heap, blocks[i]), ST_OK);
    HmTrim();
    CHECK_EQ(heap_used(heap), 0);
    CHECK_EQ(heap_destroy(heap), ST_OK);
}

static uint64_t told;
static void tell(void *block) { told = (uint64_t)(uintptr_t)block; }

static void misuse(void) {
    struct heap *heap, *other;
    void *a, *b, *c;
    CHECK_EQ(heap_create(false, 0, &heap), ST_OK);
    CHECK_EQ(heap_create(false, 0, &other), ST_OK);
    front_alloc(heap, 100, false, &a);
    front_alloc(heap, 100, false, &b);
    front_alloc(heap, 100, false, &c);
    CHECK_EQ(front_free(heap, (char *)a + 16), ST_NOT_OURS);
    CHECK_EQ(front_free(other, a), ST_NOT_OURS);
    CHECK_EQ(front_free(heap, &a), ST_NOT_OURS);
    CHECK_EQ(front_free(heap, a), ST_OK);
    CHECK_EQ(front_free(heap, a), ST_NOT_OURS); /* the last one freed */
    CHECK_EQ(front_free(heap, b), ST_OK);
    CHECK_EQ(front_free(heap, b), ST_NOT_OURS);
    CHECK_EQ(front_free(heap, c), ST_OK);
    front_on_double_free(tell);
    uint64_t before = front_double_frees();
    CHECK_EQ(front_free(heap, b), ST_OK); /* not seen at once, */
    HmTrim();                             /* but by the flush */
    CHECK_EQ(front_double_frees(), before + 1);
    HM_STATS stats = {.cbSize = sizeof stats};
    CHECK(HmGetStats(&stats) && stats.cDoubleFrees == before + 1);
    CHECK_EQ(told, (uintptr_t)b);
    front_on_double_free(NULL);
    CHECK_EQ(heap_destroy(heap), ST_OK);
    CHECK_EQ(heap_destroy(other), ST_OK);
}

/* A heap goes while this thread still holds its blocks: the next heap of that number does not see them. */
static void heap_goes(void) {
    for (int round = 0; round < 50; round++) {
        struct heap *heap;
        void *block;
        CHECK_EQ(heap_create(false, 0, &heap), ST_OK);
        for (int i = 0; i < 200; i++) CHECK_EQ(front_alloc(heap, 16 + (size_t)i * 8, false, &blocks[i]), ST_OK);
        for (int i = 0; i < 150; i++) CHECK_EQ(front_free(heap, blocks[i]), ST_OK);
        CHECK_EQ(heap_destroy(heap), ST_OK);
        CHECK_EQ(heap_create(false, 0, &heap), ST_OK);
        CHECK_EQ(front_alloc(heap, 16, false, &block), ST_OK);
        memset(block, 1, 16);
        CHECK_EQ(front_free(heap, block), ST_OK);
        CHECK_EQ(heap_destroy(heap), ST_OK);
    }
}

static void *thread_leaves(void *context) {
    void *mine[64];
    HmVirtualFree(allocation(64 * KIB), 0, MEM_RELEASE);
    for (int i = 0; i < 64; i++) CHECK_EQ(front_alloc(context, 100 + (size_t)i, false, &mine[i]), ST_OK);
    for (int i = 0; i < 64; i++) CHECK_EQ(front_free(context, mine[i]), ST_OK);
    return NULL;
}

static void count_nobody(const struct census *held, void *count) {
    *(size_t *)count += held->thread == 0 && held->blocks == 0 && held->spans == 0;
}

/* Whatever a thread had at hand is back when it has ended, and nobody is told of it. */
static void thread_ends(void) {
    struct heap *heap;
    size_t nobody = 0;
    CHECK_EQ(heap_create(false, 0, &heap), ST_OK);
    size_t before = taken();
    for (int round = 0; round < 300; round++) {
        struct threads threads = {0};
        threads_start(&threads, thread_leaves, heap);
        threads_join(&threads);
    }
    CHECK_EQ(heap_used(heap), 0);
    CHECK_EQ(taken(), before);
    census_each(count_nobody, &nobody);
    CHECK_EQ(nobody, 0);
    CHECK_EQ(heap_destroy(heap), ST_OK);
}

/* As a signal handler does that interrupted this thread in the middle of using its cache. */
static void inside_a_call(void) {
    struct heap *heap;
    void *a, *b;
    CHECK_EQ(heap_create(false, 0, &heap), ST_OK);
    front_alloc(heap, 64, false, &a);
    struct cache *cache = cache_enter();
    CHECK(cache != NULL);
    CHECK_EQ(front_alloc(heap, 64, false, &b), ST_OK);
    CHECK(a != b);
    CHECK_EQ(front_free(heap, a), ST_OK);
    CHECK_EQ(front_free(heap, a), ST_NOT_OURS);
    char *p = allocation(64 * KIB);
    CHECK(p && HmVirtualFree(p, 0, MEM_RELEASE));
    CHECK(cache_enter() == NULL && cache_enter_or_make() == NULL);
    cache_leave(cache);
    CHECK_EQ(front_free(heap, b), ST_OK);
    CHECK_EQ(heap_destroy(heap), ST_OK);
}

/* ---- Fibers ------------------------------------------------------------------------------------------------------- */

#ifdef _WIN32
#include <windows.h>

static struct heap *fiber_heap;
static void *first_fiber;
static uint64_t fiber_step;

static void fiber_wait(uint64_t step) {
    while (atom_load_acq_u64(&fiber_step) < step) Sleep(1);
}

static void fiber_use(void) {
    void *block;
    CHECK_EQ(front_alloc(fiber_heap, 100, false, &block), ST_OK);
    CHECK_EQ(front_free(fiber_heap, block), ST_OK);
}

/* Goes on with the thread whose cache was made in the first fiber. */
static void CALLBACK second_fiber(void *context) {
    (void)context;
    struct cache *cache = cache_mine();
    atom_store_rel_u64(&fiber_step, 1);
    fiber_wait(2);
    CHECK_EQ(cache->holder, CACHE_THREADS);
    CHECK(cache_enter() == cache);
    cache_leave(cache);
    fiber_use();
    ExitThread(0);
}

static DWORD WINAPI fiber_thread(void *context) {
    first_fiber = ConvertThreadToFiber(context);
    fiber_use();
    SwitchToFiber(CreateFiber(0, second_fiber, NULL));
    return 0;
}

/* Another thread ends the fiber in which a thread made its cache: the cache is still the thread's. */
static void a_fiber_is_not_its_thread(void) {
    CHECK_EQ(heap_create(false, 0, &fiber_heap), ST_OK);
    HANDLE thread = CreateThread(NULL, 0, fiber_thread, NULL, 0, NULL);
    fiber_wait(1);
    DeleteFiber(first_fiber);
    atom_store_rel_u64(&fiber_step, 2);
    CHECK_EQ(WaitForSingleObject(thread, 10000), WAIT_OBJECT_0);
    CHECK_EQ(heap_destroy(fiber_heap), ST_OK);
}

static void CALLBACK short_fiber(void *context) {
    fiber_use();
    CHECK(cache_mine() != (void *)os_slot_unset);
    SwitchToFiber(context);
}

static DWORD WINAPI outlives_its_fiber(void *context) {
    void *fiber = ConvertThreadToFiber(context), *other = CreateFiber(0, short_fiber, fiber);
    SwitchToFiber(other);
    DeleteFiber(other);
    fiber_use();
    struct cache *cache = cache_enter();
    if (CHECK(cache != NULL)) cache_leave(cache);
    return 0;
}

/* The thread itself ends the fiber in which it made its cache: it makes another. */
static void a_thread_outlives_its_fiber(void) {
    CHECK_EQ(heap_create(false, 0, &fiber_heap), ST_OK);
    HANDLE thread = CreateThread(NULL, 0, outlives_its_fiber, NULL, 0, NULL);
    CHECK_EQ(WaitForSingleObject(thread, 10000), WAIT_OBJECT_0);
    CHECK_EQ(heap_destroy(fiber_heap), ST_OK);
}
#else
static void a_fiber_is_not_its_thread(void) {}
static void a_thread_outlives_its_fiber(void) {}
#endif

int main(void) {
    keeper_forbid(); /* what goes back when is told exactly below */
    spans_come_back();
    others_do_not();
    bursts_settle();
    swept_on_its_way();
    fetched_though_full();
    mixed_sizes();
    misuse();
    heap_goes();
    thread_ends();
    inside_a_call();
    a_fiber_is_not_its_thread();
    a_thread_outlives_its_fiber();
    CHECK_EQ(taken(), 0);
    return check_done();
}

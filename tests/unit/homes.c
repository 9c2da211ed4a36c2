/*
 * Cache lines: no two threads hold blocks of one line that the heap handed out to them, in the patterns that the literature calls
 * cache-thrash (each thread allocates for itself) and cache-scratch (one thread allocated for all, each frees what it was
 * given, and goes on), once things have settled. And homes: their names, who keeps what, and slabs that change hands.
 */
#include <string.h>

#include "check.h"
#include "core/cache.h"
#include "heap/front.h"
#include "hostmem.h"
#include "many.h"
#include "thread.h"

enum { THREADS = 4, HELD = 40, ROUNDS = 300, SIZES = 7 };

static const size_t sizes[SIZES] = {8, 16, 40, 48, 80, 100, 160};

static struct heap *heap;
static size_t size_now;
static void *given[THREADS][HELD];
static uintptr_t held[THREADS][HELD];
static uint64_t arrived;

/* Waits for all threads of the scene, with a barrier of the test's own. */
static void meet(uint64_t *round) {
    uint64_t target = ++*round * THREADS;
    atom_add_acqrel_u64(&arrived, 1);
    for (unsigned i = 0; atom_load_acq_u64(&arrived) < target; i++) {
        if (i % 64 == 0) sched_yield();
    }
}

static void *thread_of_scene(void *context) {
    size_t me = (size_t)(uintptr_t)context;
    uint64_t round = 0, random = me;
    for (size_t i = 0; i < HELD; i++) {
        if (given[me][i]) CHECK_EQ(front_free(heap, given[me][i]), ST_OK);
    }
    void *block[HELD];
    for (size_t i = 0; i < HELD; i++) CHECK_EQ(front_alloc(heap, size_now, false, &block[i]), ST_OK);
    for (int turn = 0; turn < ROUNDS; turn++) {
        size_t i = thread_random(&random) % HELD;
        CHECK_EQ(front_free(heap, block[i]), ST_OK);
        CHECK_EQ(front_alloc(heap, size_now, false, &block[i]), ST_OK);
        if (turn % 50 == 0) sched_yield();
    }
    for (size_t i = 0; i < HELD; i++) held[me][i] = (uintptr_t)block[i];
    meet(&round);
    for (size_t i = 0; i < HELD; i++) CHECK_EQ(front_free(heap, block[i]), ST_OK);
    return NULL;
}

/* How many pairs of blocks of different threads touch one cache line. */
static size_t lines_shared(void) {
    size_t shared = 0, size = class_size(class_of(size_now));
    for (size_t n = 0; n < THREADS * HELD; n++) {
        for (size_t m = 0; m < n; m++) {
            if (n / HELD == m / HELD) continue;
            uintptr_t a = held[n / HELD][n % HELD], b = held[m / HELD][m % HELD];
            shared += a / 64 <= (b + size - 1) / 64 && b / 64 <= (a + size - 1) / 64;
        }
    }
    return shared;
}

static void scene(bool scratch) {
    memset(given, 0, sizeof given);
    CHECK_EQ(heap_create(false, 0, &heap), ST_OK);
    /* One for each in turn, so that neighbours go to different threads. */
    for (size_t n = 0; scratch && n < THREADS * HELD; n++) {
        CHECK_EQ(front_alloc(heap, size_now, false, &given[n % THREADS][n / THREADS]), ST_OK);
    }
    struct threads threads = {0};
    atom_store_rel_u64(&arrived, 0);
    for (uintptr_t i = 0; i < THREADS; i++) threads_start(&threads, thread_of_scene, (void *)i);
    threads_join(&threads);
    CHECK_EQ(lines_shared(), 0);
    HmTrim();
    CHECK_EQ(heap_used(heap), 0);
    CHECK_EQ(heap_destroy(heap), ST_OK);
}

/* ---- Spans ---------------------------------------------------------------------------------------------------------- */

static void *first_span(void *context) {
    void **span = context;
    uint64_t round = 0;
    *span = HmVirtualAlloc(NULL, 4096, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    meet(&round);
    CHECK(*span && HmVirtualFree(*span, 0, MEM_RELEASE));
    return NULL;
}

/* A thread has its home before its first allocation: the words of no two threads' spans share a line. */
static void spans_apart(void) {
    enum { SPANS_IN_LINE = 64 / sizeof(uint64_t) };
    void *span[THREADS];
    struct threads threads = {0};
    atom_store_rel_u64(&arrived, 0);
    for (size_t i = 0; i < THREADS; i++) threads_start(&threads, first_span, &span[i]);
    threads_join(&threads);
    for (size_t i = 0; i < THREADS; i++) {
        for (size_t j = 0; j < i; j++) {
            CHECK((uintptr_t)span[i] / GRANULE_BYTES / SPANS_IN_LINE != (uintptr_t)span[j] / GRANULE_BYTES / SPANS_IN_LINE);
        }
    }
}

/* ---- Homes ---------------------------------------------------------------------------------------------------------- */

/* No name is within another, and none is within the thread's own but its own and none. */
static void names(void) {
    size_t within = 0;
    for (uint32_t a = 0; a < 4032; a++) {
        CHECK_EQ(cache_home_number(cache_home(a)), a);
        for (uint32_t b = 0; b < 4032; b++) within += a != b && (cache_home(a) & ~cache_home(b)) == 0;
    }
    CHECK_EQ(within, 0);
    const struct cache *mine = cache_mine();
    CHECK_EQ(mine->home, cache_home(mine->number));
    CHECK_EQ(mine->home & mine->others, 0);
    CHECK(TAG_HOME_MASK & mine->others);
}

/* A second thread with a cache, which does nothing with it but what it is told to. */
static struct {
    void *first, *whole, *part; /* blocks of the process's heap: two have their lines alone, one has not */
    bool kept_whole, kept_part;
    uint64_t home;
    uint64_t ready, go; /* 1 */
} other;

static void *other_thread(void *context) {
    (void)context;
    void *block;
    struct heap *process = heap_default();
    for (size_t i = 0; i < 2; i++) {
        CHECK_EQ(front_alloc(process, i ? 48 : 64, false, &block), ST_OK);
        CHECK_EQ(front_free(process, block), ST_OK);
    }
    CHECK_EQ(front_free_other(process, other.first), ST_OK); /* makes the slab known to the thread */
    other.kept_whole = front_keep_quick(other.whole);
    other.kept_part = front_keep_quick(other.part);
    CHECK_EQ(front_alloc(process, 64, false, &block), ST_OK);
    CHECK(!other.kept_whole || block == other.whole || block == other.first);
    other.home = cache_mine()->home;
    atom_store_rel_u64(&other.ready, 1);
    while (!atom_load_acq_u64(&other.go)) sched_yield();
    CHECK_EQ(front_free(process, block), ST_OK);
    return NULL;
}

static uint32_t hints[2]; /* this thread's and the other's */

/* Up to `want` blocks for a home, whose number is returned; *in: how many of them lie in this slab. */
static size_t take_for(uint64_t home, size_t want, uintptr_t slab, void **blocks, size_t *in) {
    struct heap_asker asker = {home, &hints[home == other.home]};
    size_t got = 0;
    for (size_t more = 1; got < want && more != 0; got += more) {
        size_t at_once = want - got < 64 ? want - got : 64;
        more = heap_alloc_some(heap, class_of(size_now), asker, at_once, blocks + got);
    }
    *in = 0;
    for (size_t i = 0; i < got; i++) *in += (uintptr_t)blocks[i] / GRANULE_BYTES == slab / GRANULE_BYTES;
    return got;
}

static void no_double(void *block) { CHECK(block == NULL); }

/* A slab of a thread at work changes hands when it has been full and is half empty, and not before. */
static void changes_hands(size_t size) {
    static void *mine[4096], *its[4096];
    size_t count = class_objects(class_of(size)), most = count / 4 * 3, in;
    uint64_t home = cache_mine()->home;
    size_now = size;
    CHECK_EQ(heap_create(false, 0, &heap), ST_OK);
    memset(hints, 0, sizeof hints);
    CHECK_EQ(take_for(home, 1, 0, mine, &in), 1);
    uintptr_t slab = (uintptr_t)mine[0];
    CHECK_EQ(take_for(home, count - 1, slab, mine + 1, &in), count - 1);
    CHECK_EQ(in, count - 1);
    heap_free_some(heap, mine + count - most, most, no_double); /* not yet found full */
    CHECK_EQ(take_for(other.home, 8, slab, its, &in), 8);
    CHECK_EQ(in, 0);
    heap_free_some(heap, its, 8, no_double);
    CHECK_EQ(take_for(home, most, slab, mine + count - most, &in), most);
    CHECK_EQ(in, most);
    CHECK_EQ(take_for(home, 1, slab, its, &in), 1); /* finds it full */
    CHECK_EQ(in, 0);
    heap_free_some(heap, mine + count - most, most, no_double);
    CHECK_EQ(take_for(other.home, count + 8, slab, its, &in), count + 8); /* more than there is room for in its own */
    CHECK_EQ(in, 8);
    /* From now on it is the other's. */
    CHECK_EQ(take_for(home, 8, slab, mine + count - most, &in), 8);
    CHECK_EQ(in, 0);
    CHECK_EQ(heap_destroy(heap), ST_OK);
}

/* What a thread takes from a slab of another's shares no line with what is left of the other's there, then and later. */
static void takes_lines(size_t size) {
    static void *mine[4096], *its[4096];
    size_t count = class_objects(class_of(size)), held_count = 0, shared = 0, got = 0, all = 0, in;
    uint64_t home = cache_mine()->home;
    size_now = size;
    CHECK_EQ(heap_create(false, 0, &heap), ST_OK);
    memset(hints, 0, sizeof hints);
    CHECK_EQ(take_for(home, count, 0, mine, &in), count);
    uintptr_t slab = (uintptr_t)mine[0];
    CHECK_EQ(take_for(home, 1, slab, its, &in), 1); /* finds it full */
    for (size_t i = 0; i < count; i++) {
        if (i % 11 == 0) mine[held_count++] = mine[i];
        else heap_free_some(heap, &mine[i], 1, no_double);
    }
    while (all < 2 * count && (got = take_for(other.home, 28, slab, its, &in)) != 0) {
        all += got;
        /* One block of the other's is freed now and then. */
        if (held_count > 10) heap_free_some(heap, &mine[--held_count], 1, no_double);
        for (size_t i = 0; i < got; i++) {
            for (size_t m = 0; m < held_count; m++) {
                uintptr_t a = (uintptr_t)its[i], b = (uintptr_t)mine[m];
                shared += a / 64 <= (b + size - 1) / 64 && b / 64 <= (a + size - 1) / 64;
            }
        }
        if (all == got) CHECK_EQ(in, got);
    }
    CHECK_EQ(shared, 0);
    CHECK_EQ(heap_destroy(heap), ST_OK);
}

static void homes(void) {
    struct threads threads = {0};
    CHECK_EQ(front_alloc(heap_default(), 64, false, &other.first), ST_OK);
    CHECK_EQ(front_alloc(heap_default(), 64, false, &other.whole), ST_OK);
    CHECK_EQ(front_alloc(heap_default(), 48, false, &other.part), ST_OK);
    threads_start(&threads, other_thread, NULL);
    while (!atom_load_acq_u64(&other.ready)) sched_yield();
    CHECK(other.kept_whole == (CACHE_NEAR != 0) && !other.kept_part); /* without a map, nothing is kept this way */
    names();
    changes_hands(48);
    changes_hands(240);
    takes_lines(48);
    takes_lines(80);
    takes_lines(160);
    atom_store_rel_u64(&other.go, 1);
    threads_join(&threads);
    CHECK_EQ(front_free(heap_default(), other.part), ST_OK);
}

int main(void) {
    homes();
    many_homes();
    spans_apart();
    for (size_t i = 0; i < SIZES; i++) {
        size_now = sizes[i];
        scene(false);
        scene(true);
    }
    CHECK_EQ(front_double_frees(), 0);
    return check_done();
}

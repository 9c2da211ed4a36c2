/*
 * A request in the middle of the making of a thread's cache, as a signal handler makes it: it is served, and the thread has one
 * cache afterwards, which its end returns. The clock, which that making asks, stands for the place of the signal.
 */
#include "core/cache.h"

#include "check.h"
#include "heap/front.h"
#include "thread.h"

static struct heap *heap;
static __thread int depth;
static uint64_t nested;

static void use(void) {
    void *block;
    CHECK_EQ(front_alloc(heap, 100, false, &block), ST_OK);
    CHECK_EQ(front_free(heap, block), ST_OK);
}

#ifdef _WIN32
#define SIGNALS 0
#else
#define SIGNALS 1
#include <sys/syscall.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (depth == 1) {
        depth = 2;
        atom_add_acqrel_u64(&nested, 1);
        use();
    }
    return (int)syscall(SYS_clock_gettime, clock, now);
}
#endif

static void count(struct cache *cache, void *context) {
    uint64_t holder = atom_load_acq_u64(&cache->holder);
    *(size_t *)context += holder != CACHE_FREE && holder != CACHE_PARKED;
}

static size_t caches(void) {
    size_t n = 0;
    cache_each_used(count, &n);
    return n;
}

static void *life(void *context) {
    depth = 1;
    use();
    CHECK(cache_enter() != NULL);
    cache_leave(cache_mine());
    return context;
}

int main(void) {
    CHECK_EQ(heap_create(false, 0, &heap), ST_OK);
    use();
    size_t before = caches();
    CHECK_EQ(before, 1);
    for (int i = 0; i < 10; i++) {
        struct threads threads = {0};
        threads_start(&threads, life, NULL);
        threads_join(&threads);
    }
    CHECK_EQ(caches(), before);
    CHECK_EQ(nested, SIGNALS ? 10 : 0);
    CHECK_EQ(heap_destroy(heap), ST_OK);
    return check_done();
}

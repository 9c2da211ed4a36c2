/*
 * The first keeper: a thread that ends with little at hand gives it back itself, and no keeper comes for that; one that ends with
 * much leaves it to the next thread, and has a keeper, which gives it back if no thread comes.
 */
#include "core/keeper.h"

#include "check.h"
#include "core/cache.h"
#include "heap/front.h"
#include "os/os.h"
#include "thread.h"

enum { EACH = 50, SIZES = 8 };

static struct heap *heap;
static struct cache *seen;

/* Leaves EACH blocks of each of the sizes of 1 to SIZES times this. */
static void *life(void *context) {
    static void *block[SIZES][EACH];
    size_t step = *(const size_t *)context;
    for (size_t s = 0; s < SIZES; s++) {
        for (size_t i = 0; i < EACH; i++) CHECK_EQ(front_alloc(heap, (s + 1) * step, false, &block[s][i]), ST_OK);
    }
    for (size_t s = 0; s < SIZES; s++) {
        for (size_t i = 0; i < EACH; i++) CHECK_EQ(front_free(heap, block[s][i]), ST_OK);
    }
    seen = cache_mine();
    CHECK_EQ(cache_held(seen), heap_used(heap));
    return NULL;
}

static void live(size_t step) {
    struct threads threads = {0};
    threads_start(&threads, life, &step);
    threads_join(&threads);
}

int main(void) {
    CHECK_EQ(heap_create(false, 0, &heap), ST_OK);
    live(16);
    CHECK(!keeper_runs());
    CHECK_EQ(heap_used(heap), 0);
    live(256);
    CHECK(keeper_runs());
    CHECK(heap_used(heap) >= CACHE_KEEPER_BYTES);
    struct cache *first = seen;
    live(256);
    CHECK(seen == first);
    for (uint64_t end = os_clock_ms() + 10000; os_clock_ms() < end && heap_used(heap) > 0;) os_yield(100);
    CHECK_EQ(heap_used(heap), 0);
    CHECK_EQ(heap_destroy(heap), ST_OK);
    return check_done();
}

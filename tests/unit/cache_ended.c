/*
 * A thread that ends in the middle of using its cache, cancelled there (PTHREAD_CANCEL_ASYNCHRONOUS) or by a signal handler: how
 * far it was nobody knows, so nobody uses what it has left. What others have of the heap is as it was, and the bound for all
 * threads has its share again.
 */
#include "core/cache.h"

#include "check.h"
#include "core/keeper.h"
#include "heap/front.h"
#include "thread.h"

#define BLOCKS 100

static struct heap *heap;
static struct cache *left;
static bool stop;

/* In the middle of a batch: a block is somebody's already, and still in the magazine. */
static void *life(void *context) {
    void *block[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) CHECK_EQ(front_alloc(heap, 100, false, &block[i]), ST_OK);
    for (size_t i = 0; i < BLOCKS; i++) CHECK_EQ(front_free(heap, block[i]), ST_OK);
    left = cache_enter();
    CHECK(left != NULL);
    if (stop) CHECK(cache_stop(left));
    CHECK_EQ(heap_free(heap, block[0]), ST_OK);
    return context;
}

static void *other_life(void *context) {
    void *block[2 * BLOCKS];
    for (size_t i = 0; i < 2 * BLOCKS; i++) {
        CHECK_EQ(front_alloc(heap, 100, false, &block[i]), ST_OK);
        for (size_t before = 0; before < i; before++) CHECK(block[before] != block[i]);
    }
    CHECK(cache_mine() != left);
    for (size_t i = 0; i < 2 * BLOCKS; i++) CHECK_EQ(front_free(heap, block[i]), ST_OK);
    return context;
}

static void live(void *(*what)(void *)) {
    struct threads threads = {0};
    threads_start(&threads, what, NULL);
    threads_join(&threads);
}

static void test_ended(void) {
    live(life);
    if (!CHECK(left != NULL)) return;
    if (stop) cache_go_on(left); /* whoever stopped it comes back to it */
    CHECK_EQ(atom_load_acq_u64(&left->holder), CACHE_LOST);
    CHECK_EQ(left->bound_bytes, 0);
    live(other_life);
    keeper_trim();
    CHECK_EQ(front_double_frees(), 0);
    CHECK_EQ(atom_load_acq_u64(&left->holder), CACHE_LOST);
}

int main(void) {
    CHECK_EQ(heap_create(false, 0, &heap), ST_OK);
    keeper_wanted(); /* with it, what an ended thread has is parked for the next */
    test_ended();
    stop = true;
    test_ended();
    CHECK_EQ(heap_destroy(heap), ST_OK);
    return check_done();
}

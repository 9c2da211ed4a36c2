/*
 * A round of the keeper's with more idle threads than it stops at once: all of them are emptied. There is no keeper of its own
 * here that could have helped. And caches may be looked at while they are made.
 */
#include "core/keeper.h"

#include <stdlib.h>

#include "check.h"
#include "heap/front.h"
#include "os/os.h"
#include "thread.h"

#define MANY 150

static struct heap *heap;
static uint64_t idle, over;

static void *idle_thread(void *context) {
    void *block[8];
    for (size_t i = 0; i < 8; i++) CHECK_EQ(front_alloc(heap, 100 * (i + 1), false, &block[i]), ST_OK);
    for (size_t i = 0; i < 8; i++) CHECK_EQ(front_free(heap, block[i]), ST_OK);
    atom_add_acqrel_u64(&idle, 1);
    while (!atom_load_acq_u64(&over)) os_yield(100);
    return context;
}

static void look(struct cache *cache, void *context) { *(uint64_t *)context += atom_load_rlx_u64(&cache->swept_ms) != 0; }

/* Looks at all caches that there are, while threads make theirs. */
static void *looking_thread(void *context) {
    uint64_t looks = 0;
    while (atom_load_acq_u64(&idle) < MANY) cache_each_used(look, &looks);
    CHECK(looks > 0);
    return context;
}

int main(void) {
    static struct threads threads[3];
    CHECK_EQ(putenv((char[]){"HOSTMEM_NO_KEEPER=1"}), 0);
    CHECK_EQ(heap_create(false, 0, &heap), ST_OK);
    threads_start(&threads[0], looking_thread, NULL);
    for (size_t i = 0; i < MANY; i++) threads_start(&threads[i % 3], idle_thread, NULL);
    while (atom_load_acq_u64(&idle) < MANY) os_yield(100);
    CHECK(heap_used(heap) > 0);
    for (int round = 0; round < 2; round++) {
        thread_rest(0.25);
        keeper_round();
    }
    CHECK_EQ(heap_used(heap), 0);
    CHECK(!keeper_runs());
    atom_store_rel_u64(&over, 1);
    for (int i = 0; i < 3; i++) threads_join(&threads[i]);
    CHECK_EQ(heap_destroy(heap), ST_OK);
    return check_done();
}

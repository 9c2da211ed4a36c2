/*
 * many.h - a scene of many threads that are there at once: each finds its slab again behind all the others', and needs no second
 * one before the first is full.
 */
#ifndef HM_TEST_MANY_H
#define HM_TEST_MANY_H

#include "check.h"
#include "heap/front.h"
#include "thread.h"

enum { MANY = 4 * THREADS_AT_MOST, MANY_EACH = 200 };

static struct heap *many_heap;
static uint64_t many_ready, many_go;

static void *one_of_many(void *context) {
    void *block[MANY_EACH];
    for (int i = 0; i < MANY_EACH; i++) CHECK_EQ(front_alloc(many_heap, 64, false, &block[i]), ST_OK);
    atom_add_acqrel_u64(&many_ready, 1);
    while (!atom_load_acq_u64(&many_go)) thread_rest(0.001);
    for (int i = 0; i < MANY_EACH; i++) CHECK_EQ(front_free(many_heap, block[i]), ST_OK);
    return context;
}

static void many_homes(void) {
    struct threads threads[4] = {0};
    CHECK_EQ(heap_create(false, 0, &many_heap), ST_OK);
    for (int i = 0; i < MANY; i++) threads_start(&threads[i % 4], one_of_many, NULL);
    while (atom_load_acq_u64(&many_ready) < MANY) thread_rest(0.001);
    CHECK(heap_taken(many_heap) <= MANY * class_slab_pages(class_of(64)) * PAGE_BYTES);
    atom_store_rel_u64(&many_go, 1);
    for (int i = 0; i < 4; i++) threads_join(&threads[i]);
    CHECK_EQ(heap_destroy(many_heap), ST_OK);
}

#endif

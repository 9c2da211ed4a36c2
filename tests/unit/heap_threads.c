/*
 * heap_threads.c - heaps by several threads: blocks that cross them, objects that two want at once, slabs that come and go
 * beneath threads that are late.
 */
#include <string.h>

#include "base/atom.h"
#include "alone.h"
#include "heaptest.h"
#include "os/os.h"
#include "thread.h"

enum { THREADS = 4, BOXES = 256 };

static struct heap *shared_heap;
static uint64_t shared_box[BOXES];
static uint64_t shared_turn;
static double shared_end;

/* Every byte says whose the block was; a block that two had at once would lose its pattern. */
static void block_write(unsigned char *block, size_t size, uint64_t serial) {
    memcpy(block, &size, 8);
    memcpy(block + 8, &serial, 8);
    memset(block + 16, (int)(serial & 0xff), size - 16);
}

static bool block_read(const unsigned char *block) {
    size_t size;
    uint64_t serial;
    memcpy(&size, block, 8);
    memcpy(&serial, block + 8, 8);
    if (size < 16 || size > 200000) return false;
    for (size_t i = 16; i < size; i++) {
        if (block[i] != (serial & 0xff)) return false;
    }
    return true;
}

static size_t random_size(uint64_t *seed) {
    uint64_t r = thread_random(seed);
    if (r % 200 == 0) return 16 + thread_random(seed) % 150000;
    if (r % 8 == 0) return 16 + thread_random(seed) % 8000;
    return 16 + thread_random(seed) % 200;
}

/* Puts what it allocates into boxes, and frees what it finds there, whoever put it in. */
static void *exchange(void *context) {
    uint64_t seed = (uint64_t)(uintptr_t)context * 7919 + 1;
    uint64_t serial = (uint64_t)(uintptr_t)context << 32;
    while (thread_seconds() < shared_end) {
        for (int i = 0; i < 200; i++) {
            unsigned char *block = NULL;
            size_t size = random_size(&seed);
            if (thread_random(&seed) % 3 != 0) {
                void *made;
                if (!CHECK(heap_alloc(shared_heap, size, false, &made) == ST_OK)) return NULL;
                block = made;
                block_write(block, size, serial++);
            }
            uint64_t *box = &shared_box[thread_random(&seed) % BOXES];
            uint64_t found = atom_load_acq_u64(box);
            while (!atom_cas_acqrel_u64(box, &found, (uint64_t)(uintptr_t)block)) continue;
            if (found == 0) continue;
            if (!block_read((unsigned char *)(uintptr_t)found)) CHECK(!"a block lost its content");
            if (heap_free(shared_heap, (void *)(uintptr_t)found) != ST_OK) CHECK(!"a live block was refused");
        }
    }
    return NULL;
}

static void boxes_empty(void) {
    for (int i = 0; i < BOXES; i++) {
        if (shared_box[i] == 0) continue;
        CHECK(block_read((unsigned char *)(uintptr_t)shared_box[i]));
        CHECK(heap_free(shared_heap, (void *)(uintptr_t)shared_box[i]) == ST_OK);
        shared_box[i] = 0;
    }
}

static void test_exchange(void) {
    size_t before = granules_taken();
    shared_heap = heap_make(0);
    if (shared_heap == NULL) return;
    shared_end = thread_seconds() + 0.8;
    struct threads threads = {0};
    for (uintptr_t i = 1; i <= THREADS; i++) threads_start(&threads, exchange, (void *)i);
    threads_join(&threads);
    boxes_empty();
    /* Of empty slabs no more than a heap keeps, and none twice, without any trimming. */
    CHECK(heap_taken(shared_heap) <= 1 << 20);
    CHECK((granules_taken() - before) * GRANULE_BYTES >= heap_taken(shared_heap));
    uint64_t spare = heap_taken(shared_heap);
    CHECK_EQ(heap_trim_one(shared_heap), spare);
    CHECK_EQ(heap_taken(shared_heap), 0);
    CHECK_EQ(granules_taken(), before);
    CHECK(heap_destroy(shared_heap) == ST_OK);
    CHECK_EQ(granules_taken(), before);
}

/* Heaps that come and go take over each other's granules, while one goes on and another thread trims them all. */
static void *come_and_go(void *context) {
    uint64_t seed = (uint64_t)(uintptr_t)context;
    while (thread_seconds() < shared_end) {
        struct heap *heap = heap_make(0);
        if (heap == NULL) return NULL;
        void *block[40];
        for (int round = 0; round < 5; round++) {
            for (int i = 0; i < 40; i++) {
                size_t size = random_size(&seed);
                block[i] = take(heap, size);
                if (block[i] == NULL) return NULL;
                block_write(block[i], size, seed);
            }
            for (int i = 0; i < 40; i++) {
                if (!block_read(block[i])) CHECK(!"a block lost its content");
                if (round < 4) CHECK(heap_free(heap, block[i]) == ST_OK);
            }
        }
        CHECK(heap_destroy(heap) == ST_OK);
    }
    return NULL;
}

static void *trim(void *context) {
    (void)context;
    while (thread_seconds() < shared_end) heap_trim();
    return NULL;
}

static void test_come_and_go(void) {
    size_t before = granules_taken();
    shared_heap = heap_make(0);
    if (shared_heap == NULL) return;
    shared_end = thread_seconds() + 0.8;
    struct threads threads = {0};
    threads_start(&threads, exchange, (void *)91);
    threads_start(&threads, exchange, (void *)92);
    threads_start(&threads, come_and_go, (void *)93);
    threads_start(&threads, come_and_go, (void *)94);
    threads_start(&threads, trim, NULL);
    threads_join(&threads);
    boxes_empty();
    heap_trim();
    CHECK_EQ(heap_taken(shared_heap), 0);
    CHECK(heap_destroy(shared_heap) == ST_OK);
    CHECK_EQ(granules_taken(), before);
}

/* Keeps slabs of few objects full or nearly so. */
static void *crowd(void *context) {
    uint64_t seed = (uint64_t)(uintptr_t)context;
    while (thread_seconds() < shared_end) {
        for (int i = 0; i < 200; i++) {
            uint64_t *box = &shared_box[thread_random(&seed) % BOXES];
            uint64_t found = atom_load_acq_u64(box);
            if (found == 0) {
                void *block;
                if (!CHECK(heap_alloc(shared_heap, 8000, false, &block) == ST_OK)) return NULL;
                if (atom_cas_acqrel_u64(box, &found, (uint64_t)(uintptr_t)block)) continue;
                CHECK(heap_free(shared_heap, block) == ST_OK);
            } else if (atom_cas_acqrel_u64(box, &found, 0)) {
                CHECK(heap_free(shared_heap, (void *)(uintptr_t)found) == ST_OK);
            }
        }
    }
    return NULL;
}

/* After a storm every free object is found again before another slab is made: no slab with room stays marked full. */
static void test_marking(void) {
    for (int round = 0; round < 12; round++) {
        shared_heap = heap_make(0);
        if (shared_heap == NULL) return;
        shared_end = thread_seconds() + 0.05;
        struct threads threads = {0};
        for (uintptr_t i = 1; i <= THREADS; i++) threads_start(&threads, crowd, (void *)(i + 10 * (uintptr_t)round));
        threads_join(&threads);
        unsigned class_index = class_of(8000);
        uint64_t taken = heap_taken(shared_heap), room = taken / slab_bytes(class_index) * class_objects(class_index);
        for (int i = 0; i < BOXES; i++) room -= shared_box[i] != 0;
        while (room-- > 0) take(shared_heap, 8000);
        CHECK_EQ(heap_taken(shared_heap), taken);
        take(shared_heap, 8000);
        CHECK_EQ(heap_taken(shared_heap), taken + slab_bytes(class_index));
        memset(shared_box, 0, sizeof shared_box);
        CHECK(heap_destroy(shared_heap) == ST_OK);
    }
}

static void wait_for(const uint64_t *counter, uint64_t least) {
    double end = thread_seconds() + 20;
    for (unsigned attempt = 0; atom_load_acq_u64(counter) < least && thread_seconds() < end; attempt++) os_yield(attempt);
}

/* All threads free the same block: one of them succeeds. */
static void *free_same(void *context) {
    (void)context;
    uint64_t freed = 0;
    for (uint64_t turn = 1; turn <= 200; turn++) {
        wait_for(&shared_turn, turn);
        freed += heap_free(shared_heap, (void *)(uintptr_t)atom_load_acq_u64(&shared_box[0])) == ST_OK;
        atom_add_acqrel_u64(&shared_box[1], 1);
    }
    return (void *)(uintptr_t)freed;
}

static void test_double(void) {
    shared_heap = heap_make(0);
    if (shared_heap == NULL) return;
    pthread_t ids[THREADS];
    for (int i = 0; i < THREADS; i++) pthread_create(&ids[i], NULL, free_same, NULL);
    for (uint64_t turn = 1; turn <= 200; turn++) {
        atom_store_rel_u64(&shared_box[0], (uint64_t)(uintptr_t)take(shared_heap, turn % 2 ? 64 : 50000));
        atom_store_rel_u64(&shared_turn, turn);
        wait_for(&shared_box[1], turn * THREADS);
    }
    uint64_t freed = 0;
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(ids[i], &result);
        freed += (uint64_t)(uintptr_t)result;
    }
    CHECK_EQ(freed, 200);
    shared_box[0] = shared_box[1] = 0;
    CHECK(heap_destroy(shared_heap) == ST_OK);
}

/* Two slabs whose last objects go at the same time: one of the slabs stays, whoever was first. */
enum { LAST_ROUNDS = 3000 };

static void *free_last(void *context) {
    uint64_t *box = context;
    for (uint64_t turn = 1; turn <= LAST_ROUNDS; turn++) {
        wait_for(&shared_turn, turn);
        heap_free(shared_heap, (void *)(uintptr_t)atom_load_acq_u64(box));
        atom_add_acqrel_u64(&shared_box[2], 1);
    }
    return NULL;
}

static void test_last_objects(void) {
    shared_heap = heap_make(0);
    if (shared_heap == NULL) return;
    shared_turn = 0;
    struct threads threads = {0};
    threads_start(&threads, free_last, &shared_box[0]);
    threads_start(&threads, free_last, &shared_box[1]);
    unsigned class_index = class_of(1 << 20); /* two of these slabs are more than a heap keeps */
    size_t objects = class_objects(class_index), wrong = 0;
    for (uint64_t turn = 1; turn <= LAST_ROUNDS; turn++) {
        void *block[64];
        for (size_t i = 0; i < 2 * objects; i++) block[i] = take(shared_heap, 1 << 20);
        /* The empty one, if there is one, has served first. */
        for (size_t i = 0; i < 2 * objects; i++) {
            if (i != 0 && i != objects) heap_free(shared_heap, block[i]);
        }
        if (heap_taken(shared_heap) != 2 * slab_bytes(class_index)) wrong++;
        atom_store_rel_u64(&shared_box[0], (uint64_t)(uintptr_t)block[0]);
        atom_store_rel_u64(&shared_box[1], (uint64_t)(uintptr_t)block[objects]);
        atom_store_rel_u64(&shared_turn, turn);
        wait_for(&shared_box[2], 2 * turn);
        if (heap_taken(shared_heap) != slab_bytes(class_index)) wrong++;
    }
    threads_join(&threads);
    CHECK_EQ(wrong, 0);
    memset(shared_box, 0, sizeof shared_box);
    CHECK(heap_destroy(shared_heap) == ST_OK);
}

static void *ask_default(void *context) {
    (void)context;
    return heap_default();
}

/* Before anything else has asked for it: all threads get the same. */
static void test_default_race(void) {
    pthread_t ids[THREADS];
    void *seen[THREADS];
    for (int i = 0; i < THREADS; i++) pthread_create(&ids[i], NULL, ask_default, NULL);
    for (int i = 0; i < THREADS; i++) pthread_join(ids[i], &seen[i]);
    for (int i = 0; i < THREADS; i++) CHECK(seen[i] != NULL && seen[i] == heap_default());
}

int main(void) {
    keeper_forbid(); /* when slabs go back is told exactly below */
    test_default_race();
    test_double();
    test_marking();
    test_last_objects();
    test_exchange();
    test_come_and_go();
    return check_done();
}

/*
 * The quick ways of the malloc library (heap/front.h) and the map that they look at (heap/near.h): a thread's own blocks of all
 * sizes are found and nothing else is; what one thread takes over from another changes maps; what is gone is in no map.
 */
#include <string.h>

#include "check.h"
#include "core/cache.h"
#include "heap/front.h"
#include "hostmem.h"
#include "thread.h"

/* As malloc and free do it. */
static void *take(size_t size) {
    void *block = front_take_quick(size);
    if (block == NULL) CHECK_EQ(front_alloc(heap_default(), size, false, &block), ST_OK);
    return block;
}
static void keep(void *block) {
    if (!front_keep_quick(block)) CHECK_EQ(front_free_other(heap_default(), block), ST_OK);
}

static bool found(uintptr_t address) {
    uint64_t mark = 0;
    return near_find(cache_mine(), address, &mark);
}

/* The first and the last byte of many blocks of each class, and all between for the small ones. */
static void own_blocks(void) {
    static void *block[40];
    for (unsigned class_index = 0; class_index < CLASS_COUNT; class_index++) {
        size_t size = class_size(class_index);
        for (int i = 0; i < 40; i++) block[i] = take(size);
        for (int i = 0; i < 40; i++) {
            uintptr_t start = (uintptr_t)block[i];
            uint64_t mark = 0;
            CHECK(near_find(cache_mine(), start, &mark));
            CHECK_EQ(mark, cache_mark(class_index));
            size_t wrong = 0;
            for (size_t offset = 1; offset < size; offset += size > 4096 ? 1001 : 1) wrong += found(start + offset);
            CHECK_EQ(wrong, 0);
            CHECK(!found(start + size - 1));
        }
        for (int i = 0; i < 40; i++) keep(block[i]);
    }
}

/* Of every class, at every offset in a slab, in other slots, and with other upper bits: objects are found, and nothing else. */
static void starts_of_classes(void) {
    uint64_t random = 11;
    for (unsigned class_index = 0; class_index < CLASS_COUNT; class_index++) {
        const struct class_row *row = &class_table[class_index];
        struct cache_starts starts = near_starts(row);
        size_t size = row->size_bytes, end = size * row->objects, wrong = 0;
        for (uint64_t offset = 0; offset < CLASS_OFFSETS; offset++) {
            bool starts_there = offset % size == 0 && offset < end;
            wrong += (offset * starts.magic < starts.limit) != starts_there;
            for (unsigned bit = ADDRESS_BITS; starts_there && bit < 64; bit++) {
                wrong += (offset ^ (uint64_t)1 << bit) * starts.magic < starts.limit;
            }
        }
        for (uint64_t away = SLOT_BYTES; away < (uint64_t)1 << ADDRESS_BITS; away += SLOT_BYTES) {
            uint64_t offset = thread_random(&random) % CLASS_OFFSETS, multiple = away / size * size;
            wrong += (away + offset) * starts.magic < starts.limit || (offset - away) * starts.magic < starts.limit;
            wrong += multiple * starts.magic < starts.limit || (0 - multiple) * starts.magic < starts.limit;
        }
        CHECK_EQ(wrong, 0);
    }
}

/* Pointers that differ from a good one in high bits, and those that lead nowhere. */
static void others(void) {
    char *block = take(100), on_stack[16];
    uintptr_t good = (uintptr_t)block;
    CHECK(found(good));
    for (unsigned bit = 20; bit < 64; bit++) {
        uintptr_t other = good ^ (uintptr_t)1 << bit;
        CHECK(!found(other) || (slab_tag(other) != 0 && class_starts_at(tag_row(slab_tag(other)), other))); /* another slab's */
    }
    for (uintptr_t away = SLOT_BYTES; away < (uintptr_t)1 << ADDRESS_BITS; away += 5 * SLOT_BYTES) {
        CHECK(!found(good + away) && !found(good - away));
    }
    for (uintptr_t low = 0; low < 2 * CLASS_OFFSETS; low += 16) CHECK(!found(low));
    CHECK(!found((uintptr_t)on_stack) && !found((uintptr_t)&slab_tags) && !found(UINTPTR_MAX) && !found(UINTPTR_MAX - 15));
    CHECK(!front_keep_quick(NULL) && !front_keep_quick(on_stack));
    CHECK(!front_keep_quick(block + 16) && !front_keep_quick(block + 1));
    keep(block);
    CHECK(!front_keep_quick(block)); /* the one that came last */
    CHECK_EQ(front_free_other(heap_default(), block), ST_NOT_OURS);
    void *private_block;
    struct heap *private_heap;
    CHECK_EQ(heap_create(false, 0, &private_heap), ST_OK);
    CHECK_EQ(front_alloc(private_heap, 100, false, &private_block), ST_OK);
    CHECK(!found((uintptr_t)private_block));
    CHECK_EQ(heap_destroy(private_heap), ST_OK);
}

#ifndef _WIN32
/* What stands for the cache of a thread that has none is a line long: nothing is written behind it. */
static void no_map(void) {
    static struct {
        uint64_t line[8];
        uint8_t behind[sizeof(struct cache)];
    } none;
    struct cache *mine = cache_mine();
    void *block[64];
    os_slot_set(OS_SLOT_CACHE, &none);
    for (int i = 0; i < 64; i++) CHECK_EQ(heap_alloc(heap_default(), 30000, false, &block[i]), ST_OK); /* many slabs */
    os_slot_set(OS_SLOT_CACHE, mine);
    size_t written = 0;
    for (size_t i = 0; i < sizeof none; i++) written += ((const uint8_t *)&none)[i] != 0;
    CHECK_EQ(written, 0);
    for (int i = 0; i < 64; i++) CHECK_EQ(heap_free(heap_default(), block[i]), ST_OK);
}

/* A signal handler that opens a slab while its thread is putting one into its map: that one is found by its tag. */
static void no_map_within(void) {
    struct cache *mine = cache_mine();
    void *block = take(64);
    uintptr_t start = (uintptr_t)block & ~(uintptr_t)tag_row(slab_tag((uintptr_t)block))->mask;
    uint64_t tag = slab_tag(start);
    near_drop(granule_of(start), tag);
    CHECK(!found((uintptr_t)block));
    mine->quick.adding = true;
    near_add(granule_of(start), tag);
    CHECK(!found((uintptr_t)block));
    mine->quick.adding = false;
    near_add(granule_of(start), tag);
    CHECK(found((uintptr_t)block));
    keep(block);
}
#endif

/* A pair leaves the magazine alone, and blocks of two sizes do not keep each other from being quick. */
static void last_one(void) {
    void *small = take(64), *large = take(200);
    keep(large);
    keep(small);
    const struct magazine *m = cache_magazine(cache_mine(), CACHE_PROCESS, class_of(64));
    void **top = m->top;
    for (int i = 0; i < 100; i++) {
        void *block = take(64);
        CHECK(block == small && m->top == top);
        keep(block);
    }
    CHECK(take(64) == small);
    CHECK(take(200) == large);
    keep(large);
    keep(small);
}

static void *foreign;
static void *leave_one(void *context) {
    foreign = take((size_t)(uintptr_t)context);
    CHECK(found((uintptr_t)foreign));
    return NULL;
}

/*
 * Another thread's block goes the longer way, wherever it then lies; and its slab may become this thread's. Where its lines are
 * its own that way leads into the map.
 */
static void foreign_blocks(void) {
    for (size_t size = 16; size <= 4096; size *= 2) {
        struct threads threads = {0};
        threads_start(&threads, leave_one, (void *)size);
        threads_join(&threads);
        bool whole = class_table[class_of(size)].line == 1;
        CHECK(whole || !found((uintptr_t)foreign));
        keep(foreign);
        CHECK(!whole || found((uintptr_t)foreign));
    }
    HmTrim();
}

/* What goes back to the system, and comes again as something else, is found as what it is. */
static void comes_again(void) {
    static void *block[2000];
    for (unsigned round = 0; round < 60; round++) {
        size_t size = 16 + round * 7 % 50 * 100;
        for (int i = 0; i < 2000; i++) block[i] = take(size);
        uint64_t mark = 0;
        size_t wrong = 0;
        for (int i = 0; i < 2000; i++) {
            wrong += !near_find(cache_mine(), (uintptr_t)block[i], &mark) || mark != cache_mark(class_of(size));
        }
        CHECK_EQ(wrong, 0);
        for (int i = 0; i < 2000; i++) keep(block[i]);
        HmTrim();
        for (int i = 0; i < 2000; i++) wrong += found((uintptr_t)block[i]);
        CHECK_EQ(wrong, 0);
    }
    CHECK_EQ(heap_used(heap_default()), 0);
}

/* With bounds that leave room for nothing there is no place for a last one either. */
static void nothing_is_kept(void) {
    void *block = take(64);
    cache_bound_set(1, 0);
    HmTrim();
    keep(block);
    CHECK_EQ(heap_used(heap_default()), 0);
}

int main(void) {
    last_one();
    starts_of_classes();
    if (CACHE_NEAR != 0) {
        own_blocks();
        others();
        foreign_blocks();
        comes_again();
#ifndef _WIN32
        no_map();
        no_map_within();
#endif
    }
    nothing_is_kept();
    return check_done();
}

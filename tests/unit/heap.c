/*
 * heap.c - heaps by one thread: every class, misuse, bounds, failures of the system, and what is given back.
 */
#include "heap/heap.h"

#include <stdlib.h>
#include <string.h>

#include "alone.h"
#include "core/pages.h"
#include "heaptest.h"
#ifdef HM_FAULT
#include "os/fault.h"
#endif

/* Two slabs' worth of every class: aligned, apart, writable, sized; then all of it back. */
static void test_classes(void) {
    size_t before = granules_taken();
    struct heap *heap = heap_make(0);
    if (heap == NULL) return;
    static unsigned char *block[2 * CLASS_MOST_OBJECTS];
    for (unsigned class_index = 0; class_index < CLASS_COUNT; class_index++) {
        size_t size = class_size(class_index), count = 2 * class_objects(class_index), bad = 0;
        for (size_t i = 0; i < count; i++) {
            block[i] = take(heap, size);
            if (block[i] == NULL) return;
            if ((uintptr_t)block[i] % 16 != 0) bad++;
            memset(block[i], (int)(i & 0xff), size);
        }
        CHECK_EQ(heap_taken(heap), 2 * slab_bytes(class_index));
        for (size_t i = 0; i < count; i++) {
            size_t usable = 0;
            if (block[i][0] != (i & 0xff) || block[i][size - 1] != (i & 0xff)) bad++;
            if (heap_size(heap, block[i], &usable) != ST_OK || usable != size) bad++;
            if (heap_free(heap, block[i]) != ST_OK) bad++;
            if (heap_free(heap, block[i]) != ST_NOT_OURS) bad++;
            if (heap_size(heap, block[i], &usable) != ST_NOT_OURS) bad++;
        }
        CHECK_EQ(bad, 0);
        size_t slab = slab_bytes(class_index), spare = 2 * slab <= (1 << 20) ? 2 * slab : slab; /* see empty.c */
        CHECK_EQ(heap_taken(heap), spare);
        CHECK_EQ(heap_trim_one(heap), spare);
        CHECK_EQ(heap_taken(heap), 0);
        CHECK_EQ(granules_taken(), before);
    }
    CHECK(heap_destroy(heap) == ST_OK);
}

/* A block freed into a full slab is found again, and empty slabs serve again, or go when they are idle. */
static void test_reuse(void) {
    struct heap *heap = heap_make(0);
    if (heap == NULL) return;
    unsigned class_index = class_of(4096);
    size_t objects = class_objects(class_index);
    void *block[64];
    CHECK(3 * objects <= 64);
    for (size_t i = 0; i < 3 * objects; i++) block[i] = take(heap, 4096);
    for (size_t n = 0; n < 3; n++) {
        void *freed = block[n * objects + 5];
        CHECK(heap_free(heap, freed) == ST_OK);
        CHECK(take(heap, 4096) == freed); /* the only free one of the heap */
    }
    CHECK_EQ(heap_taken(heap), 3 * slab_bytes(class_index));
    /* Empty the first, then the second: they stay and serve again, until they are asked for. */
    for (size_t i = 0; i < 2 * objects; i++) CHECK(heap_free(heap, block[i]) == ST_OK);
    CHECK_EQ(heap_taken(heap), 3 * slab_bytes(class_index));
    for (int i = 0; i < 10; i++) {
        void *one = take(heap, 4096);
        CHECK(heap_free(heap, one) == ST_OK);
        CHECK_EQ(heap_taken(heap), 3 * slab_bytes(class_index));
    }
    /* What was empty at one look and still is at the next goes. */
    CHECK(heap_tidy());
    CHECK_EQ(heap_taken(heap), 3 * slab_bytes(class_index));
    CHECK(!heap_tidy());
    CHECK_EQ(heap_taken(heap), slab_bytes(class_index));
    CHECK(!heap_tidy());
    for (size_t i = 2 * objects; i < 3 * objects; i++) CHECK(heap_free(heap, block[i]) == ST_OK);
    CHECK_EQ(heap_taken(heap), slab_bytes(class_index));
    CHECK_EQ(heap_trim_one(heap), slab_bytes(class_index));
    CHECK(heap_destroy(heap) == ST_OK);
}

static void test_zero(void) {
    struct heap *heap = heap_make(0);
    if (heap == NULL) return;
    size_t sizes[] = {1, 16, 100, 4096, 30000, 40000, 300000};
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        for (int round = 0; round < 3; round++) {
            void *block;
            CHECK(heap_alloc(heap, sizes[n], true, &block) == ST_OK);
            size_t dirty = 0, usable = 0;
            CHECK(heap_size(heap, block, &usable) == ST_OK && usable >= sizes[n]);
            for (size_t i = 0; i < usable; i++) dirty += ((unsigned char *)block)[i] != 0;
            CHECK_EQ(dirty, 0);
            memset(block, 0xff, usable);
            CHECK(heap_free(heap, block) == ST_OK);
        }
    }
    CHECK(heap_destroy(heap) == ST_OK);
}

static void test_large(void) {
    size_t before = granules_taken();
    struct heap *heap = heap_make(0);
    if (heap == NULL) return;
    size_t sizes[] = {CLASS_LARGEST + 1, 1400000, 3 << 20, (3 << 20) + 1, 100 << 20};
    unsigned char *block[sizeof sizes / sizeof *sizes];
    size_t count = sizeof sizes / sizeof *sizes, pages = 0;
    for (size_t n = 0; n < count; n++) {
        block[n] = take(heap, sizes[n]);
        if (block[n] == NULL) return;
        CHECK((uintptr_t)block[n] % GRANULE_BYTES == 0);
        memset(block[n], (int)n + 1, sizes[n]);
        uint64_t own = (sizes[n] + PAGE_BYTES - 1) / PAGE_BYTES, granules = granules_for_pages(own);
        CHECK_EQ(pages_count_committed(page_of((uintptr_t)block[n]), granules * PAGES_PER_GRANULE), own); /* page-exact */
        pages += own;
    }
    CHECK_EQ(heap_taken(heap), pages * PAGE_BYTES);
    for (size_t n = 0; n < count; n++) {
        size_t usable = 0;
        CHECK(block[n][0] == n + 1 && block[n][sizes[n] - 1] == n + 1);
        CHECK(heap_size(heap, block[n], &usable) == ST_OK);
        CHECK_EQ(usable, align_up(sizes[n], PAGE_BYTES));
        CHECK(heap_free(heap, block[n] + 1) == ST_NOT_OURS);
        CHECK(heap_free(heap, block[n] + PAGE_BYTES) == ST_NOT_OURS);
        CHECK(heap_free(heap, block[n]) == ST_OK);
        CHECK(heap_free(heap, block[n]) == ST_NOT_OURS);
        CHECK(heap_size(heap, block[n], &usable) == ST_NOT_OURS);
    }
    CHECK_EQ(heap_taken(heap), 0);
    CHECK_EQ(granules_taken(), before);
    CHECK(heap_destroy(heap) == ST_OK);
}

/* Sizes that wrap when anything is added to them, and what no machine has. */
static void test_huge(void) {
    struct heap *heap = heap_make(0);
    if (heap == NULL) return;
    size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 15, SIZE_MAX - 4095, SIZE_MAX / 2, (size_t)1 << 47,
                      ((size_t)1 << 40) + 1};
    for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
        void *block = &block;
        CHECK(heap_alloc(heap, sizes[n], true, &block) == ST_NO_MEMORY);
        CHECK(block == NULL);
    }
    CHECK_EQ(heap_taken(heap), 0);
    void *none = take(heap, 0), *other = take(heap, 0);
    CHECK(none != NULL && other != NULL && none != other);
    CHECK(heap_free(heap, none) == ST_OK && heap_free(heap, other) == ST_OK);
    CHECK(heap_destroy(heap) == ST_OK);
}

static void test_misuse(void) {
    struct heap *heap = heap_make(0), *other = heap_make(0);
    if (heap == NULL || other == NULL) return;
    char local[64] = {0};
    char *block = take(heap, 100), *large = take(heap, 100000), *foreign = malloc(100);
    size_t usable;
    uint64_t taken = heap_taken(heap);
    void *wrong[] = {NULL, local, foreign, (void *)1, (void *)(uintptr_t)-1, (void *)((uintptr_t)1 << 47), block + 1, block + 16,
                     block + GRANULE_BYTES - 16, large + PAGE_BYTES, heap, (char *)heap + 16, (void *)&test_misuse};
    for (size_t n = 0; n < sizeof wrong / sizeof *wrong; n++) {
        CHECK(heap_free(heap, wrong[n]) == ST_NOT_OURS);
        CHECK(heap_size(heap, wrong[n], &usable) == ST_NOT_OURS);
    }
    CHECK(heap_free(other, block) == ST_NOT_OURS);
    CHECK(heap_free(other, large) == ST_NOT_OURS);
    CHECK(heap_size(other, block, &usable) == ST_NOT_OURS);
    CHECK(heap_free(heap, block + class_size(class_of(100))) == ST_NOT_OURS); /* an object, but nobody has it */
    CHECK_EQ(heap_taken(heap), taken);
    CHECK(heap_size(heap, block, &usable) == ST_OK && usable == class_size(class_of(100)));
    CHECK(heap_free(heap, block) == ST_OK && heap_free(heap, large) == ST_OK);
    CHECK(heap_destroy(heap) == ST_OK);
    CHECK(heap_destroy(other) == ST_OK);
    free(foreign);
}

static void test_handles(void) {
    struct heap *heap = heap_make(0);
    if (heap == NULL) return;
    char local[32] = {0};
    CHECK(heap_of_handle(heap) == heap);
    const void *wrong[] = {NULL, local, (char *)heap + 8, (char *)heap - 8, (void *)1, (void *)(uintptr_t)-1,
                           (char *)heap + (1 << 24), (char *)heap + ((size_t)1 << 40)};
    for (size_t n = 0; n < sizeof wrong / sizeof *wrong; n++) {
        CHECK(heap_of_handle(wrong[n]) == NULL);
        CHECK(heap_destroy((struct heap *)(uintptr_t)wrong[n]) == ST_BAD_HANDLE);
    }
    CHECK(heap_destroy(heap) == ST_OK);
    CHECK(heap_of_handle(heap) == NULL);
    CHECK(heap_destroy(heap) == ST_BAD_HANDLE);
    struct heap *process = heap_default();
    CHECK(process != NULL && process == heap_default() && heap_of_handle(process) == process);
    CHECK(heap_destroy(process) == ST_BAD_HANDLE);
    CHECK(heap_of_handle(process) == process);
}

/* More heaps than places in the quick table: whatever it answers is right, and nothing is left of a heap that has ended. */
static void test_known_handles(void) {
    enum { HEAPS = 3 * HEAP_KNOWN };
    static struct heap *heap[HEAPS];
    size_t known = 0, left = 0;
    for (size_t i = 0; i < HEAPS; i++) heap[i] = heap_make(0);
    for (size_t i = 0; i < HEAPS; i++) {
        struct heap *quick = heap_of_handle_quick(heap[i]);
        CHECK(quick == NULL || quick == heap[i]);
        CHECK(heap_of_handle(heap[i]) == heap[i]);
        CHECK(heap_of_handle_quick((char *)heap[i] + 8) == NULL);
        known += quick != NULL;
    }
    CHECK(known > HEAP_KNOWN / 2 && known <= HEAP_KNOWN);
    for (size_t i = 0; i < HEAPS; i++) {
        CHECK(heap_destroy(heap[i]) == ST_OK);
        CHECK(heap_of_handle_quick(heap[i]) == NULL);
    }
    for (size_t i = 0; i < HEAP_KNOWN; i++) left += heap_known[i] != 0;
    CHECK(left <= 1); /* the process's heap */
}

static void test_limit(void) {
    size_t before = granules_taken();
    struct heap *heap = heap_make(3 * GRANULE_BYTES);
    if (heap == NULL) return;
    void *block;
    CHECK(heap_alloc(heap, 3 * GRANULE_BYTES + 1, false, &block) == ST_NO_MEMORY);
    void *large = take(heap, 2 * GRANULE_BYTES);
    size_t count = 0;
    void *blocks[1000];
    while (count < 1000 && heap_alloc(heap, 128, false, &blocks[count]) == ST_OK) count++;
    CHECK_EQ(count, class_objects(class_of(128)));
    CHECK_EQ(heap_taken(heap), 3 * GRANULE_BYTES);
    CHECK(heap_alloc(heap, 16, false, &block) == ST_NO_MEMORY && block == NULL);
    while (count > 0) CHECK(heap_free(heap, blocks[--count]) == ST_OK);
    CHECK(heap_alloc(heap, 16, false, &block) == ST_OK); /* what the other class kept is given up for it */
    CHECK(heap_free(heap, large) == ST_OK);
    CHECK(heap_destroy(heap) == ST_OK);
    CHECK_EQ(granules_taken(), before);
}

static const unsigned char code[] = {0xb8, 0x2a, 0, 0, 0, 0xc3}; /* mov eax, 42; ret */

static bool runs_code(unsigned char *block) {
    int (*function)(void);
    memcpy(block, code, sizeof code);
    memcpy(&function, &block, sizeof function);
    return function() == 42;
}

static void test_executable(void) {
    struct heap *heap;
    if (!CHECK(heap_create(true, 0, &heap) == ST_OK)) return;
    size_t sizes[] = {sizeof code, 100000, 3 << 20};
    for (int n = 0; n < 3; n++) {
        unsigned char *block = take(heap, sizes[n]);
        if (block == NULL) return;
        CHECK(runs_code(block));
        CHECK(heap_free(heap, block) == ST_OK);
    }
    CHECK(heap_destroy(heap) == ST_OK);
}

#ifdef HM_FAULT
/* A large one that another thread has before it goes, or that the system does not take back, serves again as what it is. */
static void test_executable_again(void) {
    struct heap *heap;
    if (!CHECK(heap_create(true, 0, &heap) == ST_OK)) return;
    void *block = take(heap, 3 << 20), *again;
    os_fault_set("decommit", 1, true);
    CHECK(heap_free(heap, block) == ST_OK);
    os_fault_set(NULL, 0, false);
    CHECK((again = take(heap, 3 << 20)) == block && runs_code(again));
    CHECK(heap_free(heap, again) == ST_OK);
    CHECK(heap_destroy(heap) == ST_OK);
}
#endif

/* A heap that goes takes its blocks with it, and its record serves again. */
static void test_destroy(void) {
    size_t before = granules_taken();
    for (int round = 0; round < 50; round++) {
        struct heap *heap = heap_make(0);
        if (heap == NULL) return;
        char *first = take(heap, 24);
        for (int i = 0; i < 300; i++) {
            void *block = take(heap, (size_t)i * 137);
            if (i % 3 == 0) CHECK(heap_free(heap, block) == ST_OK);
        }
        CHECK(granules_taken() > before);
        CHECK(heap_destroy(heap) == ST_OK);
        CHECK_EQ(granules_taken(), before);
        struct heap *next = heap_make(0);
        CHECK(heap_free(next, first) == ST_NOT_OURS);
        CHECK(heap_destroy(next) == ST_OK);
    }
}

#ifdef HM_FAULT
/* A heap and a block of it, with faults set up. Whatever fails, nothing is left behind. True if a fault was met. */
static bool fault_round(const char *function, long nth, bool sticky, size_t size) {
    struct heap *heap = NULL;
    void *block = NULL;
    size_t before = granules_taken();
    os_fault_set(function, nth, sticky);
    enum status status = heap_create(false, 0, &heap);
    if (status == ST_OK) {
        status = heap_alloc(heap, size, true, &block);
        CHECK((status == ST_OK) == (block != NULL));
        if (status != ST_OK) CHECK_EQ(heap_taken(heap), 0);
    }
    bool met = os_fault_calls() >= nth;
    os_fault_set(NULL, 0, false);
    CHECK(met || status == ST_OK);
    if (heap != NULL) CHECK(heap_destroy(heap) == ST_OK);
    CHECK_EQ(granules_taken(), before);
    return met;
}

static void test_faults(void) {
    static const char *const functions[] = {"reserve", "commit", "tables_reserve", "tables_commit"};
    size_t sizes[] = {32, 20000, 500000};
    long met = 0;
    for (size_t n = 0; n < 3; n++) {
        for (int f = 0; f < 4; f++) {
            for (long nth = 1; nth < 10 && fault_round(functions[f], nth, true, sizes[n]); nth++) met++;
        }
        long nth = 1;
        while (nth < 60 && fault_round(NULL, nth, false, sizes[n])) nth++;
        CHECK(nth > 1 && nth < 60);
    }
    CHECK(met > 3);

    struct heap *heap = NULL;
    size_t before = granules_taken();
    /*
     * The system takes nothing back: the blocks are free all the same, and the memory goes as soon as it can. The heap is
     * executable, since from others the system takes everything where it commits lazily.
     */
    if (!CHECK(heap_create(true, 0, &heap) == ST_OK)) return;
    void *large = take(heap, 100000), *small[40];
    for (int i = 0; i < 40; i++) small[i] = take(heap, 4000);
    os_fault_set("decommit", 1, true);
    CHECK(heap_free(heap, large) == ST_OK);
    CHECK(heap_free(heap, large) == ST_NOT_OURS);
    for (int i = 0; i < 40; i++) CHECK(heap_free(heap, small[i]) == ST_OK);
    CHECK_EQ(heap_trim_one(heap), 0);
    os_fault_set(NULL, 0, false);
    CHECK(heap_taken(heap) > 0);
    uint64_t taken = heap_taken(heap);
    CHECK_EQ(heap_trim_one(heap), taken);
    CHECK_EQ(heap_taken(heap), 0);
    CHECK_EQ(granules_taken(), before);
    CHECK(heap_destroy(heap) == ST_OK);
}
#endif

int main(void) {
    keeper_forbid(); /* when slabs go back is told exactly below */
#ifdef HM_FAULT
    test_faults(); /* first, so that every table is made under fault too */
#endif
    test_classes();
    test_reuse();
    test_zero();
    test_large();
    test_huge();
    test_misuse();
    test_handles();
    test_known_handles();
    test_limit();
    test_executable();
#ifdef HM_FAULT
    test_executable_again();
#endif
    test_destroy();
    return check_done();
}

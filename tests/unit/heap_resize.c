/*
 * heap_resize.c - blocks at larger alignments, and blocks that grow and shrink where they are: contents, bounds, what is in
 * the way, and refusals of the system at every call.
 */
#include "heap/heap.h"

#include <string.h>

#include "base/prot.h"
#include "heaptest.h"
#ifdef HM_FAULT
#include "os/fault.h"
#endif

#define PAGES(count) ((size_t)(count) * PAGE_BYTES)

static void test_alignments(void) {
    size_t before = granules_taken(), sizes[] = {0, 1, 24, 1000, 5000, 30000, 40000, 65536, 300000};
    struct heap *heap = heap_make(0);
    if (heap == NULL) return;
    for (size_t align = 1; align <= (size_t)256 << 20; align *= 2) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            void *block[3];
            for (int n = 0; n < 3; n++) {
                if (!CHECK(heap_alloc_aligned(heap, sizes[i], align, n == 1, &block[n]) == ST_OK)) return;
                CHECK_EQ((uintptr_t)block[n] % align, 0);
                CHECK(size_of(heap, block[n]) >= sizes[i]);
                unsigned char *bytes = block[n];
                for (size_t at = 0; n == 1 && at < sizes[i]; at++) {
                    if (bytes[at] != 0 && !CHECK(bytes[at] == 0)) break;
                }
                memset(block[n], 0x99, sizes[i]);
            }
            for (int n = 0; n < 3; n++) CHECK(heap_free(heap, block[n]) == ST_OK);
        }
    }
    void *none;
    CHECK(heap_alloc_aligned(heap, SIZE_MAX, 64, false, &none) == ST_NO_MEMORY && none == NULL);
    CHECK(heap_alloc_aligned(heap, 8, (size_t)1 << 63, false, &none) == ST_NO_MEMORY && none == NULL);
    CHECK_EQ(heap_used(heap), 0);
    CHECK(heap_destroy(heap) == ST_OK);
    CHECK_EQ(granules_taken(), before);
}

/* A block of its own of that many pages: those come longer than CLASS_LARGEST, and may then be made shorter. */
static void *large_make(struct heap *heap, size_t count_pages) {
    void *block;
    if (!CHECK(heap_alloc(heap, CLASS_LARGEST + 1, false, &block) == ST_OK)) return NULL;
    return CHECK(heap_resize(heap, block, PAGES(count_pages)) == ST_OK) ? block : NULL;
}

/* Every length from one page to 70, up and down, with the content checked at each step. */
static void test_steps(void) {
    size_t before = granules_taken();
    struct heap *heap = heap_make(0);
    void *block = heap != NULL ? large_make(heap, 1) : NULL;
    if (block == NULL) return;
    unsigned char *bytes = block;
    size_t held = size_of(heap, block) / PAGE_BYTES, wrong = 0;
    for (size_t i = 0; i < held; i++) bytes[PAGES(i)] = (unsigned char)(i + 1);
    for (; held < 70; held++) {
        if (!CHECK(heap_resize(heap, block, PAGES(held) + 1) == ST_OK)) return;
        CHECK_EQ(size_of(heap, block), PAGES(held + 1));
        CHECK_EQ(heap_taken(heap), PAGES(held + 1));
        CHECK_EQ(heap_used(heap), PAGES(held + 1));
        for (size_t i = 0; i < PAGE_BYTES; i++) wrong += bytes[PAGES(held) + i] != 0; /* what is new is zero */
        memset(bytes + PAGES(held), (int)(held + 1), PAGE_BYTES);
        for (size_t i = 0; i <= held; i++) wrong += bytes[PAGES(i)] != (unsigned char)(i + 1);
    }
    for (held--; held > 0; held--) {
        CHECK(heap_resize(heap, block, PAGES(held)) == ST_OK);
        CHECK_EQ(size_of(heap, block), PAGES(held));
        CHECK_EQ(heap_taken(heap), PAGES(held));
        for (size_t i = 0; i < held; i++) wrong += bytes[PAGES(i)] != (unsigned char)(i + 1);
    }
    CHECK(heap_resize(heap, block, PAGES(40)) == ST_OK);
    for (size_t i = PAGE_BYTES; i < PAGES(40); i++) wrong += bytes[i] != 0; /* what was given back has lost its content */
    CHECK_EQ(wrong, 0);
    CHECK_EQ(granules_taken(), before + granules_for_pages(40));
    CHECK(heap_free(heap, block) == ST_OK);
    CHECK(heap_resize(heap, block, PAGES(3)) == ST_NOT_OURS);
    heap_trim_one(heap); /* by now there may be a keeper, for which it stays */
    CHECK_EQ(heap_taken(heap), 0);
    CHECK_EQ(granules_taken(), before);
    CHECK(heap_destroy(heap) == ST_OK);
}

/* A block may take what is free behind it, and nothing else. */
static void test_neighbours(void) {
    struct heap *heap = heap_make(PAGES(300));
    void *one = heap != NULL ? large_make(heap, 32) : NULL, *two, *small;
    if (one == NULL) return;
    if (!CHECK(heap_resize(heap, one, PAGES(48)) == ST_OK && heap_resize(heap, one, PAGES(26)) == ST_OK)) return;
    struct run run;
    CHECK(region_claim_at((uintptr_t)one + 2 * GRANULE_BYTES, 16, &run) == ST_OK); /* given back by the block */
    CHECK(heap_resize(heap, one, PAGES(32)) == ST_OK);
    CHECK(heap_resize(heap, one, PAGES(33)) == ST_NO_ADDRESS_SPACE);
    CHECK_EQ(size_of(heap, one), PAGES(32));
    CHECK_EQ(heap_taken(heap), PAGES(32));
    region_release(&run);
    CHECK(heap_resize(heap, one, PAGES(33)) == ST_OK);
    CHECK(heap_resize(heap, one, PAGES(301)) == ST_NO_MEMORY); /* the heap's bound */
    CHECK(heap_resize(heap, one, SIZE_MAX) == ST_NO_MEMORY);
    CHECK(heap_resize(heap, (char *)one + 16, PAGES(20)) == ST_NOT_OURS);
    CHECK(heap_resize(heap, &run, PAGES(20)) == ST_NOT_OURS);
    CHECK(heap_alloc(heap, PAGES(20), false, &two) == ST_OK);
    CHECK(heap_alloc(heap, 100, false, &small) == ST_OK);
    CHECK(heap_resize(heap, small, 112) == ST_OK && heap_resize(heap, small, 0) == ST_OK);
    CHECK(heap_resize(heap, small, 113) == ST_NO_ADDRESS_SPACE);
    CHECK_EQ(heap_used(heap), PAGES(33) + PAGES(20) + 112);
    CHECK(heap_alloc_apart(heap, SIZE_MAX, &small) == ST_NO_MEMORY && small == NULL);
    CHECK(heap_alloc_apart(heap, 5000, &small) == ST_OK && size_of(heap, small) == PAGES(2));
    CHECK(heap_resize(heap, small, 50000) == ST_OK && size_of(heap, small) == PAGES(13));
    CHECK(heap_free(heap, (char *)small + PAGE_BYTES) == ST_NOT_OURS && heap_free(heap, small) == ST_OK);
    CHECK(heap_destroy(heap) == ST_OK);
}

/* A block over many sheets of the address map, cut short within one, is found from all of its granules, and grows again. */
static void test_sheets(void) {
    const size_t whole = 5 * PAGES_PER_SHEET, left = 3 * PAGES_PER_SHEET - 5 * PAGES_PER_GRANULE;
    struct heap *heap = heap_make(0);
    char *block = heap != NULL ? large_make(heap, whole) : NULL;
    if (block == NULL || !CHECK(heap_resize(heap, block, PAGES(left)) == ST_OK)) return;
    struct run run;
    struct found found;
    if (!CHECK(region_claim_at((uintptr_t)block + PAGES(left), 2, &run) == ST_OK && space_prepare(run.first, 2) == ST_OK)) return;
    space_publish(run.first, (struct span){.count_pages = 2, .state = PG_READWRITE, .kind = SPAN_VM});
    for (size_t at = 0; at < PAGES(left); at += GRANULE_BYTES) {
        CHECK(space_find((uintptr_t)block + at + 100, &found) && granule_address(found.head) == (uintptr_t)block);
    }
    CHECK(space_find((uintptr_t)block + PAGES(left), &found) && found.head.n == run.first.n && space_retract(&found));
    region_release(&run);
    CHECK(heap_resize(heap, block, PAGES(whole)) == ST_OK && size_of(heap, block) == PAGES(whole));
    for (size_t at = 0; at < PAGES(whole); at += GRANULE_BYTES) {
        CHECK(space_find((uintptr_t)block + at + 100, &found) && granule_address(found.head) == (uintptr_t)block);
    }
    CHECK(heap_free(heap, block) == ST_OK);
    CHECK(heap_destroy(heap) == ST_OK);
}

#ifdef HM_FAULT
/* Each call to the system refused in turn: the block is as it was, and afterwards everything works and nothing is lost. */
static void test_refusals(size_t from, size_t to) {
    for (long nth = 1; nth < 20; nth++) {
        struct heap *heap = heap_make(0);
        void *block = heap != NULL ? large_make(heap, from) : NULL;
        if (block == NULL) return;
        size_t before = granules_taken();
        memset(block, 0x31, PAGES(from));
        os_fault_set(NULL, nth, false);
        enum status status = heap_resize(heap, block, PAGES(to));
        bool met = os_fault_calls() >= nth;
        os_fault_set(NULL, 0, false);
        size_t now = size_of(heap, block), wrong = 0, kept = from < to ? from : to;
        CHECK(now == PAGES(to) || now == PAGES(from));
        CHECK(status == ST_OK || now == PAGES(from));
        CHECK(to < from ? status == ST_OK : now == PAGES(status == ST_OK ? to : from));
        CHECK_EQ(heap_taken(heap), now);
        for (size_t i = 0; i < PAGES(kept); i++) wrong += ((unsigned char *)block)[i] != 0x31;
        CHECK_EQ(wrong, 0);
        CHECK(heap_resize(heap, block, PAGES(to)) == ST_OK);
        memset(block, 0x32, PAGES(to));
        CHECK(heap_resize(heap, block, PAGES(from)) == ST_OK);
        memset(block, 0x33, PAGES(from));
        CHECK_EQ(granules_taken(), before);
        CHECK(heap_free(heap, block) == ST_OK);
        CHECK(heap_destroy(heap) == ST_OK);
        if (!met) return;
    }
    CHECK(!"there was an end to the calls");
}
#endif

int main(void) {
    test_alignments();
    test_steps();
    test_neighbours();
    test_sheets();
#ifdef HM_FAULT
    test_refusals(24, 40);
    test_refusals(40, 24);
    test_refusals(20, 22);
    test_refusals(45, 3);
#endif
    return check_done();
}

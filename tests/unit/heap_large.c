/*
 * heap_large.c - blocks of their own that were freed and stay for a while: whom they serve again and how, how much of them stays,
 * and that it goes back. There is a keeper throughout.
 */
#include "heap/heap.h"

#include <string.h>

#include "base/prot.h"
#include "core/keeper.h"
#include "core/pages.h"
#include "heap/front.h"
#include "heaptest.h"
#include "os/os.h"
#include "resident.h"
#include "thread.h"
#ifdef HM_FAULT
#include "os/fault.h"
#endif

#define MIB ((size_t)1 << 20)

static void give(struct heap *heap, void *block) { CHECK(heap_free(heap, block) == ST_OK); }

static void *zeroed(struct heap *heap, size_t size) {
    void *block;
    return CHECK(heap_alloc(heap, size, true, &block) == ST_OK) ? block : NULL;
}

static size_t count_other(const unsigned char *bytes, size_t size, unsigned char than) {
    size_t count = 0;
    for (size_t i = 0; i < size; i++) count += bytes[i] != than;
    return count;
}

/* A heap of that limit with a block of that size, full of 7s, that was freed and stays. NULL: there is no heap. */
static unsigned char *one_that_stays(struct heap **heap, size_t limit, size_t size) {
    *heap = heap_make(limit);
    unsigned char *block = *heap != NULL ? take(*heap, size) : NULL;
    if (block == NULL) return NULL;
    memset(block, 7, size);
    give(*heap, block);
    return block;
}

/* Requests of about its length have it again. Returns whether they did: on a slow machine the keeper may come in between. */
static bool serves(void) {
    struct heap *heap;
    unsigned char *block = one_that_stays(&heap, 0, 3 * MIB);
    if (block == NULL) return true;
    CHECK_EQ(heap_used(heap), 0);
    CHECK(heap_free(heap, block) == ST_NOT_OURS);
    CHECK(heap_resize(heap, block, 2 * MIB) == ST_NOT_OURS);
    bool did = take(heap, 3 * MIB - 300000) == block && size_of(heap, block) == 3 * MIB;
    did = did && count_other(block, 3 * MIB, 7) == 0 && take(heap, 3 * MIB) != block;
    if (did) {
        give(heap, block);
        did = zeroed(heap, 3 * MIB) == block;
        CHECK_EQ(count_other(block, 3 * MIB, 0), 0);
    }
    CHECK(heap_destroy(heap) == ST_OK);
    return did;
}

/* A longer one serves requests that are shorter, one after the other, and all of it one for its length again. */
static bool cut_and_joined(void) {
    struct heap *heap;
    unsigned char *block = one_that_stays(&heap, 0, 12 * MIB);
    if (block == NULL) return true;
    unsigned char *first = take(heap, 4 * MIB - 5 * PAGE_BYTES), *second = take(heap, 4 * MIB), *third = take(heap, 4 * MIB);
    bool did = first == block && second == block + 4 * MIB && third == block + 8 * MIB && heap_taken(heap) == 12 * MIB;
    if (did) {
        CHECK(size_of(heap, first) == 4 * MIB && size_of(heap, second) == 4 * MIB && size_of(heap, third) == 4 * MIB);
        CHECK_EQ(count_other(block, 12 * MIB, 7), 0);
        CHECK(heap_free(heap, second + MIB) == ST_NOT_OURS);
        give(heap, second);
        CHECK(heap_free(heap, second) == ST_NOT_OURS);
        give(heap, first);
        give(heap, third);
        did = take(heap, 8 * MIB) == first && count_other(first, 8 * MIB, 7) == 0 && heap_free(heap, second) == ST_NOT_OURS;
        if (did) {
            give(heap, first);
            did = zeroed(heap, 12 * MIB) == block && heap_taken(heap) == 12 * MIB;
        }
        CHECK(!did || count_other(block, 12 * MIB, 0) == 0);
    }
    CHECK(heap_destroy(heap) == ST_OK);
    return did;
}

/* One that is too short has free granules behind it; what it gains of its last granule, and of these, is zero. */
static bool lengthened(void) {
    const size_t odd = 3 * MIB - 3 * PAGE_BYTES;
    struct heap *heap;
    unsigned char *block = one_that_stays(&heap, 9 * MIB, odd);
    if (block == NULL) return true;
    bool did = take(heap, 5 * MIB) == block && heap_taken(heap) == 5 * MIB;
    CHECK(!did || (count_other(block, odd, 7) == 0 && count_other(block + odd, 5 * MIB - odd, 0) == 0));
    give(heap, block);
    void *rest = take(heap, 4 * MIB); /* with one that stays and serves it there is room for both */
    CHECK(rest != NULL && take(heap, 5 * MIB - MIB / 8) != NULL);
    CHECK(heap_destroy(heap) == ST_OK);
    return did;
}

/* One that grows takes in what stays behind it, and no more than it needs; what does not reach stays where it is. */
static bool grows(void) {
    const size_t odd = 4 * MIB - 3 * PAGE_BYTES;
    struct heap *heap;
    unsigned char *block = one_that_stays(&heap, 0, 12 * MIB);
    if (block == NULL) return true;
    unsigned char *first = take(heap, odd), *second = take(heap, 4 * MIB), *third = take(heap, 4 * MIB);
    bool did = first == block && second == block + 4 * MIB && third == block + 8 * MIB;
    if (did) {
        give(heap, second);
        did = heap_resize(heap, first, 6 * MIB) == ST_OK && heap_taken(heap) == 12 * MIB;
        CHECK(!did || (size_of(heap, first) == 6 * MIB && count_other(first, odd, 7) == 0));
        CHECK(heap_resize(heap, first, 6 * MIB - PAGE_BYTES) == ST_OK);
        CHECK(heap_resize(heap, first, 9 * MIB) == ST_NO_ADDRESS_SPACE && size_of(heap, first) == 6 * MIB - PAGE_BYTES);
        did = did && take(heap, 2 * MIB) == first + 6 * MIB;
        CHECK(heap_free(heap, third) == ST_OK && heap_free(heap, first) == ST_OK);
    }
    CHECK(heap_destroy(heap) == ST_OK);
    return did;
}

#ifdef HM_FAULT
/* Where there is no memory for the book of what is cut off, that goes; the request is served. */
static bool cut_without_tables(void) {
    struct heap *heap;
    unsigned char *block = one_that_stays(&heap, 0, 12 * MIB);
    if (block == NULL) return true;
    os_fault_set("tables_commit", 1, false);
    bool did = take(heap, 2 * MIB) == block && os_fault_calls() >= 1;
    os_fault_set(NULL, 0, false);
    CHECK(!did || heap_taken(heap) == 2 * MIB);
    CHECK(heap_destroy(heap) == ST_OK);
    return did;
}
#endif

static bool touches_count; /* what has memory is what was touched, and no more */

static size_t count_behind(const char *block, size_t size) {
    size_t count = 0;
    for (size_t at = 0; at < size; at += MIB) count += os_touched((uintptr_t)block + at, MIB);
    return count;
}

/* Zeroed, it keeps the memory of where much of it was used, 4 MiB from 2 MiB on, and loses that of where little was. */
static bool zeroed_by_use(void) {
    const size_t size = 10 * MIB, pages = size / PAGE_BYTES;
    struct heap *heap = heap_make(0);
    char *block = heap != NULL ? take(heap, size) : NULL;
    if (block == NULL) return true;
    for (size_t at = 0; at < size; at += 16 * PAGE_BYTES) block[at] = 1;
    memset(block + 2 * MIB, 1, 4 * MIB);
    give(heap, block);
    bool did = zeroed(heap, size) == block;
    CHECK(!did || !touches_count || count_behind(block, size) == pages * 4 / 10);
    CHECK(!did || count_other((unsigned char *)block, size, 0) == 0);
    /* Looked through, its pages are there; but nothing is in them. */
    give(heap, block);
    did = did && zeroed(heap, size) == block;
    CHECK(!did || !touches_count || count_behind(block, size) == 0);
    CHECK(heap_destroy(heap) == ST_OK);
    return did;
}

/* So is one of a class, new or used before: it has no memory where the program used little. Through the caches and past them. */
static void test_zeroed_of_class(bool cached) {
    const size_t size = MIB / 2;
    struct heap *heap = heap_make(0);
    if (heap == NULL) return;
    for (int turn = 0; turn < 4; turn++) {
        void *got = NULL;
        CHECK((cached ? front_alloc : heap_alloc)(heap, size, true, &got) == ST_OK);
        unsigned char *block = got;
        if (block == NULL) break;
        CHECK(!touches_count || os_touched((uintptr_t)block, size) == (turn == 3 ? size / PAGE_BYTES : 0));
        /* Only where it was used: to read all of it is to use it. */
        CHECK_EQ(count_other(block, turn == 3 ? size : 4 * PAGE_BYTES, 0), 0);
        block[turn * PAGE_BYTES] = 1;
        if (turn == 2) memset(block, 1, size); /* much: its memory stays */
        CHECK((cached ? front_free : heap_free)(heap, block) == ST_OK);
    }
    CHECK(heap_destroy(heap) == ST_OK);
}

/*
 * One whose pages the program goes through and leaves nearly empty, as a picture with little in it, keeps their memory, but for a
 * try now and then whether the program still does. One that it does not go through any more loses it in time.
 */
static void test_zeroed_and_empty(bool cached) {
    const size_t size = MIB / 2;
    struct heap *heap = os_commit_is_lazy() ? heap_make(0) : NULL;
    size_t kept = 0, there = 0;
    for (size_t turn = 0; heap != NULL && turn < 128; turn++) {
        void *got = NULL;
        CHECK((cached ? front_alloc : heap_alloc)(heap, size, true, &got) == ST_OK);
        unsigned char *block = got;
        if (block == NULL) break;
        there = os_touched((uintptr_t)block, size);
        kept += turn < 64 && there == size / PAGE_BYTES;
        CHECK_EQ(count_other(block, turn <= 64 ? size : 4 * PAGE_BYTES, 0), 0);
        if (turn < 64) memset(block, 0, size);
        block[turn % 4 * PAGE_BYTES] = 1;
        CHECK((cached ? front_free : heap_free)(heap, block) == ST_OK);
    }
    CHECK(heap == NULL || (kept >= 48 && there == 0));
    CHECK(heap == NULL || heap_destroy(heap) == ST_OK);
}

/* What the program did to its pages is undone. */
static bool access_returns(void) {
    struct heap *heap = heap_make(0);
    char *block = heap != NULL ? take(heap, 2 * MIB) : NULL;
    if (block == NULL) return true;
    CHECK(os_protect((uintptr_t)block + MIB, PAGE_BYTES, PG_NOACCESS) == ST_OK);
    pages_fill(page_of((uintptr_t)block + MIB), 1, PG_NOACCESS);
    give(heap, block);
    bool did = true;
#ifdef HM_FAULT
    os_fault_set("protect", 1, true);
    did = take(heap, 2 * MIB) != block && os_fault_calls() >= 1;
    os_fault_set(NULL, 0, false);
#endif
    char *again = take(heap, 2 * MIB);
    memset(again, 1, 2 * MIB);
    CHECK_EQ(pages_count_committed(page_of((uintptr_t)again), 2 * MIB / PAGE_BYTES), 2 * MIB / PAGE_BYTES);
    CHECK(heap_destroy(heap) == ST_OK);
    return did && again == block;
}

/* Also of a block that is taken in by one that grows; what the program did to that one's pages stays. */
static bool access_returns_behind(void) {
    struct heap *heap;
    char *block = (char *)one_that_stays(&heap, 0, 8 * MIB);
    if (block == NULL) return true;
    char *first = take(heap, 4 * MIB), *second = take(heap, 4 * MIB);
    bool did = first == block && second == block + 4 * MIB;
    if (did) {
        CHECK(os_protect((uintptr_t)first, PAGE_BYTES, PG_READ) == ST_OK);
        pages_fill(page_of((uintptr_t)first), 1, PG_READ);
        CHECK(os_protect((uintptr_t)second + MIB, PAGE_BYTES, PG_NOACCESS) == ST_OK);
        pages_fill(page_of((uintptr_t)second + MIB), 1, PG_NOACCESS);
        give(heap, second);
#ifdef HM_FAULT
        os_fault_set("protect", 1, true);
        did = heap_resize(heap, first, 8 * MIB) != ST_OK && os_fault_calls() >= 1;
        os_fault_set(NULL, 0, false);
        CHECK(!did || (size_of(heap, first) == 4 * MIB && heap_taken(heap) == 8 * MIB));
#endif
        did = did && heap_resize(heap, first, 8 * MIB) == ST_OK && heap_taken(heap) == 8 * MIB;
        struct piece at = {0};
        CHECK(!did || (pages_next(page_of((uintptr_t)first), 1, &at, PG_STATE_MASK) && at.state == PG_READ));
        if (did) memset(first + PAGE_BYTES, 1, 8 * MIB - PAGE_BYTES);
    }
    CHECK(heap_destroy(heap) == ST_OK);
    return did;
}

static void in_some_round(bool (*test)(void)) {
    int round = 0;
    while (round < 20 && !test()) round++;
    CHECK(round < 20);
}

/* Of many only some stay, of very long ones none; and nobody is refused for what stays. */
static void test_bounds(void) {
    enum { COUNT = 60 };
    struct heap *heap = heap_make(100 * MIB);
    void *block[COUNT];
    if (heap == NULL) return;
    for (size_t i = 0; i < COUNT; i++) block[i] = take(heap, 3 * MIB / 2);
    for (size_t i = 0; i < COUNT; i++) give(heap, block[i]);
    CHECK(heap_taken(heap) <= 64 * MIB);
    void *most = take(heap, 99 * MIB);
    CHECK_EQ(heap_taken(heap), 99 * MIB);
    give(heap, most);
    CHECK_EQ(heap_taken(heap), 0);
    CHECK(heap_destroy(heap) == ST_OK);
}

/* A heap whose blocks get longer and longer, and then short, needs hardly more than what is live. */
static void test_peak(void) {
    struct heap *heap = heap_make(0);
    if (heap == NULL) return;
    for (size_t size = 2 * MIB; size < 20 * MIB; size += MIB) {
        void *one = take(heap, size), *two = take(heap, size);
        CHECK(heap_taken(heap) <= 2 * size + 9 * MIB + size / 4);
        give(heap, one);
        give(heap, two);
    }
    void *small[200];
    for (size_t i = 0; i < 200; i++) small[i] = take(heap, 200000);
    CHECK(heap_taken(heap) <= (200 * 4 / 3) * 200000 + 9 * MIB);
    for (size_t i = 0; i < 200; i++) give(heap, small[i]);
    CHECK(heap_destroy(heap) == ST_OK);
}

/* Nor does one with a block that gets longer where it is. */
static void test_peak_of_one(void) {
    struct heap *heap = heap_make(0);
    void *before[20];
    if (heap == NULL) return;
    for (size_t i = 0; i < 20; i++) before[i] = take(heap, 2 * MIB);
    void *one = take(heap, 2 * MIB);
    for (size_t i = 0; i < 20; i++) give(heap, before[i]);
    for (size_t size = 4 * MIB; size <= 64 * MIB; size += 4 * MIB) {
        if (heap_resize(heap, one, size) != ST_OK) break;
        CHECK(heap_taken(heap) <= (size > 34 * MIB ? size : 34 * MIB) + 9 * MIB);
    }
    CHECK(heap_destroy(heap) == ST_OK);
}

/* It goes back soon, by itself. */
static void test_goes(void) {
    struct heap *heap = heap_make(0);
    if (heap == NULL) return;
    size_t before = granules_taken();
    give(heap, take(heap, 5 * MIB));
    for (uint64_t end = os_clock_ms() + 10000; heap_taken(heap) != 0 && os_clock_ms() < end;) os_yield(100);
    CHECK_EQ(heap_taken(heap), 0);
    CHECK_EQ(granules_taken(), before);
    CHECK(heap_destroy(heap) == ST_OK);
}

#ifdef HM_FAULT
/* So does what the system refused to take back when it was freed: the keeper asks again. */
static void test_goes_after_all(void) {
    struct heap *heap;
    if (!CHECK(heap_create(true, 0, &heap) == ST_OK)) return;
    char *block = take(heap, 5 * MIB);
    os_fault_set("decommit", 1, true);
    give(heap, block);
    CHECK(os_fault_calls() >= 1 && heap_taken(heap) == 5 * MIB);
    os_yield(100);
    os_fault_set(NULL, 0, false);
    for (uint64_t end = os_clock_ms() + 10000; heap_taken(heap) != 0 && os_clock_ms() < end;) os_yield(100);
    CHECK_EQ(heap_taken(heap), 0);
    CHECK(heap_destroy(heap) == ST_OK);
}
#endif

/* Threads that take blocks of like lengths, and parts of longer ones, from each other, while the heap is trimmed now and then. */
static void *churn(void *context) {
    struct heap *heap = context;
    unsigned char *block[4] = {0};
    size_t size[4] = {0}, wrong = 0;
    uint64_t random = (uintptr_t)&random;
    unsigned char own = (unsigned char)(os_thread_id() % 255 + 1);
    for (int turn = 0; turn < 600; turn++) {
        size_t i = thread_random(&random) % 4;
        for (size_t at = 0; block[i] && at < size[i]; at += PAGE_BYTES) wrong += block[i][at] != own;
        if (block[i]) give(heap, block[i]);
        bool zero = turn % 5 == 0;
        size[i] = MIB + 1 + thread_random(&random) % (turn % 3 ? MIB / 2 : 4 * MIB);
        block[i] = zero ? zeroed(heap, size[i]) : take(heap, size[i]);
        if (block[i] == NULL) break;
        for (size_t at = 0; at < size[i]; at += PAGE_BYTES) {
            wrong += zero && block[i][at] != 0;
            block[i][at] = own;
        }
        if (turn % 50 == 0) heap_trim_one(heap);
    }
    CHECK_EQ(wrong, 0);
    for (size_t i = 0; i < 4; i++)
        if (block[i]) give(heap, block[i]);
    return NULL;
}

static void test_threads(void) {
    struct heap *heap = heap_make(0);
    struct threads threads = {0};
    if (heap == NULL) return;
    for (int i = 0; i < 4; i++) threads_start(&threads, churn, heap);
    threads_join(&threads);
    CHECK_EQ(heap_used(heap), 0);
    heap_trim_one(heap);
    CHECK_EQ(heap_taken(heap), 0);
    CHECK(heap_destroy(heap) == ST_OK);
}

int main(void) {
    touches_count = os_commit_is_lazy() && touches_are_small();
    keeper_wanted();
    in_some_round(serves);
    in_some_round(cut_and_joined);
    in_some_round(lengthened);
    in_some_round(grows);
#ifdef HM_FAULT
    in_some_round(cut_without_tables);
#endif
    in_some_round(zeroed_by_use);
    in_some_round(access_returns);
    in_some_round(access_returns_behind);
    test_zeroed_of_class(false);
    test_zeroed_of_class(true);
    test_zeroed_and_empty(false);
    test_zeroed_and_empty(true);
    test_bounds();
    test_peak();
    test_peak_of_one();
    test_goes();
#ifdef HM_FAULT
    test_goes_after_all();
#endif
    test_threads();
    return check_done();
}

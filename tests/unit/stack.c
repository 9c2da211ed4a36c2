/*
 * How much of the caller's stack a call may take. A thread may have no more than 16 KiB of it, a coroutine or a signal handler's
 * alternate stack less, and Win32's own calls and malloc do with little.
 */
#include "check.h"
#include "flat.h"
#include "thread.h"

enum { OWN_FRAME = 256, LOOKED_AT = 48 * 1024, MOST = 8 * 1024, PAINT = 0xa5 };

#ifndef HM_SANITIZED
/* How much of the stack below the caller's frame has been written since it was painted. Downwards, as Windows hands it out. */
static __attribute__((noinline)) size_t below(bool paint) {
    volatile unsigned char *frame = (volatile unsigned char *)__builtin_frame_address(0);
    size_t deepest = 0;
    for (size_t i = OWN_FRAME; i < LOOKED_AT; i++) {
        if (paint) frame[-(ptrdiff_t)i] = PAINT;
        else if (frame[-(ptrdiff_t)i] != PAINT) deepest = i;
    }
    return deepest;
}
#else /* they lay out frames of their own */
static size_t below(bool paint) { return paint; }
#endif

static void expect_little(const char *name, void (*call)(void)) {
    for (int time = 0; time < 3; time++) {
        below(true);
        call();
        size_t deep = below(false);
        if (!CHECK(deep <= MOST)) printf("%s: %zu bytes of stack\n", name, deep);
        thread_rest(0.06); /* what looks at the machine does so now and then */
    }
}

static HANDLE heap;

static void large_pages(void) { release(used(16 * MIB)); }
static void large_block(void) {
    char *block = HmHeapAlloc(heap, 0, 3 * MIB);
    if (CHECK(block != NULL)) block[0] = 1;
    CHECK(HmHeapFree(heap, 0, block));
}
static void small_block(void) { CHECK(HmHeapFree(heap, 0, HmHeapAlloc(heap, 0, 100))); }
static void growth(void) {
    char *p = reserve(64 * MIB);
    for (size_t i = 0; i < 500; i++) {
        CHECK(commit(p + i * 64 * KIB, 64 * KIB));
        p[i * 64 * KIB] = 1;
    }
    CHECK(decommit(p, MIB));
    release(p);
}
static void foreign(void) {
    MEMORY_BASIC_INFORMATION info;
    CHECK(HmVirtualQuery((const void *)(uintptr_t)foreign, &info, sizeof info));
}
static void trim(void) { HmTrim(); }

static void *calls(void *context) {
    (void)context;
    expect_little("16 MiB of pages", large_pages);
    expect_little("a large block", large_block);
    expect_little("a small block", small_block);
    expect_little("growth", growth);
    expect_little("a query of foreign memory", foreign);
    expect_little("HmTrim", trim);
    return NULL;
}

int main(void) {
    struct threads threads = {0};
    heap = HmHeapCreate(0, 0, 0);
    CHECK(heap != NULL);
    threads_start(&threads, calls, NULL);
    threads_join(&threads);
    CHECK(HmHeapDestroy(heap));
    return check_done();
}

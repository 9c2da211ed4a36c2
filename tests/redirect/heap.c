/*
 * heap.c - Win32 heaps and the C library's, as programs use them: sizes, growing and shrinking with zeros where they were
 * promised, heaps that come and go with their blocks, blocks that other threads free, and what came from one call and goes to
 * another.
 *
 * usage: heap [limit]     limit: only what a limit of 48 MiB (HOSTMEM_HARD_COMMIT) must not refuse
 */
#include <windows.h>

#include <malloc.h>
#include <string.h>

#include "check.h"

enum { THREADS = 8, BLOCKS = 2000 };

static bool all_are(const char *block, SIZE_T from, SIZE_T to, char value) {
    for (SIZE_T i = from; i < to; i++) {
        if (block[i] != value) return false;
    }
    return true;
}

static void test_sizes(HANDLE heap) {
    for (SIZE_T size = 0; size < 300000; size = size * 5 / 4 + 3) {
        char *block = HeapAlloc(heap, 0, size);
        if (!CHECK(block != NULL)) return;
        CHECK_EQ((uintptr_t)block % 16, 0);
        CHECK(HeapSize(heap, 0, block) >= size && HeapSize(heap, 0, block) < size + 8);
        memset(block, 1, size);
        CHECK(HeapValidate(heap, 0, block));
        SIZE_T more = size * 3 / 2 + 11, less = size / 3;
        block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, more);
        if (!CHECK(block != NULL)) return;
        CHECK(all_are(block, 0, size, 1));
        CHECK(all_are(block, size, more, 0));
        memset(block, 2, more);
        block = HeapReAlloc(heap, 0, block, less);
        CHECK(block != NULL && all_are(block, 0, less, 2));
        SIZE_T told = HeapSize(heap, 0, block);
        block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, less + 40);
        CHECK(block != NULL && all_are(block, 0, less, 2) && all_are(block, told, less + 40, 0));
        CHECK(HeapFree(heap, 0, block));
        char *zero = HeapAlloc(heap, HEAP_ZERO_MEMORY, size);
        CHECK(zero != NULL && all_are(zero, 0, size, 0));
        CHECK(HeapFree(heap, 0, zero));
    }
    CHECK(HeapFree(heap, 0, NULL));
    CHECK(HeapAlloc(heap, 0, (SIZE_T)1 << 60) == NULL);
}

/* A block that had a size of its own before, in the same place, has none of it left. */
static void test_again(HANDLE heap) {
    for (SIZE_T size = 16; size < 2000; size += 16) {
        for (SIZE_T less = 1; less < 16; less++) {
            char *block = HeapAlloc(heap, 0, size - less);
            CHECK(block != NULL && HeapFree(heap, 0, block));
            block = HeapAlloc(heap, 0, size);
            CHECK(block != NULL && HeapSize(heap, 0, block) >= size);
            CHECK(HeapFree(heap, 0, block));
        }
    }
}

static void test_in_place(HANDLE heap) {
    char *block = HeapAlloc(heap, 0, 100);
    CHECK(HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, block, 60) == block);
    char *grown = HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, block, 50000);
    CHECK(grown == NULL || grown == block);
    CHECK(HeapFree(heap, 0, block));
}

/* From a block of its own to one that is far too small for that, with content, and back; where what is given back faults, too. */
static void test_far_apart(DWORD options) {
    HANDLE heap = HeapCreate(options, 0, 0);
    static const SIZE_T small[] = {0, 1, 300, 2047, 2048, 4095, 4096, 70000}, large[] = {(1 << 20) + 1, 5 << 20};
    for (size_t i = 0; i < 2 * sizeof small / sizeof *small; i++) {
        SIZE_T few = small[i / 2], many = large[i % 2];
        char *block = HeapAlloc(heap, 0, many);
        if (!CHECK(block != NULL)) return;
        memset(block, 7, many);
        block = HeapReAlloc(heap, 0, block, few);
        if (!CHECK(block != NULL)) return;
        CHECK(HeapSize(heap, 0, block) - few < 8 && (few == 0 || (block[0] == 7 && block[few - 1] == 7)));
        block = HeapReAlloc(heap, HEAP_ZERO_MEMORY, block, many);
        if (!CHECK(block != NULL)) return;
        CHECK((few == 0 || block[few - 1] == 7) && block[few] == 0 && block[many - 1] == 0);
        char *same = HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, block, few);
        CHECK(same == NULL || same == block);
        CHECK(HeapSize(heap, 0, block) - (same ? few : many) < 8);
        CHECK(HeapFree(heap, 0, block));
    }
    CHECK(HeapDestroy(heap));
}

/* As JavaScriptCore does with blocks that it is done with, and takes up again. */
static void test_pages_of(HANDLE heap) {
    static const SIZE_T sizes[] = {20000, 70000, 1 << 18, 3 << 20};
    for (int i = 0; i < 4; i++) {
        char *block = HeapAlloc(heap, 0, sizes[i]);
        if (!CHECK(block != NULL)) return;
        char *page = (char *)(((uintptr_t)block + 4096) & ~(uintptr_t)4095); /* not the block's first byte */
        memset(block, 7, sizes[i]);
        CHECK(VirtualAlloc(page + 5, 4096, MEM_COMMIT, PAGE_READWRITE) == page);
        CHECK(page[0] == 7 && page[4096] == 7);
        CHECK(VirtualAlloc(page, 8192, MEM_RESET, PAGE_READWRITE) == page);
        CHECK(block[0] == 7 && page[8192] == 7);
        page[0] = page[8191] = 8;
        CHECK(VirtualAlloc(page, 4096, MEM_COMMIT, PAGE_READONLY) == page);
        MEMORY_BASIC_INFORMATION info;
        CHECK(VirtualQuery(page, &info, sizeof info) == sizeof info && info.Protect == PAGE_READONLY && page[0] == 8);
        CHECK(VirtualAlloc(page, 4096, MEM_COMMIT, PAGE_READWRITE) == page);
        page[0] = 9;
        CHECK(HeapFree(heap, 0, block));
    }
}

/* Many heaps, whose blocks are gone when they are. */
static void test_heaps(void) {
    for (int i = 0; i < 200; i++) {
        HANDLE heap = HeapCreate(i % 2 ? HEAP_NO_SERIALIZE : 0, 0, i % 10 == 9 ? 1 << 20 : 0);
        if (!CHECK(heap != NULL)) return;
        char *last = NULL;
        for (int n = 1; n < 100; n++) {
            char *block = HeapAlloc(heap, 0, (SIZE_T)n * 13);
            CHECK(block != NULL && block != last);
            memset(block, n, (SIZE_T)n * 13);
            last = n % 3 ? block : NULL;
            if (n % 3 == 0) CHECK(HeapFree(heap, 0, block));
        }
        ULONG front_end = 0;
        CHECK(HeapLock(heap) && HeapUnlock(heap));
        HeapQueryInformation(heap, HeapCompatibilityInformation, &front_end, sizeof front_end, NULL);
        CHECK(HeapDestroy(heap));
    }
}

static char *volatile shared_blocks[THREADS][BLOCKS];

static DWORD WINAPI hand_over(LPVOID number) {
    int mine = (int)(uintptr_t)number, next = (mine + 1) % THREADS;
    for (int i = 0; i < BLOCKS; i++) {
        char *block = HeapAlloc(GetProcessHeap(), 0, (SIZE_T)(i % 50) * 40 + 1);
        if (!CHECK(block != NULL)) return 1;
        block[0] = (char)i;
        char *before = InterlockedExchangePointer((PVOID volatile *)&shared_blocks[next][i], block);
        char *given = InterlockedExchangePointer((PVOID volatile *)&shared_blocks[mine][i], NULL);
        if (before) CHECK(before[0] == (char)i && HeapFree(GetProcessHeap(), 0, before));
        if (given) CHECK(given[0] == (char)i && HeapFree(GetProcessHeap(), 0, given));
    }
    return 0;
}

static void test_threads(void) {
    HANDLE thread[THREADS];
    for (int i = 0; i < THREADS; i++) thread[i] = CreateThread(NULL, 0, hand_over, (LPVOID)(uintptr_t)i, 0, NULL);
    for (int i = 0; i < THREADS; i++) CHECK_EQ(WaitForSingleObject(thread[i], 60000), WAIT_OBJECT_0);
}

static void test_c_library(void) {
    for (size_t size = 1; size < 100000; size = size * 3 / 2 + 1) {
        char *block = malloc(size), *zero = calloc(size, 2);
        if (!CHECK(block != NULL && zero != NULL)) return;
        CHECK(all_are(zero, 0, 2 * size, 0));
        CHECK(_msize(block) >= size);
        memset(block, 3, size);
        block = realloc(block, size * 2);
        CHECK(block != NULL && all_are(block, 0, size, 3));
        free(block);
        free(zero);
        char *aligned = _aligned_malloc(size, 256);
        CHECK(aligned != NULL && (uintptr_t)aligned % 256 == 0);
        _aligned_free(aligned);
    }
    char *copy = _strdup("a copy");
    CHECK(strcmp(copy, "a copy") == 0);
    free(copy);
}

/* Blocks that the system's own code allocated, or frees. */
static void test_mixed(void) {
    char *text = NULL;
    DWORD how = FORMAT_MESSAGE_ALLOCATE_BUFFER | FORMAT_MESSAGE_FROM_STRING;
    CHECK(FormatMessageA(how, "a message", 0, 0, (LPSTR)&text, 0, NULL) > 0);
    CHECK(text != NULL && strcmp(text, "a message") == 0);
    CHECK(LocalFree(text) == NULL);
    char *local = LocalAlloc(LMEM_FIXED, 100);
    CHECK(local != NULL && LocalSize(local) >= 100);
    memset(local, 5, 100);
    CHECK(LocalFree(local) == NULL);
    HGLOBAL movable = GlobalAlloc(GMEM_MOVEABLE, 500);
    char *there = GlobalLock(movable);
    CHECK(there != NULL);
    if (there) memset(there, 6, 500);
    GlobalUnlock(movable);
    CHECK(GlobalFree(movable) == NULL);
    LPWCH environment = GetEnvironmentStringsW();
    CHECK(environment != NULL && FreeEnvironmentStringsW(environment));
}

/* A fixed block of the process's heap is a block to these as well, whoever allocated it. */
static void test_local_calls(void) {
    char *block = HeapAlloc(GetProcessHeap(), 0, 100);
    memset(block, 7, 100);
    CHECK(LocalHandle(block) == block && GlobalHandle(block) == block);
    CHECK_EQ(LocalFlags(block), 0);
    CHECK(LocalReAlloc(block, 0, LMEM_MODIFY) == block);
    block = LocalReAlloc(block, 3000, LMEM_MOVEABLE | LMEM_ZEROINIT);
    CHECK(block != NULL && all_are(block, 0, 100, 7) && all_are(block, 100, 3000, 0) && LocalSize(block) == 3000);
    CHECK(LocalFree(block) == NULL);
    block = HeapAlloc(GetProcessHeap(), 0, 100);
    memset(block, 8, 100);
    block = GlobalReAlloc(block, 5000, GMEM_MOVEABLE);
    CHECK(block != NULL && all_are(block, 0, 100, 8) && GlobalSize(block) == 5000);
    SetLastError(4711);
    CHECK(GlobalReAlloc(block, 1 << 24, 0) == NULL && GetLastError() == ERROR_NOT_ENOUGH_MEMORY);
    CHECK(GlobalFree(block) == NULL);
}

static bool listed(HANDLE heap, DWORD *count) {
    HANDLE handle[64];
    bool found = false;
    *count = GetProcessHeaps(64, handle);
    for (DWORD i = 0; i < *count && i < 64; i++) found = found || handle[i] == heap;
    return found;
}

static void test_list(void) {
    HANDLE heap = HeapCreate(0, 0, 0), first;
    DWORD with, without;
    CHECK(listed(heap, &with) && with <= 64 && listed(GetProcessHeap(), &with));
    CHECK_EQ(GetProcessHeaps(1, &first), with);
    SetLastError(4711);
    CHECK(HeapReAlloc(heap, 0, NULL, 10) == NULL && GetLastError() == 4711);
    CHECK(HeapDestroy(heap));
    CHECK(!listed(heap, &without) && without + 1 == with);
}

static HANDLE locked_heap;
static volatile LONG inside, intruders;

static DWORD WINAPI lock_on(LPVOID unused) {
    (void)unused;
    for (int i = 0; i < 1000; i++) {
        CHECK(HeapLock(locked_heap) && HeapLock(locked_heap) && HeapUnlock(locked_heap));
        if (InterlockedIncrement(&inside) != 1) InterlockedIncrement(&intruders);
        void *block = HeapAlloc(locked_heap, 0, 100);
        Sleep(0);
        CHECK(HeapFree(locked_heap, 0, block));
        InterlockedDecrement(&inside);
        CHECK(HeapUnlock(locked_heap));
    }
    return 0;
}

static void test_lock(HANDLE heap) {
    HANDLE thread[4];
    locked_heap = heap;
    for (int i = 0; i < 4; i++) thread[i] = CreateThread(NULL, 0, lock_on, NULL, 0, NULL);
    for (int i = 0; i < 4; i++) CHECK_EQ(WaitForSingleObject(thread[i], 60000), WAIT_OBJECT_0);
    CHECK_EQ(intruders, 0);
}

/* With a limit of 48 MiB: what was freed and is kept at hand goes before a block is refused that must stay where it is. */
static int test_limit(void) {
    enum { SMALL = 32 << 10, SMALLS = (30 << 20) / SMALL };
    static void *small[SMALLS];
    HANDLE heap = HeapCreate(0, 0, 0);
    for (int i = 0; i < SMALLS; i++) CHECK((small[i] = HeapAlloc(heap, 0, SMALL)) != NULL);
    char *block = HeapAlloc(heap, 0, 2 << 20);
    CHECK(block != NULL && HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, block, 40 << 20) == NULL); /* 70 MiB are too much */
    for (int i = 0; i < SMALLS; i++) CHECK(HeapFree(heap, 0, small[i]));
    CHECK(HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, block, 40 << 20) == block);
    return check_done();
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "limit") == 0) return test_limit();
    HANDLE heap = HeapCreate(0, 0, 0);
    test_sizes(GetProcessHeap());
    test_sizes(heap);
    test_again(heap);
    test_again(GetProcessHeap());
    test_pages_of(heap);
    test_pages_of(GetProcessHeap());
    test_in_place(heap);
    test_far_apart(0);
    test_far_apart(HEAP_CREATE_ENABLE_EXECUTE);
    test_lock(heap);
    test_lock(GetProcessHeap());
    CHECK(HeapLock(heap)); /* goes with the heap */
    CHECK(HeapDestroy(heap));
    test_heaps();
    test_threads();
    test_c_library();
    test_mixed();
    test_local_calls();
    test_list();
    return check_done();
}

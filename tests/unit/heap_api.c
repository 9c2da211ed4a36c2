/*
 * heap_api.c - HmHeapCreate and its four sisters, by what they return and what they leave as last error.
 */
#include <stdint.h>
#include <string.h>

#include "alone.h"
#include "check.h"
#include "hostmem.h"
#include "os/os.h"

#define UNTOUCHED 0xdeadu /* a last error that no call of ours leaves */
#define NO_SIZE ((SIZE_T)-1)

static bool error_is(DWORD expected) {
    bool is = CHECK_EQ(HmGetLastError(), expected);
    os_last_error_set(UNTOUCHED);
    return is;
}

static void test_life(HANDLE heap) {
    unsigned char *block = HmHeapAlloc(heap, HEAP_ZERO_MEMORY, 1000);
    if (!CHECK(block != NULL)) return;
    size_t dirty = 0;
    for (int i = 0; i < 1000; i++) dirty += block[i] != 0;
    CHECK_EQ(dirty, 0);
    CHECK((uintptr_t)block % 16 == 0);
    SIZE_T size = HmHeapSize(heap, 0, block);
    CHECK(size >= 1000 && size < 1128);
    memset(block, 0xff, size);
    CHECK(HmHeapFree(heap, 0, block));
    CHECK(HmHeapFree(heap, 0, NULL));
    error_is(UNTOUCHED);
    CHECK(!HmHeapFree(heap, 0, block));
    error_is(ERROR_INVALID_PARAMETER);
    HmTrim(); /* until then this thread's cache may hold the block */
    CHECK(HmHeapSize(heap, 0, block) == NO_SIZE);
    error_is(ERROR_INVALID_PARAMETER);
    CHECK(HmHeapSize(heap, 0, NULL) == NO_SIZE);
    error_is(ERROR_INVALID_PARAMETER);
    void *empty = HmHeapAlloc(heap, HEAP_NO_SERIALIZE, 0);
    CHECK(empty != NULL && HmHeapFree(heap, HEAP_NO_SERIALIZE, empty));
    error_is(UNTOUCHED);
    SIZE_T wrapped[] = {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX / 2};
    for (int i = 0; i < 3; i++) {
        CHECK(HmHeapAlloc(heap, 0, wrapped[i]) == NULL);
        error_is(ERROR_NOT_ENOUGH_MEMORY);
    }
    CHECK(!HmHeapFree(heap, 0, &size));
    error_is(ERROR_INVALID_PARAMETER);
}

/* What a program may do to the pages of its Win32 heaps it may do to these. */
static void test_pages_of(HANDLE heap) {
    for (SIZE_T size = 20000; size < 20000000; size *= 9) {
        char *block = HmHeapAlloc(heap, 0, size), *page = (char *)(((uintptr_t)block + 4095) & ~(uintptr_t)4095);
        MEMORY_BASIC_INFORMATION info;
        if (!CHECK(block != NULL)) return;
        memset(block, 7, size);
        CHECK(HmVirtualAlloc(page + 5, 4096, MEM_COMMIT, PAGE_READWRITE) == page);
        CHECK(HmVirtualAlloc(page, 8192, MEM_RESET, PAGE_READWRITE) == page);
        CHECK(HmVirtualAlloc(page, 8192, MEM_RESET_UNDO, PAGE_READWRITE) == page);
        CHECK(page[0] == 7 && page[8191] == 7);
        CHECK(HmVirtualAlloc(page, 4096, MEM_COMMIT, PAGE_READONLY) == page);
        CHECK(HmVirtualQuery(page, &info, sizeof info) && info.Protect == PAGE_READONLY && page[0] == 7);
        CHECK(HmVirtualAlloc(page, 4096, MEM_COMMIT | MEM_TOP_DOWN, PAGE_READWRITE) == page);
        page[0] = 8;
        error_is(UNTOUCHED);
        CHECK(!HmVirtualAlloc(page, (SIZE_T)1 << 32, MEM_RESET, PAGE_READWRITE));
        error_is(ERROR_INVALID_ADDRESS);
        CHECK(HmHeapFree(heap, 0, block));
    }
}

/* Addresses all over the block's region, where no slab was ever near: that nothing is known of them has to be known, too. */
static void test_far(HANDLE heap) {
    const size_t region = (size_t)1 << 32, step = (size_t)16 << 20;
    char *block = HmHeapAlloc(heap, 0, 100);
    if (!CHECK(block != NULL)) return;
    char *start = block - (uintptr_t)block % region;
    for (size_t offset = step / 2; offset < region; offset += step) {
        if (start + offset == block) continue;
        CHECK(!HmHeapFree(heap, 0, start + offset));
        error_is(ERROR_INVALID_PARAMETER);
    }
    CHECK(HmHeapFree(heap, 0, block));
}

static void test_handles(void) {
    HANDLE heap = HmHeapCreate(HEAP_NO_SERIALIZE, 4096, 0), other = HmHeapCreate(0, 0, 1 << 20);
    if (!CHECK(heap != NULL && other != NULL)) return;
    error_is(UNTOUCHED);
    test_life(heap);
    test_pages_of(heap);
    test_life(other);
    test_far(heap);
    void *block = HmHeapAlloc(heap, 0, 10);
    CHECK(!HmHeapFree(other, 0, block));
    error_is(ERROR_INVALID_PARAMETER);
    CHECK(!HmHeapFree(NULL, 0, block));
    error_is(ERROR_INVALID_PARAMETER);
    CHECK(HmHeapAlloc(other, 0, 2 << 20) == NULL); /* past the bound */
    error_is(ERROR_NOT_ENOUGH_MEMORY);
    char local[64];
    HANDLE wrong[] = {local, block, (HANDLE)(uintptr_t)-1, (HANDLE)1};
    for (int i = 0; i < 4; i++) {
        CHECK(HmHeapAlloc(wrong[i], 0, 1) == NULL);
        error_is(ERROR_INVALID_HANDLE);
        CHECK(!HmHeapFree(wrong[i], 0, block));
        error_is(ERROR_INVALID_HANDLE);
        CHECK(HmHeapSize(wrong[i], 0, block) == NO_SIZE);
        error_is(ERROR_INVALID_HANDLE);
        CHECK(!HmHeapDestroy(wrong[i]));
        error_is(ERROR_INVALID_HANDLE);
    }
    CHECK(!HmHeapDestroy(NULL));
    error_is(ERROR_INVALID_HANDLE);
    CHECK(HmHeapDestroy(heap) && HmHeapDestroy(other));
    error_is(UNTOUCHED);
    CHECK(!HmHeapDestroy(heap));
    error_is(ERROR_INVALID_HANDLE);
    CHECK(HmHeapAlloc(heap, 0, 1) == NULL);
    error_is(ERROR_INVALID_HANDLE);
}

static void test_options(void) {
    DWORD bad[] = {2, HEAP_ZERO_MEMORY, HEAP_GENERATE_EXCEPTIONS, 0x80000000u};
    for (int i = 0; i < 4; i++) {
        CHECK(HmHeapCreate(bad[i], 0, 0) == NULL);
        error_is(ERROR_INVALID_PARAMETER);
    }
    HANDLE heap = HmHeapCreate(HEAP_CREATE_ENABLE_EXECUTE, 0, 0);
    unsigned char *code = HmHeapAlloc(heap, 0, 16);
    if (!CHECK(code != NULL)) return;
    memcpy(code, "\xb8\x05\0\0\0\xc3", 6); /* mov eax, 5; ret */
    int (*function)(void);
    memcpy(&function, &code, sizeof function);
    CHECK_EQ(function(), 5);
    CHECK(HmHeapDestroy(heap));
}

/* What an empty heap has kept goes back when it is asked for. */
static void test_trim(void) {
    HM_STATS before = {.cbSize = sizeof before}, after = before;
    HANDLE heap = HmHeapCreate(0, 0, 0);
    HmTrim();
    CHECK(HmGetStats(&before));
    void *block = HmHeapAlloc(heap, 0, 100), *large = HmHeapAlloc(heap, 0, 1 << 20);
    CHECK(HmGetStats(&after));
    CHECK_EQ(after.cHeapSpans, before.cHeapSpans + 2);
    CHECK(after.cbHeapReserved >= before.cbHeapReserved + (1 << 20) + 65536);
    CHECK(HmHeapFree(heap, 0, block) && HmHeapFree(heap, 0, large));
    CHECK_EQ(HmTrim(), 65536);
    CHECK_EQ(HmTrim(), 0);
    CHECK(HmGetStats(&after));
    CHECK_EQ(after.cHeapSpans, before.cHeapSpans);
    CHECK_EQ(after.cGranulesTaken, before.cGranulesTaken);
    CHECK(HmHeapDestroy(heap));
}

int main(void) {
    keeper_forbid(); /* with it an empty slab may stay where test_trim counts */
    os_last_error_set(UNTOUCHED);
    test_life(NULL);
    test_handles();
    test_options();
    test_trim();
    return check_done();
}

/*
 * calls_flat.c - the flat functions are counted by kind where the environment asks for it, with why they failed.
 */
#include "policy/calls.h"

#include <stdlib.h>

#include "check.h"

static const struct call_record *record;

static void find_flat(const struct call_record *seen, void *context) {
    (void)context;
    if (seen->manager == 0) record = seen;
}

static uint64_t counted(enum call call) { return calls_sum(record, call, LEVEL_NONE); }

int main(void) {
    calls_flat_start_if_asked();
    calls_each(find_flat, NULL);
    CHECK(record == NULL && !calls_flat_counted()); /* nobody has asked */
    putenv((char *)(uintptr_t)"HOSTMEM_COUNT_CALLS=1");
    calls_flat_start_if_asked();
    calls_flat_start_if_asked();
    calls_each(find_flat, NULL);
    if (!CHECK(record != NULL)) return check_done();
    HANDLE heap = HmHeapCreate(0, 0, 0);
    char *p = NULL;
    for (int i = 0; i < 7; i++) {
        p = HmVirtualAlloc(NULL, 65536, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
        DWORD old;
        MEMORY_BASIC_INFORMATION info;
        CHECK(HmVirtualProtect(p, 4096, PAGE_READONLY, &old));
        CHECK(HmVirtualQuery(p, &info, sizeof info) == sizeof info && HmVirtualQuery(p, &info, sizeof info) == sizeof info);
        CHECK(HmVirtualFree(p, 0, MEM_RELEASE));
        /* The process's heap and another, small and large, each in the first call and in later ones. */
        void *block[] = {HmHeapAlloc(NULL, 0, 100), HmHeapAlloc(heap, HEAP_ZERO_MEMORY, 100), HmHeapAlloc(heap, 0, 5000000)};
        CHECK(HmHeapSize(NULL, 0, block[0]) >= 100);
        CHECK(HmHeapFree(NULL, 0, block[0]) && HmHeapFree(heap, 0, block[1]) && HmHeapFree(heap, 0, block[2]));
    }
    CHECK(HmHeapFree(NULL, 0, NULL));
    CHECK_EQ(counted(CALL_VIRTUAL_ALLOC), 7);
    CHECK_EQ(counted(CALL_VIRTUAL_PROTECT), 7);
    CHECK_EQ(counted(CALL_VIRTUAL_QUERY), 14);
    CHECK_EQ(counted(CALL_VIRTUAL_FREE), 7);
    CHECK_EQ(counted(CALL_ALLOC), 21);
    CHECK_EQ(counted(CALL_FREE), 22);
    CHECK_EQ(counted(CALL_OTHER), 8);
    for (enum call call = 0; call < CALL_COUNT; call++) CHECK_EQ(calls_failed(record, call), 0);
    CHECK(!HmVirtualAlloc(NULL, 0, MEM_COMMIT, PAGE_READWRITE) && HmGetLastError() == ERROR_INVALID_PARAMETER);
    CHECK(!HmVirtualFree(p, 0, MEM_RELEASE) && !HmHeapFree(NULL, 0, &record) && !HmHeapAlloc(&record, 0, 5));
    CHECK(!HmHeapCreate(0x40000000, 0, 0) && !HmHeapDestroy(&record));
    CHECK_EQ(counted(CALL_VIRTUAL_ALLOC), 8);
    CHECK_EQ(calls_failed(record, CALL_VIRTUAL_ALLOC), 1);
    CHECK_EQ(calls_failed(record, CALL_FREE), 1);
    CHECK_EQ(calls_failed(record, CALL_OTHER), 2);
    CHECK_EQ(record->reason[ST_BAD_ARGUMENT], 3);
    CHECK_EQ(record->reason[ST_NOT_OURS], 1);
    CHECK_EQ(record->reason[ST_BAD_HANDLE], 2);
    CHECK(HmHeapDestroy(heap));
    return check_done();
}

/*
 * walk.c - asks VirtualQuery about the whole address space, as garbage collectors, debuggers and leak finders do: the answers
 * must follow each other without a gap to the end of user space, name the program's own allocations as they are, and what is
 * called free must be to be had.
 */
#include <windows.h>

#include "check.h"

enum { BLOCKS = 40, TRIES = 200 };

static char *block[BLOCKS];
static SIZE_T size_of(int i) { return (SIZE_T)(i % 7 + 1) * 40000; }

/* The whole walk. Returns the number of regions; free_at gets some free places of at least 64 KiB. */
static int walk(char *free_at[TRIES], int *count_free, int *found_blocks) {
    SYSTEM_INFO system;
    MEMORY_BASIC_INFORMATION info;
    char *at = NULL;
    int regions = 0;
    GetSystemInfo(&system);
    *count_free = *found_blocks = 0;
    for (; VirtualQuery(at, &info, sizeof info) == sizeof info; at = (char *)info.BaseAddress + info.RegionSize, regions++) {
        if (!CHECK(info.BaseAddress == at && info.RegionSize != 0 && info.RegionSize % 4096 == 0)) break;
        if (info.State == MEM_FREE) {
            char *unit = (char *)(((uintptr_t)at + 0xffff) & ~(uintptr_t)0xffff);
            bool wide = unit + 65536 <= at + info.RegionSize && (uintptr_t)unit >= 0x10000;
            if (wide && *count_free < TRIES) free_at[(*count_free)++] = unit;
            CHECK(info.AllocationBase == NULL && info.Protect == PAGE_NOACCESS);
        } else {
            CHECK((char *)info.AllocationBase <= at && info.AllocationBase != NULL);
        }
        for (int i = 0; i < BLOCKS; i++) {
            if (block[i] && info.AllocationBase == block[i]) ++*found_blocks;
        }
    }
    CHECK_EQ(GetLastError(), ERROR_INVALID_PARAMETER);
    CHECK(at > (char *)system.lpMaximumApplicationAddress);
    return regions;
}

int main(void) {
    static char *free_at[TRIES];
    int count_free, found;
    CHECK(walk(free_at, &count_free, &found) > 10);
    for (int i = 0; i < BLOCKS; i++) {
        block[i] = VirtualAlloc(NULL, size_of(i), MEM_RESERVE | (i % 2 ? MEM_COMMIT : 0), PAGE_READWRITE);
        CHECK(block[i] != NULL);
    }
    for (int i = 0; i < BLOCKS; i += 3) VirtualFree(block[i], 0, MEM_RELEASE), block[i] = NULL;
    walk(free_at, &count_free, &found);
    CHECK_EQ(found, BLOCKS - (BLOCKS + 2) / 3);
    CHECK(count_free > 0);
    int had = 0;
    for (int i = 0; i < count_free; i++) {
        char *got = VirtualAlloc(free_at[i], 65536, MEM_RESERVE, PAGE_NOACCESS);
        had += got == free_at[i];
        if (got) CHECK(VirtualFree(got, 0, MEM_RELEASE));
    }
    /* The system keeps a few places for itself, by whatever name. */
    CHECK(had * 10 >= count_free * 9);
    if (had * 10 < count_free * 9) printf("%d of %d free places were to be had\n", had, count_free);
    return check_done();
}

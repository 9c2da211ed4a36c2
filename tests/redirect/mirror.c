/*
 * mirror.c - a ring buffer that is mapped twice in a row: a place is reserved and released, and two views are mapped there.
 */
#include <windows.h>

#include "check.h"

static void mirrored(SIZE_T size, DWORD protect) {
    HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, (DWORD)size, NULL);
    char *place = VirtualAlloc(NULL, 2 * size, MEM_RESERVE, protect);
    MEMORY_BASIC_INFORMATION info;
    if (!CHECK(section != NULL && place != NULL)) return;
    CHECK(VirtualQuery(place, &info, sizeof info) == sizeof info && info.State == MEM_RESERVE);
    CHECK(info.AllocationBase == place && info.RegionSize == 2 * size && info.AllocationProtect == protect);
    CHECK(VirtualFree(place, 0, MEM_RELEASE));
    CHECK(VirtualQuery(place, &info, sizeof info) == sizeof info && info.State == MEM_FREE && info.RegionSize >= 2 * size);
    char *first = MapViewOfFileEx(section, FILE_MAP_ALL_ACCESS, 0, 0, size, place);
    char *second = MapViewOfFileEx(section, FILE_MAP_ALL_ACCESS, 0, 0, size, place + size);
    if (CHECK(first == place && second == place + size)) {
        first[5] = 'a';
        second[size - 1] = 'b';
        CHECK(second[5] == 'a' && first[size - 1] == 'b');
    }
    if (first) UnmapViewOfFile(first);
    if (second) UnmapViewOfFile(second);
    CloseHandle(section);
}

/* A place that was reserved with access, or committed: one try may fail, as it may where other threads allocate. */
static void found_in_two_tries(DWORD type) {
    HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 65536, NULL);
    char *view = NULL;
    for (int attempt = 0; attempt < 2 && !view; attempt++) {
        char *place = VirtualAlloc(NULL, 2 * 65536, type, PAGE_READWRITE);
        CHECK(!(type & MEM_COMMIT) || (place[0] == 0 && (place[131071] = 7) == 7));
        CHECK(VirtualFree(place, 0, MEM_RELEASE));
        view = MapViewOfFileEx(section, FILE_MAP_WRITE, 0, 0, 0, place);
    }
    CHECK(view && UnmapViewOfFile(view));
    CloseHandle(section);
}

/* What is reserved so can be used as any other memory, too. */
static void used(SIZE_T size) {
    char *place = VirtualAlloc(NULL, size, MEM_RESERVE, PAGE_NOACCESS);
    char *part = place + size / 2;
    DWORD old = 0;
    CHECK(VirtualAlloc(part, 4096, MEM_COMMIT, PAGE_READWRITE) == part && part[17] == 0);
    part[17] = 1;
    CHECK(VirtualProtect(part, 4096, PAGE_READONLY, &old) && old == PAGE_READWRITE);
    CHECK(VirtualFree(part, 4096, MEM_DECOMMIT));
    CHECK(VirtualAlloc(part, 4096, MEM_COMMIT, PAGE_READWRITE) == part && part[17] == 0);
    CHECK(VirtualFree(place, 0, MEM_RELEASE));
}

int main(void) {
    for (SIZE_T size = 1 << 16; size <= (SIZE_T)64 << 20; size <<= 2) {
        for (int turn = 0; turn < 3; turn++) mirrored(size, PAGE_NOACCESS);
        used(size);
    }
    for (int turn = 0; turn < 3; turn++) found_in_two_tries(MEM_RESERVE | MEM_COMMIT);
    found_in_two_tries(MEM_COMMIT);
    found_in_two_tries(MEM_RESERVE);
    for (SIZE_T size = 1 << 16; size <= (SIZE_T)64 << 20; size <<= 2) {
        mirrored(size, PAGE_READWRITE);
        used(size);
    }
    return check_done();
}

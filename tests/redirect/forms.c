/*
 * forms.c - the other forms of the calls: VirtualAlloc2 with alignment and bounds, the NUMA, Ex and FromApp forms, on the own
 * process and on another one; and what must go on working on memory that came from any of them: write watch, prefetching,
 * discarding, offering, locking, views at wanted places. What the system lacks is left out, by name.
 */
#include <windows.h>

#include "check.h"

#ifndef MEM_RESERVE_PLACEHOLDER
#define MEM_RESERVE_PLACEHOLDER 0x00040000
#endif

struct requirements {
    void *lowest, *highest;
    SIZE_T alignment;
};
struct parameter {
    ULONGLONG type;
    void *pointer;
};
typedef LPVOID(WINAPI *alloc2_function)(HANDLE, LPVOID, SIZE_T, ULONG, ULONG, struct parameter *, ULONG);
typedef LPVOID(WINAPI *alloc_app_function)(LPVOID, SIZE_T, ULONG, ULONG);

/* NULL, said once, where the system has none. */
static FARPROC find(const char *name) {
    FARPROC found = GetProcAddress(GetModuleHandleA("kernelbase.dll"), name);
    if (!found) printf("left out, the system has no %s\n", name);
    return found;
}
#define FIND(type, name) ((type)(void (*)(void))find(name))

static void check_block(char *block, SIZE_T size, const char *what) {
    MEMORY_BASIC_INFORMATION info;
    if (!CHECK(block != NULL)) {
        printf("%s: error %lu\n", what, GetLastError());
        return;
    }
    CHECK_EQ(VirtualQuery(block, &info, sizeof info), sizeof info);
    CHECK(info.AllocationBase == block && info.RegionSize == size && info.State == MEM_COMMIT);
    CHECK(block[0] == 0 && block[size - 1] == 0);
    block[0] = block[size - 1] = 1;
    CHECK(VirtualFree(block, 0, MEM_RELEASE));
    CHECK_EQ(VirtualQuery(block, &info, sizeof info), sizeof info);
    CHECK_EQ(info.State, MEM_FREE);
}

static void test_alloc2_refused(alloc2_function alloc2) {
    struct requirements wide = {.alignment = 1 << 19}, none = {.alignment = 0};
    struct parameter twice[] = {{1, &wide}, {1, &wide}}, empty[] = {{1, &none}, {1, &none}};
    CHECK(alloc2(NULL, NULL, 1 << 17, 0, PAGE_READWRITE, twice, 1) == NULL);
    CHECK_EQ(GetLastError(), ERROR_INVALID_PARAMETER);
    CHECK(alloc2(NULL, NULL, 1 << 17, 0, PAGE_READWRITE, NULL, 0) == NULL);
    CHECK_EQ(GetLastError(), ERROR_INVALID_PARAMETER);
    CHECK(alloc2(NULL, NULL, 1 << 17, MEM_RESERVE, PAGE_READWRITE, twice, 2) == NULL);
    CHECK_EQ(GetLastError(), ERROR_INVALID_PARAMETER);
    CHECK(alloc2(NULL, NULL, 1 << 17, MEM_RESERVE, PAGE_READWRITE, empty, 2) == NULL);
    CHECK_EQ(GetLastError(), ERROR_INVALID_PARAMETER);
    for (int bit = 47; bit < 64; bit++) {
        wide.alignment = (SIZE_T)1 << bit;
        CHECK(alloc2(NULL, NULL, 1 << 17, MEM_RESERVE, PAGE_READWRITE, twice, 1) == NULL);
        CHECK_EQ(GetLastError(), ERROR_NOT_ENOUGH_MEMORY);
    }
}

static void test_alloc2(void) {
    alloc2_function alloc2 = FIND(alloc2_function, "VirtualAlloc2");
    if (!alloc2) return;
    check_block(alloc2(NULL, NULL, 1 << 20, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, NULL, 0), 1 << 20, "no parameters");
    for (SIZE_T align = 1 << 16; align <= (SIZE_T)1 << 30; align <<= 2) {
        struct requirements need = {.alignment = align};
        struct parameter parameter = {1, &need};
        char *block = alloc2(GetCurrentProcess(), NULL, 3 << 16, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, &parameter, 1);
        CHECK_EQ((uintptr_t)block % align, 0);
        check_block(block, 3 << 16, "alignment");
    }
    struct requirements wide = {.alignment = 1 << 19};
    struct parameter only = {1, &wide};
    char *committed = alloc2(NULL, NULL, 1 << 17, MEM_COMMIT, PAGE_READWRITE, &only, 1);
    CHECK_EQ((uintptr_t)committed % (1 << 19), 0);
    check_block(committed, 1 << 17, "commit alone");
    struct requirements low = {.lowest = (void *)0x20000000, .highest = (void *)0x5fffffff, .alignment = 1 << 20};
    struct parameter parameter = {1, &low};
    char *block = alloc2(NULL, NULL, 1 << 20, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, &parameter, 1);
    CHECK((uintptr_t)block >= 0x20000000 && (uintptr_t)block + (1 << 20) <= 0x60000000 && (uintptr_t)block % (1 << 20) == 0);
    check_block(block, 1 << 20, "bounds");
    struct requirements bad = {.alignment = 3 << 16};
    parameter.pointer = &bad;
    CHECK(alloc2(NULL, NULL, 1 << 20, MEM_RESERVE, PAGE_READWRITE, &parameter, 1) == NULL);
    CHECK_EQ(GetLastError(), ERROR_INVALID_PARAMETER);
    test_alloc2_refused(alloc2);
}

/* Refused, with nothing changed, or done: never said to be done and not done. */
static void check_commit(char *page, char *answer, const char *what) {
    MEMORY_BASIC_INFORMATION info;
    DWORD error = GetLastError();
    CHECK_EQ(VirtualQuery(page, &info, sizeof info), sizeof info);
    bool done = answer == page && info.State == MEM_COMMIT && info.Protect == PAGE_READWRITE;
    bool refused = !answer && info.State == MEM_RESERVE && error == ERROR_INVALID_PARAMETER;
    if (!CHECK(done || refused)) printf("%s: %p of %p, state %lx, error %lu\n", what, answer, page, info.State, error);
    if (done) page[0] = 1;
}

/* Commits in memory that is there, with wishes that are not to be had. */
static void test_odd_commits(void) {
    alloc2_function alloc2 = FIND(alloc2_function, "VirtualAlloc2");
    HANDLE self = GetCurrentProcess();
    char *block = VirtualAlloc(NULL, 1 << 20, MEM_RESERVE, PAGE_READWRITE), *page = block;
    check_commit(page, VirtualAllocExNuma(self, page, 4096, MEM_COMMIT, PAGE_READWRITE, 500), "a node that is not there");
    for (ULONGLONG type = 0; alloc2 && type < 7; type++) {
        struct requirements wide = {.alignment = 1 << 17};
        struct parameter parameter = {type, type == 1 ? (void *)&wide : (void *)500};
        page += 1 << 16;
        check_commit(page, alloc2(self, page, 4096, MEM_COMMIT, PAGE_READWRITE, &parameter, 1), "a parameter");
    }
    if (alloc2) {
        page += 1 << 16;
        check_commit(page, alloc2(self, page + 5, 4096, MEM_COMMIT, PAGE_READWRITE, NULL, 0), "an odd address");
        page += 1 << 16;
        check_commit(page, alloc2(self, page, 4095, MEM_COMMIT, PAGE_READWRITE, NULL, 0), "an odd size");
    }
    CHECK(VirtualFree(block, 0, MEM_RELEASE));
}

static void test_placeholder(void) {
    alloc2_function alloc2 = FIND(alloc2_function, "VirtualAlloc2");
    if (!alloc2) return;
    char *hole = alloc2(NULL, NULL, 1 << 20, MEM_RESERVE | MEM_RESERVE_PLACEHOLDER, PAGE_NOACCESS, NULL, 0);
    if (!hole) {
        printf("left out, the system has no placeholders\n");
        return;
    }
    MEMORY_BASIC_INFORMATION info;
    CHECK_EQ(VirtualQuery(hole, &info, sizeof info), sizeof info);
    CHECK_EQ(info.State, MEM_RESERVE);
    CHECK(VirtualFree(hole, 0, MEM_RELEASE));
}

static void test_own_process(void) {
    HANDLE self = OpenProcess(PROCESS_ALL_ACCESS, FALSE, GetCurrentProcessId());
    MEMORY_BASIC_INFORMATION info;
    DWORD old = 0;
    char *block = VirtualAllocEx(self, NULL, 1 << 17, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (!CHECK(block != NULL)) return;
    CHECK(VirtualProtectEx(self, block, 4096, PAGE_READONLY, &old));
    CHECK_EQ(old, PAGE_READWRITE);
    CHECK_EQ(VirtualQueryEx(self, block, &info, sizeof info), sizeof info);
    CHECK(info.RegionSize == 4096 && info.Protect == PAGE_READONLY);
    CHECK_EQ(VirtualQuery(block, &info, sizeof info), sizeof info);
    CHECK(info.RegionSize == 4096 && info.Protect == PAGE_READONLY);
    CHECK(VirtualFreeEx(self, block, 0, MEM_RELEASE));
    check_block(VirtualAllocExNuma(self, NULL, 1 << 17, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, 0), 1 << 17, "numa");
    alloc_app_function alloc_app = FIND(alloc_app_function, "VirtualAllocFromApp");
    if (alloc_app) check_block(alloc_app(NULL, 1 << 17, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE), 1 << 17, "app");
    CloseHandle(self);
}

/* Memory of a process that has not begun to run: nothing of it may be taken for the own. */
static void test_other_process(const char *self) {
    char command[1024];
    STARTUPINFOA startup = {.cb = sizeof startup};
    PROCESS_INFORMATION child;
    MEMORY_BASIC_INFORMATION info;
    DWORD old;
    SIZE_T done;
    char byte = 42, back = 0;
    snprintf(command, sizeof command, "\"%s\" child", self);
    if (!CHECK(CreateProcessA(NULL, command, NULL, NULL, FALSE, CREATE_SUSPENDED, NULL, NULL, &startup, &child))) return;
    char *there = VirtualAllocEx(child.hProcess, NULL, 1 << 20, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    CHECK(there != NULL);
    CHECK(WriteProcessMemory(child.hProcess, there, &byte, 1, &done) && done == 1);
    CHECK(ReadProcessMemory(child.hProcess, there, &back, 1, &done) && back == 42);
    CHECK(VirtualProtectEx(child.hProcess, there, 4096, PAGE_READONLY, &old));
    CHECK_EQ(VirtualQueryEx(child.hProcess, there, &info, sizeof info), sizeof info);
    CHECK(info.AllocationBase == there && info.RegionSize == 4096 && info.Protect == PAGE_READONLY);
    CHECK(VirtualFreeEx(child.hProcess, there, 0, MEM_RELEASE));
    TerminateProcess(child.hProcess, 0);
    CloseHandle(child.hProcess);
    CloseHandle(child.hThread);
}

static void test_watch(void) {
    void *page[8];
    ULONG_PTR count = 8;
    DWORD granularity = 0;
    char *plain = VirtualAlloc(NULL, 1 << 16, MEM_COMMIT, PAGE_READWRITE);
    CHECK(GetWriteWatch(0, plain, 1 << 16, page, &count, &granularity) != 0);
    CHECK(VirtualFree(plain, 0, MEM_RELEASE));
    char *watched = VirtualAlloc(NULL, 1 << 16, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
    if (!CHECK(watched != NULL)) return;
    watched[8192] = watched[20480] = 1;
    count = 8;
    CHECK_EQ(GetWriteWatch(WRITE_WATCH_FLAG_RESET, watched, 1 << 16, page, &count, &granularity), 0);
    CHECK(count == 2 && page[0] == watched + 8192 && page[1] == watched + 20480 && granularity == 4096);
    count = 8;
    CHECK_EQ(GetWriteWatch(0, watched, 1 << 16, page, &count, &granularity), 0);
    CHECK_EQ(count, 0);
    CHECK(VirtualFree(watched, 0, MEM_RELEASE));
}

struct range {
    void *start;
    SIZE_T size;
};

static void test_advice(void) {
    char *block = VirtualAlloc(NULL, 1 << 20, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    MEMORY_BASIC_INFORMATION info;
    struct range range = {block, 1 << 20};
    if (!CHECK(block != NULL)) return;
    memset(block, 7, 1 << 20);
    BOOL(WINAPI * prefetch)(HANDLE, ULONG_PTR, struct range *, ULONG) =
        FIND(BOOL(WINAPI *)(HANDLE, ULONG_PTR, struct range *, ULONG), "PrefetchVirtualMemory");
    if (prefetch) CHECK(prefetch(GetCurrentProcess(), 1, &range, 0));
    CHECK(VirtualLock(block, 8192));
    CHECK(VirtualUnlock(block, 8192));
    CHECK(block[0] == 7 && block[(1 << 20) - 1] == 7);
    DWORD(WINAPI * discard)(void *, SIZE_T) = FIND(DWORD(WINAPI *)(void *, SIZE_T), "DiscardVirtualMemory");
    if (discard) CHECK_EQ(discard(block, 65536), 0);
    DWORD(WINAPI * offer)(void *, SIZE_T, int) = FIND(DWORD(WINAPI *)(void *, SIZE_T, int), "OfferVirtualMemory");
    DWORD(WINAPI * reclaim)(void *, SIZE_T) = FIND(DWORD(WINAPI *)(void *, SIZE_T), "ReclaimVirtualMemory");
    if (offer && reclaim) {
        CHECK_EQ(offer(block + 65536, 65536, 1), 0);
        CHECK(reclaim(block + 65536, 65536) != ERROR_INVALID_PARAMETER);
    }
    CHECK_EQ(VirtualQuery(block, &info, sizeof info), sizeof info);
    CHECK(info.State == MEM_COMMIT && info.Protect == PAGE_READWRITE && info.RegionSize == 1 << 20);
    CHECK_EQ(block[1 << 19], 7);
    CHECK(VirtualFree(block, 0, MEM_RELEASE));
    check_block(VirtualAlloc(block, 1 << 20, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE), 1 << 20, "the same place again");
}

static void test_views(void) {
    HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 1 << 20, NULL);
    MEMORY_BASIC_INFORMATION info;
    char *view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
    if (!CHECK(view != NULL)) return;
    view[5] = 9;
    CHECK(!VirtualFree(view, 0, MEM_RELEASE));
    CHECK_EQ(GetLastError(), ERROR_INVALID_PARAMETER);
    CHECK_EQ(VirtualQuery(view, &info, sizeof info), sizeof info);
    CHECK(info.Type == MEM_MAPPED && info.AllocationBase == view);
    CHECK(UnmapViewOfFile(view));
    char *again = MapViewOfFileEx(section, FILE_MAP_WRITE, 0, 0, 0, view);
    CHECK(again == view && again[5] == 9);
    CHECK(VirtualAlloc(view, 65536, MEM_RESERVE, PAGE_READWRITE) == NULL);
    CHECK(UnmapViewOfFile(again));
    CloseHandle(section);
}

/* As Haskell's runtime does for all its memory. */
static void test_huge(void) {
    SIZE_T size = (SIZE_T)1 << 40;
    MEMORY_BASIC_INFORMATION info;
    char *block = VirtualAlloc(NULL, size, MEM_RESERVE, PAGE_READWRITE);
    if (!CHECK(block != NULL)) return;
    CHECK(VirtualAlloc(block + size / 2, 1 << 20, MEM_COMMIT, PAGE_READWRITE) == block + size / 2);
    block[size / 2] = block[size / 2 + (1 << 20) - 1] = 1;
    CHECK_EQ(VirtualQuery(block, &info, sizeof info), sizeof info);
    CHECK(info.AllocationBase == block && info.RegionSize == size / 2 && info.State == MEM_RESERVE);
    CHECK(VirtualFree(block, 0, MEM_RELEASE));
}

/* As newer CLRs do for their code. */
static void test_commit_in_view(void) {
    HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE | SEC_RESERVE, 0, 1 << 20, NULL);
    char *view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);
    if (!CHECK(view != NULL)) return;
    for (int i = 0; i < 4; i++) {
        CHECK(VirtualAlloc(view + i * 65536, 65536, MEM_COMMIT, PAGE_READWRITE) == view + i * 65536);
        view[i * 65536 + 7] = 1;
    }
    CHECK(UnmapViewOfFile(view));
    CloseHandle(section);
}

static void test_watch_refused(void) {
    SetLastError(0);
    CHECK(VirtualAlloc(NULL, 1 << 16, MEM_RESERVE | MEM_WRITE_WATCH, PAGE_READWRITE) == NULL);
    CHECK_EQ(GetLastError(), ERROR_INVALID_PARAMETER);
    check_block(VirtualAlloc(NULL, 1 << 17, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE), 1 << 17, "beside it");
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "refused") == 0) {
        test_watch_refused();
        return check_done();
    }
    if (argc > 1) return 0; /* the other process, should it ever run */
    test_alloc2();
    test_odd_commits();
    test_placeholder();
    test_own_process();
    test_other_process(argv[0]);
    test_watch();
    test_advice();
    test_views();
    test_commit_in_view();
    test_huge();
    return check_done();
}

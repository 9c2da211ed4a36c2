/*
 * pointers.c - what a caller gives to be written to, or read from, and cannot be: error 998, no exception, and nothing is done.
 */
#include <windows.h>

#include <string.h>

#include "check.h"

#define PAGE ((SIZE_T)4096)
#define RESERVE_COMMIT (MEM_RESERVE | MEM_COMMIT)

enum { BAD = 5 };
static void *bad[BAD]; /* each in a way of its own */
static char *block, *watched;
static volatile LONG exceptions;

static LONG CALLBACK count_exceptions(EXCEPTION_POINTERS *what) {
    if (what->ExceptionRecord->ExceptionCode == STATUS_ACCESS_VIOLATION) InterlockedIncrement(&exceptions);
    return EXCEPTION_CONTINUE_SEARCH;
}

static void make(void) {
    char *edge = VirtualAlloc(NULL, 65536, MEM_RESERVE, PAGE_READWRITE);
    DWORD old;
    block = VirtualAlloc(NULL, 1 << 20, RESERVE_COMMIT, PAGE_READWRITE);
    watched = VirtualAlloc(NULL, 1 << 20, RESERVE_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
    bad[0] = (void *)0x10;
    bad[1] = VirtualAlloc(NULL, 65536, RESERVE_COMMIT, PAGE_READWRITE);
    bad[2] = VirtualAlloc(NULL, 65536, MEM_RESERVE, PAGE_READWRITE);
    bad[3] = (char *)VirtualAlloc(edge, PAGE, MEM_COMMIT, PAGE_READWRITE) + PAGE - 2; /* begins well */
    bad[4] = (void *)(uintptr_t)"a text of the program";
    if (!CHECK(block && watched && bad[1] && bad[2] && edge)) return;
    memset(bad[1], 1, 8);
    CHECK(VirtualProtect(bad[1], 65536, PAGE_READONLY, &old));
}

static bool refused(bool answer) {
    bool right = !answer && GetLastError() == ERROR_NOACCESS;
    SetLastError(4711);
    return right;
}

static void test_old_protection(void) {
    MEMORY_BASIC_INFORMATION info;
    DWORD old = 0;
    for (int i = 0; i < BAD; i++) {
        CHECK(refused(VirtualProtect(block, PAGE, PAGE_READWRITE, bad[i])));
        CHECK(refused(VirtualProtectEx(GetCurrentProcess(), block, PAGE, PAGE_READWRITE, bad[i])));
    }
    CHECK(refused(VirtualProtect(block, PAGE, PAGE_READWRITE, NULL)));
    CHECK(VirtualQuery(block, &info, sizeof info) && info.RegionSize == 1 << 20 && info.Protect == PAGE_READWRITE);
    static DWORD at_rest; /* not only on the stack */
    CHECK(VirtualProtect(block, PAGE, PAGE_READONLY, &at_rest) && at_rest == PAGE_READWRITE);
    CHECK(VirtualProtect(block, PAGE, PAGE_READWRITE, (DWORD *)(void *)(block + PAGE)));
    memcpy(&old, block + PAGE, sizeof old);
    CHECK_EQ(old, PAGE_READONLY);
    /* In the pages that are sealed: they are, and the answer cannot be told. */
    CHECK(refused(VirtualProtect(block, PAGE, PAGE_READONLY, (DWORD *)(void *)(block + 64))));
    CHECK(VirtualQuery(block, &info, sizeof info) && info.Protect == PAGE_READONLY);
    CHECK(VirtualProtect(block, PAGE, PAGE_READWRITE, &old) && old == PAGE_READONLY);
    /* A call that fails tells nothing. */
    CHECK(!VirtualProtect(bad[2], PAGE, PAGE_READWRITE, &old) && GetLastError() == ERROR_INVALID_ADDRESS);
    CHECK(!VirtualProtect(block, PAGE, PAGE_WRITECOPY, &old) && GetLastError() == ERROR_INVALID_PARAMETER);
    CHECK_EQ(old, PAGE_READONLY);
    SetLastError(4711);
}

static void test_query(void) {
    for (int i = 0; i < BAD; i++) {
        CHECK(refused(VirtualQuery(block, bad[i], sizeof(MEMORY_BASIC_INFORMATION)) != 0));
        CHECK(refused(VirtualQuery((void *)(uintptr_t)make, bad[i], sizeof(MEMORY_BASIC_INFORMATION)) != 0));
        CHECK(refused(VirtualQueryEx(GetCurrentProcess(), block, bad[i], sizeof(MEMORY_BASIC_INFORMATION)) != 0));
    }
    CHECK(VirtualQuery(block, bad[0], 7) == 0 && GetLastError() == ERROR_BAD_LENGTH);
    static MEMORY_BASIC_INFORMATION at_rest;
    CHECK(VirtualQuery(block, &at_rest, sizeof at_rest) == sizeof at_rest && at_rest.AllocationBase == block);
}

static void test_write_watch(void) {
    void *page[8];
    ULONG_PTR count = 8;
    DWORD granularity = 0;
    watched[0] = watched[5 * PAGE] = 1;
    for (int i = 0; i < BAD; i++) {
        CHECK(refused(GetWriteWatch(WRITE_WATCH_FLAG_RESET, watched, 1 << 20, bad[i], &count, &granularity) == 0));
        /* Of these two Wine would forget what it told, before it finds that it cannot tell. */
        CHECK(refused(GetWriteWatch(0, watched, 1 << 20, page, bad[i], &granularity) == 0));
        CHECK(refused(GetWriteWatch(0, watched, 1 << 20, page, &count, bad[i]) == 0));
        count = 8;
    }
    CHECK_EQ(GetWriteWatch(WRITE_WATCH_FLAG_RESET, watched, 1 << 20, page, &count, &granularity), 0);
    CHECK(count == 2 && page[0] == watched && page[1] == watched + 5 * PAGE && granularity == PAGE);
}

static struct {
    char before[2 * 4096], variable[4096], behind[2 * 4096];
} sealed = {.before = "written"};

/* A module's variables that are sealed, and written to again. */
static void test_module(void) {
    MEMORY_BASIC_INFORMATION *info = (void *)(((uintptr_t)sealed.variable + PAGE - 1) & ~(PAGE - 1));
    DWORD old;
    for (int round = 0; round < 3; round++) {
        CHECK(VirtualQuery(block, info, sizeof *info) == sizeof *info && info->AllocationBase == block);
        CHECK(VirtualQuery(block, info, sizeof *info) == sizeof *info);
        CHECK(VirtualProtect(info, PAGE, PAGE_READONLY, &old));
        CHECK(refused(VirtualQuery(block, info, sizeof *info) != 0));
        CHECK(refused(VirtualProtect(block, PAGE, PAGE_READWRITE, (DWORD *)(void *)info)));
        CHECK(VirtualProtect(info, PAGE, PAGE_READWRITE, &old));
    }
}

/* A module's variables that were written to, and then go with it. */
static void test_unloaded(void) {
    MEMORY_BASIC_INFORMATION info, saved;
    HMODULE module = LoadLibraryA("version.dll");
    char *end = (char *)module;
    if (!CHECK(module != NULL)) return;
    do {
        if (!CHECK(VirtualQuery(end, &info, sizeof info) && info.AllocationBase == module)) return;
        end = (char *)info.BaseAddress + info.RegionSize;
    } while (!(info.Protect & (PAGE_READWRITE | PAGE_WRITECOPY)));
    char *variable = end - sizeof saved;
    memcpy(&saved, variable, sizeof saved);
    CHECK(VirtualQuery(block, (void *)variable, sizeof info) == sizeof info);
    memcpy(variable, &saved, sizeof saved);
    CHECK(FreeLibrary(module));
    CHECK(VirtualQuery(variable, &info, sizeof info) && info.State == MEM_FREE);
    CHECK(refused(VirtualQuery(block, (void *)variable, sizeof info) != 0));
}

struct parameter {
    ULONGLONG type;
    void *pointer;
};
typedef LPVOID(WINAPI *alloc2_function)(HANDLE, LPVOID, SIZE_T, ULONG, ULONG, struct parameter *, ULONG);

static void test_parameters(void) {
    alloc2_function alloc2 =
        (alloc2_function)(void (*)(void))GetProcAddress(GetModuleHandleA("kernelbase.dll"), "VirtualAlloc2");
    if (!alloc2) return;
    struct parameter parameter = {1, (void *)0x10};
    CHECK(refused(alloc2(NULL, NULL, 65536, MEM_RESERVE, PAGE_READWRITE, (void *)0x10, 1) != NULL));
    CHECK(refused(alloc2(NULL, NULL, 65536, MEM_RESERVE, PAGE_READWRITE, &parameter, 1) != NULL));
    CHECK(refused(alloc2(NULL, NULL, 65536, MEM_RESERVE, PAGE_READWRITE, bad[2], 1) != NULL));
    for (ULONG count = 1; count < 4; count += 2) {
        CHECK(alloc2(NULL, NULL, 65536, MEM_RESERVE, PAGE_READWRITE, NULL, count) == NULL);
        CHECK_EQ(GetLastError(), ERROR_INVALID_PARAMETER);
    }
}

int main(void) {
    AddVectoredExceptionHandler(1, count_exceptions);
    make();
    test_old_protection();
    test_query();
    test_write_watch();
    test_module();
    test_unloaded();
    test_parameters();
    CHECK_EQ(exceptions, 0);
    return check_done();
}

/*
 * handles.c - the own process by handles that cannot do everything: the memory is the same whichever way it is called, what a
 * handle lacks the right for is refused with error 5, and a call that succeeds leaves the last error alone.
 */
#include <windows.h>

#include "check.h"

#define PAGE ((SIZE_T)4096)
#define RESERVE_COMMIT (MEM_RESERVE | MEM_COMMIT)

static HANDLE open_self(DWORD rights) {
    HANDLE self = OpenProcess(rights, FALSE, GetCurrentProcessId());
    CHECK(self != NULL);
    return self;
}

/* The answer, and that the last error is `error`; for the next call it is 4711. */
static bool error_is(bool answer, DWORD error) {
    CHECK_EQ(GetLastError(), error);
    SetLastError(4711);
    return answer;
}

static DWORD protection_of(const char *address) {
    MEMORY_BASIC_INFORMATION info;
    return VirtualQuery(address, &info, sizeof info) && info.State == MEM_COMMIT ? info.Protect : info.State;
}

static void test_operation_only(void) {
    HANDLE self = open_self(PROCESS_VM_OPERATION);
    MEMORY_BASIC_INFORMATION info;
    DWORD old = 0;
    char *block = VirtualAlloc(NULL, 1 << 20, RESERVE_COMMIT, PAGE_READWRITE);
    if (!CHECK(block != NULL)) return;
    SetLastError(4711);
    CHECK(error_is(VirtualProtectEx(self, block, PAGE, PAGE_READONLY, &old), 4711) && old == PAGE_READWRITE);
    CHECK_EQ(protection_of(block), PAGE_READONLY);
    CHECK(error_is(VirtualFreeEx(self, block + 65536, 65536, MEM_DECOMMIT), 4711));
    CHECK_EQ(protection_of(block + 65536), MEM_RESERVE);
    CHECK(error_is(VirtualAllocEx(self, block + 65536, 65536, MEM_COMMIT, PAGE_READWRITE) == block + 65536, 4711));
    CHECK_EQ(protection_of(block + 65536), PAGE_READWRITE);
    CHECK_EQ(block[65536], 0);
    CHECK(!error_is(VirtualQueryEx(self, block, &info, sizeof info) != 0, ERROR_ACCESS_DENIED));
    CHECK(error_is(VirtualFreeEx(self, block, 0, MEM_RELEASE), 4711));
    CHECK_EQ(protection_of(block), MEM_FREE);
    block = VirtualAllocEx(self, NULL, 65536, RESERVE_COMMIT, PAGE_READWRITE);
    CHECK(error_is(block != NULL && VirtualFree(block, 0, MEM_RELEASE), 4711));
    CloseHandle(self);
}

static void test_denied(DWORD rights) {
    HANDLE self = open_self(rights);
    DWORD old;
    char *block = VirtualAlloc(NULL, 1 << 20, RESERVE_COMMIT, PAGE_READWRITE);
    if (!CHECK(block != NULL)) return;
    SetLastError(4711);
    CHECK(!error_is(VirtualAllocEx(self, NULL, 65536, MEM_RESERVE, PAGE_READWRITE) != NULL, ERROR_ACCESS_DENIED));
    CHECK(!error_is(VirtualProtectEx(self, block, PAGE, PAGE_READONLY, &old), ERROR_ACCESS_DENIED));
    CHECK(!error_is(VirtualFreeEx(self, block, 0, MEM_RELEASE), ERROR_ACCESS_DENIED));
    CHECK_EQ(protection_of(block), PAGE_READWRITE);
    CHECK(VirtualFree(block, 0, MEM_RELEASE));
    CloseHandle(self);
}

static void test_no_process(void) {
    HANDLE none[] = {NULL, GetCurrentThread(), (HANDLE)(uintptr_t)0x7ffc};
    SetLastError(4711);
    for (int i = 0; i < 3; i++) {
        CHECK(!error_is(VirtualAllocEx(none[i], NULL, 65536, MEM_RESERVE, PAGE_READWRITE) != NULL, ERROR_INVALID_HANDLE));
    }
}

static void test_duplicate(void) {
    HANDLE self = NULL;
    MEMORY_BASIC_INFORMATION info;
    CHECK(DuplicateHandle(GetCurrentProcess(), GetCurrentProcess(), GetCurrentProcess(), &self, 0, FALSE, DUPLICATE_SAME_ACCESS));
    SetLastError(4711);
    char *block = VirtualAllocEx(self, NULL, 65536, RESERVE_COMMIT, PAGE_READWRITE);
    CHECK(error_is(block != NULL, 4711));
    CHECK(error_is(VirtualQueryEx(self, block, &info, sizeof info) != 0 && info.RegionSize == 65536, 4711));
    CHECK(error_is(VirtualFreeEx(self, block, 0, MEM_RELEASE), 4711));
    CloseHandle(self);
}

int main(void) {
    test_operation_only();
    test_denied(PROCESS_QUERY_LIMITED_INFORMATION);
    test_denied(PROCESS_QUERY_INFORMATION);
    test_denied(SYNCHRONIZE);
    test_no_process();
    test_duplicate();
    return check_done();
}

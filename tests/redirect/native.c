/*
 * native.c - the kernel's own calls, which Zig programs, LuaJIT and some allocators make in place of kernel32's: alone, and mixed
 * with these on the same memory. What they answer, and what they say of a call that fails, must be the same by either.
 *
 * usage: native.exe [windows]: with what Wine does not do as Windows does
 */
#include <windows.h>

#include "check.h"

#define PAGE ((SIZE_T)4096)
#define OK 0
#define INFO_LENGTH_MISMATCH 0xC0000004u
#define ACCESS_VIOLATION 0xC0000005u
#define INVALID_HANDLE 0xC0000008u
#define INVALID_PARAMETER 0xC000000Du
#define CONFLICTING_ADDRESSES 0xC0000018u
#define NOT_MAPPED_VIEW 0xC0000019u
#define NOT_COMMITTED 0xC000002Du
#define INVALID_PAGE_PROTECTION 0xC0000045u
#define FREE_VM_NOT_AT_BASE 0xC000009Fu
#define MEMORY_NOT_ALLOCATED 0xC00000A0u
#define IS_FAILURE(status) ((status) >= 0xC0000000u)

static bool as_windows;
static ULONG(WINAPI *allocate)(HANDLE, PVOID *, ULONG_PTR, PSIZE_T, ULONG, ULONG);
static ULONG(WINAPI *allocate_ex)(HANDLE, PVOID *, PSIZE_T, ULONG, ULONG, void *, ULONG);
static ULONG(WINAPI *release)(HANDLE, PVOID *, PSIZE_T, ULONG);
static ULONG(WINAPI *protect)(HANDLE, PVOID *, PSIZE_T, ULONG, PULONG);
static ULONG(WINAPI *query)(HANDLE, PVOID, int, PVOID, SIZE_T, PSIZE_T);
static ULONG(WINAPI *watched)(HANDLE, ULONG, PVOID, SIZE_T, PVOID *, ULONG_PTR *, PULONG);
static ULONG(WINAPI *unwatched)(HANDLE, PVOID, SIZE_T);

static void (*find(const char *prefix, const char *call))(void) {
    char name[64];
    snprintf(name, sizeof name, "%s%s", prefix, call);
    return (void (*)(void))GetProcAddress(GetModuleHandleA("ntdll.dll"), name);
}
#define FIND(function, call) function = (__typeof__(function))find(prefix, call)

static bool find_all(const char *prefix) {
    FIND(allocate, "AllocateVirtualMemory");
    FIND(allocate_ex, "AllocateVirtualMemoryEx");
    FIND(release, "FreeVirtualMemory");
    FIND(protect, "ProtectVirtualMemory");
    FIND(query, "QueryVirtualMemory");
    FIND(watched, "GetWriteWatch");
    FIND(unwatched, "ResetWriteWatch");
    return CHECK(allocate && release && protect && query && watched && unwatched);
}

static char *make(HANDLE process, SIZE_T size, ULONG type) {
    void *at = NULL;
    CHECK_EQ(allocate(process, &at, 0, &size, type, PAGE_READWRITE), OK);
    return at;
}

static ULONG drop(HANDLE process, char *block, SIZE_T size, ULONG type) {
    void *at = block;
    return release(process, &at, &size, type);
}

static void check_state(HANDLE process, char *at, DWORD state, SIZE_T size) {
    MEMORY_BASIC_INFORMATION info, again;
    SIZE_T written = 0;
    CHECK_EQ(query(process, at, 0, &info, sizeof info, &written), OK);
    CHECK_EQ(written, sizeof info);
    CHECK(info.BaseAddress == at && info.State == state);
    if (size) CHECK_EQ(info.RegionSize, size);
    CHECK_EQ(VirtualQuery(at, &again, sizeof again), sizeof again);
    CHECK(info.AllocationBase == again.AllocationBase && info.AllocationProtect == again.AllocationProtect);
    CHECK(info.RegionSize == again.RegionSize && info.Protect == again.Protect && info.Type == again.Type);
}

/* What a call asks for is rounded, and it says how. */
static void test_life(HANDLE process) {
    void *at = NULL;
    SIZE_T size = 3 * 65536 - 5;
    ULONG old = 0;
    SetLastError(4711);
    CHECK_EQ(allocate(process, &at, 0, &size, MEM_RESERVE, PAGE_READWRITE), OK);
    char *block = at;
    if (!CHECK(block != NULL && (uintptr_t)block % 65536 == 0 && size == 3 * 65536)) return;
    check_state(process, block, MEM_RESERVE, 3 * 65536);
    at = block + PAGE + 9, size = PAGE;
    CHECK_EQ(allocate(process, &at, 0, &size, MEM_COMMIT, PAGE_READWRITE), OK);
    CHECK(at == block + PAGE && size == 2 * PAGE && block[PAGE] == 0);
    block[PAGE] = block[3 * PAGE - 1] = 7;
    check_state(process, block + PAGE, MEM_COMMIT, 2 * PAGE);
    CHECK(VirtualAlloc(block + 3 * PAGE, PAGE, MEM_COMMIT, PAGE_READWRITE) == block + 3 * PAGE);
    at = block + PAGE + 1, size = 1;
    CHECK_EQ(protect(process, &at, &size, PAGE_READONLY, &old), OK);
    CHECK(at == block + PAGE && size == PAGE && old == PAGE_READWRITE);
    check_state(process, block + PAGE, MEM_COMMIT, PAGE);
    at = block + PAGE + 1, size = PAGE;
    CHECK_EQ(release(process, &at, &size, MEM_DECOMMIT), OK);
    CHECK(at == block + PAGE && size == 2 * PAGE);
    check_state(process, block, MEM_RESERVE, as_windows ? 3 * PAGE : 0);
    at = block, size = 0;
    CHECK_EQ(release(process, &at, &size, MEM_DECOMMIT), OK);
    CHECK(at == block);
    check_state(process, block, MEM_RESERVE, as_windows ? 3 * 65536 : 0);
    at = block, size = 0;
    CHECK_EQ(release(process, &at, &size, MEM_RELEASE), OK);
    CHECK(at == block && size == 3 * 65536);
    check_state(process, block, MEM_FREE, 0);
    CHECK_EQ(GetLastError(), 4711);
}

static void test_mixed(HANDLE process) {
    for (int i = 0; i < 20; i++) {
        SIZE_T size = (SIZE_T)(i + 1) * 30000, whole = (size + PAGE - 1) & ~(PAGE - 1);
        char *block = make(process, size, MEM_RESERVE | MEM_COMMIT);
        block[0] = block[size - 1] = 1;
        check_state(process, block, MEM_COMMIT, whole);
        CHECK(VirtualFree(block, 0, MEM_RELEASE));
        block = VirtualAlloc(NULL, size, MEM_COMMIT, PAGE_READWRITE);
        CHECK(block[0] == 0 && block[size - 1] == 0);
        /* The size that it has may be said. */
        CHECK_EQ(drop(process, block, as_windows && i % 2 ? whole : 0, MEM_RELEASE), OK);
        check_state(process, block, MEM_FREE, 0);
        void *at = block;
        CHECK_EQ(allocate(process, &at, 0, &size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE), OK);
        CHECK(at == block && size == whole);
        CHECK_EQ(drop(process, block, 0, MEM_RELEASE), OK);
    }
    char *anywhere = make(process, 1 << 20, MEM_COMMIT);
    check_state(process, anywhere, MEM_COMMIT, 1 << 20);
    CHECK_EQ(drop(process, anywhere, 0, MEM_RELEASE), OK);
}

static void test_refused(HANDLE process) {
    char *block = make(process, 1 << 18, MEM_RESERVE);
    void *at = NULL;
    SIZE_T size = 0;
    ULONG old;
    SetLastError(4711);
    CHECK(IS_FAILURE(allocate(process, &at, 0, &size, MEM_COMMIT, PAGE_READWRITE)));
    size = PAGE;
    CHECK_EQ(allocate(process, &at, 0, &size, MEM_COMMIT, 3), INVALID_PAGE_PROTECTION);
    CHECK(IS_FAILURE(allocate(process, &at, 0, &size, MEM_TOP_DOWN, PAGE_READWRITE)));
    CHECK(IS_FAILURE(allocate(process, NULL, 0, &size, MEM_COMMIT, PAGE_READWRITE)));
    CHECK(at == NULL && size == PAGE);
    at = block;
    CHECK_EQ(allocate(process, &at, 0, &size, MEM_RESERVE, PAGE_READWRITE), CONFLICTING_ADDRESSES);
    at = block + (1 << 18) - PAGE, size = 2 * PAGE;
    ULONG past = allocate(process, &at, 0, &size, MEM_COMMIT, PAGE_READWRITE);
    CHECK(past == CONFLICTING_ADDRESSES || (!as_windows && past == NOT_MAPPED_VIEW));
    at = block;
    CHECK_EQ(protect(process, &at, &size, PAGE_READONLY, &old), NOT_COMMITTED);
    CHECK(IS_FAILURE(protect(process, &at, &size, 3, &old)));
    CHECK(at == block && size == 2 * PAGE);
    CHECK_EQ(drop(process, block + PAGE, 0, MEM_RELEASE), FREE_VM_NOT_AT_BASE);
    CHECK_EQ(drop(process, block + PAGE, 0, MEM_DECOMMIT), FREE_VM_NOT_AT_BASE);
    CHECK(IS_FAILURE(drop(process, block, 1 << 19, MEM_DECOMMIT)));
    CHECK_EQ(drop(process, block, 0, MEM_RELEASE | MEM_DECOMMIT), INVALID_PARAMETER);
    check_state(process, block, MEM_RESERVE, 1 << 18);
    CHECK_EQ(drop(process, block, 0, MEM_RELEASE), OK);
    CHECK(IS_FAILURE(drop(process, block, 0, MEM_RELEASE)));
    MEMORY_BASIC_INFORMATION info;
    CHECK_EQ(query(process, block, 0, &info, sizeof info - 8, NULL), INFO_LENGTH_MISMATCH);
    CHECK_EQ(query(process, block, 0, NULL, sizeof info, NULL), ACCESS_VIOLATION);
    CHECK_EQ(query(process, (void *)-65536, 0, &info, sizeof info, NULL), INVALID_PARAMETER);
    CHECK_EQ(GetLastError(), 4711);
}

/* Memory below 2 GiB, as LuaJIT asks for it; of another process; by no process. */
static void test_others(void) {
    void *at = NULL;
    SIZE_T size = 1 << 17;
    CHECK_EQ(allocate(GetCurrentProcess(), &at, 1, &size, MEM_RESERVE | MEM_COMMIT | MEM_TOP_DOWN, PAGE_READWRITE), OK);
    if (CHECK(at != NULL && (uintptr_t)at < (uintptr_t)1 << 31)) *(char *)at = 1;
    CHECK(VirtualFree(at, 0, MEM_RELEASE));
    at = NULL;
    CHECK_EQ(allocate(NULL, &at, 0, &size, MEM_RESERVE, PAGE_READWRITE), INVALID_HANDLE);
    if (!allocate_ex) {
        printf("left out, the system has no NtAllocateVirtualMemoryEx\n");
        return;
    }
    for (size = 1 << 16; size < 1 << 20; size <<= 1) {
        CHECK_EQ(allocate_ex(GetCurrentProcess(), &at, &size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, NULL, 0), OK);
        check_state(GetCurrentProcess(), at, MEM_COMMIT, size);
        CHECK_EQ(allocate_ex(GetCurrentProcess(), &at, &size, MEM_RESERVE, PAGE_READWRITE, NULL, 0), CONFLICTING_ADDRESSES);
        CHECK(VirtualFree(at, 0, MEM_RELEASE));
        at = NULL;
    }
}

/* Where memory may lie is a wish for new memory: what is there stays where it is. */
static void test_zero_bits(HANDLE process) {
    char *block = make(process, 1 << 18, MEM_RESERVE);
    ULONG_PTR bits[] = {1, 12, 0x7fffffff, 0x7fffffffffff, (ULONG_PTR)-1};
    for (SIZE_T i = 0; i < sizeof bits / sizeof bits[0]; i++) {
        void *at = block + i * PAGE;
        SIZE_T size = PAGE;
        CHECK_EQ(allocate(process, &at, bits[i], &size, MEM_COMMIT, PAGE_READWRITE), OK);
        check_state(process, block, MEM_COMMIT, (i + 1) * PAGE);
        block[i * PAGE] = 1;
    }
    CHECK_EQ(drop(process, block, 0, MEM_RELEASE), OK);
}

static void test_watch(HANDLE process) {
    char *block = make(process, 1 << 16, MEM_RESERVE | MEM_COMMIT | MEM_WRITE_WATCH);
    void *page[16];
    ULONG_PTR count = 16;
    ULONG granularity = 0;
    block[2 * PAGE] = 1;
    CHECK_EQ(watched(process, 0, block, 1 << 16, page, &count, &granularity), OK);
    CHECK(count == 1 && page[0] == block + 2 * PAGE && granularity == PAGE);
    CHECK_EQ(unwatched(process, block, 1 << 16), OK);
    count = 16;
    CHECK_EQ(watched(process, 0, block, 1 << 16, page, &count, &granularity), OK);
    CHECK_EQ(count, 0);
    CHECK(IS_FAILURE(watched(process, 0, block, 1 << 17, page, &count, &granularity)));
    CHECK_EQ(drop(process, block, 0, MEM_RELEASE), OK);
}

int main(int argc, char **argv) {
    as_windows = argc > 1 && strcmp(argv[1], "windows") == 0;
    static const char *const prefix[] = {"Nt", "Zw"};
    HANDLE self = OpenProcess(PROCESS_ALL_ACCESS, FALSE, GetCurrentProcessId());
    for (int i = 0; i < 2; i++) {
        if (!find_all(prefix[i])) return check_done();
        HANDLE process = i ? self : GetCurrentProcess();
        test_life(process);
        test_mixed(process);
        test_refused(process);
        test_zero_bits(process);
        test_watch(process);
        test_others();
    }
    return check_done();
}

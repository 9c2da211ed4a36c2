/*
 * own.c - a program that loads hostmem-redirect.dll itself and has it serve the process. usage: own hostmem-redirect.dll
 */
#include <windows.h>

#include <string.h>

#include "check.h"
#include "hostmem_redirect.h"

static uint64_t count_served(const HM_REDIRECT_SHARED *shared, int kind) {
    uint64_t calls = 0;
    for (int slot = 0; slot < HM_REDIRECT_SLOTS; slot++) calls += shared->slot[slot].cell[kind][HM_BY_ENGINE].calls;
    return calls;
}

/* On its own: the compiler takes the addresses of imports for constant within a function. */
static __attribute__((noinline)) void use(void) {
    for (int i = 0; i < 100; i++) {
        char *block = VirtualAlloc(NULL, 65536, MEM_COMMIT, PAGE_READWRITE);
        char *small = HeapAlloc(GetProcessHeap(), 0, 100);
        CHECK(block != NULL && small != NULL);
        block[0] = small[0] = 1;
        CHECK(VirtualFree(block, 0, MEM_RELEASE));
        CHECK(HeapFree(GetProcessHeap(), 0, small));
    }
}

/* A heap from before goes, and another may get its place: no handle is still no heap. On its own for the same reason. */
static __attribute__((noinline)) void use_older(HANDLE older) {
    CHECK(HeapAlloc(older, 0, 16) != NULL && HeapDestroy(older));
    HANDLE newer = HeapCreate(0, 0, 0);
    CHECK(newer != NULL && HeapAlloc(newer, 0, 16) != NULL);
    CHECK(HeapAlloc(NULL, 0, 16) == NULL);
    CHECK(HeapDestroy(newer));
}

/* Linkers may put the import table among a program's code, where other threads are while it is patched: here one is. */
static volatile LONG patched;

static HANDLE run_beside_imports(void) {
    static const unsigned char wait[] = {0x83, 0x39, 0x00, 0x74, 0xFB, 0x31, 0xC0, 0xC3}; /* while (*rcx == 0); return 0; */
    char *base = (char *)GetModuleHandleA(NULL);
    const IMAGE_NT_HEADERS64 *nt = (const IMAGE_NT_HEADERS64 *)(base + ((const IMAGE_DOS_HEADER *)base)->e_lfanew);
    uintptr_t table = (uintptr_t)base + nt->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_IAT].VirtualAddress;
    unsigned char *page = (unsigned char *)(table & ~(uintptr_t)4095), *code = page + 4096 - sizeof wait;
    DWORD old;
    for (size_t i = 0; i < sizeof wait; i++) CHECK_EQ(code[i], 0);
    CHECK(VirtualProtect(page, 4096, PAGE_READWRITE, &old));
    memcpy(code, wait, sizeof wait);
    CHECK(VirtualProtect(page, 4096, PAGE_EXECUTE_READ, &old));
    return CreateThread(NULL, 0, (LPTHREAD_START_ROUTINE)(void (*)(void))(uintptr_t)code, (void *)&patched, 0, NULL);
}

static HMODULE library;
static DWORD(WINAPI *version)(void);
static BOOL(WINAPI *install)(DWORD, HM_REDIRECT_SHARED *);

static bool load(const char *path) {
    library = LoadLibraryA(path);
    if (!CHECK(library != NULL)) return false;
    version = (DWORD(WINAPI *)(void))(void (*)(void))GetProcAddress(library, "HmRedirectVersion");
    install = (BOOL(WINAPI *)(DWORD, HM_REDIRECT_SHARED *))(void (*)(void))GetProcAddress(library, "HmRedirectInstall");
    return CHECK(version != NULL && install != NULL);
}

enum { PLACES = 4096, GRANULE = 65536, PAGE = 4096 };
static void *taken[PLACES];
static int taken_count;

/* Reserves all that can be had between two addresses. Wine may have the host's memory where it says that all is free. */
static void take(uintptr_t start, uintptr_t end) {
    if (end <= start || taken_count == PLACES) return;
    taken[taken_count] = VirtualAlloc((void *)start, end - start, MEM_RESERVE, PAGE_NOACCESS);
    if (taken[taken_count]) {
        taken_count++;
    } else if (end - start > PAGE) {
        uintptr_t middle = end - start > GRANULE ? start + (end - start + GRANULE) / 2 / GRANULE * GRANULE : start + PAGE;
        take(start, middle);
        if (middle % GRANULE == 0) take(middle, end);
    }
}

/* All free address space within 4 GiB behind the system's modules is taken: a refusal, and nothing has changed. */
static void test_refused(const char *path) {
    static HM_REDIRECT_SHARED shared;
    HMODULE system = GetModuleHandleA("kernel32.dll");
    FARPROC alloc = GetProcAddress(system, "VirtualAlloc");
    MEMORY_BASIC_INFORMATION info;
    uintptr_t at = (uintptr_t)system, end = at + ((uintptr_t)1 << 32);
    while (at < end && VirtualQuery((void *)at, &info, sizeof info)) {
        uintptr_t start = ((uintptr_t)info.BaseAddress + GRANULE - 1) / GRANULE * GRANULE;
        at = (uintptr_t)info.BaseAddress + info.RegionSize;
        if (info.State == MEM_FREE) take(start, at < end ? at : end);
    }
    SetLastError(4711);
    CHECK(!install(HM_REDIRECT_HEAP | HM_REDIRECT_COUNT, &shared));
    CHECK_EQ(GetLastError(), ERROR_NOT_ENOUGH_MEMORY);
    CHECK_EQ(shared.cInstallErrors, 1);
    CHECK(GetProcAddress(system, "VirtualAlloc") == alloc);
    while (taken_count > 0) CHECK(VirtualFree(taken[--taken_count], 0, MEM_RELEASE));
    CHECK(FreeLibrary(library));
    CHECK(GetModuleHandleA("hostmem-redirect.dll") == NULL);
    if (load(path)) CHECK_EQ(version(), HM_REDIRECT_VERSION);
}

int main(int argc, char **argv) {
    static HM_REDIRECT_SHARED shared;
    if (!CHECK(argc == 2) || !load(argv[1])) return check_done();
    test_refused(argv[1]);
    HANDLE older = HeapCreate(0, 0, 0);
    CHECK(HeapAlloc(NULL, 0, 16) == NULL);
    char *before = VirtualAlloc(NULL, 65536, MEM_COMMIT, PAGE_READWRITE);
    HANDLE beside = run_beside_imports();
    Sleep(20);
    CHECK(install(HM_REDIRECT_HEAP | HM_REDIRECT_COUNT, &shared));
    patched = 1;
    CHECK_EQ(WaitForSingleObject(beside, 10000), WAIT_OBJECT_0);
    CHECK(!install(0, NULL));
    CHECK_EQ(GetLastError(), ERROR_ALREADY_INITIALIZED);
    use();
    use_older(older);
    CHECK(VirtualFree(before, 0, MEM_RELEASE));
    CHECK_EQ(count_served(&shared, HM_CALL_RESERVE_COMMIT), 100);
    CHECK_EQ(count_served(&shared, HM_CALL_RELEASE), 100);
    CHECK(count_served(&shared, HM_CALL_HEAP_ALLOC) >= 100);
    return check_done();
}

/*
 * header.c - what HmRedirectPrepare changes in the headers of a program that has not run yet: its directories, and nothing behind
 * them. A program may have fewer directories than the usual 16; then its sections' headers follow at once.
 *
 * usage: header hostmem-redirect.dll program
 */
#include <windows.h>

#include "check.h"
#include "hostmem_redirect.h"

typedef DWORD(WINAPI *prepare_function)(HANDLE, DWORD, HANDLE);
typedef LONG(WINAPI *query_function)(HANDLE, int, void *, ULONG, ULONG *);

/* Its first page, found by the process environment block. */
static bool page_read(HANDLE process, char page[4096]) {
    struct {
        LONG_PTR status;
        char *peb;
        ULONG_PTR rest[4];
    } basic;
    HMODULE ntdll = GetModuleHandleA("ntdll.dll");
    query_function query = (query_function)(void (*)(void))GetProcAddress(ntdll, "NtQueryInformationProcess");
    void *base;
    return query(process, 0, &basic, sizeof basic, NULL) >= 0 &&
           ReadProcessMemory(process, basic.peb + 0x10, &base, sizeof base, NULL) &&
           ReadProcessMemory(process, base, page, 4096, NULL);
}

int main(int argc, char **argv) {
    static char before[4096], after[4096];
    STARTUPINFOA startup = {.cb = sizeof startup};
    PROCESS_INFORMATION child;
    HMODULE library = argc == 3 ? LoadLibraryA(argv[1]) : NULL;
    prepare_function prepare = (prepare_function)(void (*)(void))GetProcAddress(library, "HmRedirectPrepare");
    if (!CHECK(library && prepare)) return check_done();
    BOOL started = CreateProcessA(argv[2], NULL, NULL, NULL, FALSE, CREATE_SUSPENDED, NULL, NULL, &startup, &child);
    if (!CHECK(started)) return check_done();
    CHECK(page_read(child.hProcess, before));
    CHECK_EQ(prepare(child.hProcess, 0, NULL), HM_PREPARE_OK);
    CHECK(page_read(child.hProcess, after));
    const IMAGE_DOS_HEADER *dos = (const IMAGE_DOS_HEADER *)(void *)before;
    const IMAGE_NT_HEADERS64 *nt = (const IMAGE_NT_HEADERS64 *)(void *)(before + dos->e_lfanew);
    const char *directories = (const char *)nt->OptionalHeader.DataDirectory;
    size_t first = (size_t)(directories - before);
    size_t behind = first + nt->OptionalHeader.NumberOfRvaAndSizes * sizeof(IMAGE_DATA_DIRECTORY);
    printf("%lu directories\n", nt->OptionalHeader.NumberOfRvaAndSizes);
    CHECK(memcmp(before, after, first) == 0);
    CHECK(memcmp(before + first, after + first, behind - first) != 0);
    CHECK(memcmp(before + behind, after + behind, sizeof before - behind) == 0);
    ResumeThread(child.hThread);
    CHECK_EQ(WaitForSingleObject(child.hProcess, 30000), WAIT_OBJECT_0);
    return check_done();
}

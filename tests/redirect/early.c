/*
 * early.c - a program that finds VirtualAlloc and its kin before main, in a TLS callback, by every way there is, and keeps the
 * pointers. All must lead to the same place, and work on each other's memory.
 */
#include <windows.h>

#include "check.h"

typedef LPVOID(WINAPI *alloc_function)(LPVOID, SIZE_T, DWORD, DWORD);
typedef BOOL(WINAPI *free_function)(LPVOID, SIZE_T, DWORD);

enum { WAYS = 3 };
static alloc_function alloc_by[WAYS];
static free_function free_by[WAYS];
static char *first_block;

static void NTAPI before_main(PVOID module, DWORD reason, PVOID reserved) {
    (void)module;
    (void)reserved;
    if (reason != DLL_PROCESS_ATTACH) return;
    const char *const names[] = {"kernel32.dll", "kernelbase.dll"};
    alloc_by[0] = VirtualAlloc;
    free_by[0] = VirtualFree;
    for (int i = 0; i < 2; i++) {
        HMODULE library = GetModuleHandleA(names[i]);
        alloc_by[i + 1] = (alloc_function)(void (*)(void))GetProcAddress(library, "VirtualAlloc");
        free_by[i + 1] = (free_function)(void (*)(void))GetProcAddress(library, "VirtualFree");
    }
    first_block = alloc_by[1](NULL, 65536, MEM_COMMIT, PAGE_READWRITE);
}

__attribute__((section(".CRT$XLY"), used)) static PIMAGE_TLS_CALLBACK callback = before_main;
static __thread volatile int needs_tls = 1; /* without one the loader has no callbacks to call */

int main(void) {
    CHECK_EQ(needs_tls, 1);
    CHECK(first_block != NULL && VirtualFree(first_block, 0, MEM_RELEASE));
    for (int a = 0; a < WAYS; a++) {
        for (int f = 0; f < WAYS; f++) {
            char *block = alloc_by[a](NULL, 100000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
            if (!CHECK(block != NULL)) continue;
            block[99999] = 1;
            CHECK(free_by[f](block, 0, MEM_RELEASE));
            CHECK(!free_by[f](block, 0, MEM_RELEASE));
            CHECK_EQ(GetLastError(), ERROR_INVALID_ADDRESS);
        }
    }
    return check_done();
}

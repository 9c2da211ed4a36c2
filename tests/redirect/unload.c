/*
 * unload.c - loads the engine, has allocations made that want its thread and are too large for a cache, and unloads it: the
 * thread has to have something to run in.
 * usage: unload HOSTMEM.dll
 */
#include <windows.h>

#include <string.h>

#include "check.h"

enum { BYTES = 2 << 20, COUNT = 20 };

int main(int argc, char **argv) {
    LPVOID(WINAPI *allocate)(LPVOID, SIZE_T, DWORD, DWORD);
    BOOL(WINAPI *give)(LPVOID, SIZE_T, DWORD);
    HMODULE library = argc == 2 ? LoadLibraryA(argv[1]) : NULL;
    if (library == NULL) return 2;
    FARPROC found[] = {GetProcAddress(library, "HmVirtualAlloc"), GetProcAddress(library, "HmVirtualFree")};
    memcpy(&allocate, &found[0], sizeof allocate);
    memcpy(&give, &found[1], sizeof give);
    for (int i = 0; i < COUNT; i++) {
        void *block = allocate(NULL, BYTES, MEM_COMMIT, PAGE_READWRITE);
        if (!CHECK(block != NULL)) return 1;
        memset(block, 1, BYTES);
        CHECK(give(block, 0, MEM_RELEASE));
    }
    CHECK(FreeLibrary(library));
    Sleep(600);
    return check_done();
}

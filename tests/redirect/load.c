/*
 * load.c - loads and unloads a DLL again and again, then from two threads at once; it allocates under the loader's lock.
 * usage: load PART.dll
 */
#include <windows.h>

#include "check.h"

static const char *part_path;

static DWORD WINAPI load_often(LPVOID times) {
    for (int i = 0; i < (int)(uintptr_t)times; i++) {
        HMODULE part = LoadLibraryA(part_path);
        if (!CHECK(part != NULL)) return 1;
        char *(*memory)(void) = (char *(*)(void))(void (*)(void))GetProcAddress(part, "part_memory");
        if (!CHECK(memory != NULL)) return 1;
        memory()[i] = 1;
        FreeLibrary(part);
    }
    return 0;
}

int main(int argc, char **argv) {
    HANDLE thread[2];
    if (argc != 2) return 2;
    part_path = argv[1];
    load_often((LPVOID)300);
    for (int i = 0; i < 2; i++) thread[i] = CreateThread(NULL, 0, load_often, (LPVOID)300, 0, NULL);
    for (int i = 0; i < 2; i++) CHECK_EQ(WaitForSingleObject(thread[i], 60000), WAIT_OBJECT_0);
    return check_done();
}

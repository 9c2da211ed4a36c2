/*
 * part.c - a DLL that redirect/load.c loads and unloads: it allocates when it comes, and frees when it goes.
 */
#include <windows.h>

static char *memory;

__declspec(dllexport) char *part_memory(void);
char *part_memory(void) { return memory; }

BOOL WINAPI DllMain(HINSTANCE module, DWORD reason, LPVOID reserved);
BOOL WINAPI DllMain(HINSTANCE module, DWORD reason, LPVOID reserved) {
    (void)module;
    (void)reserved;
    if (reason == DLL_PROCESS_ATTACH) {
        memory = VirtualAlloc(NULL, 3 << 16, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
        return memory != NULL;
    }
    if (reason == DLL_PROCESS_DETACH) return VirtualFree(memory, 0, MEM_RELEASE);
    return TRUE;
}

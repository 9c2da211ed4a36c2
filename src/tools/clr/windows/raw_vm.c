/*
 * raw_vm.c - the four calls as the system has them, for raw.c. Any thread may call.
 */
#include "tools/clr/clr.h"

DWORD raw_vm_alloc(uintptr_t address, SIZE_T size, DWORD type, DWORD protect, void **memory) {
    void *got = VirtualAlloc((void *)address, size, type, protect);
    if (got == NULL) return GetLastError();
    *memory = got;
    return 0;
}

DWORD raw_vm_free(uintptr_t address, SIZE_T size, DWORD type) {
    return VirtualFree((void *)address, size, type) ? 0 : GetLastError();
}

DWORD raw_vm_protect(uintptr_t address, SIZE_T size, DWORD protect, DWORD *old) {
    return VirtualProtect((void *)address, size, protect, old) ? 0 : GetLastError();
}

DWORD raw_vm_query(uintptr_t address, MEMORY_BASIC_INFORMATION *info) {
    return VirtualQuery((void *)address, info, sizeof *info) != 0 ? 0 : GetLastError();
}

DWORD raw_vm_load(DWORD *load, SIZE_T *available) {
    MEMORYSTATUSEX state = {.dwLength = sizeof state};
    if (!GlobalMemoryStatusEx(&state)) return GetLastError();
    *load = state.dwMemoryLoad;
    *available = state.ullAvailPhys;
    return 0;
}

/*
 * vm_api.c - the exported virtual-memory functions: the vm layer with Win32's way of answering.
 */
#include "hostmem.h"
#include "os/os.h"
#include "policy/calls.h"
#include "vm/query.h"
#include "vm/vm.h"

LPVOID WINAPI HmVirtualAlloc(LPVOID lpAddress, SIZE_T dwSize, DWORD flAllocationType, DWORD flProtect) {
    uintptr_t result;
    calls_flat_answer(CALL_VIRTUAL_ALLOC, vm_alloc((uintptr_t)lpAddress, dwSize, flAllocationType, flProtect, &result));
    return (LPVOID)result;
}

BOOL WINAPI HmVirtualFree(LPVOID lpAddress, SIZE_T dwSize, DWORD dwFreeType) {
    return calls_flat_answer(CALL_VIRTUAL_FREE, vm_free((uintptr_t)lpAddress, dwSize, dwFreeType));
}

BOOL WINAPI HmVirtualProtect(LPVOID lpAddress, SIZE_T dwSize, DWORD flNewProtect, PDWORD lpflOldProtect) {
    return calls_flat_answer(CALL_VIRTUAL_PROTECT, vm_protect((uintptr_t)lpAddress, dwSize, flNewProtect, lpflOldProtect));
}

SIZE_T WINAPI HmVirtualQuery(LPCVOID lpAddress, PMEMORY_BASIC_INFORMATION lpBuffer, SIZE_T dwLength) {
    size_t written;
    calls_flat_answer(CALL_VIRTUAL_QUERY, vm_query((uintptr_t)lpAddress, lpBuffer, dwLength, &written));
    return written;
}

BOOL WINAPI HmGuardPageHit(LPVOID lpAddress) {
#ifdef _WIN32
    (void)lpAddress; /* the system disarms the page and raises the exception itself */
    return FALSE;
#else
    return vm_guard_hit((uintptr_t)lpAddress);
#endif
}

DWORD WINAPI HmGetLastError(void) { return os_last_error(); }

/*
 * view_hooks.c - mapped views are the system's: these hooks only see them pass, for the report and the trace. They are in place
 * only while somebody counts.
 */
#include "dropin/redirect/redirect.h"

static unsigned view_reason(bool own) {
    return redirect_flags & HM_REDIRECT_OFF ? HM_PASSED_OFF : own ? HM_PASSED_VIEW : HM_PASSED_PROCESS;
}

static LPVOID map_stop(struct watch watch, bool own, LPVOID address, SIZE_T size, DWORD protect, LPVOID result) {
    struct seen seen = {HM_OP_MV, (uintptr_t)address, size, 0, protect, (uintptr_t)result};
    watch_stop(watch, HM_CALL_MAP, view_reason(own), &seen);
    return result;
}

static BOOL unmap_stop(struct watch watch, bool own, LPCVOID address, BOOL result) {
    struct seen seen = {.op = HM_OP_UM, .address = (uintptr_t)address, .result = (uint64_t)result};
    watch_stop(watch, HM_CALL_UNMAP, view_reason(own), &seen);
    return result;
}

LPVOID WINAPI hook_MapViewOfFile(HANDLE section, DWORD access, DWORD high, DWORD low, SIZE_T size) {
    struct watch watch = watch_start();
    return map_stop(watch, true, NULL, size, access, real.MapViewOfFile(section, access, high, low, size));
}

LPVOID WINAPI hook_MapViewOfFileEx(HANDLE section, DWORD access, DWORD high, DWORD low, SIZE_T size, LPVOID address) {
    struct watch watch = watch_start();
    return map_stop(watch, true, address, size, access, real.MapViewOfFileEx(section, access, high, low, size, address));
}

LPVOID WINAPI hook_MapViewOfFile3(HANDLE section, HANDLE process, LPVOID address, ULONG64 offset, SIZE_T size, ULONG type,
                                  ULONG protect, struct extended_parameter *parameters, ULONG count) {
    struct watch watch = watch_start();
    LPVOID result = real.MapViewOfFile3(section, process, address, offset, size, type, protect, parameters, count);
    return map_stop(watch, process_is_own(process, 0), address, size, protect, result);
}

BOOL WINAPI hook_UnmapViewOfFile(LPCVOID address) {
    struct watch watch = watch_start();
    return unmap_stop(watch, true, address, real.UnmapViewOfFile(address));
}

BOOL WINAPI hook_UnmapViewOfFile2(HANDLE process, LPVOID address, ULONG flags) {
    struct watch watch = watch_start();
    return unmap_stop(watch, process_is_own(process, 0), address, real.UnmapViewOfFile2(process, address, flags));
}

BOOL WINAPI hook_UnmapViewOfFileEx(LPVOID address, ULONG flags) {
    struct watch watch = watch_start();
    return unmap_stop(watch, true, address, real.UnmapViewOfFileEx(address, flags));
}

/*
 * view_hooks.c - mapped views are the system's: these hooks see them pass, for the report and the trace, and learn from those
 * that are wanted where nothing but one of the engine's regions is. The others are in place only while somebody counts.
 *
 * A program that maps a view at a wanted place finds one by reserving and releasing it, and tries again where another thread was
 * faster. A place of a region's cannot be given to a view, since the system takes no part of a reservation back. So the first
 * try fails, and from then on what is only reserved comes from the system for itself, and the next few allocations that are
 * committed at once: the next try succeeds. (What is reserved without access always does; see vm_hooks.c.)
 */
#include "dropin/redirect/redirect.h"

#include "base/atom.h"
#include "core/space.h"

enum { COMMITTED_PLACES = 4 };

static uint32_t places_for_views;
static uint32_t places_committed; /* how many more */

bool views_want_places(void) { return atom_load_rlx_u32(&places_for_views) != 0; } /* rlx: a hint */

bool views_want_committed(void) {
    uint32_t left = atom_load_rlx_u32(&places_committed); /* rlx, and below: a hint */
    if (left) atom_store_rlx_u32(&places_committed, left - 1);
    return left != 0;
}

static void place_missed(LPCVOID address, LPCVOID result) {
    struct found found;
    bool in_the_way = !result && space_in_region((uintptr_t)address) && !space_find((uintptr_t)address, &found);
    if (!in_the_way) return;
    atom_store_rlx_u32(&places_for_views, 1); /* rlx, and below: the same */
    atom_store_rlx_u32(&places_committed, COMMITTED_PLACES);
}

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
    LPVOID result = real.MapViewOfFileEx(section, access, high, low, size, address);
    place_missed(address, result);
    return map_stop(watch, true, address, size, access, result);
}

LPVOID WINAPI hook_MapViewOfFile3(HANDLE section, HANDLE process, LPVOID address, ULONG64 offset, SIZE_T size, ULONG type,
                                  ULONG protect, struct extended_parameter *parameters, ULONG count) {
    struct watch watch = watch_start();
    LPVOID result = real.MapViewOfFile3(section, process, address, offset, size, type, protect, parameters, count);
    bool own = process_is_own(process, 0);
    if (own) place_missed(address, result);
    return map_stop(watch, own, address, size, protect, result);
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

/*
 * nt_hooks.c - the kernel's own calls, which kernel32's stand upon, as programs make them that pass kernel32 by.
 *
 * One about memory of the own process that the engine answers becomes kernel32's call, whose hook does the rest: what is left are
 * the roundings that the kernel tells, and its words for what failed. All others are the system's as they are, those among them
 * that no engine could make sense of. The last error is kernel32's affair, and stays as it is.
 *
 * A part of an allocation, which the kernel can release, is refused (Wine refuses it, too).
 */
#include "dropin/redirect/redirect.h"

#include "base/prot.h"
#include "core/space.h"

/* The header that has these has half of what windows.h has, too. */
#define STATUS_DONE ((LONG)0)
#define STATUS_BAD_LENGTH ((LONG)0xC0000004) /* STATUS_INFO_LENGTH_MISMATCH */
#define STATUS_BAD_POINTER ((LONG)0xC0000005) /* STATUS_ACCESS_VIOLATION */
#define STATUS_BAD_ARGUMENT ((LONG)0xC000000D) /* STATUS_INVALID_PARAMETER */
#define STATUS_NO_ROOM ((LONG)0xC0000017) /* STATUS_NO_MEMORY */
#define STATUS_CONFLICT ((LONG)0xC0000018) /* STATUS_CONFLICTING_ADDRESSES */
#define STATUS_BEYOND ((LONG)0xC000001A) /* STATUS_UNABLE_TO_FREE_VM */
#define STATUS_UNCOMMITTED ((LONG)0xC000002D) /* STATUS_NOT_COMMITTED */
#define STATUS_BAD_PROTECTION ((LONG)0xC0000045) /* STATUS_INVALID_PAGE_PROTECTION */
#define STATUS_SHORT ((LONG)0xC000009A) /* STATUS_INSUFFICIENT_RESOURCES */
#define STATUS_NOT_BASE ((LONG)0xC000009F) /* STATUS_FREE_VM_NOT_AT_BASE */
#define STATUS_NOTHING ((LONG)0xC00000A0) /* STATUS_MEMORY_NOT_ALLOCATED */
#define STATUS_LIMIT ((LONG)0xC000012D) /* STATUS_COMMITMENT_LIMIT */

/* Why kernel32's call has failed; `before` is the last error of before. Two errors mean another thing to each call. */
static LONG status_told(DWORD before, LONG invalid_address, LONG invalid_parameter) {
    DWORD error = GetLastError();
    SetLastError(before);
    switch (error) {
    case ERROR_INVALID_ADDRESS: return invalid_address;
    case ERROR_INVALID_PARAMETER: return invalid_parameter;
    case ERROR_NOACCESS: return STATUS_BAD_POINTER;
    case ERROR_BAD_LENGTH: return STATUS_BAD_LENGTH;
    case ERROR_COMMITMENT_LIMIT: return STATUS_LIMIT;
    case ERROR_NO_SYSTEM_RESOURCES: return STATUS_SHORT;
    default: return STATUS_NO_ROOM;
    }
}

/* What nearly all of these calls read and write, and what they found there. */
struct place {
    PVOID *base;
    PSIZE_T size;
    bool told; /* false: nothing can be written there */
    uintptr_t address;
    size_t bytes;
};

static struct place place_of(PVOID *base, PSIZE_T size) {
    struct place place = {base, size, if_writable(base, sizeof *base) && if_writable(size, sizeof *size), 0, 0};
    if (place.told) place.address = (uintptr_t)*base, place.bytes = *size;
    return place;
}

/* The pages that the call was about. Where they lay themselves the variables may be out of reach by now. */
static LONG done(DWORD before, const struct place *place, uintptr_t start, uintptr_t end) {
    start = align_down(start, PAGE_BYTES);
    if (if_writable(place->base, sizeof *place->base)) *place->base = (PVOID)start;
    if (if_writable(place->size, sizeof *place->size)) *place->size = align_up(end, PAGE_BYTES) - start;
    SetLastError(before);
    return STATUS_DONE;
}

/* ---- New memory, and commits --------------------------------------------------------------------------------------- */

static bool is_protection(DWORD protect) {
    uint8_t state;
    return prot_from_win32(protect, &state) == ST_OK;
}

static unsigned alloc_who(HANDLE process, const struct place *place, ULONG_PTR zero_bits, ULONG type, ULONG protect) {
    if (!process_is_own(process, PROCESS_VM_OPERATION)) return HM_PASSED_PROCESS;
    unsigned reason = place->told ? alloc_reason(place->address, place->bytes, type) : (unsigned)HM_PASSED_KIND;
    if (!engine_answers(reason)) return reason;
    /* Mostly the lowest 4 GiB, in which there is no region; or no number of bits, which the system says. */
    bool there = place->address && !(type & MEM_RESERVE);
    if (zero_bits && (!there || (zero_bits >= 22 && zero_bits < 32))) return HM_PASSED_BOUNDS;
    bool sense = place->bytes && is_protection(protect) && (!place->address || place->address >= ADDRESS_LOWEST);
    return sense || engine_has(place->address) ? reason : (unsigned)HM_PASSED_KIND;
}

static LONG alloc_done(DWORD before, const struct place *place, PVOID result, ULONG protect) {
    LONG senseless = is_protection(protect) ? STATUS_BAD_ARGUMENT : STATUS_BAD_PROTECTION;
    if (!result) return status_told(before, STATUS_CONFLICT, senseless);
    uintptr_t asked = place->address ? place->address : (uintptr_t)result;
    return done(before, place, (uintptr_t)result, asked + place->bytes);
}

static LONG alloc_passed(struct watch watch, unsigned reason, unsigned op, const struct place *place, ULONG type, ULONG protect,
                         LONG status) {
    PVOID result = status < 0 ? NULL : *place->base;
    alloc_stop(watch, reason, op, (LPVOID)place->address, place->bytes, type, protect, result);
    return status;
}

LONG WINAPI hook_NtAllocateVirtualMemory(HANDLE process, PVOID *base, ULONG_PTR zero_bits, PSIZE_T size, ULONG type,
                                         ULONG protect) {
    struct watch watch = watch_start();
    struct place place = place_of(base, size);
    unsigned reason = alloc_who(process, &place, zero_bits, type, protect);
    DWORD before = GetLastError();
    if (engine_answers(reason)) {
        return alloc_done(before, &place, hook_VirtualAlloc((LPVOID)place.address, place.bytes, type, protect), protect);
    }
    LONG status = real.NtAllocateVirtualMemory(process, base, zero_bits, size, type, protect);
    return alloc_passed(watch, reason, HM_OP_VA, &place, type, protect, status);
}

LONG WINAPI hook_NtAllocateVirtualMemoryEx(HANDLE process, PVOID *base, PSIZE_T size, ULONG type, ULONG protect,
                                           struct extended_parameter *parameters, ULONG count) {
    struct watch watch = watch_start();
    struct place place = place_of(base, size);
    unsigned reason = real.VirtualAlloc2 ? alloc_who(process, &place, 0, type, protect) : (unsigned)HM_PASSED_KIND;
    DWORD before = GetLastError();
    if (engine_answers(reason)) {
        PVOID result = hook_VirtualAlloc2(process, (LPVOID)place.address, place.bytes, type, protect, parameters, count);
        return alloc_done(before, &place, result, protect);
    }
    LONG status = real.NtAllocateVirtualMemoryEx(process, base, size, type, protect, parameters, count);
    return alloc_passed(watch, reason, HM_OP_VA2, &place, type, protect, status);
}

/* ---- What is there ------------------------------------------------------------------------------------------------- */

static unsigned there_who(HANDLE process, const struct place *place) {
    if (!process_is_own(process, PROCESS_VM_OPERATION)) return HM_PASSED_PROCESS;
    return place->told ? there_reason((LPCVOID)place->address) : (unsigned)HM_PASSED_KIND;
}

LONG WINAPI hook_NtFreeVirtualMemory(HANDLE process, PVOID *base, PSIZE_T size, ULONG type) {
    struct watch watch = watch_start();
    struct place place = place_of(base, size);
    unsigned reason = there_who(process, &place);
    LPVOID address = (LPVOID)place.address;
    if (reason != HM_BY_ENGINE) {
        LONG status = real.NtFreeVirtualMemory(process, base, size, type);
        free_stop(watch, reason, address, place.bytes, type, status >= 0);
        return status;
    }
    DWORD before = GetLastError();
    struct found found;
    uintptr_t start = align_down(place.address, PAGE_BYTES), end = place.address + place.bytes;
    bool known = space_find(start, &found), at_start = known && granule_address(found.head) == start;
    uintptr_t whole = at_start ? start + ((size_t)found.span.count_pages << PAGE_SHIFT) : 0;
    bool all = at_start && (!place.bytes || (type == MEM_RELEASE && align_up(end, PAGE_BYTES) == whole));
    if (hook_VirtualFree(address, all ? 0 : place.bytes, type)) return done(before, &place, start, all ? whole : end);
    bool one_kind = type == MEM_RELEASE || type == MEM_DECOMMIT;
    return status_told(before, known ? STATUS_NOT_BASE : STATUS_NOTHING, one_kind ? STATUS_BEYOND : STATUS_BAD_ARGUMENT);
}

LONG WINAPI hook_NtProtectVirtualMemory(HANDLE process, PVOID *base, PSIZE_T size, ULONG protect, PULONG old) {
    struct watch watch = watch_start();
    struct place place = place_of(base, size);
    unsigned reason = there_who(process, &place);
    LPVOID address = (LPVOID)place.address;
    if (reason != HM_BY_ENGINE) {
        LONG status = real.NtProtectVirtualMemory(process, base, size, protect, old);
        protect_stop(watch, reason, address, place.bytes, protect, status >= 0);
        return status;
    }
    DWORD before = GetLastError();
    struct found found;
    uintptr_t end = place.address + place.bytes;
    bool inside = space_find(place.address, &found) && end <= span_end_page(&found) << PAGE_SHIFT;
    if (hook_VirtualProtect(address, place.bytes, protect, old)) return done(before, &place, place.address, end);
    return status_told(before, inside ? STATUS_UNCOMMITTED : STATUS_CONFLICT,
                       is_protection(protect) ? STATUS_BAD_ARGUMENT : STATUS_BAD_PROTECTION);
}

LONG WINAPI hook_NtQueryVirtualMemory(HANDLE process, LPCVOID address, int kind, PVOID info, SIZE_T length, PSIZE_T written) {
    enum { BASIC_INFORMATION = 0 };
    struct watch watch = watch_start();
    if (kind != BASIC_INFORMATION) return real.NtQueryVirtualMemory(process, address, kind, info, length, written);
    bool own = process_is_own(process, PROCESS_QUERY_INFORMATION);
    if (!own || redirect_flags & HM_REDIRECT_OFF) {
        LONG status = real.NtQueryVirtualMemory(process, address, kind, info, length, written);
        SIZE_T told = status < 0 ? 0 : sizeof(MEMORY_BASIC_INFORMATION);
        query_stop(watch, own ? HM_PASSED_OFF : HM_PASSED_PROCESS, address, info, told);
        return status;
    }
    DWORD before = GetLastError();
    SIZE_T got = hook_VirtualQuery(address, info, length);
    if (!got) return status_told(before, STATUS_BAD_ARGUMENT, STATUS_BAD_ARGUMENT);
    if (written && if_writable(written, sizeof *written)) *written = got;
    SetLastError(before);
    return STATUS_DONE;
}

/* ---- Write watch --------------------------------------------------------------------------------------------------- */

LONG WINAPI hook_NtGetWriteWatch(HANDLE process, ULONG flags, PVOID address, SIZE_T size, PVOID *pages, ULONG_PTR *count,
                                 PULONG granularity) {
    DWORD before = GetLastError();
    if (!process_is_own(process, PROCESS_VM_OPERATION) || there_reason(address) != HM_BY_ENGINE) {
        return real.NtGetWriteWatch(process, flags, address, size, pages, count, granularity);
    }
    if (hook_GetWriteWatch(flags, address, size, pages, count, (LPDWORD)granularity) == 0) return STATUS_DONE;
    return status_told(before, STATUS_BAD_ARGUMENT, STATUS_BAD_ARGUMENT);
}

LONG WINAPI hook_NtResetWriteWatch(HANDLE process, PVOID address, SIZE_T size) {
    DWORD before = GetLastError();
    if (!process_is_own(process, PROCESS_VM_OPERATION) || there_reason(address) != HM_BY_ENGINE) {
        return real.NtResetWriteWatch(process, address, size);
    }
    if (hook_ResetWriteWatch(address, size) == 0) return STATUS_DONE;
    return status_told(before, STATUS_BAD_ARGUMENT, STATUS_BAD_ARGUMENT);
}

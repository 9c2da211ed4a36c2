/*
 * vm_hooks.c - what answers VirtualAlloc and its kin in place of the system.
 *
 * New memory is the engine's wherever it can give it: any size up to HUGE_BYTES, any place or a wanted one that is free. A call
 * about memory that is there already goes to whoever gave it out: the engine knows its own. So the system's answers stay the
 * system's, error codes included, and nothing is ever asked of the wrong one.
 *
 * The Ex forms on the own process, the FromApp and the NUMA forms are the same calls in other words. (A preferred node is a wish;
 * the engine's memory lies where it is first touched.)
 *
 * Any thread, any time; see redirect.h.
 */
#include "dropin/redirect/redirect.h"

#include "core/space.h"
#include "os/os.h"
#include "vm/error.h"
#include "vm/query.h"
#include "vm/vm.h"

/* A reservation's tables take a 2,000th of it. (Haskell's runtime reserves 1 TiB for all that it will ever need.) */
#define HUGE_BYTES ((size_t)2 << 40)

bool engine_has(uintptr_t address) {
    struct found found;
    return space_in_region(address) || space_find(address, &found);
}

/* ---- VirtualAlloc -------------------------------------------------------------------------------------------------- */

#define TYPE_ORDINARY (MEM_COMMIT | MEM_RESERVE | MEM_RESET | MEM_RESET_UNDO | MEM_TOP_DOWN | MEM_WRITE_WATCH)

unsigned alloc_reason(uintptr_t address, size_t size, DWORD type) {
    if (redirect_flags & HM_REDIRECT_OFF) return HM_PASSED_OFF;
    if (type & ~(DWORD)TYPE_ORDINARY) return HM_PASSED_KIND;
    if (address && !(type & MEM_RESERVE)) return engine_has(address) ? HM_BY_ENGINE : HM_PASSED_FOREIGN;
    if (size > HUGE_BYTES) return HM_PASSED_HUGE;
    return type & MEM_WRITE_WATCH && !os_watch_serves() ? HM_PASSED_WATCH : HM_BY_ENGINE;
}

/*
 * A call about memory of the engine's that asks for what the engine cannot heed is refused: passed on, it would have the system
 * commit pages in the engine's region, which the engine knows nothing of. (Such a call for new memory may well be passed on.)
 */
static bool is_refused(LPCVOID address, DWORD type) {
    if (!address || type & MEM_RESERVE || !engine_has((uintptr_t)address)) return false;
    SetLastError(ERROR_INVALID_PARAMETER);
    return true;
}

static unsigned alloc_kind(uintptr_t address, DWORD type) {
    if (type & (MEM_RESET | MEM_RESET_UNDO)) return HM_CALL_RESET;
    if (type & MEM_RESERVE) return type & MEM_COMMIT ? HM_CALL_RESERVE_COMMIT : HM_CALL_RESERVE;
    return address ? HM_CALL_COMMIT : HM_CALL_RESERVE_COMMIT;
}

/* A reservation that is the system's again when it is released, committed or not. */
static enum status alloc_apart(size_t size, DWORD type, DWORD protect, uintptr_t *result) {
    enum status status = vm_reserve_apart(size, protect, result);
    if (status != ST_OK || !(type & MEM_COMMIT)) return status;
    uintptr_t start = *result;
    status = vm_alloc(start, size, MEM_COMMIT, protect, result);
    if (status != ST_OK) vm_free(start, 0, MEM_RELEASE);
    return status;
}

/*
 * A program that looks for a place, to map views there or to reserve it once more at a better address, asks for one without
 * access, and releases it: then nothing of ours may be in the way. (Or with access, if it was in the way before.)
 */
static bool is_place(LPCVOID address, DWORD type, DWORD protect) {
    if (address) return false;
    if (type == MEM_RESERVE) return protect == PAGE_NOACCESS || views_want_places();
    return (type | MEM_RESERVE) == (MEM_RESERVE | MEM_COMMIT) && views_want_committed();
}

static LPVOID engine_alloc(LPVOID address, SIZE_T size, DWORD type, DWORD protect) {
    if (type & MEM_WRITE_WATCH && redirect_flags & HM_REDIRECT_NO_WATCH) {
        SetLastError(ERROR_INVALID_PARAMETER); /* as from a system that cannot watch */
        return NULL;
    }
    bool place = is_place(address, type, protect);
    uintptr_t result;
    error_report(place ? alloc_apart(size, type, protect, &result)
                       : vm_alloc((uintptr_t)address, size, type, protect, &result));
    return (LPVOID)result;
}

/* For the record: newer CLRs commit piece by piece inside views of sections. */
static bool is_view(LPCVOID address) {
    MEMORY_BASIC_INFORMATION info;
    DWORD before = GetLastError();
    bool view = real.VirtualQuery(address, &info, sizeof info) && info.Type == MEM_MAPPED;
    SetLastError(before);
    return view;
}

void alloc_stop(struct watch watch, unsigned reason, unsigned op, LPVOID address, SIZE_T size, DWORD type, DWORD protect,
                LPVOID result) {
    struct seen seen = {op, (uintptr_t)address, size, type, protect, (uintptr_t)result};
    if (watch.ticks && reason == HM_PASSED_FOREIGN && is_view(address)) reason = HM_PASSED_VIEW;
    watch_stop(watch, alloc_kind((uintptr_t)address, type), reason, &seen);
}

typedef LPVOID(WINAPI *alloc_call)(LPVOID, SIZE_T, DWORD, DWORD);

/* Both forms: what differs is the call that it is passed on to. */
static LPVOID alloc_any(alloc_call pass_on, LPVOID address, SIZE_T size, DWORD type, DWORD protect) {
    struct watch watch = watch_start();
    unsigned reason = alloc_reason((uintptr_t)address, size, type);
    LPVOID result =
        engine_answers(reason) ? engine_alloc(address, size, type, protect) : pass_on(address, size, type, protect);
    alloc_stop(watch, reason, HM_OP_VA, address, size, type, protect, result);
    return result;
}

LPVOID WINAPI hook_VirtualAlloc(LPVOID address, SIZE_T size, DWORD type, DWORD protect) {
    return alloc_any(real.VirtualAlloc, address, size, type, protect);
}

LPVOID WINAPI hook_VirtualAllocFromApp(LPVOID address, SIZE_T size, ULONG type, ULONG protect) {
    return alloc_any(real.VirtualAllocFromApp, address, size, type, protect);
}

LPVOID WINAPI hook_VirtualAllocEx(HANDLE process, LPVOID address, SIZE_T size, DWORD type, DWORD protect) {
    if (process_is_own(process, PROCESS_VM_OPERATION)) return hook_VirtualAlloc(address, size, type, protect);
    struct watch watch = watch_start();
    LPVOID result = real.VirtualAllocEx(process, address, size, type, protect);
    alloc_stop(watch, HM_PASSED_PROCESS, HM_OP_VA, address, size, type, protect, result);
    return result;
}

static bool node_exists(DWORD node) {
    ULONG highest;
    return node == NUMA_NO_PREFERRED_NODE || !GetNumaHighestNodeNumber(&highest) || node <= highest;
}

LPVOID WINAPI hook_VirtualAllocExNuma(HANDLE process, LPVOID address, SIZE_T size, DWORD type, DWORD protect, DWORD node) {
    struct watch watch = watch_start();
    unsigned reason = !process_is_own(process, PROCESS_VM_OPERATION) ? (unsigned)HM_PASSED_PROCESS
                      : !node_exists(node)                           ? (unsigned)HM_PASSED_KIND
                                                                     : alloc_reason((uintptr_t)address, size, type);
    LPVOID result = NULL;
    if (engine_answers(reason)) {
        result = engine_alloc(address, size, type, protect);
    } else if (reason != HM_PASSED_KIND || !is_refused(address, type)) {
        result = real.VirtualAllocExNuma(process, address, size, type, protect, node);
    }
    alloc_stop(watch, reason, HM_OP_VAN, address, size, type, protect, result);
    return result;
}

/* ---- VirtualAlloc2 ------------------------------------------------------------------------------------------------- */

/* What a call's extended parameters ask of a place; the defaults ask nothing. */
struct wish {
    uintptr_t low, high; /* high is past the last byte; 0: no bound */
    size_t align;
};

enum { PARAMETER_ADDRESS = 1, PARAMETER_NODE = 2 };

struct address_requirements {
    void *lowest;
    void *highest; /* the last byte */
    size_t alignment;
};

/* Reads parameters that the engine can heed. False: others, or ones that make no sense; the system knows what to say. */
static bool wish_read(uintptr_t address, const struct extended_parameter *parameters, ULONG count, struct wish *wish) {
    unsigned seen = 0;
    *wish = (struct wish){.align = GRANULE_BYTES};
    if (count && !is_readable(parameters, count * sizeof parameters[0])) return false;
    for (ULONG i = 0; i < count; i++) {
        unsigned type = (unsigned)(parameters[i].type & 0xff);
        if (type > PARAMETER_NODE || seen & 1u << type) return false;
        seen |= 1u << type;
        if (type == PARAMETER_NODE && node_exists((DWORD)parameters[i].u.number)) continue;
        const struct address_requirements *asked = parameters[i].u.pointer;
        if (type != PARAMETER_ADDRESS || !is_readable(asked, sizeof *asked)) return false;
        uintptr_t low = (uintptr_t)asked->lowest, high = (uintptr_t)asked->highest;
        size_t align = asked->alignment ? asked->alignment : GRANULE_BYTES;
        if (align < GRANULE_BYTES || (align & (align - 1)) || align >= ADDRESS_END) return false;
        if (low % GRANULE_BYTES || (high && ((high + 1) % GRANULE_BYTES || high <= low || high >= ADDRESS_END))) return false;
        if (address && (low || high || asked->alignment)) return false;
        *wish = (struct wish){low, high ? high + 1 : 0, align};
    }
    return true;
}

/* One new allocation that has wishes; tells why not in *reason. */
static bool wish_alloc(const struct wish *wish, SIZE_T size, ULONG type, ULONG protect, unsigned *reason, LPVOID *result) {
    uintptr_t start = 0;
    enum status status = place_alloc(wish->low, wish->high, wish->align, size, type | MEM_RESERVE, protect, &start);
    if (status == ST_NO_ADDRESS_SPACE) {
        *reason = HM_PASSED_BOUNDS;
        return false;
    }
    error_report(status);
    *result = (LPVOID)start;
    return true;
}

/* True: *result is the answer. */
static bool alloc2_serve(LPVOID address, SIZE_T size, ULONG type, ULONG protect, const struct extended_parameter *parameters,
                         ULONG count, unsigned *reason, LPVOID *result) {
    struct wish wish;
    if (!engine_answers(*reason)) return false;
    /* Unlike VirtualAlloc's, its sizes and addresses are not rounded for the caller. */
    bool round = size % PAGE_BYTES == 0 && (uintptr_t)address % (type & MEM_RESERVE ? GRANULE_BYTES : PAGE_BYTES) == 0;
    if (!wish_read((uintptr_t)address, parameters, count, &wish) || !round) {
        if (is_refused(address, type)) return true;
        *reason = HM_PASSED_KIND;
        return false;
    }
    if (!wish.low && !wish.high && wish.align == GRANULE_BYTES) {
        *result = engine_alloc(address, size, type, protect);
        return true;
    }
    if (!type || type & ~(ULONG)(MEM_RESERVE | MEM_COMMIT)) {
        *reason = HM_PASSED_KIND;
        return false;
    }
    return wish_alloc(&wish, size, type, protect, reason, result);
}

typedef LPVOID(WINAPI *alloc2_call)(HANDLE, LPVOID, SIZE_T, ULONG, ULONG, struct extended_parameter *, ULONG);

/* Both forms: what differs is the call that it is passed on to. */
static LPVOID alloc2_any(alloc2_call pass_on, HANDLE process, LPVOID address, SIZE_T size, ULONG type, ULONG protect,
                         struct extended_parameter *parameters, ULONG count) {
    struct watch watch = watch_start();
    bool own = process == NULL || process_is_own(process, PROCESS_VM_OPERATION);
    unsigned reason = own ? alloc_reason((uintptr_t)address, size, type) : (unsigned)HM_PASSED_PROCESS;
    LPVOID result = NULL;
    if (!alloc2_serve(address, size, type, protect, parameters, count, &reason, &result)) {
        result = pass_on(process, address, size, type, protect, parameters, count);
    }
    alloc_stop(watch, reason, HM_OP_VA2, address, size, type, protect, result);
    return result;
}

LPVOID WINAPI hook_VirtualAlloc2(HANDLE process, LPVOID address, SIZE_T size, ULONG type, ULONG protect,
                                 struct extended_parameter *parameters, ULONG count) {
    return alloc2_any(real.VirtualAlloc2, process, address, size, type, protect, parameters, count);
}

LPVOID WINAPI hook_VirtualAlloc2FromApp(HANDLE process, LPVOID address, SIZE_T size, ULONG type, ULONG protect,
                                        struct extended_parameter *parameters, ULONG count) {
    return alloc2_any(real.VirtualAlloc2FromApp, process, address, size, type, protect, parameters, count);
}

/* ---- VirtualFree --------------------------------------------------------------------------------------------------- */

unsigned there_reason(LPCVOID address) {
    if (redirect_flags & HM_REDIRECT_OFF) return HM_PASSED_OFF;
    return engine_has((uintptr_t)address) ? HM_BY_ENGINE : HM_PASSED_FOREIGN;
}

void free_stop(struct watch watch, unsigned reason, LPVOID address, SIZE_T size, DWORD type, BOOL result) {
    struct seen seen = {HM_OP_VF, (uintptr_t)address, size, type, 0, (uint64_t)result};
    watch_stop(watch, type & MEM_RELEASE ? HM_CALL_RELEASE : HM_CALL_DECOMMIT, reason, &seen);
}

BOOL WINAPI hook_VirtualFree(LPVOID address, SIZE_T size, DWORD type) {
    struct watch watch = watch_start();
    unsigned reason = there_reason(address);
    BOOL result = reason == HM_BY_ENGINE ? error_report(vm_free((uintptr_t)address, size, type))
                                         : real.VirtualFree(address, size, type);
    free_stop(watch, reason, address, size, type, result);
    return result;
}

BOOL WINAPI hook_VirtualFreeEx(HANDLE process, LPVOID address, SIZE_T size, DWORD type) {
    if (process_is_own(process, PROCESS_VM_OPERATION)) return hook_VirtualFree(address, size, type);
    struct watch watch = watch_start();
    BOOL result = real.VirtualFreeEx(process, address, size, type);
    free_stop(watch, HM_PASSED_PROCESS, address, size, type, result);
    return result;
}

/* ---- VirtualProtect ------------------------------------------------------------------------------------------------ */

void protect_stop(struct watch watch, unsigned reason, LPVOID address, SIZE_T size, DWORD protect, BOOL result) {
    struct seen seen = {HM_OP_VP, (uintptr_t)address, size, 0, protect, (uint64_t)result};
    if (reason != HM_BY_ENGINE) pointers_forget();
    watch_stop(watch, HM_CALL_PROTECT, reason, &seen);
}

/* `old` may lie in the pages themselves, and be out of reach when they are protected. */
static BOOL engine_protect(LPVOID address, SIZE_T size, DWORD protect, PDWORD old) {
    DWORD before;
    if (!if_writable(old, sizeof *old)) return error_report(vm_protect((uintptr_t)address, size, protect, NULL));
    enum status status = vm_protect((uintptr_t)address, size, protect, &before);
    uintptr_t first = align_down((uintptr_t)address, PAGE_BYTES), end = align_up((uintptr_t)address + size, PAGE_BYTES);
    bool inside = status == ST_OK && (uintptr_t)(old + 1) > first && (uintptr_t)old < end;
    if (inside && !if_writable(old, sizeof *old)) return error_report(ST_NOT_WRITABLE);
    if (status == ST_OK) *old = before;
    return error_report(status);
}

typedef BOOL(WINAPI *protect_call)(LPVOID, SIZE_T, DWORD, PDWORD);

/* Both forms, as alloc_any. */
static BOOL protect_any(protect_call pass_on, LPVOID address, SIZE_T size, DWORD protect, PDWORD old) {
    struct watch watch = watch_start();
    unsigned reason = there_reason(address);
    BOOL result = reason == HM_BY_ENGINE ? engine_protect(address, size, protect, old) : pass_on(address, size, protect, old);
    protect_stop(watch, reason, address, size, protect, result);
    return result;
}

BOOL WINAPI hook_VirtualProtect(LPVOID address, SIZE_T size, DWORD protect, PDWORD old) {
    return protect_any(real.VirtualProtect, address, size, protect, old);
}

BOOL WINAPI hook_VirtualProtectFromApp(LPVOID address, SIZE_T size, ULONG protect, PULONG old) {
    return protect_any(real.VirtualProtectFromApp, address, size, protect, old);
}

BOOL WINAPI hook_VirtualProtectEx(HANDLE process, LPVOID address, SIZE_T size, DWORD protect, PDWORD old) {
    if (process_is_own(process, PROCESS_VM_OPERATION)) return hook_VirtualProtect(address, size, protect, old);
    struct watch watch = watch_start();
    BOOL result = real.VirtualProtectEx(process, address, size, protect, old);
    protect_stop(watch, HM_PASSED_PROCESS, address, size, protect, result);
    return result;
}

/* ---- VirtualQuery -------------------------------------------------------------------------------------------------- */

void query_stop(struct watch watch, unsigned reason, LPCVOID address, const MEMORY_BASIC_INFORMATION *info, SIZE_T result) {
    struct seen seen = {.op = HM_OP_VQ, .address = (uintptr_t)address, .result = result};
    if (result) {
        seen.size = info->RegionSize;
        seen.type = info->State;
        seen.protect = info->Protect;
    }
    watch_stop(watch, HM_CALL_QUERY, reason, &seen);
}

/* Foreign memory passes through the engine too: what the system sees may run into one of the engine's regions. */
SIZE_T WINAPI hook_VirtualQuery(LPCVOID address, PMEMORY_BASIC_INFORMATION info, SIZE_T length) {
    struct watch watch = watch_start();
    unsigned reason = there_reason(address);
    size_t result;
    if (redirect_flags & HM_REDIRECT_OFF) {
        result = real.VirtualQuery(address, info, length);
    } else {
        error_report(vm_query((uintptr_t)address, if_writable(info, sizeof *info), length, &result));
    }
    query_stop(watch, reason, address, info, result);
    return result;
}

SIZE_T WINAPI hook_VirtualQueryEx(HANDLE process, LPCVOID address, PMEMORY_BASIC_INFORMATION info, SIZE_T length) {
    if (process_is_own(process, PROCESS_QUERY_INFORMATION)) return hook_VirtualQuery(address, info, length);
    struct watch watch = watch_start();
    SIZE_T result = real.VirtualQueryEx(process, address, info, length);
    query_stop(watch, HM_PASSED_PROCESS, address, info, result);
    return result;
}

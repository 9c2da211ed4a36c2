/*
 * protect.c - VirtualProtect, and the disarming of guard pages.
 *
 * Slabs and large blocks of heaps may be protected too, as a program may protect pages of its Win32 heap. Memory that the
 * engine did not give out is the system's to judge.
 */
#include "os/os.h"
#include "vm/grown.h"
#include "vm/range.h"
#include "vm/state.h"
#include "vm/vm.h"

/* With the range locked. */
static enum status protect_locked(const struct range *r, uint8_t state, DWORD *old) {
    enum status status = grown_can(&r->owner) ? grown_note(r) : ST_OK;
    if (status != ST_OK) return status;
    if (!pages_all_committed(r->first, r->count)) return ST_BAD_ADDRESS;
    DWORD before = prot_to_win32(state_now(r->first));
    if (range_is(r, state)) {
        *old = before;
        return ST_OK;
    }
    status = os_protect(range_address(r), range_bytes(r), state);
    if (status == ST_OK) {
        range_fill(r, state);
        *old = before;
    } else {
        range_restore(r);
    }
    return status;
}

/* Whether a page of others can be a guard: on Linux that stands in a page's byte, and they have none. */
#ifdef _WIN32
#define FOREIGN_GUARDS true
#else
#define FOREIGN_GUARDS false
#endif

/* Of memory that the engine did not give out: what the system would do half, or to the engine's memory as well. */
static enum status others_check(const struct range *r, DWORD protect) {
    uintptr_t start = range_address(r), end = start + range_bytes(r);
    MEMORY_BASIC_INFORMATION info;
    if (space_next_ours(start, end) < end) return ST_BAD_ADDRESS;
    for (uintptr_t at = start; at < end; at += info.RegionSize) {
        enum status status = os_query_foreign(at, &info);
        if (status != ST_OK) return status == ST_NO_RESOURCES ? status : ST_BAD_ADDRESS;
        if (info.State == MEM_FREE) return at > start ? ST_BAD_ADDRESS : ST_OK; /* the system has an answer to that */
    }
    return protect & PAGE_GUARD && !FOREIGN_GUARDS ? ST_NOT_SUPPORTED : ST_OK;
}

/* Images may be write-copy, which private memory may not: the system judges. */
static enum status protect_others(const struct range *r, bool valid, DWORD protect, DWORD *old) {
    DWORD base = protect & 0xff;
    bool copy = base == PAGE_WRITECOPY || base == PAGE_EXECUTE_WRITECOPY;
    enum status status = valid || copy ? others_check(r, protect) : ST_OK;
    return status == ST_OK ? os_protect_foreign(range_address(r), range_bytes(r), protect, old) : status;
}

/* Past what a caller can have from the engine, but not past what the system may have put there. */
static enum status protect_high(const struct range *r, bool valid, DWORD protect, DWORD *old) {
    enum status status = protect_others(r, valid, protect, old);
    return status == ST_BAD_ADDRESS ? ST_BAD_ARGUMENT : status;
}

enum status vm_protect(uintptr_t address, size_t size, DWORD protect, DWORD *old) {
    if (!old) return ST_NOT_WRITABLE;
    uint8_t state = PG_NONE;
    DWORD before = 0;
    if (size == 0 || address >= SYSTEM_END || size > SYSTEM_END - address) return ST_BAD_ARGUMENT;
    enum status status = prot_from_win32(protect, &state);
    struct range r = range_of(address, size);
    if (address >= ADDRESS_END) return protect_high(&r, status == ST_OK, protect, old);
    if (state & PG_GUARD) grown_begin(address);
    do {
        bool found = space_find(address, &r.owner);
        if (!found && !space_in_region(address)) return protect_others(&r, status == ST_OK, protect, old);
        if (status != ST_OK) return status;
        if (!found) return ST_BAD_ADDRESS;
        if (!range_inside(&r, &r.owner)) return ST_BAD_ADDRESS;
    } while (!range_lock(&r));
    status = protect_locked(&r, state, &before);
    range_unlock(&r);
    /* The word may lie on a page that has just become inaccessible, and who handles the fault may come back here. */
    if (status == ST_OK) *old = before;
    return status;
}

bool vm_guard_hit(uintptr_t address) {
    struct range r = {.first = page_of(address), .count = 1};
    do {
        if (!space_find(address, &r.owner)) return false;
    } while (!range_lock(&r));
    uint8_t state = pages_state(r.first);
    bool hit = state & PG_GUARD && os_protect(range_address(&r), PAGE_BYTES, state & ~(PG_GUARD | PG_RESET)) == ST_OK;
    if (hit) pages_fill(r.first, 1, state & (uint8_t)~PG_GUARD);
    range_unlock(&r);
    return hit;
}

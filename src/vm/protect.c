/*
 * protect.c - VirtualProtect, and the disarming of guard pages.
 *
 * Slabs and large blocks of heaps may be protected too, as a program may protect pages of its Win32 heap. Memory that the
 * engine did not give out is the system's to judge.
 */
#include "os/os.h"
#include "vm/range.h"
#include "vm/state.h"
#include "vm/vm.h"

/* With the range locked. */
static enum status protect_locked(const struct range *r, uint8_t state, DWORD *old) {
    if (!pages_all_committed(r->first, r->count)) return ST_BAD_ADDRESS;
    DWORD before = prot_to_win32(state_now(r->first));
    if (range_is(r, state)) {
        *old = before;
        return ST_OK;
    }
    enum status status = os_protect(range_address(r), range_bytes(r), state);
    if (status == ST_OK) {
        range_fill(r, state);
        *old = before;
    } else {
        range_restore(r);
    }
    return status;
}

/* Past what a caller can have from the engine, but not past what the system may have put there. */
static enum status protect_high(uintptr_t address, size_t size, DWORD protect, DWORD *old) {
    enum status status = os_protect_foreign(address, size, protect, old);
    return status == ST_BAD_ADDRESS ? ST_BAD_ARGUMENT : status;
}

enum status vm_protect(uintptr_t address, size_t size, DWORD protect, DWORD *old) {
    if (!old) return ST_NOT_WRITABLE;
    *old = 0;
    uint8_t state;
    if (size == 0 || address >= SYSTEM_END || size > SYSTEM_END - address) return ST_BAD_ARGUMENT;
    if (address >= ADDRESS_END) return protect_high(address, size, protect, old);
    enum status status = prot_from_win32(protect, &state);
    struct range r = range_of(address, size);
    do {
        bool found = space_find(address, &r.owner);
        /* Images may be write-copy, which private memory may not: the system judges. */
        if (!found && !space_in_region(address)) return os_protect_foreign(address, size, protect, old);
        if (status != ST_OK) return status;
        if (!found) return ST_BAD_ADDRESS;
        if (!range_inside(&r, &r.owner)) return ST_BAD_ADDRESS;
    } while (!range_lock(&r));
    status = protect_locked(&r, state, old);
    range_unlock(&r);
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

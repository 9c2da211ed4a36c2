/*
 * prot.h - a page's state in one byte.
 *
 * The low four bits are 0 for a page that is not committed, else the number of its base protection; four flags stand above.
 * The byte of a committed page says everything that a query answers about it; the same byte without the reset flag
 * is the protection that the os layer is asked for.
 */
#ifndef HM_PROT_H
#define HM_PROT_H

#include "base/base.h"
#include "hostmem_win32.h"

enum {
    PG_NONE = 0, /* reserved or free: nothing is committed here */
    PG_NOACCESS,
    PG_READ,
    PG_READWRITE,
    PG_WRITECOPY,
    PG_EXECUTE,
    PG_EXECUTE_READ,
    PG_EXECUTE_READWRITE,
    PG_EXECUTE_WRITECOPY,
    PG_BASE_MASK = 0x0f,
    PG_GUARD = 0x10,
    PG_NOCACHE = 0x20,
    PG_WRITECOMBINE = 0x40,
    PG_STATE_MASK = 0x7f, /* what two pages must share to be one run of a query */
    PG_RESET = 0x80,      /* the content was given up by MEM_RESET and may have been dropped; vm/written.c has another use */

    /* Of a page that is not committed (vm/held.h); watched ones are never held: */
    PG_HELD = 0x80,   /* the system still backs it; whoever commits it zeroes it */
    PG_CLEAN = 0x40,  /* and it is zero already */
    PG_OPEN = 0x20,   /* and it may be accessed, against the rule: commit-ahead (vm/ahead.h) */
    PG_WRITTEN = 0x10 /* noted as written (vm/written.c); never of a held one */
};

static inline bool prot_committed(uint8_t state) { return (state & PG_BASE_MASK) != 0; }
static inline bool prot_held(uint8_t state) { return (state & (PG_BASE_MASK | PG_HELD)) == PG_HELD; }

/* Committed, writable, unguarded: can the engine itself write there? */
static inline bool prot_writable(uint8_t state) {
    uint8_t base = state & PG_BASE_MASK;
    return (base == PG_READWRITE || base == PG_EXECUTE_READWRITE) && !(state & PG_GUARD);
}

/* What Win32 reports for the byte; 0 for a page that is not committed. */
static inline DWORD prot_to_win32(uint8_t state) {
    if (!prot_committed(state)) return 0;
    DWORD base = (DWORD)1 << ((state & PG_BASE_MASK) - 1);
    return base | (DWORD)(state & (PG_GUARD | PG_NOCACHE | PG_WRITECOMBINE)) << 4;
}

/*
 * The byte for a flProtect that private memory may have. ST_BAD_ARGUMENT for no or several base values, write-copy, unknown
 * bits, and modifiers, which all exclude each other. PAGE_TARGETS_INVALID is taken and forgotten: it concerns no page's state.
 */
static inline enum status prot_from_win32(DWORD protect, uint8_t *state) {
    DWORD base = protect & 0xff;
    DWORD modifiers = protect & (PAGE_GUARD | PAGE_NOCACHE | PAGE_WRITECOMBINE);
    if ((protect & ~(base | modifiers | PAGE_TARGETS_INVALID)) != 0) return ST_BAD_ARGUMENT;
    if (base == 0 || (base & (base - 1)) != 0) return ST_BAD_ARGUMENT;
    if (base == PAGE_WRITECOPY || base == PAGE_EXECUTE_WRITECOPY) return ST_BAD_ARGUMENT;
    if (base == PAGE_NOACCESS && modifiers != 0) return ST_BAD_ARGUMENT;
    if ((modifiers & (modifiers - 1)) != 0) return ST_BAD_ARGUMENT;
    *state = (uint8_t)((unsigned)(__builtin_ctz(base) + 1) | modifiers >> 4);
    return ST_OK;
}

#endif

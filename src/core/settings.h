/*
 * settings.h - numbers that the environment sets. Layer: core.
 *
 * Each is read by what it is about, when that is first used. README.md lists them all.
 */
#ifndef HM_SETTINGS_H
#define HM_SETTINGS_H

#include "base/atom.h"
#include "base/base.h"

/* What the variable says, or 0: it is not set, or cannot be read. */
uint64_t setting(const char *name);

/* A decimal number, or a hexadecimal one after 0x; K, M or G behind it is times 2^10, 2^20, 2^30. 0: it is none, or too large. */
uint64_t setting_parse(const char *text);

/* A bound that is given by calls, of which the tightest holds, and by a variable. */
struct setting_bound {
    uint64_t value; /* 0: there is none; see atom_tighten_u64 */
    uint32_t read;  /* 1: the variable has been */
};

/* The bound, 0 for none. The variable is read when it is first asked for. */
static inline uint64_t setting_bound(struct setting_bound *bound, const char *name) {
    if (!atom_load_rlx_u32(&bound->read)) { /* rlx: all who find it so do the same */
        atom_tighten_u64(&bound->value, setting(name));
        atom_store_rlx_u32(&bound->read, 1);
    }
    return atom_load_rlx_u64(&bound->value); /* rlx: set before use, and tightened rarely */
}

#endif

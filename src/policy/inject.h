/*
 * inject.h - requests of CLRs that fail because a host asked for it. Layer: policy.
 *
 * Off, it costs nothing: the interfaces compare every request's critical level with inject_plain_levels anyway, which is the
 * number of levels while no failure is wanted, and 0 while one is. Then, and for a level that there is none of, they ask.
 */
#ifndef HM_INJECT_H
#define HM_INJECT_H

#include "base/atom.h"
#include "base/base.h"
#include "hostmem.h"

extern HM_HIDDEN uint32_t inject_plain_levels;

/* False: inject_judge has to be asked. */
static inline bool inject_plain(EMemoryCriticalLevel level) {
    /* rlx: a request that is made while failures are switched on may still be served. */
    return __builtin_expect((uint32_t)level < atom_load_rlx_u32(&inject_plain_levels), 1);
}

/* ST_OK, ST_NO_MEMORY for one that is chosen to fail, ST_BAD_ARGUMENT for a level that there is none of. */
enum status inject_judge(EMemoryCriticalLevel level, size_t size_bytes);

/* NULL: none fails any more. Counting starts again. ST_BAD_ARGUMENT. */
enum status inject_set(const HM_FAULTS *faults);

/* What the environment asks for, once. */
void inject_read_environment(void);

#endif

/*
 * turn.h - a lock for what is rare: registering a callback, starting the thread that watches. Layer: policy.
 *
 * No path that allocates, frees or queries memory takes one, and nothing is called that could wait while it is held. A thread
 * that is gone gives none back: see core/pages.c.
 */
#ifndef HM_TURN_H
#define HM_TURN_H

#include "base/atom.h"
#include "os/os.h"

/* Of somebody who waits, so many times by now: has the thread that he waits for been ended? */
static inline bool turn_gone(unsigned attempt) { return attempt >= 32 && os_others_ended(); }

static inline void turn_take(uint32_t *turn) {
    uint32_t none = 0;
    /* acq: pairs with turn_give. */
    for (unsigned attempt = 0; !atom_cas_acqrel_u32(turn, &none, 1) && !turn_gone(attempt); none = 0) os_yield(attempt++);
}

static inline void turn_give(uint32_t *turn) { atom_store_rel_u32(turn, 0); /* rel: pairs with turn_take */ }

#endif

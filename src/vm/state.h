/*
 * state.h - a page's state as a caller sees it now. Layer: vm.
 */
#ifndef HM_STATE_H
#define HM_STATE_H

#include "core/pages.h"
#include "os/os.h"

/* The page's byte, without a guard that the system has disarmed since. */
static inline uint8_t state_now(struct page page) {
    uint8_t state = pages_state(page) & PG_STATE_MASK;
    if (!prot_committed(state)) return PG_NONE; /* whether it is held is nobody's business */
    if (state & PG_GUARD && !os_guard_armed(page_address(page))) state &= (uint8_t)~PG_GUARD;
    return state;
}

#endif

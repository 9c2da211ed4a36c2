/*
 * trim.h - giving back to the system what nobody uses, all of it and at once. Layer: policy.
 */
#ifndef HM_TRIM_H
#define HM_TRIM_H

#include "core/keeper.h"
#include "heap/heap.h"
#include "vm/held.h"

/* Caches first, for what they held may be heaps'. Returns the bytes. Waits no longer than keeper_trim does. */
static inline uint64_t trim_all(void) {
    uint64_t bytes = keeper_trim();
    bytes += held_give_back(0);
    return bytes + heap_trim();
}

#endif

/*
 * cold.c - see cold.h. The only file that knows that mimalloc is behind it.
 *
 * Any thread may call. In test builds (HM_FAULT) a counter stands in front, so that a caller's way out of "no memory" can be
 * walked.
 */
#include "base/cold.h"

#include <mimalloc.h>

#ifdef HM_FAULT
#include "base/atom.h"

/* How many calls still succeed, plus one; 0: all of them. */
static uint64_t cold_budget;

void cold_fail_after(long count) { atom_store_rel_u64(&cold_budget, count < 0 ? 0 : (uint64_t)count); }

static bool cold_refused(void) {
    /* acq: pairs with cold_fail_after, made before the threads of a test start. */
    uint64_t budget = atom_load_acq_u64(&cold_budget);
    while (budget > 1 && !atom_cas_acqrel_u64(&cold_budget, &budget, budget - 1)) continue;
    return budget == 1;
}
#endif

void *cold_alloc(size_t size_bytes) {
#ifdef HM_FAULT
    if (cold_refused()) return NULL;
#endif
    return mi_zalloc(size_bytes);
}

void cold_free(void *memory) { mi_free(memory); }

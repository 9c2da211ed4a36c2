/*
 * cold.h - memory for the engine's own bookkeeping that is made and dropped rarely: managers, controls, lists of callbacks.
 *
 * It comes from a mimalloc of the engine's own, so that it never stands among the user's bytes and never passes through a
 * malloc that the engine may itself be replacing. Allocation paths do not use it: what they need lives in tables (os.h), since
 * a thread that is stopped inside a general-purpose allocator could hold up others.
 */
#ifndef HM_COLD_H
#define HM_COLD_H

#include "base/base.h"

/* size_bytes zeroed bytes, aligned to 16; NULL if there are none. */
void *cold_alloc(size_t size_bytes);

/* NULL is fine. Any thread may free. */
void cold_free(void *memory);

#ifdef HM_FAULT
/* For tests: the count-th call of cold_alloc from now on fails, and every one after it; -1 lets all succeed again. */
void cold_fail_after(long count);
#endif

#endif

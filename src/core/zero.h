/*
 * zero.h - making used memory zero again. Layer: core.
 */
#ifndef HM_ZERO_H
#define HM_ZERO_H

#include "base/base.h"

/*
 * Zeroes memory of which little may have been written: whole pages, page-aligned. Looks before it writes, since looking costs
 * less than half of writing and leaves clean lines clean. Returns how many of the pages had anything in them. from_end: where to
 * begin, best at the other end than the last time; memory whose last byte was written is looked at from its end in any case.
 */
size_t zero_used(void *start, size_t size, bool from_end);

#endif

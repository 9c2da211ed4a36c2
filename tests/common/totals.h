/*
 * totals.h - what is taken in all regions.
 */
#ifndef HM_TEST_TOTALS_H
#define HM_TEST_TOTALS_H

#include "core/region.h"

/* In granules. */
static inline size_t granules_taken(void) {
    struct region_totals totals;
    region_totals(&totals);
    return totals.granules_taken;
}

#endif

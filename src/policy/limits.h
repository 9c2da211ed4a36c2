/*
 * limits.h - a host's limits on budgets, and the emergency reserve. Layer: policy.
 *
 * core/budget.h counts and refuses; here is what a caller may set. The emergency reserve is two things: room above the process's
 * hard lines that only process-critical requests may use, and as much memory held committed, so that they succeed even where
 * the system has none left. It is held as long as there is room for it below the hard lines.
 */
#ifndef HM_LIMITS_H
#define HM_LIMITS_H

#include "core/budget.h"
#include "hostmem.h"

/* ST_BAD_ARGUMENT for a cbSize that no version had, or a soft limit above its hard one. */
enum status limits_set(struct budget *budget, const HM_LIMITS *limits);
enum status limits_check(const HM_LIMITS *limits);

/* Fills one or both. ST_NOT_WRITABLE, ST_BAD_ARGUMENT for a cbSize that no version had. */
enum status limits_get(struct budget *budget, HM_LIMITS *limits, HM_USAGE *usage);

/* Is there a limit on the process or on any manager, or is there to be a reserve? */
bool limits_any(void);

/* Gives the held reserve up, for a process-critical request that the system has refused. False: there is none. */
bool limits_reserve_spend(void);

/* Holds it again, if there is room and the system has it. Cheap when there is nothing to do. */
void limits_reserve_refill(void);

/* Is there to be one that is not held, whether or not there is room for it now? */
bool limits_reserve_missing(void);

/* Bytes held now. They are part of no budget. */
uint64_t limits_reserve_held(void);

#endif

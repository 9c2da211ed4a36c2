/*
 * keeper.h - the background thread that gives back what nobody uses, so that no request has to. Layer: core.
 */
#ifndef HM_KEEPER_H
#define HM_KEEPER_H

#include "base/base.h"

/*
 * There is something to look after. Starts the keeper at the first call, wakes it if it is at rest. Only from a request for
 * memory: the C library holds a lock of its threads' own while it frees.
 */
void keeper_wanted(void);
bool keeper_started(void);

/*
 * Something went back to the system at once because there is no keeper yet; when that has happened a few times keeper_due says
 * that the next request for memory should have it started.
 */
void keeper_missed(void);
bool keeper_due(void);

/* Whether there is one; false as well where there was none to be had. */
bool keeper_runs(void);

/*
 * There is something to do for a job: wakes the keeper, if there is one, and has it call the job on each round from now on. The
 * job gives back what has been idle for a round, and returns whether there may be more to do soon. From anywhere; there may
 * be a few jobs.
 */
void keeper_wake(bool (*job)(void));

/* One round, by whoever calls. Returns whether there may be more to do soon. */
bool keeper_round(void);

#endif

/*
 * keeper.h - the background thread that gives back what nobody uses, so that no request has to. Layer: core.
 */
#ifndef HM_KEEPER_H
#define HM_KEEPER_H

#include "base/base.h"

/* There is something to look after. Starts the keeper at the first call, wakes it if it is at rest. From anywhere. */
void keeper_wanted(void);

/* Something went back to the system at once because there is no keeper: it is wanted when that has happened a few times. */
void keeper_missed(void);

/* Whether there is one; false as well where there was none to be had. */
bool keeper_runs(void);

/*
 * There is something to do for a job: wakes the keeper, if there is one, and has it call the job on each round from now on. The
 * job gives back what has been idle for a round, and returns whether there may be more to do soon. There may be a few jobs.
 */
void keeper_wake(bool (*job)(void));

/* Has a child made by fork told that it has one thread; before there is anything that a child has to know of. */
void keeper_watch_forks(void);

/* One round, by whoever calls. Returns whether there may be more to do soon. */
bool keeper_round(void);

#endif

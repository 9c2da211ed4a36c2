/*
 * keeper.h - the background thread that gives back what nobody uses, so that no request has to. Layer: core.
 */
#ifndef HM_KEEPER_H
#define HM_KEEPER_H

#include "base/base.h"

/* There is something to look after. Starts the keeper at the first call, wakes it if it is at rest. From anywhere. */
void keeper_wanted(void);

/* There will be no keeper, unless it runs already. From anywhere. */
void keeper_forgo(void);

/* Something went back to the system at once because there is no keeper: it is wanted when that has happened a few times. */
void keeper_missed(void);

/* Whether there is one; false as well where there was none to be had. */
bool keeper_runs(void);

/*
 * There is something to do for a job: wakes the keeper, if there is one, and has it call the job on each round from now on. The
 * job gives back what has been idle for a round, and returns whether there may be more to do soon. There may be a few jobs.
 * NULL: for what is in the caches.
 */
void keeper_wake(bool (*job)(void));

/* Before anything else here, when the first cache is made: looks whether a keeper is allowed. */
void keeper_prepare(void);

/*
 * Empties the caches of all threads, but those that are in use at this very moment. Any thread may call; it makes every running
 * thread pass a barrier, and their requests go to the bitmaps meanwhile. Blocks go to their heaps, whole spans to the system:
 * returns the bytes of these.
 */
uint64_t keeper_trim(void);

/* One round, by whoever calls. Returns whether there may be more to do soon. */
bool keeper_round(void);

#endif

/*
 * steps.h - memory that is read-write for good: how much of a heap region is. Layer: core.
 *
 * Where committed pages cost nothing until they are touched (os_commit_is_lazy), the memory of ordinary heaps lies in regions of
 * its own. Such a region is made read-write step by step as its granules are first used, and nothing in it is taken away again:
 * a run is given back by dropping its content alone. So its free granules read as zero, and it stays a few mappings in all.
 */
#ifndef HM_STEPS_H
#define HM_STEPS_H

#include "core/region.h"

/* A heap region was reserved there. What is not opened yet, nearly all of it, is no part of a core file. */
void steps_reserved(uintptr_t region);

/* Makes a run of a heap region usable; the caller has claimed it. ST_COMMIT_LIMIT, ST_NO_MEMORY: the caller gives it back. */
enum status steps_open(const struct run *run);

/*
 * Takes access to a run away, for an allocation that commits for itself; the caller has claimed it. From then on every run in
 * its steps is made usable one by one. ST_BAD_ADDRESS: another thread is opening one of its steps; ST_NO_MEMORY.
 */
enum status steps_except(const struct run *run);

#endif

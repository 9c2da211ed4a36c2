/*
 * pressure.h - the thread that watches for memory pressure, and the memory load that it keeps fresh. Layer: policy.
 *
 * There is such a thread while a callback is registered or a limit is set, and none otherwise. It sleeps until a budget comes to
 * its brink, the system speaks, or somebody wants to know the load; it looks again and again only while pressure lasts.
 */
#ifndef HM_PRESSURE_H
#define HM_PRESSURE_H

#include "core/budget.h"
#include "hostmem_clr.h"

/* A callback or a limit has come or gone: starts the thread if it is wanted now. ST_NO_MEMORY: there is none to be had. */
enum status pressure_update(void);

/* Low is repeated after so many milliseconds; 0 for the default. The tightest value ever set holds. */
void pressure_spacing_set(uint64_t ms);

/* Of what is tightest: the system, its control group, the process's budget or the account's. */
struct pressure_load {
    unsigned load_percent; /* 0 to 100 */
    uint64_t available_bytes;
};

/*
 * Never waits: a collector may ask while every other thread is suspended. At most two seconds old. ST_NOT_SUPPORTED and what
 * the system may answer.
 */
enum status pressure_load(const struct budget *account, struct pressure_load *load);

/* Is the thread there? For tests. */
bool pressure_watched(void);

#endif

/*
 * os_alarm.h - the thread that watches for memory pressure, and what wakes it. Part of the os layer's contract.
 *
 * There is one such thread at most. It opens the alarm, waits and looks; any other thread may ring. The system wakes the thread
 * by itself where it can: Linux by its pressure-stall triggers and the events of the process's control group, Windows by its
 * memory resource notifications.
 */
#ifndef HM_OS_ALARM_H
#define HM_OS_ALARM_H

#include "base/base.h"

/* Starts the thread, with the program's signals blocked. ST_NO_MEMORY. */
enum status os_alarm_start(void (*watch)(void));

/* Has told() called in the child of each fork, where the thread does not exist. Once for the process. */
void os_alarm_at_fork(void (*told)(void));

/* Wakes the thread from its wait, or from the next one. Never waits; signal handlers may call it. */
void os_alarm_ring(void);

/* The thread's own. Open: whether the system is sure to wake it by itself. */
bool os_alarm_open(void);
void os_alarm_close(void);
void os_alarm_wait(uint64_t timeout_ms); /* UINT64_MAX: for as long as it takes */

/* What the system says of itself, with some inertia: memory is scarce, it is plentiful, or (0) it does not say. */
enum { OS_ALARM_SCARCE = 1, OS_ALARM_PLENTY = 2 };
unsigned os_alarm_look(void);

#endif

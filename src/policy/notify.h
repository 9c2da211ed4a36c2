/*
 * notify.h - what a CLR tells its memory manager beside asking for memory. Layer: policy.
 *
 * Each manager has a struct notify: the callbacks that it is to be told on, and the mapped views that were reported to it. The
 * totals are the process's. Any thread may call; nothing waits.
 */
#ifndef HM_NOTIFY_H
#define HM_NOTIFY_H

#include "base/base.h"
#include "hostmem_clr.h"

struct notify {
    uint64_t callbacks; /* a list, newest first */
    uint64_t views;     /* a list of chunks of views */
};

/* Keeps the callback, with a reference. One that is there already is kept once. ST_NO_MEMORY. */
enum status notify_register(struct notify *notify, ICLRMemoryNotificationCallback *callback);

/* A view was mapped; the same start again means another size. A size of 0 is as good as any. ST_NO_MEMORY. */
enum status notify_view_acquired(struct notify *notify, uintptr_t start, size_t size_bytes);

/* It is gone. A start that was never reported is none of our business. */
void notify_view_released(struct notify *notify, uintptr_t start);

/* Address space is short: it is counted. */
void notify_plea(struct notify *notify, uintptr_t start, size_t size_bytes);

/* The manager goes: releases the callbacks and forgets the views. Nobody else uses *notify any more. */
void notify_clear(struct notify *notify);

struct notify_totals {
    uint64_t count_views;
    uint64_t view_bytes;
    uint64_t count_callbacks;
    uint64_t count_pleas; /* so far; the others are as of now */
};
void notify_totals(struct notify_totals *totals);

#endif

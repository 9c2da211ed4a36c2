/*
 * notify.h - what a CLR tells its memory manager beside asking for memory. Layer: policy.
 *
 * Each manager has a struct notify: whose budget the callbacks are told of that were registered with it, and the mapped views
 * that were reported to it. The totals are the process's. Any thread may call. Removing a callback waits for a call of it that is
 * under way in another thread; else nothing waits.
 */
#ifndef HM_NOTIFY_H
#define HM_NOTIFY_H

#include "core/budget.h"
#include "hostmem_clr.h"

struct notify {
    struct budget *account;
    uint64_t views; /* a list of chunks of views */
};

/* Keeps the callback, with a reference. One that is there already is kept once, and not *added. ST_NO_MEMORY. */
enum status notify_register(struct notify *notify, ICLRMemoryNotificationCallback *callback, bool *added);

/* It is not called any more, and its reference is released. A callback may remove itself. ST_BAD_ARGUMENT: it was not there. */
enum status notify_unregister(struct notify *notify, ICLRMemoryNotificationCallback *callback);

bool notify_any(void);

/*
 * Tells each callback how things stand for it: a change once, Low again and again, spacing_ms apart. Of one thread only.
 * level_of must not wait or call back.
 */
void notify_tell(EMemoryAvailable (*level_of)(const struct notify *owner), uint64_t now_ms, uint64_t spacing_ms);

/* In the child of a fork: no thread is telling anybody anything. */
void notify_forked(void);

/* A view was mapped; the same start again means another size. A size of 0 is as good as any. ST_NO_MEMORY. */
enum status notify_view_acquired(struct notify *notify, uintptr_t start, size_t size_bytes);

/* It is gone. A start that was never reported is none of our business. */
void notify_view_released(struct notify *notify, uintptr_t start);

/*
 * Address space is short, size_bytes of it (0: it is not said) at start (0: anywhere): gives back what threads keep at hand,
 * what is held, what is empty in heaps, and then free address space of regions. ST_NO_ADDRESS_SPACE: there is none to give.
 */
enum status notify_plea(uintptr_t start, size_t size_bytes);

/* The manager goes: releases the callbacks and forgets the views. Nobody else uses *notify any more. */
void notify_clear(struct notify *notify);

#endif

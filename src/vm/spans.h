/*
 * spans.h - whole allocations in the thread's cache: read-write memory that one VirtualFree left and the next VirtualAlloc takes.
 * Layer: vm.
 *
 * What fits is an ordinary allocation (RESERVE|COMMIT, or COMMIT of NULL, PAGE_READWRITE, any address) of 1 to 16 pages or
 * of 1 to 16 granules, all of whose pages are committed read-write when it is released. Taking and leaving one is done
 * without a system call, a page fault or an atomic operation on anything that another thread writes. It is zeroed as it is
 * taken; those of 256 KiB and more whose users hardly touch them are instead emptied by the system as they are left.
 *
 * What a program may notice: memory so released is free for every call and query, but touching it does not fault until it
 * goes back to the system; and of two threads that release one allocation at the same moment, or protect or decommit it as it is
 * released, both may be told that they did. Where nothing may be kept (cache_bound_set 1), nothing is left here, and none of that
 * holds.
 */
#ifndef HM_SPANS_H
#define HM_SPANS_H

#include "core/space.h"

#define SPANS_BYTES_MOST (GRANULE_BYTES * 16)

/* A zeroed allocation of that many pages, published. False: there is none at hand. */
bool spans_take(uint64_t count_pages, uintptr_t *start);

/* Keeps the allocation that starts there, if it is of the kind that is kept. False: release it in the ordinary way. */
bool spans_leave(uintptr_t start);

/* Gives back what this thread keeps. Returns its bytes. */
uint64_t spans_flush(void);

#endif

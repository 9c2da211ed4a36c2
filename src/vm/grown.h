/*
 * grown.h - allocations in which the system may commit pages by itself, as it does to grow a stack. Layer: vm.
 */
#ifndef HM_GROWN_H
#define HM_GROWN_H

#include "hostmem_win32.h"
#include "os/os.h"
#include "vm/range.h"

/* May pages of this allocation be committed that their bytes call reserved? */
static inline bool grown_can(const struct found *owner) { return owner->span.flags & SPAN_GUARDED; }

/* Of an allocation with these flags: may it become one, when a guard is set in it? */
static inline bool grown_can_be(unsigned flags) { return !(flags & ~(unsigned)SPAN_SYSTEM) && os_grows_stacks(); }

/* Before a guard is set in the allocation that the address lies in; with no page locked. Where it cannot be, nothing changes. */
void grown_begin(uintptr_t address);

/* With the range locked, of such an allocation: notes what the system has committed. ST_NO_QUOTA: a limit does not allow it. */
enum status grown_note(const struct range *r);

/* Of a reserved page of such an allocation: what it is to the system, and of how many pages, at most limit, that is true. */
uint8_t grown_state(struct page page, uint64_t limit, uint64_t *run);

#endif

/*
 * written.h - write watch: GetWriteWatch and ResetWriteWatch, where the engine answers them (os_watch_serves). Layer: vm.
 *
 * An allocation made with MEM_WRITE_WATCH knows which of its pages were written since it was made, or since they were reset. A
 * page that is decommitted, and committed again, stays written until it is reset.
 */
#ifndef HM_WRITTEN_H
#define HM_WRITTEN_H

#include "os/os.h"
#include "vm/range.h"

/*
 * GetWriteWatch: in ascending order, as many addresses of written pages as there is room for; those are reset if flags say so.
 * ST_BAD_ARGUMENT: no room, flags that do not exist, or a range that is not all in one watched allocation.
 */
enum status written_get(DWORD flags, uintptr_t address, size_t size, void **pages, ULONG_PTR *count, DWORD *granularity);

/* ResetWriteWatch. */
enum status written_reset(uintptr_t address, size_t size);

/* Is this allocation the engine's to watch? */
static inline bool written_is_known(const struct found *owner) { return owner->span.flags & SPAN_WATCH && os_watch_serves(); }

/* With the range, of such an allocation, locked: os_decommit, and the pages' bytes. */
enum status written_decommit(const struct range *r);

#endif

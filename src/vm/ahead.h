/*
 * ahead.h - committing pages, and what a growing reservation gets before it commits them: memory, and where that is wished for,
 * access. Layer: vm.
 */
#ifndef HM_AHEAD_H
#define HM_AHEAD_H

#include "vm/held.h"

/*
 * With the range locked, and its *counts: commits it with `state`, and puts it back if that fails. If the allocation has been
 * growing this way, more is done: where the range enters a block of OS_BLOCK_BYTES in which nothing is committed, the memory of
 * the whole block is brought, and held from then on; where there are no blocks, the memory of what is committed (os_bring), if
 * that is worth it. Where commit-ahead is wished for, what comes after the range in its block is committed as well, to be held
 * and open (PG_OPEN); a range that is open already costs no system call.
 */
enum status ahead_commit(const struct range *r, const struct held_counts *counts, uint8_t state);

/* With the range locked, before it is decommitted or released: what is open in it goes back. */
void ahead_close(const struct range *r);

/*
 * Commit-ahead: how far, in bytes, 0 sets nothing. The tightest value ever set holds, HOSTMEM_COMMIT_AHEAD's among them; where
 * there is none, nothing is opened.
 */
void ahead_set(uint64_t bytes);

#endif

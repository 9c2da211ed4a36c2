/*
 * ahead.h - what a growing reservation gets before it is committed: memory, and where that is wished for, access. Layer: vm.
 */
#ifndef HM_AHEAD_H
#define HM_AHEAD_H

#include "vm/held.h"

struct ahead {
    bool row;   /* the allocation grows this way */
    bool bring; /* the memory of what is committed is worth bringing at once, as there are no blocks */
};

/*
 * With the range locked and about to be committed: if the allocation has been growing this way, and now enters a block of
 * OS_BLOCK_BYTES in which nothing is committed, brings the memory of the whole block, which is held from then on, as *t says.
 */
struct ahead ahead_of_commit(const struct range *r, struct tally *t);

/* With the range locked, after the commit: brings its memory (os_bring) where that is worth it. */
void ahead_finish(struct ahead ahead, const struct range *r, bool committed);

/*
 * os_commit of a locked range with `state`, and in a row, where commit-ahead is wished for, of what comes after it in its block
 * as well: that is held from then on, and open (PG_OPEN). A range that is open already costs no system call.
 */
enum status ahead_commit(const struct range *r, uint8_t state, bool row);

/* With the range locked, before it is decommitted or released: what is open in it goes back. */
void ahead_close(const struct range *r);

/*
 * Commit-ahead: how far, in bytes, 0 sets nothing. The tightest value ever set holds, HOSTMEM_COMMIT_AHEAD's among them; where
 * there is none, nothing is opened.
 */
void ahead_set(uint64_t bytes);

#endif

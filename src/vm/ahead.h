/*
 * ahead.h - memory for a growing reservation before it is committed. Layer: vm.
 */
#ifndef HM_AHEAD_H
#define HM_AHEAD_H

#include "vm/held.h"

/*
 * With the range locked and about to be committed: if the allocation has been growing this way, and now enters a block of
 * OS_BLOCK_BYTES in which nothing is committed, brings the memory of the whole block, which is held from then on, as *t says.
 * Returns whether the memory of what is committed is worth bringing at once instead (os_bring), as there are no such blocks.
 */
bool ahead_of_commit(const struct range *r, struct tally *t);

#endif

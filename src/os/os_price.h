/*
 * os_price.h - what large pages cost, and when to do without. Layer: os.
 *
 * A large page is not always cheap: the kernel may have to make room for it first, and the host of a virtual machine may have to
 * find it, which it need not for small pages that have been in use lately (a host that is told of large free blocks takes them
 * away). What it costs is known only when it has been paid. So one that took longer than its 512 small ones would is paid off,
 * by so many blocks without that it adds a sixteenth to their time. Time is the thread's own on the processor: a thread
 * that had to wait for one says nothing about pages.
 */
#ifndef HM_OS_PRICE_H
#define HM_OS_PRICE_H

#include "base/atom.h"
#include "base/base.h"

#define PRICE_SMALL_NS 400000 /* of 512 small pages, as os_bring brings them */
#define PRICE_LEFT_MOST 1024  /* blocks to do without at a time */
#define PRICE_LEFT_FIRST 128  /* in a process that grows by less nothing is tried: one try can take 5 ms */
#define PRICE_REFUSED 64      /* where there is none */

/* left: blocks still to do without. rlx in all: threads that are here at the same time ask once too often or too rarely. */
static inline bool price_skip(uint32_t *left) {
    uint32_t seen = atom_load_rlx_u32(left);
    if (seen) atom_store_rlx_u32(left, seen - 1);
    return seen != 0;
}

static inline void price_pay(uint32_t *left, int64_t blocks) {
    if (blocks > 0) atom_store_rlx_u32(left, blocks < PRICE_LEFT_MOST ? (uint32_t)blocks : PRICE_LEFT_MOST);
}

/* How many blocks pay one off that took so long; 0 or less: it was worth it. */
static inline int64_t price_blocks(int64_t took_ns) { return (took_ns - PRICE_SMALL_NS) / (PRICE_SMALL_NS / 16); }

#endif

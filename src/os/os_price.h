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

struct price {
    int64_t small_ns; /* of 512 small pages */
    uint32_t most;    /* blocks to do without at a time */
    uint32_t left;    /* of them, still to do without */
};

/* rlx in all: threads that are here at the same time ask once too often or too rarely. */
static inline bool price_skip(struct price *price) {
    uint32_t left = atom_load_rlx_u32(&price->left);
    if (left) atom_store_rlx_u32(&price->left, left - 1);
    return left != 0;
}

static inline void price_pay(struct price *price, int64_t blocks) {
    if (blocks > 0) atom_store_rlx_u32(&price->left, blocks < (int64_t)price->most ? (uint32_t)blocks : price->most);
}

/* How many blocks pay one off that took so long; 0 or less: it was worth it. */
static inline int64_t price_blocks(const struct price *price, int64_t took_ns) {
    return (took_ns - price->small_ns) / (price->small_ns / 16);
}

#endif

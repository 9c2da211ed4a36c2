/*
 * range.h - a range of pages inside one live allocation, held against other calls on the same pages. Layer: vm.
 */
#ifndef HM_RANGE_H
#define HM_RANGE_H

#include "core/pages.h"
#include "core/space.h"

struct range {
    struct found owner; /* the allocation */
    struct page first;
    uint64_t count;
};

static inline uintptr_t range_address(const struct range *r) { return page_address(r->first); }
static inline size_t range_bytes(const struct range *r) { return (size_t)r->count << PAGE_SHIFT; }

/* Are address and size, size not 0, inside user space and without wrapping? */
static inline bool range_sane(uintptr_t address, size_t size) { return address < ADDRESS_END && size <= ADDRESS_END - address; }

/* Every page that holds a byte of [address, address + size); the caller has found it sane. */
static inline struct range range_of(uintptr_t address, size_t size) {
    uintptr_t first = align_down(address, PAGE_BYTES), end = align_up(address + size, PAGE_BYTES);
    return (struct range){.first = page_of(first), .count = (end - first) >> PAGE_SHIFT};
}

/* Every page that lies in it whole, of which there may be none. */
static inline struct range range_whole(uintptr_t address, size_t size) {
    uintptr_t first = align_up(address, PAGE_BYTES), end = align_down(address + size, PAGE_BYTES);
    return (struct range){.first = page_of(first), .count = end > first ? (end - first) >> PAGE_SHIFT : 0};
}

static inline bool range_inside(const struct range *r, const struct found *owner) {
    return r->first.n + r->count <= span_end_page(owner);
}

/*
 * Takes the pages of r, whose owner has been found: true while the owner is still what it was found to be, so that the caller may
 * act on the pages, and must call range_unlock. False: the owner is gone, look again.
 */
static inline bool range_lock(const struct range *r) {
    pages_lock(r->first, r->count);
    if (space_unchanged(&r->owner)) return true;
    pages_unlock(r->first, r->count);
    return false;
}

static inline void range_unlock(const struct range *r) { pages_unlock(r->first, r->count); }

/* As pages_next and pages_next_within. */
static inline bool range_next(const struct range *r, struct piece *at, uint8_t mask) {
    return pages_next(r->first, r->count, at, mask);
}
static inline bool range_next_within(const struct range *r, struct piece *at, uint8_t mask, uint64_t most) {
    return pages_next_within(r->first, r->count, at, mask, most);
}

/*
 * With the range locked: are all its pages in this state already, so that the system need not be asked? Guards may have gone
 * off.
 */
static inline bool range_is(const struct range *r, uint8_t state) {
    return !(state & PG_GUARD) && pages_state(r->first) == state && pages_run(r->first, r->count, 0xff) == r->count;
}

/*
 * With the range locked: makes kernel and page bytes agree with the bytes again after a commit or protect of the range
 * has failed half-way.
 */
void range_restore(const struct range *r);

/* With the range locked: gives its pages `state`; what MEM_RESET has given up stays so, and what is noted as written. */
void range_fill(const struct range *r, uint8_t state);

#endif

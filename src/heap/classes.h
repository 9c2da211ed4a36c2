/*
 * classes.h - the sizes that objects come in. Layer: heap. Pure functions over one constant table.
 *
 * Multiples of 16 up to 128, then eight steps to each doubling up to 1 MiB; so a block wastes less than 16 bytes, or less than
 * an eighth of itself. Up to 64 KiB a slab is so many granules long that at least eight objects fit and its tail wastes an
 * eighth at most; above, it holds one object.
 */
#ifndef HM_CLASSES_H
#define HM_CLASSES_H

#include "base/base.h"

#define CLASS_COUNT 112u
#define CLASS_LARGEST ((size_t)1 << 20)
#define CLASS_MOST_OBJECTS 4096u /* in one slab: 64 KiB of 16 bytes each */
#define CLASS_MOST_GRANULES 16u

struct class_row {
    uint64_t inverse; /* see class_object_at */
    uint64_t objects; /* in one slab */
    uint32_t mask;    /* a slab starts at a multiple of mask + 1 bytes, and is no longer than that */
    uint32_t size_bytes;
    uint32_t pages;   /* of one slab */
    uint32_t line;    /* so many objects in a row (1, 2 or 4) fill whole cache lines, if the first starts one */
};

extern HM_HIDDEN const struct class_row class_table[CLASS_COUNT];

#define CLASS_QUICK_BYTES ((size_t)1024)
extern HM_HIDDEN const uint16_t class_quick[CLASS_QUICK_BYTES / 16 + 1]; /* of up to 16 * i bytes: the class's row, in bytes */

/* Where the row of a request of size_bytes, 0 to CLASS_LARGEST, is in class_table, in bytes. */
static inline size_t class_place(size_t size_bytes) {
    if (__builtin_expect(size_bytes <= CLASS_QUICK_BYTES, 1)) return class_quick[(size_bytes + 15) / 16];
    size_t last = size_bytes - 1;
    unsigned top = 63u - (unsigned)__builtin_clzll(last);
    return (8u + (top - 7u) * 8u + (unsigned)((last >> (top - 3u)) & 7u)) * sizeof(struct class_row);
}

/* The class of such a request. */
static inline unsigned class_of(size_t size_bytes) {
    return (unsigned)(class_place(size_bytes) / sizeof(struct class_row));
}

static inline size_t class_size(unsigned class_index) { return class_table[class_index].size_bytes; }
static inline size_t class_objects(unsigned class_index) { return (size_t)class_table[class_index].objects; }
static inline size_t class_slab_pages(unsigned class_index) { return class_table[class_index].pages; }
static inline size_t class_slab_align(unsigned class_index) { return (size_t)class_table[class_index].mask + 1; }

/*
 * Which object of its slab starts at the address; `objects` or more if none does. A size is m * 2^k with m odd, and `inverse`
 * is 1/m modulo 2^64, times 2^(32 - k). So the product is q * 2^32 for the offset q * size, and turning it by 32 bits gives q.
 * If the offset is no multiple of 2^k, low bits of the product are left, and the result is 2^32 or more. If it is, but no
 * multiple of m, the result is a number below 2^32 that, times m, wraps round: more than 2^32 / 15, the largest m being 15.
 */
static inline uint64_t class_object_at(const struct class_row *row, uintptr_t address) {
    uint64_t product = (uint64_t)((uint32_t)address & row->mask) * row->inverse;
    return product >> 32 | product << 32;
}

#endif

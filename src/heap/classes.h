/*
 * classes.h - the sizes that objects come in. Layer: heap. Pure functions over one constant table.
 *
 * Multiples of 16 up to 128, then eight steps to each doubling up to 64 KiB; so a block wastes less than 16 bytes, or less than
 * an eighth of itself. A slab of a class is so many granules long that at least eight objects fit and its tail wastes an eighth
 * at most.
 */
#ifndef HM_CLASSES_H
#define HM_CLASSES_H

#include "base/base.h"

#define CLASS_COUNT 80u
#define CLASS_LARGEST ((size_t)65536)
#define CLASS_MOST_OBJECTS 4096u /* in one slab: 64 KiB of 16 bytes each */

struct class_row {
    uint64_t reciprocal; /* 2^40 / size, rounded up */
    uint32_t size_bytes;
    uint16_t objects; /* in one slab */
    uint16_t granules;
};

extern HM_HIDDEN const struct class_row class_table[CLASS_COUNT];

#define CLASS_QUICK_BYTES ((size_t)1024)
extern HM_HIDDEN const uint8_t class_quick[CLASS_QUICK_BYTES / 16 + 1]; /* the class of up to 16 * i bytes */

/* The class of a request of size_bytes, 0 to CLASS_LARGEST. */
static inline unsigned class_of(size_t size_bytes) {
    if (__builtin_expect(size_bytes <= CLASS_QUICK_BYTES, 1)) return class_quick[(size_bytes + 15) / 16];
    size_t last = size_bytes - 1;
    unsigned top = 63u - (unsigned)__builtin_clzll(last);
    return 8u + (top - 7u) * 8u + (unsigned)((last >> (top - 3u)) & 7u);
}

static inline size_t class_size(unsigned class_index) { return class_table[class_index].size_bytes; }
static inline size_t class_objects(unsigned class_index) { return class_table[class_index].objects; }
static inline size_t class_slab_granules(unsigned class_index) { return class_table[class_index].granules; }

/*
 * offset / size, exactly, for every offset inside a slab: the rounded reciprocal is too large by less than size / 2^40, which
 * times an offset below 2^19 stays under the 1 / size that would carry into the quotient.
 */
static inline size_t class_index_at(unsigned class_index, size_t offset_bytes) {
    return (size_t)((offset_bytes * class_table[class_index].reciprocal) >> 40);
}

#endif

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
    uint64_t magic; /* see class_starts */
    uint64_t objects; /* in one slab */
    uint32_t mask;    /* a slab starts at a multiple of mask + 1 bytes, and is no longer than that */
    uint32_t size_bytes;
    uint32_t pages;   /* of one slab */
    uint32_t line;    /* so many objects in a row (1, 2 or 4) fill whole cache lines, if the first starts one */
};

extern HM_HIDDEN const struct class_row class_table[CLASS_COUNT];

/*
 * A class's mark is where its row is in class_table, in bytes, and a row more: so far from the first, which is nobody's, caches
 * have the magazine of the class. For requests of fewer than CLASS_QUICK bytes it stands in a table; for others of up to
 * CLASS_COARSE bytes in another, by steps of 128 bytes.
 */
#define CLASS_QUICK 1025u
#define CLASS_COARSE ((size_t)1 << 16)
#define CLASS_MARK(class_index) (((class_index) + 1u) * sizeof(struct class_row))
extern HM_HIDDEN const uint16_t class_quick[CLASS_QUICK];
extern HM_HIDDEN const uint16_t class_coarse[CLASS_COARSE / 128];

/* The mark for a request of more than 128 bytes, and up to CLASS_LARGEST. */
static inline uint64_t class_mark_larger(size_t size_bytes) {
    size_t last = size_bytes - 1;
    unsigned top = 63u ^ (unsigned)__builtin_clzll(last);
    return CLASS_MARK((uint64_t)((top - 7u) * 8u) + (last >> (top - 3u))); /* the highest four bits, of which the first is 1 */
}

/* The mark for one of CLASS_QUICK to CLASS_COARSE bytes. */
static inline uint64_t class_mark_coarse(size_t size_bytes) { return class_coarse[(size_bytes - 1) / 128]; }

/* The mark for a request of size_bytes, 0 to CLASS_LARGEST. */
static inline uint64_t class_mark(size_t size_bytes) {
    return __builtin_expect(size_bytes < CLASS_QUICK, 1) ? class_quick[size_bytes] : class_mark_larger(size_bytes);
}

/*
 * What to ask for to have the size at a multiple of align, a power of two: a multiple of it. Classes from there on are multiples
 * of their step, and of align too where that is more than the step. 0: that is for no class.
 */
static inline size_t class_aligned(size_t size_bytes, size_t align) {
    if (size_bytes > CLASS_LARGEST || align > CLASS_LARGEST) return 0;
    size_t rounded = align_up(size_bytes == 0 ? 1 : size_bytes, align);
    return rounded <= CLASS_LARGEST ? rounded : 0;
}

static inline unsigned class_marked(uint64_t mark) { return (unsigned)(mark / sizeof(struct class_row)) - 1u; }

/* The class of such a request. */
static inline unsigned class_of(size_t size_bytes) { return class_marked(class_mark(size_bytes)); }

static inline size_t class_size(unsigned class_index) { return class_table[class_index].size_bytes; }
static inline size_t class_objects(unsigned class_index) { return (size_t)class_table[class_index].objects; }
static inline size_t class_slab_pages(unsigned class_index) { return class_table[class_index].pages; }
static inline size_t class_slab_align(unsigned class_index) { return (size_t)class_table[class_index].mask + 1; }

/*
 * Does an object start at this offset in a slab of the class, and which? A class's magic is 2^64 / size, rounded up and a
 * little more: magic * size = 2^64 + e. At the offset q * size + r the product with magic is q * 2^64 + q * e + r * magic; so
 * its high half is q, and its low half is q * e where an object starts (r = 0), and magic or more elsewhere. The e is chosen so
 * that STARTS lies between (objects - 1) * e and objects * e, so that what is left over behind the last object is no start
 * either: e is at least STARTS / objects, and less than that and size together, which is small enough as long as objects
 * squared times size is less than STARTS (it is 2^28 at most). For offsets below OFFSETS nothing overflows, and every magic is
 * more than STARTS.
 */
#define CLASS_STARTS ((uint64_t)1 << 31)
#define CLASS_OFFSETS ((uint64_t)1 << 20)
#define CLASS_MAGIC(size, objects) \
    ((uint64_t)((((unsigned __int128)1 << 64) + (CLASS_STARTS + (objects) - 1) / (objects) + (size) - 1) / (size)))

static inline bool class_starts(uint64_t magic, uint64_t offset) { return offset * magic < CLASS_STARTS; }

static inline bool class_starts_at(const struct class_row *row, uintptr_t address) {
    return class_starts(row->magic, (uint32_t)address & row->mask);
}

/* The object that starts at the address; UINT64_MAX if none does. */
static inline uint64_t class_object_at(const struct class_row *row, uintptr_t address) {
    if (!class_starts_at(row, address)) return UINT64_MAX;
    return (uint64_t)((unsigned __int128)((uint32_t)address & row->mask) * row->magic >> 64);
}

#endif

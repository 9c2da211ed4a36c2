/*
 * classes.c - the table of size classes, computed by the compiler.
 *
 * One row per class, in the order of class_of: eight rows of 16 to 128, then eight rows for each doubling. The length of a
 * class's slab is the smallest number of granules at which both wishes of classes.h hold; eight are enough for every class.
 */
#include "heap/classes.h"

#define SLAB_BYTES(granules) ((granules) * 65536u)
#define SUITS(size, granules) \
    (SLAB_BYTES(granules) / (size) >= 8u && SLAB_BYTES(granules) % (size) <= SLAB_BYTES(granules) / 8u)
#define FROM_4(size) (SUITS(size, 4u) ? 4u : SUITS(size, 5u) ? 5u : SUITS(size, 6u) ? 6u : SUITS(size, 7u) ? 7u : 8u)
#define GRANULES(size) (SUITS(size, 1u) ? 1u : SUITS(size, 2u) ? 2u : SUITS(size, 3u) ? 3u : FROM_4(size))
#define BYTES(size) ((size) <= 65536u ? SLAB_BYTES(GRANULES(size)) : (size))

/* The next power of two, of what takes one to sixteen granules. */
#define ALIGN(bytes) \
    ((bytes) > SLAB_BYTES(8u)   ? SLAB_BYTES(16u) \
     : (bytes) > SLAB_BYTES(4u) ? SLAB_BYTES(8u) \
     : (bytes) > SLAB_BYTES(2u) ? SLAB_BYTES(4u) \
     : (bytes) > SLAB_BYTES(1u) ? SLAB_BYTES(2u) \
                                : SLAB_BYTES(1u))

#define LINE(size) ((size) % 64u == 0 ? 1u : (size) % 32u == 0 ? 2u : 4u)
#define ROW(size) \
    {CLASS_MAGIC(size, BYTES(size) / (size)), BYTES(size) / (size), ALIGN(BYTES(size)) - 1u, (size), BYTES(size) / 4096u, \
     LINE(size)}
#define EIGHT(base, step) \
    ROW((base) + 1u * (step)), ROW((base) + 2u * (step)), ROW((base) + 3u * (step)), ROW((base) + 4u * (step)), \
        ROW((base) + 5u * (step)), ROW((base) + 6u * (step)), ROW((base) + 7u * (step)), ROW((base) + 8u * (step))

const struct class_row class_table[CLASS_COUNT] = {
    EIGHT(0u, 16u),         EIGHT(128u, 16u),     EIGHT(256u, 32u),      EIGHT(512u, 64u),      EIGHT(1024u, 128u),
    EIGHT(2048u, 256u),     EIGHT(4096u, 512u),   EIGHT(8192u, 1024u),   EIGHT(16384u, 2048u), EIGHT(32768u, 4096u),
    EIGHT(65536u, 8192u),   EIGHT(131072u, 16384u), EIGHT(262144u, 32768u), EIGHT(524288u, 65536u),
};

/* The marks for the small ones; the unit test compares them all. */
#define UP_TO(sixteenths, count, class_index) \
    [((sixteenths) - (count)) * 16 + 1 ... (sixteenths) * 16] = CLASS_MARK(class_index)
#define FOUR(sixteenths, count, class_index) \
    UP_TO(sixteenths, count, class_index), UP_TO((sixteenths) + (count), count, (class_index) + 1), \
        UP_TO((sixteenths) + 2 * (count), count, (class_index) + 2), UP_TO((sixteenths) + 3 * (count), count, (class_index) + 3)
const uint16_t class_quick[CLASS_QUICK] = {
    [0] = CLASS_MARK(0), FOUR(1, 1, 0),   FOUR(5, 1, 4),   FOUR(9, 1, 8),   FOUR(13, 1, 12),
    FOUR(18, 2, 16),     FOUR(26, 2, 20), FOUR(36, 4, 24), FOUR(52, 4, 28),
};

/* The marks for the next, likewise: eight classes to each doubling, of so many steps each. */
#define STEPS(base, steps, class_index) [(base) ... (base) + (steps) - 1] = CLASS_MARK(class_index)
#define EIGHT_OF(steps, class_index) \
    STEPS(8 * (steps), steps, class_index), STEPS(9 * (steps), steps, (class_index) + 1), \
        STEPS(10 * (steps), steps, (class_index) + 2), STEPS(11 * (steps), steps, (class_index) + 3), \
        STEPS(12 * (steps), steps, (class_index) + 4), STEPS(13 * (steps), steps, (class_index) + 5), \
        STEPS(14 * (steps), steps, (class_index) + 6), STEPS(15 * (steps), steps, (class_index) + 7)
const uint16_t class_coarse[CLASS_COARSE / 128] = {
    EIGHT_OF(1, 32), EIGHT_OF(2, 40), EIGHT_OF(4, 48), EIGHT_OF(8, 56), EIGHT_OF(16, 64), EIGHT_OF(32, 72),
};

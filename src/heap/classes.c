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

/* 1/m modulo 2^64 for odd m: m itself is right in three bits, and each step doubles them. */
#define STEP(m, x) ((x) * (2u - (m) * (x)))
#define INVERSE_12(m) STEP(m, STEP(m, m))
#define INVERSE_48(m) STEP(m, STEP(m, INVERSE_12(m)))
#define INVERSE(m) STEP(m, INVERSE_48(m))
#define ODD(size) ((uint64_t)(size) >> __builtin_ctz(size))

#define LINE(size) ((size) % 64u == 0 ? 1u : (size) % 32u == 0 ? 2u : 4u)
#define ROW(size) \
    {INVERSE(ODD(size)) << (32 - __builtin_ctz(size)), BYTES(size) / (size), ALIGN(BYTES(size)) - 1u, (size), \
     BYTES(size) / 4096u, LINE(size)}
#define EIGHT(base, step) \
    ROW((base) + 1u * (step)), ROW((base) + 2u * (step)), ROW((base) + 3u * (step)), ROW((base) + 4u * (step)), \
        ROW((base) + 5u * (step)), ROW((base) + 6u * (step)), ROW((base) + 7u * (step)), ROW((base) + 8u * (step))

const struct class_row class_table[CLASS_COUNT] = {
    EIGHT(0u, 16u),         EIGHT(128u, 16u),     EIGHT(256u, 32u),      EIGHT(512u, 64u),      EIGHT(1024u, 128u),
    EIGHT(2048u, 256u),     EIGHT(4096u, 512u),   EIGHT(8192u, 1024u),   EIGHT(16384u, 2048u), EIGHT(32768u, 4096u),
    EIGHT(65536u, 8192u),   EIGHT(131072u, 16384u), EIGHT(262144u, 32768u), EIGHT(524288u, 65536u),
};

/* The same for the small ones, by the sixteenth byte; the unit test compares them all. */
#define AT(class_index) ((class_index) * sizeof(struct class_row))
const uint16_t class_quick[CLASS_QUICK_BYTES / 16 + 1] = {
    [0 ... 1] = AT(0),    [2] = AT(1),          [3] = AT(2),          [4] = AT(3),          [5] = AT(4),
    [6] = AT(5),          [7] = AT(6),          [8] = AT(7),          [9] = AT(8),          [10] = AT(9),
    [11] = AT(10),        [12] = AT(11),        [13] = AT(12),        [14] = AT(13),        [15] = AT(14),
    [16] = AT(15),        [17 ... 18] = AT(16), [19 ... 20] = AT(17), [21 ... 22] = AT(18), [23 ... 24] = AT(19),
    [25 ... 26] = AT(20), [27 ... 28] = AT(21), [29 ... 30] = AT(22), [31 ... 32] = AT(23), [33 ... 36] = AT(24),
    [37 ... 40] = AT(25), [41 ... 44] = AT(26), [45 ... 48] = AT(27), [49 ... 52] = AT(28), [53 ... 56] = AT(29),
    [57 ... 60] = AT(30), [61 ... 64] = AT(31),
};

/*
 * classes.c - the table of size classes, computed by the compiler.
 *
 * One row per class, in the order of class_of: eight rows of 16 to 128, then eight rows for each doubling. The length of a
 * class's slab is the smallest number of granules at which both wishes of classes.h hold; four are enough for every class.
 */
#include "heap/classes.h"

#define SLAB_BYTES(granules) ((granules) * 65536u)
#define SUITS(size, granules) \
    (SLAB_BYTES(granules) / (size) >= 8u && SLAB_BYTES(granules) % (size) <= SLAB_BYTES(granules) / 8u)
#define GRANULES(size) (SUITS(size, 1u) ? 1u : SUITS(size, 2u) ? 2u : SUITS(size, 3u) ? 3u : 4u)
#define ROW(size) {((1ull << 40) + (size) - 1u) / (size), (size), SLAB_BYTES(GRANULES(size)) / (size), GRANULES(size)}
#define EIGHT(base, step) \
    ROW((base) + 1u * (step)), ROW((base) + 2u * (step)), ROW((base) + 3u * (step)), ROW((base) + 4u * (step)), \
        ROW((base) + 5u * (step)), ROW((base) + 6u * (step)), ROW((base) + 7u * (step)), ROW((base) + 8u * (step))

const struct class_row class_table[CLASS_COUNT] = {
    EIGHT(0u, 16u),      EIGHT(128u, 16u),    EIGHT(256u, 32u),    EIGHT(512u, 64u),      EIGHT(1024u, 128u),
    EIGHT(2048u, 256u),  EIGHT(4096u, 512u),  EIGHT(8192u, 1024u), EIGHT(16384u, 2048u),
};

/*
 * Zeroing by looking first: whatever was written is zero afterwards, nothing beside it is touched, and the pages that had
 * something in them are counted; with each processor's code, from either end.
 */
#include <string.h>

#include "check.h"
#include "thread.h"

#define zero_used zero_here /* the file once more, for the code that this processor does not choose */
#include "core/zero.c"
#undef zero_used

#define PAGE 4096u

static uint8_t area[4 * PAGE] __attribute__((aligned(4096)));

static bool middle_is_zero(void) {
    for (size_t at = PAGE; at < 3 * PAGE; at++) {
        if (area[at] != 0) return false;
    }
    return true;
}

typedef size_t zero_way(uint8_t *first, ptrdiff_t step, size_t count);

/* The two pages in the middle, in either direction. */
static void one_way(zero_way *zero, uint8_t *first, ptrdiff_t step) {
    for (size_t at = PAGE; at < 3 * PAGE; at++) { /* each byte alone */
        area[at] = 0x80;
        size_t used = zero(first, step, 2);
        if (area[at] != 0 || used != 1) CHECK_EQ(area[at] << 8 | used, 1);
    }
    CHECK_EQ(zero(first, step, 2), 0);
    memset(area, 0xff, sizeof area);
    CHECK_EQ(zero(first, step, 2), 2);
    CHECK(middle_is_zero() && area[PAGE - 1] == 0xff && area[3 * PAGE] == 0xff);
}

static void both_ways(zero_way *zero) {
    one_way(zero, area + PAGE, PAGE);
    one_way(zero, area + 2 * PAGE, -(ptrdiff_t)PAGE);
}

/* Wherever the caller would begin, and whatever the last byte is. */
static void chosen(void) {
    for (int i = 0; i < 8; i++) {
        memset(area, 0xff, sizeof area);
        if (i & 2) memset(area + PAGE, 0, PAGE);
        if (i & 4) area[3 * PAGE - 1] = 0;
        CHECK_EQ(zero_here(area + PAGE, 2 * PAGE, i & 1), i & 2 ? 1 : 2);
        CHECK(middle_is_zero() && area[PAGE - 1] == 0xff && area[3 * PAGE] == 0xff);
    }
}

static void marks_anywhere(void) {
    static _Alignas(4096) unsigned char room[16 * 4096];
    uint64_t random = 3;
    for (int round = 0; round < 2000; round++) {
        size_t marks = round % 7 ? thread_random(&random) % 50 : 3000;
        for (size_t i = 0; i < marks; i++) room[thread_random(&random) % sizeof room] = 1;
        if (round % 50 == 0) memset(room + 4096, 0xff, 3 * 4096);
        zero_here(room, sizeof room, round % 3 == 0);
        unsigned char any = 0;
        for (size_t i = 0; i < sizeof room; i++) any |= room[i];
        CHECK_EQ(any, 0);
    }
}

int main(void) {
    both_ways(zero_plain);
    if (__builtin_cpu_supports("avx2")) both_ways(zero_avx2);
    if (__builtin_cpu_supports("avx512f")) both_ways(zero_avx512);
    chosen();
    marks_anywhere();
    return check_done();
}

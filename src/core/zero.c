/*
 * zero.c - zeroing by looking first.
 *
 * A span that comes back to a thread's cache was often used in part: a request's buffer, a header. On the machines measured,
 * reading 64 KiB from the cache takes 0.4 us where writing takes 1.1, and only blocks that hold something are written. A
 * page whose first blocks are all dirty is taken to be dirty throughout, and written without looking further.
 *
 * The code for processors with AVX2 is chosen when it is first called; the other one reads 8 bytes at a time.
 */
#include "core/zero.h"

#include <string.h>

#include "base/atom.h"

#define BLOCK_BYTES 256u
#define DIRTY_BLOCKS 3u /* in a row, from the start of a page */

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx2"))) static inline bool block_clean_avx2(const uint8_t *p) {
    const __m256i *v = (const __m256i *)(const void *)p;
    __m256i a = _mm256_or_si256(_mm256_loadu_si256(v + 0), _mm256_loadu_si256(v + 1));
    __m256i b = _mm256_or_si256(_mm256_loadu_si256(v + 2), _mm256_loadu_si256(v + 3));
    a = _mm256_or_si256(a, _mm256_or_si256(_mm256_loadu_si256(v + 4), _mm256_loadu_si256(v + 5)));
    b = _mm256_or_si256(b, _mm256_or_si256(_mm256_loadu_si256(v + 6), _mm256_loadu_si256(v + 7)));
    a = _mm256_or_si256(a, b);
    return _mm256_testz_si256(a, a);
}

__attribute__((target("avx2"))) static void page_zero_avx2(uint8_t *page) {
    for (size_t i = 0, row = 0; i < PAGE_BYTES; i += BLOCK_BYTES) {
        if (block_clean_avx2(page + i)) continue;
        if (i == row * BLOCK_BYTES && ++row == DIRTY_BLOCKS) {
            memset(page, 0, PAGE_BYTES);
            return;
        }
        memset(page + i, 0, BLOCK_BYTES);
    }
}

static void zero_avx2(uint8_t *start, size_t size) {
    for (size_t i = 0; i < size; i += PAGE_BYTES) page_zero_avx2(start + i);
}
#endif

static bool block_clean(const uint64_t *p) {
    uint64_t any = 0;
    for (size_t i = 0; i < BLOCK_BYTES / sizeof *p; i++) any |= p[i];
    return any == 0;
}

static void zero_plain(uint8_t *start, size_t size) {
    for (size_t i = 0; i < size; i += BLOCK_BYTES) {
        if (!block_clean((const uint64_t *)(const void *)(start + i))) memset(start + i, 0, BLOCK_BYTES);
    }
}

void zero_used(void *start, size_t size) {
#if defined(__x86_64__)
    static uint32_t have; /* 0: not asked yet, 1: no, 2: yes */
    uint32_t seen = atom_load_rlx_u32(&have); /* rlx: everybody finds the same */
    if (seen == 0) {
        seen = __builtin_cpu_supports("avx2") ? 2 : 1;
        atom_store_rlx_u32(&have, seen);
    }
    if (seen == 2) {
        zero_avx2(start, size);
        return;
    }
#endif
    zero_plain(start, size);
}

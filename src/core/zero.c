/*
 * zero.c - zeroing by looking first.
 *
 * A span that comes back to a thread's cache was often used in part: a request's buffer, a header. Looking at memory in the
 * second-level cache costs a third of writing it, and a page that is found dirty is in the first level by then, so that
 * writing it costs little; outside the caches, both cost the same. So everything is looked at, and what holds something is
 * written, in one pass.
 *
 * Pages that were never written are one page to the processor, the system's page of zeros, and looking at them runs at what its
 * load ports deliver: two lines a cycle by 64-byte registers. Each instruction in between counts there, so a page is looked at in
 * blocks whose sums stay in registers, with one test for them all, and only a page that fails it has its blocks tested. That is
 * also what tells how many pages were used.
 *
 * What is in the processor's first cache is looked at in a third of the time, and that cache holds less than a granule: after a
 * look it has what was looked at last. Looking always in the same direction would find none of it, so the direction alternates.
 * Where the last byte was written the program has most likely filled the memory, and the end is what the cache has.
 *
 * The code for the processor is chosen when it is first called; the plain one reads 8 bytes at a time.
 */
#include "core/zero.h"

#include <string.h>

#include "base/atom.h"

#define BLOCK_BYTES 512u
#define BLOCKS (PAGE_BYTES / BLOCK_BYTES)

/* Each zero_... below looks at `count` pages, each `step` bytes after the one before, and returns how many were used. */

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

/* Any of three. */
#define OR3(a, b, c) _mm512_ternarylogic_epi64(a, b, c, 0xfe)

__attribute__((target("avx512f"))) static size_t zero_avx512(uint8_t *first, ptrdiff_t step, size_t count) {
    const __m512i zero = _mm512_setzero_si512();
    size_t used = 0;
    for (; count; count--, first += step) {
        __m512i *page = (__m512i *)(void *)first, sum[BLOCKS];
#pragma GCC unroll 8
        for (size_t i = 0; i < BLOCKS; i++) {
            const __m512i *v = page + 8 * i;
            sum[i] = OR3(OR3(OR3(v[0], v[1], v[2]), v[3], v[4]), v[5], v[6]);
            sum[i] = _mm512_or_si512(sum[i], v[7]);
        }
        __m512i all = OR3(OR3(sum[0], sum[1], sum[2]), OR3(sum[3], sum[4], sum[5]), _mm512_or_si512(sum[6], sum[7]));
        if (__builtin_expect(_mm512_test_epi64_mask(all, all) == 0, 1)) continue;
        used++;
#pragma GCC unroll 8
        for (size_t i = 0; i < BLOCKS; i++) {
            __m512i *v = page + 8 * i;
            if (_mm512_test_epi64_mask(sum[i], sum[i]) == 0) continue;
            v[0] = v[1] = v[2] = v[3] = zero;
            v[4] = v[5] = v[6] = v[7] = zero;
        }
    }
    return used;
}

/* With half the registers of half the size, each block is tested. */
__attribute__((target("avx2"))) static bool zero_block_avx2(__m256i *v) {
    const __m256i zero = _mm256_setzero_si256();
    __m256i a = v[0], b = v[1], c = v[2], d = v[3];
    for (int j = 4; j < 16; j += 4) {
        a = _mm256_or_si256(a, v[j]), b = _mm256_or_si256(b, v[j + 1]);
        c = _mm256_or_si256(c, v[j + 2]), d = _mm256_or_si256(d, v[j + 3]);
    }
    a = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
    if (__builtin_expect(_mm256_testz_si256(a, a), 1)) return false;
    for (int j = 0; j < 16; j++) v[j] = zero;
    return true;
}

__attribute__((target("avx2"))) static size_t zero_avx2(uint8_t *first, ptrdiff_t step, size_t count) {
    size_t used = 0;
    for (; count; count--, first += step) {
        bool any = false;
        for (size_t i = 0; i < BLOCKS; i++) any |= zero_block_avx2((__m256i *)(void *)(first + i * BLOCK_BYTES));
        used += any;
    }
    return used;
}

enum { HAVE_NEITHER = 1, HAVE_AVX2, HAVE_AVX512 };

/*
 * Which of the two the processor has and the system saves. __builtin_cpu_supports would say so too, but it brings a constructor
 * along that asks the processor a dozen questions at the start of every program, each of them a trap in a virtual machine.
 */
static uint32_t have_what(void) {
    unsigned a, b, c, d, saved, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return HAVE_NEITHER;
    __asm__("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
    if ((saved & 0x06) != 0x06 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return HAVE_NEITHER;
    if ((b & bit_AVX512F) && (saved & 0xe0) == 0xe0) return HAVE_AVX512;
    return b & bit_AVX2 ? HAVE_AVX2 : HAVE_NEITHER;
}
#endif

static size_t zero_plain(uint8_t *first, ptrdiff_t step, size_t count) {
    size_t used = 0;
    for (; count; count--, first += step) {
        bool dirty = false;
        for (size_t i = 0; i < PAGE_BYTES; i += BLOCK_BYTES) {
            const uint64_t *p = (const uint64_t *)(const void *)(first + i);
            uint64_t any = 0;
            for (size_t j = 0; j < BLOCK_BYTES / sizeof *p; j += 4) any |= (p[j] | p[j + 1]) | (p[j + 2] | p[j + 3]);
            if (any) memset(first + i, 0, BLOCK_BYTES);
            dirty |= any != 0;
        }
        used += dirty;
    }
    return used;
}

size_t zero_used(void *start, size_t size, bool from_end) {
    uint8_t *first = start;
    ptrdiff_t step = (ptrdiff_t)PAGE_BYTES;
    if (from_end || first[size - 1]) first += size - PAGE_BYTES, step = -step;
#if defined(__x86_64__)
    static uint32_t have; /* 0: not asked yet */
    uint32_t seen = atom_load_rlx_u32(&have); /* rlx: everybody finds the same */
    if (seen == 0) {
        seen = have_what();
        atom_store_rlx_u32(&have, seen);
    }
    if (seen == HAVE_AVX512) return zero_avx512(first, step, size / PAGE_BYTES);
    if (seen == HAVE_AVX2) return zero_avx2(first, step, size / PAGE_BYTES);
#endif
    return zero_plain(first, step, size / PAGE_BYTES);
}

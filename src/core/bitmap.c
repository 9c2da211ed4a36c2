/*
 * bitmap.c - lock-free claims and releases of runs of bits. Any thread may call anything here at any time.
 *
 * A bit is free (0) or taken (1). A free bit becomes taken by a claim, a taken one free by a release or by the rollback of the
 * claim that took it. A run may lie in several words; nothing but one compare-and-swap per word ever changes them.
 *
 * Invariants, and why they hold:
 *   I1  A word changes only by a CAS, from a value that the CAS compared as a whole. So a decision made from the value is still
 *       right at the moment of the change, and a word that has meanwhile gone from A to B and back to A is A: the bits are all
 *       there is to know (no ABA).
 *   I2  A claim sets only bits that its CAS saw free, so each setting of a bit has one author, who alone may clear it.
 *   I3  A claim goes through its words from the lowest to the highest and stops at the first with a taken bit. It then clears
 *       what it set (its own by I2), so a failed claim leaves no bit of its own. Of two claims that overlap at most one
 *       succeeds: both would have to be the author of the same setting of a common bit.
 *   I4  Every change is an acquire and a release, and every change is a read-modify-write. A release therefore heads a release
 *       sequence that all later changes of the word continue, and a claim that finds the bit free has acquired from it:
 *       what the last owner wrote is done before the new owner's claim returns. Plain loads only choose where to try.
 *   I5  Nobody waits. A CAS is tried again only when it failed, that is, when another thread has changed the word: some thread
 *       got on. A thread stopped anywhere delays nobody; in the middle of a claim, the bits that it has so far look taken.
 *       Words are claimed in ascending order, so claims that overlap cannot make each other fail: the one that is ahead goes on.
 *   I6  A release of bits that were free already when it began is refused before anything is changed. When two releases of
 *       runs with the same first bit race, the CAS of the first word decides: the loser has changed nothing, and the
 *       remaining words are the winner's alone. Releases that race and overlap otherwise are a mistake of the caller's that
 *       can no longer be undone (what has been released may have a new owner): all of their bits end up free, each cleared
 *       once, and of those that share a bit at most one returns true.
 */
#include "core/bitmap.h"

/* Words in one stretch for best fit: 4 cache lines, 128 MiB of granules. */
#define TREE_WORDS 32u

/* A race lost is tried again in the same place this often, then the search goes on; a search that found nothing but lost
 * races begins again, this often in all. */
#define RETRIES_IN_PLACE 8u
#define SEARCHES 4u

#define ALL_BITS (~(uint64_t)0)

/* The bits of word `index` that belong to [first, end), which has at least one there. */
static inline uint64_t run_mask(size_t first, size_t end, size_t index) {
    size_t base = index * BITMAP_WORD_BITS;
    unsigned low = first > base ? (unsigned)(first - base) : 0;
    unsigned high = end - base < BITMAP_WORD_BITS ? (unsigned)(end - base) : BITMAP_WORD_BITS;
    return (ALL_BITS << low) & (ALL_BITS >> (BITMAP_WORD_BITS - high));
}

/* The free bits of word `index`; bits at and past `total` are not. */
static inline uint64_t word_free(const uint64_t *words, size_t total, size_t index) {
    /* rlx: only chooses where to try; the CAS of the claim decides (I4). */
    return ~atom_load_rlx_u64(&words[index]) & run_mask(0, total, index);
}

/* Sets the bits, if all of them are free. */
static inline bool word_claim(uint64_t *word, uint64_t mask) {
    uint64_t seen = atom_load_rlx_u64(word); /* rlx: the CAS compares it again */
    while ((seen & mask) == 0) {
        /* acqrel: acquires from word_release of the last owner of these bits (I4). */
        if (atom_cas_acqrel_u64(word, &seen, seen | mask)) return true;
    }
    return false;
}

/* Clears the bits and tells whether all of them had been taken. If not: a strict call changes nothing. */
static inline bool word_release(uint64_t *word, uint64_t mask, bool strict) {
    uint64_t seen = atom_load_rlx_u64(word); /* rlx: the CAS compares it again */
    bool whole;
    do {
        whole = (seen & mask) == mask;
        if (!whole && strict) return false;
        /* acqrel: publishes what the owner wrote to the next word_claim of these bits (I4). */
    } while (!atom_cas_acqrel_u64(word, &seen, seen & ~mask));
    return whole;
}

bool bitmap_claim(uint64_t *words, size_t first, size_t count) {
    HM_ASSERT(count > 0);
    size_t end = first + count;
    size_t start = first / BITMAP_WORD_BITS;
    for (size_t i = start; i * BITMAP_WORD_BITS < end; i++) {
        if (word_claim(&words[i], run_mask(first, end, i))) continue;
        while (i-- > start) {
            bool whole = word_release(&words[i], run_mask(first, end, i), false);
            HM_ASSERT(whole);
            (void)whole;
        }
        return false;
    }
    return true;
}

bool bitmap_release(uint64_t *words, size_t first, size_t count) {
    HM_ASSERT(count > 0);
    size_t end = first + count;
    size_t start = first / BITMAP_WORD_BITS;
    /* The first word is left to its CAS, which looks at it anyway. */
    for (size_t i = start + 1; i * BITMAP_WORD_BITS < end; i++) {
        uint64_t mask = run_mask(first, end, i);
        /* rlx: an owner sees its own bits in any order; for a caller that owns nothing this is only the early refusal of I6. */
        if ((atom_load_rlx_u64(&words[i]) & mask) != mask) return false;
    }
    if (!word_release(&words[start], run_mask(first, end, start), true)) return false;
    bool whole = true;
    for (size_t i = start + 1; i * BITMAP_WORD_BITS < end; i++) {
        if (!word_release(&words[i], run_mask(first, end, i), false)) whole = false;
    }
    return whole;
}

size_t bitmap_count(const uint64_t *words, size_t total) {
    size_t taken = 0;
    for (size_t i = 0; i * BITMAP_WORD_BITS < total; i++) {
        /* rlx: words are read one after the other, so the sum is of no one moment whatever the order. */
        taken += (size_t)__builtin_popcountll(atom_load_rlx_u64(&words[i]) & run_mask(0, total, i));
    }
    return taken;
}

/* The first bit in [from, total) that differs from `same` (0 or all ones) in its word. */
static size_t next_other(const uint64_t *words, size_t total, size_t from, uint64_t same) {
    for (size_t i = from / BITMAP_WORD_BITS; i * BITMAP_WORD_BITS < total && from < total; i++) {
        /* rlx: as bitmap_taken. */
        uint64_t other = (atom_load_rlx_u64(&words[i]) ^ same) & run_mask(from, total, i);
        if (other != 0) return i * BITMAP_WORD_BITS + (size_t)__builtin_ctzll(other);
    }
    return total;
}

size_t bitmap_next_taken(const uint64_t *words, size_t total, size_t from) { return next_other(words, total, from, 0); }

size_t bitmap_next_free(const uint64_t *words, size_t total, size_t from) { return next_other(words, total, from, ALL_BITS); }

/* One past the last bit in [from, end) that differs from `same` in its word; `from` if there is none. */
static size_t last_other(const uint64_t *words, size_t from, size_t end, uint64_t same) {
    for (size_t i = BITMAP_WORDS(end); end > from && i-- > from / BITMAP_WORD_BITS;) {
        /* rlx: only chooses where to try (I4). */
        uint64_t other = (atom_load_rlx_u64(&words[i]) ^ same) & run_mask(from, end, i);
        if (other != 0) return (i + 1) * BITMAP_WORD_BITS - (size_t)__builtin_clzll(other);
    }
    return from;
}

/* The bits of `free` at which a run of at least `count` ones starts. */
static inline uint64_t run_starts(uint64_t free, unsigned count) {
    for (unsigned known = 1; known < count && free != 0;) {
        unsigned step = count - known < known ? count - known : known;
        free &= free >> step;
        known += step;
    }
    return free;
}

/* The tightest hole found so far. */
struct fit {
    size_t start;
    size_t length; /* 0: none yet */
};

/* True: the hole is exactly as long as needed, look no further. */
static inline bool fit_offer(struct fit *best, size_t start, size_t length, size_t count) {
    if (length >= count && (best->length == 0 || length < best->length)) *best = (struct fit){start, length};
    return length == count;
}

/* Offers the holes of one word that touch neither of its ends. */
static inline bool fit_inner(struct fit *best, size_t base, uint64_t inner, unsigned count) {
    uint64_t starts = run_starts(inner, count);
    /* A hole of count + n bits leaves n + 1 starts in a row, so a start with no neighbour is a perfect fit. */
    uint64_t perfect = starts & ~(starts << 1) & ~(starts >> 1);
    if (perfect != 0) return fit_offer(best, base + (size_t)__builtin_ctzll(perfect), count, count);
    while (starts != 0) {
        unsigned start = (unsigned)__builtin_ctzll(starts);
        unsigned more = (unsigned)__builtin_ctzll(~(starts >> start));
        fit_offer(best, base + start, more + count - 1, count);
        starts &= starts + ((uint64_t)1 << start);
    }
    return false;
}

/*
 * Offers every hole that starts in words [from, to), and the rest of one that starts before. The last may end behind `to`; it is
 * measured as far as is needed to know that the run fits.
 */
static bool fit_sweep(struct fit *best, const uint64_t *words, size_t total, unsigned count, size_t from, size_t to) {
    size_t open = 0; /* free bits just below word i */
    for (size_t i = from; i < to; i++) {
        uint64_t free = word_free(words, total, i);
        if ((free | open) == 0) continue;
        if (free == ALL_BITS) {
            open += BITMAP_WORD_BITS;
            continue;
        }
        size_t base = i * BITMAP_WORD_BITS;
        size_t ends = open + (size_t)__builtin_ctzll(~free);
        if (ends != 0 && fit_offer(best, base - open, ends, count)) return true;
        open = (size_t)__builtin_clzll(~free);
        uint64_t inner = free & (free + 1); /* without the ones at the low end */
        if (open != 0) inner &= ALL_BITS >> open;
        if (inner != 0 && fit_inner(best, base, inner, count)) return true;
    }
    if (open == 0) return false;
    size_t start = to * BITMAP_WORD_BITS - open;
    size_t limit = to + 2; /* one would do for the fit, two for telling a tight one from a loose one */
    for (size_t i = to; i < limit && i * BITMAP_WORD_BITS < total; i++) {
        uint64_t free = word_free(words, total, i);
        if (free != ALL_BITS) return fit_offer(best, start, open + (size_t)__builtin_ctzll(~free), count);
        open += BITMAP_WORD_BITS;
    }
    return fit_offer(best, start, open, count);
}

/* One search for a short run: tree by tree from the home's on, the tightest hole in each. */
static size_t search_short(uint64_t *words, size_t total, unsigned count, size_t home, bool *lost) {
    size_t size = BITMAP_WORDS(total);
    size_t trees = (size + TREE_WORDS - 1) / TREE_WORDS;
    size_t tree = home / TREE_WORDS;
    for (size_t n = 0; n < trees; n++, tree = tree + 1 < trees ? tree + 1 : 0) {
        size_t from = tree * TREE_WORDS;
        size_t to = size - from < TREE_WORDS ? size : from + TREE_WORDS;
        size_t middle = n == 0 ? home : from;
        for (unsigned tries = 0; tries < RETRIES_IN_PLACE; tries++) {
            struct fit best = {0, 0};
            if (!fit_sweep(&best, words, total, count, middle, to)) fit_sweep(&best, words, total, count, from, middle);
            if (best.length == 0) break;
            if (bitmap_claim(words, best.start, count)) return best.start;
            *lost = true;
        }
    }
    return BITMAP_NONE;
}

/*
 * One search for the first run of more than a word that starts in words [from, below) and ends within `total`. Such a run goes
 * over a word boundary, so only the free bits at the two ends of each word matter.
 */
static size_t search_long(uint64_t *words, size_t total, size_t count, size_t from, size_t below, bool *lost) {
    size_t open = 0; /* free bits just below word i */
    unsigned tries = 0;
    for (size_t i = from; i * BITMAP_WORD_BITS < total && (i < below || open != 0); i++) {
        uint64_t free = word_free(words, total, i);
        size_t low = free == ALL_BITS ? BITMAP_WORD_BITS : (size_t)__builtin_ctzll(~free);
        if (open + low < count) {
            if (free != ALL_BITS && i >= below) break;
            open = free == ALL_BITS ? open + low : (size_t)__builtin_clzll(~free);
            continue;
        }
        size_t start = i * BITMAP_WORD_BITS - open;
        if (bitmap_claim(words, start, count)) return start;
        *lost = true;
        /* Looks at the same place again, or goes on behind the word in which the run would start. */
        i = start / BITMAP_WORD_BITS - (++tries % RETRIES_IN_PLACE != 0);
        open = 0;
    }
    return BITMAP_NONE;
}

size_t bitmap_claim_run(uint64_t *words, size_t total, size_t count, size_t home) {
    if (count == 0 || count > total) return BITMAP_NONE;
    if (home >= BITMAP_WORDS(total)) home = 0;
    size_t first = BITMAP_NONE;
    bool lost = true;
    for (unsigned n = 0; n < SEARCHES && lost && first == BITMAP_NONE; n++) {
        lost = false;
        if (count <= BITMAP_WORD_BITS) {
            first = search_short(words, total, (unsigned)count, home, &lost);
            continue;
        }
        first = search_long(words, total, count, home, BITMAP_WORDS(total), &lost);
        if (first == BITMAP_NONE) first = search_long(words, total, count, 0, home, &lost);
    }
    return first;
}

/* One search from the top. */
static size_t search_high(uint64_t *words, size_t total, size_t count, bool *lost) {
    size_t end = total;
    unsigned tries = 0;
    while ((end = last_other(words, 0, end, ALL_BITS)) >= count) {
        size_t start = end - count;
        size_t taken = last_other(words, start, end, 0);
        if (taken > start) {
            end = taken;
            continue;
        }
        if (bitmap_claim(words, start, count)) return start;
        *lost = true;
        if (++tries % RETRIES_IN_PLACE == 0) end--;
    }
    return BITMAP_NONE;
}

size_t bitmap_claim_run_high(uint64_t *words, size_t total, size_t count) {
    if (count == 0 || count > total) return BITMAP_NONE;
    size_t first = BITMAP_NONE;
    bool lost = true;
    for (unsigned n = 0; n < SEARCHES && lost && first == BITMAP_NONE; n++) {
        lost = false;
        first = search_high(words, total, count, &lost);
    }
    return first;
}

/* The lowest `want` ones of `free`, or all if there are fewer. */
static inline uint64_t lowest_bits(uint64_t free, unsigned want) {
    uint64_t rest = free;
    for (; want > 0 && rest != 0; want--) rest &= rest - 1;
    return free ^ rest;
}

/* Of these bits, those whose group (1, 2 or 4 bits, aligned) is among them as a whole. */
static uint64_t whole_groups(uint64_t free, unsigned group) {
    uint64_t first = free;
    if (group == 1) return free;
    first &= first >> 1;
    if (group == 2) {
        first &= 0x5555555555555555u;
        return first | first << 1;
    }
    first &= first >> 2;
    first &= 0x1111111111111111u;
    return first | first << 1 | first << 2 | first << 3;
}

size_t bitmap_claim_groups(uint64_t *words, size_t total, size_t home, unsigned want, unsigned group, uint64_t *mask) {
    size_t size = BITMAP_WORDS(total);
    if (home >= size) home = 0;
    size_t i = home;
    for (size_t n = 0; n < size; n++, i = i + 1 < size ? i + 1 : 0) {
        uint64_t valid = run_mask(0, total, i);
        uint64_t seen = atom_load_rlx_u64(&words[i]); /* rlx: the CAS compares it again */
        uint64_t take;
        while ((take = lowest_bits(whole_groups(~seen & valid, group), want)) != 0) {
            /* acqrel: acquires from word_release of the last owners of these bits (I4). */
            if (!atom_cas_acqrel_u64(&words[i], &seen, seen | take)) continue;
            *mask = take;
            return i;
        }
    }
    *mask = 0;
    return BITMAP_NONE;
}

size_t bitmap_claim_some(uint64_t *words, size_t total, size_t home, unsigned want, uint64_t *mask) {
    return bitmap_claim_groups(words, total, home, want, 1, mask);
}

uint64_t bitmap_release_some(uint64_t *words, size_t word, uint64_t mask) {
    uint64_t seen = atom_load_rlx_u64(&words[word]); /* rlx: the CAS compares it again */
    /* acqrel: releases to the claim that takes these bits next. */
    while (!atom_cas_acqrel_u64(&words[word], &seen, seen & ~mask)) continue;
    return seen & mask;
}

/*
 * Every function of core/bitmap.c: against a naive reference (a byte for each bit) with random operations in one thread, then
 * with four threads that count who owns what.
 */
#include "check.h"
#include "thread.h"

#include "base/atom.h"
#include "core/bitmap.h"

#include <string.h>

#define BITS_AT_MOST 5000u

struct pair {
    size_t total;
    uint64_t words[BITMAP_WORDS(BITS_AT_MOST)];
    uint8_t naive[BITS_AT_MOST]; /* 1: taken */
};

static bool naive_all(const struct pair *p, size_t first, size_t count, uint8_t value) {
    for (size_t i = first; i < first + count; i++) {
        if (p->naive[i] != value) return false;
    }
    return true;
}

static void naive_set(struct pair *p, size_t first, size_t count, uint8_t value) { memset(p->naive + first, value, count); }

static bool naive_fits(const struct pair *p, size_t count) {
    size_t run = 0;
    for (size_t i = 0; i < p->total; i++) {
        run = p->naive[i] ? 0 : run + 1;
        if (run == count) return true;
    }
    return false;
}

/* The highest free run's first bit, or BITMAP_NONE. */
static size_t naive_high(const struct pair *p, size_t count) {
    size_t run = 0;
    for (size_t i = p->total; i-- > 0;) {
        run = p->naive[i] ? 0 : run + 1;
        if (run == count) return i;
    }
    return BITMAP_NONE;
}

static size_t naive_next(const struct pair *p, size_t from, uint8_t value) {
    for (; from < p->total; from++) {
        if (p->naive[from] == value) return from;
    }
    return p->total;
}

/* Both show the same, and no bit past the total has been touched. */
static bool same(const struct pair *p) {
    size_t taken = 0;
    for (size_t i = 0; i < BITMAP_WORDS(p->total) * BITMAP_WORD_BITS; i++) {
        bool bit = p->words[i / 64] >> i % 64 & 1;
        if (bit != (i < p->total && p->naive[i])) return false;
        taken += bit;
    }
    return bitmap_count(p->words, p->total) == taken;
}

/* A length with a taste for what is awkward. */
static size_t some_count(uint64_t *seed, size_t total) {
    static const size_t favourites[] = {1, 1, 2, 3, 8, 63, 64, 65, 127, 128, 129, 200};
    uint64_t r = thread_random(seed);
    size_t count = r & 1 ? favourites[(r >> 8) % 12] : 1 + (size_t)(r >> 8) % 40;
    if ((r >> 1) % 50 == 0) count = 1 + (size_t)(r >> 8) % total;
    return count < total ? count : total;
}

static void step_fixed(struct pair *p, uint64_t *seed) {
    size_t count = some_count(seed, p->total);
    size_t first = (size_t)(thread_random(seed) % (p->total - count + 1));
    if (thread_random(seed) & 1) {
        bool right = naive_all(p, first, count, 0);
        CHECK_EQ(bitmap_claim(p->words, first, count), right);
        if (right) naive_set(p, first, count, 1);
    } else {
        if (thread_random(seed) & 1) { /* a run that is there, or a bit less or more of it */
            first = naive_next(p, first, 1);
            size_t end = naive_next(p, first, 0);
            if (first == p->total) return;
            count = end - first;
            if (end < p->total && thread_random(seed) % 8 == 0) count++;
            if (count > 100) count = 100;
        }
        bool right = naive_all(p, first, count, 1);
        CHECK_EQ(bitmap_release(p->words, first, count), right);
        if (right) naive_set(p, first, count, 0);
    }
}

static void step_search(struct pair *p, uint64_t *seed) {
    size_t count = some_count(seed, p->total);
    size_t home = (size_t)(thread_random(seed) % (BITMAP_WORDS(p->total) + 1)); /* sometimes past the end */
    size_t first;
    if (thread_random(seed) % 3 == 0) {
        first = bitmap_claim_run_high(p->words, p->total, count);
        CHECK_EQ(first, naive_high(p, count));
    } else {
        first = bitmap_claim_run(p->words, p->total, count, home);
        CHECK_EQ(first != BITMAP_NONE, naive_fits(p, count));
    }
    if (first == BITMAP_NONE) return;
    if (CHECK(first + count <= p->total) && CHECK(naive_all(p, first, count, 0))) naive_set(p, first, count, 1);
}

static void step_some(struct pair *p, uint64_t *seed) {
    unsigned want = 1 + (unsigned)(thread_random(seed) % 64);
    size_t home = (size_t)(thread_random(seed) % BITMAP_WORDS(p->total));
    uint64_t mask = 1;
    size_t word = bitmap_claim_some(p->words, p->total, home, want, &mask);
    if (word == BITMAP_NONE) {
        CHECK_EQ(mask, 0);
        CHECK_EQ(naive_next(p, 0, 0), p->total);
        return;
    }
    size_t expected = naive_next(p, home * 64, 0);
    if (expected == p->total) expected = naive_next(p, 0, 0);
    CHECK_EQ(word, expected / 64);
    unsigned got = 0;
    for (size_t bit = word * 64; bit < word * 64 + 64 && bit < p->total && got < want; bit++) {
        if (p->naive[bit]) continue;
        CHECK(mask >> bit % 64 & 1);
        p->naive[bit] = 1;
        got++;
    }
    CHECK_EQ((unsigned)__builtin_popcountll(mask), got);
}

static void step_look(struct pair *p, uint64_t *seed) {
    size_t from = (size_t)(thread_random(seed) % (p->total + 1));
    CHECK_EQ(bitmap_next_taken(p->words, p->total, from), naive_next(p, from, 1));
    CHECK_EQ(bitmap_next_free(p->words, p->total, from), naive_next(p, from, 0));
    if (from < p->total) CHECK_EQ(bitmap_taken(p->words, from), p->naive[from]);
}

static void test_random(size_t total, uint64_t seed, unsigned steps) {
    static struct pair p;
    memset(&p, 0, sizeof p);
    p.total = total;
    for (unsigned i = 0; i < steps; i++) {
        uint64_t r = thread_random(&seed) % 16;
        if (r < 8) step_fixed(&p, &seed);
        else if (r < 12) step_search(&p, &seed);
        else if (r < 13) step_some(&p, &seed);
        else step_look(&p, &seed);
        if (r == 0 && thread_random(&seed) % 64 == 0) { /* now and then nearly full, or nearly empty */
            bool empty = thread_random(&seed) & 1;
            memset(p.words, empty ? 0 : 0xff, sizeof p.words);
            naive_set(&p, 0, total, !empty);
            size_t tail = total % 64;
            if (!empty && tail != 0) p.words[total / 64] &= ((uint64_t)1 << tail) - 1;
        }
        if (!CHECK(same(&p))) return;
    }
}

/* The tightest hole near the home is taken, a perfect one at once, and ones across a word boundary count. */
static void test_best_fit(void) {
    uint64_t words[64];
    memset(words, 0xff, sizeof words);
    words[2] = ~(uint64_t)0xfff0;                /* 12 free */
    words[3] = ~(uint64_t)0xff00;                /* 8 free */
    words[5] = ~((uint64_t)3 << 62);             /* 5 free across words 5 and 6 */
    words[6] = ~(uint64_t)7;
    words[40] = ~(uint64_t)0x3ff;                /* 10 free, another tree */
    CHECK_EQ(bitmap_claim_run(words, 4096, 7, 0), 3 * 64 + 8);
    CHECK(bitmap_release(words, 3 * 64 + 8, 7));
    CHECK_EQ(bitmap_claim_run(words, 4096, 5, 0), 5 * 64 + 62);
    CHECK_EQ(bitmap_claim_run(words, 4096, 9, 0), 2 * 64 + 4);
    CHECK_EQ(bitmap_claim_run(words, 4096, 9, 35), 40 * 64);
    CHECK_EQ(bitmap_claim_run(words, 4096, 9, 35), BITMAP_NONE);
    CHECK_EQ(bitmap_claim_run(words, 4096, 8, 35), 3 * 64 + 8);
    CHECK_EQ(bitmap_claim_run(words, 4096, 3, 4), 2 * 64 + 13);
    CHECK_EQ(bitmap_claim_run(words, 4096, 1, 0), 40 * 64 + 9);
    CHECK_EQ(bitmap_claim_run_high(words, 4096, 1), BITMAP_NONE);
    CHECK_EQ(bitmap_count(words, 4096), 4096);
}

/* A claim that fails in its second, middle or last word puts back every word; a refused release changes none. */
static void test_rollback(void) {
    for (size_t block = 0; block < 320; block++) {
        uint64_t words[5] = {0}, before[5], after[5];
        words[block / 64] = (uint64_t)1 << block % 64;
        memcpy(before, words, sizeof words);
        bool inside = block >= 30 && block < 300;
        bool claimed = bitmap_claim(words, 30, 270);
        CHECK_EQ(claimed, !inside);
        if (!claimed) CHECK(memcmp(words, before, sizeof words) == 0);
        memset(words, 0xff, sizeof words);
        words[block / 64] &= ~((uint64_t)1 << block % 64);
        memcpy(before, words, sizeof words);
        bool released = bitmap_release(words, 30, 270);
        CHECK_EQ(released, !inside);
        if (!released) CHECK(memcmp(words, before, sizeof words) == 0);
        memset(after, 0xff, sizeof after);
        after[block / 64] &= ~((uint64_t)1 << block % 64);
        if (released) CHECK(bitmap_claim(words, 30, 270) && memcmp(words, after, sizeof words) == 0);
    }
}

static void test_edges(void) {
    uint64_t words[4] = {0};
    uint64_t mask;
    CHECK_EQ(bitmap_claim_run(words, 200, 0, 0), BITMAP_NONE);
    CHECK_EQ(bitmap_claim_run(words, 200, 201, 0), BITMAP_NONE);
    CHECK_EQ(bitmap_claim_run_high(words, 200, 0), BITMAP_NONE);
    CHECK_EQ(bitmap_claim_run_high(words, 200, 201), BITMAP_NONE);
    CHECK_EQ(bitmap_claim_run_high(words, 200, 200), 0);
    CHECK_EQ(words[3], 0xff);
    CHECK_EQ(bitmap_claim_some(words, 200, 3, 64, &mask), BITMAP_NONE);
    CHECK_EQ(bitmap_next_free(words, 200, 0), 200);
    CHECK_EQ(bitmap_next_taken(words, 200, 199), 199);
    CHECK_EQ(bitmap_next_taken(words, 200, 200), 200);
    CHECK_EQ(bitmap_count(words, 0), 0);
    CHECK(bitmap_release(words, 0, 200));
    CHECK(!bitmap_release(words, 0, 200));
    CHECK(!bitmap_release(words, 5, 1));
    CHECK_EQ(bitmap_claim_run(words, 200, 200, 2), 0);
    CHECK(bitmap_release(words, 0, 200));
    CHECK_EQ(bitmap_count(words, 256), 0);
}

/* Four threads claim and release; each bit has an owner byte that only its owner may find set. */
#define STRESS_BITS 1000u
#define STRESS_THREADS 4u
#define STRESS_SECONDS 1.5
#define STRESS_HELD 24u

static struct {
    uint64_t words[BITMAP_WORDS(STRESS_BITS)];
    uint8_t owner[STRESS_BITS];
    uint64_t plain[STRESS_BITS]; /* not atomic: ThreadSanitizer watches that ownership hands it over */
    uint64_t claims, refusals, wrong;
} stress;

struct holding {
    size_t first, count;
};

static bool owner_change(size_t first, size_t count, uint8_t from, uint8_t to) {
    bool right = true;
    for (size_t i = first; i < first + count; i++) {
        uint8_t seen = from;
        if (!atom_cas_acqrel_u8(&stress.owner[i], &seen, to)) right = false;
        stress.plain[i]++;
    }
    return right;
}

static bool stress_claim(uint64_t *seed, struct holding *h) {
    uint64_t r = thread_random(seed);
    h->count = (r & 7) == 0 ? 1 + (size_t)(r >> 8) % 200 : 1 + (size_t)(r >> 8) % 20;
    size_t home = (size_t)(r >> 32) % BITMAP_WORDS(STRESS_BITS);
    h->first = (size_t)(r >> 40) % (STRESS_BITS - h->count);
    uint64_t mask;
    switch ((r >> 3) % 4) {
    case 0: return bitmap_claim(stress.words, h->first, h->count);
    case 1: h->first = bitmap_claim_run(stress.words, STRESS_BITS, h->count, home); return h->first != BITMAP_NONE;
    case 2: h->first = bitmap_claim_run_high(stress.words, STRESS_BITS, h->count); return h->first != BITMAP_NONE;
    default:
        h->first = bitmap_claim_some(stress.words, STRESS_BITS, home, 1, &mask);
        if (h->first == BITMAP_NONE) return false;
        h->first = h->first * 64 + (size_t)__builtin_ctzll(mask);
        h->count = 1;
        return true;
    }
}

static void *stress_run(void *context) {
    uint8_t me = (uint8_t)((uintptr_t)context + 1);
    uint64_t seed = me, claims = 0, refusals = 0, wrong = 0;
    struct holding held[STRESS_HELD];
    unsigned count = 0;
    double end = thread_seconds() + STRESS_SECONDS;
    for (unsigned n = 0; n % 256 != 0 || thread_seconds() < end; n++) {
        if (count < STRESS_HELD && thread_random(&seed) % 2 == 0) {
            if (!stress_claim(&seed, &held[count])) {
                refusals++;
                continue;
            }
            wrong += !owner_change(held[count].first, held[count].count, 0, me);
            count++;
            claims++;
        } else if (count > 0) {
            struct holding h = held[thread_random(&seed) % count];
            for (unsigned i = 0; i < count; i++) {
                if (held[i].first == h.first) held[i] = held[--count];
            }
            wrong += !owner_change(h.first, h.count, me, 0);
            wrong += !bitmap_release(stress.words, h.first, h.count);
        }
    }
    while (count > 0) {
        count--;
        wrong += !owner_change(held[count].first, held[count].count, me, 0);
        wrong += !bitmap_release(stress.words, held[count].first, held[count].count);
    }
    atom_add_acqrel_u64(&stress.claims, claims);
    atom_add_acqrel_u64(&stress.refusals, refusals);
    atom_add_acqrel_u64(&stress.wrong, wrong);
    return NULL;
}

static void test_stress(void) {
    struct threads threads = {0};
    for (uintptr_t i = 0; i < STRESS_THREADS; i++) threads_start(&threads, stress_run, (void *)i);
    threads_join(&threads);
    printf("stress: %" PRIu64 " claims, %" PRIu64 " refused\n", stress.claims, stress.refusals);
    CHECK(stress.claims > 1000);
    CHECK(stress.refusals > 0);
    CHECK_EQ(stress.wrong, 0);
    CHECK_EQ(bitmap_count(stress.words, STRESS_BITS), 0);
}

int main(void) {
    static const size_t totals[] = {1, 2, 63, 64, 65, 127, 128, 129, 200, 640, 2048, 2049, 4097, 5000};
    for (size_t i = 0; i < sizeof totals / sizeof totals[0]; i++) test_random(totals[i], 1000 + i, 4000);
    test_best_fit();
    test_rollback();
    test_edges();
    test_stress();
    return check_done();
}

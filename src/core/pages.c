/*
 * pages.c - page bytes in runs, and the busy bits that order calls on the same pages.
 *
 * A range may cross sheets and slots, so every function walks stretches: the part of the range that lies in one sheet. Whole
 * sheets that nobody ever used are passed over: most of a huge reservation. Bytes are atomic because a query reads them while a
 * commit writes them; whole words of eight are written and compared at once.
 *
 * Busy bits. pages_lock takes the bits of a range from the lowest word up, each word's part by one CAS, and holds what it
 * has while it waits for the next. A waiter holds only bits below the one that it waits for, and so does everybody else,
 * so the waiter for the highest bit waits for a thread that waits for nothing: no deadlock. Calls on disjoint ranges share words
 * but never bits, and a failed CAS that was caused by a neighbour is simply repeated.
 *
 * A thread that is gone gives nothing. What it had in a parent is nobody's in the child of a fork (pages_after_fork); where a
 * process that ends has ended its other threads in the middle of what they did, as Windows does before DLLs are told, the one
 * that is left takes the bits over.
 */
#include "core/pages.h"

#include "core/space.h"
#include "os/os.h"

#define GONE_AFTER 32u /* attempts: before that it is not worth asking */

/* The part of a range that lies in one sheet. */
struct stretch {
    struct slot *slot;
    size_t first; /* page within the slot */
    size_t count;
};

static struct stretch stretch_at(struct page first, uint64_t count) {
    size_t within = first.n % PAGES_PER_SLOT;
    uint64_t room = PAGES_PER_SHEET - within % PAGES_PER_SHEET;
    HM_ASSERT(space_slot(page_address(first)));
    struct slot *slot = space_slot_numbered(first.n / PAGES_PER_SLOT);
    return (struct stretch){slot, within, (size_t)(count < room ? count : room)};
}

static inline size_t stretch_sheet(struct stretch s) { return s.first / PAGES_PER_SHEET; }

/* The bytes of its pages. */
static inline uint8_t *stretch_bytes(struct stretch s) {
    return &s.slot->sheet[stretch_sheet(s)].state[s.first % PAGES_PER_SHEET];
}

uint8_t pages_state(struct page page) {
    return atom_load_acq_u8(stretch_bytes(stretch_at(page, 1))); /* acq: pairs with pages_fill */
}

static uint64_t byte_repeated(uint8_t byte) { return (uint64_t)byte * 0x0101010101010101u; }

/* Eight bytes as one word, where their address allows it. The table is 8-byte aligned and only used through atom.h. */
static inline bool bytes_aligned(const uint8_t *bytes) { return (uintptr_t)bytes % 8 == 0; }
static inline uint64_t *bytes_word(uint8_t *bytes) { return (uint64_t *)(void *)bytes; }

static inline __attribute__((always_inline)) void stretch_fill(struct stretch s, uint8_t state) {
    uint64_t eight = byte_repeated(state);
    uint8_t *at = stretch_bytes(s), *end = at + s.count;
    for (; at < end && !bytes_aligned(at); at++) atom_store_rel_u8(at, state); /* rel: pairs with pages_state and pages_run */
    for (; end - at >= 8; at += 8) atom_store_rel_u64(bytes_word(at), eight);  /* rel: the same */
    for (; at < end; at++) atom_store_rel_u8(at, state);                       /* rel: the same */
}

void pages_fill(struct page first, uint64_t count, uint8_t state) {
    while (count > 0) {
        struct stretch s = stretch_at(first, count);
        if (state != PG_NONE) slot_use(s.slot, stretch_sheet(s));
        if (state != PG_NONE || slot_used(s.slot, stretch_sheet(s))) stretch_fill(s, state);
        first.n += s.count;
        count -= s.count;
    }
}

/*
 * How many pages from the stretch's start on have `state` under `mask`. (In line: to hand a stretch over on the stack would take
 * longer than to look at the pages of a small one.)
 */
static inline __attribute__((always_inline)) size_t stretch_run(struct stretch s, uint8_t state, uint8_t mask) {
    uint64_t eight = byte_repeated(state), mask_eight = byte_repeated(mask);
    uint8_t *start = stretch_bytes(s), *at = start, *end = start + s.count;
    for (; at < end && !bytes_aligned(at); at++) {
        if ((atom_load_acq_u8(at) ^ state) & mask) return (size_t)(at - start); /* acq: pairs with stretch_fill */
    }
    for (; end - at >= 8; at += 8) {
        if ((atom_load_acq_u64(bytes_word(at)) ^ eight) & mask_eight) break; /* acq: the same */
    }
    for (; at < end; at++) {
        if ((atom_load_acq_u8(at) ^ state) & mask) break; /* acq: the same */
    }
    return (size_t)(at - start);
}

/* The same past the first sheet, which is `run` pages: apart, so that the others need no registers for it. */
__attribute__((noinline)) static uint64_t rest_run(struct page first, uint64_t run, uint64_t limit, uint8_t state, uint8_t mask) {
    for (uint64_t looked = run; run == looked && run < limit;) {
        struct stretch s = stretch_at((struct page){first.n + run}, limit - run);
        /* A sheet that nobody ever used is all zero. */
        if (slot_used(s.slot, stretch_sheet(s))) {
            run += stretch_run(s, state, mask);
        } else if (!(state & mask)) {
            run += s.count;
        }
        looked += s.count;
    }
    return run;
}

static inline __attribute__((always_inline)) uint64_t run_at(struct page first, uint64_t limit, uint8_t mask, uint8_t *state) {
    struct stretch s = stretch_at(first, limit);
    *state = atom_load_acq_u8(stretch_bytes(s)); /* acq: pairs with pages_fill */
    uint64_t run = stretch_run(s, *state, mask);
    if (run == s.count && run < limit) return rest_run(first, run, limit, *state, mask);
    return run > 0 ? run : 1;
}

uint64_t pages_run_at(struct page first, uint64_t limit, uint8_t mask, uint8_t *state) {
    return run_at(first, limit, mask, state);
}

uint64_t pages_run(struct page first, uint64_t limit, uint8_t mask) {
    uint8_t state;
    return run_at(first, limit, mask, &state);
}

uint64_t pages_count_committed(struct page first, uint64_t count) {
    uint64_t committed = 0;
    for (struct piece at = {0}; pages_next(first, count, &at, PG_STATE_MASK);) {
        if (prot_committed(at.state)) committed += at.count;
    }
    return committed;
}

bool pages_all_committed(struct page first, uint64_t count) {
    for (struct piece at = {0}; pages_next(first, count, &at, PG_STATE_MASK);) {
        if (!prot_committed(at.state)) return false;
    }
    return true;
}

static uint64_t bits_from(size_t first, size_t count) {
    return (count >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << count) - 1) << first;
}

/* Takes the bits of one word, all at once. */
static void busy_take(uint64_t *word, uint64_t bits) {
    uint64_t seen = 0; /* most likely; and what is new should be written before it is read */
    /* acq: pairs with busy_give; the holder before has finished with these pages. */
    for (unsigned attempt = 0; !atom_cas_acqrel_u64(word, &seen, seen | bits);) {
        while (seen & bits && !(attempt >= GONE_AFTER && os_others_ended())) {
            os_yield(attempt++);
            seen = atom_load_rlx_u64(word); /* rlx: the CAS decides */
        }
    }
}

static void busy_give(uint64_t *word, uint64_t bits) {
    /* Whoever has all bits of a word is the only one to write it. rel: pairs with busy_take */
    if (bits == ~(uint64_t)0) return atom_store_rel_u64(word, 0);
    uint64_t seen = bits;                                             /* most likely */
    while (!atom_cas_acqrel_u64(word, &seen, seen & ~bits)) continue; /* rel: pairs with busy_take */
}

/* Applies `change` to the busy bits of the range, word by word from the lowest up. */
static void busy_each(struct page first, uint64_t count, void (*change)(uint64_t *word, uint64_t bits)) {
    while (count > 0) {
        struct stretch s = stretch_at(first, count);
        size_t bit = s.first % 64;
        size_t part = 64 - bit < s.count ? 64 - bit : s.count;
        change(&s.slot->busy[s.first / 64], bits_from(bit, part));
        first.n += part;
        count -= part;
    }
}

void pages_lock(struct page first, uint64_t count) { busy_each(first, count, busy_take); }

void pages_unlock(struct page first, uint64_t count) { busy_each(first, count, busy_give); }

bool pages_try_lock(struct page first, uint64_t count) {
    for (uint64_t done = 0; done < count;) {
        struct stretch s = stretch_at((struct page){first.n + done}, count - done);
        size_t bit = s.first % 64, part = 64 - bit < s.count ? 64 - bit : s.count;
        uint64_t *word = &s.slot->busy[s.first / 64], bits = bits_from(bit, part);
        uint64_t seen = atom_load_rlx_u64(word); /* rlx: the CAS decides; acq as in busy_take */
        while (!(seen & bits) && !atom_cas_acqrel_u64(word, &seen, seen | bits)) continue;
        if (seen & bits) {
            if (done) pages_unlock(first, done);
            return false;
        }
        done += part;
    }
    return true;
}

static inline __attribute__((always_inline)) bool stretch_at_rest(struct stretch s, uint8_t state) {
    uint64_t eight = byte_repeated(state);
    uint8_t *at = stretch_bytes(s), *end = at + s.count;
    for (; end - at >= 8; at += 8) {
        if (atom_load_acq_u64(bytes_word(at)) != eight) return false; /* acq: pairs with stretch_fill */
    }
    for (; at < end; at++) {
        if (atom_load_acq_u8(at) != state) return false; /* acq: the same */
    }
    for (size_t i = s.first, stop = s.first + s.count; i < stop; i = (i | 63) + 1) {
        /* rlx: a look, which says nothing about the next moment. */
        if (atom_load_rlx_u64(&s.slot->busy[i / 64]) & bits_from(i % 64, stop - i)) return false;
    }
    return true;
}

/* The same of a range that crosses sheets: apart, so that the others need no registers for it. */
__attribute__((noinline)) static bool sheets_at_rest(struct page first, uint64_t count, uint8_t state) {
    while (count > 0) {
        struct stretch s = stretch_at(first, count);
        if (!stretch_at_rest(s, state)) return false;
        first.n += s.count;
        count -= s.count;
    }
    return true;
}

bool pages_at_rest(struct granule start, uint64_t count, uint8_t state) {
    struct stretch s = stretch_at(granule_page(start), count);
    return s.count == count ? stretch_at_rest(s, state) : sheets_at_rest(granule_page(start), count, state);
}

/*
 * A page that a thread of the parent was changing: where its byte says that it is committed, it has the access that that says.
 * (Where it has more, as a page that was not committed yet, the next call for it sees to that.) What was held of it goes: whether
 * it still counts nobody knows, so the sum may stay too large by it, but not come to be too small.
 */
static void page_after_fork(struct page page) {
    struct found owner;
    uint8_t state = space_find(page_address(page), &owner) ? pages_state(page) : PG_NONE;
    if (prot_committed(state)) {
        os_protect(page_address(page), PAGE_BYTES, state & PG_STATE_MASK);
    } else if (prot_held(state) && os_decommit(page_address(page), PAGE_BYTES) == ST_OK) {
        pages_fill(page, 1, PG_NONE);
    }
}

/* The first page of a slot that is in use. */
static uint64_t slot_page(const struct slot *slot) {
    size_t n = 0;
    while (n < SLOT_COUNT - 1 && space_slot_numbered(n) != slot) n++;
    return (uint64_t)n * PAGES_PER_SLOT;
}

/* rlx: the child has one thread. (If a handler forks in the middle of that one's own call, this befalls its pages, too.) */
static void slot_after_fork(struct slot *slot) {
    for (size_t sheet = 0; sheet < SHEETS_PER_SLOT; sheet++) {
        if (!slot_used(slot, sheet)) continue;
        for (size_t i = sheet * (PAGES_PER_SHEET / 64); i < (sheet + 1) * (PAGES_PER_SHEET / 64); i++) {
            uint64_t bits = atom_load_rlx_u64(&slot->busy[i]);
            if (bits == 0) continue;
            atom_store_rlx_u64(&slot->busy[i], 0);
            for (uint64_t first = slot_page(slot) + i * 64; bits != 0; bits &= bits - 1) {
                page_after_fork((struct page){first + (uint64_t)__builtin_ctzll(bits)});
            }
        }
    }
}

void pages_after_fork(void) { space_each_slot(slot_after_fork); }

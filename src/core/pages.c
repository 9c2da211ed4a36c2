/*
 * pages.c - page bytes in runs, and the locks that order calls on the same pages.
 *
 * A range may cross sheets and slots, so every function walks stretches: the part of the range that lies in one sheet. Whole
 * sheets that nobody ever used are passed over: most of a huge reservation. Bytes are atomic because a query reads them while a
 * commit writes them; whole words of eight are written and compared at once.
 *
 * Locks. A page has a busy bit, and a sheet of which all pages are wanted can be locked at once, so that who releases a terabyte
 * does not write a bit for each page and does not touch the tables of sheets that nobody used:
 *
 *   SHEET_FREE -> SHEET_LOCKED    all of its pages are one call's, whatever its bits say (they are 0)
 *   SHEET_LOCKED -> SHEET_FREE    by that call
 *   SHEET_FREE -> SHEET_BY_PAGE   by a call that wants some of its pages; for ever: from now on the bits tell
 *
 * So whoever holds pages of a sheet holds them by the sheet's lock or by bits, and the sheet's state, which nobody else changes
 * meanwhile, says which it is. pages_lock goes from the lowest page up, takes each sheet, or each word's part of the bits, by one
 * CAS, and holds what it has while it waits for the next. A waiter holds only pages below those that it waits for, and so does
 * everybody else, so the waiter for the highest waits for a thread that waits for nothing: no deadlock. Calls on disjoint
 * ranges share words but never pages, and a failed CAS that was caused by a neighbour is simply repeated.
 *
 * A thread that is gone gives nothing. What it had in a parent is nobody's in the child of a fork (pages_after_fork); where a
 * process that ends has ended its other threads in the middle of what they did, as Windows does before DLLs are told, the one
 * that is left takes the locks over.
 */
#include "core/pages.h"

#include "core/space.h"
#include "os/os.h"

#define GONE_AFTER 32u /* attempts: before that it is not worth asking */

/* To hand a stretch over on the stack would take longer than to look at the pages of a small one. */
#define IN_LINE inline __attribute__((always_inline))

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

static IN_LINE void stretch_fill(struct stretch s, uint8_t state) {
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

/* How many pages from the stretch's start on have `state` under `mask`. */
static IN_LINE size_t stretch_run(struct stretch s, uint8_t state, uint8_t mask) {
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

static IN_LINE uint64_t run_at(struct page first, uint64_t limit, uint8_t mask, uint8_t *state) {
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

/* ---- Locks -------------------------------------------------------------------------------------------------------- */

static inline uint64_t *lock_word(struct stretch s) { return &s.slot->lock[stretch_sheet(s) / SHEETS_PER_LOCK]; }
static inline unsigned lock_shift(struct stretch s) { return (unsigned)(stretch_sheet(s) % SHEETS_PER_LOCK) * 2; }

static inline unsigned sheet_state(struct stretch s) {
    return atom_load_acq_u64(lock_word(s)) >> lock_shift(s) & 3; /* acq: pairs with sheet_change */
}

/* If the sheet is in one state, puts it in another. Returns in which it was. */
static unsigned sheet_change(struct stretch s, unsigned from, unsigned to) {
    uint64_t *word = lock_word(s), seen = atom_load_rlx_u64(word); /* rlx: the CAS decides */
    unsigned shift = lock_shift(s);
    while ((seen >> shift & 3) == from) {
        /* acq: the holder before has finished with these pages. rel: pairs with that. */
        if (atom_cas_acqrel_u64(word, &seen, seen ^ (uint64_t)(from ^ to) << shift)) return from;
    }
    return seen >> shift & 3;
}

/* Locks the sheet as a whole, if all of it is wanted, or has it locked by pages. False: another has it, and nobody shall wait. */
__attribute__((noinline)) static bool sheet_take(struct stretch s, bool wait, unsigned *state) {
    unsigned wanted = s.count == PAGES_PER_SHEET ? SHEET_LOCKED : SHEET_BY_PAGE;
    for (unsigned attempt = 0; (*state = sheet_state(s)) != SHEET_BY_PAGE; os_yield(attempt++)) {
        *state = wanted;
        if (sheet_change(s, SHEET_FREE, wanted) == SHEET_FREE) return true;
        if (!wait) return false;
        if (attempt >= GONE_AFTER && os_others_ended()) sheet_change(s, SHEET_LOCKED, SHEET_FREE);
    }
    return true;
}

static uint64_t bits_from(size_t first, size_t count) {
    return (count >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << count) - 1) << first;
}

/* The busy bits of a stretch that stand in one word, past those of its first `done` pages. */
struct bits {
    uint64_t *word;
    uint64_t mask;
    size_t count;
};

static inline struct bits bits_at(struct stretch s, size_t done) {
    size_t within = s.first % PAGES_PER_SHEET + done, bit = within % 64, left = s.count - done;
    size_t count = left < 64 - bit ? left : 64 - bit;
    return (struct bits){&s.slot->sheet[stretch_sheet(s)].busy[within / 64], bits_from(bit, count), count};
}

/* All at once. False: another has some, and nobody shall wait. */
static inline bool bits_take(struct bits bits, bool wait) {
    uint64_t seen = 0; /* most likely; and what is new should be written before it is read */
    /* acq: pairs with bits_give; the holder before has finished with these pages. */
    for (unsigned attempt = 0; !atom_cas_acqrel_u64(bits.word, &seen, seen | bits.mask);) {
        while (seen & bits.mask && !(attempt >= GONE_AFTER && os_others_ended())) {
            if (!wait) return false;
            os_yield(attempt++);
            seen = atom_load_rlx_u64(bits.word); /* rlx: the CAS decides */
        }
    }
    return true;
}

static inline void bits_give(struct bits bits) {
    /* Whoever has all bits of a word is the only one to write it. rel: pairs with bits_take */
    if (bits.mask == ~(uint64_t)0) return atom_store_rel_u64(bits.word, 0);
    uint64_t seen = bits.mask;                                                  /* most likely */
    while (!atom_cas_acqrel_u64(bits.word, &seen, seen & ~bits.mask)) continue; /* rel: pairs with bits_take */
}

static IN_LINE void stretch_give(struct stretch s, unsigned state) {
    if (state == SHEET_LOCKED) {
        sheet_change(s, SHEET_LOCKED, SHEET_FREE);
        return;
    }
    for (size_t done = 0; done < s.count;) {
        struct bits bits = bits_at(s, done);
        bits_give(bits);
        done += bits.count;
    }
}

static IN_LINE bool stretch_take(struct stretch s, bool wait) {
    unsigned state = sheet_state(s); /* most sheets are locked by pages before long */
    if (state != SHEET_BY_PAGE && !sheet_take(s, wait, &state)) return false;
    for (size_t done = 0; state == SHEET_BY_PAGE && done < s.count;) {
        struct bits bits = bits_at(s, done);
        if (!bits_take(bits, wait)) {
            stretch_give((struct stretch){s.slot, s.first, done}, state);
            return false;
        }
        done += bits.count;
    }
    return true;
}

static IN_LINE bool pages_take(struct page first, uint64_t count, bool wait) {
    for (uint64_t done = 0; done < count;) {
        struct stretch s = stretch_at((struct page){first.n + done}, count - done);
        if (!stretch_take(s, wait)) {
            pages_unlock(first, done);
            return false;
        }
        done += s.count;
    }
    return true;
}

void pages_lock(struct page first, uint64_t count) { pages_take(first, count, true); }

bool pages_try_lock(struct page first, uint64_t count) { return pages_take(first, count, false); }

void pages_unlock(struct page first, uint64_t count) {
    while (count > 0) {
        struct stretch s = stretch_at(first, count);
        stretch_give(s, sheet_state(s));
        first.n += s.count;
        count -= s.count;
    }
}

/* Of the part of a span that is less than a sheet: its bits tell, since nobody who locks the whole sheet does anything to it. */
static IN_LINE bool stretch_at_rest(struct stretch s, uint8_t state) {
    uint64_t eight = byte_repeated(state);
    uint8_t *at = stretch_bytes(s), *end = at + s.count;
    for (; end - at >= 8; at += 8) {
        if (atom_load_acq_u64(bytes_word(at)) != eight) return false; /* acq: pairs with stretch_fill */
    }
    for (; at < end; at++) {
        if (atom_load_acq_u8(at) != state) return false; /* acq: the same */
    }
    for (size_t done = 0; done < s.count;) {
        struct bits bits = bits_at(s, done);
        if (atom_load_rlx_u64(bits.word) & bits.mask) return false; /* rlx: a look, which says nothing about the next moment */
        done += bits.count;
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
 * Pages that a thread of the parent was changing, all of one span: where their bytes say that they are committed, they have the
 * access that that says. (Where they have more, as pages that were not committed yet, the next call for them sees to that.) What
 * was held of them goes: whether it still counts nobody knows, so the sum may stay too large by it, but not come to be too small.
 */
static void changing_after_fork(struct page first, uint64_t count) {
    struct found owner;
    if (!space_find(page_address(first), &owner)) return;
    for (struct piece at = {0}; pages_next(first, count, &at, 0xff);) {
        if (prot_committed(at.state)) {
            os_protect(piece_address(&at), piece_bytes(&at), at.state & PG_STATE_MASK);
        } else if (prot_held(at.state) && os_decommit(piece_address(&at), piece_bytes(&at)) == ST_OK) {
            pages_fill(at.first, at.count, PG_NONE);
        }
    }
}

/* The first page of a slot that is in use. */
static uint64_t slot_page(const struct slot *slot) {
    size_t n = 0;
    while (n < SLOT_COUNT - 1 && space_slot_numbered(n) != slot) n++;
    return (uint64_t)n * PAGES_PER_SLOT;
}

/* rlx: the child has one thread. (If a handler forks in the middle of that one's own call, this befalls its pages, too.) */
static void bits_after_fork(struct bits bits, struct slot *slot, size_t first) {
    uint64_t seen = atom_load_rlx_u64(bits.word);
    if (seen == 0) return;
    atom_store_rlx_u64(bits.word, 0);
    for (uint64_t page = slot_page(slot) + first; seen != 0; seen &= seen - 1) {
        changing_after_fork((struct page){page + (uint64_t)__builtin_ctzll(seen)}, 1);
    }
}

static void slot_after_fork(struct slot *slot) {
    for (size_t sheet = 0; sheet < SHEETS_PER_SLOT; sheet++) {
        struct stretch s = {slot, sheet * PAGES_PER_SHEET, PAGES_PER_SHEET};
        unsigned was = sheet_change(s, SHEET_LOCKED, SHEET_FREE);
        if (was == SHEET_LOCKED && slot_used(slot, sheet)) changing_after_fork((struct page){slot_page(slot) + s.first}, s.count);
        for (size_t done = 0; was == SHEET_BY_PAGE && done < s.count; done += 64) {
            bits_after_fork(bits_at(s, done), slot, s.first + done);
        }
    }
}

void pages_after_fork(void) { space_each_slot(slot_after_fork); }

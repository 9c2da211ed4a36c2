/*
 * held.c - held pages: their bytes, their sum, and the notes by which they are found again.
 *
 * States of a page, by its byte: committed -> PG_HELD (held_keep) -> committed (zeroed in between), or PG_NONE (given back);
 * PG_NONE -> PG_HELD | PG_CLEAN (ahead.c) -> the same two.
 *
 * A note names a range in which pages were held and when. It is a hint for finding them: the pages' bytes are the truth, so a
 * note may be out of date, and is then dropped. Giving back takes the pages' busy bits without waiting, and so never meets a
 * call at work on them.
 *
 * Invariants
 *  1. Every held page lies in a noted range, or in a run of keep.c's.
 *  2. held_sum is the bytes of all held pages.
 *  3. Pages change from and to held only with their busy bits taken.
 */
#include "vm/held.h"

#include "core/budget.h"
#include "core/keeper.h"
#include "core/zero.h"
#include "os/os.h"
#include "vm/keep.h"

#define NOTES 512u
#define NOTE_TRIES 4u
#define GIVERS 4u
#define NOTE_PAGES ((uint64_t)1024)
#define STAMP_MS 16u
#define STAMP_MASK (((uint64_t)1 << 18) - 1)
#define OFTEN_MOST 128u
#define BOUND_MOST ((uint64_t)256 << 20)
#define BOUND_SHARE 32u /* of the machine's memory */
#define LOOK_MS 250u
#define LOAD_HIGH 90u   /* percent: nothing is held then */

/* A note as one word: first page:35, count_pages - 1:10, often:1, stamp:18. 0: none (no note is of page 0). */
static uint64_t notes[NOTES];
static uint64_t often_count;
static uint64_t held_sum;
static uint64_t bound_bytes;
static uint64_t looked_ms;
static uint32_t from_end; /* where zeroing began last, about */
static uint32_t refused; /* the machine is short of memory */

static uint64_t stamp_now(void) { return os_clock_ms() / STAMP_MS & STAMP_MASK; }
static struct page note_first(uint64_t note) { return (struct page){note & (((uint64_t)1 << 35) - 1)}; }
static uint64_t note_count(uint64_t note) { return (note >> 35 & 1023) + 1; }
static bool note_often(uint64_t note) { return note >> 45 & 1; }
static uint64_t note_age_ms(uint64_t note) { return ((stamp_now() - (note >> 46)) & STAMP_MASK) * STAMP_MS; }
static uint64_t note_pack(struct page first, uint64_t count, bool often) {
    return first.n | (count - 1) << 35 | (uint64_t)often << 45 | stamp_now() << 46;
}

static bool pass(void);

/* ---- The sum and its bound ---------------------------------------------------------------------------------------- */

void held_bound_set(uint64_t bytes) { atom_tighten_u64(&bound_bytes, bytes); }

uint64_t held_bound(void) {
    uint64_t bytes = atom_load_rlx_u64(&bound_bytes); /* rlx: whoever finds none sets the same one */
    if (bytes) return bytes;
    struct os_memory memory;
    held_bound_set(os_environment_bytes("HOSTMEM_HELD"));
    uint64_t share = os_memory_load(&memory) == ST_OK ? memory.total_bytes / BOUND_SHARE : BOUND_MOST;
    /* What was asked for may be more than the default, so that one counts only where nothing was. */
    bytes = share < BOUND_MOST ? share : BOUND_MOST;
    uint64_t none = 0;
    return atom_cas_acqrel_u64(&bound_bytes, &none, bytes ? bytes : 1) ? bytes : none;
}

/*
 * What is held is in no budget, for nobody has it; but it is memory, so with what is committed it stays below where the
 * process's limits begin to press. What is committed later may push past that: then the watching thread gives it back, and a
 * commit that is refused.
 */
static uint64_t room_below_limits(void) {
    struct budget_lines lines;
    budget_lines_get(&budget_process, &lines);
    uint64_t brink = budget_brink(&lines, BUDGET_COMMIT), committed = budget_held(&budget_process, BUDGET_COMMIT);
    return brink == 0 ? UINT64_MAX : committed < brink ? brink - committed : 0;
}

bool held_charge(uint64_t bytes) {
    uint64_t room = room_below_limits(), bound = held_bound(), most = room < bound ? room : bound;
    uint64_t seen = atom_load_rlx_u64(&held_sum); /* rlx: the CAS decides */
    do {
        if (bytes > most || seen > most - bytes) return false;
    } while (!atom_cas_acqrel_u64(&held_sum, &seen, seen + bytes));
    if (seen == 0) keeper_wake(pass);
    return true;
}

void held_uncharge(uint64_t bytes) {
    if (bytes) HM_CHECK(atom_add_acqrel_u64(&held_sum, (uint64_t)0 - bytes) >= bytes);
}

uint64_t held_bytes(void) { return atom_load_rlx_u64(&held_sum); } /* rlx: a figure */

static uint64_t at_work[GIVERS]; /* notes whose pages are locked, or about to be, by who gives them back */

/* In a child made by fork nobody is left who would unlock them. */
static void forked(void) {
    for (unsigned i = 0; i < GIVERS; i++) {
        uint64_t note = atom_load_rlx_u64(&at_work[i]); /* rlx: the child has one thread */
        atom_store_rlx_u64(&at_work[i], 0);
        if (note) pages_unlock(note_first(note), note_count(note));
    }
}

static uint64_t notes_give_back(uint64_t older_than_ms);

/* Gives back what is too old. The keeper's job, who has no more than a stack: it only makes system calls. */
static bool pass(void) {
    keeper_on_fork(forked);
    notes_give_back(HELD_MS);
    keep_give_back(HELD_MS);
    return held_bytes() != 0;
}

/* Now and then looks how the machine is. */
static void load_look(void) {
    uint64_t now = os_clock_ms(), seen = atom_load_rlx_u64(&looked_ms); /* rlx: the CAS decides */
    if (now - seen < LOOK_MS || !atom_cas_acqrel_u64(&looked_ms, &seen, now)) return;
    struct os_memory memory;
    bool high = os_memory_load(&memory) == ST_OK && memory.load_percent >= LOAD_HIGH;
    atom_store_rlx_u32(&refused, high); /* rlx: advice */
    if (high) held_give_back(0);
}

bool held_welcome(bool much) {
    if (!keeper_runs()) {
        if (much) {
            keeper_wanted();
        } else {
            keeper_missed();
        }
    }
    if (!keeper_runs()) return false;
    load_look();
    return !atom_load_rlx_u32(&refused); /* rlx: advice */
}

/* ---- Notes -------------------------------------------------------------------------------------------------------- */

bool held_remember(struct page first, uint64_t count, bool *often) {
    *often = false;
    uint64_t hash = first.n * 0x9e3779b97f4a7c15u >> 40;
    for (unsigned i = 0; i < NOTE_TRIES; i++) {
        uint64_t *note = &notes[(hash + i) % NOTES];
        uint64_t seen = atom_load_acq_u64(note); /* acq: pairs with the CAS */
        bool same = seen && note_first(seen).n == first.n && note_count(seen) == count;
        if (seen && !same) continue;
        bool first_often = same && !note_often(seen) && atom_load_rlx_u64(&often_count) < OFTEN_MOST; /* rlx: about so many */
        if (!atom_cas_acqrel_u64(note, &seen, note_pack(first, count, first_often || (same && note_often(seen))))) continue;
        if (first_often) atom_add_acqrel_u64(&often_count, 1);
        *often = first_often;
        return true;
    }
    return false;
}

void held_remember_all(const struct range *r) {
    for (uint64_t done = 0; done < r->count; done += NOTE_PAGES) {
        uint64_t left = r->count - done;
        struct range part = {.first = {r->first.n + done}, .count = left < NOTE_PAGES ? left : NOTE_PAGES};
        bool often;
        if (held_tally(part.first, part.count).held && !held_remember(part.first, part.count, &often)) held_drop(&part);
    }
}

/* Unless it is another by now. */
static void note_drop(uint64_t *place, uint64_t note) {
    bool often = note_often(note);
    if (atom_cas_acqrel_u64(place, &note, 0) && often) atom_add_acqrel_u64(&often_count, (uint64_t)-1);
}

/* What is noted of a range that was held once would have it given back too soon when it is held again. */
void held_forget(const struct range *r) {
    for (unsigned i = 0; i < NOTES; i++) {
        uint64_t note = atom_load_acq_u64(&notes[i]); /* acq: pairs with the CAS in held_remember */
        if (!note || note_first(note).n - r->first.n >= r->count) continue;
        if (note_first(note).n + note_count(note) > r->first.n + r->count) continue;
        note_drop(&notes[i], note);
    }
}

/* Gives back what is held under a note. A range that was prepared for coming and going stays noted while it is committed. */
static uint64_t note_give_back(uint64_t *place, uint64_t note) {
    struct range r = {.first = note_first(note), .count = note_count(note)};
    if (!pages_try_lock(r.first, r.count)) return 0;
    uint64_t bytes = 0;
    if (atom_load_acq_u64(place) == note) { /* acq: as above; without it the same range may have been noted anew */
        struct tally t = held_tally(r.first, r.count);
        bool all = held_drop(&r);
        struct tally left = held_tally(r.first, r.count);
        bytes = (t.held - left.held) << PAGE_SHIFT;
        if (all && !(note_often(note) && t.committed)) note_drop(place, note);
    }
    pages_unlock(r.first, r.count);
    return bytes;
}

/* NULL: many are giving back already. */
static uint64_t *work_begin(uint64_t note) {
    for (unsigned i = 0; i < GIVERS; i++) {
        uint64_t nobody = 0;
        if (atom_cas_acqrel_u64(&at_work[i], &nobody, note)) return &at_work[i]; /* rel: before the lock, for a fork in between */
    }
    return NULL;
}

static uint64_t notes_give_back(uint64_t older_than_ms) {
    uint64_t bytes = 0;
    for (unsigned i = 0; i < NOTES; i++) {
        uint64_t note = atom_load_acq_u64(&notes[i]); /* acq: pairs with the CAS in held_remember */
        if (!note || note_age_ms(note) < older_than_ms) continue;
        uint64_t *work = work_begin(note);
        if (!work) break;
        bytes += note_give_back(&notes[i], note);
        atom_store_rel_u64(work, 0); /* rel: after the pages are unlocked */
    }
    return bytes;
}

uint64_t held_give_back(uint64_t older_than_ms) { return notes_give_back(older_than_ms) + keep_give_back(older_than_ms); }

/* ---- Pages -------------------------------------------------------------------------------------------------------- */

struct tally held_tally(struct page first, uint64_t count) {
    struct tally t = {0, 0};
    for (uint64_t done = 0; done < count;) {
        struct page p = {first.n + done};
        uint8_t state = pages_state(p);
        uint64_t run = pages_run(p, count - done, PG_BASE_MASK | PG_HELD);
        if (prot_committed(state)) t.committed += run;
        if (prot_held(state)) t.held += run;
        done += run;
    }
    return t;
}

bool held_hold(const struct range *r, bool often) {
    uint8_t all = pages_state(r->first);
    if (prot_committed(all) && !(all & PG_GUARD) && pages_run(r->first, r->count, 0xff) == r->count) {
        if (os_hold(range_address(r), range_bytes(r), often) != ST_OK) return false;
        pages_fill(r->first, r->count, PG_HELD);
        return true;
    }
    /* On Windows only committed pages have an access to take. What is committed in one piece is held by one call. */
    for (uint64_t done = 0; done < r->count;) {
        struct page p = {r->first.n + done};
        uint64_t run = 0;
        for (uint8_t state; done + run < r->count && prot_committed(state = pages_state((struct page){p.n + run}));) {
            if (state & PG_GUARD) return false; /* the guard would have to go first */
            run += pages_run((struct page){p.n + run}, r->count - done - run, PG_STATE_MASK);
        }
        if (run && os_hold(page_address(p), (size_t)run << PAGE_SHIFT, often) != ST_OK) return false;
        done += run ? run : pages_run(p, r->count - done, 0xff);
    }
    for (uint64_t done = 0; done < r->count;) {
        struct page p = {r->first.n + done};
        uint64_t run = pages_run(p, r->count - done, 0xff);
        if (prot_committed(pages_state(p))) pages_fill(p, run, PG_HELD);
        done += run;
    }
    return true;
}

/* As many notes as it takes. Those of a range that is not held after all do no harm. */
static bool remember_parts(const struct range *r, bool *often) {
    for (uint64_t done = 0; done < r->count; done += NOTE_PAGES) {
        uint64_t left = r->count - done;
        if (!held_remember((struct page){r->first.n + done}, left < NOTE_PAGES ? left : NOTE_PAGES, often)) return false;
    }
    return true;
}

bool held_keep(const struct range *r, const struct tally *t) {
    uint64_t bytes = t->committed << PAGE_SHIFT;
    bool often = false;
    if (r->owner.span.flags & ~(unsigned)SPAN_SYSTEM || !held_welcome(false)) return false;
    if (!held_charge(bytes)) return false;
    if (remember_parts(r, &often) && held_hold(r, often && r->count <= NOTE_PAGES)) return true;
    held_uncharge(bytes);
    return false;
}

bool held_drop(const struct range *r) {
    bool all = true;
    for (uint64_t done = 0; done < r->count;) {
        struct page p = {r->first.n + done};
        uint64_t run = pages_run(p, r->count - done, PG_BASE_MASK | PG_HELD);
        if (prot_held(pages_state(p))) {
            if (os_decommit(page_address(p), (size_t)run << PAGE_SHIFT) == ST_OK) {
                pages_fill(p, run, PG_NONE);
                held_uncharge(run << PAGE_SHIFT);
            } else {
                all = false;
            }
        }
        done += run;
    }
    return all;
}

bool held_before_commit(const struct range *r, const struct tally *t, uint8_t state) {
    /* Who commits much at once will hardly touch all of it soon, so that zeroing it now would be for nothing. */
    bool zeroed = prot_writable(state) && r->count <= NOTE_PAGES;
    return t->held == 0 || zeroed || held_drop(r);
}

void held_after_commit(const struct range *r, const struct tally *t) {
    if (t->held == 0) return;
    bool other_end = !atom_load_rlx_u32(&from_end); /* rlx, and below: advice */
    atom_store_rlx_u32(&from_end, other_end);
    uint64_t held = 0;
    for (uint64_t done = 0; done < r->count;) {
        struct page p = {r->first.n + done};
        uint8_t state = pages_state(p);
        uint64_t run = pages_run(p, r->count - done, 0xff);
        if (prot_held(state)) {
            held += run;
            if (!(state & PG_CLEAN)) zero_used((void *)page_address(p), (size_t)run << PAGE_SHIFT, other_end);
        }
        done += run;
    }
    held_uncharge(held << PAGE_SHIFT);
}

/*
 * held_notes.c - where pages are held and how much in all: the notes by which they are found again, giving back by those, the sum
 * and its bound.
 *
 * A note names a range in which pages were held and when. It is a hint for finding them: the pages' bytes are the truth, so a
 * note may be out of date, and is then dropped. Giving back locks the pages without waiting, and so never meets a
 * call at work on them.
 */
#include "vm/held.h"

#include "core/budget.h"
#include "core/keeper.h"
#include "core/settings.h"
#include "os/os.h"
#include "vm/keep.h"

#define NOTES 512u
#define NOTE_TRIES 4u
#define NOTE_PAGES ((uint64_t)1024)
#define OFTEN_MOST 128u
#define BOUND_MOST ((uint64_t)256 << 20)
#define BOUND_SHARE 32u /* of the machine's memory */
#define LOOK_MS 250u
#define LOAD_HIGH 90u /* percent: nothing is held then */

/* ---- Notes -------------------------------------------------------------------------------------------------------- */

/* A note as one word: first page:35, count_pages - 1:10, often:1, stamp:18. 0: none (no note is of page 0). */
static uint64_t notes[NOTES];
static uint64_t often_count;
#define NOTE_STAMP 46

static struct page note_first(uint64_t note) { return (struct page){note & (((uint64_t)1 << 35) - 1)}; }
static uint64_t note_count(uint64_t note) { return (note >> 35 & 1023) + 1; }
static bool note_often(uint64_t note) { return note >> 45 & 1; }
static uint64_t note_age_ms(uint64_t note) { return held_age_ms(note, NOTE_STAMP); }
static uint64_t note_pack(struct page first, uint64_t count, bool often) {
    return first.n | (count - 1) << 35 | (uint64_t)often << 45 | held_stamp(NOTE_STAMP);
}

static bool note_put(struct page first, uint64_t count, bool *often) {
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

/* The part of a range, from `done` on, that one note is for. */
static struct range note_part(const struct range *r, uint64_t done) {
    uint64_t left = r->count - done;
    return (struct range){.first = {r->first.n + done}, .count = left < NOTE_PAGES ? left : NOTE_PAGES};
}

/* Notes of a range that is not held after all do no harm. */
bool held_remember(const struct range *r, bool *often) {
    for (uint64_t done = 0; done < r->count; done += NOTE_PAGES) {
        struct range part = note_part(r, done);
        if (!note_put(part.first, part.count, often)) return false;
    }
    if (r->count > NOTE_PAGES) *often = false;
    return true;
}

void held_remember_all(const struct range *r) {
    for (uint64_t done = 0; done < r->count; done += NOTE_PAGES) {
        struct range part = note_part(r, done);
        bool often;
        if (held_count(part.first, part.count).held && !note_put(part.first, part.count, &often)) held_drop(&part);
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
        uint64_t note = atom_load_acq_u64(&notes[i]); /* acq: pairs with the CAS in note_put */
        if (!note || note_first(note).n - r->first.n >= r->count) continue;
        if (note_first(note).n + note_count(note) > r->first.n + r->count) continue;
        note_drop(&notes[i], note);
    }
}

/* ---- Giving back -------------------------------------------------------------------------------------------------- */

/* Gives back what is held under a note. A range that was prepared for coming and going stays noted while it is committed. */
static uint64_t note_give_back(uint64_t *place, uint64_t note) {
    struct range r = {.first = note_first(note), .count = note_count(note)};
    if (!pages_try_lock(r.first, r.count)) return 0;
    uint64_t bytes = 0;
    if (atom_load_acq_u64(place) == note) { /* acq: as above; without it the same range may have been noted anew */
        struct held_counts counts = held_count(r.first, r.count);
        bool all = held_drop(&r);
        struct held_counts left = held_count(r.first, r.count);
        bytes = (counts.held - left.held) << PAGE_SHIFT;
        if (all && !(note_often(note) && counts.committed)) note_drop(place, note);
    }
    pages_unlock(r.first, r.count);
    return bytes;
}

static uint64_t notes_give_back(uint64_t older_than_ms) {
    uint64_t bytes = 0;
    for (unsigned i = 0; i < NOTES; i++) {
        uint64_t note = atom_load_acq_u64(&notes[i]); /* acq: pairs with the CAS in note_put */
        if (!note || note_age_ms(note) < older_than_ms) continue;
        bytes += note_give_back(&notes[i], note);
    }
    return bytes;
}

uint64_t held_give_back(uint64_t older_than_ms) { return notes_give_back(older_than_ms) + keep_give_back(older_than_ms); }

/* Gives back what is too old. The keeper's job, who has no more than a stack: it only makes system calls. */
static bool pass(void) {
    notes_give_back(HELD_MS);
    keep_give_back(HELD_MS);
    return held_bytes() != 0;
}

/* ---- The sum and its bound ---------------------------------------------------------------------------------------- */

static uint64_t held_sum;
static struct setting_bound bound_bytes;

void held_bound_set(uint64_t bytes) { atom_tighten_u64(&bound_bytes.value, bytes); }

uint64_t held_bound(void) {
    uint64_t bytes = setting_bound(&bound_bytes, "HOSTMEM_HELD");
    if (bytes) return bytes;
    struct os_memory memory; /* whoever finds none sets the same one */
    uint64_t share = os_memory_load(&memory) == ST_OK ? memory.total_bytes / BOUND_SHARE : BOUND_MOST;
    /* What was asked for may be more than the default, so that one counts only where nothing was. */
    bytes = share < BOUND_MOST ? share : BOUND_MOST;
    uint64_t none = 0;
    return atom_cas_acqrel_u64(&bound_bytes.value, &none, bytes ? bytes : 1) ? bytes : none;
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

/* ---- Is it a time to hold? ---------------------------------------------------------------------------------------- */

static uint64_t looked_ms;
static uint32_t refused; /* the machine is short of memory */

/* Now and then looks how the machine is. */
static void load_look(void) {
    uint64_t now = os_clock_ms(), seen = atom_load_rlx_u64(&looked_ms); /* rlx: the CAS decides */
    if (now - seen < LOOK_MS || !atom_cas_acqrel_u64(&looked_ms, &seen, now)) return;
    struct os_memory memory;
    bool high = os_memory_load(&memory) == ST_OK && !memory.rough && memory.load_percent >= LOAD_HIGH;
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

/*
 * keep.c - the table of kept runs.
 *
 * A kept run: its granules stay taken in the region's bitmap, their heads written, its span word is 0, its pages are held or not
 * committed. A run is in the table once; whoever takes its word out of the table owns it. Notes of held.c may name pages in
 * it, so what changes its pages locks them, without waiting.
 */
#include "vm/keep.h"

#include "core/region.h"
#include "os/os.h"

#define KEPT_MOST 32u
#define KEPT_YOUNG_MS 128u
#define KEPT_USED_PART 16u

/* A run as one word: first granule:31, granules - 1:16, stamp:17. 0: none (no region starts at 0). */
static uint64_t kept[KEPT_MOST];
#define KEPT_STAMP 47

static struct granule kept_first(uint64_t word) { return (struct granule){(uint32_t)(word & 0x7fffffff)}; }
static uint64_t kept_pages(uint64_t word) { return ((word >> 31 & 0xffff) + 1) * PAGES_PER_GRANULE; }
static uint64_t kept_age_ms(uint64_t word) { return held_age_ms(word, KEPT_STAMP); }
static uint64_t kept_pack(struct granule first, uint64_t count_pages) {
    return first.n | (count_pages / PAGES_PER_GRANULE - 1) << 31 | held_stamp(KEPT_STAMP);
}

static struct range kept_range(uint64_t word) {
    return (struct range){.first = granule_page(kept_first(word)), .count = kept_pages(word)};
}

static bool kept_put(uint64_t word) {
    for (unsigned i = 0; i < KEPT_MOST; i++) {
        uint64_t none = 0;
        /* rel: pairs with the loads below; the pages' bytes are then visible. rlx: a look, the CAS decides. */
        if (!atom_load_rlx_u64(&kept[i]) && atom_cas_acqrel_u64(&kept[i], &none, word)) return true;
    }
    return false;
}

/*
 * The caller owns the run and has its pages locked: gives it back to the system and the region. 0: the system refused, being out
 * of mappings; then the run is kept on, and if there is no room for it any more it is lost: nobody can have it while its
 * content is there.
 */
static uint64_t run_give_back(const struct range *r) {
    struct held_counts counts = held_count(r->first, r->count);
    struct granule first = granule_of(range_address(r));
    bool gone = os_decommit(range_address(r), range_bytes(r)) == ST_OK;
    if (gone) {
        pages_fill(r->first, r->count, PG_NONE);
        held_uncharge(counts.held << PAGE_SHIFT);
    }
    range_unlock(r);
    if (gone) {
        region_release(&(struct run){first, r->count, 0});
    } else {
        kept_put(kept_pack(first, r->count));
    }
    return gone ? counts.held << PAGE_SHIFT : 0;
}

/* Takes the word out of the table, and the run's pages. */
static bool kept_claim(uint64_t *place, uint64_t word) {
    struct range r = kept_range(word);
    if (!pages_try_lock(r.first, r.count)) return false;
    if (atom_cas_acqrel_u64(place, &word, 0)) return true; /* acq: pairs with kept_put; one winner */
    range_unlock(&r);
    return false;
}

/*
 * Gives back the run that has been kept longest, in the favour of one of that many pages. It is not for one that is no longer
 * and comes right after it: of what a program releases in a row the first is as good as the last. False: there was none.
 */
static bool give_back_oldest(uint64_t count_pages) {
    uint64_t *oldest = NULL, word = 0;
    for (unsigned i = 0; i < KEPT_MOST; i++) {
        uint64_t seen = atom_load_acq_u64(&kept[i]); /* acq: pairs with kept_put */
        if (!seen || (kept_pages(seen) >= count_pages && kept_age_ms(seen) < KEPT_YOUNG_MS)) continue;
        if (!oldest || kept_age_ms(seen) > kept_age_ms(word)) oldest = &kept[i], word = seen;
    }
    if (!oldest || !kept_claim(oldest, word)) return false;
    struct range r = kept_range(word);
    return run_give_back(&r) != 0;
}

uint64_t keep_give_back(uint64_t older_than_ms) {
    uint64_t bytes = 0;
    for (unsigned i = 0; i < KEPT_MOST; i++) {
        uint64_t word = atom_load_acq_u64(&kept[i]); /* acq: pairs with kept_put */
        if (!word || kept_age_ms(word) < older_than_ms || !kept_claim(&kept[i], word)) continue;
        struct range r = kept_range(word);
        bytes += run_give_back(&r);
    }
    return bytes;
}

/* Whether about half of a long range has memory behind it, as far as a quick look at two places tells. */
static bool much_used(const struct range *r) {
    size_t sample = 16 * PAGE_BYTES, middle = align_down(range_bytes(r) / 2, PAGE_BYTES);
    return os_touched(range_address(r), sample) + os_touched(range_address(r) + middle, sample) >= 16;
}

static bool kept_full(void) {
    for (unsigned i = 0; i < KEPT_MOST; i++) {
        if (!atom_load_rlx_u64(&kept[i])) return false; /* rlx: a look, kept_put decides */
    }
    return true;
}

/* Charges what is to be kept, in the place of what has been kept or held longer, but not of more than it is. */
static bool room_make(uint64_t count_pages, uint64_t bytes) {
    if (kept_full() && !give_back_oldest(count_pages)) return false;
    while (!held_charge(bytes)) {
        if (give_back_oldest(count_pages) || held_give_back(HELD_MS / 2)) continue;
        if (held_bytes() > bytes || !held_give_back(0)) return false;
    }
    return true;
}

bool keep_prepare(const struct range *r, const struct held_counts *counts) {
    uint64_t bytes = counts->committed << PAGE_SHIFT;
    if (r->owner.span.flags || !keep_is_for(r->count)) return false;
    if (counts->committed + counts->held == 0 || bytes > held_bound() || !held_welcome(false)) return false;
    /* What was hardly used is had from the system sooner than its pages are looked through. */
    if (counts->committed == r->count && !much_used(r)) return false;
    if (!room_make(r->count, bytes)) return false;
    if (!held_hold(r, false)) {
        held_uncharge(bytes);
        return false;
    }
    held_forget(r);
    return true;
}

void keep_store(struct granule first, uint64_t count_pages) {
    uint64_t word = kept_pack(first, count_pages);
    if (kept_put(word) || (give_back_oldest(count_pages) && kept_put(word))) return;
    struct range r = kept_range(word);
    pages_lock(r.first, r.count); /* the run is ours: only somebody who gives back by a note can be here */
    run_give_back(&r);
}

/*
 * With the run's pages locked: commits all of it, zeroed. If its last owner has hardly used it, looking through its pages has
 * cost more than new ones would have: it begins anew without any, and then its release sees how much this owner has used.
 */
static bool run_commit(const struct range *r) {
    struct held_counts counts = held_count(r->first, r->count);
    if (os_commit(range_address(r), range_bytes(r), PG_READWRITE) != ST_OK) {
        range_restore(r);
        return false;
    }
    if (held_after_commit(r, &counts) < r->count / KEPT_USED_PART) os_discard(range_address(r), range_bytes(r));
    pages_fill(r->first, r->count, PG_READWRITE);
    return true;
}

bool keep_take(uint64_t count_pages, bool commit, struct granule *first) {
    for (unsigned i = 0; i < KEPT_MOST; i++) {
        uint64_t word = atom_load_acq_u64(&kept[i]); /* acq: pairs with kept_put */
        if (!word || kept_pages(word) != count_pages || !kept_claim(&kept[i], word)) continue;
        struct range r = kept_range(word);
        if (commit && !run_commit(&r)) {
            run_give_back(&r);
            return false;
        }
        if (!commit) held_remember_all(&r);
        range_unlock(&r);
        *first = kept_first(word);
        return true;
    }
    return false;
}

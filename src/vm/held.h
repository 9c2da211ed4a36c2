/*
 * held.h - memory that the system still backs although nobody has it committed. Layer: vm.
 *
 * Getting a page from the system costs a fault and a zeroing; a program that decommits a page and commits it again soon need not
 * pay that twice. So a decommit takes access away and keeps the content, which the next commit zeroes where it is (but not much
 * at once), and a growing reservation gets its memory in large pieces before it commits them (ahead.h). A page so held is
 * reserved for every call and every access: it faults, it is not counted as committed, and reads as zero when it is. Whole
 * allocations that were released are held too (keep.h).
 *
 * What is held in all is bounded, and goes back to the system when it has not been asked for in HELD_MS.
 */
#ifndef HM_HELD_H
#define HM_HELD_H

#include "os/os.h"
#include "vm/range.h"

#define HELD_MS 1000u

/* Since when something is held, in the bits of a word from `shift` up: the clock in steps, as much of it as there is room for. */
#define HELD_STEP_MS 16u
static inline uint64_t held_stamp(unsigned shift) { return os_clock_ms() / HELD_STEP_MS << shift; }
static inline uint64_t held_age_ms(uint64_t word, unsigned shift) {
    return ((os_clock_ms() / HELD_STEP_MS - (word >> shift)) << shift >> shift) * HELD_STEP_MS;
}

/* ---- held.c: the pages ---- */

/* How many pages of a range are committed, and how many held. */
struct held_counts {
    uint64_t committed;
    uint64_t held;
};
struct held_counts held_count(struct page first, uint64_t count);

/*
 * With the range locked: takes access to its committed pages away and holds them. False: that cannot be done or is not wanted;
 * the range may have lost access, so decommit it in the ordinary way.
 */
bool held_keep(const struct range *r, const struct held_counts *counts);

/* The same without the bounds of a decommit, for pages that are counted already. */
bool held_hold(const struct range *r, bool often);

/* With the range locked, before os_commit with `state`: drops what is held in it if it cannot or should not be zeroed then. */
bool held_before_commit(const struct range *r, const struct held_counts *counts, uint8_t state);
/*
 * With the range locked, after os_commit and before its bytes say so: zeroes what is held in it. Returns how many of the pages
 * had anything in them.
 */
uint64_t held_after_commit(const struct range *r, const struct held_counts *counts);

/* With the range locked: gives back what is held in it. False: the system refused some. */
bool held_drop(const struct range *r);

/* ---- held_notes.c: where they are, how many, and giving them back ---- */

/*
 * Remembers that pages of the range are held, so that they are given back in time. *often: this very range is remembered again,
 * which is told once: prepare it for coming and going (os_hold). False: no room to remember it.
 */
bool held_remember(const struct range *r, bool *often);

/* With the range locked: remembers what is held in it, or gives it back. */
void held_remember_all(const struct range *r);

/* With the range locked, whose pages are not left to the notes any more: drops those of parts of it. */
void held_forget(const struct range *r);

/* Counts bytes that are held from now on, or no longer. False: that would be too much. */
bool held_charge(uint64_t bytes);
void held_uncharge(uint64_t bytes);
uint64_t held_bytes(void);

/*
 * Is it a time to hold anything? There has to be a keeper (core/keeper.h), who gives it back in time. Where there is none yet, he
 * comes when this has been asked a few times, or at once for much.
 */
bool held_welcome(bool much);

/*
 * Gives back what has been held for longer than that; 0: all. Never waits: what other calls are busy with stays. Returns the
 * bytes. Any thread may call.
 */
uint64_t held_give_back(uint64_t older_than_ms);

/* The bound on what is held, in bytes; the tightest ever set holds, 0 sets none, 1 switches holding off. */
void held_bound_set(uint64_t bytes);
uint64_t held_bound(void);

#endif

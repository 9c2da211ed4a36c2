/*
 * ahead.c - committing pages: noticing that a reservation grows, and bringing its memory in large pieces.
 *
 * Growing is: commits of at least 64 KiB that each begin where another has ended. The table below remembers, for the rows of such
 * commits that were made last, where the next one would begin and how long the row is. It is a hint, written without care for
 * other threads: a wrong one costs a look. Past the first 128 KiB of a row, or where the block before is half full, a commit in
 * which a block begins has the system back the whole block by one fault; commits in the rest of the block then meet none. So what
 * a reservation has ahead of it is less than one block. Where the system has no block for us, which is cheap to be told, a commit
 * of a row that is a block long already has its own memory brought, as long as no other waits for that.
 *
 * In each stretch of sixteen blocks one page is left to come by a fault. If it has not come when a row gets to the next such
 * page, the program does not use what it commits, and the row is brought nothing until it does.
 *
 * Commit-ahead goes further, and against Win32's rule, so it is an option: one system call gives access to what is committed and
 * to pages after it, and the commits of those find that done. To every call they are reserved pages, held ones (held.h) with one
 * mark more. What a stray write leaves in a page that was open before it was committed is there afterwards.
 */
#include "vm/ahead.h"

#include "core/settings.h"
#include "os/os.h"
#include "vm/held.h"

#define GROWTHS 32u
#define STEP_PAGES PAGES_PER_GRANULE
#define BLOCK_PAGES (OS_BLOCK_BYTES / PAGE_BYTES)
#define LEAST_PAGES (2 * BLOCK_PAGES) /* of an allocation that is worth it */
#define PROOF_PAGES (2 * STEP_PAGES)
#define OTHERS_FOR 64u
#define STRETCH_PAGES (16 * BLOCK_PAGES)
#define TELLING_BEFORE (BLOCK_PAGES / 2 - 7) /* pages before a stretch's end */

/*
 * By the page where a next commit would continue a row: that page:35, how many pages the row has:28, whether it is unused:1. In
 * one of two places, so that rows that grow at the same time seldom lose each other.
 */
static uint64_t growth[GROWTHS][2];
#define GROWTH_PAGE(word) ((word) & (((uint64_t)1 << 35) - 1))
#define GROWTH_LENGTH(word) ((word) >> 35 & 0xfffffff)
#define GROWTH_UNUSED ((uint64_t)1 << 63)

/* From a page on the next that tells of use: none that programs use alone, as they do the first ones of what they commit. */
static uint64_t telling(uint64_t page) { return align_up(page + TELLING_BEFORE, STRETCH_PAGES) - TELLING_BEFORE; }

/* Commits of rows that are at work. In a child of fork those of other threads stay in it: then it has faults. */
static uint32_t growing;

static uint64_t *growth_at(uint64_t page) { return growth[(page * 0x9e3779b97f4a7c15u >> 40) % GROWTHS]; }

/* How many pages, up to a stretch's, the row has that this commit continues; *used: the program uses them. rlx in all: hints. */
static uint64_t grown(const struct range *r, bool *used) {
    uint64_t next = r->first.n + r->count, row = 0, unused = 0, *here = growth_at(r->first.n), *there = growth_at(next);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t seen = atom_load_rlx_u64(&here[i]);
        if (GROWTH_PAGE(seen) != r->first.n) continue;
        row = GROWTH_LENGTH(seen);
        unused = seen & GROWTH_UNUSED;
        atom_store_rlx_u64(&here[i], 0);
    }
    struct page told = {telling(r->first.n) - STRETCH_PAGES};
    if (row == STRETCH_PAGES && told.n + STRETCH_PAGES < next) { /* then the row has the last one, too */
        unused = os_touched(page_address(told), PAGE_BYTES) ? 0 : GROWTH_UNUSED;
    }
    *used = !unused;
    uint64_t more = row + r->count < STRETCH_PAGES ? row + r->count : STRETCH_PAGES, first = atom_load_rlx_u64(&there[0]);
    /* What an earlier row left for this page in the second place is not to be found beside this one. */
    bool second = GROWTH_PAGE(atom_load_rlx_u64(&there[1])) == next || (first != 0 && GROWTH_PAGE(first) != next);
    atom_store_rlx_u64(&there[second], next | more << 35 | unused);
    return row;
}

/* With the block's pages locked. */
static void block_bring(struct page block) {
    bool often;
    if (pages_state(block) != PG_NONE || pages_run(block, BLOCK_PAGES, 0xff) != BLOCK_PAGES) return;
    if (!held_charge(OS_BLOCK_BYTES)) return;
    if (held_remember(&(struct range){.first = block, .count = BLOCK_PAGES}, &often) && os_back(page_address(block)) == ST_OK) {
        pages_fill(block, BLOCK_PAGES, PG_HELD | PG_CLEAN);
        return;
    }
    held_uncharge(OS_BLOCK_BYTES);
}

/* Where several rows take turns, one begins where another has not ended yet. */
static bool half_before(struct page block) {
    if (block.n % PAGES_PER_SLOT == 0) return false;
    return pages_count_committed((struct page){block.n - BLOCK_PAGES}, BLOCK_PAGES) >= BLOCK_PAGES / 2;
}

/* With the range locked: brings the block that begins in it, if all of it can be had. */
static void block_enter(const struct range *r, struct page block) {
    uint64_t end = r->first.n + r->count, block_end = block.n + BLOCK_PAGES;
    if (block_end > span_end_page(&r->owner)) return;
    /* The rest of the block lies above what is locked. Somebody is there: then this is not the growth that was thought. */
    if (block_end > end && !pages_try_lock((struct page){end}, block_end - end)) return;
    block_bring(block);
    if (block_end > end) pages_unlock((struct page){end}, block_end - end);
}

/* What a commit in a row gets besides. */
struct ahead {
    bool row;   /* the allocation grows this way; counted in `growing` */
    bool bring; /* the memory of what is committed is worth bringing at once, as there are no blocks */
};

/* Notes the commit that is about to be made, and brings the block that it enters: *counts, of the range, may change by that. */
static struct ahead notice(const struct range *r, struct held_counts *counts) {
    struct ahead none = {false, false};
    if (r->count < STEP_PAGES || r->owner.span.count_pages < LEAST_PAGES) return none;
    if (r->owner.span.flags & ~(unsigned)SPAN_SYSTEM || r->count > BLOCK_PAGES) return none;
    struct page block = {align_up(r->first.n, BLOCK_PAGES)};
    bool used;
    uint64_t length = grown(r, &used);
    bool row = length >= PROOF_PAGES, enters = block.n < r->first.n + r->count;
    if (!row && !(enters && half_before(block))) return none;
    if (!held_welcome(true)) return none;
    if (enters && used && telling(block.n) >= block.n + BLOCK_PAGES) block_enter(r, block);
    *counts = held_count(r->first, r->count);
    if (row) atom_add_acqrel_u32(&growing, 1);
    return (struct ahead){.row = row, .bring = used && length >= BLOCK_PAGES && counts->held == 0};
}

static bool bring(const struct range *r, uint64_t first, uint64_t end) {
    uintptr_t reserved = granule_address(r->owner.head);
    size_t reserved_size = (size_t)r->owner.span.count_pages << PAGE_SHIFT;
    return first == end || os_bring(page_address((struct page){first}), (end - first) << PAGE_SHIFT, reserved, reserved_size);
}

/*
 * Where bringing memory keeps the process's map of memory busy, others who commit wait for it: that costs them more than the
 * faults would cost this thread. If somebody has come meanwhile, it is done without for a while.
 */
static void bring_unless_others(const struct range *r) {
    static uint32_t left; /* commits to do without it; rlx in all: hints */
    uint32_t seen = atom_load_rlx_u32(&left);
    if (seen) {
        atom_store_rlx_u32(&left, seen - 1);
        return;
    }
    uint64_t end = r->first.n + r->count, tells = telling(r->first.n);
    bool alone = bring(r, r->first.n, tells < end ? tells : end);
    if (tells < end) alone &= bring(r, tells + 1, end);
    if (alone) return;
    if (atom_load_rlx_u32(&growing) > 1) atom_store_rlx_u32(&left, OTHERS_FOR);
}

/* ---- Commit-ahead ------------------------------------------------------------------------------------------------- */

static struct setting_bound ahead_bytes;

void ahead_set(uint64_t bytes) { atom_tighten_u64(&ahead_bytes.value, bytes); }

static uint64_t ahead_pages(void) { return setting_bound(&ahead_bytes, "HOSTMEM_COMMIT_AHEAD") >> PAGE_SHIFT; }

static bool is_open(const struct range *r) {
    return !prot_committed(pages_state(r->first)) && pages_state(r->first) & PG_OPEN &&
           pages_run(r->first, r->count, PG_BASE_MASK | PG_OPEN) == r->count;
}

/* What comes after the range, in its block, its allocation and the wish, is not committed, and could be locked; maybe nothing. */
static struct range reach(const struct range *r) {
    uint64_t end = r->first.n + r->count, limit = align_up(end, BLOCK_PAGES), wish = ahead_pages();
    struct range more = {.owner = r->owner, .first = {end}, .count = 0};
    if (limit > span_end_page(&r->owner)) limit = span_end_page(&r->owner);
    if (limit > end + wish) limit = end + wish;
    if (limit == end || !pages_try_lock(more.first, limit - end)) return more;
    for (struct piece at = {0}; pages_next(more.first, limit - end, &at, 0xff);) {
        if (prot_committed(at.state) || at.state & PG_OPEN) break;
        more.count = at.walked;
    }
    if (more.count < limit - end) pages_unlock((struct page){end + more.count}, limit - end - more.count);
    return more;
}

/* With it locked: may all of it be held? Then what was not yet is counted and noted. */
static bool reach_charge(const struct range *more, uint64_t *charged) {
    bool often;
    *charged = (more->count - held_count(more->first, more->count).held) << PAGE_SHIFT;
    if (!held_charge(*charged)) return false;
    if (*charged == 0 || held_remember(more, &often)) return true;
    held_uncharge(*charged);
    return false;
}

static void open_pages(const struct range *more) {
    for (struct piece at = {0}; range_next(more, &at, 0xff);) {
        pages_fill(at.first, at.count, PG_OPEN | (prot_held(at.state) ? at.state : PG_HELD | PG_CLEAN));
    }
}

/* False: nothing was done. */
static bool commit_reaching(const struct range *r, uint8_t state) {
    struct range more = reach(r);
    uint64_t charged = 0;
    if (more.count == 0) return false;
    bool good = reach_charge(&more, &charged);
    if (good && os_commit(range_address(r), range_bytes(r) + range_bytes(&more), state) != ST_OK) {
        held_uncharge(charged);
        range_restore(&more);
        range_restore(r);
        good = false;
    }
    if (good) open_pages(&more);
    range_unlock(&more);
    return good;
}

/*
 * os_commit of the range, and in a row of what comes after it, as far as that is wished for. What is open already costs no system
 * call.
 */
static enum status access_give(const struct range *r, uint8_t state, bool row) {
    if (state == PG_READWRITE && is_open(r)) return ST_OK;
    if (state == PG_READWRITE && row && commit_reaching(r, state)) return ST_OK;
    return os_commit(range_address(r), range_bytes(r), state);
}

void ahead_close(const struct range *r) {
    if (ahead_pages() == 0) return;
    for (struct piece at = {0}; range_next(r, &at, PG_BASE_MASK | PG_OPEN);) {
        struct range part = {.first = at.first, .count = at.count};
        if (prot_held(at.state) && at.state & PG_OPEN) held_drop(&part);
    }
}

/* ---- The commit --------------------------------------------------------------------------------------------------- */

static enum status commit_try(const struct range *r, const struct held_counts *counts, uint8_t state, bool row) {
    if (!held_before_commit(r, counts, state)) return ST_NO_MEMORY;
    enum status status = access_give(r, state, row);
    if (status == ST_OK) {
        if (prot_writable(state)) held_after_commit(r, counts);
        range_fill(r, state);
    } else {
        range_restore(r);
    }
    return status;
}

enum status ahead_commit(const struct range *r, const struct held_counts *counts, uint8_t state) {
    struct held_counts now = *counts;
    struct ahead ahead = {false, false};
    if (prot_writable(state)) ahead = notice(r, &now);
    enum status status = commit_try(r, &now, state, ahead.row);
    if (status != ST_OK && held_give_back(0) != 0) { /* what is missing may be what others hold */
        now = held_count(r->first, r->count);
        status = commit_try(r, &now, state, false);
    }
    if (status == ST_OK && ahead.bring) bring_unless_others(r);
    if (ahead.row) atom_add_acqrel_u32(&growing, -1u);
    return status;
}

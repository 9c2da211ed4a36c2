/*
 * spans.c - the source behind the spans' bins.
 *
 * A span in a magazine: its granules stay taken in the region's bitmap, its pages committed and their bytes PG_READWRITE,
 * its granules' heads written; only its span word is 0. So taking it is zeroing it and writing that word. It stays charged to
 * the account that it was charged to, whose number stands in the low bits of its address in the magazine.
 *
 * Bins: 0 to 15 for 1 to 16 pages, 16 to 30 for 2 to 16 granules.
 *
 * Large ones. Zeroing is looking first, and looking at a megabyte that nobody wrote to costs more than having its content dropped
 * by the system, while dropping what was written costs a fault a page the next time. So each bin of such spans has a habit:
 *
 *   DROPS   the content goes as the span is left. Now and then it is asked first how much there is; much: LOOKS
 *   LOOKS   zeroed as it is taken. So often in a row there was hardly anything: DROPS; the more often that was wrong, the more
 *           patient. Where commits are not lazy, a bin is always here
 */
#include "vm/spans.h"

#include <string.h>

#include "core/budget.h"
#include "core/cache.h"
#include "core/keeper.h"
#include "core/pages.h"
#include "core/region.h"
#include "core/zero.h"
#include "os/os.h"

#define SPANS_OWNER 1
#define NO_BIN UINT32_MAX

static uint32_t bin_of(uint64_t count_pages) {
    if (count_pages <= PAGES_PER_GRANULE) return (uint32_t)count_pages - 1;
    if (count_pages % PAGES_PER_GRANULE || count_pages > PAGES_PER_GRANULE * 16) return NO_BIN;
    return (uint32_t)(PAGES_PER_GRANULE + count_pages / PAGES_PER_GRANULE - 2);
}

static uint64_t bin_pages(unsigned bin) {
    return bin < PAGES_PER_GRANULE ? bin + 1 : (uint64_t)(bin - PAGES_PER_GRANULE + 2) * PAGES_PER_GRANULE;
}

/* In an item's low bits: the account, and whether it is zero already. */
#define ACCOUNT_MASK ((uintptr_t)BUDGET_ACCOUNTS - 1)
#define ITEM_ZERO ((uintptr_t)BUDGET_ACCOUNTS)
#define ITEM_BITS (GRANULE_BYTES - 1)
_Static_assert(BUDGET_ACCOUNTS <= GRANULE_BYTES / 2, "an account and a bit stand below a granule's address");

/* Bins that are never used count as pages, so that nothing has to know their number. */
static size_t item_bytes(unsigned bin) { return (size_t)bin_pages(bin) << PAGE_SHIFT; }

/* ---- Going back --------------------------------------------------------------------------------------------------- */

/*
 * A process that is out of mappings cannot take access away from pages in the middle of one. Then a run's content goes, which
 * splits nothing, and the run waits here until the system takes the rest back: when another run has gone, or at a round of the
 * keeper's. Its pages' bytes are 0, as of what is nobody's. One for which there is no room here stays so; it is addresses and
 * nothing else.
 */
#define WAITING_MOST 1024u

/* A run as one word: first granule:32, pages:32. 0: none. */
static uint64_t waiting[WAITING_MOST];
static uint64_t waiting_count;

static bool run_give_back(struct granule first, uint64_t pages) {
    if (os_decommit(granule_address(first), (size_t)pages << PAGE_SHIFT) != ST_OK) return false;
    region_release(&(struct run){first, pages, 0});
    return true;
}

static void wait_put(uint64_t word) {
    for (unsigned i = 0; i < WAITING_MOST; i++) {
        uint64_t none = 0;
        if (atom_load_rlx_u64(&waiting[i]) || !atom_cas_acqrel_u64(&waiting[i], &none, word)) continue; /* rlx: a look */
        atom_add_acqrel_u64(&waiting_count, 1);
        return;
    }
}

/* Tries those that wait again, until one is refused. The keeper's job, too: are there more? */
static bool wait_over(void) {
    for (unsigned i = 0; i < WAITING_MOST && atom_load_acq_u64(&waiting_count); i++) { /* acq: pairs with wait_put */
        uint64_t word = atom_load_rlx_u64(&waiting[i]); /* rlx: the CAS decides, and one wins */
        if (!word || !atom_cas_acqrel_u64(&waiting[i], &word, 0)) continue;
        atom_add_acqrel_u64(&waiting_count, (uint64_t)-1);
        if (run_give_back((struct granule){(uint32_t)word}, word >> 32)) continue;
        wait_put(word);
        break;
    }
    return atom_load_acq_u64(&waiting_count) != 0; /* acq: as above */
}

static void flush(uint64_t owner, unsigned bin, void **items, size_t count, bool passing) {
    (void)owner, (void)passing;
    uint64_t pages = bin_pages(bin), gone = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t account = (uint32_t)((uintptr_t)items[i] & ACCOUNT_MASK);
        struct granule first = granule_of((uintptr_t)items[i] & ~ITEM_BITS);
        budget_refund(budget_numbered(account), pages, pages);
        pages_fill(granule_page(first), pages, PG_NONE);
        if (run_give_back(first, pages)) {
            gone++;
            continue;
        }
        os_discard(granule_address(first), (size_t)pages << PAGE_SHIFT);
        wait_put(first.n | pages << 32);
        keeper_wake(wait_over);
    }
    if (gone) wait_over();
}

static const struct cache_source source = {item_bytes, flush};

/* ---- The habits of large spans ------------------------------------------------------------------------------------ */

/* A habit as one word: counted:20 (spans dropped, or looks in a row that found hardly anything), impatience lost:4, looks:1. */
#define HABIT_LOOKS ((uint32_t)1 << 31)
#define HABIT_ONE ((uint32_t)1 << 20)
#define HABIT_MASK ((uint32_t)15 << 20)
#define COUNT_MASK (HABIT_ONE - 1)
#define LARGE_PAGES (PAGES_PER_GRANULE * 4)
#define ASK_EVERY 8u    /* asking costs three times what dropping does */
#define PATIENCE 16u    /* the faults of a span that is dropped wrongly cost that many looks and more */
#define PATIENCE_MOST 8u
#define RIGHT_FOR 256u  /* spans dropped: then it was right, and looking again is a change */

/* So few pages that their faults cost less than looking through them all. */
static bool hardly(uint64_t used_pages, uint64_t count_pages) { return used_pages * 64 < count_pages; }

/* With the cache entered: a span is left. Has its content gone? */
__attribute__((noinline)) static bool habit_drops(struct cache *cache, uint32_t bin, uintptr_t start, uint64_t count_pages) {
    uint32_t *habit = &cache->set[CACHE_SPANS].hint[bin], dropped = *habit & COUNT_MASK;
    if (*habit & HABIT_LOOKS || !os_commit_is_lazy()) return false;
    if (dropped % ASK_EVERY == 0 && !hardly(os_touched(start, (size_t)count_pages << PAGE_SHIFT), count_pages)) {
        uint32_t patience = *habit & HABIT_MASK;
        if (dropped >= RIGHT_FOR) patience = 0;
        else if (patience < PATIENCE_MOST * HABIT_ONE) patience += HABIT_ONE;
        *habit = HABIT_LOOKS | patience;
        return false;
    }
    *habit = (*habit & HABIT_MASK) | ((dropped + 1) & COUNT_MASK);
    os_discard(start, (size_t)count_pages << PAGE_SHIFT);
    return true;
}

/* A span has been looked through. */
__attribute__((noinline)) static void habit_learns(uint32_t bin, uint64_t used_pages, uint64_t count_pages) {
    struct cache *cache = cache_enter();
    if (!cache) return;
    uint32_t *habit = &cache->set[CACHE_SPANS].hint[bin], patience = *habit & HABIT_MASK;
    uint32_t count = hardly(used_pages, count_pages) ? (*habit & COUNT_MASK) + 1 : 0;
    /* Those that were looked through count as touched until they have been dropped once: asked is only later. */
    if (*habit & HABIT_LOOKS) *habit = count >> patience / HABIT_ONE >= PATIENCE ? patience | 1 : HABIT_LOOKS | patience | count;
    cache_leave(cache);
}

/* What is written of an ordinary allocation: all its pages read-write from the start. */
static inline uint64_t span_plain(uint64_t count_pages, uint32_t account) {
    return span_pack((struct span){.count_pages = count_pages, .state = PG_READWRITE, .kind = SPAN_VM, .owner = account});
}

/* ---- Taking and leaving ------------------------------------------------------------------------------------------- */

/* With a cache comes the thread's home in the regions, or what it has first would lie beside another thread's first. */
static inline struct cache *enter(void) {
    struct cache *cache = cache_enter();
    return cache ? cache : cache_enter_or_make();
}

/* With the cache entered, of an empty magazine: what a sweep has hidden. NULL: nothing. */
__attribute__((noinline)) static void *pop_hidden(struct cache *cache, uint32_t bin) {
    struct magazine *m = cache_magazine(cache, CACHE_SPANS, bin);
    void **items;
    if (cache->own[CACHE_SPANS].head.owner != SPANS_OWNER) return NULL;
    cache_want(cache, CACHE_SPANS, bin, &items);
    return m->top != m->base ? *--m->top : NULL;
}

/* With the cache entered. */
static inline void *pop(struct cache *cache, uint32_t bin) {
    struct magazine *m = cache_magazine(cache, CACHE_SPANS, bin);
    return m->top != m->base ? *--m->top : pop_hidden(cache, bin);
}

bool spans_take(uint64_t count_pages, uintptr_t *start) {
    uint32_t bin = bin_of(count_pages);
    if (bin == NO_BIN) return false;
    struct cache *cache = enter();
    if (!cache) return false;
    uintptr_t item = (uintptr_t)pop(cache, bin);
    uint32_t account = (uint32_t)(item & ACCOUNT_MASK), asker = budget_asked_number();
    if (item && account != asker && !budget_move(account, asker, count_pages)) {
        cache_magazine(cache, CACHE_SPANS, bin)->top++; /* it is still there */
        item = 0;
    }
    bool from_end = cache->set[CACHE_SPANS].from_end = !cache->set[CACHE_SPANS].from_end;
    cache_leave(cache);
    if (!item) return false;
    *start = item & ~ITEM_BITS;
    if (!(item & ITEM_ZERO)) {
        size_t used = zero_used((void *)*start, (size_t)count_pages << PAGE_SHIFT, from_end);
        if (count_pages >= LARGE_PAGES) habit_learns(bin, used, count_pages);
    }
    space_publish_packed(granule_of(*start), span_plain(count_pages, asker));
    return true;
}

/* With the cache entered, of a magazine that is full, or not in use yet. False: this thread keeps none of them. */
__attribute__((noinline)) static bool room_hard(struct cache *cache, uint32_t bin) {
    return cache_attach(cache, CACHE_SPANS, SPANS_OWNER, &source) && cache_make_room(cache, CACHE_SPANS, bin);
}

/* With the cache entered. */
static inline bool room(struct cache *cache, uint32_t bin) {
    struct magazine *m = cache_magazine(cache, CACHE_SPANS, bin);
    return m->top != m->end || room_hard(cache, bin);
}

bool spans_leave(uintptr_t start) {
    struct found found;
    if (!space_find_start(start, &found)) return false;
    uint64_t count_pages = found.span.count_pages;
    uint32_t bin = bin_of(count_pages);
    if (bin == NO_BIN || found.word != span_plain(count_pages, found.span.owner)) return false;
    if (!pages_at_rest(found.head, count_pages, PG_READWRITE)) return false;
    struct cache *cache = enter();
    if (!cache) return false;
    /* Retracted before it is touched: from here on it is this thread's alone. What there is no room for keeps its place. */
    bool left = room(cache, bin) && space_retract_plain(&found);
    uintptr_t item = start | found.span.owner;
    if (left && count_pages >= LARGE_PAGES && habit_drops(cache, bin, start, count_pages)) item |= ITEM_ZERO;
    if (left) *cache_magazine(cache, CACHE_SPANS, bin)->top++ = (void *)item;
    cache_leave(cache);
    return left;
}

uint64_t spans_flush(void) { return cache_flush_mine(CACHE_SPANS); }

/*
 * magazine.c - the magazines of a cache: their limits, and what goes back.
 *
 * A magazine's limit starts small and doubles when the magazine runs full although it was refilled since: it swings further
 * than it can hold; else it flushes its lower, older half. One that only ever fills (its thread frees what others allocate) does
 * not grow, and flushes nearly all. One of whole spans flushes a few, since each goes back by a system call.
 *
 * A refill starts small as well, and grows by each refill since the magazine was full: what most programs touch of a size is
 * little, and what lies in a magazine nobody else can use.
 *
 * Sweeping. Every so often, on a slow path or by the keeper, what a magazine holds is hidden below `base`. A magazine that runs
 * down to its base brings some of it back: two items, four the next time, and so on until the next sweep. Those still hidden
 * then were of no use in between, and are flushed; spans are taken out, to go when the cache is in use again. So what rests
 * unused from one sweep to the next goes back, and the fast path does not know of it.
 *
 * Invariants: floor <= base <= top <= end, all inside the bin's room; the items in [floor, top) are owned by this cache alone;
 * bound_bytes is the sum of (end - floor) * item size over the bins, and bound_all that of all caches' bound_bytes and of what is
 * in depots. The item that came last (struct last) is not counted.
 *
 * Everything here is called by whoever holds the cache: its thread, with the cache entered, or the keeper, with it stopped.
 */
#include "core/cache.h"

#include <string.h>

#include "base/atom.h"
#include "core/keeper.h"
#include "core/table.h"
#include "os/os.h"

#define MAGAZINE_FIRST 64u
#define MAGAZINE_MORE 256u
#define REFILL_FIRST 4u /* blocks, the first time; so many more each time after that */
#define BATCH_MOST 62u  /* the depot's packets */
#define MAGAZINE_FIRST_BYTES ((size_t)256 << 10)
#define BOUND_DEFAULT ((uint64_t)160 << 20)
#define BOUND_ALL_DEFAULT ((uint64_t)1 << 30)
/* Each magazine's room begins with a NULL, and starts a cache line; large rooms have pages of their own. */
#define ROOM_FIRST (MAGAZINE_FIRST + 8u)
#define ROOM_MORE (MAGAZINE_MORE + 8u)
#define ROOM_MOST (MAGAZINE_MOST + (unsigned)(PAGE_BYTES / sizeof(void *)))
#define ROOM_BYTES (sizeof(void *) * CACHE_BINS * (ROOM_FIRST + ROOM_MORE + ROOM_MOST))
#define LAST_BOUND ((uint64_t)4 << 20) /* so small a bound, and the one item that comes on top of it would be noticed */
#define SWEEP_MS 100
#define SPANS_AT_ONCE ((size_t)128 << 10) /* that a full magazine gives back: one release waits for no more than this */
#define SPANS_MOST 4u                     /* and each takes a system call */
#define PASSED_BYTES ((uint64_t)256 << 10) /* and so is what it gives back, some times over */

static uint64_t bound_thread, bound_everybody; /* 0: the defaults */
static uint64_t bound_all;                     /* what the limits of all caches and what depots hold add up to */

bool cache_bound_set(uint64_t thread_bytes, uint64_t all_bytes) {
    bool thread = atom_tighten_u64(&bound_thread, thread_bytes);
    return atom_tighten_u64(&bound_everybody, all_bytes) || thread;
}

static uint64_t bound(void) {
    uint64_t bytes = atom_load_rlx_u64(&bound_thread); /* rlx: a limit that is set late holds late */
    return bytes ? bytes : BOUND_DEFAULT;
}

uint64_t cache_bound_all(void) {
    uint64_t bytes = atom_load_rlx_u64(&bound_everybody); /* rlx: as above */
    return bytes ? bytes : BOUND_ALL_DEFAULT;
}

/* Is an item that no limit counts too little to be noticed? */
static bool last_wanted(void) { return bound() >= LAST_BOUND && cache_bound_all() >= LAST_BOUND; }

/* That much more of all, if it is no more than `most` then. */
static bool all_take(uint64_t bytes, uint64_t most) {
    if (atom_add_acqrel_u64(&bound_all, bytes) + bytes <= most) return true;
    atom_add_acqrel_u64(&bound_all, -bytes);
    return false;
}

bool cache_depots_take(uint64_t bytes) { return all_take(bytes, cache_bound_all() / 4 * 3); }

void cache_depots_return(uint64_t bytes) { atom_add_acqrel_u64(&bound_all, -bytes); }

/* More bytes of limits; false if that is past the bounds. */
static bool bound_take(struct cache *cache, uint64_t bytes) {
    if (cache->bound_bytes + bytes > bound() || !all_take(bytes, cache_bound_all())) return false;
    cache->bound_bytes += bytes;
    return true;
}

static void bound_return(struct cache *cache, uint64_t bytes) {
    cache->bound_bytes -= bytes;
    atom_add_acqrel_u64(&bound_all, -bytes);
}

/* A thread that was changing both has changed bound_all first when they grew, and last when they shrank. */
void cache_bound_lost(struct cache *cache) { bound_return(cache, cache->bound_bytes); }

/* ---- Sets --------------------------------------------------------------------------------------------------------- */

/* Returns the bytes of what was in it. */
static uint64_t magazine_close(struct cache *cache, unsigned set, unsigned bin) {
    struct magazine *m = cache_magazine(cache, set, bin);
    struct cache_set *s = &cache->set[set];
    if (!m->floor) return 0;
    size_t count = (size_t)(m->top - m->floor), bytes = s->source->item_bytes(bin);
    if (count) s->source->flush(cache->own[set].head.owner, bin, m->floor, count, false);
    bound_return(cache, (uint64_t)(m->end - m->floor) * bytes);
    *m = (struct magazine){0};
    s->refills[bin] = 0;
    return (uint64_t)count * bytes;
}

static bool last_there(const struct last *last) { return cache_marks_bin(last->mark); }

/* Gives the item that came last back. Returns its bytes. */
static uint64_t last_flush(struct cache *cache, unsigned set) {
    struct last *last = &cache->own[set].head.last;
    const struct cache_source *source = cache->set[set].source;
    if (!last_there(last)) return 0;
    unsigned bin = cache_marked(last->mark);
    last->mark = LAST_NONE;
    source->flush(cache->own[set].head.owner, bin, &last->item, 1, false);
    return source->item_bytes(bin);
}

/* With nothing there: whose the set is, and whether there is to be a place for the item that came last. */
static void head_begin(struct head *head, uint64_t owner, bool open) {
    *head = (struct head){owner, {open ? LAST_NONE : LAST_CLOSED, (void *)(uintptr_t)owner}, MIXED_AFTER};
}

uint64_t cache_empty_set(struct cache *cache, unsigned set) {
    struct head *head = &cache->own[set].head;
    uint64_t bytes = 0;
    if (!head->owner) return 0;
    for (unsigned bin = 0; bin < CACHE_BINS; bin++) bytes += magazine_close(cache, set, bin);
    bytes += last_flush(cache, set);
    head_begin(head, head->owner, last_wanted());
    return bytes;
}

uint64_t cache_flush_set(struct cache *cache, unsigned set) {
    if (!cache->own[set].head.owner) return 0;
    uint64_t bytes = cache_empty_set(cache, set);
    head_begin(&cache->own[set].head, 0, false);
    memset(cache->set[set].hint, 0, sizeof cache->set[set].hint);
    return bytes;
}

/* Rooms are reserved in parts, each twice as long as the one before, and kept for life. NULL: no memory. */
static void **room_make(void) {
    static const struct table_shape shape = {(ROOM_BYTES + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES, 1};
    static struct table rooms;
    static uint64_t count;
    uint64_t n = atom_load_rlx_u64(&count); /* rlx: the CAS decides */
    do {
        if (n >= table_before(shape, TABLE_PARTS) || !table_part_make(&rooms, shape, n)) return NULL;
    } while (!atom_cas_acqrel_u64(&count, &n, n + 1));
    return table_entry(&rooms, shape, n);
}

bool cache_attach(struct cache *cache, unsigned set, uint64_t owner, const struct cache_source *source) {
    struct cache_set *s = &cache->set[set];
    if (cache->own[set].head.owner == owner) return true;
    cache_flush_set(cache, set);
    s->source = source;
    atom_signal_fence(); /* the page is written before it is read: see table_touch */
    if (!s->room) s->room = room_make();
    if (!s->room) return false;
    head_begin(&cache->own[set].head, owner, last_wanted());
    return true;
}

/* ---- Limits ------------------------------------------------------------------------------------------------------- */

static size_t limit_most(const struct cache_set *s, unsigned bin) {
    size_t items = (size_t)(bound() / 2 / s->source->item_bytes(bin));
    return items > MAGAZINE_MOST ? MAGAZINE_MOST : items;
}

/*
 * Where a magazine of that limit has its items. Those of about one size stand close together in a set, so that a thread that
 * needs few items of many sizes touches few pages. A large one starts near the start of a page, so that its lower part touches
 * one; eight in a row start in different cache lines of it.
 */
static void **room_of(const struct cache_set *s, unsigned bin, size_t limit) {
    void **more = s->room + CACHE_BINS * ROOM_FIRST, **most = more + CACHE_BINS * ROOM_MORE;
    if (limit <= MAGAZINE_FIRST) return s->room + (size_t)bin * ROOM_FIRST + 8;
    return limit <= MAGAZINE_MORE ? more + (size_t)bin * ROOM_MORE + 8 : most + (size_t)bin * ROOM_MOST + (bin % 8 + 1) * 8;
}

/* Sets the limit of a magazine, not below what it was unless it is new, if the bounds and the system allow it. */
static bool limit_set(struct cache *cache, unsigned set, unsigned bin, size_t limit) {
    struct magazine *m = cache_magazine(cache, set, bin);
    struct cache_set *s = &cache->set[set];
    uint64_t more = (uint64_t)(limit - (size_t)(m->end - m->floor)) * s->source->item_bytes(bin);
    void **room = room_of(s, bin, limit);
    if (!bound_take(cache, more)) return false;
    if (os_tables_commit(room - 1, (limit + 1) * sizeof(void *)) != ST_OK) {
        bound_return(cache, more);
        return false;
    }
    size_t count = (size_t)(m->top - m->floor), hidden = (size_t)(m->base - m->floor);
    if (count && room != m->floor) memcpy(room, m->floor, count * sizeof(void *));
    *m = (struct magazine){.top = room + count, .base = room + hidden, .end = room + limit, .floor = room};
    return true;
}

/* The `count` lowest items are somebody else's now. What else rests in the magazine rests on. */
static void lowest_went(struct magazine *m, size_t count) {
    size_t hidden = (size_t)(m->base - m->floor);
    memmove(m->floor, m->floor + count, (size_t)(m->top - m->floor - (ptrdiff_t)count) * sizeof(void *));
    m->top -= count;
    m->base = m->floor + (hidden > count ? hidden - count : 0);
}

static void flush_lowest(struct cache *cache, unsigned set, unsigned bin, size_t count, bool passing) {
    struct magazine *m = cache_magazine(cache, set, bin);
    cache->set[set].source->flush(cache->own[set].head.owner, bin, m->floor, count, passing);
    lowest_went(m, count);
}

/* ---- Sweeping ----------------------------------------------------------------------------------------------------- */

/* Takes the `count` lowest items out, or as many as there is room for. */
static void take_out(struct magazine *m, unsigned bin, size_t count, struct swept *swept) {
    if (count > SWEPT_MOST - swept->count) count = SWEPT_MOST - swept->count;
    for (size_t i = 0; i < count; i++) {
        swept->item[swept->count] = m->floor[i];
        swept->bin[swept->count++] = (uint8_t)bin;
    }
    lowest_went(m, count);
}

/* `swept`: where to what goes, NULL: it is flushed. Returns the bytes that are left. */
static uint64_t magazine_sweep(struct cache *cache, unsigned set, unsigned bin, struct swept *swept) {
    struct magazine *m = cache_magazine(cache, set, bin);
    struct cache_set *s = &cache->set[set];
    if (!m->floor) return 0;
    if (m->base != m->floor) {
        size_t hidden = (size_t)(m->base - m->floor);
        if (swept) take_out(m, bin, hidden, swept);
        else flush_lowest(cache, set, bin, hidden, false);
        size_t held = (size_t)(m->top - m->floor), limit = (size_t)(m->end - m->floor);
        if (limit > 2 * MAGAZINE_FIRST && held < limit / 4) {
            bound_return(cache, (uint64_t)(limit - limit / 2) * s->source->item_bytes(bin));
            m->end = m->floor + limit / 2;
        }
    }
    if (m->base == m->floor) { /* else what there was no room for goes first */
        m->base = m->top;
        s->revived[bin] = 0;
    }
    return (uint64_t)(m->top - m->floor) * s->source->item_bytes(bin);
}

/* The item that came last goes back if it is the same as at the sweep before. Returns the bytes that are left. */
static uint64_t last_sweep(struct cache *cache, unsigned set) {
    struct last *last = &cache->own[set].head.last;
    struct cache_set *s = &cache->set[set];
    if (last_there(last) && last->item == s->swept_last) last_flush(cache, set);
    s->swept_last = last_there(last) ? last->item : NULL;
    return last_there(last) ? s->source->item_bytes(cache_marked(last->mark)) : 0;
}

static uint64_t set_sweep(struct cache *cache, unsigned set, struct swept *swept) {
    if (!cache->own[set].head.owner) return 0;
    uint64_t left = last_sweep(cache, set);
    for (unsigned bin = 0; bin < CACHE_BINS; bin++) left += magazine_sweep(cache, set, bin, swept);
    return left;
}

uint64_t cache_sweep(struct cache *cache) {
    uint64_t left = 0;
    atom_store_rlx_u64(&cache->swept_ms, os_clock_ms()); /* rlx: the keeper glances at it */
    for (unsigned set = 0; set < CACHE_SETS; set++) {
        if (set != CACHE_SPANS) left += set_sweep(cache, set, NULL);
    }
    return left;
}

uint64_t cache_sweep_spans(struct cache *cache, struct swept *swept) {
    swept->source = cache->set[CACHE_SPANS].source;
    swept->owner = cache->own[CACHE_SPANS].head.owner;
    swept->count = 0;
    return set_sweep(cache, CACHE_SPANS, swept);
}

void cache_give_back(const struct swept *swept) {
    for (size_t i = 0; i < swept->count; i++) {
        void *item = swept->item[i];
        swept->source->flush(swept->owner, swept->bin[i], &item, 1, false);
    }
}

uint64_t cache_held(const struct cache *cache) {
    uint64_t bytes = 0;
    for (unsigned set = 0; set < CACHE_SETS; set++) {
        const struct last *last = &cache->own[set].head.last;
        if (!cache->own[set].head.owner) continue;
        if (last_there(last)) bytes += cache->set[set].source->item_bytes(cache_marked(last->mark));
        for (unsigned bin = 0; bin < CACHE_BINS; bin++) {
            const struct magazine *m = &cache->own[set].magazine[bin];
            if (m->top != m->floor) bytes += (uint64_t)(m->top - m->floor) * cache->set[set].source->item_bytes(bin);
        }
    }
    return bytes;
}

/* Now and then, on a slow path. The spans are left to the keeper, if there is one. */
static void sweep_when_due(struct cache *cache) {
    if (os_clock_ms() - cache->swept_ms < SWEEP_MS) return;
    cache_sweep(cache);
    if (!keeper_runs()) set_sweep(cache, CACHE_SPANS, NULL);
    if (cache_held(cache) >= CACHE_KEEPER_BYTES) keeper_wanted();
}

/* ---- Slow paths --------------------------------------------------------------------------------------------------- */

/* Where other magazines have limits that they do not use, they give them up until the thread's bound has room for so much. */
static void bound_gather(struct cache *cache, uint64_t bytes) {
    for (unsigned set = 0; set < CACHE_SETS; set++) {
        for (unsigned bin = 0; cache->own[set].head.owner && bin < CACHE_BINS; bin++) {
            struct magazine *m = cache_magazine(cache, set, bin);
            if (cache->bound_bytes + bytes <= bound()) return;
            if (m->top == m->floor) {
                magazine_close(cache, set, bin);
            } else {
                bound_return(cache, (uint64_t)(m->end - m->top) * cache->set[set].source->item_bytes(bin));
                m->end = m->top;
            }
        }
    }
}

/* With the least limit that is of use. A size that comes late is not to do without because others came first. */
static bool magazine_open(struct cache *cache, unsigned set, unsigned bin) {
    if (cache_magazine(cache, set, bin)->floor) return true;
    const struct cache_set *s = &cache->set[set];
    size_t limit = MAGAZINE_FIRST_BYTES / s->source->item_bytes(bin), most = limit_most(s, bin);
    limit = limit > MAGAZINE_FIRST ? MAGAZINE_FIRST : limit < 4 ? 4 : limit;
    if (most < 2) return false;
    if (limit > most) limit = most;
    if (limit_set(cache, set, bin, limit)) return true;
    sweep_when_due(cache);
    bound_gather(cache, limit * s->source->item_bytes(bin));
    return limit_set(cache, set, bin, limit);
}

size_t cache_want(struct cache *cache, unsigned set, unsigned bin, void ***items) {
    struct magazine *m = cache_magazine(cache, set, bin);
    struct cache_set *s = &cache->set[set];
    if (!magazine_open(cache, set, bin)) return 0;
    /* What was found empty was not this magazine: the keeper had stopped the cache, or it has just come from an ended thread. */
    if (m->top != m->base || cache->own[set].head.last.mark == cache_mark(bin)) return 0;
    sweep_when_due(cache);
    *items = m->top;
    size_t hidden = (size_t)(m->base - m->floor);
    if (hidden != 0) {
        size_t back = (size_t)2 << (s->revived[bin] < 16 ? s->revived[bin]++ : 16);
        m->base -= back < hidden ? back : hidden;
        return 0;
    }
    size_t limit = (size_t)(m->end - m->floor), want = limit < MAGAZINE_FIRST ? limit / 2 : BATCH_MOST;
    size_t slowly = REFILL_FIRST * (size_t)++s->refills[bin];
    if (want > slowly) want = slowly;
    return want < 1 ? 1 : want;
}

/* How many of them may go at once. */
static size_t few_spans(size_t count, size_t bytes) {
    size_t few = bytes < SPANS_AT_ONCE / SPANS_MOST ? SPANS_MOST : bytes < SPANS_AT_ONCE ? SPANS_AT_ONCE / bytes : 1;
    return count < few ? count : few;
}

bool cache_make_room(struct cache *cache, unsigned set, unsigned bin) {
    struct magazine *m = cache_magazine(cache, set, bin);
    struct cache_set *s = &cache->set[set];
    if (!m->floor) return magazine_open(cache, set, bin);
    sweep_when_due(cache);
    if (m->top != m->end) return true;
    size_t limit = (size_t)(m->end - m->floor), most = limit_most(s, bin);
    if (s->refills[bin] > 0 && limit < most) {
        s->refills[bin]--;
        if (limit_set(cache, set, bin, limit * 2 < most ? limit * 2 : most)) return true;
    }
    size_t count = s->refills[bin] > 0 || limit < MAGAZINE_FIRST ? (limit + 1) / 2 : limit - limit / 32;
    s->refills[bin] = 0;
    if (set == CACHE_SPANS) count = few_spans(count, s->source->item_bytes(bin));
    flush_lowest(cache, set, bin, count, true);
    cache->passed_bytes += count * s->source->item_bytes(bin);
    if (cache->passed_bytes >= PASSED_BYTES) {
        cache->passed_bytes = 0;
        keeper_missed();
    }
    return true;
}

bool cache_came_last(const struct cache *cache, unsigned set, unsigned bin, const void *item) {
    const struct last *last = &cache->own[set].head.last;
    const struct magazine *m = &cache->own[set].magazine[bin];
    return (last_there(last) && last->item == item) || (m->top && m->top[-1] == item);
}

static bool put_one(struct cache *cache, unsigned set, unsigned bin, void *item) {
    struct magazine *m = cache_magazine(cache, set, bin);
    if (m->top == m->end && !cache_make_room(cache, set, bin)) return false;
    *m->top++ = item;
    return true;
}

bool cache_put(struct cache *cache, unsigned set, unsigned bin, void *item) {
    struct last *last = &cache->own[set].head.last;
    bool behind = last->mark == LAST_CLOSED || last->mark == LAST_MIXED || last->mark == cache_mark(bin);
    if (behind) return put_one(cache, set, bin, item);
    struct last before = *last;
    last->mark = LAST_NONE; /* it is on its way: a sweep, which making room may be the time for, must not give it back */
    if (last_there(&before) && !put_one(cache, set, cache_marked(before.mark), before.item)) {
        *last = before; /* where it cannot go, this one may */
        return put_one(cache, set, bin, item);
    }
    *last = (struct last){cache_mark(bin), item};
    return true;
}

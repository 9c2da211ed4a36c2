/*
 * cache.c - the threads' caches: making and leaving them, and the magazines' limits.
 *
 * Caches stand in a table that is never unmapped; a thread claims one by a bit and its end returns it, flushed. A thread
 * that finds none free works without. Only its thread touches a cache, so nothing in it is atomic.
 *
 * A magazine's limit starts small and doubles when the magazine runs full although it was refilled since: it swings further
 * than it can hold. One that only ever fills (its thread frees what others allocate) does not grow, and flushes its lower,
 * older half.
 *
 * Sweeping. Every so often a slow path hides all but a few items of each magazine below `base`. A magazine that runs
 * down to its base brings them back. Those still hidden at the next sweep were of no use in between, and are flushed. So what
 * rests unused for two sweeps goes back, and the fast path does not know of it.
 *
 * Invariants: floor <= base <= top <= end, all inside the bin's room; the items in [floor, top) are owned by this thread alone;
 * bound_bytes is the sum of (end - floor) * item size over the bins.
 */
#include "core/cache.h"

#include <string.h>

#include "base/atom.h"
#include "core/bitmap.h"
#include "os/os.h"

#define CACHES_AT_MOST ((size_t)4096)
#define MAGAZINE_FIRST 64u
#define MAGAZINE_MOST 2048u
#define MAGAZINE_FIRST_BYTES ((size_t)256 << 10)
#define BOUND_DEFAULT ((uint64_t)160 << 20)
#define ROOM_BYTES (sizeof(void *) * CACHE_BINS * (MAGAZINE_FIRST + MAGAZINE_MOST))
#define SWEEP_MS 100
#define SWEEP_KEEPS 4

static uint64_t cache_table; /* struct cache[CACHES_AT_MOST] */
static uint64_t cache_claimed[CACHES_AT_MOST / 64];
static uint64_t cache_bound;
struct cache cache_ended = {.busy = 1};

void cache_bound_set(uint64_t bytes) {
    uint64_t seen = atom_load_rlx_u64(&cache_bound); /* rlx: the CAS decides */
    while (bytes && (!seen || bytes < seen)) {
        if (atom_cas_acqrel_u64(&cache_bound, &seen, bytes)) return;
    }
}

static uint64_t bound(void) {
    uint64_t bytes = atom_load_rlx_u64(&cache_bound); /* rlx: as above */
    return bytes ? bytes : BOUND_DEFAULT;
}

/* ---- Coming and going --------------------------------------------------------------------------------------------- */

static struct cache *table_make(void) {
    uint64_t table = atom_load_acq_u64(&cache_table); /* acq: pairs with the CAS */
    void *made;
    if (table) return (struct cache *)(uintptr_t)table;
    if (os_tables_reserve(CACHES_AT_MOST * sizeof(struct cache), &made) != ST_OK) return NULL;
    cache_bound_set(os_environment_bytes("HOSTMEM_THREAD_CACHE"));
    if (atom_cas_acqrel_u64(&cache_table, &table, (uint64_t)(uintptr_t)made)) return made;
    os_tables_discard(made, CACHES_AT_MOST * sizeof(struct cache));
    return (struct cache *)(uintptr_t)table;
}

/*
 * The thread ends. What the system or the program still does in it goes past the caches: a cache made now might have no end that
 * returns it.
 */
static void cache_exit(void *value) {
    struct cache *cache = value;
    os_slot_set(OS_SLOT_CACHE, &cache_ended);
    for (unsigned set = 0; set < CACHE_SETS; set++) cache_flush_set(cache, set);
    HM_CHECK(bitmap_release(cache_claimed, cache->number, 1));
}

/* A cache, entered. */
static struct cache *cache_make(void) {
    if (!os_slots_there()) return NULL;
    struct cache *table = table_make();
    uint64_t mask;
    if (!table) return NULL;
    size_t word = bitmap_claim_some(cache_claimed, CACHES_AT_MOST, 0, 1, &mask);
    if (word == BITMAP_NONE) return NULL;
    size_t number = word * 64 + (size_t)__builtin_ctzll(mask);
    struct cache *cache = &table[number];
    if (os_tables_commit(cache, sizeof *cache) == ST_OK) {
        atom_store_rlx_u64(&cache->busy, 1); /* rlx: nobody else sees it */
        cache->number = (uint32_t)number;
        /* From here on what the calls below may allocate goes past it. */
        os_slot_set(OS_SLOT_CACHE, cache);
        if (os_at_thread_exit(cache_exit, cache)) return cache;
        os_slot_set(OS_SLOT_CACHE, NULL);
    }
    HM_CHECK(bitmap_release(cache_claimed, number, 1));
    return NULL;
}

struct cache *cache_enter_or_make(void) {
    /* A thread that has a cache and cannot enter it is in the middle of using it, or ending. */
    return os_slot_get(OS_SLOT_CACHE) ? cache_enter() : cache_make();
}

/* ---- Sets --------------------------------------------------------------------------------------------------------- */

/* Returns the bytes of what was in it. */
static uint64_t magazine_close(struct cache *cache, unsigned set, unsigned bin) {
    struct magazine *m = &cache->bin[set][bin];
    struct cache_set *s = &cache->set[set];
    if (!m->floor) return 0;
    size_t count = (size_t)(m->top - m->floor), bytes = s->source->item_bytes(bin);
    if (count) s->source->flush(cache->owner[set], bin, m->floor, count);
    cache->bound_bytes -= (uint64_t)(m->end - m->floor) * bytes;
    *m = (struct magazine){0};
    s->refills[bin] = 0;
    return (uint64_t)count * bytes;
}

uint64_t cache_flush_set(struct cache *cache, unsigned set) {
    uint64_t bytes = 0;
    if (!cache->owner[set]) return 0;
    for (unsigned bin = 0; bin < CACHE_BINS; bin++) bytes += magazine_close(cache, set, bin);
    cache->owner[set] = 0;
    return bytes;
}

uint64_t cache_flush_mine(unsigned set) {
    struct cache *cache = cache_enter();
    if (!cache) return 0;
    uint64_t bytes = cache_flush_set(cache, set);
    cache_leave(cache);
    return bytes;
}

void cache_flush_all(void) {
    for (unsigned set = 0; set < CACHE_SETS; set++) cache_flush_mine(set);
}

bool cache_attach(struct cache *cache, unsigned set, uint64_t owner, const struct cache_source *source) {
    struct cache_set *s = &cache->set[set];
    if (cache->owner[set] == owner) return true;
    cache_flush_set(cache, set);
    if (!s->room) {
        void *room;
        if (os_tables_reserve(ROOM_BYTES, &room) != ST_OK) return false;
        s->room = room;
    }
    s->source = source;
    cache->owner[set] = owner;
    return true;
}

/* ---- Limits ------------------------------------------------------------------------------------------------------- */

static size_t limit_most(const struct cache_set *s, unsigned bin) {
    size_t items = (size_t)(bound() / 2 / s->source->item_bytes(bin));
    return items > MAGAZINE_MOST ? MAGAZINE_MOST : items;
}

/*
 * Where a magazine of that limit has its items. The small ones of a set stand close together, so that a thread that needs few
 * items of many sizes touches few pages.
 */
static void **room_of(const struct cache_set *s, unsigned bin, size_t limit) {
    if (limit <= MAGAZINE_FIRST) return s->room + (size_t)bin * MAGAZINE_FIRST;
    return s->room + CACHE_BINS * MAGAZINE_FIRST + (size_t)bin * MAGAZINE_MOST;
}

/* Sets the limit of a magazine, not below what it was unless it is new, if the thread's bound and the system allow it. */
static bool limit_set(struct cache *cache, unsigned set, unsigned bin, size_t limit) {
    struct magazine *m = &cache->bin[set][bin];
    struct cache_set *s = &cache->set[set];
    uint64_t more = (uint64_t)(limit - (size_t)(m->end - m->floor)) * s->source->item_bytes(bin);
    if (m->floor && cache->bound_bytes + more > bound()) return false;
    void **room = room_of(s, bin, limit);
    if (os_tables_commit(room, limit * sizeof(void *)) != ST_OK) return false;
    size_t count = (size_t)(m->top - m->floor), hidden = (size_t)(m->base - m->floor);
    if (count && room != m->floor) memcpy(room, m->floor, count * sizeof(void *));
    *m = (struct magazine){.top = room + count, .base = room + hidden, .end = room + limit, .floor = room};
    cache->bound_bytes += more;
    return true;
}

static bool magazine_open(struct cache *cache, unsigned set, unsigned bin) {
    if (cache->bin[set][bin].floor) return true;
    const struct cache_set *s = &cache->set[set];
    size_t limit = MAGAZINE_FIRST_BYTES / s->source->item_bytes(bin), most = limit_most(s, bin);
    limit = limit > MAGAZINE_FIRST ? MAGAZINE_FIRST : limit < 4 ? 4 : limit;
    if (most < 2) return false;
    return limit_set(cache, set, bin, limit < most ? limit : most);
}

/* Flushes the `count` lowest items. */
static void flush_lowest(struct cache *cache, unsigned set, unsigned bin, size_t count) {
    struct magazine *m = &cache->bin[set][bin];
    struct cache_set *s = &cache->set[set];
    s->source->flush(cache->owner[set], bin, m->floor, count);
    memmove(m->floor, m->floor + count, (size_t)(m->top - m->floor - (ptrdiff_t)count) * sizeof(void *));
    m->top -= count;
    m->base = m->floor;
}

static void magazine_sweep(struct cache *cache, unsigned set, unsigned bin) {
    struct magazine *m = &cache->bin[set][bin];
    if (!m->floor) return;
    if (m->base != m->floor) {
        flush_lowest(cache, set, bin, (size_t)(m->base - m->floor));
        size_t held = (size_t)(m->top - m->floor), limit = (size_t)(m->end - m->floor);
        if (limit > 2 * MAGAZINE_FIRST && held < limit / 4) {
            cache->bound_bytes -= (uint64_t)(limit - limit / 2) * cache->set[set].source->item_bytes(bin);
            m->end = m->floor + limit / 2;
        }
    }
    if (m->top - m->floor > SWEEP_KEEPS) m->base = m->top - SWEEP_KEEPS;
}

/* Now and then, on a slow path. */
static void cache_sweep(struct cache *cache) {
    uint64_t now = os_clock_ms();
    if (now - cache->swept_ms < SWEEP_MS) return;
    cache->swept_ms = now;
    for (unsigned set = 0; set < CACHE_SETS; set++) {
        if (!cache->owner[set]) continue;
        for (unsigned bin = 0; bin < CACHE_BINS; bin++) magazine_sweep(cache, set, bin);
    }
}

size_t cache_want(struct cache *cache, unsigned set, unsigned bin, void ***items) {
    struct magazine *m = &cache->bin[set][bin];
    if (!magazine_open(cache, set, bin)) return 0;
    cache_sweep(cache);
    m->base = m->floor;
    *items = m->top;
    if (m->top != m->base) return 0; /* what was hidden is back */
    cache->set[set].refills[bin]++;
    size_t limit = (size_t)(m->end - m->floor);
    size_t want = limit / 2;
    return want > MAGAZINE_FIRST ? MAGAZINE_FIRST : want < 1 ? 1 : want;
}

bool cache_make_room(struct cache *cache, unsigned set, unsigned bin) {
    struct magazine *m = &cache->bin[set][bin];
    struct cache_set *s = &cache->set[set];
    if (!m->floor) return magazine_open(cache, set, bin);
    cache_sweep(cache);
    if (m->top != m->end) return true;
    size_t limit = (size_t)(m->end - m->floor), most = limit_most(s, bin);
    if (s->refills[bin] > 0 && limit < most) {
        s->refills[bin]--;
        if (limit_set(cache, set, bin, limit * 2 < most ? limit * 2 : most)) return true;
    }
    s->refills[bin] = 0;
    m->base = m->floor;
    flush_lowest(cache, set, bin, (limit + 1) / 2);
    return true;
}

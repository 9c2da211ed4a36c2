/*
 * spans.c - the source behind the spans' bins.
 *
 * A span in a magazine: its granules stay taken in the region's bitmap, its pages committed and their bytes PG_READWRITE,
 * its granules' heads written; only its span word is 0. So taking it is zeroing it and writing that word. It stays charged to
 * the account that it was charged to, whose number stands in the low bits of its address in the magazine.
 *
 * Bins: 0 to 15 for 1 to 16 pages, 16 to 30 for 2 to 16 granules.
 */
#include "vm/spans.h"

#include <string.h>

#include "core/budget.h"
#include "core/cache.h"
#include "core/pages.h"
#include "core/region.h"
#include "core/zero.h"
#include "os/os.h"

#define SPANS_OWNER 1
#define SPANS_BINS 31u
#define NO_BIN UINT32_MAX

static uint32_t bin_of(uint64_t count_pages) {
    if (count_pages <= PAGES_PER_GRANULE) return (uint32_t)count_pages - 1;
    if (count_pages % PAGES_PER_GRANULE || count_pages > PAGES_PER_GRANULE * 16) return NO_BIN;
    return (uint32_t)(PAGES_PER_GRANULE + count_pages / PAGES_PER_GRANULE - 2);
}

static uint64_t bin_pages(unsigned bin) {
    return bin < PAGES_PER_GRANULE ? bin + 1 : (uint64_t)(bin - PAGES_PER_GRANULE + 2) * PAGES_PER_GRANULE;
}

#define ACCOUNT_MASK ((uintptr_t)BUDGET_ACCOUNTS - 1)

/* Bins that are never used count as pages, so that nothing has to know their number. */
static size_t item_bytes(unsigned bin) { return (size_t)bin_pages(bin) << PAGE_SHIFT; }

static void flush(uint64_t owner, unsigned bin, void **items, size_t count, bool passing) {
    (void)owner, (void)passing;
    uint64_t pages = bin_pages(bin);
    for (size_t i = 0; i < count; i++) {
        uint32_t account = (uint32_t)((uintptr_t)items[i] & ACCOUNT_MASK);
        uintptr_t start = (uintptr_t)items[i] - account;
        /* If the system is out of mappings even for this, the run is lost: nobody can have it while its content is there. */
        if (os_decommit(start, (size_t)pages << PAGE_SHIFT) != ST_OK) continue;
        pages_fill(page_of(start), pages, PG_NONE);
        budget_refund(budget_numbered(account), pages, pages);
        region_release(&(struct run){granule_of(start), pages, 0});
    }
}

static const struct cache_source source = {item_bytes, flush};

/* With the cache entered: what is at hand, or was hidden by a sweep; NULL where the magazine is empty. */
static void *pop(struct cache *cache, uint32_t bin) {
    struct magazine *m = cache_magazine(cache, CACHE_SPANS, bin);
    void **items;
    if (m->top == m->base) {
        if (cache->owner[CACHE_SPANS] != SPANS_OWNER) return NULL;
        cache_want(cache, CACHE_SPANS, bin, &items);
    }
    return m->top != m->base ? *--m->top : NULL;
}

bool spans_take(uint64_t count_pages, uintptr_t *start) {
    uint32_t bin = bin_of(count_pages);
    if (bin == NO_BIN) return false;
    struct cache *cache = cache_enter();
    if (!cache) return false;
    void *item = pop(cache, bin);
    uint32_t account = (uint32_t)((uintptr_t)item & ACCOUNT_MASK), asker = budget_asked_number();
    if (item && account != asker && !budget_move(account, asker, count_pages)) {
        cache_magazine(cache, CACHE_SPANS, bin)->top++; /* it is still there */
        item = NULL;
    }
    cache_leave(cache);
    if (!item) return false;
    *start = (uintptr_t)item - account;
    zero_used((void *)*start, (size_t)count_pages << PAGE_SHIFT);
    space_publish(granule_of(*start),
                  (struct span){.count_pages = count_pages, .state = PG_READWRITE, .kind = SPAN_VM, .owner = asker});
    return true;
}

/* With the cache entered. */
static bool push(struct cache *cache, uint32_t bin, void *start) {
    struct magazine *m = cache_magazine(cache, CACHE_SPANS, bin);
    if (m->top == m->end) {
        if (!cache_attach(cache, CACHE_SPANS, SPANS_OWNER, &source)) return false;
        if (!cache_make_room(cache, CACHE_SPANS, bin)) return false;
    }
    *m->top++ = start;
    return true;
}

bool spans_leave(const struct found *found) {
    const struct span *span = &found->span;
    uint32_t bin = bin_of(span->count_pages);
    struct page first = granule_page(found->head);
    if (bin == NO_BIN || span->flags || span->state != PG_READWRITE || pages_state(first) != PG_READWRITE) return false;
    if (pages_run(first, span->count_pages, 0xff) != span->count_pages || pages_busy(first, span->count_pages)) return false;
    struct cache *cache = cache_enter_or_make();
    if (!cache) return false;
    /* Retracted first: from here on it is this thread's alone. */
    bool left = space_retract_plain(found);
    void *item = (void *)(granule_address(found->head) | span->owner);
    if (left && !push(cache, bin, item)) flush(SPANS_OWNER, bin, &item, 1, true);
    cache_leave(cache);
    return left;
}

uint64_t spans_flush(void) { return cache_flush_mine(CACHE_SPANS); }

/*
 * census.c - reading the magazines of other threads. See census.h.
 *
 * A magazine's words are read one by one, so they may belong to two of its states. Whatever they say, the number of items is
 * taken only if it could be one: no more than a magazine ever has; the places where magazines of two sizes have their items are
 * further apart than that. So the items can be read: what was once a magazine's memory stays readable.
 */
#include "core/census.h"

#include "base/atom.h"

HM_READS_OTHERS static uint64_t word_of(const void *word) { return *(const volatile uint64_t *)word; }

static uint64_t items_in(const struct magazine *m, uint64_t *floor) {
    *floor = word_of(&m->floor);
    uint64_t items = (word_of(&m->top) - *floor) / sizeof(void *);
    return *floor != 0 && items <= MAGAZINE_MOST ? items : 0;
}

/* The bin of the item that came last; CACHE_BINS: there is none. */
static unsigned last_in(const struct cache *cache, unsigned set) {
    uint64_t mark = word_of(&cache->own[set].head.last.mark);
    return cache_marks_bin(mark) ? cache_marked(mark) : CACHE_BINS;
}

struct by_owner {
    unsigned set, mixed;
    uint64_t owner;
    unsigned (*which)(uintptr_t item);
    uint64_t *count;
};

static void count_mixed(const struct by_owner *by, uint64_t item) {
    unsigned meant = by->which((uintptr_t)item);
    if (meant < CACHE_BINS) by->count[meant]++;
}

static void count_owned(struct cache *cache, void *context) {
    const struct by_owner *by = context;
    uint64_t floor;
    if (word_of(&cache->own[by->set].head.owner) != by->owner) return;
    unsigned last = last_in(cache, by->set);
    if (last < by->mixed) by->count[last]++;
    else if (last < CACHE_BINS) count_mixed(by, word_of(&cache->own[by->set].head.last.item));
    for (unsigned bin = 0; bin < CACHE_BINS; bin++) {
        uint64_t items = items_in(&cache->own[by->set].magazine[bin], &floor);
        if (bin < by->mixed) {
            by->count[bin] += items;
            continue;
        }
        for (uint64_t i = 0; i < items; i++) count_mixed(by, word_of((const void *)(uintptr_t)(floor + i * sizeof(void *))));
    }
}

void census_by_owner(unsigned set, uint64_t owner, unsigned mixed, unsigned (*which)(uintptr_t item),
                     uint64_t count[CACHE_BINS]) {
    struct by_owner by = {set, mixed, owner, which, count};
    cache_each_used(count_owned, &by);
}

bool census_has_spans(const struct cache *cache) {
    uint64_t floor;
    if (word_of(&cache->own[CACHE_SPANS].head.owner) == 0) return false;
    for (unsigned bin = 0; bin < CACHE_BINS; bin++) {
        if (items_in(&cache->own[CACHE_SPANS].magazine[bin], &floor) != 0) return true;
    }
    return false;
}

struct each {
    void (*visit)(const struct census *held, void *context);
    void *context;
};

static void count_cache(struct cache *cache, void *context) {
    const struct each *each = context;
    struct census held = {.thread = atom_load_rlx_u32(&cache->thread)};
    uint64_t floor;
    for (unsigned set = 0; set < CACHE_SETS; set++) {
        const struct cache_source *source = (const struct cache_source *)(uintptr_t)word_of(&cache->set[set].source);
        if (word_of(&cache->own[set].head.owner) == 0 || source == NULL) continue;
        for (unsigned bin = 0; bin < CACHE_BINS; bin++) {
            uint64_t items = items_in(&cache->own[set].magazine[bin], &floor) + (last_in(cache, set) == bin);
            if (items == 0) continue;
            *(set == CACHE_SPANS ? &held.spans : &held.blocks) += items;
            *(set == CACHE_SPANS ? &held.span_bytes : &held.block_bytes) += items * source->item_bytes(bin);
        }
    }
    if (held.thread != 0 || held.blocks != 0 || held.spans != 0) each->visit(&held, each->context);
}

void census_each(void (*visit)(const struct census *held, void *context), void *context) {
    struct each each = {visit, context};
    cache_each_used(count_cache, &each);
}

/*
 * near.c - the threads' maps of their own slabs, and slabs that change threads.
 *
 * The tag of a slab's first granule says which thread the slab serves. No other thread's map may have the slab once it is closed,
 * or that thread would take what starts there next for what was there before. Only a thread puts slabs into its map;
 * others may take them out:
 *
 *   add   by the slab's new home, after the tag was written: writes the map, then looks at the tag again, and if that names
 *         another thread by now, takes the slab out again;
 *   drop  by whoever has changed the tag from one home to another, out of the old home's map; and by who has closed the slab.
 *
 * If the home changes while the old one is still adding, either that one sees the new tag, or the drop comes after what it
 * wrote. Both hold objects of the slab until they are done, so it cannot be closed before. What may go wrong is that a late drop
 * takes out a slab that has come back to its old home: its blocks are freed by the tag then.
 *
 * A word of the map is the address where a slab starts or the granule's NEAR_NONE, and goes from one to the other by CAS alone.
 * The mark beside it is written while it is NEAR_NONE, by the map's own thread, the only one that reads it.
 */
#include "heap/near.h"

#include "base/atom.h"
#include "heap/slab.h"

/* From which every address of the granule is too far away. Zero is, but not for the lowest addresses of all. */
#define NEAR_NONE(granule) ((uint64_t)((granule) < CLASS_OFFSETS / GRANULE_BYTES) << 63)

static uint64_t near_heap; /* its number */

void near_serve(uint64_t heap) { atom_store_rlx_u64(&near_heap, heap); /* rlx: a slab made meanwhile is in no map */ }

void near_prepare(struct cache *cache) {
    struct cache_quick *quick = &cache->quick;
    if (quick->mark_of_size[0] != 0) return;
    for (size_t size = 0; size < CACHE_QUICK_SIZES; size++) quick->mark_of_size[size] = (uint16_t)cache_mark(class_of(size));
    if (CACHE_NEAR == 0) return;
    for (size_t g = 0; NEAR_NONE(g) != 0; g++) atom_store_own_u64(&quick->start[g], NEAR_NONE(g)); /* own: before any near_add */
    for (unsigned i = 0; i < CLASS_COUNT; i++) quick->class[i + 1].magic = class_table[i].magic;
}

static size_t granules_of(uint64_t tag) { return granules_for_pages(class_slab_pages(tag_class(tag))); }

/* Where the granule is in a map. */
static size_t index_of(struct granule head, size_t i) { return (head.n + i) % GRANULES_PER_SLOT; }

/* False: another slab, of another slot, has the place. */
static bool add_one(struct cache_quick *quick, size_t g, uint64_t start, uint64_t tag) {
    uint64_t seen = atom_load_own_u64(&quick->start[g]);
    if (seen == start) return true; /* it has come back before it was taken out */
    if (seen != NEAR_NONE(g)) return false;
    quick->mark[g] = (uint16_t)cache_mark(tag_class(tag));
    return atom_cas_acqrel_u64(&quick->start[g], &seen, start); /* acqrel: before the tag is looked at again */
}

void near_drop(struct granule head, uint64_t tag) {
    uint64_t home = tag & TAG_HOME_MASK;
    if (CACHE_NEAR == 0 || home == 0) return;
    struct cache_quick *quick = &cache_of_home(home)->quick;
    for (size_t i = 0; i < granules_of(tag); i++) {
        uint64_t start = granule_address(head);
        atom_cas_acqrel_u64(&quick->start[index_of(head, i)], &start, NEAR_NONE(index_of(head, i)));
    }
}

void near_add(struct granule head, uint64_t tag) {
    struct cache *cache = cache_mine();
    uint64_t home = tag & TAG_HOME_MASK;
    if (CACHE_NEAR == 0 || home == 0 || home != cache->home) return;
    if (tag >> TAG_HEAP_SHIFT != atom_load_rlx_u64(&near_heap)) return; /* rlx: as in near_serve */
    bool all = true;
    for (size_t i = 0; all && i < granules_of(tag); i++) {
        all = add_one(&cache->quick, index_of(head, i), granule_address(head), tag);
    }
    if (!all || (slab_tag(granule_address(head)) & TAG_HOME_MASK) != home) near_drop(head, tag);
}

void near_move(struct granule head, uint64_t home) {
    uint64_t tag = slab_tag(granule_address(head)), moved = (tag & ~TAG_HOME_MASK) | home;
    if (tag == 0 || tag == moved || !atom_cas_acqrel_u64(slab_tag_at(head), &tag, moved)) return; /* or another was faster */
    /* Not the first again: that one decides, and may be another's by now. */
    slab_tags_write((struct granule){head.n + 1}, granules_of(tag) - 1, moved);
    near_drop(head, tag);
    near_add(head, moved);
}

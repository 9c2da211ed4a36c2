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
 * A slab whose objects have their lines for themselves names no thread in its tag. Any thread that frees a block of it adds it to
 * its map, holding that block, and says so before in one of the 64 bits of the slab's `maps`, by its cache's number; who closes
 * it takes it out of the maps of all that have these bits.
 *
 * A word of the map is the address where a slab starts or the granule's CACHE_NO_SLAB, and goes from one to the other by CAS
 * alone. The mark beside it is written while it is CACHE_NO_SLAB, by the map's own thread, the only one that reads it; so
 * what a signal handler opens while its thread is adding is not added. A thread without a cache has no map: what stands for its
 * cache (home 0) is a line long.
 */
#include "heap/near.h"

#include "base/atom.h"
#include "core/bitmap.h"
#include "core/table.h"
#include "heap/slab.h"

_Static_assert(CLASS_OFFSETS == CACHE_AWAY, "no slab is longer");
_Static_assert(sizeof((struct cache *)0)->quick.class[0] == sizeof(struct magazine), "one mark finds both");

/*
 * Let magic * size be 2^64 + e. The product of magic and an offset of q * size + r, where 0 <= r < size, is q * e + r * magic, of
 * which 64 bits are seen. Sizes here are up to 64 KiB, offsets of 47 bits, in both directions; magic is the least odd number for
 * which e is positive, so e is less than twice the size, and the size itself for powers of two. So q * e is less than 2^48 in
 * magnitude, and for 64 KiB less than 2^47; magic is more than that by more than the limit, objects * e, which is 2^21 at most.
 *
 *   r = 0   The product is q * e: below the limit for 0 to objects - 1; not for those behind, which leaves out the slab's unused
 *           rest; and not for negative ones, for which it is 2^64 less a little.
 *   r > 0   r * magic is from magic to 2^64 + e - magic, and q * e does not lead from there to below the limit.
 *
 * An address that differs from an object's in bits from the 47th on has a multiple of 2^47 more in the offset; and in the product
 * one that is not zero, since magic is odd.
 */
struct cache_starts near_starts(const struct class_row *row) {
    if (row->objects == 1) return (struct cache_starts){1, 1}; /* where the slab starts */
    uint64_t magic = (UINT64_MAX / row->size_bytes + 1) | 1;
    return (struct cache_starts){magic, row->objects * (magic * row->size_bytes)};
}

static uint64_t near_heap; /* its number */

void near_serve(uint64_t heap) { atom_store_rlx_u64(&near_heap, heap); /* rlx: a slab made meanwhile is in no map */ }

/* rlx: as in near_serve. */
static bool served(uint64_t tag) { return tag >> TAG_HEAP_SHIFT == atom_load_rlx_u64(&near_heap); }

static size_t granules_of(uint64_t tag) { return granules_for_pages(class_slab_pages(tag_class(tag))); }

/* Where the granule is in a map. */
static size_t index_of(struct granule head, size_t i) { return (head.n + i) % GRANULES_PER_SLOT; }

/* False: another slab, of another slot, has the place. */
static bool add_one(struct cache_quick *quick, size_t g, uint64_t start, uint64_t tag) {
    table_touch(&quick->start[g]);
    uint64_t seen = atom_load_own_u64(&quick->start[g]);
    if (seen == start) return true; /* it has come back before it was taken out */
    if (seen != CACHE_NO_SLAB(g)) return false;
    quick->class[tag_class(tag) + 1].starts = near_starts(tag_row(tag));
    quick->mark[g] = (uint16_t)cache_mark(tag_class(tag));
    return atom_cas_acqrel_u64(&quick->start[g], &seen, start); /* acqrel: before the tag is looked at again */
}

struct gone {
    struct granule head;
    size_t granules;
};

static void take_out(struct cache *cache, void *context) {
    const struct gone *gone = context;
    for (size_t i = 0; i < gone->granules; i++) {
        size_t g = index_of(gone->head, i);
        uint64_t start = granule_address(gone->head);
        if (atom_load_acq_u64(&cache->quick.start[g]) != start) continue; /* acq: whoever has put it there held an object */
        atom_cas_acqrel_u64(&cache->quick.start[g], &start, CACHE_NO_SLAB(g));
    }
}

void near_drop(struct granule head, uint64_t tag) {
    uint64_t home = tag & TAG_HOME_MASK;
    struct gone gone = {head, granules_of(tag)};
    if (CACHE_NEAR == 0 || !served(tag) || home == TAG_HOME_MASK) return;
    if (home != 0) take_out(cache_of_home(home), &gone);
    else cache_each_of(atom_load_acq_u64(&slab_at(head)->maps), take_out, &gone); /* acq: whoever said so held an object */
}

void near_add(struct granule head, uint64_t tag) {
    struct cache *cache = cache_mine();
    if (CACHE_NEAR == 0 || !served(tag) || cache->home == 0 || (tag & TAG_HOME_MASK & cache->others) != 0) return;
    if (cache->quick.adding) return; /* a signal handler's slab does without */
    cache->quick.adding = true;
    atom_signal_fence();
    bool all = true;
    if ((tag & TAG_HOME_MASK) == 0) bitmap_claim(&slab_at(head)->maps, cache->number % 64, 1); /* or it was there */
    for (size_t i = 0; all && i < granules_of(tag); i++) {
        all = add_one(&cache->quick, index_of(head, i), granule_address(head), tag);
    }
    struct gone gone = {head, granules_of(tag)};
    if (!all || slab_tag(granule_address(head)) != tag) take_out(cache, &gone);
    atom_signal_fence();
    cache->quick.adding = false;
}

void near_move(struct granule head, uint64_t home) {
    uint64_t tag = slab_tag(granule_address(head)), moved = (tag & ~TAG_HOME_MASK) | home;
    if (tag == 0 || tag == moved) return;
    if (tag_row(tag)->line == 1) moved = tag; /* whoever has it in its map may keep it there */
    else if (!atom_cas_acqrel_u64(slab_tag_at(head), &tag, moved)) return; /* another was faster */
    slab_inherit(slab_at(head), home);
    if (moved == tag) {
        near_add(head, tag);
        return;
    }
    /* Not the first again: that one decides, and may be another's by now. */
    slab_tags_write((struct granule){head.n + 1}, granules_of(tag) - 1, moved);
    near_drop(head, tag);
    near_add(head, moved);
}

/*
 * empty.c - empty slabs: how many a heap keeps, and when they go back to the system.
 *
 * A slab whose last object is freed stays where it is and serves again, since a program that frees much is often about to
 * allocate as much. What is still empty at the keeper's second look goes back: after a quarter to half a second, and by nobody's
 * request. Where there is no keeper, or not yet, the heap's count of its empty slabs' bytes sets a bound: past it a slab
 * goes back at once.
 *
 * The count. A slab is counted by whoever takes its count of holders to 0, and discounted by whoever takes it from 0 (a pin) or
 * closes it. Each of these is one operation on the slab's life, so each change is counted once; the two counts may come
 * in the wrong order, so the sum may be too small for a moment, and a slab that comes in that moment is kept although it should
 * not be. The count that comes late then takes the sum past the bound, with a slab that is in use again: others go instead.
 *
 * Blocks of their own are not counted, since a length may change while others look. Where there is a keeper those that are
 * not too long stay, too (large.c), as long as all that do make no more than LARGE_SUM or a share of what the heap has taken;
 * which is added up from the few places in their set that have room. The others go at once. And of more than LARGE_LEAST so
 * much goes as the heap takes anew: it must not come to need more memory than it would if none stayed, since somebody may
 * have given the process just that.
 */
#include "base/prot.h"
#include "core/keeper.h"
#include "heap/depot.h"
#include "heap/heap_inside.h"

#ifndef EMPTY_LEAST
#define EMPTY_LEAST ((uint64_t)1 << 20) /* what a heap may always keep */
#endif
#define EMPTY_SHARE 16u /* of what it has taken, beyond that */
#define LARGE_LONGEST ((uint64_t)(32 << 20) / PAGE_BYTES)
#ifndef LARGE_LEAST
#define LARGE_LEAST ((uint64_t)(8 << 20) / PAGE_BYTES)
#endif
#define LARGE_SUM ((uint64_t)(64 << 20) / PAGE_BYTES)
#define LARGE_SHARE 4u

/* Counts a slab of the class, or takes it off the count. Returns the sum after. */
int64_t empty_count(struct heap *heap, unsigned class_index, bool came) {
    uint64_t bytes = class_index == CLASS_LARGE ? 0 : class_slab_pages(class_index) * PAGE_BYTES;
    uint64_t more = came ? bytes : -bytes;
    return (int64_t)(atom_add_acqrel_u64(&heap->empty_bytes, more) + more);
}

/* Gives the slab back if nobody holds it. Returns the bytes given back. */
static size_t empty_retire(struct heap *heap, unsigned class_index, struct granule head) {
    struct slab *slab = slab_at(head);
    uint64_t owner = owner_of(heap, class_index);
    if (!slab_close(slab, owner)) return 0;
    struct run run = slab_run(slab, head);
    size_t place = (size_t)atom_load_rlx_u64(&slab->place); /* rlx: the slab is this thread's alone */
    if (!slab_discard(&run)) {
        /* A pin that has come meanwhile, and found no owner, is counted when it goes. */
        if (life_count(slab_reopen(slab, owner)) != 0) empty_count(heap, class_index, false);
        heap_untidy(heap); /* to be asked for again */
        return 0;
    }
    /* The place may name the granule's next slab for a moment: harmless if that is ours, and refused by its owner if not. */
    set_remove(&heap->set[class_index], place);
    size_t bytes = (size_t)run.count_pages * PAGE_BYTES;
    budget_refund(&heap->budget, run.count_pages, run.count_pages);
    empty_count(heap, class_index, false);
    return bytes;
}

void heap_untidy(struct heap *heap) {
    /* rlx: the caller's change before was an atomic operation, a full barrier (atom.h), and so is the keeper's store of 0:
     * either this sees that, or its look sees the change. */
    if (atom_load_rlx_u64(&heap->untidy) == 0) atom_store_rlx_u64(&heap->untidy, 1);
    keeper_wake(heap_tidy);
}

/* Gives back slabs that are empty until the sum is within the bound. */
static void retire_beyond(struct heap *heap, uint64_t most) {
    for (struct slab_walk walk = {0}; slab_walk_next(heap, &walk);) {
        if ((int64_t)atom_load_rlx_u64(&heap->empty_bytes) <= (int64_t)most) return; /* rlx: who adds to it looks itself */
        if (life_count(walk.life) == 0) empty_retire(heap, walk.class_index, walk.head);
    }
}

/* How many pages the blocks of their own have that stay, about. */
static uint64_t large_pages(const struct heap *heap) {
    const struct set *set = &heap->set[CLASS_LARGE];
    uint64_t pages = 0;
    for (size_t place = set_next(set, 0); place != SET_NONE; place = set_next(set, place + 1)) {
        struct granule head = set_slab(set, place);
        if (head.n != 0) pages += slab_run(slab_at(head), head).count_pages;
    }
    return pages;
}

void empty_make_way(struct heap *heap, uint64_t count_pages) {
    const struct set *set = &heap->set[CLASS_LARGE];
    uint64_t stay = large_pages(heap), most = stay > count_pages ? stay - count_pages : 0;
    if (most < LARGE_LEAST) most = LARGE_LEAST;
    for (size_t place = set_next(set, 0); place != SET_NONE && stay > most; place = set_next(set, place + 1)) {
        struct granule head = set_slab(set, place);
        size_t gone = head.n != 0 ? empty_retire(heap, CLASS_LARGE, head) / PAGE_BYTES : 0;
        stay -= gone < stay ? gone : stay;
    }
}

/* Does a block of its own that has come to be empty stay? The run is out of date if another thread has taken it by now. */
static bool large_stays(const struct heap *heap, const struct run *run) {
    if (heap->state != PG_READWRITE || (run->flags & SPAN_SYSTEM) || run->count_pages > LARGE_LONGEST) return false;
    if (!keeper_runs()) {
        keeper_missed();
        return false;
    }
    uint64_t stay = large_pages(heap);
    return stay <= LARGE_SUM || stay <= heap_taken(heap) / PAGE_BYTES / LARGE_SHARE;
}

static void large_came(struct heap *heap, struct granule head) {
    struct slab *slab = slab_at(head);
    struct run run = slab_run(slab, head);
    atom_store_rlx_u32(&slab->looked, 0); /* rlx: as in empty_came */
    if (large_stays(heap, &run)) heap_untidy(heap);
    else empty_retire(heap, CLASS_LARGE, head);
}

void empty_came(struct heap *heap, unsigned class_index, struct granule head) {
    if (class_index == CLASS_LARGE) {
        large_came(heap, head);
        return;
    }
    uint64_t most = heap_taken(heap) / EMPTY_SHARE;
    if (most < EMPTY_LEAST) most = EMPTY_LEAST;
    atom_store_rlx_u32(&slab_at(head)->looked, 0); /* rlx: at worst the slab stays for a look longer, or a look less */
    if (empty_count(heap, class_index, true) > (int64_t)most && !keeper_runs()) {
        keeper_missed();
        if (!empty_retire(heap, class_index, head)) retire_beyond(heap, most);
    } else {
        heap_untidy(heap);
    }
}

/* Gives back the slabs that are empty: those that were so at the last look too, or all. Returns the bytes; *left: some stay. */
static size_t retire_idle(struct heap *heap, bool all, bool *left) {
    size_t bytes = 0;
    for (struct slab_walk walk = {0}; slab_walk_next(heap, &walk);) {
        if (life_count(walk.life) != 0) continue; /* empty_retire looks again; this only spares slabs in use a failing CAS */
        if (all || atom_load_rlx_u32(&walk.slab->looked)) { /* rlx: as in empty_came */
            bytes += empty_retire(heap, walk.class_index, walk.head);
        } else {
            atom_store_rlx_u32(&walk.slab->looked, 1); /* rlx: the same */
            *left = true;
        }
    }
    return bytes;
}

size_t heap_trim_one(struct heap *heap) {
    bool left;
    depot_empty(heap);
    return retire_idle(heap, true, &left);
}

bool heap_tidy_one(struct heap *heap) {
    uint64_t seen = atom_load_rlx_u64(&heap->untidy); /* rlx: as in heap_untidy */
    /* acqrel: before the look, so that what comes after it finds 0 and says so again. */
    if (seen == 0 || !atom_cas_acqrel_u64(&heap->untidy, &seen, 0)) return false;
    bool more = depot_empty(heap);
    retire_idle(heap, false, &more); /* what comes meanwhile says so itself */
    if (more) atom_store_rlx_u64(&heap->untidy, 1);
    return more;
}

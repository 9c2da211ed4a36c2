/*
 * large.c - blocks of their own, each a slab of one object: how those that were freed serve again.
 *
 * A block that is freed stays for a while (empty.c says which do, and how much), and what is asked for next is seldom as long.
 * So one that is too long is cut, and its end stays as a block like any other. One that is too short takes in the blocks behind
 * it that stay as well, and then free granules. No content is dropped on the way: where buffers of all lengths come and go,
 * they live in memory that is there. A block that is to grow where it is (heap_resize) does the same.
 *
 * Whoever changes a length has the block alone: it is the caller's, or nobody held it, and the pin that found that keeps it from
 * being closed, and from being taken by others. A block behind is closed before it is taken in, as one that goes back to the
 * system.
 */
#include "heap/heap_inside.h"

/* Gives pages back, or takes free granules in. */
static enum status pages_resize(struct heap *heap, struct slab *slab, struct granule head, uint64_t count_pages) {
    uint64_t held = slab_run(slab, head).count_pages, more = count_pages > held ? count_pages - held : 0;
    if (more && !budget_charge(&heap->budget, more, more)) return ST_NO_MEMORY;
    bool done = slab_resize(slab, head, count_pages);
    if (!done && more) budget_undo(&heap->budget, more, more);
    if (done && more) empty_make_way(heap, more); /* not before: what stays may be needed to move to */
    if (done && held > count_pages) budget_refund(&heap->budget, held - count_pages, held - count_pages);
    return done ? ST_OK : ST_NO_ADDRESS_SPACE;
}

/* Takes in the block behind, if that stays, with what is left of the granule between them. */
static bool behind_take(struct heap *heap, struct slab *slab, struct granule head) {
    struct run run = slab_run(slab, head), next;
    uint64_t owner = owner_of(heap, CLASS_LARGE), gap = -run.count_pages % PAGES_PER_GRANULE;
    next.first.n = head.n + (uint32_t)granules_for_pages(run.count_pages);
    struct found found;
    if (!space_find_start(granule_address(next.first), &found) || found.span.kind != SPAN_LARGE) return false;
    if (run.flags || found.span.flags || next.first.n / GRANULES_PER_SLOT != head.n / GRANULES_PER_SLOT) return false;
    struct slab *behind = slab_at(next.first);
    if (!behind || !slab_close(behind, owner)) return false;
    next = slab_run(behind, next.first);
    size_t place = (size_t)atom_load_rlx_u64(&behind->place); /* rlx: the slab is this thread's alone */
    /* With the access that the heap gives: whoever had it may have taken that away. */
    bool charged = slab_renew(&next, (uint8_t)heap->state, false) && budget_charge(&heap->budget, gap, gap);
    bool joined = charged && slab_join(slab, head, &next);
    if (joined) {
        set_remove(&heap->set[CLASS_LARGE], place);
    } else {
        slab_reopen(behind, owner);
        heap_untidy(heap); /* the keeper may have passed it over meanwhile */
        if (charged) budget_undo(&heap->budget, gap, gap);
    }
    return joined;
}

/* Cuts it, so that the rest stays. */
static bool rest_leave(struct heap *heap, struct slab *slab, struct granule head, uint64_t count_pages) {
    struct set *set = &heap->set[CLASS_LARGE];
    struct run rest;
    size_t place;
    if (set_reserve(set, &place) != ST_OK) return false;
    if (!slab_split(slab, head, count_pages, &rest)) {
        set_cancel(set, place);
        return false;
    }
    slab_open(&rest, SPAN_LARGE, (uint8_t)heap->state, owner_of(heap, CLASS_LARGE), place, 1, heap->front.tag);
    set_enter(set, place, rest.first, false);
    HM_CHECK(heap_free(heap, (void *)granule_address(rest.first)) == ST_OK);
    return true;
}

/* No longer than it has to be, or hardly. */
static bool length_suits(uint64_t held_pages, uint64_t count_pages) {
    return held_pages - count_pages <= count_pages / 8; /* wraps for what is too short */
}

/* The same; or it is longer, to be cut; or at least half as long, in the hope that there is something behind it. */
enum length_fit { FIT_AS_IT_IS, FIT_CUT, FIT_LENGTHENED };
static bool length_fits(uint64_t held_pages, uint64_t count_pages, enum length_fit fit) {
    if (fit == FIT_AS_IT_IS) return length_suits(held_pages, count_pages);
    return held_pages >= (fit == FIT_CUT ? count_pages : count_pages / 2);
}

static enum status length_make(struct heap *heap, struct slab *slab, struct granule head, uint64_t count_pages) {
    while (slab_run(slab, head).count_pages < count_pages && behind_take(heap, slab, head)) continue;
    uint64_t held = slab_run(slab, head).count_pages;
    if (length_suits(held, count_pages)) return ST_OK;
    if (held > count_pages && rest_leave(heap, slab, head, count_pages)) return ST_OK;
    return pages_resize(heap, slab, head, count_pages);
}

enum status large_resize(struct heap *heap, struct slab *slab, struct granule head, uint64_t count_pages) {
    uint64_t held = slab_run(slab, head).count_pages;
    if (count_pages <= held) return pages_resize(heap, slab, head, count_pages);
    enum status status = length_make(heap, slab, head, count_pages);
    if (status != ST_OK && slab_run(slab, head).count_pages > held) {
        /* What was taken in is not enough. It stays behind again, but for what lies between the two; or all of it goes. */
        rest_leave(heap, slab, head, held);
        pages_resize(heap, slab, head, held);
    }
    return status;
}

/* Is it nobody's at this moment, and might serve? */
static bool may_serve(const struct heap *heap, struct slab *slab, struct granule head, uint64_t life, uint64_t count_pages,
                      enum length_fit fit) {
    return life_owner(life) == owner_of(heap, CLASS_LARGE) && life_count(life) == 0 &&
           length_fits(slab_run(slab, head).count_pages, count_pages, fit);
}

/* Takes the block that starts there if it stays there and fits. */
static bool large_take(struct heap *heap, struct granule head, uint64_t count_pages, bool zero, enum length_fit fit) {
    struct slab *slab = slab_at(head);
    uint64_t life = atom_load_rlx_u64(&slab->life), mask; /* rlx: spares others a pin; what that finds decides */
    if (!may_serve(heap, slab, head, life, count_pages, fit)) return false;
    life = pins_take(slab, 1); /* if it finds nobody the block is this thread's alone */
    if (may_serve(heap, slab, head, life, count_pages, fit) && length_make(heap, slab, head, count_pages) == ST_OK) {
        struct run run = slab_run(slab, head);
        if (slab_renew(&run, (uint8_t)heap->state, zero) && slab_claim(slab, 1, 0, 1, 1, &mask) != SIZE_MAX) {
            set_mark_full(&heap->set[CLASS_LARGE], (size_t)atom_load_rlx_u64(&slab->place)); /* rlx: as above */
            return true;
        }
    }
    pins_return(heap, slab, head, 1);
    return false;
}

enum status large_add(struct heap *heap, uint64_t count_pages, size_t align, bool zero, void **block) {
    struct set *set = &heap->set[CLASS_LARGE];
    for (enum length_fit fit = FIT_AS_IT_IS; fit <= FIT_LENGTHENED; fit++) {
        for (size_t place = set_next(set, 0); place != SET_NONE; place = set_next(set, place + 1)) {
            struct granule head = set_slab(set, place);
            if (head.n == 0 || granule_address(head) % align != 0) continue;
            if (!large_take(heap, head, count_pages, zero, fit)) continue;
            *block = (void *)granule_address(head);
            return ST_OK;
        }
    }
    uint32_t hint = 0;
    return heap_slab_add(heap, CLASS_LARGE, (struct heap_asker){0, &hint}, count_pages, align, block);
}

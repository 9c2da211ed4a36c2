/*
 * slab.c - slabs and their descriptors.
 *
 * States of a descriptor: no owner -> slab_open -> owned -> slab_close -> no owner. Descriptors of 4,096 granules are one table,
 * reserved when the first slab starts in one of them and never unmapped; a granule's part is committed when a slab starts there.
 *
 * Invariants
 *   1. count >= objects taken + pins. A pin comes before the bit that it claims, a release clears the bit before it counts
 *      down. So a thread whose pin found fewer than all objects held has a free bit to find, as long as it holds the pin.
 *   2. The owner changes only by the thread that has the granule to itself: from 0 by the one that claimed it from its region,
 *      to 0 by the one whose CAS in slab_close succeeded. Both keep the pins of late threads in the count, by adding to it.
 *   3. While the owner is 0 nobody touches the bitmap: a pin that finds no owner, or another than it looked for, claims nothing.
 *      So the bitmap can be prepared for the next slab while late threads still come and go.
 *   4. Owners are compared only by threads of a live heap (a heap must not be in use when it is destroyed), so an owner that is
 *      equal is the same heap and class, and an object of whichever slab of it is as good as any other.
 *
 * Any thread, any time; nothing waits.
 */
#include "heap/slab.h"

#include <string.h>

#include "core/bitmap.h"
#include "core/pages.h"
#include "core/table.h"
#include "core/zero.h"
#include "heap/near.h"
#include "os/os.h"

/*
 * Objects from this size on, each of which has its slab for itself, are zeroed by what is used of them. For shorter ones asking
 * the system what that is costs more than writing all of it.
 */
#define BY_USE_LEAST ((size_t)128 << 10)
#define STAYS_MOST 16u /* times that pages with little in them stay */

/* Times that a pinned thread searches the bitmap; it misses only what others take and put back under its eyes. */
#define CLAIM_TRIES 16

uint64_t slab_tags[SLOT_COUNT];

struct slab *slab_at(struct granule head) {
    struct slot *slot = space_slot_numbered(head.n / GRANULES_PER_SLOT);
    struct slab_table *table = slot ? slab_table_of(slot, head) : NULL;
    return table ? &table->slab[head.n % TABLE_SLABS] : NULL;
}

bool slab_find(uintptr_t address, struct granule *head) {
    struct found found;
    if (!space_find(address, &found)) return false;
    *head = found.head;
    return found.span.kind == SPAN_SLAB || found.span.kind == SPAN_LARGE;
}

/*
 * The granule's descriptor, ready to be written, and its slot's tags: all of them, since a free reads the tag of whatever address
 * it is handed. NULL: no memory.
 */
static struct slab *descriptor_make(struct granule head) {
    const size_t tags = GRANULES_PER_SLOT * sizeof(uint64_t);
    size_t slot = head.n / GRANULES_PER_SLOT;
    struct slab_table *table = table_once(slab_table_place(space_slot_numbered(slot), head), sizeof *table, 0);
    if (!table || !table_once(&slab_tags[slot], tags, tags)) return NULL;
    struct slab *slab = &table->slab[head.n % TABLE_SLABS];
    uint64_t *many = table->many[head.n % TABLE_SLABS];
    if (os_tables_commit(slab, sizeof *slab) != ST_OK) return NULL;
    table_touch(&slab->many);
    /* rlx: written by who had the granule before, and always the same; slab_open publishes it. */
    if (atom_load_rlx_u64(&slab->many)) return slab;
    if (os_tables_commit(many, sizeof table->many[0]) != ST_OK) return NULL;
    atom_store_rlx_u64(&slab->many, (uint64_t)(uintptr_t)many);
    return slab;
}

/*
 * How many bytes of a run are committed: where that costs nothing, all of its granules, so that runs side by side are one
 * mapping. A reservation for itself ends with its last page.
 */
static size_t run_bytes_committed(const struct run *run) {
    size_t bytes = (size_t)run->count_pages * PAGE_BYTES;
    return os_commit_is_lazy() && !(run->flags & SPAN_SYSTEM) ? align_up(bytes, GRANULE_BYTES) : bytes;
}

/* Executable heaps need another access than the memory has that stays read-write, where there is such memory. */
static enum status run_claim(uint64_t count_pages, size_t align, uint8_t state, struct run *run) {
    return state == PG_READWRITE ? region_claim_open(count_pages, align, run) : region_claim_aligned(count_pages, align, run);
}

static enum status bytes_commit(const struct run *run, uintptr_t start, size_t size, uint8_t state) {
    return run_is_open(run) ? ST_OK : os_commit(start, size, state);
}

/* Have all pages of the range the access that the heap gave them? A program may protect pages of its blocks. */
static bool pages_as_given(uintptr_t start, size_t size, uint8_t given) {
    for (struct piece at = {0}; pages_next(page_of(start), size / PAGE_BYTES, &at, PG_STATE_MASK);) {
        uint8_t state = at.state & PG_STATE_MASK;
        if (state != given && state != PG_NONE) return false; /* PG_NONE: past the block's end, where nobody was */
    }
    return true;
}

/* Drops the content, and the access where whoever has the memory next does not count on it. False: refused, nothing changed. */
static bool bytes_drop(const struct run *run, uintptr_t start, size_t size) {
    if (!run_is_open(run)) return os_decommit(start, size) == ST_OK;
    if (!pages_as_given(start, size, PG_READWRITE) && os_protect(start, size, PG_READWRITE) != ST_OK) return false;
    os_discard(start, size);
    return true;
}

/* Is so much of a range in use that writing zeros to all of it costs no more than the faults for that when it was dropped? */
static bool much(size_t count_pages, size_t size) { return count_pages * PAGE_BYTES >= size / 4; }

/*
 * Zeroes what a program has used of a slab of one object. Where that was much its pages stay: whoever has the block next is taken
 * to do the same. Where there was much memory but little in it, the program may go through all of it each time, or may have done
 * so once. If none of it had stayed from before, all was touched since, and it stays, for so many times. Else it is dropped, so
 * that what is not touched again is no memory. Each stretch that one look serves is judged for itself.
 */
static void bytes_zero(struct slab *slab, uintptr_t start, size_t size) {
    uint32_t stays = atom_load_rlx_u32(&slab->stays); /* rlx: the caller's alone, as the object is */
    uintptr_t drop = start, end = start + size;       /* what lies from `drop` on is dropped in one call */
    bool any = false, little = false;
    for (uintptr_t at = start; at < end;) {
        size_t part = end - at < OS_TOUCHED_PAGES * PAGE_BYTES ? end - at : OS_TOUCHED_PAGES * PAGE_BYTES;
        bool there = much(os_touched(at, part), part), full = there && much(zero_used((void *)at, part, false), part);
        if (full || (there && stays != 0)) {
            if (drop < at) os_discard(drop, at - drop);
            drop = at + part;
            any = true;
            little |= !full;
        }
        at += part;
    }
    if (drop < end) os_discard(drop, end - drop);
    if (!any) stays = STAYS_MOST;
    else if (little) stays--;
    else if (stays == STAYS_MOST) stays = 0; /* it is not known any more which pages the program has touched since */
    atom_store_rlx_u32(&slab->stays, stays);
}

bool slab_renew(const struct run *run, uint8_t state, bool zero) {
    uintptr_t start = granule_address(run->first);
    size_t size = (size_t)run->count_pages * PAGE_BYTES;
    if (!pages_as_given(start, size, state)) {
        if (os_protect(start, size, state) != ST_OK) return false;
        pages_fill(granule_page(run->first), run->count_pages, state);
    }
    if (zero && run_is_open(run)) bytes_zero(slab_at(run->first), start, size);
    else if (zero) memset((void *)start, 0, size);
    return true;
}

void slab_zero(void *object, unsigned class_index) {
    size_t size = class_size(class_index);
    if (size >= BY_USE_LEAST) {
        struct granule head = granule_of((uintptr_t)object);
        struct slab *slab = slab_tagged(head);
        struct run run = slab_run(slab, head);
        if (run_is_open(&run)) {
            bytes_zero(slab, (uintptr_t)object, size);
            return;
        }
    }
    memset(object, 0, size);
}

/* The tag of a slab of that class which serves that thread. */
static uint64_t tag_make(uint64_t heap_tag, unsigned class_index, uint64_t home) {
    if (home == 0) home = TAG_HOME_MASK; /* has bits of every home that it is not */
    return heap_tag | (class_table[class_index].line == 1 ? 0 : home) | class_index * sizeof(struct class_row);
}

enum status slab_acquire(uint64_t count_pages, size_t align, uint8_t state, struct run *run) {
    enum status status = run_claim(count_pages, align, state, run);
    if (status != ST_OK) return status;
    size_t size = run_bytes_committed(run);
    status = descriptor_make(run->first) ? space_prepare(run->first, count_pages) : ST_NO_MEMORY;
    if (status == ST_OK) {
        status = bytes_commit(run, granule_address(run->first), size, state);
        if (status == ST_OK) {
            pages_fill(granule_page(run->first), count_pages, state);
            return ST_OK;
        }
        /*
         * A commit that fails may have reached some pages, and to take them back may fail as well. Nobody has written to them,
         * so whoever claims them next finds zeros, if more access than to free granules.
         */
        bytes_drop(run, granule_address(run->first), size);
    }
    region_release(run);
    return status;
}

/* The granules of a slab that are behind its first `count`, as a run. */
static struct run run_behind(struct granule head, size_t count, size_t end) {
    return (struct run){{head.n + (uint32_t)count}, (uint64_t)(end - count) * PAGES_PER_GRANULE, 0};
}

static void slab_relength(struct slab *slab, const struct found *found, uint64_t count_pages) {
    struct span span = found->span;
    span.count_pages = count_pages;
    atom_store_rlx_u64(&slab->count_pages, count_pages); /* rlx: read by who holds the object, or closes the slab after that */
    space_publish(found->head, span);
}

/* Where the committed part of a span would end if it had that many pages. It is of a region. */
static uintptr_t end_committed(const struct found *found, uint64_t count_pages) {
    struct run run = {found->head, count_pages, 0};
    return granule_address(found->head) + run_bytes_committed(&run);
}

static bool slab_grow(struct slab *slab, const struct found *found, uint64_t count_pages) {
    uint64_t held = found->span.count_pages;
    size_t before = granules_for_pages(held), after = granules_for_pages(count_pages);
    uintptr_t end = granule_address(found->head) + (size_t)held * PAGE_BYTES, wanted = end_committed(found, count_pages);
    struct run run = {found->head, held, 0}, tail = run_behind(found->head, before, after);
    /* Only within the region: what follows is another's, and could not be given back with the rest. */
    if ((found->head.n + after - 1) / GRANULES_PER_SLOT != found->head.n / GRANULES_PER_SLOT) return false;
    if (after > before && region_claim_more(granule_address(tail.first), tail.count_pages, &tail) != ST_OK) return false;
    enum status status = space_extend(found->head, held, count_pages);
    if (status == ST_OK) status = bytes_commit(&run, end, wanted - end, found->span.state);
    if (status != ST_OK) {
        bytes_drop(&run, end, wanted - end); /* as in slab_acquire */
        if (after > before) region_release(&tail);
        return false;
    }
    pages_fill((struct page){granule_page(found->head).n + held}, count_pages - held, found->span.state);
    slab_relength(slab, found, count_pages);
    return true;
}

static bool slab_shrink(struct slab *slab, const struct found *found, uint64_t count_pages) {
    uint64_t held = found->span.count_pages;
    size_t before = granules_for_pages(held), after = granules_for_pages(count_pages);
    uintptr_t end = granule_address(found->head) + (size_t)count_pages * PAGE_BYTES, wanted = end_committed(found, count_pages);
    struct run run = {found->head, held, 0};
    if (!bytes_drop(&run, end, end_committed(found, held) - end)) return false;
    /* Closes the gap in the last granule again. If that is refused the gap stays, until the slab grows. */
    if (end < wanted) bytes_commit(&run, end, wanted - end, found->span.state);
    slab_relength(slab, found, count_pages);
    pages_fill(page_of(end), held - count_pages, PG_NONE);
    struct run tail = run_behind(found->head, after, before);
    if (after < before) {
        space_cut(found->head, count_pages);
        region_release(&tail);
    }
    return true;
}

bool slab_resize(struct slab *slab, struct granule head, uint64_t count_pages) {
    struct found found;
    if (!space_find(granule_address(head), &found)) return false;
    uint64_t held = found.span.count_pages;
    if (count_pages == held) return true;
    if (found.span.flags & SPAN_SYSTEM) return false; /* goes back as it came */
    return count_pages > held ? slab_grow(slab, &found, count_pages) : slab_shrink(slab, &found, count_pages);
}

bool slab_split(struct slab *slab, struct granule head, uint64_t count_pages, struct run *rest) {
    struct found found;
    uint64_t kept = align_up(count_pages, PAGES_PER_GRANULE);
    if (!space_find(granule_address(head), &found) || found.span.flags || kept >= found.span.count_pages) return false;
    *rest = (struct run){{head.n + (uint32_t)(kept / PAGES_PER_GRANULE)}, found.span.count_pages - kept, 0};
    if (descriptor_make(rest->first) == NULL) return false;
    slab_relength(slab, &found, kept);
    space_cut(head, kept);
    HM_CHECK(space_prepare(rest->first, rest->count_pages) == ST_OK); /* its slot is there */
    return true;
}

bool slab_join(struct slab *slab, struct granule head, const struct run *next) {
    struct found found, behind;
    struct run run = slab_run(slab, head);
    uint64_t whole = align_up(run.count_pages, PAGES_PER_GRANULE), gap = whole - run.count_pages;
    struct page end = {granule_page(head).n + run.count_pages};
    HM_CHECK(space_find_start(granule_address(head), &found) && space_find_start(granule_address(next->first), &behind));
    if (gap && bytes_commit(&run, page_address(end), gap * PAGE_BYTES, found.span.state) != ST_OK) return false;
    HM_CHECK(space_retract(&behind));
    HM_CHECK(space_extend(head, run.count_pages, whole + next->count_pages) == ST_OK); /* the slot is there */
    pages_fill(end, gap, found.span.state);
    slab_relength(slab, &found, whole + next->count_pages);
    return true;
}

bool slab_discard(const struct run *run) {
    if (!bytes_drop(run, granule_address(run->first), run_bytes_committed(run))) return false;
    pages_fill(granule_page(run->first), run->count_pages, PG_NONE);
    struct found found;
    if (space_find(granule_address(run->first), &found)) {
        if (found.span.kind == SPAN_SLAB) {
            near_drop(run->first, slab_tag(granule_address(run->first)));
            slab_tags_write(run->first, granules_for_pages(run->count_pages), 0);
        }
        HM_CHECK(space_retract(&found));
    }
    region_release(run);
    return true;
}

void slab_open(const struct run *run, enum span_kind kind, uint8_t state, uint64_t owner, size_t place, size_t count_objects,
               uint64_t whose) {
    struct slab *slab = slab_at(run->first);
    uint64_t *taken = slab_taken(slab, count_objects);
    /* rlx: invariant 3; all of it is published by the add below. */
    for (size_t i = 0; i < BITMAP_WORDS(count_objects); i++) atom_store_rlx_u64(&taken[i], 0);
    if (count_objects % 64 != 0) atom_store_rlx_u64(&taken[count_objects / 64], ~(uint64_t)0 << count_objects % 64);
    atom_store_rlx_u64(&taken[0], atom_load_rlx_u64(&taken[0]) | 1);
    atom_store_rlx_u64(&slab->place, place);
    atom_store_rlx_u64(&slab->count_pages, run->count_pages);
    atom_store_rlx_u64(&slab->flags, run->flags);
    atom_store_rlx_u64(&slab->home, whose & TAG_HOME_MASK);
    atom_store_rlx_u32(&slab->inherited, 0);
    atom_store_rlx_u32(&slab->filled, 0);
    atom_store_rlx_u32(&slab->stays, STAYS_MOST); /* what comes to be there the program has touched */
    atom_store_rlx_u64(&slab->maps, 0);
    /* rel: pairs with slab_pin. An add, because late threads may have pins in the count (invariant 2). */
    uint64_t before = atom_add_acqrel_u64(&slab->life, life_make(owner, 1));
    HM_CHECK(life_owner(before) == 0);
    if (kind == SPAN_SLAB) {
        uint64_t tag = tag_make(whose & TAG_HEAP_MASK, (unsigned)(owner & OWNER_CLASS_MASK), whose & TAG_HOME_MASK);
        slab_tags_write(run->first, granules_for_pages(run->count_pages), tag);
        near_add(run->first, tag);
    }
    space_publish(run->first, (struct span){.count_pages = run->count_pages,
                                            .state = state,
                                            .kind = kind,
                                            .flags = run->flags,
                                            .owner = (uint32_t)(owner & 0xfff)});
}

struct run slab_run(const struct slab *slab, struct granule head) {
    /* rlx: written before the slab was opened, which the caller has seen. */
    return (struct run){head, atom_load_rlx_u64(&slab->count_pages), (unsigned)atom_load_rlx_u64(&slab->flags)};
}

uint64_t slab_pin(struct slab *slab, size_t count) {
    /* acq: pairs with slab_open; with the right owner the bitmap is ready. */
    return atom_add_acqrel_u64(&slab->life, count);
}

uint64_t slab_unpin(struct slab *slab, size_t count, size_t *place) {
    uint64_t life = atom_load_acq_u64(&slab->life); /* acq: pairs with slab_open, for the place */
    do {
        HM_ASSERT(life_count(life) >= count);
        *place = (size_t)atom_load_rlx_u64(&slab->place); /* rlx: ordered by the load of life; cannot change under a pin */
    } while (!atom_cas_acqrel_u64(&slab->life, &life, life - count));
    return life - count;
}

size_t slab_claim(struct slab *slab, size_t count_objects, size_t from, unsigned want, unsigned group, uint64_t *mask) {
    for (int attempt = 0; attempt < CLAIM_TRIES; attempt++) {
        size_t word = bitmap_claim_groups(slab_taken(slab, count_objects), count_objects, from, want, group, mask);
        if (word != BITMAP_NONE) return word;
        if (group > 1) break;
    }
    return SIZE_MAX;
}

uint64_t slab_release_some(struct slab *slab, size_t count_objects, size_t word, uint64_t mask, uint64_t *life) {
    uint64_t released = bitmap_release_some(slab_taken(slab, count_objects), word, mask);
    /* rel: as in slab_release. */
    *life = atom_add_acqrel_u64(&slab->life, -(uint64_t)__builtin_popcountll(released));
    return released;
}

bool slab_release(struct slab *slab, size_t count_objects, size_t object, uint64_t *life) {
    if (!bitmap_release(slab_taken(slab, count_objects), object, 1)) return false;
    /* rel: whoever closes the slab after this comes after everything that the object's owner did. */
    *life = atom_add_acqrel_u64(&slab->life, UINT64_MAX);
    return true;
}

bool slab_close(struct slab *slab, uint64_t owner) {
    uint64_t life = life_make(owner, 0);
    return atom_cas_acqrel_u64(&slab->life, &life, 0); /* acq: pairs with slab_release of every object */
}

bool slab_close_by_force(struct slab *slab, uint64_t owner, size_t count_objects) {
    uint64_t life = atom_load_acq_u64(&slab->life); /* acq: pairs with slab_open */
    uint64_t pins;
    do {
        if (life_owner(life) != owner) return false;
        /* No thread of the owner's is here, so what the bitmap does not account for are pins of late threads: they stay. */
        pins = life_count(life) - bitmap_count(slab_taken(slab, count_objects), count_objects);
    } while (!atom_cas_acqrel_u64(&slab->life, &life, life_make(0, pins & SLAB_COUNT_MASK)));
    return true;
}

uint64_t slab_reopen(struct slab *slab, uint64_t owner) {
    return atom_add_acqrel_u64(&slab->life, life_make(owner, 0)); /* as in slab_open */
}

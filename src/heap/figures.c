/*
 * figures.c - counting a heap from its sets and slabs.
 *
 * Descriptors and sets are never unmapped, so the worst that a walk over the slabs can read is a figure of a moment ago. The
 * caller keeps the heap from being cleared (heap_each), or owns it.
 *
 * What is taken in the bitmaps is live, or in a thread's magazine (core/census.h counts those), or in a depot.
 */
#include "heap/figures.h"

#include "base/prot.h"
#include "core/bitmap.h"
#include "core/census.h"
#include "heap/depot.h"
#include "heap/heap_inside.h"

static size_t walk_bytes(const struct slab_walk *walk) {
    return (size_t)slab_run(walk->slab, walk->head).count_pages * PAGE_BYTES;
}

static void count_slab(const struct slab_walk *walk, struct class_figures *row) {
    uint64_t objects = objects_of(walk->class_index), taken = life_count(walk->life);
    size_t bytes = walk_bytes(walk);
    row->slabs++;
    row->slab_bytes += bytes;
    row->room += objects;
    row->live += taken < objects ? taken : objects; /* pins of threads that are at work count as well */
    if (walk->class_index == CLASS_LARGE && taken) row->live_bytes += bytes;
}

/* The class of a block in a magazine of many classes. */
static unsigned class_of_block(uintptr_t block) {
    uint64_t tag = slab_tag(block);
    unsigned class_index = tag_class(tag);
    return tag != 0 && class_index < CLASS_COUNT ? class_index : CACHE_BINS;
}

static uint64_t limit_of(struct heap *heap) {
    struct budget_lines lines;
    budget_lines_get(&heap->budget, &lines);
    return lines.hard[BUDGET_COMMIT];
}

void heap_figures(struct heap *heap, struct heap_figures *figures) {
    uint64_t cached[CACHE_BINS] = {0};
    *figures = (struct heap_figures){
        .number = heap->front.number,
        .id = atom_load_rlx_u64(&heap->front.id), /* rlx: the caller holds the heap */
        .executable = (heap->state & PG_BASE_MASK) == PG_EXECUTE_READWRITE,
        /* acq: pairs with the CAS in heap_default_make, though nothing but the number is used. */
        .of_process = atom_load_acq_u64(&heap_of_process) == (uint64_t)(uintptr_t)heap,
        .limit_bytes = limit_of(heap),
        .taken_bytes = heap_taken(heap),
        .peak_bytes = budget_peak(&heap->budget, BUDGET_COMMIT),
    };
    census_by_owner(heap->front.set, figures->id, CLASS_COUNT, class_of_block, cached);
    for (struct slab_walk walk = {0}; slab_walk_next(heap, &walk);) count_slab(&walk, &figures->row[walk.class_index]);
    for (unsigned class_index = 0; class_index < CLASS_COUNT; class_index++) {
        struct class_figures *row = &figures->row[class_index];
        cached[class_index] += depot_count(heap, class_index);
        row->cached = cached[class_index] < row->live ? cached[class_index] : row->live;
        row->live -= row->cached;
        row->live_bytes = row->live * class_size(class_index);
    }
}

struct class_figures heap_figures_sum(const struct heap_figures *figures) {
    struct class_figures sum = {0};
    for (unsigned i = 0; i < FIGURES_ROWS; i++) {
        const struct class_figures *row = &figures->row[i];
        sum.slabs += row->slabs;
        sum.slab_bytes += row->slab_bytes;
        sum.room += row->room;
        sum.live += row->live;
        sum.live_bytes += row->live_bytes;
        sum.cached += row->cached;
    }
    return sum;
}

void heap_each_block(const struct heap *heap, void (*visit)(void *block, size_t size_bytes, void *context), void *context) {
    for (struct slab_walk walk = {0}; slab_walk_next(heap, &walk);) {
        size_t objects = objects_of(walk.class_index);
        size_t size = walk.class_index == CLASS_LARGE ? walk_bytes(&walk) : class_size(walk.class_index);
        const uint64_t *taken = slab_taken(walk.slab, objects);
        for (size_t i = 0; (i = bitmap_next_taken(taken, objects, i)) < objects; i++) {
            visit((void *)(granule_address(walk.head) + i * size), size, context);
        }
    }
}

bool heap_slab_fill(struct granule head, uint64_t *taken, uint64_t *objects) {
    struct slab *slab = slab_at(head);
    uint64_t life = slab ? atom_load_acq_u64(&slab->life) : 0; /* acq: as in slab_walk_next */
    if (life_owner(life) == 0) return false;
    unsigned class_index = owner_class(life_owner(life));
    *objects = objects_of(class_index);
    *taken = life_count(life) < *objects ? life_count(life) : *objects;
    return true;
}

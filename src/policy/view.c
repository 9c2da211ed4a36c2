/*
 * view.c - a thread that looks at the engine's tables and publishes what it saw.
 *
 * Nobody else pays for it: what it shows is read from the same tables that serve requests, and written to memory of its own.
 * Looking costs time that grows with what the process holds, so the thread rests fifty times as long as it has looked, and at
 * least the interval. It writes the half that is not current, between two changes of that half's sequence, then makes it
 * current (base/published.h says how a reader goes about it).
 *
 * States: 0 nobody has asked -> 1 the thread is running. In a child made by fork there is no thread: the child drops its
 * parent's view and starts a thread of its own, which waits one interval before it makes a view, so that a child that is about
 * to become another program leaves it at that.
 */
#include "policy/view.h"

#include <string.h>

#include "base/atom.h"
#include "core/census.h"
#include "core/pages.h"
#include "core/region.h"
#include "core/settings.h"
#include "os/os.h"
#include "os/os_look.h"
#include "policy/clerks.h"

#define INTERVAL_MS 250u
#define INTERVAL_LEAST_MS 10u
#define REST_FACTOR 50u

static uint32_t view_state;
static uint64_t view_interval_ms;
static struct published *view_memory; /* of the publishing thread; of the child's only thread after a fork */

/* ---- Looking ------------------------------------------------------------------------------------------------------ */

static void show_heap(struct heap *heap, void *context) {
    struct published_half *half = context;
    struct heap_figures figures;
    heap_figures(heap, &figures);
    clerks_add_heap(&figures, &half->totals, half->row);
    uint64_t n = half->count_heaps++;
    if (n < PUBLISHED_HEAPS) clerks_heap(heap, &figures, &half->heap[n]);
}

static void show_manager(const struct published_manager *manager, void *context) {
    struct published_half *half = context;
    uint64_t n = half->count_managers++;
    if (n < PUBLISHED_MANAGERS) half->manager[n] = *manager;
}

static void show_thread(const struct census *held, void *context) {
    struct published_half *half = context;
    clerks_add_census(held, &half->totals);
    uint64_t n = half->count_threads++;
    if (n >= PUBLISHED_THREADS) return;
    half->thread[n] =
        (struct published_thread){held->thread, held->blocks, held->block_bytes, held->spans, held->span_bytes};
}

/* The region's granule, NULL if the region is not among those shown. */
static struct published_granule *granule_shown(struct published_half *half, struct granule g) {
    uint64_t count = half->count_regions < PUBLISHED_REGIONS ? half->count_regions : PUBLISHED_REGIONS;
    for (uint64_t n = 0; n < count; n++) {
        uintptr_t offset = granule_address(g) - half->region[n].start;
        if (offset < SLOT_BYTES) return &half->region[n].granule[offset >> GRANULE_SHIFT];
    }
    return NULL;
}

static uint8_t use_of(enum span_kind kind) { return kind == SPAN_VM ? USE_ALLOCATION : kind == SPAN_SLAB ? USE_SLAB : USE_LARGE; }

/* The granules of one span, which lie in one region. Returns the pages committed. */
static uint64_t show_granules(const struct found *found, struct published_granule *to) {
    uint64_t taken = 0, objects = 1, committed = 0;
    bool slab = found->span.kind == SPAN_SLAB && heap_slab_fill(found->head, &taken, &objects);
    for (uint64_t at = 0; at < found->span.count_pages; at += PAGES_PER_GRANULE, to++) {
        uint64_t left = found->span.count_pages - at, pages = left < PAGES_PER_GRANULE ? left : PAGES_PER_GRANULE;
        uint64_t here = pages_count_committed((struct page){granule_page(found->head).n + at}, pages);
        to->use = use_of(found->span.kind);
        to->first = at == 0;
        to->committed = (uint8_t)here;
        to->fill = slab ? (uint8_t)(taken * 255 / objects) : 0;
        committed += here;
    }
    return committed;
}

static bool show_span(const struct found *found, void *context) {
    struct published_half *half = context;
    struct published_granule *to = found->span.flags & SPAN_SYSTEM ? NULL : granule_shown(half, found->head);
    uint64_t pages = found->span.count_pages;
    uint64_t committed = to ? show_granules(found, to) : pages_count_committed(granule_page(found->head), pages);
    if (found->span.kind == SPAN_VM) {
        half->totals.allocations++;
        half->totals.reserved_bytes += pages << PAGE_SHIFT;
        half->totals.committed_bytes += committed << PAGE_SHIFT;
    }
    if (found->span.flags & SPAN_SYSTEM) {
        half->totals.system_allocations += found->span.kind == SPAN_VM;
        uint64_t n = half->count_spans++;
        if (n >= PUBLISHED_SPANS) return true;
        half->span[n] =
            (struct published_span){granule_address(found->head), pages << PAGE_SHIFT, committed << PAGE_SHIFT};
    }
    return true;
}

/* What is taken and belongs to no span is a freed allocation that is kept at hand, or one that is being made or ended. */
static void show_regions(struct published_half *half) {
    uintptr_t base;
    struct slot *slot;
    for (size_t n = 0; n < SLOT_COUNT && (slot = region_slot(n, &base)) != NULL; n++) {
        size_t end = GRANULES_PER_SLOT - (size_t)atom_load_acq_u64(&slot->given); /* acq: pairs with region_give */
        uint64_t shown = half->count_regions++;
        if (shown >= PUBLISHED_REGIONS) continue;
        struct published_region *region = &half->region[shown];
        region->start = base;
        region->granules_taken = 0;
        for (size_t word = 0; word < GRANULES_PER_SLOT / 64; word++) {
            struct published_granule *to = &region->granule[word * 64];
            uint64_t taken = atom_load_rlx_u64(&slot->taken[word]); /* rlx: a picture of a moment, for people */
            for (unsigned i = 0; i < 64; i++) {
                bool given = word * 64 + i >= end, held = !given && taken >> i & 1;
                to[i] = (struct published_granule){.use = given ? USE_GIVEN : held ? USE_CACHED : USE_FREE};
                region->granules_taken += held;
                if (!held) continue;
                struct page first = granule_page((struct granule){granule_of(base).n + (uint32_t)(word * 64 + i)});
                to[i].committed = (uint8_t)pages_count_committed(first, PAGES_PER_GRANULE);
            }
        }
    }
}

void view_write(struct published_half *half) {
    memset(&half->totals, 0, sizeof half->totals);
    memset(half->row, 0, sizeof half->row);
    half->count_managers = half->count_heaps = half->count_threads = half->count_spans = half->count_regions = 0;
    show_regions(half);
    space_each(show_span, half);
    heap_each(show_heap, half);
    clerks_budget(&budget_process, &half->process);
    clerks_each_manager(show_manager, half);
    census_each(show_thread, half);
    clerks_totals_other(&half->totals);
}

/* ---- Publishing --------------------------------------------------------------------------------------------------- */

static bool memory_make(void) {
    struct published *view = os_view_make(sizeof *view);
    if (view == NULL) return false;
    view->version = PUBLISHED_VERSION;
    view->size_bytes = sizeof *view;
    view->process = os_process_number();
    view->current = 2;
    os_process_name(view->program, sizeof view->program);
    atom_store_rel_u64(&view->magic, PUBLISHED_MAGIC); /* rel: what has the magic has the rest of the head */
    view_memory = view;
    return true;
}

/* Returns how long to rest. */
static uint64_t publish(struct published *view) {
    uint64_t next = view->current == 0 ? 1 : 0, start = os_thread_used_ms();
    struct published_half *half = &view->half[next];
    uint64_t sequence = half->sequence;
    atom_store_rel_u64(&half->sequence, sequence + 1); /* a reader of the half before last finds out */
    atom_signal_fence();
    view_write(half);
    half->written_ms = os_clock_ms();
    uint64_t rest = (os_thread_used_ms() - start) * REST_FACTOR, least = view_interval_ms;
    half->rest_ms = rest > least ? rest : least;
    atom_store_rel_u64(&half->sequence, sequence + 2); /* rel: the half is whole */
    atom_store_rel_u64(&view->current, next);          /* rel: and the one to read */
    return half->rest_ms;
}

static void publish_for_ever(void) {
    for (uint64_t rest = view_interval_ms;; os_sleep_ms(rest)) {
        if (view_memory != NULL && !os_view_reachable()) {
            os_view_drop(view_memory, sizeof *view_memory);
            view_memory = NULL;
        }
        rest = view_memory != NULL || memory_make() ? publish(view_memory) : INTERVAL_MS * 8;
    }
}

static void publish_later(void) {
    os_sleep_ms(view_interval_ms);
    publish_for_ever();
}

static void forked(void) {
    if (view_memory != NULL) os_view_drop(view_memory, sizeof *view_memory);
    view_memory = NULL;
    if (atom_load_rlx_u32(&view_state) == 1) os_watcher_start(publish_later); /* rlx: the child has one thread */
}

bool view_start(uint64_t interval_ms) {
    uint32_t none = 0;
    if (!atom_cas_acqrel_u32(&view_state, &none, 1)) return true; /* one is enough */
    view_interval_ms = interval_ms < INTERVAL_LEAST_MS ? INTERVAL_MS : interval_ms;
    if (!os_watcher_start(publish_for_ever)) {
        atom_store_rel_u32(&view_state, 0);
        return false;
    }
    os_on_fork(forked); /* last: what cannot be had may be asked for again, and this is not to be done twice */
    return true;
}

bool view_start_if_asked(void) {
    uint64_t interval_ms = setting("HOSTMEM_PUBLISH");
    return (interval_ms == 1 || interval_ms >= INTERVAL_LEAST_MS) && view_start(interval_ms);
}

/*
 * clerks.c - adding up heaps, caches, allocations and tallies. See clerks.h.
 *
 * A block that a program holds is one whose bit is taken in its slab and that stands in no thread's magazine; so live and
 * cached blocks add up to what the slabs have given out, and the heap's bytes to its slabs'.
 */
#include "policy/clerks.h"

#include <string.h>

#include "base/tally.h"
#include "core/census.h"
#include "core/pages.h"
#include "core/region.h"
#include "heap/front.h"
#include "os/os.h"
#include "policy/limits.h"
#include "policy/told.h"
#include "vm/error.h"
#include "vm/held.h"

_Static_assert(BUDGET_NAME == sizeof((struct published_manager){0}.name), "a manager's name as it is kept");
_Static_assert(FIGURES_ROWS <= PUBLISHED_CLASSES, "a published row for each class, and one for large blocks");

static uint64_t class_bytes(unsigned row) { return row == FIGURES_LARGE ? 0 : class_size(row); }

void clerks_add_heap(const struct heap_figures *figures, struct published_totals *totals, struct published_class *rows) {
    totals->heaps++;
    totals->heap_peak_bytes += figures->peak_bytes;
    for (unsigned i = 0; i < FIGURES_ROWS; i++) {
        const struct class_figures *row = &figures->row[i];
        totals->heap_spans += row->slabs;
        totals->heap_bytes += row->slab_bytes;
        totals->live_blocks += row->live;
        totals->live_bytes += row->live_bytes;
        totals->cached_blocks += row->cached;
        totals->cached_block_bytes += row->cached * class_bytes(i);
        if (rows == NULL) continue;
        rows[i].size_bytes = class_bytes(i);
        rows[i].slabs += row->slabs;
        rows[i].slab_bytes += row->slab_bytes;
        rows[i].room += row->room;
        rows[i].live += row->live;
        rows[i].live_bytes += row->live_bytes;
        rows[i].cached += row->cached;
    }
}

void clerks_budget(struct budget *budget, struct published_budget *shown) {
    struct budget_lines lines;
    budget_lines_get(budget, &lines);
    *shown = (struct published_budget){
        .reserved_bytes = budget_held(budget, BUDGET_RESERVE),
        .committed_bytes = budget_held(budget, BUDGET_COMMIT),
        .peak_reserved_bytes = budget_peak(budget, BUDGET_RESERVE),
        .peak_committed_bytes = budget_peak(budget, BUDGET_COMMIT),
        .soft_reserve_bytes = lines.soft[BUDGET_RESERVE],
        .hard_reserve_bytes = lines.hard[BUDGET_RESERVE],
        .soft_commit_bytes = lines.soft[BUDGET_COMMIT],
        .hard_commit_bytes = lines.hard[BUDGET_COMMIT],
        .emergency_bytes = lines.emergency,
        .refused_task = atom_load_rlx_u64(&budget->refused[BUDGET_TASK]), /* rlx, all three: figures for people */
        .refused_domain = atom_load_rlx_u64(&budget->refused[BUDGET_DOMAIN]),
        .refused_process = atom_load_rlx_u64(&budget->refused[BUDGET_PROCESS]),
    };
}

uint64_t clerks_manager_of(struct heap *heap) { return heap_budget(heap)->parent->number; }

void clerks_heap(struct heap *heap, const struct heap_figures *figures, struct published_heap *shown) {
    struct class_figures sum = heap_figures_sum(figures);
    *shown = (struct published_heap){
        .number = figures->number,
        .flags = (figures->of_process ? PUBLISHED_HEAP_OF_PROCESS : 0u) | (figures->executable ? PUBLISHED_HEAP_EXECUTABLE : 0u),
        .manager = clerks_manager_of(heap),
        .slabs = sum.slabs,
        .live_blocks = sum.live,
        .live_bytes = sum.live_bytes,
        .cached_blocks = sum.cached,
    };
    clerks_budget(heap_budget(heap), &shown->budget);
}

struct managers {
    void (*visit)(const struct published_manager *manager, void *context);
    void *context;
};

/* An account may be closed and opened for another manager meanwhile: then this name is of neither, and gone at the next look. */
HM_READS_OTHERS static void read_name(const struct budget *budget, char name[BUDGET_NAME]) {
    for (unsigned i = 0; i < BUDGET_NAME - 1; i++) name[i] = *(const volatile char *)&budget->name[i];
    name[BUDGET_NAME - 1] = 0;
}

static void visit_account(struct budget *budget, void *context) {
    const struct managers *each = context;
    struct published_manager shown = {.number = budget->number};
    if (budget->number == 0) return;
    read_name(budget, shown.name);
    clerks_budget(budget, &shown.budget);
    each->visit(&shown, each->context);
}

void clerks_each_manager(void (*visit)(const struct published_manager *manager, void *context), void *context) {
    struct managers each = {visit, context};
    budget_each(visit_account, &each);
}

static void count_manager(struct budget *budget, void *context) { *(uint64_t *)context += budget->number != 0; }

void clerks_add_census(const struct census *held, struct published_totals *totals) {
    totals->thread_caches += held->thread != 0;
    totals->cached_spans += held->spans;
    totals->cached_span_bytes += held->span_bytes;
}

void clerks_totals_other(struct published_totals *totals) {
    struct region_totals regions;
    struct os_memory memory = {0};
    region_totals(&regions);
    os_memory_load(&memory); /* zeros where the system does not say */
    totals->regions = regions.count_regions;
    totals->region_bytes = (uint64_t)regions.granules * GRANULE_BYTES;
    totals->granules_taken = regions.granules_taken;
    totals->held_bytes = held_bytes();
    totals->emergency_held_bytes = limits_reserve_held();
    totals->managers = 0;
    budget_each(count_manager, &totals->managers);
    totals->memory_bytes = memory.total_bytes;
    totals->memory_available_bytes = memory.available_bytes;
    totals->memory_load_percent = memory.load_percent;
    /* rlx, all five: figures for people. */
    totals->memory_available = atom_load_rlx_u32(&told_level);
    totals->callbacks = atom_load_rlx_u64(&told_callbacks);
    totals->views = atom_load_rlx_u64(&told_views);
    totals->view_bytes = atom_load_rlx_u64(&told_view_bytes);
    totals->address_space_pleas = atom_load_rlx_u64(&told_pleas);
    totals->refills = tally_sum(TALLY_REFILL);
    totals->refilled_blocks = tally_sum(TALLY_REFILL_BLOCKS);
    totals->flushes = tally_sum(TALLY_FLUSH);
    totals->flushed_blocks = tally_sum(TALLY_FLUSH_BLOCKS);
    totals->system_reserves = tally_sum(TALLY_RESERVE);
    totals->system_releases = tally_sum(TALLY_RELEASE);
    totals->system_commits = tally_sum(TALLY_COMMIT);
    totals->system_decommits = tally_sum(TALLY_DECOMMIT);
    totals->system_protects = tally_sum(TALLY_PROTECT);
    for (unsigned status = ST_OK + 1; status < ST_COUNT; status++) totals->failures += error_count((enum status)status);
    totals->double_frees = front_double_frees();
}

static void add_heap(struct heap *heap, void *totals) {
    struct heap_figures figures;
    heap_figures(heap, &figures);
    clerks_add_heap(&figures, totals, NULL);
}

static void add_held(const struct census *held, void *totals) { clerks_add_census(held, totals); }

static bool add_allocation(const struct found *found, void *context) {
    struct published_totals *totals = context;
    if (found->span.kind != SPAN_VM) return true;
    totals->allocations++;
    totals->system_allocations += (found->span.flags & SPAN_SYSTEM) != 0;
    totals->reserved_bytes += found->span.count_pages << PAGE_SHIFT;
    totals->committed_bytes += pages_count_committed(granule_page(found->head), found->span.count_pages) << PAGE_SHIFT;
    return true;
}

void clerks_totals(struct published_totals *totals) {
    memset(totals, 0, sizeof *totals);
    heap_each(add_heap, totals);
    census_each(add_held, totals);
    space_each(add_allocation, totals);
    clerks_totals_other(totals);
}

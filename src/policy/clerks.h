/*
 * clerks.h - the figures of the process, and of each of its heaps, counted when somebody asks. Layer: policy.
 *
 * Nothing here allocates or waits; any thread may ask, and the others may go on: the figures are then of no single moment.
 * Sums and heaps come from the heaps' slabs and the threads' magazines (heap/figures.h, core/census.h), allocations from the
 * address map, what happened over time from the tallies.
 */
#ifndef HM_CLERKS_H
#define HM_CLERKS_H

#include "base/published.h"
#include "core/budget.h"
#include "heap/figures.h"

/* Adds the heap to the totals, and to the rows of classes unless rows is NULL. */
void clerks_add_heap(const struct heap_figures *figures, struct published_totals *totals, struct published_class *rows);

/* The heap as a view shows it. */
void clerks_heap(struct heap *heap, const struct heap_figures *figures, struct published_heap *shown);

/* What a budget, which somebody holds, has and may have; and a heap's with its manager's number. */
void clerks_budget(struct budget *budget, struct published_budget *shown);
uint64_t clerks_manager_of(struct heap *heap);

/* Calls visit for every manager's account. */
void clerks_each_manager(void (*visit)(const struct published_manager *manager, void *context), void *context);

/* Adds what a thread's cache holds of spans. (Its blocks are counted with their heaps.) */
struct census;
void clerks_add_census(const struct census *held, struct published_totals *totals);

/* Fills all totals. */
void clerks_totals(struct published_totals *totals);

/* The same for all but heaps, threads and allocations, which the caller has walked. */
void clerks_totals_other(struct published_totals *totals);

#endif

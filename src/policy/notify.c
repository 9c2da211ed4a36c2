/*
 * notify.c - registered callbacks and reported views.
 *
 * Both are lists that only grow while their manager lives, and are taken apart by its last user; so a reader needs no
 * protection. Callbacks: one cell each. Views: chunks of 64 with a bitmap of the cells in use, which are used again.
 *
 * A view's cell: start 0 (nobody's, or its owner is about to write it) -> start -> 1 (being changed) -> start or 0.
 *
 * Invariants
 *   1. A cell's size is touched only by the thread that claimed the cell's bit or moved its start to 1.
 *   2. The totals change with each of these moves by what the move changes, so they come to 0 when everything is gone.
 *
 * Two threads that report the same start at the same time may fill two cells with it; a release empties both.
 */
#include "policy/notify.h"

#include "base/atom.h"
#include "base/cold.h"
#include "core/bitmap.h"

#define VIEW_BUSY 1u /* no mapping starts at 1 */

struct callback_cell {
    ICLRMemoryNotificationCallback *callback;
    uint64_t next;
};

struct view {
    uint64_t start;
    uint64_t size_bytes;
};

struct view_chunk {
    uint64_t next;
    uint64_t used;
    struct view view[64];
};

static uint64_t total_views;
static uint64_t total_view_bytes;
static uint64_t total_callbacks;
static uint64_t total_pleas;

/* acq: pairs with the CAS that pushed the cell; its fields are written. */
static struct callback_cell *cell_at(const uint64_t *link) { return (struct callback_cell *)(uintptr_t)atom_load_acq_u64(link); }
static struct view_chunk *chunk_at(const uint64_t *link) { return (struct view_chunk *)(uintptr_t)atom_load_acq_u64(link); }

static bool callback_listed(uint64_t first, const ICLRMemoryNotificationCallback *callback) {
    for (struct callback_cell *cell = (struct callback_cell *)(uintptr_t)first; cell != NULL; cell = cell_at(&cell->next)) {
        if (cell->callback == callback) return true;
    }
    return false;
}

enum status notify_register(struct notify *notify, ICLRMemoryNotificationCallback *callback) {
    uint64_t first = atom_load_acq_u64(&notify->callbacks); /* acq: as in cell_at */
    if (callback_listed(first, callback)) return ST_OK;
    struct callback_cell *cell = cold_alloc(sizeof *cell);
    if (cell == NULL) return ST_NO_MEMORY;
    cell->callback = callback;
    callback->lpVtbl->AddRef(callback);
    for (;;) {
        cell->next = first;
        /* rel: publishes the cell. A failure has seen a newer list: the callback may be in it by now. */
        if (atom_cas_acqrel_u64(&notify->callbacks, &first, (uint64_t)(uintptr_t)cell)) {
            atom_add_acqrel_u64(&total_callbacks, 1);
            return ST_OK;
        }
        if (!callback_listed(first, callback)) continue;
        callback->lpVtbl->Release(callback);
        cold_free(cell);
        return ST_OK;
    }
}

/* Takes the next cell from (*chunk, *index) on that holds this start, moved to VIEW_BUSY. NULL if there is none. */
static struct view *view_seize(struct view_chunk **chunk, unsigned *index, uintptr_t start) {
    for (; *chunk != NULL; *chunk = chunk_at(&(*chunk)->next), *index = 0) {
        for (; *index < 64; ++*index) {
            struct view *view = &(*chunk)->view[*index];
            uint64_t seen = start;
            /* acq: pairs with the store of the start; the size is the one that belongs to it. */
            if (atom_load_rlx_u64(&view->start) == start && atom_cas_acqrel_u64(&view->start, &seen, VIEW_BUSY)) return view;
        }
    }
    return NULL;
}

static void view_write(struct view *view, uintptr_t start, size_t size_bytes) {
    view->size_bytes = size_bytes;
    atom_add_acqrel_u64(&total_view_bytes, size_bytes);
    atom_store_rel_u64(&view->start, start); /* rel: pairs with view_seize */
}

enum status notify_view_acquired(struct notify *notify, uintptr_t start, size_t size_bytes) {
    /* A view at nothing, or at the first byte, is none: there is nothing to remember. */
    if (start <= VIEW_BUSY) return ST_OK;
    struct view_chunk *chunk = chunk_at(&notify->views);
    unsigned index = 0;
    struct view *view = view_seize(&chunk, &index, start);
    if (view != NULL) {
        atom_add_acqrel_u64(&total_view_bytes, -view->size_bytes);
        view_write(view, start, size_bytes);
        return ST_OK;
    }
    for (;;) {
        uint64_t mask;
        for (chunk = chunk_at(&notify->views); chunk != NULL; chunk = chunk_at(&chunk->next)) {
            if (bitmap_claim_some(&chunk->used, 64, 0, 1, &mask) == BITMAP_NONE) continue;
            atom_add_acqrel_u64(&total_views, 1);
            view_write(&chunk->view[__builtin_ctzll(mask)], start, size_bytes);
            return ST_OK;
        }
        chunk = cold_alloc(sizeof *chunk);
        if (chunk == NULL) return ST_NO_MEMORY;
        uint64_t first = atom_load_acq_u64(&notify->views); /* acq: as in chunk_at */
        do chunk->next = first;
        while (!atom_cas_acqrel_u64(&notify->views, &first, (uint64_t)(uintptr_t)chunk)); /* rel: publishes the chunk */
    }
}

void notify_view_released(struct notify *notify, uintptr_t start) {
    if (start <= VIEW_BUSY) return;
    struct view_chunk *chunk = chunk_at(&notify->views);
    unsigned index = 0;
    for (struct view *view; (view = view_seize(&chunk, &index, start)) != NULL;) {
        atom_add_acqrel_u64(&total_view_bytes, -view->size_bytes);
        atom_add_acqrel_u64(&total_views, UINT64_MAX);
        atom_store_rel_u64(&view->start, 0); /* rel: the release of the bit publishes it */
        HM_CHECK(bitmap_release(&chunk->used, index, 1));
    }
}

void notify_plea(struct notify *notify, uintptr_t start, size_t size_bytes) {
    /* Which range it was for says nothing about what could be given up for it. */
    (void)notify, (void)start, (void)size_bytes;
    atom_add_acqrel_u64(&total_pleas, 1);
}

void notify_clear(struct notify *notify) {
    for (struct callback_cell *cell = cell_at(&notify->callbacks), *next; cell != NULL; cell = next) {
        next = cell_at(&cell->next);
        cell->callback->lpVtbl->Release(cell->callback);
        atom_add_acqrel_u64(&total_callbacks, UINT64_MAX);
        cold_free(cell);
    }
    for (struct view_chunk *chunk = chunk_at(&notify->views), *next; chunk != NULL; chunk = next) {
        next = chunk_at(&chunk->next);
        for (size_t i = 0; (i = bitmap_next_taken(&chunk->used, 64, i)) < 64; i++) {
            atom_add_acqrel_u64(&total_view_bytes, -chunk->view[i].size_bytes);
            atom_add_acqrel_u64(&total_views, UINT64_MAX);
        }
        cold_free(chunk);
    }
    *notify = (struct notify){0};
}

void notify_totals(struct notify_totals *totals) {
    /* rlx: figures for people; they need not be of one moment. */
    totals->count_views = atom_load_rlx_u64(&total_views);
    totals->view_bytes = atom_load_rlx_u64(&total_view_bytes);
    totals->count_callbacks = atom_load_rlx_u64(&total_callbacks);
    totals->count_pleas = atom_load_rlx_u64(&total_pleas);
}

/*
 * notify.c - registered callbacks and reported views.
 *
 * Callbacks of all managers are one list, changed under a lock. One thread calls them, without the lock:
 *   listed -> busy -> listed -> gone     the cell is unlinked and its reference released by whoever removed it
 *             busy -> removed -> gone    removed by the callback itself: by the caller, when the callback has returned
 * Whoever removes a callback that another thread is calling, or clears its manager, waits until it has returned. So no callback
 * is called after its removal, and each is held by a reference while it is called.
 *
 * Views are a list of chunks of 64, with a bitmap of the cells in use, that only grows while its manager lives and is taken
 * apart by its last user; so a reader needs no protection.
 *
 * A view's cell: start 0 (nobody's, or its owner is about to write it) -> start -> 1 (being changed) -> start or 0.
 *
 * Invariants, of views
 *   1. A cell's size is touched only by the thread that claimed the cell's bit or moved its start to 1.
 *   2. The totals change with each of these moves by what the move changes, so they come to 0 when everything is gone.
 *
 * Two threads that report the same start at the same time may fill two cells with it; a release empties both.
 */
#include "policy/notify.h"

#include "base/atom.h"
#include "base/cold.h"
#include "core/bitmap.h"
#include "core/region.h"
#include "policy/told.h"
#include "policy/trim.h"
#include "policy/turn.h"

#define VIEW_BUSY 1u /* no mapping starts at 1 */

struct callback_cell {
    struct callback_cell *next;
    const struct notify *owner;
    ICLRMemoryNotificationCallback *callback;
    EMemoryAvailable told;
    uint64_t told_ms;
    uint64_t round; /* the last one that has been to it */
    bool busy;      /* it is being called */
    bool removed;   /* while it is */
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

static uint32_t callback_turn; /* guards the list and all cells in it */
static struct callback_cell *callbacks;
static uint32_t calling_thread; /* whose call the busy cell is, 0: nobody's */
static uint64_t callback_round;

/* acq: pairs with the CAS that pushed the chunk; its fields are written. */
static struct view_chunk *chunk_at(const uint64_t *link) { return (struct view_chunk *)(uintptr_t)atom_load_acq_u64(link); }

/* ---- Callbacks ------------------------------------------------------------------------------------------------ */

/* With the turn. callback NULL: any of the owner's, and in any thread but the calling one also one that has removed itself. */
static struct callback_cell **cell_find(const struct notify *owner, const ICLRMemoryNotificationCallback *callback) {
    struct callback_cell **link = &callbacks;
    bool gone_too = callback == NULL && calling_thread != os_thread_id();
    for (; *link != NULL; link = &(*link)->next) {
        const struct callback_cell *cell = *link;
        if (cell->owner != owner || (cell->removed && !gone_too)) continue;
        if (callback == NULL || cell->callback == callback) break;
    }
    return link;
}

enum status notify_register(struct notify *notify, ICLRMemoryNotificationCallback *callback, bool *added) {
    *added = false;
    struct callback_cell *made = cold_alloc(sizeof *made);
    if (made == NULL) return ST_NO_MEMORY;
    callback->lpVtbl->AddRef(callback);
    *made = (struct callback_cell){.owner = notify, .callback = callback, .told = eMemoryAvailableNeutral};
    turn_take(&callback_turn);
    *added = *cell_find(notify, callback) == NULL;
    if (*added) {
        made->round = callback_round; /* one that a callback registers is told in the next round, or there might be no end */
        made->next = callbacks;
        callbacks = made;
    }
    turn_give(&callback_turn);
    if (*added) {
        atom_add_acqrel_u64(&told_callbacks, 1);
        return ST_OK;
    }
    callback->lpVtbl->Release(callback);
    cold_free(made);
    return ST_OK;
}

static void cell_end(struct callback_cell *cell) {
    cell->callback->lpVtbl->Release(cell->callback);
    cold_free(cell);
}

/* callback NULL: any of the owner's. False: there is none. */
static bool callback_remove(const struct notify *owner, const ICLRMemoryNotificationCallback *callback) {
    bool gone = false; /* whoever was calling it, with the process's other threads */
    turn_take(&callback_turn);
    for (unsigned attempt = 0;;) {
        struct callback_cell **link = cell_find(owner, callback), *cell = *link;
        if (cell == NULL) {
            turn_give(&callback_turn);
            return false;
        }
        bool own_call = cell->busy && calling_thread == os_thread_id();
        if (cell->busy && !own_call && !gone) {
            turn_give(&callback_turn);
            gone = turn_gone(attempt); /* without the turn: it may take a lock of the system's */
            os_yield(attempt++);
            turn_take(&callback_turn);
            continue;
        }
        if (!cell->removed) atom_add_acqrel_u64(&told_callbacks, UINT64_MAX); /* else: in the child of a fork */
        if (own_call) cell->removed = true;
        else *link = cell->next;
        turn_give(&callback_turn);
        if (!own_call) cell_end(cell);
        return true;
    }
}

enum status notify_unregister(struct notify *notify, ICLRMemoryNotificationCallback *callback) {
    return callback_remove(notify, callback) ? ST_OK : ST_BAD_ARGUMENT;
}

bool notify_any(void) { return atom_load_acq_u64(&told_callbacks) != 0; /* acq: pairs with the adds */ }

/* What to tell the cell's callback now; 0 for nothing. With the turn. */
static EMemoryAvailable cell_due(struct callback_cell *cell, EMemoryAvailable level, uint64_t now_ms, uint64_t spacing_ms) {
    bool again = level == eMemoryAvailableLow && now_ms - cell->told_ms >= spacing_ms;
    if (level == cell->told && !again) return (EMemoryAvailable)0;
    cell->told = level;
    cell->told_ms = now_ms;
    return level;
}

/* With the turn, which is given up during the call. */
static void cell_call(struct callback_cell *cell, EMemoryAvailable level) {
    cell->busy = true;
    calling_thread = os_thread_id();
    turn_give(&callback_turn);
    cell->callback->lpVtbl->OnMemoryNotification(cell->callback, level);
    turn_take(&callback_turn);
    cell->busy = false;
    calling_thread = 0;
    if (!cell->removed) return;
    struct callback_cell **link = &callbacks;
    while (*link != cell) link = &(*link)->next;
    *link = cell->next;
    turn_give(&callback_turn);
    cell_end(cell);
    turn_take(&callback_turn);
}

void notify_tell(EMemoryAvailable (*level_of)(const struct notify *owner), uint64_t now_ms, uint64_t spacing_ms) {
    turn_take(&callback_turn);
    callback_round++;
    for (struct callback_cell *cell = callbacks; cell != NULL;) {
        if (cell->round == callback_round || cell->removed) {
            cell = cell->next;
            continue;
        }
        cell->round = callback_round;
        EMemoryAvailable level = cell_due(cell, level_of(cell->owner), now_ms, spacing_ms);
        if (level == 0) continue;
        cell_call(cell, level);
        cell = callbacks; /* the list may be another one now */
    }
    turn_give(&callback_turn);
}

void notify_forked(void) {
    callback_turn = 0;
    /* The call that was under way goes on in the parent alone. */
    for (struct callback_cell *cell = callbacks; cell != NULL; cell = cell->next) cell->busy = false;
    calling_thread = 0;
}

/* ---- Views ---------------------------------------------------------------------------------------------------- */

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
    atom_add_acqrel_u64(&told_view_bytes, size_bytes);
    atom_store_rel_u64(&view->start, start); /* rel: pairs with view_seize */
}

enum status notify_view_acquired(struct notify *notify, uintptr_t start, size_t size_bytes) {
    /* A view at nothing, or at the first byte, is none: there is nothing to remember. */
    if (start <= VIEW_BUSY) return ST_OK;
    struct view_chunk *chunk = chunk_at(&notify->views);
    unsigned index = 0;
    struct view *view = view_seize(&chunk, &index, start);
    if (view != NULL) {
        atom_add_acqrel_u64(&told_view_bytes, -view->size_bytes);
        view_write(view, start, size_bytes);
        return ST_OK;
    }
    for (;;) {
        uint64_t mask;
        for (chunk = chunk_at(&notify->views); chunk != NULL; chunk = chunk_at(&chunk->next)) {
            if (bitmap_claim_some(&chunk->used, 64, 0, 1, &mask) == BITMAP_NONE) continue;
            atom_add_acqrel_u64(&told_views, 1);
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
        atom_add_acqrel_u64(&told_view_bytes, -view->size_bytes);
        atom_add_acqrel_u64(&told_views, UINT64_MAX);
        atom_store_rel_u64(&view->start, 0); /* rel: the release of the bit publishes it */
        HM_CHECK(bitmap_release(&chunk->used, index, 1));
    }
}

enum status notify_plea(uintptr_t start, size_t size_bytes) {
    atom_add_acqrel_u64(&told_pleas, 1);
    trim_all();
    return region_give(start, size_bytes) != 0 ? ST_OK : ST_NO_ADDRESS_SPACE;
}

void notify_clear(struct notify *notify) {
    while (callback_remove(notify, NULL)) continue;
    for (struct view_chunk *chunk = chunk_at(&notify->views), *next; chunk != NULL; chunk = next) {
        next = chunk_at(&chunk->next);
        for (size_t i = 0; (i = bitmap_next_taken(&chunk->used, 64, i)) < 64; i++) {
            atom_add_acqrel_u64(&told_view_bytes, -chunk->view[i].size_bytes);
            atom_add_acqrel_u64(&told_views, UINT64_MAX);
        }
        cold_free(chunk);
    }
    notify->views = 0;
}

/*
 * written.c - which pages of a watched allocation were written.
 *
 * Of committed pages the system below knows it (os_written), and what it knows of a page goes with the page. So a decommit
 * asks first, and notes the written ones in their bytes, where the note stays until it is reset: as PG_WRITTEN while the page is
 * not committed, as PG_RESET while it is. (Watched pages have no other use for that one: MEM_RESET leaves them alone.) A noted
 * page is written; of a committed one that is not noted the system is asked.
 *
 * Looking takes no lock: who decommits a page in the same moment may be told of it twice, or with the next call. Only
 * forgetting a note locks its page. A page is told, or marked by the system, before its note is forgotten.
 */
#include "vm/written.h"

#define LOOK_PAGES ((uint64_t)1 << 16) /* of a piece at a time */
#define NOTES_AT_ONCE 64

/* The watched allocation around the range. */
static bool find(uintptr_t address, size_t size, struct range *r) {
    if (size == 0 || !range_sane(address, size)) return false;
    *r = range_of(address, size);
    return space_find(address, &r->owner) && r->owner.span.kind == SPAN_VM && written_is_known(&r->owner) &&
           range_inside(r, &r->owner);
}

static bool noted(uint8_t state) { return state & (prot_committed(state) ? PG_RESET : PG_WRITTEN); }

/* From now on the system knows all about these pages. */
static void forget(const struct range *part) {
    if (!range_lock(part)) return;
    for (struct piece at = {0}; range_next(part, &at, 0xff);) {
        if (noted(at.state)) pages_fill(at.first, at.count, prot_committed(at.state) ? at.state & PG_STATE_MASK : PG_NONE);
    }
    range_unlock(part);
}

/* A run of noted pages: tells as many as there is room for. */
static size_t tell(struct range *part, bool reset, void **pages, size_t room) {
    size_t any = 0;
    if (part->count > room) part->count = room;
    for (uint64_t i = 0; i < part->count; i++) pages[i] = (void *)page_address((struct page){part->first.n + i});
    if (reset) {
        /* Whatever is left unmarked is told once more. */
        if (prot_committed(pages_state(part->first))) os_written(range_address(part), range_bytes(part), true, NULL, &any);
        forget(part);
    }
    return (size_t)part->count;
}

static enum status look(const struct range *r, bool reset, void **pages, size_t room, size_t *count) {
    *count = 0;
    struct piece at = {0};
    while (*count < room && range_next_within(r, &at, PG_BASE_MASK | PG_RESET | PG_WRITTEN, LOOK_PAGES)) {
        if (noted(at.state)) {
            struct range part = {.owner = r->owner, .first = at.first, .count = at.count};
            *count += tell(&part, reset, pages + *count, room - *count);
        } else if (prot_committed(at.state)) {
            size_t found = room - *count;
            enum status status = os_written(piece_address(&at), piece_bytes(&at), reset, pages + *count, &found);
            if (status != ST_OK) return *count ? ST_OK : status; /* what was reset has to be told */
            *count += found;
        }
    }
    return ST_OK;
}

enum status written_get(DWORD flags, uintptr_t address, size_t size, void **pages, ULONG_PTR *count, DWORD *granularity) {
    struct range r;
    size_t found = 0;
    if (!count || !granularity) return ST_NOT_WRITABLE;
    if (*count == 0 || size == 0 || flags & ~(DWORD)WRITE_WATCH_FLAG_RESET) return ST_BAD_ARGUMENT;
    if (!pages) return ST_NOT_WRITABLE;
    if (!find(address, size, &r)) return ST_BAD_ARGUMENT;
    enum status status = look(&r, flags & WRITE_WATCH_FLAG_RESET, pages, *count, &found);
    if (status != ST_OK) return status;
    *count = found;
    *granularity = PAGE_BYTES;
    return ST_OK;
}

enum status written_reset(uintptr_t address, size_t size) {
    struct range r;
    bool any_noted = false;
    if (!find(address, size, &r)) return ST_BAD_ARGUMENT;
    for (struct piece at = {0}; range_next_within(&r, &at, PG_BASE_MASK, LOOK_PAGES);) {
        size_t any = 0;
        any_noted = any_noted || noted(at.state) || pages_run(at.first, at.count, PG_RESET | PG_WRITTEN) != at.count;
        if (!prot_committed(at.state)) continue;
        enum status status = os_written(piece_address(&at), piece_bytes(&at), true, NULL, &any);
        if (status != ST_OK) return status;
    }
    if (any_noted) forget(&r);
    return ST_OK;
}

/* ---- Decommit ----------------------------------------------------------------------------------------------------- */

/* Notes which pages of a committed piece were written. */
static void note(const struct piece *piece) {
    void *pages[NOTES_AT_ONCE];
    uintptr_t at = piece_address(piece), end = at + piece_bytes(piece);
    for (size_t count = NOTES_AT_ONCE; at < end && count == NOTES_AT_ONCE;) {
        if (os_written(at, end - at, false, pages, &count) != ST_OK) {
            /* One too many does no harm. */
            if (count > (end - at) >> PAGE_SHIFT) count = (end - at) >> PAGE_SHIFT;
            for (size_t i = 0; i < count; i++) pages[i] = (void *)(at + (i << PAGE_SHIFT));
        }
        for (size_t i = 0; i < count; i++) {
            struct page p = page_of((uintptr_t)pages[i]);
            pages_fill(p, 1, pages_state(p) | PG_RESET);
        }
        if (count) at = (uintptr_t)pages[count - 1] + PAGE_BYTES;
    }
}

enum status written_decommit(const struct range *r) {
    for (struct piece at = {0}; range_next(r, &at, 0xff);) {
        if (prot_committed(at.state) && !noted(at.state)) note(&at);
    }
    enum status status = os_decommit(range_address(r), range_bytes(r));
    if (status != ST_OK) return status;
    for (struct piece at = {0}; range_next(r, &at, 0xff);) pages_fill(at.first, at.count, noted(at.state) ? PG_WRITTEN : PG_NONE);
    os_watch_fresh(range_address(r), range_bytes(r));
    return ST_OK;
}

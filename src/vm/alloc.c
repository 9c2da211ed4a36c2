/*
 * alloc.c - VirtualAlloc: which of its four jobs a call is, whether Win32 allows it, and doing it.
 *
 *   reserve   MEM_RESERVE, or any new allocation: granules from a region or from the system, and with MEM_COMMIT all pages
 *   commit    MEM_COMMIT of pages inside one allocation: new ones read as zero, committed ones keep content and change protection
 *   reset     MEM_RESET: the content of the pages that lie in the range whole may go
 *   undo      MEM_RESET_UNDO: it may not any more; fails if some has gone
 *
 * A new allocation is nobody else's until its span is published, which is the last step; each step before has its way back.
 * The other three jobs hold their pages (range_lock) while they act.
 */
#include "core/budget.h"
#include "core/keeper.h"
#include "core/region.h"
#include "os/os.h"
#include "vm/ahead.h"
#include "vm/grown.h"
#include "vm/keep.h"
#include "vm/spans.h"
#include "vm/vm.h"
#include "vm/written.h"

#define TYPE_KNOWN                                                                                                               \
    (MEM_COMMIT | MEM_RESERVE | MEM_RESET | MEM_RESET_UNDO | MEM_TOP_DOWN | MEM_WRITE_WATCH | MEM_PHYSICAL | MEM_LARGE_PAGES)

#define LET_GO_TRIES 256u /* some ten milliseconds */

/* The rules that concern flags alone, and what goes with them. */
static enum status type_check(uintptr_t address, size_t size, DWORD type, DWORD protect) {
    if (type & ~TYPE_KNOWN) return ST_BAD_ARGUMENT;
    if (!(type & (MEM_COMMIT | MEM_RESERVE | MEM_RESET | MEM_RESET_UNDO))) return ST_BAD_ARGUMENT;
    if ((type & MEM_RESET && type != MEM_RESET) || (type & MEM_RESET_UNDO && type != MEM_RESET_UNDO)) return ST_BAD_ARGUMENT;
    if (type & MEM_WRITE_WATCH && !(type & MEM_RESERVE)) return ST_BAD_ARGUMENT;
    if (type & MEM_PHYSICAL) {
        if ((type & ~MEM_TOP_DOWN) != (MEM_RESERVE | MEM_PHYSICAL) || protect != PAGE_READWRITE) return ST_BAD_ARGUMENT;
    }
    if (type & MEM_LARGE_PAGES) {
        size_t large = os_large_page_bytes();
        if ((type & (MEM_RESERVE | MEM_COMMIT)) != (MEM_RESERVE | MEM_COMMIT) || type & MEM_WRITE_WATCH) return ST_BAD_ARGUMENT;
        if (large == 0 || size % large || address % large) return ST_BAD_ARGUMENT;
    }
    return ST_OK;
}

/* What a new allocation is to be. */
struct wish {
    uintptr_t base; /* 0: any place */
    uint64_t count_pages;
    size_t align;
    DWORD type;
    uint8_t state;
    bool apart; /* from the system for itself */
};

/* Commits a whole new run before anybody sees it. */
static enum status run_commit(const struct run *run, uint8_t state) {
    uintptr_t start = granule_address(run->first);
    size_t size = (size_t)run->count_pages << PAGE_SHIFT;
    enum status status = os_commit(start, size, state);
    if (status == ST_OK) {
        pages_fill(granule_page(run->first), run->count_pages, state);
    } else {
        os_decommit(start, size);
    }
    return status;
}

/* Gets the granules: where and from whom depends on what is wished for. */
static enum status run_claim(const struct wish *w, struct run *run) {
    unsigned top_down = w->type & MEM_TOP_DOWN ? OS_TOP_DOWN : 0u;
    if (w->align > GRANULE_BYTES) return region_claim_aligned(w->count_pages, w->align, run);
    if (w->type & (MEM_LARGE_PAGES | MEM_PHYSICAL)) {
        unsigned needs = (w->type & MEM_LARGE_PAGES ? OS_LARGE : 0u) | (w->type & MEM_PHYSICAL ? OS_PHYSICAL : 0u);
        return region_claim_system(w->base, w->count_pages, needs | top_down, w->state, run);
    }
    /* The system must watch from the reservation on; on Linux, where nothing is watched, a region serves as well. */
    if (w->type & MEM_WRITE_WATCH && os_watches_writes()) {
        return region_claim_system(w->base, w->count_pages, OS_WATCH | top_down, w->state, run);
    }
    if (w->apart) return region_claim_system(0, w->count_pages, OS_PLAIN, w->state, run);
    if (w->base) return region_claim_at(w->base, w->count_pages, run);
    return region_claim(w->count_pages, w->type & MEM_TOP_DOWN, run);
}

/* A new allocation, all or nothing. */
static enum status alloc_make(const struct wish *w, uintptr_t *result) {
    struct run run;
    enum status status = run_claim(w, &run);
    if (status != ST_OK) return status;
    status = space_prepare(run.first, w->count_pages);
    if (status == ST_OK && w->type & MEM_LARGE_PAGES) {
        pages_fill(granule_page(run.first), w->count_pages, w->state);
    } else if (status == ST_OK && w->type & MEM_COMMIT) {
        status = run_commit(&run, w->state);
    }
    if (status != ST_OK) {
        region_release(&run);
        return status;
    }
    struct span span = {.count_pages = w->count_pages, .state = w->state, .kind = SPAN_VM, .flags = run.flags};
    span.owner = budget_asked_number();
    if (w->type & MEM_WRITE_WATCH) span.flags |= SPAN_WATCH;
    if (w->type & MEM_LARGE_PAGES) span.flags |= SPAN_LARGE_PAGES;
    if (w->type & MEM_PHYSICAL) span.flags |= SPAN_PHYSICAL;
    if (w->state & PG_GUARD && w->type & MEM_COMMIT && grown_can_be(span.flags)) span.flags |= SPAN_GUARDED;
    space_publish(run.first, span);
    *result = granule_address(run.first);
    return ST_OK;
}

/* The same, charged to whoever asks. */
static enum status alloc_charged(const struct wish *w, uintptr_t *result) {
    struct budget *budget = budget_numbered(budget_asked_number());
    uint64_t committed = w->type & MEM_COMMIT ? w->count_pages : 0;
    if (!budget_charge(budget, w->count_pages, committed)) return ST_NO_QUOTA;
    enum status status = alloc_make(w, result);
    if (status != ST_OK) budget_undo(budget, w->count_pages, committed);
    return status;
}

/* Does a query call all of a wanted place in a region free? Then whoever keeps it at hand is to let it go. */
static bool wants_free(const struct wish *w) {
    struct found found;
    uint32_t first = granule_of(w->base).n, end = first + granules_for_pages(w->count_pages);
    return w->base && space_in_region(w->base) && !space_find(w->base, &found) && space_next_start(first, end) == end;
}

/* Is somebody at work on pages of such a place, as whoever gives them back is? */
static bool place_busy(const struct wish *w) {
    uintptr_t end = space_ours_end(w->base);
    uint64_t room = end > w->base ? (end - w->base) >> PAGE_SHIFT : 0, count = w->count_pages < room ? w->count_pages : room;
    if (!pages_try_lock(page_of(w->base), count)) return true;
    pages_unlock(page_of(w->base), count);
    return false;
}

/* Such a place, when it has been let go. Whoever is giving it back just now needs some more time: milliseconds, for much. */
static enum status alloc_let_go(const struct wish *w, uintptr_t *result) {
    keeper_trim();
    for (unsigned attempt = 0, busy = 1;; attempt++) {
        bool was_busy = busy;
        busy = place_busy(w);
        enum status status = alloc_charged(w, result);
        if (status != ST_BAD_ADDRESS || !(busy || was_busy) || attempt == LET_GO_TRIES) return status;
        os_yield(attempt);
        held_give_back(0);
    }
}

/* What this thread keeps at hand, or the process holds, may lie where the caller wants to be, or be what is missing. */
static enum status alloc_or_flush(const struct wish *w, uintptr_t *result) {
    void *before = budget_ask_again();
    enum status status = alloc_charged(w, result);
    budget_ask_end(before);
    if (status == ST_OK) return ST_OK;
    uint64_t bytes = spans_flush() + held_give_back(0);
    if (bytes != 0 || status == ST_NO_QUOTA) status = alloc_charged(w, result);
    return status == ST_BAD_ADDRESS && wants_free(w) ? alloc_let_go(w, result) : status;
}

/* One of that size that was released lately. */
static bool alloc_kept(uint64_t count_pages, bool commit, uint8_t state, uintptr_t *result) {
    struct granule first;
    uint32_t account = budget_asked_number();
    void *before = budget_ask_again();
    bool charged = budget_charge(budget_numbered(account), count_pages, commit ? count_pages : 0);
    budget_ask_end(before);
    if (!charged) return false;
    if (!keep_take(count_pages, commit, &first)) {
        budget_undo(budget_numbered(account), count_pages, commit ? count_pages : 0);
        return false;
    }
    space_publish(first, (struct span){.count_pages = count_pages, .state = state, .kind = SPAN_VM, .owner = account});
    *result = granule_address(first);
    return true;
}

static enum status alloc_new(uintptr_t address, size_t size, DWORD type, uint8_t state, uintptr_t *result) {
    uintptr_t base = align_down(address, GRANULE_BYTES);
    if (!range_sane(base, (address - base) + size)) return ST_BAD_ARGUMENT;
    uint64_t count_pages = (align_up(address + size, PAGE_BYTES) - base) >> PAGE_SHIFT;
    bool plain = !base && !(type & ~(DWORD)(MEM_COMMIT | MEM_RESERVE)) && type & MEM_COMMIT && state == PG_READWRITE;
    bool keepable = keep_is_for(count_pages) && !base && (plain || type == MEM_RESERVE);
    if (keepable && alloc_kept(count_pages, plain, state, result)) return ST_OK;
    return alloc_or_flush(&(struct wish){base, count_pages, GRANULE_BYTES, type, state, false}, result);
}

/* What this thread keeps at hand may be what is missing; what the process holds goes before anything is refused. */
static bool commit_charge(struct budget *budget, uint64_t pages) {
    void *before = budget_ask_again();
    bool charged = budget_charge(budget, 0, pages);
    budget_ask_end(before);
    if (charged) return true;
    held_give_back(0);
    spans_flush();
    return budget_charge(budget, 0, pages);
}

/* With the range locked. */
static enum status commit_locked(const struct range *r, uint8_t state) {
    if (range_is(r, state)) return ST_OK;
    /* What has come by itself is to be there still if the rest is refused. */
    enum status status = grown_can(&r->owner) ? grown_note(r) : ST_OK;
    if (status != ST_OK) return status;
    struct budget *budget = budget_numbered(r->owner.span.owner);
    struct held_counts counts = held_count(r->first, r->count);
    uint64_t more = r->count - counts.committed;
    if (more && !commit_charge(budget, more)) return ST_NO_QUOTA;
    status = ahead_commit(r, &counts, state);
    if (status != ST_OK) budget_undo(budget, 0, more);
    return status;
}

/*
 * With the range locked. MEM_RESET is advice: a run for which the system cannot take it keeps its content. So does watched
 * memory, since a page that is dropped is no more known to have been written.
 */
static enum status reset_locked(const struct range *r) {
    uint8_t given_up[OS_RESET_PAGES];
    if (written_is_known(&r->owner)) return ST_OK;
    for (struct piece at = {0}; range_next_within(r, &at, PG_STATE_MASK, OS_RESET_PAGES);) {
        if (!prot_writable(at.state) || os_reset(piece_address(&at), piece_bytes(&at), given_up) != ST_OK) continue;
        for (uint64_t i = 0; i < at.count; i++) {
            struct page one = {at.first.n + i};
            if (given_up[i]) pages_fill(one, 1, pages_state(one) | PG_RESET);
        }
    }
    return ST_OK;
}

/* With the range locked. */
static enum status undo_locked(const struct range *r) {
    enum status status = ST_OK;
    if (written_is_known(&r->owner)) return ST_OK;
    for (struct piece at = {0}; range_next(r, &at, 0xff);) {
        if (!prot_committed(at.state) || !(at.state & PG_RESET)) continue;
        /* A page that cannot be written any more cannot be asked: take it for lost. */
        enum status one = prot_writable(at.state) ? os_reset_undo(piece_address(&at), piece_bytes(&at)) : ST_BAD_ADDRESS;
        if (one != ST_OK) status = one;
        pages_fill(at.first, at.count, at.state & PG_STATE_MASK);
    }
    return status;
}

/* Why pages that no allocation of ours covers cannot be committed. */
static enum status foreign_commit(uintptr_t address) {
    MEMORY_BASIC_INFORMATION info;
    if (space_in_region(address) || os_query_foreign(address, &info) != ST_OK) return ST_BAD_ADDRESS;
    return info.State == MEM_COMMIT && info.Type != MEM_PRIVATE ? ST_DENIED : ST_BAD_ADDRESS;
}

/*
 * Of a heap's pages, which the owners of blocks may treat as those of Win32's heaps: committed once more they get a protection,
 * and advice is taken. Nothing is dropped, since the heap goes by its own book of what has a content.
 */
static enum status heap_inside(const struct range *r, DWORD type, uint8_t state) {
    DWORD before;
    if (!range_inside(r, &r->owner)) return ST_BAD_ADDRESS;
    return type & MEM_COMMIT ? vm_protect(range_address(r), range_bytes(r), prot_to_win32(state), &before) : ST_OK;
}

/* Commit, reset and undo of pages inside an allocation. */
static enum status alloc_inside(uintptr_t address, size_t size, DWORD type, uint8_t state, uintptr_t *result) {
    struct range r = type == MEM_RESET ? range_whole(address, size) : range_of(address, size);
    enum status status;
    if (r.count == 0) return ST_BAD_ADDRESS;
    if (type & MEM_COMMIT && state & PG_GUARD) grown_begin(address);
    do {
        if (!space_find(address, &r.owner)) return type & MEM_COMMIT ? foreign_commit(address) : ST_BAD_ADDRESS;
        if (r.owner.span.kind != SPAN_VM) {
            status = heap_inside(&r, type, state);
            if (status == ST_OK) *result = range_address(&r);
            return status;
        }
        if (!range_inside(&r, &r.owner) || r.owner.span.flags & SPAN_PHYSICAL) return ST_BAD_ADDRESS;
    } while (!range_lock(&r));
    status = type == MEM_RESET        ? reset_locked(&r)
             : type == MEM_RESET_UNDO ? undo_locked(&r)
                                      : commit_locked(&r, state);
    range_unlock(&r);
    if (status == ST_OK) *result = range_address(&r);
    return status;
}

/* Apart, so that the way above all others needs no registers for it. */
__attribute__((noinline)) static enum status alloc_any(uintptr_t address, size_t size, DWORD type, DWORD protect,
                                                       uintptr_t *result) {
    *result = 0;
    if (size == 0 || (address && address < ADDRESS_LOWEST)) return ST_BAD_ARGUMENT;
    if (!range_sane(address, size)) return ST_BAD_ARGUMENT;
    uint8_t state;
    enum status status = type_check(address, size, type, protect);
    if (status == ST_OK) status = prot_from_win32(protect, &state);
    if (status != ST_OK) return status;
    if (type & MEM_RESERVE || (!address && type & MEM_COMMIT)) return alloc_new(address, size, type, state, result);
    return alloc_inside(address, size, type, state, result);
}

enum status vm_alloc(uintptr_t address, size_t size, DWORD type, DWORD protect, uintptr_t *result) {
    /* What most requests are, and the thread has one at hand; sizes of zero wrap. */
    bool plain = !address && (type | MEM_RESERVE) == (MEM_RESERVE | MEM_COMMIT) && protect == PAGE_READWRITE;
    if (plain && size - 1 < SPANS_BYTES_MOST && spans_take((size + PAGE_BYTES - 1) >> PAGE_SHIFT, result)) return ST_OK;
    return alloc_any(address, size, type, protect, result);
}

enum status vm_alloc_aligned(size_t align, size_t size, DWORD type, DWORD protect, uintptr_t *result) {
    *result = 0;
    if (size == 0 || !range_sane(0, size) || align & (align - 1) || align >= ADDRESS_END) return ST_BAD_ARGUMENT;
    if (!(type & MEM_RESERVE) || type & ~(DWORD)(MEM_RESERVE | MEM_COMMIT)) return ST_BAD_ARGUMENT;
    uint8_t state;
    enum status status = prot_from_win32(protect, &state);
    if (status != ST_OK) return status;
    return alloc_or_flush(&(struct wish){0, align_up(size, PAGE_BYTES) >> PAGE_SHIFT, align, type, state, false}, result);
}

enum status vm_reserve_apart(size_t size, DWORD protect, uintptr_t *result) {
    *result = 0;
    if (size == 0 || !range_sane(0, size)) return ST_BAD_ARGUMENT;
    uint8_t state;
    enum status status = prot_from_win32(protect, &state);
    if (status != ST_OK) return status;
    uint64_t count_pages = align_up(size, PAGE_BYTES) >> PAGE_SHIFT;
    return alloc_or_flush(&(struct wish){0, count_pages, GRANULE_BYTES, MEM_RESERVE, state, true}, result);
}

/*
 * alloc.c - VirtualAlloc: which of its four jobs a call is, whether Win32 allows it, and doing it.
 *
 *   reserve   MEM_RESERVE, or any new allocation: granules from a region or from the system, and with MEM_COMMIT all pages
 *   commit    MEM_COMMIT of pages inside one allocation: new ones read as zero, committed ones keep content and change protection
 *   reset     MEM_RESET: the content may go
 *   undo      MEM_RESET_UNDO: it may not any more; fails if some has gone
 *
 * A new allocation is nobody else's until its span is published, which is the last step; each step before has its way back.
 * The other three jobs hold their pages (range_lock) while they act.
 */
#include "core/budget.h"
#include "core/region.h"
#include "os/os.h"
#include "vm/ahead.h"
#include "vm/keep.h"
#include "vm/spans.h"
#include "vm/vm.h"
#include "vm/written.h"

#define TYPE_KNOWN                                                                                                               \
    (MEM_COMMIT | MEM_RESERVE | MEM_RESET | MEM_RESET_UNDO | MEM_TOP_DOWN | MEM_WRITE_WATCH | MEM_PHYSICAL | MEM_LARGE_PAGES)

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

/* Gets the granules: where and from whom depends on what the caller asked for. */
static enum status run_claim(uintptr_t address, uint64_t count_pages, size_t align, DWORD type, uint8_t state,
                             struct run *run) {
    if (align > GRANULE_BYTES) return region_claim_aligned(count_pages, align, run);
    if (type & (MEM_LARGE_PAGES | MEM_PHYSICAL)) {
        unsigned needs = (type & MEM_LARGE_PAGES ? OS_LARGE : 0u) | (type & MEM_PHYSICAL ? OS_PHYSICAL : 0u);
        return region_claim_system(address, count_pages, needs | (type & MEM_TOP_DOWN ? OS_TOP_DOWN : 0u), state, run);
    }
    /* The system must watch from the reservation on; on Linux, where nothing is watched, a region serves as well. */
    if (type & MEM_WRITE_WATCH && os_watches_writes()) {
        return region_claim_system(address, count_pages, OS_WATCH | (type & MEM_TOP_DOWN ? OS_TOP_DOWN : 0u), state, run);
    }
    if (address) return region_claim_at(address, count_pages, run);
    return region_claim(count_pages, type & MEM_TOP_DOWN, run);
}

/* A new allocation of what the caller asked for, all or nothing. */
static enum status alloc_make(uintptr_t base, uint64_t count_pages, size_t align, DWORD type, uint8_t state, uintptr_t *result) {
    struct run run;
    enum status status = run_claim(base, count_pages, align, type, state, &run);
    if (status != ST_OK) return status;
    status = space_prepare(run.first, count_pages);
    if (status == ST_OK && type & MEM_LARGE_PAGES) {
        pages_fill(granule_page(run.first), count_pages, state);
    } else if (status == ST_OK && type & MEM_COMMIT) {
        status = run_commit(&run, state);
    }
    if (status != ST_OK) {
        region_release(&run);
        return status;
    }
    struct span span = {.count_pages = count_pages, .state = state, .kind = SPAN_VM, .flags = run.flags};
    span.owner = budget_asked_number();
    if (type & MEM_WRITE_WATCH) span.flags |= SPAN_WATCH;
    if (type & MEM_LARGE_PAGES) span.flags |= SPAN_LARGE_PAGES;
    if (type & MEM_PHYSICAL) span.flags |= SPAN_PHYSICAL;
    space_publish(run.first, span);
    *result = granule_address(run.first);
    return ST_OK;
}

/* The same, charged to whoever asks. */
static enum status alloc_charged(uintptr_t base, uint64_t count_pages, size_t align, DWORD type, uint8_t state,
                                 uintptr_t *result) {
    struct budget *budget = budget_numbered(budget_asked_number());
    uint64_t committed = type & MEM_COMMIT ? count_pages : 0;
    if (!budget_charge(budget, count_pages, committed)) return ST_NO_QUOTA;
    enum status status = alloc_make(base, count_pages, align, type, state, result);
    if (status != ST_OK) budget_refund(budget, count_pages, committed);
    return status;
}

/* What this thread keeps at hand, or the process holds, may lie where the caller wants to be, or be what is missing. */
static enum status alloc_or_flush(uintptr_t base, uint64_t count_pages, size_t align, DWORD type, uint8_t state,
                                  uintptr_t *result) {
    void *before = budget_ask_again();
    enum status status = alloc_charged(base, count_pages, align, type, state, result);
    budget_ask_end(before);
    if (status == ST_OK || (spans_flush() + held_give_back(0) == 0 && status != ST_NO_QUOTA)) return status;
    return alloc_charged(base, count_pages, align, type, state, result);
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
        budget_refund(budget_numbered(account), count_pages, commit ? count_pages : 0);
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
    return alloc_or_flush(base, count_pages, GRANULE_BYTES, type, state, result);
}

/* With the range locked: commits it, and puts it back if that fails. */
static enum status commit_try(const struct range *r, const struct tally *t, uint8_t state, bool row) {
    if (!held_before_commit(r, t, state)) return ST_NO_MEMORY;
    enum status status = ahead_commit(r, state, row);
    if (status == ST_OK) {
        if (prot_writable(state)) held_after_commit(r, t);
        range_fill(r, state);
    } else {
        range_restore(r);
    }
    return status;
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
    struct budget *budget = budget_numbered(r->owner.span.owner);
    struct tally t = held_tally(r->first, r->count);
    uint64_t more = r->count - t.committed;
    if (more && !commit_charge(budget, more)) return ST_NO_QUOTA;
    struct ahead ahead = {false, false};
    if (prot_writable(state)) ahead = ahead_of_commit(r, &t);
    enum status status = commit_try(r, &t, state, ahead.row);
    if (status != ST_OK && held_give_back(0) != 0) { /* what is missing may be what others hold */
        t = held_tally(r->first, r->count);
        status = commit_try(r, &t, state, false);
    }
    if (status != ST_OK) budget_refund(budget, 0, more);
    ahead_finish(ahead, r, status == ST_OK);
    return status;
}

/*
 * With the range locked. MEM_RESET is advice: a run for which the system cannot take it keeps its content. So does watched
 * memory, since a page that is dropped is no more known to have been written.
 */
static enum status reset_locked(const struct range *r) {
    uint8_t given_up[OS_RESET_PAGES];
    if (written_is_known(&r->owner)) return ST_OK;
    for (uint64_t done = 0; done < r->count;) {
        struct page p = {r->first.n + done};
        uint8_t state = pages_state(p);
        uint64_t left = r->count - done;
        uint64_t run = pages_run(p, left < OS_RESET_PAGES ? left : OS_RESET_PAGES, PG_STATE_MASK);
        if (prot_writable(state) && os_reset(page_address(p), (size_t)run << PAGE_SHIFT, given_up) == ST_OK) {
            for (uint64_t i = 0; i < run; i++) {
                struct page one = {p.n + i};
                if (given_up[i]) pages_fill(one, 1, pages_state(one) | PG_RESET);
            }
        }
        done += run;
    }
    return ST_OK;
}

/* With the range locked. */
static enum status undo_locked(const struct range *r) {
    enum status status = ST_OK;
    if (written_is_known(&r->owner)) return ST_OK;
    for (uint64_t done = 0; done < r->count;) {
        struct page p = {r->first.n + done};
        uint8_t state = pages_state(p);
        uint64_t run = pages_run(p, r->count - done, 0xff);
        if (prot_committed(state) && state & PG_RESET) {
            /* A page that cannot be written any more cannot be asked: take it for lost. */
            enum status one = prot_writable(state) ? os_reset_undo(page_address(p), (size_t)run << PAGE_SHIFT) : ST_BAD_ADDRESS;
            if (one != ST_OK) status = one;
            pages_fill(p, run, state & PG_STATE_MASK);
        }
        done += run;
    }
    return status;
}

/* Why pages that no allocation of ours covers cannot be committed. */
static enum status foreign_commit(uintptr_t address) {
    MEMORY_BASIC_INFORMATION info;
    if (space_in_region(address) || os_query_foreign(address, &info) != ST_OK) return ST_BAD_ADDRESS;
    return info.State == MEM_COMMIT && info.Type != MEM_PRIVATE ? ST_DENIED : ST_BAD_ADDRESS;
}

/* Commit, reset and undo of pages inside an allocation. */
static enum status alloc_inside(uintptr_t address, size_t size, DWORD type, uint8_t state, uintptr_t *result) {
    struct range r = range_of(address, size);
    do {
        if (!space_find(address, &r.owner)) return type & MEM_COMMIT ? foreign_commit(address) : ST_BAD_ADDRESS;
        if (r.owner.span.kind != SPAN_VM || !range_inside(&r, &r.owner)) return ST_BAD_ADDRESS;
        if (r.owner.span.flags & SPAN_PHYSICAL) return ST_BAD_ADDRESS;
    } while (!range_lock(&r));
    enum status status = type == MEM_RESET        ? reset_locked(&r)
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
    return alloc_or_flush(0, align_up(size, PAGE_BYTES) >> PAGE_SHIFT, align, type, state, result);
}

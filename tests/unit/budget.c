/*
 * budget.c - budgets: what is charged is what the page tables say, after every step of random runs, with and without a system
 * that refuses; lines are kept to the page, by level; accounts outlive their holders as long as anything is charged to them.
 */
#include "core/budget.h"

#include <string.h>

#include "alone.h"
#include "check.h"
#include "core/bitmap.h"
#include "core/pages.h"
#include "core/region.h"
#include "heap/front.h"
#include "os/fault.h"
#include "thread.h"
#include "vm/spans.h"
#include "vm/vm.h"

#define MIB ((uint64_t)1 << 20)

/* ---- Adding up ---- */

enum { OWNERS = 4, HEAPS = 4, VMS = 40, BLOCKS = 60, HEAP_NUMBERS = 64 };

static struct {
    struct budget *account[OWNERS]; /* [0]: the process */
    struct heap *heap[HEAPS];
    unsigned heap_owner[HEAPS];
    unsigned owner_of_number[HEAP_NUMBERS]; /* by a heap's number */
    struct { uintptr_t start; uint64_t pages; } vm[VMS];
    struct { void *block; unsigned heap; } block[BLOCKS];
    uint64_t random;
} run;

struct sums {
    uint64_t reserved[OWNERS], committed[OWNERS]; /* pages, by account; [0] the whole process */
    uint64_t covered;                             /* committed pages of regions that are in a span */
};

static bool add_span(const struct found *found, void *context) {
    struct sums *sums = context;
    uint64_t pages = found->span.count_pages, committed = pages_count_committed(granule_page(found->head), pages);
    unsigned owner = 0;
    if (found->span.kind == SPAN_VM) {
        for (unsigned i = 1; i < OWNERS; i++) owner = run.account[i]->number == found->span.owner ? i : owner;
        CHECK(owner || found->span.owner == 0);
    } else {
        uint64_t number = life_owner(atom_load_acq_u64(&slab_at(found->head)->life)) >> OWNER_CLASS_BITS;
        if (CHECK(number < HEAP_NUMBERS)) owner = run.owner_of_number[number];
    }
    for (unsigned i = 0; i <= owner; i += owner ? owner : 1) {
        sums->reserved[i] += pages;
        sums->committed[i] += committed;
    }
    if (!(found->span.flags & SPAN_SYSTEM)) sums->covered += committed;
    return true;
}

/* Committed pages of regions, by their bytes; of the rest of a region none is (heaps' regions are open there, but nobody's). */
static uint64_t regions_committed(void) {
    uint64_t pages = 0;
    uintptr_t base;
    struct slot *slot;
    for (size_t n = 0; (slot = region_slot(n, &base)) != NULL; n++) {
        for (size_t g = 0, end; (g = bitmap_next_taken(slot->taken, GRANULES_PER_SLOT, g)) < GRANULES_PER_SLOT; g = end) {
            end = bitmap_next_free(slot->taken, GRANULES_PER_SLOT, g);
            pages += pages_count_committed(page_of(base + g * GRANULE_BYTES), (end - g) * PAGES_PER_GRANULE);
        }
    }
    return pages;
}

static bool adds_up(bool accounts_too) {
    struct sums sums = {0};
    space_each(add_span, &sums);
    /* Whole allocations in a thread's cache: committed, in no span, charged as reserved all the same. */
    uint64_t cached = regions_committed() - sums.covered;
    bool good = CHECK_EQ(budget_held(&budget_process, BUDGET_COMMIT) >> PAGE_SHIFT, sums.committed[0] + cached);
    good = CHECK_EQ(budget_held(&budget_process, BUDGET_RESERVE) >> PAGE_SHIFT, sums.reserved[0] + cached) && good;
    for (unsigned i = 1; accounts_too && i < OWNERS; i++) {
        good = CHECK_EQ(budget_held(run.account[i], BUDGET_COMMIT) >> PAGE_SHIFT, sums.committed[i]) && good;
        good = CHECK_EQ(budget_held(run.account[i], BUDGET_RESERVE) >> PAGE_SHIFT, sums.reserved[i]) && good;
    }
    return good;
}

/* ---- The random run ---- */

static uint64_t below(uint64_t bound) { return thread_random(&run.random) % bound; }

static void step_alloc(unsigned i) {
    static const DWORD types[] = {MEM_RESERVE, MEM_COMMIT, MEM_RESERVE | MEM_COMMIT, MEM_RESERVE | MEM_COMMIT | MEM_TOP_DOWN};
    uint64_t pages = below(4) ? 1 + below(40) : 1 + below(600);
    DWORD type = types[below(4)];
    if (below(50) == 0) pages = PAGES_PER_SLOT + below(100), type = MEM_RESERVE; /* more than a region holds */
    if (vm_alloc(0, pages << PAGE_SHIFT, type, below(3) ? PAGE_READWRITE : PAGE_READONLY, &run.vm[i].start) == ST_OK) {
        run.vm[i].pages = pages;
    } else {
        run.vm[i].start = 0;
    }
}

static void step_vm(void) {
    unsigned i = (unsigned)below(VMS);
    uintptr_t start = run.vm[i].start, got;
    if (!start) {
        step_alloc(i);
        return;
    }
    uint64_t first = below(run.vm[i].pages), count = 1 + below(run.vm[i].pages - first);
    if (count > 700) count = 700;
    DWORD old;
    switch (below(6)) {
    case 0:
    case 1: vm_alloc(start + (first << PAGE_SHIFT), count << PAGE_SHIFT, MEM_COMMIT, PAGE_READWRITE, &got); break;
    case 2: vm_free(start + (first << PAGE_SHIFT), count << PAGE_SHIFT, MEM_DECOMMIT); break;
    case 3: vm_protect(start + (first << PAGE_SHIFT), count << PAGE_SHIFT, PAGE_READONLY, &old); break;
    case 4: /* the kind of allocation that a cache keeps */
        if (run.vm[i].pages > 2000) break;
        vm_alloc(start, run.vm[i].pages << PAGE_SHIFT, MEM_COMMIT, PAGE_READWRITE, &got);
        /* fall through */
    default:
        if (vm_free(start, 0, MEM_RELEASE) == ST_OK) run.vm[i].start = 0;
    }
}

static void step_heap(void) {
    unsigned i = (unsigned)below(BLOCKS), heap = (unsigned)below(HEAPS);
    if (run.block[i].block) {
        struct heap *of = run.heap[run.block[i].heap];
        if (below(3) == 0) {
            heap_resize(of, run.block[i].block, below(3 * CLASS_LARGEST));
        } else {
            CHECK(front_free(of, run.block[i].block) == ST_OK);
            run.block[i].block = NULL;
        }
        return;
    }
    if (!run.heap[heap]) return;
    size_t size = below(3) ? 1 + below(3000) : 1 + below(2 * CLASS_LARGEST);
    run.block[i].heap = heap;
    if (front_alloc(run.heap[heap], size, below(2), &run.block[i].block) != ST_OK) run.block[i].block = NULL;
}

static void heap_replace(unsigned i, unsigned owner) {
    if (run.heap[i]) {
        for (unsigned b = 0; b < BLOCKS; b++) run.block[b].block = run.block[b].heap == i ? NULL : run.block[b].block;
        CHECK(heap_destroy(run.heap[i]) == ST_OK);
    }
    if (heap_create(below(2), 0, &run.heap[i]) != ST_OK) run.heap[i] = NULL;
    if (run.heap[i] && CHECK(heap_front(run.heap[i])->number < HEAP_NUMBERS)) {
        run.owner_of_number[heap_front(run.heap[i])->number] = owner;
    }
}

static void step(bool may_fail) {
    static const char *const refusing[] = {"commit", "decommit", "reserve", "protect"};
    unsigned owner = (unsigned)below(OWNERS);
    void *before = budget_ask(owner ? run.account[owner]->number : 0, (enum budget_level)below(BUDGET_LEVELS));
#ifdef HM_FAULT
    if (may_fail && below(4) == 0) os_fault_set(refusing[below(4)], 1 + (long)below(3), below(4) == 0);
#else
    (void)may_fail, (void)refusing;
#endif
    uint64_t what = below(100);
    if (what < 60) step_vm();
    else if (what < 95) step_heap();
    else if (what < 98) heap_trim();
    else heap_replace((unsigned)below(HEAPS), owner);
#ifdef HM_FAULT
    os_fault_set(NULL, 0, false);
#endif
    budget_ask_end(before);
}

static void random_run(int steps, bool may_fail, uint64_t seed) {
    run.random = seed;
    for (unsigned i = 0; i < HEAPS; i++) heap_replace(i, 0);
    for (int i = 0; i < steps; i++) {
        step(may_fail);
        /* What an account has in a thread's cache no table tells: it must go back first. */
        bool accounts_too = !may_fail && i % 4 == 0;
        if (accounts_too) spans_flush();
        if (!adds_up(accounts_too)) return;
    }
    for (unsigned i = 0; i < VMS; i++) {
        if (run.vm[i].start) CHECK(vm_free(run.vm[i].start, 0, MEM_RELEASE) == ST_OK);
        run.vm[i].start = 0;
    }
    for (unsigned i = 0; i < HEAPS; i++) {
        if (run.heap[i]) CHECK(heap_destroy(run.heap[i]) == ST_OK);
        run.heap[i] = NULL;
    }
    memset(run.block, 0, sizeof run.block);
    spans_flush();
    adds_up(!may_fail);
}

/* A whole allocation that the system does not take back from a cache is nobody's until it does: in no budget, nor committed. */
static void test_refused(void) {
    uintptr_t start;
#ifdef HM_FAULT
    for (unsigned refused = 2; refused--;) {
        CHECK_EQ(vm_alloc(0, 7 * PAGE_BYTES, MEM_COMMIT, PAGE_READWRITE, &start), ST_OK);
        CHECK_EQ(vm_free(start, 0, MEM_RELEASE), ST_OK);
        os_fault_set("decommit", refused, true);
        spans_flush();
        os_fault_set(NULL, 0, false);
        adds_up(true);
        CHECK_EQ(regions_committed(), 0);
    }
#else
    (void)start;
#endif
}

static void test_adding_up(void) {
    run.account[0] = &budget_process;
    for (unsigned i = 1; i < OWNERS; i++) {
        run.account[i] = budget_open(NULL);
        if (!CHECK(run.account[i] != NULL)) return;
    }
    random_run(3000, false, 1);
    CHECK_EQ(budget_held(&budget_process, BUDGET_COMMIT), 0);
    CHECK_EQ(budget_held(&budget_process, BUDGET_RESERVE), 0);
    /* With lines in the way of about half of it. */
    struct budget_lines lines = {.soft = {40 * MIB, 8 * MIB}, .hard = {80 * MIB, 16 * MIB}, .emergency = MIB};
    for (unsigned i = 1; i < OWNERS; i++) budget_lines_set(run.account[i], &lines);
    random_run(3000, false, 2);
    CHECK(atom_load_rlx_u64(&run.account[1]->refused[BUDGET_TASK]) > 0);
    test_refused();
    random_run(1500, true, 3);
    for (unsigned i = 1; i < OWNERS; i++) budget_drop(run.account[i]);
}

/* ---- Lines ---- */

/* Commits granule by granule until refused; the bytes committed then. */
static uint64_t commit_until_refused(struct budget *account, enum budget_level level, uintptr_t start, uint64_t from,
                                     uint64_t to) {
    void *before = budget_ask(account->number, level);
    uint64_t at = from;
    uintptr_t got;
    enum status status = ST_OK;
    while (at < to && (status = vm_alloc(start + at, PAGE_BYTES, MEM_COMMIT, PAGE_READWRITE, &got)) == ST_OK) at += PAGE_BYTES;
    CHECK(at == to || status == ST_NO_QUOTA);
    budget_ask_end(before);
    return at;
}

static void test_lines(void) {
    struct budget *account = budget_open(NULL);
    if (!CHECK(account != NULL)) return;
    budget_lines_set(account, &(struct budget_lines){.soft = {0, MIB}, .hard = {64 * MIB, 2 * MIB}, .emergency = MIB / 2});
    void *before = budget_ask(account->number, BUDGET_TASK);
    uintptr_t start, other;
    CHECK(vm_alloc(0, 4 * MIB, MEM_RESERVE, PAGE_READWRITE, &start) == ST_OK);
    CHECK(vm_alloc(0, 64 * MIB, MEM_RESERVE, PAGE_READWRITE, &other) == ST_NO_QUOTA && other == 0);
    CHECK(vm_alloc(0, MIB + 1, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, &other) == ST_NO_QUOTA && other == 0);
    budget_ask_end(before);
    CHECK_EQ(budget_held(account, BUDGET_RESERVE), 4 * MIB);
    uint64_t at = commit_until_refused(account, BUDGET_TASK, start, 0, 4 * MIB);
    CHECK_EQ(at, MIB);
    at = commit_until_refused(account, BUDGET_DOMAIN, start, at, 4 * MIB);
    CHECK_EQ(at, 2 * MIB);
    at = commit_until_refused(account, BUDGET_PROCESS, start, at, 4 * MIB);
    CHECK_EQ(at, 2 * MIB + MIB / 2);
    CHECK_EQ(budget_held(account, BUDGET_COMMIT), at);
    /* Committing again what is committed costs nothing, and the reserve is there again when there is room. */
    CHECK_EQ(commit_until_refused(account, BUDGET_TASK, start, 0, at), at);
    CHECK(vm_free(start, 2 * MIB, MEM_DECOMMIT) == ST_OK);
    CHECK_EQ(commit_until_refused(account, BUDGET_TASK, start, 0, 2 * MIB), MIB / 2);
    CHECK_EQ(commit_until_refused(account, BUDGET_PROCESS, start, MIB / 2, 2 * MIB), 2 * MIB);
    CHECK_EQ(account->refused[BUDGET_PROCESS], 1);
    /* Lines may move while memory is charged. */
    budget_lines_set(account, &(struct budget_lines){.hard = {0, 3 * MIB}});
    CHECK_EQ(commit_until_refused(account, BUDGET_TASK, start, at, 4 * MIB), 3 * MIB);
    /* The holder goes; the account goes with the last of its memory. */
    uint32_t number = account->number;
    budget_drop(account);
    CHECK_EQ(budget_held(account, BUDGET_RESERVE), 4 * MIB);
    CHECK(vm_free(start, 0, MEM_RELEASE) == ST_OK);
    account = budget_open(NULL);
    CHECK(account && account->number == number && budget_held(account, BUDGET_COMMIT) == 0);
    if (account) budget_drop(account);
}

static void test_heap_lines(void) {
    struct budget *account = budget_open(NULL);
    struct heap *heap;
    if (!CHECK(account != NULL)) return;
    const size_t large = CLASS_LARGEST + MIB;
    budget_lines_set(account, &(struct budget_lines){.soft = {0, 4 * large - 1}, .hard = {0, 6 * large}});
    void *before = budget_ask(account->number, BUDGET_TASK);
    CHECK(heap_create(false, 0, &heap) == ST_OK);
    void *block = NULL, *more = NULL;
    uint64_t taken = 0;
    while (taken < 100 && front_alloc(heap, large, false, &block) == ST_OK) taken++;
    CHECK(taken == 3 && block == NULL);
    budget_ask(account->number, BUDGET_DOMAIN);
    CHECK(front_alloc(heap, large, false, &block) == ST_OK);
    CHECK(heap_resize(heap, block, 4 * large) == ST_NO_MEMORY);
    /* The heap's own line. */
    struct budget_lines lines = {.hard = {0, heap_taken(heap)}};
    budget_lines_set(heap_budget(heap), &lines);
    CHECK(front_alloc(heap, large, false, &more) == ST_NO_MEMORY);
    CHECK(heap_free(heap, block) == ST_OK);
    CHECK(front_alloc(heap, large, false, &more) == ST_OK);
    budget_ask_end(before);
    budget_drop(account); /* the heap still holds it */
    CHECK(budget_held(account, BUDGET_COMMIT) == heap_taken(heap) && heap_taken(heap) > 0);
    CHECK(heap_destroy(heap) == ST_OK);
    CHECK_EQ(budget_held(account, BUDGET_COMMIT), 0);
}

/* What one account left in the thread's cache, another takes: the charge goes with it, or the memory stays where it is. */
static void test_cached_spans(void) {
    struct budget *one = budget_open(NULL), *other = budget_open(NULL);
    if (!CHECK(one && other)) return;
    uintptr_t start, again;
    void *before = budget_ask(one->number, BUDGET_TASK);
    CHECK(vm_alloc(0, 65536, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, &start) == ST_OK);
    CHECK(vm_free(start, 0, MEM_RELEASE) == ST_OK);
    CHECK_EQ(budget_held(one, BUDGET_COMMIT), 65536);
    budget_lines_set(other, &(struct budget_lines){.hard = {0, 4096}});
    budget_ask(other->number, BUDGET_TASK);
    CHECK(vm_alloc(0, 65536, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, &again) == ST_NO_QUOTA);
    budget_lines_set(other, &(struct budget_lines){{0}, {0}, 0});
    CHECK(vm_alloc(0, 65536, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, &again) == ST_OK);
    CHECK_EQ(budget_held(other, BUDGET_COMMIT), 65536);
    CHECK_EQ(budget_held(other, BUDGET_RESERVE), 65536);
    CHECK_EQ(budget_held(one, BUDGET_RESERVE), 0);
    budget_ask_end(before);
    CHECK(vm_free(again, 0, MEM_RELEASE) == ST_OK);
    CHECK(vm_alloc(0, 65536, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, &again) == ST_OK);
    CHECK_EQ(budget_held(other, BUDGET_RESERVE), 0);
    CHECK(vm_free(again, 0, MEM_RELEASE) == ST_OK);
    spans_flush();
    CHECK_EQ(budget_held(&budget_process, BUDGET_RESERVE), 0);
    budget_drop(one);
    budget_drop(other);
}

/* ---- Threads ---- */

static struct budget *shared;
static uint32_t told;

static void count_told(void) { atom_add_acqrel_u32(&told, 1); }

static void *storm(void *context) {
    uint64_t random = (uintptr_t)context;
    uintptr_t held[8] = {0};
    for (int i = 0; i < 4000; i++) {
        uintptr_t *at = &held[thread_random(&random) % 8];
        unsigned level = (unsigned)(thread_random(&random) % BUDGET_LEVELS);
        void *before = budget_ask(shared->number, (enum budget_level)level);
        if (*at) {
            CHECK(vm_free(*at, 0, MEM_RELEASE) == ST_OK);
            *at = 0;
        } else {
            vm_alloc(0, (1 + thread_random(&random) % 256) << PAGE_SHIFT, MEM_COMMIT, PAGE_READONLY, at);
        }
        budget_ask_end(before);
        CHECK(budget_held(shared, BUDGET_COMMIT) <= 3 * MIB);
    }
    for (int i = 0; i < 8; i++) if (held[i]) CHECK(vm_free(held[i], 0, MEM_RELEASE) == ST_OK);
    return NULL;
}

#ifdef HM_FAULT
/* What the system refuses has not been. */
static void test_peak_refused(const char *function) {
    uintptr_t start;
    uint64_t reserved = budget_peak(&budget_process, BUDGET_RESERVE), committed = budget_peak(&budget_process, BUDGET_COMMIT);
    os_fault_set(function, 1, true);
    CHECK(vm_alloc(0, 64 * SLOT_BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_READONLY, &start) != ST_OK);
    os_fault_set(NULL, 0, false);
    CHECK_EQ(budget_peak(&budget_process, BUDGET_RESERVE), reserved);
    CHECK_EQ(budget_peak(&budget_process, BUDGET_COMMIT), committed);
}
#endif

/* What was refused above has not been below either. */
static void test_peaks(void) {
    struct budget *account = budget_open(NULL), *other = budget_open(NULL);
    if (!CHECK(account != NULL && other != NULL)) return;
    uint64_t held = budget_held(&budget_process, BUDGET_RESERVE), peak = budget_peak(&budget_process, BUDGET_RESERVE);
    budget_lines_set(&budget_process, &(struct budget_lines){.hard = {0, budget_held(&budget_process, BUDGET_COMMIT) + MIB}});
    budget_lines_set(other, &(struct budget_lines){.hard = {0, MIB}});
    CHECK(!budget_charge(account, 1000 << 10, 1000));
    CHECK_EQ(budget_peak(account, BUDGET_RESERVE), 0);
    CHECK_EQ(budget_peak(account, BUDGET_COMMIT), 0);
    CHECK_EQ(budget_peak(&budget_process, BUDGET_RESERVE), peak);
    CHECK(budget_charge(account, 1000, 100));
    CHECK(!budget_move(account->number, other->number, 1000));
    CHECK(budget_move(account->number, other->number, 100));
    CHECK_EQ(budget_peak(account, BUDGET_RESERVE), 1000 * PAGE_BYTES);
    CHECK_EQ(budget_peak(account, BUDGET_COMMIT), 100 * PAGE_BYTES);
    CHECK_EQ(budget_peak(other, BUDGET_RESERVE), 100 * PAGE_BYTES);
    CHECK_EQ(budget_peak(other, BUDGET_COMMIT), 100 * PAGE_BYTES);
    budget_refund(account, 900, 0);
    budget_refund(other, 100, 100);
    CHECK_EQ(budget_held(&budget_process, BUDGET_RESERVE), held);
    budget_lines_set(&budget_process, &(struct budget_lines){0});
    budget_drop(account);
    budget_drop(other);
}

static void test_threads(void) {
    shared = budget_open(NULL);
    if (!CHECK(shared != NULL)) return;
    budget_lines_set(shared, &(struct budget_lines){.soft = {0, MIB}, .hard = {0, 2 * MIB}, .emergency = MIB});
    budget_on_brink(count_told);
    struct threads threads = {0};
    for (uintptr_t i = 1; i <= 4; i++) threads_start(&threads, storm, (void *)i);
    threads_join(&threads);
    budget_on_brink(NULL);
    CHECK(told > 0);
    CHECK_EQ(budget_held(shared, BUDGET_COMMIT), 0);
    CHECK_EQ(budget_held(shared, BUDGET_RESERVE), 0);
    for (int i = 0; i < BUDGET_LEVELS; i++) CHECK(shared->refused[i] > 0);
    budget_drop(shared);
}

int main(void) {
    keeper_forbid();
    CHECK(os_slots_there()); /* budget_ask needs them */
    test_lines();
    test_heap_lines();
    test_cached_spans();
    test_peaks();
#ifdef HM_FAULT
    test_peak_refused("reserve");
    test_peak_refused("commit");
#endif
    test_threads();
    test_adding_up();
    return check_done();
}

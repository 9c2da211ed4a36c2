/*
 * Memory that the system still backs although nobody has it committed: that nobody can tell, except by its speed. Pages fault
 * while they are held, are zero when they are committed again, and go back to the system when asked, in time, and when there are
 * too many. And nothing is lost where the system refuses a call.
 */
#include <string.h>

#include "check.h"
#include "core/keeper.h"
#include "flat.h"
#include "hostmem.h"
#include "os/fault.h"
#include "os/os.h"
#include "probe.h"
#include "thread.h"
#include "vm/ahead.h"
#include "vm/keep.h"

/* ---- In place ----------------------------------------------------------------------------------------------------- */

static void decommitted_pages(void) {
    char *p = reserve(MIB), *here = p + 256 * KIB;
    uint64_t before = held_bytes();
    for (int round = 0; round < 4; round++) { /* the second time the range is prepared for coming and going */
        CHECK(commit(here, 64 * KIB) && is_zero(here, 64 * KIB));
        CHECK_EQ(held_bytes(), before);
        memset(here, 0x5a, 64 * KIB);
        CHECK(decommit(here, 64 * KIB));
        CHECK_EQ(held_bytes(), before + 64 * KIB);
        CHECK(probe('r', here) == PROBE_FAULT && probe('w', here + 60 * KIB) == PROBE_FAULT);
        CHECK(is_reserved(here, 64 * KIB));
        CHECK_EQ(committed(), 0);
    }
    /* A part of it; with a neighbour that is not held; over committed pages, which keep their content. */
    CHECK(commit(here + 8 * KIB, 8 * KIB) && is_zero(here + 8 * KIB, 8 * KIB));
    here[8 * KIB] = 7;
    CHECK(is_reserved(here, 8 * KIB) && probe('r', here + 16 * KIB) == PROBE_FAULT);
    CHECK(commit(here - 64 * KIB, 192 * KIB) && here[8 * KIB] == 7 && is_zero(here - 64 * KIB, 72 * KIB));
    here[8 * KIB] = 0;
    CHECK(is_zero(here, 128 * KIB));
    CHECK_EQ(held_bytes(), before);
    /* The fill of MEM_RESET does not outlive a decommit. */
    CHECK(HmVirtualAlloc(here, 64 * KIB, MEM_RESET, PAGE_READWRITE) == here && decommit(here, 64 * KIB));
    CHECK(HmVirtualAlloc(here, 64 * KIB, MEM_RESET_UNDO, PAGE_READWRITE) == here || HmGetLastError() != 0);
    CHECK(commit(here, 64 * KIB) && is_zero(here, 64 * KIB));
    CHECK(release(p));
    CHECK_EQ(taken(), 0);
    CHECK_EQ(held_bytes(), 0);
}

/* What is held can be committed with any protection. */
static void other_protections(void) {
    static const DWORD protections[] = {PAGE_NOACCESS, PAGE_READONLY, PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE,
                                        PAGE_READWRITE | PAGE_GUARD};
    for (size_t i = 0; i < sizeof protections / sizeof *protections; i++) {
        char *p = reserve(64 * KIB);
        DWORD old;
        CHECK(commit(p, 64 * KIB));
        memset(p, 1, 64 * KIB);
        CHECK(decommit(p, 64 * KIB) && held_bytes() == 64 * KIB);
        CHECK(HmVirtualAlloc(p, 64 * KIB, MEM_COMMIT, protections[i]) == p);
        CHECK_EQ(held_bytes(), 0);
        CHECK(HmVirtualProtect(p, 64 * KIB, PAGE_READWRITE, &old) && old == protections[i]);
        CHECK(is_zero(p, 64 * KIB));
        CHECK(release(p));
    }
}

/* However much is decommitted at once; but what is committed at once by more than 4 MiB is not looked through. */
static void much_at_once(void) {
    char *p = reserve(12 * MIB);
    for (int round = 0; round < 2; round++) {
        CHECK(commit(p, 12 * MIB) && is_zero(p, 12 * MIB));
        CHECK_EQ(held_bytes(), 0);
        memset(p, 2, 12 * MIB);
        CHECK(decommit(p, 12 * MIB) && is_reserved(p, 12 * MIB));
        CHECK_EQ(held_bytes(), 12 * MIB);
    }
    CHECK(commit(p, 4 * MIB) && is_zero(p, 4 * MIB));
    CHECK_EQ(held_bytes(), 8 * MIB);
    CHECK(commit(p + 10 * MIB, 64 * KIB) && is_zero(p + 10 * MIB, 64 * KIB));
    CHECK(HmTrim() >= 8 * MIB - 64 * KIB);
    CHECK(commit(p, 12 * MIB) && is_zero(p, 12 * MIB));
    CHECK(release(p));
    CHECK_EQ(taken(), 0);
}

static void trim_gives_back(void) {
    char *p = reserve(4 * MIB);
    CHECK(commit(p, 4 * MIB));
    memset(p, 3, 4 * MIB);
    for (size_t at = 0; at < 4 * MIB; at += 128 * KIB) CHECK(decommit(p + at, 64 * KIB));
    CHECK_EQ(held_bytes(), 2 * MIB);
    CHECK_EQ(held_give_back(60 * 1000), 0); /* not that old */
    CHECK_EQ(held_bytes(), 2 * MIB);
    CHECK(HmTrim() >= 2 * MIB);
    CHECK_EQ(held_bytes(), 0);
    CHECK(p[64 * KIB] == 3 && commit(p, 4 * MIB) && p[64 * KIB] == 3);
    for (size_t at = 0; at < 4 * MIB; at += 128 * KIB) CHECK(is_zero(p + at, 64 * KIB));
    CHECK(release(p));
    HmTrim();
    CHECK_EQ(held_bytes(), 0);
}

/* ---- Growing ------------------------------------------------------------------------------------------------------ */

static void growing(void) {
    char *p = reserve(16 * MIB);
    char *grown = p;
    uint64_t most = 0;
    for (; grown < p + 12 * MIB; grown += 64 * KIB) {
        CHECK(commit(grown, 64 * KIB));
        if (held_bytes() > most) most = held_bytes();
        CHECK_EQ(committed(), (size_t)(grown - p) + 64 * KIB);
        CHECK(probe('r', grown + 64 * KIB) == PROBE_FAULT && is_reserved(grown + 64 * KIB, 4 * MIB));
        CHECK(grown[0] == 0 && is_zero(grown, 64 * KIB));
        memset(grown, 1, 64 * KIB);
    }
    CHECK(most < OS_BLOCK_BYTES); /* never more ahead than one block */
    CHECK(decommit(p + 3 * MIB, 64 * KIB) && probe('w', p + 3 * MIB) == PROBE_FAULT);
    CHECK(commit(p + 3 * MIB, 64 * KIB) && is_zero(p + 3 * MIB, 64 * KIB));
    CHECK(p[3 * MIB - 1] == 1 && p[3 * MIB + 64 * KIB] == 1);
    CHECK(release(p));
    HmTrim();
    CHECK_EQ(held_bytes(), 0);
}

#ifndef _WIN32
static char *row_next(char *p, size_t *at) {
    char *next = p + *at;
    *at += 64 * KIB;
    return CHECK(commit(next, 64 * KIB)) ? next : NULL;
}

static void write_all(char *start, size_t size) {
    for (size_t at = 0; at < size; at += PAGE) start[at] = 1;
}

static uint64_t row_over;

static void *rows_of_another(void *context) {
    while (!atom_load_acq_u64(&row_over)) {
        char *p = reserve(256 * MIB);
        for (size_t at = 0; at < 256 * MIB && !atom_load_acq_u64(&row_over);) write_all(row_next(p, &at), 64 * KIB);
        CHECK(release(p));
    }
    return context;
}

/* Of the commits of a row, but for its beginning: how many have brought nothing; others all. Stops where it is enough. */
static size_t row_left(size_t enough) {
    size_t at = 0, left = 0;
    char *p = reserve(64 * MIB);
    while (at < 4 * MIB) write_all(row_next(p, &at), 64 * KIB);
    while (left < enough && at < 64 * MIB) {
        char *next = row_next(p, &at);
        size_t there = os_touched((uintptr_t)next, 64 * KIB);
        CHECK(there == 0 || there >= 15); /* one page may be left out, to tell of use */
        left += there == 0;
        write_all(next, 64 * KIB);
    }
    CHECK(release(p));
    HmTrim(); /* or the next row would find this one's memory */
    return left;
}

/*
 * Who grows alone has the memory at once. Who grows beside others has it, too, where they need not wait for that, but for the 32
 * commits after the engine has lost sight of a row; else he meets faults as soon as another is seen.
 */
static void brings(bool beside_others) {
    struct threads threads = {0};
    size_t left = 0;
    CHECK(row_left(3) < 3);
    atom_store_rel_u64(&row_over, 0);
    threads_start(&threads, rows_of_another, NULL);
    if (beside_others) CHECK(row_left(256) < 256);
    for (int rows = 0; !beside_others && rows < 64 && left < 20; rows++) left += row_left(20 - left);
    CHECK(beside_others || left == 20);
    atom_store_rel_u64(&row_over, 1);
    threads_join(&threads);
    HmTrim();
    CHECK_EQ(taken(), 0);
}

/* Who commits and does not use it, or little of it, has no memory brought; once it is used, it is brought again. */
static void brings_what_is_used(void) {
    size_t at = 0, there = 0;
    char *p = reserve(256 * MIB), *next;
    while (at < 160 * MIB) row_next(p, &at)[0] = 1;
    for (size_t looked = 0; looked < at; looked += MIB) there += os_touched((uintptr_t)p + looked, MIB);
    CHECK(there < 80 * MIB / PAGE);
    while (at < 240 * MIB) write_all(row_next(p, &at), 64 * KIB);
    next = row_next(p, &at);
    CHECK(os_touched((uintptr_t)next, 64 * KIB) >= 15);
    CHECK(release(p));
    HmTrim();
    CHECK_EQ(taken(), 0);
}

/* Does anybody have to wait for memory that is brought here? */
static bool brings_at_once(void) {
    char *p = reserve(64 * KIB);
    bool at_once = commit(p, 64 * KIB) && os_bring((uintptr_t)p, 64 * KIB, (uintptr_t)p, 64 * KIB);
    CHECK(release(p));
    return at_once;
}
#endif

/* ---- Commit-ahead ------------------------------------------------------------------------------------------------- */

/* With the option set, which stays: what is open to every access is reserved to every call, and closed when that is asked for. */
static void open_ahead(void) {
    char *p = reserve(16 * MIB), *grown = p;
    size_t open = 0;
    ahead_set(256 * KIB);
    for (; grown < p + 8 * MIB; grown += 64 * KIB) {
        CHECK(commit(grown, 64 * KIB) && is_zero(grown, 64 * KIB));
        memset(grown, 1, 64 * KIB);
        CHECK_EQ(committed(), (size_t)(grown - p) + 64 * KIB);
        CHECK(is_reserved(grown + 64 * KIB, 4 * MIB));
        CHECK(!HmVirtualProtect(grown + 64 * KIB, PAGE, PAGE_READONLY, &(DWORD){0}));
        open += probe('r', grown + 64 * KIB) != PROBE_FAULT;
        CHECK(probe('r', grown + 64 * KIB + 256 * KIB) == PROBE_FAULT);
    }
    CHECK(open > 60); /* of 128: three in four, but for what blocks' ends cut short */
    while (probe('r', grown) == PROBE_FAULT && grown < p + 12 * MIB) {
        CHECK(commit(grown, 64 * KIB));
        grown += 64 * KIB;
    }
    CHECK(probe('w', grown) == PROBE_OK && grown[0] == 0 && decommit(grown, 64 * KIB) && probe('r', grown) == PROBE_FAULT);
    for (; grown < p + 12 * MIB; grown += 64 * KIB) CHECK(commit(grown, 64 * KIB) && is_zero(grown, 64 * KIB));
    /* Other protections than read-write have nothing open, and what was open is gone when the allocation is. */
    DWORD old;
    CHECK(HmVirtualAlloc(grown, 64 * KIB, MEM_COMMIT, PAGE_READONLY) == grown && probe('w', grown) == PROBE_FAULT);
    CHECK(HmVirtualProtect(grown, PAGE, PAGE_READWRITE, &old) && old == PAGE_READONLY && grown[0] == 0);
    CHECK(release(p) && probe('r', p + 12 * MIB + 128 * KIB) == PROBE_FAULT);
    HmTrim();
    CHECK_EQ(held_bytes(), 0);
    /* What was held of one released before is opened as it is, and is zero when it is committed. */
    p = used(16 * MIB);
    CHECK(release(p) && (p = reserve(16 * MIB)) != NULL);
    for (grown = p; grown < p + 16 * MIB; grown += 64 * KIB) CHECK(commit(grown, 64 * KIB) && is_zero(grown, 64 * KIB));
    CHECK(release(p));
    HmTrim();
    CHECK_EQ(held_bytes(), 0);
}

#if defined(HM_FAULT) && !defined(_WIN32)
/* One reservation that grows far enough to show that blocks come where the system has them. */
static void block_comes_at_once(void) {
    os_linux_any_price = true;
    char *p = reserve(16 * MIB);
    uintptr_t block = align_up((uintptr_t)p, OS_BLOCK_BYTES) + OS_BLOCK_BYTES;
    if (os_back(block) == ST_OK) {
        CHECK(probe('r', (char *)block) == PROBE_FAULT);
        for (char *at = p; at < (char *)block; at += 64 * KIB) CHECK(commit(at, 64 * KIB));
        HmTrim();
        CHECK(commit((char *)block, 64 * KIB));
        CHECK_EQ(held_bytes(), OS_BLOCK_BYTES - 64 * KIB);
        CHECK(HmTrim() >= OS_BLOCK_BYTES - 64 * KIB);
    }
    CHECK(release(p));
    HmTrim();
}
#endif

/* ---- Bounds ------------------------------------------------------------------------------------------------------- */

static void bound_holds(void) {
    held_bound_set(4 * MIB);
    CHECK_EQ(held_bound(), 4 * MIB);
    char *p = reserve(64 * MIB);
    CHECK(commit(p, 64 * MIB));
    for (size_t at = 0; at < 64 * MIB; at += MIB) {
        p[at] = 1;
        CHECK(decommit(p + at, 512 * KIB));
        CHECK(held_bytes() <= 4 * MIB && probe('r', p + at) == PROBE_FAULT);
    }
    CHECK_EQ(held_bytes(), 4 * MIB);
    CHECK(commit(p, 64 * MIB));
    for (size_t at = 0; at < 64 * MIB; at += MIB) CHECK_EQ(p[at], 0);
    CHECK_EQ(held_bytes(), 0);
    CHECK(release(p) && held_bytes() == 0); /* too large to be kept */
    held_bound_set(1);
    p = reserve(64 * KIB);
    CHECK(commit(p, 64 * KIB) && decommit(p, 64 * KIB) && held_bytes() == 0 && release(p));
}

static void time_gives_back(void) {
    char *p = reserve(64 * KIB), *q = used(2 * MIB);
    CHECK(commit(p, 64 * KIB) && decommit(p, 64 * KIB) && release(q) && held_bytes() == 2 * MIB + 64 * KIB);
    for (double end = thread_seconds() + 20; held_bytes() != 0 && thread_seconds() < end;) os_yield(100);
    CHECK_EQ(held_bytes(), 0); /* nobody has called anything meanwhile */
    CHECK(release(p));
}

/* Before there is somebody who gives back in time, nothing is held; after a few decommits he comes. */
static void keeper_first(void) {
    char *p = reserve(64 * KIB);
    CHECK(!keeper_runs());
    CHECK(commit(p, 64 * KIB) && decommit(p, 64 * KIB) && held_bytes() == 0);
    for (int i = 0; i < 100 && held_bytes() == 0; i++) CHECK(commit(p, 64 * KIB) && decommit(p, 64 * KIB));
    CHECK(keeper_runs() && held_bytes() == 64 * KIB);
    CHECK(release(p));
    CHECK_EQ(taken(), 0);
}

/* ---- Refusals ----------------------------------------------------------------------------------------------------- */

#ifdef HM_FAULT
/* True while every call succeeded; what is committed is right at each step, or the test has failed. */
static bool script(char **kept) {
    char *p = *kept = reserve(8 * MIB);
    if (!p) return false;
    for (size_t at = 0; at < 5 * MIB; at += 128 * KIB) {
        if (!commit(p + at, 128 * KIB)) return false;
        CHECK(is_zero(p + at, 128 * KIB));
        memset(p + at, 1, 128 * KIB);
    }
    if (!decommit(p, 64 * KIB)) return false;
    if (!commit(p, 64 * KIB)) return false;
    CHECK(is_zero(p, 64 * KIB) && p[64 * KIB] == 1);
    if (!decommit(p, 64 * KIB)) return false;
    CHECK(is_reserved(p, 64 * KIB) && p[64 * KIB] == 1);
    HmTrim();
    if (!HmVirtualAlloc(p, 64 * KIB, MEM_COMMIT, PAGE_READONLY)) return false;
    CHECK(is_zero(p, 64 * KIB));
    if (!release(p)) return false;
    *kept = NULL;
    p = *kept = HmVirtualAlloc(NULL, 8 * MIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (!p) return false;
    CHECK(is_zero(p, 8 * MIB));
    p[0] = 1;
    if (!release(p)) return false;
    *kept = NULL;
    return true;
}

static void every_call_fails(bool sticky) {
    static const char *const functions[] = {"hold", "back", "commit", "decommit", NULL};
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        long met = 0;
        if (f == 1) thread_rest(1.1); /* after a refusal nothing is brought ahead for a second */
        for (long n = 1; n < 2000; n++) {
            char *kept = NULL;
            os_fault_set(functions[f], n, sticky);
            script(&kept);
            bool done = os_fault_calls() < n;
            os_fault_set(NULL, 0, false);
            if (kept) CHECK(release(kept));
            CHECK_EQ(taken(), 0);
            CHECK_EQ(held_bytes(), 0);
            CHECK_EQ(committed(), 0);
            if (done) break;
            met = n;
        }
        CHECK(met > 0 && met < 1999);
    }
}
#endif

/* ---- Threads ------------------------------------------------------------------------------------------------------ */

static char *shared;
static bool stop;

static void *churn(void *context) {
    char *own = shared + (uintptr_t)context * 128 * KIB;
    for (int i = 0; i < 1000; i++) {
        size_t size = (size_t)(i % 16 + 1) * PAGE;
        if (!CHECK(commit(own, size) && is_zero(own, size))) break;
        memset(own, 1, size);
        if (!CHECK(decommit(own, size))) break;
        if (i % 64 == 0) {
            char *large = HmVirtualAlloc(NULL, 2 * MIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
            CHECK(large && large[MIB] == 0);
            large[MIB] = 1;
            CHECK(release(large));
        }
    }
    return NULL;
}

static void *trimmer(void *context) {
    (void)context;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) held_give_back(0);
    return NULL;
}

static void racing(void) {
    struct threads threads = {0}, trim = {0};
    shared = reserve(MIB);
    threads_start(&trim, trimmer, NULL);
    for (uintptr_t i = 0; i < 4; i++) threads_start(&threads, churn, (void *)i);
    threads_join(&threads);
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    threads_join(&trim);
    CHECK(release(shared));
    CHECK_EQ(taken(), 0);
    CHECK_EQ(held_bytes(), 0);
}

int main(void) {
    probe_start();
    keeper_first();
    decommitted_pages();
    other_protections();
    much_at_once();
    trim_gives_back();
    growing();
#ifndef _WIN32
    brings(brings_at_once());
    brings_what_is_used();
#endif
#if defined(HM_FAULT) && !defined(_WIN32)
    os_linux_no_faults = true;
    brings(brings_at_once());
    os_linux_no_faults = false;
    block_comes_at_once();
#endif
    racing();
#ifdef HM_FAULT
    every_call_fails(false);
    every_call_fails(true);
#endif
    open_ahead(); /* and so it stays */
    racing();
#ifdef HM_FAULT
    every_call_fails(false);
#endif
    time_gives_back();
    bound_holds(); /* last: it makes the bound smaller for good */
    return check_done();
}

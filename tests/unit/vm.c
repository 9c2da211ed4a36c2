/*
 * The virtual-memory calls where they go wrong: misuse from any thread, failures of the system at every place where it is
 * called, once and for ever, and what is left afterwards. That the answers are Win32's is the conformance program's business.
 */
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#include "check.h"
#include "core/region.h"
#include "hostmem.h"
#include "os/fault.h"
#include "thread.h"

#define KIB 1024u
#define MIB (1024u * KIB)

static size_t taken(void) {
    struct region_totals totals;
    HmTrim(); /* what this thread has at hand counts as taken */
    region_totals(&totals);
    return totals.granules_taken;
}

static bool fails_with(bool failed, DWORD error) { return failed && HmGetLastError() == error; }

static DWORD state_at(const void *p) {
    MEMORY_BASIC_INFORMATION info;
    return HmVirtualQuery(p, &info, sizeof info) ? info.State : 0;
}

#if defined _WIN32 && defined HM_FAULT
/* What the system has committed by itself below a guard, as it grows a stack, is there after a commit around it was refused. */
static void a_grown_page_stays(void) {
    enum { PAGE = 4096 };
    char *p = HmVirtualAlloc(NULL, 64 * KIB, MEM_RESERVE, PAGE_READWRITE), *grown = p + 4 * PAGE;
    CHECK(HmVirtualAlloc(grown + PAGE, PAGE, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD) != NULL);
    CHECK(VirtualAlloc(grown, PAGE, MEM_COMMIT, PAGE_READWRITE) == grown);
    grown[0] = 7;
    os_fault_set("commit", 1, true);
    CHECK(fails_with(!HmVirtualAlloc(p, 64 * KIB, MEM_COMMIT, PAGE_READWRITE), ERROR_COMMITMENT_LIMIT));
    os_fault_set(NULL, 0, false);
    CHECK_EQ(state_at(p), MEM_RESERVE);
    if (CHECK_EQ(state_at(grown), MEM_COMMIT)) CHECK_EQ(grown[0], 7);
    CHECK(HmVirtualFree(p, 0, MEM_RELEASE));
}
#endif

static void misuse(void) {
    void *foreign = malloc(16); /* not on the stack, which may lie above all addresses that Win32 has */
    char *p = HmVirtualAlloc(NULL, 256 * KIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (!CHECK(p != NULL)) return;
    size_t before = taken();
    CHECK(fails_with(!HmVirtualFree(p + 64 * KIB, 0, MEM_RELEASE), ERROR_INVALID_ADDRESS)); /* interior */
    CHECK(fails_with(!HmVirtualFree(p, 1, MEM_RELEASE), ERROR_INVALID_PARAMETER));
    CHECK(fails_with(!HmVirtualFree(p, 0, MEM_RELEASE | MEM_DECOMMIT), ERROR_INVALID_PARAMETER));
    CHECK(fails_with(!HmVirtualFree(p, 256 * KIB + 1, MEM_DECOMMIT), ERROR_INVALID_PARAMETER));
    CHECK(fails_with(!HmVirtualFree(p, SIZE_MAX, MEM_DECOMMIT), ERROR_INVALID_PARAMETER)); /* wraps */
    CHECK(fails_with(!HmVirtualFree(foreign, 0, MEM_RELEASE), ERROR_INVALID_ADDRESS));
    CHECK(fails_with(!HmVirtualFree(NULL, 0, MEM_RELEASE), ERROR_INVALID_ADDRESS));
    free(foreign);
    CHECK(fails_with(!HmVirtualAlloc(NULL, 0, MEM_COMMIT, PAGE_READWRITE), ERROR_INVALID_PARAMETER));
    CHECK(fails_with(!HmVirtualAlloc(NULL, SIZE_MAX, MEM_RESERVE, PAGE_READWRITE), ERROR_INVALID_PARAMETER));
    /* Nearly all addresses: some are always taken. (Of half of them Wine would make a table of gigabytes, if they were free.) */
    SIZE_T nearly_all = ((SIZE_T)1 << 47) - 128 * KIB;
    CHECK(fails_with(!HmVirtualAlloc(NULL, nearly_all, MEM_RESERVE, PAGE_READWRITE), ERROR_NOT_ENOUGH_MEMORY));
    CHECK(fails_with(!HmVirtualAlloc(p, SIZE_MAX - 10, MEM_COMMIT, PAGE_READWRITE), ERROR_INVALID_PARAMETER));
    CHECK(fails_with(!HmVirtualAlloc(p, SIZE_MAX - (uintptr_t)p + 1, MEM_COMMIT, PAGE_READWRITE), ERROR_INVALID_PARAMETER));
    DWORD old = 7;
    CHECK(fails_with(!HmVirtualProtect(p, 1, PAGE_READONLY, NULL), ERROR_NOACCESS));
    CHECK(fails_with(!HmVirtualProtect(p, SIZE_MAX, PAGE_READONLY, &old), ERROR_INVALID_PARAMETER));
    MEMORY_BASIC_INFORMATION info;
    CHECK(fails_with(HmVirtualQuery(p, NULL, sizeof info) == 0, ERROR_NOACCESS));
    CHECK(fails_with(HmVirtualQuery(p, &info, sizeof info - 1) == 0, ERROR_BAD_LENGTH));
    memset(p, 1, 256 * KIB); /* all of it is still there */
    CHECK_EQ(taken(), before);
    CHECK(HmVirtualFree(p, 0, MEM_RELEASE));
    CHECK(fails_with(!HmVirtualFree(p, 0, MEM_RELEASE), ERROR_INVALID_ADDRESS)); /* double */
    CHECK(fails_with(!HmVirtualFree(p, 4 * KIB, MEM_DECOMMIT), ERROR_INVALID_ADDRESS));
    CHECK(fails_with(!HmVirtualAlloc(p, 4 * KIB, MEM_COMMIT, PAGE_READWRITE), ERROR_INVALID_ADDRESS));
    CHECK_EQ(state_at(p), MEM_FREE);
}

static void success_keeps_last_error(void) {
    char *warm = HmVirtualAlloc(NULL, 64 * KIB, MEM_RESERVE, PAGE_READWRITE);
    CHECK(!HmVirtualFree(warm, 1, MEM_RELEASE));
    DWORD set = HmGetLastError(), old;
    MEMORY_BASIC_INFORMATION info;
    char *p = HmVirtualAlloc(NULL, 64 * KIB, MEM_RESERVE, PAGE_READWRITE);
    CHECK(HmVirtualAlloc(p, 64 * KIB, MEM_COMMIT, PAGE_READWRITE) == p);
    CHECK(HmVirtualProtect(p, 1, PAGE_READONLY, &old));
    CHECK(HmVirtualQuery(p, &info, sizeof info) == sizeof info);
    CHECK(HmVirtualQuery(&info, &info, sizeof info) == sizeof info);
    CHECK(HmVirtualFree(p, 4 * KIB, MEM_DECOMMIT));
    CHECK(HmVirtualFree(p, 0, MEM_RELEASE) && HmVirtualFree(warm, 0, MEM_RELEASE));
    CHECK_EQ(HmGetLastError(), set);
}

static void zero_and_kept(void) {
    char *p = HmVirtualAlloc(NULL, MIB, MEM_RESERVE, PAGE_NOACCESS);
    CHECK(HmVirtualAlloc(p + 4 * KIB, 8 * KIB, MEM_COMMIT, PAGE_READWRITE) == p + 4 * KIB);
    memset(p + 4 * KIB, 7, 8 * KIB);
    CHECK(HmVirtualAlloc(p, 64 * KIB, MEM_COMMIT, PAGE_READWRITE) == p); /* over committed pages */
    CHECK(p[0] == 0 && p[4 * KIB] == 7 && p[12 * KIB - 1] == 7 && p[12 * KIB] == 0);
    CHECK(HmVirtualFree(p + 4 * KIB, 4 * KIB, MEM_DECOMMIT));
    CHECK(HmVirtualAlloc(p + 4 * KIB, 1, MEM_COMMIT, PAGE_READWRITE) == p + 4 * KIB);
    CHECK(p[4 * KIB] == 0 && p[8 * KIB] == 7);
    CHECK(HmVirtualFree(p + 0xfff, 0, MEM_RELEASE)); /* its first page */
    char *again = HmVirtualAlloc(p, MIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    CHECK(again == p); /* free addresses in a region are honoured */
    for (size_t i = 0; i < MIB; i += 512) {
        if (again[i] != 0) CHECK_EQ(again[i], 0);
    }
    CHECK(HmVirtualFree(again, 0, MEM_RELEASE));
}

/* MEM_RESET gives up pages that lie in its range whole: what stands beside the range on its first and last page stays. */
static void reset_keeps_neighbours(void) {
    char *p = HmVirtualAlloc(NULL, 64 * KIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (!CHECK(p != NULL)) return;
    memset(p, 9, 64 * KIB);
    CHECK(HmVirtualAlloc(p + 100, 8 * KIB, MEM_RESET, PAGE_READWRITE) == p + 4 * KIB);
#ifdef __linux__
    madvise(p, 64 * KIB, 21); /* MADV_PAGEOUT: has the kernel take what it may */
#endif
    CHECK(p[0] == 9 && p[99] == 9 && p[8 * KIB + 100] == 9 && p[12 * KIB - 1] == 9);
    /* There is no such page. */
    CHECK(fails_with(!HmVirtualAlloc(p + 1, 4 * KIB, MEM_RESET, PAGE_READWRITE), ERROR_INVALID_ADDRESS));
    CHECK(fails_with(!HmVirtualAlloc(p + 100, 1, MEM_RESET, PAGE_READWRITE), ERROR_INVALID_ADDRESS));
    CHECK(fails_with(!HmVirtualAlloc(p + 64 * KIB - 1, 1, MEM_RESET, PAGE_READWRITE), ERROR_INVALID_ADDRESS));
    CHECK(HmVirtualFree(p, 0, MEM_RELEASE));
}

#ifdef __linux__
/* What the kernel has taken of a range before it came to a page that it does not take is lost, and MEM_RESET_UNDO tells so. */
static void reset_up_to_locked(void) {
    char *p = HmVirtualAlloc(NULL, 64 * KIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (!CHECK(p != NULL)) return;
    memset(p, 9, 64 * KIB);
    if (mlock(p + 32 * KIB, 4 * KIB) == 0) {
        CHECK(HmVirtualAlloc(p, 64 * KIB, MEM_RESET, PAGE_READWRITE) == p);
        madvise(p, 32 * KIB, 21); /* as above */
        bool kept = HmVirtualAlloc(p, 64 * KIB, MEM_RESET_UNDO, PAGE_READWRITE) == p;
        for (size_t i = 0; kept && i < 64 * KIB; i += 4 * KIB) CHECK_EQ(p[i], 9);
        CHECK_EQ(p[32 * KIB], 9);
        munlock(p + 32 * KIB, 4 * KIB);
    }
    CHECK(HmVirtualFree(p, 0, MEM_RELEASE));
}
#endif

#ifdef HM_FAULT
/* A script of calls that uses every path to the system; true while everything went as if the system had never refused. */
static bool script(char **kept) {
    DWORD old;
    char *p = HmVirtualAlloc(NULL, 128 * KIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (!p) return false;
    *kept = p;
    p[5000] = 5;
    if (!HmVirtualProtect(p, 64 * KIB, PAGE_READONLY, &old)) return false;
    if (!HmVirtualFree(p + 64 * KIB, 8 * KIB, MEM_DECOMMIT)) return false;
    if (!HmVirtualAlloc(p + 64 * KIB, 64 * KIB, MEM_COMMIT, PAGE_READWRITE)) return false;
    if (!HmVirtualFree(p, 0, MEM_RELEASE)) return false;
    *kept = NULL;
    char *large = HmVirtualAlloc(NULL, (SIZE_T)5 << 30, MEM_RESERVE, PAGE_READWRITE); /* from the system */
    if (!large) return false;
    *kept = large;
    if (!HmVirtualAlloc(large + ((SIZE_T)4 << 30), 4 * KIB, MEM_COMMIT, PAGE_READWRITE)) return false;
    if (!HmVirtualFree(large, 0, MEM_RELEASE)) return false;
    *kept = NULL;
    return true;
}

/* The nth call that can fail does: the caller hears of it, nothing is lost, and afterwards all is as before. */
static void every_call_fails_once(bool sticky) {
    size_t before = taken();
    long calls = 1000;
    for (long n = 1; n <= calls; n++) {
        char *kept = NULL;
        os_fault_set(NULL, n, sticky);
        bool ran = script(&kept), met = os_fault_calls() >= n;
        DWORD error = HmGetLastError();
        os_fault_set(NULL, 0, false);
        if (ran) CHECK_EQ(taken(), before);
        if (ran && !met) calls = 0;
        if (ran) continue; /* what only makes things faster may fail unheard */
        CHECK(error == ERROR_NOT_ENOUGH_MEMORY || error == ERROR_COMMITMENT_LIMIT);
        if (kept) CHECK(HmVirtualFree(kept, 0, MEM_RELEASE));
        CHECK_EQ(taken(), before);
    }
    CHECK_EQ(calls, 0); /* in the end there was nothing left to fail */
    char *kept = NULL;
    CHECK(script(&kept));
    CHECK_EQ(taken(), before);
}

/* A commit that is refused leaves protections and content as they were. */
static void refused_commit_changes_nothing(void) {
    char *p = HmVirtualAlloc(NULL, 64 * KIB, MEM_RESERVE, PAGE_READWRITE);
    CHECK(HmVirtualAlloc(p + 4 * KIB, 4 * KIB, MEM_COMMIT, PAGE_READWRITE) != NULL);
    p[4 * KIB] = 9;
    os_fault_set("commit", 1, true);
    CHECK(fails_with(!HmVirtualAlloc(p, 64 * KIB, MEM_COMMIT, PAGE_READONLY), ERROR_COMMITMENT_LIMIT));
    os_fault_set(NULL, 0, false);
    MEMORY_BASIC_INFORMATION info;
    CHECK(HmVirtualQuery(p + 4 * KIB, &info, sizeof info) && info.Protect == PAGE_READWRITE && info.RegionSize == 4 * KIB);
    CHECK_EQ(state_at(p), MEM_RESERVE);
    CHECK_EQ(state_at(p + 8 * KIB), MEM_RESERVE);
    CHECK_EQ(p[4 * KIB], 9);
    p[4 * KIB] = 10;
    os_fault_set("decommit", 1, true);
    CHECK(fails_with(!HmVirtualFree(p, 0, MEM_RELEASE), ERROR_NOT_ENOUGH_MEMORY));
    os_fault_set(NULL, 0, false);
    CHECK_EQ(p[4 * KIB], 10);
    CHECK(HmVirtualFree(p, 0, MEM_RELEASE));
}
#endif

/* One allocation, many threads that release it: one of them does. */
static char *shared;
static uint64_t winners;

static void *release_shared(void *context) {
    (void)context;
    if (HmVirtualFree(shared, 0, MEM_RELEASE)) __atomic_fetch_add(&winners, 1, __ATOMIC_RELAXED);
    return NULL;
}

static void racing_releases(void) {
    for (int round = 0; round < 300; round++) {
        struct threads threads = {0};
        winners = 0;
        shared = HmVirtualAlloc(NULL, 3 * MIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
        for (int i = 0; i < 3; i++) threads_start(&threads, release_shared, NULL);
        threads_join(&threads);
        CHECK_EQ(winners, 1);
    }
}

/* Two threads commit and decommit overlapping pages of one allocation, each checking its own middle page. */
static void *churn_overlap(void *context) {
    size_t mine = (size_t)(uintptr_t)context;
    for (int i = 0; i < 2000; i++) {
        char *own = shared + mine * 32 * KIB;
        if (!CHECK(HmVirtualAlloc(own, 4 * KIB, MEM_COMMIT, PAGE_READWRITE) == own)) break;
        *(volatile char *)own = 1;
        CHECK(HmVirtualAlloc(shared, 64 * KIB, MEM_COMMIT, PAGE_READWRITE) == shared); /* over everybody's */
        CHECK_EQ(*(volatile char *)own, 1);
        CHECK(HmVirtualFree(own, 4 * KIB, MEM_DECOMMIT));
    }
    return NULL;
}

static void racing_commits(void) {
    struct threads threads = {0};
    shared = HmVirtualAlloc(NULL, 64 * KIB, MEM_RESERVE, PAGE_READWRITE);
    threads_start(&threads, churn_overlap, (void *)0);
    threads_start(&threads, churn_overlap, (void *)1);
    threads_join(&threads);
    CHECK(HmVirtualFree(shared, 0, MEM_RELEASE));
}

int main(void) {
    misuse();
    success_keeps_last_error();
    zero_and_kept();
    reset_keeps_neighbours();
#ifdef __linux__
    reset_up_to_locked();
#endif
#ifdef HM_FAULT
    every_call_fails_once(false);
    every_call_fails_once(true);
    refused_commit_changes_nothing();
#ifdef _WIN32
    a_grown_page_stays();
#endif
#endif
    racing_releases();
    racing_commits();
    CHECK_EQ(taken(), 0);
    return check_done();
}

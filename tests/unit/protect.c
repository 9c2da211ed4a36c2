/*
 * VirtualProtect: what the caller gets to know of it and when, and how far it goes on memory that the engine did not give out:
 * never into the engine's own, and nowhere when it fails.
 */
#include <string.h>

#include "check.h"
#include "core/region.h"
#include "flat.h"
#include "thread.h"

static DWORD protection_at(const void *p) {
    MEMORY_BASIC_INFORMATION info;
    return HmVirtualQuery(p, &info, sizeof info) ? info.Protect : 0;
}

/* ---- Where the old protection is written --------------------------------------------------------------------------- */

static unsigned faults;

/* A write barrier: whoever writes to a sealed page has it made writable. */
static bool unseal(void *address) {
    DWORD old;
    return faults++ == 0 && HmVirtualProtect(address, 1, PAGE_READWRITE, &old) && old == PAGE_READONLY;
}

#ifdef _WIN32
#include <windows.h>

static LONG WINAPI on_fault(EXCEPTION_POINTERS *what) {
    if (what->ExceptionRecord->ExceptionCode != (DWORD)EXCEPTION_ACCESS_VIOLATION) return EXCEPTION_CONTINUE_SEARCH;
    void *address = (void *)what->ExceptionRecord->ExceptionInformation[1];
    return unseal(address) ? EXCEPTION_CONTINUE_EXECUTION : EXCEPTION_CONTINUE_SEARCH;
}

static void *handler;
static void barrier_begin(void) { handler = AddVectoredExceptionHandler(1, on_fault); }
static void barrier_end(void) { RemoveVectoredExceptionHandler(handler); }
#else
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

static void on_fault(int signal, siginfo_t *what, void *context) {
    (void)signal, (void)context;
    if (!unseal(what->si_addr)) _exit(3);
}

static void barrier_begin(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
}
static void barrier_end(void) { signal(SIGSEGV, SIG_DFL); }
#endif

/* The call seals the page that its own answer goes to: a fault handler that calls the engine waits for nothing. */
static void sealed_answer(void) {
    struct sealed { DWORD old; int content; } *sealed = HmVirtualAlloc(NULL, 64 * KIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (!CHECK(sealed != NULL)) return;
    sealed->content = 5;
    barrier_begin();
    CHECK(HmVirtualProtect(sealed, PAGE, PAGE_READONLY, &sealed->old));
    sealed->content++;
    barrier_end();
    CHECK_EQ(faults, 1);
    CHECK_EQ(sealed->content, 6);
    CHECK_EQ(sealed->old, PAGE_READWRITE);
    CHECK(release((char *)sealed));
}

static void old_is_left_alone(void) {
    char *p = reserve(64 * KIB);
    DWORD old = 77;
    CHECK(!HmVirtualProtect(p, PAGE, PAGE_READONLY, &old) && old == 77); /* not committed */
    CHECK(commit(p, PAGE));
    CHECK(!HmVirtualProtect(p, 2 * PAGE, PAGE_READONLY, &old) && old == 77);
    CHECK(!HmVirtualProtect(p, PAGE, 0, &old) && old == 77);
    CHECK(!HmVirtualProtect(p, 0, PAGE_READONLY, &old) && old == 77);
    CHECK(!HmVirtualProtect(p, SIZE_MAX, PAGE_READONLY, &old) && old == 77);
    CHECK(!HmVirtualProtect((void *)(uintptr_t)0x1000, PAGE, PAGE_READONLY, &old) && old == 77);
    CHECK(!HmVirtualProtect((void *)UINTPTR_MAX, 1, PAGE_READONLY, &old) && old == 77);
    CHECK_EQ(protection_at(p), PAGE_READWRITE);
    CHECK(release(p));
}

#ifndef _WIN32
/* ---- Memory of others ---------------------------------------------------------------------------------------------- */

/* An address that is free in every build; the sanitizers use most others. */
#define PLACE ((char *)0x7e9100000000)

static char *map_at(char *at, size_t size, int access) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
    return CHECK(mmap(at, size, access, flags, -1, 0) == at) ? at : NULL;
}

static bool refused(char *p, size_t size, DWORD protect, DWORD error) {
    DWORD old = 77;
    return !HmVirtualProtect(p, size, protect, &old) && HmGetLastError() == error && old == 77;
}

/* From others' pages into a reservation, into the middle of one, and into a region. */
static void into_the_engines(void) {
    char *own = HmVirtualAlloc(PLACE, MIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (!CHECK(own == PLACE) || !map_at(own - 2 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE)) return;
    own[0] = 1;
    CHECK(refused(own - PAGE, 2 * PAGE, PAGE_READONLY, ERROR_INVALID_ADDRESS));
    CHECK(refused(own - PAGE, PAGE + 1, PAGE_WRITECOPY, ERROR_INVALID_ADDRESS));
    CHECK_EQ(protection_at(own - PAGE), PAGE_READWRITE);
    own[0] = 2;
    own[-1] = 1;
    DWORD old;
    CHECK(HmVirtualProtect(own - PAGE, PAGE, PAGE_READONLY, &old) && old == PAGE_READWRITE);
    CHECK(refused(own + MIB - PAGE, 2 * PAGE, PAGE_READONLY, ERROR_INVALID_ADDRESS)); /* and the other way */
    CHECK(release(own));
    munmap(own - 2 * PAGE, 2 * PAGE);
    char *inside = reserve(64 * KIB), *region = (char *)align_down((uintptr_t)inside, SLOT_BYTES);
    if (!CHECK(inside && space_in_region((uintptr_t)region)) || !map_at(region - PAGE, PAGE, PROT_READ | PROT_WRITE)) return;
    CHECK(refused(region - PAGE, 2 * PAGE, PAGE_READWRITE, ERROR_INVALID_ADDRESS));
    munmap(region - PAGE, PAGE);
    CHECK(release(inside));
}

/* What lies in front of a hole stays as it is; what cannot be is refused as such; guards are the engine's pages' alone. */
static void all_or_nothing(void) {
    char *p = map_at(PLACE, 5 * PAGE, PROT_READ | PROT_WRITE);
    if (!p) return;
    munmap(p + 3 * PAGE, PAGE);
    CHECK(refused(p, 5 * PAGE, PAGE_READONLY, ERROR_INVALID_ADDRESS));
    CHECK(refused(p, 5 * PAGE, 0, ERROR_INVALID_PARAMETER));
    CHECK(refused(p + 3 * PAGE, PAGE, PAGE_READONLY, ERROR_INVALID_ADDRESS));
    CHECK(refused(p + 3 * PAGE, PAGE, PAGE_READONLY | PAGE_GUARD, ERROR_INVALID_ADDRESS));
    CHECK(refused(p, PAGE, PAGE_READWRITE | PAGE_GUARD, ERROR_NOT_SUPPORTED));
    CHECK_EQ(protection_at(p), PAGE_READWRITE);
    p[0] = p[4 * PAGE] = 1;
    DWORD old;
    CHECK(HmVirtualProtect(p, 3 * PAGE, PAGE_NOACCESS, &old) && old == PAGE_READWRITE);
    CHECK(HmVirtualProtect(p, 3 * PAGE, PAGE_READWRITE, &old) && old == PAGE_NOACCESS);
    munmap(p, 5 * PAGE);
}

/* ---- What is described as others' ---------------------------------------------------------------------------------- */

static void described(char *at, char *base, size_t size) {
    MEMORY_BASIC_INFORMATION info;
    CHECK(HmVirtualQuery(at, &info, sizeof info) && info.BaseAddress == at && info.AllocationBase == base);
    CHECK_EQ(info.RegionSize, size);
    CHECK(info.State == MEM_RESERVE && info.Type == MEM_PRIVATE);
}

/* The kernel sees one mapping without access where others' meets the engine's. */
static void neighbours(void) {
    char *own = HmVirtualAlloc(PLACE, 5 * PAGE, MEM_RESERVE, PAGE_READWRITE), *next = own + 128 * KIB, *last = own + 5 * MIB;
    if (!CHECK(own == PLACE) || !map_at(own - 64 * KIB, 64 * KIB, PROT_NONE)) return;
    CHECK(HmVirtualAlloc(next, 64 * KIB, MEM_RESERVE, PAGE_READWRITE) == next);
    CHECK(HmVirtualAlloc(last, 10 * MIB, MEM_RESERVE, PAGE_READWRITE) == last);
    map_at(own + 5 * PAGE, 128 * KIB - 5 * PAGE, PROT_NONE);
    map_at(next + 64 * KIB, (size_t)(last - next) - 64 * KIB, PROT_NONE);
    map_at(last + 10 * MIB, MIB, PROT_NONE);
    described(own - 64 * KIB, own - 64 * KIB, 64 * KIB);
    described(own - PAGE, own - 64 * KIB, PAGE);
    described(own + 5 * PAGE, own + 5 * PAGE, 128 * KIB - 5 * PAGE); /* in a granule of which the engine has the first pages */
    described(next + MIB, next + 64 * KIB, (size_t)(last - next) - MIB);
    described(last + 10 * MIB + PAGE, last + 10 * MIB, MIB - PAGE);
    described(own, own, 5 * PAGE);
    CHECK(release(own) && release(next));
    /* What reaches into the mapping from below is cut off, too. */
    CHECK(commit(last, MIB));
    described(last + 10 * MIB + PAGE, last + 10 * MIB, MIB - PAGE);
    CHECK(release(last));
    munmap(PLACE - 64 * KIB, 17 * MIB);
    /* Beside a region. */
    char *inside = reserve(64 * KIB), *region = (char *)align_down((uintptr_t)inside, SLOT_BYTES), *above = region + SLOT_BYTES;
    if (!CHECK(inside != NULL)) return;
    if (!space_in_region((uintptr_t)above) && map_at(above, 64 * KIB, PROT_NONE)) described(above + PAGE, above, 64 * KIB - PAGE);
    if (!space_in_region((uintptr_t)region - 1) && map_at(region - 64 * KIB, 64 * KIB, PROT_NONE)) {
        described(region - PAGE, region - 64 * KIB, PAGE);
    }
    CHECK(release(inside));
}
#endif

/* ---- A guard that two threads hit at once --------------------------------------------------------------------------- */

#ifndef _WIN32
static char *guarded;
static unsigned at_guard, told_true, told_false;

static void on_guard(int signal_number, siginfo_t *what, void *context) {
    (void)signal_number, (void)context;
    __atomic_fetch_add(&at_guard, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(&at_guard, __ATOMIC_ACQUIRE) < 2) sched_yield();
    bool hit = HmGuardPageHit(what->si_addr);
    __atomic_fetch_add(hit ? &told_true : &told_false, 1, __ATOMIC_ACQ_REL);
    if (hit || protection_at(what->si_addr) == PAGE_READWRITE) return;
    signal(SIGSEGV, SIG_DFL);
}

static void *touch(void *at) {
    ++*(volatile char *)at;
    return NULL;
}

/* One is told; the other finds that it may go on. */
static void two_at_a_guard(void) {
    struct sigaction action = {.sa_sigaction = on_guard, .sa_flags = SA_SIGINFO}, before;
    struct threads threads = {0};
    guarded = HmVirtualAlloc(NULL, PAGE, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);
    if (!CHECK(guarded != NULL) || !CHECK(sigaction(SIGSEGV, &action, &before) == 0)) return;
    threads_start(&threads, touch, guarded);
    threads_start(&threads, touch, guarded + 100);
    threads_join(&threads);
    sigaction(SIGSEGV, &before, NULL);
    CHECK_EQ(told_true, 1);
    CHECK_EQ(told_false, 1);
    CHECK(guarded[0] == 1 && guarded[100] == 1);
    CHECK(release(guarded));
}
#endif

int main(void) {
    sealed_answer();
    old_is_left_alone();
#ifndef _WIN32
    into_the_engines();
    all_or_nothing();
    neighbours();
    two_at_a_guard();
#endif
    return check_done();
}

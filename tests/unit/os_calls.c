/*
 * The system's own calls on the engine's pages: it writes where the pages may be written and refuses elsewhere as it would of its
 * own memory, and an access that is not allowed arrives as what it is. Under Wine the engine tells Wine less than the truth about
 * its pages, and this is where it would show.
 */
#include <string.h>

#include "check.h"
#include "hostmem.h"
#include "probe.h"

#ifdef _WIN32
#include <windows.h>
#else
#include <errno.h>
#include <signal.h>
#include <unistd.h>
#endif

#define GRANULE 0x10000u
#define PAGE 4096u

static void *allocate(void *at, size_t size, DWORD type, DWORD protect) { return HmVirtualAlloc(at, size, type, protect); }
static bool decommit(void *at) { return HmVirtualFree(at, PAGE, MEM_DECOMMIT); }

/* A pipe with something in it: does the system read it into the place? *refused: it said that the place cannot be written. */
#ifdef _WIN32
static bool read_into(void *place, bool *refused) {
    HANDLE out, in;
    DWORD count = 0;
    if (!CHECK(CreatePipe(&out, &in, NULL, 0)) || !CHECK(WriteFile(in, "written", 8, &count, NULL))) return false;
    bool done = ReadFile(out, place, 8, &count, NULL) && count == 8;
    *refused = !done && GetLastError() == ERROR_NOACCESS;
    CloseHandle(in), CloseHandle(out);
    return done;
}

static uintptr_t fault_address, fault_kind;

static LONG CALLBACK on_exception(EXCEPTION_POINTERS *what) {
    fault_kind = what->ExceptionRecord->ExceptionInformation[0];
    fault_address = what->ExceptionRecord->ExceptionInformation[1];
    return EXCEPTION_CONTINUE_SEARCH; /* to the probe's */
}

static void listen(void) {
    probe_start();
    AddVectoredExceptionHandler(1, on_exception); /* before the probe's */
}

/* An access violation at this address, reading (0) or writing (1). */
static void faults(char how, char *at) {
    fault_address = 0, fault_kind = 99;
    CHECK_EQ(probe(how, at), PROBE_FAULT);
    CHECK_EQ(fault_address, (uintptr_t)at);
    CHECK_EQ(fault_kind, how == 'w' ? 1u : 0u);
}
#else
static bool read_into(void *place, bool *refused) {
    int ends[2];
    if (!CHECK(pipe(ends) == 0) || !CHECK(write(ends[1], "written", 8) == 8)) return false;
    bool done = read(ends[0], place, 8) == 8;
    *refused = !done && errno == EFAULT;
    close(ends[0]), close(ends[1]);
    return done;
}

static void listen(void) { probe_start(); }
static void faults(char how, char *at) { CHECK_EQ(probe(how, at), PROBE_FAULT); }
#endif

static void reads(char *at, bool allowed) {
    bool refused = false;
    CHECK_EQ(read_into(at, &refused), allowed);
    CHECK_EQ(refused, !allowed);
    if (allowed) CHECK(memcmp(at, "written", 8) == 0);
}

/* A page of an allocation in a region, or of one of its own, through its life. */
static void page_life(char *base) {
    char *at = base + GRANULE;
    DWORD old;
    faults('r', at + 5), faults('w', at + 5), reads(at, false);
    CHECK(allocate(at, PAGE, MEM_COMMIT, PAGE_READWRITE) == at);
    reads(at, true), faults('r', at + PAGE), reads(at + PAGE, false);
    CHECK(HmVirtualProtect(at, PAGE, PAGE_READONLY, &old));
    CHECK_EQ(probe('r', at), PROBE_OK);
    faults('w', at + 7), reads(at, false);
    CHECK(HmVirtualProtect(at, PAGE, PAGE_EXECUTE_READWRITE, &old));
    at[9] = (char)0xc3;
    CHECK_EQ(probe('x', at + 9), PROBE_OK);
    CHECK(decommit(at));
    faults('w', at), reads(at, false);
    CHECK(allocate(at, PAGE, MEM_COMMIT, PAGE_READWRITE) == at);
    CHECK_EQ(at[0] | at[9], 0);
}

/* A guard goes off once, and a page that had one is a page like others afterwards. */
static void guard_life(char *base) {
    char *at = base + GRANULE;
    DWORD old;
    CHECK(allocate(at, PAGE, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD) == at);
    CHECK_EQ(probe('w', at), PROBE_GUARD);
    reads(at, true);
    CHECK(HmVirtualProtect(at, PAGE, PAGE_READWRITE | PAGE_GUARD, &old));
    CHECK(decommit(at));
    CHECK(probe('r', at) != PROBE_OK); /* Wine remembers the guard of a page that is not committed any more */
    faults('r', at);
    CHECK(allocate(at, PAGE, MEM_COMMIT, PAGE_READWRITE) == at);
    reads(at, true);
    CHECK(HmVirtualProtect(at, PAGE, PAGE_READWRITE | PAGE_GUARD, &old));
    CHECK(HmVirtualProtect(at, PAGE, PAGE_READONLY, &old));
    CHECK_EQ(probe('r', at), PROBE_OK);
    faults('w', at);
}

/* At an address that is wanted, so not in a region: the first of many that is free. */
static char *allocate_outside(void) {
    for (uintptr_t at = 0x5512340000; at < (uintptr_t)1 << 46; at += (uintptr_t)1 << 38) {
        char *got = allocate((void *)at, 32 * GRANULE, MEM_RESERVE, PAGE_NOACCESS);
        if (got) return got;
    }
    return NULL;
}

int main(void) {
    listen();
    char *inside = allocate(NULL, 32 * GRANULE, MEM_RESERVE, PAGE_READWRITE);
    char *own = allocate_outside();
    if (!CHECK(inside && own)) return check_done();
    page_life(inside), page_life(own);
    /* What has been done by one way goes on by the other. */
    guard_life(inside + 4 * GRANULE), guard_life(own + 4 * GRANULE);
    page_life(inside + 8 * GRANULE), page_life(own + 8 * GRANULE);
    char *after = allocate(NULL, 32 * GRANULE, MEM_RESERVE, PAGE_READWRITE);
    if (CHECK(after != NULL)) page_life(after);
    CHECK(HmVirtualFree(after, 0, MEM_RELEASE));
    CHECK(HmVirtualFree(own, 0, MEM_RELEASE) && HmVirtualFree(inside, 0, MEM_RELEASE));
    return check_done();
}

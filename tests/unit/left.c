/*
 * Pages that a thread was changing when it went: in the child of a fork, and (Windows) in a process that is ending, whose other
 * threads have been ended wherever they were. Whoever is left can use the memory as any other. It is larger than what threads
 * keep at hand, so that nobody has a cache here: what is left in the pages has nothing to do with that. (Last comes a thread that
 * had one, and was in the middle of using it.) On Windows a manager may go then, too, whose callback was being called.
 */
#ifndef _WIN32
#define _GNU_SOURCE
#endif
#include "check.h"
#include "hostmem.h"
#include "thread.h"

#define BYTES ((SIZE_T)2 << 20)
#ifdef _WIN32
enum { TURNS = 20 };
#else
enum { TURNS = 200 };
#endif

/* Changes the pages of *context for ever. */
static void *change(void *context) {
    DWORD old;
    char *bytes = context;
    while (bytes != NULL) {
        HmVirtualProtect(bytes, BYTES, PAGE_READONLY, &old);
        HmVirtualProtect(bytes, BYTES, PAGE_READWRITE, &old);
    }
    return NULL;
}

static char *changed(void) {
    char *bytes = HmVirtualAlloc(NULL, BYTES, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    for (SIZE_T at = 0; bytes && at < BYTES; at += 4096) bytes[at] = 1;
    return bytes;
}

/* Is all of it there to be used? */
static bool usable(char *bytes) {
    DWORD old;
    return HmVirtualProtect(bytes, BYTES, PAGE_READWRITE, &old) && HmVirtualFree(bytes, BYTES / 2, MEM_DECOMMIT) &&
           HmVirtualAlloc(bytes, BYTES / 2, MEM_COMMIT, PAGE_READWRITE) && HmVirtualFree(bytes, 0, MEM_RELEASE);
}

#ifdef _WIN32
#include <stdio.h>

#include "listener.h"

/* Called when the other threads have been ended, as DLLs are. */
static void WINAPI told(void *bytes) { TerminateProcess(GetCurrentProcess(), usable(bytes) ? 7 : 8); }

static DWORD WINAPI change_for_ever(void *context) {
    change(context);
    return 0;
}

static void end(unsigned rest_ms) {
    char *bytes = changed();
    FlsSetValue(FlsAlloc(told), bytes);
    CreateThread(NULL, 0, change_for_ever, bytes, 0, NULL);
    Sleep(rest_ms);
    ExitProcess(9);
}

static void WINAPI manager_told(void *manager) {
    ((IHostMemoryManager *)manager)->lpVtbl->Release(manager);
    TerminateProcess(GetCurrentProcess(), 7);
}

static void never_return(struct listener *listener) {
    (void)listener;
    Sleep(INFINITE);
}

static void end_in_callback(void) {
    static struct listener listener = LISTENER;
    IHostMemoryManager *manager = manager_make(&LIMITS(.cbHardCommit = MIB));
    listener.act = never_return;
    listen_to(manager, &listener);
    take(manager, MIB);
    EVENTUALLY(heard(&listener, eMemoryAvailableLow) != 0);
    FlsSetValue(FlsAlloc(manager_told), manager);
    ExitProcess(9);
}

static void endings(const char *program) {
    for (int i = -1; i < TURNS; i++) {
        char command[MAX_PATH + 40];
        STARTUPINFOA start = {.cb = sizeof start};
        PROCESS_INFORMATION child;
        DWORD code = 0;
        snprintf(command, sizeof command, "\"%s\" %d", program, i < 0 ? 0 : 5 + i);
        if (!CHECK(CreateProcessA(NULL, command, NULL, NULL, FALSE, 0, NULL, NULL, &start, &child))) return;
        if (!CHECK_EQ(WaitForSingleObject(child.hProcess, 20000), WAIT_OBJECT_0)) TerminateProcess(child.hProcess, 1);
        GetExitCodeProcess(child.hProcess, &code);
        CHECK_EQ(code, 7);
        CloseHandle(child.hProcess);
        CloseHandle(child.hThread);
    }
}

int main(int count, char **arguments) {
    if (count > 1 && atoi(arguments[1]) == 0) end_in_callback();
    if (count > 1) end((unsigned)atoi(arguments[1]));
    endings(arguments[0]);
    return check_done();
}
#else
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/cache.h"
#include "core/keeper.h"
#include "core/pages.h"
#include "vm/held.h"

/* What is said to be read-write is. The pages were being changed, and no system call need come of asking for what they are. */
static bool written(char *bytes) {
    DWORD old;
    if (!HmVirtualProtect(bytes, BYTES, PAGE_READWRITE, &old)) return false;
    for (SIZE_T at = 0; at < BYTES; at += 4096) bytes[at] = 2;
    return true;
}

/* True in a child, which ends itself with 7 if all was well; false in its parent when it has. */
static bool forked(void) {
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        return true;
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    return false;
}

/* A thread commits pages that are held: it has taken them from the sum, and not written yet that they are held no more. */
static void half_committed(void) {
    const SIZE_T size = 64 << 10;
    keeper_wanted(); /* without it nothing is held */
    char *start = HmVirtualAlloc(NULL, 16 * size, MEM_RESERVE, PAGE_READWRITE), *bytes = start + 4 * size;
    CHECK(start && HmVirtualAlloc(bytes, size, MEM_COMMIT, PAGE_READWRITE) && memset(bytes, 1, size));
    CHECK(HmVirtualFree(bytes, size, MEM_DECOMMIT));
    if (!CHECK_EQ(held_bytes(), size)) return;
    pages_lock(page_of((uintptr_t)bytes), size / PAGE_BYTES);
    held_uncharge(size);
    if (forked()) {
        bool good = HmVirtualAlloc(bytes, size, MEM_COMMIT, PAGE_READWRITE) != NULL;
        _exit(good && bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0 && HmVirtualFree(start, 0, MEM_RELEASE) ? 7 : 8);
    }
    CHECK(held_charge(size));
    pages_unlock(page_of((uintptr_t)bytes), size / PAGE_BYTES);
    CHECK(HmVirtualFree(start, 0, MEM_RELEASE));
}

static uint64_t cached(void) {
    HM_STATS stats = {.cbSize = sizeof stats};
    return HmGetStats(&stats) ? stats.cBlocksCached : 0;
}

/* Keeps at hand what the bound for all threads allows, and is in the middle of using it for ever. */
static void *keep_all(void *ready) {
    for (int size = 64; size <= 32 << 10; size += 64) {
        void *blocks[64];
        for (int i = 0; i < 64; i++) CHECK((blocks[i] = HmHeapAlloc(NULL, 0, (SIZE_T)size)) != NULL);
        for (int i = 0; i < 64; i++) CHECK(HmHeapFree(NULL, 0, blocks[i]));
    }
    CHECK(cache_enter() != NULL);
    atom_store_rel_u32(ready, 1); /* rel: pairs with the load below */
    pause();
    return ready;
}

/* What the lost cache of a thread counted is there for the child's. */
static void cache_lost(void) {
    static uint32_t ready;
    pthread_t thread;
    cache_bound_set(0, 1 << 20);
    CHECK_EQ(pthread_create(&thread, NULL, keep_all, &ready), 0);
    while (!atom_load_acq_u32(&ready)) usleep(1000); /* acq: pairs with the store above */
    if (!forked()) return;
    uint64_t before = cached();
    for (int size = 128; size <= 8192; size *= 2) HmHeapFree(NULL, 0, HmHeapAlloc(NULL, 0, (SIZE_T)size));
    _exit(cached() >= before + 7 ? 7 : 8);
}

int main(void) {
    half_committed();
    char *bytes = changed();
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, change, bytes), 0);
    for (int i = 0; i < TURNS; i++) {
        usleep(1000);
        if (forked()) _exit(written(bytes) && usable(bytes) ? 7 : 8);
    }
    cache_lost();
    return check_done();
}
#endif

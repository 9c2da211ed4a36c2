/*
 * pressure_system.c - what the thread that watches makes of the system: of a made-up machine and its control group, of a real
 * group where one can be made, of a fork; and the memory load that it keeps.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "listener.h"
#include "machine.h"
#include "os/fault.h"
#include "policy/pressure.h"

#if !defined(_WIN32) && defined(HM_FAULT)
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

/* ---- The load ---- */

static void test_load(void) {
    struct listener l = LISTENER;
    IHostMemoryManager *m = manager_make(&LIMITS(.cbHardCommit = 64 * MIB)), *free_one = manager_make(NULL);
    listen_to(m, &l);
    nap(200); /* the thread has looked, and sleeps, before anybody asks for the load */
    DWORD load = 0, free_load = 0;
    SIZE_T available = 0, free_available = 0;
    CHECK(free_one->lpVtbl->GetMemoryLoad(free_one, &free_load, &free_available) == S_OK);
    CHECK(free_load <= 100 && free_available > 64 * MIB);
    void *start = take(m, 48 * MIB);
    CHECK(m->lpVtbl->GetMemoryLoad(m, &load, &available) == S_OK);
    CHECK_EQ(load, free_load > 75 ? free_load : 75);
    CHECK_EQ(available, 16 * MIB);
    give(m, start);
    CHECK(m->lpVtbl->GetMemoryLoad(m, NULL, &available) == S_OK && available == 64 * MIB);
#ifdef HM_FAULT
    /* A caller finds it ready: the thread reads it now and then, however often it is asked for. */
    os_fault_set("memory_load", 0, false);
    double until = thread_seconds() + 1;
    uint64_t asked = 0;
    for (; thread_seconds() < until; asked++) CHECK(m->lpVtbl->GetMemoryLoad(m, &load, &available) == S_OK);
    CHECK(asked > 1000 && os_fault_calls() >= 1 && os_fault_calls() <= 12);
#endif
    CHECK_EQ(m->lpVtbl->Release(m), 0);
    CHECK_EQ(free_one->lpVtbl->Release(free_one), 0);
}

/* ---- Made-up machines ---- */

#if !defined(_WIN32) && defined(HM_FAULT)
static void machine(int available_percent) {
    char text[200];
    snprintf(text, sizeof text, "MemTotal: 1000000 kB\nMemAvailable: %d kB\n", available_percent * 10000);
    machine_put("/proc/meminfo", text);
}

#define PRESSURE "/sys/fs/cgroup/job/memory.pressure"
#define EVENTS "/sys/fs/cgroup/job/memory.events"

/* The group meets its limit: that alone wakes the thread, who is told when this very file is written to. */
static void group_event(int count) {
    char text[100];
    snprintf(text, sizeof text, "low 0\nhigh %d\nmax 0\noom 0\n", count);
    machine_write(EVENTS, text);
}

/*
 * In a group with a limit, which may fill up without a word of the system's, it is looked at every second, and no less often for
 * some time after pressure has gone.
 */
static void limited_group(void) {
    struct listener l = LISTENER;
    machine(3);
    machine_put("/sys/fs/cgroup/job/memory.max", "900000000\n");
    IHostMemoryManager *m = manager_make(NULL);
    listen_to(m, &l);
    EVENTUALLY(last(&l) == eMemoryAvailableLow);
    machine(30);
    EVENTUALLY(last(&l) == eMemoryAvailableNeutral);
    nap(7000); /* twice as long from look to look: that would be more than 6 s by now */
    machine(3);
    nap(3000);
    CHECK_EQ(last(&l), eMemoryAvailableLow);
    CHECK_EQ(m->lpVtbl->Release(m), 0);
    EVENTUALLY(!pressure_watched());
}

static void test_system(void) {
    struct listener l = LISTENER;
    machine_make();
    machine(80);
    machine_put("/proc/self/cgroup", "0::/job\n");
    machine_put(PRESSURE, "");
    group_event(0);
    machine_show(true);
    IHostMemoryManager *m = manager_make(NULL);
    listen_to(m, &l);
    EVENTUALLY(last(&l) == eMemoryAvailableHigh);
    /* Nothing happens: it sleeps. */
    nap(50);
    os_fault_set("memory_load", 0, false);
    nap(400);
    CHECK_EQ(os_fault_calls(), 0);
    CHECK(heard(&l, eMemoryAvailableLow) == 0 && heard(&l, eMemoryAvailableHigh) == 1);
    /* An event is pressure for two seconds; stalls are until they are rare. */
    machine_put(PRESSURE, "some avg10=32.50 avg60=1.00 avg300=0.10 total=123\n");
    group_event(1);
    EVENTUALLY(heard(&l, eMemoryAvailableLow) >= 3);
    machine_put(PRESSURE, "some avg10=7.00 avg60=1.00 avg300=0.10 total=123\n");
    nap(2500);
    CHECK_EQ(last(&l), eMemoryAvailableLow);
    machine_put(PRESSURE, "some avg10=4.99 avg60=1.00 avg300=0.10 total=123\n");
    EVENTUALLY(last(&l) == eMemoryAvailableHigh);
    CHECK_EQ(heard(&l, eMemoryAvailableHigh), 2);
    /* The load has inertia of its own. */
    machine(4);
    group_event(2);
    EVENTUALLY(last(&l) == eMemoryAvailableLow);
    machine(9);
    nap(2500);
    CHECK_EQ(last(&l), eMemoryAvailableLow);
    machine(20);
    EVENTUALLY(last(&l) == eMemoryAvailableNeutral);
    uint32_t neutral = heard(&l, eMemoryAvailableNeutral), lows = heard(&l, eMemoryAvailableLow);
    machine(70);
    EVENTUALLY(last(&l) == eMemoryAvailableHigh);
    CHECK(heard(&l, eMemoryAvailableNeutral) == neutral && heard(&l, eMemoryAvailableLow) == lows);
    CHECK_EQ(m->lpVtbl->Release(m), 0);
    EVENTUALLY(!pressure_watched());
    limited_group();
    machine_remove();
}

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
/* ---- A real control group, where one can be made ---- */

#define GROUP_LIMIT (128 * MIB)

static bool group_put(const char *group, const char *file, const char *text) {
    char path[300];
    snprintf(path, sizeof path, "%s/%s", group, file);
    FILE *f = fopen(path, "w");
    if (!f) return false;
    fputs(text, f);
    return fclose(f) == 0;
}

/* In the group: fills it to 97 % with memory that cannot be taken away. */
static int crowded(void) {
    struct listener l = LISTENER;
    IHostMemoryManager *m = manager_make(NULL);
    listen_to(m, &l);
    nap(200);
    if (heard(&l, eMemoryAvailableLow)) return 1;
    char *start = HmVirtualAlloc(NULL, GROUP_LIMIT, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (!start) return 2;
    DWORD load = 0;
    SIZE_T available;
    for (SIZE_T at = 0; load < 96; at += 4096) {
        if (at == GROUP_LIMIT || m->lpVtbl->GetMemoryLoad(m, &load, &available) != S_OK) return 3;
        start[at] = 1;
        if (at % (4 * MIB) == 0 || at > 112 * MIB) nap(1);
        if (at % (MIB / 2) == 0 && at > 112 * MIB) nap(600); /* the load is at most that old */
    }
    if (available > GROUP_LIMIT / 20) return 4;
    double until = thread_seconds() + 20; /* filling took as long as the machine had time for it */
    while (!heard(&l, eMemoryAvailableLow) && thread_seconds() < until) nap(5);
    if (!heard(&l, eMemoryAvailableLow)) return 5;
    HmVirtualFree(start, 0, MEM_RELEASE);
    while (last(&l) == eMemoryAvailableLow && thread_seconds() < until) nap(5);
    return last(&l) == eMemoryAvailableLow ? 6 : 0;
}

static void test_group(void) {
    static const char *const roots[][2] = {{"/sys/fs/cgroup", "memory.max"}, {"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}};
    char group[200], limit[40];
    snprintf(limit, sizeof limit, "%zu", GROUP_LIMIT);
    for (int i = 0; i < 2; i++) {
        snprintf(group, sizeof group, "%s/hostmem-test-%d", roots[i][0], (int)getpid());
        if (mkdir(group, 0700) != 0) continue;
        fflush(NULL);
        int status = -1;
        char procs[300];
        snprintf(procs, sizeof procs, "%s/cgroup.procs", group);
        /* Where groups are of the other version the folder is nothing but a folder. */
        pid_t pid = access(procs, W_OK) == 0 && group_put(group, roots[i][1], limit) ? fork() : -1;
        if (pid == 0) {
            alarm(100);
            _exit(group_put(group, "cgroup.procs", "0") ? crowded() : 0);
        }
        if (pid > 0) {
            CHECK(waitpid(pid, &status, 0) == pid);
            CHECK_EQ(status, 0);
            printf("pressure in a control group: %s\n", group);
        }
        rmdir(group);
        if (pid > 0) return;
    }
    printf("no control group can be made here\n");
}

#endif

#ifndef __SANITIZE_THREAD__
/* The child has no thread, hears nothing while it does nothing, and may have one of its own. */
static int child(IHostMemoryManager *m, struct listener *inherited) {
    uint32_t lows = heard(inherited, eMemoryAvailableLow);
    nap(4 * SPACING);
    if (heard(inherited, eMemoryAvailableLow) != lows || pressure_watched()) return 1;
    struct listener own = LISTENER;
    listen_to(m, &own);
    double until = thread_seconds() + 20;
    while (!heard(&own, eMemoryAvailableLow) && thread_seconds() < until) nap(2);
    if (!heard(&own, eMemoryAvailableLow) || own.thread == os_thread_id()) return 2;
    return m->lpVtbl->Release(m) == 0 && own.references == 1 && inherited->references == 1 ? 0 : 3;
}

/* One that charges is told of what it inherited, and so is its own child. */
static int child_charges(IHostMemoryManager *m, struct listener *inherited, int depth) {
    int status = -1;
    uint32_t lows = heard(inherited, eMemoryAvailableLow);
    if (depth > 0) {
        pid_t pid = fork();
        if (pid == 0) _exit(child_charges(m, inherited, depth - 1));
        if (waitpid(pid, &status, 0) != pid || status != 0) return 1;
    }
    if (pressure_watched()) return 2;
    void *start = take(m, MIB);
    double until = thread_seconds() + 20;
    while (heard(inherited, eMemoryAvailableLow) == lows && thread_seconds() < until) nap(2);
    if (!start || !pressure_watched() || heard(inherited, eMemoryAvailableLow) == lows) return 3;
    return inherited->thread == os_thread_id() ? 4 : 0;
}

/* True in a child, which ends itself with its answer; false in its parent when it has, which must be 0. */
static bool forked(void) {
    int status = -1;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(60);
        return true;
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK_EQ(status, 0);
    return false;
}

static void test_fork_charges(void) {
    struct listener l = LISTENER;
    IHostMemoryManager *m = manager_make(&LIMITS(.cbSoftCommit = MIB));
    listen_to(m, &l);
    EVENTUALLY(last(&l) != 0); /* whatever the machine is short of */
    for (int depth = 0; depth < 3; depth++) {
        if (forked()) _exit(child_charges(m, &l, depth));
    }
    CHECK_EQ(m->lpVtbl->Release(m), 0);
}

/* A child that can have no thread for a while keeps what is registered, and is told when there is one to be had again. */
static int child_without_threads(IHostMemoryManager *m, struct listener *inherited) {
    HM_STATS stats = {.cbSize = sizeof stats};
    uint32_t lows = heard(inherited, eMemoryAvailableLow);
    os_fault_set("alarm_start", 1, true);
    if (m->lpVtbl->RegisterMemoryNotificationCallback(m, &inherited->face) != E_OUTOFMEMORY) return 1;
    if (!HmGetStats(&stats) || stats.cCallbacks != 1) return 2;
    void *start = take(m, MIB);
    if (!start || pressure_watched() || os_fault_calls() < 2) return 3;
    give(m, start);
    os_fault_set(NULL, 0, false);
    start = take(m, MIB);
    double until = thread_seconds() + 20;
    while (heard(inherited, eMemoryAvailableLow) == lows && thread_seconds() < until) nap(2);
    return start && heard(inherited, eMemoryAvailableLow) > lows ? 0 : 4;
}

static void test_fork_no_threads(void) {
    struct listener l = LISTENER;
    IHostMemoryManager *m = manager_make(&LIMITS(.cbSoftCommit = MIB));
    listen_to(m, &l);
    EVENTUALLY(last(&l) != 0); /* whatever the machine is short of */
    if (forked()) _exit(child_without_threads(m, &l));
    CHECK_EQ(m->lpVtbl->Release(m), 0);
}

static void test_fork(void) {
    struct listener l = LISTENER;
    IHostMemoryManager *m = manager_make(&LIMITS(.cbSoftCommit = MIB));
    void *start = take(m, 2 * MIB);
    listen_to(m, &l);
    EVENTUALLY(heard(&l, eMemoryAvailableLow) >= 1);
    for (int i = 0; i < 5; i++) {
        if (forked()) _exit(child(m, &l));
    }
    uint32_t lows = heard(&l, eMemoryAvailableLow);
    EVENTUALLY(heard(&l, eMemoryAvailableLow) > lows);
    give(m, start);
    CHECK_EQ(m->lpVtbl->Release(m), 0);
}
#endif
#endif

int main(void) {
#if !defined(_WIN32) && defined(HM_FAULT)
    test_system();
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__) /* they need memory of their own */
    test_group();
#endif
#ifndef __SANITIZE_THREAD__ /* it ends a child of several threads that starts one */
    test_fork();
    test_fork_charges();
    test_fork_no_threads();
#endif
#endif
    test_load(); /* keeps the thread reading for a while */
    return check_done();
}

/*
 * pressure.c - the thread that watches: when there is one, whom it tells what and how often, what wakes it, and the memory load
 * that it keeps. Machines and control groups are made up in a folder where the system can be; real ones are looked at as well.
 */
#include "policy/pressure.h"

#include <stdlib.h>
#include <string.h>

#include "base/atom.h"
#include "check.h"
#include "hostmem.h"
#include "os/fault.h"
#include "os/os.h"
#include "policy/notify.h"
#include "thread.h"

#define MIB ((SIZE_T)1 << 20)
#define LIMITS(...) ((HM_LIMITS){.cbSize = sizeof(HM_LIMITS), __VA_ARGS__})
#define SPACING 40 /* ms */

/* A callback that counts what it hears, and does something of its own if it is told to. */
struct listener {
    ICLRMemoryNotificationCallback face;
    uint32_t references;
    uint32_t heard[4];
    uint32_t last;
    uint32_t thread;
    uint32_t threads; /* calls from another one than before */
    void (*act)(struct listener *listener);
    IHostMemoryManager *manager;
};

static HRESULT STDMETHODCALLTYPE listener_query(ICLRMemoryNotificationCallback *face, REFIID riid, void **out) {
    (void)face, (void)riid;
    *out = NULL;
    return E_NOINTERFACE;
}
static ULONG STDMETHODCALLTYPE listener_add(ICLRMemoryNotificationCallback *face) {
    return atom_add_acqrel_u32(&((struct listener *)face)->references, 1) + 1;
}
static ULONG STDMETHODCALLTYPE listener_release(ICLRMemoryNotificationCallback *face) {
    return atom_add_acqrel_u32(&((struct listener *)face)->references, UINT32_MAX) - 1;
}
static HRESULT STDMETHODCALLTYPE listener_hear(ICLRMemoryNotificationCallback *face, EMemoryAvailable available) {
    struct listener *l = (struct listener *)face;
    CHECK(atom_load_acq_u32(&l->references) > 1); /* it is held while it is called */
    if (CHECK(available >= 1 && available <= 3)) atom_add_acqrel_u32(&l->heard[available], 1);
    if (l->thread != os_thread_id()) l->threads++;
    l->thread = os_thread_id();
    atom_store_rel_u32(&l->last, (uint32_t)available);
    if (l->act) l->act(l);
    return S_OK;
}
static const ICLRMemoryNotificationCallbackVtbl listener_methods = {listener_query, listener_add, listener_release,
                                                                    listener_hear};

#define LISTENER {.face = {(ICLRMemoryNotificationCallbackVtbl *)&listener_methods}, .references = 1}

static uint32_t heard(struct listener *l, EMemoryAvailable level) { return atom_load_acq_u32(&l->heard[level]); }
static uint32_t last(struct listener *l) { return atom_load_acq_u32(&l->last); }

static void nap(long ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL); }

#define EVENTUALLY(condition)                                                                                                    \
    do {                                                                                                                         \
        double until = thread_seconds() + 20;                                                                                    \
        while (!(condition) && thread_seconds() < until) nap(2);                                                                 \
        CHECK(condition);                                                                                                        \
    } while (0)

static IHostMemoryManager *manager_make(const HM_LIMITS *limits) {
    HM_OPTIONS options = {.cbSize = sizeof options, .pLimits = limits, .msLowSpacing = SPACING};
    IHostMemoryManager *m = NULL;
    if (!CHECK(HmCreateMemoryManager(&options, &m) == S_OK)) exit(check_done());
    return m;
}

static void *take(IHostMemoryManager *m, SIZE_T size) {
    void *start = NULL;
    m->lpVtbl->VirtualAlloc(m, NULL, size, MEM_RESERVE | MEM_COMMIT, PAGE_READONLY, eAppDomainCritical, &start);
    return start;
}

static void give(IHostMemoryManager *m, void *start) { CHECK(m->lpVtbl->VirtualFree(m, start, 0, MEM_RELEASE) == S_OK); }

static void listen_to(IHostMemoryManager *m, struct listener *l) {
    CHECK(m->lpVtbl->RegisterMemoryNotificationCallback(m, &l->face) == S_OK);
}

/* ---- A thread only while it is wanted ---- */

static void test_existence(void) {
    struct listener l = LISTENER;
    CHECK(!pressure_watched());
    IHostMemoryManager *m = manager_make(NULL);
    CHECK(!pressure_watched());
    listen_to(m, &l);
    CHECK(pressure_watched());
    CHECK(HmUnregisterMemoryNotificationCallback(m, &l.face) == S_OK);
    CHECK_EQ(l.references, 1);
    EVENTUALLY(!pressure_watched());
    CHECK(HmUnregisterMemoryNotificationCallback(m, &l.face) == E_INVALIDARG);
    CHECK(HmUnregisterMemoryNotificationCallback(m, NULL) == E_POINTER);
    CHECK(HmUnregisterMemoryNotificationCallback(NULL, &l.face) == E_POINTER);
    CHECK(HmSetLimits(m, &LIMITS(.cbHardCommit = 100 * MIB)) == S_OK);
    CHECK(pressure_watched());
    CHECK(HmSetLimits(m, &LIMITS(0)) == S_OK);
    EVENTUALLY(!pressure_watched());
    listen_to(m, &l);
    CHECK_EQ(m->lpVtbl->Release(m), 0);
    EVENTUALLY(!pressure_watched());
    CHECK_EQ(l.references, 1);
#ifdef HM_FAULT
    m = manager_make(NULL);
    os_fault_set("alarm_start", 1, false);
    CHECK(m->lpVtbl->RegisterMemoryNotificationCallback(m, &l.face) == E_OUTOFMEMORY);
    os_fault_set(NULL, 0, false);
    CHECK_EQ(l.references, 1);
    CHECK(!pressure_watched());
    CHECK_EQ(m->lpVtbl->Release(m), 0);
#endif
}

/* ---- Budgets ---- */

static void test_budget(void) {
    struct listener mine = LISTENER, others = LISTENER;
    IHostMemoryManager *m = manager_make(&LIMITS(.cbSoftCommit = 8 * MIB, .cbHardCommit = 12 * MIB)), *other = manager_make(NULL);
    listen_to(m, &mine);
    listen_to(other, &others);
    void *some = take(m, 5 * MIB), *more = take(m, 4 * MIB);
    EVENTUALLY(heard(&mine, eMemoryAvailableLow) >= 1);
    /* Again and again while it lasts, not faster than asked for. */
    double start = thread_seconds();
    uint32_t before = heard(&mine, eMemoryAvailableLow);
    EVENTUALLY(heard(&mine, eMemoryAvailableLow) >= before + 5);
    CHECK(thread_seconds() - start > 4 * SPACING / 1000.0 * 0.9);
    /* A sixteenth below the line; then once what is true then, and silence. */
    give(m, more);
    EVENTUALLY(last(&mine) != eMemoryAvailableLow);
    uint32_t lows = heard(&mine, eMemoryAvailableLow);
    nap(4 * SPACING);
    CHECK_EQ(heard(&mine, eMemoryAvailableLow), lows);
    CHECK_EQ(heard(&mine, eMemoryAvailableNeutral), 1);
    CHECK_EQ(heard(&mine, eMemoryAvailableHigh), 0); /* more than half is used */
    /* A refusal is pressure, though the line is far. */
    CHECK(take(m, 11 * MIB) == NULL);
    EVENTUALLY(heard(&mine, eMemoryAvailableLow) > lows);
    EVENTUALLY(last(&mine) == eMemoryAvailableNeutral);
    give(m, some);
    CHECK_EQ(heard(&others, eMemoryAvailableLow), 0); /* its manager is well */
    CHECK(mine.threads == 1 && mine.thread != os_thread_id());
    /* The process's budget is everybody's. */
    HM_USAGE usage = {.cbSize = sizeof usage};
    CHECK(HmGetLimits(NULL, NULL, &usage) == S_OK);
    CHECK(HmSetLimits(NULL, &LIMITS(.cbSoftCommit = usage.cbCommitted + MIB)) == S_OK);
    some = HmVirtualAlloc(NULL, 2 * MIB, MEM_COMMIT, PAGE_READWRITE);
    EVENTUALLY(heard(&others, eMemoryAvailableLow) >= 1);
    CHECK(HmVirtualFree(some, 0, MEM_RELEASE));
    CHECK(HmSetLimits(NULL, &LIMITS(0)) == S_OK);
    EVENTUALLY(last(&others) != eMemoryAvailableLow);
    CHECK_EQ(m->lpVtbl->Release(m), 0);
    CHECK_EQ(other->lpVtbl->Release(other), 0);
    CHECK(mine.references == 1 && others.references == 1);
}

/* Empty slabs go back before anybody hears Low: if that is enough, nobody does. */
static void test_trim_first(void) {
    struct listener l = LISTENER;
    IHostMemoryManager *m = manager_make(&LIMITS(.cbSoftCommit = 8 * MIB));
    IHostMalloc *heap = NULL;
    CHECK(m->lpVtbl->CreateMalloc(m, MALLOC_THREADSAFE, &heap) == S_OK);
    enum { BLOCKS = 3000 };
    static void *block[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) CHECK(heap->lpVtbl->Alloc(heap, 1500, eTaskCritical, &block[i]) == S_OK);
    for (int i = 0; i < BLOCKS; i++) CHECK(heap->lpVtbl->Free(heap, block[i]) == S_OK);
    HM_USAGE usage = {.cbSize = sizeof usage};
    CHECK(HmGetLimits(m, NULL, &usage) == S_OK);
    listen_to(m, &l);
    void *some = take(m, 8 * MIB - usage.cbCommitted); /* with what the heap keeps it comes to the line */
    HM_USAGE later = {.cbSize = sizeof later};
    EVENTUALLY(HmGetLimits(m, NULL, &later) == S_OK && later.cbCommitted < 8 * MIB);
    CHECK(some != NULL);
    give(m, some);
    heap->lpVtbl->Release(heap);
    CHECK_EQ(m->lpVtbl->Release(m), 0);
}

/* ---- Coming and going ---- */

static void act_unregister(struct listener *l) { CHECK(HmUnregisterMemoryNotificationCallback(l->manager, &l->face) == S_OK); }
static void act_register_again(struct listener *l) {
    act_unregister(l);
    listen_to(l->manager, l);
}
static void act_release(struct listener *l) { CHECK_EQ(l->manager->lpVtbl->Release(l->manager), 0); }

static void test_from_within(void) {
    void (*const acts[])(struct listener *) = {act_unregister, act_register_again, act_release};
    for (int i = 0; i < 3; i++) {
        struct listener l = LISTENER;
        l.act = acts[i];
        l.manager = manager_make(&LIMITS(.cbSoftCommit = MIB));
        void *start = take(l.manager, 2 * MIB);
        listen_to(l.manager, &l);
        EVENTUALLY(heard(&l, eMemoryAvailableLow) >= (i == 1 ? 3 : 1));
        if (i != 1) {
            EVENTUALLY(atom_load_acq_u32(&l.references) == 1);
            nap(3 * SPACING);
            CHECK_EQ(l.heard[1] + l.heard[2] + l.heard[3], 1);
        }
        CHECK(HmVirtualFree(start, 0, MEM_RELEASE));
        if (i != 2) CHECK_EQ(l.manager->lpVtbl->Release(l.manager), 0);
        CHECK_EQ(l.references, 1);
    }
}

enum { CHURNERS = 3 };
static IHostMemoryManager *churned;

/* After its removal a listener's memory is used for something else at once. */
static void *churn(void *context) {
    uint64_t random = (uintptr_t)context;
    for (int i = 0; i < 150; i++) {
        struct listener *l = malloc(sizeof *l);
        *l = (struct listener)LISTENER;
        bool own = thread_random(&random) % 4 == 0;
        IHostMemoryManager *m = own ? manager_make(&LIMITS(.cbSoftCommit = 4096)) : churned;
        void *start = own ? take(m, 65536) : NULL;
        listen_to(m, l);
        if (thread_random(&random) % 2) nap((long)(thread_random(&random) % 8));
        if (own) CHECK_EQ(m->lpVtbl->Release(m), 0);
        else CHECK(HmUnregisterMemoryNotificationCallback(m, &l->face) == S_OK);
        CHECK_EQ(l->references, 1);
        memset(l, 0xee, sizeof *l);
        free(l);
        if (start) CHECK(HmVirtualFree(start, 0, MEM_RELEASE));
    }
    return NULL;
}

static void test_churn(void) {
    churned = manager_make(&LIMITS(.cbSoftCommit = MIB));
    void *start = take(churned, 2 * MIB);
    struct listener stays = LISTENER;
    listen_to(churned, &stays);
    struct threads threads = {0};
    for (uintptr_t i = 1; i <= CHURNERS; i++) threads_start(&threads, churn, (void *)i);
    threads_join(&threads);
    CHECK(heard(&stays, eMemoryAvailableLow) > 0);
    give(churned, start);
    CHECK_EQ(churned->lpVtbl->Release(churned), 0);
    CHECK_EQ(stays.references, 1);
    struct notify_totals totals;
    notify_totals(&totals);
    CHECK_EQ(totals.count_callbacks, 0);
    EVENTUALLY(!pressure_watched());
}

/* ---- The load ---- */

static void test_load(void) {
    struct listener l = LISTENER;
    IHostMemoryManager *m = manager_make(&LIMITS(.cbHardCommit = 64 * MIB)), *free_one = manager_make(NULL);
    listen_to(m, &l);
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[] = "hostmem-pressure-XXXXXX";

static void put(const char *path, const char *text) {
    char full[512];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *f = fopen(full, "w");
    if (!CHECK(f != NULL)) exit(check_done());
    fputs(text, f);
    fclose(f);
}

static void machine(int available_percent) {
    char text[200];
    snprintf(text, sizeof text, "MemTotal: 1000000 kB\nMemAvailable: %d kB\n", available_percent * 10000);
    put("/proc/meminfo", text);
}

#define PRESSURE "/sys/fs/cgroup/job/memory.pressure"
#define EVENTS "/sys/fs/cgroup/job/memory.events"

/* The group meets its limit: that alone wakes the thread. */
static void group_event(int count) {
    char text[100];
    snprintf(text, sizeof text, "low 0\nhigh %d\nmax 0\noom 0\n", count);
    put(EVENTS, text);
}

static void test_system(void) {
    struct listener l = LISTENER;
    if (!CHECK(mkdtemp(root) != NULL)) return;
    machine(80);
    put("/proc/self/cgroup", "0::/job\n");
    put(PRESSURE, "");
    group_event(0);
    os_linux_root = root;
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
    put(PRESSURE, "some avg10=32.50 avg60=1.00 avg300=0.10 total=123\n");
    group_event(1);
    EVENTUALLY(heard(&l, eMemoryAvailableLow) >= 3);
    put(PRESSURE, "some avg10=7.00 avg60=1.00 avg300=0.10 total=123\n");
    nap(2500);
    CHECK_EQ(last(&l), eMemoryAvailableLow);
    put(PRESSURE, "some avg10=4.99 avg60=1.00 avg300=0.10 total=123\n");
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
    os_linux_root = "";
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    CHECK_EQ(system(command), 0);
}

#ifndef __SANITIZE_THREAD__
/* The child has no thread, hears nothing, and may have one of its own. */
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

static void test_fork(void) {
    struct listener l = LISTENER;
    IHostMemoryManager *m = manager_make(&LIMITS(.cbSoftCommit = MIB));
    void *start = take(m, 2 * MIB);
    listen_to(m, &l);
    EVENTUALLY(heard(&l, eMemoryAvailableLow) >= 1);
    for (int i = 0; i < 5; i++) {
        int status = -1;
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) {
            alarm(60);
            _exit(child(m, &l));
        }
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK_EQ(status, 0);
    }
    uint32_t lows = heard(&l, eMemoryAvailableLow);
    EVENTUALLY(heard(&l, eMemoryAvailableLow) > lows);
    give(m, start);
    CHECK_EQ(m->lpVtbl->Release(m), 0);
}
#endif
#endif

int main(void) {
    test_existence();
    test_budget();
    test_trim_first();
    test_from_within();
    test_churn();
#if !defined(_WIN32) && defined(HM_FAULT)
    test_system();
#ifndef __SANITIZE_THREAD__ /* it ends a child of several threads that starts one */
    test_fork();
#endif
#endif
    test_load(); /* keeps the thread reading for a while */
    return check_done();
}

/*
 * pressure.c - the thread that watches: when there is one, whom it tells what and how often, and callbacks that come and go.
 */
#include "policy/pressure.h"

#include <stdlib.h>
#include <string.h>

#include "alone.h"
#include "base/cold.h"
#include "check.h"
#include "listener.h"
#include "os/fault.h"
#include "policy/notify.h"
#include "policy/told.h"

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
    CHECK_EQ(atom_load_acq_u32(&told_level), 0);
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
    listen_to(m, &l);
    cold_fail_after(1);
    CHECK(m->lpVtbl->RegisterMemoryNotificationCallback(m, &l.face) == E_OUTOFMEMORY);
    cold_fail_after(-1);
    CHECK_EQ(l.references, 2); /* the one that is there stays */
    CHECK_EQ(m->lpVtbl->Release(m), 0);
    CHECK_EQ(l.references, 1);
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
    CHECK(atom_load_acq_u32(&told_level) > 1); /* it is the manager's trouble alone */
    /* Again and again while it lasts, not faster than asked for. */
    double start = thread_seconds();
    uint32_t before = heard(&mine, eMemoryAvailableLow);
    EVENTUALLY(heard(&mine, eMemoryAvailableLow) >= before + 5);
    CHECK(thread_seconds() - start > 4 * SPACING / 1000.0 * 0.9);
    /* A sixteenth below the line; then once what is true then, and silence. (What was heard before the first Low is a matter of
     * when the thread first looked.) */
    uint32_t neutrals = heard(&mine, eMemoryAvailableNeutral), highs = heard(&mine, eMemoryAvailableHigh);
    give(m, more);
    EVENTUALLY(last(&mine) != eMemoryAvailableLow);
    uint32_t lows = heard(&mine, eMemoryAvailableLow);
    nap(4 * SPACING);
    CHECK_EQ(heard(&mine, eMemoryAvailableLow), lows);
    CHECK_EQ(heard(&mine, eMemoryAvailableNeutral), neutrals + 1);
    CHECK_EQ(heard(&mine, eMemoryAvailableHigh), highs); /* more than half is used */
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
    CHECK_EQ(atom_load_acq_u32(&told_level), eMemoryAvailableLow);
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

enum { SPANS = 8 };

struct holder {
    IHostMemoryManager *m;
    IHostMalloc *heap;
    uint32_t step;
};

/* Keeps freed blocks and allocations at hand, and calls nothing. */
static void *keep_at_hand(void *context) {
    struct holder *holder = context;
    IHostMalloc *heap = holder->heap;
    void *block[200], *start[SPANS];
    for (uint32_t step = 1; step <= 3; step += 2) {
        for (int i = 0; i < 200; i++) CHECK(heap->lpVtbl->Alloc(heap, 20000, eProcessCritical, &block[i]) == S_OK);
        for (int i = 0; i < 200; i++) CHECK(heap->lpVtbl->Free(heap, block[i]) == S_OK);
        for (int i = 0; i < SPANS; i++) start[i] = HmVirtualAlloc(NULL, 65536, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
        for (int i = 0; i < SPANS; i++) CHECK(HmVirtualFree(start[i], 0, MEM_RELEASE));
        atom_store_rel_u32(&holder->step, step);
        while (atom_load_acq_u32(&holder->step) == step) nap(1);
    }
    return NULL;
}

static HM_STATS first_seen;

static void act_look(struct listener *l) {
    if (heard(l, eMemoryAvailableLow) != 1 || first_seen.cbSize != 0) return;
    first_seen.cbSize = sizeof first_seen;
    CHECK(HmGetStats(&first_seen));
}

static SIZE_T charged(IHostMemoryManager *m) {
    HM_USAGE usage = {.cbSize = sizeof usage};
    CHECK(HmGetLimits(m, NULL, &usage) == S_OK);
    return usage.cbCommitted;
}

/* What idle threads keep at hand goes back first, too, with no keeper to do it: then who hears Low may believe it. */
static void test_trim_idle(void) {
    struct listener l = LISTENER;
    struct holder holder = {.m = manager_make(&LIMITS(.cbSoftCommit = 8 * MIB))};
    CHECK(holder.m->lpVtbl->CreateMalloc(holder.m, MALLOC_THREADSAFE, &holder.heap) == S_OK);
    struct threads threads = {0};
    threads_start(&threads, keep_at_hand, &holder);
    while (atom_load_acq_u32(&holder.step) != 1) nap(1);
    SIZE_T kept = charged(holder.m);
    HM_STATS stats = {.cbSize = sizeof stats};
    CHECK(HmGetStats(&stats) && stats.cSpansCached > 0 && stats.cBlocksCached > 50);
    CHECK(kept > 2 * MIB);
    listen_to(holder.m, &l);
    void *some = take(holder.m, 8 * MIB - kept);
    EVENTUALLY(charged(holder.m) == 8 * MIB - kept);
    nap(4 * SPACING);
    CHECK_EQ(heard(&l, eMemoryAvailableLow), 0); /* that was enough */
    CHECK(HmGetStats(&stats) && stats.cSpansCached == 0 && stats.cBlocksCached == 0);
    /* Once more, and this time it is not. While the thread fills its cache there is no pressure yet. */
    give(holder.m, some);
    l.act = act_look;
    atom_store_rel_u32(&holder.step, 2);
    while (atom_load_acq_u32(&holder.step) != 3) nap(1);
    CHECK_EQ(heard(&l, eMemoryAvailableLow), 0);
    some = take(holder.m, 8 * MIB);
    EVENTUALLY(heard(&l, eMemoryAvailableLow) >= 1 && first_seen.cRegions != 0);
    CHECK_EQ(first_seen.cSpansCached, 0);
    CHECK_EQ(first_seen.cBlocksCached, 0);
    atom_store_rel_u32(&holder.step, 4);
    threads_join(&threads);
    give(holder.m, some);
    holder.heap->lpVtbl->Release(holder.heap);
    CHECK_EQ(holder.m->lpVtbl->Release(holder.m), 0);
}

/* ---- Coming and going ---- */

static void act_unregister(struct listener *l) { CHECK(HmUnregisterMemoryNotificationCallback(l->manager, &l->face) == S_OK); }
/* Not for ever: the manager is going to be released. */
static void act_register_again(struct listener *l) {
    act_unregister(l);
    if (heard(l, eMemoryAvailableLow) < 3) listen_to(l->manager, l);
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
    CHECK_EQ(told_callbacks, 0);
    EVENTUALLY(!pressure_watched());
}

int main(void) {
    keeper_forbid(); /* what is given back is the watching thread's doing */
    test_existence();
    test_budget();
    test_trim_first();
    test_trim_idle();
    test_from_within();
    test_churn();
    return check_done();
}

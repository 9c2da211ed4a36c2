/*
 * reserve.c - an emergency reserve that was given up is held again once the system has memory, by itself: with a limit or a
 * callback beside it or without, and as soon for one that the system would not give when it was asked for.
 */
#include "policy/limits.h"

#include "alone.h"
#include "check.h"
#include "os/fault.h"
#include "os/os.h"

#define MIB ((SIZE_T)1 << 20)

#ifdef HM_FAULT
static SIZE_T held(void) {
    HM_USAGE usage = {.cbSize = sizeof usage};
    CHECK_EQ(HmGetLimits(NULL, NULL, &usage), S_OK);
    return usage.cbReserveHeld;
}

static void limits_put(SIZE_T hard, SIZE_T emergency) {
    HM_LIMITS limits = {.cbSize = sizeof limits, .cbHardCommit = hard, .cbEmergency = emergency};
    CHECK_EQ(HmSetLimits(NULL, &limits), S_OK);
}

static bool comes_to(SIZE_T bytes) {
    for (unsigned i = 0; i < 200000 && held() != bytes; i++) os_yield(100);
    return held() == bytes;
}

static void *critical(IHostMemoryManager *m) {
    void *start = NULL;
    CHECK_EQ(m->lpVtbl->VirtualAlloc(m, NULL, 3 * MIB, MEM_RESERVE | MEM_COMMIT, PAGE_READONLY, eProcessCritical, &start), S_OK);
    return start;
}

static void test_again(IHostMemoryManager *m, SIZE_T hard) {
    limits_put(hard, 2 * MIB);
    CHECK_EQ(held(), 2 * MIB);
    for (int i = 0; i < 2; i++) {
        os_fault_set("commit", 1, false);
        void *start = critical(m);
        os_fault_set(NULL, 0, false);
        CHECK_EQ(held(), 0); /* not at once: it is the request that is to have it */
        CHECK(comes_to(2 * MIB));
        CHECK_EQ(m->lpVtbl->VirtualFree(m, start, 0, MEM_RELEASE), S_OK);
    }
    limits_put(0, 0);
    CHECK_EQ(held(), 0);
}

static void test_refused_first(void) {
    os_fault_set("commit", 1, true);
    limits_put(0, 2 * MIB);
    CHECK_EQ(held(), 0);
    os_fault_set(NULL, 0, false);
    CHECK(comes_to(2 * MIB));
    limits_put(0, 0);
}
#endif

int main(void) {
#ifdef HM_FAULT
    IHostMemoryManager *m = NULL;
    if (!CHECK(HmCreateMemoryManager(NULL, &m) == S_OK)) return check_done();
    test_again(m, 0);
    test_again(m, (SIZE_T)1 << 30);
    test_refused_first();
    CHECK_EQ(m->lpVtbl->Release(m), 0);
#else
    CHECK(true); /* only test builds can fail a call of the system */
#endif
    return check_done();
}

/*
 * Released allocations that are kept whole for the next one of their size: the same memory, zero again, within the bound on what
 * is held, those of a size in a row no worse for it, and nobody's meanwhile.
 */
#include <string.h>

#include "check.h"
#include "core/keeper.h"
#include "flat.h"
#include "hostmem.h"
#include "probe.h"
#include "resident.h"
#include "thread.h"
#include "vm/held.h"

static void kept_allocations(void) {
    char *p = HmVirtualAlloc(NULL, 8 * MIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    memset(p, 9, 8 * MIB);
    CHECK(release(p));
    CHECK_EQ(held_bytes(), 8 * MIB);
    CHECK(probe('r', p) == PROBE_FAULT && !commit(p, PAGE) && !release(p));
    MEMORY_BASIC_INFORMATION info;
    CHECK(HmVirtualQuery(p, &info, sizeof info) && info.State == MEM_FREE);
    char *again = HmVirtualAlloc(NULL, 8 * MIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    CHECK(again == p && is_zero(again, 8 * MIB)); /* the same memory */
    CHECK_EQ(held_bytes(), 0);
    memset(again, 9, 8 * MIB);
    CHECK(release(again));
    char *grown = HmVirtualAlloc(NULL, 8 * MIB, MEM_RESERVE, PAGE_READONLY);
    CHECK(grown == p && is_reserved(grown, 8 * MIB) && held_bytes() == 8 * MIB);
    CHECK(HmVirtualQuery(p, &info, sizeof info) && info.AllocationProtect == PAGE_READONLY);
    for (size_t at = 0; at < 4 * MIB; at += 64 * KIB) CHECK(commit(p + at, 64 * KIB) && is_zero(p + at, 64 * KIB));
    CHECK_EQ(held_bytes(), 4 * MIB);
    CHECK(HmTrim() >= 4 * MIB && is_zero(p, 4 * MIB)); /* the notes find what the reservation has */
    CHECK(release(grown));
    CHECK(HmTrim() >= 4 * MIB);
    /* Where a kept one lies can be asked for. */
    p = used(2 * MIB);
    CHECK(release(p) && held_bytes() == 2 * MIB);
    CHECK(HmVirtualAlloc(p, 64 * KIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE) == p && p[0] == 0);
    CHECK(release(p));
    CHECK_EQ(taken(), 0);
    CHECK_EQ(held_bytes(), 0);
}

/* As one who gives back what is held there, and needs some time for it. */
static void *hold_up(void *p) {
    thread_rest(0.003);
    pages_unlock(page_of((uintptr_t)p), PAGES_PER_GRANULE);
    return NULL;
}

/* It can be asked for as well while somebody else is giving it back. */
static void kept_and_busy(void) {
    struct threads threads = {0};
    char *p = used(2 * MIB);
    CHECK(release(p));
    pages_lock(page_of((uintptr_t)p), PAGES_PER_GRANULE);
    threads_start(&threads, hold_up, p);
    CHECK(HmVirtualAlloc(p, 64 * KIB, MEM_RESERVE, PAGE_READWRITE) == p);
    threads_join(&threads);
    CHECK(release(p));
    CHECK_EQ(taken(), 0);
}

/* A note of pages that were held once does not shorten the time for which their allocation is kept. */
static void kept_in_full(void) {
    char *p = used(8 * MIB);
    CHECK(decommit(p + MIB, MIB) && commit(p + MIB, MIB));
    memset(p + MIB, 1, MIB);
    thread_rest(0.3);
    CHECK(release(p) && held_bytes() == 8 * MIB);
    held_give_back(200);
    CHECK_EQ(held_bytes(), 8 * MIB);
    CHECK_EQ(taken(), 0);
}

/* Once little of it is used, an allocation costs what it would if there had never been a kept one: it is not looked through. */
static void hardly_used(void) {
    bool small = touches_are_small();
    char *p = used(8 * MIB);
    for (int i = 0; i < 3; i++) {
        CHECK(release(p));
        p = HmVirtualAlloc(NULL, 8 * MIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
        p[4 * MIB] = 1;
    }
    CHECK(release(p) && (held_bytes() == 0 || !small));
    CHECK_EQ(taken(), 0);
}

static void bound_holds(void) {
    char *p, *q[8];
    held_bound_set(4 * MIB);
    for (int i = 0; i < 8; i++) q[i] = used(2 * MIB);
    for (int i = 0; i < 8; i++) CHECK(release(q[i]) && held_bytes() <= 4 * MIB);
    CHECK_EQ(held_bytes(), 4 * MIB);
    char *a = used(2 * MIB), *b = used(2 * MIB), *late = used(2 * MIB);
    CHECK((a == q[0] && b == q[1]) || (a == q[1] && b == q[0])); /* in a row the first two stay */
    CHECK(release(a) && release(b));
    thread_rest(0.3);
    CHECK(release(late) && held_bytes() == 4 * MIB); /* later it takes the place of one */
    a = used(2 * MIB), b = used(2 * MIB);
    CHECK((a == late) != (b == late));
    CHECK(release(a) && release(b) && taken() == 0);
    /* What is as large as all that may be held takes the place of a little, but a little not that of much more. */
    p = reserve(4 * MIB + 64 * KIB);
    q[0] = used(4 * MIB), q[1] = used(2 * MIB);
    CHECK(commit(p, 3 * MIB) && decommit(p, 3 * MIB) && held_bytes() == 3 * MIB);
    CHECK(release(q[1]) && held_bytes() == 3 * MIB);
    CHECK(release(q[0]) && held_bytes() == 4 * MIB);
    CHECK(release(p));
    CHECK_EQ(taken(), 0);
}

int main(void) {
    probe_start();
    keeper_wanted(); /* nothing is kept where nobody would give it back */
    kept_allocations();
    kept_and_busy();
    kept_in_full();
    hardly_used();
    bound_holds(); /* last: it makes the bound smaller for good */
    return check_done();
}

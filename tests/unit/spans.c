/*
 * Large allocations in the thread's cache: zero whenever they are taken, whatever was written; and whether their content is kept
 * or dropped follows what was done with the ones before.
 */
#include <string.h>

#include "alone.h"
#include "check.h"
#include "hostmem.h"
#include "os/os.h"
#include "thread.h"

#define MIB ((size_t)1 << 20)
#define PAGE 4096u

static char *take(size_t size) { return HmVirtualAlloc(NULL, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE); }
static bool leave(char *p) { return HmVirtualFree(p, 0, MEM_RELEASE); }

static bool is_zero(const char *p, size_t size) {
    return p[0] == 0 && memcmp(p, p + 1, size - 1) == 0;
}

static void untouched(size_t size, int times) {
    for (int i = 0; i < times; i++) {
        char *p = take(size);
        CHECK(p && leave(p));
    }
}

/* Every page is written, and found zero by the next one who has it. */
static void touched(size_t size, int times) {
    for (int i = 0; i < times; i++) {
        char *p = take(size);
        if (!CHECK(p && is_zero(p, size))) return;
        for (size_t at = 0; at < size; at += PAGE) p[at + (at / PAGE * 61) % PAGE] = 1;
        CHECK(leave(p));
    }
}

/* How many pages of the next one have memory behind them. */
static size_t behind(size_t size) {
    char *p = take(size);
    size_t pages = os_touched((uintptr_t)p, size);
    CHECK(p && leave(p));
    return pages;
}

static void habits(size_t size) {
    bool lazy = os_commit_is_lazy();
    size_t all = size / PAGE;
    untouched(size, 100);
    CHECK_EQ(behind(size), lazy ? 0 : all); /* nothing has looked through it */
    touched(size, 20);
    CHECK_EQ(behind(size), all); /* it is kept */
    untouched(size, 5);
    CHECK_EQ(behind(size), all); /* and a few others do not change that */
    touched(size, 3);
    untouched(size, 200);
    CHECK_EQ(behind(size), lazy ? 0 : all); /* many do */
    touched(size, 20);
    CHECK_EQ(behind(size), all);
}

/* Any part of it, of several at a time, in any order. */
static void any_use(void) {
    enum { COUNT = 6 };
    char *held[COUNT] = {0};
    uint64_t random = 7;
    for (int round = 0; round < 3000; round++) {
        unsigned which = (unsigned)thread_random(&random) % COUNT;
        if (held[which]) {
            CHECK(leave(held[which]));
            held[which] = NULL;
            continue;
        }
        char *p = held[which] = take(MIB);
        if (!CHECK(p && is_zero(p, MIB))) return;
        size_t writes = round / 300 % 2 ? 0 : (size_t)thread_random(&random) % 40;
        for (size_t i = 0; i < writes; i++) p[thread_random(&random) % MIB] = 1;
    }
    for (int i = 0; i < COUNT; i++) CHECK(!held[i] || leave(held[i]));
}

int main(void) {
    keeper_forbid();
    habits(MIB / 4);
    habits(MIB);
    any_use();
    return check_done();
}

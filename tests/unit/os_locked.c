/*
 * Pages that are locked in memory: a process that locks whatever it maps from now on, and may lock little, decommits and commits
 * as any other. The kernel then refuses a new mapping in the place of one, and MADV_DONTNEED.
 */
#include <string.h>

#include "check.h"
#include "hostmem.h"
#include "os/fault.h"
#include "os/os.h"

#define MIB ((size_t)1 << 20)
#define PART (5 * MIB)
#define MAY_LOCK (8 * MIB)

enum { LOCK_FUTURE = 2 };

#if defined(_WIN32)
#include "os/windows_host.h"

enum { CALL_CAPSET = 126, CALL_MLOCKALL = 151, CALL_MUNLOCKALL = 152, CALL_SETRLIMIT = 160, LIMIT_OF_LOCKED = 8 };

/* Of this thread and process, on the Linux below Wine. */
static bool lock_little(void) {
    uint32_t header[2] = {0x20080522, 0}, none[6] = {0};
    uint64_t limit[2] = {MAY_LOCK, MAY_LOCK};
    return linux_call(CALL_CAPSET, (uintptr_t)header, (uintptr_t)none, 0, 0) == 0 &&
           linux_call(CALL_SETRLIMIT, LIMIT_OF_LOCKED, (uintptr_t)limit, 0, 0) == 0;
}
static bool lock_future(void) { return linux_call(CALL_MLOCKALL, LOCK_FUTURE, 0, 0, 0) == 0; }
static void lock_nothing(void) { linux_call(CALL_MUNLOCKALL, 0, 0, 0, 0); }
static bool possible(void) { return host_linux(); }
#else
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static bool lock_little(void) {
    return setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){MAY_LOCK, MAY_LOCK}) == 0 && (geteuid() != 0 || setuid(65534) == 0);
}
static bool lock_future(void) { return mlockall(LOCK_FUTURE) == 0; }
static void lock_nothing(void) { munlockall(); }
/* An ordinary user may have been allowed less. */
static bool possible(void) {
    struct rlimit limit;
    return getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && (geteuid() == 0 || limit.rlim_max >= MAY_LOCK);
}
#endif

/* What was there is never seen again. */
static void come_and_go(char *start) {
    DWORD old;
    for (int i = 0; i < 4; i++) {
        char *part = HmVirtualAlloc(start, PART, MEM_COMMIT, PAGE_READWRITE);
        if (!CHECK(part == start)) return;
        CHECK(part[0] == 0 && part[PART / 2] == 0 && part[PART - 1] == 0);
        memset(part, 1, PART);
        if (i == 2) CHECK(HmVirtualProtect(part + MIB, MIB, PAGE_READONLY, &old));
        if (i == 3) CHECK(HmVirtualFree(part + MIB, MIB, MEM_DECOMMIT));
        CHECK(HmVirtualFree(part, PART, MEM_DECOMMIT));
        HmTrim(); /* what is held goes back */
    }
}

/* The same of the system's layer, which holds nothing. */
static void come_and_go_below(uintptr_t start) {
    for (int i = 0; i < 4; i++) {
        if (!CHECK_EQ(os_commit(start, PART, PG_READWRITE), ST_OK)) return;
        volatile char *part = (volatile char *)start;
        CHECK(part[0] == 0 && part[PART / 2] == 0 && part[PART - 1] == 0);
        memset((void *)start, 1, PART);
        CHECK_EQ(os_decommit(start, PART), ST_OK);
    }
    CHECK_EQ(os_commit(start, PART, PG_READWRITE), ST_OK);
    memset((void *)start, 1, PART);
    os_discard(start, PART);
    CHECK(*(volatile char *)start == 0);
    CHECK_EQ(os_decommit(start, PART), ST_OK);
}

static int locked(void) {
    uintptr_t below;
    char *start = HmVirtualAlloc(NULL, 64 * MIB, MEM_RESERVE, PAGE_READWRITE);
    CHECK_EQ(os_reserve(0, 64 * MIB, 65536, OS_PLAIN, PG_READWRITE, &below), ST_OK);
    if (!CHECK(start != NULL) || !CHECK(lock_little()) || !CHECK(lock_future())) return check_done();
    come_and_go(start);
    come_and_go_below(below);
#if !defined(_WIN32) && defined(HM_FAULT)
    os_linux_old = true;
    come_and_go(start + 16 * MIB);
    come_and_go_below(below + 16 * MIB);
#endif
    lock_nothing();
    CHECK(HmVirtualFree(start, 0, MEM_RELEASE));
    return check_done();
}

int main(void) {
    if (!possible()) {
        CHECK(!possible());
        return check_done();
    }
#ifdef _WIN32
    return locked();
#else
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) _exit(locked());
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK_EQ(status, 0);
    return check_done();
#endif
}

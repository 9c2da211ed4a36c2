/*
 * What the environment sets: numbers are read the same way on both systems, what cannot be read counts as not set, and a bound
 * on address space holds in a process that makes no manager.
 */
#ifndef _WIN32
#define _GNU_SOURCE
#endif
#include "core/settings.h"

#include <stdlib.h>

#include "check.h"
#include "hostmem.h"

#ifndef _WIN32
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#define GIB ((uint64_t)1 << 30)

static void numbers(void) {
    static const struct {
        const char *text;
        uint64_t value;
    } known[] = {{"0", 0}, {"1", 1}, {"010", 10}, {"100", 100}, {"0x10", 16}, {"0XfF", 255}, {"4096k", 4096 << 10},
                 {"100M", 100 << 20}, {"2G", 2 * GIB}, {"0x1G", GIB}, {"18446744073709551615", UINT64_MAX},
                 {"17179869183G", 17179869183u * GIB},
                 /* and what is none */
                 {"", 0}, {"x", 0}, {"0x", 0}, {"K", 0}, {"0xK", 0}, {"-1", 0}, {"+1", 0}, {" 1", 0}, {"1 ", 0}, {"1e9", 0},
                 {"1KB", 0}, {"1.5G", 0}, {"12a", 0}, {"0x1g2", 0}, {"18446744073709551616", 0}, {"17179869184G", 0},
                 {"0x10000000000000000", 0}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (setting_parse(known[i].text) != known[i].value) printf("\"%s\":\n", known[i].text);
        CHECK_EQ(setting_parse(known[i].text), known[i].value);
    }
}

static void variables(void) {
    CHECK_EQ(setting("HOSTMEM_UNKNOWN"), 0);
    putenv((char *)(uintptr_t)"HOSTMEM_UNKNOWN=64K");
    CHECK_EQ(setting("HOSTMEM_UNKNOWN"), 65536);
    putenv((char *)(uintptr_t)"HOSTMEM_UNKNOWN=1000000000000000000000000000000000000000");
    CHECK_EQ(setting("HOSTMEM_UNKNOWN"), 0);
}

/* The next is read when the first limit is asked for. */
static void soft_above_hard(void) {
    putenv((char *)(uintptr_t)"HOSTMEM_SOFT_COMMIT=2G");
    putenv((char *)(uintptr_t)"HOSTMEM_HARD_COMMIT=1G");
    HM_LIMITS seen = {.cbSize = sizeof seen};
    CHECK_EQ(HmGetLimits(NULL, &seen, NULL), S_OK);
    CHECK(seen.cbSoftCommit == 0 && seen.cbHardCommit == GIB);
}

static void address_space(void) {
    enum { ASKED = 16 };
    putenv((char *)(uintptr_t)"HOSTMEM_MAX_ADDRESS_SPACE=5G"); /* one region of 4 GiB */
    void *got[ASKED];
    int count = 0;
    while (count < ASKED && (got[count] = HmVirtualAlloc(NULL, GIB, MEM_RESERVE, PAGE_READWRITE)) != NULL) count++;
    CHECK_EQ(HmGetLastError(), ERROR_NOT_ENOUGH_MEMORY);
    CHECK_EQ(count, 4);
    for (int i = 0; i < count; i++) CHECK(HmVirtualFree(got[i], 0, MEM_RELEASE));
}

#ifndef _WIN32
enum { READS = 3, READS_NOT, HAS_NO_RIGHTS };

/* This program once more, with the rights of a group that whoever starts it is not in. Root alone can make such a program. */
static void more_rights(void) {
    char path[] = "/tmp/hostmem-settings-XXXXXX";
    int from = open("/proc/self/exe", O_RDONLY), to = mkstemp(path), status = -1;
    struct stat stat;
    bool made = from >= 0 && to >= 0 && fstat(from, &stat) == 0;
    made = made && sendfile(to, from, NULL, (size_t)stat.st_size) == stat.st_size;
    made = made && fchown(to, (uid_t)-1, getgid() + 1) == 0 && fchmod(to, 02755) == 0;
    close(from), close(to);
    pid_t child = made ? fork() : -1;
    if (child == 0) {
        execl(path, path, "--rights", (char *)NULL);
        _exit(1);
    }
    if (child > 0 && waitpid(child, &status, 0) == child && WEXITSTATUS(status) != HAS_NO_RIGHTS) {
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == READS_NOT);
    } else {
        printf("no program with more rights can be made or run here\n");
    }
    unlink(path);
}
#endif

int main(int count, char **arguments) {
#ifndef _WIN32
    if (count > 1 && strcmp(arguments[1], "--rights") == 0) {
        return !getauxval(AT_SECURE) ? HAS_NO_RIGHTS : setting("HOSTMEM_RIGHTS") ? READS : READS_NOT;
    }
    putenv((char *)(uintptr_t)"HOSTMEM_RIGHTS=7");
    more_rights();
#else
    (void)count, (void)arguments;
#endif
    numbers();
    variables();
    soft_above_hard();
    address_space();
    return check_done();
}

/*
 * Memory that is brought: it is there without a fault, zero where nothing was and as it was where something was; by the quick
 * way, by the slow one where that is refused, and in the child of a fork, to which the parent's file would be of no use.
 */
#include <string.h>

#include "check.h"
#include "os/os.h"

#ifdef HM_FAULT
#include "os/fault.h"
#endif
#ifndef _WIN32
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/os_faults.h"
#endif

#define KIB 1024u
#define SIZE (1024 * KIB)
#define PIECE (200 * KIB) /* more than is copied at once, and no multiple of it */

static char *reserved;

static uintptr_t piece(unsigned n) { return (uintptr_t)reserved + (size_t)n * PIECE; }

static bool committed(unsigned n) { return os_commit(piece(n), PIECE, PG_READWRITE) == ST_OK; }

static bool bring(unsigned n) { return os_bring(piece(n), PIECE, (uintptr_t)reserved, SIZE); }

static size_t touched(unsigned n) { return os_touched(piece(n), PIECE); }

static bool is_all(unsigned n, char value) {
    const char *bytes = (const char *)piece(n);
    size_t same = 0;
    for (size_t i = 0; i < PIECE; i++) same += bytes[i] == value;
    return same == PIECE;
}

static void start(void) {
    uintptr_t at;
    if (CHECK_EQ(os_reserve(0, SIZE, 64 * KIB, OS_PLAIN, PG_READWRITE, &at), ST_OK)) reserved = (char *)at;
}

static void finish(void) { CHECK_EQ(os_release((uintptr_t)reserved, SIZE), ST_OK); }

/* True: by the quick way, which nobody waits for. */
static bool comes(void) {
    start();
    CHECK(committed(0) && committed(1) && committed(2));
    bool quick = bring(1);
#ifndef _WIN32
    CHECK(touched(0) == 0 && touched(1) == PIECE / PAGE_BYTES && touched(2) == 0);
#endif
    CHECK(is_all(1, 0));
    /* What is there stays, and the rest comes around it. */
    memset((char *)piece(2) + 8 * PAGE_BYTES, 5, PAGE_BYTES);
    bring(2);
    CHECK_EQ(touched(2), PIECE / PAGE_BYTES);
    for (size_t i = 0; i < PIECE / PAGE_BYTES; i++) CHECK_EQ(((char *)piece(2))[i * PAGE_BYTES + 17], i == 8 ? 5 : 0);
    /* What was brought is memory as any other. */
    memset((char *)piece(1), 7, PIECE);
    CHECK(os_hold(piece(1), PIECE, false) == ST_OK && committed(1) && is_all(1, 7));
    CHECK(os_decommit(piece(1), PIECE) == ST_OK && committed(1));
    CHECK_EQ(bring(1), quick);
    CHECK_EQ(touched(1), PIECE / PAGE_BYTES);
    CHECK(is_all(1, 0));
    os_discard(piece(1), PIECE);
    CHECK(is_all(1, 0));
    finish();
    return quick;
}

#ifndef _WIN32
/* A child's memory is not its parent's, and the parent's is not the child's. */
static void in_child(void) {
    start();
    CHECK(committed(0) && committed(1) && committed(2));
    bool quick = bring(0);
    memset((char *)piece(0), 3, PIECE);
    pid_t child = fork();
    if (child == 0) {
        bool good = bring(1) == quick && touched(1) == PIECE / PAGE_BYTES && is_all(1, 0) && touched(2) == 0 && is_all(0, 3);
        memset((char *)piece(1), 9, PIECE);
        _exit(good && is_all(1, 9) ? 0 : 1);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
    CHECK(touched(1) == 0 && touched(2) == 0 && is_all(0, 3));
    CHECK_EQ(bring(2), quick);
    CHECK(touched(1) == 0 && touched(2) == PIECE / PAGE_BYTES && is_all(2, 0));
    finish();
}

/* The number of this process's file of userfaultfd's, or -1. */
static int file_number(void) {
    DIR *folder = opendir("/proc/self/fd");
    int found = -1;
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        char target[64] = "";
        if (readlinkat(dirfd(folder), entry->d_name, target, sizeof target - 1) > 0 && strstr(target, "[userfaultfd]")) {
            found = atoi(entry->d_name);
        }
    }
    if (folder) closedir(folder);
    return found;
}

/* A program may close all files that it does not know, and have others of its own under their numbers. */
static void file_taken(void) {
    int file = file_number();
    if (file < 0) return;
    close(file);
    CHECK(!comes());
    int other = open("/dev/null", O_RDWR);
    CHECK_EQ(dup2(other, file), file);
    CHECK(!comes());
    close(other);
    /* One of the same kind is the program's own, too, who would be told of what happens to the engine's memory. */
    struct utsname kernel;
    struct faults_api api = {.version = FAULTS_VERSION, .features = FAULTS_OF_WRITES};
    if (!CHECK(uname(&kernel) == 0) || strtod(kernel.release, NULL) < 6) return;
    other = (int)syscall(SYS_userfaultfd, FAULTS_OPEN_FLAGS);
    CHECK_EQ(dup2(other, file), file);
    close(other);
    CHECK(ioctl(file, FAULTS_API, &api) == 0);
    CHECK(!comes());
    close(file);
}
#endif

int main(void) {
#ifndef _WIN32
    int error = fcntl(2, F_DUPFD, 100);
    close(0), close(2); /* as a daemon's, which may open others and count on their numbers */
#endif
    bool quick = comes();
    printf("memory is brought %s\n", quick ? "by userfaultfd" : "by madvise, or not at all");
#ifndef _WIN32
    CHECK(fcntl(0, F_GETFD) == -1 && fcntl(2, F_GETFD) == -1);
    dup2(error, 2);
    CHECK_EQ(quick, file_number() >= 0);
    CHECK(file_number() < 64); /* past that the kernel makes room, for which a commit would wait tens of milliseconds */
    in_child();
#ifdef HM_FAULT
    os_linux_no_faults = true;
    CHECK(!comes());
    in_child();
    os_linux_no_faults = false;
#endif
    file_taken();
#endif
    return check_done();
}

/*
 * limits.c - a process that may have little: address space (RLIMIT_AS, too little for a region), writable memory (RLIMIT_DATA),
 * or what is committed (HOSTMEM_HARD_COMMIT). What is refused is NULL with ENOMEM, nothing is lost by it, and when the bound is
 * lifted there is memory again. Run with the malloc drop-in preloaded; it starts itself again inside each bound.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "thread.h"

#define MIB ((size_t)1 << 20)
#define MOST 1000000
#define THREADS 4 /* their stacks count, too */

static void **block;

/* The process's size and its writable private part, as the bounds count them. Nothing here allocates. */
static size_t figure(int resource) {
    char text[200] = "";
    unsigned long field[7] = {0};
    int file = open("/proc/self/statm", O_RDONLY);
    CHECK(file >= 0 && read(file, text, sizeof text - 1) > 0);
    close(file);
    char *at = text;
    for (int i = 0; i < 7; i++) field[i] = strtoul(at, &at, 10);
    return field[resource == RLIMIT_AS ? 0 : 5] * 4096;
}

static int resource_of(const char *name) { return strcmp(name, "data") == 0 ? RLIMIT_DATA : RLIMIT_AS; }

static void bound(int resource, size_t bytes) {
    struct rlimit limit;
    CHECK(getrlimit(resource, &limit) == 0);
    limit.rlim_cur = bytes == 0 ? limit.rlim_max : bytes;
    CHECK(setrlimit(resource, &limit) == 0);
}

/* As many as there are. */
static size_t fill(size_t size) {
    size_t had = 0;
    while (had < MOST && (errno = 0, block[had] = malloc(size)) != NULL) memset(block[had++], 1, size);
    CHECK(had < MOST);
    CHECK_EQ(errno, ENOMEM);
    return had;
}

static void drop(size_t had) {
    while (had > 0) free(block[--had]);
}

/* Most of the room inside the bound is for blocks of this size, over and over. */
static void test_size(int resource, size_t room, size_t size) {
    size_t first = fill(size);
    drop(first);
    if (!CHECK(first * size >= room / 2)) printf("%zu of %zu bytes were for blocks of %zu\n", first * size, room, size);
    for (int round = 0; round < 3; round++) {
        size_t again = fill(size);
        if (round == 2) {
            bound(resource, figure(resource) + 300 * MIB); /* memory is back, though not enough for a region */
            void *more = malloc(200 * MIB);
            CHECK(more != NULL);
            free(more);
        }
        drop(again);
        if (!CHECK(again + again / 20 + 4 >= first)) printf("%zu blocks of %zu, then %zu\n", first, size, again);
    }
}

static void *test_thread(void *context) {
    void **kept = context;
    for (size_t i = 0; i < 1000; i++) {
        void *one = malloc(i * 17 % 3000);
        if (one == NULL) return NULL;
        free(one);
    }
    *kept = malloc(3000);
    return NULL;
}

static int inside(int resource, size_t room, size_t size) {
    struct threads threads = {0};
    void *kept[THREADS] = {NULL};
    for (int i = 0; i < THREADS; i++) threads_start(&threads, test_thread, &kept[i]);
    threads_join(&threads);
    for (int i = 0; i < THREADS; i++) {
        CHECK(kept[i] != NULL);
        free(kept[i]);
    }
    block = malloc(MOST * sizeof *block);
    if (!CHECK(block != NULL)) return check_done();
    bound(resource, figure(resource) + room);
    test_size(resource, room, size);
    return check_done();
}

/* In a process that may have very little, much of it is for blocks all the same. */
#define LITTLE 32 /* MiB, the program and its libraries included */
static int in_little(void) {
    enum { SIZE = 1000, LEAST = 5000, ROOM = 40000 }; /* (addresses on both sides of a multiple of 4 GiB need tables twice) */
    static void *few[ROOM];
    size_t had = 0;
    while (had < ROOM && (few[had] = malloc(SIZE)) != NULL) memset(few[had++], 1, SIZE);
    if (had < LEAST) return 1;
    for (size_t i = 0; i < had; i++) free(few[i]);
    return had < ROOM ? 0 : 2;
}

/* 16 MiB of one size at hand: what comes and goes in numbers is kept in numbers. */
static void come_and_go(void) {
    enum { SIZE = 4096, COUNT = 4000 };
    static void *few[COUNT];
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < COUNT; i++) few[i] = malloc(SIZE);
        for (size_t i = 0; i < COUNT; i++) free(few[i]);
    }
}

/*
 * What is at hand goes for a block at an alignment that no size has, as for any other; and for one that grows, where there is
 * room for it in its place but not in two.
 */
static int in_commitment(void) {
    come_and_go();
    void *aligned = aligned_alloc(2 * MIB, 60 * MIB);
    if (aligned == NULL) return 1;
    free(aligned);
    void *long_one = malloc(36 * MIB);
    if (long_one == NULL) return 2;
    come_and_go();
    void *longer = realloc(long_one, 56 * MIB);
    if (longer == NULL) return 3;
    errno = 0;
    if (realloc(longer, 70 * MIB) != NULL || errno != ENOMEM) return 4;
    free(longer);
    return 0;
}

/* Starts this program in the bound, 0 for none: then it finds one later, when it has a region already. */
static void run(char *self, const char *resource, size_t megabytes, size_t size) {
    pid_t pid = fork();
    int status = -1;
    if (pid == 0) {
        char text[32];
        alarm(20);
        snprintf(text, sizeof text, "%zuM", megabytes);
        if (strcmp(resource, "commit") == 0) setenv("HOSTMEM_HARD_COMMIT", text, 1);
        else bound(resource_of(resource), megabytes * MIB);
        snprintf(text, sizeof text, "%zu", size);
        execl(self, self, resource, text, (char *)NULL);
        _exit(9);
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    if (!CHECK_EQ(status, 0)) printf("%s of %zu MiB, blocks of %zu\n", resource, megabytes, size);
}

int main(int count, char **arguments) {
    static const size_t sizes[] = {48, 1000, 6000, 30000, 100000, MIB, 5 * MIB};
    if (count > 2 && strcmp(arguments[1], "commit") == 0) return in_commitment();
    if (count > 2 && atoi(arguments[2]) == 0) return in_little();
    if (count > 2) return inside(resource_of(arguments[1]), 32 * MIB, strtoul(arguments[2], NULL, 10));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        run(arguments[0], "address-space", 120, sizes[i]);
        run(arguments[0], "data", 150, sizes[i]);
        run(arguments[0], "data", 0, sizes[i]);
    }
    run(arguments[0], "address-space", LITTLE, 0);
    run(arguments[0], "data", LITTLE, 0);
    run(arguments[0], "commit", 64, 0);
    return check_done();
}

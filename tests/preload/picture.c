/*
 * picture.c - what a core file of the process has: its blocks, and not the gigabytes of address space around them that were
 * reserved only. (The kernel leaves those out by itself; gdb's gcore writes all that the process does not say otherwise of.)
 * And that this costs no memory where a process may have no more mappings. Run with the malloc drop-in preloaded.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "thread.h"

#define MIB ((size_t)1 << 20)
#define SIZES 5
static const size_t sizes[SIZES] = {100, 5000, 300000, 3 << 20, 70 << 20};
static char *blocks[2][SIZES];

/* How many bytes of private, anonymous memory a core file has; *found: of the blocks, how many start in it. */
static size_t pictured(size_t *found) {
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[500], name[200];
    size_t start = 0, end = 0, sum = 0, at, until;
    bool anonymous = false;
    unsigned long inode;
    *found = 0;
    if (!CHECK(maps != NULL)) return 0;
    while (fgets(line, sizeof line, maps) != NULL) {
        int fields = sscanf(line, "%zx-%zx %*3sp %*s %*s %lu %199s", &at, &until, &inode, name);
        if (fields >= 3) start = at, end = until, anonymous = fields == 3 && inode == 0;
        if (strncmp(line, "VmFlags:", 8) != 0 || !anonymous || strstr(line, " dd") != NULL) continue;
        sum += end - start;
        for (int i = 0; i < 2 * SIZES; i++) {
            size_t block = (size_t)(uintptr_t)blocks[i / SIZES][i % SIZES];
            *found += block >= start && block < end;
        }
    }
    fclose(maps);
    return sum;
}

static void *allocate(void *context) {
    char **block = context;
    for (int i = 0; i < SIZES; i++) {
        block[i] = malloc(sizes[i]);
        if (CHECK(block[i] != NULL)) memset(block[i], 1, sizes[i]);
    }
    return NULL;
}

/* No mapping is left: there is memory all the same, behind what there is. In a process of its own, whose region is fresh. */
static int without_mappings(void) {
    const size_t size = 400 * MIB;
    char *first = malloc(30000), *many = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (first == NULL || many == MAP_FAILED) return 2;
    size_t at = 0;
    while (at < size && mprotect(many + at, 4096, PROT_READ) == 0) at += 8192;
    for (int i = 0; at < size && i < 400; i++) { /* a machine may allow that many */
        char *block = malloc(30000);
        if (block == NULL) return 1;
        memset(block, 1, 30000);
    }
    return 0;
}

static void test_without_mappings(void) {
    pid_t child = fork();
    if (child == 0) _exit(execl("/proc/self/exe", "picture", "--without", NULL));
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_EQ(status, 0);
}

int main(int argc, char **argv) {
    struct threads threads = {0};
    size_t found;
    if (argc > 1 && strcmp(argv[1], "--without") == 0) return without_mappings();
    test_without_mappings();
    threads_start(&threads, allocate, blocks[0]);
    threads_join(&threads);
    allocate(blocks[1]);
    CHECK(pictured(&found) < 400 * MIB);
    CHECK_EQ(found, 2 * SIZES);
    for (int i = 0; i < 2 * SIZES; i++) free(blocks[i / SIZES][i % SIZES]);
    return check_done();
}

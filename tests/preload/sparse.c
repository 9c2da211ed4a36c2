/*
 * sparse.c - which blocks the system may give pages of 2 MiB for unasked (transparent_hugepage/enabled is "always" on many
 * machines): not the first few of each thread, which lie in as many slabs, but those of a program that has many.
 * Run with the malloc drop-in preloaded.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"

enum { THREADS = 8, SIZES = 40, BLOCK = 1000, BLOCKS = 96 << 10 };
static char *few[THREADS][SIZES], *many[BLOCKS];
static pthread_barrier_t all_have;

/* How many of the blocks are in mappings that get no pages of 2 MiB. */
static size_t without(char *const *blocks, size_t count) {
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[500];
    uintptr_t start = 0, end = 0, at, until;
    size_t found = 0;
    if (!CHECK(maps != NULL)) return 0;
    while (fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%zx-%zx %*4s", &at, &until) == 2) start = at, end = until;
        if (strncmp(line, "VmFlags:", 8) != 0 || strstr(line, " nh") == NULL) continue;
        for (size_t i = 0; i < count; i++) found += (uintptr_t)blocks[i] >= start && (uintptr_t)blocks[i] < end;
    }
    fclose(maps);
    return found;
}

static void *have_few(void *context) {
    char **blocks = context;
    for (size_t i = 0; i < SIZES; i++) {
        blocks[i] = malloc(16 + i * 50);
        if (CHECK(blocks[i] != NULL)) memset(blocks[i], 1, 16 + i * 50);
    }
    pthread_barrier_wait(&all_have);
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    if (access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK) != 0) { /* a kernel that has none */
        CHECK(true);
        return check_done();
    }
    CHECK_EQ(pthread_barrier_init(&all_have, NULL, THREADS), 0);
    for (size_t i = 0; i < THREADS; i++) CHECK_EQ(pthread_create(&threads[i], NULL, have_few, few[i]), 0);
    for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    CHECK_EQ(without(few[0], THREADS * SIZES), THREADS * SIZES);
    for (size_t i = 0; i < BLOCKS; i++) CHECK((many[i] = malloc(BLOCK)) != NULL);
    CHECK(without(many, BLOCKS) < BLOCKS / 4 * 3); /* some lie between the few */
    for (size_t i = 0; i < BLOCKS; i++) free(many[i]);
    for (size_t i = 0; i < THREADS * SIZES; i++) free(few[i / SIZES][i % SIZES]);
    return check_done();
}

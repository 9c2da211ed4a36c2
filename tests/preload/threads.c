/*
 * threads.c - 100,000 threads, eight at a time, each of which allocates, frees what another one left, and ends: the process stays
 * as lean as it was after the first few. Run with the malloc drop-in preloaded.
 */
#include <malloc.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "resident.h"
#include "thread.h"

#define BATCHES 12500
#define BATCH 8
#define WARM 500
#define BLOCKS 24
#define MIB ((size_t)1 << 20)

static unsigned char *left[BATCH][BLOCKS];
static size_t count_wrong;

static size_t size_of(size_t i) { return i == BLOCKS - 1 ? 100000 : i * i * 20 + 1; }

/* Frees what the last thread at this place left behind, and leaves as much to the next. */
static void *work(void *context) {
    unsigned char **mine = context;
    for (size_t i = 0; i < BLOCKS; i++) {
        size_t size = size_of(i);
        if (mine[i] != NULL && (mine[i][0] != i || mine[i][size - 1] != i)) __atomic_fetch_add(&count_wrong, 1, __ATOMIC_RELAXED);
        free(malloc(size));
        free(mine[i]);
        mine[i] = malloc(size);
        if (mine[i] == NULL) {
            __atomic_fetch_add(&count_wrong, 1, __ATOMIC_RELAXED);
            continue;
        }
        mine[i][0] = mine[i][size - 1] = (unsigned char)i;
    }
    return NULL;
}

/* Keeps blocks of all sizes until all of its kind do. */
static void *meet(void *context) {
    void *mine[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) mine[i] = malloc(size_of(i));
    pthread_barrier_wait(context);
    for (size_t i = 0; i < BLOCKS; i++) free(mine[i]);
    return NULL;
}

int main(void) {
    struct threads threads = {0};
    size_t warm = 0;
    pthread_barrier_t all;
    alarm(58);
    /* On a loaded machine more threads than a batch may be there at once, ended and not done: what they need is there before. */
    pthread_barrier_init(&all, NULL, THREADS_AT_MOST);
    for (int i = 0; i < THREADS_AT_MOST; i++) threads_start(&threads, meet, &all);
    threads_join(&threads);
    for (int batch = 0; batch < BATCHES; batch++) {
        for (size_t i = 0; i < BATCH; i++) threads_start(&threads, work, left[i]);
        threads_join(&threads);
        if (batch == WARM) warm = resident_bytes();
    }
    size_t after = resident_bytes();
    /* What the last threads left in their caches for the next ones goes back in a moment. */
    for (int i = 0; i < 50 && after >= warm + MIB; i++) {
        usleep(100000);
        after = resident_bytes();
    }
    CHECK_EQ(count_wrong, 0);
    if (!CHECK(warm > 0 && after < warm + MIB))
        printf("resident: %zu after %d threads, %zu after %d\n", warm, WARM * BATCH, after, BATCHES * BATCH);
    return check_done();
}

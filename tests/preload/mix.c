/*
 * mix.c - several threads use all functions at random on a shared table of blocks, so that most blocks are freed or moved by
 * another thread than made them; every block's content is checked before it goes. Then all is freed, and the process must be
 * lean. Run with the malloc drop-in preloaded; HOSTMEM_TEST_SECONDS (default 3).
 */
#define _GNU_SOURCE
#include <malloc.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "resident.h"
#include "thread.h"

#define THREADS 6
#define PLACES 4096

/* Millions of times: only what fails is counted. */
#define HOLDS(condition) holds((condition), __LINE__, #condition)
static bool holds(bool held, int line, const char *text) { return held || check_that(false, __FILE__, line, text); }

struct held {
    unsigned char *bytes;
    size_t size;
    unsigned char fill;
};

/* A place is taken by exchanging its word for 0; a thread that finds 0 makes a new block. */
static struct held *places[PLACES];
static double stop_at;

static bool intact(const struct held *held) {
    /* Both ends, and samples between. */
    for (size_t i = 0; i < held->size; i += i < 64 || held->size - i < 64 ? 1 : 61) {
        if (held->bytes[i] != held->fill) return false;
    }
    return true;
}

static size_t size_random(uint64_t *state) {
    uint64_t r = thread_random(state);
    switch (r % 64) {
    case 0:
        return (r >> 8) % 2000000;
    case 1:
    case 2:
        return (r >> 8) % 100000;
    case 3:
    case 4:
    case 5:
    case 6:
        return (r >> 8) % 9000;
    default:
        return (r >> 8) % 700;
    }
}

static struct held *held_make(uint64_t *state) {
    struct held *held = malloc(sizeof *held);
    if (held == NULL) return NULL;
    held->size = size_random(state);
    held->fill = (unsigned char)(thread_random(state) | 1);
    size_t align = (size_t)16 << thread_random(state) % 10;
    switch (thread_random(state) % 4) {
    case 0:
        held->bytes = calloc(1, held->size);
        for (size_t i = 0; held->bytes != NULL && i < held->size; i += i < 64 ? 1 : 61) HOLDS(held->bytes[i] == 0);
        break;
    case 1:
        held->bytes = aligned_alloc(align, held->size);
        HOLDS((uintptr_t)held->bytes % align == 0);
        break;
    default:
        held->bytes = malloc(held->size);
    }
    if (HOLDS(held->bytes != NULL)) memset(held->bytes, held->fill, held->size);
    return held;
}

static bool held_move(struct held *held, uint64_t *state) {
    size_t size = size_random(state) + 1, least = size < held->size ? size : held->size;
    unsigned char *moved = realloc(held->bytes, size);
    if (!HOLDS(moved != NULL)) return false;
    held->bytes = moved;
    held->size = least;
    HOLDS(intact(held));
    held->size = size;
    memset(moved, held->fill, size);
    return true;
}

static void *work(void *context) {
    uint64_t state = (uint64_t)(uintptr_t)context * 7919;
    for (unsigned n = 0; n % 256 != 0 || thread_seconds() < stop_at; n++) {
        struct held **place = &places[thread_random(&state) % PLACES];
        struct held *held = __atomic_exchange_n(place, NULL, __ATOMIC_ACQ_REL);
        if (held == NULL) {
            held = held_make(&state);
        } else {
            HOLDS(intact(held) && malloc_usable_size(held->bytes) >= held->size);
            if (thread_random(&state) % 4 == 0) {
                held_move(held, &state);
            } else {
                free(held->bytes);
                free(held);
                held = NULL;
            }
        }
        held = __atomic_exchange_n(place, held, __ATOMIC_ACQ_REL);
        if (held != NULL) { /* somebody else has put one there meanwhile */
            HOLDS(intact(held));
            free(held->bytes);
            free(held);
        }
    }
    return NULL;
}

int main(void) {
    const char *seconds = getenv("HOSTMEM_TEST_SECONDS");
    struct threads threads = {0};
    CHECK(touches_are_small()); /* or a few blocks keep some pages of 2 MiB */
    size_t before = resident_bytes();
    stop_at = thread_seconds() + (seconds != NULL ? atof(seconds) : 3);
    for (uintptr_t i = 0; i < THREADS; i++) threads_start(&threads, work, (void *)(i + 1));
    threads_join(&threads);
    size_t during = resident_bytes();
    for (size_t i = 0; i < PLACES; i++) {
        if (places[i] == NULL) continue;
        CHECK(intact(places[i]));
        free(places[i]->bytes);
        free(places[i]);
    }
    malloc_trim(0);
    size_t after = resident_bytes();
    CHECK(before > 0 && during > before);
    if (!CHECK(after < before + ((size_t)8 << 20))) printf("resident: %zu, %zu, %zu\n", before, during, after);
    return check_done();
}

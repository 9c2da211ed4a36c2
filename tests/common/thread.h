/*
 * thread.h - threads for tests, on both systems: POSIX threads, which mingw-w64 has in winpthreads (link with -pthread).
 */
#ifndef HM_TEST_THREAD_H
#define HM_TEST_THREAD_H

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define THREADS_AT_MOST 64

struct threads {
    int count;
    pthread_t ids[THREADS_AT_MOST];
};

/* One thread more, running body(context). */
static inline void threads_start(struct threads *threads, void *(*body)(void *context), void *context) {
    if (threads->count == THREADS_AT_MOST || pthread_create(&threads->ids[threads->count], NULL, body, context) != 0) {
        fprintf(stderr, "thread.h: cannot start a thread\n");
        exit(1);
    }
    threads->count++;
}

/* Waits for all of them. */
static inline void threads_join(struct threads *threads) {
    for (int i = 0; i < threads->count; i++) pthread_join(threads->ids[i], NULL);
    threads->count = 0;
}

/* Seconds of a clock that only goes forward. */
static inline double thread_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static inline void thread_rest(double seconds) {
    nanosleep(&(struct timespec){.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)}, NULL);
}

/* A pseudo-random sequence (splitmix64); give each thread its own state. */
static inline uint64_t thread_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

#endif

/*
 * fork.c - children made while eight threads are inside the allocator can allocate and free at once. Run with the malloc
 * drop-in preloaded.
 */
#define _GNU_SOURCE
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "thread.h"

#define THREADS 8
#define FORKS 200
#define FORKS_LEAST 40 /* on a machine that has much else to do */
#define SECONDS_AT_MOST 40

static bool stop;

static void *churn(void *context) {
    uint64_t state = (uint64_t)(uintptr_t)context;
    void *held[64] = {NULL};
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        size_t i = thread_random(&state) % 64;
        free(held[i]);
        uint64_t r = thread_random(&state);
        held[i] = r % 16 == 0 ? malloc(r % 300000) : malloc(r % 2000);
        if (held[i] != NULL) memset(held[i], 1, 1);
    }
    for (size_t i = 0; i < 64; i++) free(held[i]);
    return NULL;
}

static void *child_thread(void *context) {
    void *block = malloc(5000);
    *(void **)context = block;
    return NULL;
}

static void child(void *inherited) {
    void *held[400];
    struct threads threads = {0};
    alarm(20); /* a child that waits for a thread which it does not have ends by SIGALRM */
    free(inherited);
    for (size_t i = 0; i < 400; i++) {
        held[i] = malloc(i * i);
        if (held[i] == NULL) _exit(2);
        memset(held[i], 0x77, i * i);
    }
    for (size_t i = 0; i < 400; i++) free(held[i]);
    threads_start(&threads, child_thread, &held[0]);
    threads_join(&threads);
    free(held[0]);
    _exit(0);
}

int main(void) {
    struct threads threads = {0};
    double give_up = thread_seconds() + SECONDS_AT_MOST;
    for (uintptr_t i = 0; i < THREADS; i++) threads_start(&threads, churn, (void *)(i + 1));
    int made = 0;
    for (; made < FORKS && thread_seconds() < give_up; made++) {
        void *inherited = malloc(3000);
        int status = -1;
        pid_t pid = fork();
        if (pid == 0) child(inherited);
        free(inherited);
        if (!CHECK(pid > 0) || !CHECK(waitpid(pid, &status, 0) == pid) || !CHECK_EQ(status, 0)) break;
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    threads_join(&threads);
    CHECK(made >= FORKS_LEAST);
    return check_done();
}

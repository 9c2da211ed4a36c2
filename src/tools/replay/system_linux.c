/*
 * system_linux.c - what the replay asks of Linux beside the memory under test.
 *
 * Stand-ins for images and other memory that the trace did not allocate are private mappings of a file without a name, as a
 * loader's are: write-copy protections have a meaning there.
 */
#ifndef _WIN32
#define _GNU_SOURCE /* memfd_create */
#include "tools/replay/memory.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void *system_map(size_t size) {
    int file = memfd_create("stand-in", MFD_CLOEXEC);
    if (file < 0) return NULL;
    void *got = MAP_FAILED;
    if (ftruncate(file, (off_t)size) == 0) got = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, file, 0);
    close(file); /* the mapping keeps it */
    return got == MAP_FAILED ? NULL : got;
}

void system_unmap(void *address, size_t size) { munmap(address, size); }

bool system_occupy(uint64_t address, size_t size) {
    void *wanted = (void *)(uintptr_t)address;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
    void *got = mmap(wanted, size, PROT_NONE, flags, -1, 0);
    if (got == MAP_FAILED) return false;
    if (got == wanted) return true;
    munmap(got, size); /* a kernel older than MAP_FIXED_NOREPLACE */
    return false;
}

void system_vacate(uint64_t address, size_t size) { munmap((void *)(uintptr_t)address, size); }

struct system_thread {
    pthread_t handle;
    void (*body)(void *);
    void *argument;
};

static void *thread_main(void *argument) {
    struct system_thread *thread = argument;
    thread->body(thread->argument);
    return NULL;
}

struct system_thread *system_thread_start(void (*body)(void *), void *argument) {
    struct system_thread *thread = calloc(1, sizeof *thread);
    if (thread == NULL) return NULL;
    thread->body = body;
    thread->argument = argument;
    if (pthread_create(&thread->handle, NULL, thread_main, thread) == 0) return thread;
    free(thread);
    return NULL;
}

void system_thread_join(struct system_thread *thread) {
    pthread_join(thread->handle, NULL);
    free(thread);
}

struct system_gate {
    sem_t semaphore;
};

struct system_gate *system_gate_make(void) {
    struct system_gate *gate = calloc(1, sizeof *gate);
    if (gate != NULL) sem_init(&gate->semaphore, 0, 0);
    return gate;
}

void system_gate_open(struct system_gate *gate) { sem_post(&gate->semaphore); }

void system_gate_wait(struct system_gate *gate) {
    while (sem_wait(&gate->semaphore) != 0) {
        /* a signal came between */
    }
}

static void (*fault_report)(const void *address);

static void fault_handler(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    fault_report(info->si_addr);
}

void system_on_fault(void (*report)(const void *address)) {
    fault_report = report;
    struct sigaction action = {.sa_sigaction = fault_handler, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}
#endif

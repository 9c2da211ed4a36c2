/*
 * linux_thread.c - the engine's one thread, what it waits on, and the barrier that it can put into all other threads. Layer: os.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/atom.h"
#include "os/os.h"

#define STACK_BYTES ((size_t)256 << 10)

/* ---- The thread --------------------------------------------------------------------------------------------------- */

static void *thread_main(void *argument) {
    void (*run)(void) = (void (*)(void))argument;
    pthread_setname_np(pthread_self(), "hostmem");
    run();
    return NULL;
}

bool os_thread_start(void (*run)(void)) {
    int kept = errno;
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    if (pthread_attr_init(&attributes)) return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    /* The program's signals are not for it. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&thread, &attributes, thread_main, (void *)run) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    errno = kept;
    return started;
}

static uint32_t nap_word; /* counts the calls of os_nap_end */

void os_nap(unsigned timeout_ms) {
    int kept = errno;
    uint32_t seen = atom_load_acq_u32(&nap_word); /* acq: what was written before os_nap_end is seen after the nap */
    struct timespec time = {.tv_sec = timeout_ms / 1000, .tv_nsec = (long)(timeout_ms % 1000) * 1000000};
    static uint32_t slept;
    if (seen == slept) syscall(SYS_futex, &nap_word, FUTEX_WAIT_PRIVATE, seen, timeout_ms ? &time : NULL, NULL, 0);
    slept = atom_load_acq_u32(&nap_word);
    errno = kept;
}

void os_nap_end(void) {
    int kept = errno;
    atom_add_acqrel_u32(&nap_word, 1);
    syscall(SYS_futex, &nap_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    errno = kept;
}

/* ---- Fork --------------------------------------------------------------------------------------------------------- */

static uint64_t fork_told; /* void (*)(void) */

static void in_child(void) {
    void (*told)(void) = (void (*)(void))(uintptr_t)atom_load_acq_u64(&fork_told); /* acq: pairs with os_at_fork */
    if (told) told();
}

/* Now, not when it is first needed: the C library keeps its list under a lock, under which it allocates. */
__attribute__((constructor)) static void at_fork_register(void) { pthread_atfork(NULL, NULL, in_child); }

void os_at_fork(void (*told)(void)) { atom_store_rel_u64(&fork_told, (uint64_t)(uintptr_t)told); }

/* ---- The barrier -------------------------------------------------------------------------------------------------- */

/*
 * Where the kernel has no membarrier: taking a page away that is in use makes it interrupt every processor that runs the
 * process, to have it forget the page.
 */
static void barrier_by_page(void) {
    static _Alignas(PAGE_BYTES) uint8_t page[PAGE_BYTES];
    mprotect(page, PAGE_BYTES, PROT_READ | PROT_WRITE);
    atom_store_rel_u8(page, 1);
    mprotect(page, PAGE_BYTES, PROT_READ);
}

void os_barrier(void) {
    static uint32_t ready; /* 1: registered; the keeper alone calls */
    int kept = errno;
    if (!ready) ready = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0) barrier_by_page();
    errno = kept;
}

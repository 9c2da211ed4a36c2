/*
 * collect.c - what a notification of little memory does: the CLR collects.
 *
 * A CLR with hosting wakes its finalizer thread on OnMemoryNotification(Low), which then collects. In this CLR that part is
 * compiled out; but it offers System.GC.Collect through coreclr_create_delegate, its public way in for hosts, and a call
 * through such a delegate makes the calling thread one of the CLR's. So a thread of this tool's stands in for the finalizer
 * thread: it sleeps until it is poked, and collects. A poke never waits; pokes during a collection ask for one more.
 */
#include "tools/clr/clr.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>

#include "base/atom.h"

static sem_t collect_wanted;
static void (*collect_entry)(int generation, int mode);
static uint32_t collect_pending;
static uint32_t collect_done;

static void *collect_run(void *context) {
    (void)context;
    for (;;) {
        while (sem_wait(&collect_wanted) != 0 && errno == EINTR) {
        }
        /* acq, rel: a poke from here on asks for one more collection. */
        atom_store_rel_u32(&collect_pending, 0);
        collect_entry(-1, 2);
        atom_add_acqrel_u32(&collect_done, 1);
    }
    return NULL;
}

bool collect_start(void (*entry)(int generation, int mode)) {
    pthread_t thread;
    collect_entry = entry;
    if (sem_init(&collect_wanted, 0, 0) != 0 || pthread_create(&thread, NULL, collect_run, NULL) != 0) return false;
    pthread_detach(thread);
    return true;
}

void collect_poke(void) {
    uint32_t none = 0;
    if (collect_entry != NULL && atom_cas_acqrel_u32(&collect_pending, &none, 1)) sem_post(&collect_wanted);
}

uint64_t collect_count(void) {
    return atom_load_rlx_u32(&collect_done); /* rlx: a figure */
}

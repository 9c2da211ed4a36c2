/*
 * heap_lock.c - HeapLock and HeapUnlock of the engine's heaps.
 *
 * The engine's own calls wait for nobody, so these two exclude each other's callers, and nothing else. A heap has its lock from
 * its first HeapLock on, in a table where it is found by the heap's address; it stays there for later heaps at that address.
 *
 * Any thread. Where others were ended while they held a lock, as at the process's end, nobody waits any more.
 */
#include "dropin/redirect/redirect.h"

#include "base/atom.h"
#include "os/os.h"

enum { LOCKS = 1024 };

struct heap_lock {
    uint64_t heap; /* 0: nobody's yet */
    SRWLOCK lock;
    uint32_t owner; /* a thread's number; only the owner finds its own here */
    uint32_t depth; /* the owner's */
};
static struct heap_lock locks[LOCKS];

/* NULL: it was never locked; or, to be made, more heaps were than the table has places. */
static struct heap_lock *lock_find(const void *heap, bool make) {
    for (size_t i = 0; i < LOCKS; i++) {
        struct heap_lock *lock = &locks[(((uintptr_t)heap >> 6) + i) % LOCKS];
        uint64_t seen = atom_load_acq_u64(&lock->heap); /* acq: pairs with the CAS */
        if (seen == 0 && !make) return NULL;
        if (seen == 0 && atom_cas_acqrel_u64(&lock->heap, &seen, (uintptr_t)heap)) return lock; /* acqrel: one thread wins */
        if (seen == (uintptr_t)heap) return lock;
    }
    return NULL;
}

static bool is_mine(struct heap_lock *lock) {
    return atom_load_rlx_u32(&lock->owner) == GetCurrentThreadId(); /* rlx: written by the thread itself, or another's */
}

void heap_lock_take(const void *heap) {
    struct heap_lock *lock = lock_find(heap, true);
    if (!lock) return;
    if (!is_mine(lock)) {
        if (!TryAcquireSRWLockExclusive(&lock->lock)) {
            if (os_others_ended()) return;
            AcquireSRWLockExclusive(&lock->lock);
        }
        atom_store_rlx_u32(&lock->owner, GetCurrentThreadId()); /* rlx: the lock orders it */
    }
    lock->depth++;
}

void heap_lock_leave(const void *heap) {
    struct heap_lock *lock = lock_find(heap, false);
    if (!lock || !is_mine(lock) || --lock->depth) return;
    atom_store_rlx_u32(&lock->owner, 0); /* rlx: the lock orders it */
    ReleaseSRWLockExclusive(&lock->lock);
}

void heap_lock_drop(const void *heap) {
    struct heap_lock *lock = lock_find(heap, false);
    if (!lock) return;
    atom_store_rlx_u32(&lock->owner, 0); /* rlx: nobody may use the heap any more */
    lock->depth = 0;
    InitializeSRWLock(&lock->lock);
}

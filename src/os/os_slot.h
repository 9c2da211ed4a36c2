/*
 * os_slot.h - pointers of the running thread's own, reached in one or two instructions. Part of the os layer's contract.
 *
 * On Linux they are thread-local variables of the initial-exec model. On Windows they are the first TlsAlloc slots that the
 * engine got, read straight from the thread's environment block, since mingw's thread-local variables cost a call. Where the
 * process had used up the block's 64 slots before, there are none: os_slots_there() is false and they read as unset.
 *
 * A slot that the thread has not set yet points to os_slot_unset, so that what a slot points to can be read without a test.
 */
#ifndef HM_OS_SLOT_H
#define HM_OS_SLOT_H

#include "base/atom.h"
#include "base/base.h"

enum { OS_SLOT_CACHE, OS_SLOT_ASKER, OS_SLOT_COUNT };

extern HM_HIDDEN uint64_t os_slot_unset[8]; /* all 0, and never written */

#ifdef _WIN32
/*
 * From the block's start. OS_SLOT_NONE, while there is no slot, is the place of a word that is NULL in every thread: what the
 * block keeps there is for 16-bit programs, which no 64-bit Windows runs. So reading needs no test for it.
 */
#define OS_SLOT_NONE 0x1690u
extern HM_HIDDEN uint32_t os_slot_offset[OS_SLOT_COUNT];

static inline void *os_slot_get(unsigned slot) {
    void *value;
    __asm__ volatile("movq %%gs:(%q1), %0" : "=r"(value) : "r"((uint64_t)os_slot_offset[slot]));
    /* Its address comes from an instruction that the compiler cannot make a part of the plain way. */
    if (__builtin_expect(value == NULL, 0)) __asm__ volatile("leaq %1, %0" : "=r"(value) : "m"(os_slot_unset));
    return value;
}

static inline void os_slot_set(unsigned slot, void *value) {
    uint32_t offset = os_slot_offset[slot];
    if (offset != OS_SLOT_NONE) __asm__ volatile("movq %0, %%gs:(%q1)" : : "r"(value), "r"((uint64_t)offset) : "memory");
}
#else
extern HM_HIDDEN __thread void *os_slot_value[OS_SLOT_COUNT] __attribute__((tls_model("initial-exec")));

static inline void *os_slot_get(unsigned slot) { return *(void *volatile *)&os_slot_value[slot]; }

/* A signal handler of the same thread reads what the interrupted code has written, in the order written. */
static inline void os_slot_set(unsigned slot, void *value) {
    atom_signal_fence();
    *(void *volatile *)&os_slot_value[slot] = value;
    atom_signal_fence();
}
#endif

/* Can threads have values in the slots? Makes them ready at the first call. */
bool os_slots_there(void);

/*
 * Has on_exit(value) called by the current thread when it ends. One on_exit for the process; a thread may ask again from
 * within it. False: nobody will call.
 */
bool os_at_thread_exit(void (*on_exit)(void *value), void *value);

/* Is the thread one of fibers (Windows)? Then on_exit may be told of a fiber's end, and the thread goes on. */
bool os_has_fibers(void);

#endif

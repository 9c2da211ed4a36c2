/*
 * windows_host.h - what the Linux below Wine can do, for windows.c. Layer: os.
 */
#ifndef HM_WINDOWS_HOST_H
#define HM_WINDOWS_HOST_H

#include "base/base.h"

#if defined(__x86_64__)

/* Linux's numbers. */
enum { CALL_OPEN = 2, CALL_CLOSE = 3, CALL_PWRITE = 18, CALL_MINCORE = 27, CALL_MADVISE = 28, CALL_CLOCK_GETTIME = 228,
       CALL_MEMBARRIER = 324 };

/* A system call to the Linux below, once host_look has found one. Anything from -4095 to -1 is an error. */
static inline int64_t linux_call6(int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f) {
    register uint64_t fourth __asm__("r10") = d, fifth __asm__("r8") = e, sixth __asm__("r9") = f;
    int64_t result;
    __asm__ volatile("syscall"
                     : "=a"(result), "+r"(fourth), "+r"(fifth), "+r"(sixth)
                     : "a"(number), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return result;
}

static inline int64_t linux_call(int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
    return linux_call6(number, a, b, c, d, 0, 0);
}

#endif

/* Finds out what is below. Once, before the first call of the next, by a thread that holds no lock of anybody's. */
void host_look(void);

/* os_back, under Wine on Linux; ST_NOT_SUPPORTED on Windows. */
enum status host_back(uintptr_t address);

#endif

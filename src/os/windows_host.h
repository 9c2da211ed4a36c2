/*
 * windows_host.h - what the Linux below Wine can do, for its neighbours. Layer: os.
 */
#ifndef HM_WINDOWS_HOST_H
#define HM_WINDOWS_HOST_H

#include "base/base.h"
#include "os/os_faults.h"

/* Linux's numbers. */
enum { CALL_OPEN = 2, CALL_CLOSE = 3, CALL_MMAP = 9, CALL_MPROTECT = 10, CALL_MUNMAP = 11, CALL_IOCTL = 16, CALL_PWRITE = 18,
       CALL_MINCORE = 27, CALL_MADVISE = 28, CALL_MUNLOCK = 150, CALL_CLOCK_GETTIME = 228, CALL_USERFAULTFD = 323,
       CALL_MEMBARRIER = 324 };

/* A system call to the Linux below, where host_linux(). Anything from -4095 to -1 is an error. */
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

/* Do system calls reach a Linux below? Always the same answer, from the first time it is asked. */
bool host_linux(void);

/* And is what VirtualAlloc reserves now memory of Wine's? */
bool host_reserves(void);

extern HM_HIDDEN const struct faults_calls host_faults;

/*
 * Memory. The functions are those of os.h without the prefix, and may be called where host_linux(). The ones that change what
 * a page is may be called for a range where host_owns() only: there Wine believes that all of it is committed and read-write.
 */
bool host_owns(uintptr_t address, size_t size);

/* From now on Wine is told of all changes to these pages, and of those in their 4 GiB. */
void host_tell(uintptr_t address, size_t size);

/* A free place for a reservation; another thread may take it before the caller does. 0: there is none. */
uintptr_t host_find(size_t size, size_t align);

/* Takes access away from a new reservation, which is committed read-write to Wine. False: it cannot be. */
bool host_own(uintptr_t address, size_t size);

enum status host_commit(uintptr_t address, size_t size, uint8_t state);
enum status host_decommit(uintptr_t address, size_t size);
enum status host_hold(uintptr_t address, size_t size, bool often);
bool host_open_table(void *start, size_t size);

/* Of any memory of the engine. */
bool host_discard(uintptr_t address, size_t size); /* false: nothing was done */
enum status host_back(uintptr_t address);
bool host_bring(uintptr_t address, size_t size, uintptr_t reserved, size_t reserved_size);
size_t host_touched(uintptr_t address, size_t size);

#endif

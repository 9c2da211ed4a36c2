/*
 * linux_back.c - memory behind pages: bringing it before they may be touched, and looking whether there is any.
 *
 * A growing heap costs a page fault for every 4 KiB. One fault that brings 2 MiB costs less than half as much in all, but
 * only a mapping that may be accessed takes faults, and for pages that are not committed that would be a moment in which a
 * wild access does not fault. The kernel itself is not bound by that: a write through /proc/self/mem reaches a private
 * mapping whatever its protection is, and brings the memory in. So one byte, zero, is written into a block that has been told
 * to use a large page. The file is opened each time: one that is kept would lead a forked child into its parent's memory. Where
 * it cannot be opened, or the kernel has no large page to give, the answer is no.
 *
 * Then memory comes with each commit: as copies of zeros (os_faults.h), for two thirds of what faults would cost, else by
 * MADV_POPULATE_WRITE, which saves less and keeps others from committing meanwhile. The copies' file has to be kept, at a number
 * that programs do not count on; it stands where a forked child does not see it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "os/linux_files.h"
#include "os/os.h"
#include "os/os_faults.h"
#include "os/os_price.h"

/* Is the block's last page there, although only the first was written? */
static bool block_is_whole(uintptr_t address) {
    unsigned char there = 0;
    uintptr_t last = address + OS_BLOCK_BYTES - PAGE_BYTES;
    return mincore((void *)last, PAGE_BYTES, &there) == 0 && there & 1;
}

static enum status block_bring(uintptr_t address) {
    void *start = (void *)address;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    int fd = linux_open("/proc/self/mem", O_WRONLY);
    if (fd < 0) return ST_NOT_SUPPORTED;
    /* A new mapping, since a large page cannot go where small ones have been. */
    bool mapped = mmap(start, OS_BLOCK_BYTES, PROT_NONE, flags, -1, 0) != MAP_FAILED;
    bool ready = mapped && madvise(start, OS_BLOCK_BYTES, MADV_HUGEPAGE) == 0;
    bool brought = ready && syscall(SYS_pwrite64, fd, "", (size_t)1, address) == 1;
    linux_close(fd);
    if (brought && block_is_whole(address)) return ST_OK;
    /* Whatever has come is of no use. Where even this fails, it is one page that reads as zero. */
    if (mapped) mmap(start, OS_BLOCK_BYTES, PROT_NONE, flags, -1, 0);
    return brought ? ST_NOT_SUPPORTED : ST_NO_MEMORY;
}

static uint32_t large_left = PRICE_LEFT_FIRST;

#ifdef HM_FAULT
bool os_linux_any_price, os_linux_no_faults;
#else
static const bool os_linux_any_price = false, os_linux_no_faults = false;
#endif

static int64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

enum status OS_FUNCTION(back)(uintptr_t address) {
    if (price_skip(&large_left) && !os_linux_any_price) return ST_NOT_SUPPORTED;
    int kept = errno;
    int64_t start_ns = clock_ns();
    enum status status = block_bring(address);
    price_pay(&large_left, status == ST_OK ? price_blocks(clock_ns() - start_ns) : PRICE_REFUSED);
    errno = kept;
    return status;
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* What faults_kept keeps, in a page that is zero again in the child of each fork, where the file would still be the parent's. */
static _Alignas(PAGE_BYTES) struct {
    uint64_t file;
    uint8_t rest[PAGE_BYTES - sizeof(uint64_t)];
} bring;

static int64_t bring_open(int flags) {
    if (madvise(&bring, sizeof bring, MADV_WIPEONFORK) != 0) return -1;
    return linux_file_aside((int)syscall(SYS_userfaultfd, flags), true);
}

static int64_t bring_ask(uint64_t file, uint64_t request, void *argument) {
    return ioctl((int)file, request, argument) == 0 ? 0 : -errno;
}

static void bring_close(uint64_t file) { linux_close((int)file); }

static uint32_t bring_mark(uint64_t file) { return (uint32_t)(linux_file_mark((int)file) >> 32); }

bool OS_FUNCTION(bring)(uintptr_t address, size_t size, uintptr_t reserved, size_t reserved_size) {
    static const struct faults_calls calls = {bring_open, bring_ask, bring_close, bring_mark};
    int kept = errno;
    uint64_t file = os_linux_no_faults ? FAULTS_NO_FILE : faults_kept(&calls, &bring.file);
    size_t done = faults_bring(&calls, file, address, size, reserved, reserved_size);
    if (done < size) madvise((void *)(address + done), size - done, MADV_POPULATE_WRITE);
    errno = kept;
    return done == size;
}

static uint32_t touched_forgone;

void OS_FUNCTION(touched_forgo)(void) { atom_store_rlx_u32(&touched_forgone, 1); /* rlx: by who will be ended, not by others */ }

size_t OS_FUNCTION(touched)(uintptr_t address, size_t size) {
    unsigned char there[OS_TOUCHED_PAGES];
    size_t looked = size / PAGE_BYTES < sizeof there ? size / PAGE_BYTES : sizeof there, count = 0;
    if (atom_load_rlx_u32(&touched_forgone)) return looked; /* rlx: as above */
    int kept = errno;
    bool failed = mincore((void *)address, looked * PAGE_BYTES, there) != 0;
    errno = kept;
    for (size_t i = 0; i < looked && !failed; i++) count += there[i] & 1;
    return failed ? looked : count;
}

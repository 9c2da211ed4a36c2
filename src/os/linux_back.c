/*
 * linux_back.c - memory behind pages: bringing it before they may be touched, and looking whether there is any.
 *
 * A growing heap costs a page fault for every 4 KiB. One fault that brings 2 MiB costs less than half as much in all, but
 * only a mapping that may be accessed takes faults, and for pages that are not committed that would be a moment in which a
 * wild access does not fault. The kernel itself is not bound by that: a write through /proc/self/mem reaches a private
 * mapping whatever its protection is, and brings the memory in. So one byte, zero, is written into a block that has been told
 * to use a large page.
 *
 * The file is opened each time: one that is kept would lead a forked child into its parent's memory. Where it cannot be
 * opened, or the kernel has no large page to give, the answer is no.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/atom.h"
#include "os/os.h"

/* Is the block's last page there, although only the first was written? */
static bool block_is_whole(uintptr_t address) {
    unsigned char there = 0;
    uintptr_t last = address + OS_BLOCK_BYTES - PAGE_BYTES;
    return mincore((void *)last, PAGE_BYTES, &there) == 0 && there & 1;
}

static enum status block_bring(uintptr_t address) {
    void *start = (void *)address;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    int fd = open("/proc/self/mem", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return ST_NOT_SUPPORTED;
    /* A new mapping, since a large page cannot go where small ones have been. */
    bool mapped = mmap(start, OS_BLOCK_BYTES, PROT_NONE, flags, -1, 0) != MAP_FAILED;
    bool brought = mapped && madvise(start, OS_BLOCK_BYTES, MADV_HUGEPAGE) == 0 && pwrite(fd, "", 1, (off_t)address) == 1;
    close(fd);
    if (brought && block_is_whole(address)) return ST_OK;
    /* Whatever has come is of no use. Where even this fails, it is one page that reads as zero. */
    if (mapped) mmap(start, OS_BLOCK_BYTES, PROT_NONE, flags, -1, 0);
    return brought ? ST_NOT_SUPPORTED : ST_NO_MEMORY;
}

/*
 * A large page is not always cheap: the kernel may have to make room for it first, and the host of a virtual machine may have to
 * find it, which it need not for small pages that have been in use lately (a host that is told of large free blocks takes them
 * away). What it costs is known only when it has been paid. So one that took longer than its 512 small ones would is paid off,
 * by so many blocks without that it adds a sixteenth to their time. Time is the thread's own on the processor: a thread
 * that had to wait for one says nothing about pages.
 */
#define SMALL_NS 700000 /* 512 small pages, brought by os_bring */
#define PAID_OFF_BY_NS (SMALL_NS / 16)
#define SKIP_MOST 1024
#define SKIP_FIRST 8 /* in a process that hardly grows nothing is tried */
#define SKIP_REFUSED 64

#ifdef HM_FAULT
bool os_linux_any_price;
#else
static const bool os_linux_any_price = false;
#endif

static uint32_t skip_left = SKIP_FIRST;

static int64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* rlx in both: threads that are here at the same time ask once too often or too rarely. */
static bool skip_this(void) {
    uint32_t left = atom_load_rlx_u32(&skip_left);
    if (left) atom_store_rlx_u32(&skip_left, left - 1);
    return left != 0 && !os_linux_any_price;
}

static void skip_judge(bool brought, int64_t took_ns) {
    int64_t skip = brought ? (took_ns - SMALL_NS) / PAID_OFF_BY_NS : SKIP_REFUSED;
    if (skip > 0) atom_store_rlx_u32(&skip_left, skip < SKIP_MOST ? (uint32_t)skip : SKIP_MOST);
}

enum status OS_FUNCTION(back)(uintptr_t address) {
    if (skip_this()) return ST_NOT_SUPPORTED;
    int kept = errno;
    int64_t start_ns = clock_ns();
    enum status status = block_bring(address);
    skip_judge(status == ST_OK, clock_ns() - start_ns);
    errno = kept;
    return status;
}

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

void OS_FUNCTION(bring)(uintptr_t address, size_t size) {
    int kept = errno;
    madvise((void *)address, size, MADV_POPULATE_WRITE);
    errno = kept;
}

size_t OS_FUNCTION(touched)(uintptr_t address, size_t size) {
    unsigned char there[OS_TOUCHED_PAGES];
    size_t looked = size / PAGE_BYTES < sizeof there ? size / PAGE_BYTES : sizeof there, count = 0;
    int kept = errno;
    bool failed = mincore((void *)address, looked * PAGE_BYTES, there) != 0;
    errno = kept;
    for (size_t i = 0; i < looked && !failed; i++) count += there[i] & 1;
    return failed ? looked : count;
}

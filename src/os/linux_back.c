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
#include <unistd.h>

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

enum status OS_FUNCTION(back)(uintptr_t address) {
    int kept = errno;
    enum status status = block_bring(address);
    errno = kept;
    return status;
}

bool OS_FUNCTION(touched)(uintptr_t address, size_t size) {
    unsigned char there[512];
    size_t looked = size / PAGE_BYTES < sizeof there ? size / PAGE_BYTES : sizeof there, count = 0;
    int kept = errno;
    bool failed = mincore((void *)address, looked * PAGE_BYTES, there) != 0;
    errno = kept;
    for (size_t i = 0; i < looked && !failed; i++) count += there[i] & 1;
    return failed || count * 2 >= looked;
}

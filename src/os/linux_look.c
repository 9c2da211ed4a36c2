/*
 * linux_look.c - os_look.h on Linux.
 *
 * The view is a memory file: it has no name in any folder, so nothing is left of it when the process ends, and whoever wants it
 * finds it among the process's open files, where the kernel lets in the process's user and nobody else. It is moved to
 * a high number, out of the way of programs that count on low ones, and sealed against others' writing.
 *
 * Every function keeps errno, for the engine is called in the middle of other people's calls.
 */
#define _GNU_SOURCE
#include "os/os_look.h"

#include "base/atom.h"
#include "base/published.h"
#include "os/linux_files.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* ---- Code --------------------------------------------------------------------------------------------------------- */

unsigned os_backtrace(const void *from, void **frames, unsigned most) {
    void *all[64];
    unsigned before = 6; /* the engine's own, at most */
    int kept = errno, count = backtrace(all, (int)(most + before < 64 ? most + before : 64));
    errno = kept;
    unsigned first = 0, held = count > 0 ? (unsigned)count : 0;
    while (first < held && all[first] != from) first++;
    if (first == held) first = 0;
    held = held - first < most ? held - first : most;
    memcpy(frames, all + first, held * sizeof *frames);
    return held;
}

void os_describe_code(const void *address, char *text, size_t room) {
    Dl_info info;
    int kept = errno;
    if (dladdr(address, &info) == 0 || info.dli_fname == NULL) {
        snprintf(text, room, "%p", address);
    } else {
        const char *slash = strrchr(info.dli_fname, '/');
        size_t offset = (size_t)((const char *)address - (const char *)info.dli_fbase);
        int length = snprintf(text, room, "%s+0x%zx", slash ? slash + 1 : info.dli_fname, offset);
        if (info.dli_sname != NULL && length > 0 && (size_t)length < room) {
            offset = (size_t)((const char *)address - (const char *)info.dli_saddr);
            snprintf(text + length, room - (size_t)length, " (%s+0x%zx)", info.dli_sname, offset);
        }
    }
    errno = kept;
}

/* ---- Files -------------------------------------------------------------------------------------------------------- */

bool os_file_append(const char *path, const char *text, size_t length) {
    int kept = errno;
    int fd = linux_open(path, O_WRONLY | O_CREAT | O_APPEND);
    while (fd >= 0 && length > 0) {
        ssize_t written = linux_write(fd, text, length);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) break;
        text += written;
        length -= (size_t)written;
    }
    if (fd >= 0) linux_close(fd);
    errno = kept;
    return fd >= 0 && length == 0;
}

/* ---- The process -------------------------------------------------------------------------------------------------- */

void os_sleep_ms(uint64_t ms) {
    struct timespec time = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

uint64_t os_thread_used_ms(void) {
    struct timespec used = {0};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000 + (uint64_t)used.tv_nsec / 1000000;
}

uint64_t os_process_number(void) { return (uint64_t)getpid(); }

void os_process_name(char *text, size_t room) { snprintf(text, room, "%s", program_invocation_short_name); }

void os_on_fork(void (*body)(void)) { pthread_atfork(NULL, NULL, body); }

/* ---- The view ----------------------------------------------------------------------------------------------------- */

static int view_file = -1;
static ino_t view_inode;

void *os_view_make(size_t size) {
    struct stat stat;
    void *view = MAP_FAILED;
    int kept = errno;
    int fd = memfd_create(PUBLISHED_FILE, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0) fd = linux_file_aside(fd, false);
    if (fd >= 0 && fchmod(fd, 0600) == 0 && ftruncate(fd, (off_t)size) == 0 && fstat(fd, &stat) == 0) {
        view = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    }
    if (view != MAP_FAILED) {
        /* Kernels before 5.1 do not know the last one: then others of this user could write, as they could to its memory. */
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE) != 0) {
            fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
        }
        view_file = fd;
        view_inode = stat.st_ino;
    } else if (fd >= 0) {
        linux_close(fd);
    }
    errno = kept;
    return view == MAP_FAILED ? NULL : view;
}

bool os_view_reachable(void) {
    struct stat stat;
    int kept = errno;
    bool same = view_file >= 0 && fstat(view_file, &stat) == 0 && stat.st_ino == view_inode;
    errno = kept;
    return same;
}

void os_view_drop(void *view, size_t size) {
    int kept = errno;
    if (os_view_reachable()) linux_close(view_file);
    view_file = -1;
    munmap(view, size);
    errno = kept;
}

/*
 * linux_files.c - see linux_files.h. System calls into the caller's buffer; any thread.
 */
#define _GNU_SOURCE
#include "os/linux_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILE_HIGH 1000
#define FILE_AT_ONCE 48 /* of the 64 for which there is room in any process */

/* Where /proc and /sys are; tests put a folder with made-up files in its place. */
#ifdef HM_FAULT
const char *os_linux_root = "";
#else
static const char *const os_linux_root = "";
#endif

int linux_open(const char *path, int flags) { return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0644); }

ssize_t linux_read(int fd, void *text, size_t room) { return syscall(SYS_read, fd, text, room); }

ssize_t linux_write(int fd, const void *text, size_t length) { return syscall(SYS_write, fd, text, length); }

void linux_close(int fd) { syscall(SYS_close, fd); }

bool linux_path(const char *path, char full[LINUX_PATH_MOST]) {
    return (size_t)snprintf(full, LINUX_PATH_MOST, "%s%s", os_linux_root, path) < LINUX_PATH_MOST;
}

static bool text_of(const char *full, char *text, size_t room) {
    text[0] = 0;
    int fd = linux_open(full, O_RDONLY);
    if (fd < 0) return false;
    size_t held = 0;
    while (held < room - 1) {
        ssize_t got = linux_read(fd, text + held, room - 1 - held);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        held += (size_t)got;
    }
    text[held] = 0;
    linux_close(fd);
    return held > 0;
}

bool linux_file_text(const char *path, char *text, size_t room) {
    char full[LINUX_PATH_MOST];
    text[0] = 0;
    return linux_path(path, full) && text_of(full, text, room);
}

int linux_file_aside(int fd, bool at_once) {
    struct rlimit limit;
    int high = at_once ? FILE_AT_ONCE : FILE_HIGH, from = high;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur <= (rlim_t)high) from = (int)(limit.rlim_cur * 3 / 4);
    int moved = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, from);
    if (moved < 0) return fd;
    linux_close(fd);
    return moved;
}

uint64_t linux_file_mark(int fd) {
    struct stat stat;
    if (fd < 0 || fstat(fd, &stat) != 0) return 0;
    return (((uint64_t)stat.st_dev << 40 ^ (uint64_t)stat.st_mode << 44 ^ stat.st_ino) * 0x9e3779b97f4a7c15u) | 1;
}

bool linux_inotify_mark(int fd, char mark[LINUX_MARK_ROOM]) {
    char path[64], text[512];
    mark[0] = 0;
    snprintf(path, sizeof path, "/proc/thread-self/fdinfo/%d", fd); /* the real one's, in tests too */
    if (!text_of(path, text, sizeof text) && errno != ENOENT) return false;
    const char *watch = strstr(text, "inotify wd:");
    if (watch) snprintf(mark, LINUX_MARK_ROOM, "%s", watch);
    return true;
}

uint64_t linux_number_after(const char *text, const char *key, uint64_t missing) {
    size_t length = strlen(key);
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        if (strncmp(line, key, length) == 0) return strtoull(line + length, NULL, 10);
    }
    return missing;
}

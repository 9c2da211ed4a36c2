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

int linux_file_open(const char *path, int flags) {
    char full[LINUX_PATH_MOST];
    return linux_path(path, full) ? linux_open(full, flags) : -1;
}

/* What the file begins with; closes it. */
static bool text_of(int fd, char *text, size_t room) {
    text[0] = 0;
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
    return text_of(linux_file_open(path, O_RDONLY), text, room);
}

/* Reads on behind what is held. False: there is no more, or no room. */
static bool lines_read(struct linux_lines *lines) {
    size_t room = lines->room - 1 - lines->held;
    ssize_t got;
    if (room == 0) return false;
    do got = linux_read(lines->fd, lines->text + lines->held, room);
    while (got < 0 && errno == EINTR);
    lines->failed = got < 0;
    if (got > 0) lines->held += (size_t)got;
    return got > 0;
}

/* A line, or as much as fits of it or of its rest. False: there is nothing left. */
static bool line_take(struct linux_lines *lines) {
    char *end;
    lines->held -= lines->next;
    memmove(lines->text, lines->text + lines->next, lines->held);
    while ((end = memchr(lines->text, '\n', lines->held)) == NULL && lines_read(lines)) {}
    size_t length = end ? (size_t)(end - lines->text) : lines->held;
    lines->cut = !end && length == lines->room - 1;
    lines->text[length] = 0;
    lines->next = length + (end != NULL);
    return lines->next != 0;
}

char *linux_lines_next(struct linux_lines *lines) {
    bool rest;
    do {
        rest = lines->cut;
        if (!line_take(lines)) return NULL;
    } while (rest);
    return lines->text;
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
    if (!text_of(linux_open(path, O_RDONLY), text, sizeof text) && errno != ENOENT) return false;
    const char *watch = strstr(text, "inotify wd:");
    if (watch) snprintf(mark, LINUX_MARK_ROOM, "%s", watch);
    return true;
}

uint64_t linux_number_after(const char *text, const char *key) {
    size_t length = strlen(key);
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        if (strncmp(line, key, length) == 0) return strtoull(line + length, NULL, 10);
    }
    return 0;
}

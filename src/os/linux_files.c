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
#include <unistd.h>

#ifdef HM_FAULT
extern const char *os_linux_root;
#else
static const char *const os_linux_root = "";
#endif

bool linux_path(const char *path, char full[LINUX_PATH_MOST]) {
    return (size_t)snprintf(full, LINUX_PATH_MOST, "%s%s", os_linux_root, path) < LINUX_PATH_MOST;
}

bool linux_file_text(const char *path, char *text, size_t room) {
    char full[LINUX_PATH_MOST];
    text[0] = 0;
    if (!linux_path(path, full)) return false;
    int fd = open(full, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    size_t held = 0;
    while (held < room - 1) {
        ssize_t got = read(fd, text + held, room - 1 - held);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        held += (size_t)got;
    }
    text[held] = 0;
    close(fd);
    return held > 0;
}

uint64_t linux_number_after(const char *text, const char *key, uint64_t missing) {
    size_t length = strlen(key);
    for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        if (strncmp(line, key, length) == 0) return strtoull(line + length, NULL, 10);
    }
    return missing;
}

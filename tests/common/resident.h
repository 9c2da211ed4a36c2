/*
 * resident.h - how much memory the process has, for tests that hold it against what they gave back. Linux; 0 elsewhere, and
 * where a sanitizer keeps books in memory as well.
 */
#ifndef TEST_RESIDENT_H
#define TEST_RESIDENT_H

#include <stddef.h>
#include <stdlib.h>

#if defined(_WIN32) || defined(HM_SANITIZED)
static inline size_t resident_bytes(void) { return 0; }
#else
#include <fcntl.h>
#include <unistd.h>

/* Allocates nothing. */
static inline size_t resident_bytes(void) {
    char text[200] = "", *rest;
    int file = open("/proc/self/statm", O_RDONLY);
    if (file < 0 || read(file, text, sizeof text - 1) <= 0) return 0;
    close(file);
    strtoul(text, &rest, 10); /* the process's size */
    return strtoul(rest, NULL, 10) * 4096;
}
#endif

#endif

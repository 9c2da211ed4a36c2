/*
 * resident.h - how much memory the process has, for tests that hold it against what they gave back (Linux; 0 elsewhere, and
 * where a sanitizer keeps books in memory as well), and how much a touch brings.
 */
#ifndef TEST_RESIDENT_H
#define TEST_RESIDENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef _WIN32
#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>
#endif

#if defined(_WIN32) || defined(HM_SANITIZED)
static inline size_t resident_bytes(void) { return 0; }
#else
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

/* From now on a touch brings a page of 4 KiB, also where the system gives 2 MiB unasked. False: that cannot be had (Wine). */
static inline bool touches_are_small(void) {
#ifdef _WIN32
    char text[100] = "";
    FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r"); /* Wine shows it; nowhere else is it there */
    if (file == NULL) return true;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    return length == 0 || strstr(text, "[always]") == NULL;
#else
    return prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0 || access("/sys/kernel/mm/transparent_hugepage", F_OK) != 0;
#endif
}

#endif

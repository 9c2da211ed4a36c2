/*
 * linux_files.h - small files of /proc and /sys, read without an allocation. Only for src/os/linux*.c.
 */
#ifndef HM_LINUX_FILES_H
#define HM_LINUX_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINUX_PATH_MOST 768

/* The path with what tests put in front of it. False: too long. */
bool linux_path(const char *path, char full[LINUX_PATH_MOST]);

/* The start of a file as a string; empty where it cannot be read. False then. */
bool linux_file_text(const char *path, char *text, size_t room);

/* The number after `key` at the start of a line, or `missing`. */
uint64_t linux_number_after(const char *text, const char *key, uint64_t missing);

#endif

/*
 * machine.h - a made-up machine: files below a folder that the os layer reads instead of the real /proc and /sys. Linux, in
 * builds with the fault layer.
 */
#ifndef TEST_MACHINE_H
#define TEST_MACHINE_H

#if !defined(_WIN32) && defined(HM_FAULT)
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "check.h"
#include "os/fault.h"

static char machine_root[] = "hostmem-machine-XXXXXX";

/* Ends the program where it cannot be had. */
static inline void machine_make(void) {
    if (!CHECK(mkdtemp(machine_root) != NULL)) exit(check_done());
}

/* From now on, or no longer, the os layer sees this machine. */
static inline void machine_show(bool shown) { os_linux_root = shown ? machine_root : ""; }

/* One of its files, to be written anew. */
static inline FILE *machine_file(const char *path) {
    char full[512];
    snprintf(full, sizeof full, "%s%s", machine_root, path);
    for (char *slash = strchr(full + strlen(machine_root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    if (!CHECK(file != NULL)) exit(check_done());
    return file;
}

static inline void machine_write(const char *path, const char *text) {
    FILE *file = machine_file(path);
    fputs(text, file);
    fclose(file);
}

/* The same at one stroke, by another file that takes its place, so that no reader meets half of it. */
static inline void machine_put(const char *path, const char *text) {
    char half[256], from[512], to[512];
    snprintf(half, sizeof half, "%s.half", path);
    machine_write(half, text);
    snprintf(from, sizeof from, "%s%s", machine_root, half);
    snprintf(to, sizeof to, "%s%s", machine_root, path);
    CHECK(rename(from, to) == 0);
}

static inline void machine_remove(void) {
    char command[100];
    machine_show(false);
    snprintf(command, sizeof command, "rm -rf '%s'", machine_root);
    CHECK_EQ(system(command), 0);
}
#endif

#endif

/*
 * linux_load.c - how much memory there is for this process: the machine's, or less where a control group says so.
 *
 * MemAvailable of /proc/meminfo is the kernel's own estimate of what can be had without swapping. Each control group from the
 * process's own up to the root may bound it further: its limit less what its members use, not counting inactive
 * file pages, which the kernel gives up first. Version 2 groups are looked at where the unified hierarchy is mounted,
 * version 1 groups at the memory controller's. Files are read with system calls into stack buffers.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "os/linux_files.h"
#include "os/os.h"

struct group_files {
    const char *root, *limit, *usage, *inactive_key;
};
static const struct group_files group_v2 = {"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "};
static const struct group_files group_v1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                                            "total_inactive_file "};

static bool group_text(const struct group_files *files, const char *group, const char *name, char *text, size_t room) {
    char path[640];
    int length = snprintf(path, sizeof path, "%s%s/%s", files->root, group, name);
    return length > 0 && (size_t)length < sizeof path && linux_file_text(path, text, room);
}

/* Tightens *memory by one group's limit, if it has one. */
static void group_apply(const struct group_files *files, const char *group, struct os_memory *memory) {
    char text[4096];
    if (!group_text(files, group, files->limit, text, sizeof text)) return;
    char *end;
    uint64_t limit = strtoull(text, &end, 10);
    if (end == text || limit >= memory->total_bytes) return; /* "max", or no tighter than what holds already */
    uint64_t usage = group_text(files, group, files->usage, text, sizeof text) ? strtoull(text, NULL, 10) : 0;
    uint64_t inactive =
        group_text(files, group, "memory.stat", text, sizeof text) ? linux_number_after(text, files->inactive_key, 0) : 0;
    uint64_t used = usage > inactive ? usage - inactive : 0;
    uint64_t available = limit > used ? limit - used : 0;
    memory->total_bytes = limit;
    if (available < memory->available_bytes) memory->available_bytes = available;
}

/* The group and every group above it. */
static void group_apply_all(const struct group_files *files, char *group, struct os_memory *memory) {
    for (;;) {
        group_apply(files, group, memory);
        char *slash = strrchr(group, '/');
        if (!slash || group[0] == 0) return;
        *slash = 0;
    }
}

/* The machine's own. Without a file, as where no descriptor is left, the kernel says what is free, and not what could be. */
static bool machine_load(struct os_memory *memory) {
    char text[4096];
    struct sysinfo info;
    if (linux_file_text("/proc/meminfo", text, sizeof text)) {
        memory->total_bytes = linux_number_after(text, "MemTotal:", 0) << 10;
        memory->available_bytes = linux_number_after(text, "MemAvailable:", 0) << 10;
        return true;
    }
    if (sysinfo(&info) != 0) return false;
    memory->total_bytes = (uint64_t)info.totalram * info.mem_unit;
    memory->available_bytes = ((uint64_t)info.freeram + info.bufferram) * info.mem_unit;
    memory->rough = true;
    return true;
}

enum status OS_FUNCTION(memory_load)(struct os_memory *memory) {
    char text[4096];
    int kept = errno;
    *memory = (struct os_memory){0};
    if (!machine_load(memory)) {
        errno = kept;
        return ST_NOT_SUPPORTED;
    }
    if (linux_file_text("/proc/self/cgroup", text, sizeof text)) {
        for (char *line = text, *next; line && *line; line = next) {
            next = strchr(line, '\n');
            if (next) *next++ = 0;
            char *group = strchr(line, ':');
            char *names = group ? group + 1 : NULL;
            group = names ? strchr(names, ':') : NULL;
            if (!group) continue;
            *group++ = 0;
            if (group[0] == '/' && group[1] == 0) group++;
            if (names[0] == 0) group_apply_all(&group_v2, group, memory);
            if (strcmp(names, "memory") == 0) group_apply_all(&group_v1, group, memory);
        }
    }
    if (memory->available_bytes > memory->total_bytes) memory->available_bytes = memory->total_bytes;
    uint64_t used = memory->total_bytes - memory->available_bytes;
    memory->load_percent = memory->total_bytes ? (unsigned)(used * 100 / memory->total_bytes) : 0;
    errno = kept;
    return ST_OK;
}

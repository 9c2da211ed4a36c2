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
#include <fcntl.h>
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

#define NAME_ROOM 640 /* of a group's file */

static bool group_name(const struct group_files *files, const char *group, const char *file, char name[NAME_ROOM]) {
    return (size_t)snprintf(name, NAME_ROOM, "%s%s/%s", files->root, group, file) < NAME_ROOM;
}

/* What a file of the group's begins with; `missing` if that is no number. */
static uint64_t group_number(const struct group_files *files, const char *group, const char *file, uint64_t missing) {
    char name[NAME_ROOM], text[64], *end;
    if (!group_name(files, group, file, name) || !linux_file_text(name, text, sizeof text)) return missing;
    uint64_t number = strtoull(text, &end, 10);
    return end == text ? missing : number;
}

static uint64_t group_inactive(const struct group_files *files, const char *group) {
    char name[NAME_ROOM], text[128];
    uint64_t inactive = 0;
    int fd = group_name(files, group, "memory.stat", name) ? linux_file_open(name, O_RDONLY) : -1;
    if (fd < 0) return 0;
    struct linux_lines lines = LINUX_LINES(text, fd);
    for (char *line; inactive == 0 && (line = linux_lines_next(&lines));) {
        inactive = linux_number_after(line, files->inactive_key);
    }
    linux_close(fd);
    return inactive;
}

/* Tightens *memory by one group's limit, if it has one: of a wider one than a group's below there may be less left. */
static void group_apply(const struct group_files *files, const char *group, struct os_memory *memory) {
    uint64_t limit = group_number(files, group, files->limit, UINT64_MAX);
    if (limit >> ADDRESS_BITS) return; /* none: "max" is no number, and version 1 has one that is too large for any machine */
    uint64_t usage = group_number(files, group, files->usage, 0), inactive = group_inactive(files, group);
    uint64_t used = usage > inactive ? usage - inactive : 0;
    uint64_t available = limit > used ? limit - used : 0;
    if (limit < memory->total_bytes) memory->total_bytes = limit;
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

/* The control groups that the process is in. */
static void groups_load(struct os_memory *memory) {
    char text[NAME_ROOM];
    int fd = linux_file_open("/proc/self/cgroup", O_RDONLY);
    if (fd < 0) return;
    struct linux_lines lines = LINUX_LINES(text, fd);
    for (char *line; (line = linux_lines_next(&lines));) {
        char *names = strchr(line, ':'), *group = names ? strchr(++names, ':') : NULL;
        if (!group || lines.cut) continue;
        *group++ = 0;
        if (group[0] == '/' && group[1] == 0) group++;
        if (names[0] == 0) group_apply_all(&group_v2, group, memory);
        if (strcmp(names, "memory") == 0) group_apply_all(&group_v1, group, memory);
    }
    linux_close(fd);
}

/* The machine's own. Without a file, as where no descriptor is left, the kernel says what is free, and not what could be. */
static bool machine_load(struct os_memory *memory) {
    char text[256]; /* three lines, of which these are two */
    struct sysinfo info;
    if (linux_file_text("/proc/meminfo", text, sizeof text)) {
        memory->total_bytes = linux_number_after(text, "MemTotal:") << 10;
        memory->available_bytes = linux_number_after(text, "MemAvailable:") << 10;
        return true;
    }
    if (sysinfo(&info) != 0) return false;
    memory->total_bytes = (uint64_t)info.totalram * info.mem_unit;
    memory->available_bytes = ((uint64_t)info.freeram + info.bufferram) * info.mem_unit;
    memory->rough = true;
    return true;
}

enum status OS_FUNCTION(memory_load)(struct os_memory *memory) {
    int kept = errno;
    *memory = (struct os_memory){0};
    if (!machine_load(memory)) {
        errno = kept;
        return ST_NOT_SUPPORTED;
    }
    groups_load(memory);
    if (memory->available_bytes > memory->total_bytes) memory->available_bytes = memory->total_bytes;
    uint64_t used = memory->total_bytes - memory->available_bytes;
    memory->load_percent = memory->total_bytes ? (unsigned)(used * 100 / memory->total_bytes) : 0;
    errno = kept;
    return ST_OK;
}

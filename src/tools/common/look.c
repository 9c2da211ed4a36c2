/*
 * look.c - finding, checking and copying a published view. See look.h and base/published.h.
 *
 * On Linux the view is a memory file among the files that the process has open: the kernel lets the process's own user (and
 * root) see those, and nobody else. On Windows it is a section with the process's number in its name, and the system's access
 * check decides.
 *
 * A copy is believed if the half's sequence was even before and is the same after. The process makes halves current in turn,
 * so it would have to write twice during one copy to spoil it.
 */
#include "tools/common/look.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/atom.h"

static char problem[256];

#define PROBLEM(...) (snprintf(problem, sizeof problem, __VA_ARGS__), problem)

#ifdef _WIN32

#include <windows.h>

void look_sleep_ms(uint64_t ms) { Sleep((DWORD)ms); }

static uint64_t clock_ms(void) { return GetTickCount64(); }

static const char *map_view(uint64_t process, struct look *look) {
    char name[64];
    HANDLE opened = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, (DWORD)process);
    if (opened == NULL && GetLastError() != ERROR_ACCESS_DENIED) return PROBLEM("there is no process %" PRIu64, process);
    if (opened != NULL) CloseHandle(opened);
    snprintf(name, sizeof name, "%s%" PRIu64, PUBLISHED_SECTION, process);
    HANDLE section = OpenFileMappingA(FILE_MAP_READ, FALSE, name);
    if (section == NULL && GetLastError() == ERROR_ACCESS_DENIED) {
        return PROBLEM("process %" PRIu64 " belongs to another user, and only its own may look at it", process);
    }
    if (section == NULL) {
        return PROBLEM("process %" PRIu64 " publishes no view: it has to be started with HOSTMEM_PUBLISH=1 and run on hostmem",
                       process);
    }
    look->shared = MapViewOfFile(section, FILE_MAP_READ, 0, 0, sizeof(struct published));
    CloseHandle(section);
    return look->shared ? NULL : PROBLEM("the view of process %" PRIu64 " cannot be mapped: it is of another version", process);
}

bool look_alive(const struct look *look) {
    DWORD status;
    HANDLE process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, (DWORD)look->process);
    bool alive = process != NULL && GetExitCodeProcess(process, &status) && status == STILL_ACTIVE;
    if (process != NULL) CloseHandle(process);
    return alive;
}

void look_thread_name(const struct look *look, uint64_t thread, char *text, size_t room) {
    (void)look, (void)thread, (void)room;
    text[0] = 0;
}

#else

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void look_sleep_ms(uint64_t ms) {
    struct timespec time = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
}

static uint64_t clock_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Has it one of our libraries? (Of a program that is linked with the engine nothing says so.) */
static bool has_engine(uint64_t process) {
    char path[64], line[512];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%" PRIu64 "/maps", process);
    FILE *text = fopen(path, "re");
    while (text != NULL && !found && fgets(line, sizeof line, text) != NULL) found = strstr(line, "hostmem") != NULL;
    if (text != NULL) fclose(text);
    return found;
}

static const char *refused(uint64_t process, uid_t owner) {
    const struct passwd *user = getpwuid(owner);
    if (owner == geteuid()) return PROBLEM("process %" PRIu64 " keeps its files from its own user (it is not dumpable)", process);
    if (user == NULL) return PROBLEM("process %" PRIu64 " belongs to user %u, and only that user may look at it", process, owner);
    return PROBLEM("process %" PRIu64 " belongs to %s, and only that user may look at it", process, user->pw_name);
}

/* A child may have inherited its parent's view. The process knows itself by the last number that its namespaces give it. */
static uint64_t own_number(uint64_t process) {
    char path[64], line[512];
    uint64_t own = process;
    snprintf(path, sizeof path, "/proc/%" PRIu64 "/status", process);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "NSpid:", 6) == 0) own = strtoull(strrchr(line, '\t') + 1, NULL, 10);
    }
    if (file != NULL) fclose(file);
    return own;
}

/* Opens a file if it is a view of the process's own, or one of another version; -1 if not. */
static int open_own(const char *path, uint64_t own) {
    uint64_t head[4] = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && pread(fd, head, sizeof head, 0) == sizeof head && head[0] == PUBLISHED_MAGIC && head[3] == own) return fd;
    if (fd >= 0) close(fd);
    return -1;
}

/* The process's open file that is its view, opened; -1: it has none; -2: they may not be seen. */
static int find_file(uint64_t process) {
    char folder[64], path[384], target[64];
    uint64_t own = own_number(process);
    int fd = -1;
    snprintf(folder, sizeof folder, "/proc/%" PRIu64 "/fd", process);
    DIR *files = opendir(folder);
    if (files == NULL) return -2;
    for (struct dirent *entry; fd < 0 && (entry = readdir(files)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        ssize_t length = readlink(path, target, sizeof target - 1);
        if (length <= 0) continue;
        target[length] = 0;
        if (strcmp(target, "/memfd:" PUBLISHED_FILE " (deleted)") == 0) fd = open_own(path, own);
    }
    closedir(files);
    return fd;
}

static const char *map_view(uint64_t process, struct look *look) {
    char path[64];
    struct stat stat_of;
    snprintf(path, sizeof path, "/proc/%" PRIu64, process);
    if (stat(path, &stat_of) != 0) return PROBLEM("there is no process %" PRIu64, process);
    int fd = find_file(process);
    if (fd == -2) return refused(process, stat_of.st_uid);
    if (fd < 0) {
        bool known = has_engine(process);
        return PROBLEM(known ? "process %" PRIu64 " runs on hostmem but publishes no view: start it with HOSTMEM_PUBLISH=1"
                             : "process %" PRIu64 " does not run on hostmem, or was started without HOSTMEM_PUBLISH=1",
                       process);
    }
    bool fits = fstat(fd, &stat_of) == 0 && (size_t)stat_of.st_size == sizeof(struct published);
    void *shared = fits ? mmap(NULL, sizeof(struct published), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    close(fd);
    if (shared == MAP_FAILED) return PROBLEM("the view of process %" PRIu64 " is of another version than this tool", process);
    look->shared = shared;
    return NULL;
}

bool look_alive(const struct look *look) {
    char path[64], text[512] = "";
    snprintf(path, sizeof path, "/proc/%" PRIu64 "/stat", look->process);
    FILE *file = fopen(path, "re");
    if (file == NULL) return false;
    const char *state = fgets(text, sizeof text, file) != NULL ? strrchr(text, ')') : NULL;
    fclose(file);
    return state != NULL && strlen(state) > 2 && state[2] != 'Z' && state[2] != 'X';
}

void look_thread_name(const struct look *look, uint64_t thread, char *text, size_t room) {
    char path[80];
    snprintf(path, sizeof path, "/proc/%" PRIu64 "/task/%" PRIu64 "/comm", look->process, thread);
    FILE *file = fopen(path, "re");
    if (file == NULL || fgets(text, (int)room, file) == NULL) text[0] = 0;
    text[strcspn(text, "\n")] = 0;
    if (file != NULL) fclose(file);
}

#endif

#define PATIENCE_MS 2000

/* NULL, or what stands in the way, in words. */
static const char *look_open(uint64_t process, struct look *look) {
    look->process = process;
    const char *why = map_view(process, look);
    if (why != NULL) return why;
    /* acq: pairs with the store that ends the making of the head. */
    if (atom_load_acq_u64(&look->shared->magic) != PUBLISHED_MAGIC)
        return PROBLEM("process %" PRIu64 " is only starting", process);
    if (look->shared->version != PUBLISHED_VERSION) {
        return PROBLEM("the view of process %" PRIu64 " is of version %" PRIu64 ", and this tool reads version %u", process,
                       look->shared->version, PUBLISHED_VERSION);
    }
    memcpy(look->program, look->shared->program, sizeof look->program);
    look->program[sizeof look->program - 1] = 0;
    return NULL;
}

bool look_copy(const struct look *look, struct published_half *copy) {
    for (uint64_t start = clock_ms(); clock_ms() - start < PATIENCE_MS; look_sleep_ms(10)) {
        uint64_t current = atom_load_acq_u64(&look->shared->current); /* acq: pairs with the store that made it current */
        if (current > 1) continue;
        const struct published_half *half = &look->shared->half[current];
        uint64_t before = atom_load_acq_u64(&half->sequence), regions = half->count_regions; /* acq: pairs with the writer's */
        if (before % 2 != 0) continue;
        if (regions > PUBLISHED_REGIONS) regions = PUBLISHED_REGIONS;
        memcpy(copy, half, offsetof(struct published_half, region) + regions * sizeof half->region[0]);
        atom_signal_fence();
        if (atom_load_acq_u64(&half->sequence) != before || copy->count_regions < regions) continue;
        for (size_t i = 0; i < PUBLISHED_MANAGERS; i++) copy->manager[i].name[sizeof copy->manager[i].name - 1] = 0;
        return true;
    }
    return false;
}

uint64_t look_age_ms(const struct published_half *copy) {
    uint64_t now = clock_ms();
    return now > copy->written_ms ? now - copy->written_ms : 0;
}

void look_from_operands(const struct tool_command *command, int argc, char **argv, struct look *look,
                        struct published_half *copy) {
    const char *text = argv[tool_one_operand(command, argc, argv)];
    uint64_t process = strspn(text, "0123456789") == strlen(text) ? strtoull(text, NULL, 10) : 0;
    if (process == 0 || process > UINT32_MAX) tool_fail(command, TOOL_EXIT_USAGE, "'%s' is not a PID", text);
    const char *why = look_open(process, look);
    if (why != NULL) tool_fail(command, LOOK_EXIT_REFUSED, "%s", why);
    if (!look_copy(look, copy)) {
        tool_fail(command, LOOK_EXIT_REFUSED, "process %" PRIu64 " has published nothing that holds still for a copy", process);
    }
}

const char *look_bytes(uint64_t bytes, char text[24]) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1000 && unit + 1 < sizeof units / sizeof *units) value /= 1024, unit++;
    snprintf(text, 24, unit == 0 || value >= 99.95 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return text;
}

/*
 * system_linux.c - Linux as the benchmarks see it: mmap and its kin as a peer, malloc, peak memory, and a stepper.
 *
 * The raw calls are the fewest that do what the Win32 call of the row does: a reservation is a PROT_NONE mapping, a commit
 * is mprotect, a decommit is MADV_DONTNEED and mprotect.
 */
#ifndef _WIN32
#define _GNU_SOURCE
#include "bench/bench.h"
#include "bench/step.h"
#include "bench/system.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static void *raw_map(size_t size, int protection) {
    void *got = mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return got == MAP_FAILED ? NULL : got;
}

static void *raw_take(size_t size) { return raw_map(size, PROT_READ | PROT_WRITE); }

static void *raw_reserve(size_t size) { return raw_map(size, PROT_NONE); }

static bool raw_give(void *start, size_t size) { return munmap(start, size) == 0; }

static bool raw_commit(void *start, size_t size) { return mprotect(start, size, PROT_READ | PROT_WRITE) == 0; }

static bool raw_decommit(void *start, size_t size) {
    return madvise(start, size, MADV_DONTNEED) == 0 && mprotect(start, size, PROT_NONE) == 0;
}

static bool raw_protect(void *start, size_t size, bool writable) {
    return mprotect(start, size, writable ? PROT_READ | PROT_WRITE : PROT_READ) == 0;
}

/* Calls each with every mapping until it says false. */
static void maps_each(bool (*each)(uint64_t start, uint64_t end, void *argument), void *argument) {
    static const char digits[] = "0123456789abcdef";
    char buffer[4096];
    uint64_t field[2] = {0};
    int at = 0; /* the field being read; 2 to the line's end */
    ssize_t got;
    int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    while ((got = read(file, buffer, sizeof buffer)) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            const char *digit = at < 2 && buffer[i] != '\0' ? strchr(digits, buffer[i]) : NULL;
            if (buffer[i] == '\n') {
                if (!each(field[0], field[1], argument)) goto out;
                at = 0;
                field[0] = field[1] = 0;
            } else if (digit != NULL) {
                field[at] = field[at] << 4 | (uint64_t)(digit - digits);
            } else if (at < 2) {
                at++;
            }
        }
    }
out:
    close(file);
}

struct looked_for {
    uint64_t address;
    size_t size;
};

static bool map_holds(uint64_t start, uint64_t end, void *argument) {
    struct looked_for *looked_for = argument;
    if (looked_for->address < start || looked_for->address >= end) return true;
    looked_for->size = (size_t)(end - looked_for->address);
    return false;
}

/* Linux has no call that asks about an address: a program reads the list of its mappings, as here. */
static size_t raw_query(void *address) {
    struct looked_for looked_for = {.address = (uintptr_t)address};
    maps_each(map_holds, &looked_for);
    return looked_for.size;
}

static bool map_count(uint64_t start, uint64_t end, void *argument) {
    (void)start, (void)end;
    ++*(uint64_t *)argument;
    return true;
}

uint64_t system_mappings(void) {
    uint64_t count = 0;
    maps_each(map_count, &count);
    return count;
}

const struct bench_vm bench_vm_raw = {
    .name = "raw",
    .take = raw_take,
    .reserve = raw_reserve,
    .give = raw_give,
    .commit = raw_commit,
    .decommit = raw_decommit,
    .protect = raw_protect,
    .query = raw_query,
};

const char system_libc_name[] = "libc";

void *system_libc_aligned(size_t size, size_t alignment) { return aligned_alloc(alignment, size); }

void system_libc_free_aligned(void *block) { free(block); }

/* Which library this is, each file of figures says, and its reader judges: system_library_of_malloc. */
bool system_libc_owns(void *block) { return malloc_usable_size(block) != 0; }

const struct bench_heap *const bench_heaps[] = {&bench_heap_engine, &bench_heap_flat, &bench_heap_libc, NULL};

const char *system_name(void) { return "linux"; }

const char *system_library_of_malloc(void) {
    /* What the linker bound this program's own calls to: the first malloc in its search order. */
    Dl_info found;
    void *bound = dlsym(RTLD_DEFAULT, "malloc");
    return bound != NULL && dladdr(bound, &found) != 0 && found.dli_fname != NULL ? found.dli_fname : "unknown";
}

bool system_peak_reset(void) {
    int file = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (file < 0) return false;
    bool done = write(file, "5", 1) == 1;
    close(file);
    return done;
}

uint64_t system_peak_bytes(void) {
    char line[256];
    uint64_t kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    if (file == NULL) return 0;
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0) kib = strtoull(line + 6, NULL, 10);
    }
    fclose(file);
    return kib << 10;
}

void system_sleep_ms(unsigned ms) {
    struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&wait, NULL);
}

void system_yield(void) { sched_yield(); }

void system_pin(int which) {
    static cpu_set_t all;
    if (CPU_COUNT(&all) == 0 && sched_getaffinity(0, sizeof all, &all) != 0) return;
    cpu_set_t wanted = all;
    if (which != SYSTEM_ANY) {
        int skip = which % CPU_COUNT(&all), cpu = 0;
        while (!CPU_ISSET(cpu, &all) || skip-- > 0) cpu++;
        CPU_ZERO(&wanted);
        CPU_SET(cpu, &wanted);
    }
    sched_setaffinity(0, sizeof wanted, &wanted);
}

bool system_step(const char *name, uint64_t turns) {
    struct step_counts counts;
    if (!step_count(name, turns, &counts)) return false;
    /* In the form of Google Benchmark's files, so that one reader reads both. */
    printf("{\n  \"system\": \"%s\",\n  \"malloc_served_by\": \"%s\",\n  \"benchmarks\": [{\n", system_name(),
           system_library_of_malloc());
    printf("    \"run_name\": \"step/%s\",\n    \"turns\": %" PRIu64 ",\n    \"instructions\": %.3f,\n", name, turns,
           counts.instructions);
    printf("    \"locked\": %.4f,\n    \"stepped_system_calls\": %.4f\n  }]\n}\n", counts.locked, counts.system_calls);
    return true;
}
#endif

/*
 * usage.c - a clock, and what the system counted for this process: time, page faults, resident memory.
 *
 * Each figure is the system's own, read when asked; nothing is sampled, so a peak is a true peak. Windows counts page
 * faults without telling which had to wait for a disk.
 */
#include "tools/common/tool.h"

#include <string.h>

#ifdef _WIN32

#include <windows.h>
#define PSAPI_VERSION 2 /* GetProcessMemoryInfo out of kernel32, so that no more libraries are needed */
#include <psapi.h>

uint64_t tool_clock_ns(void) {
    static LARGE_INTEGER frequency; /* the same value whoever stores it first */
    LARGE_INTEGER now;
    if (frequency.QuadPart == 0) QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&now);
    return (uint64_t)(now.QuadPart / frequency.QuadPart) * 1000000000u +
           (uint64_t)(now.QuadPart % frequency.QuadPart) * 1000000000u / (uint64_t)frequency.QuadPart;
}

static uint64_t usage_time(const FILETIME *time) { return (((uint64_t)time->dwHighDateTime << 32) | time->dwLowDateTime) * 100u; }

void tool_usage_read(struct tool_usage *usage) {
    FILETIME created, exited, kernel, user;
    PROCESS_MEMORY_COUNTERS memory = {.cb = sizeof memory};
    memset(usage, 0, sizeof *usage);
    usage->faults_major = -1;
    if (GetProcessTimes(GetCurrentProcess(), &created, &exited, &kernel, &user)) {
        usage->user_ns = usage_time(&user);
        usage->system_ns = usage_time(&kernel);
    }
    if (GetProcessMemoryInfo(GetCurrentProcess(), &memory, sizeof memory)) {
        usage->faults = memory.PageFaultCount;
        usage->rss_bytes = memory.WorkingSetSize;
        usage->peak_rss_bytes = memory.PeakWorkingSetSize;
    }
}

#else

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

uint64_t tool_clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t usage_time(const struct timeval *time) {
    return (uint64_t)time->tv_sec * 1000000000u + (uint64_t)time->tv_usec * 1000u;
}

/* Resident bytes now: the second number of statm, in pages. */
static uint64_t usage_resident(void) {
    unsigned long long size, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file != NULL) {
        if (fscanf(file, "%llu %llu", &size, &resident) != 2) resident = 0;
        fclose(file);
    }
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

void tool_usage_read(struct tool_usage *usage) {
    struct rusage self;
    memset(usage, 0, sizeof *usage);
    usage->rss_bytes = usage_resident();
    if (getrusage(RUSAGE_SELF, &self) == 0) {
        usage->user_ns = usage_time(&self.ru_utime);
        usage->system_ns = usage_time(&self.ru_stime);
        usage->faults = (uint64_t)self.ru_minflt + (uint64_t)self.ru_majflt;
        usage->faults_major = self.ru_majflt;
        usage->peak_rss_bytes = (uint64_t)self.ru_maxrss * 1024u;
    }
}

#endif

/*
 * record.c - writes the CLR's calls as a trace that hostmem-replay reads (perf/traces/README.md has the format).
 *
 * A line is made on the stack and written by one write(2) to a file opened for appending: no lock and no memory, so that a
 * thread that the collector stops in the middle delays nobody. What gives memory back is written before the call and what gives
 * it out after, or another thread's line about the same address could come first; the CLR's releases do succeed.
 */
#include "tools/clr/clr.h"

#include "base/atom.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#ifdef _WIN32
#define O_CLOEXEC (O_NOINHERIT | O_BINARY)
#endif

enum { RECORD_HEAP = 0x1000 };

static int record_file = -1;
static bool record_broken;
static uint64_t record_start_ns;
static uint32_t record_threads;
static __thread uint32_t record_thread;

static void record_write(const char *line, int length) {
    if (length > 0 && write(record_file, line, (size_t)length) == (ssize_t)length) return;
    fprintf(stderr, "%s: --record: the trace ends here: %s\n", clr_command.name, strerror(errno));
    record_broken = true;
    record_file = -1; /* another thread may complain once more; it then sees this */
}

bool record_whole(void) { return !record_broken; }

void record_open(const char *path) {
    static const char head[] = "# t_us tid op addr size type prot ret\n0 1 HC 0 0 0 0 1000\n";
    record_file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    if (record_file < 0) tool_fail(&clr_command, TOOL_EXIT_USAGE, "--record: '%s': %s", path, strerror(errno));
    record_start_ns = tool_clock_ns();
    record_write(head, (int)sizeof head - 1);
}

void record_call(const char *op, const void *address, uint64_t size, uint32_t type, uint32_t prot, uint64_t result) {
    char line[160];
    int error = errno;
    if (record_file < 0) return;
    if (record_thread == 0) record_thread = atom_add_acqrel_u32(&record_threads, 1) + 1;
    record_write(line, snprintf(line, sizeof line, "%" PRIx64 " %x %s %" PRIxPTR " %" PRIx64 " %x %x %" PRIx64 "\n",
                                (tool_clock_ns() - record_start_ns) / 1000, record_thread, op, (uintptr_t)address, size, type,
                                prot, result));
    errno = error;
}

void record_block(const void *block, uint64_t size) { record_call("HA", (void *)RECORD_HEAP, size, 0, 0, (uintptr_t)block); }

/*
 * trace.c - writes lines of the trace format (perf/traces/README.md) to the file that HOSTMEM_RECORD names.
 *
 * The buffer is static and numbers are written by hand: while the program's malloc is being recorded, nothing here may
 * allocate.
 *
 * The program may close every file that it has not opened, as daemons do, and have its own under their numbers. So the two here
 * have high numbers, out of its way, and nothing is written to a file that is not the same as at first.
 */
#include "dropin/record/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 1 << 16, LINE_MOST = 160 };

struct kept {
    int fd; /* -1: none */
    dev_t device;
    ino_t inode;
};

static struct kept file = {.fd = -1};
static struct kept messages = {.fd = -1}; /* stderr, which a program may close before it ends */
static char buffer[BUFFER];
static size_t length;
static uint64_t start_us;
static uint32_t count_threads;
static __thread uint32_t thread_number; /* from 1, in the order of the first call */

/* The system's: in the C library's a thread that another has cancelled would end, in the middle of its malloc. */
static ssize_t put(int fd, const char *text, size_t size) { return syscall(SYS_write, fd, text, size); }
static int finish(int fd) { return (int)syscall(SYS_close, fd); }

static bool kept_holds(const struct kept *kept) {
    struct stat stat;
    return kept->fd >= 0 && fstat(kept->fd, &stat) == 0 && stat.st_dev == kept->device && stat.st_ino == kept->inode;
}

/* What fd is open for, under another number. */
static void keep(struct kept *kept, int fd) {
    struct stat stat;
    kept->fd = -1;
    if (fstat(fd, &stat) != 0) return;
    for (int from = 1000; from > 2 && kept->fd < 0; from /= 4) kept->fd = fcntl(fd, F_DUPFD_CLOEXEC, from);
    kept->device = stat.st_dev;
    kept->inode = stat.st_ino;
}

/* False: it could not, or is not ours any more. */
static bool let_go(struct kept *kept) {
    bool closed = kept_holds(kept) && finish(kept->fd) == 0;
    kept->fd = -1;
    return closed;
}

static void say(const char *text, const char *name, int error) {
    const char *why = error != 0 ? strerror(error) : "";
    const char *part[] = {"hostmem-record: ", text, name, error != 0 ? ": " : "", why, "\n"};
    if (!kept_holds(&messages)) return;
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        if (put(messages.fd, part[i], strlen(part[i])) < 0) return; /* nobody is there to hear it */
}

static uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void flush(void) {
    int before = errno;
    for (size_t at = 0; at < length && file.fd >= 0;) {
        bool ours = kept_holds(&file);
        ssize_t written = ours ? put(file.fd, buffer + at, length - at) : 0;
        if (written > 0) {
            at += (size_t)written;
        } else if (written == 0 || errno != EINTR) {
            int error = ours ? errno : 0;
            let_go(&file);
            say("the trace ends here, the program goes on", ours ? "" : ": it has closed the file", error);
        }
    }
    length = 0;
    errno = before;
}

static void put_text(const char *text) {
    size_t size = strlen(text);
    memcpy(buffer + length, text, size);
    length += size;
}

static void put_hex(uint64_t value) {
    char digits[16];
    int count = 0;
    do digits[count++] = "0123456789abcdef"[value & 15];
    while ((value >>= 4) != 0);
    while (count > 0) buffer[length++] = digits[--count];
}

bool trace_open(void) {
    const char *path = getenv("HOSTMEM_RECORD");
    if (path == NULL || path[0] == '\0') return false;
    keep(&messages, STDERR_FILENO);
    int opened = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (opened >= 0) keep(&file, opened);
    if (file.fd < 0) say("HOSTMEM_RECORD: ", path, errno);
    if (opened >= 0) finish(opened);
    if (file.fd < 0) return false;
    start_us = now_us();
    put_text("# t_us tid op addr size type prot ret\n");
    return true;
}

bool trace_is_open(void) { return file.fd >= 0; }

void trace_line(const char *op, uint64_t address, uint64_t size, uint32_t type, uint32_t prot, uint64_t result) {
    if (file.fd < 0) return;
    if (length + LINE_MOST > BUFFER) flush();
    if (thread_number == 0) thread_number = ++count_threads;
    const uint64_t head[] = {now_us() - start_us, thread_number}, tail[] = {address, size, type, prot, result};
    for (size_t i = 0; i < 2; i++) {
        put_hex(head[i]);
        buffer[length++] = ' ';
    }
    put_text(op);
    for (size_t i = 0; i < sizeof tail / sizeof *tail; i++) {
        buffer[length++] = ' ';
        put_hex(tail[i]);
    }
    buffer[length++] = '\n';
}

void trace_close(void) {
    flush();
    if (file.fd >= 0 && !let_go(&file)) say("the trace is not complete", "", errno);
}

void trace_drop(void) {
    let_go(&file);
    length = 0;
}

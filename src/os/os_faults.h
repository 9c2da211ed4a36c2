/*
 * os_faults.h - what Linux's userfaultfd can do for the engine, on Linux and, under Wine, below it. Part of the os layer.
 *
 * A file of userfaultfd's is meant for programs that answer their own page faults. The engine answers none: it registers memory
 * in the one mode that changes nothing until a page is marked (write-protected), and so gets two requests that work on
 * registered memory only. One marks pages (windows_watch.c). The other puts copies of pages in place of none: zeros, here. That
 * is memory brought without a fault, for less than madvise asks, since nobody looks at the pages one by one, and no lock of the
 * whole process is held.
 *
 * What such a file does it does to the process that opened it, whoever has it by now.
 */
#ifndef HM_OS_FAULTS_H
#define HM_OS_FAULTS_H

#include "base/base.h"

/* Linux's numbers and structures. */
#define FAULTS_API 0xc018aa3fu
#define FAULTS_REGISTER 0xc020aa00u
#define FAULTS_COPY 0xc028aa03u

#define FAULTS_VERSION 0xaau
#define FAULTS_OF_WRITES ((uint64_t)1)
#define FAULTS_WRITES_UNPOPULATED ((uint64_t)1 << 13)
#define FAULTS_WRITES_UNTOLD ((uint64_t)1 << 15)
#define FAULTS_USER_MODE_ONLY 1 /* as which a user without privileges may have one, too */
#define REGISTER_WRITES 2u

struct faults_api {
    uint64_t version, features, calls;
};
struct faults_register {
    uint64_t start, size, mode, calls;
};
struct faults_copy {
    uint64_t to, from, size, mode;
    int64_t copied;
};

/* A request to a file: 0, or an error as a negative number. */
typedef int64_t faults_call(uint64_t file, uint64_t request, void *argument);

static inline bool faults_agree(faults_call *call, uint64_t file, uint64_t features) {
    struct faults_api api = {.version = FAULTS_VERSION, .features = features};
    return call(file, FAULTS_API, &api) == 0;
}

static inline bool faults_register(faults_call *call, uint64_t file, uintptr_t start, size_t size) {
    struct faults_register range = {.start = start, .size = size, .mode = REGISTER_WRITES};
    return call(file, FAULTS_REGISTER, &range) == 0;
}

/* Puts pages of zeros where there are none, from the range's start up to the first that is there. How many bytes, then. */
static inline size_t faults_zeros(faults_call *call, uint64_t file, uintptr_t address, size_t size) {
    static unsigned char zeros[(size_t)64 << 10] __attribute__((aligned(PAGE_BYTES))); /* nobody writes to it */
    size_t done = 0;
    while (done < size) {
        size_t part = size - done < sizeof zeros ? size - done : sizeof zeros;
        struct faults_copy copy = {.to = address + done, .from = (uintptr_t)zeros, .size = part};
        if (call(file, FAULTS_COPY, &copy) != 0) return done + (copy.copied > 0 ? (size_t)copy.copied : 0);
        done += part;
    }
    return done;
}

/* The same in a reservation that may not be registered yet. */
static inline size_t faults_bring(faults_call *call, uint64_t file, uintptr_t address, size_t size, uintptr_t reserved,
                                  size_t reserved_size) {
    size_t done = faults_zeros(call, file, address, size);
    if (done != 0 || !faults_register(call, file, reserved, reserved_size)) return done;
    return faults_zeros(call, file, address, size);
}

#endif

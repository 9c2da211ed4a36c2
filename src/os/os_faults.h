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

#include "base/atom.h"
#include "base/base.h"

/* Linux's numbers and structures. */
#define FAULTS_API 0xc018aa3fu
#define FAULTS_REGISTER 0xc020aa00u
#define FAULTS_COPY 0xc028aa03u

#define FAULTS_VERSION 0xaau
#define FAULTS_OF_WRITES ((uint64_t)1)
#define FAULTS_WRITES_UNPOPULATED ((uint64_t)1 << 13)
#define FAULTS_WRITES_UNTOLD ((uint64_t)1 << 15)
#define FAULTS_OPEN_FLAGS 02000001 /* not in programs that are executed; of user mode, as which everybody may have one */
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

/* How Linux is asked, by its own programs or from under Wine; errors are negative numbers. */
struct faults_calls {
    int64_t (*open)(int flags);
    int64_t (*ask)(uint64_t file, uint64_t request, void *argument);
    void (*close)(uint64_t file);
    uint32_t (*mark)(uint64_t file); /* tells the file from others that may have its number later; 0 where none will */
};

/* A file with these features, or an error. */
static inline int64_t faults_open(const struct faults_calls *calls, uint64_t features) {
    struct faults_api api = {.version = FAULTS_VERSION, .features = features};
    int64_t file = calls->open(FAULTS_OPEN_FLAGS);
    if (file < 0 || calls->ask((uint64_t)file, FAULTS_API, &api) == 0) return file;
    calls->close((uint64_t)file);
    return -1;
}

/*
 * A file that is opened by whoever needs it first, and kept: it plus 1, or FAULTS_NO_FILE, also when the program has closed it.
 * place: 0 at first, then the same with the file's mark in the upper half.
 */
#define FAULTS_NO_FILE UINT64_MAX
static inline uint64_t faults_kept(const struct faults_calls *calls, uint64_t *place) {
    uint64_t seen = atom_load_acq_u64(place); /* acq: pairs with the CAS */
    if (seen == 0) {
        int64_t opened = faults_open(calls, FAULTS_OF_WRITES);
        uint64_t file = (uint64_t)opened;
        uint64_t made = opened < 0 ? FAULTS_NO_FILE : (uint64_t)calls->mark(file) << 32 | (uint32_t)(file + 1);
        if (atom_cas_acqrel_u64(place, &seen, made)) return opened < 0 ? made : file + 1;
        if (opened >= 0) calls->close(file);
    }
    if (seen == FAULTS_NO_FILE) return seen;
    return calls->mark((uint32_t)seen - 1) == seen >> 32 ? (uint32_t)seen : FAULTS_NO_FILE;
}

static inline bool faults_register(const struct faults_calls *calls, uint64_t file, uintptr_t start, size_t size) {
    struct faults_register range = {.start = start, .size = size, .mode = REGISTER_WRITES};
    return calls->ask(file, FAULTS_REGISTER, &range) == 0;
}

/* Puts pages of zeros where there are none, from the range's start up to the first that is there. How many bytes, then. */
static inline size_t faults_zeros(const struct faults_calls *calls, uint64_t file, uintptr_t address, size_t size) {
    static unsigned char zeros[(size_t)64 << 10] __attribute__((aligned(PAGE_BYTES))); /* nobody writes to it */
    size_t done = 0;
    while (done < size) {
        size_t part = size - done < sizeof zeros ? size - done : sizeof zeros;
        struct faults_copy copy = {.to = address + done, .from = (uintptr_t)zeros, .size = part};
        if (calls->ask(file, FAULTS_COPY, &copy) != 0) return done + (copy.copied > 0 ? (size_t)copy.copied : 0);
        done += part;
    }
    return done;
}

/* The same in a reservation that may not be registered yet, with what faults_kept gave. */
static inline size_t faults_bring(const struct faults_calls *calls, uint64_t kept, uintptr_t address, size_t size,
                                  uintptr_t reserved, size_t reserved_size) {
    if (kept == FAULTS_NO_FILE) return 0;
    size_t done = faults_zeros(calls, kept - 1, address, size);
    if (done != 0 || !faults_register(calls, kept - 1, reserved, reserved_size)) return done;
    return faults_zeros(calls, kept - 1, address, size);
}

#endif

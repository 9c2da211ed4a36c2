/*
 * calls.c - stands in front of the C library's memory calls, passes them on and has them recorded.
 *
 * Loaded by hostmem-record through LD_PRELOAD. The functions behind are looked up on first use; looking up may itself
 * allocate, which a small arena of our own serves. A call from inside a recorded one (a malloc that maps) is not recorded: the
 * trace holds what the program asked for. A child of a fork is not recorded: a trace is one process.
 *
 * A program that replaces itself by another (a shell's exec) begins its trace anew.
 * HOSTMEM_RECORD_PARTS, "vm" or "heap", leaves the other part out; HOSTMEM_RECORD_PROCESS is the process to record.
 */
#define _GNU_SOURCE
#include "dropin/record/record.h"
#include "hostmem_win32.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

enum { ARENA = 64 << 10, ZERO_MEMORY = 8, HEAP = 0x1000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static __thread int depth; /* of recorded calls on this thread */
static bool with_vm, with_heap;
static char arena[ARENA] __attribute__((aligned(16)));
static size_t arena_used;

static struct {
    void *(*mmap)(void *, size_t, int, int, int, off_t);
    int (*munmap)(void *, size_t);
    void *(*mremap)(void *, size_t, size_t, int, ...);
    int (*mprotect)(void *, size_t, int);
    int (*madvise)(void *, size_t, int);
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void (*free)(void *);
    void *(*memalign)(size_t, size_t);
    bool found, looking;
} next;

static bool in_arena(const void *block) { return (const char *)block >= arena && (const char *)block < arena + ARENA; }

/* Zeroed, never freed; only while the functions behind are looked up. */
static void *arena_take(size_t size) {
    size_t at = arena_used;
    size = (size + 15) & ~(size_t)15;
    if (size > ARENA - at) return NULL;
    arena_used += size;
    return arena + at;
}

static void find(const char *name, void *place) {
    void *found = dlsym(RTLD_NEXT, name);
    memcpy(place, &found, sizeof found);
}

static void before_fork(void) { pthread_mutex_lock(&lock); }

static void after_fork(void) { pthread_mutex_unlock(&lock); }

static void after_fork_in_child(void) {
    trace_drop();
    pthread_mutex_unlock(&lock);
}

static void find_all(void) {
    if (next.found || next.looking) return;
    next.looking = true;
    find("mmap", &next.mmap);
    find("munmap", &next.munmap);
    find("mremap", &next.mremap);
    find("mprotect", &next.mprotect);
    find("madvise", &next.madvise);
    find("malloc", &next.malloc);
    find("calloc", &next.calloc);
    find("realloc", &next.realloc);
    find("free", &next.free);
    find("memalign", &next.memalign);
    next.found = true;
    next.looking = false;
}

/* The program's children have this library, too; but only the program itself has the number that hostmem-record had. */
static bool is_recorded_process(void) {
    const char *wanted = getenv("HOSTMEM_RECORD_PROCESS");
    return wanted == NULL || strtol(wanted, NULL, 10) == (long)getpid();
}

__attribute__((destructor)) static void end(void) {
    pthread_mutex_lock(&lock);
    trace_close();
    pthread_mutex_unlock(&lock);
}

/* No destructor is called where a program ends by _exit, as shells do, or quick_exit. (A handler may be amid a call.) */
static void end_at_once(void) {
    if (depth == 0 && is_recorded_process()) end();
}

__attribute__((constructor)) static void begin(void) {
    const char *parts = getenv("HOSTMEM_RECORD_PARTS");
    find_all();
    with_vm = parts == NULL || strcmp(parts, "heap") != 0;
    with_heap = parts == NULL || strcmp(parts, "vm") != 0;
    if (!is_recorded_process()) return;
    if (!trace_open()) return;
    pthread_atfork(before_fork, after_fork, after_fork_in_child);
    at_quick_exit(end_at_once);
    if (with_heap) trace_line("HC", 0, 0, 0, 0, HEAP);
}

EXPORTED void _exit(int status) {
    end_at_once();
    for (;;) syscall(SYS_exit_group, status);
}

EXPORTED void _Exit(int status) { _exit(status); }

/* Whether this call is to be recorded; if so, leave must follow. */
static bool enter(bool wanted) {
    find_all();
    if (!wanted || depth > 0 || !trace_is_open()) return false;
    depth++;
    pthread_mutex_lock(&lock);
    return true;
}

static void leave(void) {
    pthread_mutex_unlock(&lock);
    depth--;
}

/* ---- Mappings --------------------------------------------------------------------------------------------------- */

EXPORTED void *mmap(void *address, size_t size, int protection, int flags, int file, off_t offset) {
    bool recorded = enter(with_vm);
    void *got = next.mmap(address, size, protection, flags, file, offset);
    int error = errno;
    bool ours = (flags & MAP_ANONYMOUS) != 0 && (flags & MAP_SHARED) == 0;
    if (recorded && got != MAP_FAILED && ours) pages_map((uintptr_t)got, size, protection);
    else if (recorded && got != MAP_FAILED) pages_unmap((uintptr_t)got, size); /* what it was put over */
    if (recorded) leave();
    errno = error;
    return got;
}

EXPORTED void *mmap64(void *address, size_t size, int protection, int flags, int file, off64_t offset) {
    return mmap(address, size, protection, flags, file, offset);
}

EXPORTED int munmap(void *address, size_t size) {
    bool recorded = enter(with_vm);
    int result = next.munmap(address, size), error = errno;
    if (recorded && result == 0) pages_unmap((uintptr_t)address, size);
    if (recorded) leave();
    errno = error;
    return result;
}

/* The kernel looks at the fifth argument only where a flag says that there is one. */
EXPORTED void *mremap(void *address, size_t size, size_t wanted, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    void *place = va_arg(arguments, void *);
    va_end(arguments);
    bool recorded = enter(with_vm);
    void *got = next.mremap(address, size, wanted, flags, place);
    int error = errno;
    if (recorded && got != MAP_FAILED) pages_move((uintptr_t)address, size, (uintptr_t)got, wanted);
    if (recorded) leave();
    errno = error;
    return got;
}

EXPORTED int mprotect(void *address, size_t size, int protection) {
    bool recorded = enter(with_vm);
    int result = next.mprotect(address, size, protection), error = errno;
    if (recorded && result == 0) pages_protect((uintptr_t)address, size, protection);
    if (recorded) leave();
    errno = error;
    return result;
}

EXPORTED int madvise(void *address, size_t size, int advice) {
    bool recorded = enter(with_vm && advice == MADV_DONTNEED);
    int result = next.madvise(address, size, advice), error = errno;
    if (recorded && result == 0) pages_discard((uintptr_t)address, size);
    if (recorded) leave();
    errno = error;
    return result;
}

/* ---- Blocks ----------------------------------------------------------------------------------------------------- */

static void *traced_block(bool recorded, void *block, size_t size, uint32_t flags) {
    int error = errno;
    if (recorded && block != NULL) trace_line("HA", HEAP, size, flags, 0, (uintptr_t)block);
    if (recorded) leave();
    errno = error;
    return block;
}

EXPORTED void *malloc(size_t size) {
    if (next.looking) return arena_take(size);
    bool recorded = enter(with_heap);
    return traced_block(recorded, next.malloc(size), size, 0);
}

EXPORTED void *calloc(size_t count, size_t size) {
    if (next.looking) return arena_take(count * size);
    bool recorded = enter(with_heap);
    return traced_block(recorded, next.calloc(count, size), count * size, ZERO_MEMORY);
}

EXPORTED void *memalign(size_t alignment, size_t size) {
    bool recorded = enter(with_heap);
    return traced_block(recorded, next.memalign(alignment, size), size, 0);
}

EXPORTED void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

EXPORTED void *valloc(size_t size) { return memalign(PAGE, size); }

EXPORTED void *pvalloc(size_t size) { return memalign(PAGE, size > SIZE_MAX - PAGE ? size : (size + PAGE - 1) / PAGE * PAGE); }

EXPORTED int posix_memalign(void **block, size_t alignment, size_t size) {
    int error = errno;
    if (alignment % sizeof(void *) != 0 || alignment == 0 || (alignment & (alignment - 1)) != 0) return EINVAL;
    void *got = memalign(alignment, size);
    errno = error; /* the result tells, not errno */
    if (got == NULL) return ENOMEM;
    *block = got;
    return 0;
}

EXPORTED void free(void *block) {
    if (block == NULL || in_arena(block)) return;
    bool recorded = enter(with_heap);
    if (recorded) trace_line("HF", (uintptr_t)block, 0, 0, 0, 1);
    next.free(block);
    if (recorded) leave();
}

EXPORTED void *realloc(void *block, size_t size) {
    if (in_arena(block)) {
        void *moved = malloc(size);
        size_t most = (size_t)(arena + ARENA - (char *)block);
        return moved != NULL ? memcpy(moved, block, size < most ? size : most) : NULL;
    }
    if (block == NULL) return malloc(size);
    bool recorded = enter(with_heap);
    void *got = next.realloc(block, size);
    int error = errno;
    if (recorded && got != NULL) trace_line("HR", (uintptr_t)block, size, 0, 0, (uintptr_t)got);
    else if (recorded && size == 0) trace_line("HF", (uintptr_t)block, 0, 0, 0, 1);
    if (recorded) leave();
    errno = error;
    return got;
}

/*
 * malloc.c - the C library's allocation functions, answered from the process's heap (heap_default).
 *
 * The library is preloaded: it serves a program from the dynamic linker's first call on, before any constructor, and until
 * the process has ended, after every destructor. So nothing here needs a constructor, everything is made by the first call
 * that wants it (the one constructor only asks to be told of what the threads' caches find later), and the heap neither
 * waits nor calls anything that allocates: signal handlers may allocate at any point, and in a child made by fork the heap
 * is whole whatever other threads were doing.
 *
 * errno: a failure sets ENOMEM or EINVAL; posix_memalign returns them and leaves errno alone; success and free leave it alone.
 *
 * A pointer that is not a live block ends the process with one line. That is found out without reading the pointer's target: at
 * once, or for a second free of a block that the thread freed a while ago, when its cache is next flushed (heap/front.h).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/budget.h"
#include "dropin/malloc/dropin.h"
#include "heap/front.h"

#define BLOCK_ALIGN ((size_t)16)

/* From this size on the kernel is asked whether it would promise so much: see memory_promised. */
#define PROMISE_BYTES ((size_t)1 << 30)

/* What grows to this size may grow again: it moves to where it can be made longer. Copying less costs less than such a place. */
#define GROWN_BYTES ((size_t)256 << 10)

/* Such a block gets an eighth more than it is to hold, so that it is seldom made longer. */
#define GROWN_SHARE 8u

/* C23's, which the C library's headers may not declare yet. */
void free_sized(void *block, size_t size);
void free_aligned_sized(void *block, size_t align, size_t size);

/* ---- Reports ------------------------------------------------------------------------------------------------------ */

static char *text_append(char *to, const char *end, const char *text) {
    while (*text && to < end) *to++ = *text++;
    return to;
}

_Noreturn void dropin_abort(const char *caller, const char *what, uintptr_t number) {
    char line[160], digits[2 + 2 * sizeof number + 1];
    const char *end = line + sizeof line - 1;
    char *to = text_append(text_append(text_append(line, end, caller), end, ": "), end, what);
    if (number) {
        char *digit = digits + sizeof digits;
        *--digit = 0;
        for (uintptr_t rest = number; rest; rest >>= 4) *--digit = "0123456789abcdef"[rest & 15];
        to = text_append(text_append(to, end, " 0x"), end, digit);
    }
    *to++ = '\n';
    ssize_t written = write(STDERR_FILENO, line, (size_t)(to - line));
    (void)written;
    abort();
}

/* ---- Blocks ------------------------------------------------------------------------------------------------------- */

/*
 * The heap's pages come from a reservation for which the kernel has promised nothing, so it would let a program have any
 * number of them and kill it when it uses them. A mapping of that size for a moment asks for its usual answer, whatever
 * the machine's policy is.
 */
static bool memory_promised(size_t size_bytes) {
    if (size_bytes < PROMISE_BYTES) return true;
    int kept = errno;
    void *probe = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (probe != MAP_FAILED) munmap(probe, size_bytes);
    errno = kept;
    return probe != MAP_FAILED;
}

void *dropin_alloc(size_t size_bytes, size_t align, bool zero) {
    void *block = NULL;
    struct heap *heap = heap_default();
    if (__builtin_expect(heap == NULL || !memory_promised(size_bytes), 0)) return NULL;
    size_t in_class = align <= BLOCK_ALIGN ? size_bytes : class_aligned(size_bytes, align);
    if (__builtin_expect(align <= BLOCK_ALIGN || in_class, 1)) {
        front_alloc(heap, in_class, zero, &block);
    } else {
        front_alloc_large(heap, size_bytes, align, zero, &block);
    }
    return block;
}

static __attribute__((noinline)) void *alloc_or_errno(size_t size_bytes, size_t align, bool zero) {
    void *block = dropin_alloc(size_bytes, align, zero);
    if (block == NULL) errno = ENOMEM;
    return block;
}

void dropin_free_other(const char *caller, void *block) {
    if (block == NULL) return;
    struct heap *heap = heap_default();
    if (__builtin_expect(heap == NULL || front_free_other(heap, block) != ST_OK, 0))
        dropin_abort(caller, "invalid pointer", (uintptr_t)block);
}

static void double_free(void *block) { dropin_abort("free()", "double free of", (uintptr_t)block); }

__attribute__((constructor)) static void be_told(void) {
    front_on_double_free(double_free);
}

static inline size_t usable_size(const char *caller, const void *block) {
    size_t size;
    struct heap *heap = heap_default();
    if (heap == NULL || heap_size(heap, block, &size) != ST_OK) dropin_abort(caller, "invalid pointer", (uintptr_t)block);
    return size;
}

/* May the block stay where it is? Not if that would keep twice what is asked for. */
static bool fits_well(size_t size_bytes, size_t usable_bytes) {
    return size_bytes <= usable_bytes && (usable_bytes <= 64 || size_bytes >= usable_bytes / 2);
}

/* A long block gives pages back if they are many. */
static bool stays(size_t size_bytes, size_t held) {
    return fits_well(size_bytes, held) && (held <= CLASS_LARGEST || held - size_bytes <= held / GROWN_SHARE);
}

static void *alloc_to_move(size_t size_bytes, size_t held) {
    void *block = NULL;
    if (size_bytes > held && size_bytes >= GROWN_BYTES) {
        void *before = budget_ask_again();
        heap_alloc_apart(heap_default(), size_bytes, &block);
        budget_ask_end(before);
    }
    return block != NULL ? block : dropin_alloc(size_bytes, BLOCK_ALIGN, false);
}

/*
 * A block of its own gets more pages where it is, with some to spare, or gives some back, if that can be. Returns what it holds
 * then.
 */
static size_t resize_in_place(void *block, size_t size_bytes, size_t spare) {
    struct heap *heap = heap_default();
    void *before = budget_ask_again(); /* what is refused may be had by moving */
    if (heap_resize(heap, block, size_bytes + spare) != ST_OK && spare != 0) heap_resize(heap, block, size_bytes);
    budget_ask_end(before);
    return usable_size("realloc()", block);
}

static inline void *move_to(void *moved, void *block, size_t size_bytes) {
    memcpy(moved, block, size_bytes);
    dropin_free("realloc()", block);
    return moved;
}

static __attribute__((noinline)) void *block_resize_other(void *block, size_t size_bytes, size_t held) {
    size_t usable = held, spare = size_bytes > held && size_bytes < PROMISE_BYTES ? size_bytes / GROWN_SHARE : 0;
    bool in_place = slab_tag((uintptr_t)block) == 0 && size_bytes > PAGE_BYTES / 2; /* if it will not move all the same */
    if (size_bytes > held && !memory_promised(size_bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    if (in_place) usable = resize_in_place(block, size_bytes, spare);
    if (in_place && fits_well(size_bytes, usable)) return block;
    void *moved = alloc_to_move(size_bytes, held);
    if (moved == NULL) {
        /* All that was at hand has gone for it by now, and longer where it is takes less than two of them. */
        if (in_place && size_bytes > usable) usable = resize_in_place(block, size_bytes, 0);
        if (size_bytes <= usable) return block;
        errno = ENOMEM;
        return NULL;
    }
    return move_to(moved, block, size_bytes < held ? size_bytes : held);
}

/* A short block moves to another from the thread's cache, if that has one. */
static __attribute__((noinline)) void *block_resize(void *block, size_t size_bytes, size_t held) {
    void *moved = size_bytes <= CLASS_COARSE && held <= CLASS_COARSE ? front_take_quick(size_bytes) : NULL;
    if (__builtin_expect(moved == NULL, 0)) return block_resize_other(block, size_bytes, held);
    return move_to(moved, block, size_bytes < held ? size_bytes : held);
}

/* ---- The C library's names ---------------------------------------------------------------------------------------- */

/* What nearly every call needs stands in these two; the rest is called. */
DROPIN_EXPORT void *malloc(size_t size) {
    void *block = front_take_quick(size);
    return __builtin_expect(block != NULL, 1) ? block : alloc_or_errno(size, BLOCK_ALIGN, false);
}

DROPIN_EXPORT void free(void *block) {
    dropin_free("free()", block);
}

DROPIN_EXPORT void free_sized(void *block, size_t size) {
    (void)size;
    dropin_free("free_sized()", block);
}

DROPIN_EXPORT void free_aligned_sized(void *block, size_t align, size_t size) {
    (void)align, (void)size;
    dropin_free("free_aligned_sized()", block);
}

DROPIN_EXPORT void *calloc(size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    void *block = bytes <= CLASS_COARSE ? front_take_quick(bytes) : NULL; /* longer ones may be zero where they are */
    return __builtin_expect(block != NULL, 1) ? memset(block, 0, bytes) : alloc_or_errno(bytes, BLOCK_ALIGN, true);
}

/* As the GNU library: a size of 0 frees. */
DROPIN_EXPORT void *realloc(void *block, size_t size) {
    if (block == NULL) return alloc_or_errno(size, BLOCK_ALIGN, false);
    if (size == 0) {
        dropin_free("realloc()", block);
        return NULL;
    }
    size_t held = usable_size("realloc()", block);
    return stays(size, held) ? block : block_resize(block, size, held);
}

DROPIN_EXPORT void *reallocarray(void *block, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, bytes);
}

static void *aligned_or_errno(size_t size_bytes, size_t align) {
    void *block = dropin_take_aligned(size_bytes, align);
    return __builtin_expect(block != NULL, 1) ? block : alloc_or_errno(size_bytes, align, false);
}

/* The size need not be a multiple of the alignment (C17). */
DROPIN_EXPORT void *aligned_alloc(size_t align, size_t size) {
    if (!power_of_two(align)) {
        errno = EINVAL;
        return NULL;
    }
    return aligned_or_errno(size, align);
}

/* As the GNU library: other alignments are rounded up to a power of two. */
DROPIN_EXPORT void *memalign(size_t align, size_t size) {
    if (align > SIZE_MAX / 2 + 1) {
        errno = EINVAL;
        return NULL;
    }
    size_t power = BLOCK_ALIGN;
    while (power < align) power *= 2;
    return aligned_or_errno(size, power);
}

DROPIN_EXPORT int posix_memalign(void **result, size_t align, size_t size) {
    if (!power_of_two(align) || align % sizeof(void *) != 0) return EINVAL;
    void *block = dropin_take_aligned(size, align);
    if (__builtin_expect(block == NULL, 0)) block = dropin_alloc(size, align, false);
    if (block == NULL) return ENOMEM;
    *result = block;
    return 0;
}

DROPIN_EXPORT void *valloc(size_t size) { return alloc_or_errno(size, PAGE_BYTES, false); }

/* Whole pages, and at least one. */
DROPIN_EXPORT void *pvalloc(size_t size) {
    if (size > SIZE_MAX - PAGE_BYTES) {
        errno = ENOMEM;
        return NULL;
    }
    return alloc_or_errno(align_up(size == 0 ? 1 : size, PAGE_BYTES), PAGE_BYTES, false);
}

DROPIN_EXPORT size_t malloc_usable_size(void *block) { return block == NULL ? 0 : usable_size("malloc_usable_size()", block); }

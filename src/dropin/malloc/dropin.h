/*
 * dropin.h - what the files of the malloc drop-in share. Layer: dropin, above heap.
 */
#ifndef HM_DROPIN_MALLOC_H
#define HM_DROPIN_MALLOC_H

#include "heap/front.h"

/* The library is built with hidden visibility; these are the names that a program finds. */
#define DROPIN_EXPORT __attribute__((visibility("default")))

static inline bool power_of_two_or_0(size_t value) { return (value & (value - 1)) == 0; }
static inline bool power_of_two(size_t value) { return value != 0 && power_of_two_or_0(value); }

/* A block, or NULL without memory; errno stays as it is. align is a power of two. */
void *dropin_alloc(size_t size_bytes, size_t align, bool zero);

/* The same from the thread's cache, if that has one; NULL: dropin_alloc. */
static inline void *dropin_take_aligned(size_t size_bytes, size_t align) {
    size_t in_class = class_aligned(size_bytes, align);
    return in_class ? front_take_quick(in_class) : NULL;
}

/* NULL is fine; anything else that is not a live block ends the process with a line that names the caller and the pointer. */
void dropin_free_other(const char *caller, void *block);
FRONT_INLINE void dropin_free(const char *caller, void *block) {
    if (__builtin_expect(!front_keep_quick(block), 0)) dropin_free_other(caller, block);
}

/* Writes "caller: what 0x..." (no number for 0) to standard error and aborts. Async-signal-safe; allocates nothing. */
_Noreturn void dropin_abort(const char *caller, const char *what, uintptr_t number);

#endif

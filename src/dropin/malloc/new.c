/*
 * new.c - C++'s allocation and deallocation functions under the names that the compilers of the Itanium C++ ABI give them.
 *
 * Written in C and linked with no C++ library, yet a failure has to call the program's new-handler and to throw
 * std::bad_alloc. The program's own C++ library does both: its operators, which the ones here stand in front of, call malloc
 * or aligned_alloc, which are the drop-in's too, and on failure go through handler and exception as the standard says; the
 * nothrow forms catch what a handler throws. So whoever finds no memory here hands the call on to the next operator of the
 * same name. Nothing is caught or thrown in this file; it is compiled with unwind tables, so that an exception passes through.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>

#include "dropin/malloc/dropin.h"

/* std::nothrow_t and std::align_val_t as the ABI passes them. */
struct nothrow;
typedef size_t align_val;

/* ---- What the thread's cache does not serve, and failure --------------------------------------------------------- */

/* The operator of this name in the program's C++ library, NULL if there is none. */
static void *next_operator(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (found != NULL) return found;
    /* The library may have come with a plug-in, whose names others do not see. */
    static const char *const library[] = {"libstdc++.so.6", "libc++.so.1", "libc++abi.so.1"};
    for (size_t i = 0; found == NULL && i < sizeof library / sizeof *library; i++) {
        void *handle = dlopen(library[i], RTLD_LAZY | RTLD_NOLOAD);
        if (handle == NULL) continue;
        found = dlsym(handle, name);
        dlclose(handle); /* only its count: it was there before */
    }
    return found;
}

static void *next_or_abort(const char *name, size_t size) {
    void *found = next_operator(name);
    if (found == NULL) dropin_abort("operator new", "no memory and no C++ library to say so; bytes wanted:", size);
    return found;
}

static __attribute__((noinline)) void *new_other(const char *name, size_t size) {
    void *block = dropin_alloc(size, 0, false);
    if (block != NULL) return block;
    void *(*next)(size_t) = (void *(*)(size_t))next_or_abort(name, size);
    return next(size);
}

static __attribute__((noinline)) void *new_other_nothrow(const char *name, size_t size, const struct nothrow *tag) {
    void *block = dropin_alloc(size, 0, false);
    if (block != NULL) return block;
    void *(*next)(size_t, const struct nothrow *) = (void *(*)(size_t, const struct nothrow *))next_operator(name);
    return next == NULL ? NULL : next(size, tag);
}

/*
 * Those operators round the size up to the alignment, and some go round from the largest to a block of none. This one is refused
 * by all, and is a multiple of every alignment.
 */
static size_t size_to_round(size_t size) { return size <= SIZE_MAX / 2 + 1 ? size : SIZE_MAX / 2 + 1; }

/* NULL for an alignment that is not a power of two, too: the program's own operator judges that. */
static void *aligned_block(size_t size, align_val align) { return power_of_two(align) ? dropin_alloc(size, align, false) : NULL; }

static __attribute__((noinline)) void *new_other_aligned(const char *name, size_t size, align_val align) {
    void *block = aligned_block(size, align);
    if (block != NULL) return block;
    void *(*next)(size_t, align_val) = (void *(*)(size_t, align_val))next_or_abort(name, size);
    return next(size_to_round(size), align);
}

static __attribute__((noinline)) void *new_other_aligned_nothrow(const char *name, size_t size, align_val align,
                                                                 const struct nothrow *tag) {
    void *block = aligned_block(size, align);
    if (block != NULL) return block;
    void *(*next)(size_t, align_val, const struct nothrow *) =
        (void *(*)(size_t, align_val, const struct nothrow *))next_operator(name);
    return next == NULL ? NULL : next(size_to_round(size), align, tag);
}

/* ---- operator new ------------------------------------------------------------------------------------------------- */

static void *aligned_quick(size_t size, align_val align) {
    return power_of_two_or_0(align) ? dropin_take_aligned(size, align) : NULL; /* 0 is for no class */
}

#define NEW_PLAIN(name)                                                                                                          \
    DROPIN_EXPORT void *name(size_t size);                                                                                       \
    void *name(size_t size) {                                                                                                    \
        void *block = front_take_quick(size);                                                                                    \
        return __builtin_expect(block != NULL, 1) ? block : new_other(#name, size);                                              \
    }
#define NEW_NOTHROW(name)                                                                                                        \
    DROPIN_EXPORT void *name(size_t size, const struct nothrow *tag);                                                            \
    void *name(size_t size, const struct nothrow *tag) {                                                                         \
        void *block = front_take_quick(size);                                                                                    \
        return __builtin_expect(block != NULL, 1) ? block : new_other_nothrow(#name, size, tag);                                 \
    }
#define NEW_ALIGNED(name)                                                                                                        \
    DROPIN_EXPORT void *name(size_t size, align_val align);                                                                      \
    void *name(size_t size, align_val align) {                                                                                   \
        void *block = aligned_quick(size, align);                                                                                \
        return __builtin_expect(block != NULL, 1) ? block : new_other_aligned(#name, size, align);                               \
    }
#define NEW_ALIGNED_NOTHROW(name)                                                                                                \
    DROPIN_EXPORT void *name(size_t size, align_val align, const struct nothrow *tag);                                           \
    void *name(size_t size, align_val align, const struct nothrow *tag) {                                                        \
        void *block = aligned_quick(size, align);                                                                                \
        return __builtin_expect(block != NULL, 1) ? block : new_other_aligned_nothrow(#name, size, align, tag);                  \
    }

NEW_PLAIN(_Znwm)
NEW_PLAIN(_Znam)
NEW_NOTHROW(_ZnwmRKSt9nothrow_t)
NEW_NOTHROW(_ZnamRKSt9nothrow_t)
NEW_ALIGNED(_ZnwmSt11align_val_t)
NEW_ALIGNED(_ZnamSt11align_val_t)
NEW_ALIGNED_NOTHROW(_ZnwmSt11align_val_tRKSt9nothrow_t)
NEW_ALIGNED_NOTHROW(_ZnamSt11align_val_tRKSt9nothrow_t)

/* ---- operator delete ---------------------------------------------------------------------------------------------- */

/* The size, the alignment and the tag tell nothing that the heap does not know. */
#define DELETE(name, ...)                                                                                                        \
    DROPIN_EXPORT void name(void *block, ##__VA_ARGS__);                                                                         \
    void name(void *block, ##__VA_ARGS__) {                                                                                      \
        dropin_free("operator delete", block);                                                                                   \
    }

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
DELETE(_ZdlPv)
DELETE(_ZdaPv)
DELETE(_ZdlPvm, size_t size)
DELETE(_ZdaPvm, size_t size)
DELETE(_ZdlPvRKSt9nothrow_t, const struct nothrow *tag)
DELETE(_ZdaPvRKSt9nothrow_t, const struct nothrow *tag)
DELETE(_ZdlPvSt11align_val_t, align_val align)
DELETE(_ZdaPvSt11align_val_t, align_val align)
DELETE(_ZdlPvmSt11align_val_t, size_t size, align_val align)
DELETE(_ZdaPvmSt11align_val_t, size_t size, align_val align)
DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, align_val align, const struct nothrow *tag)
DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, align_val align, const struct nothrow *tag)
#pragma GCC diagnostic pop

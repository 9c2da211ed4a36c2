/*
 * newdelete.c - C++'s allocation and deallocation functions, called from C by the names that compilers give them, with the
 * C++ library loaded as a plug-in loads it. Run with the malloc drop-in preloaded.
 *
 * What throws is tried in a child: nobody catches it, so the C++ library calls the terminate handler, which looks at the
 * exception.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define TAG (&tag)

static const char tag; /* std::nothrow */

/* Weak: this program must start without the drop-in, too, and say that it is missing. */
void *_Znwm(size_t) __attribute__((weak));
void *_Znam(size_t) __attribute__((weak));
void *_ZnwmRKSt9nothrow_t(size_t, const char *) __attribute__((weak));
void *_ZnamRKSt9nothrow_t(size_t, const char *) __attribute__((weak));
void *_ZnwmSt11align_val_t(size_t, size_t) __attribute__((weak));
void *_ZnamSt11align_val_t(size_t, size_t) __attribute__((weak));
void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t, size_t, const char *) __attribute__((weak));
void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t, size_t, const char *) __attribute__((weak));
void _ZdlPv(void *) __attribute__((weak));
void _ZdaPv(void *) __attribute__((weak));
void _ZdlPvm(void *, size_t) __attribute__((weak));
void _ZdaPvm(void *, size_t) __attribute__((weak));
void _ZdlPvRKSt9nothrow_t(void *, const char *) __attribute__((weak));
void _ZdaPvRKSt9nothrow_t(void *, const char *) __attribute__((weak));
void _ZdlPvSt11align_val_t(void *, size_t) __attribute__((weak));
void _ZdaPvSt11align_val_t(void *, size_t) __attribute__((weak));
void _ZdlPvmSt11align_val_t(void *, size_t, size_t) __attribute__((weak));
void _ZdaPvmSt11align_val_t(void *, size_t, size_t) __attribute__((weak));
void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *, size_t, const char *) __attribute__((weak));
void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *, size_t, const char *) __attribute__((weak));

static volatile size_t huge = (size_t)PTRDIFF_MAX - 100000;
static volatile size_t wraps = SIZE_MAX - 5; /* when it is rounded up to an alignment */

/* The C++ library's functions that the tests call. */
static void *(*set_new_handler)(void *handler);
static void *(*set_terminate)(void *handler);
static void **(*current_exception_type)(void);
static void (*throw_bad_alloc)(void);

static void *checked(void *block, size_t size, size_t align) {
    CHECK(block != NULL && (uintptr_t)block % align == 0 && malloc_usable_size(block) >= size);
    memset(block, 0x42, size);
    return block;
}

static void test_pairs(void) {
    for (size_t size = 0; size < 300000; size += size / 2 + 1) {
        _ZdlPv(checked(_Znwm(size), size, 16));
        _ZdaPv(checked(_Znam(size), size, 16));
        _ZdlPvm(checked(_Znwm(size), size, 16), size);
        _ZdaPvm(checked(_Znam(size), size, 16), size);
        _ZdlPvRKSt9nothrow_t(checked(_ZnwmRKSt9nothrow_t(size, TAG), size, 16), TAG);
        _ZdaPvRKSt9nothrow_t(checked(_ZnamRKSt9nothrow_t(size, TAG), size, 16), TAG);
        for (size_t align = 1; align <= 8192; align *= 4) {
            _ZdlPvSt11align_val_t(checked(_ZnwmSt11align_val_t(size, align), size, align), align);
            _ZdaPvSt11align_val_t(checked(_ZnamSt11align_val_t(size, align), size, align), align);
            _ZdlPvmSt11align_val_t(checked(_ZnwmSt11align_val_t(size, align), size, align), size, align);
            _ZdaPvmSt11align_val_t(checked(_ZnamSt11align_val_t(size, align), size, align), size, align);
            _ZdlPvSt11align_val_tRKSt9nothrow_t(checked(_ZnwmSt11align_val_tRKSt9nothrow_t(size, align, TAG), size, align), align,
                                                TAG);
            _ZdaPvSt11align_val_tRKSt9nothrow_t(checked(_ZnamSt11align_val_tRKSt9nothrow_t(size, align, TAG), size, align), align,
                                                TAG);
        }
    }
    void *a = _Znwm(0), *b = _Znwm(0);
    CHECK(a != NULL && b != NULL && a != b);
    _ZdlPv(a);
    free(b); /* not for C++ programs, but one heap serves both */
    _ZdlPv(NULL);
    _ZdaPv(NULL);
    _ZdlPvm(NULL, 8);
    _ZdlPvSt11align_val_t(NULL, 64);
}

static bool find_library(void) {
    void *library = dlopen("libstdc++.so.6", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) return false;
    *(void **)&set_new_handler = dlsym(library, "_ZSt15set_new_handlerPFvvE");
    *(void **)&set_terminate = dlsym(library, "_ZSt13set_terminatePFvvE");
    *(void **)&current_exception_type = dlsym(library, "__cxa_current_exception_type");
    *(void **)&throw_bad_alloc = dlsym(library, "_ZSt17__throw_bad_allocv");
    return set_new_handler && set_terminate && current_exception_type && throw_bad_alloc;
}

static int count_handled;

static void handler_gives_up(void) {
    if (++count_handled == 3) set_new_handler(NULL);
}

/* Without memory and exceptions: NULL, after the handler has had its turns, even if the handler throws. */
static void test_nothrow(void) {
    CHECK(_ZnwmRKSt9nothrow_t(huge, TAG) == NULL);
    CHECK(_ZnamRKSt9nothrow_t(huge, TAG) == NULL);
    CHECK(_ZnwmSt11align_val_tRKSt9nothrow_t(huge, 64, TAG) == NULL);
    CHECK(_ZnamSt11align_val_tRKSt9nothrow_t(huge, 64, TAG) == NULL);
    CHECK(_ZnwmSt11align_val_tRKSt9nothrow_t(wraps, 64, TAG) == NULL);
    CHECK(_ZnamSt11align_val_tRKSt9nothrow_t(wraps, 4096, TAG) == NULL);
    CHECK(_ZnwmSt11align_val_tRKSt9nothrow_t(wraps / 2 + 10, (size_t)1 << 63, TAG) == NULL);
    CHECK(_ZnwmSt11align_val_tRKSt9nothrow_t(8, 24, TAG) == NULL); /* what is no alignment the C++ library refuses */
    CHECK(_ZnwmSt11align_val_tRKSt9nothrow_t(8, 0, TAG) == NULL);
    set_new_handler((void *)handler_gives_up);
    CHECK(_ZnwmRKSt9nothrow_t(huge, TAG) == NULL);
    CHECK_EQ(count_handled, 3);
    set_new_handler((void *)throw_bad_alloc);
    CHECK(_ZnwmRKSt9nothrow_t(huge, TAG) == NULL);
    CHECK(_ZnamSt11align_val_tRKSt9nothrow_t(huge, 64, TAG) == NULL);
    set_new_handler(NULL);
}

/* std::type_info: a vtable pointer, then the name. */
static void terminated(void) {
    void **type = current_exception_type();
    _exit(type != NULL && strcmp((const char *)type[1], "St9bad_alloc") == 0 ? 10 + count_handled : 1);
}

static void throw_in_child(int form, bool handler) {
    int status = 0;
    count_handled = 0;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        set_terminate((void *)terminated);
        if (handler) set_new_handler((void *)handler_gives_up);
        switch (form) {
        case 0:
            _Znwm(huge);
            break;
        case 1:
            _Znam(huge);
            break;
        case 2:
            _ZnwmSt11align_val_t(huge, 256);
            break;
        case 3:
            _ZnamSt11align_val_t(huge, 256);
            break;
        case 4:
            _ZnwmSt11align_val_t(wraps, 256);
            break;
        default:
            _ZnamSt11align_val_t(wraps, 256);
            break;
        }
        _exit(2);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), handler ? 13 : 10);
}

int main(void) {
    if (!CHECK(_Znwm != NULL && _ZdlPv != NULL && _ZdaPvSt11align_val_tRKSt9nothrow_t != NULL)) return check_done();
    test_pairs();
    /* Before there is a C++ library nobody can throw, but the forms that do not throw work. */
    CHECK(_ZnwmRKSt9nothrow_t(huge, TAG) == NULL);
    if (!CHECK(find_library())) return check_done();
    test_nothrow();
    for (int form = 0; form < 6; form++) {
        throw_in_child(form, false);
        throw_in_child(form, true);
    }
    test_pairs();
    return check_done();
}

/*
 * deepbind.c - a library that is loaded with RTLD_DEEPBIND looks for malloc and free in the C library first; the program
 * exchanges blocks with it. Run with the malloc drop-in preloaded.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

typedef char *gensalt_function(const char *prefix, unsigned long count, const char *bytes, int size);
typedef char *crypt_function(const char *phrase, const char *setting, void **data, int *size);

/* crypt_gensalt_ra gives a block that its caller frees; crypt_ra resizes a block that its caller had from malloc. */
static void test_exchange(void) {
    void *handle = dlopen("libcrypt.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
    if (!CHECK(handle != NULL)) return;
    gensalt_function *gensalt = (gensalt_function *)dlsym(handle, "crypt_gensalt_ra");
    crypt_function *crypt = (crypt_function *)dlsym(handle, "crypt_ra");
    if (!CHECK(gensalt != NULL && crypt != NULL)) return;
    char *setting = gensalt("$1$", 0, "0123456789abcdef", 16);
    void *data = malloc(100);
    int size = 100;
    CHECK(setting != NULL && malloc_usable_size(setting) > strlen(setting));
    CHECK(data != NULL && crypt("phrase", setting, &data, &size) != NULL);
    CHECK(size > 100 && malloc_usable_size(data) >= (size_t)size);
    free(setting);
    free(data);
    CHECK(dlclose(handle) == 0);
}

/* Whoever asks the C library itself finds the same functions now, of those that it has. */
static void test_names(void) {
    static const char *const names[] = {"malloc", "free", "aligned_alloc", "memalign", "__libc_malloc", "mallinfo2", "mallopt"};
    void *handle = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        CHECK(handle != NULL && dlsym(handle, names[i]) == dlsym(RTLD_DEFAULT, names[i]));
    CHECK(handle != NULL && dlsym(handle, "qsort") == dlsym(RTLD_DEFAULT, "qsort"));
}

/* $ORIGIN is the folder of whoever calls dlopen. */
static void test_caller(void) {
    void *handle = dlopen("$ORIGIN/../../libhostmem.so", RTLD_NOW | RTLD_LOCAL);
    if (!CHECK(handle != NULL)) printf("%s\n", dlerror());
}

int main(void) {
    test_exchange();
    test_names();
    test_caller();
    return check_done();
}

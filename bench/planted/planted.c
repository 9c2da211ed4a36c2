/*
 * planted.c - malloc libraries that are wrong on purpose, to preload in the test of the benchmark suite.
 *
 * PLANTED_null hands memory out from one mapping and never takes it back: nothing can be faster, and nothing keeps more.
 * PLANTED_slow calls the C library and waits a microsecond before. PLANTED_base and PLANTED_again, two of the same, count to a
 * thousand before, and PLANTED_tenth counts a tenth further.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *block, size_t size);
void free(void *block);

#ifdef PLANTED_null

enum { CHUNK = 64 << 20, HEADER = 16 };

static _Thread_local char *next __attribute__((tls_model("initial-exec")));
static _Thread_local size_t left __attribute__((tls_model("initial-exec")));
static _Thread_local char *last __attribute__((tls_model("initial-exec")));

void *malloc(size_t size) {
    size_t need = ((size + 15) & ~(size_t)15) + HEADER;
    if (last != NULL && *(size_t *)(void *)(last - HEADER) >= size) {
        char *again = last; /* the pair's block once more, so that the null allocator costs no page faults there */
        last = NULL;
        return again;
    }
    if (need > left) {
        size_t chunk = need > CHUNK ? need : CHUNK;
        void *got = mmap(NULL, chunk, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (got == MAP_FAILED) {
            errno = ENOMEM;
            return NULL;
        }
        next = got;
        left = chunk;
    }
    char *block = next + HEADER;
    *(size_t *)(void *)next = need - HEADER;
    next += need;
    left -= need;
    return block;
}

void free(void *block) { last = block; }

void *calloc(size_t count, size_t size) {
    void *block = malloc(count * size);
    return block != NULL ? memset(block, 0, count * size) : NULL;
}

void *realloc(void *block, size_t size) {
    void *fresh = malloc(size);
    if (fresh == NULL || block == NULL) return fresh;
    size_t old = *(size_t *)(void *)((char *)block - HEADER);
    return memcpy(fresh, block, old < size ? old : size);
}

#else

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void __libc_free(void *block);

#ifndef PLANTED_slow

#ifdef PLANTED_tenth
enum { COUNT = 1100 };
#else
enum { COUNT = 1000 };
#endif

void *malloc(size_t size) {
    for (int left = COUNT; left > 0; left--) __asm__ volatile("" : "+r"(left));
    return __libc_malloc(size);
}

#else

void *malloc(size_t size) {
    for (uint64_t start = __builtin_ia32_rdtsc(); __builtin_ia32_rdtsc() - start < 3000;) {
        /* waiting is the point */
    }
    return __libc_malloc(size);
}

#endif

void *calloc(size_t count, size_t size) { return __libc_calloc(count, size); }

void *realloc(void *block, size_t size) { return __libc_realloc(block, size); }

void free(void *block) { __libc_free(block); }

#endif

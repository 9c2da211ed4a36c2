/*
 * system.h - what the benchmarks ask of the system: its raw memory calls in one form, which library serves malloc, the
 * time-stamp counter, peak memory. One file a system.
 */
#ifndef HOSTMEM_BENCH_SYSTEM_H
#define HOSTMEM_BENCH_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/bench.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Virtual memory from somewhere: the engine, or the system's raw calls. All are read-write, all-or-nothing; NULL and false
 * are failures.
 */
struct bench_vm {
    const char *name;
    void *(*take)(size_t size_bytes);              /* reserve and commit */
    void *(*reserve)(size_t size_bytes);           /* address space only */
    bool (*give)(void *start, size_t size_bytes);  /* all of what take or reserve gave */
    bool (*commit)(void *start, size_t size_bytes);
    bool (*decommit)(void *start, size_t size_bytes);
    bool (*protect)(void *start, size_t size_bytes, bool writable); /* committed pages: read-write, or read-only */
    size_t (*query)(void *address); /* bytes from there on that are alike */
};

extern const struct bench_vm bench_vm_raw;
extern const struct bench_vm bench_vm_engine;

/*
 * Objects from somewhere through calls of one form; heap is what open gave. resize and aligned are NULL where the heap has no
 * such call. What aligned gave is freed by free_aligned.
 */
struct bench_heap {
    const char *name;
    void *(*open)(void); /* NULL: cannot be had */
    void (*close)(void *heap);
    void *(*alloc)(void *heap, size_t size_bytes);
    void (*free)(void *heap, void *block);
    void *(*resize)(void *heap, void *block, size_t size_bytes);
    void *(*aligned)(void *heap, size_t size_bytes, size_t alignment_bytes);
    void (*free_aligned)(void *heap, void *block);
    bool (*owns)(void *heap, void *block); /* the heap's own word that it served this block */
    /* A timed loop of alloc and free, made by BENCH_HEAP_PAIRS: the calls stand in it themselves. False: memory was refused. */
    bool (*pairs)(struct bench_state *state, void *heap, size_t size_bytes);
};

/* Some nanoseconds of a pair would be the way through the pointers above; here the compiler sees which calls are meant. */
#define BENCH_HEAP_PAIRS(name, alloc, free)                                                                                      \
    static bool name(struct bench_state *state, void *heap, size_t size) {                                                       \
        bool good = true;                                                                                                        \
        BENCH_LOOP(state) {                                                                                                      \
            char *block = alloc(heap, size);                                                                                     \
            if (block == NULL) {                                                                                                 \
                good = false;                                                                                                    \
                continue;                                                                                                        \
            }                                                                                                                    \
            *(volatile char *)block = 1;                                                                                         \
            free(heap, block);                                                                                                   \
        }                                                                                                                        \
        return good;                                                                                                             \
    }

extern const struct bench_heap bench_heap_engine; /* IHostMalloc, by its vtable */
extern const struct bench_heap bench_heap_flat;   /* HmHeapAlloc and its kin */
extern const struct bench_heap bench_heap_libc;   /* the C library's malloc, or what was loaded in front of it */

/* All heaps that this system has, the engine's first; ends with NULL. */
extern const struct bench_heap *const bench_heaps[];

/* Opens a heap and has it say that it serves what is asked of it. NULL, with *why, where it cannot be had or does not. */
void *bench_heap_open(const struct bench_heap *kind, const char **why);

/* The C library's own part of bench_heap_libc, which differs from system to system. */
extern const char system_libc_name[];
void *system_libc_aligned(size_t size_bytes, size_t alignment_bytes);
void system_libc_free_aligned(void *block);
bool system_libc_owns(void *block);

const char *system_name(void);
const char *system_library_of_malloc(void); /* the file that the malloc which this program calls lies in */
bool system_peak_reset(void);               /* peak resident memory counts from now on; false where it cannot be done */
uint64_t system_peak_bytes(void);
uint64_t system_mappings(void); /* how many pieces the system keeps the address space in */
void system_sleep_ms(unsigned ms);
void system_yield(void);

/* Keeps the calling thread on one of the processors that it may use, the which-th in turn; back on all of them: SYSTEM_ANY. */
enum { SYSTEM_ANY = -1 };
void system_pin(int which);

/* Counts the instructions of one benchmark by stepping through it; false where the system cannot. */
bool system_step(const char *name, uint64_t turns);

/* The time-stamp counter, after all that came before it. */
static inline uint64_t system_ticks(void) {
    uint32_t low, high, which;
    __asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(which) : : "memory");
    return (uint64_t)high << 32 | low;
}

#ifdef __cplusplus
}
#endif
#endif

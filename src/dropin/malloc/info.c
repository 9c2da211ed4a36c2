/*
 * info.c - the C library's functions that tell about its allocator or tune it, with the heap's own figures.
 *
 * A figure is what was true at some moment during the call, with other threads at work. What the heap has no counterpart for
 * (fast bins, mapped chunks, a break) is 0, and mallopt says of every parameter that it is not known.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#include "dropin/malloc/dropin.h"
#include "core/keeper.h"
#include "heap/figures.h"
#include "heap/heap.h"

struct figures {
    size_t taken_bytes; /* from the system */
    size_t used_bytes;  /* in live blocks: what threads keep at hand is free */
};

static struct figures figures_now(void) {
    struct heap *heap = heap_default();
    if (heap == NULL) return (struct figures){0};
    struct heap_figures figures;
    heap_figures(heap, &figures);
    struct figures now = {.taken_bytes = (size_t)figures.taken_bytes};
    now.used_bytes = (size_t)heap_figures_sum(&figures).live_bytes;
    if (now.used_bytes > now.taken_bytes) now.used_bytes = now.taken_bytes;
    return now;
}

DROPIN_EXPORT struct mallinfo2 mallinfo2(void) {
    struct figures now = figures_now();
    return (struct mallinfo2){.arena = now.taken_bytes, .uordblks = now.used_bytes, .fordblks = now.taken_bytes - now.used_bytes};
}

/* Its fields are too small for what a process may have: they stop at the largest number that they hold. */
DROPIN_EXPORT struct mallinfo mallinfo(void) {
    struct figures now = figures_now();
    size_t taken = now.taken_bytes < INT_MAX ? now.taken_bytes : INT_MAX;
    size_t used = now.used_bytes < taken ? now.used_bytes : taken;
    return (struct mallinfo){.arena = (int)taken, .uordblks = (int)used, .fordblks = (int)(taken - used)};
}

DROPIN_EXPORT int malloc_trim(size_t pad) {
    (void)pad;
    keeper_trim(); /* all threads', as one expects of it */
    return heap_trim() != 0;
}

DROPIN_EXPORT int mallopt(int parameter, int value) {
    (void)parameter, (void)value;
    return 0;
}

DROPIN_EXPORT void malloc_stats(void) {
    struct figures now = figures_now();
    dprintf(STDERR_FILENO, "hostmem: %zu bytes from the system, %zu of them in use\n", now.taken_bytes, now.used_bytes);
}

DROPIN_EXPORT int malloc_info(int options, FILE *stream) {
    if (options != 0) return EINVAL;
    struct figures now = figures_now();
    fprintf(stream,
            "<malloc version=\"1\">\n<system type=\"current\" size=\"%zu\"/>\n<total type=\"in-use\" size=\"%zu\"/>\n</malloc>\n",
            now.taken_bytes, now.used_bytes);
    return 0;
}

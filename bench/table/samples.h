/*
 * samples.h - the figures of many runs: read from their JSON files, asked for as medians.
 *
 * A file is called SYSTEM.PEER.KIND.ROUND.json, as run.sh writes them; a sample is one figure of one benchmark in one round.
 */
#ifndef HOSTMEM_BENCH_SAMPLES_H
#define HOSTMEM_BENCH_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>

/* False, with a message on stderr, for a file that cannot be used; the others still count. */
bool samples_read(const char *path);

/* Whether any file of this peer was read, and could be used. */
bool samples_have_peer(const char *system, const char *peer);

/* A median over rounds. count is 0 where there is no such sample; spread is half the distance of the quartiles, relative. */
struct figure {
    size_t count;
    double median;
    double spread;
};

struct figure samples_figure(const char *system, const char *peer, const char *benchmark, const char *name);

/* Nanoseconds an operation, from items_per_second. */
struct figure samples_ns(const char *system, const char *peer, const char *benchmark);

/*
 * How much longer the wall's clock ran than the processor worked, the median over all benchmarks with one thread: above 1.1
 * something else was using the machine. 0 where nothing tells.
 */
double samples_busy(void);

#endif

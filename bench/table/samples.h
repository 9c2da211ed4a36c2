/*
 * samples.h - the figures of many runs: read from JSON files, asked for as medians over the rounds.
 *
 * A run's file is called SYSTEM.PEER.KIND.ROUND.json, as run.sh writes them. It comes from hostmem-bench, hostmem-replay or
 * hostmem-clr --compare 1. A record is one file that holds all the figures of a run (record.h); a figure has a value a round.
 */
#ifndef HOSTMEM_BENCH_SAMPLES_H
#define HOSTMEM_BENCH_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>

enum { ROUNDS_MOST = 100, NAME_MOST = 96 };

/* One figure of one benchmark. The time of an operation is called "ns". */
struct series {
    char system[16];          /* linux, wine, windows */
    char peer[32];            /* what was preloaded, "none"; of a replay or a CLR whose memory it was */
    char benchmark[NAME_MOST]; /* "vm/touched/engine/65536", with " 4" behind it for four threads */
    char name[40];
    size_t count;
    int round[ROUNDS_MOST];
    double value[ROUNDS_MOST];
};

struct samples {
    struct series *series;
    size_t count, room;
    char machine[32][2][256]; /* what a record says of the machine: key and text */
    size_t count_machine;
};

/* Adds a run's file, a record, or a description of the machine. False, with a message on stderr, for one that cannot be used. */
bool samples_read(struct samples *samples, const char *path);

const struct series *samples_find(const struct samples *samples, const char *system, const char *peer, const char *benchmark,
                                  const char *name);
bool samples_have_peer(const struct samples *samples, const char *system, const char *peer);

/* A median over rounds. count is 0 where there is no such sample; spread is half the distance of the quartiles, relative. */
struct figure {
    size_t count;
    double median;
    double spread;
};

struct figure series_figure(const struct series *series); /* NULL: no figure */
struct figure samples_figure(const struct samples *samples, const char *system, const char *peer, const char *benchmark,
                             const char *name);

/*
 * How much longer the wall's clock ran than the processor worked, the median over the benchmarks of malloc, which
 * have one thread: above 1.1 something else was using the machine. 0 where nothing tells.
 */
double samples_busy(const struct samples *samples);

#endif

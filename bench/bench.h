/*
 * bench.h - how a benchmark is written: a C function with a loop in it, and a registration.
 *
 *     static void query(struct bench_state *state) {
 *         void *here = ...;                        // set-up: not timed
 *         BENCH_LOOP(state) {
 *             look_at(here);                       // timed
 *         }
 *         ...                                      // tear-down: not timed
 *         bench_items(state, 1);                   // operations in one turn of the loop
 *     }
 *     bench_register(&(struct bench){.name = "vm/query/engine", .run = query});
 *
 * glue.cc hands the registrations to Google Benchmark, whose flags, JSON and repetitions all work. With several threads the
 * function runs on each of them at once; all wait for each other where the loop begins and where it ends, so thread 0 can
 * set up what they share before the loop and take it down after.
 *
 * A benchmark that starts threads of its own registers a fixed number of turns; time is always the time on the wall.
 */
#ifndef HOSTMEM_BENCH_H
#define HOSTMEM_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { BENCH_ARGUMENTS = 2 };

/* What one thread of one run knows. */
struct bench_state {
    int64_t argument[BENCH_ARGUMENTS];
    const void *context; /* as registered */
    int thread;          /* 0 .. count_threads - 1 */
    int count_threads;
    uint64_t turns; /* of the loop, per thread */
    void *driver;   /* the harness's own, as is what follows */
    bool over;
};

typedef void bench_function(struct bench_state *state);

struct bench {
    const char *name; /* copied; "group/work/memory" */
    bench_function *run;
    const void *context; /* passed on to run; must live as long as the program */
    int64_t argument[BENCH_ARGUMENTS];
    int count_arguments; /* how many of them become part of the name */
    int threads;         /* 0 means 1 */
    uint64_t turns;      /* of the loop; 0: as many as fill the least time that the command line asks for */
};

void bench_register(const struct bench *bench);

/* The timed part. A `break` out of it is not allowed: let the turns run out, after bench_fail too. */
#define BENCH_LOOP(state) for (uint64_t bench_left_ = bench_begin(state); bench_left_ != 0 || bench_end(state); bench_left_--)

uint64_t bench_begin(struct bench_state *state); /* starts the clock, gives the number of turns */
bool bench_end(struct bench_state *state);       /* stops the clock; false */

/* Takes what is between them out of the time. They cost some hundred nanoseconds: only for turns that take much longer. */
void bench_pause(struct bench_state *state);
void bench_resume(struct bench_state *state);

/* After the loop. */
void bench_items(struct bench_state *state, double per_turn); /* operations; items_per_second in the output */

enum bench_counter {
    BENCH_VALUE,   /* as it is; of several threads, the sum */
    BENCH_PER_TURN /* divided by the turns of all threads */
};
void bench_count(struct bench_state *state, const char *name, double value, enum bench_counter kind);

/* Gives the run up: it is reported with this text and no figures. Before, in or after the loop; returns. */
void bench_fail(struct bench_state *state, const char *why);

/* Keeps the compiler from knowing what becomes of p, so that it cannot leave out what made it. */
static inline void bench_keep(void *p) { __asm__ volatile("" : : "r"(p) : "memory"); }

/* ---- Running without Google Benchmark, for counting (once.c) ---------------------------------------------------- */

/* The benchmark of this name ("malloc/pair/libc/64": name and arguments), or NULL. */
const struct bench *bench_find(const char *name);

/* Runs it on one thread for this many turns. False where it failed; the reason went to stderr. */
bool bench_once(const struct bench *bench, uint64_t turns);

/* Called where the timed part of bench_once begins and ends; NULL for nothing. */
extern void (*bench_once_mark)(void);

/* The command lines that are not Google Benchmark's: --once, --step, --library. True: *status is the exit status. */
bool bench_other_command(int argc, char **argv, int *status);

/* Registers every benchmark of the suite. */
void bench_register_all(void);

#ifdef __cplusplus
}
#endif
#endif

/* rows_inside.h - what the files that make rows share. One table is made at a time. */
#ifndef HOSTMEM_BENCH_ROWS_INSIDE_H
#define HOSTMEM_BENCH_ROWS_INSIDE_H

#include "bench/table/rows.h"
#include "bench/table/samples.h"

enum unit { UNIT_NS, UNIT_BYTES, UNIT_COUNT };

extern const struct samples *rows_samples;
extern const char *rows_ours; /* the peer whose malloc is judged */

struct figure figure_of(const char *system, const char *peer, const char *benchmark, const char *name);

/* A value with its unit, for people. */
void rows_value(char *text, size_t size, double value, enum unit unit);

struct row *row_new(const char *section, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Both sides, of which less is better: theirs is to be at least wanted times ours; 0: the row has no bound. */
void row_judge(struct row *row, struct figure ours, struct figure theirs, double wanted, enum unit unit);

/* An upper bound that stands by itself. */
void row_judge_most(struct row *row, struct figure ours, double most, enum unit unit);

/* Engine against raw: "%s" in pattern stands for either's name. */
void row_vm(const char *section, const char *system, const char *work, const char *against, const char *pattern,
            const char *name, double wanted, enum unit unit);

/* malloc on Linux: ours against the best of the peers. */
struct row *row_peers(const char *section, const char *work, const char *benchmark, const char *name, double wanted,
                      enum unit unit);

/* rows_more.c: what has no bound of its own. */
void rows_make_more(void);

#endif

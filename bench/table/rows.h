/* rows.h - the rows of the table of figures: what was measured against what, how far apart, and whether that is far enough. */
#ifndef HOSTMEM_BENCH_ROWS_H
#define HOSTMEM_BENCH_ROWS_H

#include <stddef.h>

struct samples;

/* Reached or short of the bound that the row wants; better, worse or even where it wants none; a figure that is not judged. */
enum verdict {
    VERDICT_REACHED,
    VERDICT_SHORT,
    VERDICT_BETTER,
    VERDICT_EVEN,
    VERDICT_WORSE,
    VERDICT_FIGURE,
    VERDICT_NOT_RUN,
    VERDICTS
};

struct row {
    const char *section; /* rows of one section follow each other */
    char work[72];
    char against[40];
    char ours[24], theirs[24]; /* with units; empty where there is none */
    double ours_value, theirs_value; /* nanoseconds, bytes or counts */
    double ratio;                    /* how many times better than theirs; 0 where there is none */
    double spread;                   /* relative, of the noisier side */
    char wanted[24];
    enum verdict verdict;
    char why[64]; /* of VERDICT_NOT_RUN and VERDICT_FIGURE */
};

enum { ROWS_MOST = 400 };

/* Computes all rows from the samples; ours is the peer whose malloc is judged ("hostmem"). Returns how many. */
size_t rows_make(const struct samples *samples, struct row *rows, const char *ours);

#endif

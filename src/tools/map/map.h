/*
 * map.h - what the files of hostmem-map share: rows of cells, and the figures beside them.
 *
 * main.c reads the command line, rows.c cuts the regions into rows, figures.c counts fragmentation, terminal.c, svg.c and
 * json.c draw.
 */
#ifndef HOSTMEM_MAP_H
#define HOSTMEM_MAP_H

#include "tools/common/look.h"

/* One cell of the picture: as many granules as fit in it. */
struct cell {
    enum published_use use; /* of most of its granules that are not free */
    uint32_t granules;      /* that are not free */
    double committed;       /* of the pages of those, the share that is committed */
    double fill;            /* of slabs: the share of blocks that are taken; of others 1 */
    bool first;             /* a span starts here */
    bool odd;               /* changes from one span to the next */
};

/* A row of cells; or rows in which everything is free, which stand for one. */
struct row {
    uint32_t region;
    uint32_t granule;     /* the first of the row */
    uint32_t count_empty; /* 0: a row with something in it */
};

struct rows {
    uint32_t cells;    /* in a row */
    uint32_t granules; /* in a cell */
    uint32_t count;
    uint32_t count_full; /* of them with something in them */
    struct row *row;
};

/* Rows of so many cells; a cell holds as few granules as leave no more than `most` rows with something in them. */
bool rows_make(const struct published_half *half, uint32_t cells, uint32_t most, struct rows *rows);
struct cell rows_cell(const struct published_half *half, const struct rows *rows, const struct row *row, uint32_t index);
uint64_t rows_address(const struct published_half *half, const struct row *row);
uint64_t rows_bytes(const struct rows *rows); /* of one row */
/* Of the rows that an empty one stands for, as far as the region goes. */
uint64_t rows_empty_bytes(const struct rows *rows, const struct row *row);

#define RUN_KINDS 6 /* free runs of 1, 2.., 4.., 16.., 64.., 256.. granules */

struct region_figures {
    uint64_t used[USE_COUNT]; /* granules */
    uint64_t committed_bytes;
    uint64_t free_runs;
    uint64_t longest_free; /* granules */
    uint64_t in_runs[RUN_KINDS];
};
void figures_of_region(const struct published_region *region, struct region_figures *figures);
const char *figures_run_name(unsigned kind);

extern const char *const use_name[USE_COUNT];

/* In nobody's use: free, or no more of the region. What another version may have invented counts as that as well. */
static inline bool map_free(const struct published_granule *granule) {
    return granule->use == USE_FREE || granule->use >= USE_GIVEN;
}

/* Pages; no more than there are, whatever a process writes. */
static inline uint64_t map_committed(const struct published_granule *granule) {
    return granule->committed < PAGES_PER_GRANULE ? granule->committed : PAGES_PER_GRANULE;
}

void terminal_draw(const struct look *look, const struct published_half *half, bool coloured, uint32_t width, uint32_t rows);
bool svg_draw(const struct look *look, const struct published_half *half, FILE *out); /* false: no room for it */
void json_draw(const struct look *look, const struct published_half *half);

#endif

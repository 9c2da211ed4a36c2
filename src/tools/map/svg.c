/*
 * svg.c - the map as a picture that stands for itself: one SVG file, without scripts, light or dark as its reader likes.
 *
 * A region is drawn row by row, 128 cells to a row. A span is a strip in the tint of its use, ended by a gap; what of it is in
 * use (committed pages; of slabs, blocks taken) is filled from the bottom in the full colour. Strips of one row and use are one
 * path, so that a file stays small.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/map/map.h"
#include "tools/map/svg.h"

enum { CELLS = 128, ROWS_AT_MOST = 160, CELL_WIDTH = 8, CELL_HEIGHT = 12, ROW_PITCH = 15, GAP_PITCH = 22, MAP_LEFT = 144 };

static const char use_class[USE_GIVEN] = {'f', 'a', 's', 'l', 'k'};

/* ---- The map ------------------------------------------------------------------------------------------------------ */

static double level(const struct rows *rows, const struct cell *cell) {
    return (cell->use == USE_SLAB ? cell->fill : cell->committed) * cell->granules / rows->granules;
}

/* The path of one use in a row: whole strips, or how far they are filled. */
static void draw_strips(FILE *out, const struct cell *cells, const double *levels, enum published_use use, double top,
                        bool filled) {
    bool open = false;
    for (uint32_t i = 0, end; i < CELLS; i = end) {
        end = i + 1;
        if (cells[i].use != use) continue;
        while (end < CELLS && cells[end].use == use && !cells[end].first && (!filled || levels[end] == levels[i])) end++;
        bool ends = end == CELLS || cells[end].first || cells[end].use != use;
        double height = filled ? levels[i] * CELL_HEIGHT : CELL_HEIGHT, width = (end - i) * (double)CELL_WIDTH - (ends ? 1 : 0);
        if (height < 0.05) continue;
        if (!open) fprintf(out, "<path class=\"%c%s\" d=\"", use_class[use], filled ? "" : "t");
        open = true;
        fprintf(out, "M%u %.4gh%.4gv%.3gh-%.4gz", MAP_LEFT + i * CELL_WIDTH, top + CELL_HEIGHT - height, width, height, width);
    }
    if (open) fputs("\"/>\n", out);
}

static void draw_row(FILE *out, const struct published_half *half, const struct rows *rows, const struct row *row, double top) {
    struct cell cells[CELLS];
    double levels[CELLS];
    for (uint32_t i = 0; i < CELLS; i++) {
        cells[i] = rows_cell(half, rows, row, i);
        levels[i] = level(rows, &cells[i]);
    }
    fprintf(out, "<text class=\"m\" x=\"%d\" y=\"%.4g\" text-anchor=\"end\">%" PRIx64 "</text>\n", MAP_LEFT - 10, top + 10,
            rows_address(half, row));
    fprintf(out, "<rect class=\"f\" x=\"%d\" y=\"%.4g\" width=\"%d\" height=\"%d\"/>\n", MAP_LEFT, top, CELLS * CELL_WIDTH - 1,
            CELL_HEIGHT);
    for (int use = USE_ALLOCATION; use < USE_GIVEN; use++) {
        draw_strips(out, cells, levels, (enum published_use)use, top, false);
        draw_strips(out, cells, levels, (enum published_use)use, top, true);
    }
}

static void draw_gap(FILE *out, const struct rows *rows, const struct row *row, double top) {
    char bytes[24];
    fprintf(out, "<path class=\"gap\" d=\"M%d %.4gh%d\"/>", MAP_LEFT, top + 9, CELLS * CELL_WIDTH - 1);
    fprintf(out, "<text class=\"g\" x=\"%d\" y=\"%.4g\" text-anchor=\"middle\">%s free</text>\n",
            MAP_LEFT + CELLS * CELL_WIDTH / 2, top + 13, look_bytes(rows_empty_bytes(rows, row), bytes));
}

/* What is free, by the length of its runs: short ones are what fragmentation is. */
static void draw_runs(FILE *out, const struct region_figures *figures, double top) {
    char bytes[24];
    uint64_t whole = figures->used[USE_FREE];
    double left = MAP_LEFT, total = CELLS * CELL_WIDTH - 1;
    for (unsigned kind = 0; kind < RUN_KINDS && whole > 0; kind++) {
        double width = (double)figures->in_runs[kind] / (double)whole * total;
        if (figures->in_runs[kind] == 0) continue;
        if (width < 2) width = 2;
        if (left + width > MAP_LEFT + total) width = MAP_LEFT + total - left;
        fprintf(out,
                "<rect class=\"r%u\" x=\"%.5g\" y=\"%.4g\" width=\"%.4g\" height=\"6\"><title>%s in runs of %s</title></rect>\n",
                kind, left, top, width > 1 ? width - 1 : width, look_bytes(figures->in_runs[kind] * GRANULE_BYTES, bytes),
                figures_run_name(kind));
        left += width;
    }
}

static double draw_region(FILE *out, const struct published_half *half, uint32_t n, double top) {
    struct region_figures f;
    char a[24], b[24], c[24];
    const struct published_region *region = &half->region[n];
    figures_of_region(region, &f);
    uint64_t used = GRANULES_PER_SLOT - f.used[USE_FREE] - f.used[USE_GIVEN];
    char given[48] = "";
    if (f.used[USE_GIVEN] != 0)
        snprintf(given, sizeof given, ", %s given back", look_bytes(f.used[USE_GIVEN] * GRANULE_BYTES, c));
    fprintf(out, "<text class=\"h\" x=\"%d\" y=\"%.4g\">Region %u</text>", SVG_MARGIN, top + 16, n + 1);
    fprintf(out, "<text class=\"n\" x=\"%d\" y=\"%.4g\">4 GiB at %" PRIx64 " · %s used, %s committed%s</text>\n", MAP_LEFT,
            top + 16, region->start, look_bytes(used * GRANULE_BYTES, a), look_bytes(f.committed_bytes, b), given);
    fprintf(out, "<text class=\"n\" x=\"%d\" y=\"%.4g\" text-anchor=\"end\">free in %" PRIu64 " run%s, the longest %s</text>\n",
            SVG_WIDTH - SVG_MARGIN, top + 16, f.free_runs, f.free_runs == 1 ? "" : "s",
            look_bytes(f.longest_free * GRANULE_BYTES, c));
    draw_runs(out, &f, top + 26);
    return top + 42;
}

double svg_map(FILE *out, const struct published_half *half, double top) {
    struct rows rows;
    uint32_t region = UINT32_MAX;
    if (!rows_make(half, CELLS, ROWS_AT_MOST, &rows)) return top;
    for (uint32_t i = 0; i < rows.count; i++) {
        const struct row *row = &rows.row[i];
        if (row->region != region) {
            region = row->region;
            top = draw_region(out, half, region, top + (i > 0 ? 22 : 0));
        }
        if (row->count_empty == 0)
            draw_row(out, half, &rows, row, top);
        else
            draw_gap(out, &rows, row, top);
        top += row->count_empty == 0 ? ROW_PITCH : GAP_PITCH;
    }
    char bytes[24];
    fprintf(out, "<text class=\"g\" x=\"%d\" y=\"%.4g\">one cell is %s, one row %s; addresses are hexadecimal</text>\n", MAP_LEFT,
            top + 12, look_bytes((uint64_t)rows.granules * GRANULE_BYTES, bytes), look_bytes(rows_bytes(&rows), (char[24]){0}));
    free(rows.row);
    return top + 24;
}

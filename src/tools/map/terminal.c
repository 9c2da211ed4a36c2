/*
 * terminal.c - the map in a terminal: one character for a cell, its colour the use, its height how much of it is in use.
 *
 * Neighbouring spans of one use have two shades in turn, so that one can be told from the next. Without colours each use has a
 * letter.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "tools/map/map.h"

/* Two shades of each use, in the 256-colour palette. */
static const int shades[USE_GIVEN][2] = {{238, 238}, {39, 32}, {71, 65}, {208, 172}, {140, 97}};
static const char letters[USE_GIVEN] = {'.', 'a', 's', 'L', 'k'};
static const char *const heights[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};

static const char *const runs[RUN_KINDS] = {"64K", "128K", "256K-1M", "1-4M", "4-16M", "16M and more"};

static bool colours;

static void paint(int colour, const char *text) {
    if (colours)
        printf("\033[38;5;%dm%s\033[0m", colour, text);
    else
        fputs(text, stdout);
}

static void dim(const char *text) {
    paint(244, text);
}

/* How high the cell is filled, 0 to 1: slabs by their blocks, the rest by committed pages. */
static double level(const struct rows *rows, const struct cell *cell) {
    double in_use = cell->use == USE_SLAB ? cell->fill : cell->committed;
    return in_use * cell->granules / rows->granules;
}

static void draw_row(const struct published_half *half, const struct rows *rows, const struct row *row) {
    bool odd = false;
    char text[32];
    snprintf(text, sizeof text, "  %012" PRIx64 "  ", rows_address(half, row));
    dim(text);
    for (uint32_t i = 0; i < rows->cells; i++) {
        struct cell cell = rows_cell(half, rows, row, i);
        odd ^= cell.first;
        char letter[2] = {letters[cell.use], 0};
        int colour = shades[cell.use][odd];
        if (!colours)
            fputs(letter, stdout);
        else if (cell.use == USE_FREE)
            paint(colour, "·");
        else
            paint(colour, heights[(int)(level(rows, &cell) * 7.99)]);
    }
    putchar('\n');
}

static void draw_empty(const struct rows *rows, const struct row *row) {
    char bytes[24], text[64];
    snprintf(text, sizeof text, "                ⋮  %s free\n", look_bytes(row->count_empty * rows_bytes(rows), bytes));
    dim(text);
}

static void draw_legend(const struct rows *rows) {
    char bytes[24], text[128];
    printf("  ");
    for (int use = USE_ALLOCATION; use < USE_GIVEN; use++) {
        char letter[2] = {letters[use], 0};
        paint(shades[use][0], colours ? "█" : letter);
        printf(" %s   ", use_name[use]);
    }
    paint(shades[USE_FREE][0], colours ? "·" : ".");
    snprintf(text, sizeof text, " free    one cell is %s", look_bytes((uint64_t)rows->granules * GRANULE_BYTES, bytes));
    printf("%s\n", text);
    if (colours)
        dim("  height: pages committed; of slabs, blocks taken\n");
}

static void draw_figures(const struct published_region *region) {
    struct region_figures f;
    char a[24], b[24], c[24], text[256];
    figures_of_region(region, &f);
    uint64_t used = GRANULES_PER_SLOT - f.used[USE_FREE] - f.used[USE_GIVEN];
    snprintf(text, sizeof text, "  %s used, %s committed; free in %" PRIu64 " run%s, the longest %s",
             look_bytes(used * GRANULE_BYTES, a), look_bytes(f.committed_bytes, b), f.free_runs,
             f.free_runs == 1 ? "" : "s", look_bytes(f.longest_free * GRANULE_BYTES, c));
    fputs(text, stdout);
    if (f.used[USE_GIVEN] != 0)
        printf("; %s given back", look_bytes(f.used[USE_GIVEN] * GRANULE_BYTES, a));
    putchar('\n');
    if (f.free_runs < 2)
        return;
    dim("  free in runs of ");
    for (unsigned kind = 0; kind < RUN_KINDS; kind++) {
        if (f.in_runs[kind] == 0)
            continue;
        printf("%s: %s   ", runs[kind], look_bytes(f.in_runs[kind] * GRANULE_BYTES, a));
    }
    putchar('\n');
}

static void draw_outside(const struct published_half *half) {
    char a[24], b[24];
    uint64_t shown = half->count_spans < PUBLISHED_SPANS ? half->count_spans : PUBLISHED_SPANS;
    if (half->count_spans == 0)
        return;
    printf("\noutside the regions, %" PRIu64 " allocation%s\n", half->count_spans, half->count_spans == 1 ? "" : "s");
    for (uint64_t i = 0; i < shown; i++) {
        const struct published_span *span = &half->span[i];
        printf("  %012" PRIx64 "  %10s reserved, %10s committed\n", span->start, look_bytes(span->size_bytes, a),
               look_bytes(span->committed_bytes, b));
    }
}

void terminal_draw(const struct look *look, const struct published_half *half, bool coloured, uint32_t width, uint32_t most) {
    struct rows rows;
    uint32_t region = UINT32_MAX, cells = 32;
    char size[24];
    colours = coloured;
    while (cells + 32 + 18 <= width)
        cells += 32; /* rows begin at addresses that are somewhat round */
    if (!rows_make(half, cells, most, &rows)) {
        fputs("hostmem-map: no memory\n", stderr);
        return;
    }
    printf("%s  process %" PRIu64 "\n", look->program, look->process);
    if (half->count_regions > 0)
        draw_legend(&rows);
    for (uint32_t i = 0; i < rows.count; i++) {
        const struct row *row = &rows.row[i];
        if (row->region != region) {
            region = row->region;
            printf("\nregion %u of %" PRIu64 " at %" PRIx64 ", %s\n", region + 1, half->count_regions, half->region[region].start,
                   look_bytes(SLOT_BYTES, size));
            draw_figures(&half->region[region]);
        }
        if (row->count_empty == 0)
            draw_row(half, &rows, row);
        else
            draw_empty(&rows, row);
    }
    draw_outside(half);
    free(rows.row);
}

/*
 * terminal.c - the map in a terminal: one character for a cell, its colour the use, its height how much of it is in use.
 *
 * Neighbouring spans of one use have two shades in turn, so that one can be told from the next. Without colours each use has a
 * letter. What is said in words is broken where the terminal ends.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/map/map.h"

/* Two shades of each use, in the 256-colour palette. */
static const int shades[USE_GIVEN][2] = {{238, 238}, {39, 32}, {71, 65}, {208, 172}, {140, 97}};
static const char letters[USE_GIVEN] = {'.', 'a', 's', 'L', 'k'};
static const char *const heights[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};

static const char *const runs[RUN_KINDS] = {"64K", "128K", "256K-1M", "1-4M", "4-16M", "16M and more"};

enum { PLAIN = -1, GREY = 244, ADDRESS = 18, CELLS = 32 };

static bool colours;
static uint32_t widest, column; /* of the terminal; of what was said in the line so far */

static void paint(int colour, const char *text) {
    if (colours && colour != PLAIN)
        printf("\033[38;5;%dm%s\033[0m", colour, text);
    else
        fputs(text, stdout);
}

static void line_end(void) {
    putchar('\n');
    column = 0;
}

/* Breaks the line if what comes next, of so many columns, does not fit in it. */
static bool line_break(size_t columns) {
    bool breaks = column > 0 && column + columns > widest;
    if (breaks) fputs("\n   ", stdout), column = 3;
    return breaks;
}

/* A sentence, which begins a line or goes on in it, and is broken between words. */
static void say(int colour, const char *text) {
    while (*text != 0) {
        size_t blanks = strspn(text, " "), length = blanks + strcspn(text + blanks, " ");
        uint32_t columns = 0;
        char word[256];
        size_t used = 0;
        for (size_t at = blanks, bytes; at < length && used + 4 < sizeof word; at += bytes, columns++) {
            size_t good = tool_printable(text + at);
            bytes = good != 0 ? good : 1;
            memcpy(word + used, good != 0 ? text + at : "?", bytes);
            used += bytes;
        }
        word[used] = 0;
        if (line_break(columns + (uint32_t)blanks)) blanks = 0;
        column += columns + (uint32_t)blanks;
        for (; blanks > 0; blanks--) putchar(' ');
        paint(colour, word);
        text += length;
    }
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
    paint(GREY, text);
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
    snprintf(text, sizeof text, "                ⋮  %s free\n", look_bytes(rows_empty_bytes(rows, row), bytes));
    paint(GREY, text);
}

static void draw_legend(const struct rows *rows) {
    char bytes[24], text[128];
    for (int i = USE_ALLOCATION; i <= USE_GIVEN; i++) {
        int use = i < USE_GIVEN ? i : USE_FREE; /* which comes last */
        char letter[2] = {letters[use], 0};
        const char *gap = column == 0 ? "  " : line_break(5 + strlen(use_name[use])) ? "" : "   ";
        snprintf(text, sizeof text, "%s%s", gap, !colours ? letter : use == USE_FREE ? "·" : "█");
        say(shades[use][0], text);
        snprintf(text, sizeof text, " %s", use_name[use]);
        say(PLAIN, text);
    }
    snprintf(text, sizeof text, "    one cell is %s", look_bytes((uint64_t)rows->granules * GRANULE_BYTES, bytes));
    say(PLAIN, text);
    line_end();
    if (!colours) return;
    say(GREY, "  height: pages committed; of slabs, blocks taken");
    line_end();
}

static void draw_figures(const struct published_region *region) {
    struct region_figures f;
    char a[24], b[24], c[24], text[256];
    figures_of_region(region, &f);
    uint64_t used = GRANULES_PER_SLOT - f.used[USE_FREE] - f.used[USE_GIVEN];
    snprintf(text, sizeof text, "  %s used, %s committed; free in %" PRIu64 " run%s, the longest %s",
             look_bytes(used * GRANULE_BYTES, a), look_bytes(f.committed_bytes, b), f.free_runs,
             f.free_runs == 1 ? "" : "s", look_bytes(f.longest_free * GRANULE_BYTES, c));
    say(PLAIN, text);
    if (f.used[USE_GIVEN] != 0) {
        snprintf(text, sizeof text, "; %s given back", look_bytes(f.used[USE_GIVEN] * GRANULE_BYTES, a));
        say(PLAIN, text);
    }
    line_end();
    if (f.free_runs < 2) return;
    say(GREY, "  free in runs of");
    for (unsigned kind = 0, said = 0; kind < RUN_KINDS; kind++) {
        if (f.in_runs[kind] == 0) continue;
        snprintf(text, sizeof text, "%s%s: %s", said++ > 0 ? "   " : " ", runs[kind],
                 look_bytes(f.in_runs[kind] * GRANULE_BYTES, a));
        say(PLAIN, text);
    }
    line_end();
}

static void draw_outside(const struct published_half *half) {
    char a[24], b[24], text[128];
    uint64_t shown = half->count_spans < PUBLISHED_SPANS ? half->count_spans : PUBLISHED_SPANS;
    if (half->count_spans == 0) return;
    printf("\noutside the regions, %" PRIu64 " allocation%s\n", half->count_spans, half->count_spans == 1 ? "" : "s");
    for (uint64_t i = 0; i < shown; i++) {
        const struct published_span *span = &half->span[i];
        snprintf(text, sizeof text, "  %012" PRIx64 "  %10s reserved, %10s committed", span->start,
                 look_bytes(span->size_bytes, a), look_bytes(span->committed_bytes, b));
        say(PLAIN, text);
        line_end();
    }
}

void terminal_draw(const struct look *look, const struct published_half *half, bool coloured, uint32_t width, uint32_t most) {
    struct rows rows;
    uint32_t region = UINT32_MAX, cells = CELLS;
    char size[24], text[128];
    colours = coloured;
    widest = width;
    while (cells + CELLS + ADDRESS <= width)
        cells += CELLS; /* rows begin at addresses that are somewhat round */
    while (cells > 8 && cells + ADDRESS > width) cells /= 2;
    if (!rows_make(half, cells, most, &rows)) {
        fputs("hostmem-map: no memory\n", stderr);
        return;
    }
    say(PLAIN, look->program);
    snprintf(text, sizeof text, "  process %" PRIu64, look->process);
    say(PLAIN, text);
    line_end();
    if (half->count_regions > 0) draw_legend(&rows);
    for (uint32_t i = 0; i < rows.count; i++) {
        const struct row *row = &rows.row[i];
        if (row->region != region) {
            region = row->region;
            snprintf(text, sizeof text, "region %u of %" PRIu64 " at %" PRIx64 ", %s", region + 1, half->count_regions,
                     half->region[region].start, look_bytes(SLOT_BYTES, size));
            putchar('\n');
            say(PLAIN, text);
            line_end();
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

/*
 * screen.c - lines of text with colours, and a terminal to put them on.
 *
 * A line keeps count of its width in cells while bytes and colours are added, so that panels can be set side by side. A full
 * screen is the terminal's second one, redrawn in place line by line, so that nothing flickers and nothing is left behind.
 */
#include <stdarg.h>
#include <string.h>

#include "tools/top/top.h"

static bool coloured, full_screen;
static int widest = 1 << 20;  /* a line that is longer loses its end, lest the terminal breaks it */
static int longest = 1 << 20; /* and so does a full screen, lest it loses its beginning */

/* Colours of the 256-colour palette that read well on dark and on light. */
static const char *const codes[COLOUR_COUNT] = {
    [PLAIN] = "0",       [DIM] = "38;5;244",    [BOLD] = "1",          [TITLE] = "1;38;5;39", [BLUE] = "38;5;39",
    [GREEN] = "38;5;71", [ORANGE] = "38;5;208", [VIOLET] = "38;5;140", [RED] = "38;5;203",  [FAINT] = "38;5;238",
};

/* ---- Lines -------------------------------------------------------------------------------------------------------- */

struct line *lines_add(struct lines *lines) {
    static struct line spare; /* a panel that is too long loses its end */
    struct line *line = lines->count < LINES_AT_MOST ? &lines->line[lines->count++] : &spare;
    line->length = 0;
    line->width = 0;
    line->text[0] = 0;
    return line;
}

static void put_raw(struct line *line, const char *text) {
    size_t length = strlen(text);
    if (line->length + length >= LINE_ROOM) return;
    memcpy(line->text + line->length, text, length + 1);
    line->length += length;
}

/* As many characters as there is room for, with '?' for what a terminal cannot be given. */
static void put_text(struct line *line, enum colour colour, const char *all, int most) {
    char text[LINE_ROOM];
    size_t length = 0;
    int cells = 0;
    if (most > widest - line->width) most = widest - line->width;
    for (size_t bytes; *all != 0 && cells < most && length + 4 < sizeof text; cells++, all += bytes) {
        size_t good = tool_printable(all);
        bytes = good != 0 ? good : 1;
        memcpy(text + length, good != 0 ? all : "?", bytes);
        length += bytes;
    }
    text[length] = 0;
    if (length == 0) return;
    char code[32];
    if (coloured && colour != PLAIN) {
        snprintf(code, sizeof code, "\033[%sm", codes[colour]);
        put_raw(line, code);
    }
    put_raw(line, text);
    if (coloured && colour != PLAIN) put_raw(line, "\033[0m");
    line->width += cells;
}

void line_put(struct line *line, enum colour colour, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    put_text(line, colour, text, LINE_ROOM);
}

void line_field(struct line *line, enum colour colour, int width, const char *text) {
    int end = line->width + width;
    put_text(line, colour, text, width - 1);
    line_pad(line, end);
}

void line_pad(struct line *line, int width) {
    while (line->width < width && line->length + 1 < LINE_ROOM) {
        put_raw(line, " ");
        line->width++;
    }
}

static void put_cells(struct line *line, enum colour colour, const char *cell, int count) {
    char text[512] = "";
    size_t each = strlen(cell);
    for (int i = 0; i < count && ((size_t)i + 1) * each < sizeof text; i++) memcpy(text + (size_t)i * each, cell, each + 1);
    if (count > 0) put_text(line, colour, text, LINE_ROOM);
}

void line_bar(struct line *line, int width, const struct bar_part *parts, int count) {
    double share = 0;
    int at = 0; /* half cells */
    for (int i = 0; i < count; i++) {
        share += parts[i].share > 0 ? parts[i].share : 0;
        if (share > 1) share = 1;
        int end = (int)(share * width * 2 + 0.5);
        if (parts[i].share > 0 && end == at && at < width * 2)
            end++; /* a little is not nothing */
        /* Only the last part ends inside a cell: the next would have to share it. */
        if (i + 1 < count) end = (end + 1) / 2 * 2;
        if (end < at) end = at;
        put_cells(line, parts[i].colour, coloured || i == 0 ? "━" : "╍", (end - at) / 2);
        if ((end - at) % 2 != 0) put_cells(line, parts[i].colour, "╸", 1);
        at = end;
    }
    put_cells(line, FAINT, "─", width - (at + 1) / 2);
}

void line_spark(struct line *line, enum colour colour, int width, const double *values, uint64_t count) {
    static const char *const heights[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    uint64_t held = count < TOP_HISTORY ? count : TOP_HISTORY, shown = held < (uint64_t)width ? held : (uint64_t)width;
    double highest = 0;
    char text[LINE_ROOM] = "";
    for (uint64_t i = held - shown; i < held; i++) highest = values[i] > highest ? values[i] : highest;
    put_cells(line, FAINT, "▁", width - (int)shown);
    for (uint64_t i = held - shown; i < held; i++) strcat(text, heights[highest > 0 ? (int)(values[i] / highest * 7.99) : 0]);
    if (shown > 0) put_text(line, colour, text, LINE_ROOM);
}

/* ---- Terminal ----------------------------------------------------------------------------------------------------- */

void screen_begin(bool full) {
    coloured = tool_coloured();
    full_screen = full && tool_is_terminal(stdout);
    tool_terminal_begin();
    if (full_screen) fputs("\033[?1049h\033[?25l", stdout);
    fflush(stdout);
}

void screen_end(void) {
    if (full_screen) fputs("\033[?25h\033[?1049l", stdout);
    fflush(stdout);
}

void screen_size(int *width, int *height) {
    tool_terminal_size(width, height);
    *width = *width == 0 ? 100 : *width;
    *height = *height == 0 ? 40 : *height;
    if (tool_is_terminal(stdout)) widest = *width, longest = *height;
    if (*width < 60)
        *width = 60; /* lines lose their ends */
    if (*width > 200) *width = 200;
}

void screen_show(const struct lines *lines, bool full) {
    bool in_place = full && full_screen;
    int count = in_place && lines->count > longest ? longest : lines->count;
    if (in_place) fputs("\033[H", stdout);
    for (int i = 0; i < count; i++) {
        fputs(lines->line[i].text, stdout);
        fputs(in_place ? (i + 1 < count ? "\033[K\n" : "\033[K") : "\n", stdout);
    }
    if (in_place) fputs("\033[J", stdout);
}

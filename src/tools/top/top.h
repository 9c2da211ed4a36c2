/*
 * top.h - what the files of hostmem-top share.
 *
 * main.c runs the loop, panels.c makes lines of figures, screen.c puts lines on a terminal, keys.c listens, json.c writes JSON.
 */
#ifndef HOSTMEM_TOP_H
#define HOSTMEM_TOP_H

#include "tools/common/look.h"

#define TOP_HISTORY 600

/* Two looks at the process, and what it held over time. */
struct top {
    struct look look;
    struct published_half now;
    struct published_half before;
    bool has_before; /* rates can be made */
    uint64_t count_history;
    double live[TOP_HISTORY];  /* bytes in use, newest last */
    double moved[TOP_HISTORY]; /* blocks between heaps and caches, per second */
};

/* ---- Lines -------------------------------------------------------------------------------------------------------- */

enum { LINE_ROOM = 1024, LINES_AT_MOST = 200 };

/* Text with its width on the screen, which bytes and colours do not tell. */
struct line {
    char text[LINE_ROOM];
    size_t length;
    int width;
};

struct lines {
    int count;
    struct line line[LINES_AT_MOST];
};

enum colour { PLAIN, DIM, BOLD, TITLE, BLUE, GREEN, ORANGE, VIOLET, RED, FAINT, COLOUR_COUNT };

struct line *lines_add(struct lines *lines);
void line_put(struct line *line, enum colour colour, const char *format, ...) TOOL_PRINTF(3, 4);
void line_pad(struct line *line, int width); /* with blanks, up to that width */
/* A column of `width` cells, whose last is blank: text that is longer loses its end. */
void line_field(struct line *line, enum colour colour, int width, const char *text);

/* A bar of `width` cells, parts one after the other; what they do not fill is faint. Parts are shares of 1. */
struct bar_part {
    enum colour colour;
    double share;
};
void line_bar(struct line *line, int width, const struct bar_part *parts, int count);

/* The last `width` values as a row of small columns, from 0 to the highest. */
void line_spark(struct line *line, enum colour colour, int width, const double *values, uint64_t count);

/* ---- Terminal ----------------------------------------------------------------------------------------------------- */

void screen_begin(bool full); /* full: an own screen, until screen_end */
void screen_end(void);
void screen_size(int *width, int *height);
void screen_show(const struct lines *lines, bool full);

/* A key that was pressed within so many milliseconds, 0 for none. */
int keys_wait(uint64_t ms);
void keys_begin(void);
void keys_end(void);

/* ---- Contents ----------------------------------------------------------------------------------------------------- */

void panels_make(const struct top *top, struct lines *lines, int width, int height);
void json_print(const struct top *top);

#endif

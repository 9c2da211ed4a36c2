/*
 * main.c - hostmem-map: a picture of the address space of a process that runs on hostmem.
 */
#include <errno.h>
#include <string.h>

#include "tools/map/map.h"

enum { WIDTH_UNKNOWN = 100, WIDTH_MOST = 300 };

static uint32_t width(void) {
    int columns, rows;
    tool_terminal_size(&columns, &rows);
    return columns == 0 ? WIDTH_UNKNOWN : columns < WIDTH_MOST ? (uint32_t)columns : WIDTH_MOST;
}

int main(int argc, char **argv) {
    static struct published_half half;
    struct look look;
    const char *svg = NULL;
    bool json = false;
    uint64_t rows = 40;
    const struct tool_option options[] = {
        {"svg", TOOL_TEXT, &svg, "FILE", "draw to this file instead of the terminal; - for standard output"},
        {"json", TOOL_FLAG, &json, NULL, "print one JSON object instead: regions, their runs of granules, fragmentation"},
        {"rows", TOOL_COUNT, &rows, "N", "at most so many rows on the terminal, not counting free ones; 40 unless told"},
        {0},
    };
    const struct tool_command command = {
        .name = "hostmem-map",
        .operands = "PID",
        .summary =
            "Draws every region of a process that runs on hostmem: what each 64 KiB granule is used for, how much of it is\n"
            "committed, how full its slabs are, and how what is free is scattered. The process must have been started\n"
            "with HOSTMEM_PUBLISH=1 in its environment (or made a manager with HM_PUBLISH), and is not stopped.",
        .options = options,
        .notes = "environment: COLUMNS is the width of the map, else the terminal's; NO_COLOR=1 switches colours off,\n"
                 "CLICOLOR_FORCE=1 switches them on where there is no terminal.\n"
                 "\n"
                 "exit status: 0 done; 2 bad arguments, or the output cannot be written; 3 no such process, another user's,\n"
                 "or it publishes nothing.",
    };
    look_from_operands(&command, argc, argv, &look, &half);
    tool_within(&command, "rows", rows, 1, 10000);
    bool standard = svg != NULL && strcmp(svg, "-") == 0, written = true;
    if (standard && json) tool_fail(&command, TOOL_EXIT_USAGE, "--svg - and --json both go to standard output");
    if (svg != NULL) {
        FILE *out = standard ? stdout : fopen(svg, "w");
        if (out == NULL) tool_fail(&command, TOOL_EXIT_UNWRITTEN, "--svg: '%s': %s", svg, strerror(errno));
        if (!svg_draw(&look, &half, out))
            tool_fail(&command, TOOL_EXIT_UNWRITTEN, "no temporary file for the picture: %s", strerror(errno));
        written = standard || tool_finish(&command, out, svg);
    }
    tool_terminal_begin();
    if (json)
        json_draw(&look, &half);
    else if (svg == NULL)
        terminal_draw(&look, &half, tool_coloured(), width(), (uint32_t)rows);
    written &= tool_finish(&command, stdout, NULL);
    return written ? TOOL_EXIT_OK : TOOL_EXIT_UNWRITTEN;
}

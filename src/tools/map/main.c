/*
 * main.c - hostmem-map: a picture of the address space of a process that runs on hostmem.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/map/map.h"

#ifdef _WIN32
#include <io.h>
#include <windows.h>
#define isatty _isatty
#define STDOUT_FILENO 1
#else
#include <sys/ioctl.h>
#include <unistd.h>
#endif

static bool colours_wanted(void) {
    const char *no_colour = getenv("NO_COLOR");
    if (getenv("CLICOLOR_FORCE") != NULL)
        return true;
    return isatty(STDOUT_FILENO) && (no_colour == NULL || *no_colour == 0);
}

static uint32_t terminal_width(void) {
    const char *columns = getenv("COLUMNS");
    int width = columns != NULL ? atoi(columns) : 0;
#ifdef _WIN32
    CONSOLE_SCREEN_BUFFER_INFO info;
    HANDLE out = GetStdHandle(STD_OUTPUT_HANDLE);
    DWORD mode;
    SetConsoleOutputCP(CP_UTF8);
    if (GetConsoleMode(out, &mode))
        SetConsoleMode(out, mode | 4 /* ENABLE_VIRTUAL_TERMINAL_PROCESSING */);
    if (width == 0 && GetConsoleScreenBufferInfo(out, &info))
        width = info.srWindow.Right - info.srWindow.Left + 1;
#else
    struct winsize size;
    if (width == 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
        width = size.ws_col;
#endif
    return width < 60 ? 100 : width > 300 ? 300 : (uint32_t)width;
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
        .notes = "Exit status: 0 done; 1 FILE cannot be written; 2 usage; 3 no such process, another user's, or it publishes\n"
                 "nothing. NO_COLOR in the environment switches colours off.",
    };
    look_from_operands(&command, argc, argv, tool_options_parse(&command, argc, argv), &look, &half);
    if (rows == 0 || rows > 10000)
        tool_fail(&command, TOOL_EXIT_USAGE, "--rows: 1 to 10000");
    if (svg != NULL && !svg_draw(&look, &half, svg)) {
        tool_fail(&command, TOOL_EXIT_DIFFERENT, "cannot write '%s': %s", svg, strerror(errno));
    }
    if (json)
        json_draw(&look, &half);
    else if (svg == NULL)
        terminal_draw(&look, &half, colours_wanted(), terminal_width(), (uint32_t)rows);
    return TOOL_EXIT_OK;
}

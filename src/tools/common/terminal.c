/*
 * terminal.c - whether a tool's streams are a terminal, how large it is, and whether it is to have colours.
 */
#include "tools/common/tool.h"

#include <stdlib.h>
#include <string.h>

#ifdef _WIN32

#include <io.h>
#include <windows.h>

bool tool_is_terminal(FILE *stream) { return _isatty(_fileno(stream)) != 0; }

void tool_terminal_begin(void) {
    DWORD mode;
    HANDLE out = GetStdHandle(STD_OUTPUT_HANDLE);
    SetConsoleOutputCP(CP_UTF8);
    if (GetConsoleMode(out, &mode)) {
        SetConsoleMode(out, mode | 4 /* ENABLE_VIRTUAL_TERMINAL_PROCESSING */);
    }
}

static void terminal_ask(int *columns, int *rows) {
    CONSOLE_SCREEN_BUFFER_INFO info;
    if (GetConsoleScreenBufferInfo(GetStdHandle(STD_OUTPUT_HANDLE), &info)) {
        *columns = info.srWindow.Right - info.srWindow.Left + 1;
        *rows = info.srWindow.Bottom - info.srWindow.Top + 1;
    }
}

#else

#include <sys/ioctl.h>
#include <unistd.h>

bool tool_is_terminal(FILE *stream) { return isatty(fileno(stream)) != 0; }

void tool_terminal_begin(void) {
}

static void terminal_ask(int *columns, int *rows) {
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
        *columns = size.ws_col;
        *rows = size.ws_row;
    }
}

#endif

bool tool_coloured(void) {
    const char *without = getenv("NO_COLOR"), *always = getenv("CLICOLOR_FORCE");
    if (always != NULL && always[0] != '\0' && strcmp(always, "0") != 0) return true;
    return tool_is_terminal(stdout) && (without == NULL || without[0] == '\0');
}

size_t tool_printable(const char *text) {
    unsigned char first = (unsigned char)text[0];
    bool control = first < 0x20 || first == 0x7f || (first == 0xc2 && (unsigned char)text[1] < 0xa0);
    return control ? 0 : utf8_length(text);
}

static void terminal_overrule(const char *name, int *value) {
    const char *text = getenv(name);
    if (text != NULL && atoi(text) > 0) *value = atoi(text);
}

void tool_terminal_size(int *columns, int *rows) {
    *columns = *rows = 0;
    terminal_ask(columns, rows);
    terminal_overrule("COLUMNS", columns);
    terminal_overrule("LINES", rows);
}

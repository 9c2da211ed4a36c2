/*
 * main.c - hostmem-top: what a process that runs on hostmem does with its memory, as it happens.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tools/top/top.h"

static volatile sig_atomic_t over, paused;

static void end(int number) {
    (void)number;
    over = 1;
}

#ifndef _WIN32
static void stop(int number) {
    (void)number;
    paused = 1;
}
#endif

/* Whatever ends or stops the tool, the terminal is given back as it was. */
static void terminal_take(void) {
#ifndef _WIN32
    signal(SIGHUP, end);
    signal(SIGQUIT, end);
    signal(SIGPIPE, end);
    signal(SIGTSTP, stop);
#endif
    screen_begin(true), keys_begin();
}

static void terminal_leave(void) { keys_end(), screen_end(); }

/* Ctrl-Z. */
static void terminal_pause(void) {
#ifndef _WIN32
    paused = 0;
    terminal_leave();
    raise(SIGSTOP);
    screen_begin(true), keys_begin();
#endif
}

static void history_add(double *values, uint64_t count, double value) {
    if (count >= TOP_HISTORY) memmove(values, values + 1, (TOP_HISTORY - 1) * sizeof *values);
    values[count < TOP_HISTORY ? count : TOP_HISTORY - 1] = value;
}

/* Takes another look, if the process has published one since. */
static bool look_again(struct top *top) {
    static struct published_half fresh;
    if (!look_copy(&top->look, &fresh)) return false;
    if (fresh.written_ms == top->now.written_ms) return true;
    top->before = top->now;
    top->now = fresh;
    top->has_before = true;
    double seconds = (double)(fresh.written_ms - top->before.written_ms) / 1000;
    const struct published_totals *now = &fresh.totals, *before = &top->before.totals;
    uint64_t moved = now->refilled_blocks + now->flushed_blocks - before->refilled_blocks - before->flushed_blocks;
    history_add(top->live, top->count_history, (double)(now->live_bytes + now->committed_bytes));
    history_add(top->moved, top->count_history, (double)moved / seconds);
    top->count_history++;
    return true;
}

static void show(const struct top *top, bool full) {
    static struct lines lines;
    int width, height;
    lines.count = 0;
    screen_size(&width, &height);
    panels_make(top, &lines, width, full ? height : 0);
    screen_show(&lines, full);
}

static void watch(const struct tool_command *command, struct top *top, uint64_t interval_ms, bool json) {
    signal(SIGINT, end);
    signal(SIGTERM, end);
    if (!json) terminal_take();
    bool alive = true;
    while (!over && alive) {
        if (json)
            json_print(top);
        else
            show(top, true);
        if (fflush(stdout) != 0) break;
        if (json)
            look_sleep_ms(interval_ms);
        else if (keys_wait(interval_ms) == 'q')
            over = 1;
        if (paused) terminal_pause();
        alive = look_again(top) && look_alive(&top->look);
    }
    if (!json) terminal_leave();
    if (!alive) fprintf(stderr, "%s: process %llu has ended\n", command->name, (unsigned long long)top->look.process);
}

int main(int argc, char **argv) {
    static struct top top;
    bool once = false, json = false;
    uint64_t interval_ms = 1000;
    const struct tool_option options[] = {
        {"once", TOOL_FLAG, &once, NULL, "print one look and end"},
        {"json", TOOL_FLAG, &json, NULL, "print one JSON object a look instead of the screen"},
        {"interval", TOOL_COUNT, &interval_ms, "MS", "milliseconds between two looks, 50 to 3600000; 1000 unless told"},
        {0},
    };
    const struct tool_command command = {
        .name = "hostmem-top",
        .operands = "PID",
        .summary = "Shows what a process that runs on hostmem does with its memory: totals, rates, budgets, heaps, size classes\n"
                   "and what its threads keep at hand. The process must have been started with HOSTMEM_PUBLISH=1 in its\n"
                   "environment (or made a manager with HM_PUBLISH), and is not stopped or slowed by being looked at. q ends.",
        .options = options,
        .notes =
            "environment: COLUMNS and LINES are the size of the screen, else the terminal's; NO_COLOR=1 switches colours off,\n"
            "CLICOLOR_FORCE=1 switches them on where there is no terminal.\n"
            "\n"
            "exit status: 0 done, or the process ended; 2 bad arguments, or the output cannot be written; 3 no such process,\n"
            "another user's, or it publishes nothing.",
    };
    look_from_operands(&command, argc, argv, &top.look, &top.now);
    tool_within(&command, "interval", interval_ms, 50, 3600000);
    if (!once)
        watch(&command, &top, interval_ms, json);
    else if (json)
        json_print(&top);
    else
        screen_begin(false), show(&top, false);
    return tool_finish(&command, stdout, NULL) ? TOOL_EXIT_OK : TOOL_EXIT_UNWRITTEN;
}

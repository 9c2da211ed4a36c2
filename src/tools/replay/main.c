/*
 * main.c - hostmem-replay: replays the recorded memory calls of a real program against hostmem or against the system.
 */
#include <stdlib.h>

#include "tools/replay/replay.h"

enum { MEMORY_ENGINE, MEMORY_RAW };

int main(int argc, char **argv) {
    int memory = MEMORY_ENGINE;
    bool json = false, unchecked = false;
    const char *picture = NULL;
    const struct tool_option options[] = {
        {"memory", TOOL_CHOICE, &memory, "engine|raw", "whose calls to make: hostmem's (default) or the system's"},
        {"json", TOOL_FLAG, &json, NULL, "print one JSON object instead of the table"},
        {"no-check", TOOL_FLAG, &unchecked, NULL, "only touch the pages; do not look at what they hold"},
        {"picture", TOOL_TEXT, &picture, "OUT", "write which granules were in use over the replay, as JSON"},
        {0},
    };
    const struct tool_command command = {
        .name = "hostmem-replay",
        .operands = "FILE",
        .summary = "Replays the memory calls that FILE recorded of a real program, thread for thread and in their order, and\n"
                   "compares every answer with the recorded one.",
        .options = options,
        .notes = "exit status: 0 all answers agree; 1 one differs; 2 bad arguments, FILE cannot be read or is damaged, or the\n"
                 "report or the picture cannot be written.",
    };
    const char *path = argv[tool_one_operand(&command, argc, argv)];

    struct trace trace;
    char error[TRACE_ERROR];
    if (!trace_read(path, &trace, error)) tool_fail(&command, TOOL_EXIT_USAGE, "%s", error);
    struct replay *replay = calloc(1, sizeof *replay);
    if (replay == NULL) tool_fail(&command, TOOL_EXIT_USAGE, "no memory");
    replay->trace = &trace;
    replay->check = !unchecked;
    if (memory == MEMORY_RAW) memory_raw(&replay->memory);
    else memory_engine(&replay->memory);
    if (picture != NULL && (replay->picture = picture_begin(&trace)) == NULL) tool_fail(&command, TOOL_EXIT_USAGE, "no memory");
    if (!replay_run(replay)) return TOOL_EXIT_USAGE;
    if (json) report_json(replay, path);
    else report_table(replay, path);
    bool written = tool_finish(&command, stdout, NULL);
    if (picture != NULL) written &= picture_end(&command, replay->picture, &trace, path, picture);
    if (!written) return TOOL_EXIT_UNWRITTEN;
    return replay->count_differences == 0 ? TOOL_EXIT_OK : TOOL_EXIT_DIFFERENT;
}

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
        .notes = "Exit status: 0 all answers agree, 1 one differs, 2 usage, or FILE cannot be read or is damaged.",
    };
    int operand = tool_options_parse(&command, argc, argv);
    if (operand >= argc) tool_fail(&command, TOOL_EXIT_USAGE, "FILE is missing; --help tells more");
    if (operand + 1 < argc) tool_fail(&command, TOOL_EXIT_USAGE, "one FILE only; '%s' is too many", argv[operand + 1]);

    struct trace trace;
    char error[TRACE_ERROR];
    if (!trace_read(argv[operand], &trace, error)) tool_fail(&command, TOOL_EXIT_USAGE, "%s", error);
    struct replay *replay = calloc(1, sizeof *replay);
    if (replay == NULL) tool_fail(&command, TOOL_EXIT_USAGE, "no memory");
    replay->trace = &trace;
    replay->check = !unchecked;
    if (memory == MEMORY_RAW) memory_raw(&replay->memory);
    else memory_engine(&replay->memory);
    if (picture != NULL && (replay->picture = picture_begin(&trace)) == NULL) tool_fail(&command, TOOL_EXIT_USAGE, "no memory");
    if (!replay_run(replay)) return TOOL_EXIT_USAGE;
    if (picture != NULL && !picture_end(replay->picture, &trace, argv[operand], picture)) return TOOL_EXIT_USAGE;
    if (json) report_json(replay, argv[operand]);
    else report_table(replay, argv[operand]);
    return replay->count_differences == 0 ? TOOL_EXIT_OK : TOOL_EXIT_DIFFERENT;
}

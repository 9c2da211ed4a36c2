/*
 * main.c - hostmem-clr for Windows: runs a .NET program on a CLR whose memory comes from a host.
 *
 * Only the command line is here; run.c tells what a run is, and bodies.c how the CLR's calls get to the host.
 */
#include "tools/clr/windows/imports.h"

static struct clr_options main_options = {.memory = CLR_ENGINE, .write_watch = CLR_WATCH_REFUSE};

static const struct tool_option main_table[] = {
    {"memory", TOOL_CHOICE, &main_options.memory, "engine|raw", "hostmem (default), or plain system calls"},
    {"write-watch", TOOL_CHOICE, &main_options.write_watch, "refuse|forward",
     "MEM_WRITE_WATCH: refused (default), so that the collector's memory is the host's, or passed on"},
    {"json", TOOL_FLAG, &main_options.json, NULL, "the report as one JSON object"},
    {"report", TOOL_TEXT, &main_options.report, "FILE", "the report goes to FILE; else to stderr"},
    {"record", TOOL_TEXT, &main_options.record, "FILE", "the calls go to FILE as a trace, for hostmem-replay"},
    {"runtime", TOOL_TEXT, &main_options.runtime, "DIR", "the folder of coreclr.dll and the framework"},
    {"server-gc", TOOL_FLAG, &main_options.server_gc, NULL, "the server garbage collector: a heap per processor"},
    {"concurrent-gc", TOOL_FLAG, &main_options.concurrent_gc, NULL, "collections of generation 2 in the background"},
    {NULL, TOOL_FLAG, NULL, NULL, NULL},
};

const struct tool_command clr_command = {
    .name = "hostmem-clr",
    .operands = "PROGRAM.dll [ARGUMENTS]",
    .summary = "Runs a .NET program on the CLR of .NET Core 2.0 or 2.2 for Windows, whose virtual memory and heap go through\n"
               "IHostMemoryManager and IHostMalloc to hostmem or to plain system calls. Reports the calls by kind, the time\n"
               "in them and peak memory.",
    .options = main_table,
    .notes = "The runtime's folder is that of --runtime, else of HOSTMEM_CLR_RUNTIME, else the one that `make run` fetched.\n"
             "The times hold two clock readings a call.\n"
             "\n"
             "exit status: the program's own; 2 for bad arguments, or if the program's own is 0 and the report or the trace\n"
             "cannot be written (not if the program ends its process itself), 3 for a runtime that cannot be used, 4 for a\n"
             "program that the runtime does not start, 5 for a memory manager that cannot be made.",
};

enum clr_watch clr_write_watch(void) { return (enum clr_watch)main_options.write_watch; }

int main(int argc, char **argv) {
    int first = tool_operands(&clr_command, argc, argv);
    report_check(&main_options);
    return run_program(&main_options, argc - first, argv + first, report_write);
}

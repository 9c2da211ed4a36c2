/*
 * main.c - hostmem-clr: runs a .NET program on a CLR whose memory comes from a host.
 *
 * Only the command line is here; run.c tells what a run is, and bodies.c how the CLR's calls get to the host.
 */
#include "tools/clr/clr.h"

#define MIB_MOST (1u << 27) /* all of the address space */

static struct clr_options main_options = {.memory = CLR_ENGINE};

static const struct tool_option main_table[] = {
    {"memory", TOOL_CHOICE, &main_options.memory, "engine|raw", "hostmem (default), or plain system calls"},
    {"compare", TOOL_COUNT, &main_options.compare, "N",
     "N runs, at most 99, on each memory in turn, medians side by side; 0 for one plain run (default)"},
    {"json", TOOL_FLAG, &main_options.json, NULL, "the report as one JSON object"},
    {"report", TOOL_TEXT, &main_options.report, "FILE", "the report goes to FILE; else to stderr, to stdout under --compare"},
    {"record", TOOL_TEXT, &main_options.record, "FILE", "the calls go to FILE as a trace for hostmem-replay; not with --compare"},
    {"runtime", TOOL_TEXT, &main_options.runtime, "DIR", "the folder of libcoreclr.so and the framework"},
    {"limit", TOOL_COUNT, &main_options.limit_mib, "MIB",
     "what hostmem may have committed at most; requests past it fail; 0 for no limit (default)"},
    {"soft-limit", TOOL_COUNT, &main_options.soft_mib, "MIB",
     "a limit for what is critical to one task only; 0 for none (default)"},
    {"server-gc", TOOL_FLAG, &main_options.server_gc, NULL, "the server garbage collector: a heap per processor"},
    {"concurrent-gc", TOOL_FLAG, &main_options.concurrent_gc, NULL, "collections of generation 2 in the background"},
    {NULL, TOOL_FLAG, NULL, NULL, NULL},
};

const struct tool_command clr_command = {
    .name = "hostmem-clr",
    .operands = "PROGRAM.dll [ARGUMENTS]",
    .summary = "Runs a .NET program on the CLR of .NET Core 2.0 for Linux, whose virtual memory and heap go through\n"
               "IHostMemoryManager and IHostMalloc to hostmem or to plain system calls. Reports the calls by kind, the time\n"
               "in them, page faults and peak memory.",
    .options = main_table,
    .notes = "The runtime's folder is that of --runtime, else of HOSTMEM_CLR_RUNTIME, else the one that `make run` fetched.\n"
             "Calls that search for a free address near the CLR count as queries; the times hold two clock readings a call.\n"
             "With a limit, hostmem tells of little memory from 7/8 of the lowest on, and the tool has the CLR collect, by its\n"
             "System.GC.Collect. Under --compare the limits hold for a third set of runs.\n"
             "\n"
             "exit status: the program's own; 1 also for a program whose runs differ or fail under --compare;\n"
             "2 for bad arguments, or if the program's own is 0 and the report or the trace cannot be written, 3 for a\n"
             "runtime that cannot be used, 4 for a program that the runtime does not start, 5 for a memory manager that\n"
             "cannot be made.",
};

int main(int argc, char **argv) {
    int first = tool_operands(&clr_command, argc, argv);
    tool_within(&clr_command, "limit", main_options.limit_mib, 0, MIB_MOST);
    tool_within(&clr_command, "soft-limit", main_options.soft_mib, 0, MIB_MOST);
    if (main_options.record != NULL && main_options.compare != 0) {
        tool_fail(&clr_command, TOOL_EXIT_USAGE, "--record is for one run, and --compare makes several");
    }
    if (main_options.memory == CLR_RAW && (main_options.limit_mib != 0 || main_options.soft_mib != 0)) {
        tool_fail(&clr_command, TOOL_EXIT_USAGE, "--limit and --soft-limit are hostmem's: --memory raw has none");
    }
    if (main_options.limit_mib != 0 && main_options.soft_mib > main_options.limit_mib) {
        tool_fail(&clr_command, TOOL_EXIT_USAGE, "--soft-limit is above --limit");
    }
    report_check(&main_options);
    if (main_options.compare != 0) return compare_run(&main_options, argc - first, argv + first);
    return run_program(&main_options, argc - first, argv + first, report_write);
}

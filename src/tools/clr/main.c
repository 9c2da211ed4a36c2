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
    {"compare", TOOL_COUNT, &main_options.compare, "N", "N runs on each memory in turn, and their medians, side by side"},
    {"json", TOOL_FLAG, &main_options.json, NULL, "the report as one JSON object"},
    {"report", TOOL_TEXT, &main_options.report, "FILE", "the report goes to FILE; else to stderr, to stdout under --compare"},
    {"record", TOOL_TEXT, &main_options.record, "FILE", "the calls go to FILE as a trace for hostmem-replay; not with --compare"},
    {"runtime", TOOL_TEXT, &main_options.runtime, "DIR", "the folder of libcoreclr.so and the framework"},
    {"limit", TOOL_COUNT, &main_options.limit_mib, "MIB", "what hostmem may have committed at most; requests past it fail"},
    {"soft-limit", TOOL_COUNT, &main_options.soft_mib, "MIB", "a limit for what is critical to one task only"},
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
             "2 for bad arguments, 3 for a runtime that cannot be used, 4 for a program that the runtime does not start,\n"
             "5 for a memory manager that cannot be made.",
};

int main(int argc, char **argv) {
    int first = tool_options_parse(&clr_command, argc, argv);

    if (first >= argc) {
        tool_fail(&clr_command, TOOL_EXIT_USAGE, "PROGRAM.dll is missing; --help says more");
    }
    if (main_options.record != NULL && main_options.compare != 0) {
        tool_fail(&clr_command, TOOL_EXIT_USAGE, "--record is for one run, and --compare makes several");
    }
    if (main_options.memory == CLR_RAW && (main_options.limit_mib != 0 || main_options.soft_mib != 0)) {
        tool_fail(&clr_command, TOOL_EXIT_USAGE, "--limit and --soft-limit are hostmem's: --memory raw has none");
    }
    if (main_options.limit_mib != 0 && main_options.soft_mib > main_options.limit_mib) {
        tool_fail(&clr_command, TOOL_EXIT_USAGE, "--soft-limit is above --limit");
    }
    if (main_options.limit_mib > MIB_MOST || main_options.soft_mib > MIB_MOST) {
        tool_fail(&clr_command, TOOL_EXIT_USAGE, "--limit, --soft-limit: at most %u MiB", (unsigned)MIB_MOST);
    }
    report_check(&main_options);
    if (main_options.compare != 0) {
        return compare_run(&main_options, argc - first, argv + first);
    }
    return run_program(&main_options, argc - first, argv + first, report_write);
}

/*
 * main.c - hostmem-record: runs a program and writes its memory calls as a trace that hostmem-replay reads.
 *
 * The recording itself is done by libhostmem-record.so inside the program (src/dropin/record); this only starts the program
 * with it. Linux only. What a CLR asks of its host, hostmem-clr --record writes.
 */
#define _GNU_SOURCE
#include "tools/common/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_NOT_STARTED = 127 };
enum { PARTS_ALL, PARTS_VM, PARTS_HEAP };

static const char *output = "trace.txt";
static int parts = PARTS_ALL;

static const struct tool_option options[] = {
    {"output", TOOL_TEXT, &output, "FILE", "where the trace goes (trace.txt)"},
    {"parts", TOOL_CHOICE, &parts, "all|vm|heap", "mappings and blocks (default), or one of both"},
    {NULL, TOOL_FLAG, NULL, NULL, NULL}};

static const struct tool_command command = {
    .name = "hostmem-record",
    .operands = "PROGRAM [ARGUMENTS]",
    .summary = "Runs a program and records its private anonymous mappings and its heap blocks, for hostmem-replay.",
    .options = options,
    .notes = "The program's children are not recorded. Programs that are linked statically, or run as another user, cannot be.\n"
             "exit status: the program's own; 2 for bad arguments, 127 for a program that cannot be started."};

/* libhostmem-record.so lies beside this program. */
static void library_find(char *path, size_t size) {
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0) tool_fail(&command, TOOL_EXIT_USAGE, "this program's own file cannot be found: %s", strerror(errno));
    self[length] = '\0';
    snprintf(path, size, "%s/libhostmem-record.so", dirname(self));
    if (access(path, R_OK) != 0) tool_fail(&command, TOOL_EXIT_USAGE, "'%s': %s", path, strerror(errno));
}

int main(int argc, char **argv) {
    static const char *const words[] = {"all", "vm", "heap"};
    char library[PATH_MAX + 32], preload[2 * PATH_MAX], process[24];
    int first = tool_options_parse(&command, argc, argv);
    if (first == argc) tool_fail(&command, TOOL_EXIT_USAGE, "PROGRAM is missing; --help says more");
    int file = open(output, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0) tool_fail(&command, TOOL_EXIT_USAGE, "--output: '%s': %s", output, strerror(errno));
    close(file);
    char *full = realpath(output, NULL); /* the program may change its folder before the first line is written */
    library_find(library, sizeof library);
    const char *others = getenv("LD_PRELOAD");
    snprintf(preload, sizeof preload, "%s%s%s", library, others != NULL ? ":" : "", others != NULL ? others : "");
    setenv("LD_PRELOAD", preload, 1);
    setenv("HOSTMEM_RECORD", full != NULL ? full : output, 1);
    setenv("HOSTMEM_RECORD_PARTS", words[parts], 1);
    snprintf(process, sizeof process, "%ld", (long)getpid());
    setenv("HOSTMEM_RECORD_PROCESS", process, 1);
    execvp(argv[first], argv + first);
    tool_fail(&command, EXIT_NOT_STARTED, "'%s' cannot be started: %s", argv[first], strerror(errno));
}

/*
 * main.c - hostmem-record: runs a program and writes its memory calls as a trace that hostmem-replay reads.
 *
 * The recording itself is done by libhostmem-record.so inside the program (src/dropin/record); this only starts the program
 * with it, after a look whether the loader will take the library in. Linux only. What a CLR asks of its host,
 * hostmem-clr --record writes.
 */
#define _GNU_SOURCE
#include "tools/common/tool.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_NOT_RECORDED = 126, EXIT_NOT_STARTED = 127, HEAD_BYTES = 4096, SCRIPTS_DEEP = 4 };
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
    .notes = "The program's children are not recorded. Programs that are linked statically, have 32 bits or run as another user\n"
             "cannot be. A trace that can no longer be written ends there, with a message; the program goes on.\n"
             "\n"
             "exit status: the program's own; 2 for bad arguments, or a trace that cannot be written from the start; 126 for a\n"
             "program that cannot be recorded, 127 for one that cannot be started."};

/* libhostmem-record.so lies beside this program. */
static void library_find(char *path, size_t size) {
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0) tool_fail(&command, TOOL_EXIT_USAGE, "this program's own file cannot be found: %s", strerror(errno));
    self[length] = '\0';
    snprintf(path, size, "%s/libhostmem-record.so", dirname(self));
    if (access(path, R_OK) != 0) tool_fail(&command, TOOL_EXIT_USAGE, "'%s': %s", path, strerror(errno));
    if (strpbrk(path, " :") != NULL) {
        tool_fail(&command, TOOL_EXIT_USAGE, "'%s': no loader takes a library from where there are blanks or colons", path);
    }
}

/* ---- Can it be recorded? ---------------------------------------------------------------------------------------- */

/* The file that execvp would start. False: there is none, which execvp will say. */
static bool program_find(const char *name, char path[PATH_MAX]) {
    const char *folder = getenv("PATH");
    if (strchr(name, '/') != NULL || folder == NULL) return snprintf(path, PATH_MAX, "%s", name) < PATH_MAX;
    for (;; folder++) {
        int length = (int)strcspn(folder, ":");
        if (snprintf(path, PATH_MAX, "%.*s%s%s", length, folder, length > 0 ? "/" : "", name) < PATH_MAX &&
            access(path, X_OK) == 0)
            return true;
        folder += length;
        if (*folder == '\0') return false;
    }
}

/* The first bytes of a file, and zeros. False: it cannot be read, or has none. */
static bool head_read(const char *path, char head[HEAD_BYTES + 1]) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    memset(head, 0, HEAD_BYTES + 1);
    if (file < 0) return false;
    ssize_t got = read(file, head, HEAD_BYTES);
    close(file);
    return got > 0;
}

/* A program that names no loader is linked statically: nothing is loaded before it. */
static bool names_loader(const char *head, const Elf64_Ehdr *elf) {
    for (unsigned i = 0; i < elf->e_phnum; i++) {
        Elf64_Phdr part;
        uint64_t at = elf->e_phoff + (uint64_t)i * elf->e_phentsize;
        if (elf->e_phoff > HEAD_BYTES || at + sizeof part > HEAD_BYTES) return true; /* who knows */
        memcpy(&part, head + at, sizeof part);
        if (part.p_type == PT_INTERP) return true;
    }
    return false;
}

/* Why the program at path cannot be recorded, or NULL. Of a script it is the interpreter that counts. */
static const char *refusal(char path[PATH_MAX]) {
    static char head[HEAD_BYTES + 1] __attribute__((aligned(16)));
    struct stat status;
    for (int deep = 0; deep < SCRIPTS_DEEP && head_read(path, head) && memcmp(head, "#!", 2) == 0; deep++) {
        const char *name = head + 2 + strspn(head + 2, " \t");
        snprintf(path, PATH_MAX, "%.*s", (int)strcspn(name, " \t\r\n"), name);
    }
    const Elf64_Ehdr *elf = (const void *)head;
    if (memcmp(elf->e_ident, ELFMAG, SELFMAG) != 0) return NULL;
    if (elf->e_ident[EI_CLASS] != ELFCLASS64) return "it is not a 64-bit program";
    if (!names_loader(head, elf)) return "it is linked statically, so that nothing can be loaded before it";
    if (stat(path, &status) != 0) return NULL;
    bool other = ((status.st_mode & S_ISUID) != 0 && status.st_uid != getuid()) ||
                 ((status.st_mode & S_ISGID) != 0 && status.st_gid != getgid());
    return other ? "it runs as another user" : NULL;
}

static void program_check(const char *name) {
    char path[PATH_MAX];
    const char *why = program_find(name, path) ? refusal(path) : NULL;
    if (why == NULL) return;
    if (strcmp(name, path) != 0) tool_fail(&command, EXIT_NOT_RECORDED, "'%s' ('%s') cannot be recorded: %s", name, path, why);
    tool_fail(&command, EXIT_NOT_RECORDED, "'%s' cannot be recorded: %s", name, why);
}

/* ---- Main ------------------------------------------------------------------------------------------------------- */

int main(int argc, char **argv) {
    static const char *const words[] = {"all", "vm", "heap"};
    char library[PATH_MAX + 32], preload[2 * PATH_MAX], process[24];
    int first = tool_operands(&command, argc, argv);
    int file = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644); /* an old trace must not pass for this one */
    if (file < 0) tool_fail(&command, TOOL_EXIT_UNWRITTEN, "--output: '%s': %s", output, strerror(errno));
    close(file);
    program_check(argv[first]);
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

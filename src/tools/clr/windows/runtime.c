/*
 * runtime.c - the CLR as a host sees it: a folder with coreclr.dll, clrjit.dll and the assemblies of the framework.
 *
 * The order is that of any host: find (nothing is loaded before all the arguments are known to be good), load, hook, run.
 * coreclr.dll loads clrjit.dll itself when it starts; here it is loaded before, so that its imports are led to the host too.
 */
#include "tools/clr/windows/imports.h"

#include <stdlib.h>
#include <string.h>

#define RUNTIME_LIBRARY "coreclr.dll"
#define RUNTIME_DEFAULT "../../.cache/dotnet-2.0.0-win-1.0.5/shared/Microsoft.NETCore.App/2.0.0"

typedef int(WINAPI *initialize_function)(const char *exe_path, const char *domain_name, int count, const char **keys,
                                         const char **values, void **host, unsigned *domain);
typedef int(WINAPI *execute_function)(void *host, unsigned domain, int argc, const char **argv, const char *path,
                                      unsigned *exit_code);
typedef int(WINAPI *shutdown_function)(void *host, unsigned domain);

/* ---- Finding ---------------------------------------------------------------------------------------------------- */

static bool path_full(const char *path, char *full, DWORD size) {
    DWORD length = GetFullPathNameA(path, size, full, NULL);
    return length != 0 && length < size && GetFileAttributesA(full) != INVALID_FILE_ATTRIBUTES;
}

static void program_find(struct clr_runtime *runtime, const char *program) {
    FILE *file = path_full(program, runtime->program, sizeof runtime->program) ? fopen(runtime->program, "rb") : NULL;
    bool dotnet;
    if (file == NULL) tool_fail(&clr_command, TOOL_EXIT_USAGE, "program '%s' cannot be read", program);
    dotnet = assembly_is_dotnet(file);
    fclose(file);
    if (!dotnet) tool_fail(&clr_command, TOOL_EXIT_USAGE, "program '%s' is not a .NET assembly", program);
}

void runtime_find(struct clr_runtime *runtime, const char *folder, const char *program) {
    const char *named_by = "--runtime";
    char path[2 * sizeof runtime->folder];
    program_find(runtime, program);
    if (folder == NULL) {
        named_by = "HOSTMEM_CLR_RUNTIME";
        folder = getenv("HOSTMEM_CLR_RUNTIME");
    }
    if (folder == NULL || folder[0] == '\0') {
        DWORD length = GetModuleFileNameA(NULL, path, sizeof path / 2);
        while (length > 0 && path[length - 1] != '\\') length--;
        snprintf(path + length, sizeof path - length, "%s", RUNTIME_DEFAULT);
        named_by = "the default runtime folder (--runtime names another)";
        folder = path;
    }
    if (!path_full(folder, runtime->folder, sizeof runtime->folder)) {
        tool_fail(&clr_command, CLR_EXIT_RUNTIME, "%s: there is no folder '%s'", named_by, folder);
    }
    snprintf(path, sizeof path, "%s\\%s", runtime->folder, RUNTIME_LIBRARY);
    if (GetFileAttributesA(path) == INVALID_FILE_ATTRIBUTES) {
        tool_fail(&clr_command, CLR_EXIT_RUNTIME, "%s: no %s in '%s'", named_by, RUNTIME_LIBRARY, runtime->folder);
    }
}

/* ---- Loading and hooking ---------------------------------------------------------------------------------------- */

static HMODULE library_load(const struct clr_runtime *runtime, const char *name) {
    char path[2 * sizeof runtime->folder];
    HMODULE module;
    snprintf(path, sizeof path, "%s\\%s", runtime->folder, name);
    module = LoadLibraryExA(path, NULL, LOAD_WITH_ALTERED_SEARCH_PATH);
    if (module == NULL) tool_fail(&clr_command, CLR_EXIT_RUNTIME, "'%s' cannot be loaded (error %lu)", path, GetLastError());
    return module;
}

void runtime_load(struct clr_runtime *runtime) { runtime->library = library_load(runtime, RUNTIME_LIBRARY); }

static void library_hook(HMODULE module, const char *name) {
    int led = imports_lead(module);
    if (led < 6) {
        tool_fail(&clr_command, CLR_EXIT_RUNTIME, "%s: %s", name,
                  led < 0 ? "its imports cannot be changed" : "it does not ask the system for memory: not a CLR to be hosted");
    }
}

void runtime_hook(const struct clr_runtime *runtime) {
    library_hook(runtime->library, RUNTIME_LIBRARY);
    library_hook(library_load(runtime, "clrjit.dll"), "clrjit.dll");
}

/* ---- Running ---------------------------------------------------------------------------------------------------- */

/* The CLR reads UTF-8. The caller keeps it. */
static char *utf8(const char *text) {
    int wide_length = MultiByteToWideChar(CP_ACP, 0, text, -1, NULL, 0);
    wchar_t *wide = malloc(((size_t)wide_length + 1) * sizeof *wide);
    int length = 0;
    char *result = NULL;
    if (wide != NULL) {
        MultiByteToWideChar(CP_ACP, 0, text, -1, wide, wide_length);
        length = WideCharToMultiByte(CP_UTF8, 0, wide, -1, NULL, 0, NULL, NULL);
        result = malloc((size_t)length + 1);
    }
    if (result == NULL) tool_fail(&clr_command, CLR_EXIT_PROGRAM, "out of memory");
    WideCharToMultiByte(CP_UTF8, 0, wide, -1, result, length + 1, NULL, NULL);
    free(wide);
    return result;
}

/* All assemblies of the folder, with ';' between them. */
static char *runtime_assemblies(const char *folder) {
    char pattern[2 * sizeof((struct clr_runtime *)0)->folder];
    WIN32_FIND_DATAA found;
    size_t length = 0, room = 1 << 20;
    char *list = malloc(room);
    HANDLE search;
    snprintf(pattern, sizeof pattern, "%s\\*.dll", folder);
    search = FindFirstFileA(pattern, &found);
    if (search == INVALID_HANDLE_VALUE || list == NULL) {
        tool_fail(&clr_command, CLR_EXIT_RUNTIME, "there are no assemblies in '%s'", folder);
    }
    list[0] = '\0';
    do {
        length += (size_t)snprintf(list + length, room - length, "%s\\%s;", folder, found.cFileName);
    } while (length + 2 * MAX_PATH + strlen(folder) < room && FindNextFileA(search, &found));
    FindClose(search);
    return list;
}

static FARPROC runtime_export(const struct clr_runtime *runtime, const char *name) {
    FARPROC symbol = GetProcAddress(runtime->library, name);
    if (symbol == NULL) tool_fail(&clr_command, CLR_EXIT_RUNTIME, "the runtime exports no %s", name);
    return symbol;
}

static const char *truth(bool value) { return value ? "true" : "false"; }

int runtime_run(const struct clr_runtime *runtime, const struct clr_options *options, int argc, char **argv) {
    initialize_function initialize = (initialize_function)(void (*)(void))runtime_export(runtime, "coreclr_initialize");
    execute_function execute = (execute_function)(void (*)(void))runtime_export(runtime, "coreclr_execute_assembly");
    shutdown_function shut_down = (shutdown_function)(void (*)(void))runtime_export(runtime, "coreclr_shutdown");
    char *program = utf8(runtime->program), *folder = utf8(runtime->folder), *app_folder = utf8(runtime->program);
    const char *keys[] = {"TRUSTED_PLATFORM_ASSEMBLIES",    "APP_PATHS",        "NATIVE_DLL_SEARCH_DIRECTORIES",
                          "System.Globalization.Invariant", "System.GC.Server", "System.GC.Concurrent"};
    const char *values[] = {utf8(runtime_assemblies(runtime->folder)), app_folder, folder, "true", truth(options->server_gc),
                            truth(options->concurrent_gc)};
    void *host = NULL;
    unsigned domain = 0;
    unsigned exit_code = 0;
    int result;

    *strrchr(app_folder, '\\') = '\0'; /* a full path has one */
    for (int at = 1; at < argc; at++) argv[at] = utf8(argv[at]);
    result = initialize(program, "hostmem-clr", (int)(sizeof keys / sizeof keys[0]), keys, values, &host, &domain);
    if (result < 0) tool_fail(&clr_command, CLR_EXIT_PROGRAM, "the runtime does not start (0x%08X)", (unsigned)result);
    bodies_started();
    result = execute(host, domain, argc - 1, (const char **)(uintptr_t)(argv + 1), program, &exit_code);
    if (result < 0) tool_fail(&clr_command, CLR_EXIT_PROGRAM, "program '%s' does not run (0x%08X)", argv[0], (unsigned)result);
    shut_down(host, domain);
    return (int)exit_code;
}

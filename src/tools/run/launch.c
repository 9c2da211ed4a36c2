/*
 * launch.c - starts the program with the DLL in front of it, and waits for its end.
 *
 * The program gets this process's own start-up information, handles, folder, environment and console. It is started suspended,
 * prepared by the DLL, and then runs. Ctrl-C and the like reach it directly, since it shares the console: this process only stays
 * out of the way. If this process is killed, the program goes with it (a job says so), but not what the program has started.
 *
 * While the program runs, its use of memory is read now and then: a program that crashes leaves only that.
 */
#include "tools/run/run.h"

#include <string.h>

#define PSAPI_VERSION 2
#include <psapi.h>

#include "base/atom.h"

enum { SAMPLE_MS = 100 };

/* What is used of the DLL. */
static struct {
    DWORD(WINAPI *version)(void);
    DWORD(WINAPI *prepare)(HANDLE, DWORD, HANDLE);
} library;

static void library_load(void) {
    static wchar_t path[RUN_PATH];
    DWORD length = GetModuleFileNameW(NULL, path, RUN_PATH);
    HMODULE module = NULL;
    wchar_t *name = wcsrchr(path, L'\\');
    if (length != 0 && length < RUN_PATH && name != NULL && name - path + 24 < RUN_PATH) {
        wcscpy(name + 1, L"hostmem-redirect.dll");
        module = LoadLibraryW(path);
    }
    if (module == NULL) {
        tool_fail(&run_command, RUN_EXIT_LIBRARY, "there is no hostmem-redirect.dll beside hostmem-run.exe, or it does not load");
    }
    library.version = (DWORD(WINAPI *)(void))(void (*)(void))GetProcAddress(module, "HmRedirectVersion");
    library.prepare = (DWORD(WINAPI *)(HANDLE, DWORD, HANDLE))(void (*)(void))GetProcAddress(module, "HmRedirectPrepare");
    if (library.version == NULL || library.prepare == NULL || library.version() != HM_REDIRECT_VERSION) {
        tool_fail(&run_command, RUN_EXIT_LIBRARY, "hostmem-redirect.dll is of version %lu, hostmem-run.exe of version %d",
                  library.version != NULL ? library.version() : 0ul, HM_REDIRECT_VERSION);
    }
}

static HANDLE section_make(const struct run_options *options, DWORD flags, HM_REDIRECT_SHARED **shared) {
    uint64_t records = options->trace != NULL ? options->trace_calls : 0;
    uint64_t size = sizeof **shared + records * sizeof(HM_REDIRECT_RECORD);
    HANDLE section = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, (DWORD)(size >> 32), (DWORD)size, NULL);
    *shared = section != NULL ? MapViewOfFile(section, FILE_MAP_READ | FILE_MAP_WRITE, 0, 0, 0) : NULL;
    if (*shared == NULL) {
        tool_fail(&run_command, RUN_EXIT_PREPARE, "there is no room for a record of %llu calls (error %lu)",
                  (unsigned long long)records, GetLastError());
    }
    (*shared)->version = HM_REDIRECT_VERSION;
    (*shared)->flags = flags;
    (*shared)->cRecords = records;
    (*shared)->startTicks = __builtin_ia32_rdtsc();
    return section;
}

static void prepare(PROCESS_INFORMATION *child, DWORD flags, HANDLE section) {
    static const char *const why[] = {
        [HM_PREPARE_UNREADABLE] = "its memory cannot be changed",
        [HM_PREPARE_NOT_X64] = "it is not for 64-bit x86",
        [HM_PREPARE_NO_IMPORTS] = "it imports nothing",
        [HM_PREPARE_NO_ROOM] = "there is no free address space behind it",
        [HM_PREPARE_BAD_PATH] = "the path of hostmem-redirect.dll has letters beyond ASCII",
    };
    DWORD problem = library.prepare(child->hProcess, flags, section);
    DWORD error = GetLastError();

    if (problem == HM_PREPARE_OK) return;
    TerminateProcess(child->hProcess, RUN_EXIT_PREPARE);
    tool_fail(&run_command, problem == HM_PREPARE_NO_IMPORTS ? RUN_EXIT_IMPORTS
                            : problem == HM_PREPARE_NOT_X64  ? RUN_EXIT_NOT_X64
                                                             : RUN_EXIT_PREPARE,
              "the program cannot be served: %s (error %lu)", problem < sizeof why / sizeof why[0] ? why[problem] : "?", error);
}

static HANDLE running; /* the program, for the thread of a control event */

/* Ctrl-C is the program's own. When the console goes, or the session, it ends as it likes, and this process after it. */
static BOOL WINAPI ignore_control(DWORD event) {
    if (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT) {
        WaitForSingleObject(running, INFINITE);
        Sleep(INFINITE); /* main ends the process, with the program's status */
    }
    return TRUE;
}

/* The program ends with this process; what it starts is on its own, also where it asks for that itself. */
static void job_join(HANDLE process) {
    enum { ALONE = JOB_OBJECT_LIMIT_BREAKAWAY_OK | JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK };
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits;
    HANDLE job = CreateJobObjectW(NULL, NULL);
    memset(&limits, 0, sizeof limits);
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | ALONE;
    if (job != NULL && SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits)) {
        AssignProcessToJobObject(job, process);
    }
}

/* A title that is only this program's path: the system makes it the other's. */
static void title_clear(STARTUPINFOW *startup) {
    static wchar_t own[RUN_PATH];
    DWORD length = GetModuleFileNameW(NULL, own, RUN_PATH);
    if (length != 0 && length < RUN_PATH && startup->lpTitle != NULL && _wcsicmp(startup->lpTitle, own) == 0) {
        startup->lpTitle = NULL;
    }
}

static void start(const wchar_t *path, wchar_t *command, PROCESS_INFORMATION *child) {
    STARTUPINFOW startup;
    GetStartupInfoW(&startup);
    startup.dwFlags |= STARTF_USESTDHANDLES;
    startup.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
    startup.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
    startup.hStdError = GetStdHandle(STD_ERROR_HANDLE);
    startup.lpReserved = NULL;
    title_clear(&startup);
    if (!CreateProcessW(path, command, NULL, NULL, TRUE, CREATE_SUSPENDED, NULL, NULL, &startup, child)) {
        DWORD error = GetLastError();
        tool_fail(&run_command, RUN_EXIT_PROGRAM, "the program does not start (error %lu)", error);
    }
    job_join(child->hProcess);
    running = child->hProcess;
    SetConsoleCtrlHandler(ignore_control, TRUE);
}

static uint64_t time_of(const FILETIME *time) { return (((uint64_t)time->dwHighDateTime << 32) | time->dwLowDateTime) * 100u; }

static void usage_sample(HANDLE process, struct run_usage *usage) {
    PROCESS_MEMORY_COUNTERS memory = {.cb = sizeof memory};
    if (GetProcessMemoryInfo(process, &memory, sizeof memory)) {
        usage->faults = memory.PageFaultCount > usage->faults ? memory.PageFaultCount : usage->faults;
        usage->peak_rss_bytes =
            memory.PeakWorkingSetSize > usage->peak_rss_bytes ? memory.PeakWorkingSetSize : usage->peak_rss_bytes;
    }
}

static void wait(HANDLE process, bool sample, struct run_usage *usage) {
    FILETIME created, exited, kernel, user;
    while (WaitForSingleObject(process, sample ? SAMPLE_MS : INFINITE) == WAIT_TIMEOUT) usage_sample(process, usage);
    usage_sample(process, usage);
    if (GetProcessTimes(process, &created, &exited, &kernel, &user)) {
        usage->user_ns = time_of(&user);
        usage->system_ns = time_of(&kernel);
    }
}

DWORD launch_run(const struct run_options *options, const wchar_t *path, wchar_t *command, HM_REDIRECT_SHARED **shared,
                 struct run_usage *usage) {
    bool count = options->report || options->json != NULL || options->trace != NULL;
    DWORD flags = (options->off ? HM_REDIRECT_OFF : 0u) | (options->heap ? HM_REDIRECT_HEAP : 0u) |
                  (options->children ? HM_REDIRECT_CHILDREN : 0u) | (count ? HM_REDIRECT_COUNT : 0u) |
                  (options->write_watch == RUN_WATCH_FORWARD ? HM_REDIRECT_FORWARD_WATCH : 0u) |
                  (options->write_watch == RUN_WATCH_REFUSE ? HM_REDIRECT_NO_WATCH : 0u);
    PROCESS_INFORMATION child;
    DWORD status = RUN_EXIT_PREPARE;
    uint64_t started;
    HANDLE section;

    memset(usage, 0, sizeof *usage);
    library_load();
    section = section_make(options, flags, shared);
    start(path, command, &child);
    prepare(&child, flags, section);
    started = tool_clock_ns();
    ResumeThread(child.hThread);
    wait(child.hProcess, count, usage);
    usage->wall_ns = tool_clock_ns() - started;
    usage->ticks_per_ns = (double)(__builtin_ia32_rdtsc() - (*shared)->startTicks) / (double)(tool_clock_ns() - started);
    GetExitCodeProcess(child.hProcess, &status);
    if (atom_load_acq_u32((uint32_t *)&(*shared)->cProcesses) == 0) { /* acq: the process has ended */
        tool_fail(&run_command, RUN_EXIT_PREPARE,
                  "the program ended (status 0x%08lX) before hostmem-redirect.dll could begin its work", status);
    }
    usage->faults = (*shared)->cFaults > usage->faults ? (*shared)->cFaults : usage->faults;
    usage->peak_rss_bytes = (*shared)->cbPeak > usage->peak_rss_bytes ? (*shared)->cbPeak : usage->peak_rss_bytes;
    return status;
}

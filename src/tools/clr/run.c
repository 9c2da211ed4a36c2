/*
 * run.c - one run: memory, CLR, program, figures.
 *
 * The figures are taken in an exit handler, because a program may end the process from within (Environment.Exit) and then the
 * CLR never returns. The handler is registered before the CLR is loaded, so it runs after all that the CLR does at exit.
 */
#include "tools/clr/clr.h"

#include <stdlib.h>

const char *const clr_memory_names[CLR_MEMORIES] = {[CLR_ENGINE] = "engine", [CLR_RAW] = "raw", [CLR_LIMITED] = "limited"};

static struct {
    const struct clr_options *options;
    clr_done *done;
    uint64_t started_ns;
    IHostMemoryManager *manager; /* NULL on raw memory */
    bool running; /* the program was started: there is something to report */
    int status;   /* the program's; -1 while it is not known */
} run_state = {.status = -1};

static void run_finish(void) {
    struct clr_figures figures;
    bool written;
    HM_USAGE usage = {.cbSize = sizeof usage};
    if (!run_state.running) return;
    if (run_state.manager != NULL) HmGetLimits(run_state.manager, NULL, &usage);
    figures.wall_ns = tool_clock_ns() - run_state.started_ns;
    figures.notifications = bodies_notifications();
    figures.collections = collect_count();
    figures.committed_peak = usage.cbPeakCommitted;
    figures.refused = usage.cRefused[0] + usage.cRefused[1] + usage.cRefused[2];
    counts_read(&figures.counts);
    tool_usage_read(&figures.usage);
    written = run_state.done(run_state.options, &figures);
    if ((!written || !record_whole()) && run_state.status == 0) {
        fflush(NULL);
        _Exit(TOOL_EXIT_UNWRITTEN); /* of what is done at the end this is the last */
    }
}

#ifdef _WIN32
/* Nothing tells the status here of a program that ends the process itself: it keeps it. */
static void run_at_exit(void) { atexit(run_finish); }
#else
static void run_exit(int status, void *argument) {
    (void)argument;
    run_state.status = status & 0xFF;
    run_finish();
}

static void run_at_exit(void) { on_exit(run_exit, NULL); }
#endif

/* What one notification brings about takes effect soon: there is no CLR here that forgets one. */
enum { RUN_LOW_SPACING_MS = 50 };

static HM_LIMITS run_limits(const struct clr_options *options) {
    HM_LIMITS limits = {.cbSize = sizeof limits};
    limits.cbHardCommit = (SIZE_T)options->limit_mib << 20;
    limits.cbSoftCommit = (SIZE_T)options->soft_mib << 20;
    return limits;
}

static IHostControl *run_engine_control(const struct clr_options *options) {
    HM_LIMITS limits = run_limits(options);
    HM_OPTIONS made = {.cbSize = sizeof made, .pLimits = &limits, .msLowSpacing = RUN_LOW_SPACING_MS};
    IHostControl *control = NULL;
    HRESULT result = HmCreateMemoryManager(&made, &run_state.manager);
    if (result == S_OK) {
        result = HmCreateHostControl(run_state.manager, NULL, &control);
        run_state.manager->lpVtbl->Release(run_state.manager); /* the control holds it */
    }
    if (result != S_OK) tool_fail(&clr_command, CLR_EXIT_MEMORY, "the engine makes no memory manager (0x%08X)", (unsigned)result);
    return control;
}

/* The calling convention of the flat calls is Windows' own. */
static DWORD run_engine_error(void) { return HmGetLastError(); }

int run_program(const struct clr_options *options, int argc, char **argv, clr_done *done) {
    static struct clr_runtime runtime;
    bool engine = options->memory != CLR_RAW;
    run_state.options = options;
    run_state.done = done;
    run_state.started_ns = tool_clock_ns();
    run_at_exit();
    runtime_find(&runtime, options->runtime, argv[0]);
    if (options->record != NULL) record_open(options->record);
    runtime_load(&runtime);
    bodies_attach(engine ? run_engine_control(options) : raw_control(), engine ? run_engine_error : raw_last_error);
    runtime_hook(&runtime);
    run_state.running = true;
    run_state.status = runtime_run(&runtime, options, argc, argv);
    return run_state.status;
}

/*
 * clr.h - the parts of hostmem-clr and what they owe each other.
 *
 * hostmem-clr is a host: it loads a CLR, hands it an IHostMemoryManager, and runs a program on it. main.c reads the command
 * line; run.c goes through one run; runtime.c, elf.c and hook.c get at the CLR; host.c is the CLR's side of the interfaces,
 * bodies.c what leads there, near.c its search for executable memory; raw.c is the manager to compare with; counts.c, report.c
 * and compare.c are about figures, record.c writes traces; collect.c answers notifications. The folder windows has what is
 * otherwise there.
 */
#ifndef HOSTMEM_CLR_TOOL_H
#define HOSTMEM_CLR_TOOL_H

#include "hostmem.h"
#include "tools/common/tool.h"

/* Exit statuses beside those of tool.h; the program's own status may be any of them too. */
enum { CLR_EXIT_RUNTIME = 3, CLR_EXIT_PROGRAM = 4, CLR_EXIT_MEMORY = 5 };

extern const struct tool_command clr_command; /* main.c; gives tool_fail the tool's name */

/* ---- counts.c: the calls that reached the manager ------------------------------------------------------------- */

enum clr_kind {
    CLR_RESERVE,
    CLR_COMMIT,
    CLR_RESERVE_COMMIT,
    CLR_RESET,
    CLR_DECOMMIT,
    CLR_RELEASE,
    CLR_PROTECT,
    CLR_QUERY,
    CLR_HEAP_ALLOC,
    CLR_HEAP_FREE,
    CLR_KINDS
};

struct clr_count {
    uint64_t calls;
    uint64_t failures;
    uint64_t bytes; /* asked for; 0 where a call has no size (release, heap free) */
    uint64_t ns;    /* spent in the manager, two readings of the clock included */
};

struct clr_counts {
    struct clr_count kind[CLR_KINDS];
};

/* Any thread, any time. started_ns is what tool_clock_ns said before the call. */
void counts_add(enum clr_kind kind, uint64_t started_ns, uint64_t bytes, bool succeeded);
void counts_read(struct clr_counts *counts); /* the sum over all threads so far */
void counts_total(const struct clr_counts *counts, struct clr_count *total);
const char *counts_name(enum clr_kind kind);

/* ---- record.c: the calls as a trace, where --record asks for one ------------------------------------------------ */

void record_open(const char *path); /* ends the tool where it cannot be written */
bool record_whole(void);            /* all calls so far were written, or are not to be */
/* One call in the words of the trace format; nothing where none is asked for. Any thread, any time; errno stays. */
void record_call(const char *op, const void *address, uint64_t size, uint32_t type, uint32_t prot, uint64_t result);
void record_block(const void *block, uint64_t size); /* given out by the CLR's one heap */

/* ---- The host's memory ---------------------------------------------------------------------------------------- */

enum clr_memory { CLR_ENGINE, CLR_RAW, CLR_LIMITED, CLR_MEMORIES }; /* CLR_LIMITED: the engine once more, with the limits */
extern const char *const clr_memory_names[CLR_MEMORIES];

/* raw.c: an IHostControl whose IHostMemoryManager is the plain system calls. It is static; its references are not counted. */
IHostControl *raw_control(void);
DWORD raw_last_error(void); /* the calling thread's, as Win32 numbers it */

/*
 * raw_vm.c: the four calls on mmap, mprotect and munmap, or on Windows the system's own. Each returns 0 or a Win32 error; the
 * outputs are written on 0 only.
 */
DWORD raw_vm_alloc(uintptr_t address, SIZE_T size, DWORD type, DWORD protect, void **memory);
DWORD raw_vm_free(uintptr_t address, SIZE_T size, DWORD type);
DWORD raw_vm_protect(uintptr_t address, SIZE_T size, DWORD protect, DWORD *old);
DWORD raw_vm_query(uintptr_t address, MEMORY_BASIC_INFORMATION *info);
DWORD raw_vm_load(DWORD *load, SIZE_T *available);

/* maps.c: the mapping around or after an address, as the kernel lists it. */
struct maps_entry {
    uintptr_t start;
    uintptr_t end;
    DWORD protect; /* as Win32 names it */
    DWORD type;    /* MEM_PRIVATE, MEM_MAPPED or MEM_IMAGE */
};
/*
 * Finds the first mapping that ends after address and returns true; false if there is none. *previous_end gets the end of
 * the mapping before it, 0 if there is none. Takes no lock and no memory.
 */
bool maps_find(uintptr_t address, struct maps_entry *entry, uintptr_t *previous_end);

/* ---- host.c, bodies.c, near.c: what stands in for the CLR's own hosting layer --------------------------------- */

/* One function of the CLR, or that it imports, and what takes its place. */
struct clr_body {
    const char *symbol;
    void (*body)(void);
    bool optional; /* the CLR works without it */
};
extern const struct clr_body bodies_table[];
extern const size_t bodies_count;

/*
 * Does what ICLRRuntimeHost::SetHostControl does: takes the memory manager, makes its one IHostMalloc and registers the
 * notification callback. last_error reads the manager's last error. Ends the tool with CLR_EXIT_MEMORY when the control does
 * not offer what is needed.
 */
void bodies_attach(IHostControl *control, DWORD (*last_error)(void));
void bodies_started(void); /* the CLR runs: failures no longer end the process */
uint64_t bodies_notifications(void);

/*
 * collect.c: has the CLR collect through entry, its System.GC.Collect, whenever it is poked from now on. False: no thread. A
 * poke before that is lost; none ever waits.
 */
bool collect_start(void (*entry)(int generation, int mode));
void collect_poke(void);
uint64_t collect_count(void);

/* The manager's methods with counting, called through these alone. foreign: the manager says that it is not its memory. */
void *manager_alloc(void *address, SIZE_T size, DWORD type, DWORD protect);
BOOL manager_free(void *address, SIZE_T size, DWORD type, bool *foreign);
BOOL manager_protect(void *address, SIZE_T size, DWORD protect, DWORD *old);
SIZE_T manager_query(const void *address, MEMORY_BASIC_INFORMATION *info);
void *manager_heap_alloc(SIZE_T size);
BOOL manager_heap_free(void *block);
void manager_view_acquired(void *view, SIZE_T size);
void manager_view_released(void *view);
bool manager_view_needed(void *address, SIZE_T size); /* true: there may be room now */

/* A reservation within reach of the CLR's image; NULL if no free range took it. */
void near_init(uintptr_t image_start, uintptr_t image_end);
void *near_reserve(SIZE_T size, DWORD type, DWORD protect);

/* ---- assembly.c, elf.c, hook.c, runtime.c, run.c --------------------------------------------------------------- */

/* Whether the file starts as a .NET program does. */
bool assembly_is_dotnet(FILE *file);

struct elf_symbol {
    const char *name;
    uint64_t value; /* relative to the image's start; 0: not found */
};
/* Looks names up in the .symtab of an x86-64 ELF file. Returns NULL, or what is wrong with the file. */
const char *elf_lookup(const char *path, struct elf_symbol *symbols, size_t count, uint64_t *image_span);

/* Writes a jump to body over function. Returns NULL, or why it could not. No thread may be in function. */
const char *hook_install(void *function, void (*body)(void));

/* What becomes of a CLR's wish to have the system watch its writes. */
enum clr_watch { CLR_WATCH_REFUSE, CLR_WATCH_FORWARD };

struct clr_options {
    int memory; /* enum clr_memory */
    bool json;
    bool server_gc;
    bool concurrent_gc;
    const char *runtime; /* folder, or NULL for the default */
    const char *report;  /* file, or NULL for stderr */
    const char *record;  /* file for the trace, or NULL for none */
    uint64_t compare;    /* runs on each memory, or 0 for one plain run */
    uint64_t limit_mib;  /* that the engine may have committed, or 0 for no limit */
    uint64_t soft_mib;   /* the same for requests that are critical to one task only; from 7/8 of the lower on the CLR collects */
    int write_watch;     /* Windows: enum clr_watch */
};

/* A CLR's folder and a program for it, and the CLR once it is loaded. */
struct clr_runtime {
    char folder[4096];
    char program[4096];
    void *library;
    uintptr_t image_start;
    uintptr_t image_end;
};

/* runtime.c. Each ends the tool with a message and an exit status when it cannot do its part. */
void runtime_find(struct clr_runtime *runtime, const char *folder, const char *program); /* checks both */
void runtime_load(struct clr_runtime *runtime);                                          /* without running it */
void runtime_hook(const struct clr_runtime *runtime); /* leads the nine functions to the bodies; they must be attached */
int runtime_run(const struct clr_runtime *runtime, const struct clr_options *options, int argc, char **argv);

/* What one run used. Every field has 64 bits: compare.c takes medians field by field. */
struct clr_figures {
    struct clr_counts counts;
    struct tool_usage usage;
    uint64_t wall_ns;
    uint64_t notifications;  /* of little memory */
    uint64_t collections;    /* that they brought about */
    uint64_t committed_peak; /* bytes; of the engine, 0 on raw memory */
    uint64_t refused;        /* requests past a limit */
};

/* What is done with the figures of a run. False, with a message: they did not get where they should. */
typedef bool clr_done(const struct clr_options *options, const struct clr_figures *figures);

/*
 * run.c: one whole run in this process: memory, CLR, program (argv[0]) with its arguments; returns the program's exit status.
 * done is called at the end of the process, however the program ends it short of a crash; where it or the record fails, the
 * process ends with TOOL_EXIT_UNWRITTEN instead of 0. Once in a process.
 */
int run_program(const struct clr_options *options, int argc, char **argv, clr_done *done);

/* ---- report.c, compare.c -------------------------------------------------------------------------------------- */

bool report_write(const struct clr_options *options, const struct clr_figures *figures);
void report_check(const struct clr_options *options); /* ends the tool if --report names no file that can be written */
FILE *report_open(const struct clr_options *options, FILE *standard); /* --report's file, else standard; or NULL */
void report_json_figures(struct json *json, const struct clr_figures *figures);
void report_limits_rows(struct tool_table *table, const struct clr_figures *const *figures, size_t count); /* a column for each */

/* Runs the program options->compare times on each memory, in turn, and prints the medians side by side. */
int compare_run(const struct clr_options *options, int argc, char **argv);

#endif

/*
 * hostmem_redirect.h - hostmem-redirect.dll: has a Windows program's calls of VirtualAlloc and its kin answered by hostmem.
 *
 * hostmem-run.exe puts the DLL in front of a program that it starts. A program that can be changed links or loads the DLL
 * itself and calls HmRedirectInstall, before it starts threads. Windows only.
 */
#ifndef HOSTMEM_REDIRECT_H
#define HOSTMEM_REDIRECT_H

#include "hostmem_win32.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifdef HM_BUILDING_REDIRECT
#define HM_REDIRECT_API __declspec(dllexport)
#else
#define HM_REDIRECT_API __declspec(dllimport)
#endif

/* Changes whenever anything below does: a launcher and a DLL of different numbers do not understand each other. */
#define HM_REDIRECT_VERSION 3

enum {
    HM_REDIRECT_OFF = 1,      /* everything is passed on to the system, for comparison */
    HM_REDIRECT_HEAP = 2,     /* heap calls too; the environment's HOSTMEM_HEAP=1 does the same */
    HM_REDIRECT_CHILDREN = 4, /* programs that the program starts are served as well */
    HM_REDIRECT_COUNT = 8,    /* calls are counted and timed in the shared section */
    HM_REDIRECT_NO_WATCH = 16, /* MEM_WRITE_WATCH is refused, as by a system that cannot watch */
    HM_REDIRECT_FORWARD_WATCH = 32 /* MEM_WRITE_WATCH is the system's even where the engine can watch */
};

/* What a call was. */
enum {
    HM_CALL_RESERVE,
    HM_CALL_RESERVE_COMMIT,
    HM_CALL_COMMIT,
    HM_CALL_RESET,
    HM_CALL_DECOMMIT,
    HM_CALL_RELEASE,
    HM_CALL_PROTECT,
    HM_CALL_QUERY,
    HM_CALL_MAP,
    HM_CALL_UNMAP,
    HM_CALL_WATCH, /* GetWriteWatch, ResetWriteWatch */
    HM_CALL_HEAP_CREATE,
    HM_CALL_HEAP_DESTROY,
    HM_CALL_HEAP_ALLOC,
    HM_CALL_HEAP_REALLOC,
    HM_CALL_HEAP_FREE,
    HM_CALL_HEAP_OTHER,
    HM_CALL_KINDS
};

/* Who answered it: the engine, or the system and why. */
enum {
    HM_BY_ENGINE,
    HM_PASSED_OFF,         /* HM_REDIRECT_OFF */
    HM_PASSED_FOREIGN,     /* memory that the engine did not give out: stacks, images, views, what was there before */
    HM_PASSED_PROCESS,     /* memory of another process */
    HM_PASSED_WATCH,       /* MEM_WRITE_WATCH where the engine cannot watch; it knows the allocation. Or refused */
    HM_PASSED_KIND,        /* large pages, physical pages, placeholders, flags that the engine does not know */
    HM_PASSED_HUGE,        /* more than the engine takes in one piece */
    HM_PASSED_BOUNDS,      /* no free place of the engine's within the bounds asked for */
    HM_PASSED_VIEW,        /* mapped views, and commits inside them */
    HM_PASSED_HEAP,        /* a heap, or flags, that the engine does not serve */
    HM_REDIRECT_REASONS
};

typedef struct HM_REDIRECT_CELL {
    ULONGLONG calls;
    ULONGLONG failures;
    ULONGLONG bytes; /* asked for */
    ULONGLONG ticks; /* of the time-stamp counter */
} HM_REDIRECT_CELL;

typedef struct HM_REDIRECT_COUNTS {
    HM_REDIRECT_CELL cell[HM_CALL_KINDS][HM_REDIRECT_REASONS];
} HM_REDIRECT_COUNTS;

/* One call of the trace; op is an index into the names of the trace format. */
typedef struct HM_REDIRECT_RECORD {
    ULONGLONG ticks;
    ULONGLONG address;
    ULONGLONG size;
    ULONGLONG result;
    DWORD type;
    DWORD protect;
    DWORD thread;
    DWORD op;
} HM_REDIRECT_RECORD;

/* In the order of the trace's op column. */
enum { HM_OP_VA, HM_OP_VA2, HM_OP_VAN, HM_OP_VF, HM_OP_VP, HM_OP_VQ, HM_OP_HC, HM_OP_HD, HM_OP_HA, HM_OP_HR, HM_OP_HF,
       HM_OP_MV, HM_OP_UM, HM_OP_MOD, HM_OPS };

enum { HM_REDIRECT_SLOTS = 64 }; /* threads share them: a counter is added to atomically, and rarely by two at once */

/*
 * What the launcher and all processes that it serves share: a section, made by the launcher, of the size of this structure with
 * cRecords records behind it. It outlives the program, however that ends.
 */
typedef struct HM_REDIRECT_SHARED {
    DWORD version;      /* HM_REDIRECT_VERSION */
    DWORD flags;
    ULONGLONG cRecords;    /* room for the trace, 0 for none */
    ULONGLONG cRecorded;   /* calls that wanted a record, those past the room too */
    ULONGLONG startTicks;  /* of the trace's clock */
    DWORD cProcesses;      /* in which the DLL is at work, or was */
    DWORD cInstallErrors;  /* in which it could not start its work */
    ULONGLONG cbPeak;      /* the largest peak of resident memory that a process had at its orderly end */
    ULONGLONG cFaults;     /* page faults of all of them, where the system tells */
    DWORD tracedProcess;   /* the one whose calls are recorded: the first */
    DWORD padding;
    HM_REDIRECT_COUNTS slot[HM_REDIRECT_SLOTS];
    HM_REDIRECT_RECORD record[];
} HM_REDIRECT_SHARED;

/* The number that the DLL was built with. */
HM_REDIRECT_API DWORD WINAPI HmRedirectVersion(void);

/*
 * Begins to serve the calling process; shared may be NULL. FALSE with ERROR_ALREADY_INITIALIZED if that was done, or with another
 * error if the system's functions cannot be found, or there is no memory within 4 GiB behind the system's modules; then nothing
 * has changed, and it may be tried again. Functions that are running meanwhile may go on with the system's: compilers keep the
 * addresses of imports in registers.
 */
HM_REDIRECT_API BOOL WINAPI HmRedirectInstall(DWORD flags, HM_REDIRECT_SHARED *shared);

/* Why HmRedirectPrepare could not do its work. */
enum {
    HM_PREPARE_OK,
    HM_PREPARE_UNREADABLE, /* the process's memory cannot be read or written */
    HM_PREPARE_NOT_X64,
    HM_PREPARE_NO_IMPORTS, /* nothing in front of which the DLL could be put */
    HM_PREPARE_NO_ROOM,    /* no free address space after the program's image */
    HM_PREPARE_BAD_PATH    /* the DLL's path has letters that an import table cannot hold */
};

/*
 * Makes this DLL the first import of a process that was started suspended and has not run yet. section is a handle of the
 * shared section in the calling process, or NULL. Returns one of HM_PREPARE_*; the last error says more.
 */
HM_REDIRECT_API DWORD WINAPI HmRedirectPrepare(HANDLE process, DWORD flags, HANDLE section);

#ifdef __cplusplus
}
#endif
#endif

/*
 * hostmem.h - a lock-free memory manager for hosts: the public C interface.
 *
 * The virtual-memory calls take and return what the Win32 calls of the same name take and return, on Windows and on
 * Linux; their semantics are those of the Windows SDK's memoryapi pages, and where hostmem differs the declaration below
 * says so. They work on one process-wide address map, made at first use.
 *
 * Errors: a call that fails returns NULL, FALSE, 0 or a failure HRESULT, changes nothing, and sets the calling thread's
 * last error, which HmGetLastError reads (on Windows it is the thread's ordinary last error). A call that succeeds leaves
 * the last error alone.
 *
 * Threads: every function may be called from any thread at any time, unless its declaration says otherwise; from a signal handler
 * that interrupted hostmem too, but for calls that change the very pages that the interrupted one is changing, and for making and
 * releasing managers, callbacks and limits: these take turns (HmUnregisterMemoryNotificationCallback says who waits for whom). No
 * other takes a lock. One rule of order: two calls that change overlapping pages of one live allocation (commit, decommit,
 * protect, reset, release; see HmVirtualFree) take effect one after the other, so the second may wait. Where memory is short or a
 * certain address wanted, a call may wait for another's giving such pages back. No other two wait, HmVirtualQuery for nothing.
 * Environment: what an option or a function sets is also set by a variable, named with it. README.md, "Settings", has them all.
 */
#ifndef HOSTMEM_H
#define HOSTMEM_H

#include "hostmem_clr.h"
#include "hostmem_win32.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32) && defined(HM_BUILDING_DLL)
#define HM_API __declspec(dllexport)
#elif defined(__GNUC__)
#define HM_API __attribute__((visibility("default")))
#else
#define HM_API
#endif

/* ---- Virtual memory ------------------------------------------------------------------------------------------- */

/*
 * Reserves, commits, reserves and commits, or resets pages.
 *
 * lpAddress         NULL, or the wanted start: rounded down to 64 KiB for MEM_RESERVE, else to a page, but up for MEM_RESET
 * dwSize            bytes, not 0; the end is rounded up to a page, but down for MEM_RESET, which loses nothing beside the range
 * flAllocationType  MEM_RESERVE, MEM_COMMIT or both (MEM_COMMIT of NULL means both), with MEM_TOP_DOWN, MEM_WRITE_WATCH,
 *                   MEM_LARGE_PAGES or MEM_PHYSICAL where Win32 allows them; or MEM_RESET, or MEM_RESET_UNDO, alone
 * flProtect         one PAGE_* base value with one modifier at most; committed pages get it, the allocation remembers it
 *
 * Returns the rounded start, or NULL. Errors: 87 for arguments that Win32 refuses, 487 for a range that is taken or not
 * inside one allocation, 8 for no address space, 1455 for no memory to commit, 1816 for a limit (HM_LIMITS) in the way, 1450
 * for no large pages, 50 for what the system does not have (MEM_PHYSICAL on Linux).
 *
 * On Linux: MEM_WRITE_WATCH is accepted and remembered but nothing is watched, since there is no GetWriteWatch to ask;
 * PAGE_NOCACHE and PAGE_WRITECOMBINE are remembered and reported but memory stays cached; PAGE_GUARD works together with
 * HmGuardPageHit. A reservation may be 128 TiB less what is taken; one of up to 4 GiB is served from a region.
 */
HM_API LPVOID WINAPI HmVirtualAlloc(LPVOID lpAddress, SIZE_T dwSize, DWORD flAllocationType, DWORD flProtect);

/*
 * Decommits pages or releases an allocation.
 *
 * dwFreeType  MEM_DECOMMIT: every page that holds a byte of the range loses its content and faults (dwSize 0 at an
 *             allocation's start means all of it). MEM_RELEASE: the whole allocation, dwSize must be 0, lpAddress in its
 *             first page.
 *
 * Errors: 87 for arguments that Win32 refuses or a decommit past the allocation's end; 487 for an address that is not an
 * allocation of hostmem's, not its start, or already released; 87 as well for an image or a mapped view; 8 where the system has
 * no more mappings for what would be left around the range (Linux: vm.max_map_count).
 *
 * A released allocation of up to 1 MiB, all of it committed PAGE_READWRITE, stays with the thread that released it, for its
 * next HmVirtualAlloc of that size. It is free for every call; but touching it does not fault until it has gone back to the
 * system, and its release is not ordered against a protect, decommit or release of the same allocation by another thread at the
 * same moment: both may be told TRUE, and what the other one does may befall the next owner of the pages, or end the process.
 * HM_OPTIONS.cbThreadCache 1 switches that off.
 */
HM_API BOOL WINAPI HmVirtualFree(LPVOID lpAddress, SIZE_T dwSize, DWORD dwFreeType);

/*
 * Changes the protection of committed pages; *lpflOldProtect receives the first page's protection.
 *
 * Errors: 998 for a NULL lpflOldProtect; 487 for a range with a page that is not committed or over two allocations; 87 for
 * a protection that private memory cannot have. Memory that hostmem did not give out (stacks, images) is passed to the
 * system, if all of the range is such memory; 50 for PAGE_GUARD on it on Linux, where nobody would disarm it.
 */
HM_API BOOL WINAPI HmVirtualProtect(LPVOID lpAddress, SIZE_T dwSize, DWORD flNewProtect, PDWORD lpflOldProtect);

/*
 * Describes the pages from lpAddress's on that share its state. Returns sizeof *lpBuffer, or 0 with 24 for a dwLength that
 * is too small, 87 for an address past user space, 998 for a NULL lpBuffer.
 *
 * Never waits, allocates or locks: it is safe while every other thread is suspended. A free range is reported up to the
 * next allocation or the end of its region, whichever comes first. Memory that hostmem did not give out is described as
 * the system sees it (on Linux by asking the kernel for the mapping; 1450 where no file can be opened for that).
 */
HM_API SIZE_T WINAPI HmVirtualQuery(LPCVOID lpAddress, PMEMORY_BASIC_INFORMATION lpBuffer, SIZE_T dwLength);

/*
 * On Linux, tells whether a fault hit a PAGE_GUARD page, and disarms the page if so: call it from the SIGSEGV handler with
 * si_addr. TRUE: the page has just lost its guard (Win32's STATUS_GUARD_PAGE_VIOLATION); handle it and return, the access will
 * succeed. FALSE: another kind of fault; or another thread, told TRUE, was faster, and a query shows that the access is allowed
 * now: just return. Async-signal-safe. On Windows the system disarms the page and raises the exception; there it is always FALSE.
 */
HM_API BOOL WINAPI HmGuardPageHit(LPVOID lpAddress);

/* The calling thread's last error, as GetLastError. */
HM_API DWORD WINAPI HmGetLastError(void);

/* ---- Heaps ---------------------------------------------------------------------------------------------------- */

/*
 * Makes a private heap.
 *
 * flOptions      HEAP_CREATE_ENABLE_EXECUTE (blocks can hold code), HEAP_NO_SERIALIZE (callers serialise: it changes nothing, for
 *                heaps are safe for threads anyway); others are 87, HEAP_GENERATE_EXCEPTIONS among them
 * dwInitialSize  bytes to expect; not looked at, since a heap takes memory as it is asked
 * dwMaximumSize  the most bytes that the heap may take from the system, 0 for no bound
 *
 * Returns a handle for HmHeapDestroy, or NULL with 8 or 87.
 */
HM_API HANDLE WINAPI HmHeapCreate(DWORD flOptions, SIZE_T dwInitialSize, SIZE_T dwMaximumSize);

/* Frees the heap and every block in it; no other thread may be using it. Errors: 6 for what is not a heap, NULL among it. */
HM_API BOOL WINAPI HmHeapDestroy(HANDLE hHeap);

/*
 * dwBytes bytes aligned to 16; with HEAP_ZERO_MEMORY in dwFlags they are zero. Other flags are ignored, here and in the two
 * functions below: with HEAP_GENERATE_EXCEPTIONS, too, a failure is a NULL. A size of 0 gives a block that can be freed. hHeap
 * NULL is the default heap of the process. Errors: 8 for no memory or a limit (HM_LIMITS, dwMaximumSize) in the way, or 1455 for
 * more than 1 MiB that the system does not commit; 6 for what is not a heap.
 */
HM_API LPVOID WINAPI HmHeapAlloc(HANDLE hHeap, DWORD dwFlags, SIZE_T dwBytes);

/*
 * Frees a block of this heap; a NULL lpMem is fine, and dwFlags is ignored. Error 6 is for what is not a heap, 87 for an address
 * that is not where a block of hHeap starts (foreign, interior, of another heap), and for a second free right after the first;
 * then nothing changes. Another block that was freed already may be taken, and handed out twice, until what threads keep at hand
 * goes back to the heap, which finds it out (a fraction of a second once it is idle) and counts it (HM_STATS.cDoubleFrees);
 * HM_OPTIONS.cbThreadCache 1 has every one refused at once. Touching a freed block is an error that need not fault.
 */
HM_API BOOL WINAPI HmHeapFree(HANDLE hHeap, DWORD dwFlags, LPVOID lpMem);

/*
 * The size in bytes that was asked for, rounded up to the block's size class; dwFlags is ignored. (SIZE_T)-1 with 87 for what is
 * not a block, NULL too, with 6 for what is not a heap. A freed block that a thread's cache holds still has its size.
 */
HM_API SIZE_T WINAPI HmHeapSize(HANDLE hHeap, DWORD dwFlags, LPCVOID lpMem);

/* ---- Limits --------------------------------------------------------------------------------------------------- */

/*
 * Limits on what the process, a manager or a heap may have reserved and committed, in bytes; 0 is no limit. What threads' caches
 * hold counts as reserved and committed; what the process holds (HM_OPTIONS.cbHeld) is counted apart, stays with what is
 * committed below seven eighths of the process's limits, and goes back before anything is refused. A request is refused that
 * would go
 *     past the soft limit             if it is critical to a task (eTaskCritical);
 *     past the hard limit             if it is critical to an application domain, or has no level (every Hm* function, malloc);
 *     past hard limit and cbEmergency if it is critical to the process.
 * Limits hold together: a manager's memory counts for the process, a heap's for the manager that made it, too. Limits may be
 * below what is held already: then nothing more is given until enough has been freed.
 *
 * The process's cbEmergency, if it is 4 GiB at most, is also held ready, committed, while there is room for it below the hard
 * limits, and given up for a process-critical request that the system refuses, to be held again from a second later on.
 */
typedef struct HM_LIMITS {
    SIZE_T cbSize; /* sizeof(HM_LIMITS) */
    SIZE_T cbSoftReserve;
    SIZE_T cbHardReserve;
    SIZE_T cbSoftCommit;
    SIZE_T cbHardCommit;
    SIZE_T cbEmergency;
} HM_LIMITS;

/* What counts against them. */
typedef struct HM_USAGE {
    SIZE_T cbSize; /* sizeof(HM_USAGE) */
    SIZE_T cbReserved;
    SIZE_T cbCommitted;
    SIZE_T cbPeakReserved;
    SIZE_T cbPeakCommitted;
    SIZE_T cRefused[3];   /* requests that a limit refused so far, by level */
    SIZE_T cbReserveHeld; /* of the process: the emergency reserve that is held now */
} HM_USAGE;

/*
 * Sets or reads the limits of: the process (of NULL), a heap (its handle), or an IHostMemoryManager or IHostMalloc of hostmem's.
 * At any time, while others allocate. For the process, HOSTMEM_SOFT_RESERVE, HOSTMEM_HARD_RESERVE, HOSTMEM_SOFT_COMMIT,
 * HOSTMEM_HARD_COMMIT and HOSTMEM_EMERGENCY in the environment, in bytes, hold until it is set here; a soft limit above its hard
 * one counts as none there. Of HmGetLimits limits or usage may be NULL; whoever passes them sets their cbSize.
 *
 * E_INVALIDARG for an `of` that is none of these, a cbSize that no version had, or a soft limit above the hard one; E_POINTER
 * for NULL limits of HmSetLimits, or if both pointers of HmGetLimits are NULL.
 */
HM_API HRESULT WINAPI HmSetLimits(void *of, const HM_LIMITS *limits);
HM_API HRESULT WINAPI HmGetLimits(void *of, HM_LIMITS *limits, HM_USAGE *usage);

/* ---- Failures on purpose -------------------------------------------------------------------------------------- */

/*
 * Which requests of a CLR (IHostMemoryManager::VirtualAlloc, IHostMalloc::Alloc and DebugAlloc) fail with E_OUTOFMEMORY, so
 * that a host can see what it and its CLR do then. Of those of at least cbLeast bytes and of a level below dwBelowLevel (1:
 * tasks' only; 0: all levels), the cNth one (1 is the next), or dwPerMillion in a million, or if both are 0, all.
 */
typedef struct HM_FAULTS {
    SIZE_T cbSize; /* sizeof(HM_FAULTS) */
    SIZE_T cNth;
    SIZE_T cbLeast;
    DWORD dwPerMillion;
    DWORD dwBelowLevel;
} HM_FAULTS;

/*
 * Sets them for the process, and starts counting anew; NULL: no request fails any more. At any time. Environment, read with the
 * first manager: HOSTMEM_FAIL_NTH, HOSTMEM_FAIL_LEAST (bytes), HOSTMEM_FAIL_PER_MILLION, HOSTMEM_FAIL_BELOW_LEVEL.
 * E_INVALIDARG for a cbSize that no version had, more than a million, both cNth and dwPerMillion, or no such level.
 */
HM_API HRESULT WINAPI HmSetFaults(const HM_FAULTS *faults);

/* ---- Managers for a CLR --------------------------------------------------------------------------------------- */

/*
 * HM_TRACK_BLOCKS: the manager's heaps remember where their blocks were asked for. DebugAlloc's blocks are remembered by file and
 * line, all of them; those of plain Alloc by the stack of the call, for one call in cSampleEvery. Costs 4 bytes for each 16 of
 * the blocks, and at most as much time again as an Alloc and a Free take. Environment: HOSTMEM_LEAKS=1, for all managers; with
 * HOSTMEM_LEAK_REPORT=FILE the last Release of each heap adds its report to the file, as HmWriteLeaks writes it, if any block
 * is left, and the end of the process does so for the heaps that there still are.
 *
 * HM_COUNT_CALLS: calls of the manager and its heaps are counted by kind and critical level (HmWriteStats shows them).
 * Environment: HOSTMEM_COUNT_CALLS=1, for all managers and for the flat functions, HmVirtualAlloc to HmHeapSize, too.
 *
 * HM_PUBLISH: the process publishes a view of itself for hostmem-top and hostmem-map. Environment: HOSTMEM_PUBLISH=1, or the
 * milliseconds between two looks; it works for every process that has the engine in it, a preloaded one too.
 */
#define HM_TRACK_BLOCKS 1u
#define HM_COUNT_CALLS 2u
#define HM_PUBLISH 4u

/* Blocks of one origin that are in use. */
typedef struct HM_LEAK {
    SIZE_T cbSize;
    LPCSTR pszFile;         /* of DebugAlloc; NULL for a sampled stack */
    DWORD dwLine;
    DWORD cFrames;          /* return addresses of a sampled stack, the nearest first; 0 otherwise */
    LPVOID const *ppFrames;
    SIZE_T cBlocks;         /* as recorded: one in cEvery of all */
    SIZE_T cbBlocks;        /* the bytes that they take, of their size classes */
    SIZE_T cEvery;          /* 1 for DebugAlloc */
} HM_LEAK;

/*
 * HM_LEAK_VISIT is called for one origin after the other, those with the most bytes first; HM_WRITE is given a text piece by
 * piece, and a piece does not end with a zero. What they are shown lasts for the call. The thread that asked calls them, before
 * its own call returns, and nothing is locked meanwhile: they may call all of hostmem's functions, the one that calls them too,
 * but have to return, and not to throw or jump away. One that is called at a heap's last Release leaves that heap alone.
 */
typedef void(WINAPI *HM_LEAK_VISIT)(LPVOID pContext, const HM_LEAK *pLeak);
typedef void(WINAPI *HM_WRITE)(LPVOID pContext, LPCSTR pText, SIZE_T cbText);

/*
 * How a manager is made. Set cbSize to sizeof(HM_OPTIONS) and the rest to 0 for the defaults. Fields are only ever added, at
 * the end.
 */
typedef struct HM_OPTIONS {
    SIZE_T cbSize;
    /*
     * The most bytes of address space that the process's regions, of 4 GiB each, may take in all; 0 for no bound. The tightest
     * value that any manager was made with holds. Environment: HOSTMEM_MAX_ADDRESS_SPACE, in bytes; it needs no manager.
     */
    SIZE_T cbMaxAddressSpace;
    /*
     * The most bytes of free blocks and freed allocations that one thread keeps at hand; 0 for the default of 160 MiB, 1 to
     * keep none. The tightest value that any manager was made with holds. Environment: HOSTMEM_THREAD_CACHE, in bytes.
     */
    SIZE_T cbThreadCache;
    /* The same of all threads, with what waits in heaps for them; 0: 1 GiB. Tightest holds. Environment: HOSTMEM_ALL_CACHES. */
    SIZE_T cbAllCaches;
    /*
     * The most bytes of memory that the process holds although nobody has it committed, so that committing it costs no page
     * faults: pages decommitted a moment ago, the rest of the 2 MiB that a growing reservation has reached (Linux), and released
     * allocations of more than 1 MiB. They fault like any reserved or free page, and go back to the system within seconds.
     * 0 for the default: a 32nd of the machine's or the control group's memory, at most 256 MiB; 1 to hold none. The tightest
     * value that any manager was made with holds for the process. Environment: HOSTMEM_HELD, in bytes.
     */
    SIZE_T cbHeld;
    DWORD dwFlags;      /* HM_TRACK_BLOCKS and the other flags above */
    DWORD cSampleEvery; /* of plain Alloc, every how-many-th is tracked; 0 for 2,048. Environment: HOSTMEM_SAMPLE_EVERY. */
    LPCSTR pszName;     /* what figures call the manager; copied, 31 bytes of it; may be NULL */
    HM_LEAK_VISIT pfnLeak; /* HM_TRACK_BLOCKS: called at the last Release of each heap for what it still holds; may be NULL */
    LPVOID pLeakContext;
    /* Limits on this manager, on each heap that it makes, and on the process; NULL for none, or for no change. */
    const HM_LIMITS *pLimits;
    const HM_LIMITS *pHeapLimits;
    const HM_LIMITS *pProcessLimits;
    const HM_FAULTS *pFaults; /* as for HmSetFaults; NULL: no change */
    /*
     * eMemoryAvailableLow is repeated after so many milliseconds while pressure lasts; 0 for the default of 8,500 (a CLR forgets
     * one that comes within 8,192 of the last one that it acted on). The tightest value that any manager was made with holds
     * for the process. Environment: HOSTMEM_LOW_SPACING, in milliseconds.
     */
    SIZE_T msLowSpacing;
    /*
     * Commit-ahead, for hosts that may give up a part of Win32's rules: in a reservation that grows by read-write commits, each
     * where the one before it ended, a commit gives access to as many bytes after it as well, to the end of their 2 MiB at most,
     * and the commits of those ask the system for nothing. Such pages are reserved to every query and count in no budget, but
     * an access to them need not fault, and what was written to them before they are committed may be there afterwards. 0 and
     * without the environment: none. The tightest value that any manager was made with holds for the process. Environment:
     * HOSTMEM_COMMIT_AHEAD, in bytes.
     */
    SIZE_T cbCommitAhead;
} HM_OPTIONS;

/*
 * Makes a memory manager; *out gets it with one reference. options may be NULL.
 * E_POINTER for a NULL out, E_INVALIDARG for a cbSize that no version had, for flags other than those above, and for limits or
 * faults that HmSetLimits or HmSetFaults would refuse, E_OUTOFMEMORY.
 */
HM_API HRESULT WINAPI HmCreateMemoryManager(const HM_OPTIONS *options, IHostMemoryManager **out);

/*
 * Takes back RegisterMemoryNotificationCallback: the callback is not called any more, and its reference is released. A call that
 * is under way in hostmem's thread is waited for; from within the callback itself, the reference goes when it returns. The last
 * Release of a manager does the same for all its callbacks.
 *
 * Callbacks are called by one thread of hostmem's, which exists while a callback is registered or a limit set, and looks at the
 * system (pressure stalls, the control group's events and load; on Windows the memory resource notifications), at the
 * process's limits and at the manager's own: Low again and again while pressure lasts (msLowSpacing), Neutral and High once.
 * Before it says Low it does as HmTrim does, and looks whether that was enough.
 *
 * E_POINTER; E_INVALIDARG for a manager that is not hostmem's and for a callback that is not registered.
 */
HM_API HRESULT WINAPI HmUnregisterMemoryNotificationCallback(IHostMemoryManager *manager,
                                                             ICLRMemoryNotificationCallback *callback);

/*
 * Makes the IHostControl to pass to ICLRRuntimeHost::SetHostControl. It answers IID_IHostMemoryManager with manager (one
 * more reference for the caller, as COM has it) and passes every other interface, and SetAppDomainManager, to next. next may
 * be NULL: then there are no other managers. Holds a reference on both until its own last Release.
 * E_POINTER for a NULL out or manager, E_OUTOFMEMORY.
 */
HM_API HRESULT WINAPI HmCreateHostControl(IHostMemoryManager *manager, IHostControl *next, IHostControl **out);

/*
 * Tells by origin which tracked blocks of a heap are in use, or with NULL of all heaps that track (HM_TRACK_BLOCKS).
 * E_POINTER for a NULL visit, E_INVALIDARG for an IHostMalloc that does not track, E_OUTOFMEMORY. Other threads may go on.
 */
HM_API HRESULT WINAPI HmReportLeaks(IHostMalloc *heap, HM_LEAK_VISIT visit, LPVOID context);

/*
 * The same as one line of JSON: {"leaks": [{"file": "a.c", "line": 7, "blocks": 2, "bytes": 96, "every": 1, "stack": []}, ...],
 * "blocks": N, "bytes": N}, the last two added up over the origins with "every" taken into account. E_POINTER for a NULL write,
 * E_INVALIDARG for an IHostMalloc that does not track, E_OUTOFMEMORY; then nothing was written.
 */
HM_API HRESULT WINAPI HmWriteLeaks(IHostMalloc *heap, HM_WRITE write, LPVOID context);

/* ---- Seeing and trimming -------------------------------------------------------------------------------------- */

/*
 * What the engine holds, counted from its tables when asked: exact while other threads rest. Set cbSize to sizeof(HM_STATS); a
 * caller with an earlier version's shorter struct gets that.
 */
typedef struct HM_STATS {
    SIZE_T cbSize;
    SIZE_T cRegions;          /* regions made, for life */
    SIZE_T cbRegions;         /* their address space, without what NeedsVirtualAddressSpace gave back */
    SIZE_T cbReserved;        /* allocations: bytes of address space, committed or not */
    SIZE_T cbCommitted;       /* allocations: bytes of committed pages */
    SIZE_T cAllocations;      /* live VirtualAlloc allocations */
    SIZE_T cSystemAllocations;/* those of them that a region could not serve */
    SIZE_T cbHeapReserved;    /* address space of heaps' slabs and large blocks */
    SIZE_T cHeapSpans;        /* how many slabs and large blocks */
    SIZE_T cGranulesTaken;    /* 64 KiB granules that the regions' bitmaps count as taken */
    SIZE_T cViews;            /* mapped views that CLRs reported by AcquiredVirtualAddressSpace */
    SIZE_T cbViews;
    SIZE_T cCallbacks;        /* registered notification callbacks */
    SIZE_T cAddressSpacePleas;/* calls of NeedsVirtualAddressSpace so far */
    /* since the second version */
    SIZE_T cHeaps;            /* live heaps */
    SIZE_T cbHeapPeak;        /* the most that each heap has taken, added up */
    SIZE_T cBlocks;           /* blocks in the program's hands */
    SIZE_T cbBlocks;          /* of their size classes */
    SIZE_T cBlocksCached;     /* freed blocks that threads keep at hand */
    SIZE_T cbBlocksCached;
    SIZE_T cSpansCached;      /* freed allocations that threads keep at hand */
    SIZE_T cbSpansCached;
    SIZE_T cbHeld;            /* decommitted or released, and not yet given back to the system */
    SIZE_T cThreadCaches;     /* threads that keep something at hand, or could */
    SIZE_T cRefills;          /* so far, as the rest: batches of blocks from heaps to threads, and the blocks in them */
    SIZE_T cBlocksRefilled;
    SIZE_T cFlushes;          /* batches of blocks from threads to heaps */
    SIZE_T cBlocksFlushed;
    SIZE_T cSystemCalls[5];   /* reserve, release, commit, decommit, protect: what the engine asked of the system */
    SIZE_T cFailures;         /* calls that were refused, for any reason */
    /* since the third version: the process's budget, as HmGetLimits of NULL has it, with what caches keep */
    SIZE_T cbCharged[2];      /* reserved, committed */
    SIZE_T cbChargedPeak[2];
    SIZE_T cbEmergencyHeld;   /* the emergency reserve, as far as it is held; not charged */
    SIZE_T cManagers;         /* and those that are gone and whose memory is not */
    SIZE_T cDoubleFrees;      /* since the fourth version: second frees of blocks that were found as these went to their slab */
} HM_STATS;

/* Fills *stats. FALSE with 24 for a cbSize that is too small, 998 for NULL. Other threads may go on meanwhile. */
HM_API BOOL WINAPI HmGetStats(HM_STATS *stats);

/* One heap's figures. Set cbSize to sizeof(HM_HEAP_STATS). */
typedef struct HM_HEAP_STATS {
    SIZE_T cbSize;
    SIZE_T cbReserved;    /* its slabs and large blocks */
    SIZE_T cbCommitted;   /* the same: a heap commits what it takes */
    SIZE_T cbPeak;        /* the most that cbReserved was */
    SIZE_T cbLimit;       /* 0 for none */
    SIZE_T cSlabs;
    SIZE_T cBlocks;       /* in the program's hands */
    SIZE_T cbBlocks;
    SIZE_T cBlocksCached; /* freed, and kept at hand by threads */
} HM_HEAP_STATS;

/* hHeap NULL is the process's heap. FALSE with 6 for what is not a heap, 24 for a cbSize that is too small, 998 for NULL. */
HM_API BOOL WINAPI HmGetHeapStats(HANDLE hHeap, HM_HEAP_STATS *stats);

/*
 * Writes all figures as one line of JSON. FALSE with 998 for a NULL write. Keys that end in _bytes are bytes, all others count.
 *
 *   {"version": 2, "program": "...", "process": 1234,
 *    "totals": {"regions": 1, "committed_bytes": ..., ...},        every key is listed in src/base/published.h
 *    "failed": {"no_memory": 0, "bad_argument": 0, ...},           calls refused, by reason
 *    "budget": {"reserved_bytes": ..., "committed_bytes": ..., "peak_reserved_bytes": ..., "soft_commit_bytes": 0,
 *               "refused_task": 0, ...},                           the process's; its keys are in src/base/published.h, too
 *    "managers": [{"manager": 1, "name": "...", "budget": {...}}, ...],
 *    "heaps": [{"heap": 1, "of_process": true, "executable": false, "manager": 0, "budget": {...}, "slabs": 1,
 *               "live_blocks": ..., "live_bytes": ..., "cached_blocks": ...,
 *               "classes": [{"size_bytes": 64, "slabs": 1, "slab_bytes": 65536, "room": 1024, "live": 3, "live_bytes": 192,
 *                            "cached": 61}, ...]}, ...],           a size of 0 is for blocks above the largest class
 *    "threads": [{"thread": 1234, "blocks": ..., "block_bytes": ..., "spans": ..., "span_bytes": ...}, ...],
 *    "calls": [{"name": "...", "manager": 1, "heap": 0,            with HM_COUNT_CALLS: one for each manager and its heaps
 *               "alloc": {"none": 0, "task": 5, "domain": 0, "process": 0, "failed": 1}, ...,
 *               "failed": {"no_quota": 1, ...}}, ...]}             by reason, for those that there were
 */
HM_API BOOL WINAPI HmWriteStats(HM_WRITE write, LPVOID context);

/*
 * Gives memory that nothing uses, and what threads keep at hand, back to the system at once; returns the bytes. A thread that
 * is in the middle of a call keeps what it has; what the engine's own thread is giving back at that moment is waited for, some
 * milliseconds at most. By itself goes back what a thread has not used for half a second, by a thread that the engine starts
 * when that is worth it (environment HOSTMEM_NO_KEEPER=1: it does not).
 */
HM_API SIZE_T WINAPI HmTrim(void);

#ifdef __cplusplus
}
#endif
#endif

/*
 * published.h - the layout of the view that a process publishes of itself, and the names of its figures. Layer: base.
 *
 * A view is one piece of shared memory that the process writes and others map read-only: a head, and two halves. The process
 * writes the half that is not `current`, then makes it current; so a whole one can be read at any time, also of a process
 * that is stopped in the middle of writing. A reader copies the current half and believes the copy if the half's sequence is
 * even and the same before and after.
 *
 * Every word is a little-endian u64 unless it says otherwise, so both systems and all compilers lay it out alike. A reader
 * refuses another version.
 *
 * The figures are one list, PUBLISHED_TOTALS, from which the struct and the keys of every JSON output are made. Bytes end in
 * _bytes; from `address_space_pleas` on they only ever grow (a reader makes rates of them), the others are as of now.
 */
#ifndef HM_PUBLISHED_H
#define HM_PUBLISHED_H

#include "base/base.h"

#define PUBLISHED_MAGIC ((uint64_t)0x0077656976206d68) /* "hm view" */
#define PUBLISHED_VERSION 3u

/* How the view is found: the name of the memory file on Linux, with the process's number behind it on Windows. */
#define PUBLISHED_FILE "hostmem-view"
#define PUBLISHED_SECTION "Local\\hostmem-view-"

#define PUBLISHED_TOTALS(X)                                                                                                      \
    X(regions)              /* made, for life */                                                                                 \
    X(region_bytes)         /* their address space, without what was given back */                                               \
    X(granules_taken)       /* 64 KiB granules in use, or kept at hand */                                                        \
    X(allocations)          /* live VirtualAlloc allocations */                                                                  \
    X(system_allocations)   /* those of them that a region could not serve */                                                    \
    X(reserved_bytes)       /* of allocations */                                                                                 \
    X(committed_bytes)      /* of allocations */                                                                                 \
    X(heaps)                                                                                                                     \
    X(heap_spans)           /* slabs and large blocks */                                                                         \
    X(heap_bytes)           /* of slabs and large blocks, all committed */                                                       \
    X(heap_peak_bytes)      /* each heap's highest, added up */                                                                  \
    X(live_blocks)          /* in the program's hands */                                                                         \
    X(live_bytes)           /* of their size classes */                                                                          \
    X(cached_blocks)        /* free, in threads' caches */                                                                       \
    X(cached_block_bytes)                                                                                                        \
    X(cached_spans)         /* freed allocations in threads' caches */                                                           \
    X(cached_span_bytes)                                                                                                         \
    X(held_bytes)           /* decommitted or released, and not yet given back to the system; in no budget */                    \
    X(emergency_held_bytes) /* the emergency reserve, as far as it is held; in no budget */                                      \
    X(managers)             /* and accounts of gone ones that still have memory */                                               \
    X(thread_caches)        /* threads that have one */                                                                          \
    X(memory_bytes)         /* of the machine, or of the control group or job */                                                 \
    X(memory_available_bytes)                                                                                                    \
    X(memory_load_percent)                                                                                                       \
    X(memory_available)     /* as callbacks are told of the machine and the process: 1 low, 2 neutral, 3 high, 0 not watched */  \
    X(callbacks)            /* registered for that */                                                                            \
    X(views)                /* mapped, that CLRs have reported */                                                                \
    X(view_bytes)                                                                                                                \
    X(address_space_pleas)  /* of CLRs, so far */                                                                                \
    X(refills)              /* batches of blocks from heaps to caches */                                                         \
    X(refilled_blocks)                                                                                                           \
    X(flushes)              /* and back */                                                                                       \
    X(flushed_blocks)                                                                                                            \
    X(system_reserves)      /* calls of the system */                                                                            \
    X(system_releases)                                                                                                           \
    X(system_commits)                                                                                                            \
    X(system_decommits)                                                                                                          \
    X(system_protects)                                                                                                           \
    X(failures)             /* calls that the engine refused, for any reason */                                                  \
    X(double_frees)         /* of blocks that were freed already, found when they went back to their slab */

struct published_totals {
#define PUBLISHED_MEMBER(name) uint64_t name;
    PUBLISHED_TOTALS(PUBLISHED_MEMBER)
#undef PUBLISHED_MEMBER
};

/*
 * A budget: the process's, a manager's or a heap's. Charged is what counts against its limits, which is everything that it has
 * from regions and the system, what threads' caches keep of it too. A limit of 0 is none.
 */
#define PUBLISHED_BUDGET(X)                                                                                                      \
    X(reserved_bytes)                                                                                                            \
    X(committed_bytes)                                                                                                           \
    X(peak_reserved_bytes)                                                                                                       \
    X(peak_committed_bytes)                                                                                                      \
    X(soft_reserve_bytes)                                                                                                        \
    X(hard_reserve_bytes)                                                                                                        \
    X(soft_commit_bytes)                                                                                                         \
    X(hard_commit_bytes)                                                                                                         \
    X(emergency_bytes)                                                                                                           \
    X(refused_task) /* requests that its own limits refused, by level */                                                         \
    X(refused_domain)                                                                                                            \
    X(refused_process)

struct published_budget {
#define PUBLISHED_MEMBER(name) uint64_t name;
    PUBLISHED_BUDGET(PUBLISHED_MEMBER)
#undef PUBLISHED_MEMBER
};

#define PUBLISHED_CLASSES 128u /* at most; a size of 0: blocks above the largest class, or no class */
#define PUBLISHED_HEAPS 128u
#define PUBLISHED_MANAGERS 64u
#define PUBLISHED_THREADS 512u
#define PUBLISHED_SPANS 256u
#define PUBLISHED_REGIONS 32u

struct published_class {
    uint64_t size_bytes;
    uint64_t slabs;
    uint64_t slab_bytes;
    uint64_t room; /* blocks that fit in the slabs */
    uint64_t live;
    uint64_t live_bytes;
    uint64_t cached;
};

enum { PUBLISHED_HEAP_OF_PROCESS = 1, PUBLISHED_HEAP_EXECUTABLE = 2 };

struct published_heap {
    uint64_t number;
    uint64_t flags;
    uint64_t manager;               /* whose heap it is; 0: the process's */
    struct published_budget budget; /* a heap commits what it takes, so reserved and committed are the same */
    uint64_t slabs;
    uint64_t live_blocks;
    uint64_t live_bytes;
    uint64_t cached_blocks;
};

struct published_manager {
    uint64_t number;
    char name[32]; /* ended by a zero; empty: it was given none */
    struct published_budget budget;
};

struct published_thread {
    uint64_t number; /* as the system numbers it; 0: a thread that has ended */
    uint64_t blocks;
    uint64_t block_bytes;
    uint64_t spans;
    uint64_t span_bytes;
};

/* An allocation that lies outside the regions. */
struct published_span {
    uint64_t start;
    uint64_t size_bytes;
    uint64_t committed_bytes;
};

enum published_use { USE_FREE, USE_ALLOCATION, USE_SLAB, USE_LARGE, USE_CACHED, USE_GIVEN /* back to the system */, USE_COUNT };

/* One granule of a region. */
struct published_granule {
    uint8_t use;       /* enum published_use */
    uint8_t first;     /* 1: a span starts here */
    uint8_t committed; /* pages, 0 to 16 */
    uint8_t fill;      /* of a slab: 0 for no block taken to 255 for all */
};

struct published_region {
    uint64_t start;
    uint64_t granules_taken;
    struct published_granule granule[GRANULES_PER_SLOT];
};

struct published_half {
    uint64_t sequence;   /* odd while it is being written */
    uint64_t written_ms; /* of the system's monotonic clock */
    uint64_t rest_ms;    /* the next one comes so much later */
    struct published_totals totals;
    struct published_budget process;
    uint64_t count_managers; /* these five: how many there are; the arrays hold the first of them */
    uint64_t count_heaps;
    uint64_t count_threads;
    uint64_t count_spans;
    uint64_t count_regions;
    struct published_class row[PUBLISHED_CLASSES];
    struct published_manager manager[PUBLISHED_MANAGERS];
    struct published_heap heap[PUBLISHED_HEAPS];
    struct published_thread thread[PUBLISHED_THREADS];
    struct published_span span[PUBLISHED_SPANS];
    struct published_region region[PUBLISHED_REGIONS]; /* last: a copy may stop where they do */
};

struct published {
    uint64_t magic;
    uint64_t version;
    uint64_t size_bytes; /* of all of it */
    uint64_t process;    /* its number, as it knows itself */
    uint64_t current;    /* 0 or 1; 2 until the first half is written */
    char program[128];   /* its name, ended by a zero */
    struct published_half half[2];
};

/*
 * The parts of a view as JSON, the same by HmWriteStats and by hostmem-top: the first two are members of the object that is open,
 * the others elements of an array. A heap's stays open for what else is to be said of it.
 */
struct json;
void published_write_totals(struct json *json, const struct published_totals *totals);
void published_write_budget(struct json *json, const struct published_budget *budget);
void published_write_manager(struct json *json, const struct published_manager *manager);
void published_write_heap(struct json *json, const struct published_heap *heap);
void published_write_class(struct json *json, const struct published_class *row); /* nothing where there are no slabs */
void published_write_thread(struct json *json, const struct published_thread *thread, const char *name); /* or NULL */

#endif

/*
 * replay.h - one replay: the trace, the memory under test, the model, and what was counted and found.
 *
 * Threads: one replay has as many threads as the trace, but only the one whose turn it is touches anything here.
 */
#ifndef HOSTMEM_REPLAY_H
#define HOSTMEM_REPLAY_H

#include "tools/common/tool.h"
#include "tools/replay/memory.h"
#include "tools/replay/shadow.h"
#include "tools/replay/trace.h"

/* What a call is counted as. */
enum kind {
    KIND_RESERVE, KIND_RESERVE_COMMIT, KIND_COMMIT, KIND_RESET, KIND_DECOMMIT, KIND_RELEASE, KIND_PROTECT, KIND_QUERY,
    KIND_HEAP_CREATE, KIND_HEAP_DESTROY, KIND_HEAP_ALLOC, KIND_HEAP_REALLOC, KIND_HEAP_FREE, KIND_MAP, KIND_UNMAP,
    KIND_COUNT
};

/* Why something was done otherwise than the trace has it, or not at all; how often is in the report. */
enum note {
    NOTE_RELOCATED,       /* the wanted address is taken in this process */
    NOTE_STAND_IN,        /* memory that the trace did not allocate */
    NOTE_RESERVED_BEFORE, /* a commit in memory that was reserved before the recording began */
    NOTE_HEAP_BEFORE,     /* a heap made before the recording began */
    NOTE_LOST_FREE,       /* an address given out again without a recorded release */
    NOTE_OBSTACLE,        /* a reservation that failed because of memory that the trace does not show */
    NOTE_BLOCK_BEFORE,    /* left out: frees a block that was allocated before the recording began */
    NOTE_UNKNOWN,         /* left out: changes memory that was reserved before the recording began */
    NOTE_SHORTAGE,        /* left out: allowed by the rules, so that the recording must have run out of memory */
    NOTE_COUNT
};

struct kind_stats {
    uint32_t *tick; /* one per timed call */
    size_t count, capacity;
    size_t count_refused; /* that failed, as recorded */
};

enum { DIFFERENCES_KEPT = 10, DIFFERENCE_TEXT = 200 };

struct difference {
    uint32_t line;
    char text[DIFFERENCE_TEXT];
};

struct turns;   /* play.c */
struct picture; /* picture.c */

struct replay {
    const struct trace *trace;
    struct memory memory;
    bool check;
    struct shadow shadow;
    struct kind_stats kind[KIND_COUNT];
    uint64_t count_note[NOTE_COUNT];
    uint64_t count_differences;
    struct difference difference[DIFFERENCES_KEPT];
    uint64_t count_pages_checked;
    uint64_t wall_ns;
    double ns_per_tick;
    struct turns *turns;
    struct picture *picture; /* NULL where none is wanted */
};

/* ---- play.c: threads, turns and the clock */

/* Replays the whole trace. False with a message on stderr where the system has no thread or memory for it. */
bool replay_run(struct replay *replay);

/* Records an answer that differs from the recorded one. */
void replay_differ(struct replay *replay, const struct call *call, const char *format, ...) TOOL_PRINTF(3, 4);
/* Counts a call that took so many ticks. */
void replay_count(struct replay *replay, enum kind kind, uint64_t ticks, bool refused);
/* Gives up for lack of memory; does not return. */
void replay_exhausted(const struct call *call) __attribute__((noreturn));

/* A clock cheap enough to stand around one call; replay_run finds out what a tick is worth. */
uint64_t replay_ticks(void);
#define TIMED(ticks, statement)                 \
    do {                                        \
        uint64_t timed_start = replay_ticks();  \
        statement;                              \
        (ticks) = replay_ticks() - timed_start; \
    } while (0)

/* ---- play_vm.c, play_heap.c: one call each */

void play_alloc(struct replay *replay, const struct call *call);
void play_free(struct replay *replay, const struct call *call);
void play_protect(struct replay *replay, const struct call *call);
void play_query(struct replay *replay, const struct call *call);
void play_map(struct replay *replay, const struct call *call);
void play_unmap(struct replay *replay, const struct call *call);
void play_heap_create(struct replay *replay, const struct call *call);
void play_heap_destroy(struct replay *replay, const struct call *call);
void play_heap_alloc(struct replay *replay, const struct call *call);
void play_heap_realloc(struct replay *replay, const struct call *call);
void play_heap_free(struct replay *replay, const struct call *call);

/* ---- check.c: the content of pages and blocks */

/* Before a call: what the pages of [start, end) hold must be what the model says. */
void check_verify(struct replay *replay, const struct call *call, struct allocation *one, uint64_t start, uint64_t end);
/* After a call: the same, and pages that can be written and hold no stamp get theirs. */
void check_settle(struct replay *replay, const struct call *call, struct allocation *one, uint64_t start, uint64_t end);
/* The model's part of a commit; check_settle then looks at the pages. */
void check_committed(struct allocation *one, uint64_t start, uint64_t end, uint32_t prot);
void check_decommitted(struct allocation *one, uint64_t start, uint64_t end);
/* All pages of the range are committed. */
bool check_all_committed(const struct allocation *one, uint64_t start, uint64_t end);
void check_block_stamp(struct replay *replay, const struct block *block);
void check_block_verify(struct replay *replay, const struct call *call, const struct block *block);

/* ---- picture.c: which granules are in use over the replay */

struct picture *picture_begin(const struct trace *trace); /* NULL for no memory */
/* After a call: may note what is allocated now. picture may be NULL. */
void picture_note(struct picture *picture, const struct shadow *shadow, size_t call);
/* Writes the picture as JSON; name goes into it. False, with a message on stderr, where it cannot. */
bool picture_end(const struct tool_command *command, struct picture *picture, const struct trace *trace, const char *name,
                 const char *path);

/* ---- report.c */

void report_table(const struct replay *replay, const char *path);
void report_json(const struct replay *replay, const char *path);

#endif

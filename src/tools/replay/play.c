/*
 * play.c - threads, turns and the clock of a replay.
 *
 * Each recorded thread is a thread here, started at its first call and ended after its last one, so that what a memory
 * manager keeps per thread is met as it was recorded. The recorded order is kept as a total order: a thread plays its
 * calls up to the first that belongs to another thread, opens that thread's gate and waits at its own. The gates are
 * semaphores without spinning: the hand-over is not part of any call's time, and a replay shares its processors with whatever
 * else runs. They also order every access to the replay's data, so no field needs an atomic.
 *
 * A call's time is taken inside the thread, around the call alone.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/replay/replay.h"

struct player {
    struct replay *replay;
    struct system_thread *thread;
    struct system_gate *gate;
    size_t last; /* its last call in the trace */
    uint16_t number;
};

struct turns {
    struct player *player;
    struct system_gate *done;
    size_t next; /* the call whose turn it is */
    uint64_t start_ns, shown_ns;
    bool terminal;
    bool failed; /* a thread could not be started */
};

/* The line being replayed, for a message from a fault; only written by the thread whose turn it is. */
static volatile uint32_t current_line;

static void fault_tell(const void *address) {
    fprintf(stderr, "hostmem-replay: line %u: the memory at %p cannot be accessed, though the calls so far allow it\n",
            (unsigned)current_line, address);
    _Exit(TOOL_EXIT_DIFFERENT);
}

void replay_exhausted(const struct call *call) {
    fprintf(stderr, "hostmem-replay: line %u: no memory left for the replay's own books\n", (unsigned)call->line);
    _Exit(TOOL_EXIT_USAGE);
}

uint64_t replay_ticks(void) {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return tool_clock_ns();
#endif
}

void replay_differ(struct replay *replay, const struct call *call, const char *format, ...) {
    uint64_t at = replay->count_differences++;
    if (at >= DIFFERENCES_KEPT) return;
    replay->difference[at].line = call->line;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(replay->difference[at].text, DIFFERENCE_TEXT, format, arguments);
    va_end(arguments);
}

void replay_count(struct replay *replay, enum kind kind, uint64_t ticks, bool refused) {
    struct kind_stats *stats = &replay->kind[kind];
    stats->tick[stats->count++] = ticks < UINT32_MAX ? (uint32_t)ticks : UINT32_MAX;
    stats->count_refused += refused;
}

static void call_play(struct replay *replay, const struct call *call) {
    switch ((enum op)call->op) {
    case OP_ALLOC: play_alloc(replay, call); break;
    case OP_FREE: play_free(replay, call); break;
    case OP_PROTECT: play_protect(replay, call); break;
    case OP_QUERY: play_query(replay, call); break;
    case OP_HEAP_CREATE: play_heap_create(replay, call); break;
    case OP_HEAP_DESTROY: play_heap_destroy(replay, call); break;
    case OP_HEAP_ALLOC: play_heap_alloc(replay, call); break;
    case OP_HEAP_REALLOC: play_heap_realloc(replay, call); break;
    case OP_HEAP_FREE: play_heap_free(replay, call); break;
    case OP_MAP: play_map(replay, call); break;
    case OP_UNMAP: play_unmap(replay, call); break;
    case OP_MODULE: break; /* where an image lies; its pages get a stand-in when a call concerns them */
    }
}

/* For a person who waits longer than two seconds. */
static void progress_show(struct turns *turns, size_t count) {
    uint64_t now = tool_clock_ns();
    if (now - turns->start_ns < 2000000000u || now - turns->shown_ns < 200000000u) return;
    turns->shown_ns = now;
    fprintf(stderr, "\r%3u%%", (unsigned)(turns->next * 100 / count));
}

static void player_main(void *argument);

/* Gives the turn to the thread of the next call, or tells the main thread that there is none. */
static void turn_hand_over(struct replay *replay) {
    struct turns *turns = replay->turns;
    if (turns->next == replay->trace->count) {
        system_gate_open(turns->done);
        return;
    }
    struct player *player = &turns->player[replay->trace->call[turns->next].thread];
    if (player->gate != NULL) {
        system_gate_open(player->gate);
        return;
    }
    player->gate = system_gate_make();
    if (player->gate != NULL) player->thread = system_thread_start(player_main, player);
    if (player->thread == NULL) {
        turns->failed = true;
        system_gate_open(turns->done);
    }
}

static void player_main(void *argument) {
    struct player *player = argument;
    struct replay *replay = player->replay;
    const struct trace *trace = replay->trace;
    struct turns *turns = replay->turns;
    size_t last = player->last;
    for (;;) {
        size_t at = turns->next;
        for (; at < trace->count && trace->call[at].thread == player->number; at++) {
            current_line = trace->call[at].line;
            call_play(replay, &trace->call[at]);
            picture_note(replay->picture, &replay->shadow, at);
            turns->next = at + 1;
            if (turns->terminal && at % 1024 == 0) progress_show(turns, trace->count);
        }
        bool ends = at > last;
        turn_hand_over(replay); /* after it, what is shared belongs to another thread */
        if (ends) return;
        system_gate_wait(player->gate);
    }
}

/* Each kind can have as many calls as the trace has; the arrays' untouched pages cost nothing. */
static bool stats_prepare(struct replay *replay) {
    for (int kind = 0; kind < KIND_COUNT; kind++) {
        replay->kind[kind].tick = malloc(replay->trace->count * sizeof(uint32_t));
        if (replay->kind[kind].tick == NULL) return false;
    }
    return true;
}

static bool turns_prepare(struct replay *replay, struct turns *turns) {
    const struct trace *trace = replay->trace;
    turns->player = calloc(trace->count_threads, sizeof *turns->player);
    turns->done = system_gate_make();
    turns->terminal = tool_is_terminal(stderr);
    if (turns->player == NULL || turns->done == NULL) return false;
    for (unsigned i = 0; i < trace->count_threads; i++) {
        turns->player[i].replay = replay;
        turns->player[i].number = (uint16_t)i;
    }
    for (size_t i = 0; i < trace->count; i++) turns->player[trace->call[i].thread].last = i;
    return true;
}

/* What is still allocated must still hold what was put there. */
static void remains_verify(struct replay *replay) {
    const struct call *last = &replay->trace->call[replay->trace->count - 1];
    for (size_t i = 0; i < replay->shadow.count_allocations; i++) {
        struct allocation *one = replay->shadow.allocation[i];
        check_verify(replay, last, one, one->recorded, allocation_end(one));
    }
    for (size_t i = 0; i < SHADOW_CHAINS; i++)
        for (const struct block *block = replay->shadow.chain[i]; block != NULL; block = block->next)
            check_block_verify(replay, last, block);
}

bool replay_run(struct replay *replay) {
    struct turns turns = {0};
    replay->turns = &turns;
    if (!stats_prepare(replay) || !turns_prepare(replay, &turns)) {
        fprintf(stderr, "hostmem-replay: no memory for the replay's own books\n");
        return false;
    }
    system_on_fault(fault_tell);
    turns.start_ns = tool_clock_ns();
    uint64_t start_ticks = replay_ticks();
    turn_hand_over(replay);
    system_gate_wait(turns.done);
    if (turns.failed) {
        fprintf(stderr, "hostmem-replay: the system has no more threads\n");
        return false;
    }
    for (unsigned i = 0; i < replay->trace->count_threads; i++) system_thread_join(turns.player[i].thread);
    uint64_t ticks = replay_ticks() - start_ticks;
    replay->wall_ns = tool_clock_ns() - turns.start_ns;
    replay->ns_per_tick = ticks > 0 ? (double)replay->wall_ns / (double)ticks : 1.0;
    if (turns.shown_ns != 0) fprintf(stderr, "\r    \r");
    remains_verify(replay);
    return true;
}

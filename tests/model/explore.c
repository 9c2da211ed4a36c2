/*
 * explore.c - a stateless model checker.
 *
 * Threads are coroutines. A thread that is about to do an atomic operation announces it and switches to the scheduler; when it
 * is chosen it does the operation and runs on to its next one. The scheduler's choices are a path in a tree, walked depth
 * first: an execution follows the path as far as it is known, then goes on by first choices; then the deepest
 * choice that has an alternative is changed, and the scenario is run again from the start.
 *
 * Pruning. Two operations are independent in a state if either order leads to the same state: on different memory, or both
 * only reading (a CAS that is going to fail only reads). A node's sleep set holds the actors whose next operation need not be
 * tried there, because an execution that tried it earlier, before operations independent of it, was the same but for the order
 * of independent operations. Sleep sets leave out transitions, never states. With MODEL_MERGE, states are remembered by a 128-bit
 * hash along with the sleep set that they were explored with, and a state met again is explored only for what is not asleep
 * now and was then (the rule of state-space caching with sleep sets).
 *
 * Actors are the threads and, under x86-TSO, the store buffers: actor n + t moves thread t's oldest buffered store to memory.
 * A read-modify-write waits until its thread's buffer is empty.
 *
 * model_pause: the thread goes on once memory that it has read since its last pause (or since the start) has been written
 * by another after that. A write between the look and the pause therefore counts, and a spinning thread makes no
 * infinite tree. A pause that may go on is independent of everything: it only forgets what was read and written.
 *
 * Happens-before by vector clocks, one 16-bit count for each thread in a 64-bit word. Each byte of atomic memory carries the
 * clock that an acquire of it obtains: a release store sets it, a relaxed store clears it, a read-modify-write adds to it.
 */
#include "explore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STEPS_AT_MOST 1000
#define SECONDS_AT_MOST 25.0
#define STACK_BYTES 65536
#define BUFFER_STORES 16
#define WATCHED_BYTES 32
#define PLACES 512
#define VISITED_SLOTS ((size_t)1 << 21)

enum op_kind { OP_NONE, OP_LOAD, OP_STORE, OP_CAS, OP_ADD, OP_PAUSE, OP_FLUSH };

struct op {
    enum op_kind kind;
    char order;
    int width;
    uint8_t *target;
    uint64_t value;    /* stored, added or desired */
    uint64_t expected; /* of a CAS */
    uint64_t clock;    /* of a buffered store */
};

struct thread {
    void *stack_pointer;
    struct op next; /* OP_NONE: finished */
    const uint8_t *watched[WATCHED_BYTES]; /* first bytes of what was read since the last pause */
    int count_watched;                     /* when full: everything */
    bool stirred;                          /* another thread has written something watched */
    uint64_t clock;
    uint64_t history; /* a hash of all that the thread has seen */
    struct op buffer[BUFFER_STORES];
    int buffered;
};

/* One choice of the scheduler; sets of actors are bit masks. */
struct node {
    uint8_t left;  /* to be tried yet */
    uint8_t sleep; /* need not be tried */
    uint8_t done;  /* tried from here */
    uint8_t chosen;
};

/* What happens-before needs to know of eight bytes of atomic memory or of one annotated datum. */
struct place {
    uintptr_t key;
    uint64_t execution; /* the place is empty in any other */
    uint64_t sync[8];
    uint64_t read, write; /* clocks of the last reads and of the last write, of an annotated datum */
};

static struct {
    const struct model *model;
    struct thread threads[MODEL_THREADS];
    int current; /* running thread, or -1 outside */
    void *stack_pointer;
    struct node nodes[STEPS_AT_MOST + 1];
    int count_nodes;
    uint8_t next_sleep;
    struct {
        uint8_t actor;
        struct op op;
        uint64_t seen;
    } log[STEPS_AT_MOST + 1];
    int depth;
    enum model_fault fault;
    char message[256];
    uint64_t executions, pruned, states, marks[MODEL_MARKS];
    uint64_t run;         /* executions and pruned ones, over all scenarios */
    uint32_t exploration; /* counts scenarios */
    uint64_t memory_hash; /* of all changes to memory since setup */
    struct place places[PLACES];
} x;

static uint8_t stacks[MODEL_THREADS][STACK_BYTES] __attribute__((aligned(64)));
static struct {
    uint64_t hash, hash_rest;
    uint32_t exploration; /* the slot is empty in any other */
    uint8_t sleep;
} visited[VISITED_SLOTS];

/* Coroutines: saves the callee-saved registers and the stack pointer, and continues where `to` was saved. System V x86-64. */
void model_switch(void **from, void *to);
__asm__(".text\n"
        ".globl model_switch\n"
        ".type model_switch, @function\n"
        "model_switch:\n"
        "    pushq %rbp\n    pushq %rbx\n    pushq %r12\n    pushq %r13\n    pushq %r14\n    pushq %r15\n"
        "    movq %rsp, (%rdi)\n    movq %rsi, %rsp\n"
        "    popq %r15\n    popq %r14\n    popq %r13\n    popq %r12\n    popq %rbx\n    popq %rbp\n"
        "    ret\n"
        ".size model_switch, .-model_switch\n");

static void fault_found(enum model_fault fault, const char *message) {
    if (x.fault != FAULT_NONE) return;
    x.fault = fault;
    snprintf(x.message, sizeof x.message, "%s", message);
}

static uint64_t mix(uint64_t a, uint64_t b) {
    a = (a ^ b) * 0x9e3779b97f4a7c15u;
    a = (a ^ (a >> 29)) * 0xbf58476d1ce4e5b9u;
    return a ^ (a >> 32);
}

static uint64_t memory_read(const void *target, int width) {
    uint64_t value = 0;
    memcpy(&value, target, (size_t)width);
    return value;
}

/* A write reaches memory; by: the thread whose write it is. */
static void memory_write(uint8_t *target, uint64_t value, int width, int by) {
    for (int i = 0; i < width; i++) {
        uint8_t byte = (uint8_t)(value >> 8 * i);
        uintptr_t where = (uintptr_t)&target[i] << 8;
        if (byte != target[i]) x.memory_hash ^= mix(where | target[i], 1) ^ mix(where | byte, 1);
        target[i] = byte;
    }
    for (int n = 0; n < MODEL_THREADS; n++) {
        struct thread *t = &x.threads[n];
        bool seen = n != by && t->count_watched == WATCHED_BYTES;
        for (int i = 0; n != by && i < t->count_watched && !seen; i++) {
            seen = t->watched[i] < target + width && target < t->watched[i] + 8; /* 8: no read is wider */
        }
        if (seen) t->stirred = true;
    }
}

/* A later write by another thread ends a pause. */
static void watch(struct thread *t, const uint8_t *target) {
    for (int i = 0; i < t->count_watched; i++) {
        if (t->watched[i] == target) return;
    }
    if (t->count_watched < WATCHED_BYTES) t->watched[t->count_watched++] = target;
}

/* Happens-before */

static uint64_t clock_join(uint64_t a, uint64_t b) {
    uint64_t joined = 0;
    for (int lane = 0; lane < 64; lane += 16) {
        uint64_t mask = (uint64_t)0xffff << lane;
        joined |= (a & mask) > (b & mask) ? a & mask : b & mask;
    }
    return joined;
}

static struct place *place_of(uintptr_t key) {
    for (size_t i = mix(key, 2) % PLACES, n = 0; n < PLACES; n++, i = (i + 1) % PLACES) {
        struct place *p = &x.places[i];
        if (p->execution == x.run && p->key != key) continue;
        if (p->execution != x.run) *p = (struct place){.key = key, .execution = x.run};
        return p;
    }
    fprintf(stderr, "explore.c: the scenario uses more memory than PLACES\n");
    exit(1);
}

static void sync_acquire(struct thread *t, uint8_t *target, int width) {
    if (x.model->flags & MODEL_MERGE) return;
    struct place *p = place_of((uintptr_t)target & ~(uintptr_t)7);
    for (int i = 0; i < width; i++) t->clock = clock_join(t->clock, p->sync[((uintptr_t)target + (uintptr_t)i) & 7]);
}

/* clock: what an acquire of these bytes obtains from now on. That of a read-modify-write, which acquires first, holds the old. */
static void sync_release(uint64_t clock, uint8_t *target, int width) {
    if (x.model->flags & MODEL_MERGE) return;
    struct place *p = place_of((uintptr_t)target & ~(uintptr_t)7);
    for (int i = 0; i < width; i++) p->sync[((uintptr_t)target + (uintptr_t)i) & 7] = clock;
}

static void data_access(const void *data, bool write) {
    if (x.current < 0) return;
    if (x.model->flags & MODEL_MERGE) {
        fault_found(FAULT_UNFINISHED, "annotated data in a scenario with MODEL_MERGE");
        return;
    }
    struct place *p = place_of((uintptr_t)data << 1 | 1); /* odd: never the key of atomic memory */
    uint64_t clock = x.threads[x.current].clock;
    uint64_t before = write ? clock_join(p->read, p->write) : p->write;
    if (clock_join(before, clock) != clock) {
        fault_found(FAULT_RACE, write ? "data race, found at a write" : "data race, found at a read");
    }
    uint64_t own = clock & (uint64_t)0xffff << 16 * x.current;
    if (write) p->write = clock_join(p->write, own);
    else p->read = clock_join(p->read, own);
}

void model_data_read(const void *data) { data_access(data, false); }

void model_data_write(const void *data) { data_access(data, true); }

/* Operations, on the thread's side */

/* Announces the operation, and returns when it has been chosen. NULL outside of the threads: then it takes effect at once. */
static struct thread *announce(enum op_kind kind, void *target, int width, char order, uint64_t value, uint64_t expected) {
    if (x.current < 0) return NULL;
    struct thread *t = &x.threads[x.current];
    t->next = (struct op){.kind = kind, .order = order, .width = width, .target = target, .value = value, .expected = expected};
    model_switch(&t->stack_pointer, x.stack_pointer);
    return t;
}

/* The operation is done: `seen` is all that the thread learned from it. */
static void done(struct thread *t, uint64_t seen) {
    t->history = mix(t->history, seen + 3);
    t->clock += (uint64_t)1 << 16 * (t - x.threads);
    x.log[x.depth].seen = seen;
}

uint64_t model_load(const void *target, int width, char order) {
    struct thread *t = announce(OP_LOAD, (void *)(uintptr_t)target, width, order, 0, 0);
    uint64_t value = memory_read(target, width);
    if (!t) return value;
    for (int i = 0; i < t->buffered; i++) {
        struct op *store = &t->buffer[i];
        for (int b = 0; b < store->width; b++) {
            intptr_t at = (intptr_t)(store->target + b) - (intptr_t)target;
            if (at < 0 || at >= width) continue;
            value &= ~((uint64_t)0xff << 8 * at);
            value |= (store->value >> 8 * b & 0xff) << 8 * at;
        }
    }
    watch(t, target);
    if (order == 'a') sync_acquire(t, t->next.target, width);
    done(t, value);
    return value;
}

void model_store(void *target, uint64_t value, int width, char order) {
    struct thread *t = announce(OP_STORE, target, width, order, value, 0);
    int me = t ? (int)(t - x.threads) : -1;
    uint64_t clock = t && order == 'l' ? t->clock : 0;
    if (t && (x.model->flags & MODEL_TSO)) {
        if (t->buffered == BUFFER_STORES) fault_found(FAULT_UNFINISHED, "more buffered stores than BUFFER_STORES");
        else {
            t->buffer[t->buffered] = t->next;
            t->buffer[t->buffered++].clock = clock;
        }
    } else {
        memory_write(target, value, width, me);
        if (t) sync_release(clock, target, width);
    }
    if (t) done(t, value);
}

/* The read-modify-writes: stores `value` if `stores`, and acquires in any case. */
static void modify(struct thread *t, uint8_t *target, uint64_t value, int width, bool stores, uint64_t seen) {
    if (stores) memory_write(target, value, width, t ? (int)(t - x.threads) : -1);
    if (!t) return;
    watch(t, target);
    sync_acquire(t, target, width);
    if (stores) sync_release(t->clock, target, width);
    done(t, seen);
}

bool model_cas(void *target, uint64_t *expected, uint64_t desired, int width) {
    struct thread *t = announce(OP_CAS, target, width, 'b', desired, *expected);
    uint64_t seen = memory_read(target, width);
    bool stored = seen == *expected;
    modify(t, target, desired, width, stored, seen);
    *expected = seen;
    return stored;
}

uint64_t model_add(void *target, uint64_t delta, int width) {
    struct thread *t = announce(OP_ADD, target, width, 'b', delta, 0);
    uint64_t seen = memory_read(target, width);
    modify(t, target, seen + delta, width, true, seen);
    return seen;
}

void model_pause(void) {
    struct thread *t = announce(OP_PAUSE, NULL, 0, 'r', 0, 0);
    if (!t) return;
    t->stirred = false;
    t->count_watched = 0;
    done(t, 0);
}

void model_holds(bool holds, const char *file, int line, const char *text) {
    if (holds) return;
    char message[256];
    snprintf(message, sizeof message, "%s:%d: does not hold: %s", file, line, text);
    fault_found(FAULT_CHECK, message);
}

void model_forget(uint64_t state) {
    if (x.current >= 0) x.threads[x.current].history = mix(state, 11);
}

uint64_t model_interleavings(void) { return x.executions; }

void model_mark(unsigned mark) { x.marks[mark]++; }

uint64_t model_marked(unsigned mark) { return x.marks[mark]; }

/* Threads */

static void thread_main(void) {
    struct thread *t = &x.threads[x.current];
    x.model->thread(x.current);
    t->next.kind = OP_NONE;
    model_switch(&t->stack_pointer, x.stack_pointer);
    abort(); /* a finished thread is never chosen */
}

static void thread_resume(int n) {
    x.current = n;
    model_switch(&x.stack_pointer, x.threads[n].stack_pointer);
    x.current = -1;
}

/* Makes the thread and runs it to its first operation. */
static void thread_begin(int n) {
    struct thread *t = &x.threads[n];
    memset(t, 0, sizeof *t);
    t->clock = (uint64_t)1 << 16 * n;
    void **top = (void **)(void *)(stacks[n] + STACK_BYTES);
    *--top = NULL; /* thread_main's return address; keeps the stack aligned as after a call */
    *--top = (void *)(uintptr_t)thread_main;
    for (int i = 0; i < 6; i++) *--top = NULL;
    t->stack_pointer = top;
    thread_resume(n);
}

/* The scheduler */

static struct op actor_op(int actor) {
    if (actor < x.model->threads) return x.threads[actor].next;
    struct op op = x.threads[actor - x.model->threads].buffer[0];
    op.kind = OP_FLUSH;
    return op;
}

static bool actor_enabled(int actor) {
    if (actor >= x.model->threads) return x.threads[actor - x.model->threads].buffered > 0;
    const struct thread *t = &x.threads[actor];
    switch (t->next.kind) {
    case OP_NONE: return false;
    case OP_PAUSE: return t->stirred;
    case OP_CAS:
    case OP_ADD: return t->buffered == 0;
    default: return true;
    }
}

/* Does the operation change memory, if it is done now? */
static bool op_writes(const struct op *op) {
    switch (op->kind) {
    case OP_STORE: return !(x.model->flags & MODEL_TSO);
    case OP_CAS: return memory_read(op->target, op->width) == op->expected;
    case OP_ADD:
    case OP_FLUSH: return true;
    default: return false;
    }
}

static bool independent(int a, int b) {
    struct op p = actor_op(a), q = actor_op(b);
    bool p_writes = op_writes(&p), q_writes = op_writes(&q);
    if (!p_writes && !q_writes) return true;
    if (p.kind == OP_PAUSE || q.kind == OP_PAUSE) return true;
    return p.target + p.width <= q.target || q.target + q.width <= p.target;
}

/* The sleep set of the state after the node's chosen actor has moved. */
static uint8_t sleep_after(const struct node *node) {
    uint8_t asleep = (uint8_t)(node->sleep | node->done), sleep = 0;
    if (x.model->flags & MODEL_UNPRUNED) return 0;
    for (int a = 0; a < 2 * x.model->threads; a++) {
        if ((asleep >> a & 1) && a != node->chosen && independent(a, node->chosen)) sleep |= (uint8_t)(1 << a);
    }
    return sleep;
}

static void actor_move(int actor) {
    x.log[x.depth].actor = (uint8_t)actor;
    x.log[x.depth].op = actor_op(actor);
    if (actor < x.model->threads) {
        thread_resume(actor);
        return;
    }
    struct thread *t = &x.threads[actor - x.model->threads];
    struct op store = t->buffer[0];
    memmove(&t->buffer[0], &t->buffer[1], sizeof t->buffer[0] * (size_t)--t->buffered);
    memory_write(store.target, store.value, store.width, (int)(t - x.threads));
    sync_release(store.clock, store.target, store.width);
    x.log[x.depth].seen = store.value;
}

/* MODEL_MERGE: what is left to try in a state, given what is enabled and what sleeps. Updates the node's sleep set. */
static uint8_t merge_state(struct node *node, uint8_t enabled) {
    uint64_t a = x.memory_hash, b = mix(x.memory_hash, 5);
    for (int t = 0; t < x.model->threads; t++) {
        const struct thread *s = &x.threads[t];
        uint64_t rest = (uint64_t)s->stirred << 8 | (uint64_t)s->buffered;
        a = mix(mix(a, s->history), rest);
        b = mix(mix(b, rest + 7), s->history);
    }
    for (size_t i = a % VISITED_SLOTS;; i = (i + 1) % VISITED_SLOTS) {
        if (visited[i].exploration != x.exploration) {
            if (++x.states > VISITED_SLOTS / 4 * 3) fault_found(FAULT_UNFINISHED, "more states than VISITED_SLOTS");
            visited[i].hash = a;
            visited[i].hash_rest = b;
            visited[i].sleep = node->sleep;
            visited[i].exploration = x.exploration;
            return enabled & (uint8_t)~node->sleep;
        }
        if (visited[i].hash != a || visited[i].hash_rest != b) continue;
        uint8_t before = visited[i].sleep;
        uint8_t left = enabled & before & (uint8_t)~node->sleep;
        visited[i].sleep = node->sleep &= before;
        return left;
    }
}

/* Is the state one in which somebody is stuck? */
static void state_judge(uint8_t enabled) {
    int unfinished = 0;
    for (int t = 0; t < x.model->threads; t++) unfinished += x.threads[t].next.kind != OP_NONE;
    if (unfinished > 0 && enabled == 0) fault_found(FAULT_DEADLOCK, "every thread that is left waits");
    bool one = enabled != 0 && (enabled & (enabled - 1)) == 0 && enabled < 1 << x.model->threads;
    if ((x.model->flags & MODEL_NOBODY_WAITS) && one && unfinished > 1) {
        fault_found(FAULT_WAITS, "every other thread waits for the one that may be stopped");
    }
}

/* Makes the node of a state not seen on this path before. False: nothing to be done from here. */
static bool node_begin(struct node *node) {
    uint8_t enabled = 0;
    for (int a = 0; a < 2 * x.model->threads; a++) enabled |= (uint8_t)(actor_enabled(a) << a);
    state_judge(enabled);
    *node = (struct node){.sleep = x.next_sleep};
    node->left = enabled & (uint8_t)~node->sleep;
    if (enabled != 0 && (x.model->flags & MODEL_MERGE)) node->left = merge_state(node, enabled);
    if (x.fault != FAULT_NONE) return false;
    if (node->left != 0) return true;
    if (enabled != 0) {
        x.pruned++;
        return false;
    }
    x.executions++;
    if (x.model->check) x.model->check();
    return false;
}

/* The first actor to try: rather the one that has just moved, so that the first fault found has few switches. */
static uint8_t node_choose(const struct node *node, int last) {
    if (node->left >> last & 1) return (uint8_t)last;
    return (uint8_t)__builtin_ctz(node->left);
}

/* Runs the scenario once: along the known path, then by first choices. */
static void execution_run(void) {
    x.run++;
    x.memory_hash = 0;
    x.current = -1;
    x.model->setup();
    for (int t = 0; t < x.model->threads; t++) thread_begin(t);
    int last = 0;
    for (x.depth = 0; x.fault == FAULT_NONE; x.depth++) {
        struct node *node = &x.nodes[x.depth];
        if (x.depth == STEPS_AT_MOST) {
            fault_found(FAULT_ENDLESS, "an execution does not end");
            return;
        }
        if (x.depth == x.count_nodes) {
            if (!node_begin(node)) return;
            node->chosen = node_choose(node, last);
            x.count_nodes++;
        }
        if (x.depth == x.count_nodes - 1) {
            node->left &= (uint8_t) ~(1 << node->chosen);
            x.next_sleep = sleep_after(node);
            node->done |= (uint8_t)(1 << node->chosen);
        }
        last = node->chosen;
        actor_move(node->chosen);
    }
}

/* Changes the deepest choice that has an alternative. False: there is none, all has been explored. */
static bool path_next(void) {
    for (; x.count_nodes > 0; x.count_nodes--) {
        struct node *node = &x.nodes[x.count_nodes - 1];
        if (node->left == 0) continue;
        node->chosen = (uint8_t)__builtin_ctz(node->left);
        return true;
    }
    return false;
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void explore(const struct model *model) {
    uint64_t run = x.run;
    uint32_t exploration = x.exploration + 1;
    memset(&x, 0, sizeof x);
    x.run = run;
    x.exploration = exploration;
    x.model = model;
    double end = seconds() + SECONDS_AT_MOST;
    do {
        execution_run();
        if (x.run % 1024 == 0 && seconds() > end) fault_found(FAULT_UNFINISHED, "too many interleavings");
    } while (x.fault == FAULT_NONE && path_next());
}

/* The interleaving that led to the fault; places in memory are numbered as they come. */
static void path_print(void) {
    static const char *const kinds[] = {"?", "load", "store", "cas", "add", "pause", "flush"};
    const uint8_t *seen[STEPS_AT_MOST];
    int count = 0;
    for (int i = 0; i < x.depth && i < 200; i++) {
        const struct op *op = &x.log[i].op;
        int place = 0;
        while (place < count && seen[place] != op->target) place++;
        if (place == count) seen[count++] = op->target;
        printf("    thread %d %-5s place %d", x.log[i].actor % x.model->threads, kinds[op->kind], place);
        if (op->kind == OP_LOAD) printf(" sees %llx\n", (unsigned long long)x.log[i].seen);
        else if (op->kind == OP_CAS) {
            printf(" %llx -> %llx, sees %llx\n", (unsigned long long)op->expected, (unsigned long long)op->value,
                   (unsigned long long)x.log[i].seen);
        } else printf(" %llx\n", (unsigned long long)op->value);
    }
}

static void totals_print(void) {
    if (x.model->flags & MODEL_QUIET) return;
    printf("%-58s %9llu interleavings, %9llu cut short", x.model->name, (unsigned long long)x.executions,
           (unsigned long long)x.pruned);
    if (x.model->flags & MODEL_MERGE) printf(", %llu states", (unsigned long long)x.states);
    printf("%s%s\n", x.model->flags & MODEL_TSO ? ", x86-TSO" : "", x.model->flags & MODEL_NOBODY_WAITS ? ", nobody waits" : "");
}

bool model_passes(const struct model *model) {
    explore(model);
    totals_print();
    if (x.fault == FAULT_NONE) return true;
    printf("  fault: %s\n", x.message);
    path_print();
    return false;
}

bool model_finds(const struct model *model, enum model_fault fault) {
    explore(model);
    totals_print();
    if (model->flags & MODEL_QUIET) return x.fault == fault;
    printf("  planted fault %s: %s\n", x.fault == fault ? "found" : "NOT found", x.fault == FAULT_NONE ? "no fault" : x.message);
    if (x.fault != fault && x.fault != FAULT_NONE) path_print();
    return x.fault == fault;
}

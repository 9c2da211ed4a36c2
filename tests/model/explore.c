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
 * A read-modify-write waits until its thread's buffer is empty, and a barrier until that of the thread which it is put into is.
 *
 * Memory, the pause of a spinning thread and happens-before are in explore_memory.c.
 */
#include "explore_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SECONDS_AT_MOST 25.0
#define STACK_BYTES 65536
#define VISITED_SLOTS ((size_t)1 << 21)

struct explorer ex;

static uint8_t stacks[MODEL_THREADS][STACK_BYTES] __attribute__((aligned(64)));
static struct {
    uint64_t hash, hash_rest;
    uint32_t exploration; /* the slot is empty in any other */
    uint8_t sleep;
} visited[VISITED_SLOTS];

/* Coroutines: saves the callee-saved registers and the stack pointer, and continues where `to` was saved. System V x86-64. */
__asm__(".text\n"
        ".globl model_switch\n"
        ".type model_switch, @function\n"
        "model_switch:\n"
        "    pushq %rbp\n    pushq %rbx\n    pushq %r12\n    pushq %r13\n    pushq %r14\n    pushq %r15\n"
        "    movq %rsp, (%rdi)\n    movq %rsi, %rsp\n"
        "    popq %r15\n    popq %r14\n    popq %r13\n    popq %r12\n    popq %rbx\n    popq %rbp\n"
        "    ret\n"
        ".size model_switch, .-model_switch\n");

void fault_found(enum model_fault fault, const char *message) {
    if (ex.fault != FAULT_NONE) return;
    ex.fault = fault;
    snprintf(ex.message, sizeof ex.message, "%s", message);
}

void model_holds(bool holds, const char *file, int line, const char *text) {
    if (holds) return;
    char message[256];
    snprintf(message, sizeof message, "%s:%d: does not hold: %s", file, line, text);
    fault_found(FAULT_CHECK, message);
}

void model_forget(uint64_t state) {
    if (ex.current >= 0) ex.threads[ex.current].history = mix(state, 11);
}

int model_me(void) { return ex.current; }

uint64_t model_interleavings(void) { return ex.executions; }

void model_mark(unsigned mark) { ex.marks[mark]++; }

uint64_t model_marked(unsigned mark) { return ex.marks[mark]; }

/* Threads */

static void thread_main(void) {
    struct thread *t = &ex.threads[ex.current];
    ex.model->thread(ex.current);
    t->next.kind = OP_NONE;
    model_switch(&t->stack_pointer, ex.stack_pointer);
    abort(); /* a finished thread is never chosen */
}

static void thread_resume(int n) {
    ex.current = n;
    model_switch(&ex.stack_pointer, ex.threads[n].stack_pointer);
    ex.current = -1;
}

/* Makes the thread and runs it to its first operation. */
static void thread_begin(int n) {
    struct thread *t = &ex.threads[n];
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
    if (actor < ex.model->threads) return ex.threads[actor].next;
    struct op op = ex.threads[actor - ex.model->threads].buffer[0];
    op.kind = OP_FLUSH;
    return op;
}

static bool actor_enabled(int actor) {
    if (actor >= ex.model->threads) return ex.threads[actor - ex.model->threads].buffered > 0;
    const struct thread *t = &ex.threads[actor];
    switch (t->next.kind) {
    case OP_NONE: return false;
    case OP_PAUSE: return t->stirred;
    case OP_CAS:
    case OP_ADD: return t->buffered == 0;
    case OP_BARRIER: return ex.threads[t->next.value].buffered == 0;
    default: return true;
    }
}

/* Does the operation change memory, if it is done now? */
static bool op_writes(const struct op *op) {
    switch (op->kind) {
    case OP_STORE: return !(ex.model->flags & MODEL_TSO);
    case OP_CAS: return memory_read(op->target, op->width) == op->expected;
    case OP_ADD:
    case OP_FLUSH: return true;
    default: return false;
    }
}

/* A barrier concerns the thread that calls it, the one that passes it, and their buffers. */
static bool barrier_independent(int a, const struct op *p, int b, const struct op *q) {
    int first = a % ex.model->threads, second = b % ex.model->threads;
    if (p->kind == q->kind || first == second) return false;
    return p->kind == OP_BARRIER ? (int)p->value != second : (int)q->value != first;
}

static bool independent(int a, int b) {
    struct op p = actor_op(a), q = actor_op(b);
    if (p.kind == OP_BARRIER || q.kind == OP_BARRIER) return barrier_independent(a, &p, b, &q);
    bool p_writes = op_writes(&p), q_writes = op_writes(&q);
    if (!p_writes && !q_writes) return true;
    if (p.kind == OP_PAUSE || q.kind == OP_PAUSE) return true;
    return p.target + p.width <= q.target || q.target + q.width <= p.target;
}

/* The sleep set of the state after the node's chosen actor has moved. */
static uint8_t sleep_after(const struct node *node) {
    uint8_t asleep = (uint8_t)(node->sleep | node->done), sleep = 0;
    if (ex.model->flags & MODEL_UNPRUNED) return 0;
    for (int a = 0; a < 2 * ex.model->threads; a++) {
        if ((asleep >> a & 1) && a != node->chosen && independent(a, node->chosen)) sleep |= (uint8_t)(1 << a);
    }
    return sleep;
}

static void actor_move(int actor) {
    ex.log[ex.depth].actor = (uint8_t)actor;
    ex.log[ex.depth].op = actor_op(actor);
    if (actor < ex.model->threads) {
        thread_resume(actor);
        return;
    }
    struct thread *t = &ex.threads[actor - ex.model->threads];
    struct op store = t->buffer[0];
    memmove(&t->buffer[0], &t->buffer[1], sizeof t->buffer[0] * (size_t)--t->buffered);
    memory_write(store.target, store.value, store.width, (int)(t - ex.threads));
    sync_release(store.clock, store.target, store.width);
    ex.log[ex.depth].seen = store.value;
}

/* MODEL_MERGE: what is left to try in a state, given what is enabled and what sleeps. Updates the node's sleep set. */
static uint8_t merge_state(struct node *node, uint8_t enabled) {
    uint64_t a = ex.memory_hash, b = mix(ex.memory_hash, 5);
    for (int t = 0; t < ex.model->threads; t++) {
        const struct thread *s = &ex.threads[t];
        uint64_t rest = (uint64_t)s->stirred << 8 | (uint64_t)s->buffered;
        a = mix(mix(a, s->history), rest);
        b = mix(mix(b, rest + 7), s->history);
    }
    for (size_t i = a % VISITED_SLOTS;; i = (i + 1) % VISITED_SLOTS) {
        if (visited[i].exploration != ex.exploration) {
            if (++ex.states > VISITED_SLOTS / 4 * 3) fault_found(FAULT_UNFINISHED, "more states than VISITED_SLOTS");
            visited[i].hash = a;
            visited[i].hash_rest = b;
            visited[i].sleep = node->sleep;
            visited[i].exploration = ex.exploration;
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
    for (int t = 0; t < ex.model->threads; t++) unfinished += ex.threads[t].next.kind != OP_NONE;
    if (unfinished > 0 && enabled == 0) fault_found(FAULT_DEADLOCK, "every thread that is left waits");
    bool one = enabled != 0 && (enabled & (enabled - 1)) == 0 && enabled < 1 << ex.model->threads;
    if ((ex.model->flags & MODEL_NOBODY_WAITS) && one && unfinished > 1) {
        fault_found(FAULT_WAITS, "every other thread waits for the one that may be stopped");
    }
}

/* Makes the node of a state not seen on this path before. False: nothing to be done from here. */
static bool node_begin(struct node *node) {
    uint8_t enabled = 0;
    for (int a = 0; a < 2 * ex.model->threads; a++) enabled |= (uint8_t)(actor_enabled(a) << a);
    state_judge(enabled);
    *node = (struct node){.sleep = ex.next_sleep};
    node->left = enabled & (uint8_t)~node->sleep;
    if (enabled != 0 && (ex.model->flags & MODEL_MERGE)) node->left = merge_state(node, enabled);
    if (ex.fault != FAULT_NONE) return false;
    if (node->left != 0) return true;
    if (enabled != 0) {
        ex.pruned++;
        return false;
    }
    ex.executions++;
    if (ex.model->check) ex.model->check();
    return false;
}

/* The first actor to try: rather the one that has just moved, so that the first fault found has few switches. */
static uint8_t node_choose(const struct node *node, int last) {
    if (node->left >> last & 1) return (uint8_t)last;
    return (uint8_t)__builtin_ctz(node->left);
}

/* Runs the scenario once: along the known path, then by first choices. */
static void execution_run(void) {
    ex.run++;
    ex.memory_hash = 0;
    ex.current = -1;
    ex.model->setup();
    for (int t = 0; t < ex.model->threads; t++) thread_begin(t);
    int last = 0;
    for (ex.depth = 0; ex.fault == FAULT_NONE; ex.depth++) {
        struct node *node = &ex.nodes[ex.depth];
        if (ex.depth == STEPS_AT_MOST) {
            fault_found(FAULT_ENDLESS, "an execution does not end");
            return;
        }
        if (ex.depth == ex.count_nodes) {
            if (!node_begin(node)) return;
            node->chosen = node_choose(node, last);
            ex.count_nodes++;
        }
        if (ex.depth == ex.count_nodes - 1) {
            node->left &= (uint8_t) ~(1 << node->chosen);
            ex.next_sleep = sleep_after(node);
            node->done |= (uint8_t)(1 << node->chosen);
        }
        last = node->chosen;
        actor_move(node->chosen);
    }
}

/* Changes the deepest choice that has an alternative. False: there is none, all has been explored. */
static bool path_next(void) {
    for (; ex.count_nodes > 0; ex.count_nodes--) {
        struct node *node = &ex.nodes[ex.count_nodes - 1];
        if (node->left == 0) continue;
        node->chosen = (uint8_t)__builtin_ctz(node->left);
        return true;
    }
    return false;
}

/* Of the processor: a machine that is busy with others does not end an exploration. */
static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void explore(const struct model *model) {
    uint64_t run = ex.run;
    uint32_t exploration = ex.exploration + 1;
    memset(&ex, 0, sizeof ex);
    ex.run = run;
    ex.exploration = exploration;
    ex.model = model;
    double end = seconds() + SECONDS_AT_MOST;
    do {
        execution_run();
        if (ex.run % 1024 == 0 && seconds() > end) fault_found(FAULT_UNFINISHED, "too many interleavings");
    } while (ex.fault == FAULT_NONE && path_next());
}

/* The interleaving that led to the fault; places in memory are numbered as they come. */
static void path_print(void) {
    static const char *const kinds[] = {"?", "load", "store", "cas", "add", "pause", "flush", "barrier"};
    const uint8_t *seen[STEPS_AT_MOST];
    int count = 0;
    for (int i = 0; i < ex.depth && i < 200; i++) {
        const struct op *op = &ex.log[i].op;
        int place = 0;
        while (place < count && seen[place] != op->target) place++;
        if (place == count) seen[count++] = op->target;
        printf("    thread %d %-5s place %d", ex.log[i].actor % ex.model->threads, kinds[op->kind], place);
        if (op->kind == OP_LOAD) printf(" sees %llx\n", (unsigned long long)ex.log[i].seen);
        else if (op->kind == OP_CAS) {
            printf(" %llx -> %llx, sees %llx\n", (unsigned long long)op->expected, (unsigned long long)op->value,
                   (unsigned long long)ex.log[i].seen);
        } else printf(" %llx\n", (unsigned long long)op->value);
    }
}

static void totals_print(void) {
    if (ex.model->flags & MODEL_QUIET) return;
    printf("%-58s %9llu interleavings, %9llu cut short", ex.model->name, (unsigned long long)ex.executions,
           (unsigned long long)ex.pruned);
    if (ex.model->flags & MODEL_MERGE) printf(", %llu states", (unsigned long long)ex.states);
    if (ex.model->flags & MODEL_TSO) printf(", x86-TSO");
    printf("%s\n", ex.model->flags & MODEL_NOBODY_WAITS ? ", nobody waits" : "");
}

bool model_passes(const struct model *model) {
    explore(model);
    totals_print();
    if (ex.fault == FAULT_NONE) return true;
    printf("  fault: %s\n", ex.message);
    path_print();
    return false;
}

bool model_finds(const struct model *model, enum model_fault fault) {
    explore(model);
    totals_print();
    if (model->flags & MODEL_QUIET) return ex.fault == fault;
    const char *message = ex.fault == FAULT_NONE ? "no fault" : ex.message;
    printf("  planted fault %s: %s\n", ex.fault == fault ? "found" : "NOT found", message);
    if (ex.fault != fault && ex.fault != FAULT_NONE) path_print();
    return ex.fault == fault;
}

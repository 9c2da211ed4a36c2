/*
 * explore_inside.h - what the two files of the explorer share: the threads and the state of the exploration that is running.
 * For explore.c and explore_memory.c only; a model program takes explore.h.
 */
#ifndef HM_TEST_EXPLORE_INSIDE_H
#define HM_TEST_EXPLORE_INSIDE_H

#include "explore.h"

#include <string.h>

#define STEPS_AT_MOST 1000
#define BUFFER_STORES 16
#define WATCHED_BYTES 32

enum op_kind { OP_NONE, OP_LOAD, OP_STORE, OP_CAS, OP_ADD, OP_PAUSE, OP_FLUSH, OP_BARRIER };

struct op {
    enum op_kind kind;
    char order;
    int width;
    uint8_t *target;
    uint64_t value;    /* stored, added or desired; of a barrier: the thread that passes it */
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

struct explorer {
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
};

extern struct explorer ex;

/* Saves the registers and the stack pointer in `from`, and continues where `to` was saved. */
void model_switch(void **from, void *to);

/* The first fault of an exploration counts, and ends it. */
void fault_found(enum model_fault fault, const char *message);

static inline uint64_t mix(uint64_t a, uint64_t b) {
    a = (a ^ b) * 0x9e3779b97f4a7c15u;
    a = (a ^ (a >> 29)) * 0xbf58476d1ce4e5b9u;
    return a ^ (a >> 32);
}

static inline uint64_t memory_read(const void *target, int width) {
    uint64_t value = 0;
    memcpy(&value, target, (size_t)width);
    return value;
}

/* A write reaches memory; by: the thread whose write it is. */
void memory_write(uint8_t *target, uint64_t value, int width, int by);

/* clock: what an acquire of these bytes obtains from now on. That of a read-modify-write, which acquires first, holds the old. */
void sync_release(uint64_t clock, uint8_t *target, int width);

#endif

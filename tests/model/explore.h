/*
 * explore.h - runs production code under every interleaving of its atomic operations.
 *
 * A model program includes the production .c files, compiled with -DHM_ATOM_MODEL, and describes a scenario: what memory looks
 * like at the start, what each of two to four threads calls, what must hold at the end. The explorer runs the scenario from the
 * start once for each interleaving that can make a difference, and looks for
 *   - a condition that does not hold (MODEL_HOLDS, in a thread or in the check at the end);
 *   - a data race: two accesses to annotated data, one of them a write, that no acquire of a release orders. It is found
 *     from the orders that the code asks for, so a missing acquire shows although this machine would have forgiven it;
 *   - a deadlock (all that are left wait in model_pause) and an execution that does not end;
 *   - with MODEL_NOBODY_WAITS: a state in which all threads but one wait for that one. If it were stopped there for
 *     ever, the others would never finish. Every state is visited, and a stopped thread is one that is not chosen any more, so
 *     this proves that wherever one thread stops, the others finish (those that spin without model_pause run into the bound).
 *
 * Data that threads share without atomics is annotated with model_data_read and model_data_write; these are no steps of their
 * own. Threads must not share anything else: results go to places of their own, or pruning would be wrong. Calls of production
 * code from setup and check take effect at once. Everything must be set anew by setup.
 */
#ifndef HM_TEST_EXPLORE_H
#define HM_TEST_EXPLORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/atom.h"

#ifndef HM_ATOM_MODEL
#error "compile model programs with -DHM_ATOM_MODEL"
#endif

#define MODEL_THREADS 4
#define MODEL_MARKS 16

enum model_fault {
    FAULT_NONE,
    FAULT_CHECK,     /* a condition does not hold */
    FAULT_RACE,      /* annotated data is used by two threads that nothing orders */
    FAULT_DEADLOCK,  /* every thread that is left waits */
    FAULT_ENDLESS,   /* an execution passed the bound on steps */
    FAULT_WAITS,     /* all wait for one thread, which may be stopped */
    FAULT_UNFINISHED /* too many interleavings, or a mistake in the scenario: nothing is proved */
};

enum model_flag {
    /* x86-TSO: a plain atomic store stays in the thread's buffer for a while; its own loads see it, others do not yet. */
    MODEL_TSO = 1,
    MODEL_NOBODY_WAITS = 2,
    /*
     * Two interleavings that leave memory the same, and have shown each thread the same values, are continued only once. For
     * large scenarios. What happened before what is forgotten, so annotated data is refused, and threads may
     * leave results only in places of their own.
     */
    MODEL_MERGE = 4,
    MODEL_UNPRUNED = 8, /* every interleaving, even those that make no difference: to test the pruning */
    MODEL_QUIET = 16 /* prints nothing but a fault that is not expected */
};

struct model {
    const char *name;
    int threads;
    unsigned flags;
    void (*setup)(void);
    void (*thread)(int me);
    void (*check)(void); /* after all threads have ended; may be NULL */
};

/* Explores all interleavings and prints how many there were. False: a fault, whose interleaving is printed. */
bool model_passes(const struct model *model);

/* The same for code with a planted fault: true if that fault is what is found. */
bool model_finds(const struct model *model, enum model_fault fault);

/*
 * With MODEL_MERGE: what the thread does from here on depends on `state` alone and on nothing that it has seen so far. For the
 * places between two calls of the code under test.
 */
void model_forget(uint64_t state);

/* Complete interleavings of the last exploration. */
uint64_t model_interleavings(void);

/* Counts that something has happened, so that a test can insist that it did in one of the interleavings of the last run. */
void model_mark(unsigned mark);
uint64_t model_marked(unsigned mark);

/*
 * Every thread passes a full memory barrier during this call, one after the other, the caller first: what each has stored before
 * its own is in memory, and in both directions what came before it happens before what comes after. As os_barrier does it.
 */
void model_barrier(void);

/* The number of the running thread; -1 in setup and check. */
int model_me(void);

#define MODEL_HOLDS(condition) model_holds((condition), __FILE__, __LINE__, #condition)
void model_holds(bool holds, const char *file, int line, const char *text);

void model_data_read(const void *data);
void model_data_write(const void *data);

#endif

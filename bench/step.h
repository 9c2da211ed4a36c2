/* step.h - counts what one turn of a benchmark's loop executes, by running it one instruction at a time. Linux only. */
#ifndef HOSTMEM_BENCH_STEP_H
#define HOSTMEM_BENCH_STEP_H

#include <stdbool.h>
#include <stdint.h>

/* Per turn of the loop, in the steady state. */
struct step_counts {
    double instructions;
    double locked;       /* with a lock prefix, or an exchange with memory, which locks without one */
    double system_calls;
};

/* name is a benchmark's full name. False, with a message on stderr, where it cannot be had. */
bool step_count(const char *name, uint64_t turns, struct step_counts *counts);

#endif

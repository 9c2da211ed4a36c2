/*
 * vmfuzz.h - the run of a fuzzer: random calls, each handed to a step that makes it wherever it has to be
 * made and judges the answers.
 */
#ifndef TEST_VMFUZZ_H
#define TEST_VMFUZZ_H

#include "vmmodel.h"
#include "vmworld.h"

struct fuzz_target {
    const char *about;    /* first line of --help */
    bool cache_modifiers; /* see vmgen.h */
    void (*start)(void);
    /* Makes a call that the model, already in its new state, answers with *expected. False, after saying why: wrong answer. */
    bool (*step)(const struct model *m, const struct vm_call *call, const struct vm_answer *expected);
};

/* The whole program: options, the run, the report, the closing line. Returns main's status. */
int fuzz_main(int argc, char **argv, const struct fuzz_target *target);

/* Do two answers agree? The content is not compared where the model says that it may be any. */
bool fuzz_agree(const struct vm_answer *a, const struct vm_answer *b, bool any_tag);

/*
 * In the first half of a run the engine's thread caches are on: what was released may still be accessible there. Corrects
 * the engine's answer to a touch of free memory then. In the second half they are off, and nothing is excused.
 */
void fuzz_lingering_correct(const struct model *m, const struct vm_call *call, struct vm_answer *answer);

/* The engine, with rooms in a region, and some where no region is. */
void fuzz_engine(struct vm_world *w);

#endif

/*
 * fuzz_model.c - random virtual-memory calls on the engine, each answer held against the reference model of
 * tests/common/vmmodel.c: success, last error, addresses, queries, faults and contents. Exit status 1 at the first difference.
 *
 * The engine is Linux's or Windows'; what is excused stands at fuzz_lingering_correct.
 */
#include <stdio.h>

#include "vmfuzz.h"
#include "vmgen.h"

static struct vm_world engine;

static void start(void) { fuzz_engine(&engine); }

static bool step(const struct model *m, const struct vm_call *call, const struct vm_answer *expected) {
    struct vm_answer got;
    world_call(&engine, call, &got);
    fuzz_lingering_correct(m, call, &got);
    if (fuzz_agree(&got, expected, expected->any_tag)) return true;
    printf("the engine's answer is not the model's:\n");
    vmgen_print(0, call, &got);
    return false;
}

int main(int argc, char **argv) {
    static const struct fuzz_target target = {
        .about = "fuzz_model: compares random virtual-memory calls on the engine with a reference model",
        .cache_modifiers = true,
        .start = start,
        .step = step,
    };
    return fuzz_main(argc, argv, &target);
}

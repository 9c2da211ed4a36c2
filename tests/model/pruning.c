/*
 * The explorer's own test, continued from planted.c: pruning and merging leave out only what makes no difference.
 */
#include "check.h"
#include "explore.h"

#include <string.h>

static struct {
    uint64_t a, b;
    uint64_t result[MODEL_THREADS];
} m;

static void set_up(void) { memset(&m, 0, sizeof m); }

/*
 * Pruning loses no outcome: random programs are run under every interleaving and under the pruned ones, and what the threads saw
 * and what is left in memory must be the same sets; so must be the programs in which threads can wait for ever.
 */
#define PROGRAMS 60
#define MERGED_PROGRAMS 200
#define STEPS_EACH 4
#define OUTCOMES 4096

static struct {
    uint8_t step[MODEL_THREADS][STEPS_EACH];
    int steps;
    uint64_t outcomes[OUTCOMES];
    unsigned count;
} program;

static void program_run(int me) {
    for (int i = 0; i < program.steps; i++) {
        uint8_t s = program.step[me][i];
        uint64_t *word = s & 1 ? &m.a : &m.b;
        uint64_t seen = s >> 4 & 1;
        bool waits = s >> 5 & 1 && program.steps == 2;
        switch (s >> 1 & 3) {
        case 0:
            while ((seen = atom_load_acq_u64(word)) == 0 && waits) atom_pause();
            break;
        case 1: atom_store_rel_u64(word, (uint64_t)(me + (s >> 6 & 1))); break;
        case 2: atom_cas_acqrel_u64(word, &seen, (uint64_t)(me + 1)); break;
        default: seen = atom_add_acqrel_u64(word, 1);
        }
        m.result[me] = m.result[me] * 16 + seen;
        if (me == 0 && s >> 7 && program.steps == 2) model_barrier();
    }
}

static void program_note(void) {
    uint64_t outcome = m.a * 16 + m.b;
    for (int t = 0; t < 3; t++) outcome = outcome * 1000003 + m.result[t];
    for (unsigned i = 0; i < program.count; i++) {
        if (program.outcomes[i] == outcome) return;
    }
    MODEL_HOLDS(program.count < OUTCOMES);
    if (program.count < OUTCOMES) program.outcomes[program.count++] = outcome;
}

/* How many outcomes there are, with those of earlier explorations unless afresh; 0 if threads can wait for ever. */
static unsigned program_outcomes(unsigned flags, bool afresh) {
    struct model model = {"random program", 3, flags | MODEL_QUIET, set_up, program_run, program_note};
    if (afresh) program.count = 0;
    if (program.steps == 2 && model_finds(&model, FAULT_DEADLOCK)) return 0;
    if (afresh) program.count = 0;
    CHECK(model_passes(&model));
    return program.count;
}

static void program_make(uint64_t *seed, int steps) {
    program.steps = steps;
    for (int t = 0; t < 3; t++) {
        for (int i = 0; i < steps; i++) {
            *seed = *seed * 6364136223846793005u + 1442695040888963407u;
            program.step[t][i] = (uint8_t)(*seed >> 40);
        }
    }
}

static void test_pruning(void) {
    uint64_t seed = 1, all = 0, pruned = 0, outcomes = 0, stuck = 0;
    for (int n = 0; n < PROGRAMS; n++) {
        program_make(&seed, n % 2 ? 3 : 2);
        unsigned tso = n % 10 < 2 ? MODEL_TSO : 0;
        unsigned count = program_outcomes(tso, true); /* the pruned run's, then whether the full one adds any */
        pruned += model_interleavings();
        CHECK_EQ(program_outcomes(tso | MODEL_UNPRUNED, count == 0), count);
        all += model_interleavings();
        outcomes += count;
        stuck += count == 0;
    }
    printf("%d random programs, %llu of which can get stuck: %llu interleavings, %llu after pruning, %llu outcomes\n", PROGRAMS,
           (unsigned long long)stuck, (unsigned long long)all, (unsigned long long)pruned, (unsigned long long)outcomes);
    CHECK(pruned < all && outcomes > PROGRAMS && stuck > 0 && stuck < PROGRAMS / 2);
}

/* Nor does merging lose any that is left after pruning. */
static void test_merging(void) {
    uint64_t seed = 7, outcomes = 0;
    for (int n = 0; n < MERGED_PROGRAMS; n++) {
        program_make(&seed, 2 + n % 3);
        unsigned tso = n % 5 == 0 && n % 3 < 2 ? MODEL_TSO : 0;
        unsigned count = program_outcomes(tso, true);
        CHECK_EQ(program_outcomes(tso | MODEL_MERGE, true), count);
        outcomes += count;
    }
    printf("%d random programs merged: %llu outcomes\n", MERGED_PROGRAMS, (unsigned long long)outcomes);
    CHECK(outcomes > MERGED_PROGRAMS);
}

int main(void) {
    test_pruning();
    test_merging();
    return check_done();
}

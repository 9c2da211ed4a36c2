/*
 * vmfuzz.c - the run of a fuzzer. See vmfuzz.h.
 *
 * After some calls the whole place is queried from end to end, each query a call of its own; in the end everything is freed and
 * queried again. The last calls are kept, and printed when an answer is wrong. Running again with the seed that was
 * printed gives the same calls.
 */
#include "vmfuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hostmem.h"
#include "probe.h"
#include "vmgen.h"

enum { KEPT = 40, SWEEP_ONCE_IN = 100 };

struct fuzz_run {
    const struct fuzz_target *target;
    struct model model;
    struct rand rand;
    uint64_t calls, seed, seconds; /* seconds: 0, or how long to run instead of counting calls */
    uint64_t done;
    bool strict; /* the engine's caches are off */
    uint64_t made[OP_COUNT], good[OP_COUNT]; /* good: succeeded, or touched without a fault */
    struct vm_call last[KEPT];
    struct vm_answer last_expected[KEPT];
};

static struct fuzz_run run;

bool fuzz_agree(const struct vm_answer *a, const struct vm_answer *b, bool any_tag) {
    bool same_call = a->success == b->success && a->error == b->error && a->offset == b->offset;
    bool same_query = a->base == b->base && a->size == b->size && a->was == b->was && a->now == b->now && a->state == b->state &&
                      a->type == b->type;
    return same_call && same_query && a->access == b->access && (any_tag || a->tag == b->tag) && a->rest == b->rest;
}

/* One call: true if it was answered rightly. */
static bool make_call(const struct vm_call *call) {
    struct vm_answer expected;
    model_call(&run.model, call, &expected);
    run.last[run.done % KEPT] = *call;
    run.last_expected[run.done % KEPT] = expected;
    run.done++;
    run.made[call->op]++;
    run.good[call->op] += call->op >= OP_STORE ? expected.access == PROBE_OK : expected.success;
    return run.target->step(&run.model, call, &expected);
}

/* Queries a place from its first page to its last, run by run as the model has them. */
static bool sweep(int place) {
    const struct model_place *p = &run.model.place[place];
    int end = PLACE_PAGES;
    if (place >= ROOMS) end = p->live ? model_end(p, 0) : 0;
    for (int page = 0; page < end;) {
        struct vm_call call = {.op = OP_QUERY, .place = place, .offset = (SIZE_T)page * PAGE_SIZE_BYTES};
        if (!make_call(&call)) return false;
        const struct model_page *first = &p->page[page];
        while (page < end && p->page[page].first == first->first && p->page[page].protect == first->protect) page++;
    }
    return true;
}

/* Releases what is left, and looks at the empty rooms. */
static bool finish(void) {
    for (int i = 0; i < PLACES; i++) {
        for (int page = 0; page < PLACE_PAGES; page++) {
            struct vm_call call = {.op = OP_FREE, .place = i, .offset = (SIZE_T)page * PAGE_SIZE_BYTES, .type = MEM_RELEASE};
            if (run.model.place[i].page[page].first == page && !make_call(&call)) return false;
        }
        if (!sweep(i)) return false;
    }
    return true;
}

void fuzz_lingering_correct(const struct model *m, const struct vm_call *call, struct vm_answer *answer) {
    bool touch = call->op >= OP_STORE;
    if (run.strict || !touch || m->place[call->place].page[call->offset / PAGE_SIZE_BYTES].first >= 0) return;
    answer->access = PROBE_FAULT;
    answer->tag = answer->rest = 0;
}

/* From here on the engine keeps nothing that was released. */
static void caches_off(void) {
    HM_OPTIONS options = {.cbSize = sizeof options, .cbThreadCache = 1};
    IHostMemoryManager *manager;
    if (HmCreateMemoryManager(&options, &manager) != S_OK) {
        fprintf(stderr, "no memory manager\n");
        exit(1);
    }
    manager->lpVtbl->Release(manager);
    HmTrim();
    run.strict = true;
}

static bool fuzz(void) {
    time_t start = time(NULL);
    while (run.seconds ? (uint64_t)(time(NULL) - start) < run.seconds : run.done < run.calls) {
        bool second = run.seconds ? (uint64_t)(time(NULL) - start) * 2 >= run.seconds : run.done * 2 >= run.calls;
        if (second && !run.strict) caches_off();
        for (int i = 0; i < 1000; i++) {
            struct vm_call call;
            vmgen_next(&run.rand, &run.model, run.target->cache_modifiers, &call);
            if (!make_call(&call)) return false;
            if (rand_once_in(&run.rand, SWEEP_ONCE_IN) && !sweep(call.place)) return false;
        }
    }
    return finish();
}

/* What the run consisted of: one in which nearly everything fails would prove little. */
static void summary(void) {
    for (int op = 0; op < OP_COUNT; op++) {
        printf("%-8s %10llu calls, %10llu good\n", vmgen_name((enum vm_op)op), (unsigned long long)run.made[op],
               (unsigned long long)run.good[op]);
    }
}

static void report(void) {
    printf("the last calls, and what the model expects of each:\n");
    uint64_t count = run.done < KEPT ? run.done : KEPT;
    for (uint64_t i = run.done - count; i < run.done; i++) vmgen_print(i, &run.last[i % KEPT], &run.last_expected[i % KEPT]);
    printf("run again with --seed %llu --calls %llu\n", (unsigned long long)run.seed, (unsigned long long)run.done);
}

static void usage(const char *about) {
    printf("%s\n\n"
           "  --calls N  at least this many calls (default 1000000)\n"
           "  --seed S   the same seed gives the same calls (default: from the clock; it is printed)\n"
           "  --help     this text\n\n"
           "HOSTMEM_TEST_SECONDS=N in the environment: run for that long instead.\n",
           about);
}

static uint64_t number(const char *option, const char *text) {
    char *end = NULL;
    unsigned long long value = text && *text >= '0' && *text <= '9' ? strtoull(text, &end, 0) : 0;
    if (end && *end == 0) return value;
    fprintf(stderr, "%s needs a number, not '%s'\n", option, text ? text : "");
    exit(2);
}

int fuzz_main(int argc, char **argv, const struct fuzz_target *target) {
    const char *seconds = getenv("HOSTMEM_TEST_SECONDS");
    run.target = target;
    run.calls = 1000000;
    run.seed = (uint64_t)time(NULL);
    if (seconds) run.seconds = number("HOSTMEM_TEST_SECONDS", seconds);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--calls") == 0) run.calls = number("--calls", argv[++i]), run.seconds = 0;
        else if (strcmp(argv[i], "--seed") == 0) run.seed = number("--seed", argv[++i]);
        else if (strcmp(argv[i], "--help") == 0) return usage(target->about), 0;
        else return fprintf(stderr, "unknown argument '%s'; --help tells what there is\n", argv[i]), 2;
    }
    printf("seed %llu\n", (unsigned long long)run.seed);
    fflush(stdout);
    run.rand = rand_seed(run.seed);
    model_start(&run.model);
    probe_start();
    target->start();
    bool good = fuzz();
    if (good) summary();
    else report();
    printf("%llu passed, %d failed\n", (unsigned long long)(run.done - !good), !good);
    return good ? 0 : 1;
}

#ifdef _WIN32
enum { ARMED = 0x5eed };
static void arm(void) { SetLastError(ARMED); }
#else
/* The engine has no call that sets the last error, so one that fails in a way that no call under test does stands in. */
enum { ARMED = ERROR_BAD_LENGTH };
static void arm(void) {
    MEMORY_BASIC_INFORMATION info;
    HmVirtualQuery(NULL, &info, 1);
}
#endif

void fuzz_engine(struct vm_world *w) {
    *w = (struct vm_world){.alloc = HmVirtualAlloc, .free = HmVirtualFree, .protect = HmVirtualProtect, .query = HmVirtualQuery,
                           .error = HmGetLastError, .arm = arm, .armed = ARMED};
    /* In the region that serves this thread, half a region away from where its allocations begin, and not at the region's end
     * either, where those go that ask for the highest address. */
    char *first = HmVirtualAlloc(NULL, 1, MEM_RESERVE, PAGE_NOACCESS);
    if (!first || !HmVirtualFree(first, 0, MEM_RELEASE)) {
        fprintf(stderr, "the engine gives no memory: error %lu\n", (unsigned long)HmGetLastError());
        exit(1);
    }
    uintptr_t gib = (uintptr_t)1 << 30, region = (uintptr_t)first / (4 * gib) * (4 * gib);
    uintptr_t home = (uintptr_t)first - region;
    uintptr_t away = region + (home < 2 * gib ? home + gib : home - gib) / (gib / 64) * (gib / 64);
    world_rooms(w, 0, ROOMS_REGION, away);
    world_rooms(w, ROOMS_REGION, ROOMS - ROOMS_REGION, (uintptr_t)0x300000000000);
}

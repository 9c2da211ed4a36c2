/*
 * core/budget.c under every interleaving: no count passes its line, a charge that is refused anywhere leaves nothing anywhere,
 * an account is closed once, by whoever is the last to leave it, and nobody waits.
 */
#include "check.h"
#include "explore.h"

#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#undef HM_ASSERT
#define HM_ASSERT(condition) MODEL_HOLDS(condition)
#include "../../src/core/bitmap.c"
#include "../../src/core/budget.c"

/* The layer below. Nobody says for whom it asks: every request is of the hard line's level. */
__thread void *os_slot_value[OS_SLOT_COUNT] __attribute__((tls_model("initial-exec")));
uint32_t os_thread_id(void) { return 0; }
uint64_t setting(const char *name) { return name && strcmp(name, "HOSTMEM_HARD_COMMIT") == 0 ? 3 * PAGE_BYTES : 0; }
enum status os_tables_reserve(size_t size, void **start) {
    *start = aligned_alloc(128, size);
    if (*start) memset(*start, 0, size);
    return *start ? ST_OK : ST_NO_MEMORY;
}
enum status os_tables_commit(void *start, size_t size) {
    (void)start, (void)size;
    return ST_OK;
}
void os_tables_discard(void *start, size_t size) {
    (void)size;
    free(start);
}

static struct {
    struct budget *account[2];
    bool got[MODEL_THREADS];
} scene;

/* The process may have that many pages, the accounts as many as they like. */
static void begin(uint64_t process_pages, int accounts) {
    memset(&budget_process, 0, sizeof budget_process);
    budget_lines_set(&budget_process, &(struct budget_lines){.hard = {0, process_pages << PAGE_SHIFT}});
    if (account_table) memset((void *)(uintptr_t)account_table, 0, 3 * sizeof(struct budget));
    account_taken[0] = 1;
    memset(&scene, 0, sizeof scene);
    for (int i = 0; i < accounts; i++) MODEL_HOLDS((scene.account[i] = budget_open(NULL)) != NULL);
}

static uint64_t held(const struct budget *budget) { return budget_held(budget, BUDGET_COMMIT) >> PAGE_SHIFT; }

/* Everybody wants two pages, of which the process has three. */
static void setup_line(void) { begin(3, 1); }
static void thread_line(int me) {
    scene.got[me] = budget_charge(scene.account[0], 2, 2);
    MODEL_HOLDS(held(&budget_process) <= 3);
    if (scene.got[me]) budget_refund(scene.account[0], 2, 2);
}
static void check_line(void) {
    MODEL_HOLDS(scene.got[0] || scene.got[1]);
    MODEL_HOLDS(held(&budget_process) == 0 && held(scene.account[0]) == 0);
    MODEL_HOLDS(budget_process.reserved == 0 && scene.account[0]->reserved == 1);
}

/* Two accounts, and charges that stay. */
static void setup_stay(void) { begin(3, 2); }
static void thread_stay(int me) { scene.got[me] = budget_charge(scene.account[me], 1, 1 + (uint64_t)me); }
static void check_stay(void) {
    uint64_t sum = 0;
    for (int i = 0; i < 2; i++) {
        MODEL_HOLDS(held(scene.account[i]) == (scene.got[i] ? 1 + (uint64_t)i : 0));
        sum += held(scene.account[i]);
    }
    MODEL_HOLDS(scene.got[0] && scene.got[1] && held(&budget_process) == sum);
}

/* The manager goes, its memory goes, and its memory moves to another account, all at once. */
static void setup_close(void) {
    begin(9, 2);
    MODEL_HOLDS(budget_charge(scene.account[0], 2, 2));
}
static void thread_close(int me) {
    if (me == 0) budget_drop(scene.account[0]);
    if (me == 1) budget_refund(scene.account[0], 1, 1);
    if (me == 2) MODEL_HOLDS(budget_move(1, 2, 1));
}
static void check_close(void) {
    MODEL_HOLDS(account_taken[0] == (1 | 1 << 2));
    MODEL_HOLDS(held(&budget_process) == 1 && held(scene.account[1]) == 1 && held(scene.account[0]) == 0);
    MODEL_HOLDS(budget_open(NULL) == scene.account[0]);
}

/* The lines are set as the first request reads the environment: it is judged by one or the other, and what was set stays. */
static void setup_first(void) {
    begin(0, 0);
    memset(&environment, 0, sizeof environment);
    environment_read = process_set = 0;
}
static void thread_first(int me) {
    struct budget_lines lines;
    if (me == 0) return budget_lines_set(&budget_process, &(struct budget_lines){.hard = {0, 2 * PAGE_BYTES}});
    budget_lines_get(&budget_process, &lines);
    MODEL_HOLDS(lines.hard[BUDGET_COMMIT] == 2 * PAGE_BYTES || lines.hard[BUDGET_COMMIT] == 3 * PAGE_BYTES);
}
static void check_first(void) {
    struct budget_lines lines;
    budget_lines_get(&budget_process, &lines);
    MODEL_HOLDS(lines.hard[BUDGET_COMMIT] == 2 * PAGE_BYTES);
}

static void passes(const char *name, int threads, void (*setup)(void), void (*thread)(int), void (*check)(void)) {
    struct model model = {name, threads, MODEL_NOBODY_WAITS, setup, thread, check};
    CHECK(model_passes(&model));
    model.flags |= MODEL_TSO;
    CHECK(model_passes(&model));
}

int main(void) {
    passes("two charges, room for one", 2, setup_line, thread_line, check_line);
    passes("charges to two accounts", 2, setup_stay, thread_stay, check_stay);
    passes("an account closed by three", 3, setup_close, thread_close, check_close);
    passes("lines set as the environment is read", 2, setup_first, thread_first, check_first);
    return check_done();
}

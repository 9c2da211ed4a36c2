/*
 * policy/limits.c under every interleaving: the emergency reserve that is held when everybody is done is as large as the lines
 * say, whoever was at work on it as they were set, and a run is claimed and given back once.
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
#include "../../src/policy/limits.c"

/* The layers below. */
__thread void *os_slot_value[OS_SLOT_COUNT] __attribute__((tls_model("initial-exec")));
uint32_t os_thread_id(void) { return 0; }
uint64_t setting(const char *name) { return name == NULL; }
enum status os_tables_reserve(size_t size, void **start) { return *start = malloc(size), ST_OK; }
enum status os_tables_commit(void *start, size_t size) { return start && size ? ST_OK : ST_NO_MEMORY; }
void os_tables_discard(void *start, size_t size) { memset(start, 0, size); }

static uint64_t claimed; /* pages of runs */

enum status region_claim(uint64_t count_pages, bool high, struct run *run) {
    atom_add_acqrel_u64(&claimed, count_pages);
    *run = (struct run){{high}, count_pages, 0};
    return ST_OK;
}
void region_release(const struct run *run) { atom_add_acqrel_u64(&claimed, -run->count_pages); }
enum status os_commit(uintptr_t address, size_t size, uint8_t state) {
    return (address | size) % PAGE_BYTES == 0 && state == PG_READWRITE ? ST_OK : ST_NO_MEMORY;
}
enum status os_decommit(uintptr_t address, size_t size) { return (address | size) % PAGE_BYTES == 0 ? ST_OK : ST_NO_MEMORY; }

static enum status set(SIZE_T pages) {
    return limits_set(&budget_process, &(HM_LIMITS){.cbSize = sizeof(HM_LIMITS), .cbEmergency = pages << PAGE_SHIFT});
}

static void held_is(uint64_t pages) {
    MODEL_HOLDS(limits_reserve_held() == pages << PAGE_SHIFT && claimed == pages);
    MODEL_HOLDS(reserve_state == (pages ? RESERVE_HELD : RESERVE_EMPTY));
}

/* The lines ask for one page, which somebody has just spent. */
static void setup(void) {
    memset(&budget_process, 0, sizeof budget_process);
    reserve_state = RESERVE_EMPTY;
    claimed = reserve_bytes = 0;
    MODEL_HOLDS(set(1) == ST_OK && limits_reserve_spend());
}

/* One holds the reserve again while it is to be none, or another. */
static void thread_none(int me) {
    if (me == 0) limits_reserve_refill();
    if (me == 1) MODEL_HOLDS(set(0) == ST_OK);
}
static void check_none(void) { held_is(0); }

static void thread_more(int me) {
    if (me == 0) limits_reserve_refill();
    if (me == 1) MODEL_HOLDS(set(2) == ST_OK);
}
static void check_more(void) { held_is(2); }

/* Two hold it again, and one of them spends it. */
static void thread_spend(int me) {
    limits_reserve_refill();
    if (me == 0) limits_reserve_spend();
}
static void check_spend(void) { held_is(limits_reserve_held() >> PAGE_SHIFT); }

static void passes(const char *name, void (*thread)(int), void (*check)(void)) {
    struct model model = {name, 2, MODEL_NOBODY_WAITS, setup, thread, check};
    CHECK(model_passes(&model));
    model.flags |= MODEL_TSO;
    CHECK(model_passes(&model));
}

int main(void) {
    passes("a reserve is refilled as it is to be none", thread_none, check_none);
    passes("a reserve is refilled as it is to be larger", thread_more, check_more);
    passes("a reserve is refilled twice and spent", thread_spend, check_spend);
    return check_done();
}

/*
 * pressure.c - watching, judging, telling.
 *
 * The thread: none -> pressure_update, something to watch for -> running -> it finds nothing to watch for any more -> none. Both
 * moves are made under a lock, so that there is never more than one, and never none while one is wanted; but for the child of a
 * fork, which has none until a manager's call brings a budget to its brink, or pressure_update finds it missing.
 *
 * A judgement is one of Low, Neutral and High. Each source gives one, and the worst counts: the system and its control group
 * (os_alarm_look, and the load: Low from 95 % on and until it is below 90, High below 50), the regions' bound, the process's
 * budget, and the budget of the manager that a callback was registered with. A budget is Low from its brink on until it is a
 * sixteenth below, and for a second after a refusal; High below half its brink; one without lines has no opinion.
 *
 * Before anybody is told Low, what all threads' caches keep goes back, what is held, and what is empty in heaps; then the budgets
 * are judged once more.
 *
 * The load is kept in one word with its time in another. A caller reads them; the thread refreshes them for as long as callers
 * come. Only one who finds the word older than two seconds asks the system himself.
 */
#include "policy/pressure.h"

#include "core/region.h"
#include "os/os.h"
#include "os/os_alarm.h"
#include "policy/limits.h"
#include "policy/notify.h"
#include "policy/told.h"
#include "policy/trim.h"
#include "policy/turn.h"

#define SPACING_MS 8500u /* a CLR forgets a Low within 8,192 ms of the last one that it acted on */
#define LOAD_FRESH_MS 250u
#define LOAD_OLD_MS 2000u
#define LOAD_WANTED_MS 5000u /* after the last caller */
#define SETTLED_MS 60000u
#define SHORTAGE_MS 1000u
#define SCARCE_MS 2000u
#define REFILL_MS 1000u /* the request for which a reserve was given up is to have it first */
#define DEAF_MS 1000u /* between looks where the system may wake nobody in time */

enum { LOW = eMemoryAvailableLow, NEUTRAL = eMemoryAvailableNeutral, HIGH = eMemoryAvailableHigh };

static uint32_t watch_turn; /* guards the next one */
static uint32_t watch_running;
static uint32_t watch_forks;
static uint32_t watch_lost; /* a fork has ended it, and it is to start again when a budget comes to its brink */
static uint32_t watch_rung; /* no need to ring: the thread is about to look, or looks by itself */
static uint64_t spacing_ms;

/* The thread's own. */
static uint64_t now_ms, scarce_ms, missing_ms;
static int system_level, process_level;
static bool system_tells;
static bool anything_low;

static uint64_t load_word; /* load_percent << 56 | available pages; 0: never read */
static uint64_t load_ms;   /* when it was */
static uint64_t load_wanted_ms;

/* Threads read the clock one after the other: what one wrote may lie after another's now. */
static uint64_t since(uint64_t then, uint64_t now) { return now > then ? now - then : 0; }

static int worse(int one, int other) { return one < other ? one : other; }

/* ---- The load ------------------------------------------------------------------------------------------------- */

/* rough: it is good enough to be told, but nothing to judge by. */
static enum status load_refresh(uint64_t now, bool *rough) {
    struct os_memory memory;
    enum status status = os_memory_load(&memory);
    if (status != ST_OK) return status;
    *rough = memory.rough;
    /* rlx: two readings a moment apart; either time goes with either word. */
    atom_store_rlx_u64(&load_word, (uint64_t)memory.load_percent << 56 | memory.available_bytes >> PAGE_SHIFT);
    atom_store_rlx_u64(&load_ms, now);
    return ST_OK;
}

/* A budget makes a small machine of its own. */
static void load_tighten(const struct budget *budget, struct pressure_load *load) {
    struct budget_lines lines;
    budget_lines_get(budget, &lines);
    uint64_t line = lines.hard[BUDGET_COMMIT] ? lines.hard[BUDGET_COMMIT] : lines.soft[BUDGET_COMMIT];
    if (!line) return;
    uint64_t held = budget_held(budget, BUDGET_COMMIT);
    uint64_t available = held < line ? line - held : 0;
    unsigned percent = held < line ? (unsigned)((double)held * 100 / (double)line) : 100;
    if (available < load->available_bytes) load->available_bytes = available;
    if (percent > load->load_percent) load->load_percent = percent;
}

enum status pressure_load(const struct budget *account, struct pressure_load *load) {
    uint64_t now = os_clock_ms();
    /* rlx, all four: see load_refresh. */
    uint64_t age = atom_load_rlx_u64(&load_word) ? since(atom_load_rlx_u64(&load_ms), now) : UINT64_MAX;
    bool watched = atom_load_rlx_u32(&watch_running) != 0;
    bool old = age > LOAD_OLD_MS, first = since(atom_load_rlx_u64(&load_wanted_ms), now) > LOAD_WANTED_MS;
    if (old || (age > LOAD_FRESH_MS && !watched)) {
        bool rough;
        enum status status = load_refresh(now, &rough);
        if (status != ST_OK) return status;
    }
    atom_store_rlx_u64(&load_wanted_ms, now);
    /* From here on the thread does it: the first caller tells it, or one whose word it left to grow old. */
    if (watched && (old || first)) os_alarm_ring();
    uint64_t word = atom_load_rlx_u64(&load_word);
    *load = (struct pressure_load){(unsigned)(word >> 56), (word << 8 >> 8) << PAGE_SHIFT};
    load_tighten(&budget_process, load);
    if (account != &budget_process) load_tighten(account, load);
    return ST_OK;
}

/* ---- Judging -------------------------------------------------------------------------------------------------- */

static int judge_budget(struct budget *budget) {
    struct budget_lines lines;
    int level = HIGH;
    budget_lines_get(budget, &lines);
    /* rlx, all: nobody else writes the last three, and a shortage more will be seen at the next look. */
    uint64_t shortages = atom_load_rlx_u64(&budget->shortages);
    if (shortages != atom_load_rlx_u64(&budget->shortages_seen)) {
        atom_store_rlx_u64(&budget->shortages_seen, shortages);
        atom_store_rlx_u64(&budget->shortage_ms, now_ms);
    }
    uint64_t short_ms = atom_load_rlx_u64(&budget->shortage_ms);
    bool was_low = atom_load_rlx_u32(&budget->judged) == LOW;
    if (short_ms && now_ms - short_ms < SHORTAGE_MS) level = LOW;
    for (int kind = 0; kind < BUDGET_KINDS; kind++) {
        uint64_t brink = budget_brink(&lines, (enum budget_kind)kind), held = budget_held(budget, (enum budget_kind)kind);
        if (!brink) continue;
        bool low = held >= brink || (was_low && held >= brink - brink / 16);
        level = worse(level, low ? LOW : held < brink / 2 ? HIGH : NEUTRAL);
    }
    return level;
}

/* Marks it for the next judgement and for those who are told. */
static void judge_and_mark(struct budget *budget, void *context) {
    int level = judge_budget(budget);
    (void)context;
    atom_store_rlx_u32(&budget->judged, (uint32_t)level); /* rlx: the thread's own */
    if (level == LOW) anything_low = true;
    if (budget == &budget_process) process_level = level;
}

static int judge_system(void) {
    unsigned says = os_alarm_look();
    int level = says & OS_ALARM_PLENTY ? HIGH : NEUTRAL;
    bool rough;
    if (load_refresh(now_ms, &rough) == ST_OK && !rough) {
        unsigned percent = (unsigned)(atom_load_rlx_u64(&load_word) >> 56); /* rlx: just written by this thread */
        if (percent >= 95 || (system_level == LOW && percent >= 90)) return LOW;
        if (percent < 50) level = HIGH;
    }
    if (says & OS_ALARM_SCARCE) scarce_ms = now_ms;
    if (scarce_ms && now_ms - scarce_ms < SCARCE_MS) return LOW;
    return worse(level, region_crowded() ? LOW : HIGH);
}

static void judge_budgets(void) {
    anything_low = system_level == LOW;
    budget_each(judge_and_mark, NULL);
}

static EMemoryAvailable level_of(const struct notify *owner) {
    int own = owner->account ? (int)atom_load_rlx_u32(&owner->account->judged) : HIGH; /* rlx: the thread's own */
    return (EMemoryAvailable)worse(worse(system_level, process_level), own ? own : HIGH);
}

/* ---- The thread ----------------------------------------------------------------------------------------------- */

void pressure_spacing_set(uint64_t ms) { atom_tighten_u64(&spacing_ms, ms); }

static uint64_t spacing(void) {
    uint64_t ms = atom_load_rlx_u64(&spacing_ms); /* rlx: a number of its own */
    return ms ? ms : SPACING_MS;
}

/* Holds the reserve again that has been missing for a while. Returns how long to sleep at most. */
static uint64_t refill(uint64_t sleep_ms) {
    if (!limits_reserve_missing()) {
        missing_ms = 0;
        return sleep_ms;
    }
    if (missing_ms == 0) missing_ms = now_ms;
    if (since(missing_ms, now_ms) >= REFILL_MS) {
        limits_reserve_refill();
        missing_ms = now_ms;
    }
    return sleep_ms < REFILL_MS ? sleep_ms : REFILL_MS;
}

/* Looks at everything, tells everybody. Returns how long to sleep. */
static uint64_t watch_round(uint64_t *calm_ms) {
    uint32_t rung = 1;
    now_ms = os_clock_ms();
    /* acqrel, and no plain store but a full barrier: whoever found it rung has charged before that, which is seen below; who is
     * later rings. */
    atom_cas_acqrel_u32(&watch_rung, &rung, 0);
    system_level = judge_system();
    judge_budgets();
    if (anything_low) { /* before anybody is told: what the engine itself can do without goes back */
        trim_all();
        judge_budgets();
    }
    atom_store_rlx_u32(&told_level, (uint32_t)worse(system_level, process_level)); /* rlx: a figure */
    notify_tell(level_of, now_ms, spacing());
    if (anything_low) {
        uint64_t ms = spacing() / 8;
        *calm_ms = 100;
        atom_store_rlx_u32(&watch_rung, 1); /* rlx: it looks again by itself */
        return ms < 10 ? 10 : ms > 1000 ? 1000 : ms;
    }
    uint64_t most_ms = refill(system_tells || !notify_any() ? UINT64_MAX : DEAF_MS);
    if (since(atom_load_rlx_u64(&load_wanted_ms), now_ms) < LOAD_WANTED_MS) return LOAD_FRESH_MS; /* rlx: as in pressure_load */
    /* After pressure it is looked at less and less often whether there is plenty again. */
    bool settles = *calm_ms < SETTLED_MS && worse(system_level, process_level) != HIGH;
    *calm_ms = settles ? *calm_ms * 2 : 0;
    return *calm_ms && *calm_ms < most_ms ? *calm_ms : most_ms;
}

static bool watch_wanted(void) { return notify_any() || limits_any(); }

/* False: there is nothing to watch for, and this is the thread no longer. */
static bool watch_stays(void) {
    turn_take(&watch_turn);
    bool stays = watch_wanted();
    if (!stays) {
        os_alarm_close();
        atom_store_rlx_u32(&told_level, 0);    /* rlx: a figure */
        atom_store_rel_u32(&watch_running, 0); /* rel: the next thread finds the alarm closed */
    }
    turn_give(&watch_turn);
    return stays;
}

static void watch(void) {
    uint64_t calm_ms = 0;
    system_level = process_level = NEUTRAL;
    scarce_ms = missing_ms = 0;
    system_tells = os_alarm_open();
    while (watch_stays()) os_alarm_wait(watch_round(&calm_ms));
}

static void watch_ring(void);

/* With the turn: starts the thread if it is wanted. One that a fork has ended stays lost as long as there is none to be had. */
static enum status watch_start(void) {
    enum status status = ST_OK;
    if (watch_wanted()) {
        budget_on_brink(watch_ring);
        atom_store_rlx_u32(&watch_running, 1);
        status = os_alarm_start(watch);
        if (status != ST_OK) atom_store_rlx_u32(&watch_running, 0);
    }
    if (status == ST_OK) atom_store_rlx_u32(&watch_lost, 0);
    return status;
}

/*
 * In the child of a fork, where what is registered and limited still is, but the thread is not. A charge may come from anywhere,
 * as from malloc under a lock of the C library's, where no thread can be made; a manager's call, which says who asks, is
 * the program's own. Nobody waits: whoever has the turn starts the thread, or it is started another time.
 */
static void watch_again(void) {
    uint32_t none = 0;
    if (!budget_asked() || !atom_cas_acqrel_u32(&watch_turn, &none, 1)) return;
    void *before = budget_ask(0, BUDGET_DOMAIN); /* what the C library allocates for the thread is nobody's but the process's */
    if (atom_load_rlx_u32(&watch_lost)) watch_start(); /* rlx: ordered by the turn */
    budget_ask_end(before);
    turn_give(&watch_turn);
}

static void watch_ring(void) {
    if (atom_load_rlx_u32(&watch_lost)) watch_again(); /* rlx: written where there is one thread; later, it is looked at again */
    /* rlx: whoever reads 1 has charged, by a CAS, a full barrier (atom.h), before the thread's next look, which sees that. */
    if (atom_load_rlx_u32(&watch_rung)) return;
    atom_store_rlx_u32(&watch_rung, 1);
    os_alarm_ring();
}

static void watch_forked(void) {
    if (atom_load_rlx_u32(&watch_running)) atom_store_rlx_u32(&watch_lost, 1); /* rlx, all: the child has one thread */
    atom_store_rlx_u32(&watch_turn, 0);
    atom_store_rlx_u32(&watch_running, 0);
    atom_store_rlx_u32(&watch_rung, 0);
    atom_store_rlx_u32(&told_level, 0);
    notify_forked();
}

enum status pressure_update(void) {
    enum status status = ST_OK;
    uint32_t seen = 0;
    if (atom_cas_acqrel_u32(&watch_forks, &seen, 1)) os_alarm_at_fork(watch_forked);
    turn_take(&watch_turn);
    bool running = atom_load_rlx_u32(&watch_running) != 0; /* rlx: ordered by the turn */
    if (!running) status = watch_start();
    turn_give(&watch_turn);
    if (running) os_alarm_ring(); /* to look at what is new, or to go */
    return status;
}

bool pressure_watched(void) { return atom_load_acq_u32(&watch_running) != 0; /* acq: pairs with watch_stays */ }

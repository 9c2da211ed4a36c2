/*
 * limits.c - setting lines, and holding a reserve.
 *
 * The held reserve is one run of granules, committed and used by nobody, in no span and in no budget.
 *   empty -> busy -> held -> busy -> empty
 * Only the thread that moved the state to busy touches the run. Whoever finds it busy does without; nobody waits. So whoever held
 * it anew looks again whether it is to be what it was to be.
 */
#include "policy/limits.h"

#include "core/region.h"
#include "os/os.h"

enum { RESERVE_EMPTY, RESERVE_BUSY, RESERVE_HELD };

static uint32_t reserve_state;
static struct run reserve_run;
static uint64_t reserve_bytes; /* of the run, 0 while it is not held */

/* ---- Lines ---------------------------------------------------------------------------------------------------- */

static bool ordered(SIZE_T soft, SIZE_T hard) { return soft == 0 || hard == 0 || soft <= hard; }

enum status limits_check(const HM_LIMITS *limits) {
    if (limits == NULL || limits->cbSize != sizeof *limits) return ST_BAD_ARGUMENT;
    if (!ordered(limits->cbSoftReserve, limits->cbHardReserve)) return ST_BAD_ARGUMENT;
    return ordered(limits->cbSoftCommit, limits->cbHardCommit) ? ST_OK : ST_BAD_ARGUMENT;
}

enum status limits_set(struct budget *budget, const HM_LIMITS *limits) {
    enum status status = limits_check(limits);
    if (status != ST_OK) return status;
    struct budget_lines lines = {
        .soft = {limits->cbSoftReserve, limits->cbSoftCommit},
        .hard = {limits->cbHardReserve, limits->cbHardCommit},
        .emergency = limits->cbEmergency,
    };
    budget_lines_set(budget, &lines);
    if (budget == &budget_process) {
        limits_reserve_spend(); /* it may have another size now */
        limits_reserve_refill();
    }
    return ST_OK;
}

enum status limits_get(struct budget *budget, HM_LIMITS *limits, HM_USAGE *usage) {
    if (limits == NULL && usage == NULL) return ST_NOT_WRITABLE;
    if ((limits != NULL && limits->cbSize != sizeof *limits) || (usage != NULL && usage->cbSize != sizeof *usage)) {
        return ST_BAD_ARGUMENT;
    }
    struct budget_lines lines;
    budget_lines_get(budget, &lines);
    if (limits != NULL) {
        *limits = (HM_LIMITS){limits->cbSize, lines.soft[BUDGET_RESERVE], lines.hard[BUDGET_RESERVE], lines.soft[BUDGET_COMMIT],
                              lines.hard[BUDGET_COMMIT], lines.emergency};
    }
    if (usage != NULL) {
        usage->cbReserved = budget_held(budget, BUDGET_RESERVE);
        usage->cbCommitted = budget_held(budget, BUDGET_COMMIT);
        usage->cbPeakReserved = budget_peak(budget, BUDGET_RESERVE);
        usage->cbPeakCommitted = budget_peak(budget, BUDGET_COMMIT);
        /* rlx: figures for people. */
        for (int i = 0; i < BUDGET_LEVELS; i++) usage->cRefused[i] = atom_load_rlx_u64(&budget->refused[i]);
        usage->cbReserveHeld = budget == &budget_process ? limits_reserve_held() : 0;
    }
    return ST_OK;
}

static void any_visit(struct budget *budget, void *context) {
    struct budget_lines lines;
    budget_lines_get(budget, &lines);
    if (budget_limited(&lines) || (budget == &budget_process && lines.emergency)) *(bool *)context = true;
}

bool limits_any(void) {
    bool any = false;
    budget_each(any_visit, &any);
    return any;
}

/* ---- The held reserve ----------------------------------------------------------------------------------------- */

uint64_t limits_reserve_held(void) { return atom_load_rlx_u64(&reserve_bytes); /* rlx: a figure for people */ }

bool limits_reserve_spend(void) {
    uint32_t seen = RESERVE_HELD;
    /* acq: pairs with the store in limits_reserve_refill; the run is written. */
    if (!atom_cas_acqrel_u32(&reserve_state, &seen, RESERVE_BUSY)) return false;
    atom_store_rlx_u64(&reserve_bytes, 0);
    /* If the system is out of mappings even for this, the run is lost: nobody can have it while its pages are committed. */
    bool given = os_decommit(granule_address(reserve_run.first), (size_t)reserve_run.count_pages << PAGE_SHIFT) == ST_OK;
    if (given) region_release(&reserve_run);
    atom_store_rel_u32(&reserve_state, RESERVE_EMPTY); /* rel: pairs with the next CAS */
    budget_tell(); /* to hold it again in time */
    return given;
}

/* More than a region holds is never held. */
static bool reserve_wanted(const struct budget_lines *lines) {
    uint64_t pages = lines->emergency >> PAGE_SHIFT;
    return pages != 0 && pages <= PAGES_PER_SLOT;
}

bool limits_reserve_missing(void) {
    struct budget_lines lines;
    budget_lines_get(&budget_process, &lines);
    return reserve_wanted(&lines) && limits_reserve_held() == 0;
}

/* Room below the hard lines for the whole reserve, so that it stands between nobody and his memory. */
static bool reserve_fits(const struct budget_lines *lines) {
    for (int kind = 0; kind < BUDGET_KINDS; kind++) {
        uint64_t hard = lines->hard[kind], held = budget_held(&budget_process, (enum budget_kind)kind);
        if (hard && held + lines->emergency > hard) return false;
    }
    return true;
}

/* With the state at busy: the run, committed. False: there is none. */
static bool reserve_claim(uint64_t pages) {
    if (region_claim(pages, false, &reserve_run) != ST_OK) return false;
    uintptr_t start = granule_address(reserve_run.first);
    if (os_commit(start, (size_t)pages << PAGE_SHIFT, PG_READWRITE) == ST_OK) {
        atom_store_rlx_u64(&reserve_bytes, pages << PAGE_SHIFT);
        return true;
    }
    if (os_decommit(start, (size_t)pages << PAGE_SHIFT) == ST_OK) region_release(&reserve_run);
    return false;
}

void limits_reserve_refill(void) {
    struct budget_lines lines, now;
    do {
        uint32_t seen = RESERVE_EMPTY, busy = RESERVE_BUSY;
        budget_lines_get(&budget_process, &lines);
        if (!reserve_wanted(&lines) || !reserve_fits(&lines)) return;
        if (!atom_cas_acqrel_u32(&reserve_state, &seen, RESERVE_BUSY)) return; /* acq: as above */
        /* acqrel: publishes the run. Whoever set the lines meanwhile has found it busy (by a CAS that fails, a full barrier like
         * this one: atom.h), or the lines are seen below. */
        atom_cas_acqrel_u32(&reserve_state, &busy, reserve_claim(lines.emergency >> PAGE_SHIFT) ? RESERVE_HELD : RESERVE_EMPTY);
        budget_lines_get(&budget_process, &now);
    } while (now.emergency != lines.emergency && limits_reserve_spend());
}

/*
 * budget.c - charges, lines, and the accounts of managers.
 *
 * An account stands in a table that is never unmapped and has a bit: claimed by budget_open, released when its `reserved` word
 * comes to 0. That word counts holds (a manager, each of its heaps) beside the pages, so that one operation tells who was last:
 * a manager may go while its memory lives on.
 *
 * Invariants
 *   1. A charge never brings a count past the line of its level, not for a moment: each count is moved by CAS.
 *   2. Whoever has something charged to a budget charged it to every budget above as well.
 *   3. The pages of an account's span are charged to it as long as the span exists or a cache holds it, so its number is good.
 *      Committed pages are refunded before the reserved ones that they lie in.
 *
 * Any thread, any time; nothing waits.
 */
#include "core/budget.h"

#include <string.h>

#include "core/bitmap.h"
#include "core/settings.h"
#include "core/table.h"
#include "os/os.h"

struct budget budget_process;

static uint64_t account_table; /* struct budget[BUDGET_ACCOUNTS]; the first is not used */
static uint64_t account_taken[BUDGET_ACCOUNTS / 64] = {1};
static uint64_t brink_tell; /* void (*)(void) */

/* The process's lines until they are set; whoever finds them not read yet reads them, and all find the same. */
static struct budget_lines environment;
static uint32_t environment_read, process_set;

/* ---- Accounts ------------------------------------------------------------------------------------------------- */

struct budget *budget_numbered(uint32_t number) {
    if (number == 0) return &budget_process;
    return (struct budget *)(uintptr_t)atom_load_acq_u64(&account_table) + number; /* acq: as in table_once */
}

struct budget *budget_open(const char *name) {
    struct budget *table = table_once(&account_table, BUDGET_ACCOUNTS * sizeof(struct budget), 0);
    uint64_t mask;
    if (!table) return NULL;
    size_t word = bitmap_claim_some(account_taken, BUDGET_ACCOUNTS, 0, 1, &mask);
    if (word == BITMAP_NONE) return NULL;
    uint32_t number = (uint32_t)(word * 64) + (uint32_t)__builtin_ctzll(mask);
    struct budget *budget = &table[number];
    if (os_tables_commit(budget, sizeof *budget) != ST_OK) {
        bitmap_release(account_taken, number, 1);
        return NULL;
    }
    budget_lines_set(budget, &(struct budget_lines){0});
    for (int i = 0; i < BUDGET_LEVELS; i++) atom_store_rlx_u64(&budget->refused[i], 0); /* rlx, all: see the end */
    for (int i = 0; i < BUDGET_KINDS; i++) atom_store_rlx_u64(&budget->peak[i], 0);
    atom_store_rlx_u64(&budget->shortages, 0);
    atom_store_rlx_u64(&budget->shortages_seen, 0);
    atom_store_rlx_u64(&budget->shortage_ms, 0);
    atom_store_rlx_u32(&budget->judged, 0);
    budget->parent = &budget_process;
    memset(budget->name, 0, sizeof budget->name);
    for (size_t i = 0; name != NULL && name[i] != 0 && i < sizeof budget->name - 1; i++) budget->name[i] = name[i];
    budget->number = number;
    atom_store_rel_u64(&budget->reserved, 1); /* rel: pairs with budget_each */
    return budget;
}

void budget_hold(struct budget *budget) { atom_add_acqrel_u64(&budget->reserved, 1); }

static void reserved_sub(struct budget *budget, uint64_t amount) {
    uint32_t number = budget->number; /* before: afterwards it may be another's */
    /* acqrel: the one that brings it to 0 comes after every other use of the account. */
    if (atom_add_acqrel_u64(&budget->reserved, -amount) == amount && number) HM_CHECK(bitmap_release(account_taken, number, 1));
}

void budget_drop(struct budget *budget) { reserved_sub(budget, 1); }

void budget_each(void (*visit)(struct budget *budget, void *context), void *context) {
    visit(&budget_process, context);
    for (size_t n = 1; (n = bitmap_next_taken(account_taken, BUDGET_ACCOUNTS, n)) < BUDGET_ACCOUNTS; n++) {
        struct budget *budget = budget_numbered((uint32_t)n);
        /* acq: pairs with budget_open; one that is just being opened, or has just been closed, reads 0 or harms nobody. */
        if (atom_load_acq_u64(&budget->reserved)) visit(budget, context);
    }
}

/* ---- Lines ---------------------------------------------------------------------------------------------------- */

/* rlx, all of the lines: each is a number of its own; a request judged by a line that changes meanwhile came before or after. */
static void lines_store(struct budget_lines *to, const struct budget_lines *lines) {
    for (int kind = 0; kind < BUDGET_KINDS; kind++) {
        atom_store_rlx_u64(&to->soft[kind], lines->soft[kind]);
        atom_store_rlx_u64(&to->hard[kind], lines->hard[kind]);
    }
    atom_store_rlx_u64(&to->emergency, lines->emergency);
}

static void environment_lines(void) {
    struct budget_lines lines = {
        .soft = {setting("HOSTMEM_SOFT_RESERVE"), setting("HOSTMEM_SOFT_COMMIT")},
        .hard = {setting("HOSTMEM_HARD_RESERVE"), setting("HOSTMEM_HARD_COMMIT")},
        .emergency = setting("HOSTMEM_EMERGENCY"),
    };
    for (int kind = 0; kind < BUDGET_KINDS; kind++) {
        if (lines.hard[kind] && lines.soft[kind] > lines.hard[kind]) lines.soft[kind] = 0; /* it would never be met */
    }
    lines_store(&environment, &lines);
    atom_store_rel_u32(&environment_read, 1); /* rel: pairs with budget_lines_get */
}

void budget_lines_set(struct budget *budget, const struct budget_lines *lines) {
    lines_store(&budget->lines, lines);
    if (budget == &budget_process) atom_store_rel_u32(&process_set, 1); /* rel: pairs with budget_lines_get */
}

void budget_lines_get(const struct budget *budget, struct budget_lines *lines) {
    const struct budget_lines *from = &budget->lines;
    if (budget == &budget_process && !atom_load_acq_u32(&process_set)) { /* acq, and below: the lines are there */
        if (!atom_load_acq_u32(&environment_read)) environment_lines();
        from = &environment;
    }
    for (int kind = 0; kind < BUDGET_KINDS; kind++) {
        lines->soft[kind] = atom_load_rlx_u64(&from->soft[kind]);
        lines->hard[kind] = atom_load_rlx_u64(&from->hard[kind]);
    }
    lines->emergency = atom_load_rlx_u64(&from->emergency);
}

uint64_t budget_brink(const struct budget_lines *lines, enum budget_kind kind) {
    uint64_t soft = lines->soft[kind], hard = lines->hard[kind];
    uint64_t lowest = soft && (!hard || soft < hard) ? soft : hard;
    return lowest - lowest / 8;
}

void budget_on_brink(void (*tell)(void)) { atom_store_rel_u64(&brink_tell, (uint64_t)(uintptr_t)tell); }

void budget_tell(void) {
    void (*tell)(void) = (void (*)(void))(uintptr_t)atom_load_acq_u64(&brink_tell); /* acq: what it uses is ready */
    if (tell) tell();
}

/* The most pages that a request of the level may bring the count to. */
static uint64_t line_pages(const struct budget_lines *lines, enum budget_kind kind, unsigned level) {
    uint64_t line = lines->hard[kind];
    if (level == BUDGET_TASK && lines->soft[kind] && (!line || lines->soft[kind] < line)) line = lines->soft[kind];
    if (!line) return UINT64_MAX >> BUDGET_HOLD_BITS;
    if (level == BUDGET_PROCESS) line = line > UINT64_MAX - lines->emergency ? UINT64_MAX : line + lines->emergency;
    return line >> PAGE_SHIFT;
}

/* ---- Charging ------------------------------------------------------------------------------------------------- */

static unsigned asked_level(void) {
    unsigned level = budget_asked() & 3;
    return level ? level - 1 : BUDGET_DOMAIN;
}

/* One count, whose pages stand above `shift`. */
static bool count_add(uint64_t *count, unsigned shift, uint64_t pages, const struct budget_lines *lines, enum budget_kind kind,
                      unsigned level) {
    uint64_t line = line_pages(lines, kind, level), seen = atom_load_rlx_u64(count); /* rlx: the CAS decides */
    do {
        uint64_t held = seen >> shift;
        if (pages > line || held > line - pages) return false;
    } while (!atom_cas_acqrel_u64(count, &seen, seen + (pages << shift)));
    uint64_t brink = budget_brink(lines, kind) >> PAGE_SHIFT;
    if (brink && (seen >> shift) + pages >= brink) budget_tell();
    return true;
}

static void one_refund(struct budget *budget, uint64_t reserved_pages, uint64_t committed_pages) {
    if (committed_pages) {
        uint64_t before = atom_add_acqrel_u64(&budget->committed, -committed_pages);
        HM_CHECK(before >= committed_pages);
    }
    if (reserved_pages) reserved_sub(budget, reserved_pages << BUDGET_HOLD_BITS);
}

static bool one_charge(struct budget *budget, uint64_t reserved_pages, uint64_t committed_pages, unsigned level) {
    struct budget_lines lines;
    budget_lines_get(budget, &lines);
    bool good = !reserved_pages || count_add(&budget->reserved, BUDGET_HOLD_BITS, reserved_pages, &lines, BUDGET_RESERVE, level);
    if (good && committed_pages && !count_add(&budget->committed, 0, committed_pages, &lines, BUDGET_COMMIT, level)) {
        one_refund(budget, reserved_pages, 0);
        good = false;
    }
    if (good) return true;
    if (!(budget_asked() & BUDGET_AGAIN)) atom_add_acqrel_u64(&budget->refused[level], 1);
    atom_add_acqrel_u64(&budget->shortages, 1);
    /* A heap has nobody to tell but the manager that it belongs to. */
    if (!budget->number && budget->parent && budget->parent->number) atom_add_acqrel_u64(&budget->parent->shortages, 1);
    budget_tell();
    return false;
}

static void peak_raise(uint64_t *peak, uint64_t pages) {
    uint64_t seen = atom_load_rlx_u64(peak); /* rlx: the CAS decides */
    while (pages > seen && !atom_cas_acqrel_u64(peak, &seen, pages)) continue;
}

/*
 * Before a count falls: what it has been is noted only then, so that a charge for what is not to be had leaves no trace in it.
 * rlx: figures for people; of threads that charge and refund at the same moment one may not show.
 */
static void peaks_raise(struct budget *budget, uint64_t reserved_pages, uint64_t committed_pages) {
    if (reserved_pages) peak_raise(&budget->peak[BUDGET_RESERVE], atom_load_rlx_u64(&budget->reserved) >> BUDGET_HOLD_BITS);
    if (committed_pages) peak_raise(&budget->peak[BUDGET_COMMIT], atom_load_rlx_u64(&budget->committed));
}

bool budget_charge(struct budget *budget, uint64_t reserved_pages, uint64_t committed_pages) {
    unsigned level = asked_level();
    for (struct budget *at = budget; at; at = at->parent) {
        if (one_charge(at, reserved_pages, committed_pages, level)) continue;
        for (struct budget *undo = budget; undo != at; undo = undo->parent) one_refund(undo, reserved_pages, committed_pages);
        return false;
    }
    return true;
}

/* was_had: it counts for the peaks. */
static inline void take_back(struct budget *budget, uint64_t reserved_pages, uint64_t committed_pages, bool was_had) {
    for (struct budget *at = budget, *parent; at; at = parent) {
        parent = at->parent;
        if (was_had) peaks_raise(at, reserved_pages, committed_pages);
        one_refund(at, reserved_pages, committed_pages);
    }
}

void budget_refund(struct budget *budget, uint64_t reserved_pages, uint64_t committed_pages) {
    take_back(budget, reserved_pages, committed_pages, true);
}

void budget_undo(struct budget *budget, uint64_t reserved_pages, uint64_t committed_pages) {
    take_back(budget, reserved_pages, committed_pages, false);
}

bool budget_move(uint32_t from, uint32_t to, uint64_t pages) {
    void *before = budget_ask_again();
    bool charged = !to || one_charge(budget_numbered(to), pages, pages, asked_level());
    budget_ask_end(before);
    if (!charged || !from) return charged;
    peaks_raise(budget_numbered(from), pages, pages);
    one_refund(budget_numbered(from), pages, pages);
    return true;
}

uint64_t budget_held(const struct budget *budget, enum budget_kind kind) {
    /* rlx: out of date at once. */
    uint64_t pages = kind == BUDGET_COMMIT ? atom_load_rlx_u64(&budget->committed)
                                           : atom_load_rlx_u64(&budget->reserved) >> BUDGET_HOLD_BITS;
    return pages << PAGE_SHIFT;
}

uint64_t budget_peak(const struct budget *budget, enum budget_kind kind) {
    uint64_t peak = atom_load_rlx_u64(&budget->peak[kind]) << PAGE_SHIFT, held = budget_held(budget, kind); /* rlx: a figure */
    return held > peak ? held : peak;
}

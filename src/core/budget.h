/*
 * budget.h - how much memory is reserved and committed, for whom, and how much may be. Layer: core.
 *
 * A budget counts the pages that are charged to it and knows where its lines are. The process has one, each manager has one (an
 * account: it has a number, which the spans of its allocations carry), and so has each heap. Budgets form a tree with the process
 * at its root; what is charged to one is charged to all above it, or to none.
 *
 * Charging happens where memory comes from a region or the system and where pages are committed, never for a request that a
 * thread's cache answers: what caches hold stays charged, as reserved and committed, to whoever it came from.
 *
 * Lines. A request is of one of three levels. One that is critical to a task is refused past the soft line, one that is critical
 * to a domain past the hard line, one that is critical to the process past the hard line and the emergency reserve. A thread
 * that has not said for whom it asks (budget_ask) asks for the process, at the level of the hard line.
 */
#ifndef HM_BUDGET_H
#define HM_BUDGET_H

#include "base/atom.h"
#include "base/base.h"
#include "os/os_slot.h"

enum budget_level { BUDGET_TASK, BUDGET_DOMAIN, BUDGET_PROCESS, BUDGET_LEVELS };
enum budget_kind { BUDGET_RESERVE, BUDGET_COMMIT, BUDGET_KINDS };

#define BUDGET_ACCOUNTS 4096u /* as many as a span has numbers for */
#define BUDGET_HOLD_BITS 16
#define BUDGET_NAME 32u
#define BUDGET_AGAIN (BUDGET_ACCOUNTS << 2) /* see budget_ask_again */

/* In bytes; 0: there is no such line. */
struct budget_lines {
    uint64_t soft[BUDGET_KINDS];
    uint64_t hard[BUDGET_KINDS];
    uint64_t emergency; /* above each hard line */
};

struct budget {
    uint64_t reserved;  /* pages << BUDGET_HOLD_BITS | what else keeps an account from being closed */
    uint64_t committed; /* pages */
    uint64_t peak[BUDGET_KINDS]; /* pages; the most there was of each before it fell */
    struct budget_lines lines;
    uint64_t refused[BUDGET_LEVELS]; /* requests that its own lines refused so far */
    uint64_t shortages;              /* charges that they refused, an account's heaps' too */
    struct budget *parent;
    uint32_t number; /* of an account, else 0 */
    uint32_t judged; /* this and the next two are the watching thread's (policy/pressure.c) */
    uint64_t shortages_seen;
    uint64_t shortage_ms;
    char name[BUDGET_NAME]; /* of an account, for figures; ended by a zero */
} __attribute__((aligned(128)));

extern HM_HIDDEN struct budget budget_process;

/* ---- Accounts ---- */

/* A new account below the process, held once. name: NULL for none. NULL if there is no memory or no number left. */
struct budget *budget_open(const char *name);

/* The account with that number, which somebody holds or is charged to; the process's budget for 0. */
struct budget *budget_numbered(uint32_t number);

/* An account is closed, and its number used again, when nothing holds it and nothing is charged to it. */
void budget_hold(struct budget *budget);
void budget_drop(struct budget *budget);

/* ---- Who asks ---- */

/* From here to budget_ask_end this thread's requests are charged to that account and judged by that level. */
static inline void *budget_ask(uint32_t number, enum budget_level level) {
    void *before = os_slot_get(OS_SLOT_ASKER);
    os_slot_set(OS_SLOT_ASKER, (void *)((uintptr_t)number << 2 | ((uintptr_t)level + 1)));
    return before;
}
static inline void budget_ask_end(void *before) { os_slot_set(OS_SLOT_ASKER, before); }

/* Number, level and BUDGET_AGAIN as packed by budget_ask; 0 in a thread that has not said. */
static inline uint32_t budget_asked(void) {
    uintptr_t packed = (uintptr_t)os_slot_get(OS_SLOT_ASKER);
    return packed < BUDGET_AGAIN << 1 ? (uint32_t)packed : 0; /* a slot never set may hold an address */
}
static inline uint32_t budget_asked_number(void) { return budget_asked() >> 2 & (BUDGET_ACCOUNTS - 1); }

/*
 * The same account and level, but a refusal is not the request's end: it will be tried again, with more room or for less. So
 * that what was refused counts requests.
 */
static inline void *budget_ask_again(void) {
    void *before = os_slot_get(OS_SLOT_ASKER);
    os_slot_set(OS_SLOT_ASKER, (void *)(uintptr_t)(budget_asked() | BUDGET_AGAIN));
    return before;
}

/* ---- Charging ---- */

/* Charges pages to the budget and to those above it. False: one of them is past its line, and nothing has changed. */
bool budget_charge(struct budget *budget, uint64_t reserved_pages, uint64_t committed_pages);

/*
 * Takes back what was charged. The caller's budget may be gone afterwards if that was all. budget_undo is for what was not to be
 * had after all: it never counted for the peak.
 */
void budget_refund(struct budget *budget, uint64_t reserved_pages, uint64_t committed_pages);
void budget_undo(struct budget *budget, uint64_t reserved_pages, uint64_t committed_pages);

/*
 * What is charged to one account is charged to another from now on, the same for the process. False: it has no room, but for the
 * request that is not the end (budget_ask_again).
 */
bool budget_move(uint32_t from, uint32_t to, uint64_t pages);

/* ---- Lines ---- */

void budget_lines_set(struct budget *budget, const struct budget_lines *lines);
void budget_lines_get(const struct budget *budget, struct budget_lines *lines);

static inline bool budget_limited(const struct budget_lines *lines) {
    return lines->soft[0] || lines->soft[1] || lines->hard[0] || lines->hard[1];
}

/* In bytes, as of now, and the most there ever was. */
uint64_t budget_held(const struct budget *budget, enum budget_kind kind);
uint64_t budget_peak(const struct budget *budget, enum budget_kind kind);

/* Where pressure begins, so that there is time to do something: seven eighths of the lowest line. 0: nowhere. */
uint64_t budget_brink(const struct budget_lines *lines, enum budget_kind kind);

/* Has tell called when a charge brings a budget to its brink or past it, or is refused: in any thread; it must not wait. */
void budget_on_brink(void (*tell)(void));
void budget_tell(void);

/* Visits the process's budget and every open account. */
void budget_each(void (*visit)(struct budget *budget, void *context), void *context);

#endif

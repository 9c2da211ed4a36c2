/*
 * calls.h - who calls a manager and its heaps, how often, and at which critical level. Layer: policy.
 *
 * Kept only for managers that were made with HM_COUNT_CALLS: their objects have vtables that count, other managers' objects have
 * vtables that do not, so nobody else pays an instruction. The flat functions (HmVirtualAlloc, HmHeapAlloc and their kin) are
 * counted where the environment asks for it, and look at one word where it does not. A record belongs to one manager, to one
 * IHostMalloc or to the flat functions, and counts in shards that threads rarely share.
 */
#ifndef HM_CALLS_H
#define HM_CALLS_H

#include "base/tally.h"
#include "hostmem.h"

/* How the calls are told apart; the names that figures have for them are in calls.c. */
enum call {
    CALL_VIRTUAL_ALLOC,
    CALL_VIRTUAL_FREE,
    CALL_VIRTUAL_QUERY,
    CALL_VIRTUAL_PROTECT,
    CALL_CREATE_MALLOC,
    CALL_OTHER, /* of a manager */
    CALL_ALLOC,
    CALL_DEBUG_ALLOC,
    CALL_FREE,
    CALL_COUNT
};

/* Where a call has no level, it counts as LEVEL_NONE. */
enum call_level { LEVEL_NONE, LEVEL_TASK, LEVEL_DOMAIN, LEVEL_PROCESS, LEVEL_COUNT };

struct call_record {
    uint32_t manager; /* by its account (core/budget.h), which made the heap or is counted itself; 0: the flat functions */
    uint32_t heap;    /* 0: not of a heap */
    char name[32];
    uint64_t shard[TALLY_SHARDS][CALL_COUNT][LEVEL_COUNT];
    uint64_t failed[TALLY_SHARDS][CALL_COUNT];
    uint64_t reason[ST_COUNT]; /* of failures: what the caller was told */
};

/* A record with zeros, NULL if there is no memory. name may be NULL; a long one is cut. */
struct call_record *calls_open(const char *name, uint32_t manager, uint32_t heap);
void calls_close(struct call_record *record);

static inline uint32_t calls_level(EMemoryCriticalLevel level) {
    return level >= eTaskCritical && level <= eProcessCritical ? (uint32_t)(level - eTaskCritical) + LEVEL_TASK : LEVEL_NONE;
}

void calls_count_failure(struct call_record *record, enum call call, enum status reason);

/* Why an interface method has just given this answer. */
enum status calls_reason(HRESULT answer);

/* Counts a call and hands its answer on. */
static inline HRESULT calls_count(struct call_record *record, enum call call, uint32_t level, HRESULT answer) {
    unsigned shard = tally_shard_mine();
    atom_add_acqrel_u64(&record->shard[shard][call][level], 1);
    if (answer != S_OK) calls_count_failure(record, call, calls_reason(answer));
    return answer;
}

/* The flat functions', 0 where they are not counted: struct call_record *. */
extern HM_HIDDEN uint64_t calls_flat;

/* Counts them from now on, if the environment asks for it. */
void calls_flat_start_if_asked(void);
static inline bool calls_flat_counted(void) { return atom_load_rlx_u64(&calls_flat) != 0; /* rlx: set before any call */ }
void calls_flat_tell(enum call call, enum status status);

/* What a flat function ends with: reports a failure, counts the call if calls are counted. Returns whether it went well. */
static inline bool calls_flat_answer(enum call call, enum status status) {
    bool plain = status == ST_OK && !calls_flat_counted();
    if (__builtin_expect(!plain, 0)) calls_flat_tell(call, status);
    return status == ST_OK;
}

/* Is this kind of call one that the record's owner has? */
bool calls_has(const struct call_record *record, enum call call);

const char *calls_name(enum call call);
const char *calls_level_name(enum call_level level);
uint64_t calls_sum(const struct call_record *record, enum call call, enum call_level level);
uint64_t calls_failed(const struct call_record *record, enum call call);

/* Calls visit for every record in use. One that is closed meanwhile is still readable. */
void calls_each(void (*visit)(const struct call_record *record, void *context), void *context);

#endif

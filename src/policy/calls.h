/*
 * calls.h - who calls a manager and its heaps, how often, and at which critical level. Layer: policy.
 *
 * Kept only for managers that were made with HM_COUNT_CALLS: their objects have vtables that count, other managers' objects have
 * vtables that do not, so nobody else pays an instruction. A record belongs to one manager or one IHostMalloc, and counts in
 * shards that threads rarely share.
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
    uint32_t manager; /* the manager's number: its own record's, or that of the manager that made the heap */
    uint32_t heap;    /* the number of a heap's record, 0 for a manager's */
    char name[32];
    uint64_t shard[TALLY_SHARDS][CALL_COUNT][LEVEL_COUNT];
    uint64_t failed[TALLY_SHARDS][CALL_COUNT];
};

/* A record with zeros, NULL if there is no memory. name may be NULL; a long one is cut. manager 0: it is one itself. */
struct call_record *calls_open(const char *name, uint32_t manager, uint32_t heap);
void calls_close(struct call_record *record);

static inline uint32_t calls_level(EMemoryCriticalLevel level) {
    return level >= eTaskCritical && level <= eProcessCritical ? (uint32_t)(level - eTaskCritical) + LEVEL_TASK : LEVEL_NONE;
}

/* Counts a call and hands its answer on. */
static inline HRESULT calls_count(struct call_record *record, enum call call, uint32_t level, HRESULT answer) {
    unsigned shard = tally_shard_mine();
    atom_add_acqrel_u64(&record->shard[shard][call][level], 1);
    if (answer != S_OK) atom_add_acqrel_u64(&record->failed[shard][call], 1);
    return answer;
}

const char *calls_name(enum call call);
const char *calls_level_name(enum call_level level);
uint64_t calls_sum(const struct call_record *record, enum call call, enum call_level level);
uint64_t calls_failed(const struct call_record *record, enum call call);

/* Calls visit for every record in use. One that is closed meanwhile is still readable. */
void calls_each(void (*visit)(const struct call_record *record, void *context), void *context);

#endif

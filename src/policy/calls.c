/*
 * calls.c - the records of calls.h.
 *
 * Records stand in a table that is never unmapped, so that one can be read while its owner goes. States of a record: free ->
 * claimed (a bit) -> shown (another, when it has been written) -> free. The flat functions' record is made once, for life.
 */
#include "policy/calls.h"

#include <string.h>

#include "core/bitmap.h"
#include "core/settings.h"
#include "core/table.h"
#include "os/os.h"
#include "vm/error.h"

#define RECORDS_AT_MOST ((size_t)1024)

static uint64_t record_table; /* struct call_record[RECORDS_AT_MOST] */
static uint64_t record_claimed[RECORDS_AT_MOST / 64];
static uint64_t record_shown[RECORDS_AT_MOST / 64];

static struct call_record *table_get(void) {
    return (struct call_record *)(uintptr_t)atom_load_acq_u64(&record_table); /* acq: as in table_once */
}

struct call_record *calls_open(const char *name, uint32_t manager, uint32_t heap) {
    struct call_record *table = table_once(&record_table, RECORDS_AT_MOST * sizeof(struct call_record), 0);
    uint64_t mask;
    if (table == NULL) return NULL;
    size_t word = bitmap_claim_some(record_claimed, RECORDS_AT_MOST, 0, 1, &mask);
    if (word == BITMAP_NONE) return NULL;
    size_t index = word * 64 + (size_t)__builtin_ctzll(mask);
    struct call_record *record = &table[index];
    if (os_tables_commit(record, sizeof *record) != ST_OK) {
        HM_CHECK(bitmap_release(record_claimed, index, 1));
        return NULL;
    }
    memset(record, 0, sizeof *record);
    record->manager = manager;
    record->heap = heap;
    for (size_t i = 0; name != NULL && name[i] != 0 && i < sizeof record->name - 1; i++) record->name[i] = name[i];
    HM_CHECK(bitmap_claim(record_shown, index, 1));
    return record;
}

void calls_close(struct call_record *record) {
    if (record == NULL) return;
    size_t index = (size_t)(record - table_get());
    HM_CHECK(bitmap_release(record_shown, index, 1));
    HM_CHECK(bitmap_release(record_claimed, index, 1));
}

void calls_count_failure(struct call_record *record, enum call call, enum status reason) {
    atom_add_acqrel_u64(&record->failed[tally_shard_mine()][call], 1);
    if (reason != ST_OK) atom_add_acqrel_u64(&record->reason[reason], 1);
}

enum status calls_reason(HRESULT answer) { return error_told(os_last_error(), answer); }

/* ---- The flat functions ------------------------------------------------------------------------------------------- */

uint64_t calls_flat;

void calls_flat_start_if_asked(void) {
    if (setting("HOSTMEM_COUNT_CALLS") == 0 || atom_load_acq_u64(&calls_flat) != 0) return; /* acq: as below */
    struct call_record *record = calls_open("flat functions", 0, 0);
    if (record != NULL) atom_store_rel_u64(&calls_flat, (uint64_t)(uintptr_t)record); /* rel: the record is there */
}

void calls_flat_tell(enum call call, enum status status) {
    struct call_record *record = (struct call_record *)(uintptr_t)atom_load_acq_u64(&calls_flat); /* acq: as above */
    error_report(status);
    if (record == NULL) return;
    atom_add_acqrel_u64(&record->shard[tally_shard_mine()][call][LEVEL_NONE], 1);
    if (status != ST_OK) calls_count_failure(record, call, status);
}

/* ---- Figures ------------------------------------------------------------------------------------------------------ */

bool calls_has(const struct call_record *record, enum call call) {
    bool of_heap = call >= CALL_ALLOC;
    if (record->manager == 0) return call != CALL_CREATE_MALLOC && call != CALL_DEBUG_ALLOC;
    return of_heap == (record->heap != 0);
}

const char *calls_name(enum call call) {
    static const char *const names[CALL_COUNT] = {"virtual_alloc", "virtual_free", "virtual_query",
                                                  "virtual_protect", "create_malloc", "other",
                                                  "alloc", "debug_alloc", "free"};
    return names[call];
}

const char *calls_level_name(enum call_level level) {
    static const char *const names[LEVEL_COUNT] = {"none", "task", "domain", "process"};
    return names[level];
}

uint64_t calls_sum(const struct call_record *record, enum call call, enum call_level level) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < TALLY_SHARDS; i++) sum += atom_load_rlx_u64(&record->shard[i][call][level]); /* rlx: a figure */
    return sum;
}

uint64_t calls_failed(const struct call_record *record, enum call call) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < TALLY_SHARDS; i++) sum += atom_load_rlx_u64(&record->failed[i][call]); /* rlx: a figure */
    return sum;
}

void calls_each(void (*visit)(const struct call_record *record, void *context), void *context) {
    struct call_record *table = table_get();
    if (table == NULL) return;
    for (size_t i = 0; (i = bitmap_next_taken(record_shown, RECORDS_AT_MOST, i)) < RECORDS_AT_MOST; i++) {
        visit(&table[i], context);
    }
}

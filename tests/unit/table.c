/*
 * table.c - tables that grow: entries keep their places, numbers and addresses lead to each other, nothing else is taken for an
 * entry, and a part that could not be had is had later.
 */
#include "core/table.h"

#include <string.h>

#include "check.h"
#include "os/fault.h"
#include "thread.h"

enum { ENTRY = 48, FIRST = 8, ENTRIES = FIRST * 63 };

static const struct table_shape shape = {ENTRY, FIRST};

static void entries(void) {
    static struct table table;
    static char *entry[ENTRIES];
    CHECK(table_entry(&table, shape, 0) == NULL);
    CHECK_EQ(table_index(&table, shape, &table), TABLE_NONE);
    CHECK_EQ(table_index(&table, shape, NULL), TABLE_NONE);
    /* From the last part to the first. */
    for (size_t i = ENTRIES; i-- > 0;) {
        entry[i] = table_entry_make(&table, shape, i);
        if (!CHECK(entry[i] != NULL)) return;
        CHECK_EQ(entry[i][0] | entry[i][ENTRY - 1], 0);
        memset(entry[i], (int)(i % 251), ENTRY);
    }
    for (size_t i = 0; i < ENTRIES; i++) {
        CHECK_EQ(entry[i][0], (char)(i % 251));
        CHECK_EQ(entry[i][ENTRY - 1], (char)(i % 251));
        CHECK(table_entry(&table, shape, i) == entry[i] && table_entry_make(&table, shape, i) == entry[i]);
        CHECK_EQ(table_index(&table, shape, entry[i]), i);
        CHECK_EQ(table_index(&table, shape, entry[i] + 1), TABLE_NONE);
        CHECK_EQ(table_index(&table, shape, entry[i] + ENTRY - 1), TABLE_NONE);
    }
    CHECK_EQ(table_index(&table, shape, entry[0] - ENTRY), TABLE_NONE);
    CHECK_EQ(table_index(&table, shape, entry[FIRST - 1] + ENTRY), TABLE_NONE);
    CHECK(table_entry(&table, shape, ENTRIES) == NULL);
    CHECK_EQ(table_index(&table, shape, (void *)UINTPTR_MAX), TABLE_NONE);
}

static struct table shared;
static uint64_t go;
static uint64_t seen[4];

static void *race(void *context) {
    while (atom_load_acq_u64(&go) == 0) atom_pause();
    *(uint64_t *)context = (uint64_t)(uintptr_t)table_entry_make(&shared, shape, 3 * FIRST);
    return NULL;
}

/* Threads that make the same part have the same part. */
static void races(void) {
    for (int round = 0; round < 50; round++) {
        struct threads threads = {0};
        memset(&shared, 0, sizeof shared);
        atom_store_rel_u64(&go, 0);
        for (int i = 0; i < 4; i++) threads_start(&threads, race, &seen[i]);
        atom_store_rel_u64(&go, 1);
        threads_join(&threads);
        CHECK(seen[0] != 0 && seen[0] == seen[1] && seen[0] == seen[2] && seen[0] == seen[3]);
    }
}

#ifdef HM_FAULT
static void refusals(void) {
    static struct table table;
    os_fault_set("tables_reserve", 1, true);
    CHECK(table_entry_make(&table, shape, 5) == NULL && table_entry(&table, shape, 5) == NULL);
    os_fault_set("tables_commit", 1, true);
    CHECK(table_entry_make(&table, shape, 5) == NULL);
    os_fault_set(NULL, 0, false);
    CHECK(table_entry_make(&table, shape, 5) != NULL);
}
#endif

int main(void) {
    entries();
    races();
#ifdef HM_FAULT
    refusals();
#endif
    return check_done();
}

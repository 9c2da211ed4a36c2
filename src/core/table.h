/*
 * table.h - tables that are made when they are first needed, and tables of equal entries that grow and never move: the
 * entries keep their numbers and addresses for the life of the process. Layer: core.
 *
 * A table is a row of parts, each twice as long as the one before, reserved when an entry of it is first made. So a process that
 * may have little address space gives a table that it hardly uses no more than that.
 */
#ifndef HM_TABLE_H
#define HM_TABLE_H

#include "base/atom.h"
#include "base/base.h"
#include "os/os.h"

/*
 * The table whose address is, or will be, in *place: of that size, zero, its first `usable` bytes committed, there for good.
 * Threads that want it at once all make one, and all but one give theirs back. NULL: no memory.
 */
static inline void *table_once(uint64_t *place, size_t size, size_t usable) {
    uint64_t seen = atom_load_acq_u64(place); /* acq: pairs with the CAS */
    void *made;
    if (seen) return (void *)(uintptr_t)seen;
    if (os_tables_reserve(size, &made) != ST_OK) return NULL;
    if (usable && os_tables_commit(made, usable) != ST_OK) {
        os_tables_discard(made, size);
        return NULL;
    }
    /* rel: publishes an empty table. */
    if (atom_cas_acqrel_u64(place, &seen, (uint64_t)(uintptr_t)made)) return made;
    os_tables_discard(made, size);
    return (void *)(uintptr_t)seen;
}

/*
 * Before the first look at what is about to be written, where it may be for the first time: a page of a table that is read before
 * it is written costs two faults, and for the second of them the system stops all other processors for a moment.
 */
static inline void table_touch(uint64_t *word) { atom_add_acqrel_u64(word, 0); }

#define TABLE_PARTS 14u
#define TABLE_NONE SIZE_MAX

struct table {
    uint64_t part[TABLE_PARTS]; /* where it starts, 0: not made yet */
};

/* The same for every call about one table, and known to the compiler. */
struct table_shape {
    size_t entry_bytes;
    size_t first; /* entries of the first part */
};

static inline unsigned table_part(struct table_shape shape, size_t index) {
    return 63u - (unsigned)__builtin_clzll(index / shape.first + 1);
}

/* How many entries the parts before this one have. */
static inline size_t table_before(struct table_shape shape, unsigned part) { return shape.first * (((size_t)1 << part) - 1); }

/* The entry; NULL where its part has not been made. */
static inline void *table_entry(const struct table *table, struct table_shape shape, size_t index) {
    unsigned part = table_part(shape, index);
    uint64_t start = atom_load_acq_u64(&table->part[part]); /* acq: pairs with the CAS in table_once */
    return start ? (char *)(uintptr_t)start + (index - table_before(shape, part)) * shape.entry_bytes : NULL;
}

/* The number of the entry that starts at this address, made or not; TABLE_NONE if none does. Reads the table's parts alone. */
static inline size_t table_index(const struct table *table, struct table_shape shape, const void *address) {
    for (unsigned part = 0; part < TABLE_PARTS; part++) {
        uint64_t start = atom_load_acq_u64(&table->part[part]); /* acq: as above */
        uint64_t offset = (uint64_t)(uintptr_t)address - start;
        /* Parts are made in any order: an entry of a later one may be asked for while an earlier one is being made. */
        if (!start || offset >= (shape.first << part) * shape.entry_bytes) continue;
        return offset % shape.entry_bytes ? TABLE_NONE : table_before(shape, part) + (size_t)(offset / shape.entry_bytes);
    }
    return TABLE_NONE;
}

/* Makes the part that has the entry; whoever uses it commits what he needs of it. False: no memory. The index is as below. */
bool table_part_make(struct table *table, struct table_shape shape, size_t index);

/*
 * The entry, ready to be written, zero if it never was; NULL if there is no memory. The index is below
 * table_before(shape, TABLE_PARTS).
 */
void *table_entry_make(struct table *table, struct table_shape shape, size_t index);

#endif

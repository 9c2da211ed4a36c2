/*
 * table.c - making the parts of growing tables.
 *
 * A part is 0, then reserved, for ever. Two threads that want it at once both reserve it, and one gives its own back. Any
 * thread may call; nothing waits.
 */
#include "core/table.h"

#include "os/os.h"

/* False: no memory. */
static bool part_make(uint64_t *part, size_t size) {
    uint64_t seen = atom_load_acq_u64(part); /* acq: as in table_entry */
    void *made;
    if (seen) return true;
    if (os_tables_reserve(size, &made) != ST_OK) return false;
    /* rel: publishes an empty part; whoever loses uses the winner's. */
    if (!atom_cas_acqrel_u64(part, &seen, (uint64_t)(uintptr_t)made)) os_tables_discard(made, size);
    return true;
}

void *table_entry_make(struct table *table, struct table_shape shape, size_t index) {
    unsigned part = table_part(shape, index);
    HM_CHECK(part < TABLE_PARTS);
    if (!part_make(&table->part[part], (shape.first << part) * shape.entry_bytes)) return NULL;
    void *entry = table_entry(table, shape, index);
    return os_tables_commit(entry, shape.entry_bytes) == ST_OK ? entry : NULL;
}

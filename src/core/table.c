/*
 * table.c - entries of growing tables.
 *
 * A part is 0, then made, for ever (table_once); its entries are committed one by one. Any thread may call; nothing waits.
 */
#include "core/table.h"

bool table_part_make(struct table *table, struct table_shape shape, size_t index) {
    unsigned part = table_part(shape, index);
    HM_CHECK(part < TABLE_PARTS);
    return table_once(&table->part[part], (shape.first << part) * shape.entry_bytes, 0) != NULL;
}

void *table_entry_make(struct table *table, struct table_shape shape, size_t index) {
    if (!table_part_make(table, shape, index)) return NULL;
    void *entry = table_entry(table, shape, index);
    return os_tables_commit(entry, shape.entry_bytes) == ST_OK ? entry : NULL;
}

/*
 * rows.c - cutting regions into rows of cells.
 *
 * A region has 65,536 granules, most of them free as a rule. Rows in which all are free are folded into one; the others are
 * shown as finely as the number of rows allows.
 */
#include <stdlib.h>

#include "tools/map/map.h"

const char *const use_name[USE_COUNT] = {"free", "allocation", "slab", "large block", "kept at hand", "given back"};

static uint64_t regions_in(const struct published_half *half) {
    return half->count_regions < PUBLISHED_REGIONS ? half->count_regions : PUBLISHED_REGIONS;
}

static bool empty(const struct published_region *region, uint32_t first, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        if (!map_free(&region->granule[first + i])) return false;
    }
    return true;
}

/* Writes the rows, or only counts them if there is nowhere to write them to. */
static void cut(const struct published_half *half, struct rows *rows) {
    uint32_t step = rows->cells * rows->granules;
    rows->count = rows->count_full = 0;
    for (uint32_t r = 0; r < regions_in(half); r++) {
        bool last_empty = false;
        for (uint32_t at = 0; at < GRANULES_PER_SLOT; at += step) {
            uint32_t here = GRANULES_PER_SLOT - at < step ? (uint32_t)GRANULES_PER_SLOT - at : step;
            bool is_empty = empty(&half->region[r], at, here);
            rows->count_full += !is_empty;
            if (is_empty && last_empty) {
                if (rows->row) rows->row[rows->count - 1].count_empty++;
                continue;
            }
            if (rows->row) rows->row[rows->count] = (struct row){r, at, is_empty};
            rows->count++;
            last_empty = is_empty;
        }
    }
}

bool rows_make(const struct published_half *half, uint32_t cells, uint32_t most, struct rows *rows) {
    *rows = (struct rows){.cells = cells, .granules = 1};
    for (cut(half, rows); rows->count_full > most && rows->granules * cells < GRANULES_PER_SLOT; cut(half, rows)) {
        rows->granules *= 2;
    }
    rows->row = calloc(rows->count + (size_t)1, sizeof *rows->row);
    if (rows->row == NULL) return false;
    cut(half, rows);
    return true;
}

struct cell rows_cell(const struct published_half *half, const struct rows *rows, const struct row *row, uint32_t index) {
    const struct published_region *region = &half->region[row->region];
    uint32_t uses[USE_COUNT] = {0}, pages = 0, from = row->granule + index * rows->granules;
    double fill = 0;
    struct cell cell = {.use = USE_FREE};
    for (uint32_t g = from; g < from + rows->granules && g < GRANULES_PER_SLOT; g++) {
        const struct published_granule *granule = &region->granule[g];
        if (map_free(granule)) continue;
        if (++uses[granule->use] > uses[cell.use] || cell.use == USE_FREE) cell.use = granule->use;
        cell.granules++;
        cell.first |= granule->first;
        pages += map_committed(granule);
        fill += granule->use == USE_SLAB ? granule->fill / 255.0 : 1;
    }
    if (cell.granules == 0) return cell;
    cell.committed = (double)pages / (cell.granules * (double)PAGES_PER_GRANULE);
    cell.fill = fill / cell.granules;
    return cell;
}

uint64_t rows_address(const struct published_half *half, const struct row *row) {
    return half->region[row->region].start + (uint64_t)row->granule * GRANULE_BYTES;
}

uint64_t rows_empty_bytes(const struct rows *rows, const struct row *row) {
    uint64_t granules = (uint64_t)row->count_empty * rows->cells * rows->granules, left = GRANULES_PER_SLOT - row->granule;
    return (granules < left ? granules : left) * GRANULE_BYTES;
}

uint64_t rows_bytes(const struct rows *rows) { return (uint64_t)rows->cells * rows->granules * GRANULE_BYTES; }

/*
 * leaks.c - marks, and the reports made of them.
 *
 * The table: 4 bytes for each 16 bytes of address space, in chunks for 4 MiB each, found by two loads; a chunk is made when
 * the first block in its 4 MiB is marked, and stays. One word belongs to one block at a time, so marking is one store.
 *
 * Invariants
 *   1. A word is written by the owner of the block that it belongs to: after it was given out, before it is given back.
 *   2. A heap's marks are taken off before the heap is destroyed, so no later block finds one that is not its own.
 *
 * A report walks the slabs of the heaps and looks up the mark of every block that is not free; those that a thread keeps at
 * hand have none. Each site's sum is kept in a row of its own, found by the site's number.
 */
#include "policy/leaks.h"

#include <string.h>

#include "base/cold.h"
#include "base/json.h"
#include "core/table.h"
#include "heap/figures.h"
#include "os/os.h"
#include "os/os_look.h"
#include "policy/sites.h"

uint64_t leaks_slot[SLOT_COUNT];
_Alignas(64) uint64_t leaks_samples[TALLY_SHARDS][8];

/* ---- Marks -------------------------------------------------------------------------------------------------------- */

/* The block's word; NULL if there is none and none can be had. */
static uint32_t *word_make(const void *block) {
    uintptr_t address = (uintptr_t)block;
    if (address >> ADDRESS_BITS) return NULL;
    const size_t chunks = LEAKS_CHUNKS * sizeof(uint64_t), words = LEAKS_CHUNK_WORDS * sizeof(uint32_t);
    uint64_t *chunk = table_once(&leaks_slot[address >> SLOT_SHIFT], chunks, chunks);
    if (!chunk) return NULL;
    return table_once(&chunk[(address >> LEAKS_CHUNK_SHIFT) % LEAKS_CHUNKS], words, words) ? leaks_word(block) : NULL;
}

void leaks_mark(void *block, uint32_t site) {
    uint32_t *word = site != 0 ? word_make(block) : NULL;
    if (word != NULL) atom_store_rlx_u32(word, site); /* rlx: as in leaks_mark_place */
}

void leaks_mark_stack(void *block, uint32_t every, const void *from) {
    void *frames[SITE_FRAMES];
    leaks_mark(block, site_of_stack(frames, os_backtrace(from, frames, SITE_FRAMES), every));
}

static void forget(void *block, size_t size_bytes, void *context) {
    (void)size_bytes, (void)context;
    leaks_unmark(block);
}

void leaks_forget(const struct heap *heap) { heap_each_block(heap, forget, NULL); }

/* ---- Reports ------------------------------------------------------------------------------------------------------ */

struct sum {
    uint64_t blocks;
    uint64_t bytes;
    uint32_t site;
};

struct sums {
    uint32_t count; /* of sites when the walk began: later ones are not in it */
    struct sum *row;
};

static void add_block(void *block, size_t size_bytes, void *context) {
    struct sums *sums = context;
    const uint32_t *word = leaks_word(block);
    uint32_t site = word ? atom_load_rlx_u32(word) : 0; /* rlx: invariant 1 */
    if (site == 0 || site > sums->count) return;
    struct sum *row = &sums->row[site];
    row->site = site;
    row->blocks++;
    row->bytes += size_bytes;
}

static void add_heap(struct heap *heap, void *context) { heap_each_block(heap, add_block, context); }

/* The most bytes first; of equals, the site that came first. */
static bool before(const struct sum *a, const struct sum *b) {
    return a->bytes != b->bytes ? a->bytes > b->bytes : a->site < b->site;
}

/* Shell's, which needs no memory. */
static void sort(struct sum *row, size_t count) {
    size_t gap = 1;
    while (gap < count / 3) gap = gap * 3 + 1;
    for (; gap > 0; gap /= 3) {
        for (size_t i = gap; i < count; i++) {
            struct sum moving = row[i];
            size_t to = i;
            for (; to >= gap && before(&moving, &row[to - gap]); to -= gap) row[to] = row[to - gap];
            row[to] = moving;
        }
    }
}

/* Rows with blocks in front, in order; *used is their number. To be freed by the caller. */
static struct sum *sums_make(const struct heap *heap, size_t *used) {
    struct sums sums = {.count = site_count()};
    sums.row = cold_alloc((sums.count + (size_t)1) * sizeof *sums.row);
    if (sums.row == NULL) return NULL;
    if (heap != NULL) heap_each_block(heap, add_block, &sums);
    else heap_each(add_heap, &sums);
    *used = 0;
    for (size_t i = 1; i <= sums.count; i++) {
        if (sums.row[i].blocks != 0 && site_numbered((uint32_t)i) != NULL) sums.row[(*used)++] = sums.row[i];
    }
    sort(sums.row, *used);
    return sums.row;
}

enum status leaks_report(const struct heap *heap, HM_LEAK_VISIT visit, void *context) {
    size_t used;
    struct sum *row = sums_make(heap, &used);
    if (row == NULL) return ST_NO_MEMORY;
    for (size_t i = 0; i < used; i++) {
        const struct site *site = site_numbered(row[i].site);
        HM_LEAK leak = {
            .cbSize = sizeof leak,
            .pszFile = site->file,
            .dwLine = site->line,
            .cFrames = site->count_frames,
            .ppFrames = site->count_frames != 0 ? site->frame : NULL,
            .cBlocks = row[i].blocks,
            .cbBlocks = row[i].bytes,
            .cEvery = site->every,
        };
        visit(context, &leak);
    }
    cold_free(row);
    return ST_OK;
}

struct writing {
    struct json json;
    uint64_t blocks;
    uint64_t bytes;
};

static void WINAPI write_leak(void *context, const HM_LEAK *leak) {
    struct writing *writing = context;
    struct json *json = &writing->json;
    char text[256];
    json_object(json, NULL);
    json_text(json, "file", leak->pszFile ? leak->pszFile : "");
    json_count(json, "line", leak->dwLine);
    json_count(json, "blocks", leak->cBlocks);
    json_count(json, "bytes", leak->cbBlocks);
    json_count(json, "every", leak->cEvery);
    json_array(json, "stack");
    for (DWORD i = 0; i < leak->cFrames; i++) {
        os_describe_code(leak->ppFrames[i], text, sizeof text);
        json_text(json, NULL, text);
    }
    json_close(json);
    json_close(json);
    writing->blocks += leak->cBlocks * leak->cEvery;
    writing->bytes += leak->cbBlocks * leak->cEvery;
}

enum status leaks_write(const struct heap *heap, HM_WRITE write, void *context, uint64_t *blocks) {
    struct writing writing = {.blocks = 0};
    json_begin(&writing.json, write, context);
    json_array(&writing.json, "leaks");
    enum status status = leaks_report(heap, write_leak, &writing);
    if (status != ST_OK) return status; /* nothing has been handed over yet */
    json_close(&writing.json);
    json_count(&writing.json, "blocks", writing.blocks);
    json_count(&writing.json, "bytes", writing.bytes);
    json_end(&writing.json);
    *blocks = writing.blocks;
    return ST_OK;
}

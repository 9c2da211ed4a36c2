/*
 * leaks.h - which block was asked for where. Layer: policy.
 *
 * A block that is tracked has a mark: the number of its site (policy/sites.h), in a table of 4 bytes for each 16 of address
 * space. Marks exist only where a tracked block has been. Any thread may mark and unmark its blocks; nothing waits.
 */
#ifndef HM_LEAKS_H
#define HM_LEAKS_H

#include "base/tally.h"
#include "heap/heap.h"
#include "hostmem.h"
#include "policy/sites.h"

#define LEAKS_CHUNK_SHIFT 22 /* marks are made for so much address space at once */
#define LEAKS_CHUNKS ((size_t)1 << (SLOT_SHIFT - LEAKS_CHUNK_SHIFT))
#define LEAKS_CHUNK_WORDS ((size_t)1 << (LEAKS_CHUNK_SHIFT - 4))

extern HM_HIDDEN uint64_t leaks_samples[TALLY_SHARDS][8]; /* calls since the last that was looked at */
extern HM_HIDDEN uint64_t leaks_slot[SLOT_COUNT]; /* uint64_t[LEAKS_CHUNKS], each 0 or uint32_t[LEAKS_CHUNK_WORDS] */

/* The block's word, NULL where no block has ever been marked. */
static inline uint32_t *leaks_word(const void *block) {
    uintptr_t address = (uintptr_t)block;
    if (address >> ADDRESS_BITS) return NULL;
    /* acq, twice: pairs with the CAS in table_once. */
    const uint64_t *chunks = (const uint64_t *)(uintptr_t)atom_load_acq_u64(&leaks_slot[address >> SLOT_SHIFT]);
    if (chunks == NULL) return NULL;
    uint32_t *words = (uint32_t *)(uintptr_t)atom_load_acq_u64(&chunks[(address >> LEAKS_CHUNK_SHIFT) % LEAKS_CHUNKS]);
    return words != NULL ? words + (address >> 4) % LEAKS_CHUNK_WORDS : NULL;
}

/* Marks a block by the number of a site. */
void leaks_mark(void *block, uint32_t site);

/* Marks a block that the caller has just been given. Without memory for the table the block stays unmarked. */
static inline void leaks_mark_place(void *block, const char *file, int line) {
    uint32_t site = site_of_place(file, (uint32_t)line), *word = leaks_word(block);
    if (__builtin_expect(word == NULL || site == 0, 0)) leaks_mark(block, site);
    else atom_store_rlx_u32(word, site); /* rlx: the block is the caller's; a report may miss what is being given out */
}

/*
 * The same by the stack above the return address `from`, if it is this call's turn: one in `every`, counted in each of a few
 * groups of threads.
 */
void leaks_mark_stack(void *block, uint32_t every, const void *from);

static inline void leaks_mark_sample(void *block, uint32_t every, const void *from) {
    /* rlx: threads that share a count may lose one; it is a sample. */
    uint64_t *count = &leaks_samples[tally_shard_mine()][0], n = atom_load_rlx_u64(count) + 1;
    atom_store_rlx_u64(count, n < every ? n : 0);
    if (__builtin_expect(n >= every, 0)) leaks_mark_stack(block, every, from);
}

/* Takes the mark off, before the block is freed; leaks_mark puts it back if that is refused. 0: there was none. */
static inline uint32_t leaks_unmark(void *block) {
    uint32_t *word = leaks_word(block), site = word ? atom_load_rlx_u32(word) : 0; /* rlx: the block is the caller's */
    if (site != 0) atom_store_rlx_u32(word, 0);
    return site;
}

/* Tells by site what of this heap's blocks is marked, or with NULL of all heaps'. ST_NO_MEMORY. */
enum status leaks_report(const struct heap *heap, HM_LEAK_VISIT visit, void *context);

/* The same as JSON; *blocks is what it says as the number of blocks. */
enum status leaks_write(const struct heap *heap, HM_WRITE write, void *context, uint64_t *blocks);

/* Takes the marks off everything in a heap that is about to be destroyed. */
void leaks_forget(const struct heap *heap);

#endif

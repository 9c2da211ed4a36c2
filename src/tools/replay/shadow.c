/*
 * shadow.c - the replay's model of the recorded memory.
 *
 * Allocations are a sorted array of pointers (there are hundreds at most, and look-ups by far outnumber changes); blocks a
 * hash table with chains; heaps and stand-ins short lists. Only the thread whose turn it is calls anything here.
 */
#include "tools/replay/shadow.h"

#include <stdlib.h>
#include <string.h>

#include "tools/replay/memory.h"

/* Room for one more element; items is the address of the array's pointer. */
static bool array_grow(void *items, size_t count, size_t *capacity, size_t element_bytes) {
    if (count < *capacity) return true;
    void *old;
    memcpy(&old, items, sizeof old);
    size_t more = *capacity == 0 ? 64 : *capacity * 2;
    void *grown = realloc(old, more * element_bytes);
    if (grown == NULL) return false;
    memcpy(items, &grown, sizeof grown);
    *capacity = more;
    return true;
}

/* The place of the first allocation that ends after the address. */
static size_t allocation_place(const struct shadow *shadow, uint64_t recorded) {
    size_t low = 0, high = shadow->count_allocations;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (allocation_end(shadow->allocation[middle]) <= recorded) low = middle + 1;
        else high = middle;
    }
    return low;
}

struct allocation *shadow_overlap(const struct shadow *shadow, uint64_t start, uint64_t end) {
    size_t at = allocation_place(shadow, start);
    if (at == shadow->count_allocations || shadow->allocation[at]->recorded >= end) return NULL;
    return shadow->allocation[at];
}

struct allocation *shadow_find(const struct shadow *shadow, uint64_t recorded) {
    return shadow_overlap(shadow, recorded, recorded + 1);
}

struct allocation *shadow_add(struct shadow *shadow, uint64_t recorded, uint64_t size, void *live) {
    if (!array_grow(&shadow->allocation, shadow->count_allocations, &shadow->capacity_allocations, sizeof(void *))) return NULL;
    struct allocation *one = malloc(sizeof *one);
    struct page *page = calloc(size / SHADOW_PAGE, sizeof *page);
    if (one == NULL || page == NULL) {
        free(one);
        free(page);
        return NULL;
    }
    *one = (struct allocation){recorded, size, live, page};
    size_t at = allocation_place(shadow, recorded);
    struct allocation **place = &shadow->allocation[at];
    memmove(place + 1, place, (shadow->count_allocations - at) * sizeof *place);
    *place = one;
    shadow->count_allocations++;
    return one;
}

void shadow_remove(struct shadow *shadow, struct allocation *one) {
    size_t at = allocation_place(shadow, one->recorded);
    struct allocation **place = &shadow->allocation[at];
    memmove(place, place + 1, (--shadow->count_allocations - at) * sizeof *place);
    free(one->page);
    free(one);
}

unsigned char *shadow_stand_in(struct shadow *shadow, uint64_t recorded, uint64_t size, bool *made) {
    uint64_t start = page_down(recorded), end = page_up(recorded + size);
    *made = false;
    for (size_t i = shadow->count_stand_ins; i-- > 0;) {
        const struct stand_in *one = &shadow->stand_in[i];
        if (one->recorded <= start && end <= one->recorded + one->size) return one->live + (recorded - one->recorded);
    }
    if (!array_grow(&shadow->stand_in, shadow->count_stand_ins, &shadow->capacity_stand_ins, sizeof(struct stand_in)))
        return NULL;
    unsigned char *live = system_map((size_t)(end - start));
    if (live == NULL) return NULL;
    *made = true;
    shadow->stand_in[shadow->count_stand_ins++] = (struct stand_in){start, end - start, live};
    return live + (recorded - start);
}

bool shadow_stand_in_drop(struct shadow *shadow, uint64_t recorded) {
    for (size_t i = shadow->count_stand_ins; i-- > 0;) {
        struct stand_in *one = &shadow->stand_in[i];
        if (one->recorded != recorded) continue;
        system_unmap(one->live, (size_t)one->size);
        memmove(one, one + 1, (--shadow->count_stand_ins - i) * sizeof *one);
        return true;
    }
    return false;
}

struct heap *shadow_heap_find(const struct shadow *shadow, uint64_t recorded) {
    for (size_t i = 0; i < shadow->count_heaps; i++)
        if (shadow->heap[i]->recorded == recorded) return shadow->heap[i];
    return NULL;
}

struct heap *shadow_heap_add(struct shadow *shadow, uint64_t recorded, void *live) {
    if (!array_grow(&shadow->heap, shadow->count_heaps, &shadow->capacity_heaps, sizeof(void *))) return NULL;
    struct heap *heap = malloc(sizeof *heap);
    if (heap == NULL) return NULL;
    *heap = (struct heap){recorded, live};
    return shadow->heap[shadow->count_heaps++] = heap;
}

static struct block **block_chain(const struct shadow *shadow, uint64_t recorded) {
    uint64_t mixed = (recorded >> 4) * 0x9e3779b97f4a7c15u;
    return (struct block **)&shadow->chain[mixed >> 50];
}

struct block *shadow_block_find(const struct shadow *shadow, uint64_t recorded) {
    struct block *block = *block_chain(shadow, recorded);
    while (block != NULL && block->recorded != recorded) block = block->next;
    return block;
}

struct block *shadow_block_add(struct shadow *shadow, uint64_t recorded, void *live, size_t size, struct heap *heap) {
    struct block *block = shadow->spare;
    if (block != NULL) shadow->spare = block->next;
    else if ((block = malloc(sizeof *block)) == NULL) return NULL;
    struct block **chain = block_chain(shadow, recorded);
    *block = (struct block){recorded, live, size, heap, *chain};
    return *chain = block;
}

void shadow_block_remove(struct shadow *shadow, struct block *block) {
    struct block **link = block_chain(shadow, block->recorded);
    while (*link != block) link = &(*link)->next;
    *link = block->next;
    block->next = shadow->spare;
    shadow->spare = block;
}

void shadow_heap_remove(struct shadow *shadow, struct heap *heap) {
    for (size_t i = 0; i < SHADOW_CHAINS; i++) {
        for (struct block *block = shadow->chain[i], *next; block != NULL; block = next) {
            next = block->next;
            if (block->heap == heap) shadow_block_remove(shadow, block);
        }
    }
    for (size_t i = 0; i < shadow->count_heaps; i++)
        if (shadow->heap[i] == heap) shadow->heap[i] = shadow->heap[--shadow->count_heaps];
    free(heap);
}

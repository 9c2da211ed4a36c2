/*
 * play_heap.c - the heap calls of a trace, one function for each.
 *
 * The trace names a block's heap when it is allocated and not when it is freed; the model remembers it. A handle that no
 * recorded HeapCreate returned was there before the recording (the process's own heap, those of its libraries) and becomes a
 * heap of its own at its first use. A block that no recorded call returned was allocated before the recording too, and its
 * free is left out; the free of NULL is a call like others and must succeed.
 */
#include <string.h>

#include "tools/replay/replay.h"

enum { BLOCK_ALIGNMENT = 16 };

static void done_compare(struct replay *replay, const struct call *call, BOOL done) {
    if (done && call->ret == 0) replay_differ(replay, call, "expected failure, got success");
    if (!done && call->ret != 0)
        replay_differ(replay, call, "expected success, got error %u", (unsigned)replay->memory.last_error());
}

void play_heap_create(struct replay *replay, const struct call *call) {
    if (call->ret == 0) {
        replay->count_note[NOTE_SHORTAGE]++;
        return;
    }
    uint64_t ticks;
    HANDLE got;
    TIMED(ticks, got = replay->memory.heap_create(call->type, (size_t)call->addr, (size_t)call->size));
    replay_count(replay, KIND_HEAP_CREATE, ticks, false);
    if (got == NULL) {
        replay_differ(replay, call, "expected a heap, got error %u", (unsigned)replay->memory.last_error());
        return;
    }
    struct heap *stale = shadow_heap_find(&replay->shadow, call->ret);
    if (stale != NULL) {
        replay->memory.heap_destroy(stale->live);
        shadow_heap_remove(&replay->shadow, stale);
        replay->count_note[NOTE_LOST_FREE]++;
    }
    if (shadow_heap_add(&replay->shadow, call->ret, got) == NULL) replay_exhausted(call);
}

/* The heap with this recorded handle, made now if it was there before the recording. */
static struct heap *heap_of(struct replay *replay, const struct call *call, uint64_t recorded) {
    struct heap *heap = shadow_heap_find(&replay->shadow, recorded);
    if (heap != NULL) return heap;
    HANDLE live = replay->memory.heap_create(0, 0, 0);
    if (live == NULL) {
        replay_differ(replay, call, "expected a heap to use, got error %u", (unsigned)replay->memory.last_error());
        return NULL;
    }
    replay->count_note[NOTE_HEAP_BEFORE]++;
    heap = shadow_heap_add(&replay->shadow, recorded, live);
    if (heap == NULL) replay_exhausted(call);
    return heap;
}

void play_heap_destroy(struct replay *replay, const struct call *call) {
    struct heap *heap = shadow_heap_find(&replay->shadow, call->addr);
    if (heap == NULL) {
        replay->count_note[NOTE_UNKNOWN]++;
        return;
    }
    for (size_t i = 0; replay->check && i < SHADOW_CHAINS; i++)
        for (const struct block *block = replay->shadow.chain[i]; block != NULL; block = block->next)
            if (block->heap == heap) check_block_verify(replay, call, block);
    uint64_t ticks;
    BOOL done;
    TIMED(ticks, done = replay->memory.heap_destroy(heap->live));
    replay_count(replay, KIND_HEAP_DESTROY, ticks, false);
    done_compare(replay, call, done);
    if (done) shadow_heap_remove(&replay->shadow, heap);
}

/* Frees without measuring what the recording freed by a call that is not in the trace. */
static void block_lost(struct replay *replay, const struct call *call) {
    struct block *stale = shadow_block_find(&replay->shadow, call->ret);
    if (stale == NULL) return;
    replay->memory.heap_free(stale->heap->live, 0, stale->live);
    shadow_block_remove(&replay->shadow, stale);
    replay->count_note[NOTE_LOST_FREE]++;
}

/* A block as the call's answer: aligned, large enough, zero where asked for; then it gets its stamp. */
static void block_accept(struct replay *replay, const struct call *call, struct heap *heap, unsigned char *got) {
    size_t size = (size_t)call->size;
    if ((uintptr_t)got % BLOCK_ALIGNMENT != 0) replay_differ(replay, call, "%p is not a multiple of 16", (void *)got);
    size_t told = replay->memory.heap_size(heap->live, 0, got);
    if (told < size || told == (size_t)-1) {
        replay_differ(replay, call, "a block of %llu bytes, got one of %llu", (unsigned long long)size,
                      (unsigned long long)told);
        return;
    }
    bool zeroed = call->op == OP_HEAP_ALLOC && (call->type & HEAP_ZERO_MEMORY) != 0;
    if (replay->check && zeroed && size > 0 && (got[0] != 0 || memcmp(got, got + 1, size - 1) != 0))
        replay_differ(replay, call, "the block should be zero and is not");
    struct block *block = shadow_block_add(&replay->shadow, call->ret, got, size, heap);
    if (block == NULL) replay_exhausted(call);
    check_block_stamp(replay, block);
}

void play_heap_alloc(struct replay *replay, const struct call *call) {
    if (call->ret == 0) {
        replay->count_note[NOTE_SHORTAGE]++;
        return;
    }
    struct heap *heap = heap_of(replay, call, call->addr);
    if (heap == NULL) return;
    block_lost(replay, call);
    uint64_t ticks;
    unsigned char *got;
    TIMED(ticks, got = replay->memory.heap_alloc(heap->live, call->type, (size_t)call->size));
    replay_count(replay, KIND_HEAP_ALLOC, ticks, false);
    if (got == NULL) replay_differ(replay, call, "expected a block, got error %u", (unsigned)replay->memory.last_error());
    else block_accept(replay, call, heap, got);
}

void play_heap_free(struct replay *replay, const struct call *call) {
    struct block *block = call->addr != 0 ? shadow_block_find(&replay->shadow, call->addr) : NULL;
    if (call->addr != 0 && block == NULL) {
        replay->count_note[NOTE_BLOCK_BEFORE]++;
        return;
    }
    if (block != NULL) check_block_verify(replay, call, block);
    HANDLE heap = block != NULL ? block->heap->live : replay->memory.default_heap;
    uint64_t ticks;
    BOOL done;
    TIMED(ticks, done = replay->memory.heap_free(heap, call->type, block != NULL ? block->live : NULL));
    replay_count(replay, KIND_HEAP_FREE, ticks, false);
    done_compare(replay, call, done);
    if (block != NULL && done) shadow_block_remove(&replay->shadow, block);
}

/* Not a call of hostmem's: allocate, copy, free, as its callers have to. */
void play_heap_realloc(struct replay *replay, const struct call *call) {
    struct block *old = shadow_block_find(&replay->shadow, call->addr);
    if (old == NULL || call->ret == 0) {
        replay->count_note[old == NULL ? NOTE_BLOCK_BEFORE : NOTE_SHORTAGE]++;
        return;
    }
    check_block_verify(replay, call, old);
    if (call->ret != call->addr) block_lost(replay, call);
    struct heap *heap = old->heap;
    unsigned char *was = old->live;
    size_t copied = old->size < call->size ? old->size : (size_t)call->size;
    shadow_block_remove(&replay->shadow, old);
    uint64_t start = replay_ticks();
    unsigned char *got = replay->memory.heap_alloc(heap->live, call->type, (size_t)call->size);
    if (got != NULL) {
        memcpy(got, was, copied);
        replay->memory.heap_free(heap->live, 0, was);
    }
    replay_count(replay, KIND_HEAP_REALLOC, replay_ticks() - start, false);
    if (got == NULL) replay_differ(replay, call, "expected a block, got error %u", (unsigned)replay->memory.last_error());
    else block_accept(replay, call, heap, got);
}

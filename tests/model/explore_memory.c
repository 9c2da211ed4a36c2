/*
 * explore_memory.c - the explorer's memory: what an atomic operation does once the scheduler has chosen it.
 *
 * The threads call it through base/atom.h, announce what they are about to do and switch to the scheduler in explore.c. Under
 * x86-TSO a plain store goes to its thread's buffer, from where an actor of the scheduler's moves it to memory.
 *
 * model_pause: the thread goes on once memory that it has read since its last pause (or since the start) has been written
 * by another after that. A write between the look and the pause therefore counts, and a spinning thread makes no
 * infinite tree. A pause that may go on is independent of everything: it only forgets what was read and written.
 *
 * Happens-before by vector clocks, one 16-bit count for each thread in a 64-bit word. Each byte of atomic memory carries the
 * clock that an acquire of it obtains: a release store sets it, a relaxed store clears it, a read-modify-write adds to it.
 */
#include "explore_inside.h"

#include <stdio.h>
#include <stdlib.h>

#define PLACES 512

/* What happens-before needs to know of eight bytes of atomic memory or of one annotated datum. */
struct place {
    uintptr_t key;
    uint64_t execution; /* the place is empty in any other */
    uint64_t sync[8];
    uint64_t read, write; /* clocks of the last reads and of the last write, of an annotated datum */
};

static struct place places[PLACES]; /* what an earlier execution left counts as empty */

/* A write reaches memory; by: the thread whose write it is. */
void memory_write(uint8_t *target, uint64_t value, int width, int by) {
    for (int i = 0; i < width; i++) {
        uint8_t byte = (uint8_t)(value >> 8 * i);
        uintptr_t where = (uintptr_t)&target[i] << 8;
        if (byte != target[i]) ex.memory_hash ^= mix(where | target[i], 1) ^ mix(where | byte, 1);
        target[i] = byte;
    }
    for (int n = 0; n < MODEL_THREADS; n++) {
        struct thread *t = &ex.threads[n];
        bool seen = n != by && t->count_watched == WATCHED_BYTES;
        for (int i = 0; n != by && i < t->count_watched && !seen; i++) {
            seen = t->watched[i] < target + width && target < t->watched[i] + 8; /* 8: no read is wider */
        }
        if (seen) t->stirred = true;
    }
}

/* A later write by another thread ends a pause. */
static void watch(struct thread *t, const uint8_t *target) {
    for (int i = 0; i < t->count_watched; i++) {
        if (t->watched[i] == target) return;
    }
    if (t->count_watched < WATCHED_BYTES) t->watched[t->count_watched++] = target;
}

/* Happens-before */

static uint64_t clock_join(uint64_t a, uint64_t b) {
    uint64_t joined = 0;
    for (int lane = 0; lane < 64; lane += 16) {
        uint64_t mask = (uint64_t)0xffff << lane;
        joined |= (a & mask) > (b & mask) ? a & mask : b & mask;
    }
    return joined;
}

static struct place *place_of(uintptr_t key) {
    for (size_t i = mix(key, 2) % PLACES, n = 0; n < PLACES; n++, i = (i + 1) % PLACES) {
        struct place *p = &places[i];
        if (p->execution == ex.run && p->key != key) continue;
        if (p->execution != ex.run) *p = (struct place){.key = key, .execution = ex.run};
        return p;
    }
    fprintf(stderr, "explore_memory.c: the scenario uses more memory than PLACES\n");
    exit(1);
}

static void sync_acquire(struct thread *t, uint8_t *target, int width) {
    if (ex.model->flags & MODEL_MERGE) return;
    struct place *p = place_of((uintptr_t)target & ~(uintptr_t)7);
    for (int i = 0; i < width; i++) t->clock = clock_join(t->clock, p->sync[((uintptr_t)target + (uintptr_t)i) & 7]);
}

/* clock: what an acquire of these bytes obtains from now on. That of a read-modify-write, which acquires first, holds the old. */
void sync_release(uint64_t clock, uint8_t *target, int width) {
    if (ex.model->flags & MODEL_MERGE) return;
    struct place *p = place_of((uintptr_t)target & ~(uintptr_t)7);
    for (int i = 0; i < width; i++) p->sync[((uintptr_t)target + (uintptr_t)i) & 7] = clock;
}

static void data_access(const void *data, bool write) {
    if (ex.current < 0) return;
    if (ex.model->flags & MODEL_MERGE) {
        fault_found(FAULT_UNFINISHED, "annotated data in a scenario with MODEL_MERGE");
        return;
    }
    struct place *p = place_of((uintptr_t)data << 1 | 1); /* odd: never the key of atomic memory */
    uint64_t clock = ex.threads[ex.current].clock;
    uint64_t before = write ? clock_join(p->read, p->write) : p->write;
    if (clock_join(before, clock) != clock) {
        fault_found(FAULT_RACE, write ? "data race, found at a write" : "data race, found at a read");
    }
    uint64_t own = clock & (uint64_t)0xffff << 16 * ex.current;
    if (write) p->write = clock_join(p->write, own);
    else p->read = clock_join(p->read, own);
}

void model_data_read(const void *data) { data_access(data, false); }

void model_data_write(const void *data) { data_access(data, true); }

/* Operations, on the thread's side */

/* Announces the operation, and returns when it has been chosen. NULL outside of the threads: then it takes effect at once. */
static struct thread *announce(enum op_kind kind, void *target, int width, char order, uint64_t value, uint64_t expected) {
    if (ex.current < 0) return NULL;
    struct thread *t = &ex.threads[ex.current];
    t->next = (struct op){.kind = kind, .order = order, .width = width, .target = target, .value = value, .expected = expected};
    model_switch(&t->stack_pointer, ex.stack_pointer);
    return t;
}

/* The operation is done: `seen` is all that the thread learned from it. */
static void done(struct thread *t, uint64_t seen) {
    t->history = mix(t->history, seen + 3);
    t->clock += (uint64_t)1 << 16 * (t - ex.threads);
    ex.log[ex.depth].seen = seen;
}

uint64_t model_load(const void *target, int width, char order) {
    struct thread *t = announce(OP_LOAD, (void *)(uintptr_t)target, width, order, 0, 0);
    uint64_t value = memory_read(target, width);
    if (!t) return value;
    for (int i = 0; i < t->buffered; i++) {
        struct op *store = &t->buffer[i];
        for (int b = 0; b < store->width; b++) {
            intptr_t at = (intptr_t)(store->target + b) - (intptr_t)target;
            if (at < 0 || at >= width) continue;
            value &= ~((uint64_t)0xff << 8 * at);
            value |= (store->value >> 8 * b & 0xff) << 8 * at;
        }
    }
    watch(t, target);
    if (order == 'a') sync_acquire(t, t->next.target, width);
    done(t, value);
    return value;
}

void model_store(void *target, uint64_t value, int width, char order) {
    struct thread *t = announce(OP_STORE, target, width, order, value, 0);
    int me = t ? (int)(t - ex.threads) : -1;
    uint64_t clock = t && order == 'l' ? t->clock : 0;
    if (t && (ex.model->flags & MODEL_TSO)) {
        if (t->buffered == BUFFER_STORES) fault_found(FAULT_UNFINISHED, "more buffered stores than BUFFER_STORES");
        else {
            t->buffer[t->buffered] = t->next;
            t->buffer[t->buffered++].clock = clock;
        }
    } else {
        memory_write(target, value, width, me);
        if (t) sync_release(clock, target, width);
    }
    if (t) done(t, value);
}

/* The read-modify-writes: stores `value` if `stores`, and acquires in any case. */
static void modify(struct thread *t, uint8_t *target, uint64_t value, int width, bool stores, uint64_t seen) {
    if (stores) memory_write(target, value, width, t ? (int)(t - ex.threads) : -1);
    if (!t) return;
    watch(t, target);
    sync_acquire(t, target, width);
    if (stores) sync_release(t->clock, target, width);
    done(t, seen);
}

bool model_cas(void *target, uint64_t *expected, uint64_t desired, int width) {
    struct thread *t = announce(OP_CAS, target, width, 'b', desired, *expected);
    uint64_t seen = memory_read(target, width);
    bool stored = seen == *expected;
    modify(t, target, desired, width, stored, seen);
    *expected = seen;
    return stored;
}

uint64_t model_add(void *target, uint64_t delta, int width) {
    struct thread *t = announce(OP_ADD, target, width, 'b', delta, 0);
    uint64_t seen = memory_read(target, width);
    modify(t, target, seen + delta, width, true, seen);
    return seen;
}

void model_pause(void) {
    struct thread *t = announce(OP_PAUSE, NULL, 0, 'r', 0, 0);
    if (!t) return;
    t->stirred = false;
    t->count_watched = 0;
    done(t, 0);
}

void model_barrier(void) {
    int me = ex.current;
    if (me < 0) return;
    for (int i = 0; i < ex.model->threads; i++) {
        int other = (me + i) % ex.model->threads;
        struct thread *t = announce(OP_BARRIER, NULL, 0, 'b', (uint64_t)other, 0), *o = &ex.threads[other];
        t->clock = o->clock = clock_join(t->clock, o->clock);
        done(t, 0);
    }
}

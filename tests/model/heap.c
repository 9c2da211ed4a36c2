/*
 * The heap layer under every interleaving: a block has one owner; a block freed twice is freed once; no slab with room stays
 * marked full; of the empty slabs of a class one is kept; a thread that is late to a slab, which by then is another heap's, does
 * no harm; nobody waits.
 */
#include "heap_scene.h"

static void fill(int count) {
    for (int i = 0; i < count; i++) MODEL_HOLDS(heap_alloc(scene.heap[0], 16, false, &scene.old[i]) == ST_OK);
}

static void take(int me, int slot, size_t heap) {
    MODEL_HOLDS(heap_alloc(scene.heap[heap], 16, false, &scene.mine[me][slot]) == ST_OK);
    use(scene.mine[me][slot]);
}

/* What must be true of a heap that nobody is in: returns how many empty slabs it has. */
static size_t settle(size_t heap) {
    struct set *set = &scene.heap[heap]->set[0];
    size_t empty = 0, slabs = 0;
    for (size_t place = 0; place < set_places(set); place++) {
        struct granule head = set_slab(set, place);
        if (head.n == 0) continue;
        struct slab *slab = slab_at(head);
        slabs++;
        MODEL_HOLDS(life_owner(slab->life) == owner_of(scene.heap[heap], 0) && slab->place == place);
        MODEL_HOLDS(life_count(slab->life) == bitmap_count(slab_taken(slab, OBJECTS), OBJECTS)); /* no pin is left */
        if (life_count(slab->life) < OBJECTS) MODEL_HOLDS(set_next(set, place) == place); /* what has room is found */
        empty += life_count(slab->life) == 0;
    }
    MODEL_HOLDS(heap_taken(scene.heap[heap]) == slabs * GRANULE_BYTES);
    MODEL_HOLDS(scene.heap[heap]->empty_bytes == empty * GRANULE_BYTES);
    return empty;
}

/* A slab that is full, freed into by one and looked at by another. */
static void begin_full(void) {
    begin(1);
    fill(2);
}
static void full_thread(int me) {
    if (me == 0) drop(0, scene.old[0]);
    else take(me, 0, 0);
}
static void check_full(void) {
    MODEL_HOLDS(settle(0) == 0);
    model_mark(scene.mine[1][0] == scene.old[0] ? MARK_ONE : MARK_TWO);
    finish(1);
}
static void full_thread_two(int me) {
    drop(0, scene.old[me]);
    if (me == 0) take(me, 0, 0);
}
static void check_full_two(void) {
    MODEL_HOLDS(settle(0) <= 1);
    finish(1);
}

/* Two slabs of one object each, emptied at the same time. */
static void begin_last(void) {
    begin(1);
    fill(4);
    drop(0, scene.old[1]);
    drop(0, scene.old[3]);
}
static void last_thread(int me) { drop(0, scene.old[me * 2]); }
static void check_last(void) {
    MODEL_HOLDS(settle(0) == 1);
    finish(1);
}

/* A slab empties, and is taken from before it is counted; two more that empty until then are counted beside it. */
static void begin_counted(void) {
    begin(1);
    fill(6);
    for (int i = 1; i < 6; i += 2) drop(0, scene.old[i]);
}
static void counted_thread(int me) {
    if (me == 0) {
        drop(0, scene.old[0]);
    } else {
        take(me, 0, 0);
        drop(0, scene.old[2]);
        drop(0, scene.old[4]);
    }
}
static void check_counted(void) {
    MODEL_HOLDS(settle(0) <= 1);
    finish(1);
}

/* A slab empties and goes while another thread is about to allocate from it. */
static void begin_leaving(void) {
    begin(1);
    fill(5);
    drop(0, scene.old[4]); /* the third slab is empty, and kept */
    drop(0, scene.old[1]);
}
static void leaving_thread(int me) {
    if (me == 0) drop(0, scene.old[0]);
    else take(me, 0, 0);
}
static void check_leaving(void) {
    size_t empty = settle(0);
    MODEL_HOLDS(empty <= 1);
    bool first = granule_of((uintptr_t)scene.mine[1][0]).n == granule_of((uintptr_t)scene.old[0]).n;
    model_mark(first ? MARK_ONE : MARK_TWO);
    finish(1);
}

/* The same, and the granule starts a slab of another heap before the late thread has looked. */
static void begin_late(void) {
    begin_leaving();
    void *other;
    MODEL_HOLDS(heap_create(false, 0, &scene.heap[1]) == ST_OK);
    MODEL_HOLDS(heap_alloc(scene.heap[1], 16, false, &other) == ST_OK); /* so that the set has its first segment */
    MODEL_HOLDS(heap_alloc(scene.heap[1], 16, false, &other) == ST_OK);
}
static void late_thread(int me) {
    if (me == 0) {
        drop(0, scene.old[0]);
        take(me, 0, 1);
        take(me, 1, 1);
    } else {
        take(me, 0, 0);
    }
}
static void check_late(void) {
    MODEL_HOLDS(settle(0) <= 1);
    MODEL_HOLDS(settle(1) == 0);
    model_mark(granule_of((uintptr_t)scene.mine[0][0]).n == granule_of((uintptr_t)scene.old[0]).n ? MARK_ONE : MARK_TWO);
    finish(2);
}

/* One block freed by two. */
static void begin_double(void) {
    begin(1);
    fill(2);
}
static void double_thread(int me) { scene.answer[me] = heap_free(scene.heap[0], scene.old[0]); }
static void check_double(void) {
    int freed = (scene.answer[0] == ST_OK) + (scene.answer[1] == ST_OK);
    MODEL_HOLDS(freed == 1);
    MODEL_HOLDS(settle(0) == 0);
    finish(1);
}

/* One thread trims while another frees the last object. */
static void trim_thread(int me) {
    if (me == 0) drop(0, scene.old[0]);
    else heap_trim_one(scene.heap[0]);
}
static void check_trim(void) {
    MODEL_HOLDS(settle(0) <= 1);
    heap_trim_one(scene.heap[0]);
    MODEL_HOLDS(settle(0) == 0);
    finish(1);
}

/* The system does not take an empty slab back while another thread is about to allocate from it. */
static void begin_refused(void) {
    begin(1);
    fill(1);
    drop(0, scene.old[0]);
    scene.refuses = true;
}
static void refused_thread(int me) {
    if (me == 0) heap_trim_one(scene.heap[0]);
    else take(me, 0, 0);
}
static void check_refused(void) {
    scene.refuses = false;
    model_mark(settle(0) == 0 ? MARK_ONE : MARK_TWO);
    finish(1);
}

/* A slab goes, and another comes to its place in the set, while a thread looks there. */
static void again_thread(int me) {
    if (me == 0) {
        drop(0, scene.old[0]);
        heap_trim_one(scene.heap[0]);
    }
    take(me, 0, 0);
}
static void begin_again(void) {
    begin(1);
    fill(1);
}
static void check_again(void) {
    MODEL_HOLDS(settle(0) <= 1);
    finish(1);
}

/* A heap is destroyed while another thread trims all heaps: the one that leaves last clears it. */
static void begin_destroy(void) {
    begin(1);
    fill(1);
}
static void destroy_thread(int me) {
    if (me == 0) MODEL_HOLDS(heap_destroy(scene.heap[0]) == ST_OK);
    else if (user_add(scene.heap[0])) {
        heap_trim_one(scene.heap[0]);
        heap_leave(scene.heap[0]);
        model_mark(MARK_ONE);
    }
}
static void check_destroy(void) { MODEL_HOLDS(scene.taken == 0 && heap_claimed[0] == 0 && heap_live[0] == 0); }

static const struct scene_case cases[] = {
    {{"a full slab freed into, and looked at", 2, 0, begin_full, full_thread, check_full}, 0x6, false},
    {{"a full slab emptied by two, one of whom takes again", 2, 0, begin_full, full_thread_two, check_full_two}, 0, false},
    {{"the last objects of two slabs", 2, 0, begin_last, last_thread, check_last}, 0, false},
    {{"a slab taken from before it is counted", 2, 0, begin_counted, counted_thread, check_counted}, 0, false},
    {{"a slab goes under a thread that is late", 2, 0, begin_leaving, leaving_thread, check_leaving}, 0x6, false},
    {{"and is another heap's by then", 2, 0, begin_late, late_thread, check_late}, 0x6, true},
    {{"one block freed by two", 2, 0, begin_double, double_thread, check_double}, 0, false},
    {{"a slab emptied and trimmed", 2, 0, begin_leaving, trim_thread, check_trim}, 0, false},
    {{"a slab that the system does not take, taken from", 2, 0, begin_refused, refused_thread, check_refused}, 0x6, false},
    {{"a slab trimmed and made again", 2, 0, begin_again, again_thread, check_again}, 0, true},
    {{"a heap destroyed and trimmed", 2, 0, begin_destroy, destroy_thread, check_destroy}, 0x2, false},
};

int main(void) { return cases_pass(cases, sizeof cases / sizeof *cases); }

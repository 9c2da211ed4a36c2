/*
 * Blocks of their own (heap/large.c, empty.c) under every interleaving, where there is a keeper: one that was freed stays, and
 * serves one thread again, cut or with what is behind it, or goes; one that is held grows into it; those that stay are found; no
 * memory is lost or has two owners; nobody waits.
 */
#include "heap_scene.h"

static void use_all(const void *block) {
    size_t size;
    MODEL_HOLDS(heap_size(scene.heap[0], block, &size) == ST_OK);
    for (size_t at = 0; at < size; at += GRANULE_BYTES) use((const char *)block + at);
}
static void *large_of(uint64_t granules) {
    void *block;
    MODEL_HOLDS(large_add(scene.heap[0], granules * PAGES_PER_GRANULE, GRANULE_BYTES, false, &block) == ST_OK);
    use_all(block);
    return block;
}
static void *large(void) { return large_of(1); }
static void large_drop(void *block) {
    use_all(block);
    MODEL_HOLDS(heap_free(scene.heap[0], block) == ST_OK);
}
static void begin_kept(void) {
    begin(1);
    scene.keeper = true;
}
static void begin_large(void) {
    begin_kept();
    scene.old[0] = large();
}
static void begin_large_free(void) {
    begin_large();
    drop(0, scene.old[0]);
}
static void large_thread(int me) {
    if (me == 0) drop(0, scene.old[0]);
    else scene.mine[me][0] = large();
}
static void large_thread_take(int me) {
    scene.mine[me][0] = large();
    if (me == 0) drop(0, scene.mine[me][0]);
}
static void large_thread_trim(int me) {
    if (me == 0) scene.mine[me][0] = large();
    else heap_trim_one(scene.heap[0]);
}
/* Three granules that stay as one block, or as one each; or two. */
static void begin_long(void) {
    begin_kept();
    large_drop(scene.old[0] = large_of(3));
}
static void begin_row_of(int count) {
    begin_kept();
    for (int i = 0; i < count; i++) scene.old[i] = large();
    for (int i = 0; i < count; i++) large_drop(scene.old[i]);
}
static void begin_row(void) { begin_row_of(3); }
static void begin_pair(void) { begin_row_of(2); }
static void thread_short(int me) { scene.mine[me][0] = large(); }
static void thread_long(int me) { scene.mine[me][0] = large_of(me == 0 ? 2 : 1); }
static void thread_long_trim(int me) {
    if (me == 0) scene.mine[me][0] = large_of(2);
    else heap_trim_one(scene.heap[0]);
}
static void thread_long_goes(int me) {
    if (me == 0) scene.mine[me][0] = large_of(2);
    else empty_retire(scene.heap[0], CLASS_LARGE, granule_of((uintptr_t)scene.old[1]));
}
/* One that is held, with one that stays behind it; with room behind that, or none. */
static void begin_held(void) {
    begin_kept();
    for (int i = 0; i < 2; i++) scene.old[i] = large();
    large_drop(scene.old[1]);
}
static void begin_held_close(void) {
    begin_kept();
    for (int i = 0; i < 3; i++) scene.old[i] = large();
    large_drop(scene.old[1]);
}
static void grow(uint64_t granules) {
    if (heap_resize(scene.heap[0], scene.old[0], granules * GRANULE_BYTES) == ST_OK) scene.mine[0][0] = scene.old[0];
    use_all(scene.old[0]);
}
static void thread_grow_take(int me) {
    if (me == 0) grow(2);
    else scene.mine[me][0] = large();
}
static void thread_grow_trim(int me) {
    if (me == 0) grow(2);
    else heap_trim_one(scene.heap[0]);
}
static void thread_grow_in_vain(int me) {
    if (me == 0) grow(3);
    else scene.mine[me][0] = large();
    MODEL_HOLDS(scene.mine[0][0] == NULL);
}
static void check_large(void) {
    struct set *set = &scene.heap[0]->set[CLASS_LARGE];
    for (int round = 0; round < 2; round++, heap_trim_one(scene.heap[0])) {
        uint64_t granules = 0, empty = 0;
        for (size_t place = 0; place < set_places(set); place++) {
            struct granule head = set_slab(set, place);
            if (head.n == 0) continue;
            MODEL_HOLDS(life_count(slab_at(head)->life) == (slab_taken(slab_at(head), 1)[0] & 1)); /* no pin is left */
            bool free = life_count(slab_at(head)->life) == 0;
            MODEL_HOLDS(!free || set_next(set, place) == place);
            granules += slab_run(slab_at(head), head).count_pages / PAGES_PER_GRANULE, empty += free;
        }
        MODEL_HOLDS(granules == (uint64_t)__builtin_popcountll(scene.taken));
        MODEL_HOLDS(heap_taken(scene.heap[0]) == granules * GRANULE_BYTES && (round == 0 || empty == 0));
    }
    model_mark(scene.mine[0][0] == scene.old[0] || scene.mine[1][0] == scene.old[0] ? MARK_ONE : MARK_TWO);
    finish(1);
}

static const struct scene_case cases[] = {
    {{"a block of its own freed, and as much taken", 2, 0, begin_large, large_thread, check_large}, 0x6, false},
    {{"one that stays, taken by two", 2, 0, begin_large_free, large_thread_take, check_large}, 0x2, false},
    {{"one that stays, taken and trimmed", 2, 0, begin_large_free, large_thread_trim, check_large}, 0x6, true},
    {{"a long one that stays, cut by two", 2, 0, begin_long, thread_short, check_large}, 0x2, true},
    {{"a long one that stays, cut and trimmed", 2, 0, begin_long, thread_long_trim, check_large}, 0x6, true},
    {{"a row that stays, for a long one and a short", 2, 0, begin_row, thread_long, check_large}, 0x6, true},
    {{"one grows into one that stays, which another takes", 2, 0, begin_held, thread_grow_take, check_large}, 0x6, true},
    {{"one grows into one that stays, which goes", 2, 0, begin_held, thread_grow_trim, check_large}, 0x6, true},
    {{"one cannot grow far enough", 2, 0, begin_held_close, thread_grow_in_vain, check_large}, 0x4, true},
    {{"two that stay, for a long one, or one goes", 2, 0, begin_pair, thread_long_goes, check_large}, 0x6, true},
};

int main(void) { return cases_pass(cases, sizeof cases / sizeof *cases); }

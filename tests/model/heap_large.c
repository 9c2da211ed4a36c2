/*
 * Blocks of their own (heap/heap.c, empty.c) under every interleaving, where there is a keeper: one that was freed stays, and
 * serves one thread again or goes; those that stay are found; nobody waits.
 */
#include "heap_scene.h"

static void *large(void) {
    void *block;
    MODEL_HOLDS(large_add(scene.heap[0], PAGES_PER_GRANULE, GRANULE_BYTES, false, &block) == ST_OK);
    use(block);
    return block;
}
static void begin_large(void) {
    begin(1);
    scene.keeper = true;
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
static void check_large(void) {
    struct set *set = &scene.heap[0]->set[CLASS_LARGE];
    for (int round = 0; round < 2; round++, heap_trim_one(scene.heap[0])) {
        uint64_t slabs = 0, empty = 0;
        for (size_t place = 0; place < set_places(set); place++) {
            struct granule head = set_slab(set, place);
            if (head.n == 0) continue;
            MODEL_HOLDS(life_count(slab_at(head)->life) == (slab_taken(slab_at(head), 1)[0] & 1)); /* no pin is left */
            bool free = life_count(slab_at(head)->life) == 0;
            MODEL_HOLDS(!free || set_next(set, place) == place);
            slabs++, empty += free;
        }
        MODEL_HOLDS(heap_taken(scene.heap[0]) == slabs * GRANULE_BYTES && (round == 0 || empty == 0));
    }
    model_mark(scene.mine[0][0] == scene.old[0] || scene.mine[1][0] == scene.old[0] ? MARK_ONE : MARK_TWO);
    finish(1);
}

static const struct scene_case cases[] = {
    {{"a block of its own freed, and as much taken", 2, 0, begin_large, large_thread, check_large}, 0x6, false},
    {{"one that stays, taken by two", 2, 0, begin_large_free, large_thread_take, check_large}, 0x2, false},
    {{"one that stays, taken and trimmed", 2, 0, begin_large_free, large_thread_trim, check_large}, 0x6, true},
};

int main(void) { return cases_pass(cases, sizeof cases / sizeof *cases); }

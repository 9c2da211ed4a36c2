/*
 * bitmap_scene.h - the production bitmap in a small scene for the explorer: four words, a datum for each bit that its owner
 * writes, and a note of what each thread holds. Included by the bitmap's model programs, one source file each.
 */
#ifndef HM_TEST_BITMAP_SCENE_H
#define HM_TEST_BITMAP_SCENE_H

#include "check.h"
#include "explore.h"

#include <string.h>

#include "base/base.h"
#undef HM_ASSERT
#define HM_ASSERT(condition) MODEL_HOLDS(condition)
#include "../../src/core/bitmap.c"

#define SCENE_WORDS 4u
#define SCENE_BITS (SCENE_WORDS * BITMAP_WORD_BITS)
#define SCENE_HELD 3

struct scene_run {
    size_t first, count; /* count 0: nothing */
};

static struct {
    uint64_t words[SCENE_WORDS];
    uint8_t data[SCENE_BITS];
    struct scene_run held[MODEL_THREADS][SCENE_HELD];
    bool answer[MODEL_THREADS];
    uint64_t before[SCENE_WORDS];
} scene;

/* What happened in some interleaving. */
enum { MARK_CLAIMED, MARK_REFUSED, MARK_RELEASED, MARK_HANDED_OVER, MARK_OTHER };

/* All free but for the bits given, which nobody in the scene holds. */
static void scene_begin(uint64_t w0, uint64_t w1, uint64_t w2, uint64_t w3) {
    memset(&scene, 0, sizeof scene);
    uint64_t words[SCENE_WORDS] = {w0, w1, w2, w3};
    memcpy(scene.words, words, sizeof words);
    memcpy(scene.before, words, sizeof words);
}

/* The owner writes to what it owns: a race if the claim did not acquire what the last owner released. */
static void scene_touch(size_t first, size_t count, bool annotate) {
    for (size_t i = first; annotate && i < first + count; i++) {
        model_data_write(&scene.data[i]);
        scene.data[i]++;
    }
}

static inline void scene_hold(int me, int n, size_t first, size_t count, bool annotate) {
    scene_touch(first, count, annotate);
    scene.held[me][n] = (struct scene_run){first, count};
    model_mark(MARK_CLAIMED);
}

static inline bool scene_claim(int me, int n, size_t first, size_t count, bool annotate) {
    if (!bitmap_claim(scene.words, first, count)) {
        model_mark(MARK_REFUSED);
        return false;
    }
    scene_hold(me, n, first, count, annotate);
    return true;
}

static inline void scene_release(int me, int n, bool annotate) {
    struct scene_run *run = &scene.held[me][n];
    size_t count = run->count;
    if (count == 0) return;
    scene_touch(run->first, count, annotate);
    run->count = 0; /* before: the bits may have another holder as soon as they are free */
    bool released = bitmap_release(scene.words, run->first, count);
    MODEL_HOLDS(released);
    model_mark(MARK_RELEASED);
}

/* In setup: thread `me` holds the run already. */
static inline void scene_give(int me, size_t first, size_t count) {
    bitmap_claim(scene.words, first, count);
    scene.held[me][0] = (struct scene_run){first, count};
}

/* At the end: the bits taken are those of setup and those held, and no two holders share one. */
static inline void scene_check(void) {
    uint64_t words[SCENE_WORDS];
    memcpy(words, scene.before, sizeof words);
    for (int t = 0; t < MODEL_THREADS; t++) {
        for (int n = 0; n < SCENE_HELD; n++) {
            struct scene_run run = scene.held[t][n];
            for (size_t i = run.first; i < run.first + run.count; i++) {
                MODEL_HOLDS((words[i / 64] >> i % 64 & 1) == 0);
                words[i / 64] |= (uint64_t)1 << i % 64;
            }
        }
    }
    MODEL_HOLDS(memcmp(words, scene.words, sizeof words) == 0);
}

#endif

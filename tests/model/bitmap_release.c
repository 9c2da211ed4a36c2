/*
 * Releases that race: of two of one run exactly one returns true and the other changes nothing, in one word and in several;
 * neighbours in the same words are never touched; a release of a run with a free bit is refused whole.
 */
#include "bitmap_scene.h"

static size_t run_first, run_count;

static void begin_run(size_t first, size_t count) {
    scene_begin(0, 0, 0, 0);
    run_first = first;
    run_count = count;
    bitmap_claim(scene.words, first, count);
}

static void begin_one_word(void) { begin_run(3, 5); }
static void begin_two_words(void) { begin_run(60, 10); }
static void begin_three_words(void) { begin_run(60, 80); }

/* Both release the same; the third uses the bits on either side. */
static void release_same(int me) {
    if (me < 2) {
        scene.answer[me] = bitmap_release(scene.words, run_first, run_count);
        return;
    }
    if (scene_claim(2, 0, run_first - 1, 1, false)) scene_claim(2, 1, run_first + run_count, 1, false);
}

static void check_one_winner(void) {
    MODEL_HOLDS(scene.answer[0] + scene.answer[1] == 1);
    MODEL_HOLDS(scene.held[2][1].count == 1);
    scene_check();
    model_mark(scene.answer[0] ? MARK_CLAIMED : MARK_REFUSED);
}

/* Runs with the same first bit, one longer: the loser changed nothing, so the longer one's rest stays taken if it lost. */
static void begin_unequal(void) { begin_run(60, 140); }

static void release_unequal(int me) { scene.answer[me] = bitmap_release(scene.words, 60, me ? 140 : 70); }

static void check_unequal(void) {
    MODEL_HOLDS(scene.answer[0] + scene.answer[1] == 1);
    MODEL_HOLDS(bitmap_count(scene.words, SCENE_BITS) == (scene.answer[0] ? 70 : 0));
    model_mark(scene.answer[0] ? MARK_CLAIMED : MARK_REFUSED);
}

/* Overlapping otherwise: what the header promises for a mistake nobody can take back. */
static void begin_overlap(void) { begin_run(10, 150); }

static void release_overlap(int me) { scene.answer[me] = bitmap_release(scene.words, me ? 70 : 10, me ? 90 : 100); }

static void check_overlap(void) {
    MODEL_HOLDS(scene.answer[0] + scene.answer[1] <= 1);
    uint64_t taken = bitmap_count(scene.words, SCENE_BITS);
    if (scene.answer[0]) MODEL_HOLDS(taken == 50 || taken == 0); /* the other was refused at once, or came upon it midway */
    else MODEL_HOLDS(taken == 60 || taken == 0);
    model_mark(scene.answer[0] ? MARK_CLAIMED : MARK_REFUSED);
}

/* A free bit in the last word: refused whole, whatever the neighbours do. */
static void begin_hole(void) {
    begin_run(60, 10);
    bitmap_release(scene.words, 69, 1);
    scene.before[0] = scene.words[0];
    scene.before[1] = scene.words[1];
}

static void release_hole(int me) {
    if (me == 0) scene.answer[0] = bitmap_release(scene.words, 60, 10);
    else if (scene_claim(me, 0, me == 1 ? 58 : 70, 2, true)) scene_release(me, 0, true);
}

static void check_hole(void) {
    MODEL_HOLDS(!scene.answer[0]);
    scene_check();
    model_mark(MARK_REFUSED);
}

static const struct model models[] = {
    {"one run released twice, one word", 3, MODEL_NOBODY_WAITS, begin_one_word, release_same, check_one_winner},
    {"one run released twice, two words", 3, MODEL_NOBODY_WAITS, begin_two_words, release_same, check_one_winner},
    {"one run released twice, three words", 3, MODEL_NOBODY_WAITS, begin_three_words, release_same, check_one_winner},
    {"runs from one bit on, unequal", 2, MODEL_NOBODY_WAITS, begin_unequal, release_unequal, check_unequal},
    {"overlapping runs", 2, MODEL_NOBODY_WAITS, begin_overlap, release_overlap, check_overlap},
    {"a run with a free bit", 3, MODEL_NOBODY_WAITS, begin_hole, release_hole, check_hole},
};

int main(void) {
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        CHECK(model_passes(&models[i]));
        CHECK(model_marked(MARK_CLAIMED) > 0);
        CHECK(model_marked(MARK_REFUSED) > 0);
    }
    return check_done();
}

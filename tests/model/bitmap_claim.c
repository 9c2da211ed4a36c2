/*
 * Claims of runs in several words against each other and against releases, under every interleaving: at most one of those that
 * overlap succeeds, the bits taken at the end are the winners' and no others (so every rollback restored every word), the
 * new owner's writes never race the last owner's, and no thread ever waits for another.
 */
#include "bitmap_scene.h"

static void begin_free(void) { scene_begin(0, 0, 0, 0); }

/* Three runs across a word boundary, each overlapping the others. */
static void claim_once(int me) {
    static const struct scene_run runs[] = {{62, 3}, {63, 2}, {63, 4}};
    scene_claim(me, 0, runs[me].first, runs[me].count, true);
}

static int holders(void) {
    int count = 0;
    for (int t = 0; t < MODEL_THREADS; t++) count += scene.held[t][0].count != 0;
    return count;
}

static void check_one_holder(void) {
    scene_check();
    MODEL_HOLDS(holders() == 1); /* in one order through the words, somebody gets on */
}

/* The middle run overlaps both others, which are apart: it fails in its first word, or in its second and rolls back. */
static void claim_chain(int me) {
    static const struct scene_run runs[] = {{60, 2}, {61, 5}, {64, 2}};
    if (scene_claim(me, 0, runs[me].first, runs[me].count, true) && me == 1) model_mark(MARK_OTHER);
}

static void check_chain(void) {
    scene_check();
    MODEL_HOLDS(holders() >= 1);
    if (scene.held[1][0].count != 0) MODEL_HOLDS(holders() == 1);
}

/* Thread 2 holds a run that ends in a word of both claims, and gives it back. */
static void begin_held(void) {
    scene_begin(0, 0, 0, 0);
    scene_give(2, 64, 2);
}

static void claim_or_release(int me) {
    if (me == 2) scene_release(2, 0, true);
    else if (scene_claim(me, 0, me ? 62 : 63, me ? 4 : 2, true)) model_mark(MARK_HANDED_OVER);
}

/* Three words: whole middle word, and another claim of its last bit. */
static void claim_three_words(int me) {
    if (me == 0) scene_claim(0, 0, 63, 66, false);
    else if (me == 1) scene_claim(1, 0, 127, 3, false);
    else scene_release(2, 0, false);
}

static void begin_three_words(void) {
    scene_begin(0, 0, 0, 0);
    scene_give(2, 128, 1);
}

/* Claim, work, give back: all is free at the end. */
static void claim_and_release(int me) {
    static const struct scene_run runs[] = {{63, 2}, {63, 3}, {64, 1}};
    if (scene_claim(me, 0, runs[me].first, runs[me].count, true)) scene_release(me, 0, true);
}

/* The same twice over. */
static void claim_and_release_twice(int me) {
    static const struct scene_run runs[] = {{63, 2}, {62, 3}, {64, 2}, {61, 4}};
    for (uint64_t n = 0; n < 2; n++) {
        if (scene_claim(me, 0, runs[me].first, runs[me].count, false)) scene_release(me, 0, false);
        model_forget(n);
    }
}

/* On three words: one run covers the middle word and touches the two others. */
static void claim_and_release_long(int me) {
    static const struct scene_run runs[] = {{63, 2}, {127, 2}, {63, 66}};
    for (uint64_t n = 0; n < 2; n++) {
        if (scene_claim(me, 0, runs[me].first, runs[me].count, false)) scene_release(me, 0, false);
        model_forget(n);
    }
}

static void check_all_free(void) {
    scene_check();
    MODEL_HOLDS(bitmap_count(scene.words, SCENE_BITS) == 0);
}

#define MERGED (MODEL_NOBODY_WAITS | MODEL_MERGE)

static const struct model models[] = {
    {"three overlapping claims in two words", 3, MODEL_NOBODY_WAITS, begin_free, claim_once, check_one_holder},
    {"a claim between two others", 3, MODEL_NOBODY_WAITS, begin_free, claim_chain, check_chain},
    {"two claims and a release", 3, MODEL_NOBODY_WAITS, begin_held, claim_or_release, scene_check},
    {"two claims and a release", 3, MODEL_NOBODY_WAITS | MODEL_TSO, begin_held, claim_or_release, scene_check},
    {"claims of three words and a release", 3, MODEL_NOBODY_WAITS, begin_three_words, claim_three_words, scene_check},
    {"claim, work, release", 3, MODEL_NOBODY_WAITS, begin_free, claim_and_release, check_all_free},
    {"claim, release, twice", 3, MERGED, begin_free, claim_and_release_twice, check_all_free},
    {"claim, release, twice; three words", 3, MERGED, begin_free, claim_and_release_long, check_all_free},
    {"claim, release, twice; four threads", 4, MERGED, begin_free, claim_and_release_twice, check_all_free},
};

int main(void) {
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        CHECK(model_passes(&models[i]));
        CHECK(model_marked(MARK_CLAIMED) > 0);
        CHECK(model_marked(MARK_REFUSED) > 0);
        if (models[i].thread == claim_or_release) CHECK(model_marked(MARK_HANDED_OVER) > 0);
        if (models[i].thread == claim_chain) CHECK(model_marked(MARK_OTHER) > 0);
    }
    return check_done();
}

/*
 * Searching claims against each other, against claims of fixed places and against releases: nothing is owned twice, nothing
 * is lost, data is handed over without a race, nobody waits, and a search fails only where it may.
 */
#include "bitmap_scene.h"

#define TAKEN (~(uint64_t)0)

/* Three free bits, three threads that want one each: every one gets one. */
static void begin_three_bits(void) { scene_begin(TAKEN & ~(uint64_t)0x30, TAKEN & ~(uint64_t)2, TAKEN, TAKEN); }

static void search_one(int me) {
    size_t first = bitmap_claim_run(scene.words, 128, 1, (size_t)me % 2);
    if (first != BITMAP_NONE) scene_hold(me, 0, first, 1, true);
}

static void check_three_bits(void) {
    scene_check();
    MODEL_HOLDS(bitmap_count(scene.words, 128) == 128);
}

/* A run across two words: two searches and a fixed claim of its second word. */
static void begin_across(void) { scene_begin(TAKEN >> 2, ~(uint64_t)0x103, TAKEN, TAKEN); }

static void search_across(int me) {
    if (me == 2) {
        scene_claim(2, 0, 65, 1, false);
        return;
    }
    size_t first = bitmap_claim_run(scene.words, 128, me ? 3 : 2, 0);
    if (first == BITMAP_NONE) model_mark(MARK_REFUSED);
    else scene_hold(me, 0, first, me ? 3 : 2, false);
}

/* A release makes room for a search, which takes over the data. */
static void begin_room(void) {
    scene_begin(TAKEN >> 1 & ~(uint64_t)0xe, TAKEN & ~(uint64_t)1, TAKEN, TAKEN);
    scene_give(2, 1, 3);
}

static void search_room(int me) {
    if (me == 2) {
        scene_release(2, 0, true);
        return;
    }
    size_t first = me ? bitmap_claim_run_high(scene.words, 128, 2) : bitmap_claim_run(scene.words, 128, 2, 0);
    if (first == BITMAP_NONE) return;
    if (first < 3) model_mark(MARK_HANDED_OVER);
    scene_hold(me, 0, first, 2, true);
}

/* The releasing thread's bits and the gap over the boundary are room enough for both, but a search may come too early. */
static void check_room(void) {
    scene_check();
    MODEL_HOLDS(scene.held[0][0].count + scene.held[1][0].count >= 2);
}

/* Several single bits at once, against a search and a claim in the same word. */
static void begin_some(void) { scene_begin(TAKEN & ~(uint64_t)0xf0, TAKEN, TAKEN, TAKEN); }

static void search_some(int me) {
    if (me == 2) {
        scene_claim(2, 0, 6, 1, true);
        return;
    }
    uint64_t mask;
    size_t word = bitmap_claim_some(scene.words, 128, (size_t)me, 2, &mask);
    for (int n = 0; word != BITMAP_NONE && mask != 0; n++, mask &= mask - 1) {
        scene_hold(me, n, word * 64 + (size_t)__builtin_ctzll(mask), 1, true);
    }
}

static void check_some(void) {
    scene_check();
    size_t got = 0;
    for (int t = 0; t < 2; t++) {
        for (int n = 0; n < SCENE_HELD; n++) got += scene.held[t][n].count;
    }
    MODEL_HOLDS(got == 4 || (got == 3 && scene.held[2][0].count == 1));
}

/* A run longer than a word, from below and from above, against a short one in the middle. */
static void begin_long(void) { scene_begin(0, 0, TAKEN, TAKEN); }

static void search_both_ends(int me) {
    size_t count = me == 2 ? 4 : 70;
    size_t first = me == 0 ? bitmap_claim_run(scene.words, 128, count, 0)
                 : me == 1 ? bitmap_claim_run_high(scene.words, 128, count)
                           : bitmap_claim_run(scene.words, 128, count, 1);
    if (first == BITMAP_NONE) model_mark(MARK_REFUSED);
    else scene_hold(me, 0, first, count, false);
}

static void check_long(void) {
    scene_check();
    MODEL_HOLDS(scene.held[0][0].count == 0 || scene.held[1][0].count == 0);
}

static const struct model models[] = {
    {"three searches for the last three bits", 3, MODEL_NOBODY_WAITS, begin_three_bits, search_one, check_three_bits},
    {"searches across words, and a claim", 3, MODEL_NOBODY_WAITS | MODEL_MERGE, begin_across, search_across, scene_check},
    {"searches from both ends, and a release", 3, MODEL_NOBODY_WAITS, begin_room, search_room, check_room},
    {"single bits by the handful, and a claim", 3, MODEL_NOBODY_WAITS, begin_some, search_some, check_some},
    {"long runs from both ends, and a short one", 3, MODEL_NOBODY_WAITS | MODEL_MERGE, begin_long, search_both_ends, check_long},
};

int main(void) {
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        CHECK(model_passes(&models[i]));
        CHECK(model_marked(MARK_CLAIMED) > 0);
        if (models[i].thread == search_across || models[i].thread == search_both_ends) CHECK(model_marked(MARK_REFUSED) > 0);
        if (models[i].thread == search_room) CHECK(model_marked(MARK_HANDED_OVER) > 0);
    }
    return check_done();
}

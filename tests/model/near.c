/*
 * Which thread's map has a slab (heap/near.c), under every interleaving of threads that take it over from each other, and close
 * it when the last is done with it: a slab that is closed is in nobody's map, one that is not is in no map but that of the
 * thread that its tag names, and nobody waits. A slab whose objects have their lines for themselves may be in the maps of all
 * that freed a block of it, until it is closed.
 */
#include "check.h"
#include "explore.h"

#include <string.h>

#include "base/base.h"
#undef HM_ASSERT
#define HM_ASSERT(condition) MODEL_HOLDS(condition)

/* The slots of os/os_slot.h: a coroutine has no thread-local words. */
#define HM_OS_SLOT_H
enum { OS_SLOT_CACHE, OS_SLOT_COUNT };
static void *os_slot_get(unsigned slot);
#include "../../src/core/bitmap.c"
#include "../../src/heap/near.c"

#define HEAP ((uint64_t)3)
#define HEAD ((struct granule){3 * GRANULES_PER_SLOT + 0x20})
#define CLASS 6u /* two objects of it may share a line */
#define WHOLE 7u /* none do */
#define TAG(home) (HEAP << TAG_HEAP_SHIFT | (home) | CLASS * sizeof(struct class_row))
#define TAG_WHOLE (HEAP << TAG_HEAP_SHIFT | WHOLE * sizeof(struct class_row))

const struct class_row class_table[CLASS_COUNT] = {[CLASS] = {CLASS_MAGIC(112, 585), 585, 0xffff, 112, PAGES_PER_GRANULE, 4},
                                                   [WHOLE] = {CLASS_MAGIC(128, 512), 512, 0xffff, 128, PAGES_PER_GRANULE, 1}};
const uint16_t class_quick[CLASS_QUICK] = {[0 ... CLASS_QUICK - 1] = CLASS_MARK(0)};
uint64_t slab_tags[SLOT_COUNT];

static struct cache cache[3];
static uint64_t tags[GRANULES_PER_SLOT];
static struct {
    uint64_t held; /* by threads that are at work with the slab */
    bool closed;
    bool whole;
} scene;

enum { MARK_MOVED = 1, MARK_LOST, MARK_IN_MAP, MARK_IN_NO_MAP };

static void *os_slot_get(unsigned slot) { return &cache[(size_t)model_me() + slot]; }
struct cache *cache_of_home(uint64_t home) { return &cache[cache_home_number(home)]; }
void cache_each_of(uint64_t bits, void (*visit)(struct cache *cache, void *context), void *context) {
    for (int t = 0; t < 3; t++) {
        if (bits >> cache[t].number & 1) visit(&cache[t], context);
    }
}
/* What is written there is nobody's business here, but for the `maps` of a slab that is of no thread. */
static struct slab slab[MODEL_THREADS];
struct slab *slab_at(struct granule head) {
    MODEL_HOLDS(head.n == HEAD.n);
    return &slab[scene.whole ? 0 : model_me()];
}

static uint64_t home_of(int thread) { return cache_home((uint32_t)thread); }
static uint64_t *in_map(int thread) { return &cache[thread].quick.start[HEAD.n % GRANULES_PER_SLOT]; }

static void begin(uint64_t threads, bool added) {
    for (int t = 0; t < 3; t++) {
        cache[t].number = (uint32_t)t;
        cache[t].quick.adding = false;
        cache[t].home = home_of(t);
        cache[t].others = ~home_of(t) >> CACHE_HOME_SHIFT << CACHE_HOME_SHIFT;
        *in_map(t) = 0;
    }
    slab[0].maps = 0;
    scene.whole = false;
    near_heap = HEAP;
    slab_tags[HEAD.n / GRANULES_PER_SLOT] = (uint64_t)(uintptr_t)tags;
    tags[HEAD.n % GRANULES_PER_SLOT] = TAG(home_of(0));
    if (added) {
        *in_map(0) = granule_address(HEAD);
        cache[0].quick.mark[HEAD.n % GRANULES_PER_SLOT] = (uint16_t)cache_mark(CLASS);
    }
    scene.held = threads;
    scene.closed = false;
}
static void begin_two(void) { begin(2, true); }
static void begin_three(void) { begin(3, true); }
static void begin_new(void) { begin(2, false); }
static void begin_whole(void) {
    begin(3, false);
    tags[HEAD.n % GRANULES_PER_SLOT] = TAG_WHOLE;
    scene.whole = true;
}

static void take_over(int me) {
    near_move(HEAD, home_of(me));
    model_mark((slab_tag(granule_address(HEAD)) & TAG_HOME_MASK) == home_of(me) ? MARK_MOVED : MARK_LOST);
}

static void let_go(void) {
    if (atom_add_acqrel_u64(&scene.held, UINT64_MAX) != 1) return;
    near_drop(HEAD, slab_tag(granule_address(HEAD)));
    slab_tags_write(HEAD, 1, 0);
    scene.closed = true;
}

static void once_thread(int me) { take_over(me); }
static void closing_thread(int me) {
    take_over(me);
    let_go();
}
static void twice_thread(int me) {
    take_over(me);
    take_over(me);
    let_go();
}
/* The slab is new: its maker adds it, and another takes it over as soon as it is tagged. */
static void new_thread(int me) {
    if (me == 0) near_add(HEAD, TAG(home_of(0)));
    else take_over(me);
}

/* Each frees a block of a slab that any may have in its map; one takes it over. */
static void whole_thread(int me) {
    near_add(HEAD, TAG_WHOLE);
    model_mark(*in_map(me) ? MARK_IN_MAP : MARK_IN_NO_MAP);
    if (me == 1) take_over(me);
    let_go();
}

static void check_whole(void) {
    MODEL_HOLDS(scene.closed);
    for (int t = 0; t < 3; t++) MODEL_HOLDS(*in_map(t) == 0);
}

static void check(void) {
    uint64_t home = tags[HEAD.n % GRANULES_PER_SLOT] & TAG_HOME_MASK;
    for (int t = 0; t < 3; t++) {
        uint64_t start = *in_map(t);
        MODEL_HOLDS(start == 0 || (start == granule_address(HEAD) && home == home_of(t) && !scene.closed));
        if (home == home_of(t)) model_mark(start ? MARK_IN_MAP : MARK_IN_NO_MAP);
        if (start) MODEL_HOLDS(cache[t].quick.mark[HEAD.n % GRANULES_PER_SLOT] == cache_mark(CLASS));
    }
}

static const struct model cases[] = {
    {"a slab that two threads take over", 2, 0, begin_two, once_thread, check},
    {"and close", 2, 0, begin_two, closing_thread, check},
    {"a slab that its maker adds while another takes it over", 2, 0, begin_new, new_thread, check},
    {"a slab that two threads take from each other and back, and close", 2, 0, begin_two, twice_thread, check},
    {"a slab that three threads take over and close", 3, MODEL_MERGE, begin_three, closing_thread, check},
    {"a slab that three threads have in their maps, and close", 3, MODEL_MERGE, begin_whole, whole_thread, check_whole},
};

int main(void) {
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (unsigned tso = 0; tso <= MODEL_TSO; tso += MODEL_TSO) {
            struct model model = cases[i];
            model.flags |= MODEL_NOBODY_WAITS | tso;
            CHECK(model_passes(&model));
            if (model.check != check_whole) CHECK(model_marked(MARK_MOVED) > 0);
            else CHECK(model_marked(MARK_IN_MAP) > 0 && model_marked(MARK_IN_NO_MAP) == 0);
            if (i == 0) CHECK(model_marked(MARK_IN_MAP) > 0 && model_marked(MARK_LOST) > 0);
        }
    }
    return check_done();
}

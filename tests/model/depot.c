/*
 * The depot (heap/depot.c) and what tells the keeper of it (heap/empty.c), under every interleaving, with heaps of one class
 * and a few packets: a block has one owner and none is lost, also while packets go from stack to stack and come back under a
 * thread that is about to move one; what is put there while the keeper looks is found by its next look; nobody waits.
 * With stacks that do not count their changes, and nothing else changed, the explorer must find a block with two owners.
 */
#include "check.h"
#include "explore.h"

#include <string.h>

#include "one_class.h"

#include "heap/heap_inside.h"

#define BLOCKS 4

static struct {
    uint64_t work[BLOCKS]; /* the blocks */
    unsigned times[BLOCKS]; /* handed out or given back, by check */
    void *mine[MODEL_THREADS][BLOCKS];
    unsigned count_mine[MODEL_THREADS];
    bool unversioned;
    bool told; /* the keeper, by a thread */
} scene;

#define HEAPS 3
static struct heap heaps[HEAPS];

/* The planted fault: the count of changes, a stack's upper half, stays 0. */
static bool cas(uint64_t *target, uint64_t *expected, uint64_t desired) {
    return atom_cas_acqrel_u64(target, expected, scene.unversioned ? (uint32_t)desired : desired);
}
/* What is in a packet belongs to one thread. */
static void copy(void *to, const void *from, size_t size);

#define atom_cas_acqrel_u64 cas
#define memcpy copy
#include "../../src/heap/depot.c"
#undef memcpy
#undef atom_cas_acqrel_u64
#include "../../src/heap/empty.c"

static struct packet table[PACKETS]; /* the first few are used, and the last */

static bool in_table(const void *p) { return (const char *)p >= (char *)table && (const char *)p < (char *)(table + PACKETS); }

static void copy(void *to, const void *from, size_t size) {
    const void *inside = in_table(to) ? to : from;
    MODEL_HOLDS(in_table(inside));
    model_data_write(&table[(size_t)((const char *)inside - (const char *)table) / sizeof *table]);
    memcpy(to, from, size);
}

/* ---- The layers around, as far as they matter here ---------------------------------------------------------------- */

const uint16_t class_quick[CLASS_QUICK] = {[0 ... CLASS_QUICK - 1] = CLASS_MARK(0)};
const struct class_row class_table[112] = {[0] = {CLASS_MAGIC(64, 1024), 1024, 0xffff, 64, PAGES_PER_GRANULE, 1}};

enum status os_tables_reserve(size_t size, void **start) {
    (void)size, (void)start;
    return ST_NO_MEMORY;
}
enum status os_tables_commit(void *start, size_t size) {
    (void)start, (void)size;
    return ST_NO_MEMORY;
}
void os_tables_discard(void *start, size_t size) { (void)start, (void)size; }
void keeper_wake(bool (*job)(void)) {
    (void)job;
    if (model_me() == 0) scene.told = true;
}
uint64_t cache_bound_all(void) { return (uint64_t)1 << 30; }
bool cache_depots_take(uint64_t bytes) { return bytes != 0; }
void cache_depots_return(uint64_t bytes) { (void)bytes; }
bool keeper_runs(void) { return true; }
void keeper_missed(void) {}
bool heap_tidy(void) { return false; }
void heap_tell_double_free(void *block) { MODEL_HOLDS(block == NULL); }
uint64_t heap_taken(const struct heap *heap) { return heap == NULL; }
size_t set_places(const struct set *set) { return set == NULL; }
struct granule set_slab(const struct set *set, size_t place) { return (struct granule){set == NULL ? (uint32_t)place : 0}; }
size_t set_next(const struct set *set, size_t from) { return set == NULL ? from : SET_NONE; }
void set_remove(struct set *set, size_t place) { (void)set, (void)place; }
struct slab *slab_at(struct granule head) {
    (void)head;
    return NULL;
}
bool slab_close(struct slab *slab, uint64_t owner) { return slab == NULL && owner == 0; }
uint64_t slab_reopen(struct slab *slab, uint64_t owner) { return slab == NULL ? owner : 0; }
struct run slab_run(const struct slab *slab, struct granule head) {
    (void)slab;
    return (struct run){head, 0, 0};
}
bool slab_discard(const struct run *run) { return run == NULL; }

static void keep(int me, void *block) {
    uint64_t *work = block;
    model_data_write(work);
    ++*work;
    scene.mine[me][scene.count_mine[me]++] = block;
}

/* The slabs' side: what is given back is the keeper's to hold. */
void heap_free_some(struct heap *heap, void *const *blocks, size_t count, void (*bad)(void *block)) {
    (void)heap, (void)bad;
    int me = model_me() < 0 ? MODEL_THREADS - 1 : model_me();
    for (size_t i = 0; i < count; i++) keep(me, blocks[i]);
}

/* ---- Scenes -------------------------------------------------------------------------------------------------------- */

static void put(int me, int heap, unsigned count) {
    void *const *blocks = &scene.mine[me][scene.count_mine[me] - count];
    for (unsigned i = 0; i < count; i++) model_data_write(blocks[i]);
    scene.count_mine[me] -= count;
    size_t done = depot_put(&heaps[heap], 0, blocks, count);
    if (done != count) {
        MODEL_HOLDS(done == 0); /* they fit in one packet */
        scene.count_mine[me] += count;
        model_mark(1);
    }
}

static void take(int me, int heap, size_t want) {
    void *blocks[BLOCKS];
    size_t got = depot_take(&heaps[heap], 0, blocks, want);
    MODEL_HOLDS(got <= want);
    for (size_t i = 0; i < got; i++) keep(me, blocks[i]);
    model_mark(got == 0 ? 2 : 3);
}

/* `free` packets that have been used before, and one that has not been if `fresh`. */
static void begin(unsigned free, bool fresh) {
    bool unversioned = scene.unversioned;
    memset(&scene, 0, sizeof scene);
    memset(table, 0, 4 * sizeof *table);
    memset(heaps, 0, sizeof heaps);
    table[PACKETS - 1] = (struct packet){0};
    scene.unversioned = unversioned;
    packet_table = (uint64_t)(uintptr_t)table;
    packets_fresh = fresh ? PACKETS - 1 : PACKETS;
    packets_free = 0;
    for (unsigned n = free; n > 0; n--) stack_push(&packets_free, n);
}

static void give(int me, unsigned first, unsigned count) {
    for (unsigned i = 0; i < count; i++) scene.mine[me][i] = &scene.work[first + i];
    scene.count_mine[me] = count;
}

/* Every block is in one place, and so is every packet. */
static void settle(unsigned packets) {
    for (int h = 0; h < HEAPS; h++) {
        if (stack_top(heaps[h].set[0].depot) != 0) MODEL_HOLDS(heaps[h].untidy == 1);
        void *blocks[BLOCKS];
        size_t got;
        for (int n = 0; n < 8 && (got = depot_take(&heaps[h], 0, blocks, BLOCKS)) != 0; n++) {
            for (size_t i = 0; i < got; i++) scene.times[(uint64_t *)blocks[i] - scene.work]++;
        }
        MODEL_HOLDS(heaps[h].set[0].depot << 32 == 0);
    }
    for (int t = 0; t < MODEL_THREADS; t++) {
        for (unsigned i = 0; i < scene.count_mine[t]; i++) scene.times[(uint64_t *)scene.mine[t][i] - scene.work]++;
    }
    for (unsigned b = 0; b < BLOCKS; b++) MODEL_HOLDS(scene.times[b] == 1);
    unsigned free = 0;
    while (free < 8 && stack_pop(&packets_free) != 0) free++;
    MODEL_HOLDS(free + (PACKETS - packets_fresh) == packets);
}
static void check_two(void) { settle(2); }
static void check_three(void) { settle(3); }
static void check_one(void) { settle(1); }
static void check_four(void) { settle(4); }

/* Two threads exchange what they have. */
static void begin_exchange(void) {
    begin(1, true);
    give(0, 0, 2);
    give(1, 2, 2);
}
static void begin_scarce(void) {
    begin(1, false);
    give(0, 0, 2);
    give(1, 2, 2);
}
static void exchange_thread(int me) {
    put(me, 0, 2);
    take(me, 0, 1 + (size_t)me);
}

/*
 * While a thread is about to take the first free packet, that one and the next go to depots, and it comes back on top of
 * another: the stack looks as before, but for what is below.
 */
static void begin_changing(void) {
    begin(4, false);
    give(0, 0, 1);
    put(0, 2, 1);
    give(0, 1, 1);
    give(1, 2, 2);
}
static void changing_thread(int me) {
    put(me, 0, 1);
    if (me == 0) return;
    put(me, 1, 1);
    take(me, 2, 1);
    take(me, 0, 1);
}

/* The same of a packet in a depot, by two. */
static void begin_taking(void) {
    begin(3, false);
    give(0, 0, 1);
    put(0, 0, 1);
    give(0, 1, 1);
    put(0, 0, 1);
    give(0, 2, 1);
    give(1, 3, 1);
}
static void taking_thread(int me) {
    take(me, 0, 1);
    if (me == 1) put(me, 0, 1);
}

/* The keeper looks while a thread puts, then once more if it was told. */
static void begin_tidy(void) {
    begin(1, true);
    give(0, 0, 4);
    heaps[0].untidy = 1; /* and there is nothing more */
}
static void tidy_thread(int me) {
    if (me == 0) put(me, 0, 1);
    else heap_tidy_one(&heaps[0]);
}
static void check_tidy(void) {
    MODEL_HOLDS(scene.told);
    model_mark(stack_top(heaps[0].set[0].depot) != 0 ? 4 : 5);
    settle(2);
}

static const struct {
    struct model model;
    unsigned marks;
} cases[] = {
    {{"two exchange blocks", 2, 0, begin_exchange, exchange_thread, check_two}, 0x8},
    {{"two exchange blocks by one packet", 2, 0, begin_scarce, exchange_thread, check_one}, 0xe},
    {{"free packets change under one that puts", 2, 0, begin_changing, changing_thread, check_four}, 0x8},
    {{"packets change under two that take", 3, 0, begin_taking, taking_thread, check_three}, 0x8},
    {{"put while the keeper looks", 2, 0, begin_tidy, tidy_thread, check_tidy}, 0x30},
};

static const struct {
    struct model model;
    enum model_fault fault;
} planted[] = {
    {{"the same without versions, in the free packets", 2, 0, begin_changing, changing_thread, check_four}, FAULT_CHECK},
    {{"the same without versions, in a depot", 3, 0, begin_taking, taking_thread, check_three}, FAULT_CHECK},
};

int main(void) {
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (unsigned tso = 0; tso <= MODEL_TSO; tso += MODEL_TSO) {
            struct model model = cases[i].model;
            model.flags = MODEL_NOBODY_WAITS | tso;
            CHECK(model_passes(&model));
            for (unsigned mark = 1; mark < 6; mark++) {
                if (cases[i].marks >> mark & 1) CHECK(model_marked(mark) > 0);
            }
        }
    }
    scene.unversioned = true;
    for (size_t i = 0; i < sizeof planted / sizeof planted[0]; i++) CHECK(model_finds(&planted[i].model, planted[i].fault));
    return check_done();
}

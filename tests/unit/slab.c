/*
 * slab.c - one slab: its memory, its life word, and threads that come late.
 */
#include "heap/slab.h"

#include <string.h>

#include "core/bitmap.h"
#include "core/pages.h"
#include "heaptest.h"
#include "os/os.h"
#include "thread.h"
#ifdef HM_FAULT
#include "os/fault.h"
#endif

#define OWNER 0x123u
#define OTHER 0x456u

static struct slab *slab_make(size_t granules, uint64_t owner, size_t place, size_t count_objects, struct run *run) {
    if (!CHECK(slab_acquire(granules * PAGES_PER_GRANULE, GRANULE_BYTES, PG_READWRITE, run) == ST_OK)) return NULL;
    slab_open(run, SPAN_SLAB, PG_READWRITE, owner, place, count_objects, 0);
    return slab_at(run->first);
}

static void test_memory(void) {
    size_t before = granules_taken();
    struct run run;
    struct slab *slab = slab_make(3, OWNER, 7, 100, &run);
    if (slab == NULL) return;
    CHECK_EQ(granules_taken(), before + 3);
    unsigned char *bytes = (unsigned char *)granule_address(run.first);
    bool zero = true;
    for (size_t i = 0; i < 3 * GRANULE_BYTES; i++) zero = zero && bytes[i] == 0;
    CHECK(zero);
    memset(bytes, 0xaa, 3 * GRANULE_BYTES);
    CHECK_EQ(pages_count_committed(granule_page(run.first), 3 * PAGES_PER_GRANULE), 3 * PAGES_PER_GRANULE);

    struct granule head;
    CHECK(slab_find((uintptr_t)bytes, &head) && head.n == run.first.n);
    CHECK(slab_find((uintptr_t)bytes + 3 * GRANULE_BYTES - 1, &head) && head.n == run.first.n);
    CHECK(!slab_find((uintptr_t)bytes + 3 * GRANULE_BYTES, &head) || head.n != run.first.n);
    CHECK(!slab_find((uintptr_t)&run, &head));
    CHECK(!slab_find(0, &head));
    CHECK(!slab_find(UINTPTR_MAX, &head));

    uint64_t life;
    CHECK(slab_release(slab, 100, 0, &life));
    CHECK(slab_close(slab, OWNER));
    struct run again = slab_run(slab, run.first);
    CHECK_EQ(again.count_pages, run.count_pages);
    CHECK(slab_discard(&again));
    CHECK(!slab_find((uintptr_t)bytes, &head));
    CHECK_EQ(pages_count_committed(granule_page(run.first), 3 * PAGES_PER_GRANULE), 0);
    CHECK_EQ(granules_taken(), before);
}

/* Every object once, never one past the last, each put back once. */
static void test_objects(size_t count) {
    struct run run;
    struct slab *slab = slab_make(1, OWNER, 0, count, &run);
    if (slab == NULL) return;
    bool seen[CLASS_MOST_OBJECTS] = {true}; /* slab_open took the first */
    for (size_t i = 1; i < count; i++) {
        uint64_t life = slab_pin(slab, 1);
        CHECK_EQ(life_owner(life), OWNER);
        CHECK_EQ(life_count(life), i);
        uint64_t mask;
        size_t word = slab_claim(slab, count, 0, 1, 1, &mask);
        if (!CHECK(word != SIZE_MAX && mask != 0)) return;
        size_t object = word * 64 + (size_t)__builtin_ctzll(mask);
        if (!CHECK(object < count)) return;
        CHECK(!seen[object]);
        seen[object] = true;
    }
    size_t place;
    CHECK_EQ(life_count(slab_pin(slab, 1)), count);
    uint64_t none;
    CHECK_EQ(slab_claim(slab, count, 0, 1, 1, &none), SIZE_MAX);
    CHECK_EQ(life_count(slab_unpin(slab, 1, &place)), count);
    CHECK(!slab_close(slab, OWNER));
    for (size_t i = 0; i < count; i++) {
        uint64_t life;
        CHECK(slab_release(slab, count, i, &life));
        CHECK_EQ(life_count(life), count - i);
        CHECK(!slab_release(slab, count, i, &life));
    }
    CHECK(!slab_close(slab, OTHER));
    CHECK(slab_close(slab, OWNER));
    CHECK(!slab_close(slab, OWNER));
    slab_reopen(slab, OWNER);
    CHECK_EQ(life_owner(slab->life), OWNER);
    CHECK(slab_close(slab, OWNER));
    CHECK(slab_discard(&run));
}

/* Pins taken before a slab goes and given back after the next one has come. */
static void test_late(void) {
    enum { OBJECTS = 10 };
    struct run run;
    struct slab *slab = slab_make(1, OWNER, 3, OBJECTS, &run);
    if (slab == NULL) return;
    uint64_t life;
    size_t place;
    slab_pin(slab, 1);
    CHECK(slab_release(slab, OBJECTS, 0, &life));
    CHECK(!slab_close(slab, OWNER)); /* the pin holds it */
    CHECK_EQ(life_count(slab_unpin(slab, 1, &place)), 0);
    CHECK_EQ(place, 3);
    CHECK(slab_close(slab, OWNER));
    CHECK_EQ(life_owner(slab_pin(slab, 1)), 0); /* late, in between */
    slab_open(&run, SPAN_SLAB, PG_READWRITE, OTHER, 5, OBJECTS, 0);
    CHECK_EQ(life_count(slab->life), 2);
    CHECK_EQ(life_owner(slab_pin(slab, 1)), OTHER);
    CHECK_EQ(life_count(slab_unpin(slab, 1, &place)), 2);
    CHECK_EQ(place, 5);
    CHECK(!slab_close_by_force(slab, OWNER, OBJECTS));
    CHECK(slab_close_by_force(slab, OTHER, OBJECTS)); /* with an object out, and the pin still there */
    CHECK_EQ(slab->life, 1);
    CHECK_EQ(slab_unpin(slab, 1, &place), 0);
    CHECK(slab_discard(&run));
}

/* ---- Threads: some take and put back, one opens and closes for changing owners --------------------------------- */

enum { STORM_OBJECTS = 24, STORM_THREADS = 4 };

static struct slab *storm_slab;
static struct run storm_run;
static uint64_t storm_stop;
static uint64_t storm_taken;

static void *storm_late(void *context) {
    uint64_t owner = (uint64_t)(uintptr_t)context;
    unsigned char *bytes = (unsigned char *)granule_address(storm_run.first);
    while (atom_load_acq_u64(&storm_stop) == 0) {
        for (int i = 0; i < 500; i++) atom_pause(); /* so that the slab is empty at times */
        uint64_t life = slab_pin(storm_slab, 1), mask;
        size_t object = SIZE_MAX;
        size_t place;
        if (life_owner(life) == owner && life_count(life) < STORM_OBJECTS) {
            size_t word = slab_claim(storm_slab, STORM_OBJECTS, 0, 1, 1, &mask);
            if (word != SIZE_MAX) object = word * 64 + (size_t)__builtin_ctzll(mask);
        }
        if (object == SIZE_MAX) {
            slab_unpin(storm_slab, 1, &place);
            continue;
        }
        CHECK(object < STORM_OBJECTS);
        /* The object is ours: nobody else writes it. */
        memset(bytes + object * 64, (int)owner & 0xff, 64);
        for (int i = 0; i < 64; i++) {
            if (bytes[object * 64 + i] != (owner & 0xff)) CHECK(false);
        }
        /* While we hold it, the slab keeps its owner. */
        CHECK_EQ(life_owner(atom_load_acq_u64(&storm_slab->life)), owner);
        atom_add_acqrel_u64(&storm_taken, 1);
        CHECK(slab_release(storm_slab, STORM_OBJECTS, object, &life));
    }
    return NULL;
}

static void test_storm(void) {
    storm_slab = slab_make(1, OWNER, 0, STORM_OBJECTS, &storm_run);
    if (storm_slab == NULL) return;
    struct threads threads = {0};
    for (int i = 0; i < STORM_THREADS; i++) threads_start(&threads, storm_late, (void *)(uintptr_t)(i % 2 ? OWNER : OTHER));
    uint64_t owner = OWNER;
    uint64_t life;
    CHECK(slab_release(storm_slab, STORM_OBJECTS, 0, &life));
    size_t changes = 0;
    for (double end = thread_seconds() + 0.5; thread_seconds() < end;) {
        if (!slab_close(storm_slab, owner)) continue;
        owner = owner == OWNER ? OTHER : OWNER;
        slab_open(&storm_run, SPAN_SLAB, PG_READWRITE, owner, 0, STORM_OBJECTS, 0);
        for (int i = 0; i < 50; i++) atom_pause();
        CHECK(slab_release(storm_slab, STORM_OBJECTS, 0, &life));
        changes++;
    }
    atom_store_rel_u64(&storm_stop, 1);
    threads_join(&threads);
    CHECK(changes > 0);
    CHECK(storm_taken > 0);
    CHECK_EQ(storm_slab->life, life_make(owner, 0));
    CHECK_EQ(bitmap_count(slab_taken(storm_slab, STORM_OBJECTS), STORM_OBJECTS), 0);
    CHECK(slab_close(storm_slab, owner));
    CHECK(slab_discard(&storm_run));
}

#ifdef HM_FAULT
/* Whatever the system refuses on the way, once or from then on, nothing is left behind. */
static void refuse(bool sticky, long *failures) {
    size_t before = granules_taken();
    bool done = false;
    for (long nth = 1; !done && nth < 50; nth++) {
        struct run run;
        os_fault_set(NULL, nth, sticky);
        enum status status = slab_acquire(2 * PAGES_PER_GRANULE, GRANULE_BYTES, PG_READWRITE, &run);
        done = os_fault_calls() < nth;
        os_fault_set(NULL, 0, false);
        if (status == ST_OK) {
            CHECK(slab_discard(&run));
        } else {
            (*failures)++;
        }
        CHECK_EQ(granules_taken(), before);
    }
    CHECK(done);
}

static void test_faults(void) {
    size_t before = granules_taken();
    long failures = 0;
    refuse(true, &failures);
    refuse(false, &failures);
    CHECK(failures > 0);

    struct run run;
    if (!CHECK(slab_acquire(PAGES_PER_GRANULE, GRANULE_BYTES, PG_EXECUTE_READWRITE, &run) == ST_OK)) return;
    slab_open(&run, SPAN_SLAB, PG_EXECUTE_READWRITE, OWNER, 0, 16, 0);
    struct slab *slab = slab_at(run.first);
    memset((void *)granule_address(run.first), 0x55, GRANULE_BYTES);
    os_fault_set("decommit", 1, false);
    CHECK(!slab_discard(&run)); /* refused: all is as it was */
    os_fault_set(NULL, 0, false);
    struct granule head;
    CHECK(slab_find(granule_address(run.first), &head));
    CHECK_EQ(*(unsigned char *)granule_address(run.first), 0x55);
    CHECK(slab_close_by_force(slab, OWNER, 16));
    CHECK(slab_discard(&run));
    CHECK_EQ(granules_taken(), before);
}
#endif

int main(void) {
#ifdef HM_FAULT
    test_faults(); /* first, so that regions and tables are made under fault too */
#endif
    test_memory();
    test_objects(100);
    test_objects(SLAB_FEW);
    test_objects(SLAB_FEW + 1);
    test_objects(CLASS_MOST_OBJECTS);
    test_late();
    test_storm();
    return check_done();
}

/*
 * heap_faults.c - the system refuses the n-th call, for every n that allocating, resizing, freeing and trimming reach, once or
 * for ever: each call of ours succeeds or answers as documented, no block loses its content, a free always works, and when
 * the system gives again, everything that was taken is back and everything works.
 *
 * Where there is fork, each n has a process of its own, in which no table has been made yet.
 */
#include <string.h>

#include "alone.h"
#include "check.h"
#include "core/keeper.h"

#ifdef HM_FAULT
#include "heap/front.h"
#include "heaptest.h"
#include "os/fault.h"
#ifndef _WIN32
#include <sys/wait.h>
#include <unistd.h>
#endif

enum { BLOCKS = 48, CALLS_AT_MOST = 2000 };

struct held {
    unsigned char *bytes;
    size_t size;
};

static bool documented(enum status status) {
    return status == ST_OK || status == ST_NO_MEMORY || status == ST_COMMIT_LIMIT || status == ST_NO_ADDRESS_SPACE;
}

/* Some bytes of every page say what the others do. */
static size_t next(size_t i) { return i < 64 ? i + 1 : i + 509; }

static void fill(struct held *held) {
    for (size_t i = 0; i < held->size; i = next(i)) held->bytes[i] = (unsigned char)(i * 7);
}

static void hold(struct held *held, size_t size, bool zero, enum status status, void *block) {
    CHECK(documented(status));
    CHECK((status == ST_OK) == (block != NULL));
    *held = (struct held){block, size};
    if (!block) return;
    size_t dirty = 0;
    for (size_t i = 0; zero && i < size; i = next(i)) dirty += held->bytes[i] != 0;
    CHECK_EQ(dirty, 0);
    fill(held);
}

static void check_content(const struct held *held, size_t size) {
    size_t wrong = 0;
    for (size_t i = 0; i < size; i = next(i)) wrong += held->bytes[i] != (unsigned char)(i * 7);
    CHECK_EQ(wrong, 0);
}

/* A neighbour may be in the way, so this may fail where nothing is refused. */
static void resize(struct heap *heap, struct held *held, size_t size) {
    size_t before = size_of(heap, held->bytes);
    enum status status = heap_resize(heap, held->bytes, size);
    CHECK(documented(status));
    size_t now = size_of(heap, held->bytes);
    CHECK(status == ST_OK ? now >= size : now == before);
    size_t kept = held->size < size || status != ST_OK ? held->size : size;
    check_content(held, kept);
    if (status == ST_OK) held->size = size, fill(held);
}

/* Everything that a heap does but ending. Returns how many blocks could not be had. */
static size_t work(struct heap *heap) {
    static const size_t sizes[] = {16, 200, 3000, 17000, 65536, 300000, 1200000, 1500000};
    struct held held[BLOCKS];
    size_t count = 0, refused = 0;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            void *block;
            enum status status = front_alloc(heap, sizes[i], round == 0, &block);
            hold(&held[count++], sizes[i], round == 0, status, block);
            size_t align = (size_t)64 << (2 * i);
            status = heap_alloc_aligned(heap, sizes[i], align, round == 1, &block);
            CHECK_EQ((uintptr_t)block % align, 0);
            hold(&held[count++], sizes[i], round == 1, status, block);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (!held[i].bytes) {
            refused++;
            continue;
        }
        if (held[i].size > 1000000) {
            resize(heap, &held[i], held[i].size + 200000);
            resize(heap, &held[i], 1060000);
            resize(heap, &held[i], 1150000);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (!held[i].bytes) continue;
        check_content(&held[i], held[i].size);
        CHECK_EQ(front_free(heap, held[i].bytes), ST_OK);
    }
    keeper_trim(); /* what the thread has kept, too */
    heap_trim();
    return refused;
}

/* All is given back, and a second time all can be had. */
static void recovered(struct heap *heap) {
    heap_trim();
    CHECK_EQ(heap_taken(heap), 0);
    CHECK_EQ(heap_used(heap), 0);
    CHECK_EQ(work(heap), 0);
    heap_trim();
    CHECK_EQ(heap_taken(heap), 0);
}

/* True: the n-th call was reached. */
static bool scene(bool executable, bool sticky, long nth) {
    struct heap *heap = NULL;
    size_t before = granules_taken();
    os_fault_set(NULL, nth, sticky);
    enum status status = heap_create(executable, 0, &heap);
    CHECK(documented(status) && (status == ST_OK) == (heap != NULL));
    size_t refused = heap ? work(heap) : 1;
    bool reached = os_fault_calls() >= nth;
    os_fault_set(NULL, 0, false);
    CHECK(reached || refused == 0);
    if (!heap && !CHECK(heap_create(executable, 0, &heap) == ST_OK)) return reached;
    recovered(heap);
    size_t after = granules_taken();
    CHECK_EQ(after, before);
    /* A run that the system does not take back while a heap goes is lost: its content must not come back. */
    CHECK(take(heap, 100) && take(heap, 100000));
    os_fault_set("decommit", nth, sticky);
    CHECK(heap_destroy(heap) == ST_OK);
    bool lost = os_fault_calls() >= nth;
    os_fault_set(NULL, 0, false);
    CHECK(lost ? granules_taken() > after : granules_taken() == after);
    if (CHECK(heap_create(executable, 0, &heap) == ST_OK)) recovered(heap);
    CHECK(heap_destroy(heap) == ST_OK);
    return reached;
}

#ifdef _WIN32
static bool scene_apart(bool executable, bool sticky, long nth) { return scene(executable, sticky, nth); }
#else
static bool scene_apart(bool executable, bool sticky, long nth) {
    int status = -1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        alarm(30);
        bool reached = scene(executable, sticky, nth);
        _exit(check_count_failed ? 1 : reached ? 2 : 3);
    }
    bool well = CHECK(child > 0 && waitpid(child, &status, 0) == child) && WIFEXITED(status) && WEXITSTATUS(status) > 1;
    if (!CHECK(well)) printf("call %ld%s, status 0x%x\n", nth, sticky ? " and all after it" : "", status);
    return WIFEXITED(status) && WEXITSTATUS(status) == 2;
}
#endif

/* ThreadSanitizer takes a tenth of a second for each process, and this is one thread: every call is for the other builds. */
#ifdef __SANITIZE_THREAD__
enum { CALLS_APART = 4 };
#else
enum { CALLS_APART = 1 };
#endif

static void all(bool executable, bool sticky) {
    long nth = 1;
    while (nth < CALLS_AT_MOST && scene_apart(executable, sticky, nth)) nth += CALLS_APART;
    CHECK(nth > 20 && nth < CALLS_AT_MOST);
}
#endif

int main(void) {
    keeper_forbid();
#ifdef HM_FAULT
    for (int i = 0; i < 4; i++) all(i & 1, i & 2);
#else
    CHECK(true); /* only test builds can fail a call of the system */
#endif
    return check_done();
}

/*
 * life.c - the moments at which a program allocates without being in main: constructors, destructors, exit handlers,
 * thread-specific data with many keys, threads' ends, dlopen, signal handlers that interrupt the allocator. Run with the
 * malloc drop-in preloaded.
 *
 * What happens after main's end is told by the exit status: the last handler leaves with 3 when something went wrong.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "check.h"
#include "resident.h"
#include "thread.h"

#define KEYS 200

static char *from_constructor;
static bool exit_handler_ran;

__attribute__((constructor(101))) static void constructor_first(void) {
    from_constructor = strdup("made before main");
}

__attribute__((destructor(101))) static void destructor_last(void) {
    char *text = malloc(100);
    if (text == NULL || !exit_handler_ran || strcmp(from_constructor, "made before main") != 0) _exit(3);
    free(text);
    free(from_constructor);
}

static void at_exit(void) {
    void *block = realloc(malloc(10), 100000);
    exit_handler_ran = block != NULL;
    free(block);
}

/* Beyond the first 32 keys, storing a value makes the C library allocate; each destructor allocates, too. */
static pthread_key_t keys[KEYS];
static size_t count_destroyed;

static void key_destroy(void *value) {
    void *more = malloc(50);
    free(value);
    free(more);
    __atomic_fetch_add(&count_destroyed, 1, __ATOMIC_RELAXED);
}

static void *use_keys(void *context) {
    (void)context;
    for (int i = 0; i < KEYS; i++) CHECK(pthread_setspecific(keys[i], malloc(30)) == 0);
    return NULL;
}

static void test_keys(void) {
    struct threads threads = {0};
    for (int i = 0; i < KEYS; i++) CHECK(pthread_key_create(&keys[i], key_destroy) == 0);
    for (int i = 0; i < 8; i++) threads_start(&threads, use_keys, NULL);
    threads_join(&threads);
    CHECK_EQ(count_destroyed, 8 * KEYS);
    for (int i = 0; i < KEYS; i++) CHECK(pthread_key_delete(keys[i]) == 0);
}

static void *short_life(void *context) {
    void *block[50];
    (void)context;
    for (size_t i = 0; i < 50; i++) block[i] = malloc(i * 37);
    for (size_t i = 0; i < 50; i++) free(block[i]);
    return NULL;
}

/* Threads that come and go leave nothing behind. */
static void test_threads(void) {
    struct threads threads = {0};
    size_t before = 0;
    for (int round = 0; round < 500; round++) {
        for (int i = 0; i < 4; i++) threads_start(&threads, short_life, NULL);
        threads_join(&threads);
        if (round == 50) before = resident_bytes();
    }
    size_t after = resident_bytes();
    if (!CHECK(before > 0 && after < before + ((size_t)2 << 20))) printf("resident: %zu, then %zu\n", before, after);
}

static void test_dlopen(void) {
    static const char *const names[] = {"libm.so.6", "libresolv.so.2", "libstdc++.so.6", "libz.so.1"};
    int loaded = 0;
    for (int round = 0; round < 10; round++) {
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            void *handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
            if (handle == NULL) continue;
            loaded++;
            CHECK(dlclose(handle) == 0);
        }
        CHECK(dlopen("libthis-does-not-exist.so.9", RTLD_NOW) == NULL && dlerror() != NULL);
    }
    CHECK(loaded >= 10);
}

/* Blocks whose every byte is checked before they go: the handler has some of its own, and the code that it interrupts others. */
struct kept {
    unsigned char *bytes;
    size_t size;
};

static size_t kept_wrong(const struct kept *kept, unsigned char fill) {
    size_t wrong = 0;
    for (size_t i = 0; i < kept->size; i++) wrong += kept->bytes[i] != fill;
    return wrong;
}

/* Frees one of 32 and allocates another in its place, now and then by realloc. Returns how many bytes were wrong. */
static size_t kept_renew(struct kept kept[32], uint64_t *state, unsigned char base) {
    size_t i = thread_random(state) % 32, wrong = kept_wrong(&kept[i], (unsigned char)(base + i));
    size_t size = thread_random(state) % 200 == 0 ? 70000 : thread_random(state) % 3000 + 1;
    if (thread_random(state) % 4 == 0) {
        unsigned char *moved = realloc(kept[i].bytes, size);
        if (moved == NULL) return 1;
        for (size_t n = 0; n < size && n < kept[i].size; n++) wrong += moved[n] != (unsigned char)(base + i);
        kept[i].bytes = moved;
    } else {
        free(kept[i].bytes);
        kept[i].bytes = malloc(size);
        if (kept[i].bytes == NULL) return 1;
    }
    kept[i].size = size;
    memset(kept[i].bytes, (int)(base + i), size);
    return wrong;
}

static volatile size_t count_signals, count_wrong;
static struct kept handlers[32];
static uint64_t handlers_state = 11;

static void on_signal(int number) {
    (void)number;
    for (int n = 0; n < 4; n++) count_wrong += kept_renew(handlers, &handlers_state, 100);
    count_signals++;
}

static void test_signals(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, old;
    struct itimerval timer = {{0, 1000}, {0, 1000}}, none = {{0, 0}, {0, 0}};
    struct kept kept[32] = {{NULL, 0}};
    uint64_t state = 5;
    size_t wrong = 0;
    CHECK(sigaction(SIGALRM, &action, &old) == 0 && setitimer(ITIMER_REAL, &timer, NULL) == 0);
    for (double stop = thread_seconds() + 2; thread_seconds() < stop;) wrong += kept_renew(kept, &state, 1);
    setitimer(ITIMER_REAL, &none, NULL);
    sigaction(SIGALRM, &old, NULL);
    for (size_t i = 0; i < 32; i++) {
        wrong += kept_wrong(&kept[i], (unsigned char)(1 + i)) + kept_wrong(&handlers[i], (unsigned char)(100 + i));
        free(kept[i].bytes);
        free(handlers[i].bytes);
    }
    CHECK(count_signals > 50);
    CHECK_EQ(wrong + count_wrong, 0);
}

int main(void) {
    alarm(60);
    CHECK(from_constructor != NULL && strcmp(from_constructor, "made before main") == 0);
    CHECK(atexit(at_exit) == 0);
    test_keys();
    test_threads();
    test_dlopen();
    test_signals();
    return check_done();
}

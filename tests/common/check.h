/*
 * check.h - counting conditions, for every test program written in C. A program includes it in one file and ends main with
 *
 *     return check_done();
 *
 * which prints "N passed, N failed" and gives the exit status. CHECK and CHECK_EQ give true if the condition held, so that a test
 * can leave early: if (!CHECK(p != NULL)) return; Both may be used by several threads at once. A condition that fails
 * prints its place; after CHECK_SHOWN of them only the count goes on.
 */
#ifndef HM_TEST_CHECK_H
#define HM_TEST_CHECK_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define CHECK_SHOWN 20

static uint64_t check_count_passed;
static uint64_t check_count_failed;

/* Not through base/atom.h: in a model test that would be one more step to interleave. */
static inline bool check_count(bool held) {
    __atomic_fetch_add(held ? &check_count_passed : &check_count_failed, 1, __ATOMIC_RELAXED);
    return held;
}

static inline bool check_shown(void) { return __atomic_load_n(&check_count_failed, __ATOMIC_RELAXED) <= CHECK_SHOWN; }

static inline bool check_that(bool held, const char *file, int line, const char *text) {
    if (check_count(held)) return true;
    if (check_shown()) {
        printf("%s:%d: failed: %s\n", file, line, text);
        fflush(stdout);
    }
    return false;
}

static inline bool check_equal(uint64_t left, uint64_t right, const char *file, int line, const char *text) {
    if (check_count(left == right)) return true;
    if (check_shown()) {
        printf("%s:%d: failed: %s: %" PRIu64 " (0x%" PRIx64 ") is not %" PRIu64 " (0x%" PRIx64 ")\n", file, line, text, left,
               left, right, right);
        fflush(stdout);
    }
    return false;
}

#define CHECK(condition) check_that((condition), __FILE__, __LINE__, #condition)

/* Two numbers, compared as 64-bit unsigned ones; a failure shows both. Cast a pointer to uintptr_t. */
#define CHECK_EQ(left, right) check_equal((uint64_t)(left), (uint64_t)(right), __FILE__, __LINE__, #left " == " #right)

/* A program that checked nothing has not passed. */
static inline int check_done(void) {
    if (check_count_passed + check_count_failed == 0) check_that(false, __FILE__, __LINE__, "nothing was checked");
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", check_count_passed, check_count_failed);
    fflush(stdout);
    return check_count_failed == 0 ? 0 : 1;
}

#endif

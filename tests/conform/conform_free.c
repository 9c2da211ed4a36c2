/*
 * conform_free.c - VirtualFree: types, addresses and sizes that it takes and refuses. See conform.h.
 */
#include "conform.h"

#include <string.h>

enum { PAGES = 20 }; /* one 64 KiB unit and a quarter */

struct free_row {
    const char *name;
    SIZE_T offset, size;
    DWORD type;
};

static const struct free_row rows[] = {
    {"type-zero", 0, 0, 0},
    {"type-both", 0, 0, MEM_DECOMMIT | MEM_RELEASE},
    {"type-commit", 0, 0, MEM_COMMIT},
    {"type-free", 0, 0, MEM_FREE},
    {"type-release-and-bit-0", 0, 0, MEM_RELEASE | 1u},
    {"type-release-and-bit-1", 0, 0, MEM_RELEASE | 2u},
    {"type-reset", 0, PAGE, MEM_RESET},
    {"release", 0, 0, MEM_RELEASE},
    {"release-with-size", 0, PAGE, MEM_RELEASE},
    {"release-with-whole-size", 0, PAGES *PAGE, MEM_RELEASE},
    {"release-base-and-1", 1, 0, MEM_RELEASE},
    {"release-base-and-fff", 0xfff, 0, MEM_RELEASE},
    {"release-second-page", PAGE, 0, MEM_RELEASE},
    {"release-second-page-fff", PAGE + 0xfff, 0, MEM_RELEASE},
    {"release-last-page", 19 * PAGE, 0, MEM_RELEASE},
    {"release-second-unit", UNIT, 0, MEM_RELEASE},
    {"release-past-end", PAGES *PAGE, 0, MEM_RELEASE},
    {"release-past-end-in-unit", 2 * UNIT - 1, 0, MEM_RELEASE},
    {"decommit-all-by-zero", 0, 0, MEM_DECOMMIT},
    {"decommit-zero-inside-first-page", 0x10, 0, MEM_DECOMMIT},
    {"decommit-zero-second-page", PAGE, 0, MEM_DECOMMIT},
    {"decommit-zero-second-unit", UNIT, 0, MEM_DECOMMIT},
    {"decommit-page", 3 * PAGE, PAGE, MEM_DECOMMIT},
    {"decommit-byte", 3 * PAGE + 5, 1, MEM_DECOMMIT},
    {"decommit-two-bytes-over-boundary", 4 * PAGE - 1, 2, MEM_DECOMMIT},
    {"decommit-over-reserved", 0, 12 * PAGE, MEM_DECOMMIT},
    {"decommit-only-reserved", 9 * PAGE, PAGE, MEM_DECOMMIT},
    {"decommit-whole", 0, PAGES *PAGE, MEM_DECOMMIT},
    {"decommit-past-end-by-a-byte", 0, PAGES *PAGE + 1, MEM_DECOMMIT},
    {"decommit-past-end-from-last", 19 * PAGE, PAGE + 1, MEM_DECOMMIT},
    {"decommit-at-end", PAGES *PAGE, PAGE, MEM_DECOMMIT},
    {"decommit-at-end-in-unit", 2 * UNIT - PAGE, PAGE, MEM_DECOMMIT},
    {"decommit-wrapping", PAGE, (SIZE_T)-1, MEM_DECOMMIT},
    {"decommit-wrapping-to-base", PAGE, (SIZE_T)0 - PAGE, MEM_DECOMMIT},
    {"decommit-before", (SIZE_T)0 - PAGE, 2 * PAGE, MEM_DECOMMIT},
};

/* Each on an allocation whose pages 0 to 7 and 12 to 19 are committed, with free space after it. */
static void one_by_one(void) {
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *room = find_room(8 * UNIT);
        char *base = make_at(room + 2 * UNIT, PAGES * PAGE, MEM_RESERVE, PAGE_READWRITE);
        vm_alloc(base, 8 * PAGE, MEM_COMMIT, PAGE_READWRITE);
        vm_alloc(base + 12 * PAGE, 8 * PAGE, MEM_COMMIT, PAGE_READONLY);
        line_begin("free", rows[i].name);
        bool freed = say_free(base + rows[i].offset, rows[i].size, rows[i].type);
        say_map(base, PAGES * PAGE);
        line_end();
        if (!freed || !(rows[i].type & MEM_RELEASE)) drop(base);
    }
}

static void gone(void) {
    char *base = make(UNIT, RESERVE_COMMIT, PAGE_READWRITE);
    memset(base, 1, UNIT);
    line_begin("free-gone", "twice");
    say_free(base, 0, MEM_RELEASE);
    say_free(base, 0, MEM_RELEASE);
    say_free(base, PAGE, MEM_DECOMMIT);
    say_free(base, 0, MEM_DECOMMIT);
    say_protect(base, PAGE, PAGE_READONLY);
    say_alloc(base, base, PAGE, MEM_COMMIT, PAGE_READWRITE);
    say_alloc(base, base, PAGE, MEM_RESET, PAGE_READWRITE);
    say_query(base, base);
    say_probe("rw", base);
    line_end();
    line_begin("free-gone", "null");
    say_free(NULL, 0, MEM_RELEASE);
    say_free(NULL, 0, MEM_DECOMMIT);
    say_free(NULL, PAGE, MEM_DECOMMIT);
    say_free(NULL, PAGE, MEM_RELEASE);
    line_end();
    line_begin("free-gone", "low");
    say_free((void *)0x1000, 0, MEM_RELEASE);
    say_free((void *)0x1000, PAGE, MEM_DECOMMIT);
    line_end();
}

static void twice(void) {
    char *base = make(4 * PAGE, RESERVE_COMMIT, PAGE_READWRITE);
    line_begin("free", "decommit-twice");
    say_free(base, PAGE, MEM_DECOMMIT);
    say_free(base, PAGE, MEM_DECOMMIT);
    say_free(base, 0, MEM_DECOMMIT);
    say_free(base, 0, MEM_DECOMMIT);
    say_map(base, 4 * PAGE);
    line_end();
    drop(base);
}

void conform_free(void) {
    one_by_one();
    gone();
    twice();
}

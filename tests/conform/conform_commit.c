/*
 * conform_commit.c - committing inside reservations: rounding, content, protections, ranges that do not fit. See conform.h.
 */
#include "conform.h"

#include <string.h>

enum { PAGES = 16 };

static void rounding(void) {
    static const struct {
        const char *name;
        SIZE_T offset, size;
    } rows[] = {
        {"first-byte", 0, 1},
        {"page", PAGE, PAGE},
        {"inside-a-page", PAGE + 0x123, 0x10},
        {"last-byte-of-page", 2 * PAGE - 1, 1},
        {"over-a-boundary", 2 * PAGE - 1, 2},
        {"page-from-odd", PAGE + 1, PAGE},
        {"all", 0, PAGES *PAGE},
        {"all-from-odd", 1, PAGES *PAGE - 1},
        {"past-end-by-a-byte", 0, PAGES *PAGE + 1},
        {"past-end-from-odd", 1, PAGES *PAGE},
        {"last-page-and-more", 15 * PAGE, 2 * PAGE},
        {"at-end", PAGES *PAGE, 1},
        {"wrapping", PAGE, (SIZE_T)-1},
        {"size-zero", PAGE, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        /* Its own room, so that what follows the allocation is free. */
        char *room = find_room(4 * UNIT);
        char *base = make_at(room, PAGES * PAGE, MEM_RESERVE, PAGE_NOACCESS);
        line_begin("commit", rows[i].name);
        say_alloc(base, base + rows[i].offset, rows[i].size, MEM_COMMIT, PAGE_READWRITE);
        say_map(base, PAGES * PAGE);
        line_end();
        drop(base);
    }
}

static void content(void) {
    char *base = make(PAGES * PAGE, MEM_RESERVE, PAGE_NOACCESS);
    line_begin("content", "zero-at-first");
    say_alloc(base, base, 4 * PAGE, MEM_COMMIT, PAGE_READWRITE);
    bool zero = true;
    for (SIZE_T i = 0; i < 4 * PAGE; i++) zero &= base[i] == 0;
    line_add("%s", zero ? "zero" : "not-zero");
    line_end();

    memset(base, 0x5a, 4 * PAGE);
    line_begin("content", "kept-by-recommit");
    say_alloc(base, base + PAGE, 2 * PAGE, MEM_COMMIT, PAGE_READONLY);
    line_add("%x %x %x", base[0], base[PAGE], base[3 * PAGE]);
    say_probe("rw", base + PAGE);
    say_map(base, PAGES * PAGE);
    line_end();

    line_begin("content", "kept-by-wider-recommit");
    say_alloc(base, base, 8 * PAGE, MEM_COMMIT, PAGE_READWRITE);
    line_add("%x %x %x %x", base[0], base[PAGE], base[3 * PAGE], base[4 * PAGE]);
    say_probe("w", base + PAGE);
    say_map(base, PAGES * PAGE);
    line_end();

    line_begin("content", "kept-by-recommit-to-noaccess");
    say_alloc(base, base, PAGE, MEM_COMMIT, PAGE_NOACCESS);
    say_probe("r", base);
    say_alloc(base, base, PAGE, MEM_COMMIT, PAGE_READWRITE);
    line_add("%x", base[0]);
    line_end();

    line_begin("content", "partial-decommit");
    say_free(base + PAGE, PAGE, MEM_DECOMMIT);
    line_add("%x %x", base[0], base[2 * PAGE]);
    say_probe("rw", base + PAGE);
    say_map(base, PAGES * PAGE);
    line_end();

    line_begin("content", "zero-after-decommit");
    say_alloc(base, base, 4 * PAGE, MEM_COMMIT, PAGE_READWRITE);
    line_add("%x %x %x", base[0], base[PAGE], base[2 * PAGE]);
    zero = true;
    for (SIZE_T i = 0; i < PAGE; i++) zero &= base[PAGE + i] == 0;
    line_add("%s", zero ? "zero" : "not-zero");
    line_end();

    line_begin("content", "zero-after-whole-decommit");
    say_free(base, 0, MEM_DECOMMIT);
    say_map(base, PAGES * PAGE);
    say_alloc(base, base, PAGES * PAGE, MEM_COMMIT, PAGE_READWRITE);
    zero = true;
    for (SIZE_T i = 0; i < PAGES * PAGE; i++) zero &= base[i] == 0;
    line_add("%s", zero ? "zero" : "not-zero");
    line_end();
    drop(base);
}

/* Two allocations side by side: nothing may span them. */
static void neighbours(void) {
    char *room = find_room(8 * UNIT);
    char *first = make_at(room, UNIT, MEM_RESERVE, PAGE_READWRITE);
    char *second = make_at(room + UNIT, UNIT, MEM_RESERVE, PAGE_READONLY);
    line_begin("neighbours", "queried-apart");
    say_map(room, 2 * UNIT);
    line_end();
    line_begin("neighbours", "commit-over-both");
    say_alloc(room, room, 2 * UNIT, MEM_COMMIT, PAGE_READWRITE);
    say_map(room, 2 * UNIT);
    line_end();
    line_begin("neighbours", "commit-last-and-first-page");
    say_alloc(room, room + UNIT - 1, 2, MEM_COMMIT, PAGE_READWRITE);
    say_map(room, 2 * UNIT);
    line_end();
    line_begin("neighbours", "commit-each");
    say_alloc(room, first, UNIT, MEM_COMMIT, PAGE_READWRITE);
    say_alloc(room, second, UNIT, MEM_COMMIT, PAGE_READWRITE);
    say_map(room, 2 * UNIT);
    line_end();
    line_begin("neighbours", "protect-over-both");
    say_protect(room, 2 * UNIT, PAGE_READONLY);
    say_protect(room + UNIT - 1, 2, PAGE_READONLY);
    say_map(room, 2 * UNIT);
    line_end();
    line_begin("neighbours", "decommit-over-both");
    say_free(room, 2 * UNIT, MEM_DECOMMIT);
    say_free(room + UNIT - 1, 2, MEM_DECOMMIT);
    say_map(room, 2 * UNIT);
    line_end();
    line_begin("neighbours", "reset-over-both");
    say_alloc(room, room, 2 * UNIT, MEM_RESET, PAGE_READWRITE);
    line_end();
    line_begin("neighbours", "release-first");
    say_free(first, 0, MEM_RELEASE);
    say_map(room, 2 * UNIT);
    say_probe("r", first);
    say_probe("rw", second);
    line_end();
    drop(second);
}

/* What a commit leaves when only part of its range could be served, and what AllocationProtect remembers. */
static void refused(void) {
    char *room = find_room(4 * UNIT);
    char *base = make_at(room, 2 * PAGE, RESERVE_COMMIT, PAGE_READONLY);
    line_begin("refused", "changes-nothing");
    say_alloc(base, base, 3 * PAGE, MEM_COMMIT, PAGE_READWRITE);
    say_alloc(base, base + PAGE, PAGE, MEM_COMMIT, PAGE_WRITECOPY);
    say_alloc(base, base, PAGE, RESERVE_COMMIT, PAGE_READWRITE);
    say_alloc(base, base, PAGE, MEM_COMMIT, 0);
    say_map(base, 2 * PAGE);
    line_end();
    drop(base);
    base = make(4 * PAGE, MEM_RESERVE, PAGE_EXECUTE_READWRITE);
    line_begin("allocation-protect", "as-reserved");
    say_alloc(base, base + PAGE, 2 * PAGE, MEM_COMMIT, PAGE_READONLY);
    say_protect(base + PAGE, PAGE, PAGE_READWRITE);
    say_map(base, 4 * PAGE);
    line_end();
    drop(base);
}

void conform_commit(void) {
    rounding();
    content();
    neighbours();
    refused();
}

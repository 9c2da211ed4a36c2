/*
 * conform_alloc.c - VirtualAlloc's arguments: sizes, types and protections, right and wrong. See conform.h.
 *
 * Most cases are rows of tables, since all they differ in is one argument of one call.
 */
#include "conform.h"

#include <stdio.h>

struct type_row {
    const char *name;
    SIZE_T size;
    DWORD type;
    DWORD protect;
};

static const struct type_row type_rows[] = {
    {"size-zero-reserve", 0, MEM_RESERVE, PAGE_READWRITE},
    {"size-zero-commit", 0, MEM_COMMIT, PAGE_READWRITE},
    {"size-one", 1, RESERVE_COMMIT, PAGE_READWRITE},
    {"size-page-and-one", PAGE + 1, RESERVE_COMMIT, PAGE_READWRITE},
    {"size-unit-and-one", UNIT + 1, RESERVE_COMMIT, PAGE_READWRITE},
    {"size-max", (SIZE_T)-1, MEM_RESERVE, PAGE_READWRITE},
    {"size-max-less-a-page", (SIZE_T)-1 - PAGE, MEM_RESERVE, PAGE_READWRITE},
    {"size-half-of-all", (SIZE_T)1 << 63, MEM_RESERVE, PAGE_READWRITE},
    {"size-user-space", (SIZE_T)1 << 47, MEM_RESERVE, PAGE_READWRITE},
    {"type-none", PAGE, 0, PAGE_READWRITE},
    {"type-top-down-alone", PAGE, MEM_TOP_DOWN, PAGE_READWRITE},
    {"type-write-watch-alone", PAGE, MEM_WRITE_WATCH, PAGE_READWRITE},
    {"type-decommit", PAGE, MEM_DECOMMIT, PAGE_READWRITE},
    {"type-release", PAGE, MEM_RELEASE, PAGE_READWRITE},
    {"type-reserve-release", PAGE, MEM_RESERVE | MEM_RELEASE, PAGE_READWRITE},
    {"type-commit-decommit", PAGE, MEM_COMMIT | MEM_DECOMMIT, PAGE_READWRITE},
    {"type-reserve-free", PAGE, MEM_RESERVE | MEM_FREE, PAGE_READWRITE},
    {"type-reserve-private", PAGE, MEM_RESERVE | MEM_PRIVATE, PAGE_READWRITE},
    {"type-reserve-mapped", PAGE, MEM_RESERVE | MEM_MAPPED, PAGE_READWRITE},
    {"type-reserve-bit-0", PAGE, MEM_RESERVE | 1u, PAGE_READWRITE},
    {"type-reserve-bit-11", PAGE, MEM_RESERVE | 0x800u, PAGE_READWRITE},
    {"type-reserve-bit-31", PAGE, MEM_RESERVE | 0x80000000u, PAGE_READWRITE},
    {"type-commit-null", 3 * PAGE, MEM_COMMIT, PAGE_READONLY},
    {"type-commit-top-down", PAGE, MEM_COMMIT | MEM_TOP_DOWN, PAGE_READWRITE},
    {"type-commit-write-watch", PAGE, MEM_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE},
    {"type-reset-commit", PAGE, MEM_RESET | MEM_COMMIT, PAGE_READWRITE},
    {"type-reset-reserve", PAGE, MEM_RESET | MEM_RESERVE, PAGE_READWRITE},
    {"type-reset-null", PAGE, MEM_RESET, PAGE_READWRITE},
    {"type-undo-commit", PAGE, MEM_RESET_UNDO | MEM_COMMIT, PAGE_READWRITE},
    {"type-undo-reset", PAGE, MEM_RESET_UNDO | MEM_RESET, PAGE_READWRITE},
    {"type-undo-reserve", PAGE, MEM_RESET_UNDO | MEM_RESERVE, PAGE_READWRITE},
    {"type-physical-alone", PAGE, MEM_PHYSICAL, PAGE_READWRITE},
    {"type-physical-commit", PAGE, MEM_PHYSICAL | RESERVE_COMMIT, PAGE_READWRITE},
    {"type-physical-readonly", PAGE, MEM_PHYSICAL | MEM_RESERVE, PAGE_READONLY},
    {"type-physical-watch", PAGE, MEM_PHYSICAL | MEM_RESERVE | MEM_WRITE_WATCH, PAGE_READWRITE},
    {"type-large-reserve-alone", 2048 * KIB, MEM_LARGE_PAGES | MEM_RESERVE, PAGE_READWRITE},
    {"type-large-commit-alone", 2048 * KIB, MEM_LARGE_PAGES | MEM_COMMIT, PAGE_READWRITE},
    {"type-large-alone", 2048 * KIB, MEM_LARGE_PAGES, PAGE_READWRITE},
    {"type-large-odd-size", 2048 * KIB + PAGE, MEM_LARGE_PAGES | RESERVE_COMMIT, PAGE_READWRITE},
    {"type-large-watch", 2048 * KIB, MEM_LARGE_PAGES | RESERVE_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE},
    {"type-large-physical", 2048 * KIB, MEM_LARGE_PAGES | MEM_RESERVE | MEM_PHYSICAL, PAGE_READWRITE},
};

static void types(void) {
    for (size_t i = 0; i < sizeof type_rows / sizeof *type_rows; i++) {
        const struct type_row *row = &type_rows[i];
        line_begin("alloc", row->name);
        char *got = say_alloc(NULL, NULL, row->size, row->type, row->protect);
        if (got) say_map(got, UNIT * 2);
        line_end();
        drop(got);
    }
}

static const DWORD protections[] = {
    0,
    PAGE_NOACCESS,
    PAGE_READONLY,
    PAGE_READWRITE,
    PAGE_WRITECOPY,
    PAGE_EXECUTE,
    PAGE_EXECUTE_READ,
    PAGE_EXECUTE_READWRITE,
    PAGE_EXECUTE_WRITECOPY,
    PAGE_READONLY | PAGE_READWRITE,
    PAGE_NOACCESS | PAGE_READWRITE,
    PAGE_EXECUTE | PAGE_READWRITE,
    0xff,
    PAGE_GUARD,
    PAGE_NOCACHE,
    PAGE_WRITECOMBINE,
    PAGE_GUARD | PAGE_NOACCESS,
    PAGE_GUARD | PAGE_READONLY,
    PAGE_GUARD | PAGE_READWRITE,
    PAGE_GUARD | PAGE_EXECUTE_READ,
    PAGE_GUARD | PAGE_WRITECOPY,
    PAGE_NOCACHE | PAGE_READWRITE,
    PAGE_NOCACHE | PAGE_NOACCESS,
    PAGE_NOCACHE | PAGE_GUARD | PAGE_READWRITE,
    PAGE_NOCACHE | PAGE_WRITECOMBINE | PAGE_READWRITE,
    PAGE_WRITECOMBINE | PAGE_READWRITE,
    PAGE_WRITECOMBINE | PAGE_NOACCESS,
    PAGE_WRITECOMBINE | PAGE_GUARD | PAGE_READWRITE,
    PAGE_TARGETS_INVALID | PAGE_EXECUTE_READWRITE,
    0x800 | PAGE_READWRITE,
    0x1000 | PAGE_READWRITE,
    0x08000000 | PAGE_READWRITE,
    0x80000000 | PAGE_READWRITE,
};

/* Every protection at each place that takes one: a reservation, a new commit, a commit in a reservation, a protect. */
static void protections_everywhere(void) {
    for (size_t i = 0; i < sizeof protections / sizeof *protections; i++) {
        char name[32];
        snprintf(name, sizeof name, "reserve-%lx", (unsigned long)protections[i]);
        line_begin("protection", name);
        char *got = say_alloc(NULL, NULL, PAGE, MEM_RESERVE, protections[i]);
        if (got) say_query(got, got);
        line_end();
        drop(got);

        snprintf(name, sizeof name, "commit-%lx", (unsigned long)protections[i]);
        line_begin("protection", name);
        got = say_alloc(NULL, NULL, PAGE, RESERVE_COMMIT, protections[i]);
        if (got) say_query(got, got);
        line_end();
        drop(got);

        char *base = make(4 * PAGE, MEM_RESERVE, PAGE_READONLY);
        snprintf(name, sizeof name, "commit-in-%lx", (unsigned long)protections[i]);
        line_begin("protection", name);
        say_alloc(base, base + PAGE, PAGE, MEM_COMMIT, protections[i]);
        say_map(base, 4 * PAGE);
        line_end();
        drop(base);

        base = make(4 * PAGE, RESERVE_COMMIT, PAGE_READONLY);
        snprintf(name, sizeof name, "protect-%lx", (unsigned long)protections[i]);
        line_begin("protection", name);
        say_protect(base + PAGE, PAGE, protections[i]);
        say_map(base, 4 * PAGE);
        line_end();
        drop(base);
    }
}

/* What each protection lets a program do. */
static void rights(void) {
    static const DWORD all[] = {PAGE_NOACCESS,     PAGE_READONLY,          PAGE_READWRITE, PAGE_EXECUTE,
                                PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE, PAGE_NOCACHE | PAGE_READWRITE,
                                PAGE_WRITECOMBINE | PAGE_READWRITE};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char name[32];
        DWORD old;
        char *base = make(2 * PAGE, RESERVE_COMMIT, PAGE_READWRITE);
        base[0] = (char)0xc3; /* RET */
        snprintf(name, sizeof name, "%lx", (unsigned long)all[i]);
        line_begin("rights", name);
        if (vm_protect(base, PAGE, all[i], &old)) say_probe("rwx", base);
        else line_add("refused");
        say_probe("rw", base + PAGE);
        line_end();
        drop(base);
    }
    char *base = make(UNIT, MEM_RESERVE, PAGE_READWRITE);
    line_begin("rights", "reserved");
    say_probe("rwx", base);
    line_end();
    vm_alloc(base, PAGE, MEM_COMMIT, PAGE_EXECUTE_READWRITE);
    line_begin("rights", "committed-beside-reserved");
    base[0] = (char)0xc3;
    say_probe("rwx", base);
    say_probe("rw", base + PAGE);
    line_end();
    line_begin("rights", "decommitted");
    say_free(base, PAGE, MEM_DECOMMIT);
    say_probe("rwx", base);
    line_end();
    drop(base);
    line_begin("rights", "released");
    say_probe("rwx", base);
    line_end();
}

void conform_alloc(void) {
    types();
    protections_everywhere();
    rights();
}

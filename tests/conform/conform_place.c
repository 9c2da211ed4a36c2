/*
 * conform_place.c - where reservations go: wanted addresses, rounding, overlaps, and the ends of the address space. See
 * conform.h.
 */
#include "conform.h"

#include <stdio.h>

static void rounding(void) {
    char *room = find_room(16 * UNIT);
    static const struct {
        const char *name;
        SIZE_T offset, size;
    } rows[] = {
        {"exact", 0, UNIT},
        {"page", 0, PAGE},
        {"byte", 0, 1},
        {"inside-first-unit", PAGE, PAGE},
        {"byte-inside-first-unit", PAGE + 0x10, 1},
        {"documented", 0x1010, 0x1000},
        {"last-byte-of-unit", UNIT - 1, 1},
        {"last-byte-of-unit-and-one", UNIT - 1, 2},
        {"second-unit", UNIT + 1, UNIT},
        {"long", 3 * UNIT + 5, 2 * UNIT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (int commit = 0; commit < 2; commit++) {
            line_begin(commit ? "round-commit" : "round-reserve", rows[i].name);
            DWORD type = commit ? RESERVE_COMMIT : MEM_RESERVE;
            char *got = say_alloc(room, room + rows[i].offset, rows[i].size, type, PAGE_READWRITE);
            if (got) say_map(room, 6 * UNIT);
            line_end();
            drop(got);
        }
    }
}

static void overlaps(void) {
    char *room = find_room(16 * UNIT);
    char *base = make_at(room + 4 * UNIT, UNIT + PAGE, MEM_RESERVE, PAGE_READWRITE);
    static const struct {
        const char *name;
        SIZE_T offset, size;
        DWORD type;
    } rows[] = {
        {"same", 4 * UNIT, PAGE, MEM_RESERVE},
        {"same-commit", 4 * UNIT, PAGE, RESERVE_COMMIT},
        {"inside", 4 * UNIT + PAGE, PAGE, MEM_RESERVE},
        {"inside-commit", 4 * UNIT + PAGE, PAGE, RESERVE_COMMIT},
        {"tail-in-its-unit", 5 * UNIT + PAGE, PAGE, MEM_RESERVE},
        {"tail-in-its-unit-far", 5 * UNIT + 15 * PAGE, PAGE, MEM_RESERVE},
        {"tail-commit", 5 * UNIT + PAGE, PAGE, MEM_COMMIT},
        {"before-touching", 3 * UNIT, UNIT, MEM_RESERVE},
        {"before-into", 3 * UNIT, UNIT + 1, MEM_RESERVE},
        {"before-rounding-into", 3 * UNIT + 1, UNIT, MEM_RESERVE},
        {"after", 6 * UNIT, UNIT, MEM_RESERVE},
        {"over-all", 2 * UNIT, 8 * UNIT, MEM_RESERVE},
        {"commit-free", 8 * UNIT, PAGE, MEM_COMMIT},
        {"commit-free-and-reserved", 3 * UNIT, 2 * UNIT, MEM_COMMIT},
        {"commit-reserved-and-free", 4 * UNIT, 2 * UNIT, MEM_COMMIT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        line_begin("overlap", rows[i].name);
        char *got = say_alloc(room, room + rows[i].offset, rows[i].size, rows[i].type, PAGE_READWRITE);
        say_map(room, 8 * UNIT);
        line_end();
        if (got && got != base) drop(got);
    }
    drop(base);
}

static void again(void) {
    char *room = find_room(4 * UNIT);
    line_begin("place", "after-release");
    char *got = say_alloc(room, room, UNIT, RESERVE_COMMIT, PAGE_READWRITE);
    got[5] = 7;
    say_free(got, 0, MEM_RELEASE);
    say_query(room, room);
    say_probe("r", room);
    got = say_alloc(room, room, 2 * UNIT, RESERVE_COMMIT, PAGE_READONLY);
    line_add("content=%d", got[5]);
    say_map(room, 2 * UNIT);
    line_end();
    drop(got);
}

/* Addresses that no program can have, or whose range runs out of what it can have. */
static void edges(void) {
    static const struct {
        const char *name;
        uintptr_t address;
        SIZE_T size;
    } rows[] = {
        {"one", 1, PAGE},
        {"page-one", 0x1000, PAGE},
        {"below-lowest", 0xffff, 1},
        {"below-lowest-long", 0x8000, 0x10000},
        {"limit", 0x7fffffff0000, PAGE},
        {"limit-less-a-byte-long", 0x7ffffffeffff, 0x20000},
        {"into-limit", 0x7ffffffe0000, 0x20000},
        {"user-top", 0x7fffffffffff, 1},
        {"past-user", 0x800000000000, PAGE},
        {"kernel", 0xffff800000000000, PAGE},
        {"last-page", 0xfffffffffffff000, PAGE},
        {"last-byte", 0xffffffffffffffff, 1},
        {"wrap", 0x7ff000000000, (SIZE_T)-1},
        {"wrap-to-zero", 0x7ff000000000, (SIZE_T)0 - 0x7ff000000000},
        {"size-past-user", 0x10000000, (SIZE_T)1 << 47},
    };
    static const struct {
        const char *section;
        DWORD type;
    } types[] = {{"edge-reserve", MEM_RESERVE},
                 {"edge-commit", MEM_COMMIT},
                 {"edge-both", RESERVE_COMMIT},
                 {"edge-reset", MEM_RESET}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            line_begin(types[t].section, rows[i].name);
            drop(say_alloc(NULL, (void *)rows[i].address, rows[i].size, types[t].type, PAGE_READWRITE));
            line_end();
        }
        line_begin("edge-decommit", rows[i].name);
        say_free((void *)rows[i].address, rows[i].size, MEM_DECOMMIT);
        line_end();
        line_begin("edge-release", rows[i].name);
        say_free((void *)rows[i].address, 0, MEM_RELEASE);
        line_end();
        line_begin("edge-protect", rows[i].name);
        say_protect((void *)rows[i].address, rows[i].size, PAGE_READWRITE);
        line_end();
    }
}

static void edge_queries(void) {
    static const uintptr_t queried[] = {0,
                                        1,
                                        0xffff,
                                        0x7fffffff0000,
                                        0x7fffffffffff,
                                        0x800000000000,
                                        0xffff800000000000,
                                        (uintptr_t)-1};
    for (size_t i = 0; i < sizeof queried / sizeof *queried; i++) {
        MEMORY_BASIC_INFORMATION info;
        error_arm();
        SIZE_T got = vm_query((void *)queried[i], &info, sizeof info);
        char name[32];
        snprintf(name, sizeof name, "%llx", (unsigned long long)queried[i]);
        line_begin("edge-query", name);
        line_add("result=%llu", (unsigned long long)got);
        if (got == 0) line_add("error=%lu", (unsigned long)vm_error());
        else line_add("base=%llx state=%lx now=%lx", (unsigned long long)(uintptr_t)info.BaseAddress, (unsigned long)info.State,
                      (unsigned long)info.Protect);
        line_end();
    }
}

static void top_down(void) {
    char *low = make(UNIT, MEM_RESERVE, PAGE_READWRITE);
    char *high = vm_alloc(NULL, UNIT, MEM_RESERVE | MEM_TOP_DOWN, PAGE_READWRITE);
    line_begin("place", "top-down-is-higher");
    line_add("%s", high > low ? "higher" : "lower");
    say_map(high, UNIT);
    line_end();
    drop(high);
    drop(low);
    char *room = find_room(2 * UNIT);
    line_begin("place", "top-down-at-address");
    char *got = say_alloc(room, room + PAGE, UNIT, MEM_RESERVE | MEM_TOP_DOWN, PAGE_READWRITE);
    line_end();
    drop(got);
    line_begin("place", "top-down-commit");
    got = say_alloc(NULL, NULL, PAGE, RESERVE_COMMIT | MEM_TOP_DOWN, PAGE_READWRITE);
    if (got) say_probe("rw", got);
    line_end();
    drop(got);
}

void conform_place(void) {
    rounding();
    overlaps();
    again();
    edges();
    edge_queries();
    top_down();
}

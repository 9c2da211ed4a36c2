/*
 * conform_query.c - VirtualQuery: buffers, rounding, and what it sees after each of a sequence of calls. See conform.h.
 */
#include "conform.h"

#include <stdio.h>
#include <string.h>

static void buffers(void) {
    char *base = make(UNIT, RESERVE_COMMIT, PAGE_READWRITE);
    MEMORY_BASIC_INFORMATION info[2];
    static const SIZE_T sizes[] = {0, 1, sizeof(MEMORY_BASIC_INFORMATION) - 1, sizeof(MEMORY_BASIC_INFORMATION),
                                   sizeof(MEMORY_BASIC_INFORMATION) + 1, 2 * sizeof(MEMORY_BASIC_INFORMATION)};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char name[32];
        snprintf(name, sizeof name, "buffer-%llu", (unsigned long long)sizes[i]);
        memset(info, 0xcc, sizeof info);
        vm_free(NULL, PAGE, MEM_RELEASE); /* the last error becomes 87 */
        SIZE_T got = vm_query(base, info, sizes[i]);
        line_begin("query", name);
        line_add("result=%llu", (unsigned long long)got);
        if (got == 0) line_add("error=%lu", (unsigned long)vm_error());
        line_add("%s", ((unsigned char *)info)[0] == 0xcc ? "untouched" : "written");
        line_add("%s", ((unsigned char *)info)[sizeof *info] == 0xcc ? "rest-untouched" : "rest-written");
        line_end();
    }
    error_arm();
    SIZE_T got = vm_query(base, NULL, sizeof *info);
    line_begin("query", "buffer-null");
    line_add("result=%llu error=%lu", (unsigned long long)got, (unsigned long)vm_error());
    line_end();
    drop(base);
}

static void rounding(void) {
    char *base = make(6 * PAGE, MEM_RESERVE, PAGE_READWRITE);
    vm_alloc(base + PAGE, 3 * PAGE, MEM_COMMIT, PAGE_READONLY);
    static const SIZE_T offsets[] = {0,        1,        0xfff,    PAGE,         PAGE + 1, 2 * PAGE, 3 * PAGE + 0xfff,
                                     4 * PAGE, 5 * PAGE, 6 * PAGE, 6 * PAGE + 1, UNIT - 1};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
        char name[32];
        snprintf(name, sizeof name, "at-%llx", (unsigned long long)offsets[i]);
        line_begin("query", name);
        say_query(base, base + offsets[i]);
        line_end();
    }
    drop(base);
}

struct step {
    const char *name;
    char what; /* c commit, d decommit, p protect */
    SIZE_T first, count;
    DWORD protect;
};

static const struct step steps[] = {
    {"01-commit-2-5", 'c', 2, 5, PAGE_READWRITE},
    {"02-commit-10-4", 'c', 10, 4, PAGE_READONLY},
    {"03-commit-7-3", 'c', 7, 3, PAGE_READWRITE},
    {"04-protect-3-2", 'p', 3, 2, PAGE_EXECUTE_READ},
    {"05-protect-9-2", 'p', 9, 2, PAGE_NOACCESS},
    {"06-decommit-4", 'd', 4, 1, 0},
    {"07-commit-4", 'c', 4, 1, PAGE_READWRITE},
    {"08-commit-0-16", 'c', 0, 16, PAGE_READWRITE},
    {"09-protect-0-16", 'p', 0, 16, PAGE_READONLY},
    {"10-decommit-odd", 'd', 1, 1, 0},
    {"11-decommit-odd", 'd', 3, 1, 0},
    {"12-decommit-odd", 'd', 5, 1, 0},
    {"13-commit-guard", 'c', 8, 2, PAGE_READWRITE | PAGE_GUARD},
    {"14-commit-nocache", 'c', 9, 2, PAGE_READWRITE | PAGE_NOCACHE},
    {"15-commit-31", 'c', 31, 1, PAGE_EXECUTE_READWRITE},
    {"16-decommit-1-30", 'd', 1, 30, 0},
    {"17-commit-0-32", 'c', 0, 32, PAGE_EXECUTE_READWRITE},
    {"18-decommit-0-32", 'd', 0, 32, 0},
};

static void sequence(void) {
    char *base = make(32 * PAGE, MEM_RESERVE, PAGE_EXECUTE_READWRITE);
    line_begin("sequence", "00-reserve");
    say_map(base, 32 * PAGE);
    line_end();
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        char *at = base + steps[i].first * PAGE;
        SIZE_T size = steps[i].count * PAGE;
        line_begin("sequence", steps[i].name);
        if (steps[i].what == 'c') say_alloc(base, at, size, MEM_COMMIT, steps[i].protect);
        else if (steps[i].what == 'd') say_free(at, size, MEM_DECOMMIT);
        else say_protect(at, size, steps[i].protect);
        say_map(base, 32 * PAGE);
        line_end();
    }
    drop(base);
}

/* An allocation that no region of the engine's can hold, used at both ends. */
static void huge(void) {
    SIZE_T size = (SIZE_T)5 << 30;
    char *base = vm_alloc(NULL, size, MEM_RESERVE, PAGE_READWRITE);
    line_begin("huge", "reserve");
    line_add("%s", base ? "ok" : "fail");
    if (base) say_query(base, base);
    line_end();
    if (!base) return;
    line_begin("huge", "commit-ends");
    say_alloc(base, base, PAGE, MEM_COMMIT, PAGE_READWRITE);
    say_alloc(base, base + size - PAGE, PAGE, MEM_COMMIT, PAGE_READONLY);
    say_alloc(base, base + ((SIZE_T)4 << 30) - PAGE, 2 * PAGE, MEM_COMMIT, PAGE_READWRITE);
    say_probe("rw", base);
    say_probe("rw", base + size - 1);
    say_map(base, size);
    line_end();
    line_begin("huge", "commit-past-end");
    say_alloc(base, base + size - PAGE, PAGE + 1, MEM_COMMIT, PAGE_READWRITE);
    line_end();
    line_begin("huge", "release-inside");
    say_free(base + ((SIZE_T)4 << 30), 0, MEM_RELEASE);
    say_free(base + size - PAGE, 0, MEM_RELEASE);
    line_end();
    line_begin("huge", "decommit-all");
    say_free(base, 0, MEM_DECOMMIT);
    say_map(base, size);
    line_end();
    line_begin("huge", "release");
    say_free(base + 0xfff, 0, MEM_RELEASE);
    say_query(base, base);
    say_probe("r", base);
    line_end();
}

void conform_query(void) {
    buffers();
    rounding();
    sequence();
    huge();
}

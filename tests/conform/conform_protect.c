/*
 * conform_protect.c - VirtualProtect: ranges, old values, refusals. See conform.h. Which protections it takes is in the table of
 * conform_alloc.c, and what they let a program do as well.
 */
#include "conform.h"

enum { PAGES = 20 };

/* Pages 0 to 7 committed for reading and writing, 8 to 11 reserved, 12 to 19 committed for reading. */
static char *make_mixed(void) {
    char *room = find_room(8 * UNIT);
    char *base = make_at(room + 2 * UNIT, PAGES * PAGE, MEM_RESERVE, PAGE_NOACCESS);
    vm_alloc(base, 8 * PAGE, MEM_COMMIT, PAGE_READWRITE);
    vm_alloc(base + 12 * PAGE, 8 * PAGE, MEM_COMMIT, PAGE_READONLY);
    return base;
}

static void ranges(void) {
    static const struct {
        const char *name;
        SIZE_T offset, size;
    } rows[] = {
        {"page", 0, PAGE},
        {"byte", 0, 1},
        {"odd-byte", PAGE + 0x345, 1},
        {"two-bytes-over-boundary", 2 * PAGE - 1, 2},
        {"page-from-odd", PAGE + 1, PAGE},
        {"all-of-first-part", 0, 8 * PAGE},
        {"into-reserved", 7 * PAGE, PAGE + 1},
        {"reserved", 9 * PAGE, PAGE},
        {"from-reserved", 11 * PAGE, 2 * PAGE},
        {"across-reserved", 0, PAGES *PAGE},
        {"last", 19 * PAGE, PAGE},
        {"past-end-by-a-byte", 19 * PAGE, PAGE + 1},
        {"at-end", PAGES *PAGE, PAGE},
        {"at-end-next-unit", 2 * UNIT, PAGE},
        {"before", (SIZE_T)0 - PAGE, PAGE},
        {"size-zero", PAGE, 0},
        {"size-zero-reserved", 9 * PAGE, 0},
        {"size-zero-odd", PAGE + 1, 0},
        {"wrapping", PAGE, (SIZE_T)-1},
        {"wrapping-to-start", PAGE, (SIZE_T)0 - PAGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *base = make_mixed();
        line_begin("protect", rows[i].name);
        say_protect(base + rows[i].offset, rows[i].size, PAGE_EXECUTE_READ);
        say_map(base, PAGES * PAGE);
        line_end();
        drop(base);
    }
}

static void old_values(void) {
    char *base = make(6 * PAGE, RESERVE_COMMIT, PAGE_READWRITE);
    line_begin("protect-old", "first-page-only");
    say_protect(base + PAGE, PAGE, PAGE_READONLY);
    say_protect(base + 2 * PAGE, PAGE, PAGE_EXECUTE);
    say_protect(base + PAGE, 4 * PAGE, PAGE_NOACCESS);
    say_protect(base, 6 * PAGE, PAGE_READWRITE);
    say_map(base, 6 * PAGE);
    line_end();
    line_begin("protect-old", "with-modifiers");
    say_protect(base, PAGE, PAGE_READWRITE | PAGE_GUARD);
    say_protect(base, PAGE, PAGE_READWRITE | PAGE_NOCACHE);
    say_protect(base, PAGE, PAGE_READONLY | PAGE_WRITECOMBINE);
    say_protect(base, PAGE, PAGE_READWRITE);
    say_map(base, 6 * PAGE);
    line_end();
    line_begin("protect-old", "same-again");
    say_protect(base, PAGE, PAGE_READWRITE);
    line_end();
    line_begin("protect-old", "null");
    error_arm();
    BOOL success = vm_protect(base, PAGE, PAGE_READONLY, NULL);
    line_add("protect=%s", success ? "ok" : "fail");
    if (!success) line_add("(%lu)", (unsigned long)vm_error());
    say_map(base, 6 * PAGE);
    line_end();
    line_begin("protect-old", "null-and-bad-protection");
    error_arm();
    success = vm_protect(base, PAGE, PAGE_WRITECOPY, NULL);
    line_add("protect=%s(%lu)", success ? "ok" : "fail", (unsigned long)vm_error());
    line_end();
    drop(base);
    base = make(UNIT, MEM_RESERVE, PAGE_READWRITE);
    line_begin("protect-old", "null-and-reserved");
    error_arm();
    success = vm_protect(base, PAGE, PAGE_READONLY, NULL);
    line_add("protect=%s(%lu)", success ? "ok" : "fail", (unsigned long)vm_error());
    line_end();
    line_begin("protect-old", "bad-protection-on-reserved");
    say_protect(base, PAGE, PAGE_WRITECOPY);
    line_end();
    drop(base);
    line_begin("protect-old", "bad-protection-on-free");
    say_protect(base, PAGE, PAGE_WRITECOPY);
    line_end();
    line_begin("protect-old", "free");
    say_protect(base, PAGE, PAGE_READONLY);
    line_end();
}

static void content(void) {
    char *base = make(2 * PAGE, RESERVE_COMMIT, PAGE_READWRITE);
    base[0] = 11;
    base[PAGE] = 12;
    line_begin("protect", "keeps-content");
    say_protect(base, 2 * PAGE, PAGE_NOACCESS);
    say_probe("rw", base);
    say_protect(base, PAGE, PAGE_READONLY);
    say_probe("rw", base);
    line_add("%d", base[0]);
    say_protect(base, 2 * PAGE, PAGE_READWRITE);
    line_add("%d %d", base[0], base[PAGE]);
    say_probe("rw", base + PAGE);
    line_end();
    drop(base);
}

void conform_protect(void) {
    ranges();
    old_values();
    content();
}

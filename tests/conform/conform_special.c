/*
 * conform_special.c - guard pages, resets, and the kinds of memory that a region cannot hold: write watch, large pages,
 * windows for physical pages. See conform.h.
 */
#include "conform.h"

#include <string.h>

static void guard_once(const char *name, DWORD protect, const char *kinds) {
    char *base = make(4 * PAGE, RESERVE_COMMIT, PAGE_READWRITE);
    DWORD old;
    base[PAGE] = (char)0xc3;
    line_begin("guard", name);
    vm_protect(base + PAGE, PAGE, protect | PAGE_GUARD, &old);
    say_map(base, 4 * PAGE);
    say_probe(kinds, base + PAGE);
    say_map(base, 4 * PAGE);
    line_add("content=%x", (unsigned char)base[PAGE]);
    line_end();
    drop(base);
}

void conform_guard(void) {
    guard_once("read", PAGE_READWRITE, "rrw");
    guard_once("write", PAGE_READWRITE, "wwr");
    guard_once("write-to-readonly", PAGE_READONLY, "wwr");
    guard_once("execute", PAGE_EXECUTE_READ, "xxr");
    char *base = make(4 * PAGE, RESERVE_COMMIT, PAGE_READWRITE | PAGE_GUARD);
    line_begin("guard", "each-page-for-itself");
    say_probe("r", base + PAGE);
    say_map(base, 4 * PAGE);
    say_probe("w", base + 3 * PAGE + 5);
    say_map(base, 4 * PAGE);
    say_probe("rw", base);
    say_probe("rw", base + 2 * PAGE);
    say_map(base, 4 * PAGE);
    line_end();
    line_begin("guard", "armed-again");
    say_protect(base, PAGE, PAGE_READONLY | PAGE_GUARD);
    say_probe("rr", base);
    say_protect(base, PAGE, PAGE_READONLY | PAGE_GUARD);
    say_protect(base, PAGE, PAGE_READWRITE);
    say_probe("w", base);
    line_end();
    line_begin("guard", "old-after-hit");
    say_protect(base + PAGE, PAGE, PAGE_READONLY | PAGE_GUARD);
    say_probe("r", base + PAGE);
    say_protect(base + PAGE, PAGE, PAGE_READWRITE);
    line_end();
    line_begin("guard", "old-of-run-after-hit");
    say_protect(base, 4 * PAGE, PAGE_READWRITE | PAGE_GUARD);
    say_probe("r", base + 2 * PAGE);
    say_protect(base + 2 * PAGE, PAGE, PAGE_READONLY);
    say_protect(base, 4 * PAGE, PAGE_READWRITE);
    line_end();
    line_begin("guard", "committed-over");
    say_alloc(base, base, PAGE, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);
    say_alloc(base, base, PAGE, MEM_COMMIT, PAGE_READWRITE);
    say_probe("r", base);
    line_end();
    line_begin("guard", "decommitted");
    say_alloc(base, base, PAGE, MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);
    say_free(base, PAGE, MEM_DECOMMIT);
    say_probe("r", base);
    say_alloc(base, base, PAGE, MEM_COMMIT, PAGE_READWRITE);
    say_probe("r", base);
    line_end();
    drop(base);
}

static void reset_ranges(void) {
    static const struct {
        const char *name;
        SIZE_T offset, size;
        DWORD type, protect;
    } rows[] = {
        {"committed", 0, 2 * PAGE, MEM_RESET, PAGE_READWRITE},
        {"odd", PAGE + 1, 1, MEM_RESET, PAGE_READWRITE},
        {"other-protection", 0, PAGE, MEM_RESET, PAGE_NOACCESS},
        {"bad-protection", 0, PAGE, MEM_RESET, 0},
        {"write-copy", 0, PAGE, MEM_RESET, PAGE_WRITECOPY},
        {"reserved", 5 * PAGE, PAGE, MEM_RESET, PAGE_READWRITE},
        {"across-reserved", 0, 8 * PAGE, MEM_RESET, PAGE_READWRITE},
        {"past-end", 0, 8 * PAGE + 1, MEM_RESET, PAGE_READWRITE},
        {"at-end", 8 * PAGE, PAGE, MEM_RESET, PAGE_READWRITE},
        {"size-zero", 0, 0, MEM_RESET, PAGE_READWRITE},
        {"top-down", 0, PAGE, MEM_RESET | MEM_TOP_DOWN, PAGE_READWRITE},
        {"undo-past-end", 0, 8 * PAGE + 1, MEM_RESET_UNDO, PAGE_READWRITE},
        {"undo-bad-protection", 0, PAGE, MEM_RESET_UNDO, 0},
        {"undo-size-zero", 0, 0, MEM_RESET_UNDO, PAGE_READWRITE},
        {"undo-top-down", 0, PAGE, MEM_RESET_UNDO | MEM_TOP_DOWN, PAGE_READWRITE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *room = find_room(4 * UNIT);
        char *base = make_at(room, 8 * PAGE, MEM_RESERVE, PAGE_READWRITE);
        vm_alloc(base, 4 * PAGE, MEM_COMMIT, PAGE_READWRITE);
        memset(base, 0x33, 4 * PAGE);
        line_begin("reset", rows[i].name);
        say_alloc(base, base + rows[i].offset, rows[i].size, rows[i].type, rows[i].protect);
        line_add("beyond=%x", base[3 * PAGE] == 0x33 || base[3 * PAGE] == 0 ? 1 : 0);
        say_map(base, 8 * PAGE);
        say_probe("rw", base);
        line_end();
        drop(base);
    }
}

void conform_reset(void) {
    reset_ranges();
    char *base = make(4 * PAGE, RESERVE_COMMIT, PAGE_READWRITE);
    memset(base, 0x44, 4 * PAGE);
    line_begin("reset", "written-after");
    say_alloc(base, base, 4 * PAGE, MEM_RESET, PAGE_READWRITE);
    base[PAGE] = 0x45;
    line_add("%x", base[PAGE]);
    line_end();
    memset(base, 0x46, 4 * PAGE);
    line_begin("reset", "undo");
    say_alloc(base, base, 4 * PAGE, MEM_RESET, PAGE_READWRITE);
    error_arm();
    bool undone = vm_alloc(base, 4 * PAGE, MEM_RESET_UNDO, PAGE_READWRITE) != NULL;
    /* Either the content is there, or the call said that it may not be: both conform. */
    bool intact = true;
    for (SIZE_T i = 0; i < 4 * PAGE; i++) intact &= base[i] == 0x46;
    line_add("%s", undone && !intact ? "lost-without-a-word" : "honest");
    say_map(base, 4 * PAGE);
    line_end();
    drop(base);
}

/* On Windows the system reports which pages were written; Linux has no such call, and the line says so. */
static void say_written(char *base, SIZE_T size) {
#ifdef _WIN32
    void *pages[16];
    ULONG_PTR count = 16;
    ULONG granularity = 0;
    if (GetWriteWatch(WRITE_WATCH_FLAG_RESET, base, size, pages, &count, &granularity) != 0) {
        line_add("watch=fail");
        return;
    }
    line_add("written=%llu", (unsigned long long)count);
    for (ULONG_PTR i = 0; i < count; i++) line_add("+0x%llx", (unsigned long long)((char *)pages[i] - base));
#else
    (void)base;
    (void)size;
    line_add("watch=none");
#endif
}

static void write_watch(void) {
    char *base;
    line_begin("watch", "reserve");
    base = say_alloc(NULL, NULL, 8 * PAGE, MEM_RESERVE | MEM_WRITE_WATCH, PAGE_READWRITE);
    if (base) say_map(base, 8 * PAGE);
    line_end();
    if (!base) return;
    line_begin("watch", "commit");
    say_alloc(base, base, 4 * PAGE, MEM_COMMIT, PAGE_READWRITE);
    say_probe("rw", base);
    say_map(base, 8 * PAGE);
    line_end();
    line_begin("watch", "written");
    base[2 * PAGE] = 1;
    say_written(base, 8 * PAGE);
    say_written(base, 8 * PAGE);
    line_end();
    line_begin("watch", "protect");
    say_protect(base + PAGE, PAGE, PAGE_READONLY);
    say_probe("rw", base + PAGE);
    say_protect(base + PAGE, PAGE, PAGE_READWRITE);
    say_probe("rw", base + PAGE);
    say_map(base, 8 * PAGE);
    line_end();
    line_begin("watch", "decommit");
    say_free(base, 2 * PAGE, MEM_DECOMMIT);
    say_probe("r", base);
    say_alloc(base, base, PAGE, MEM_COMMIT, PAGE_READWRITE);
    line_add("content=%x", base[0]);
    say_map(base, 8 * PAGE);
    line_end();
    line_begin("watch", "release");
    say_free(base + PAGE, 0, MEM_RELEASE);
    say_free(base, 0, MEM_RELEASE);
    say_query(base, base);
    line_end();
}

static void large_pages(void) {
    SIZE_T size = 2048 * KIB;
    line_begin("large", "reserve-commit");
    char *base = say_alloc(NULL, NULL, size, RESERVE_COMMIT | MEM_LARGE_PAGES, PAGE_READWRITE);
    if (base) {
        line_add("%s", (uintptr_t)base % size ? "unaligned" : "aligned");
        say_probe("rw", base + size - 1);
        say_map(base, size);
        say_free(base, PAGE, MEM_DECOMMIT);
    }
    line_end();
    drop(base);
    line_begin("large", "odd-address");
    base = find_room(4 * size);
    char *odd = (char *)(((uintptr_t)base + size - 1) / size * size + UNIT);
    drop(say_alloc(base, odd, size, RESERVE_COMMIT | MEM_LARGE_PAGES, PAGE_READWRITE));
    line_end();
}

static void physical(void) {
    line_begin("physical", "reserve");
    char *base = say_alloc(NULL, NULL, 4 * PAGE, MEM_RESERVE | MEM_PHYSICAL, PAGE_READWRITE);
    if (base) {
        say_map(base, 4 * PAGE);
        say_alloc(base, base, PAGE, MEM_COMMIT, PAGE_READWRITE);
    }
    line_end();
    drop(base);
}

void conform_kinds(void) {
    write_watch();
    large_pages();
    physical();
}

/*
 * watch.c - write watch: what GetWriteWatch and ResetWriteWatch answer, and that no write is ever missed. It runs by itself, with
 * its memory the system's and with its memory the engine's, and must say the same each time: every answer is printed.
 *
 * usage: watch.exe [wine|engine] [threads]: who watches, and which part of it
 */
#include <windows.h>

#include <stdlib.h>
#include <string.h>

#include "check.h"

#define PAGE ((SIZE_T)4096)
#define RESERVE_COMMIT (MEM_RESERVE | MEM_COMMIT)

static void *found[512];
static ULONG_PTR count;
static DWORD granularity;
static bool wine_watches; /* the memory is watched by Wine: it does not see what it writes itself in WriteProcessMemory */

/* One call, and a line about it; true if it succeeded. */
static bool ask(const char *what, DWORD flags, char *base, SIZE_T size, ULONG_PTR room) {
    count = room;
    granularity = 77;
    SetLastError(4711);
    UINT result = GetWriteWatch(flags, base, size, found, &count, &granularity);
    printf("%s: %d, error %lu, granularity %lu, %llu pages:", what, (int)result, GetLastError(), granularity,
           (unsigned long long)count);
    for (ULONG_PTR i = 0; result == 0 && i < count; i++) {
        printf(" %lld", (long long)((char *)found[i] - base) / (long long)PAGE);
        CHECK_EQ((uintptr_t)found[i] % PAGE, 0);
        CHECK(i == 0 || found[i] > found[i - 1]);
    }
    printf("\n");
    return result == 0;
}

static void reset(const char *what, void *base, SIZE_T size) {
    SetLastError(4711);
    UINT result = ResetWriteWatch(base, size);
    printf("%s: %d, error %lu\n", what, (int)result, GetLastError());
}

/* Exactly these pages were written, by their numbers; ends with -1. */
static void expect_pages(int line, const int *pages) {
    ULONG_PTR i = 0;
    for (; pages[i] >= 0 && i < count; i++) {
        if (!CHECK(((uintptr_t)found[i] & 0xffff) / PAGE == (uintptr_t)pages[i] % 16)) printf("in line %d\n", line);
    }
    if (!CHECK(pages[i] < 0 && i == count)) printf("in line %d\n", line);
}
#define EXPECT(...) expect_pages(__LINE__, (const int[]){__VA_ARGS__, -1})
#define EXPECT_NONE() CHECK_EQ(count, 0)

static char *make(SIZE_T size, DWORD type, DWORD protect) {
    char *base = VirtualAlloc(NULL, size, type | MEM_WRITE_WATCH, protect);
    if (!CHECK(base != NULL)) exit(check_done());
    return base;
}

static void test_arguments(void) {
    char *base = make(16 * PAGE, RESERVE_COMMIT, PAGE_READWRITE);
    char *plain = VirtualAlloc(NULL, 16 * PAGE, RESERVE_COMMIT, PAGE_READWRITE);
    base[PAGE] = 1;
    CHECK(ask("all", 0, base, 16 * PAGE, 16));
    EXPECT(1);
    CHECK_EQ(granularity, PAGE);
    CHECK(!ask("no room", 0, base, 16 * PAGE, 0));
    CHECK(!ask("no size", 0, base, 0, 16));
    CHECK(!ask("unknown flag", 2, base, 16 * PAGE, 16));
    CHECK(!ask("unknown flags", 0xdeadbeef, base, 16 * PAGE, 16));
    CHECK(!ask("past the end", 0, base, 16 * PAGE + 1, 16));
    CHECK(!ask("past the end from within", 0, base + 15 * PAGE, PAGE + 1, 16));
    CHECK(!ask("all there is", 0, base, (SIZE_T)0 - PAGE, 16));
    CHECK(!ask("nowhere", 0, NULL, PAGE, 16));
    CHECK(!ask("unwatched", 0, plain, PAGE, 16));
    CHECK(!ask("an image", 0, (char *)GetModuleHandleA(NULL), PAGE, 16));
    CHECK(ask("in the middle of pages", 0, base + PAGE + 100, 16, 16));
    CHECK(count == 1 && found[0] == base + PAGE);
    CHECK(ask("two bytes of two pages", 0, base + 2 * PAGE - 1, 2, 16) && count == 1);
    CHECK(ask("to the last byte", 0, base + 15 * PAGE + 5, PAGE - 5, 16) && count == 0);
    count = 16;
    CHECK(GetWriteWatch(0, base, 16 * PAGE, NULL, &count, &granularity) != 0 && GetLastError() == ERROR_NOACCESS);
    CHECK(GetWriteWatch(0, base, 16 * PAGE, found, NULL, &granularity) != 0 && GetLastError() == ERROR_NOACCESS);
    CHECK(GetWriteWatch(0, base, 16 * PAGE, found, &count, NULL) != 0 && GetLastError() == ERROR_NOACCESS);
    CHECK(GetWriteWatch(0, base, 0, NULL, NULL, NULL) != 0 && GetLastError() == ERROR_NOACCESS);
    CHECK(GetWriteWatch(8, base, 16 * PAGE, NULL, &count, &granularity) != 0 && GetLastError() == ERROR_INVALID_PARAMETER);
    reset("reset of nothing", base, 0);
    reset("reset past the end", base, 17 * PAGE);
    reset("reset of nowhere", NULL, PAGE);
    reset("reset of unwatched", plain, PAGE);
    CHECK(ask("none of these reset", 0, base, 16 * PAGE, 16));
    EXPECT(1);
    reset("reset", base + PAGE + 7, 1);
    CHECK(ask("it did", 0, base, 16 * PAGE, 16));
    EXPECT_NONE();
    CHECK(VirtualFree(base, 0, MEM_RELEASE) && VirtualFree(plain, 0, MEM_RELEASE));
    CHECK(!ask("released", 0, base, PAGE, 16));
    CHECK(VirtualAlloc(NULL, PAGE, MEM_WRITE_WATCH, PAGE_READWRITE) == NULL);
}

/* Two allocations, one behind the other, are not one. */
static void test_neighbours(void) {
    char *place = make(1 << 20, MEM_RESERVE, PAGE_READWRITE);
    CHECK(VirtualFree(place, 0, MEM_RELEASE));
    char *first = VirtualAlloc(place, 65536, RESERVE_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
    char *second = VirtualAlloc(place + 65536, 65536, RESERVE_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
    if (!CHECK(first == place && second == place + 65536)) return;
    first[65535] = second[0] = 1;
    CHECK(!ask("across two", WRITE_WATCH_FLAG_RESET, first, 2 * 65536, 16));
    reset("reset across two", first, 2 * 65536);
    CHECK(ask("the first", 0, first, 65536, 16));
    EXPECT(15);
    CHECK(ask("the second", 0, second, 65536, 16));
    EXPECT(0);
    CHECK(VirtualFree(second, 0, MEM_RELEASE) && VirtualFree(first, 0, MEM_RELEASE));
    second = VirtualAlloc(place, 2 * 65536, RESERVE_COMMIT | MEM_WRITE_WATCH, PAGE_READWRITE);
    CHECK(second == place && ask("the same place anew", 0, second, 2 * 65536, 16) && count == 0);
    CHECK(VirtualFree(second, 0, MEM_RELEASE));
}

static void test_writes(void) {
    char *base = make(16 * PAGE, RESERVE_COMMIT, PAGE_READWRITE);
    volatile char *read = base;
    ULONG_PTR in_all = 0;
    for (int i = 0; i < 16; i++) CHECK(read[i * PAGE] == 0);
    CHECK(ask("only read", 0, base, 16 * PAGE, 16));
    EXPECT_NONE();
    read[3 * PAGE] = 0; /* a zero on a zero is a write */
    read[9 * PAGE] = 5;
    CHECK(ask("written", 0, base, 16 * PAGE, 16));
    EXPECT(3, 9);
    CHECK(ask("still", WRITE_WATCH_FLAG_RESET, base, 16 * PAGE, 16));
    EXPECT(3, 9);
    CHECK(ask("reset", WRITE_WATCH_FLAG_RESET, base, 16 * PAGE, 16));
    EXPECT_NONE();
    CHECK(read[9 * PAGE] == 5);
    read[9 * PAGE] = 5;
    CHECK(ask("the same byte again", 0, base, 16 * PAGE, 16));
    EXPECT(9);
    memset(base, 1, 16 * PAGE);
    for (ULONG_PTR room = 1; in_all < 16; room++) { /* only what was told is reset */
        CHECK(ask("with little room", WRITE_WATCH_FLAG_RESET, base, 16 * PAGE, room));
        if (!CHECK(count > 0 && found[0] == base + in_all * PAGE)) break;
        in_all += count;
    }
    CHECK(ask("all told", 0, base, 16 * PAGE, 16));
    EXPECT_NONE();
    memset(base, 2, 16 * PAGE);
    reset("part", base + 4 * PAGE, 8 * PAGE);
    CHECK(ask("outside the part", 0, base, 16 * PAGE, 16));
    EXPECT(0, 1, 2, 3, 12, 13, 14, 15);
    CHECK(VirtualFree(base, 0, MEM_RELEASE));
}

/* What the system writes for the program counts, whether the page was written before, reset, or neither. */
static void test_system_writes(void) {
    char *base = make(16 * PAGE, RESERVE_COMMIT, PAGE_READWRITE), name[MAX_PATH], value[8] = "written";
    HANDLE file;
    DWORD done = 0;
    SIZE_T copied = 0;
    if (!CHECK(GetTempFileNameA(".", "hmw", 0, name))) return;
    file = CreateFileA(name, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, FILE_FLAG_DELETE_ON_CLOSE, NULL);
    base[8 * PAGE] = 8;
    CHECK(WriteFile(file, base, 16 * PAGE, &done, NULL) && done == 16 * PAGE);
    CHECK(ask("a file is written from it", WRITE_WATCH_FLAG_RESET, base, 16 * PAGE, 16));
    EXPECT(8);
    for (int round = 0; round < 2; round++) {
        SetFilePointer(file, 0, NULL, FILE_BEGIN);
        CHECK(ReadFile(file, base + 2 * PAGE + 100, 2 * PAGE, &done, NULL) && done == 2 * PAGE);
        CHECK(ask("a file is read into it", WRITE_WATCH_FLAG_RESET, base, 16 * PAGE, 16));
        EXPECT(2, 3, 4);
    }
    CHECK(WriteProcessMemory(GetCurrentProcess(), base + 7 * PAGE, value, sizeof value, &copied) && copied == sizeof value);
    CHECK(ask("by WriteProcessMemory", 0, base, 16 * PAGE, 16));
    if (!wine_watches) EXPECT(7);
    CloseHandle(file);
    CHECK(VirtualFree(base, 0, MEM_RELEASE));
}

static void test_protection(void) {
    static const DWORD protections[] = {PAGE_READONLY, PAGE_NOACCESS, PAGE_EXECUTE_READ, PAGE_READWRITE | PAGE_GUARD,
                                        PAGE_EXECUTE_READWRITE};
    char *base = make(16 * PAGE, MEM_RESERVE, PAGE_NOACCESS);
    DWORD old;
    CHECK(ask("reserved", 0, base, 16 * PAGE, 16));
    EXPECT_NONE();
    CHECK(VirtualAlloc(base, 16 * PAGE, MEM_COMMIT, PAGE_NOACCESS) == base);
    CHECK(ask("without access", 0, base, 16 * PAGE, 16));
    EXPECT_NONE();
    CHECK(VirtualProtect(base, 16 * PAGE, PAGE_READWRITE, &old) && old == PAGE_NOACCESS);
    for (int i = 0; i < 5; i++) {
        base[(5 + i) * PAGE] = 1;
        for (int again = 0; again < 2; again++) {
            CHECK(VirtualProtect(base, 16 * PAGE, protections[i], &old) && old == PAGE_READWRITE);
            CHECK(ask("protected", again ? WRITE_WATCH_FLAG_RESET : 0, base, 16 * PAGE, 16));
            EXPECT(5 + i);
            CHECK(VirtualProtect(base, 16 * PAGE, PAGE_READWRITE, &old));
        }
        CHECK(ask("unprotected", 0, base, 16 * PAGE, 16));
        EXPECT_NONE();
    }
    CHECK(VirtualFree(base, 0, MEM_RELEASE));
}

/* A page that was written stays written while nobody resets it, whether it is there or not. */
static void test_decommit(void) {
    static const DWORD protections[] = {PAGE_READWRITE, PAGE_READONLY, PAGE_NOACCESS, PAGE_EXECUTE_READWRITE};
    char *base = make(16 * PAGE, MEM_RESERVE, PAGE_READWRITE);
    DWORD old;
    CHECK(VirtualAlloc(base, 8 * PAGE, MEM_COMMIT, PAGE_READWRITE) == base);
    CHECK(ask("half committed", 0, base, 16 * PAGE, 16));
    EXPECT_NONE();
    base[PAGE] = base[4 * PAGE] = base[6 * PAGE] = 1;
    CHECK(VirtualFree(base + 4 * PAGE, 2 * PAGE, MEM_DECOMMIT));
    CHECK(ask("a part decommitted", 0, base, 16 * PAGE, 16));
    EXPECT(1, 4, 6);
    CHECK(VirtualAlloc(base + 4 * PAGE, 2 * PAGE, MEM_COMMIT, PAGE_READWRITE) && base[4 * PAGE] == 0);
    CHECK(ask("committed again", 0, base, 16 * PAGE, 16));
    EXPECT(1, 4, 6);
    CHECK(VirtualFree(base, 8 * PAGE, MEM_DECOMMIT) && VirtualFree(base, 16 * PAGE, MEM_DECOMMIT));
    CHECK(ask("one of three told", WRITE_WATCH_FLAG_RESET, base, 16 * PAGE, 1));
    EXPECT(1);
    CHECK(ask("the others", 0, base, 16 * PAGE, 16));
    EXPECT(4, 6);
    reset("reset of uncommitted pages", base, 5 * PAGE);
    CHECK(ask("the last", 0, base, 16 * PAGE, 16));
    EXPECT(6);
    CHECK(VirtualAlloc(base, 16 * PAGE, MEM_COMMIT, PAGE_READWRITE) == base && base[6 * PAGE] == 0);
    CHECK(ask("all committed", WRITE_WATCH_FLAG_RESET, base, 16 * PAGE, 16));
    EXPECT(6);
    CHECK(VirtualFree(base + 6 * PAGE, PAGE, MEM_DECOMMIT) && VirtualAlloc(base + 6 * PAGE, PAGE, MEM_COMMIT, PAGE_READWRITE));
    CHECK(ask("what was reset comes back unwritten", 0, base, 16 * PAGE, 16));
    EXPECT_NONE();
    for (int i = 0; i < 4; i++) {
        base[7 * PAGE] = 7;
        CHECK(VirtualFree(base + 6 * PAGE, 4 * PAGE, MEM_DECOMMIT));
        CHECK(VirtualAlloc(base + 6 * PAGE, 4 * PAGE, MEM_COMMIT, protections[i]) == base + 6 * PAGE);
        CHECK(ask("committed again, otherwise", WRITE_WATCH_FLAG_RESET, base, 16 * PAGE, 16));
        EXPECT(7);
        CHECK(VirtualProtect(base + 6 * PAGE, 4 * PAGE, PAGE_READWRITE, &old) && old == protections[i] && base[7 * PAGE] == 0);
    }
    CHECK(VirtualFree(base, 0, MEM_RELEASE));
}

/* Content may go, but not the knowledge that it was written. */
static void test_reset_content(void) {
    char *base = make(16 * PAGE, RESERVE_COMMIT, PAGE_READWRITE);
    base[2 * PAGE] = base[3 * PAGE] = 1;
    CHECK(VirtualAlloc(base, 16 * PAGE, MEM_RESET, PAGE_READWRITE) == base);
    CHECK(ask("after MEM_RESET", WRITE_WATCH_FLAG_RESET, base, 16 * PAGE, 16));
    EXPECT(2, 3);
    CHECK(VirtualAlloc(base, 16 * PAGE, MEM_RESET, PAGE_READWRITE) == base);
    CHECK(ask("after another", 0, base, 16 * PAGE, 16));
    EXPECT_NONE();
    CHECK(VirtualFree(base, 0, MEM_RELEASE));
}

/* 64 MiB, in which few pages are written; the second time after all were, and the third after a decommit. */
static void test_large(void) {
    enum { PAGES = 16384, STEP = 37 };
    SIZE_T size = PAGES * PAGE;
    char *base = make(size, MEM_RESERVE, PAGE_READWRITE);
    MEMORY_BASIC_INFORMATION info;
    DWORD old;
    for (SIZE_T at = 0; at < size; at += 128 * 1024) CHECK(VirtualAlloc(base + at, 128 * 1024, MEM_COMMIT, PAGE_READWRITE));
    CHECK(VirtualProtect(base + size / 2, 100 * PAGE, PAGE_EXECUTE_READWRITE, &old));
    for (int round = 0; round < 3; round++) {
        int next = 0;
        for (int i = 0; i < PAGES; i += STEP) base[i * PAGE] = (char)round;
        for (ULONG_PTR from = 0;;) { /* as the CLR asks: in pieces, each from behind the last page told */
            count = 100;
            if (!CHECK_EQ(GetWriteWatch(WRITE_WATCH_FLAG_RESET, base + from, size - from, found, &count, &granularity), 0)) break;
            for (ULONG_PTR i = 0; i < count; i++, next += STEP) CHECK(found[i] == base + next * PAGE);
            if (count < 100) break;
            from = (SIZE_T)((char *)found[99] - base) + PAGE;
        }
        CHECK_EQ(next, (PAGES + STEP - 1) / STEP * STEP);
        CHECK(ask("told", 0, base, size, 512));
        EXPECT_NONE();
        memset(base, 1, size);
        if (round == 1) {
            CHECK(VirtualFree(base + size / 4, size / 2, MEM_DECOMMIT));
            CHECK(VirtualAlloc(base + size / 4, size / 2, MEM_COMMIT, PAGE_READWRITE));
        }
        CHECK_EQ(ResetWriteWatch(base, size), 0);
    }
    CHECK(VirtualQuery(base, &info, sizeof info) && info.RegionSize == size && info.AllocationProtect == PAGE_READWRITE);
    CHECK(VirtualFree(base, 0, MEM_RELEASE));
}

/* ---- Threads ------------------------------------------------------------------------------------------------------ */

/*
 * In each round writers count once in each of their pages, while pages that were written are reset and copied, and protections
 * change. A page that is missed once is wrong at the round's end, since nobody writes there again. The last pages are decommitted
 * and committed anew in each round, and then written.
 */
enum { WRITERS = 4, BUSY_PAGES = 512, NEW_PAGES = 64, ALL_PAGES = BUSY_PAGES + NEW_PAGES, RUN_MS = 2000 };
static uint64_t *busy;
static volatile LONG round_now, arrived, stop;

static DWORD WINAPI write_on(LPVOID number) {
    for (LONG mine = 1; !stop; mine++) {
        while (round_now < mine && !stop) SwitchToThread();
        for (SIZE_T i = (uintptr_t)number; i < BUSY_PAGES && !stop; i += WRITERS) {
            SIZE_T page = (i * 211 + (SIZE_T)mine / 8 * WRITERS) % BUSY_PAGES;
            ((volatile uint64_t *)busy)[page * 512 + (SIZE_T)mine % 512]++;
        }
        InterlockedIncrement(&arrived);
    }
    return 0;
}

static DWORD WINAPI renew_on(LPVOID unused) {
    (void)unused;
    for (LONG mine = 1; !stop; mine++) {
        while (round_now < mine && !stop) SwitchToThread();
        SIZE_T from = BUSY_PAGES + (SIZE_T)mine * 7 % (NEW_PAGES / 2), pages = 1 + (SIZE_T)mine % (NEW_PAGES / 2);
        CHECK(VirtualFree(busy + from * 512, pages * PAGE, MEM_DECOMMIT));
        CHECK(VirtualAlloc(busy + from * 512, pages * PAGE, MEM_COMMIT, PAGE_READWRITE) != NULL);
        for (SIZE_T i = BUSY_PAGES; i < ALL_PAGES; i++) ((volatile uint64_t *)busy)[i * 512 + (SIZE_T)mine % 512]++;
        InterlockedIncrement(&arrived);
    }
    return 0;
}

static DWORD WINAPI protect_on(LPVOID unused) {
    DWORD old;
    (void)unused;
    for (unsigned i = 0; !stop; i++) {
        SIZE_T first = i * 97 % (BUSY_PAGES - 64);
        DWORD protect = i & 1 ? PAGE_EXECUTE_READWRITE : PAGE_READWRITE;
        CHECK(VirtualProtect((char *)busy + first * PAGE, (1 + i % 64) * PAGE, protect, &old));
        Sleep(1);
    }
    return 0;
}

static void collect(uint64_t *shadow, uint64_t *pages) {
    do {
        count = 100;
        if (!CHECK_EQ(GetWriteWatch(WRITE_WATCH_FLAG_RESET, busy, ALL_PAGES * PAGE, found, &count, &granularity), 0)) break;
        for (ULONG_PTR i = 0; i < count; i++) {
            uint64_t *from = found[i], *to = shadow + (from - busy);
            SIZE_T copied;
            /* A page that is gone by now will be told again. */
            if (from >= busy + BUSY_PAGES * 512) ReadProcessMemory(GetCurrentProcess(), from, to, PAGE, &copied);
            for (int word = 0; word < 512 && from < busy + BUSY_PAGES * 512; word++) to[word] = ((volatile uint64_t *)from)[word];
        }
        *pages += count;
    } while (count == 100);
}

static void test_threads(void) {
    uint64_t *shadow = VirtualAlloc(NULL, ALL_PAGES * PAGE, RESERVE_COMMIT, PAGE_READWRITE), pages = 0;
    HANDLE thread[WRITERS + 2];
    busy = (uint64_t *)make(ALL_PAGES * PAGE, RESERVE_COMMIT, PAGE_READWRITE);
    for (int i = 0; i < WRITERS + 2; i++) {
        LPTHREAD_START_ROUTINE body = i < WRITERS ? write_on : i == WRITERS ? renew_on : protect_on;
        thread[i] = CreateThread(NULL, 0, body, (LPVOID)(uintptr_t)i, 0, NULL);
        CHECK(thread[i] != NULL);
    }
    for (DWORD start = GetTickCount(); GetTickCount() - start < RUN_MS;) {
        arrived = 0;
        InterlockedIncrement(&round_now);
        while (arrived < WRITERS + 1) collect(shadow, &pages);
        collect(shadow, &pages);
        if (!CHECK(memcmp(busy, shadow, ALL_PAGES * PAGE) == 0)) break;
    }
    stop = 1;
    for (int i = 0; i < WRITERS + 2; i++) CHECK_EQ(WaitForSingleObject(thread[i], 60000), WAIT_OBJECT_0);
    CHECK(round_now > 2 && pages >= (uint64_t)(round_now - 1) * ALL_PAGES);
    printf("%ld rounds, %llu pages\n", round_now, (unsigned long long)pages);
    CHECK(VirtualFree(busy, 0, MEM_RELEASE) && VirtualFree(shadow, 0, MEM_RELEASE));
}

int main(int argc, char **argv) {
    wine_watches = argc > 1 && strcmp(argv[1], "wine") == 0;
    if (argc > 1 && strcmp(argv[argc - 1], "threads") == 0) {
        test_threads();
        return check_done();
    }
    test_arguments();
    test_neighbours();
    test_writes();
    test_system_writes();
    test_protection();
    test_decommit();
    test_reset_content();
    test_large();
    return check_done();
}

/*
 * Queries: every byte of an address range is described once and consistently, memory of others is described by the system,
 * and a query answers while another thread is stopped in the middle of a commit.
 */
#include "vm/query.h"

#include <string.h>

#include "check.h"
#include "core/pages.h"
#include "core/space.h"
#include "hostmem.h"
#include "thread.h"

#define KIB 1024u

static int some_data = 1;

static MEMORY_BASIC_INFORMATION ask(const void *p) {
    MEMORY_BASIC_INFORMATION info;
    memset(&info, 0xee, sizeof info);
    CHECK_EQ(HmVirtualQuery(p, &info, sizeof info), sizeof info);
    return info;
}

static void foreign(void) {
    int on_stack = 0;
    MEMORY_BASIC_INFORMATION stack = ask(&on_stack), data = ask(&some_data), code = ask((void *)(uintptr_t)foreign);
    CHECK_EQ(stack.State, MEM_COMMIT);
    CHECK_EQ(stack.Protect, PAGE_READWRITE);
    CHECK_EQ(stack.Type, MEM_PRIVATE);
    CHECK_EQ(data.State, MEM_COMMIT);
    CHECK(data.Protect == PAGE_READWRITE || data.Protect == PAGE_WRITECOPY);
    CHECK_EQ(code.State, MEM_COMMIT);
    CHECK_EQ(code.Protect, PAGE_EXECUTE_READ);
    CHECK_EQ(code.Type, MEM_IMAGE);
    CHECK((uintptr_t)&some_data - (uintptr_t)data.BaseAddress < data.RegionSize);
    MEMORY_BASIC_INFORMATION low = ask((void *)(uintptr_t)0x1000);
    CHECK_EQ(low.State, MEM_FREE);
    CHECK_EQ((uintptr_t)low.AllocationBase, 0);
    CHECK_EQ(low.Protect, PAGE_NOACCESS);
}

static _Alignas(4096) char page_of_mine[8192];

static void foreign_protect(void) {
    DWORD old = 0;
    CHECK(HmVirtualProtect(page_of_mine, 4096, PAGE_READONLY, &old));
    CHECK(old == PAGE_READWRITE || old == PAGE_WRITECOPY);
    CHECK_EQ(ask(page_of_mine).Protect, PAGE_READONLY);
    CHECK(HmVirtualProtect(page_of_mine, 4096, PAGE_READWRITE, &old));
    CHECK_EQ(old, PAGE_READONLY);
    page_of_mine[0] = 1;
    bool view = ask(page_of_mine).Type != MEM_PRIVATE; /* Windows has zeroed data in the image, Linux beside it */
    CHECK(!HmVirtualFree(page_of_mine, 0, MEM_RELEASE));
    CHECK_EQ(HmGetLastError(), view ? ERROR_INVALID_PARAMETER : ERROR_INVALID_ADDRESS);
    CHECK(!HmVirtualFree((void *)(uintptr_t)foreign_protect, 1, MEM_DECOMMIT));
    CHECK_EQ(HmGetLastError(), ERROR_INVALID_PARAMETER);
    CHECK(!HmVirtualProtect((void *)(uintptr_t)0x1000, 4096, PAGE_READONLY, &old));
}

/* Walking over an allocation whose pages are in many states meets each page once, and the walk agrees with single queries. */
static void walk(void) {
    char *p = HmVirtualAlloc(NULL, 1024 * KIB, MEM_RESERVE, PAGE_READONLY);
    uint64_t random = 7;
    DWORD old;
    for (int i = 0; i < 40; i++) {
        char *at = p + thread_random(&random) % 200 * 4 * KIB;
        size_t size = (1 + thread_random(&random) % 50) * 4 * KIB;
        CHECK(HmVirtualAlloc(at, size, MEM_COMMIT, i % 2 ? PAGE_READWRITE : PAGE_EXECUTE_READ) == at);
        if (i % 3 == 0) CHECK(HmVirtualFree(at, size / 2 + 1, MEM_DECOMMIT));
        if (i % 5 == 0 && ask(at).State == MEM_COMMIT) CHECK(HmVirtualProtect(at, 1, PAGE_READWRITE | PAGE_NOCACHE, &old));
    }
    size_t runs = 0;
    for (char *at = p; at < p + 1024 * KIB;) {
        MEMORY_BASIC_INFORMATION run = ask(at), inner = ask(at + run.RegionSize - 1);
        CHECK_EQ((uintptr_t)run.BaseAddress, (uintptr_t)at);
        CHECK_EQ((uintptr_t)run.AllocationBase, (uintptr_t)p);
        CHECK_EQ(run.AllocationProtect, PAGE_READONLY);
        CHECK_EQ(inner.Protect, run.Protect);
        CHECK_EQ(inner.RegionSize, 4 * KIB);
        MEMORY_BASIC_INFORMATION next = ask(at + run.RegionSize);
        CHECK(next.State != run.State || next.Protect != run.Protect);
        at += run.RegionSize;
        runs++;
    }
    CHECK(runs > 5);
    CHECK(HmVirtualFree(p, 0, MEM_RELEASE));
    MEMORY_BASIC_INFORMATION gone = ask(p + 5);
    CHECK_EQ(gone.State, MEM_FREE);
    CHECK_EQ((uintptr_t)gone.BaseAddress, (uintptr_t)p);
}

static void free_ranges(void) {
    char *a = HmVirtualAlloc(NULL, 4 * KIB, MEM_RESERVE, PAGE_READWRITE);
    MEMORY_BASIC_INFORMATION rest = ask(a + 4 * KIB); /* of the granule: nobody can have it, but it is free */
    CHECK_EQ(rest.State, MEM_FREE);
    char *b = HmVirtualAlloc(a + 640 * KIB, 64 * KIB, MEM_RESERVE, PAGE_READWRITE);
    CHECK(b == a + 640 * KIB);
    CHECK_EQ(ask(a + 4 * KIB).RegionSize, 636 * KIB);
    CHECK_EQ(ask(a + 128 * KIB).RegionSize, 512 * KIB);
    char *c = HmVirtualAlloc(a + 128 * KIB, 512 * KIB, MEM_RESERVE, PAGE_READWRITE); /* all of the free range */
    CHECK(c == a + 128 * KIB);
    CHECK(HmVirtualFree(a, 0, MEM_RELEASE) && HmVirtualFree(b, 0, MEM_RELEASE) && HmVirtualFree(c, 0, MEM_RELEASE));
}

/* Another thread holds the pages, as one that was stopped in the middle of a commit does: queries and other pages do not care. */
static void nobody_is_waited_for(void) {
    char *p = HmVirtualAlloc(NULL, 64 * KIB, MEM_RESERVE, PAGE_READWRITE);
    pages_lock(page_of((uintptr_t)p), 4);
    CHECK_EQ(ask(p).State, MEM_RESERVE);
    CHECK(HmVirtualAlloc(p + 16 * KIB, 4 * KIB, MEM_COMMIT, PAGE_READWRITE) != NULL);
    CHECK_EQ(ask(p).RegionSize, 16 * KIB);
    pages_unlock(page_of((uintptr_t)p), 4);
    CHECK(HmVirtualFree(p, 0, MEM_RELEASE));
}

static void system_memory(void) {
    char *p = HmVirtualAlloc(NULL, (SIZE_T)9 << 30, MEM_RESERVE, PAGE_READWRITE);
    if (!CHECK(p != NULL)) return;
    CHECK_EQ(ask(p + ((SIZE_T)8 << 30)).RegionSize, (SIZE_T)1 << 30);
    CHECK(HmVirtualAlloc(p + ((SIZE_T)4 << 30) - 8 * KIB, 16 * KIB, MEM_COMMIT, PAGE_READWRITE) != NULL);
    MEMORY_BASIC_INFORMATION middle = ask(p + ((SIZE_T)4 << 30) - 8 * KIB);
    CHECK_EQ(middle.RegionSize, 16 * KIB);
    CHECK_EQ((uintptr_t)middle.AllocationBase, (uintptr_t)p);
    CHECK(!space_in_region((uintptr_t)p));
    CHECK(HmVirtualFree(p, 0, MEM_RELEASE));
    CHECK_EQ(ask(p).State, MEM_FREE);
}

/* Of a large reservation, of which a few pages here and there were used: the runs add up, wherever the sheets and slots end. */
static void sparse(void) {
    SIZE_T size = ((SIZE_T)20 << 30) + 12 * KIB;
    char *p = HmVirtualAlloc(NULL, size, MEM_RESERVE, PAGE_READWRITE);
    if (!CHECK(p != NULL)) return;
    CHECK_EQ(ask(p).RegionSize, size);
    CHECK_EQ(ask(p + 4 * KIB).RegionSize, size - 4 * KIB);
    CHECK_EQ(ask(p + size - 4 * KIB).RegionSize, 4 * KIB);
    uintptr_t sheet = align_up((uintptr_t)p, SHEET_BYTES), slot = align_up(sheet + 65 * SHEET_BYTES, SLOT_BYTES);
    char *used[] = {p + 8 * KIB, (char *)sheet + 64 * SHEET_BYTES, (char *)slot - 8 * KIB, (char *)slot,
                    (char *)slot + SLOT_BYTES - 4 * KIB, (char *)slot + 2 * SLOT_BYTES + SHEET_BYTES, p + size - 4 * KIB};
    enum { USED = sizeof used / sizeof *used };
    for (int i = 0; i < USED; i++) CHECK(HmVirtualAlloc(used[i], 4 * KIB, MEM_COMMIT, PAGE_READWRITE) == used[i]);
    char *from = p;
    for (int i = 0; i < USED; i++) {
        CHECK_EQ(ask(from).RegionSize, (size_t)(used[i] - from));
        CHECK_EQ(ask(used[i]).RegionSize, 4 * KIB);
        from = used[i] + 4 * KIB;
    }
    /* What was used once is one run with what never was. */
    for (int i = 0; i < USED; i++) CHECK(HmVirtualFree(used[i], 4 * KIB, MEM_DECOMMIT));
    CHECK_EQ(ask(p).RegionSize, size);
    CHECK(HmVirtualFree(p, 0, MEM_RELEASE));
}

int main(void) {
    sparse();
    foreign();
    foreign_protect();
    walk();
    free_ranges();
    nobody_is_waited_for();
    system_memory();
    return check_done();
}

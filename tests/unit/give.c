/*
 * give.c - address space given back to the system: what was a region's free end is the system's afterwards, for every call, and
 * nothing that lives loses anything; a region that is all free goes as a whole, and may come back.
 */
#include "core/region.h"

#include <string.h>

#include "check.h"
#include "core/bitmap.h"
#include "heap/slab.h"
#include "hostmem.h"
#include "os/fault.h"
#include "os/os.h"
#include "thread.h"
#include "vm/spans.h"

#define MIB ((SIZE_T)1 << 20)

/* What a call says of an address that is the system's and free. */
static void check_foreign_free(void *address) {
    MEMORY_BASIC_INFORMATION info;
    CHECK(!space_in_region((uintptr_t)address));
    CHECK(HmVirtualQuery(address, &info, sizeof info) == sizeof info);
    CHECK(info.State == MEM_FREE);
}

#ifndef _WIN32
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static size_t tail_of(const struct slot *slot) {
    size_t end = GRANULES_PER_SLOT - (size_t)slot->given, first = end;
    while (first > 0 && !bitmap_taken(slot->taken, first - 1)) first--;
    return end - first;
}

static void test_tail(void) {
    uintptr_t base;
    char *block = HmVirtualAlloc(NULL, 3 * MIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    struct slot *slot = region_slot(0, &base);
    if (!CHECK(block && slot)) return;
    memset(block, 7, 3 * MIB);
    size_t tail = tail_of(slot);
    uintptr_t end = base + SLOT_BYTES;
    struct region_totals before, after;
    region_totals(&before);
    /* As much as is asked for, rounded up to a granule, from the end. */
    CHECK_EQ(region_give(0, 10 * MIB - 5), 10 * MIB);
    CHECK_EQ(tail_of(slot), tail - 160);
    region_totals(&after);
    CHECK_EQ(after.granules_taken, before.granules_taken);
    char *given = (char *)end - 10 * MIB;
    check_foreign_free(given);
    CHECK(space_in_region((uintptr_t)given - 1));
    /* The part of the region in front of it ends there. */
    MEMORY_BASIC_INFORMATION info;
    CHECK(HmVirtualQuery(given - 65536, &info, sizeof info) && info.State == MEM_FREE && info.RegionSize == 65536);
    /* The system maps something there: it is foreign memory like any other. */
    char *view = mmap(given + 65536, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK(view == given + 65536);
    DWORD old = 0;
    CHECK(HmVirtualProtect(view, 4096, PAGE_READWRITE, &old) && old == PAGE_READONLY);
    CHECK(!HmVirtualFree(view, 0, MEM_RELEASE) && HmGetLastError() == ERROR_INVALID_ADDRESS);
    CHECK(HmVirtualAlloc(view, 65536, MEM_RESERVE, PAGE_READWRITE) == NULL);
    munmap(view, 65536);
    /* And the engine may ask for addresses there like anybody else. */
    for (int i = 0; i < 2; i++) {
        char *own = HmVirtualAlloc(given + 131072, 131072, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
        if (CHECK(own == given + 131072)) own[131071] = 1;
        CHECK(HmVirtualQuery(own + 4096, &info, sizeof info) && info.AllocationBase == own && info.State == MEM_COMMIT);
        CHECK(HmVirtualFree(own, 0, MEM_RELEASE));
        check_foreign_free(given + 131072);
    }
    /* From an address on; not where something lives behind it. */
    CHECK_EQ(region_give((uintptr_t)given - MIB, 4096), MIB);
    CHECK_EQ(region_give((uintptr_t)block, 4096), 0);
#ifdef HM_FAULT
    tail = tail_of(slot);
    os_fault_set("release_part", 1, true);
    CHECK_EQ(region_give(0, MIB), 0);
    os_fault_set(NULL, 0, false);
    CHECK_EQ(tail_of(slot), tail);
#endif
    /* No matter how much: what lives stays as it is, and more can be had. */
    CHECK(region_give(0, 0) > 0);
    CHECK_EQ(tail_of(slot), 0);
    size_t wrong = 0;
    for (size_t i = 0; i < 3 * MIB; i++) wrong += block[i] != 7;
    CHECK_EQ(wrong, 0);
    for (int i = 0; i < 3; i++) {
        char *more = HmVirtualAlloc(NULL, 3000 * MIB, MEM_RESERVE, PAGE_READWRITE);
        CHECK(more && HmVirtualAlloc(more + 2000 * MIB, 4096, MEM_COMMIT, PAGE_READWRITE));
        CHECK(more && HmVirtualFree(more, 0, MEM_RELEASE));
    }
    CHECK(HmVirtualFree(block, 0, MEM_RELEASE));
}

/* A process that has used up its address space: a mapping fails, the CLR pleads, the same mapping succeeds. */
static int starved(void) {
    IHostMemoryManager *m;
    if (HmCreateMemoryManager(NULL, &m) != S_OK || !HmVirtualAlloc(NULL, MIB, MEM_RESERVE, PAGE_READWRITE)) return 1;
    char text[200] = "";
    FILE *statm = fopen("/proc/self/statm", "r");
    if (!statm || !fgets(text, sizeof text, statm)) return 2;
    fclose(statm);
    rlim_t used = (rlim_t)strtoull(text, NULL, 10) << PAGE_SHIFT;
    if (setrlimit(RLIMIT_AS, &(struct rlimit){used + 64 * MIB, used + 64 * MIB}) != 0) return 3;
    if (mmap(NULL, 1000 * MIB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED) return 4;
    if (m->lpVtbl->NeedsVirtualAddressSpace(m, NULL, 1000 * MIB) != S_OK) return 5;
    if (mmap(NULL, 1000 * MIB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED) return 6;
    return m->lpVtbl->NeedsVirtualAddressSpace(m, NULL, 5000 * MIB) == E_OUTOFMEMORY ? 0 : 7;
}

static void test_starved(void) {
    fflush(NULL);
    int status = -1;
    pid_t pid = fork();
#ifdef HM_ATOM_BUILTIN /* ThreadSanitizer's own mappings are not to be bounded */
    if (pid == 0) _exit(0);
#endif
    if (pid == 0) _exit(starved());
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK_EQ(status, 0);
}
#endif

/* A region of its own is filled, emptied, given back, and made again. */
static void test_whole(void) {
    uintptr_t first = 0, base = 0;
    struct region_totals totals;
    char *filler = HmVirtualAlloc(NULL, SLOT_BYTES, MEM_RESERVE, PAGE_READWRITE);
    if (!CHECK(filler && space_in_region((uintptr_t)filler))) return;
    struct slot *slot = space_slot((uintptr_t)filler);
    CHECK(HmVirtualFree(filler, 0, MEM_RELEASE));
    CHECK_EQ(region_give(0, SLOT_BYTES), SLOT_BYTES);
    check_foreign_free(filler);
    check_foreign_free(filler + SLOT_BYTES - 65536);
    /* The addresses are anybody's, the engine's too. */
    char *own = HmVirtualAlloc(filler + MIB, MIB, MEM_RESERVE, PAGE_READWRITE);
    if (CHECK(own == filler + MIB)) CHECK(HmVirtualFree(own, 0, MEM_RELEASE));
    region_totals(&totals);
    /* The same place again, as far as the system gives it: by taking all of it as a region would. */
    enum status status = os_reserve((uintptr_t)filler, SLOT_BYTES, SLOT_BYTES, OS_PLAIN, PG_READWRITE, &first);
    if (CHECK(status == ST_OK)) {
        CHECK(region_returns(slot, REGION_PLAIN));
        CHECK(space_in_region((uintptr_t)filler) && slot->given == 0 && bitmap_count(slot->taken, GRANULES_PER_SLOT) == 0);
        own = HmVirtualAlloc(filler + MIB, MIB, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
        if (CHECK(own == filler + MIB)) own[5] = 5;
        CHECK_EQ(region_give((uintptr_t)filler, 0), 0); /* not while something lives in it */
        CHECK(HmVirtualFree(own, 0, MEM_RELEASE));
        spans_flush();
    }
    CHECK(region_slot(0, &base) != NULL);
    CHECK_EQ(region_give(0, SLOT_BYTES + 1), 0);
}

#ifndef _WIN32
/* A heap's block of a plain region does not grow into what was behind it there and is the system's now. */
static void test_block_before_end(void) {
    enum { GRANULES = 100 };
    const uint64_t pages = GRANULES * PAGES_PER_GRANULE, owner = 0x123;
    struct run run;
    if (!CHECK(slab_acquire(pages, GRANULE_BYTES, PG_EXECUTE_READWRITE, &run) == ST_OK && run.flags == 0)) return;
    slab_open(&run, SPAN_LARGE, PG_EXECUTE_READWRITE, owner, 0, 1, 0);
    uintptr_t end = granule_address(run.first) + GRANULES * GRANULE_BYTES;
    CHECK(region_give(end, 1) > 0);
    check_foreign_free((void *)end);
    CHECK(!slab_resize(slab_at(run.first), run.first, pages + 1));
    check_foreign_free((void *)end);
    run = slab_run(slab_at(run.first), run.first);
    CHECK(slab_close_by_force(slab_at(run.first), owner, 1));
    CHECK(slab_discard(&run));
    CHECK(bitmap_taken(space_slot(end)->taken, granule_of(end).n % GRANULES_PER_SLOT));
}

/* A heap's region gives its end by the step; what lives in front of it stays, and the heap goes on. */
static void test_heap_region(void) {
    uintptr_t base = 0;
    struct slot *slot = NULL;
    enum { BLOCKS = 500 };
    static char *block[BLOCKS];
    for (int i = 0; i < BLOCKS; i++) {
        block[i] = HmHeapAlloc(NULL, 0, 20000);
        if (!CHECK(block[i] != NULL)) return;
        memset(block[i], i, 20000);
    }
    for (size_t n = 0; (slot = region_slot(n, &base)) != NULL && slot->region != REGION_HEAP;) n++;
    if (!CHECK(slot != NULL)) return;
    char *last = block[0];
    for (int i = 0; i < BLOCKS; i++) if (block[i] > last && (uintptr_t)block[i] - base < SLOT_BYTES) last = block[i];
    char *next = (char *)align_up((uintptr_t)last + 65536, STEP_BYTES);
    size_t rest = base + SLOT_BYTES - (uintptr_t)next - (size_t)slot->given * GRANULE_BYTES;
    CHECK(slot->given * GRANULE_BYTES % STEP_BYTES == 0);
    CHECK_EQ(region_give((uintptr_t)next + rest - 5, 1), STEP_BYTES); /* the step around it */
    check_foreign_free(next + rest - 5);
    CHECK(space_in_region((uintptr_t)next + rest - STEP_BYTES - 1));
    CHECK_EQ(region_give((uintptr_t)last, 1), 0); /* somebody lives there */
    while (region_give(0, 0) > 0) continue;       /* of every region */
    CHECK(slot->given > 0 && slot->given * GRANULE_BYTES % STEP_BYTES == 0);
    size_t wrong = 0;
    for (int i = 0; i < BLOCKS; i++) {
        for (int at = 0; at < 20000; at++) wrong += block[i][at] != (char)i;
        CHECK(HmHeapFree(NULL, 0, block[i]));
    }
    CHECK_EQ(wrong, 0);
    /* All of it, when nothing lives there any more; and the place may be a heap's region again, from the start. */
    HmTrim();
    while (region_give(0, 0) > 0) continue;
    uintptr_t first;
    CHECK_EQ(slot->given, GRANULES_PER_SLOT);
    if (os_reserve(base, SLOT_BYTES, SLOT_BYTES, OS_PLAIN, PG_READWRITE, &first) == ST_OK) {
        CHECK(region_returns(slot, REGION_HEAP));
        for (int i = 0; i < BLOCKS; i++) {
            block[i] = HmHeapAlloc(NULL, HEAP_ZERO_MEMORY, 20000);
            if (CHECK(block[i] != NULL)) memset(block[i], 1, 20000);
        }
        for (int i = 0; i < BLOCKS; i++) CHECK(HmHeapFree(NULL, 0, block[i]));
    }
    HmTrim();
}
#endif

/* Some give while others take and leave. */
static void *take_and_leave(void *context) {
    uint64_t random = (uintptr_t)context;
    for (int i = 0; i < 3000; i++) {
        SIZE_T size = (1 + thread_random(&random) % 200) << GRANULE_SHIFT;
        char *p = HmVirtualAlloc(NULL, size, MEM_RESERVE, PAGE_READWRITE);
        if (!CHECK(p && HmVirtualAlloc(p + size - 4096, 4096, MEM_COMMIT, PAGE_READWRITE))) break;
        p[size - 1] = (char)i;
        if (i % 30 == 0) region_give(0, thread_random(&random) % 20 * MIB + 1);
        CHECK(p[size - 1] == (char)i);
        CHECK(HmVirtualFree(p, 0, MEM_RELEASE));
        /* Heaps' regions as well: steps are opened while others end there. */
        char *block = HmHeapAlloc(NULL, 0, (SIZE_T)1 << (12 + thread_random(&random) % 11));
        if (CHECK(block != NULL)) block[4095] = 1;
        CHECK(HmHeapFree(NULL, 0, block));
    }
    return NULL;
}

int main(void) {
#ifndef _WIN32
    test_starved();
    test_tail();
#endif
    test_whole();
#ifndef _WIN32
    test_block_before_end();
    if (os_commit_is_lazy()) test_heap_region();
#endif
    struct threads threads = {0};
    for (uintptr_t i = 1; i <= 4; i++) threads_start(&threads, take_and_leave, (void *)i);
    threads_join(&threads);
    return check_done();
}

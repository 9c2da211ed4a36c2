/*
 * steps.c - memory of heaps that stays read-write: it is zero whenever it is handed out, costs no calls to the system once its
 * step is open, stays few mappings, and lets others have addresses between its blocks.
 */
#include "core/steps.h"

#include <stdio.h>
#include <string.h>

#include "alone.h"
#include "heaptest.h"
#include "hostmem.h"
#include "os/fault.h"
#include "os/os.h"
#include "probe.h"
#include "thread.h"

#ifndef _WIN32
#include <sys/mman.h>
#endif

static bool is_zero(uintptr_t start, size_t size) {
    const uint64_t *word = (const uint64_t *)start;
    for (size_t i = 0; i < size / 8; i++) {
        if (word[i] != 0) return false;
    }
    return true;
}

static void give_back(const struct run *run) {
    os_discard(granule_address(run->first), granules_for_pages(run->count_pages) * GRANULE_BYTES);
    region_release(run);
}

/* Runs of all lengths, across steps as well: writable, zero, and zero again after they were used. */
static void runs(void) {
    size_t before = granules_taken();
    for (int round = 0; round < 3; round++) {
        for (uint64_t pages = 1; pages < 5000; pages = pages * 3 + 1) {
            struct run run;
            if (!CHECK(region_claim_open(pages, GRANULE_BYTES << round, &run) == ST_OK)) return;
            if (!CHECK(run_is_open(&run))) return;
            uintptr_t start = granule_address(run.first);
            CHECK_EQ(start % (GRANULE_BYTES << round), 0);
            CHECK(is_zero(start, (size_t)pages * PAGE_BYTES));
            memset((void *)start, 0xee, (size_t)pages * PAGE_BYTES);
            give_back(&run);
            CHECK_EQ(granules_taken(), before);
        }
    }
}

#define MAPPINGS_MORE 4000 /* a hundred or two; a sanitizer's shadow has some, too. One for each free run would be 9,000 */

static size_t count_mappings(void) {
    FILE *file = fopen("/proc/self/maps", "r");
    size_t lines = 0;
    if (file == NULL) return 0;
    for (int c; (c = fgetc(file)) != EOF;) lines += c == '\n';
    fclose(file);
    return lines;
}

/* Blocks of some 20 GB in all, every second one given back: that splits nothing. */
static void mappings(size_t count, size_t size) {
    static void *block[200000];
    struct heap *heap = heap_make(0);
    if (heap == NULL) return;
    size_t before = count_mappings(), granules = granules_taken(), failed = 0;
    CHECK(before > 0);
    for (size_t i = 0; i < count; i++) failed += heap_alloc(heap, size, false, &block[i]) != ST_OK;
    for (size_t i = 0; i < count; i += 16) memset(block[i], 1, 1);
    for (size_t i = 0; i < count; i += 2) failed += heap_free(heap, block[i]) != ST_OK;
    heap_trim();
    CHECK_EQ(failed, 0);
    CHECK(count_mappings() < before + MAPPINGS_MORE);
    for (size_t i = 0; i < count; i += 2) failed += heap_alloc(heap, size, true, &block[i]) != ST_OK;
    for (size_t i = 0; i < count; i += 16) failed += *(unsigned char *)block[i] != 0;
    CHECK_EQ(failed, 0);
    CHECK(count_mappings() < before + MAPPINGS_MORE);
    CHECK(heap_destroy(heap) == ST_OK);
    CHECK_EQ(granules_taken(), granules);
}

/* An allocation at an address among the blocks of heaps is what it is anywhere. */
static void exceptions(void) {
    struct heap *heap = heap_make(0);
    char *block = take(heap, 2 << 20), *after;
    if (block == NULL) return;
    memset(block, 7, 2 << 20);
    CHECK(heap_resize(heap, block, GRANULE_BYTES) == ST_OK);
    char *wanted = block + GRANULE_BYTES;
    MEMORY_BASIC_INFORMATION info;
    CHECK(HmVirtualQuery(wanted, &info, sizeof info) == sizeof info && info.State == MEM_FREE);
    for (int round = 0; round < 2; round++) {
        CHECK(HmVirtualAlloc(wanted, 2 * GRANULE_BYTES, MEM_RESERVE, PAGE_READWRITE) == wanted);
        CHECK_EQ(probe('r', wanted), PROBE_FAULT);
        CHECK(heap_resize(heap, block, 2 * GRANULE_BYTES) == ST_NO_ADDRESS_SPACE);
        CHECK(HmVirtualAlloc(wanted, PAGE_BYTES, MEM_COMMIT, PAGE_READWRITE) == wanted);
        CHECK(is_zero((uintptr_t)wanted, PAGE_BYTES));
        memset(wanted, 9, PAGE_BYTES);
        CHECK_EQ(probe('r', wanted + PAGE_BYTES), PROBE_FAULT);
        CHECK(HmVirtualFree(wanted, 0, MEM_RELEASE));
        HmTrim();
    }
    CHECK(heap_resize(heap, block, 3 * GRANULE_BYTES) == ST_OK); /* what was without access is the heap's again */
    after = wanted;
    CHECK(is_zero((uintptr_t)after, 2 * GRANULE_BYTES));
    memset(after, 5, 2 * GRANULE_BYTES);
    CHECK(block[0] == 7 && block[GRANULE_BYTES - 1] == 7);
    CHECK(heap_destroy(heap) == ST_OK);
}

/* A program protects pages of its blocks: whoever has the memory next does not notice. */
static void protections(void) {
    enum { WHOLE = 1600 << 10, PART = 1100 << 10 };
    static const DWORD kinds[] = {PAGE_READONLY, PAGE_NOACCESS, PAGE_EXECUTE_READ, PAGE_READWRITE | PAGE_GUARD};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct heap *one = heap_make(0), *heap = heap_make(0);
        char *small = take(one, 16), *large = take(heap, WHOLE), *part = take(heap, WHOLE);
        DWORD old;
        if (!large || !small || !part) return;
        memset(large, 1, WHOLE);
        CHECK(HmVirtualProtect(large + 5 * PAGE_BYTES, PAGE_BYTES, kinds[i], &old) && old == PAGE_READWRITE);
        CHECK(HmVirtualProtect(small, 1, kinds[i], &old) && old == PAGE_READWRITE);
        CHECK(HmVirtualProtect(part + 300 * PAGE_BYTES, PAGE_BYTES, kinds[i], &old));
        CHECK(heap_resize(heap, part, PART) == ST_OK);
        CHECK(heap_free(heap, large) == ST_OK);
        CHECK(heap_resize(heap, part, WHOLE) == ST_OK);
        memset(part, 1, WHOLE);
        void *again = take(heap, WHOLE);
        CHECK(is_zero((uintptr_t)again, WHOLE));
        memset(again, 1, WHOLE);
        CHECK(heap_destroy(heap) == ST_OK);
        CHECK(heap_destroy(one) == ST_OK);
        one = heap_make(0);
        CHECK(take(one, 16) == small);
        memset(small, 1, 16);
        CHECK(heap_destroy(one) == ST_OK);
    }
}

static uint64_t rush_go;

static void *rush(void *context) {
    (void)context;
    struct run run[8];
    uint64_t seed = (uint64_t)(uintptr_t)&run;
    while (atom_load_acq_u64(&rush_go) == 0) atom_pause();
    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 8; i++) {
            if (!CHECK(region_claim_open(1 + thread_random(&seed) % 2000, GRANULE_BYTES, &run[i]) == ST_OK)) return NULL;
            uint64_t *word = (uint64_t *)granule_address(run[i].first);
            CHECK_EQ(*word, 0);
            *word = (uint64_t)(uintptr_t)&run[i];
        }
        for (int i = 0; i < 8; i++) {
            CHECK_EQ(*(uint64_t *)granule_address(run[i].first), (uintptr_t)&run[i]);
            give_back(&run[i]);
        }
    }
    return NULL;
}

/* Threads that come to closed steps at the same moment. */
static void threads(void) {
    struct threads all = {0};
    size_t before = granules_taken();
    for (int i = 0; i < 6; i++) threads_start(&all, rush, NULL);
    atom_store_rel_u64(&rush_go, 1);
    threads_join(&all);
    CHECK_EQ(granules_taken(), before);
}

#ifdef HM_FAULT
/* A step that the system does not make accessible is used run by run; a run that it refuses is given back. */
static void refusals(void) {
    size_t before = granules_taken();
    struct run run;
    os_fault_set("commit", 1, true);
    CHECK(region_claim_open(10, GRANULE_BYTES, &run) == ST_COMMIT_LIMIT);
    CHECK_EQ(granules_taken(), before);
    os_fault_set("commit", 1, false);
    CHECK(region_claim_open(10, GRANULE_BYTES, &run) == ST_OK);
    CHECK_EQ(os_fault_calls(), 2);
    memset((void *)granule_address(run.first), 1, 10 * PAGE_BYTES);
    give_back(&run);
    os_fault_set("commit", 0, false);
    CHECK(region_claim_open(10, GRANULE_BYTES, &run) == ST_OK);
    CHECK_EQ(os_fault_calls(), 1);
    CHECK(is_zero(granule_address(run.first), 10 * PAGE_BYTES));
    give_back(&run);
    CHECK(region_claim_open(10, GRANULE_BYTES, &run) == ST_OK);
    give_back(&run);
    CHECK_EQ(os_fault_calls(), 1); /* open from now on */
    os_fault_set(NULL, 0, false);
    CHECK_EQ(granules_taken(), before);
}
#endif

#if defined(HM_FAULT) && !defined(_WIN32)
/* Is what is mapped there left out of core files? */
static bool left_out(uintptr_t address) {
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[500];
    size_t start, end = 0;
    bool here = false, out = false;
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        if (sscanf(line, "%zx-%zx ", &start, &end) == 2) here = address >= start && address < end;
        if (here && strncmp(line, "VmFlags:", 8) == 0) out = strstr(line, " dd") != NULL;
    }
    if (maps != NULL) fclose(maps);
    return out;
}

/* What others have mapped where a region has been given back is none of its steps' business, as where one is refused. */
static void given(void) {
    struct run run, more;
    if (!CHECK(region_claim_open(10, GRANULE_BYTES, &run) == ST_OK)) return;
    uintptr_t end = align_down(granule_address(run.first), SLOT_BYTES) + 3 * (SLOT_BYTES / 4);
    CHECK_EQ(region_give(end, 0), SLOT_BYTES / 4);
    CHECK(mmap((void *)end, PAGE_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == (void *)end);
    CHECK(madvise((void *)end, PAGE_BYTES, MADV_DONTDUMP) == 0 && left_out(end));
    os_fault_set("commit", 1, false);
    CHECK(region_claim_open(2 * STEP_BYTES / PAGE_BYTES, GRANULE_BYTES, &more) == ST_OK);
    os_fault_set(NULL, 0, false);
    CHECK(left_out(end) && !left_out(end - GRANULE_BYTES));
    give_back(&more);
    give_back(&run);
    munmap((void *)end, PAGE_BYTES);
}
#endif

int main(void) {
    keeper_forbid();
    if (!os_commit_is_lazy()) {
        struct run run;
        CHECK(region_claim_open(10, GRANULE_BYTES, &run) == ST_OK);
        CHECK(!run_is_open(&run)); /* there are no heap regions here */
        region_release(&run);
        return check_done();
    }
    probe_start();
#ifdef HM_FAULT
    refusals();
#endif
#if defined(HM_FAULT) && !defined(_WIN32)
    given();
#endif
    runs();
    exceptions();
    protections();
    threads();
    mappings(200000, 100 << 10);
    mappings(18000, (1 << 20) + (100 << 10));
    return check_done();
}

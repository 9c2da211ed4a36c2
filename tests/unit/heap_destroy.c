/*
 * heap_destroy.c - a heap that goes gives everything back at once, whatever is in it and whoever keeps blocks of it at hand; and
 * blocks hold code if, and only if, that was asked for.
 */
#include <string.h>

#include "alone.h"
#include "check.h"
#include "core/region.h"
#include "heap/front.h"
#include "hostmem.h"
#include "os/os.h"
#include "probe.h"
#include "resident.h"
#include "thread.h"

#define MIB ((size_t)1 << 20)

enum { THREADS = 3, KEPT = 500 };

static IHostMemoryManager *manager;
static uint64_t phase; /* the threads': filled, and when they may end */
static uint64_t filled;

struct filler {
    HANDLE heap;
    IHostMalloc *face; /* instead of the heap */
    size_t bytes;
};

static void *block_make(const struct filler *f, size_t size) {
    void *block = NULL;
    if (!f->face) return HmHeapAlloc(f->heap, 0, size);
    return f->face->lpVtbl->Alloc(f->face, size, eTaskCritical, &block) == S_OK ? block : NULL;
}

static bool block_free(const struct filler *f, void *block) {
    return f->face ? f->face->lpVtbl->Free(f->face, block) == S_OK : HmHeapFree(f->heap, 0, block);
}

/* Takes and touches many blocks, frees some into its own cache, and stays. */
static void *fill(void *context) {
    const struct filler *f = context;
    uint64_t random = 9;
    void *kept[KEPT] = {NULL};
    for (size_t bytes = 0, n = 0; bytes < f->bytes; n++) {
        size_t size = 16 + thread_random(&random) % (n % 50 == 0 ? 300000 : 4000);
        void *block = block_make(f, size);
        if (!CHECK(block != NULL)) break;
        memset(block, 0x5a, size);
        bytes += size;
        if (n < KEPT) kept[n] = block;
    }
    for (size_t i = 0; i < KEPT; i++) CHECK(block_free(f, kept[i]));
    atom_add_acqrel_u64(&filled, 1);
    while (atom_load_acq_u64(&phase) == 0) os_yield(64);
    return NULL;
}

/* 64 MiB, by threads that are still there when the heap goes. */
static void destroyed(bool by_com, bool executable) {
    struct filler f = {.bytes = 64 * MIB / THREADS};
    struct threads threads = {0};
    struct region_totals before, after;
    /* The second round is the one that counts: the first has made the tables. */
    for (int round = 0; round < 2; round++) {
        region_totals(&before);
        size_t resident = resident_bytes();
        DWORD type = executable ? MALLOC_EXECUTABLE | MALLOC_THREADSAFE : MALLOC_THREADSAFE;
        if (by_com && !CHECK(manager->lpVtbl->CreateMalloc(manager, type, &f.face) == S_OK)) return;
        if (!by_com) f.heap = HmHeapCreate(executable ? HEAP_CREATE_ENABLE_EXECUTE : 0, 0, 0);
        CHECK(by_com || f.heap != NULL);
        atom_store_rel_u64(&phase, 0);
        atom_store_rel_u64(&filled, 0);
        for (int i = 0; i < THREADS; i++) threads_start(&threads, fill, &f);
        while (atom_load_acq_u64(&filled) < THREADS) os_yield(64);
        size_t full = resident_bytes();
        if (by_com) CHECK_EQ(f.face->lpVtbl->Release(f.face), 0);
        else CHECK(HmHeapDestroy(f.heap));
        region_totals(&after);
        CHECK_EQ(after.granules_taken, before.granules_taken);
        size_t now = resident_bytes();
        if (round == 1 && resident != 0) {
            CHECK(full > resident + 60 * MIB);
            if (!CHECK(now < resident + MIB)) printf("%zu bytes, %zu full, %zu after it\n", resident, full, now);
        }
        atom_store_rel_u64(&phase, 1);
        threads_join(&threads);
        region_totals(&after);
        CHECK_EQ(after.granules_taken, before.granules_taken);
    }
}

/* A block is code only in a heap that was made for it; all say so to a query. */
static void code(DWORD type) {
    static const size_t sizes[] = {16, 5000, 100000, 3000000};
    static const unsigned char answer[] = {0x31, 0xc0, 0xc3}; /* xor eax, eax; ret */
    IHostMalloc *face;
    if (!CHECK(manager->lpVtbl->CreateMalloc(manager, type, &face) == S_OK)) return;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *block;
        MEMORY_BASIC_INFORMATION info;
        if (!CHECK(face->lpVtbl->Alloc(face, sizes[i], eTaskCritical, &block) == S_OK)) return;
        memcpy(block, answer, sizeof answer);
        bool runs = type & MALLOC_EXECUTABLE;
        CHECK_EQ(probe('x', block), runs ? PROBE_OK : PROBE_FAULT);
        CHECK(HmVirtualQuery(block, &info, sizeof info) == sizeof info && info.State == MEM_COMMIT);
        CHECK_EQ(info.Protect, runs ? PAGE_EXECUTE_READWRITE : PAGE_READWRITE);
        CHECK_EQ(info.AllocationProtect, info.Protect);
        memset(block, 0, sizes[i]);
        CHECK(face->lpVtbl->Free(face, block) == S_OK);
    }
    CHECK_EQ(face->lpVtbl->Release(face), 0);
}

/* What a heap never used is not touched to end it. */
static void many(void) {
    enum { HEAPS = 2000 };
    static HANDLE heaps[HEAPS];
    size_t sum = 0;
    for (int i = 0; i < HEAPS; i++) CHECK((heaps[i] = HmHeapCreate(0, 0, 0)) != NULL);
    for (int i = 0; i < HEAPS; i++) sum += HmHeapSize(heaps[i], 0, HmHeapAlloc(heaps[i], 0, 100));
    CHECK_EQ(sum, HEAPS * 112);
    size_t before = resident_bytes();
    for (int i = 0; i < HEAPS; i++) CHECK(HmHeapDestroy(heaps[i]));
    CHECK(resident_bytes() <= before + MIB);
}

int main(void) {
    keeper_forbid();
    probe_start();
    many();
    if (!CHECK(HmCreateMemoryManager(NULL, &manager) == S_OK)) return check_done();
    for (DWORD type = 0; type < 4; type++) code(type);
    for (int i = 0; i < 4; i++) destroyed(i & 1, i & 2);
    manager->lpVtbl->Release(manager);
    return check_done();
}

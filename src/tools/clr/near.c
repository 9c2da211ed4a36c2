/*
 * near.c - executable reservations within reach of the CLR's image.
 *
 * Code that the JIT makes calls into the CLR, and the CLR's stubs call that code, by 32-bit displacements; so the CLR marks
 * such a reservation, and every byte of it must lie less than 2 GiB from every byte of the image. Win32 has no flag for this.
 * What a CLR does on Windows is done here: walk the address space with the manager's VirtualQuery, and reserve at the exact
 * address of a free range that is large enough. Another thread may take the range first: then the manager refuses and the
 * walk goes on.
 *
 * The walk starts above the image, where the kernel, which places from the top downwards, puts nothing by itself, and comes to
 * the range below the image only when that is full. It resumes where the last one ended, and starts over once before it gives
 * up, so that released ranges are found again. The place where it ended is a hint that threads share: any value is good.
 */
#include "tools/clr/clr.h"

#include "base/atom.h"

enum { NEAR_GRANULE = 65536 };
#define NEAR_REACH ((uintptr_t)0x7FFF0000) /* 2 GiB less one granule, for a displacement's own length */
#define NEAR_LOWEST ((uintptr_t)0x10000)

static uintptr_t near_low; /* the lowest and highest addresses in reach */
static uintptr_t near_high;
static uintptr_t near_middle; /* the image's end */
static uint64_t near_resume;

void near_init(uintptr_t image_start, uintptr_t image_end) {
    near_low = image_end > NEAR_REACH + NEAR_LOWEST ? image_end - NEAR_REACH : NEAR_LOWEST;
    near_high = image_start + NEAR_REACH;
    near_middle = image_end;
    near_resume = image_end;
}

/* Tries the free ranges of [from, to) in order. */
static void *near_walk(uintptr_t from, uintptr_t to, SIZE_T size, DWORD type, DWORD protect) {
    uintptr_t at = from;
    while (at < to && size <= to - at) {
        MEMORY_BASIC_INFORMATION info;
        uintptr_t start = (at + NEAR_GRANULE - 1) & ~(uintptr_t)(NEAR_GRANULE - 1);
        uintptr_t end;
        if (manager_query((void *)at, &info) != sizeof info || info.RegionSize == 0) return NULL;
        end = (uintptr_t)info.BaseAddress + info.RegionSize;
        end = end < to ? end : to;
        if (info.State == MEM_FREE && start < end && size <= end - start) {
            void *memory = manager_alloc((void *)start, size, type, protect);
            if (memory != NULL) {
                /* rlx: only a hint */
                atom_store_rlx_u64(&near_resume, start + size);
                return memory;
            }
            end = start + NEAR_GRANULE; /* taken meanwhile, or not the manager's to give: look right behind it */
        }
        at = end > at ? end : at + NEAR_GRANULE;
    }
    return NULL;
}

void *near_reserve(SIZE_T size, DWORD type, DWORD protect) {
    uintptr_t resume = (uintptr_t)atom_load_rlx_u64(&near_resume); /* rlx: only a hint */
    void *memory;
    if (resume >= near_middle) {
        memory = near_walk(resume, near_high, size, type, protect);
        if (memory == NULL) memory = near_walk(near_low, near_middle, size, type, protect);
    } else {
        memory = near_walk(resume, near_middle, size, type, protect);
    }
    if (memory == NULL) memory = near_walk(near_middle, near_high, size, type, protect);
    return memory != NULL ? memory : near_walk(near_low, near_middle, size, type, protect);
}

/*
 * place.c - new memory at an alignment or within bounds, which VirtualAlloc2 can ask for.
 *
 * Alignment alone is the engine's own business. Within bounds the address space is walked through queries, as programs do
 * themselves, and the first free place that fits is asked for; another thread may be faster, then the walk goes on.
 */
#include "dropin/redirect/redirect.h"

#include "vm/query.h"
#include "vm/vm.h"

enum { STEPS_AT_MOST = 20000 };

enum status place_alloc(uintptr_t low, uintptr_t high, size_t align, size_t size, DWORD type, DWORD protect, uintptr_t *result) {
    MEMORY_BASIC_INFORMATION info;
    size_t written;
    *result = 0;
    if (!low && !high) return vm_alloc_aligned(align, size, type, protect, result);
    if (!high || high > ADDRESS_END) high = ADDRESS_END;
    uintptr_t at = low > ADDRESS_LOWEST ? low : ADDRESS_LOWEST;
    for (int step = 0; step < STEPS_AT_MOST && at < high && size <= high - at; step++) {
        if (vm_query(at, &info, sizeof info, &written) != ST_OK) break;
        uintptr_t start = align_up(at, align), end = (uintptr_t)info.BaseAddress + info.RegionSize;
        uintptr_t stop = end < high ? end : high;
        if (info.State == MEM_FREE && start >= at && start < stop && size <= stop - start) {
            enum status status = vm_alloc(start, size, type, protect, result);
            if (status != ST_BAD_ADDRESS) return status;
            end = start + align; /* taken meanwhile */
        }
        if (end <= at) break;
        at = end;
    }
    return ST_NO_ADDRESS_SPACE;
}

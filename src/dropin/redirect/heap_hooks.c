/*
 * heap_hooks.c - what answers HeapAlloc and its kin, where HOSTMEM_HEAP=1 or the launcher's --heap asks for it.
 *
 * A heap that is made from now on is a heap of the engine, and its handle is the engine's. The heaps that were there before (the
 * process's own, the C library's) keep their handles, which the system's own modules use too; each gets a heap of the engine
 * beside it, from which it is served from now on. So a block may be the engine's or the system's whatever its heap, and the
 * block is asked: the engine knows its own. Heaps with a bound or with unusual options are left to the system.
 *
 * Sizes. HeapSize has to say what was asked for, and a caller may grow a block and want zeros behind its old size; the engine
 * knows only the block's class. So where eight bytes or more are left behind what was asked for, the last eight say how many,
 * mixed with a number that user data will not hit upon; up to seven are left zero, and counted as asked for.
 *
 * Any thread, any time; see redirect.h. The aliases are written before any hook is in place, and one once more as its heap
 * ends, when nobody may use that any more: to the others its handle is not theirs, before and after.
 */
#include "dropin/redirect/redirect.h"

#include <string.h>

#include "core/budget.h"
#include "heap/front.h"
#include "vm/error.h"

enum { ALIASES_AT_MOST = 16 };

static struct {
    HANDLE handle;
    struct heap *heap;
} aliases[ALIASES_AT_MOST];
static DWORD aliases_count;

void heap_hooks_start(void) {
    HANDLE handle[ALIASES_AT_MOST];
    if (!(redirect_flags & HM_REDIRECT_HEAP) || redirect_flags & HM_REDIRECT_OFF) return;
    handle[0] = GetProcessHeap(); /* first: it is asked for most */
    DWORD count = 1 + GetProcessHeaps(ALIASES_AT_MOST - 1, handle + 1);
    if (count > ALIASES_AT_MOST) count = 1; /* the answer is how many there are, and none was written */
    for (DWORD i = 0; i < count; i++) {
        if (i > 0 && handle[i] == handle[0]) continue;
        struct heap *heap = heap_default();
        if (i > 0 && heap_create(false, 0, &heap) != ST_OK) return;
        if (!heap) return;
        aliases[aliases_count].handle = handle[i];
        aliases[aliases_count++].heap = heap;
    }
}

/* The engine's heap behind a handle, NULL where the system's is all there is. */
static inline struct heap *heap_behind(HANDLE handle) {
    if (__builtin_expect(aliases_count == 0, 0)) return NULL;
    if (handle == aliases[0].handle) return aliases[0].heap;
    for (DWORD i = 1; i < aliases_count; i++) {
        if (handle == aliases[i].handle) return aliases[i].heap;
    }
    return heap_of_handle(handle);
}

static unsigned passed(void) { return redirect_flags & HM_REDIRECT_OFF ? HM_PASSED_OFF : HM_PASSED_HEAP; }

static void heap_stop(struct watch watch, unsigned kind, unsigned reason, unsigned op, LPCVOID address, SIZE_T size, DWORD flags,
                      uint64_t result) {
    struct seen seen = {op, (uintptr_t)address, size, flags, 0, result};
    watch_stop(watch, kind, reason, &seen);
}

/* ---- Allocating ---------------------------------------------------------------------------------------------------- */

static void *no_memory(DWORD flags) {
    SetLastError(ERROR_NOT_ENOUGH_MEMORY);
    if (flags & HEAP_GENERATE_EXCEPTIONS) RaiseException(STATUS_NO_MEMORY, 0, 0, NULL);
    return NULL;
}

#define NOTE_BYTES ((size_t)8)

static uint64_t *note_of(const void *block, size_t usable) {
    return (uint64_t *)(void *)((char *)(uintptr_t)block + usable - NOTE_BYTES);
}

/* The number that the note of this block is mixed with. */
static uint64_t note_key(const void *block) { return ((uint64_t)(uintptr_t)block + 0x9e3779b97f4a7c15u) * 0xd6e8feb86659fd93u; }

/*
 * `kept` bytes hold the caller's data. Where there is no room for a note, one of the block's earlier life may still stand in
 * bytes that the caller has not written yet, and must go.
 */
static inline void note_write(void *block, size_t kept, size_t size, size_t usable) {
    size_t left = usable - size;
    if (left >= NOTE_BYTES) {
        *note_of(block, usable) = note_key(block) ^ left;
    } else if (kept + NOTE_BYTES <= usable) {
        *note_of(block, usable) = 0;
    } else {
        for (char *p = (char *)block + size; left; left--) *p++ = 0;
    }
}

/* What was asked for, or up to seven bytes more. */
static size_t note_read(const void *block, size_t usable) {
    uint64_t left = *note_of(block, usable) ^ note_key(block);
    return left >= NOTE_BYTES && left <= usable ? usable - left : usable;
}

static void *block_make(struct heap *heap, DWORD flags, SIZE_T size) {
    void *block = NULL;
    size_t usable = size;
    if (front_alloc(heap, size, flags & HEAP_ZERO_MEMORY, &block) != ST_OK) return no_memory(flags);
    if (size <= CLASS_LARGEST) {
        usable = class_size(class_of(size));
    } else {
        heap_size(heap, block, &usable);
    }
    note_write(block, 0, size, usable);
    return block;
}

LPVOID WINAPI hook_HeapAlloc(HANDLE handle, DWORD flags, SIZE_T size) {
    struct watch watch = watch_start();
    struct heap *heap = heap_behind(handle);
    void *block = heap ? block_make(heap, flags, size) : real.HeapAlloc(handle, flags, size);
    if (watch.ticks) {
        heap_stop(watch, HM_CALL_HEAP_ALLOC, heap ? HM_BY_ENGINE : passed(), HM_OP_HA, handle, size, flags, (uintptr_t)block);
    }
    return block;
}

/* ---- Freeing ------------------------------------------------------------------------------------------------------- */

/* With a block that is not the heap's: the system's, or nobody's. */
static BOOL foreign_free(HANDLE handle, DWORD flags, LPVOID block, unsigned *reason) {
    *reason = passed();
    if (!engine_has((uintptr_t)block) && !heap_of_handle(handle)) return real.HeapFree(handle, flags, block);
    *reason = HM_BY_ENGINE;
    SetLastError(ERROR_INVALID_PARAMETER);
    return FALSE;
}

BOOL WINAPI hook_HeapFree(HANDLE handle, DWORD flags, LPVOID block) {
    struct watch watch = watch_start();
    unsigned reason = HM_BY_ENGINE;
    struct heap *heap = heap_behind(handle);
    BOOL freed = TRUE;
    if (!heap) {
        reason = passed();
        freed = real.HeapFree(handle, flags, block);
    } else if (block && front_free(heap, block) != ST_OK) {
        freed = foreign_free(handle, flags, block, &reason);
    }
    if (watch.ticks) heap_stop(watch, HM_CALL_HEAP_FREE, reason, HM_OP_HF, block, 0, flags, (uint64_t)freed);
    return freed;
}

/* ---- Changing a block's size --------------------------------------------------------------------------------------- */

/*
 * What is refused may be had by moving. A block that must not move is asked for once more without what is kept at hand, which may
 * be what is missing.
 */
static bool resize_block(struct heap *heap, void *block, SIZE_T size, bool must) {
    void *before = budget_ask_again();
    enum status status = heap_resize(heap, block, size);
    budget_ask_end(before);
    if (status != ST_NO_MEMORY || !must) return status == ST_OK;
    for (unsigned set = 0; set < CACHE_SETS; set++) cache_flush_mine(set);
    heap_trim_one(heap);
    return heap_resize(heap, block, size) == ST_OK;
}

/* Where it is, if that does not keep twice what is wanted. False: it is as it was, with its note. */
static bool resize_in_place(struct heap *heap, DWORD flags, char *block, SIZE_T size, size_t usable) {
    bool must = flags & HEAP_REALLOC_IN_PLACE_ONLY;
    size_t was = note_read(block, usable);
    bool shortens = usable > CLASS_LARGEST && usable - size >= PAGE_BYTES && (must || size >= PAGE_BYTES / 2);
    if (size > usable || shortens) {
        if (resize_block(heap, block, size, must)) heap_size(heap, block, &usable);
    }
    if (size > usable || (!must && usable > 64 && size < usable / 2)) return false;
    if (flags & HEAP_ZERO_MEMORY && size > was) memset(block + was, 0, size - was);
    note_write(block, was < size ? was : size, size, usable);
    return true;
}

static void *block_resize(struct heap *heap, DWORD flags, void *block, SIZE_T size, size_t usable) {
    if (resize_in_place(heap, flags, block, size, usable)) return block;
    if (flags & HEAP_REALLOC_IN_PLACE_ONLY) return no_memory(flags);
    size_t was = note_read(block, usable);
    void *moved = block_make(heap, flags, size);
    if (!moved) return NULL;
    memcpy(moved, block, size < was ? size : was);
    front_free(heap, block);
    return moved;
}

LPVOID WINAPI hook_HeapReAlloc(HANDLE handle, DWORD flags, LPVOID block, SIZE_T size) {
    struct watch watch = watch_start();
    struct heap *heap = heap_behind(handle);
    size_t usable = 0;
    void *result = NULL;
    bool ours = heap && heap_size(heap, block, &usable) == ST_OK;
    if (ours) {
        result = block_resize(heap, flags, block, size, usable);
    } else if (!heap || (!engine_has((uintptr_t)block) && !heap_of_handle(handle))) {
        result = real.HeapReAlloc(handle, flags, block, size);
    } else if (block) {
        SetLastError(ERROR_INVALID_PARAMETER);
    }
    heap_stop(watch, HM_CALL_HEAP_REALLOC, ours ? HM_BY_ENGINE : passed(), HM_OP_HR, block, size, flags, (uintptr_t)result);
    return result;
}

/* ---- Asking -------------------------------------------------------------------------------------------------------- */

SIZE_T WINAPI hook_HeapSize(HANDLE handle, DWORD flags, LPCVOID block) {
    struct heap *heap = heap_behind(handle);
    size_t usable;
    if (heap && heap_size(heap, block, &usable) == ST_OK) return note_read(block, usable);
    if (!heap_of_handle(handle) && !engine_has((uintptr_t)block)) return real.HeapSize(handle, flags, block);
    SetLastError(ERROR_INVALID_PARAMETER);
    return (SIZE_T)-1;
}

BOOL WINAPI hook_HeapValidate(HANDLE handle, DWORD flags, LPCVOID block) {
    struct heap *heap = heap_behind(handle);
    size_t usable;
    if (heap && block && heap_size(heap, block, &usable) == ST_OK) return TRUE;
    if (heap_of_handle(handle)) return block == NULL;
    return !engine_has((uintptr_t)block) && real.HeapValidate(handle, flags, block);
}

/* ---- Heaps --------------------------------------------------------------------------------------------------------- */

HANDLE WINAPI hook_HeapCreate(DWORD options, SIZE_T initial, SIZE_T maximum) {
    struct watch watch = watch_start();
    bool serve = aliases_count != 0 && maximum == 0 && !(options & ~(DWORD)(HEAP_NO_SERIALIZE | HEAP_CREATE_ENABLE_EXECUTE));
    struct heap *heap = NULL;
    HANDLE handle;
    if (serve) {
        error_report(heap_create(options & HEAP_CREATE_ENABLE_EXECUTE, 0, &heap));
        handle = heap;
    } else {
        handle = real.HeapCreate(options, initial, maximum);
    }
    heap_stop(watch, HM_CALL_HEAP_CREATE, serve ? HM_BY_ENGINE : passed(), HM_OP_HC, (LPCVOID)initial, maximum, options,
              (uintptr_t)handle);
    return handle;
}

BOOL WINAPI hook_HeapDestroy(HANDLE handle) {
    struct watch watch = watch_start();
    struct heap *heap = heap_of_handle(handle);
    BOOL done;
    if (heap) {
        heap_lock_drop(heap);
        done = error_report(heap_destroy(heap));
    } else {
        done = real.HeapDestroy(handle);
        /* One that was there before: what it was served from goes with it. */
        for (DWORD i = 1; done && i < aliases_count; i++) {
            if (aliases[i].handle != handle) continue;
            struct heap *beside = aliases[i].heap;
            aliases[i].heap = NULL; /* a handle of NULL is the system's to refuse */
            aliases[i].handle = NULL;
            heap_destroy(beside);
        }
    }
    heap_stop(watch, HM_CALL_HEAP_DESTROY, heap ? HM_BY_ENGINE : passed(), HM_OP_HD, handle, 0, 0, (uint64_t)done);
    return done;
}

BOOL WINAPI hook_HeapLock(HANDLE handle) {
    if (!heap_of_handle(handle)) return real.HeapLock(handle);
    heap_lock_take(handle);
    return TRUE;
}

BOOL WINAPI hook_HeapUnlock(HANDLE handle) {
    if (!heap_of_handle(handle)) return real.HeapUnlock(handle);
    heap_lock_leave(handle);
    return TRUE;
}

struct listing {
    HANDLE *handle;
    DWORD room, count;
};

/* A heap that was made by HeapCreate: its handle is a program's. */
static void heap_list(struct heap *heap, void *context) {
    struct listing *listing = context;
    for (DWORD i = 0; i < aliases_count; i++) {
        if (aliases[i].heap == heap) return;
    }
    if (listing->count < listing->room) listing->handle[listing->count] = heap;
    listing->count++;
}

DWORD WINAPI hook_GetProcessHeaps(DWORD room, PHANDLE handle) {
    struct listing listing = {handle, room, real.GetProcessHeaps(room, handle)};
    if (aliases_count) heap_each(heap_list, &listing);
    return listing.count;
}

SIZE_T WINAPI hook_HeapCompact(HANDLE handle, DWORD flags) {
    struct heap *heap = heap_of_handle(handle);
    if (!heap) return real.HeapCompact(handle, flags);
    heap_trim_one(heap);
    return CLASS_LARGEST;
}

BOOL WINAPI hook_HeapWalk(HANDLE handle, LPPROCESS_HEAP_ENTRY entry) {
    if (!heap_of_handle(handle)) return real.HeapWalk(handle, entry);
    SetLastError(ERROR_NO_MORE_ITEMS);
    return FALSE;
}

enum { INFORMATION_FRONT_END = 0, FRONT_END_LOW_FRAGMENTATION = 2 };

BOOL WINAPI hook_HeapSetInformation(HANDLE handle, HEAP_INFORMATION_CLASS what, PVOID value, SIZE_T length) {
    return heap_of_handle(handle) || real.HeapSetInformation(handle, what, value, length);
}

BOOL WINAPI hook_HeapQueryInformation(HANDLE handle, HEAP_INFORMATION_CLASS what, PVOID value, SIZE_T length, PSIZE_T written) {
    if (!heap_of_handle(handle)) return real.HeapQueryInformation(handle, what, value, length, written);
    if (written) *written = sizeof(ULONG);
    if (what != (HEAP_INFORMATION_CLASS)INFORMATION_FRONT_END || length < sizeof(ULONG)) {
        SetLastError(length < sizeof(ULONG) ? ERROR_INSUFFICIENT_BUFFER : ERROR_INVALID_PARAMETER);
        return FALSE;
    }
    *(ULONG *)value = FRONT_END_LOW_FRAGMENTATION;
    return TRUE;
}

/* ---- Local and global memory: fixed blocks are blocks of the process's heap, and some programs mix the calls -------- */

static bool is_ours(LPCVOID block, size_t *usable) {
    return aliases_count && block && heap_size(aliases[0].heap, block, usable) == ST_OK;
}

HLOCAL WINAPI hook_LocalFree(HLOCAL block) {
    size_t usable;
    return is_ours(block, &usable) && front_free(aliases[0].heap, block) == ST_OK ? NULL : real.LocalFree(block);
}

HGLOBAL WINAPI hook_GlobalFree(HGLOBAL block) {
    size_t usable;
    return is_ours(block, &usable) && front_free(aliases[0].heap, block) == ST_OK ? NULL : real.GlobalFree(block);
}

SIZE_T WINAPI hook_LocalSize(HLOCAL block) {
    size_t usable;
    return is_ours(block, &usable) ? note_read(block, usable) : real.LocalSize(block);
}

SIZE_T WINAPI hook_GlobalSize(HGLOBAL block) {
    size_t usable;
    return is_ours(block, &usable) ? note_read(block, usable) : real.GlobalSize(block);
}

/* A fixed block moves where it is allowed to become movable, and stays fixed. */
static HLOCAL fixed_resize(HLOCAL block, SIZE_T size, UINT flags, size_t usable) {
    if (flags & LMEM_MODIFY) return block;
    DWORD how = (flags & LMEM_ZEROINIT ? HEAP_ZERO_MEMORY : 0u) | (flags & LMEM_MOVEABLE ? 0u : HEAP_REALLOC_IN_PLACE_ONLY);
    return block_resize(aliases[0].heap, how, block, size, usable);
}

HLOCAL WINAPI hook_LocalReAlloc(HLOCAL block, SIZE_T size, UINT flags) {
    size_t usable;
    return is_ours(block, &usable) ? fixed_resize(block, size, flags, usable) : real.LocalReAlloc(block, size, flags);
}

HGLOBAL WINAPI hook_GlobalReAlloc(HGLOBAL block, SIZE_T size, UINT flags) {
    size_t usable;
    return is_ours(block, &usable) ? fixed_resize(block, size, flags, usable) : real.GlobalReAlloc(block, size, flags);
}

HLOCAL WINAPI hook_LocalHandle(LPCVOID block) {
    size_t usable;
    return is_ours(block, &usable) ? (HLOCAL)(uintptr_t)block : real.LocalHandle(block);
}

HGLOBAL WINAPI hook_GlobalHandle(LPCVOID block) {
    size_t usable;
    return is_ours(block, &usable) ? (HGLOBAL)(uintptr_t)block : real.GlobalHandle(block);
}

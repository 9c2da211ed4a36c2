/*
 * malloc.c - IHostMalloc: a heap of the engine's behind six slots.
 *
 * An IHostMalloc owns its heap: the last Release destroys it with every block in it, so whoever releases it last must not use its
 * blocks afterwards. It stands for itself and holds no reference on the manager that made it. MALLOC_EXECUTABLE gives pages that
 * code can run in.
 *
 * Its heap is safe for threads with or without MALLOC_THREADSAFE. Without it the heap might skip atomic operations; but what is
 * done all day goes through the caller's cache, where there are none to skip, and the slabs behind it are also touched by threads
 * that do not ask the caller: one that trims all heaps, and one that ends and gives back what it kept.
 */
#include "base/cold.h"
#include "com/com.h"
#include "com/observed.h"
#include "heap/front.h"
#include "policy/limits.h"

#define MALLOC_KNOWN ((DWORD)(MALLOC_THREADSAFE | MALLOC_EXECUTABLE))

struct malloc_object {
    IHostMalloc face; /* first: the interface's address is the object's */
    struct observed observed; /* second: see observed_of */
    uint32_t references;
    struct heap *heap;
};

static struct malloc_object *object_of(IHostMalloc *face) { return (struct malloc_object *)face; }

static ULONG STDMETHODCALLTYPE malloc_add_ref(IHostMalloc *face) { return com_add_ref(&object_of(face)->references); }

static ULONG STDMETHODCALLTYPE malloc_release(IHostMalloc *face) {
    struct malloc_object *object = object_of(face);
    ULONG left = com_release(&object->references);
    if (left == 0) {
        observed_malloc_end(&object->observed, object->heap);
        heap_destroy(object->heap);
        cold_free(object);
    }
    return left;
}

static HRESULT STDMETHODCALLTYPE malloc_query_interface(IHostMalloc *face, REFIID riid, void **ppvObject) {
    HRESULT result = com_query(face, &HM_IID_IHostMalloc, riid, ppvObject);
    if (result == S_OK) malloc_add_ref(face);
    return result;
}

/*
 * The plain ways of malloc_alloc and malloc_free, of the block that came last, need no register that a call must leave as it was,
 * and no room on the stack. So whatever else there is to do stands in a function of its own, and is the last thing that they do.
 */

/* What the thread's cache does not answer: here the level matters. */
static __attribute__((noinline)) HRESULT malloc_fetch(IHostMalloc *face, SIZE_T cbSize, EMemoryCriticalLevel eCriticalLevel,
                                                      void **ppMem) {
    struct heap *heap = object_of(face)->heap;
    if (ppMem == NULL) return com_answer(ST_NOT_WRITABLE);
    *ppMem = NULL;
    if (!inject_plain(eCriticalLevel)) {
        enum status judged = inject_judge(eCriticalLevel, cbSize);
        if (judged != ST_OK) return com_answer(judged);
    }
    void *before = budget_ask(0, (enum budget_level)eCriticalLevel); /* the account is the heap's */
    enum status status = front_alloc(heap, cbSize, false, ppMem);
    if (status != ST_OK && com_try_again(status, eCriticalLevel)) status = front_alloc(heap, cbSize, false, ppMem);
    budget_ask_end(before);
    return com_answer(status);
}

/* A block from a magazine. */
static __attribute__((noinline)) HRESULT malloc_take(IHostMalloc *face, struct magazine *below,
                                                     EMemoryCriticalLevel eCriticalLevel, void **ppMem) {
    void *block = front_take_below(below);
    if (__builtin_expect(block == NULL, 0)) {
        return malloc_fetch(face, front_size_below(object_of(face)->heap, below), eCriticalLevel, ppMem);
    }
    *ppMem = block;
    return S_OK;
}

static HRESULT STDMETHODCALLTYPE malloc_alloc(IHostMalloc *face, SIZE_T cbSize, EMemoryCriticalLevel eCriticalLevel,
                                              void **ppMem) {
    struct magazine *below = NULL;
    void *block = NULL;
    if (__builtin_expect(ppMem != NULL && inject_plain(eCriticalLevel), 1)) {
        block = front_take_last(object_of(face)->heap, cbSize, &below);
    }
    if (__builtin_expect(block == NULL, 0)) {
        return below ? malloc_take(face, below, eCriticalLevel, ppMem) : malloc_fetch(face, cbSize, eCriticalLevel, ppMem);
    }
    *ppMem = block;
    return S_OK;
}

static HRESULT STDMETHODCALLTYPE malloc_debug_alloc(IHostMalloc *face, SIZE_T cbSize, EMemoryCriticalLevel eCriticalLevel,
                                                    char *pszFileName, int iLineNo, void **ppMem) {
    (void)pszFileName, (void)iLineNo; /* remembered by heaps that track only: com/observed.c */
    return malloc_alloc(face, cbSize, eCriticalLevel, ppMem);
}

/* What does not stay with the thread. */
static __attribute__((noinline)) HRESULT malloc_give(struct heap *heap, void *pMem) {
    if (pMem == NULL) return S_OK; /* a CLR does free NULL, and needs to hear that it worked */
    return com_answer(front_free_other(heap, pMem));
}

/* A block that stays behind another. */
static __attribute__((noinline)) HRESULT malloc_keep(struct heap *heap, void *pMem, struct cache *cache, uint64_t mark) {
    return __builtin_expect(front_keep_behind(heap, pMem, cache, mark), 1) ? S_OK : malloc_give(heap, pMem);
}

static HRESULT STDMETHODCALLTYPE malloc_free(IHostMalloc *face, void *pMem) {
    struct heap *heap = object_of(face)->heap;
    struct cache *cache;
    uint64_t mark;
    enum front_way way = front_keep_first(heap, pMem, &cache, &mark);
    if (__builtin_expect(way == FRONT_KEPT, 1)) return S_OK;
    return way == FRONT_BEHIND ? malloc_keep(heap, pMem, cache, mark) : malloc_give(heap, pMem);
}

const IHostMallocVtbl malloc_methods = {
    malloc_query_interface, malloc_add_ref, malloc_release, malloc_alloc, malloc_debug_alloc, malloc_free,
};

struct heap *malloc_heap(IHostMalloc *face) { return object_of(face)->heap; }

struct budget *malloc_budget(void *face) {
    struct malloc_object *object = face;
    return observed_is_malloc(object->face.lpVtbl) ? heap_budget(object->heap) : NULL;
}

HRESULT malloc_create(DWORD type, const struct observed *manager, const HM_LIMITS *limits, IHostMalloc **out) {
    *out = NULL;
    if ((type & ~MALLOC_KNOWN) != 0) return com_answer(ST_BAD_ARGUMENT);
    struct malloc_object *object = cold_alloc(sizeof *object);
    if (object == NULL) return com_answer(ST_NO_MEMORY);
    enum status status = heap_create((type & MALLOC_EXECUTABLE) != 0, 0, &object->heap);
    if (status != ST_OK) {
        cold_free(object);
        return com_answer(status);
    }
    if (limits != NULL) limits_set(heap_budget(object->heap), limits);
    object->face.lpVtbl = (IHostMallocVtbl *)observed_malloc_start(&object->observed, manager, object->heap);
    object->references = 1;
    *out = &object->face;
    return S_OK;
}

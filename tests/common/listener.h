/*
 * listener.h - a notification callback that counts what it hears, and managers to register it with. After check.h.
 */
#ifndef HM_TEST_LISTENER_H
#define HM_TEST_LISTENER_H

#include "base/atom.h"
#include "hostmem.h"
#include "os/os.h"
#include "thread.h"

#define MIB ((SIZE_T)1 << 20)
#define LIMITS(...) ((HM_LIMITS){.cbSize = sizeof(HM_LIMITS), __VA_ARGS__})
#define SPACING 40 /* ms */

/* A callback that counts what it hears, and does something of its own if it is told to. */
struct listener {
    ICLRMemoryNotificationCallback face;
    uint32_t references;
    uint32_t heard[4];
    uint32_t last;
    uint32_t thread;
    uint32_t threads; /* calls from another one than before */
    void (*act)(struct listener *listener);
    IHostMemoryManager *manager;
};

static HRESULT STDMETHODCALLTYPE listener_query(ICLRMemoryNotificationCallback *face, REFIID riid, void **out) {
    (void)face, (void)riid;
    *out = NULL;
    return E_NOINTERFACE;
}
static ULONG STDMETHODCALLTYPE listener_add(ICLRMemoryNotificationCallback *face) {
    return atom_add_acqrel_u32(&((struct listener *)face)->references, 1) + 1;
}
static ULONG STDMETHODCALLTYPE listener_release(ICLRMemoryNotificationCallback *face) {
    return atom_add_acqrel_u32(&((struct listener *)face)->references, UINT32_MAX) - 1;
}
static HRESULT STDMETHODCALLTYPE listener_hear(ICLRMemoryNotificationCallback *face, EMemoryAvailable available) {
    struct listener *l = (struct listener *)face;
    CHECK(atom_load_acq_u32(&l->references) > 1); /* it is held while it is called */
    if (CHECK(available >= 1 && available <= 3)) atom_add_acqrel_u32(&l->heard[available], 1);
    if (l->thread != os_thread_id()) l->threads++;
    l->thread = os_thread_id();
    atom_store_rel_u32(&l->last, (uint32_t)available);
    if (l->act) l->act(l);
    return S_OK;
}
static const ICLRMemoryNotificationCallbackVtbl listener_methods = {listener_query, listener_add, listener_release,
                                                                    listener_hear};

#define LISTENER {.face = {(ICLRMemoryNotificationCallbackVtbl *)&listener_methods}, .references = 1}

static inline uint32_t heard(struct listener *l, EMemoryAvailable level) { return atom_load_acq_u32(&l->heard[level]); }
static inline uint32_t last(struct listener *l) { return atom_load_acq_u32(&l->last); }

static inline void nap(long ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL); }

#define EVENTUALLY(condition)                                                                                                    \
    do {                                                                                                                         \
        double until = thread_seconds() + 20;                                                                                    \
        while (!(condition) && thread_seconds() < until) nap(2);                                                                 \
        CHECK(condition);                                                                                                        \
    } while (0)

static inline IHostMemoryManager *manager_make(const HM_LIMITS *limits) {
    HM_OPTIONS options = {.cbSize = sizeof options, .pLimits = limits, .msLowSpacing = SPACING};
    IHostMemoryManager *m = NULL;
    if (!CHECK(HmCreateMemoryManager(&options, &m) == S_OK)) exit(check_done());
    return m;
}

static inline void *take(IHostMemoryManager *m, SIZE_T size) {
    void *start = NULL;
    m->lpVtbl->VirtualAlloc(m, NULL, size, MEM_RESERVE | MEM_COMMIT, PAGE_READONLY, eAppDomainCritical, &start);
    return start;
}

static inline void give(IHostMemoryManager *m, void *start) { CHECK(m->lpVtbl->VirtualFree(m, start, 0, MEM_RELEASE) == S_OK); }

static inline void listen_to(IHostMemoryManager *m, struct listener *l) {
    CHECK(m->lpVtbl->RegisterMemoryNotificationCallback(m, &l->face) == S_OK);
}

#endif

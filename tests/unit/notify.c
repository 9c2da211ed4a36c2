/*
 * notify.c - callbacks and views: kept once, counted, given up with their manager.
 */
#include "policy/notify.h"

#include "base/atom.h"
#include "base/cold.h"
#include "check.h"
#include "policy/told.h"
#include "thread.h"

/* A callback that counts its references. */
struct counted {
    ICLRMemoryNotificationCallback face;
    uint32_t references;
};

static HRESULT STDMETHODCALLTYPE counted_query(ICLRMemoryNotificationCallback *face, REFIID riid, void **out) {
    (void)face, (void)riid;
    *out = NULL;
    return E_NOINTERFACE;
}
static ULONG STDMETHODCALLTYPE counted_add(ICLRMemoryNotificationCallback *face) {
    return atom_add_acqrel_u32(&((struct counted *)face)->references, 1) + 1;
}
static ULONG STDMETHODCALLTYPE counted_release(ICLRMemoryNotificationCallback *face) {
    return atom_add_acqrel_u32(&((struct counted *)face)->references, UINT32_MAX) - 1;
}
static HRESULT STDMETHODCALLTYPE counted_notify(ICLRMemoryNotificationCallback *face, EMemoryAvailable available) {
    (void)face, (void)available;
    return S_OK;
}
static ICLRMemoryNotificationCallbackVtbl counted_methods = {counted_query, counted_add, counted_release, counted_notify};

#define COUNTED {{&counted_methods}, 1}

static bool totals_are(uint64_t views, uint64_t bytes, uint64_t callbacks) {
    return CHECK_EQ(told_views, views) && CHECK_EQ(told_view_bytes, bytes) && CHECK_EQ(told_callbacks, callbacks);
}

static void test_callbacks(void) {
    struct notify notify = {0}, other = {0};
    struct counted a = COUNTED, b = COUNTED;
    bool added;
    CHECK(notify_register(&notify, &a.face, &added) == ST_OK && added);
    CHECK(notify_register(&notify, &b.face, &added) == ST_OK && added);
    CHECK(notify_register(&notify, &a.face, &added) == ST_OK && !added);
    CHECK(notify_register(&notify, &b.face, &added) == ST_OK && !added);
    CHECK(notify_register(&other, &a.face, &added) == ST_OK && added);
    CHECK_EQ(a.references, 3);
    CHECK_EQ(b.references, 2);
    totals_are(0, 0, 3);
    notify_clear(&notify);
    CHECK_EQ(a.references, 2);
    CHECK_EQ(b.references, 1);
    totals_are(0, 0, 1);
    notify_clear(&other);
    notify_clear(&other);
    CHECK_EQ(a.references, 1);
    totals_are(0, 0, 0);
}

static void test_views(void) {
    struct notify notify = {0};
    CHECK(notify_view_acquired(&notify, 0x10000, 100) == ST_OK);
    CHECK(notify_view_acquired(&notify, 0x20000, 0) == ST_OK);
    totals_are(2, 100, 0);
    CHECK(notify_view_acquired(&notify, 0x10000, 300) == ST_OK); /* again: another size */
    totals_are(2, 300, 0);
    notify_view_released(&notify, 0x30000);
    notify_view_released(&notify, 0);
    notify_view_released(&notify, 1);
    totals_are(2, 300, 0);
    CHECK(notify_view_acquired(&notify, 0, 5) == ST_OK); /* nothing is mapped there */
    totals_are(2, 300, 0);
    notify_view_released(&notify, 0x10000);
    notify_view_released(&notify, 0x10000);
    totals_are(1, 0, 0);
    notify_view_released(&notify, 0x20000);
    totals_are(0, 0, 0);
    /* More than a chunk, each found again. */
    for (uintptr_t i = 1; i <= 1000; i++) CHECK(notify_view_acquired(&notify, i << 16, i) == ST_OK);
    totals_are(1000, 1000 * 1001 / 2, 0);
    for (uintptr_t i = 1; i <= 1000; i += 2) notify_view_released(&notify, i << 16);
    totals_are(500, 500 * 501, 0);
    for (uintptr_t i = 1; i <= 1000; i += 2) CHECK(notify_view_acquired(&notify, i << 16, SIZE_MAX / 4096) == ST_OK);
    notify_clear(&notify);
    totals_are(0, 0, 0);
}

static void test_pleas(void) {
    uint64_t before = told_pleas;
    for (int i = 0; i < 3; i++) CHECK(notify_plea((uintptr_t)i << 16, SIZE_MAX) == ST_NO_ADDRESS_SPACE);
    CHECK_EQ(told_pleas, before + 3);
}

/* ---- Threads -------------------------------------------------------------------------------------------------- */

enum { THREADS = 4, CALLBACKS = 20 };

static struct notify shared;
static struct counted shared_callback[CALLBACKS];

static void *storm(void *context) {
    uintptr_t mine = (uintptr_t)context;
    uint64_t seed = mine;
    bool added;
    for (int round = 0; round < 300; round++) {
        CHECK(notify_register(&shared, &shared_callback[thread_random(&seed) % CALLBACKS].face, &added) == ST_OK);
        for (uintptr_t i = 1; i <= 20; i++) CHECK(notify_view_acquired(&shared, (i * THREADS + mine) << 16, i) == ST_OK);
        for (uintptr_t i = 1; i <= 20; i++) notify_view_released(&shared, (i * THREADS + mine) << 16);
        /* One address that all of them report and release. */
        CHECK(notify_view_acquired(&shared, 0x7000000, 4096) == ST_OK);
        notify_view_released(&shared, 0x7000000);
    }
    return NULL;
}

static void test_threads(void) {
    for (int i = 0; i < CALLBACKS; i++) shared_callback[i] = (struct counted)COUNTED;
    struct threads threads = {0};
    for (uintptr_t i = 0; i < THREADS; i++) threads_start(&threads, storm, (void *)i);
    threads_join(&threads);
    notify_view_released(&shared, 0x7000000);
    totals_are(0, 0, CALLBACKS);
    for (int i = 0; i < CALLBACKS; i++) CHECK_EQ(shared_callback[i].references, 2);
    notify_clear(&shared);
    for (int i = 0; i < CALLBACKS; i++) CHECK_EQ(shared_callback[i].references, 1);
    totals_are(0, 0, 0);
}

#ifdef HM_FAULT
static void test_no_memory(void) {
    struct notify notify = {0};
    struct counted a = COUNTED;
    bool added;
    cold_fail_after(1);
    CHECK(notify_register(&notify, &a.face, &added) == ST_NO_MEMORY);
    CHECK(notify_view_acquired(&notify, 0x10000, 1) == ST_NO_MEMORY);
    cold_fail_after(-1);
    CHECK_EQ(a.references, 1);
    totals_are(0, 0, 0);
    CHECK(notify_register(&notify, &a.face, &added) == ST_OK);
    CHECK(notify_view_acquired(&notify, 0x10000, 1) == ST_OK);
    totals_are(1, 1, 1);
    notify_clear(&notify);
    totals_are(0, 0, 0);
}
#endif

int main(void) {
    test_callbacks();
    test_views();
    test_pleas();
    test_threads();
#ifdef HM_FAULT
    test_no_memory();
#endif
    return check_done();
}

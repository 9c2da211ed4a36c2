/*
 * control.c - IHostControl: its own manager first, everything else to the host's control.
 */
#include "base/cold.h"
#include "check.h"
#include "hostmem.h"
#include "os/os.h"

#define NOWHERE ((void *)(uintptr_t)0x123456789000u)

/* A host's own control, which answers for one interface. */
struct host {
    IHostControl face;
    ULONG references;
    int asked;
    int managers_set;
    DWORD domain;
    IUnknown *set;
};

static HRESULT STDMETHODCALLTYPE host_query(IHostControl *face, REFIID riid, void **out) {
    (void)face, (void)riid;
    *out = NULL;
    return E_NOINTERFACE;
}
static ULONG STDMETHODCALLTYPE host_add(IHostControl *face) { return ++((struct host *)face)->references; }
static ULONG STDMETHODCALLTYPE host_release(IHostControl *face) { return --((struct host *)face)->references; }
static HRESULT STDMETHODCALLTYPE host_get(IHostControl *face, REFIID riid, void **out) {
    struct host *host = (struct host *)face;
    host->asked++;
    *out = riid->Data1 == HM_IID_IHostMalloc.Data1 ? face : NULL;
    return *out != NULL ? S_OK : E_NOINTERFACE;
}
static HRESULT STDMETHODCALLTYPE host_set(IHostControl *face, DWORD domain, IUnknown *manager) {
    struct host *host = (struct host *)face;
    host->managers_set++;
    host->domain = domain;
    host->set = manager;
    return (HRESULT)0x80131020u;
}
static IHostControlVtbl host_methods = {host_query, host_add, host_release, host_get, host_set};

static ULONG references_of(IHostMemoryManager *manager) {
    manager->lpVtbl->AddRef(manager);
    return manager->lpVtbl->Release(manager);
}

static void test_alone(IHostMemoryManager *manager) {
    IHostControl *control = NULL;
    if (!CHECK(HmCreateHostControl(manager, NULL, &control) == S_OK)) return;
    CHECK_EQ(references_of(manager), 2);
    void *out = NULL;
    CHECK(control->lpVtbl->GetHostManager(control, &HM_IID_IHostMemoryManager, &out) == S_OK && out == manager);
    CHECK_EQ(references_of(manager), 3);
    manager->lpVtbl->Release(manager);
    const IID *others[] = {&HM_IID_IHostMalloc, &HM_IID_IHostControl, &HM_IID_IUnknown};
    for (int i = 0; i < 3; i++) {
        out = NOWHERE;
        CHECK(control->lpVtbl->GetHostManager(control, others[i], &out) == E_NOINTERFACE && out == NULL);
    }
    out = NOWHERE;
    CHECK(control->lpVtbl->GetHostManager(control, NULL, &out) == E_INVALIDARG && out == NULL);
    CHECK(control->lpVtbl->GetHostManager(control, &HM_IID_IHostMemoryManager, NULL) == E_POINTER);
    CHECK(control->lpVtbl->SetAppDomainManager(control, 1, NULL) == S_OK);
    CHECK_EQ(references_of(manager), 2);

    CHECK_EQ(control->lpVtbl->AddRef(control), 2);
    const IID *own[] = {&HM_IID_IUnknown, &HM_IID_IHostControl};
    for (int i = 0; i < 2; i++) {
        out = NULL;
        CHECK(control->lpVtbl->QueryInterface(control, own[i], &out) == S_OK && out == control);
        CHECK_EQ(control->lpVtbl->Release(control), 2);
    }
    out = NOWHERE;
    CHECK(control->lpVtbl->QueryInterface(control, &HM_IID_IHostMemoryManager, &out) == E_NOINTERFACE && out == NULL);
    out = NOWHERE;
    CHECK(control->lpVtbl->QueryInterface(control, NULL, &out) == E_INVALIDARG && out == NULL);
    CHECK(control->lpVtbl->QueryInterface(control, &HM_IID_IUnknown, NULL) == E_POINTER);
    CHECK_EQ(control->lpVtbl->Release(control), 1);
    CHECK_EQ(control->lpVtbl->Release(control), 0);
    CHECK_EQ(references_of(manager), 1);
}

static void test_before_another(IHostMemoryManager *manager) {
    struct host host = {.face = {&host_methods}, .references = 1};
    IHostControl *control = NULL;
    if (!CHECK(HmCreateHostControl(manager, &host.face, &control) == S_OK)) return;
    CHECK_EQ(host.references, 2);
    void *out = NULL;
    CHECK(control->lpVtbl->GetHostManager(control, &HM_IID_IHostMemoryManager, &out) == S_OK && out == manager);
    manager->lpVtbl->Release(manager);
    CHECK_EQ(host.asked, 0);
    CHECK(control->lpVtbl->GetHostManager(control, &HM_IID_IHostMalloc, &out) == S_OK && out == &host.face);
    out = NOWHERE;
    CHECK(control->lpVtbl->GetHostManager(control, &HM_IID_IHostControl, &out) == E_NOINTERFACE && out == NULL);
    CHECK_EQ(host.asked, 2);
    CHECK(control->lpVtbl->SetAppDomainManager(control, 17, NOWHERE) == (HRESULT)0x80131020u); /* the host's own answer */
    CHECK(host.managers_set == 1 && host.domain == 17 && host.set == NOWHERE);
    CHECK_EQ(control->lpVtbl->Release(control), 0);
    CHECK_EQ(host.references, 1);
    CHECK_EQ(references_of(manager), 1);
}

static void test_misuse(IHostMemoryManager *manager) {
    struct host host = {.face = {&host_methods}, .references = 1};
    IHostControl *control = NOWHERE;
    CHECK(HmCreateHostControl(manager, NULL, NULL) == E_POINTER);
    CHECK(HmCreateHostControl(NULL, &host.face, &control) == E_POINTER && control == NULL);
#ifdef HM_FAULT
    control = NOWHERE;
    cold_fail_after(1);
    CHECK(HmCreateHostControl(manager, &host.face, &control) == E_OUTOFMEMORY && control == NULL);
    cold_fail_after(-1);
    CHECK_EQ(os_last_error(), ERROR_NOT_ENOUGH_MEMORY);
#endif
    CHECK_EQ(host.references, 1);
    CHECK_EQ(references_of(manager), 1);
}

/* The control keeps the manager alive after the host has let go of it. */
static void test_keeps_manager(IHostMemoryManager *manager) {
    IHostControl *control = NULL;
    if (!CHECK(HmCreateHostControl(manager, NULL, &control) == S_OK)) return;
    CHECK_EQ(manager->lpVtbl->Release(manager), 1);
    void *out = NULL;
    CHECK(control->lpVtbl->GetHostManager(control, &HM_IID_IHostMemoryManager, &out) == S_OK && out == manager);
    CHECK_EQ(control->lpVtbl->Release(control), 0);
    CHECK_EQ(references_of(manager), 1);
    DWORD load;
    CHECK(manager->lpVtbl->GetMemoryLoad(manager, &load, NULL) == S_OK);
}

int main(void) {
    IHostMemoryManager *manager = NULL;
    if (CHECK(HmCreateMemoryManager(NULL, &manager) == S_OK)) {
        test_alone(manager);
        test_before_another(manager);
        test_misuse(manager);
        test_keeps_manager(manager);
        CHECK_EQ(manager->lpVtbl->Release(manager), 0);
    }
    return check_done();
}

/*
 * control.c - IHostControl: puts a memory manager in front of a host's own control, or of none.
 *
 * It holds a reference on the manager and on the next control until its own last Release, which a CLR makes when it stops.
 */
#include "base/cold.h"
#include "com/com.h"

struct control {
    IHostControl face; /* first: the interface's address is the control's */
    uint32_t references;
    IHostMemoryManager *manager;
    IHostControl *next; /* may be NULL */
};

static struct control *control_of(IHostControl *face) { return (struct control *)face; }

static ULONG STDMETHODCALLTYPE control_add_ref(IHostControl *face) { return com_add_ref(&control_of(face)->references); }

static ULONG STDMETHODCALLTYPE control_release(IHostControl *face) {
    struct control *control = control_of(face);
    ULONG left = com_release(&control->references);
    if (left == 0) {
        control->manager->lpVtbl->Release(control->manager);
        if (control->next != NULL) control->next->lpVtbl->Release(control->next);
        cold_free(control);
    }
    return left;
}

static HRESULT STDMETHODCALLTYPE control_query_interface(IHostControl *face, REFIID riid, void **ppvObject) {
    HRESULT result = com_query(face, &HM_IID_IHostControl, riid, ppvObject);
    if (result == S_OK) control_add_ref(face);
    return result;
}

static HRESULT STDMETHODCALLTYPE control_get_manager(IHostControl *face, REFIID riid, void **ppObject) {
    struct control *control = control_of(face);
    if (ppObject == NULL) return com_answer(ST_NOT_WRITABLE);
    *ppObject = NULL;
    if (riid == NULL) return com_answer(ST_BAD_ARGUMENT);
    if (com_same(riid, &HM_IID_IHostMemoryManager)) {
        control->manager->lpVtbl->AddRef(control->manager);
        *ppObject = control->manager;
        return S_OK;
    }
    if (control->next == NULL) return com_no_interface();
    return control->next->lpVtbl->GetHostManager(control->next, riid, ppObject);
}

static HRESULT STDMETHODCALLTYPE control_set_domain_manager(IHostControl *face, DWORD dwAppDomainID,
                                                            IUnknown *pUnkAppDomainManager) {
    struct control *control = control_of(face);
    if (control->next == NULL) return S_OK; /* nobody here wants to know */
    return control->next->lpVtbl->SetAppDomainManager(control->next, dwAppDomainID, pUnkAppDomainManager);
}

static const IHostControlVtbl control_methods = {
    control_query_interface, control_add_ref, control_release, control_get_manager, control_set_domain_manager,
};

HRESULT WINAPI HmCreateHostControl(IHostMemoryManager *manager, IHostControl *next, IHostControl **out) {
    if (out == NULL) return com_answer(ST_NOT_WRITABLE);
    *out = NULL;
    if (manager == NULL) return com_answer(ST_NOT_WRITABLE);
    struct control *control = cold_alloc(sizeof *control);
    if (control == NULL) return com_answer(ST_NO_MEMORY);
    manager->lpVtbl->AddRef(manager);
    if (next != NULL) next->lpVtbl->AddRef(next);
    control->face.lpVtbl = (IHostControlVtbl *)&control_methods;
    control->references = 1;
    control->manager = manager;
    control->next = next;
    *out = &control->face;
    return S_OK;
}

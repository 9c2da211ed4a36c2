/*
 * com.h - what the three interfaces share: identity, references, answers. Layer: com, which only translates.
 *
 * References are counted by one atomic word in each object; AddRef and Release return the new count. An object's record is
 * freed by the Release that returns 0. Out-parameters are written whatever the answer.
 */
#ifndef HM_COM_H
#define HM_COM_H

#include "base/atom.h"
#include "base/base.h"
#include "core/budget.h"
#include "hostmem.h"
#include "policy/inject.h"

/* The HRESULT for a status. A failure also sets the thread's last error, a success leaves it alone. */
HRESULT com_answer_failure(enum status status);
static inline HRESULT com_answer(enum status status) {
    return __builtin_expect(status == ST_OK, 1) ? S_OK : com_answer_failure(status);
}

/* E_NOINTERFACE, which only COM has a name for; a caller finds ERROR_NOT_SUPPORTED as the last error. */
HRESULT com_no_interface(void);

/* QueryInterface of an object that is IUnknown and one interface more; on success the caller adds the reference. */
HRESULT com_query(void *object, const IID *own, const IID *wanted, void **out);

bool com_same(const IID *left, const IID *right);

static inline ULONG com_add_ref(uint32_t *references) { return atom_add_acqrel_u32(references, 1) + 1; }

/* acq and rel: the one that brings it to 0 comes after every use of the object by others. */
static inline ULONG com_release(uint32_t *references) { return atom_add_acqrel_u32(references, UINT32_MAX) - 1; }

/* The two enumerations number the levels alike. */
_Static_assert((int)eTaskCritical == BUDGET_TASK && (int)eAppDomainCritical == BUDGET_DOMAIN, "levels of refusal");
_Static_assert((int)eProcessCritical == BUDGET_PROCESS, "levels of refusal");

struct observed;

/* After a failure: is it worth another try, because the emergency reserve has just been given up for it? */
bool com_try_again(enum status status, EMemoryCriticalLevel level);

/*
 * A new IHostMalloc for IHostMemoryManager::CreateMalloc, with one reference, charged to whoever asks. manager: what is observed
 * of the one that makes it (com/observed.h), NULL for nothing; limits may be NULL.
 */
HRESULT malloc_create(DWORD type, const struct observed *manager, const HM_LIMITS *limits, IHostMalloc **out);

/* The budget of an interface of ours; NULL for an object that is none. */
struct budget *manager_budget(void *object);
struct budget *malloc_budget(void *object);

#endif

/*
 * com.c - identity and answers.
 *
 * Answers follow the hosting documentation: S_OK for success and nothing else, E_OUTOFMEMORY for every shortage,
 * HOST_E_INVALIDOPERATION for memory that is not the engine's, HRESULT_FROM_WIN32 for the rest. E_FAIL would tell a CLR that it
 * can never be used again in this process, so no method returns it. Pure functions; any thread.
 */
#include "com/com.h"

#include <string.h>

#include "os/os.h"
#include "policy/limits.h"
#include "vm/error.h"

HRESULT com_answer_failure(enum status status) {
    error_report(status);
    return error_hresult(status);
}

HRESULT com_no_interface(void) {
    os_last_error_set(ERROR_NOT_SUPPORTED);
    return E_NOINTERFACE;
}

bool com_try_again(enum status status, EMemoryCriticalLevel level) {
    /* A limit that refused it would do so again. */
    bool shortage = status == ST_NO_MEMORY || status == ST_COMMIT_LIMIT || status == ST_NO_ADDRESS_SPACE;
    return shortage && level == eProcessCritical && limits_reserve_spend();
}

bool com_same(const IID *left, const IID *right) { return memcmp(left, right, sizeof(IID)) == 0; }

HRESULT com_query(void *object, const IID *own, const IID *wanted, void **out) {
    if (out == NULL) return com_answer(ST_NOT_WRITABLE);
    *out = NULL;
    if (wanted == NULL) return com_answer(ST_BAD_ARGUMENT);
    if (!com_same(wanted, &HM_IID_IUnknown) && !com_same(wanted, own)) return com_no_interface();
    *out = object;
    return S_OK;
}

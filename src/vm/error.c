/*
 * error.c - one row per internal status: what a Win32 caller sees as last error and what a COM caller gets.
 *
 * The HRESULT column follows the hosting documentation: a host answers shortage with E_OUTOFMEMORY and foreign memory with
 * HOST_E_INVALIDOPERATION; E_FAIL means there that the runtime is beyond use, so it never appears here.
 */
#include "vm/error.h"

#include "base/atom.h"
#include "os/os.h"

struct error_row {
    const char *name;
    DWORD win32;
    HRESULT hresult; /* S_OK: made from the Win32 code */
};

static const struct error_row error_table[ST_COUNT] = {
    [ST_OK] = {"ok", ERROR_SUCCESS, S_OK},
    [ST_BAD_ARGUMENT] = {"bad_argument", ERROR_INVALID_PARAMETER, E_INVALIDARG},
    [ST_BAD_ADDRESS] = {"bad_address", ERROR_INVALID_ADDRESS, S_OK},
    [ST_NOT_OURS] = {"not_ours", ERROR_INVALID_ADDRESS, HOST_E_INVALIDOPERATION},
    [ST_FOREIGN_VIEW] = {"foreign_view", ERROR_INVALID_PARAMETER, HOST_E_INVALIDOPERATION},
    [ST_NOT_WRITABLE] = {"not_writable", ERROR_NOACCESS, E_POINTER},
    [ST_BAD_LENGTH] = {"bad_length", ERROR_BAD_LENGTH, S_OK},
    [ST_BAD_HANDLE] = {"bad_handle", ERROR_INVALID_HANDLE, S_OK},
    [ST_NO_ADDRESS_SPACE] = {"no_address_space", ERROR_NOT_ENOUGH_MEMORY, E_OUTOFMEMORY},
    [ST_NO_MEMORY] = {"no_memory", ERROR_NOT_ENOUGH_MEMORY, E_OUTOFMEMORY},
    [ST_COMMIT_LIMIT] = {"commit_limit", ERROR_COMMITMENT_LIMIT, E_OUTOFMEMORY},
    [ST_NO_RESOURCES] = {"no_resources", ERROR_NO_SYSTEM_RESOURCES, E_OUTOFMEMORY},
    [ST_NO_PRIVILEGE] = {"no_privilege", ERROR_PRIVILEGE_NOT_HELD, S_OK},
    [ST_NO_QUOTA] = {"no_quota", ERROR_NOT_ENOUGH_QUOTA, E_OUTOFMEMORY},
    [ST_DENIED] = {"denied", ERROR_ACCESS_DENIED, E_ACCESSDENIED},
    [ST_NOT_SUPPORTED] = {"not_supported", ERROR_NOT_SUPPORTED, S_OK},
};

static uint64_t error_counts[ST_COUNT];

DWORD error_win32(enum status status) {
    HM_CHECK(status < ST_COUNT);
    return error_table[status].win32;
}

HRESULT error_hresult(enum status status) {
    DWORD win32 = error_win32(status);
    if (status == ST_OK || error_table[status].hresult != S_OK) return error_table[status].hresult;
    return HRESULT_FROM_WIN32(win32);
}

void error_report_failure(enum status status) {
    os_last_error_set(error_win32(status));
    atom_add_acqrel_u64(&error_counts[status], 1);
}

enum status error_told(DWORD win32, HRESULT answer) {
    for (unsigned status = ST_COUNT; --status > ST_OK;) {
        if (error_win32((enum status)status) == win32 && error_hresult((enum status)status) == answer) return (enum status)status;
    }
    return ST_OK;
}

uint64_t error_count(enum status status) { return atom_load_rlx_u64(&error_counts[status]); /* rlx: a figure for people */ }

const char *error_name(enum status status) { return error_table[status].name; }

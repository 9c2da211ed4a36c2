/*
 * error.c - one row per internal status: what a Win32 caller sees as last error and what a COM caller gets.
 *
 * The HRESULT column follows the hosting documentation: a host answers shortage with E_OUTOFMEMORY and foreign memory with
 * HOST_E_INVALIDOPERATION; E_FAIL means there that the runtime is beyond use, so it never appears here.
 */
#include "vm/error.h"

#include "os/os.h"

struct error_row {
    DWORD win32;
    HRESULT hresult; /* S_OK: made from the Win32 code */
};

static const struct error_row error_table[ST_COUNT] = {
    [ST_OK] = {ERROR_SUCCESS, S_OK},
    [ST_BAD_ARGUMENT] = {ERROR_INVALID_PARAMETER, E_INVALIDARG},
    [ST_BAD_ADDRESS] = {ERROR_INVALID_ADDRESS, S_OK},
    [ST_NOT_OURS] = {ERROR_INVALID_ADDRESS, HOST_E_INVALIDOPERATION},
    [ST_FOREIGN_VIEW] = {ERROR_INVALID_PARAMETER, HOST_E_INVALIDOPERATION},
    [ST_NOT_WRITABLE] = {ERROR_NOACCESS, E_POINTER},
    [ST_BAD_LENGTH] = {ERROR_BAD_LENGTH, S_OK},
    [ST_BAD_HANDLE] = {ERROR_INVALID_HANDLE, S_OK},
    [ST_NO_ADDRESS_SPACE] = {ERROR_NOT_ENOUGH_MEMORY, E_OUTOFMEMORY},
    [ST_NO_MEMORY] = {ERROR_NOT_ENOUGH_MEMORY, E_OUTOFMEMORY},
    [ST_COMMIT_LIMIT] = {ERROR_COMMITMENT_LIMIT, E_OUTOFMEMORY},
    [ST_NO_RESOURCES] = {ERROR_NO_SYSTEM_RESOURCES, E_OUTOFMEMORY},
    [ST_NO_PRIVILEGE] = {ERROR_PRIVILEGE_NOT_HELD, S_OK},
    [ST_NO_QUOTA] = {ERROR_NOT_ENOUGH_QUOTA, E_OUTOFMEMORY},
    [ST_DENIED] = {ERROR_ACCESS_DENIED, E_ACCESSDENIED},
    [ST_NOT_SUPPORTED] = {ERROR_NOT_SUPPORTED, S_OK},
};

DWORD error_win32(enum status status) {
    HM_CHECK(status < ST_COUNT);
    return error_table[status].win32;
}

HRESULT error_hresult(enum status status) {
    DWORD win32 = error_win32(status);
    if (status == ST_OK || error_table[status].hresult != S_OK) return error_table[status].hresult;
    return HRESULT_FROM_WIN32(win32);
}

bool error_report(enum status status) {
    if (status != ST_OK) os_last_error_set(error_win32(status));
    return status == ST_OK;
}

/*
 * error.h - the one table from the engine's own error codes to Win32's and COM's. Layer: vm.
 */
#ifndef HM_ERROR_H
#define HM_ERROR_H

#include "base/base.h"
#include "hostmem_clr.h"

/* The Win32 error code; ERROR_SUCCESS for ST_OK. */
DWORD error_win32(enum status status);

/* What an interface method returns: S_OK, E_OUTOFMEMORY for every kind of shortage, HOST_E_INVALIDOPERATION for memory that is
 * not ours, HRESULT_FROM_WIN32 for the rest. */
HRESULT error_hresult(enum status status);

/* Sets the thread's last error for a failure and counts it; of ST_OK neither. Returns whether the status was ST_OK. */
void error_report_failure(enum status status);
static inline bool error_report(enum status status) {
    if (__builtin_expect(status == ST_OK, 1)) return true;
    error_report_failure(status);
    return false;
}

/*
 * Which failure the caller of an interface method was told of by this last error and this answer. ST_OK: one that only COM has.
 * Of two that are told alike it is the commoner one: ST_NO_MEMORY rather than ST_NO_ADDRESS_SPACE.
 */
enum status error_told(DWORD win32, HRESULT answer);

/* How often error_report was given this one so far; what it is called in figures. */
uint64_t error_count(enum status status);
const char *error_name(enum status status);

#endif

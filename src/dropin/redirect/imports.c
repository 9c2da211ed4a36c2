/*
 * imports.c - keeps a library out of every served process that nothing in it would ever call.
 *
 * mimalloc, where the engine keeps what it seldom needs, names three functions of advapi32 by which it asks for large pages if
 * an option of its own says so. Named as imports, they would have advapi32 loaded into each program in front of all its own, with
 * what that needs in turn; loading is much of what a short program's start takes. So they are answered here: there are none.
 *
 * Called by mimalloc alone, on any thread.
 */
#include "dropin/redirect/redirect.h"

static BOOL refuse(void) {
    SetLastError(ERROR_CALL_NOT_IMPLEMENTED);
    return FALSE;
}

static BOOL WINAPI open_token(HANDLE process, DWORD access, PHANDLE token) {
    (void)process, (void)access, (void)token;
    return refuse();
}

static BOOL WINAPI find_privilege(LPCSTR system, LPCSTR name, PLUID privilege) {
    (void)system, (void)name, (void)privilege;
    return refuse();
}

static BOOL WINAPI adjust_privileges(HANDLE token, BOOL all_off, PTOKEN_PRIVILEGES wanted, DWORD size, PTOKEN_PRIVILEGES before,
                                     PDWORD needed) {
    (void)token, (void)all_off, (void)wanted, (void)size, (void)before, (void)needed;
    return refuse();
}

/* The places through which code that is compiled for a DLL's functions calls them, as the linker names them. */
const any_function __imp_OpenProcessToken = (any_function)open_token;
const any_function __imp_LookupPrivilegeValueA = (any_function)find_privilege;
const any_function __imp_AdjustTokenPrivileges = (any_function)adjust_privileges;

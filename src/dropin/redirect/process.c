/*
 * process.c - is a handle one of the own process, and what may be done with it?
 *
 * The engine answers for the own process whichever handle names it; a call that the handle lacks the right for is the system's,
 * which refuses it. A handle that may not even be asked for its process is asked through a duplicate that may. The last error
 * stays as it is.
 */
#include "dropin/redirect/redirect.h"

/* NtQueryObject's answer about any object. */
struct object_information {
    ULONG attributes;
    ACCESS_MASK granted;
    ULONG rest[12];
};
typedef LONG(WINAPI *query_object_function)(HANDLE, int, void *, ULONG, ULONG *);
static query_object_function query_object;

void process_start(void) {
    HMODULE ntdll = GetModuleHandleA("ntdll.dll");
    query_object = (query_object_function)(void (*)(void))GetProcAddress(ntdll, "NtQueryObject");
}

/* True too where the system does not tell. */
static bool has_rights(HANDLE process, DWORD rights) {
    enum { OBJECT_BASIC_INFORMATION = 0 };
    struct object_information info;
    if (!rights || !query_object || query_object(process, OBJECT_BASIC_INFORMATION, &info, sizeof info, NULL) < 0) return true;
    return (info.granted & rights) == rights;
}

static DWORD id_by_duplicate(HANDLE process) {
    HANDLE asked;
    DWORD rights = PROCESS_QUERY_LIMITED_INFORMATION;
    if (!DuplicateHandle(GetCurrentProcess(), process, GetCurrentProcess(), &asked, rights, FALSE, 0)) return 0;
    DWORD id = GetProcessId(asked);
    CloseHandle(asked);
    return id;
}

bool process_is_own(HANDLE process, DWORD rights) {
    if (process == GetCurrentProcess()) return true;
    if (!process) return false;
    DWORD before = GetLastError(), id = GetProcessId(process);
    if (!id && GetLastError() == ERROR_ACCESS_DENIED) id = id_by_duplicate(process);
    bool own = id == GetCurrentProcessId() && has_rights(process, rights);
    SetLastError(before);
    return own;
}

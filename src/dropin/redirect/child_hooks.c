/*
 * child_hooks.c - programs that the program starts are served as well, where that was asked for.
 *
 * A child is started suspended, prepared, and set running as its parent wanted it. One that cannot be prepared (a 32-bit
 * program, say) runs unserved: starting it must not fail because of us.
 */
#include "dropin/redirect/redirect.h"

static void child_prepare(const PROCESS_INFORMATION *child, DWORD flags_asked) {
    DWORD before = GetLastError();
    HmRedirectPrepare(child->hProcess, redirect_flags, redirect_section_handle());
    if (!(flags_asked & CREATE_SUSPENDED)) ResumeThread(child->hThread);
    SetLastError(before);
}

BOOL WINAPI hook_CreateProcessA(LPCSTR program, LPSTR command, LPSECURITY_ATTRIBUTES process, LPSECURITY_ATTRIBUTES thread,
                                BOOL inherit, DWORD flags, LPVOID environment, LPCSTR folder, LPSTARTUPINFOA startup,
                                LPPROCESS_INFORMATION child) {
    if (!real.CreateProcessA(program, command, process, thread, inherit, flags | CREATE_SUSPENDED, environment, folder, startup,
                             child)) {
        return FALSE;
    }
    child_prepare(child, flags);
    return TRUE;
}

BOOL WINAPI hook_CreateProcessW(LPCWSTR program, LPWSTR command, LPSECURITY_ATTRIBUTES process, LPSECURITY_ATTRIBUTES thread,
                                BOOL inherit, DWORD flags, LPVOID environment, LPCWSTR folder, LPSTARTUPINFOW startup,
                                LPPROCESS_INFORMATION child) {
    if (!real.CreateProcessW(program, command, process, thread, inherit, flags | CREATE_SUSPENDED, environment, folder, startup,
                             child)) {
        return FALSE;
    }
    child_prepare(child, flags);
    return TRUE;
}

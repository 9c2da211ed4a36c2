/*
 * child_hooks.c - programs that the program starts are served as well, where that was asked for.
 *
 * A child is started suspended, prepared, and set running as its parent wanted it. One that cannot be prepared (a 32-bit
 * program, say) runs unserved: starting it must not fail because of us.
 */
#include "dropin/redirect/redirect.h"

static BOOL child_prepare(BOOL started, const PROCESS_INFORMATION *child, DWORD flags_asked) {
    if (!started) return FALSE;
    DWORD before = GetLastError();
    HmRedirectPrepare(child->hProcess, redirect_flags, redirect_section_handle());
    if (!(flags_asked & CREATE_SUSPENDED)) ResumeThread(child->hThread);
    SetLastError(before);
    return TRUE;
}

BOOL WINAPI hook_CreateProcessA(LPCSTR program, LPSTR command, LPSECURITY_ATTRIBUTES process, LPSECURITY_ATTRIBUTES thread,
                                BOOL inherit, DWORD flags, LPVOID environment, LPCSTR folder, LPSTARTUPINFOA startup,
                                LPPROCESS_INFORMATION child) {
    BOOL started = real.CreateProcessA(program, command, process, thread, inherit, flags | CREATE_SUSPENDED, environment, folder,
                                       startup, child);
    return child_prepare(started, child, flags);
}

BOOL WINAPI hook_CreateProcessW(LPCWSTR program, LPWSTR command, LPSECURITY_ATTRIBUTES process, LPSECURITY_ATTRIBUTES thread,
                                BOOL inherit, DWORD flags, LPVOID environment, LPCWSTR folder, LPSTARTUPINFOW startup,
                                LPPROCESS_INFORMATION child) {
    BOOL started = real.CreateProcessW(program, command, process, thread, inherit, flags | CREATE_SUSPENDED, environment, folder,
                                       startup, child);
    return child_prepare(started, child, flags);
}

BOOL WINAPI hook_CreateProcessAsUserA(HANDLE token, LPCSTR program, LPSTR command, LPSECURITY_ATTRIBUTES process,
                                      LPSECURITY_ATTRIBUTES thread, BOOL inherit, DWORD flags, LPVOID environment, LPCSTR folder,
                                      LPSTARTUPINFOA startup, LPPROCESS_INFORMATION child) {
    BOOL started = real.CreateProcessAsUserA(token, program, command, process, thread, inherit, flags | CREATE_SUSPENDED,
                                             environment, folder, startup, child);
    return child_prepare(started, child, flags);
}

BOOL WINAPI hook_CreateProcessAsUserW(HANDLE token, LPCWSTR program, LPWSTR command, LPSECURITY_ATTRIBUTES process,
                                      LPSECURITY_ATTRIBUTES thread, BOOL inherit, DWORD flags, LPVOID environment, LPCWSTR folder,
                                      LPSTARTUPINFOW startup, LPPROCESS_INFORMATION child) {
    BOOL started = real.CreateProcessAsUserW(token, program, command, process, thread, inherit, flags | CREATE_SUSPENDED,
                                             environment, folder, startup, child);
    return child_prepare(started, child, flags);
}

BOOL WINAPI hook_CreateProcessInternalA(HANDLE token, LPCSTR program, LPSTR command, LPSECURITY_ATTRIBUTES process,
                                        LPSECURITY_ATTRIBUTES thread, BOOL inherit, DWORD flags, LPVOID environment,
                                        LPCSTR folder, LPSTARTUPINFOA startup, LPPROCESS_INFORMATION child, PHANDLE restricted) {
    BOOL started = real.CreateProcessInternalA(token, program, command, process, thread, inherit, flags | CREATE_SUSPENDED,
                                               environment, folder, startup, child, restricted);
    return child_prepare(started, child, flags);
}

BOOL WINAPI hook_CreateProcessInternalW(HANDLE token, LPCWSTR program, LPWSTR command, LPSECURITY_ATTRIBUTES process,
                                        LPSECURITY_ATTRIBUTES thread, BOOL inherit, DWORD flags, LPVOID environment,
                                        LPCWSTR folder, LPSTARTUPINFOW startup, LPPROCESS_INFORMATION child, PHANDLE restricted) {
    BOOL started = real.CreateProcessInternalW(token, program, command, process, thread, inherit, flags | CREATE_SUSPENDED,
                                               environment, folder, startup, child, restricted);
    return child_prepare(started, child, flags);
}

/* As the system's own does it; what it would say of a program that does not start it says itself. */
UINT WINAPI hook_WinExec(LPCSTR command, UINT show) {
    enum { STARTED = 33, IDLE_MS = 30000 }; /* any number above 31 */
    STARTUPINFOA startup = {.cb = sizeof startup, .dwFlags = STARTF_USESHOWWINDOW, .wShowWindow = (WORD)show};
    PROCESS_INFORMATION child;
    if (!hook_CreateProcessA(NULL, (LPSTR)(uintptr_t)command, NULL, NULL, FALSE, 0, NULL, NULL, &startup, &child)) {
        return real.WinExec(command, show);
    }
    HMODULE user = GetModuleHandleA("user32.dll");
    DWORD(WINAPI *wait_idle)(HANDLE, DWORD) =
        user ? (DWORD(WINAPI *)(HANDLE, DWORD))(void (*)(void))GetProcAddress(user, "WaitForInputIdle") : NULL;
    if (wait_idle) wait_idle(child.hProcess, IDLE_MS);
    CloseHandle(child.hThread);
    CloseHandle(child.hProcess);
    return STARTED;
}

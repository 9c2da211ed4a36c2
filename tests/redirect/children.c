/*
 * children.c - a program that starts itself in all the ways there are; each child says whether it is served.
 *
 * usage: children served|alone: what the children should be
 */
#include <windows.h>

#include <stdio.h>
#include <string.h>

#include "check.h"

enum { SERVED, ALONE, DONE, EVENTS };
static HANDLE event[EVENTS];
static char self[MAX_PATH];
static PROCESS_INFORMATION child;

static void events_open(void) {
    static const char *const names[EVENTS] = {"hostmem-child-served", "hostmem-child-alone", "hostmem-child-done"};
    for (int i = 0; i < EVENTS; i++) event[i] = CreateEventA(NULL, FALSE, FALSE, names[i]);
}

/* Lives until its parent has seen it: WinExec gives nothing to wait for. */
static int be_child(void) {
    SetEvent(event[GetModuleHandleA("hostmem-redirect.dll") ? SERVED : ALONE]);
    return (int)WaitForSingleObject(event[DONE], 20000);
}

static BOOL by_a(char *command) {
    STARTUPINFOA startup = {.cb = sizeof startup};
    return CreateProcessA(NULL, command, NULL, NULL, FALSE, 0, NULL, NULL, &startup, &child);
}

static BOOL by_a_suspended(char *command) {
    STARTUPINFOA startup = {.cb = sizeof startup};
    BOOL started = CreateProcessA(NULL, command, NULL, NULL, FALSE, CREATE_SUSPENDED, NULL, NULL, &startup, &child);
    return started && ResumeThread(child.hThread) == 1;
}

/* A job that the program did not ask for must let its children out. (Wine, which tells of no job's limits, lets them by less.) */
static BOOL by_a_breakaway(char *command) {
    STARTUPINFOA startup = {.cb = sizeof startup};
    return CreateProcessA(NULL, command, NULL, NULL, FALSE, CREATE_BREAKAWAY_FROM_JOB, NULL, NULL, &startup, &child);
}

static const wchar_t *widen(const char *command) {
    static wchar_t wide[MAX_PATH + 16];
    MultiByteToWideChar(CP_ACP, 0, command, -1, wide, MAX_PATH + 16);
    return wide;
}

static BOOL by_w(char *command) {
    STARTUPINFOW startup = {.cb = sizeof startup};
    return CreateProcessW(NULL, (wchar_t *)(uintptr_t)widen(command), NULL, NULL, FALSE, 0, NULL, NULL, &startup, &child);
}

static BOOL by_exec(char *command) { return WinExec(command, SW_HIDE) > 31; }

static HANDLE token(void) {
    HANDLE mine = NULL;
    OpenProcessToken(GetCurrentProcess(), TOKEN_ALL_ACCESS, &mine);
    return mine;
}

static BOOL by_user_a(char *command) {
    STARTUPINFOA startup = {.cb = sizeof startup};
    return CreateProcessAsUserA(token(), NULL, command, NULL, NULL, FALSE, 0, NULL, NULL, &startup, &child);
}

static BOOL by_user_w(char *command) {
    STARTUPINFOW startup = {.cb = sizeof startup};
    wchar_t *wide = (wchar_t *)(uintptr_t)widen(command);
    return CreateProcessAsUserW(token(), NULL, wide, NULL, NULL, FALSE, 0, NULL, NULL, &startup, &child);
}

typedef BOOL(WINAPI *internal_function)(HANDLE, LPCWSTR, LPWSTR, LPSECURITY_ATTRIBUTES, LPSECURITY_ATTRIBUTES, BOOL, DWORD,
                                        LPVOID, LPCWSTR, LPSTARTUPINFOW, LPPROCESS_INFORMATION, PHANDLE);

static BOOL by_internal(char *command) {
    STARTUPINFOW startup = {.cb = sizeof startup};
    wchar_t *wide = (wchar_t *)(uintptr_t)widen(command);
    internal_function internal =
        (internal_function)(void (*)(void))GetProcAddress(GetModuleHandleA("kernel32.dll"), "CreateProcessInternalW");
    if (!internal) return by_w(command);
    return internal(NULL, NULL, wide, NULL, NULL, FALSE, 0, NULL, NULL, &startup, &child, NULL);
}

static void start_by(const char *name, BOOL (*way)(char *), DWORD wanted) {
    char command[MAX_PATH + 16];
    snprintf(command, sizeof command, "\"%s\" child", self);
    memset(&child, 0, sizeof child);
    if (!CHECK(way(command))) return;
    DWORD said = WaitForMultipleObjects(2, event, FALSE, 20000);
    if (!CHECK_EQ(said, wanted)) printf("%s\n", name);
    SetEvent(event[DONE]);
    if (!child.hProcess) return;
    CHECK_EQ(WaitForSingleObject(child.hProcess, 20000), WAIT_OBJECT_0);
    CloseHandle(child.hProcess);
    CloseHandle(child.hThread);
}

int main(int argc, char **argv) {
    DWORD wanted = argc > 1 && strcmp(argv[1], "served") == 0 ? SERVED : ALONE;
    events_open();
    if (argc > 1 && strcmp(argv[1], "child") == 0) return be_child();
    GetModuleFileNameA(NULL, self, sizeof self);
    start_by("CreateProcessA", by_a, wanted);
    start_by("CreateProcessA, suspended", by_a_suspended, wanted);
    start_by("CreateProcessA, out of a job", by_a_breakaway, wanted);
    start_by("CreateProcessW", by_w, wanted);
    start_by("CreateProcessAsUserA", by_user_a, wanted);
    start_by("CreateProcessAsUserW", by_user_w, wanted);
    start_by("CreateProcessInternalW", by_internal, wanted);
    start_by("WinExec", by_exec, wanted);
    CHECK(WinExec("no-such-program.exe", SW_HIDE) == ERROR_FILE_NOT_FOUND);
    return check_done();
}

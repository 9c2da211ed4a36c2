/*
 * ends.c - the ways in which a program ends. usage: ends HOW
 *
 *   crash    an access violation that nobody handles
 *   exit     ExitProcess with a status of 32 bits
 *   kill     TerminateProcess of itself
 *   return   a status out of main
 *   busy     ExitProcess while eight threads allocate and free
 *   thread   the process ends with its last thread
 *   close    a second after its parent was told that their console is closed
 *   self     as `exit`, in a child process that it starts, whose status it hands on
 */
#include <windows.h>

#include <tlhelp32.h>

#include <stdio.h>
#include <string.h>

static volatile LONG turns;

static DWORD WINAPI busy(LPVOID unused) {
    (void)unused;
    for (;;) {
        char *reserved = VirtualAlloc(NULL, 1 << 20, MEM_RESERVE, PAGE_READWRITE);
        VirtualAlloc(reserved, 65536, MEM_COMMIT, PAGE_READWRITE);
        char *whole = VirtualAlloc(NULL, 65536, MEM_COMMIT, PAGE_READWRITE);
        reserved[5] = whole[5] = 1;
        VirtualFree(whole, 0, MEM_RELEASE);
        VirtualFree(reserved, 0, MEM_RELEASE);
        InterlockedIncrement(&turns);
    }
    return 0;
}

static int end_busy(void) {
    for (int i = 0; i < 8; i++) CreateThread(NULL, 0, busy, NULL, 0, NULL);
    while (turns < 500) Sleep(0);
    ExitProcess(7);
}

/* After enough calls that whoever serves them has made itself at home. */
static void end_by_last_thread(void) {
    for (int i = 0; i < 2000; i++) {
        char *block = VirtualAlloc(NULL, (SIZE_T)(i % 30 + 1) << 14, MEM_COMMIT, PAGE_READWRITE);
        block[0] = 1;
        VirtualFree(block, 0, MEM_RELEASE);
    }
    ExitThread(6);
}

static int end_in_child(const char *self) {
    char command[1024];
    STARTUPINFOA startup = {.cb = sizeof startup};
    PROCESS_INFORMATION child;
    DWORD status = 99;
    snprintf(command, sizeof command, "\"%s\" exit", self);
    if (!CreateProcessA(NULL, command, NULL, NULL, TRUE, 0, NULL, NULL, &startup, &child)) return 98;
    WaitForSingleObject(child.hProcess, 30000);
    GetExitCodeProcess(child.hProcess, &status);
    ExitProcess(status);
}

/* What the system starts in each process of a console that is closed, here in the parent alone. */
static int end_by_close(void) {
    PROCESSENTRY32 entry = {.dwSize = sizeof entry};
    HANDLE all = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0), parent;
    LPTHREAD_START_ROUTINE tell =
        (LPTHREAD_START_ROUTINE)(void (*)(void))GetProcAddress(GetModuleHandleA("kernelbase.dll"), "CtrlRoutine");
    BOOL more = Process32First(all, &entry);
    while (more && entry.th32ProcessID != GetCurrentProcessId()) more = Process32Next(all, &entry);
    parent = more ? OpenProcess(PROCESS_ALL_ACCESS, FALSE, entry.th32ParentProcessID) : NULL;
    if (!parent || !CreateRemoteThread(parent, NULL, 0, tell, (LPVOID)(uintptr_t)CTRL_CLOSE_EVENT, 0, NULL)) return 98;
    Sleep(1000);
    return 9;
}

/* The last filter keeps Wine from starting a debugger. */
static LONG WINAPI let_it_end(EXCEPTION_POINTERS *what) {
    (void)what;
    return EXCEPTION_EXECUTE_HANDLER;
}

static int end_by_crash(void) {
    SetUnhandledExceptionFilter(let_it_end);
    return *(volatile char *)NULL;
}

int main(int argc, char **argv) {
    const char *how = argc == 2 ? argv[1] : "";
    char *block = VirtualAlloc(NULL, 65536, MEM_COMMIT, PAGE_READWRITE);
    block[0] = 1;
    if (strcmp(how, "crash") == 0) return end_by_crash();
    if (strcmp(how, "exit") == 0) ExitProcess(0xBEEF0003);
    if (strcmp(how, "kill") == 0) TerminateProcess(GetCurrentProcess(), 0x12345);
    if (strcmp(how, "return") == 0) return 5;
    if (strcmp(how, "busy") == 0) return end_busy();
    if (strcmp(how, "thread") == 0) end_by_last_thread();
    if (strcmp(how, "close") == 0) return end_by_close();
    if (strcmp(how, "self") == 0) return end_in_child(argv[0]);
    fprintf(stderr, "ends: one of crash, exit, kill, return, busy, thread, close, self\n");
    return 2;
}

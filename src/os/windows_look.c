/*
 * windows_look.c - os_look.h on Windows.
 *
 * The view is a named section of the session, with the security that the system gives to what a user makes: the user, and
 * administrators. It ends with its process's last handle. Nothing but kernel32 is called, and the last error is kept.
 */
#include "os/os_look.h"

#include <stdio.h>
#include <string.h>

#include <windows.h>

#include "base/published.h"

/* ---- Code --------------------------------------------------------------------------------------------------------- */

unsigned os_backtrace(const void *from, void **frames, unsigned most) {
    void *all[62];
    unsigned before = 6; /* the engine's own, at most */
    unsigned held = CaptureStackBackTrace(0, most + before < 62 ? most + before : 62, all, NULL), first = 0;
    while (first < held && all[first] != from) first++;
    if (first == held) first = 0;
    held = held - first < most ? held - first : most;
    memcpy(frames, all + first, held * sizeof *frames);
    return held;
}

/* The last part of a path. */
static const char *name_of(const char *path) {
    const char *name = path;
    for (; *path; path++) {
        if (*path == '\\' || *path == '/') name = path + 1;
    }
    return name;
}

void os_describe_code(const void *address, char *text, size_t room) {
    DWORD before = GetLastError();
    HMODULE module;
    char path[MAX_PATH];
    DWORD flags = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
    if (GetModuleHandleExA(flags, address, &module) && GetModuleFileNameA(module, path, sizeof path) != 0) {
        size_t offset = (size_t)((const char *)address - (const char *)module);
        snprintf(text, room, "%s+0x%llx", name_of(path), (unsigned long long)offset);
    } else {
        snprintf(text, room, "0x%llx", (unsigned long long)(uintptr_t)address);
    }
    SetLastError(before);
}

/* ---- Files -------------------------------------------------------------------------------------------------------- */

bool os_file_append(const char *path, const char *text, size_t length) {
    DWORD before = GetLastError(), written = 0;
    HANDLE file = CreateFileA(path, FILE_APPEND_DATA, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_ALWAYS, 0, NULL);
    bool done = file != INVALID_HANDLE_VALUE && WriteFile(file, text, (DWORD)length, &written, NULL) && written == length;
    if (file != INVALID_HANDLE_VALUE) CloseHandle(file);
    SetLastError(before);
    return done;
}

/* ---- The process -------------------------------------------------------------------------------------------------- */

void os_sleep_ms(uint64_t ms) { Sleep(ms < INFINITE ? (DWORD)ms : INFINITE - 1); }

uint64_t os_thread_used_ms(void) {
    FILETIME made, ended, kernel, user;
    if (!GetThreadTimes(GetCurrentThread(), &made, &ended, &kernel, &user)) return 0;
    uint64_t low = (uint64_t)kernel.dwLowDateTime + user.dwLowDateTime;
    return (low + ((uint64_t)kernel.dwHighDateTime + user.dwHighDateTime) * ((uint64_t)1 << 32)) / 10000;
}

uint64_t os_process_number(void) { return GetCurrentProcessId(); }

void os_process_name(char *text, size_t room) {
    DWORD before = GetLastError();
    char path[MAX_PATH];
    if (GetModuleFileNameA(NULL, path, sizeof path) == 0) path[0] = 0;
    snprintf(text, room, "%s", name_of(path));
    SetLastError(before);
}

void os_on_fork(void (*body)(void)) { (void)body; }

/* ---- The view ----------------------------------------------------------------------------------------------------- */

static HANDLE view_section;

void *os_view_make(size_t size) {
    DWORD before = GetLastError();
    char name[64];
    void *view = NULL;
    snprintf(name, sizeof name, "%s%llu", PUBLISHED_SECTION, (unsigned long long)os_process_number());
    DWORD high = (DWORD)((uint64_t)size >> 32), low = (DWORD)size;
    HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, high, low, name);
    if (section != NULL && GetLastError() != ERROR_ALREADY_EXISTS) view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, size);
    if (view != NULL) {
        view_section = section;
    } else if (section != NULL) {
        CloseHandle(section);
    }
    SetLastError(before);
    return view;
}

bool os_view_reachable(void) { return view_section != NULL; }

void os_view_drop(void *view, size_t size) {
    (void)size;
    UnmapViewOfFile(view);
    CloseHandle(view_section);
    view_section = NULL;
}

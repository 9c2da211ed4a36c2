/*
 * system_windows.c - what the replay asks of Windows beside the memory under test.
 *
 * Stand-ins for images and other memory that the trace did not allocate are views of a page-file section with every right:
 * private memory would refuse the write-copy protections that loaders set on images.
 */
#ifdef _WIN32
#include "tools/replay/memory.h"

#include <stdlib.h>

void *system_map(size_t size) {
    HANDLE section = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_EXECUTE_READWRITE, (DWORD)((uint64_t)size >> 32),
                                        (DWORD)size, NULL);
    if (section == NULL) return NULL;
    void *view = MapViewOfFile(section, FILE_MAP_ALL_ACCESS | FILE_MAP_EXECUTE, 0, 0, size);
    CloseHandle(section); /* the view keeps the section */
    return view;
}

void system_unmap(void *address, size_t size) {
    (void)size;
    UnmapViewOfFile(address);
}

bool system_occupy(uint64_t address, size_t size) {
    return VirtualAlloc((void *)(uintptr_t)address, size, MEM_RESERVE, PAGE_NOACCESS) != NULL;
}

void system_vacate(uint64_t address, size_t size) {
    (void)size;
    VirtualFree((void *)(uintptr_t)address, 0, MEM_RELEASE);
}

struct system_thread {
    HANDLE handle;
    void (*body)(void *);
    void *argument;
};

static DWORD WINAPI thread_main(void *argument) {
    struct system_thread *thread = argument;
    thread->body(thread->argument);
    return 0;
}

struct system_thread *system_thread_start(void (*body)(void *), void *argument) {
    struct system_thread *thread = calloc(1, sizeof *thread);
    if (thread == NULL) return NULL;
    thread->body = body;
    thread->argument = argument;
    thread->handle = CreateThread(NULL, 0, thread_main, thread, 0, NULL);
    if (thread->handle != NULL) return thread;
    free(thread);
    return NULL;
}

void system_thread_join(struct system_thread *thread) {
    WaitForSingleObject(thread->handle, INFINITE);
    CloseHandle(thread->handle);
    free(thread);
}

/* A semaphore's handle, under the name that the header gives it. */
struct system_gate *system_gate_make(void) { return (struct system_gate *)CreateSemaphoreW(NULL, 0, 0x7fffffff, NULL); }

void system_gate_open(struct system_gate *gate) { ReleaseSemaphore((HANDLE)gate, 1, NULL); }

void system_gate_wait(struct system_gate *gate) { WaitForSingleObject((HANDLE)gate, INFINITE); }

static void (*fault_report)(const void *address);

static LONG WINAPI fault_filter(EXCEPTION_POINTERS *pointers) {
    const EXCEPTION_RECORD *record = pointers->ExceptionRecord;
    if (record->ExceptionCode == EXCEPTION_ACCESS_VIOLATION && record->NumberParameters >= 2)
        fault_report((const void *)record->ExceptionInformation[1]);
    return EXCEPTION_CONTINUE_SEARCH;
}

void system_on_fault(void (*report)(const void *address)) {
    fault_report = report;
    SetUnhandledExceptionFilter(fault_filter);
}
#endif

/*
 * memory.h - the memory under test, and what the replay asks of the system beside it.
 *
 * The calls of struct memory have Win32's shapes, so that the engine's functions and the system's own fit it as they are.
 * engine.c implements memory_engine; raw_linux.c and raw_windows.c each implement memory_raw, and system_linux.c and
 * system_windows.c the rest.
 */
#ifndef HOSTMEM_REPLAY_MEMORY_H
#define HOSTMEM_REPLAY_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hostmem_win32.h"

struct memory {
    const char *name;
    LPVOID(WINAPI *alloc)(LPVOID address, SIZE_T size, DWORD type, DWORD protect);
    BOOL(WINAPI *free)(LPVOID address, SIZE_T size, DWORD type);
    BOOL(WINAPI *protect)(LPVOID address, SIZE_T size, DWORD protect, PDWORD old);
    SIZE_T(WINAPI *query)(LPCVOID address, PMEMORY_BASIC_INFORMATION info, SIZE_T length);
    DWORD(WINAPI *last_error)(void);
    HANDLE(WINAPI *heap_create)(DWORD options, SIZE_T initial, SIZE_T maximum);
    BOOL(WINAPI *heap_destroy)(HANDLE heap);
    LPVOID(WINAPI *heap_alloc)(HANDLE heap, DWORD flags, SIZE_T bytes);
    BOOL(WINAPI *heap_free)(HANDLE heap, DWORD flags, LPVOID block);
    SIZE_T(WINAPI *heap_size)(HANDLE heap, DWORD flags, LPCVOID block);
    HANDLE default_heap; /* the process's */
};

/* Both fill in the calls; called once, before any thread starts. */
void memory_raw(struct memory *memory);
void memory_engine(struct memory *memory);

/* ---- Memory of the system's own, which the memory under test never hears of -------------------------------------- */

/* Readable and writable memory that takes every protection, as a mapped image does. NULL for none. */
void *system_map(size_t size);
void system_unmap(void *address, size_t size);

/* Takes whole pages from address, a multiple of 64 KiB, until system_vacate; false where any is taken. */
bool system_occupy(uint64_t address, size_t size);
void system_vacate(uint64_t address, size_t size);

/* ---- Threads, of which one runs at a time ------------------------------------------------------------------------- */

struct system_thread; /* a thread and the gate that it waits at */

/* Starts body(argument) on a thread of its own. NULL where the system has no more threads. */
struct system_thread *system_thread_start(void (*body)(void *), void *argument);
void system_thread_join(struct system_thread *thread);

struct system_gate;
struct system_gate *system_gate_make(void);
void system_gate_open(struct system_gate *gate); /* lets one wait through, now or later */
void system_gate_wait(struct system_gate *gate);

/* ---- Faults ------------------------------------------------------------------------------------------------------- */

/* Calls report(address) for an access to memory that cannot be accessed; report does not return. */
void system_on_fault(void (*report)(const void *address));

#endif

/*
 * windows_thread.c - the engine's threads, what the one waits on, and the barrier that it can put into all other threads; the
 * mirror image of linux_thread.c. Layer: os.
 */
#include "os/os.h"

#include <windows.h>

#include "base/atom.h"
#include "os/windows_thread.h"

#define STACK_BYTES ((size_t)256 << 10)

/* ---- The thread --------------------------------------------------------------------------------------------------- */

void windows_library_stays(void) {
    static uint32_t stays;
    HMODULE module;
    DWORD how = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN;
    if (atom_load_acq_u32(&stays)) return; /* acq: pairs with the store below */
    if (GetModuleHandleExA(how, (LPCSTR)(uintptr_t)windows_library_stays, &module)) atom_store_rel_u32(&stays, 1);
}

static DWORD WINAPI thread_main(LPVOID argument) {
    void (*run)(void) = (void (*)(void))(uintptr_t)argument;
    run();
    return 0;
}

static bool thread_make(void (*run)(void)) {
    void *argument = (void *)(uintptr_t)run;
    windows_library_stays();
    HANDLE thread = CreateThread(NULL, STACK_BYTES, thread_main, argument, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    if (thread) CloseHandle(thread);
    return thread != NULL;
}

static uint64_t nap_event; /* HANDLE, made before the thread */

bool os_thread_start(void (*run)(void)) {
    DWORD before = GetLastError();
    HANDLE event = CreateEventA(NULL, FALSE, FALSE, NULL);
    if (event) atom_store_rel_u64(&nap_event, (uint64_t)(uintptr_t)event); /* rel: pairs with the loads below */
    bool started = event && thread_make(run);
    SetLastError(before);
    return started;
}

bool os_watcher_start(void (*body)(void)) {
    DWORD before = GetLastError();
    bool started = thread_make(body);
    SetLastError(before);
    return started;
}

void os_nap(unsigned timeout_ms) {
    HANDLE event = (HANDLE)(uintptr_t)atom_load_acq_u64(&nap_event); /* acq: pairs with os_thread_start */
    WaitForSingleObject(event, timeout_ms ? timeout_ms : INFINITE);
}

void os_nap_end(void) {
    DWORD before = GetLastError();
    HANDLE event = (HANDLE)(uintptr_t)atom_load_acq_u64(&nap_event); /* acq: as above */
    if (event) SetEvent(event);
    SetLastError(before);
}

/* ---- Fork --------------------------------------------------------------------------------------------------------- */

void os_at_fork(void (*told)(void)) { (void)told; /* there is none */ }

/* ---- The barrier -------------------------------------------------------------------------------------------------- */

/*
 * Some versions of Wine only say that they cannot flush the other processors' buffers. A store leaves its buffer within
 * microseconds of its own accord, and a thread that is not running has none; so a wait of two ticks serves there as well.
 */
bool os_barrier(void) {
    FlushProcessWriteBuffers();
    Sleep(2);
    return true;
}

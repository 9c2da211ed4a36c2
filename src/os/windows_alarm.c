/*
 * windows_alarm.c - what wakes the thread that watches, on Windows: an event, and the system's memory resource notifications,
 * which stay signalled as long as they hold.
 *
 * The event is made once and kept for life, so that whoever rings never meets a closed one. The rest is the watching thread's.
 */
#include <windows.h>

#include "base/atom.h"
#include "os/os.h"
#include "os/os_alarm.h"

static uint64_t bell; /* HANDLE; 0: not made yet */
static HANDLE low, high;
static bool scarce;

static bool bell_make(void) {
    uint64_t none = 0;
    if (atom_load_acq_u64(&bell)) return true; /* acq: pairs with the CAS */
    HANDLE event = CreateEventA(NULL, FALSE, FALSE, NULL);
    if (event == NULL) return false;
    if (!atom_cas_acqrel_u64(&bell, &none, (uint64_t)(uintptr_t)event)) CloseHandle(event);
    return true;
}

enum status OS_FUNCTION(alarm_start)(void (*watch)(void)) {
    DWORD before = GetLastError();
    bool started = bell_make() && os_watcher_start(watch);
    SetLastError(before);
    return started ? ST_OK : ST_NO_MEMORY;
}

void os_alarm_at_fork(void (*told)(void)) { (void)told; /* there is no fork */ }

void os_alarm_ring(void) {
    HANDLE event = (HANDLE)(uintptr_t)atom_load_acq_u64(&bell); /* acq: as above */
    DWORD before = GetLastError();
    if (event != NULL) SetEvent(event);
    SetLastError(before);
}

bool os_alarm_open(void) {
    low = CreateMemoryResourceNotification(LowMemoryResourceNotification);
    high = CreateMemoryResourceNotification(HighMemoryResourceNotification);
    scarce = false;
    return low != NULL;
}

void os_alarm_close(void) {
    if (low != NULL) CloseHandle(low);
    if (high != NULL) CloseHandle(high);
    low = high = NULL;
}

void os_alarm_wait(uint64_t timeout_ms) {
    HANDLE handles[] = {(HANDLE)(uintptr_t)atom_load_rlx_u64(&bell), low}; /* rlx: made before the thread was */
    /* A notification that is known already would end every wait at once. */
    DWORD count = low != NULL && !scarce ? 2 : 1;
    WaitForMultipleObjects(count, handles, FALSE, timeout_ms >= INFINITE ? INFINITE : (DWORD)timeout_ms);
}

unsigned os_alarm_look(void) {
    BOOL holds = FALSE;
    scarce = low != NULL && QueryMemoryResourceNotification(low, &holds) && holds;
    if (scarce) return OS_ALARM_SCARCE;
    return high != NULL && QueryMemoryResourceNotification(high, &holds) && holds ? OS_ALARM_PLENTY : 0;
}

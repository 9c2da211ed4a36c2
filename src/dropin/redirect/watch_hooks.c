/*
 * watch_hooks.c - what answers GetWriteWatch and ResetWriteWatch in place of the system, of memory that the engine watches.
 *
 * Whether it does is decided once, as the DLL begins its work: where the system below can tell (os_watch_start), and the launcher
 * does not want it otherwise. Else MEM_WRITE_WATCH memory is the system's own, and so are the answers.
 */
#include "dropin/redirect/redirect.h"

#include "os/os.h"
#include "vm/error.h"
#include "vm/written.h"

void watch_hooks_start(void) {
    if (!(redirect_flags & (HM_REDIRECT_OFF | HM_REDIRECT_NO_WATCH | HM_REDIRECT_FORWARD_WATCH))) os_watch_start();
}

static unsigned watch_reason(LPCVOID address) {
    if (redirect_flags & HM_REDIRECT_OFF) return HM_PASSED_OFF;
    if (!engine_has((uintptr_t)address)) return HM_PASSED_FOREIGN;
    return os_watch_serves() ? HM_BY_ENGINE : HM_PASSED_WATCH;
}

/* Traces have no name for these calls. */
static UINT finish(struct watch watch, unsigned reason, LPVOID address, SIZE_T size, UINT result) {
    struct seen seen = {.op = HM_OPS, .address = (uintptr_t)address, .size = size, .result = result == 0};
    watch_stop(watch, HM_CALL_WATCH, reason, &seen);
    return result;
}

/* All that it may write is looked at first: what it has told it forgets. */
static UINT engine_get(DWORD flags, PVOID address, SIZE_T size, PVOID *pages, ULONG_PTR *count, LPDWORD granularity) {
    count = if_writable(count, sizeof *count);
    granularity = if_writable(granularity, sizeof *granularity);
    if (count && pages) {
        size_t room = size / PAGE_BYTES + 2;
        pages = if_writable(pages, (*count < room ? *count : room) * sizeof *pages);
    }
    return error_report(written_get(flags, (uintptr_t)address, size, pages, count, granularity)) ? 0 : ~0u;
}

UINT WINAPI hook_GetWriteWatch(DWORD flags, PVOID address, SIZE_T size, PVOID *pages, ULONG_PTR *count, LPDWORD granularity) {
    struct watch watch = watch_start();
    unsigned reason = watch_reason(address);
    UINT result = reason != HM_BY_ENGINE ? real.GetWriteWatch(flags, address, size, pages, count, granularity)
                                         : engine_get(flags, address, size, pages, count, granularity);
    return finish(watch, reason, address, size, result);
}

UINT WINAPI hook_ResetWriteWatch(LPVOID address, SIZE_T size) {
    struct watch watch = watch_start();
    unsigned reason = watch_reason(address);
    UINT result = reason != HM_BY_ENGINE                                ? real.ResetWriteWatch(address, size)
                  : error_report(written_reset((uintptr_t)address, size)) ? 0
                                                                          : ~0u;
    return finish(watch, reason, address, size, result);
}

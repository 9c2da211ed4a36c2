/*
 * windows_host.c - under Wine: memory in large pages, which Wine has no words for; the mirror image of linux_back.c. Layer: os.
 *
 * Wine carries Win32 calls out by mmap and mprotect in the process itself, and the Linux below gives a large page only where it
 * is advised to. So there this file gives that advice: the commit that makes the pages committed ones to Wine is an ordinary
 * VirtualAlloc, without access; then madvise, and one byte, zero, through /proc/self/mem, which brings the memory in while no
 * access to it is possible. What Wine knows about the pages stays true throughout.
 *
 * Does a system call made here reach Linux? The engine's own thread asks, before it does anything else: the program's threads
 * may be at any place, under any lock, and only the loader knows whether this is Wine. Then comes one call that changes nothing,
 * the query of membarrier, whose number is beyond all of Wine's own. A Wine that takes the instruction for a call of NT's answers
 * with an error. Then, on Windows, and where the kernel gives no large page, the answer is no and nothing is gained.
 */
#include "os/windows_host.h"

#include <windows.h>

#include "base/atom.h"
#include "os/os.h"
#include "os/os_price.h"

#if defined(__x86_64__)

enum { OPEN_WRITE_CLOEXEC = 02000001, ADVICE_HUGE = 14, CLOCK_OF_THREAD = 3 };

static uint32_t linux_below;

void host_look(void) {
    /* Only Wine's exports it. */
    HMODULE ntdll = GetModuleHandleA("ntdll.dll");
    if (!ntdll || !GetProcAddress(ntdll, "wine_get_version")) return;
    int64_t commands = linux_call(CALL_MEMBARRIER, 0, 0, 0, 0);
    /* A mask of few bits, where NT's errors are 0xc0000000 and more. rlx: who sees it late does without for a moment. */
    if (commands > 0 && commands < 0x10000) atom_store_rlx_u32(&linux_below, 1);
}

/* With the block committed, without access. */
static bool block_bring(uintptr_t address) {
    unsigned char there = 0;
    int64_t file = linux_call(CALL_OPEN, (uintptr_t)"/proc/self/mem", OPEN_WRITE_CLOEXEC, 0, 0);
    if (file < 0) return false;
    bool brought = linux_call(CALL_MADVISE, address, OS_BLOCK_BYTES, ADVICE_HUGE, 0) == 0 &&
                   linux_call(CALL_PWRITE, (uint64_t)file, (uintptr_t)"", 1, address) == 1;
    linux_call(CALL_CLOSE, (uint64_t)file, 0, 0, 0);
    /* Is the last page there too, although only the first was written? */
    linux_call(CALL_MINCORE, address + OS_BLOCK_BYTES - PAGE_BYTES, PAGE_BYTES, (uintptr_t)&there, 0);
    return brought && there & 1;
}

static struct price price = {.small_ns = 1000000, .most = 64};

static int64_t clock_ns(void) {
    struct {
        int64_t seconds, ns;
    } now = {0, 0};
    linux_call(CALL_CLOCK_GETTIME, CLOCK_OF_THREAD, (uintptr_t)&now, 0, 0);
    return now.seconds * 1000000000 + now.ns;
}

enum status host_back(uintptr_t address) {
    if (!atom_load_rlx_u32(&linux_below) || price_skip(&price)) return ST_NOT_SUPPORTED; /* rlx: as in host_look */
    DWORD before = GetLastError();
    int64_t start_ns = clock_ns();
    enum status status = ST_NO_MEMORY;
    if (VirtualAlloc((void *)address, OS_BLOCK_BYTES, MEM_COMMIT, PAGE_NOACCESS)) {
        if (block_bring(address)) status = ST_OK;
        /* What has come in small pages is of no use. */
        if (status != ST_OK) VirtualFree((void *)address, OS_BLOCK_BYTES, MEM_DECOMMIT);
    }
    price_pay(&price, price_blocks(&price, clock_ns() - start_ns));
    SetLastError(before);
    return status;
}

#else

void host_look(void) {}

enum status host_back(uintptr_t address) {
    (void)address;
    return ST_NOT_SUPPORTED;
}

#endif

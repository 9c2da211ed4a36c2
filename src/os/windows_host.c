/*
 * windows_host.c - under Wine: is there a Linux below that answers; and the memory behind pages, the mirror image of
 * linux_back.c. What pages are is windows_host_memory.c's. Layer: os.
 *
 * Wine carries Win32 calls out by Linux's in the process itself, each under a lock, and keeps a book of all pages. Where the same
 * can be asked of Linux directly the engine does so: it keeps a book of its pages itself.
 *
 * Does a system call made here reach Linux? Wine's ntdll says that it is Wine; then comes one call that changes nothing, the
 * query of membarrier, whose number is beyond all of Wine's own. A Wine that takes the instruction for a call of NT's answers
 * with an error. Then, and on Windows, the answer is no and everything goes by Win32.
 *
 * And does VirtualAlloc reach Wine? Somebody may have put himself in its place, as our own redirect drop-in does for the modules
 * of a program, who then keeps a book of what he gives out. Such memory is all his.
 *
 * When is that found out? Asking for a module takes the loader's lock, and a thread of the program's may be at any place and
 * under any lock when it calls us. So a constructor asks: it runs as the program starts, or with that lock held and no other.
 * Who is earlier than that decides that the answer is no.
 */
#include "os/windows_host.h"

#include <windows.h>

#include "base/atom.h"
#include "os/os.h"
#include "os/os_price.h"

enum { LINUX_UNKNOWN, LINUX_BELOW, LINUX_NOT };
static uint32_t linux_below;

/* rlx in both: the first word is the last, and nothing else is published by it. */
bool host_linux(void) {
    uint32_t seen = atom_load_rlx_u32(&linux_below);
    if (seen == LINUX_UNKNOWN && atom_cas_acqrel_u32(&linux_below, &seen, LINUX_NOT)) return false;
    return seen == LINUX_BELOW;
}

static __typeof__(&VirtualAlloc) systems_own; /* VirtualAlloc, of Wine; constant after look */

bool host_reserves(void) { return host_linux() && VirtualAlloc == systems_own; }

static bool is_systems_own(uintptr_t function) {
    HMODULE module;
    DWORD flags = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
    if (!GetModuleHandleExA(flags, (LPCSTR)function, &module)) return false;
    return module == GetModuleHandleA("kernel32.dll") || module == GetModuleHandleA("kernelbase.dll");
}

__attribute__((constructor(101))) static void look(void) {
    uint32_t unknown = LINUX_UNKNOWN;
    HMODULE ntdll = GetModuleHandleA("ntdll.dll");
    if (!ntdll || !GetProcAddress(ntdll, "wine_get_version") || !is_systems_own((uintptr_t)VirtualAlloc)) return;
    systems_own = VirtualAlloc;
    int64_t commands = linux_call(CALL_MEMBARRIER, 0, 0, 0, 0);
    /* A mask of few bits, where NT's errors are 0xc0000000 and more. */
    if (commands > 0 && commands < 0x10000) atom_cas_acqrel_u32(&linux_below, &unknown, LINUX_BELOW);
}

enum { OPEN_WRITE_CLOEXEC = 02000001, ADVICE_HUGE = 14, ADVICE_POPULATE = 23, CLOCK_OF_THREAD = 3 };

/* Is the block's last page there, although only the first was written? */
static bool block_is_whole(uintptr_t address) {
    unsigned char there = 0;
    linux_call(CALL_MINCORE, address + OS_BLOCK_BYTES - PAGE_BYTES, PAGE_BYTES, (uintptr_t)&there, 0);
    return there & 1;
}

static enum status block_bring(uintptr_t address) {
    int64_t file = linux_call(CALL_OPEN, (uintptr_t)"/proc/self/mem", OPEN_WRITE_CLOEXEC, 0, 0);
    if (file < 0) return ST_NOT_SUPPORTED;
    /* A new mapping, since a large page cannot go where small ones have been. */
    bool mapped = host_decommit(address, OS_BLOCK_BYTES) == ST_OK;
    bool brought = mapped && linux_call(CALL_MADVISE, address, OS_BLOCK_BYTES, ADVICE_HUGE, 0) == 0 &&
                   linux_call(CALL_PWRITE, (uint64_t)file, (uintptr_t)"", 1, address) == 1;
    linux_call(CALL_CLOSE, (uint64_t)file, 0, 0, 0);
    if (brought && block_is_whole(address)) return ST_OK;
    /* Whatever has come is of no use. */
    if (mapped) host_decommit(address, OS_BLOCK_BYTES);
    return brought ? ST_NOT_SUPPORTED : ST_NO_MEMORY;
}

static uint32_t large_left = PRICE_LEFT_FIRST;

static int64_t clock_ns(void) {
    struct {
        int64_t seconds, ns;
    } now = {0, 0};
    linux_call(CALL_CLOCK_GETTIME, CLOCK_OF_THREAD, (uintptr_t)&now, 0, 0);
    return now.seconds * 1000000000 + now.ns;
}

enum status host_back(uintptr_t address) {
    if (price_skip(&large_left)) return ST_NOT_SUPPORTED;
    int64_t start_ns = clock_ns();
    enum status status = block_bring(address);
    price_pay(&large_left, status == ST_OK ? price_blocks(clock_ns() - start_ns) : PRICE_REFUSED);
    return status;
}

static int64_t call_open(int flags) { return linux_call(CALL_USERFAULTFD, (uint64_t)flags, 0, 0, 0); }
static int64_t call_ask(uint64_t file, uint64_t request, void *argument) {
    return linux_call(CALL_IOCTL, file, request, (uintptr_t)argument, 0);
}
static void call_close(uint64_t file) { linux_call(CALL_CLOSE, file, 0, 0, 0); }
static uint32_t call_mark(uint64_t file) {
    (void)file;
    return 0; /* a Windows program cannot close files of Linux's */
}
const struct faults_calls host_faults = {call_open, call_ask, call_close, call_mark};

bool host_bring(uintptr_t address, size_t size, uintptr_t reserved, size_t reserved_size) {
    static uint64_t file;
    size_t done = faults_bring(&host_faults, faults_kept(&host_faults, &file), address, size, reserved, reserved_size);
    if (done < size) linux_call(CALL_MADVISE, address + done, size - done, ADVICE_POPULATE, 0);
    return done == size;
}

size_t host_touched(uintptr_t address, size_t size) {
    unsigned char there[OS_TOUCHED_PAGES];
    size_t looked = size / PAGE_BYTES < sizeof there ? size / PAGE_BYTES : sizeof there, count = 0;
    if (linux_call(CALL_MINCORE, address, looked * PAGE_BYTES, (uintptr_t)there, 0) != 0) return looked;
    for (size_t i = 0; i < looked; i++) count += there[i] & 1;
    return count;
}

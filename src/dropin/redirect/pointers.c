/*
 * pointers.c - may what a caller gave be written to, or read from?
 *
 * The system answers error 998 where it may not. A hook that found out by an access violation would show it to the program's
 * own handlers first, so it asks beforehand: the thread's stack, where nearly all such variables are, by two comparisons; of
 * other memory the tables, or the system. Asking the system takes a microsecond, so modules' variables, which stay where they
 * are, are remembered: a word for a run of pages, until the system is asked to change a protection or to unload a module.
 *
 * Who asked the system before that may store the answer after it. So a word has the number of the times that everything was
 * forgotten, as it was before the question, and holds as long as this is the number still.
 */
#include "dropin/redirect/redirect.h"

#include "base/atom.h"
#include "vm/query.h"

#define WRITABLE (PAGE_READWRITE | PAGE_WRITECOPY | PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY)
#define READABLE (WRITABLE | PAGE_READONLY | PAGE_EXECUTE | PAGE_EXECUTE_READ)

enum { KNOWN = 8, COUNT_BITS = 13, AGE_BITS = 16 }; /* a word: the number of the first page, how many pages, and the age */
#define LOW_BITS(n) (((uint64_t)1 << (n)) - 1)
static uint64_t known[KNOWN];
static uint64_t age; /* how often everything was forgotten */

static uint64_t *known_at(uintptr_t at) { return &known[(at >> PAGE_SHIFT) % KNOWN]; }

static bool is_known(uintptr_t start, size_t size) {
    uint64_t word = atom_load_rlx_u64(known_at(start)); /* rlx: the word is all there is to know */
    uint64_t first = word >> (COUNT_BITS + AGE_BITS), count = word >> AGE_BITS & LOW_BITS(COUNT_BITS);
    if ((word ^ atom_load_rlx_u64(&age)) & LOW_BITS(AGE_BITS)) return false; /* rlx: the caller's own order is enough */
    return (start >> PAGE_SHIFT) - first < count && ((start + size - 1) >> PAGE_SHIFT) - first < count;
}

static void know(uintptr_t at, const MEMORY_BASIC_INFORMATION *info, uint64_t asked) {
    uint64_t first = (uintptr_t)info->BaseAddress >> PAGE_SHIFT, count = info->RegionSize >> PAGE_SHIFT;
    if (info->Type != MEM_IMAGE || count >> COUNT_BITS) return;
    /* rlx: the word is all there is to know */
    atom_store_rlx_u64(known_at(at), (first << COUNT_BITS | count) << AGE_BITS | (asked & LOW_BITS(AGE_BITS)));
}

void pointers_forget(void) {
    atom_add_acqrel_u64(&age, 1); /* acqrel: pairs with the load before a question, which sees what the system changed */
    for (int i = 0; i < KNOWN; i++) atom_store_rlx_u64(&known[i], 0); /* rlx: lest one is met again when the ages come round */
}

/* ---- Modules that go ------------------------------------------------------------------------------------------------- */

enum { MODULE_UNLOADED = 2 };
typedef void(CALLBACK *module_told)(ULONG reason, const void *module, void *context);

/* Told before the module goes: who names its variables even meanwhile calls out of a module that is unloaded under him. */
static void CALLBACK module_goes(ULONG reason, const void *module, void *context) {
    (void)module, (void)context;
    if (reason == MODULE_UNLOADED) pointers_forget();
}

void pointers_start(void) {
    void *cookie; /* never taken back: this DLL stays */
    LONG(WINAPI *tell)(ULONG, module_told, void *, void **) = (LONG(WINAPI *)(ULONG, module_told, void *, void **))(any_function)
        GetProcAddress(GetModuleHandleA("ntdll.dll"), "LdrRegisterDllNotification");
    if (tell) tell(0, module_goes, NULL, &cookie);
}

/* ---- Asking ---------------------------------------------------------------------------------------------------------- */

static bool all_pages(uintptr_t start, size_t size, DWORD wanted) {
    MEMORY_BASIC_INFORMATION info;
    size_t written;
    uint64_t asked = atom_load_acq_u64(&age); /* acq: before the questions; pairs with pointers_forget */
    if (start > UINTPTR_MAX - size) return false;
    for (uintptr_t at = start; at < start + size; at = (uintptr_t)info.BaseAddress + info.RegionSize) {
        if (vm_query(at, &info, sizeof info, &written) != ST_OK || info.State != MEM_COMMIT) return false;
        if (!(info.Protect & wanted) || info.Protect & PAGE_GUARD) return false;
        if (wanted == WRITABLE) know(at, &info, asked);
    }
    return true;
}

bool pointer_writes_slow(const void *pointer, size_t size) {
    return is_known((uintptr_t)pointer, size) || all_pages((uintptr_t)pointer, size, WRITABLE);
}

bool pointer_reads_slow(const void *pointer, size_t size) { return all_pages((uintptr_t)pointer, size, READABLE); }

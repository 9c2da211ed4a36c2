/*
 * patch.c - leads a process's callers of system functions to the hooks.
 *
 * Two places are changed. The export tables of ntdll, kernelbase and kernel32, where modules loaded later and GetProcAddress
 * find their functions: an export is a 32-bit offset from its module, and leads to a jump within 4 GiB behind it. And the import
 * tables of the modules that are loaded: each entry that holds the address of a function of the table gets that of the same
 * jump. So a function has one address, as before, and a program that writes a jump of its own there meets all callers.
 *
 * Left alone are the import tables of those three and of this DLL: on Wine kernel32 leads to kernelbase by its own, which would
 * go round in circles, and the engine must reach the system.
 *
 * Entries are found by their value, not their name, so that functions imported by number, through an API set or delayed are found
 * too. Each write is one aligned store: a thread that calls meanwhile meets the old function or the new one. Tables are often
 * read-only; each is made writable for the time of all its writes, since changing that costs more than everything else here.
 *
 * Called from DllMain or HmRedirectInstall, by one thread at a time; installs once.
 */
#include "dropin/redirect/redirect.h"

#include <string.h>

#define PSAPI_VERSION 2
#include <psapi.h>

enum { SYSTEM_MODULES = 3, JUMP_BYTES = 16, MODULES_AT_MOST = 2048 };

/* Each forwards some of its exports to those before it; what it forwards to has a line in the table, too. */
static const char *const system_names[SYSTEM_MODULES] = {"ntdll.dll", "kernelbase.dll", "kernel32.dll"};
static HMODULE system_module[SYSTEM_MODULES];
static unsigned char *jumps[SYSTEM_MODULES]; /* a page for each, one for each hook in it */

static bool wanted(const struct hook *hook) { return (hook->needs & redirect_flags) == hook->needs; }

bool patch_find(void) {
    for (int m = 0; m < SYSTEM_MODULES; m++) system_module[m] = GetModuleHandleA(system_names[m]);
    for (struct hook *hook = hooks; hook < hooks + hooks_count; hook++) {
        for (int m = 0; m < SYSTEM_MODULES; m++) {
            if (!system_module[m]) continue;
            hook->from[m] = (any_function)(void (*)(void))GetProcAddress(system_module[m], hook->name);
            if (!*hook->real) *hook->real = hook->from[m];
        }
    }
    if (real.VirtualAlloc && real.VirtualFree && real.VirtualProtect && real.VirtualQuery) return true;
    SetLastError(ERROR_PROC_NOT_FOUND);
    return false;
}

/* ---- A module's directories ---------------------------------------------------------------------------------------- */

/* The loader does not look at its size, and some linkers write none. */
static const IMAGE_DATA_DIRECTORY *directory(HMODULE module, int index) {
    const char *base = (const char *)module;
    const IMAGE_DOS_HEADER *dos = (const IMAGE_DOS_HEADER *)base;
    const IMAGE_NT_HEADERS64 *nt = (const IMAGE_NT_HEADERS64 *)(base + dos->e_lfanew);
    if (dos->e_magic != IMAGE_DOS_SIGNATURE || nt->Signature != IMAGE_NT_SIGNATURE) return NULL;
    if (nt->OptionalHeader.Magic != IMAGE_NT_OPTIONAL_HDR64_MAGIC) return NULL;
    if ((DWORD)index >= nt->OptionalHeader.NumberOfRvaAndSizes) return NULL;
    const IMAGE_DATA_DIRECTORY *found = &nt->OptionalHeader.DataDirectory[index];
    return found->VirtualAddress ? found : NULL;
}

/* Makes a table writable. Some linkers put it among a module's code, where other threads may be: there it stays executable. */
static bool table_open(void *table, size_t size, DWORD *old) {
    const DWORD execute = PAGE_EXECUTE | PAGE_EXECUTE_READ | PAGE_EXECUTE_READWRITE | PAGE_EXECUTE_WRITECOPY;
    MEMORY_BASIC_INFORMATION info;
    if (!real.VirtualQuery(table, &info, sizeof info)) return false;
    return real.VirtualProtect(table, size, info.Protect & execute ? PAGE_EXECUTE_READWRITE : PAGE_READWRITE, old);
}

/* ---- Jumps --------------------------------------------------------------------------------------------------------- */

static size_t jumps_bytes(void) { return align_up(hooks_count * JUMP_BYTES, PAGE_BYTES); }

/* A page for jumps, at most 4 GiB after the module. */
static unsigned char *jumps_make(HMODULE module, size_t size) {
    uintptr_t base = (uintptr_t)module, last = base + (((uintptr_t)1 << 32) - GRANULE_BYTES);
    MEMORY_BASIC_INFORMATION info;
    for (uintptr_t at = base; at < last && real.VirtualQuery((void *)at, &info, sizeof info);) {
        uintptr_t start = align_up((uintptr_t)info.BaseAddress, GRANULE_BYTES);
        at = (uintptr_t)info.BaseAddress + info.RegionSize;
        if (info.State != MEM_FREE || start >= last || at < start + size) continue;
        void *made = real.VirtualAlloc((void *)start, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
        if (made) return made;
    }
    SetLastError(ERROR_NOT_ENOUGH_MEMORY);
    return NULL;
}

/* mov rax, body; jmp rax */
static void jump_write(unsigned char *jump, any_function body) {
    memcpy(jump, "\x48\xB8", 2);
    memcpy(jump + 2, &body, 8);
    memcpy(jump + 10, "\xFF\xE0", 2);
}

static bool jumps_write(int m) {
    DWORD old;
    jumps[m] = jumps_make(system_module[m], jumps_bytes());
    if (!jumps[m]) return false;
    for (size_t h = 0; h < hooks_count; h++) jump_write(jumps[m] + h * JUMP_BYTES, hooks[h].body);
    return real.VirtualProtect(jumps[m], jumps_bytes(), PAGE_EXECUTE_READ, &old);
}

static void jumps_drop(void) {
    DWORD error = GetLastError();
    for (int m = 0; m < SYSTEM_MODULES; m++) {
        if (jumps[m]) real.VirtualFree(jumps[m], 0, MEM_RELEASE);
        jumps[m] = NULL;
    }
    SetLastError(error);
}

bool patch_prepare(void) {
    for (int m = 0; m < SYSTEM_MODULES; m++) {
        if (!system_module[m] || jumps_write(m)) continue;
        jumps_drop();
        return false;
    }
    return true;
}

/* The one that stands for this function; NULL if nothing takes it over. */
static unsigned char *jump_of(any_function function) {
    for (int m = 0; m < SYSTEM_MODULES; m++) {
        for (size_t h = 0; h < hooks_count; h++) {
            if (hooks[h].from[m] == function && wanted(&hooks[h])) return jumps[m] + h * JUMP_BYTES;
        }
    }
    return NULL;
}

/* ---- Imports ------------------------------------------------------------------------------------------------------- */

/* One table, up to its empty entry. It is made writable if anything is to be changed in it, and then once. */
static void patch_slots(any_function *slots) {
    DWORD old, ignored;
    size_t count = 0;
    bool writable = false;
    while (slots[count]) count++;
    for (size_t i = 0; i < count; i++) {
        unsigned char *jump = jump_of(slots[i]);
        if (!jump) continue;
        if (!writable && !table_open(slots, count * sizeof slots[0], &old)) return;
        writable = true;
        *(unsigned char *volatile *)(void *)&slots[i] = jump;
    }
    if (writable) real.VirtualProtect(slots, count * sizeof slots[0], old, &ignored);
}

/* The delayed imports' table; the SDK's name for it is not in every header. */
struct delayed {
    DWORD attributes; /* bit 0: the fields are offsets */
    DWORD name, module, addresses, names, bound, unload, time;
};

static void patch_imports(HMODULE module) {
    char *base = (char *)module;
    const IMAGE_DATA_DIRECTORY *imports = directory(module, IMAGE_DIRECTORY_ENTRY_IMPORT);
    if (imports) {
        const IMAGE_IMPORT_DESCRIPTOR *from = (const IMAGE_IMPORT_DESCRIPTOR *)(base + imports->VirtualAddress);
        for (; from->Name && from->FirstThunk; from++) patch_slots((any_function *)(base + from->FirstThunk));
    }
    imports = directory(module, IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT);
    if (imports) {
        const struct delayed *from = (const struct delayed *)(base + imports->VirtualAddress);
        for (; from->name; from++) {
            if (from->attributes & 1) patch_slots((any_function *)(base + from->addresses));
        }
    }
}

static bool is_left_alone(HMODULE module) {
    bool alone = module == redirect_module;
    for (int m = 0; m < SYSTEM_MODULES; m++) alone = alone || module == system_module[m];
    return alone;
}

static void patch_all_imports(void) {
    static HMODULE module[MODULES_AT_MOST];
    DWORD bytes = 0;
    if (!K32EnumProcessModules(GetCurrentProcess(), module, sizeof module, &bytes)) return;
    DWORD count = bytes / sizeof module[0];
    for (DWORD i = 0; i < count && i < MODULES_AT_MOST; i++) {
        if (!is_left_alone(module[i])) patch_imports(module[i]);
    }
}

/* ---- Exports ------------------------------------------------------------------------------------------------------- */

/* Where a module's table of addresses has a function's; NULL if the module does not export it. The names are sorted. */
static DWORD *export_find(char *base, const IMAGE_EXPORT_DIRECTORY *exports, const char *name) {
    const DWORD *names = (const DWORD *)(base + exports->AddressOfNames);
    const WORD *numbers = (const WORD *)(base + exports->AddressOfNameOrdinals);
    DWORD low = 0, high = exports->NumberOfNames;
    while (low < high) {
        DWORD middle = low + (high - low) / 2;
        int order = strcmp(base + names[middle], name);
        if (order == 0) return (DWORD *)(base + exports->AddressOfFunctions) + numbers[middle];
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return NULL;
}

/* The table is made writable once, not for each of the dozens of its entries. What is forwarded stays so. */
static void patch_exports(int m) {
    char *base = (char *)system_module[m];
    const IMAGE_DATA_DIRECTORY *found = directory(system_module[m], IMAGE_DIRECTORY_ENTRY_EXPORT);
    DWORD old, ignored;
    if (!found) return;
    const IMAGE_EXPORT_DIRECTORY *exports = (const IMAGE_EXPORT_DIRECTORY *)(base + found->VirtualAddress);
    void *functions = base + exports->AddressOfFunctions;
    size_t size = exports->NumberOfFunctions * sizeof(DWORD);
    if (!table_open(functions, size, &old)) return;
    for (size_t h = 0; h < hooks_count; h++) {
        DWORD *place = wanted(&hooks[h]) ? export_find(base, exports, hooks[h].name) : NULL;
        uintptr_t jump = place ? (uintptr_t)jump_of(hooks[h].from[m]) : 0;
        if (jump - (uintptr_t)jumps[m] < jumps_bytes()) *(volatile DWORD *)place = (DWORD)(jump - (uintptr_t)base);
    }
    real.VirtualProtect(functions, size, old, &ignored);
}

void patch_install(void) {
    for (int m = 0; m < SYSTEM_MODULES; m++) {
        if (system_module[m]) patch_exports(m);
    }
    patch_all_imports();
}

/*
 * dll.c - hostmem-redirect.dll: how its work begins and ends.
 *
 * In a process that HmRedirectPrepare has prepared, the DLL is the first import of the program: redirect_start runs before the
 * code of any other module but the system's, and before the program's TLS callbacks. It puts the program's header back as it
 * was and installs the hooks. In any other process it does nothing until HmRedirectInstall is called.
 *
 * Nothing is undone at the end: what was given out stays valid to the last instruction of the process.
 */
#include "dropin/redirect/redirect.h"

#include <stddef.h>

#include "base/atom.h"

DWORD redirect_flags;
HM_REDIRECT_SHARED *redirect_shared;
HMODULE redirect_module;
static HANDLE redirect_section; /* kept for children */
static uint32_t redirect_installed;

DWORD WINAPI HmRedirectVersion(void) { return HM_REDIRECT_VERSION; }

/* Options of the environment, for a program that was started without a launcher's. */
static DWORD flags_of_environment(void) {
    wchar_t text[4];
    DWORD length = GetEnvironmentVariableW(L"HOSTMEM_HEAP", text, 4);
    return length == 1 && text[0] == L'1' ? HM_REDIRECT_HEAP : 0;
}

BOOL WINAPI HmRedirectInstall(DWORD flags, HM_REDIRECT_SHARED *shared) {
    uint32_t seen = 0;
    HMODULE pinned;
    if (!atom_cas_acqrel_u32(&redirect_installed, &seen, 1)) { /* acqrel: one caller wins */
        SetLastError(ERROR_ALREADY_INITIALIZED);
        return FALSE;
    }
    if (!patch_find() || !patch_prepare()) {
        if (shared) atom_add_acqrel_u32((uint32_t *)&shared->cInstallErrors, 1);
        atom_store_rel_u32(&redirect_installed, 0); /* rel: pairs with the CAS; whoever tries next starts anew */
        return FALSE;
    }
    GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, (LPCWSTR)(void *)&redirect_flags,
                       &pinned);
    redirect_flags = flags | flags_of_environment();
    redirect_shared = flags & HM_REDIRECT_COUNT ? shared : NULL;
    counts_start();
    process_start();
    pointers_start();
    watch_hooks_start();
    heap_hooks_start();
    patch_install();
    return TRUE;
}

/* What HmRedirectPrepare left, or NULL. Its import directory lies behind the image, where no compiler puts one. */
static struct prepared *prepared_find(IMAGE_NT_HEADERS64 **header) {
    char *base = (char *)GetModuleHandleW(NULL);
    IMAGE_NT_HEADERS64 *nt = (IMAGE_NT_HEADERS64 *)(base + ((IMAGE_DOS_HEADER *)base)->e_lfanew);
    DWORD rva = nt->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT].VirtualAddress;
    if (rva < nt->OptionalHeader.SizeOfImage) return NULL;
    struct prepared *prepared = (struct prepared *)(base + rva - offsetof(struct prepared, import));
    *header = nt;
    return prepared->magic == PREPARED_MAGIC ? prepared : NULL;
}

static void header_restore(IMAGE_NT_HEADERS64 *nt, const struct prepared *prepared) {
    IMAGE_DATA_DIRECTORY *directory = nt->OptionalHeader.DataDirectory;
    DWORD old, ignored;
    if (!VirtualProtect(nt, sizeof *nt, PAGE_READWRITE, &old)) return;
    directory[IMAGE_DIRECTORY_ENTRY_IMPORT] = (IMAGE_DATA_DIRECTORY){prepared->directory_rva, prepared->directory_size};
    if (has_bound_imports(&nt->OptionalHeader)) {
        directory[IMAGE_DIRECTORY_ENTRY_BOUND_IMPORT] = (IMAGE_DATA_DIRECTORY){prepared->bound_rva, prepared->bound_size};
    }
    VirtualProtect(nt, sizeof *nt, old, &ignored);
}

static BOOL attach(void) {
    IMAGE_NT_HEADERS64 *nt;
    struct prepared *prepared = prepared_find(&nt);
    HM_REDIRECT_SHARED *shared = NULL;
    if (!prepared) return TRUE;
    header_restore(nt, prepared);
    prepared->magic = 0;
    if (prepared->section) {
        redirect_section = (HANDLE)(uintptr_t)prepared->section;
        shared = MapViewOfFile(redirect_section, FILE_MAP_READ | FILE_MAP_WRITE, 0, 0, 0);
        if (!shared || shared->version != HM_REDIRECT_VERSION) return FALSE;
        if (!(prepared->flags & HM_REDIRECT_CHILDREN)) {
            CloseHandle(redirect_section);
            redirect_section = NULL;
        }
    }
    if (!HmRedirectInstall(prepared->flags, shared)) return FALSE;
    if (shared) atom_add_acqrel_u32((uint32_t *)&shared->cProcesses, 1);
    return TRUE;
}

HANDLE redirect_section_handle(void) { return redirect_section; }

/* The linker's list of the engine's constructors: a word of its own, the functions, NULL. */
extern void (*__CTOR_LIST__[])(void);

BOOL WINAPI redirect_start(HINSTANCE module, DWORD reason, LPVOID reserved);

BOOL WINAPI redirect_start(HINSTANCE module, DWORD reason, LPVOID reserved) {
    (void)reserved;
    redirect_module = module;
    if (reason == DLL_PROCESS_DETACH) counts_finish();
    if (reason != DLL_PROCESS_ATTACH) return TRUE;
    for (void (**constructor)(void) = &__CTOR_LIST__[1]; *constructor; constructor++) (*constructor)();
    return attach();
}

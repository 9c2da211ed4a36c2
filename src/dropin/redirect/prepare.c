/*
 * prepare.c - puts this DLL in front of everything in a process that has not run yet.
 *
 * A new import directory, in memory of its own behind the program's image, names this DLL first and then all that the program's
 * own directory names; the image's header is led to it. The loader, which runs when the process is resumed, does the rest. Import
 * directories hold 32-bit offsets from the image, so the memory lies within 4 GiB behind it.
 *
 * Every look into another process, and every change there, costs as much as dozens of ordinary calls (under Wine up to half a
 * millisecond): so what lies together is read at once, and a place is tried before it is asked about.
 *
 * Used by the launcher, and by a program's own threads for its children. Nothing is shared between calls.
 */
#include "dropin/redirect/redirect.h"

#include <stddef.h>
#include <string.h>

enum { IMPORTS_AT_MOST = 4096, IMPORTS_ROOM = IMPORTS_AT_MOST + PAGE_BYTES / sizeof(IMAGE_IMPORT_DESCRIPTOR) + 1 };

static bool read_memory(HANDLE process, uintptr_t address, void *to, size_t size) {
    SIZE_T got;
    return ReadProcessMemory(process, (LPCVOID)address, to, size, &got) && got == size;
}

static bool write_memory(HANDLE process, uintptr_t address, const void *from, size_t size) {
    SIZE_T got;
    return WriteProcessMemory(process, (LPVOID)address, from, size, &got) && got == size;
}

/* Where the process's program lies: the process environment block says, and so does every debugger read it. */
static uintptr_t image_base(HANDLE process) {
    typedef LONG(WINAPI * query_function)(HANDLE, int, void *, ULONG, ULONG *);
    struct {
        LONG_PTR status;
        uintptr_t peb;
        ULONG_PTR rest[4];
    } basic;
    enum { BASIC_INFORMATION = 0, PEB_IMAGE_BASE = 0x10 };
    uintptr_t base = 0;
    query_function query =
        (query_function)(void (*)(void))GetProcAddress(GetModuleHandleA("ntdll.dll"), "NtQueryInformationProcess");
    if (!query || query(process, BASIC_INFORMATION, &basic, sizeof basic, NULL) < 0) return 0;
    return read_memory(process, basic.peb + PEB_IMAGE_BASE, &base, sizeof base) ? base : 0;
}

/* The program's headers, which nearly always lie within its first page; returns where, 0 if they cannot be read. */
static uintptr_t headers_read(HANDLE process, uintptr_t base, IMAGE_NT_HEADERS64 *nt) {
    unsigned char page[PAGE_BYTES];
    IMAGE_DOS_HEADER dos;
    if (!base || !read_memory(process, base, page, sizeof page)) return 0;
    memcpy(&dos, page, sizeof dos);
    uintptr_t at = base + (uintptr_t)dos.e_lfanew;
    if (dos.e_lfanew >= 0 && (size_t)dos.e_lfanew + sizeof *nt <= sizeof page) memcpy(nt, page + dos.e_lfanew, sizeof *nt);
    else if (!read_memory(process, at, nt, sizeof *nt)) return 0;
    return at;
}

static void *block_take(HANDLE process, uintptr_t at, size_t size) {
    return VirtualAllocEx(process, (LPVOID)at, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

/* Behind the image, within reach of a 32-bit offset: right behind it, where nearly always nothing is, or further on. */
static uintptr_t block_reserve(HANDLE process, uintptr_t base, size_t image_bytes, size_t size) {
    uintptr_t last = base + (((uintptr_t)1 << 32) - GRANULE_BYTES);
    MEMORY_BASIC_INFORMATION info;
    uintptr_t behind = align_up(base + image_bytes, GRANULE_BYTES);
    void *made = behind < last ? block_take(process, behind, size) : NULL;
    for (uintptr_t at = base; !made && at < last && VirtualQueryEx(process, (LPCVOID)at, &info, sizeof info);) {
        uintptr_t start = align_up((uintptr_t)info.BaseAddress, GRANULE_BYTES);
        at = (uintptr_t)info.BaseAddress + info.RegionSize;
        if (info.State != MEM_FREE || start + size > at || start >= last) continue;
        made = block_take(process, start, size);
    }
    return (uintptr_t)made;
}

/* Import tables name DLLs in ASCII; a path with other letters has a short form that may do. */
static bool path_find(char path[MAX_PATH]) {
    wchar_t wide[MAX_PATH], brief[MAX_PATH];
    const wchar_t *use = wide;
    DWORD length = GetModuleFileNameW(redirect_module, wide, MAX_PATH);
    if (length == 0 || length >= MAX_PATH) return false;
    for (const wchar_t *c = wide; *c; c++) {
        if (*c > 126) {
            length = GetShortPathNameW(wide, brief, MAX_PATH);
            if (length == 0 || length >= MAX_PATH) return false;
            use = brief;
            break;
        }
    }
    for (size_t i = 0;; i++) {
        if (use[i] > 126) return false;
        path[i] = (char)use[i];
        if (!use[i]) return true;
    }
}

/*
 * The imports that the directory has, and an empty one behind them; returns how many, -1 if it cannot be read or has too many.
 * Its size in the header is not to be relied on: it is read page by page, of which most need one, to its end.
 */
static int imports_read(HANDLE process, uintptr_t directory, IMAGE_IMPORT_DESCRIPTOR imports[IMPORTS_ROOM]) {
    size_t have = 0;
    for (int count = 0; count < IMPORTS_AT_MOST; count++) {
        while (have < (size_t)(count + 1) * sizeof imports[0]) {
            size_t part = PAGE_BYTES - (directory + have) % PAGE_BYTES;
            if (!read_memory(process, directory + have, (char *)imports + have, part)) return -1;
            have += part;
        }
        if (!imports[count].Name || !imports[count].FirstThunk) {
            memset(&imports[count], 0, sizeof imports[0]);
            return count;
        }
    }
    return -1;
}

/* The block's content but for the program's own imports; `at` is its offset from the image. */
static bool block_fill(struct prepared *block, DWORD at, DWORD flags, const IMAGE_OPTIONAL_HEADER64 *header) {
    static const char import_name[] = "HmRedirectVersion";
    DWORD by_name = at + (DWORD)offsetof(struct prepared, by_name);
    block->magic = PREPARED_MAGIC;
    block->flags = flags;
    block->directory_rva = header->DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT].VirtualAddress;
    block->directory_size = header->DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT].Size;
    block->bound_rva = header->DataDirectory[IMAGE_DIRECTORY_ENTRY_BOUND_IMPORT].VirtualAddress;
    block->bound_size = header->DataDirectory[IMAGE_DIRECTORY_ENTRY_BOUND_IMPORT].Size;
    block->lookup[0].u1.AddressOfData = by_name;
    block->address[0].u1.AddressOfData = by_name;
    memcpy(block->by_name + 2, import_name, sizeof import_name);
    block->import[0].OriginalFirstThunk = at + (DWORD)offsetof(struct prepared, lookup);
    block->import[0].FirstThunk = at + (DWORD)offsetof(struct prepared, address);
    block->import[0].Name = at + (DWORD)offsetof(struct prepared, path);
    return path_find(block->path);
}

/* Leads the header to the new directory. It is read-only, which some systems let such a write pass by. */
static bool header_write(HANDLE process, uintptr_t header_at, const IMAGE_NT_HEADERS64 *nt) {
    DWORD old, ignored;
    if (write_memory(process, header_at, nt, sizeof *nt)) return true;
    if (!VirtualProtectEx(process, (LPVOID)header_at, sizeof *nt, PAGE_READWRITE, &old)) return false;
    bool written = write_memory(process, header_at, nt, sizeof *nt);
    VirtualProtectEx(process, (LPVOID)header_at, sizeof *nt, old, &ignored);
    return written;
}

/* `block` has the program's own imports already, `count` of them and the empty one, behind room for this DLL's. */
static DWORD block_put(HANDLE process, DWORD flags, HANDLE section, uintptr_t base, uintptr_t header_at, IMAGE_NT_HEADERS64 *nt,
                       struct prepared *block, int count) {
    IMAGE_DATA_DIRECTORY *directory = nt->OptionalHeader.DataDirectory;
    size_t imports_bytes = (size_t)(count + 2) * sizeof block->import[0];
    uintptr_t block_at = block_reserve(process, base, nt->OptionalHeader.SizeOfImage, sizeof *block + imports_bytes);
    if (!block_at) return HM_PREPARE_NO_ROOM;
    DWORD at = (DWORD)(block_at - base);
    if (!block_fill(block, at, flags, &nt->OptionalHeader)) return HM_PREPARE_BAD_PATH;
    if (section) {
        HANDLE there;
        if (!DuplicateHandle(GetCurrentProcess(), section, process, &there, 0, FALSE, DUPLICATE_SAME_ACCESS)) {
            return HM_PREPARE_UNREADABLE;
        }
        block->section = (uint64_t)(uintptr_t)there;
    }
    directory[IMAGE_DIRECTORY_ENTRY_IMPORT].VirtualAddress = at + (DWORD)offsetof(struct prepared, import);
    directory[IMAGE_DIRECTORY_ENTRY_IMPORT].Size = (DWORD)imports_bytes;
    if (has_bound_imports(&nt->OptionalHeader)) directory[IMAGE_DIRECTORY_ENTRY_BOUND_IMPORT] = (IMAGE_DATA_DIRECTORY){0, 0};
    bool done = write_memory(process, block_at, block, sizeof *block + imports_bytes) && header_write(process, header_at, nt);
    return done ? HM_PREPARE_OK : HM_PREPARE_UNREADABLE;
}

DWORD WINAPI HmRedirectPrepare(HANDLE process, DWORD flags, HANDLE section) {
    IMAGE_NT_HEADERS64 nt;
    uintptr_t base = image_base(process), header_at = headers_read(process, base, &nt);
    if (!header_at) return HM_PREPARE_UNREADABLE;
    if (nt.FileHeader.Machine != IMAGE_FILE_MACHINE_AMD64) return HM_PREPARE_NOT_X64;
    bool imports = nt.OptionalHeader.NumberOfRvaAndSizes > IMAGE_DIRECTORY_ENTRY_IMPORT;
    DWORD rva = imports ? nt.OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT].VirtualAddress : 0;
    if (!rva) return HM_PREPARE_NO_IMPORTS;
    size_t room = sizeof(struct prepared) + (1 + IMPORTS_ROOM) * sizeof(IMAGE_IMPORT_DESCRIPTOR);
    struct prepared *block = VirtualAlloc(NULL, room, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (!block) return HM_PREPARE_NO_ROOM;
    int count = imports_read(process, base + rva, &block->import[1]);
    DWORD result = count < 0    ? HM_PREPARE_UNREADABLE
                   : count == 0 ? HM_PREPARE_NO_IMPORTS
                                : block_put(process, flags, section, base, header_at, &nt, block, count);
    VirtualFree(block, 0, MEM_RELEASE);
    return result;
}

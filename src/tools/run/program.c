/*
 * program.c - is there such a program, and can it be served? Said before anything is started.
 *
 * The file's headers are read as they lie on the disk.
 */
#include "tools/run/run.h"

#include <stddef.h>
#include <string.h>

struct headers {
    IMAGE_DOS_HEADER dos;
    IMAGE_NT_HEADERS64 nt;
    DWORD nt_bytes; /* how many of it are there; the rest are zero */
};

static DWORD read_at(HANDLE file, DWORD at, void *to, DWORD size) {
    OVERLAPPED place = {.Offset = at};
    DWORD got = 0;
    return ReadFile(file, to, size, &got, &place) ? got : 0;
}

/* The second may lie far behind the first: a file can be a program for several systems. */
static void headers_read(const wchar_t *path, const char *shown, struct headers *headers) {
    HANDLE file = CreateFileW(path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL, OPEN_EXISTING, 0, NULL);
    if (file == INVALID_HANDLE_VALUE) {
        tool_fail(&run_command, RUN_EXIT_PROGRAM, "program '%s' cannot be read (error %lu)", shown, GetLastError());
    }
    memset(headers, 0, sizeof *headers);
    if (read_at(file, 0, &headers->dos, sizeof headers->dos) == sizeof headers->dos && headers->dos.e_lfanew >= 0) {
        headers->nt_bytes = read_at(file, (DWORD)headers->dos.e_lfanew, &headers->nt, sizeof headers->nt);
    }
    CloseHandle(file);
}

static void headers_check(const struct headers *headers, const char *shown) {
    const IMAGE_FILE_HEADER *file = &headers->nt.FileHeader;
    const IMAGE_OPTIONAL_HEADER64 *optional = &headers->nt.OptionalHeader;
    if (headers->dos.e_magic != IMAGE_DOS_SIGNATURE || headers->nt_bytes < offsetof(IMAGE_NT_HEADERS64, OptionalHeader) ||
        headers->nt.Signature != IMAGE_NT_SIGNATURE || (file->Characteristics & IMAGE_FILE_DLL) != 0) {
        tool_fail(&run_command, RUN_EXIT_PROGRAM, "'%s' is not a Windows program", shown);
    }
    if (file->Machine != IMAGE_FILE_MACHINE_AMD64) {
        tool_fail(&run_command, RUN_EXIT_NOT_X64, "'%s' is %s; only programs for 64-bit x86 can be served", shown,
                  file->Machine == IMAGE_FILE_MACHINE_I386 ? "a 32-bit program" : "for another processor");
    }
    /* The loader does not look at the size. */
    if (optional->NumberOfRvaAndSizes <= IMAGE_DIRECTORY_ENTRY_IMPORT ||
        optional->DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT].VirtualAddress == 0) {
        tool_fail(&run_command, RUN_EXIT_IMPORTS, "'%s' imports nothing: there is nothing to put hostmem in front of", shown);
    }
}

static bool is_file(const wchar_t *path) {
    DWORD attributes = GetFileAttributesW(path);
    return attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) == 0;
}

/* A name with a place: what has no dot is a program's name without .exe first, whatever else may be called so. */
static bool placed_find(const wchar_t *name, wchar_t path[RUN_PATH]) {
    wchar_t *file = NULL;
    DWORD length = GetFullPathNameW(name, RUN_PATH, path, &file);
    bool brief, suffixed;
    if (length == 0 || length + 5 >= RUN_PATH || file == NULL) return false;
    brief = wcschr(file, L'.') == NULL;
    if (!brief && is_file(path)) return true;
    wcscat(path, L".exe");
    suffixed = is_file(path);
    if (!suffixed) path[length] = L'\0';
    return suffixed || (brief && is_file(path));
}

static bool searched_find(const wchar_t *name, wchar_t path[RUN_PATH]) {
    wchar_t *file;
    DWORD length = SearchPathW(NULL, name, L".exe", RUN_PATH, path, &file);
    return length != 0 && length < RUN_PATH && is_file(path);
}

void program_find(const wchar_t *name, wchar_t path[RUN_PATH]) {
    static char shown[RUN_PATH * 3];
    struct headers headers;
    bool placed = wcspbrk(name, L"\\/:") != NULL;
    WideCharToMultiByte(CP_UTF8, 0, name, -1, shown, sizeof shown, NULL, NULL);
    if (!(placed ? placed_find(name, path) : searched_find(name, path))) {
        tool_fail(&run_command, RUN_EXIT_PROGRAM, "there is no program '%s'", shown);
    }
    headers_read(path, shown, &headers);
    headers_check(&headers, shown);
}

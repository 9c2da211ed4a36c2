/*
 * program.c - is there such a program, and can it be served? Said before anything is started.
 *
 * The file's headers are read as they lie on the disk.
 */
#include "tools/run/run.h"

#include <string.h>

enum { HEADER_BYTES = 4096 };

static DWORD headers_read(const wchar_t *path, const char *shown, unsigned char head[HEADER_BYTES]) {
    HANDLE file = CreateFileW(path, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_DELETE, NULL, OPEN_EXISTING, 0, NULL);
    DWORD got = 0;
    if (file == INVALID_HANDLE_VALUE) {
        tool_fail(&run_command, RUN_EXIT_PROGRAM, "program '%s' cannot be read (error %lu)", shown, GetLastError());
    }
    if (!ReadFile(file, head, HEADER_BYTES, &got, NULL)) got = 0;
    CloseHandle(file);
    return got;
}

static void headers_check(const unsigned char *head, DWORD length, const char *shown) {
    const IMAGE_DOS_HEADER *dos = (const void *)head;
    const IMAGE_NT_HEADERS64 *nt;
    const IMAGE_DATA_DIRECTORY *imports;
    if (length < sizeof *dos || dos->e_magic != IMAGE_DOS_SIGNATURE || dos->e_lfanew < 0 ||
        (size_t)dos->e_lfanew + sizeof *nt > HEADER_BYTES || (size_t)dos->e_lfanew + sizeof nt->FileHeader + 8 > length) {
        tool_fail(&run_command, RUN_EXIT_PROGRAM, "'%s' is not a Windows program", shown);
    }
    nt = (const void *)(head + dos->e_lfanew);
    if (nt->Signature != IMAGE_NT_SIGNATURE || (nt->FileHeader.Characteristics & IMAGE_FILE_DLL) != 0) {
        tool_fail(&run_command, RUN_EXIT_PROGRAM, "'%s' is not a Windows program", shown);
    }
    if (nt->FileHeader.Machine != IMAGE_FILE_MACHINE_AMD64) {
        tool_fail(&run_command, RUN_EXIT_NOT_X64, "'%s' is %s; only programs for 64-bit x86 can be served", shown,
                  nt->FileHeader.Machine == IMAGE_FILE_MACHINE_I386 ? "a 32-bit program" : "for another processor");
    }
    imports = &nt->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT];
    if (imports->VirtualAddress == 0) { /* the loader does not look at the size */
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
    static unsigned char head[HEADER_BYTES];
    static char shown[RUN_PATH * 3];
    bool placed = wcspbrk(name, L"\\/:") != NULL;
    WideCharToMultiByte(CP_UTF8, 0, name, -1, shown, sizeof shown, NULL, NULL);
    if (!(placed ? placed_find(name, path) : searched_find(name, path))) {
        tool_fail(&run_command, RUN_EXIT_PROGRAM, "there is no program '%s'", shown);
    }
    headers_check(head, headers_read(path, shown, head), shown);
}

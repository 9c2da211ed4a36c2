/*
 * echo.c - prints what it was started with: its arguments as Windows has them, its folder, one variable of its environment, how
 * many variables there are, its window's title without the folder, how many files it has open, and its standard input; a line
 * also on standard error.
 */
#include <windows.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

static int files_open(void) {
    int files = 0;
    for (uintptr_t handle = 4; handle < 4096; handle += 4) files += GetFileType((HANDLE)handle) == FILE_TYPE_DISK;
    return files;
}

static const wchar_t *title(void) {
    STARTUPINFOW startup;
    GetStartupInfoW(&startup);
    const wchar_t *name = startup.lpTitle ? wcsrchr(startup.lpTitle, L'\\') : NULL;
    return name ? name + 1 : L"none";
}

int main(void) {
    wchar_t text[4096];
    const wchar_t *command = GetCommandLineW();
    int variables = 0, letter;
    /* The program's own name may be written in different ways; what follows may not. */
    bool quoted = false;
    for (; *command && (quoted || *command != L' '); command++) quoted = quoted != (*command == L'"');
    printf("arguments:");
    for (; *command; command++) printf(" %x", *command);
    GetCurrentDirectoryW(4096, text);
    printf("\nfolder: %ls\n", text);
    if (GetEnvironmentVariableW(L"ECHO_THIS", text, 4096) == 0) text[0] = 0;
    printf("variable: %ls\n", text);
    for (const wchar_t *all = GetEnvironmentStringsW(); *all; all += wcslen(all) + 1) variables++;
    printf("variables: %d\ntitle: %ls\nfiles: %d\ninput: ", variables, title(), files_open());
    while ((letter = getchar()) != EOF) putchar(letter);
    fprintf(stderr, "errors go here\n");
    return 0;
}

/*
 * words.c - names as Windows has them: the command line's words and the files that are written, in UTF-8 between the two.
 *
 * The words that main is given are in the system's code page, which lacks most letters.
 */
#include "tools/run/run.h"

#include <fcntl.h>
#include <io.h>
#include <stdlib.h>
#include <sys/stat.h>

/* The C library's; where the words are wild cards they stay so. */
int __wgetmainargs(int *count, wchar_t ***words, wchar_t ***environment, int expand, int *new_mode);

static char *narrow(const wchar_t *wide) {
    int size = WideCharToMultiByte(CP_UTF8, 0, wide, -1, NULL, 0, NULL, NULL);
    char *made = malloc(size > 0 ? (size_t)size : 1);
    if (made == NULL) tool_fail(&run_command, RUN_EXIT_PREPARE, "no memory");
    made[0] = '\0';
    WideCharToMultiByte(CP_UTF8, 0, wide, -1, made, size, NULL, NULL);
    return made;
}

char **words_read(int *count) {
    wchar_t **wide, **environment;
    int new_mode = 0;
    char **words = NULL;
    if (__wgetmainargs(count, &wide, &environment, 0, &new_mode) < 0 ||
        (words = calloc((size_t)*count + 1, sizeof words[0])) == NULL) {
        tool_fail(&run_command, RUN_EXIT_PREPARE, "no memory");
    }
    for (int i = 0; i < *count; i++) words[i] = narrow(wide[i]);
    return words;
}

FILE *words_file(const char *path) {
    static wchar_t wide[RUN_PATH];
    bool fits = MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, RUN_PATH) > 0;
    int flags = _O_WRONLY | _O_CREAT | _O_TRUNC | _O_TEXT | _O_NOINHERIT;
    int file = fits ? _wopen(wide, flags, _S_IREAD | _S_IWRITE) : -1;
    return file >= 0 ? _fdopen(file, "w") : NULL;
}

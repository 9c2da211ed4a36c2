/*
 * json.c - a small reader of JSON: the whole file in memory, one function a kind of value, a call for each that holds
 * something. Texts longer than JSON_TEXT_MOST are cut; \u escapes become '?', as no key or figure has one.
 */
#include "bench/table/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MOST = 32 };

struct reader {
    const char *at, *start;
    char path[JSON_PATH_MOST];
    int depth;
    void (*each)(const struct json_value *value, void *argument);
    void *argument;
};

static bool read_value(struct reader *reader);

static void skip_blanks(struct reader *reader) { reader->at += strspn(reader->at, " \t\r\n"); }

static bool read_string(struct reader *reader, char text[JSON_TEXT_MOST]) {
    size_t length = 0;
    if (*reader->at++ != '"') return false;
    for (; *reader->at != '"'; reader->at++) {
        char c = *reader->at;
        if (c == '\0') return false;
        if (c == '\\') {
            static const char escapes[] = "\"\"\\\\//n\nt\tr\rb\bf\fu?";
            const char *pair = escapes;
            c = *++reader->at;
            while (*pair != '\0' && *pair != c) pair += 2;
            if (c == '\0' || *pair == '\0') return false;
            if (c == 'u' && strspn(reader->at + 1, "0123456789abcdefABCDEF") < 4) return false;
            if (c == 'u') reader->at += 4;
            c = pair[1];
        }
        if (length + 1 < JSON_TEXT_MOST) text[length++] = c;
    }
    text[length] = '\0';
    reader->at++;
    return true;
}

static bool read_members(struct reader *reader) {
    size_t length = strlen(reader->path);
    char key[JSON_TEXT_MOST];
    reader->at++;
    skip_blanks(reader);
    if (*reader->at == '}') return reader->at++, true;
    for (;; reader->at++) {
        skip_blanks(reader);
        if (!read_string(reader, key)) return false;
        skip_blanks(reader);
        if (*reader->at++ != ':') return false;
        snprintf(reader->path + length, sizeof reader->path - length, "%s%.*s", length == 0 ? "" : "/", 100, key);
        if (!read_value(reader)) return false;
        reader->path[length] = '\0';
        skip_blanks(reader);
        if (*reader->at != ',') break;
    }
    return *reader->at++ == '}';
}

static bool read_elements(struct reader *reader) {
    reader->at++;
    skip_blanks(reader);
    if (*reader->at == ']') return reader->at++, true;
    for (;; reader->at++) {
        if (!read_value(reader)) return false;
        skip_blanks(reader);
        if (*reader->at != ',') break;
    }
    return *reader->at++ == ']';
}

static bool read_scalar(struct reader *reader) {
    char text[JSON_TEXT_MOST];
    struct json_value value = {.path = reader->path, .text = text};
    if (*reader->at == '"') {
        if (!read_string(reader, text)) return false;
    } else if (*reader->at >= 'a' && *reader->at <= 'z') {
        size_t length = strspn(reader->at, "abcdefghijklmnopqrstuvwxyz");
        snprintf(text, sizeof text, "%.*s", (int)length, reader->at);
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0 && strcmp(text, "null") != 0) return false;
        reader->at += length;
    } else {
        char *end;
        value.is_number = true;
        value.number = strtod(reader->at, &end);
        if (end == reader->at) return false;
        snprintf(text, sizeof text, "%.*s", (int)(end - reader->at), reader->at);
        reader->at = end;
    }
    reader->each(&value, reader->argument);
    return true;
}

static bool read_value(struct reader *reader) {
    bool good;
    skip_blanks(reader);
    if (*reader->at != '{' && *reader->at != '[') return read_scalar(reader);
    if (reader->depth == DEPTH_MOST) return false;
    reader->depth++;
    good = *reader->at == '{' ? read_members(reader) : read_elements(reader);
    reader->depth--;
    return good;
}

static char *read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    size_t length = 0, room = 1 << 16;
    char *text = malloc(room);
    while (file != NULL && text != NULL) {
        size_t got = fread(text + length, 1, room - length - 1, file);
        length += got;
        if (got == 0) break;
        if (length + 1 < room) continue;
        char *more = realloc(text, room *= 2);
        if (more == NULL) free(text);
        text = more;
    }
    if (file != NULL && !ferror(file) && text != NULL) {
        text[length] = '\0';
    } else {
        free(text);
        text = NULL;
    }
    if (file != NULL) fclose(file);
    return text;
}

bool json_read(const char *path, void (*each)(const struct json_value *value, void *argument), void *argument, long *where) {
    char *text = read_file(path);
    struct reader reader = {.at = text, .start = text, .each = each, .argument = argument};
    *where = 0;
    if (text == NULL) return false;
    bool good = read_value(&reader);
    if (good) skip_blanks(&reader);
    good = good && *reader.at == '\0';
    *where = (long)(reader.at - reader.start) + 1;
    free(text);
    return good;
}

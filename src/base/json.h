/*
 * json.h - writing JSON through a function of the caller's, without allocating. Layer: base, for the engine and for the tools.
 *
 * One thread writes one document, which is one object on one line. key is NULL inside an array. Text is UTF-8, and its control
 * characters are escaped; a byte that is none stands as U+FFFD, whatever a program, a thread or a file may be called.
 */
#ifndef HM_JSON_H
#define HM_JSON_H

#include "hostmem.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_BUFFER 1024
#define JSON_DEPTH 16

struct json {
    HM_WRITE write;
    void *context;
    size_t held;
    bool comma;
    unsigned depth;
    char closer[JSON_DEPTH];
    char text[JSON_BUFFER];
};

void json_begin(struct json *json, HM_WRITE write, void *context);
void json_object(struct json *json, const char *key);
void json_array(struct json *json, const char *key);
void json_close(struct json *json); /* the innermost object or array */
void json_count(struct json *json, const char *key, uint64_t value);
void json_text(struct json *json, const char *key, const char *value);
void json_bool(struct json *json, const char *key, bool value);
void json_plain(struct json *json, const char *key, const char *value); /* a number, or null, as it stands */
void json_end(struct json *json); /* closes all that is open, ends the line, and hands over what is held */

/* The bytes of the character at which text points, as UTF-8 has it: 1 to 4, or 0 if it is none. */
size_t utf8_length(const char *text);

#endif

/*
 * json.h - writing JSON through a function of the caller's, without allocating. Layer: policy.
 *
 * One thread writes one document. Keys are NULL inside arrays. Text is escaped; bytes above 0x7f pass as they are.
 */
#ifndef HM_JSON_H
#define HM_JSON_H

#include "base/base.h"
#include "hostmem.h"

#define JSON_BUFFER 1024

struct json {
    HM_WRITE write;
    void *context;
    size_t held;
    bool comma;
    char text[JSON_BUFFER];
};

void json_begin(struct json *json, HM_WRITE write, void *context);
void json_object(struct json *json, const char *key);
void json_object_end(struct json *json);
void json_array(struct json *json, const char *key);
void json_array_end(struct json *json);
void json_count(struct json *json, const char *key, uint64_t value);
void json_text(struct json *json, const char *key, const char *value);
void json_bool(struct json *json, const char *key, bool value);
void json_end(struct json *json); /* ends the line, and hands over what is held */

#endif

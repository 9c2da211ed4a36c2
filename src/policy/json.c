/*
 * json.c - see json.h. The buffer is handed over when it is full, and at the end.
 */
#include "policy/json.h"

#include <string.h>

static void flush(struct json *json) {
    if (json->held != 0) json->write(json->context, json->text, json->held);
    json->held = 0;
}

static void put(struct json *json, char c) {
    if (json->held == sizeof json->text) flush(json);
    json->text[json->held++] = c;
}

static void put_plain(struct json *json, const char *text) {
    while (*text) put(json, *text++);
}

static void put_string(struct json *json, const char *text) {
    static const char digits[] = "0123456789abcdef";
    put(json, '"');
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < 0x20) {
            put_plain(json, "\\u00");
            put(json, digits[byte >> 4]);
            put(json, digits[byte & 15]);
            continue;
        }
        if (byte == '"' || byte == '\\') put(json, '\\');
        put(json, (char)byte);
    }
    put(json, '"');
}

/* The comma that is due, and the key. */
static void put_key(struct json *json, const char *key) {
    if (json->comma) put_plain(json, ", ");
    json->comma = true;
    if (key == NULL) return;
    put_string(json, key);
    put_plain(json, ": ");
}

static void open(struct json *json, const char *key, char bracket) {
    put_key(json, key);
    put(json, bracket);
    json->comma = false;
}

static void close(struct json *json, char bracket) {
    put(json, bracket);
    json->comma = true;
}

void json_begin(struct json *json, HM_WRITE write, void *context) {
    json->write = write;
    json->context = context;
    json->held = 0;
    json->comma = false;
    open(json, NULL, '{');
}

void json_object(struct json *json, const char *key) { open(json, key, '{'); }
void json_object_end(struct json *json) { close(json, '}'); }
void json_array(struct json *json, const char *key) { open(json, key, '['); }
void json_array_end(struct json *json) { close(json, ']'); }

void json_count(struct json *json, const char *key, uint64_t value) {
    char digits[21], *at = digits + sizeof digits;
    put_key(json, key);
    *--at = 0;
    do *--at = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    put_plain(json, at);
}

void json_text(struct json *json, const char *key, const char *value) {
    put_key(json, key);
    put_string(json, value);
}

void json_bool(struct json *json, const char *key, bool value) {
    put_key(json, key);
    put_plain(json, value ? "true" : "false");
}

void json_end(struct json *json) {
    put_plain(json, "}\n");
    flush(json);
}

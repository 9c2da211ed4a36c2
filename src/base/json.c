/*
 * json.c - see json.h. The buffer is handed over when it is full, and at the end; until then nothing has gone out.
 */
#include "base/json.h"

#include "base/base.h"

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

size_t utf8_length(const char *text) {
    /* By how many bytes follow: the lowest and the highest first byte, and the lowest character that needs so many. */
    static const struct {
        unsigned char low, high;
        uint32_t least;
    } lead[] = {{0x00, 0x7f, 0}, {0xc2, 0xdf, 0x80}, {0xe0, 0xef, 0x800}, {0xf0, 0xf4, 0x10000}};
    unsigned char first = (unsigned char)text[0];
    size_t follow = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0x80 ? 1 : 0;
    if (first < lead[follow].low || first > lead[follow].high) return 0;
    uint32_t character = first & (0x3fu >> follow);
    for (size_t at = 1; at <= follow; at++) {
        if ((text[at] & 0xc0) != 0x80) return 0;
        character = character << 6 | (text[at] & 0x3fu);
    }
    bool surrogate = character >= 0xd800 && character < 0xe000;
    return character < lead[follow].least || character > 0x10ffff || surrogate ? 0 : follow + 1;
}

static void put_character(struct json *json, const char *text, size_t length) {
    static const char digits[] = "0123456789abcdef";
    unsigned char first = (unsigned char)*text;
    if (length == 0) {
        put_plain(json, "\\ufffd");
    } else if (first < 0x20) {
        put_plain(json, "\\u00");
        put(json, digits[first >> 4]);
        put(json, digits[first & 15]);
    } else {
        if (first == '"' || first == '\\') put(json, '\\');
        for (size_t at = 0; at < length; at++) put(json, text[at]);
    }
}

static void put_string(struct json *json, const char *text) {
    put(json, '"');
    for (size_t length; *text; text += length != 0 ? length : 1) {
        length = utf8_length(text);
        put_character(json, text, length);
    }
    put(json, '"');
}

/* What stands before every value: the comma that is due, and the key. */
static void put_key(struct json *json, const char *key) {
    if (json->comma) put_plain(json, ", ");
    json->comma = true;
    if (key == NULL) return;
    put_string(json, key);
    put_plain(json, ": ");
}

static void open(struct json *json, const char *key, char opener, char closer) {
    HM_ASSERT(json->depth < JSON_DEPTH);
    put_key(json, key);
    put(json, opener);
    json->comma = false;
    json->closer[json->depth++] = closer;
}

void json_begin(struct json *json, HM_WRITE write, void *context) {
    json->write = write;
    json->context = context;
    json->held = 0;
    json->comma = false;
    json->depth = 0;
    open(json, NULL, '{', '}');
}

void json_object(struct json *json, const char *key) { open(json, key, '{', '}'); }
void json_array(struct json *json, const char *key) { open(json, key, '[', ']'); }

void json_close(struct json *json) {
    HM_ASSERT(json->depth > 0);
    put(json, json->closer[--json->depth]);
    json->comma = true;
}

void json_count(struct json *json, const char *key, uint64_t value) {
    char digits[21], *at = digits + sizeof digits;
    *--at = 0;
    do *--at = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    json_plain(json, key, at);
}

void json_text(struct json *json, const char *key, const char *value) {
    put_key(json, key);
    put_string(json, value);
}

void json_bool(struct json *json, const char *key, bool value) { json_plain(json, key, value ? "true" : "false"); }

void json_plain(struct json *json, const char *key, const char *value) {
    put_key(json, key);
    put_plain(json, value);
}

void json_end(struct json *json) {
    while (json->depth != 0) json_close(json);
    put(json, '\n');
    flush(json);
}

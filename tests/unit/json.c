/*
 * The writer of JSON: one line that a reader takes, whatever the text is, however little is handed over at a time, and however
 * much is left open.
 */
#include "base/json.h"

#include <stdio.h>
#include <string.h>

#include "check.h"

static char got[4 * JSON_BUFFER];
static size_t length, pieces;

static void WINAPI keep(LPVOID context, LPCSTR text, SIZE_T bytes) {
    CHECK(context == got && bytes <= JSON_BUFFER && length + bytes < sizeof got);
    memcpy(got + length, text, bytes);
    length += bytes;
    got[length] = '\0';
    pieces++;
}

static void begin(struct json *json) {
    length = pieces = 0;
    json_begin(json, keep, got);
}

static void is(const char *name, const char *wanted) {
    if (strcmp(got, wanted) != 0) printf("%s: %swanted: %s", name, got, wanted);
    CHECK(strcmp(got, wanted) == 0);
}

static void shapes(void) {
    struct json json;
    begin(&json);
    json_end(&json);
    is("empty", "{}\n");
    begin(&json);
    json_count(&json, "least", 0);
    json_count(&json, "most", UINT64_MAX);
    json_array(&json, "list");
    json_plain(&json, NULL, "-1.500");
    json_bool(&json, NULL, true);
    json_object(&json, NULL);
    json_close(&json);
    json_array(&json, NULL);
    json_close(&json);
    json_close(&json);
    json_bool(&json, "last", false);
    CHECK_EQ(pieces, 0);
    json_end(&json);
    is("all kinds", "{\"least\": 0, \"most\": 18446744073709551615, \"list\": [-1.500, true, {}, []], \"last\": false}\n");
    begin(&json);
    json_array(&json, "a");
    json_object(&json, NULL);
    json_object(&json, "b");
    json_end(&json);
    is("left open", "{\"a\": [{\"b\": {}}]}\n");
}

static void texts(void) {
    static const struct {
        const char *text, *written;
    } known[] = {
        {"", ""},
        {"a\"b\\c/", "a\\\"b\\\\c/"},
        {"\x01\t\x1f\x7f", "\\u0001\\u0009\\u001f\x7f"},
        {"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"},
        /* no UTF-8: alone, cut off, longer than need be, half of a pair, above the last */
        {"\xff", "\\ufffd"},
        {"\x80z", "\\ufffdz"},
        {"\xe2\x82", "\\ufffd\\ufffd"},
        {"\xc0\xaf", "\\ufffd\\ufffd"},
        {"\xe0\x80\xaf", "\\ufffd\\ufffd\\ufffd"},
        {"\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"},
        {"\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct json json;
        char wanted[256];
        begin(&json);
        json_text(&json, known[i].text, known[i].text);
        json_end(&json);
        snprintf(wanted, sizeof wanted, "{\"%s\": \"%s\"}\n", known[i].written, known[i].written);
        is("text", wanted);
    }
}

static void long_text(void) {
    static char text[2 * JSON_BUFFER + 100];
    struct json json;
    memset(text, 'x', sizeof text - 1);
    begin(&json);
    json_text(&json, "k", text);
    CHECK_EQ(pieces, 2);
    json_end(&json);
    CHECK_EQ(pieces, 3);
    CHECK_EQ(length, sizeof text - 1 + strlen("{\"k\": \"\"}\n"));
    CHECK(memcmp(got + strlen("{\"k\": \""), text, sizeof text - 1) == 0);
}

int main(void) {
    shapes();
    texts();
    long_text();
    return check_done();
}

/* JSON writer (see json.h). */
#include "base/json.h"

#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void append(ql_json *json, const char *text, size_t length)
{
    if (json->failed) return;
    if (json->used + length + 1 > json->size) {
        size_t size = json->size > 0 ? json->size * 2 : 256;
        while (size < json->used + length + 1) size *= 2;
        char *grown = ql_memory_resize(json->text, size, 1);
        if (grown == NULL) {
            json->failed = true;
            return;
        }
        json->text = grown;
        json->size = size;
    }
    memcpy(json->text + json->used, text, length);
    json->used += length;
    json->text[json->used] = '\0';
}

static void append_text(ql_json *json, const char *text) { append(json, text, strlen(text)); }

/* Bytes of the UTF-8 sequence that starts here (RFC 3629), 0 when there is none: names of files may hold any bytes. */
static size_t utf8_length(const unsigned char *c)
{
    if (c[0] < 0x80) return 1;
    size_t length = c[0] >= 0xc2 && c[0] < 0xe0   ? 2
                    : c[0] >= 0xe0 && c[0] < 0xf0 ? 3
                    : c[0] >= 0xf0 && c[0] < 0xf5 ? 4
                                                  : 0;
    for (size_t i = 1; i < length; ++i)
        if ((c[i] & 0xc0) != 0x80) return 0; /* the zero at the end included */
    bool overlong = (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xf0 && c[1] < 0x90);
    bool outside = (c[0] == 0xed && c[1] >= 0xa0) || (c[0] == 0xf4 && c[1] >= 0x90);
    return overlong || outside ? 0 : length;
}

static void append_quoted(ql_json *json, const char *text)
{
    append_text(json, "\"");
    for (const char *c = text; *c != '\0';) {
        char escape[8];
        size_t length = utf8_length((const unsigned char *)c);
        if (length == 0) { /* not UTF-8: the replacement character U+FFFD */
            append_text(json, "\xef\xbf\xbd");
            length = 1;
        } else if (*c == '"' || *c == '\\') {
            (void)snprintf(escape, sizeof escape, "\\%c", *c);
            append_text(json, escape);
        } else if ((unsigned char)*c < 0x20) {
            (void)snprintf(escape, sizeof escape, "\\u%04x", (unsigned)(unsigned char)*c);
            append_text(json, escape);
        } else {
            append(json, c, length);
        }
        c += length;
    }
    append_text(json, "\"");
}

static void begin_value(ql_json *json, const char *key)
{
    if (json->need_comma) append_text(json, ", ");
    if (key != NULL) {
        append_quoted(json, key);
        append_text(json, ": ");
    }
    json->need_comma = true;
}

static void open_container(ql_json *json, const char *key, const char *bracket)
{
    begin_value(json, key);
    append_text(json, bracket);
    json->need_comma = false;
}

static void close_container(ql_json *json, const char *bracket)
{
    append_text(json, bracket);
    json->need_comma = true;
}

void ql_json_object(ql_json *json, const char *key) { open_container(json, key, "{"); }
void ql_json_array(ql_json *json, const char *key) { open_container(json, key, "["); }
void ql_json_close_object(ql_json *json) { close_container(json, "}"); }
void ql_json_close_array(ql_json *json) { close_container(json, "]"); }

void ql_json_string(ql_json *json, const char *key, const char *value)
{
    begin_value(json, key);
    append_quoted(json, value);
}

void ql_json_int(ql_json *json, const char *key, int64_t value)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%lld", (long long)value);
    begin_value(json, key);
    append_text(json, text);
}

void ql_json_real(ql_json *json, const char *key, double value)
{
    char text[40];
    (void)snprintf(text, sizeof text, "%.9g", value);
    begin_value(json, key);
    append_text(json, isfinite(value) ? text : "null");
}

void ql_json_bool(ql_json *json, const char *key, bool value)
{
    begin_value(json, key);
    append_text(json, value ? "true" : "false");
}

ql_status ql_json_end(ql_json *json)
{
    return json->failed ? QL_FAIL(NO_MEMORY, "no memory for %zu bytes of JSON", json->used) : QL_OK;
}

void ql_json_destroy(ql_json *json)
{
    if (json == NULL) return;
    ql_free(json->text);
    *json = (ql_json){0};
}

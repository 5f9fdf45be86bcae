/* Writing JSON objects: one value at a time, correctly escaped, into a growing buffer. One place for every --json and
 * JSON-lines output. Numbers that are not finite become null, bytes that are not UTF-8 become
 * U+FFFD. */
#ifndef QL_BASE_JSON_H
#define QL_BASE_JSON_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ql_json {
    char *text; /* zero-terminated once begun */
    size_t used, size;
    bool need_comma, failed;
} ql_json;

/* `key` is NULL inside an array and at the top. Memory failures are remembered and reported by ql_json_end. */
void ql_json_object(ql_json *json, const char *key);
void ql_json_array(ql_json *json, const char *key);
void ql_json_close_object(ql_json *json);
void ql_json_close_array(ql_json *json);
void ql_json_string(ql_json *json, const char *key, const char *value);
void ql_json_int(ql_json *json, const char *key, int64_t value);
void ql_json_real(ql_json *json, const char *key, double value);
void ql_json_bool(ql_json *json, const char *key, bool value);

/* QL_OK when every call above succeeded; the text stays valid until destroyed. */
ql_status ql_json_end(ql_json *json);
void ql_json_destroy(ql_json *json); /* NULL-safe */

#endif

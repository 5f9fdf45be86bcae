/* Reading the flat JSON objects that the store itself writes (events, failures): members whose values are texts, numbers, true,
 * false or null; nested values are checked and passed over. Private to src/store. */
#ifndef QL_STORE_JSON_SCAN_H
#define QL_STORE_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { QL_JSON_TEXT = 4096 };

typedef struct ql_json_member {
    char key[64];
    char text[QL_JSON_TEXT]; /* a text without its quotes and escapes, or the number as written; longer ones are cut */
    bool is_text;
} ql_json_member;

/* Calls `visit` for every member of the one object in `text`; false when it is not one complete object. Members before the
 * fault have been visited. */
bool ql_json_scan(const char *text, size_t length, void (*visit)(void *context, const ql_json_member *member),
                  void *context);

/* Number of a member, or `otherwise` when it is none. */
int64_t ql_json_member_int(const ql_json_member *member, int64_t otherwise);
double ql_json_member_real(const ql_json_member *member, double otherwise);

#endif

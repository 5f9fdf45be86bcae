/* A recursive-descent reader for flat JSON (see json_scan.h; grammar: RFC 8259). */
#include "store/json_scan.h"

#include "base/text.h"

#include <string.h>

enum { DEEPEST = 32 };

typedef struct scanner {
    const char *at, *end;
} scanner;

static void skip_space(scanner *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\r' || *s->at == '\n')) ++s->at;
}

static bool take_char(scanner *s, char c)
{
    skip_space(s);
    if (s->at >= s->end || *s->at != c) return false;
    ++s->at;
    return true;
}

/* Output that is cut when full; multi-byte characters are never cut in the middle. */
typedef struct sink {
    char *text;
    size_t used, size;
} sink;

static void emit(sink *out, const char *bytes, size_t count)
{
    if (out->used + count >= out->size) {
        out->size = out->used + 1; /* full: nothing more, not even a shorter one */
        return;
    }
    memcpy(out->text + out->used, bytes, count);
    out->used += count;
}

static void emit_code_point(sink *out, uint32_t code)
{
    char bytes[4];
    if (code < 0x80) {
        bytes[0] = (char)code;
        emit(out, bytes, 1);
    } else if (code < 0x800) {
        bytes[0] = (char)(0xc0 | code >> 6);
        bytes[1] = (char)(0x80 | (code & 63));
        emit(out, bytes, 2);
    } else if (code < 0x10000) {
        bytes[0] = (char)(0xe0 | code >> 12);
        bytes[1] = (char)(0x80 | (code >> 6 & 63));
        bytes[2] = (char)(0x80 | (code & 63));
        emit(out, bytes, 3);
    } else {
        bytes[0] = (char)(0xf0 | code >> 18);
        bytes[1] = (char)(0x80 | (code >> 12 & 63));
        bytes[2] = (char)(0x80 | (code >> 6 & 63));
        bytes[3] = (char)(0x80 | (code & 63));
        emit(out, bytes, 4);
    }
}

static bool take_hex4(scanner *s, uint32_t *code)
{
    static const char digits[] = "0123456789abcdef";
    if (s->end - s->at < 4) return false;
    *code = 0;
    for (int i = 0; i < 4; ++i) {
        char c = *s->at++;
        const char *digit = c == '\0' ? NULL : strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c);
        if (digit == NULL) return false;
        *code = *code << 4 | (uint32_t)(digit - digits);
    }
    return true;
}

static bool take_escape(scanner *s, sink *out)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    if (s->at >= s->end) return false;
    char c = *s->at++;
    const char *found = c == '\0' ? NULL : strchr(names, c);
    if (found != NULL) {
        emit(out, &values[found - names], 1);
        return true;
    }
    uint32_t code, low;
    if (c != 'u' || !take_hex4(s, &code)) return false;
    if (code >= 0xd800 && code < 0xdc00) { /* a surrogate pair */
        if (s->end - s->at < 2 || s->at[0] != '\\' || s->at[1] != 'u') return false;
        s->at += 2;
        if (!take_hex4(s, &low) || low < 0xdc00 || low > 0xdfff) return false;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    emit_code_point(out, code);
    return true;
}

/* Bytes of the UTF-8 character at `at`, 1 for anything odd. */
static size_t character_length(const scanner *s)
{
    unsigned char lead = (unsigned char)*s->at;
    size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    return (size_t)(s->end - s->at) >= length ? length : 1;
}

static bool take_string(scanner *s, char *text, size_t size)
{
    sink out = {text, 0, size};
    if (!take_char(s, '"')) return false;
    while (s->at < s->end && *s->at != '"') {
        if (*s->at == '\\') {
            ++s->at;
            if (!take_escape(s, &out)) return false;
        } else if ((unsigned char)*s->at < 0x20) {
            return false;
        } else {
            size_t length = character_length(s);
            emit(&out, s->at, length);
            s->at += length;
        }
    }
    text[out.used] = '\0';
    return take_char(s, '"');
}

/* A number, true, false or null, as written. */
static bool take_word(scanner *s, char *text, size_t size)
{
    skip_space(s);
    const char *begin = s->at;
    while (s->at < s->end && *s->at != '\0' && strchr(",]} \t\r\n", *s->at) == NULL) ++s->at;
    size_t length = (size_t)(s->at - begin);
    if (length == 0 || length >= size || *begin == '"' || *begin == '{' || *begin == '[') return false;
    memcpy(text, begin, length);
    text[length] = '\0';
    double number;
    return strcmp(text, "true") == 0 || strcmp(text, "false") == 0 || strcmp(text, "null") == 0 ||
           ql_text_to_real(text, &number);
}

/* Passes over a nested value of any kind. */
static bool skip_value(scanner *s, int depth)
{
    char unused[QL_JSON_TEXT];
    skip_space(s);
    if (s->at >= s->end || depth > DEEPEST) return false;
    if (*s->at == '"') return take_string(s, unused, sizeof unused);
    if (*s->at != '{' && *s->at != '[') return take_word(s, unused, sizeof unused);
    bool object = *s->at++ == '{';
    char close = object ? '}' : ']';
    if (take_char(s, close)) return true;
    do {
        if (object && (!take_string(s, unused, sizeof unused) || !take_char(s, ':'))) return false;
        if (!skip_value(s, depth + 1)) return false;
    } while (take_char(s, ','));
    return take_char(s, close);
}

static bool take_member(scanner *s, ql_json_member *member, bool *nested)
{
    *nested = false;
    if (!take_string(s, member->key, sizeof member->key) || !take_char(s, ':')) return false;
    skip_space(s);
    if (s->at >= s->end) return false;
    *nested = *s->at == '{' || *s->at == '[';
    if (*nested) return skip_value(s, 1);
    member->is_text = *s->at == '"';
    return member->is_text ? take_string(s, member->text, sizeof member->text)
                           : take_word(s, member->text, sizeof member->text);
}

bool ql_json_scan(const char *text, size_t length, void (*visit)(void *context, const ql_json_member *member),
                  void *context)
{
    scanner s = {text, text + length};
    ql_json_member member;
    bool nested;
    if (!take_char(&s, '{')) return false;
    if (!take_char(&s, '}')) {
        do {
            if (!take_member(&s, &member, &nested)) return false;
            if (!nested) visit(context, &member);
        } while (take_char(&s, ','));
        if (!take_char(&s, '}')) return false;
    }
    skip_space(&s);
    return s.at == s.end;
}

int64_t ql_json_member_int(const ql_json_member *member, int64_t otherwise)
{
    int64_t value;
    return !member->is_text && ql_text_to_int(member->text, &value) ? value : otherwise;
}

double ql_json_member_real(const ql_json_member *member, double otherwise)
{
    double value;
    return !member->is_text && ql_text_to_real(member->text, &value) ? value : otherwise;
}

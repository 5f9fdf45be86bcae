/* Strict reading of short texts (see text.h). */
#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static size_t digits(const char *text) { return strspn(text, "0123456789"); }

/* [+-] digits [. digits] [e [+-] digits], at least one digit before the exponent, and nothing else. */
static bool is_decimal(const char *text)
{
    if (*text == '+' || *text == '-') ++text;
    size_t whole = digits(text), fraction = 0;
    text += whole;
    if (*text == '.') {
        fraction = digits(++text);
        text += fraction;
    }
    if (whole + fraction == 0) return false;
    if (*text == 'e' || *text == 'E') {
        ++text;
        if (*text == '+' || *text == '-') ++text;
        size_t exponent = digits(text);
        if (exponent == 0) return false;
        text += exponent;
    }
    return *text == '\0';
}

static bool is_whole(const char *text)
{
    if (*text == '+' || *text == '-') ++text;
    return *text != '\0' && text[digits(text)] == '\0';
}

bool ql_text_to_real(const char *text, double *value)
{
    if (!is_decimal(text)) return false;
    double read = strtod(text, NULL);
    if (!isfinite(read)) return false;
    *value = read;
    return true;
}

bool ql_text_to_int(const char *text, int64_t *value)
{
    if (is_whole(text)) {
        errno = 0;
        long long read = strtoll(text, NULL, 10);
        if (errno != 0) return false;
        *value = read;
        return true;
    }
    double real; /* beyond 2^53 a double does not say which whole number was meant */
    if (!ql_text_to_real(text, &real) || fabs(real) > 9007199254740992.0 || real != floor(real)) return false;
    *value = (int64_t)real;
    return true;
}

bool ql_text_to_uint(const char *text, uint64_t *value)
{
    if (is_whole(text) && *text != '-') {
        errno = 0;
        unsigned long long read = strtoull(text, NULL, 10);
        if (errno != 0) return false;
        *value = read;
        return true;
    }
    int64_t read;
    if (!ql_text_to_int(text, &read) || read < 0) return false;
    *value = (uint64_t)read;
    return true;
}

bool ql_text_to_bool(const char *text, bool *value)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; ++i) {
        if (strcasecmp(text, words[i]) != 0) continue;
        *value = i % 2 == 1;
        return true;
    }
    return false;
}

bool ql_text_to_seconds(const char *text, double *seconds)
{
    if (strchr(text, ':') == NULL) return ql_text_to_real(text, seconds) && *seconds >= 0;
    double days = 0, total = 0;
    size_t lead = digits(text);
    if (lead > 0 && lead < 6 && text[lead] == '-') {
        days = strtod(text, NULL);
        text += lead + 1;
    }
    for (int field = 0; field < 3; ++field) {
        size_t length = digits(text);
        if (length == 0 || length > 6) return false;
        double part = strtod(text, NULL);
        if (field > 0 && (length != 2 || part > 59)) return false;
        total = 60 * total + part;
        text += length;
        if (*text == '\0') {
            *seconds = days * 86400 + total;
            return true;
        }
        if (*text++ != ':') return false;
    }
    return false;
}

const char *ql_text_from_real(char out[QL_REAL_SIZE], double value)
{
    for (int precision = 6; precision <= 17; ++precision) {
        (void)snprintf(out, QL_REAL_SIZE, "%.*g", precision, value);
        if (strtod(out, NULL) == value) break;
    }
    return out;
}

const char *ql_text_choice_at(const char *choices, int index, size_t *length)
{
    for (; index > 0; --index) {
        choices = strchr(choices, '|');
        if (choices == NULL) return NULL;
        ++choices;
    }
    *length = strcspn(choices, "|");
    return choices;
}

int ql_text_choice(const char *choices, const char *word)
{
    size_t length, word_length = strlen(word);
    for (int i = 0;; ++i) {
        const char *choice = ql_text_choice_at(choices, i, &length);
        if (choice == NULL) return -1;
        if (length == word_length && memcmp(choice, word, length) == 0) return i;
    }
}

static int lower(char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; }

static int smaller(int a, int b) { return a < b ? a : b; }

int ql_text_distance(const char *a, const char *b)
{
    enum { LIMIT = 64 };
    int row[3][LIMIT] = {{0}}; /* rows i-2, i-1, i of the table of distances between prefixes */
    size_t length_a = strlen(a), length_b = strlen(b);
    if (length_a >= LIMIT || length_b >= LIMIT) return LIMIT;
    for (size_t j = 0; j <= length_b; ++j) row[0][j] = (int)j;
    for (size_t i = 1; i <= length_a; ++i) {
        int *now = row[i % 3], *above = row[(i + 2) % 3], *above2 = row[(i + 1) % 3];
        now[0] = (int)i;
        for (size_t j = 1; j <= length_b; ++j) {
            int cost = lower(a[i - 1]) != lower(b[j - 1]);
            now[j] = smaller(above[j - 1] + cost, smaller(above[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
                now[j] = smaller(now[j], above2[j - 2] + 1);
        }
    }
    return row[length_a % 3][length_b];
}

bool ql_text_is_near(const char *typed, int distance)
{
    int allowed = (int)(strlen(typed) / 3);
    return distance <= (allowed < 1 ? 1 : allowed > 4 ? 4 : allowed);
}

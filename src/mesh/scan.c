/* Text scanner of the mesh readers: white space, words and numbers without the locale.
 *
 * A decimal m * 10^e (m of up to 19 digits) is rounded correctly by one of three ways: both factors exact in
 * double (Clinger 1990: m <= 2^53, |e| <= 22); exact 128-bit integer arithmetic for |e| <= 19; else strtod in
 * the C locale.
 */
#include "mesh/reader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__extension__ typedef unsigned __int128 wide;

void ql_scan_open(ql_scanner *scanner, const char *data, size_t size)
{
    static const char mark[] = "\xEF\xBB\xBF"; /* that some editors put before UTF-8 */
    bool marked = size >= 3 && memcmp(data, mark, 3) == 0;
    *scanner = (ql_scanner){.at = data + (marked ? 3 : 0), .end = data + size, .line = 1};
}

void ql_scan_close(ql_scanner *scanner)
{
    if (scanner->c_locale != (locale_t)0) freelocale(scanner->c_locale);
    scanner->c_locale = (locale_t)0;
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\v' || c == '\f'; }
static bool is_line_end(char c) { return c == '\n' || c == '\r'; }
static bool is_space(char c) { return is_blank(c) || is_line_end(c); }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Length of the line end at c: 0 (none), 1 or 2. */
static int line_end_length(const char *c, const char *end)
{
    if (c == end) return 0;
    if (*c == '\n') return 1;
    if (*c != '\r') return 0;
    return c + 1 < end && c[1] == '\n' ? 2 : 1;
}

void ql_scan_blanks(ql_scanner *scanner)
{
    const char *c = scanner->at, *end = scanner->end;
    for (;;) {
        while (c < end && is_blank(*c)) ++c;
        if (c == end || *c != '\\') break;
        int length = line_end_length(c + 1, end);
        if (length == 0) break;
        c += 1 + length;
        scanner->line++;
    }
    scanner->at = c;
}

void ql_scan_next_line(ql_scanner *scanner)
{
    const char *c = scanner->at, *end = scanner->end;
    while (c < end && !is_line_end(*c)) ++c;
    int length = line_end_length(c, end);
    if (length > 0) scanner->line++;
    scanner->at = c + length;
}

void ql_scan_space(ql_scanner *scanner, char comment)
{
    for (;;) {
        while (scanner->at < scanner->end && is_blank(*scanner->at)) ++scanner->at;
        if (scanner->at == scanner->end) return;
        if (!is_line_end(*scanner->at) && (comment == '\0' || *scanner->at != comment)) return;
        ql_scan_next_line(scanner);
    }
}

bool ql_scan_at_line_end(const ql_scanner *scanner) { return scanner->at == scanner->end || is_line_end(*scanner->at); }

size_t ql_scan_word(ql_scanner *scanner, const char **word)
{
    ql_scan_blanks(scanner);
    const char *c = scanner->at;
    *word = c;
    while (c < scanner->end && !is_space(*c)) ++c;
    scanner->at = c;
    return (size_t)(c - *word);
}

bool ql_word_is(const char *word, size_t length, const char *text)
{
    for (size_t i = 0; i < length; ++i) {
        char c = word[i];
        if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
        if (text[i] == '\0' || c != text[i]) return false;
    }
    return text[length] == '\0';
}

const char *ql_scan_quote(const ql_scanner *scanner, char out[QL_QUOTE_SIZE])
{
    const char *c = scanner->at;
    while (c < scanner->end && is_blank(*c)) ++c;
    if (ql_scan_at_line_end(&(ql_scanner){.at = c, .end = scanner->end})) {
        (void)snprintf(out, QL_QUOTE_SIZE, "the end of the %s", c == scanner->end ? "file" : "line");
        return out;
    }
    char word[QL_QUOTE_SIZE - 8];
    size_t used = 0;
    for (; c < scanner->end && !is_space(*c) && used + 1 < sizeof word; ++c)
        word[used++] = *c > ' ' && *c < 127 ? *c : '?';
    word[used] = '\0';
    bool shortened = c < scanner->end && !is_space(*c);
    (void)snprintf(out, QL_QUOTE_SIZE, "\"%s%s\"", word, shortened ? "..." : "");
    return out;
}

/* ---- numbers ---- */

typedef struct decimal {
    uint64_t mantissa;  /* first 19 significant digits */
    int64_t exponent;   /* of 10 */
    bool negative, cut; /* cut: digits other than 0 were dropped */
} decimal;

static const char *decimal_digits(decimal *d, const char *c, const char *end, int *digits, int step)
{
    for (; c < end && is_digit(*c); ++c) {
        if (*digits < 19) {
            d->mantissa = d->mantissa * 10 + (uint64_t)(*c - '0');
            *digits += d->mantissa != 0;
            d->exponent -= step;
        } else {
            d->cut |= *c != '0';
            d->exponent += 1 - step;
        }
    }
    return c;
}

/* The decimal number at c; returns the end of it or NULL. The exponent saturates far outside the range of a
 * double. */
static const char *decimal_parse(decimal *d, const char *c, const char *end)
{
    *d = (decimal){0};
    if (c < end && (*c == '-' || *c == '+')) d->negative = *c++ == '-';
    int digits = 0;
    const char *start = c;
    c = decimal_digits(d, c, end, &digits, 0);
    bool any = c > start;
    if (c < end && *c == '.') {
        start = ++c;
        c = decimal_digits(d, c, end, &digits, 1);
        any = any || c > start;
    }
    if (!any) return NULL;
    if (c < end && (*c == 'e' || *c == 'E')) {
        const char *mark = c++;
        bool minus = false;
        if (c < end && (*c == '-' || *c == '+')) minus = *c++ == '-';
        if (c == end || !is_digit(*c)) return mark;
        int64_t exponent = 0;
        for (; c < end && is_digit(*c); ++c)
            if (exponent < 100000) exponent = exponent * 10 + (*c - '0');
        d->exponent += minus ? -exponent : exponent;
    }
    return c;
}

static const uint64_t POWERS_10[20] = {
    1ull,
    10ull,
    100ull,
    1000ull,
    10000ull,
    100000ull,
    1000000ull,
    10000000ull,
    100000000ull,
    1000000000ull,
    10000000000ull,
    100000000000ull,
    1000000000000ull,
    10000000000000ull,
    100000000000000ull,
    1000000000000000ull,
    10000000000000000ull,
    100000000000000000ull,
    1000000000000000000ull,
    10000000000000000000ull,
};

/* m * 10^e for m > 0 and -19 <= e <= 19, rounded once to nearest even.
 *
 * For e < 0 the quotient (m 2^s) / 10^-e, with s such that the numerator fills 128 bits, has at least 64
 * bits; the last one is made sticky by the remainder, so that the conversion to double rounds as the exact
 * value would. */
static double decimal_exact(uint64_t m, int e)
{
    if (e >= 0) return (double)((wide)m * POWERS_10[e]);
    int shift = 64 + __builtin_clzll(m); /* numerator has its top bit at 2^127 */
    wide numerator = (wide)m << shift, divisor = POWERS_10[-e];
    wide quotient = numerator / divisor;
    if (quotient * divisor != numerator) quotient |= 1;
    return ldexp((double)quotient, -shift);
}

static double decimal_by_strtod(ql_scanner *scanner, const char *begin, const char *end)
{
    char text[512];
    size_t length = (size_t)(end - begin);
    if (length >= sizeof text) return HUGE_VAL; /* no coordinate has that many digits */
    memcpy(text, begin, length);
    text[length] = '\0';
    if (scanner->c_locale == (locale_t)0) scanner->c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (scanner->c_locale == (locale_t)0) return HUGE_VAL;
    return strtod_l(text, NULL, scanner->c_locale);
}

bool ql_scan_real(ql_scanner *scanner, double *value)
{
    static const double POWERS[23] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                      1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    ql_scan_blanks(scanner);
    decimal d;
    const char *begin = scanner->at, *c = decimal_parse(&d, begin, scanner->end);
    if (c == NULL || (c < scanner->end && !is_space(*c))) return false;
    double x;
    if (d.mantissa == 0) {
        x = 0.0;
    } else if (!d.cut && d.mantissa <= (1ull << 53) && d.exponent >= -22 && d.exponent <= 22) {
        x = (double)d.mantissa;
        x = d.exponent < 0 ? x / POWERS[-d.exponent] : x * POWERS[d.exponent];
    } else if (!d.cut && d.exponent >= -19 && d.exponent <= 19) {
        x = decimal_exact(d.mantissa, (int)d.exponent);
    } else {
        x = fabs(decimal_by_strtod(scanner, begin, c));
    }
    *value = d.negative ? -x : x;
    scanner->at = c;
    return true;
}

bool ql_scan_int_prefix(ql_scanner *scanner, int64_t *value)
{
    const char *c = scanner->at, *end = scanner->end;
    bool negative = false;
    if (c < end && (*c == '-' || *c == '+')) negative = *c++ == '-';
    if (c == end || !is_digit(*c)) return false;
    int64_t x = 0;
    for (; c < end && is_digit(*c); ++c) {
        if (x > (INT64_MAX - 9) / 10) return false;
        x = x * 10 + (*c - '0');
    }
    *value = negative ? -x : x;
    scanner->at = c;
    return true;
}

bool ql_scan_int(ql_scanner *scanner, int64_t *value)
{
    ql_scan_blanks(scanner);
    const char *begin = scanner->at;
    if (!ql_scan_int_prefix(scanner, value)) return false;
    if (scanner->at == scanner->end || is_space(*scanner->at)) return true;
    scanner->at = begin;
    return false;
}

ql_status ql_scan_point(ql_scanner *scanner, char comment, double point[3])
{
    for (int k = 0; k < 3; ++k) {
        if (comment != '\0') ql_scan_space(scanner, comment);
        if (ql_scan_real(scanner, &point[k])) continue;
        char quote[QL_QUOTE_SIZE];
        return QL_FAIL(FORMAT,
                       "line %lld: coordinate %c is %s where a finite number was expected; correct or remove it",
                       (long long)scanner->line, "xyz"[k], ql_scan_quote(scanner, quote));
    }
    return QL_OK;
}

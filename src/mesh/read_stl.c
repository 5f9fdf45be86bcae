/* STL, text and binary. Corners are welded where positions are equal, exactly (-0 counts as +0), vertices in
 * the order of first appearance.
 *
 * Binary: 80 bytes of header, uint32 n, n times 12 float32 (normal, 3 corners) and 2 bytes; little endian.
 * Many binary files begin with "solid", too: a size that fits the count exactly decides.
 */
#include "base/hash.h"
#include "base/memory.h"
#include "mesh/reader.h"

#include <string.h>

enum { STL_HEADER = 84, STL_FACET = 50 };

/* Vertices by position: open addressing, indices + 1, 0 = free. */
typedef struct weld_table {
    int32_t *slots;
    size_t size; /* a power of 2 */
} weld_table;

static bool same_point(const double *a, const double *b) { return a[0] == b[0] && a[1] == b[1] && a[2] == b[2]; }

static size_t weld_slot(const weld_table *table, const ql_builder *builder, const double point[3])
{
    size_t slot = (size_t)ql_hash_bytes(point, 3 * sizeof *point, 0) & (table->size - 1);
    while (table->slots[slot] != 0 && !same_point(builder->vertices + 3 * (size_t)(table->slots[slot] - 1), point))
        slot = (slot + 1) & (table->size - 1);
    return slot;
}

static ql_status weld_grow(weld_table *table, const ql_builder *builder)
{
    weld_table grown = {.size = table->size > 0 ? 2 * table->size : 1024};
    QL_TRY(QL_TAKE(grown.slots, grown.size));
    for (int64_t i = 0; i < builder->vertex_count; ++i)
        grown.slots[weld_slot(&grown, builder, builder->vertices + 3 * i)] = (int32_t)(i + 1);
    ql_free(table->slots);
    *table = grown;
    return QL_OK;
}

static ql_status add_corner(ql_builder *builder, weld_table *table, const double corner[3], int64_t place)
{
    if (2 * ((size_t)builder->vertex_count + 1) > table->size) QL_TRY(weld_grow(table, builder));
    double point[3];
    for (int k = 0; k < 3; ++k) point[k] = corner[k] + 0.0;
    size_t slot = weld_slot(table, builder, point);
    if (table->slots[slot] == 0) {
        QL_TRY(ql_builder_vertex(builder, point));
        table->slots[slot] = (int32_t)builder->vertex_count;
    }
    return ql_builder_corner(builder, table->slots[slot] - 1, place);
}

/* ---- binary ---- */

static uint32_t little_u32(const unsigned char *b)
{
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static double little_float(const unsigned char *b)
{
    uint32_t word = little_u32(b);
    float value;
    memcpy(&value, &word, sizeof value);
    return (double)value;
}

static ql_status read_binary(ql_builder *builder, weld_table *table, const char *data, size_t size)
{
    if (size < STL_HEADER)
        return QL_FAIL(FORMAT, "%zu bytes are fewer than the header of a binary STL file; export it again", size);
    const unsigned char *bytes = (const unsigned char *)data;
    int64_t count = little_u32(bytes + 80), fit = (int64_t)((size - STL_HEADER) / STL_FACET);
    if (count > fit)
        return QL_FAIL(FORMAT,
                       "the header promises %lld facets, but only %lld fit in the %zu bytes of the file; it is "
                       "truncated or not an STL file",
                       (long long)count, (long long)fit, size);
    QL_TRY(ql_builder_reserve(builder, count / 2, count));
    for (int64_t f = 0; f < count; ++f) {
        const unsigned char *facet = bytes + STL_HEADER + STL_FACET * f + 12;
        for (int corner = 0; corner < 3; ++corner, facet += 12) {
            double point[3] = {little_float(facet), little_float(facet + 4), little_float(facet + 8)};
            ql_status status = add_corner(builder, table, point, f);
            if (status != QL_OK)
                return QL_CHAIN(status, "facet %lld (byte %lld)", (long long)f,
                                (long long)(STL_HEADER + STL_FACET * f));
        }
        QL_TRY(ql_builder_polygon(builder));
    }
    return QL_OK;
}

/* ---- text ---- */

/* States of a text file: which statement may come next. */
typedef enum stl_state { OUTSIDE, IN_SOLID, IN_FACET, IN_LOOP, AFTER_LOOP } stl_state;

typedef struct stl_statement {
    const char *word;
    stl_state before, after;
} stl_statement;

static const stl_statement STATEMENTS[] = {
    {"vertex", IN_LOOP, IN_LOOP},     {"facet", IN_SOLID, IN_FACET},      {"outer", IN_FACET, IN_LOOP},
    {"endloop", IN_LOOP, AFTER_LOOP}, {"endfacet", AFTER_LOOP, IN_SOLID}, {"endsolid", IN_SOLID, OUTSIDE},
    {"solid", OUTSIDE, IN_SOLID},
};
enum { STATEMENT_COUNT = sizeof STATEMENTS / sizeof STATEMENTS[0] };

static ql_status read_statement(ql_builder *builder, weld_table *table, ql_scanner *scanner, stl_state *state)
{
    char quote[QL_QUOTE_SIZE];
    ql_scanner start = *scanner;
    const char *word;
    size_t length = ql_scan_word(scanner, &word);
    const stl_statement *found = NULL;
    for (int i = 0; i < STATEMENT_COUNT && found == NULL; ++i)
        if (ql_word_is(word, length, STATEMENTS[i].word)) found = &STATEMENTS[i];
    if (found == NULL || found->before != *state)
        return QL_FAIL(FORMAT, "line %lld: %s %s; the file is damaged, export it again", (long long)start.line,
                       ql_scan_quote(&start, quote), found == NULL ? "is no statement of STL" : "is out of place here");
    if (found == &STATEMENTS[0]) {
        double point[3];
        QL_TRY(ql_scan_point(scanner, '\0', point));
        ql_status status = add_corner(builder, table, point, scanner->line);
        if (status != QL_OK) return QL_CHAIN(status, "line %lld", (long long)scanner->line);
    } else if (found->after == AFTER_LOOP) {
        ql_status status = ql_builder_polygon(builder);
        if (status != QL_OK) return QL_CHAIN(status, "line %lld", (long long)scanner->line);
    }
    *state = found->after;
    ql_scan_next_line(scanner);
    return QL_OK;
}

static ql_status read_text(ql_builder *builder, weld_table *table, const char *data, size_t size)
{
    ql_scanner scanner;
    ql_scan_open(&scanner, data, size);
    stl_state state = OUTSIDE;
    ql_status status = QL_OK;
    for (;;) {
        ql_scan_space(&scanner, '\0');
        if (scanner.at == scanner.end || status != QL_OK) break;
        status = read_statement(builder, table, &scanner, &state);
    }
    ql_scan_close(&scanner);
    if (status == QL_OK && state != OUTSIDE)
        status =
            QL_FAIL(FORMAT, "line %lld: the file ends inside a %s; it is truncated (if not, add a line \"endsolid\")",
                    (long long)scanner.line, state == IN_SOLID ? "solid" : "facet");
    return status;
}

/* ---- which of the two ---- */

static bool size_is_binary(const char *data, size_t size)
{
    if (size < STL_HEADER) return false;
    return size == STL_HEADER + (size_t)STL_FACET * little_u32((const unsigned char *)data + 80);
}

static bool begins_as_text(const char *data, size_t size)
{
    ql_scanner scanner;
    ql_scan_open(&scanner, data, size);
    ql_scan_space(&scanner, '\0');
    const char *word;
    size_t length = ql_scan_word(&scanner, &word);
    if (!ql_word_is(word, length, "solid")) return false;
    ql_scan_next_line(&scanner);
    ql_scan_space(&scanner, '\0');
    length = ql_scan_word(&scanner, &word);
    return scanner.at == scanner.end || ql_word_is(word, length, "facet") || ql_word_is(word, length, "endsolid");
}

ql_status ql_read_stl(ql_builder *builder, const char *data, size_t size)
{
    bool text = !size_is_binary(data, size) && begins_as_text(data, size);
    builder->place_name = text ? "line" : "facet";
    builder->index_base = 0;
    weld_table table = {0};
    ql_status status = text ? read_text(builder, &table, data, size) : read_binary(builder, &table, data, size);
    ql_free(table.slots);
    return status;
}

bool ql_looks_like_stl(const char *data, size_t size)
{
    return size_is_binary(data, size) || begins_as_text(data, size);
}

/* Wavefront OBJ: `v` and `f` statements; everything else (normals, texture, groups, materials, lines) is
 * passed over.
 *
 * Corners are `v`, `v/vt`, `v/vt/vn` or `v//vn`; negative numbers count back from the last vertex so far.
 * What follows the three coordinates (a weight, a colour) is passed over.
 */
#include "mesh/reader.h"

#include <string.h>

static ql_status read_vertex(ql_builder *builder, ql_scanner *scanner)
{
    double point[3];
    QL_TRY(ql_scan_point(scanner, '\0', point));
    ql_status status = ql_builder_vertex(builder, point);
    return QL_CHAIN(status, "line %lld: vertex %lld", (long long)scanner->line, (long long)builder->vertex_count + 1);
}

/* Passes over "/vt/vn" behind a corner's vertex; false when something else is there. */
static bool skip_attributes(ql_scanner *scanner)
{
    int64_t ignored;
    for (int k = 0; k < 2 && scanner->at < scanner->end && *scanner->at == '/'; ++k) {
        scanner->at++;
        (void)ql_scan_int_prefix(scanner, &ignored);
    }
    return ql_scan_at_line_end(scanner) || *scanner->at == ' ' || *scanner->at == '\t' || *scanner->at == '\\';
}

static ql_status read_corner(ql_builder *builder, ql_scanner *scanner)
{
    const char *begin = scanner->at;
    int64_t number;
    if (!ql_scan_int_prefix(scanner, &number) || !skip_attributes(scanner)) {
        char quote[QL_QUOTE_SIZE];
        scanner->at = begin;
        return QL_FAIL(FORMAT,
                       "line %lld: %s where a corner (a vertex number, v/vt or v/vt/vn) was expected; correct the face",
                       (long long)scanner->line, ql_scan_quote(scanner, quote));
    }
    if (number == 0)
        return QL_FAIL(FORMAT, "line %lld: face refers to vertex 0, but OBJ counts from 1; correct the face",
                       (long long)scanner->line);
    if (number < 0 && number < -builder->vertex_count)
        return QL_FAIL(FORMAT,
                       "line %lld: face refers to vertex %lld, but only %lld are defined before it; correct the face",
                       (long long)scanner->line, (long long)number, (long long)builder->vertex_count);
    int64_t index = number > 0 ? number - 1 : builder->vertex_count + number;
    ql_status status = ql_builder_corner(builder, index, scanner->line);
    return QL_CHAIN(status, "line %lld", (long long)scanner->line);
}

static ql_status read_face(ql_builder *builder, ql_scanner *scanner)
{
    int64_t line = scanner->line;
    for (;;) {
        ql_scan_blanks(scanner);
        if (ql_scan_at_line_end(scanner) || *scanner->at == '#') break;
        QL_TRY(read_corner(builder, scanner));
    }
    ql_status status = ql_builder_polygon(builder);
    return QL_CHAIN(status, "line %lld", (long long)line);
}

static ql_status read_statements(ql_builder *builder, ql_scanner *scanner)
{
    while (scanner->at < scanner->end) {
        const char *word;
        size_t length = ql_scan_word(scanner, &word);
        if (length == 1 && *word == 'v')
            QL_TRY(read_vertex(builder, scanner));
        else if (length == 1 && *word == 'f')
            QL_TRY(read_face(builder, scanner));
        ql_scan_next_line(scanner);
    }
    return QL_OK;
}

ql_status ql_read_obj(ql_builder *builder, const char *data, size_t size)
{
    builder->place_name = "line";
    builder->index_base = 1;
    ql_scanner scanner;
    ql_scan_open(&scanner, data, size);
    ql_status status = read_statements(builder, &scanner);
    ql_scan_close(&scanner);
    return status;
}

/* Text whose first statement other than comments is one of OBJ's. */
bool ql_looks_like_obj(const char *data, size_t size)
{
    static const char *const STATEMENTS[] = {"v", "vt", "vn", "f", "o", "g", "s", "mtllib", "usemtl"};
    ql_scanner scanner;
    ql_scan_open(&scanner, data, size);
    ql_scan_space(&scanner, '#');
    const char *word;
    size_t length = ql_scan_word(&scanner, &word);
    for (size_t i = 0; i < sizeof STATEMENTS / sizeof STATEMENTS[0]; ++i)
        if (length > 0 && ql_word_is(word, length, STATEMENTS[i])) return true;
    return false;
}

/* Object File Format of Geomview: [ST][C][N]OFF, text. Counts, vertices, faces; colours, normals and texture
 * that follow on a vertex's or face's line are passed over. The keyword may be missing, comments start with
 * #.
 */
#include "mesh/reader.h"

#include <string.h>

/* Length of "OFF", "COFF", "STCNOFF"... at the start of a word; 0 when it is none, or not a 3D mesh (4OFF,
 * nOFF). */
static size_t keyword_length(const char *word, size_t length)
{
    size_t i = 0;
    if (length >= 2 && memcmp(word, "ST", 2) == 0) i = 2;
    if (i < length && word[i] == 'C') ++i;
    if (i < length && word[i] == 'N') ++i;
    return length == i + 3 && memcmp(word + i, "OFF", 3) == 0 ? length : 0;
}

static ql_status read_header(ql_scanner *scanner, int64_t *vertices, int64_t *faces)
{
    char quote[QL_QUOTE_SIZE];
    ql_scan_space(scanner, '#');
    ql_scanner start = *scanner;
    const char *word;
    size_t length = ql_scan_word(scanner, &word);
    if (keyword_length(word, length) > 0) {
        ql_scan_space(scanner, '#');
    } else {
        *scanner = start;
        if (scanner->at == scanner->end || *scanner->at < '0' || *scanner->at > '9')
            return QL_FAIL(FORMAT,
                           "line %lld: %s where OFF was expected; only OFF, COFF and NOFF files in text are read",
                           (long long)scanner->line, ql_scan_quote(scanner, quote));
    }
    start = *scanner;
    if (ql_scan_int(scanner, vertices) && *vertices >= 0) {
        ql_scan_space(scanner, '#');
        start = *scanner;
        if (ql_scan_int(scanner, faces) && *faces >= 0) {
            ql_scan_next_line(scanner); /* the number of edges is not needed and often wrong */
            return QL_OK;
        }
    }
    return QL_FAIL(FORMAT, "line %lld: %s where the numbers of vertices and faces were expected; export the file again",
                   (long long)start.line, ql_scan_quote(&start, quote));
}

static ql_status read_vertices(ql_builder *builder, ql_scanner *scanner, int64_t count)
{
    for (int64_t i = 0; i < count; ++i) {
        double point[3];
        ql_status status = ql_scan_point(scanner, '#', point);
        if (status == QL_OK) {
            status = ql_builder_vertex(builder, point);
            if (status != QL_OK) status = QL_CHAIN(status, "line %lld", (long long)scanner->line);
        }
        if (status != QL_OK) return QL_CHAIN(status, "vertex %lld of %lld", (long long)i, (long long)count);
        ql_scan_next_line(scanner);
    }
    return QL_OK;
}

static ql_status read_face(ql_builder *builder, ql_scanner *scanner)
{
    char quote[QL_QUOTE_SIZE];
    int64_t corners, index;
    ql_scan_space(scanner, '#');
    if (!ql_scan_int(scanner, &corners))
        return QL_FAIL(FORMAT, "line %lld: %s where a number of corners was expected; is the file truncated?",
                       (long long)scanner->line, ql_scan_quote(scanner, quote));
    int64_t line = scanner->line;
    for (int64_t k = 0; k < corners; ++k) {
        ql_scan_space(scanner, '#');
        if (!ql_scan_int(scanner, &index))
            return QL_FAIL(FORMAT, "line %lld: %s where a vertex number was expected; correct the face",
                           (long long)scanner->line, ql_scan_quote(scanner, quote));
        ql_status status = ql_builder_corner(builder, index, scanner->line);
        if (status != QL_OK) return QL_CHAIN(status, "line %lld", (long long)scanner->line);
    }
    ql_status status = ql_builder_polygon(builder);
    if (status != QL_OK) return QL_CHAIN(status, "line %lld", (long long)line);
    ql_scan_next_line(scanner);
    return QL_OK;
}

static ql_status read_file(ql_builder *builder, ql_scanner *scanner)
{
    int64_t vertices = 0, faces = 0;
    QL_TRY(read_header(scanner, &vertices, &faces));
    /* "0 0 0" and "3 0 0 0" with a line end are the least that a vertex and a face take */
    int64_t left = scanner->end - scanner->at;
    if (vertices > left / 6 + 1 || faces > left / 8 + 1)
        return QL_FAIL(FORMAT,
                       "the header promises %lld vertices and %lld faces, but only %lld bytes follow; the file is "
                       "truncated or its header wrong",
                       (long long)vertices, (long long)faces, (long long)left);
    QL_TRY(ql_builder_reserve(builder, vertices, faces));
    QL_TRY(read_vertices(builder, scanner, vertices));
    for (int64_t i = 0; i < faces; ++i) {
        ql_status status = read_face(builder, scanner);
        if (status != QL_OK) return QL_CHAIN(status, "face %lld of %lld", (long long)i, (long long)faces);
    }
    return QL_OK;
}

ql_status ql_read_off(ql_builder *builder, const char *data, size_t size)
{
    builder->place_name = "line";
    builder->index_base = 0;
    ql_scanner scanner;
    ql_scan_open(&scanner, data, size);
    ql_status status = read_file(builder, &scanner);
    ql_scan_close(&scanner);
    return status;
}

bool ql_looks_like_off(const char *data, size_t size)
{
    ql_scanner scanner;
    ql_scan_open(&scanner, data, size);
    ql_scan_space(&scanner, '#');
    const char *word;
    size_t length = ql_scan_word(&scanner, &word);
    return keyword_length(word, length) > 0;
}

/* PLY (Turk 1994): text and binary of both byte orders. Elements and properties may come in any order and of
 * any type; what is wanted are x, y, z of element `vertex` and the list `vertex_indices` (or `vertex_index`)
 * of element `face`. The rest is passed over. Counts are compared with the bytes that are left before
 * anything is allocated.
 */
#include "mesh/reader.h"

#include <math.h>
#include <string.h>

typedef enum ply_type { INT8, UINT8, INT16, UINT16, INT32, UINT32, INT64, UINT64, FLOAT32, FLOAT64, NO_TYPE } ply_type;

static const unsigned char TYPE_SIZES[] = {1, 1, 2, 2, 4, 4, 8, 8, 4, 8, 0};

static const struct {
    const char *name;
    ply_type type;
} TYPE_NAMES[] = {
    {"char", INT8},     {"uchar", UINT8},     {"short", INT16},     {"ushort", UINT16}, {"int", INT32},
    {"uint", UINT32},   {"float", FLOAT32},   {"double", FLOAT64},  {"int8", INT8},     {"uint8", UINT8},
    {"int16", INT16},   {"uint16", UINT16},   {"int32", INT32},     {"uint32", UINT32}, {"int64", INT64},
    {"uint64", UINT64}, {"float32", FLOAT32}, {"float64", FLOAT64},
};

typedef enum ply_role { SKIP, X, Y, Z, INDICES } ply_role;
typedef enum ply_encoding { NO_ENCODING, TEXT, LITTLE, BIG } ply_encoding;

typedef struct ply_property {
    ply_type count_type; /* of a list's length; NO_TYPE: a single value */
    ply_type type;
    ply_role role;
} ply_property;

typedef enum ply_kind { OTHER, VERTEX, FACE } ply_kind;

typedef struct ply_element {
    ply_kind kind;
    int64_t count;
    int first, properties;
} ply_element;

enum { MAX_ELEMENTS = 32, MAX_PROPERTIES = 512 };

typedef struct ply_file {
    const char *begin;
    ql_scanner scanner;
    ply_encoding encoding;
    ply_element elements[MAX_ELEMENTS];
    ply_property properties[MAX_PROPERTIES];
    int element_count, property_count;
    bool has_strips;
} ply_file;

/* ---- header ---- */

static ql_status header_error(const ply_file *file, const ql_scanner *at, const char *wanted)
{
    char quote[QL_QUOTE_SIZE];
    return QL_FAIL(FORMAT, "line %lld of the header: %s where %s was expected; export the file again",
                   (long long)file->scanner.line, ql_scan_quote(at, quote), wanted);
}

static ql_status header_type(ply_file *file, ply_type *type)
{
    const char *word;
    ql_scanner start = file->scanner;
    size_t length = ql_scan_word(&file->scanner, &word);
    for (size_t i = 0; i < sizeof TYPE_NAMES / sizeof TYPE_NAMES[0]; ++i) {
        *type = TYPE_NAMES[i].type;
        if (length > 0 && ql_word_is(word, length, TYPE_NAMES[i].name)) return QL_OK;
    }
    return header_error(file, &start, "a type (char, uchar, short, ushort, int, uint, float, double)");
}

static ql_status header_format(ply_file *file)
{
    const char *word;
    ql_scanner start = file->scanner;
    size_t length = ql_scan_word(&file->scanner, &word);
    if (ql_word_is(word, length, "ascii"))
        file->encoding = TEXT;
    else if (ql_word_is(word, length, "binary_little_endian"))
        file->encoding = LITTLE;
    else if (ql_word_is(word, length, "binary_big_endian"))
        file->encoding = BIG;
    else
        return header_error(file, &start, "ascii, binary_little_endian or binary_big_endian");
    return QL_OK;
}

static ql_status header_element(ply_file *file)
{
    const char *word;
    size_t length = ql_scan_word(&file->scanner, &word);
    ply_element element = {.first = file->property_count};
    ql_scan_blanks(&file->scanner);
    ql_scanner start = file->scanner;
    if (length == 0 || !ql_scan_int(&file->scanner, &element.count) || element.count < 0)
        return header_error(file, &start, "the name and number of an element");
    if (file->element_count == MAX_ELEMENTS)
        return QL_FAIL(FORMAT, "line %lld of the header: more than %d kinds of elements; export the mesh alone",
                       (long long)file->scanner.line, MAX_ELEMENTS);
    if (ql_word_is(word, length, "vertex")) element.kind = VERTEX;
    if (ql_word_is(word, length, "face")) element.kind = FACE;
    if (ql_word_is(word, length, "tristrips")) file->has_strips = true;
    for (int e = 0; e < file->element_count; ++e)
        if (element.kind != OTHER && file->elements[e].kind == element.kind)
            return QL_FAIL(FORMAT, "line %lld of the header: a second element \"%.*s\"; export the file again",
                           (long long)file->scanner.line, (int)length, word);
    file->elements[file->element_count++] = element;
    return QL_OK;
}

static ply_role property_role(ply_kind kind, bool list, const char *name, size_t length)
{
    if (kind == VERTEX && !list && length == 1 && *name >= 'x' && *name <= 'z') return (ply_role)(X + (*name - 'x'));
    bool indices = ql_word_is(name, length, "vertex_indices") || ql_word_is(name, length, "vertex_index");
    return kind == FACE && list && indices ? INDICES : SKIP;
}

static ql_status header_property(ply_file *file)
{
    const char *word;
    ql_scanner start = file->scanner;
    ply_property property = {.count_type = NO_TYPE};
    if (file->element_count == 0) return header_error(file, &start, "an element before its properties");
    if (file->property_count == MAX_PROPERTIES)
        return QL_FAIL(FORMAT, "line %lld of the header: more than %d properties; export the mesh without them",
                       (long long)file->scanner.line, MAX_PROPERTIES);
    size_t length = ql_scan_word(&file->scanner, &word);
    if (ql_word_is(word, length, "list"))
        QL_TRY(header_type(file, &property.count_type));
    else
        file->scanner = start;
    QL_TRY(header_type(file, &property.type));
    ql_scan_blanks(&file->scanner);
    start = file->scanner;
    length = ql_scan_word(&file->scanner, &word);
    if (length == 0) return header_error(file, &start, "the name of a property");

    ply_element *element = &file->elements[file->element_count - 1];
    property.role = property_role(element->kind, property.count_type != NO_TYPE, word, length);
    file->properties[file->property_count++] = property;
    element->properties++;
    return QL_OK;
}

/* The line end of "end_header" is as long as that of the first line, whatever byte the data begins with. */
static ql_status header_end(ply_file *file)
{
    const char *c = file->begin;
    while (*c != '\n' && *c != '\r') ++c;
    int length = c[0] == '\r' && c[1] == '\n' ? 2 : 1;
    ql_scan_blanks(&file->scanner);
    if (file->scanner.end - file->scanner.at < length || !ql_scan_at_line_end(&file->scanner))
        return QL_FAIL(FORMAT, "nothing behind the header; the file is truncated");
    file->scanner.at += length;
    file->scanner.line++;
    return QL_OK;
}

static ql_status read_header(ply_file *file)
{
    ql_scanner *s = &file->scanner;
    const char *word;
    size_t length = ql_scan_word(s, &word);
    if (!(length == 3 && memcmp(word, "ply", 3) == 0) || !ql_scan_at_line_end(s))
        return QL_FAIL(FORMAT, "the file does not begin with \"ply\"; it is no PLY file or damaged");
    for (;;) {
        ql_scan_next_line(s);
        if (s->at == s->end) return QL_FAIL(FORMAT, "the header has no end_header; the file is truncated");
        ql_scanner start = *s;
        length = ql_scan_word(s, &word);
        if (ql_word_is(word, length, "end_header")) break;
        if (ql_word_is(word, length, "format"))
            QL_TRY(header_format(file));
        else if (ql_word_is(word, length, "element"))
            QL_TRY(header_element(file));
        else if (ql_word_is(word, length, "property"))
            QL_TRY(header_property(file));
        else if (length > 0 && !ql_word_is(word, length, "comment") && !ql_word_is(word, length, "obj_info"))
            return header_error(file, &start, "format, comment, element, property or end_header");
    }
    if (file->encoding == NO_ENCODING)
        return QL_FAIL(FORMAT, "the header has no line \"format\"; export the file again");
    return header_end(file);
}

static ql_status check_header(const ply_file *file)
{
    bool vertex = false, face = false;
    for (int e = 0; e < file->element_count; ++e) {
        int found[INDICES + 1] = {0};
        const ply_element *element = &file->elements[e];
        for (int p = 0; p < element->properties; ++p) found[file->properties[element->first + p].role]++;
        if (element->kind == VERTEX) vertex = found[X] == 1 && found[Y] == 1 && found[Z] == 1;
        if (element->kind == FACE) face = found[INDICES] == 1;
    }
    if (!vertex) return QL_FAIL(FORMAT, "no element \"vertex\" with properties x, y and z; export the file as a mesh");
    if (!face && file->has_strips)
        return QL_FAIL(FORMAT, "triangle strips are not read; convert the file to one with faces");
    if (!face)
        return QL_FAIL(FORMAT,
                       "no element \"face\" with a list vertex_indices; a point cloud must be triangulated first");
    return QL_OK;
}

/* ---- data ---- */

/* A binary value; the caller has checked that it is there. */
static double decode(const char *at, ply_type type, bool big)
{
    uint64_t word = 0;
    int size = TYPE_SIZES[type];
    for (int k = 0; k < size; ++k) word |= (uint64_t)(unsigned char)at[big ? size - 1 - k : k] << (8 * k);
    float single;
    double real;
    uint32_t low = (uint32_t)word;
    switch (type) {
    case INT8: return (double)(int8_t)low;
    case INT16: return (double)(int16_t)low;
    case INT32: return (double)(int32_t)low;
    case INT64: return (double)(int64_t)word;
    case FLOAT32: memcpy(&single, &low, sizeof single); return (double)single;
    case FLOAT64: memcpy(&real, &word, sizeof real); return real;
    default: return (double)word;
    }
}

static ql_status truncated(void) { return QL_FAIL(FORMAT, "the file ends here; it is truncated"); }

static ql_status read_value(ply_file *file, ply_type type, double *value)
{
    ql_scanner *s = &file->scanner;
    if (file->encoding == TEXT) {
        ql_scan_space(s, '\0');
        if (ql_scan_real(s, value)) return QL_OK;
        if (s->at == s->end) return truncated();
        char quote[QL_QUOTE_SIZE];
        return QL_FAIL(FORMAT, "%s where a finite number was expected; correct or remove it", ql_scan_quote(s, quote));
    }
    if (s->end - s->at < TYPE_SIZES[type]) return truncated();
    *value = decode(s->at, type, file->encoding == BIG);
    s->at += TYPE_SIZES[type];
    return QL_OK;
}

static ql_status skip_values(ply_file *file, ply_type type, int64_t count)
{
    ql_scanner *s = &file->scanner;
    if (file->encoding != TEXT) {
        if ((s->end - s->at) / TYPE_SIZES[type] < count) return truncated();
        s->at += count * TYPE_SIZES[type];
        return QL_OK;
    }
    for (int64_t i = 0; i < count; ++i) {
        const char *word;
        ql_scan_space(s, '\0');
        if (ql_scan_word(s, &word) == 0) return truncated();
    }
    return QL_OK;
}

static ql_status read_length(ply_file *file, ply_type type, int64_t *length)
{
    double value = 0.0;
    QL_TRY(read_value(file, type, &value));
    if (!(value >= 0.0 && value <= 1e9 && value == floor(value)))
        return QL_FAIL(FORMAT, "a list of %g values; the file is damaged, export it again", value);
    *length = (int64_t)value;
    return QL_OK;
}

static ql_status read_indices(ply_file *file, ply_type type, int64_t length, ql_builder *builder, int64_t row)
{
    for (int64_t k = 0; k < length; ++k) {
        double value = 0.0;
        QL_TRY(read_value(file, type, &value));
        if (!(fabs(value) < 1e15 && value == floor(value)))
            return QL_FAIL(FORMAT, "%g where a vertex number was expected; correct the face", value);
        QL_TRY(ql_builder_corner(builder, (int64_t)value, row));
    }
    return ql_builder_polygon(builder);
}

static ql_status read_row(ply_file *file, const ply_element *element, ql_builder *builder, int64_t row)
{
    double point[3] = {0};
    for (int p = 0; p < element->properties; ++p) {
        const ply_property *property = &file->properties[element->first + p];
        int64_t length = 1;
        if (property->count_type != NO_TYPE) QL_TRY(read_length(file, property->count_type, &length));
        if (property->role == SKIP)
            QL_TRY(skip_values(file, property->type, length));
        else if (property->role == INDICES)
            QL_TRY(read_indices(file, property->type, length, builder, row));
        else
            QL_TRY(read_value(file, property->type, &point[property->role - X]));
    }
    return element->kind == VERTEX ? ql_builder_vertex(builder, point) : QL_OK;
}

/* The least number of bytes that a row takes. */
static int64_t row_bytes(const ply_file *file, const ply_element *element)
{
    int64_t bytes = 0;
    for (int p = 0; p < element->properties; ++p) {
        const ply_property *property = &file->properties[element->first + p];
        if (file->encoding == TEXT)
            bytes += 2; /* a digit and a separator */
        else
            bytes += TYPE_SIZES[property->count_type != NO_TYPE ? property->count_type : property->type];
    }
    return bytes;
}

static ql_status read_element(ply_file *file, const ply_element *element, ql_builder *builder)
{
    static const char *const KINDS[] = {"element", "vertex", "face"};
    int64_t bytes = row_bytes(file, element), left = file->scanner.end - file->scanner.at;
    if (bytes == 0) return QL_OK;
    if (element->count > left / bytes + (file->encoding == TEXT)) /* the last separator may be missing */
        return QL_FAIL(FORMAT,
                       "the header promises %lld %s rows of %lld bytes or more, but only %lld bytes are "
                       "left; the file is "
                       "truncated or its header wrong",
                       (long long)element->count, KINDS[element->kind], (long long)bytes, (long long)left);
    if (element->kind == VERTEX) QL_TRY(ql_builder_reserve(builder, element->count, 0));
    if (element->kind == FACE) QL_TRY(ql_builder_reserve(builder, 0, element->count));
    for (int64_t row = 0; row < element->count; ++row) {
        const char *row_at = file->scanner.at;
        ql_status status = read_row(file, element, builder, row);
        if (status == QL_OK) continue;
        if (file->encoding == TEXT)
            return QL_CHAIN(status, "line %lld: %s %lld", (long long)file->scanner.line, KINDS[element->kind],
                            (long long)row);
        return QL_CHAIN(status, "%s %lld (byte %lld)", KINDS[element->kind], (long long)row,
                        (long long)(row_at - file->begin));
    }
    return QL_OK;
}

static ql_status read_file(ply_file *file, ql_builder *builder)
{
    QL_TRY(read_header(file));
    QL_TRY(check_header(file));
    int wanted = 2;
    for (int e = 0; e < file->element_count && wanted > 0; ++e) {
        QL_TRY(read_element(file, &file->elements[e], builder));
        wanted -= file->elements[e].kind != OTHER;
    }
    return QL_OK;
}

ql_status ql_read_ply(ql_builder *builder, const char *data, size_t size)
{
    builder->place_name = "face";
    builder->index_base = 0;
    ply_file file = {.begin = data};
    ql_scan_open(&file.scanner, data, size);
    ql_status status = read_file(&file, builder);
    ql_scan_close(&file.scanner);
    return status;
}

bool ql_looks_like_ply(const char *data, size_t size)
{
    ql_scanner scanner;
    ql_scan_open(&scanner, data, size);
    const char *c = scanner.at;
    return scanner.end - c >= 4 && memcmp(c, "ply", 3) == 0 && (c[3] == '\n' || c[3] == '\r');
}

/* What the readers share: a text scanner and the builder that collects vertices and polygons.
 *
 * A reader turns bytes into calls of ql_builder_*; the builder checks every number, and ql_builder_finish
 * checks the indices, triangulates and hands over a mesh. Errors name the place inside the file;
 * ql_mesh_read_memory puts the file's name in front. Internal to the floor `mesh`.
 */
#ifndef QL_MESH_READER_H
#define QL_MESH_READER_H

#include "mesh/mesh.h"

#include <locale.h>
#include <stdbool.h>
#include <stddef.h>

/* ---- scanner ---- */

typedef struct ql_scanner {
    const char *at, *end;
    int64_t line;      /* of `at`, 1-based */
    locale_t c_locale; /* made when a number needs strtod; 0 until then */
} ql_scanner;

void ql_scan_open(ql_scanner *scanner, const char *data, size_t size);
void ql_scan_close(ql_scanner *scanner);

/* Skips blanks inside a line; a backslash at the end of a line is one (OBJ). */
void ql_scan_blanks(ql_scanner *scanner);

/* Skips blanks and line ends; with a comment character (0 = none) also from it to the end of the line. */
void ql_scan_space(ql_scanner *scanner, char comment);

/* Goes to the start of the next line. Line ends are LF, CR LF and a lone CR. */
void ql_scan_next_line(ql_scanner *scanner);

bool ql_scan_at_line_end(const ql_scanner *scanner); /* true at the end of the data, too */

/* The word at the scanner (up to white space); its length, 0 at a line end. Moves behind it. */
size_t ql_scan_word(ql_scanner *scanner, const char **word);

/* Decimal number, correctly rounded, independent of the locale; integer. Both skip blanks (not line ends)
 * first, want white space behind, and return false with the scanner unmoved behind the blanks otherwise.
 * Infinite when it overflows. */
bool ql_scan_real(ql_scanner *scanner, double *value);
bool ql_scan_int(ql_scanner *scanner, int64_t *value);

/* Digits with sign, no demand on what follows. */
bool ql_scan_int_prefix(ql_scanner *scanner, int64_t *value);

/* Whether a word equals a lower-case text, letters compared without case. */
bool ql_word_is(const char *word, size_t length, const char *text);

/* The word at the scanner for messages: printable, shortened; "end of line" where there is none. */
enum { QL_QUOTE_SIZE = 48 };
const char *ql_scan_quote(const ql_scanner *scanner, char out[QL_QUOTE_SIZE]);

/* Three coordinates, for a message as "line 7: expected 3 coordinates, found ...". */
ql_status ql_scan_point(ql_scanner *scanner, char comment, double point[3]);

/* ---- builder ---- */

/* Larger coordinates would overflow when areas are squared. */
#define QL_COORDINATE_LIMIT 1e70

/* Half-edges (3 per face) and coordinates (3 per vertex) are counted in int32. */
enum { QL_MESH_MAX = INT32_MAX / 3 };

typedef struct ql_builder {
    double *vertices;
    int64_t vertex_count, vertex_room;
    int32_t *corners;
    int64_t corner_count, corner_room;
    int32_t *sizes; /* corners of each polygon */
    int64_t polygon_count, polygon_room;
    int64_t first_corner;                 /* of the polygon being added */
    int64_t largest_index, largest_place; /* largest vertex index seen and the place where */
    const char *place_name;               /* what a place counts: "line", "face" */
    int index_base;                       /* how the format counts vertices: from 0 or 1, for messages */
} ql_builder;

void ql_builder_destroy(ql_builder *builder);

/* Room for so many; a hint that the caller has checked against the size of the file. */
ql_status ql_builder_reserve(ql_builder *builder, int64_t vertices, int64_t polygons);

ql_status ql_builder_vertex(ql_builder *builder, const double point[3]);

/* A corner (0-based vertex index; may refer to a vertex that comes later), then the polygon that they form.
 */
ql_status ql_builder_corner(ql_builder *builder, int64_t index, int64_t place);
ql_status ql_builder_polygon(ql_builder *builder);

/* Checks, triangulates and moves all into `mesh` (no names yet). */
ql_status ql_builder_finish(ql_builder *builder, ql_mesh *mesh);

/* The same without triangulating, for polygons that all have four corners: then builder->vertices and builder->corners
 * are the mesh. */
ql_status ql_builder_check_quads(const ql_builder *builder);

/* ---- polygons ---- */

/* Cuts a polygon of n >= 4 corners into at most n - 2 triangles and returns how many. Repeated neighbouring
 * corners are dropped first. `work` is scratch that grows as needed and belongs to the caller. */
typedef struct ql_triangulator {
    double *points; /* 2 per corner */
    int32_t *corners, *next, *previous;
    double *quality;
    int64_t room;
} ql_triangulator;

ql_status ql_triangulate(ql_triangulator *work, const double *vertices, const int32_t *polygon, int32_t n,
                         int32_t *triangles, int32_t *triangle_count);
void ql_triangulator_destroy(ql_triangulator *work);

/* ---- formats ---- */

ql_status ql_read_obj(ql_builder *builder, const char *data, size_t size);
ql_status ql_read_ply(ql_builder *builder, const char *data, size_t size);
ql_status ql_read_off(ql_builder *builder, const char *data, size_t size);
ql_status ql_read_stl(ql_builder *builder, const char *data, size_t size);

bool ql_looks_like_obj(const char *data, size_t size);
bool ql_looks_like_ply(const char *data, size_t size);
bool ql_looks_like_off(const char *data, size_t size);
bool ql_looks_like_stl(const char *data, size_t size);

#endif

/* A triangle mesh as read: positions and faces, nothing derived. */
#ifndef QL_MESH_MESH_H
#define QL_MESH_MESH_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct ql_mesh {
    char *name; /* file name without folder and extension */
    char *path; /* where it came from ("" for generated meshes) */
    int32_t vertex_count, face_count;
    double *vertices;       /* vertex_count x 3, input units */
    int32_t *faces;         /* face_count x 3, counter-clockwise from outside, 0-based */
    uint64_t hash;          /* content hash of positions and faces */
    int32_t input_polygons; /* polygons in the file that were triangulated (more than 3 corners) */
} ql_mesh;

/* Takes memory for a mesh of this size; arrays zeroed. */
ql_status ql_mesh_create(ql_mesh *mesh, const char *name, const char *path, int32_t vertex_count, int32_t face_count);
void ql_mesh_destroy(ql_mesh *mesh); /* NULL-safe, leaves it empty */

/* Recomputes `hash`; call after filling the arrays. */
void ql_mesh_rehash(ql_mesh *mesh);

/* Reads OBJ, PLY (ascii, little and big endian), OFF or STL (ascii, binary; vertices welded) by extension and, failing
 * that, by content. Polygons are triangulated. Checks indices, sizes and finite numbers; errors name file, line or byte. */
ql_status ql_mesh_read(ql_mesh *mesh, const char *path);

/* The same from memory (for tests and fuzzing); `path` is for messages and format detection. */
ql_status ql_mesh_read_memory(ql_mesh *mesh, const char *path, const char *data, size_t size);

/* Reads a file of the same kinds whose faces are all quads, as it is: *vertices is vertex_count x 3, *quads quad_count x 4; the
 * caller frees both. FORMAT names the first face with another number of corners. */
ql_status ql_mesh_read_quads(double **vertices, int32_t *vertex_count, int32_t **quads, int32_t *quad_count,
                             const char *path);

/* Writes by extension (.obj, .ply binary, .off), atomically. */
ql_status ql_mesh_write(const ql_mesh *mesh, const char *path);

/* Whether a file name has an extension that ql_mesh_read knows. */
int ql_mesh_is_readable_name(const char *path);

#endif

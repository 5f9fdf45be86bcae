/* Generators with a closed formula: icosphere and torus; and the choice by name (see generate.h).
 * Blocks come from generate_cells.c, surfaces of higher genus from generate_implicit.c.
 */
#include "mesh/generate.h"

#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double TAU = 6.283185307179586;
static const double TORUS_MAJOR = 1.0, TORUS_MINOR = 0.4;

static void set_vertex(ql_mesh *mesh, int32_t v, double x, double y, double z)
{
    double *p = mesh->vertices + 3 * (size_t)v;
    p[0] = x;
    p[1] = y;
    p[2] = z;
}

static void set_face(ql_mesh *mesh, int32_t f, int32_t a, int32_t b, int32_t c)
{
    int32_t *corner = mesh->faces + 3 * (size_t)f;
    corner[0] = a;
    corner[1] = b;
    corner[2] = c;
}

static ql_status range_error(const char *what, int value, int low, int high)
{
    return QL_FAIL(USAGE, "%s = %d is not in %d...%d", what, value, low, high);
}

/* ---- icosphere ---- */

/* Regular icosahedron (0, +-1, +-phi) and its cyclic shifts, normalised. */
static const int32_t ICOSAHEDRON[20][3] = {
    {0, 11, 5},  {0, 5, 1},  {0, 1, 7},  {0, 7, 10}, {0, 10, 11}, {1, 5, 9}, {5, 11, 4},
    {11, 10, 2}, {10, 7, 6}, {7, 1, 8},  {3, 9, 4},  {3, 4, 2},   {3, 2, 6}, {3, 6, 8},
    {3, 8, 9},   {4, 9, 5},  {2, 4, 11}, {6, 2, 10}, {8, 6, 7},   {9, 8, 1},
};

static void icosahedron(ql_mesh *mesh)
{
    double phi = 0.5 * (1.0 + sqrt(5.0)), n = 1.0 / sqrt(1.0 + phi * phi), l = phi * n;
    const double v[12][3] = {{-n, l, 0},  {n, l, 0},  {-n, -l, 0}, {n, -l, 0}, {0, -n, l},  {0, n, l},
                             {0, -n, -l}, {0, n, -l}, {l, 0, -n},  {l, 0, n},  {-l, 0, -n}, {-l, 0, n}};
    for (int i = 0; i < 12; ++i) set_vertex(mesh, i, v[i][0], v[i][1], v[i][2]);
    for (int f = 0; f < 20; ++f) set_face(mesh, f, ICOSAHEDRON[f][0], ICOSAHEDRON[f][1], ICOSAHEDRON[f][2]);
}

/* Vertex on the middle of an edge, pushed to the sphere; made once per edge (found by its smaller vertex's
 * list). */
typedef struct midpoint_table {
    int32_t *head, *next, *other; /* per vertex: first entry; per new vertex: next entry and the edge's larger end */
} midpoint_table;

static int32_t midpoint(ql_mesh *mesh, midpoint_table *table, int32_t first_new, int32_t a, int32_t b)
{
    int32_t low = a < b ? a : b, high = a < b ? b : a;
    for (int32_t i = table->head[low]; i > 0; i = table->next[i - first_new])
        if (table->other[i - first_new] == high) return i;
    int32_t v = mesh->vertex_count++;
    const double *p = mesh->vertices + 3 * (size_t)a, *q = mesh->vertices + 3 * (size_t)b;
    double m[3] = {p[0] + q[0], p[1] + q[1], p[2] + q[2]};
    double length = sqrt(m[0] * m[0] + m[1] * m[1] + m[2] * m[2]);
    set_vertex(mesh, v, m[0] / length, m[1] / length, m[2] / length);
    table->other[v - first_new] = high;
    table->next[v - first_new] = table->head[low];
    table->head[low] = v;
    return v;
}

static ql_status subdivide_sphere(ql_mesh *mesh)
{
    int32_t vertices = mesh->vertex_count, faces = mesh->face_count, edges = 3 * faces / 2;
    midpoint_table table = {0};
    ql_status status = QL_TAKE(table.head, vertices);
    if (status == QL_OK) status = QL_TAKE(table.next, edges);
    if (status == QL_OK) status = QL_TAKE(table.other, edges);
    for (int32_t f = 0; f < faces && status == QL_OK; ++f) {
        int32_t *corner = mesh->faces + 3 * (size_t)f, v[3] = {corner[0], corner[1], corner[2]}, m[3];
        for (int k = 0; k < 3; ++k) m[k] = midpoint(mesh, &table, vertices, v[k], v[(k + 1) % 3]);
        set_face(mesh, f, m[0], m[1], m[2]);
        for (int k = 0; k < 3; ++k) set_face(mesh, faces + 3 * f + k, v[k], m[k], m[(k + 2) % 3]);
    }
    ql_free(table.head);
    ql_free(table.next);
    ql_free(table.other);
    mesh->face_count = 4 * faces;
    return status;
}

ql_status ql_generate_icosphere(ql_mesh *mesh, int subdivisions)
{
    *mesh = (ql_mesh){0};
    if (subdivisions < 0 || subdivisions > 9) return range_error("subdivisions", subdivisions, 0, 9);
    int32_t faces = 20 << (2 * subdivisions);
    QL_TRY(ql_mesh_create(mesh, "icosphere", "", faces / 2 + 2, faces));
    mesh->vertex_count = 12;
    mesh->face_count = 20;
    icosahedron(mesh);
    for (int i = 0; i < subdivisions; ++i) {
        ql_status status = subdivide_sphere(mesh);
        if (status != QL_OK) {
            ql_mesh_destroy(mesh);
            return status;
        }
    }
    ql_mesh_rehash(mesh);
    return QL_OK;
}

/* ---- torus ---- */

ql_status ql_generate_torus(ql_mesh *mesh, int around, int across)
{
    *mesh = (ql_mesh){0};
    if (around < 3 || around > 10000) return range_error("around", around, 3, 10000);
    if (across < 3 || across > 10000) return range_error("across", across, 3, 10000);
    QL_TRY(ql_mesh_create(mesh, "torus", "", around * across, 2 * around * across));
    for (int i = 0; i < around; ++i) {
        for (int j = 0; j < across; ++j) {
            double shift = around % 2 == 0 ? 0.5 * (i % 2) : 0.0; /* every other ring turned by half a step */
            double a = TAU * i / around, b = TAU * (j + shift) / across;
            double r = TORUS_MAJOR + TORUS_MINOR * cos(b);
            set_vertex(mesh, i * across + j, r * cos(a), r * sin(a), TORUS_MINOR * sin(b));
        }
    }
    for (int i = 0; i < around; ++i) {
        int next = (i + 1) % around;
        for (int j = 0; j < across; ++j) {
            int32_t f = 2 * (i * across + j), p = i * across + j, p1 = i * across + (j + 1) % across;
            int32_t q = next * across + j, q1 = next * across + (j + 1) % across;
            bool turned = around % 2 == 0 && i % 2 == 1; /* take the shorter diagonal */
            set_face(mesh, f, p, q, turned ? q1 : p1);
            set_face(mesh, f + 1, turned ? p : p1, turned ? q1 : q, turned ? p1 : q1);
        }
    }
    ql_mesh_rehash(mesh);
    return QL_OK;
}

/* ---- by name ---- */

static ql_status icosphere_of(ql_mesh *mesh, int faces)
{
    int subdivisions = (int)lround(0.5 * log2(faces / 20.0));
    return ql_generate_icosphere(mesh, subdivisions < 0 ? 0 : subdivisions);
}

static ql_status torus_of(ql_mesh *mesh, int faces)
{
    /* near-equilateral triangles at the middle radius: rings sqrt(3)/2 times as far apart as points on a ring
     */
    double across = sqrt(0.5 * faces / (TORUS_MAJOR / TORUS_MINOR * 2.0 / sqrt(3.0)));
    int n = (int)lround(across);
    if (n < 3) n = 3;
    int around = 2 * (int)lround(0.25 * faces / n);
    return ql_generate_torus(mesh, around < 4 ? 4 : around, n);
}

static int resolution_for(int faces, int faces_at_1)
{
    int resolution = (int)lround(sqrt((double)faces / faces_at_1));
    return resolution < 1 ? 1 : resolution;
}

static ql_status block_of(ql_mesh *mesh, int faces) { return ql_generate_block(mesh, resolution_for(faces, 132)); }

static ql_status bracket_of(ql_mesh *mesh, int faces) { return ql_generate_bracket(mesh, resolution_for(faces, 28)); }

ql_status ql_generate_by_name(ql_mesh *mesh, const char *name, int faces)
{
    static const struct {
        const char *name;
        ql_status (*generate)(ql_mesh *mesh, int faces);
    } GENERATORS[] = {{"icosphere", icosphere_of},
                      {"torus", torus_of},
                      {"double-torus", ql_generate_double_torus_of},
                      {"block", block_of},
                      {"bracket", bracket_of}};
    *mesh = (ql_mesh){0};
    if (faces < 1 || faces > 2000000) return range_error("faces", faces, 1, 2000000);
    for (size_t i = 0; i < sizeof GENERATORS / sizeof GENERATORS[0]; ++i)
        if (strcmp(name, GENERATORS[i].name) == 0) return GENERATORS[i].generate(mesh, faces);
    if (strncmp(name, "handles-", 8) == 0 && name[8] >= '0' && name[8] <= '5' && name[9] == '\0')
        return ql_generate_handles_of(mesh, name[8] - '0', faces);
    return QL_FAIL(USAGE, "no generator \"%.40s\"; there are " QL_GENERATOR_NAMES, name);
}

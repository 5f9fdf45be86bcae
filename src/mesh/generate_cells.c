/* Generators made of square cells: a CAD-like block (draft angles, a step, a slot) and an open bracket (a
 * folded sheet with a window). Every coarse cell is cut into resolution x resolution squares, every square
 * into two triangles with diagonals that alternate like a Union Jack.
 */
#include "mesh/generate.h"

#include "base/memory.h"

enum { MAX_RESOLUTION = 256 };

/* Squares to collect: corners are numbers of lattice points; vertices appear in the order of first use. */
typedef struct cell_surface {
    int32_t *vertex_of; /* per lattice point: vertex + 1, 0 = none yet */
    int32_t *point_of;  /* per vertex: lattice point */
    int32_t *faces;     /* 3 per face */
    int32_t vertex_count, face_count, vertex_room, face_room;
} cell_surface;

static void surface_destroy(cell_surface *s)
{
    ql_free(s->vertex_of);
    ql_free(s->point_of);
    ql_free(s->faces);
    *s = (cell_surface){0};
}

static ql_status surface_create(cell_surface *s, int32_t lattice_points, int32_t squares)
{
    *s = (cell_surface){.vertex_room = 4 * squares, .face_room = 2 * squares};
    ql_status status = QL_TAKE(s->vertex_of, lattice_points);
    if (status == QL_OK) status = QL_TAKE(s->point_of, s->vertex_room);
    if (status == QL_OK) status = QL_TAKE(s->faces, 3 * (size_t)s->face_room);
    if (status != QL_OK) surface_destroy(s);
    return status;
}

static int32_t surface_vertex(cell_surface *s, int32_t point)
{
    if (s->vertex_of[point] == 0) {
        s->point_of[s->vertex_count] = point;
        s->vertex_of[point] = ++s->vertex_count;
    }
    return s->vertex_of[point] - 1;
}

/* A square by its corners, counter-clockwise; `odd` picks the diagonal. */
static void surface_square(cell_surface *s, const int32_t corner[4], int odd)
{
    int32_t v[4];
    for (int k = 0; k < 4; ++k) v[k] = surface_vertex(s, corner[k]);
    for (int half = 0; half < 2; ++half) {
        int32_t *face = s->faces + 3 * (size_t)s->face_count++;
        for (int k = 0; k < 3; ++k) face[k] = v[(odd + 2 * half + k) % 4];
    }
}

/* Moves the faces into a mesh; the caller sets the positions. */
static ql_status surface_to_mesh(const cell_surface *s, ql_mesh *mesh, const char *name)
{
    QL_TRY(ql_mesh_create(mesh, name, "", s->vertex_count, s->face_count));
    for (size_t c = 0; c < 3 * (size_t)s->face_count; ++c) mesh->faces[c] = s->faces[c];
    return QL_OK;
}

static ql_status check_resolution(int resolution)
{
    if (resolution >= 1 && resolution <= MAX_RESOLUTION) return QL_OK;
    return QL_FAIL(USAGE, "resolution = %d is not in 1...%d", resolution, MAX_RESOLUTION);
}

/* ---- block ---- */

enum { BLOCK_X = 4, BLOCK_Y = 3, BLOCK_Z = 3 };

/* The upper layer covers half the length (the step); a slot runs through the middle of the lower half. */
static bool block_has_cell(const int cell[3])
{
    if (cell[0] < 0 || cell[1] < 0 || cell[2] < 0 || cell[0] >= BLOCK_X || cell[1] >= BLOCK_Y || cell[2] >= BLOCK_Z)
        return false;
    bool step = cell[2] == 2 && cell[0] >= 2, slot = cell[2] == 1 && cell[1] == 1 && cell[0] >= 2;
    return !step && !slot;
}

static int32_t block_point(const int p[3], int r)
{
    return (p[2] * (BLOCK_Y * r + 1) + p[1]) * (BLOCK_X * r + 1) + p[0];
}

/* One side of a coarse cell: normal along `axis`, outwards to plus or minus. */
static void block_side(cell_surface *s, const int cell[3], int axis, bool plus, int r)
{
    int a = (axis + 1) % 3, b = (axis + 2) % 3;
    for (int j = 0; j < r; ++j) {
        for (int i = 0; i < r; ++i) {
            int32_t corner[4];
            int low[3] = {cell[0] * r, cell[1] * r, cell[2] * r};
            low[axis] += plus ? r : 0;
            low[a] += i;
            low[b] += j;
            for (int k = 0; k < 4; ++k) { /* counter-clockwise seen from +axis: (0,0) (1,0) (1,1) (0,1) */
                int p[3] = {low[0], low[1], low[2]}, turn = plus ? k : 3 - k;
                p[a] += turn == 1 || turn == 2;
                p[b] += turn >= 2;
                corner[k] = block_point(p, r);
            }
            surface_square(s, corner, (low[0] + low[1] + low[2] + (plus ? 0 : 1)) % 2);
        }
    }
}

static void block_collect(cell_surface *s, int r)
{
    for (int c = 0; c < BLOCK_X * BLOCK_Y * BLOCK_Z; ++c) {
        int cell[3] = {c % BLOCK_X, c / BLOCK_X % BLOCK_Y, c / (BLOCK_X * BLOCK_Y)};
        if (!block_has_cell(cell)) continue;
        for (int side = 0; side < 6; ++side) {
            int neighbour[3] = {cell[0], cell[1], cell[2]};
            neighbour[side / 2] += side % 2 ? 1 : -1;
            if (!block_has_cell(neighbour)) block_side(s, cell, side / 2, side % 2 != 0, r);
        }
    }
}

ql_status ql_generate_block(ql_mesh *mesh, int resolution)
{
    *mesh = (ql_mesh){0};
    QL_TRY(check_resolution(resolution));
    int r = resolution, nx = BLOCK_X * r + 1, ny = BLOCK_Y * r + 1, nz = BLOCK_Z * r + 1;
    cell_surface s;
    QL_TRY(surface_create(&s, nx * ny * nz, 6 * BLOCK_X * BLOCK_Y * BLOCK_Z * r * r));
    block_collect(&s, r);
    ql_status status = surface_to_mesh(&s, mesh, "block");
    for (int32_t v = 0; v < s.vertex_count && status == QL_OK; ++v) {
        int32_t row = s.point_of[v] / nx, i = s.point_of[v] % nx, j = row % ny, k = row / ny;
        double x = (double)i / r, y = (double)j / r, z = (double)k / r;
        double draft = 1.0 - 0.06 * z; /* the walls lean inwards, as for a mould */
        mesh->vertices[3 * (size_t)v] = (x - 0.5 * BLOCK_X) * draft;
        mesh->vertices[3 * (size_t)v + 1] = (y - 0.5 * BLOCK_Y) * draft;
        mesh->vertices[3 * (size_t)v + 2] = z;
    }
    surface_destroy(&s);
    if (status == QL_OK) ql_mesh_rehash(mesh);
    return status;
}

/* ---- bracket ---- */

enum { BRACKET_LONG = 3, BRACKET_SHORT = 2, BRACKET_WIDE = 3 };

ql_status ql_generate_bracket(ql_mesh *mesh, int resolution)
{
    *mesh = (ql_mesh){0};
    QL_TRY(check_resolution(resolution));
    int r = resolution, nu = (BRACKET_LONG + BRACKET_SHORT) * r, nv = BRACKET_WIDE * r;
    cell_surface s;
    QL_TRY(surface_create(&s, (nu + 1) * (nv + 1), nu * nv));
    for (int j = 0; j < nv; ++j) {
        for (int i = 0; i < nu; ++i) {
            if (i / r == 1 && j / r == 1) continue; /* the window */
            int32_t p = j * (nu + 1) + i, corner[4] = {p, p + 1, p + nu + 2, p + nu + 1};
            surface_square(&s, corner, (i + j) % 2);
        }
    }
    ql_status status = surface_to_mesh(&s, mesh, "bracket");
    for (int32_t v = 0; v < s.vertex_count && status == QL_OK; ++v) {
        int32_t i = s.point_of[v] % (nu + 1), j = s.point_of[v] / (nu + 1);
        double u = (double)i / r, w = (double)j / r;
        mesh->vertices[3 * (size_t)v] = u < BRACKET_LONG ? u : BRACKET_LONG;
        mesh->vertices[3 * (size_t)v + 1] = w;
        mesh->vertices[3 * (size_t)v + 2] = u > BRACKET_LONG ? u - BRACKET_LONG : 0.0;
    }
    surface_destroy(&s);
    if (status == QL_OK) ql_mesh_rehash(mesh);
    return status;
}

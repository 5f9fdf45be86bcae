/* Surface nets (Gibson 1998): vertices in cells, at the mean of the crossings on the cell's edges; quads across grid edges.
 * Fewer and better triangles than marching cubes or tetrahedra give, and every quad has its neighbours.
 */
#include "mesh/implicit.h"

#include "base/memory.h"

#include <math.h>

typedef struct net_grid {
    int n[3]; /* cells per axis */
    double step;
    double low[3];
    double *value;      /* (n0 + 1)(n1 + 1)(n2 + 1), at grid points */
    int32_t *vertex_of; /* per cell (indexed as its lowest grid point): vertex + 1 */
    int32_t vertices, quads;
} net_grid;

static size_t grid_point(const net_grid *g, const int p[3])
{
    return ((size_t)p[2] * (size_t)(g->n[1] + 1) + (size_t)p[1]) * (size_t)(g->n[0] + 1) + (size_t)p[0];
}

static void grid_destroy(net_grid *g)
{
    ql_free(g->value);
    ql_free(g->vertex_of);
}

static ql_status grid_create(net_grid *g, const ql_implicit *surface, int cells)
{
    *g = (net_grid){0};
    double longest = 0.0;
    for (int k = 0; k < 3; ++k) longest = fmax(longest, surface->high[k] - surface->low[k]);
    g->step = longest / cells;
    for (int k = 0; k < 3; ++k) {
        g->n[k] = (int)ceil((surface->high[k] - surface->low[k]) / g->step - 1e-9);
        g->low[k] = 0.5 * (surface->low[k] + surface->high[k] - g->n[k] * g->step);
    }
    size_t points = (size_t)(g->n[0] + 1) * (size_t)(g->n[1] + 1) * (size_t)(g->n[2] + 1);
    ql_status status = QL_TAKE(g->value, points);
    if (status == QL_OK) status = QL_TAKE(g->vertex_of, points);
    if (status != QL_OK) {
        grid_destroy(g);
        return status;
    }
    int p[3];
    for (p[2] = 0; p[2] <= g->n[2]; ++p[2])
        for (p[1] = 0; p[1] <= g->n[1]; ++p[1])
            for (p[0] = 0; p[0] <= g->n[0]; ++p[0]) {
                double x[3];
                for (int k = 0; k < 3; ++k) x[k] = g->low[k] + p[k] * g->step;
                g->value[grid_point(g, p)] = surface->value(surface->shape, x);
            }
    return QL_OK;
}

/* Mean of the crossings on the 12 edges of a cell; false when there is none. */
static bool cell_vertex(const net_grid *g, const int cell[3], double vertex[3])
{
    int crossings = 0;
    double sum[3] = {0};
    for (int axis = 0; axis < 3; ++axis) {
        for (int side = 0; side < 4; ++side) {
            int p[3] = {cell[0], cell[1], cell[2]}, q[3];
            p[(axis + 1) % 3] += side & 1;
            p[(axis + 2) % 3] += side >> 1;
            for (int k = 0; k < 3; ++k) q[k] = p[k] + (k == axis);
            double a = g->value[grid_point(g, p)], b = g->value[grid_point(g, q)];
            if ((a < 0.0) == (b < 0.0)) continue;
            for (int k = 0; k < 3; ++k) sum[k] += p[k] + (k == axis ? a / (a - b) : 0.0);
            ++crossings;
        }
    }
    for (int k = 0; k < 3 && crossings > 0; ++k) vertex[k] = g->low[k] + g->step * sum[k] / crossings;
    return crossings > 0;
}

/* Visits every cell; with positions = NULL only counts and numbers. */
static void place_vertices(net_grid *g, double *positions)
{
    int cell[3];
    g->vertices = 0;
    for (cell[2] = 0; cell[2] < g->n[2]; ++cell[2])
        for (cell[1] = 0; cell[1] < g->n[1]; ++cell[1])
            for (cell[0] = 0; cell[0] < g->n[0]; ++cell[0]) {
                double vertex[3];
                if (!cell_vertex(g, cell, vertex)) continue;
                for (int k = 0; k < 3 && positions != NULL; ++k)
                    positions[3 * (size_t)g->vertices + (size_t)k] = vertex[k];
                g->vertex_of[grid_point(g, cell)] = ++g->vertices;
            }
}

/* The quad around the grid edge from p along `axis`; false when the surface does not cross it. Counter-clockwise seen from
 * outside (where the value is positive). */
static bool edge_quad(const net_grid *g, const int p[3], int axis, int32_t quad[4])
{
    static const int AROUND[4][2] = {{-1, -1}, {0, -1}, {0, 0}, {-1, 0}};
    int q[3] = {p[0], p[1], p[2]};
    ++q[axis];
    if (q[axis] > g->n[axis]) return false;
    bool inside = g->value[grid_point(g, p)] < 0.0;
    if (inside == (g->value[grid_point(g, q)] < 0.0)) return false;
    for (int k = 0; k < 4; ++k) {
        int cell[3] = {p[0], p[1], p[2]};
        cell[(axis + 1) % 3] += AROUND[k][0];
        cell[(axis + 2) % 3] += AROUND[k][1];
        quad[inside ? k : 3 - k] = g->vertex_of[grid_point(g, cell)] - 1;
    }
    return true;
}

static double distance2(const double *positions, int32_t a, int32_t b)
{
    double sum = 0.0;
    for (size_t k = 0; k < 3; ++k) {
        double d = positions[3 * (size_t)a + k] - positions[3 * (size_t)b + k];
        sum += d * d;
    }
    return sum;
}

/* With faces = NULL only counts the quads. */
static void place_quads(net_grid *g, const double *positions, int32_t *faces)
{
    int p[3];
    g->quads = 0;
    for (p[2] = 1; p[2] < g->n[2]; ++p[2])
        for (p[1] = 1; p[1] < g->n[1]; ++p[1])
            for (p[0] = 1; p[0] < g->n[0]; ++p[0])
                for (int axis = 0; axis < 3; ++axis) {
                    int32_t quad[4];
                    if (!edge_quad(g, p, axis, quad)) continue;
                    size_t at = 6 * (size_t)g->quads++;
                    if (faces == NULL) continue;
                    int turn = distance2(positions, quad[1], quad[3]) < distance2(positions, quad[0], quad[2]);
                    for (int half = 0; half < 2; ++half)
                        for (int k = 0; k < 3; ++k) faces[at++] = quad[(turn + 2 * half + k) % 4];
                }
}

ql_status ql_implicit_polygonise(ql_mesh *mesh, const char *name, const ql_implicit *surface, int cells)
{
    net_grid grid;
    *mesh = (ql_mesh){0};
    QL_TRY(grid_create(&grid, surface, cells));
    place_vertices(&grid, NULL);
    place_quads(&grid, NULL, NULL);
    ql_status status = ql_mesh_create(mesh, name, "", grid.vertices, 2 * grid.quads);
    if (status == QL_OK) {
        place_vertices(&grid, mesh->vertices);
        place_quads(&grid, mesh->vertices, mesh->faces);
    }
    grid_destroy(&grid);
    return status;
}

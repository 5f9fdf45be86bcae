/* Well-shaped triangles on an implicit surface. A round: flip edges until none fails the Delaunay criterion
 * (cot gamma + cot delta < 0 for the angles opposite the edge), move every vertex half way to the mean of its neighbours
 * within the tangent plane, take it back to the surface by a step of Newton's along the gradient.
 */
#include "mesh/implicit.h"

#include "base/memory.h"
#include "mesh/topology.h"

#include <math.h>
#include <string.h>

static double dot(const double *a, const double *b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

static void subtract(double out[3], const double *a, const double *b)
{
    for (int k = 0; k < 3; ++k) out[k] = a[k] - b[k];
}

static void cross(double out[3], const double *a, const double *b)
{
    for (int k = 0; k < 3; ++k) out[k] = a[(k + 1) % 3] * b[(k + 2) % 3] - a[(k + 2) % 3] * b[(k + 1) % 3];
}

static const double *position(const ql_mesh *mesh, int32_t v) { return mesh->vertices + 3 * (size_t)v; }

/* Cotangent of the angle at c of the triangle a b c. */
static double cotangent(const ql_mesh *mesh, int32_t a, int32_t b, int32_t c)
{
    double u[3], v[3], n[3];
    subtract(u, position(mesh, a), position(mesh, c));
    subtract(v, position(mesh, b), position(mesh, c));
    cross(n, u, v);
    return dot(u, v) / (sqrt(dot(n, n)) + 1e-300);
}

static void normal_of(const ql_mesh *mesh, int32_t a, int32_t b, int32_t c, double n[3])
{
    double u[3], v[3];
    subtract(u, position(mesh, b), position(mesh, a));
    subtract(v, position(mesh, c), position(mesh, a));
    cross(n, u, v);
}

/* Edges are sorted by (smaller vertex, larger vertex). */
static bool edge_exists(const ql_topology *t, int32_t a, int32_t b)
{
    int32_t low = a < b ? a : b, high = a < b ? b : a, begin = 0, end = t->edge_count;
    while (begin < end) {
        int32_t middle = begin + (end - begin) / 2;
        const int32_t *e = t->edge_vertices + 2 * (size_t)middle;
        if (e[0] < low || (e[0] == low && e[1] < high))
            begin = middle + 1;
        else
            end = middle;
    }
    return begin < t->edge_count && t->edge_vertices[2 * (size_t)begin] == low &&
           t->edge_vertices[2 * (size_t)begin + 1] == high;
}

/* Flips edge a b of the faces a b c and b a d to d c, when that is better and neither folds nor doubles an edge. A vertex
 * takes part in one flip per sweep, so that the topology of the sweep's beginning stays true where it is asked. */
static bool try_flip(ql_mesh *mesh, const ql_topology *t, int32_t edge, unsigned char *touched)
{
    int32_t h = t->edge_halfedges[t->edge_ptr[edge]], g = t->opposite[h];
    if (g == QL_NO_HALFEDGE) return false;
    int32_t f0 = ql_halfedge_face(h), f1 = ql_halfedge_face(g);
    int32_t a = t->edge_vertices[2 * (size_t)edge], b = t->edge_vertices[2 * (size_t)edge + 1];
    if (touched[a] || touched[b]) return false;
    if (ql_halfedge_from(mesh, h) != a) {
        int32_t swap = a;
        a = b;
        b = swap;
    }
    int32_t c = ql_halfedge_from(mesh, ql_halfedge_previous(h)), d = ql_halfedge_from(mesh, ql_halfedge_previous(g));
    if (touched[c] || touched[d] || c == d) return false;
    if (cotangent(mesh, a, b, c) + cotangent(mesh, a, b, d) >= -1e-9) return false;
    double old0[3], new0[3], new1[3];
    normal_of(mesh, a, b, c, old0);
    normal_of(mesh, a, d, c, new0);
    normal_of(mesh, d, b, c, new1);
    if (dot(new0, new1) <= 0.0 || dot(new0, old0) <= 0.0 || edge_exists(t, c, d)) return false;
    const int32_t first[3] = {a, d, c}, second[3] = {d, b, c};
    memcpy(mesh->faces + 3 * (size_t)f0, first, sizeof first);
    memcpy(mesh->faces + 3 * (size_t)f1, second, sizeof second);
    touched[a] = touched[b] = touched[c] = touched[d] = 1;
    return true;
}

static ql_status flip_sweeps(ql_mesh *mesh, unsigned char *touched, int sweeps)
{
    for (int32_t flips = 1; flips > 0 && sweeps > 0; --sweeps) {
        ql_topology topology;
        QL_TRY(ql_topology_build(&topology, mesh));
        memset(touched, 0, (size_t)mesh->vertex_count);
        flips = 0;
        for (int32_t e = 0; e < topology.edge_count; ++e) flips += try_flip(mesh, &topology, e, touched);
        ql_topology_destroy(&topology);
    }
    return QL_OK;
}

/* Gradient by central differences. */
static void gradient(const ql_implicit *s, const double *p, double g[3])
{
    const double h = 1e-5;
    for (int k = 0; k < 3; ++k) {
        double q[3] = {p[0], p[1], p[2]};
        q[k] = p[k] + h;
        double ahead = s->value(s->shape, q);
        q[k] = p[k] - h;
        g[k] = (ahead - s->value(s->shape, q)) / (2.0 * h);
    }
}

static void project(const ql_implicit *s, double *p, int steps)
{
    for (int i = 0; i < steps; ++i) {
        double g[3];
        gradient(s, p, g);
        double step = s->value(s->shape, p) / (dot(g, g) + 1e-12);
        for (int k = 0; k < 3; ++k) p[k] -= step * g[k];
    }
}

/* `mean` is scratch of 4 doubles per vertex: sum of the neighbours and their number. */
static void smooth(ql_mesh *mesh, const ql_implicit *surface, double *mean)
{
    memset(mean, 0, 4 * sizeof *mean * (size_t)mesh->vertex_count);
    for (size_t h = 0; h < 3 * (size_t)mesh->face_count; ++h) { /* closed: every edge comes once in each direction */
        double *m = mean + 4 * (size_t)mesh->faces[h];
        const double *q = position(mesh, mesh->faces[h % 3 == 2 ? h - 2 : h + 1]);
        for (int k = 0; k < 3; ++k) m[k] += q[k];
        m[3] += 1.0;
    }
    for (size_t v = 0; v < (size_t)mesh->vertex_count; ++v) {
        double *p = mesh->vertices + 3 * v, *m = mean + 4 * v, g[3], move[3];
        gradient(surface, p, g);
        for (int k = 0; k < 3; ++k) move[k] = m[k] / m[3] - p[k];
        double along = dot(move, g) / (dot(g, g) + 1e-12);
        for (int k = 0; k < 3; ++k) p[k] += 0.5 * (move[k] - along * g[k]);
        project(surface, p, 1);
    }
}

ql_status ql_implicit_regularise(ql_mesh *mesh, const ql_implicit *surface, int rounds)
{
    unsigned char *touched = NULL;
    double *mean = NULL;
    ql_status status = QL_TAKE(touched, mesh->vertex_count);
    if (status == QL_OK) status = QL_TAKE(mean, 4 * (size_t)mesh->vertex_count);
    for (int i = 0; i < rounds && status == QL_OK; ++i) {
        smooth(mesh, surface, mean);
        status = flip_sweeps(mesh, touched, 3);
    }
    for (int32_t v = 0; v < mesh->vertex_count; ++v) project(surface, mesh->vertices + 3 * (size_t)v, 3);
    ql_free(touched);
    ql_free(mean);
    return status;
}

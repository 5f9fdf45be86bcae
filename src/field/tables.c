/* Tables of a mesh (see tables.h; method, section 1). */
#include "field/tables.h"

#include "base/memory.h"
#include "mesh/nearest.h"

#include <math.h>
#include <string.h>

static double dot(const double a[3], const double b[3]) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

static void cross(const double a[3], const double b[3], double out[3])
{
    out[0] = a[1] * b[2] - a[2] * b[1];
    out[1] = a[2] * b[0] - a[0] * b[2];
    out[2] = a[0] * b[1] - a[1] * b[0];
}

/* Scales to length 1 by (length + 1e-12), as the reference does; a zero vector stays zero. */
static void normalise(double x[3])
{
    double scale = 1.0 / (sqrt(dot(x, x)) + 1e-12);
    for (int c = 0; c < 3; ++c) x[c] *= scale;
}

void ql_frame_of_normal(const double n[3], double u[3], double v[3])
{
    int least = 0;
    for (int c = 1; c < 3; ++c)
        if (fabs(n[c]) < fabs(n[least])) least = c;
    int a = least == 0 ? 1 : 0, b = least == 2 ? 1 : 2;
    u[least] = 0;
    u[a] = n[b];
    u[b] = -n[a];
    cross(n, u, v);
    normalise(u);
    normalise(v);
}

/* Centroids, their normalisation, unit normals and frames. */
static void build_points(ql_tables *tables, const ql_mesh *mesh)
{
    int32_t count = tables->face_count;
    for (int32_t i = 0; i < count; ++i) {
        const double *p[3];
        for (int k = 0; k < 3; ++k) p[k] = mesh->vertices + 3 * (size_t)mesh->faces[3 * (size_t)i + (size_t)k];
        double *at = tables->points + 3 * (size_t)i, e1[3], e2[3];
        for (int c = 0; c < 3; ++c) {
            at[c] = (p[0][c] + p[1][c] + p[2][c]) / 3.0;
            tables->center[c] += at[c] / count;
            e1[c] = p[1][c] - p[0][c];
            e2[c] = p[2][c] - p[0][c];
        }
        double *n = tables->normals + 3 * (size_t)i;
        cross(e1, e2, n);
        double length = sqrt(dot(n, n)), longest2 = fmax(dot(e1, e1), dot(e2, e2));
        if (length > 1e-14 * longest2) { /* below, the direction is rounding noise: a degenerate face */
            for (int c = 0; c < 3; ++c) n[c] /= length;
            ql_frame_of_normal(n, tables->u + 3 * (size_t)i, tables->v + 3 * (size_t)i);
        } else {
            memset(n, 0, 3 * sizeof *n);
        }
    }
}

static void normalise_points(ql_tables *tables)
{
    double scale = 0;
    size_t count = (size_t)tables->face_count;
    for (size_t i = 0; i < count; ++i)
        for (size_t c = 0; c < 3; ++c) scale = fmax(scale, fabs(tables->points[3 * i + c] - tables->center[c]));
    tables->scale = scale > 0 ? scale : 1.0;
    for (size_t i = 0; i < count; ++i)
        for (size_t c = 0; c < 3; ++c)
            tables->points[3 * i + c] = (tables->points[3 * i + c] - tables->center[c]) / tables->scale;
}

/* rho_ij: u_j turned about the shared edge by the angle between the normals, read in the frame of i. Where the normals are
 * (anti)parallel the axis is the edge itself, so that even a fold by 180 degrees has a transport. */
static double transport_angle(const ql_tables *tables, int32_t i, int32_t j, const double axis[3])
{
    const double *ni = tables->normals + 3 * (size_t)i, *nj = tables->normals + 3 * (size_t)j;
    const double *ui = tables->u + 3 * (size_t)i, *vi = tables->v + 3 * (size_t)i, *uj = tables->u + 3 * (size_t)j;
    if (dot(ni, ni) == 0 || dot(nj, nj) == 0) return NAN;
    double turned[3], across[3];
    cross(nj, ni, across);
    double cosine = dot(nj, ni), sine = dot(across, axis), along = dot(axis, uj);
    double length = hypot(cosine, sine); /* 1 up to rounding, as the edge lies in both planes */
    if (length == 0) return NAN;
    cosine /= length;
    sine /= length;
    cross(axis, uj, across);
    for (int c = 0; c < 3; ++c) turned[c] = uj[c] * cosine + across[c] * sine + axis[c] * along * (1.0 - cosine);
    return atan2(dot(turned, vi), dot(turned, ui));
}

static void build_neighbours(ql_tables *tables, const ql_mesh *mesh, const ql_topology *topology)
{
    int32_t at = 0;
    for (int32_t i = 0; i < tables->face_count; ++i) {
        for (int32_t h = 3 * i; h < 3 * i + 3; ++h) {
            int32_t other = topology->opposite[h];
            if (other == QL_NO_HALFEDGE) continue;
            const double *from = mesh->vertices + 3 * (size_t)ql_halfedge_from(mesh, h);
            const double *to = mesh->vertices + 3 * (size_t)ql_halfedge_to(mesh, h);
            double axis[3];
            for (int c = 0; c < 3; ++c) axis[c] = to[c] - from[c];
            double length = sqrt(dot(axis, axis));
            for (int c = 0; c < 3; ++c) axis[c] = length > 0 ? axis[c] / length : 0;
            tables->neighbour[at] = ql_halfedge_face(other);
            tables->transport[at++] = transport_angle(tables, i, ql_halfedge_face(other), axis);
        }
        tables->neighbour_ptr[i + 1] = at;
    }
}

static ql_status build_sigma(ql_tables *tables)
{
    ql_kdtree *tree = NULL;
    QL_TRY(QL_TAKE(tables->sigma, tables->face_count));
    QL_TRY(ql_kdtree_create(&tree, tables->points, tables->face_count));
    for (int32_t i = 0; i < tables->face_count; ++i) {
        int32_t index[QL_SIGMA_NEIGHBOUR + 1];
        double distance2[QL_SIGMA_NEIGHBOUR + 1];
        /* the nearest is the point itself; a mesh of fewer faces takes the farthest there is */
        int found = ql_kdtree_nearest(tree, tables->points + 3 * (size_t)i, QL_SIGMA_NEIGHBOUR + 1, index, distance2);
        tables->sigma[i] = sqrt(distance2[found - 1]);
    }
    ql_kdtree_destroy(tree);
    return QL_OK;
}

static ql_status take_arrays(ql_tables *tables, int32_t entries)
{
    size_t count = (size_t)tables->face_count;
    QL_TRY(QL_TAKE(tables->points, 3 * count));
    QL_TRY(QL_TAKE(tables->normals, 3 * count));
    QL_TRY(QL_TAKE(tables->u, 3 * count));
    QL_TRY(QL_TAKE(tables->v, 3 * count));
    QL_TRY(QL_TAKE(tables->neighbour_ptr, count + 1));
    QL_TRY(QL_TAKE(tables->neighbour, entries));
    return QL_TAKE(tables->transport, entries);
}

ql_status ql_tables_build(ql_tables *tables, const ql_mesh *mesh, const ql_topology *topology, int with_sigma)
{
    *tables = (ql_tables){.face_count = mesh->face_count};
    int32_t entries = 0;
    for (int32_t h = 0; h < 3 * mesh->face_count; ++h) entries += topology->opposite[h] != QL_NO_HALFEDGE;
    ql_status status;
    QL_TRY_GOTO(status, take_arrays(tables, entries), failed);
    build_points(tables, mesh);
    normalise_points(tables);
    build_neighbours(tables, mesh, topology);
    if (with_sigma) QL_TRY_GOTO(status, build_sigma(tables), failed);
    return QL_OK;
failed:
    ql_tables_destroy(tables);
    return QL_CHAIN(status, "tables of %s", mesh->name);
}

void ql_tables_destroy(ql_tables *tables)
{
    if (tables == NULL) return;
    void *arrays[] = {tables->points,        tables->normals,   tables->u,         tables->v,
                      tables->neighbour_ptr, tables->neighbour, tables->transport, tables->sigma};
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; ++k) ql_free(arrays[k]);
    *tables = (ql_tables){0};
}

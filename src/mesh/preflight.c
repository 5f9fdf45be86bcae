/* Preflight: counts and defects of a mesh (see preflight.h for the definitions).
 *
 * Fans, boundary loops, components and orientability come from one structure, disjoint sets with path
 * halving. A vertex is manifold when its link (the edges opposite to it in its faces, as a set) is one path
 * or one cycle. With C components, L boundary loops and Euler characteristic chi, an orientable 2-manifold
 * has genus (2 C - L - chi) / 2 in total.
 */
#include "mesh/preflight.h"

#include "base/memory.h"
#include "mesh/seams.h"
#include "mesh/sets.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A face with less height than this part of its longest edge has no direction (as the tables see it). */
static const double FLAT = 1e-14;

/* ---- disjoint sets ---- */

static ql_status set_create(int32_t **parent, size_t count)
{
    QL_TRY(QL_TAKE(*parent, count));
    for (size_t i = 0; i < count; ++i) (*parent)[i] = (int32_t)i;
    return QL_OK;
}

static int edge_size(const ql_topology *t, int32_t edge) { return t->edge_ptr[edge + 1] - t->edge_ptr[edge]; }

static bool face_is_collapsed(const ql_topology *t, int32_t face) { return t->edge_of[3 * (size_t)face] < 0; }

static void note_bad_face(ql_preflight *r, int32_t face)
{
    if (r->first_bad_face < 0 || face < r->first_bad_face) r->first_bad_face = face;
}

/* ---- combinatorics ---- */

static void count_edges(ql_preflight *r, const ql_mesh *mesh, const ql_topology *t)
{
    for (int32_t e = 0; e < t->edge_count; ++e) {
        const int32_t *h = t->edge_halfedges + t->edge_ptr[e];
        int faces = edge_size(t, e);
        bool same_way = faces == 2 && ql_halfedge_from(mesh, h[0]) == ql_halfedge_from(mesh, h[1]);
        r->boundary_edges += faces == 1;
        r->nonmanifold_edges += faces > 2;
        r->misoriented_edges += same_way;
        if (faces > 2 || same_way) note_bad_face(r, ql_halfedge_face(h[0]));
    }
}

/* Joins the corners at both ends of every edge; afterwards a root of `corner` is a fan. */
static void join_fans(const ql_mesh *mesh, const ql_topology *t, int32_t *corner)
{
    for (int32_t e = 0; e < t->edge_count; ++e) {
        const int32_t *h = t->edge_halfedges + t->edge_ptr[e];
        int32_t low = t->edge_vertices[2 * (size_t)e];
        int32_t first_low = ql_halfedge_from(mesh, h[0]) == low ? h[0] : ql_halfedge_next(h[0]);
        int32_t first_high = first_low == h[0] ? ql_halfedge_next(h[0]) : h[0];
        for (int k = 1; k < edge_size(t, e); ++k) {
            bool along = ql_halfedge_from(mesh, h[k]) == low;
            (void)ql_set_join(corner, first_low, along ? h[k] : ql_halfedge_next(h[k]));
            (void)ql_set_join(corner, first_high, along ? ql_halfedge_next(h[k]) : h[k]);
        }
    }
}

/* Vertices by the number of fans around them, and the Euler characteristic. */
static ql_status count_fans(ql_preflight *r, const ql_mesh *mesh, const ql_topology *t, int32_t *corner,
                            const unsigned char *branched)
{
    unsigned char *fans = NULL; /* per vertex: 0 = no face, 1, 2 = more; 3 = only in faces without edges */
    QL_TRY(QL_TAKE(fans, mesh->vertex_count));
    for (int32_t c = 0; c < 3 * mesh->face_count; ++c) {
        unsigned char *count = &fans[mesh->faces[c]];
        if (t->edge_of[c] < 0) {
            if (*count == 0) *count = 3;
        } else if (ql_set_root(corner, c) == c) {
            *count = *count == 0 || *count == 3 ? 1 : 2;
        }
    }
    int32_t referenced = 0;
    for (int32_t v = 0; v < mesh->vertex_count; ++v) {
        r->isolated_vertices += fans[v] == 0;
        r->nonmanifold_vertices += fans[v] == 2 || branched[v];
        referenced += fans[v] == 1 || fans[v] == 2;
    }
    int32_t faces = 0;
    for (int32_t f = 0; f < mesh->face_count; ++f) faces += !face_is_collapsed(t, f);
    r->euler = referenced - t->edge_count + faces;
    ql_free(fans);
    return QL_OK;
}

/* Boundary edges that share a vertex belong to one loop. */
static ql_status count_loops(ql_preflight *r, const ql_mesh *mesh, const ql_topology *t)
{
    int32_t *vertex = NULL;
    unsigned char *seen = NULL;
    ql_status status = set_create(&vertex, (size_t)mesh->vertex_count);
    if (status == QL_OK) status = QL_TAKE(seen, mesh->vertex_count);
    for (int32_t e = 0; e < t->edge_count && status == QL_OK; ++e) {
        if (edge_size(t, e) != 1) continue;
        const int32_t *ends = t->edge_vertices + 2 * (size_t)e;
        for (int k = 0; k < 2; ++k) {
            r->boundary_loops += !seen[ends[k]];
            seen[ends[k]] = 1;
        }
        r->boundary_loops -= ql_set_join(vertex, ends[0], ends[1]);
    }
    ql_free(vertex);
    ql_free(seen);
    return status;
}

/* Components: faces that share a vertex. */
static ql_status count_components(ql_preflight *r, const ql_mesh *mesh, const ql_topology *t)
{
    int32_t *vertex = NULL;
    unsigned char *seen = NULL;
    ql_status status = set_create(&vertex, (size_t)mesh->vertex_count);
    if (status == QL_OK) status = QL_TAKE(seen, mesh->vertex_count);
    for (int32_t f = 0; f < mesh->face_count && status == QL_OK; ++f) {
        const int32_t *v = mesh->faces + 3 * (size_t)f;
        if (face_is_collapsed(t, f)) continue;
        for (int k = 0; k < 3; ++k) {
            r->components += !seen[v[k]];
            seen[v[k]] = 1;
            r->components -= ql_set_join(vertex, v[0], v[k]);
        }
    }
    ql_free(vertex);
    ql_free(seen);
    return status;
}

/* Whether all faces can be oriented: face f appears as 2 f (as given) and 2 f + 1 (turned); two faces across
 * an edge must both be as given or both turned, or, if misoriented, one of each. */
static ql_status check_orientable(ql_preflight *r, const ql_mesh *mesh, const ql_topology *t)
{
    int32_t *side = NULL;
    QL_TRY(set_create(&side, 2 * (size_t)mesh->face_count));
    for (int32_t e = 0; e < t->edge_count; ++e) {
        const int32_t *h = t->edge_halfedges + t->edge_ptr[e];
        if (edge_size(t, e) != 2) continue;
        int32_t a = 2 * ql_halfedge_face(h[0]), b = 2 * ql_halfedge_face(h[1]);
        int turned = ql_halfedge_from(mesh, h[0]) == ql_halfedge_from(mesh, h[1]);
        (void)ql_set_join(side, a, b + turned);
        (void)ql_set_join(side, a + 1, b + 1 - turned);
    }
    r->orientable = true;
    for (int32_t f = 0; f < mesh->face_count && r->orientable; ++f)
        r->orientable = ql_set_root(side, 2 * f) != ql_set_root(side, 2 * f + 1);
    ql_free(side);
    return QL_OK;
}

static int compare_i32(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Apexes of the faces on an edge, sorted; returns how many. */
static int edge_apexes(const ql_mesh *mesh, const ql_topology *t, int32_t edge, int32_t *apex)
{
    int count = 0;
    for (int32_t i = t->edge_ptr[edge]; i < t->edge_ptr[edge + 1]; ++i)
        apex[count++] = ql_halfedge_from(mesh, ql_halfedge_previous(t->edge_halfedges[i]));
    qsort(apex, (size_t)count, sizeof *apex, compare_i32);
    return count;
}

/* Duplicate faces, each found on the edge of its two smaller vertices; and the ends of edges with more than
 * two different faces, marked as branched: their neighbourhood is no disc. */
static ql_status compare_apexes(ql_preflight *r, const ql_mesh *mesh, const ql_topology *t, unsigned char *branched)
{
    int largest = 0;
    for (int32_t e = 0; e < t->edge_count; ++e) largest = edge_size(t, e) > largest ? edge_size(t, e) : largest;
    int32_t *apex = NULL;
    QL_TRY(QL_TAKE(apex, largest));
    for (int32_t e = 0; e < t->edge_count; ++e) {
        if (edge_size(t, e) < 2) continue;
        const int32_t *ends = t->edge_vertices + 2 * (size_t)e;
        int count = edge_apexes(mesh, t, e, apex), different = 1, duplicates = 0;
        for (int i = 1; i < count; ++i) {
            different += apex[i] != apex[i - 1];
            duplicates += apex[i] == apex[i - 1] && apex[i] > ends[1];
        }
        r->duplicate_faces += duplicates;
        if (duplicates > 0) note_bad_face(r, ql_halfedge_face(t->edge_halfedges[t->edge_ptr[e]]));
        if (different > 2) branched[ends[0]] = branched[ends[1]] = 1;
    }
    ql_free(apex);
    return QL_OK;
}

static ql_status analyse_vertices(ql_preflight *r, const ql_mesh *mesh, const ql_topology *t)
{
    int32_t *corner = NULL;
    unsigned char *branched = NULL;
    ql_status status = set_create(&corner, 3 * (size_t)mesh->face_count);
    if (status == QL_OK) status = QL_TAKE(branched, mesh->vertex_count);
    if (status == QL_OK) status = compare_apexes(r, mesh, t, branched);
    if (status == QL_OK) {
        join_fans(mesh, t, corner);
        status = count_fans(r, mesh, t, corner, branched);
    }
    ql_free(corner);
    ql_free(branched);
    return status;
}

/* ---- geometry ---- */

/* Not normalised normal of a face; its length is twice the area. */
static void face_normal(const ql_mesh *mesh, int32_t face, double normal[3])
{
    const int32_t *v = mesh->faces + 3 * (size_t)face;
    const double *o = mesh->vertices + 3 * (size_t)v[0];
    double a[3], b[3];
    for (int k = 0; k < 3; ++k) {
        a[k] = mesh->vertices[3 * (size_t)v[1] + (size_t)k] - o[k];
        b[k] = mesh->vertices[3 * (size_t)v[2] + (size_t)k] - o[k];
    }
    for (int k = 0; k < 3; ++k) normal[k] = a[(k + 1) % 3] * b[(k + 2) % 3] - a[(k + 2) % 3] * b[(k + 1) % 3];
}

static double dot(const double *a, const double *b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

static double edge_length2(const ql_mesh *mesh, int32_t a, int32_t b)
{
    const double *p = mesh->vertices + 3 * (size_t)a, *q = mesh->vertices + 3 * (size_t)b;
    double d[3] = {p[0] - q[0], p[1] - q[1], p[2] - q[2]};
    return dot(d, d);
}

static double length3(const double *a) { return sqrt(dot(a, a)); }

/* Angle between two vectors of any length, accurate near 0 and pi. */
static double angle_between(const double a[3], const double b[3])
{
    double cross[3];
    for (int k = 0; k < 3; ++k) cross[k] = a[(k + 1) % 3] * b[(k + 2) % 3] - a[(k + 2) % 3] * b[(k + 1) % 3];
    return atan2(length3(cross), dot(a, b));
}

static void measure_faces(ql_preflight *r, const ql_mesh *mesh)
{
    double smallest = M_PI;
    const double *origin = mesh->vertices + 3 * (size_t)mesh->faces[0];
    for (int32_t f = 0; f < mesh->face_count; ++f) {
        const int32_t *v = mesh->faces + 3 * (size_t)f;
        double normal[3], l2[3], longest2 = 0.0, from_origin[3];
        face_normal(mesh, f, normal);
        double double_area = length3(normal);
        for (int k = 0; k < 3; ++k) {
            l2[k] = edge_length2(mesh, v[k], v[(k + 1) % 3]);
            longest2 = fmax(longest2, l2[k]);
            from_origin[k] = mesh->vertices[3 * (size_t)v[0] + (size_t)k] - origin[k];
        }
        r->area += 0.5 * double_area;
        r->volume += dot(normal, from_origin) / 6.0;
        if (!(double_area > FLAT * longest2)) {
            r->degenerate_faces++;
            note_bad_face(r, f);
            smallest = 0.0;
        }
        for (int k = 0; k < 3; ++k) /* law of cosines: 4 A / (b^2 + c^2 - a^2) is the tangent of the angle opposite a */
            smallest = fmin(smallest, atan2(2.0 * double_area, l2[(k + 1) % 3] + l2[(k + 2) % 3] - l2[k]));
    }
    r->min_angle_deg = smallest * (180.0 / M_PI);
}

static void measure_edges(ql_preflight *r, const ql_mesh *mesh, const ql_topology *t)
{
    double sum = 0.0, limit = r->sharp_angle_deg * (M_PI / 180.0);
    r->min_edge = t->edge_count > 0 ? HUGE_VAL : 0.0;
    for (int32_t e = 0; e < t->edge_count; ++e) {
        double length = sqrt(edge_length2(mesh, t->edge_vertices[2 * (size_t)e], t->edge_vertices[2 * (size_t)e + 1]));
        r->min_edge = fmin(r->min_edge, length);
        r->max_edge = fmax(r->max_edge, length);
        sum += length;
        if (edge_size(t, e) != 2) continue;
        const int32_t *h = t->edge_halfedges + t->edge_ptr[e];
        double a[3], b[3];
        face_normal(mesh, ql_halfedge_face(h[0]), a);
        face_normal(mesh, ql_halfedge_face(h[1]), b);
        r->sharp_edges += angle_between(a, b) > limit;
    }
    r->mean_edge = t->edge_count > 0 ? sum / t->edge_count : 0.0;
}

static void measure_box(ql_preflight *r, const ql_mesh *mesh)
{
    double farthest = 0.0;
    for (int k = 0; k < 3; ++k) {
        r->bbox_min[k] = HUGE_VAL;
        r->bbox_max[k] = -HUGE_VAL;
    }
    for (size_t c = 0; c < 3 * (size_t)mesh->face_count; ++c) {
        const double *p = mesh->vertices + 3 * (size_t)mesh->faces[c];
        for (int k = 0; k < 3; ++k) {
            r->bbox_min[k] = fmin(r->bbox_min[k], p[k]);
            r->bbox_max[k] = fmax(r->bbox_max[k], p[k]);
            farthest = fmax(farthest, fabs(p[k]));
        }
    }
    double float_step = farthest * 0x1p-23;
    r->far_from_origin = float_step > 0.01 * r->mean_edge;
}

static ql_status count_seams(ql_preflight *r, const ql_mesh *mesh, const ql_topology *t)
{
    int32_t *target;
    QL_TRY(QL_TAKE(target, (size_t)mesh->vertex_count));
    ql_status status = ql_mesh_find_seams(mesh, t, target, &r->seam_vertices);
    ql_free(target);
    return status;
}

ql_status ql_preflight_run(ql_preflight *report, const ql_mesh *mesh, const ql_topology *topology,
                           double sharp_angle_deg)
{
    *report = (ql_preflight){
        .vertices = mesh->vertex_count,
        .faces = mesh->face_count,
        .edges = topology->edge_count,
        .input_polygons = mesh->input_polygons,
        .first_bad_face = -1,
        .sharp_angle_deg = sharp_angle_deg,
    };
    if (mesh->face_count == 0) return QL_OK;
    count_edges(report, mesh, topology);
    QL_TRY(analyse_vertices(report, mesh, topology));
    QL_TRY(count_loops(report, mesh, topology));
    QL_TRY(count_components(report, mesh, topology));
    QL_TRY(check_orientable(report, mesh, topology));
    QL_TRY(count_seams(report, mesh, topology));

    report->closed = report->boundary_edges == 0 && report->nonmanifold_edges == 0;
    report->manifold = report->nonmanifold_edges == 0 && report->nonmanifold_vertices == 0;
    report->oriented = report->misoriented_edges == 0;
    report->genus = -1;
    if (report->manifold && report->orientable)
        report->genus = (2 * report->components - report->boundary_loops - report->euler) / 2;
    measure_faces(report, mesh);
    measure_edges(report, mesh, topology);
    measure_box(report, mesh);
    if (!report->closed || !report->oriented) report->volume = 0.0;
    return QL_OK;
}

ql_status ql_preflight_judge(const ql_preflight *report)
{
    double size = 0.0;
    for (int k = 0; k < 3; ++k) size = fmax(size, report->bbox_max[k] - report->bbox_min[k]);
    if (report->faces == 0) return QL_FAIL(MESH, "the mesh has no faces");
    if (size > 0.0 && size < 1e-70)
        return QL_FAIL(
            MESH, "the mesh is only %g units large, so small that areas underflow; use a smaller unit of length", size);
    if (report->degenerate_faces == report->faces)
        return QL_FAIL(MESH,
                       "none of the %d faces has an area: the vertices of each lie on a line; export the mesh again",
                       report->faces);
    return QL_OK;
}

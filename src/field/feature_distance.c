/* Distance to sharp edges (see feature_distance.h). The edges are sampled at half their mean length or finer; the nearest
 * samples name candidate edges, and the distance to those segments is exact. */
#include "field/feature_distance.h"

#include "base/memory.h"
#include "mesh/nearest.h"

#include <math.h>

enum { CANDIDATES = 8, MOST_SAMPLES_PER_EDGE = 64 };

typedef struct segments {
    int32_t count, samples;
    double *ends;     /* count x 6, normalised units */
    double *points;   /* samples x 3 */
    int32_t *segment; /* samples: whose it is */
} segments;

static bool is_sharp(const ql_topology *topology, const ql_tables *tables, int32_t h, double cosine)
{
    int32_t other = topology->opposite[h];
    if (other == QL_NO_HALFEDGE || other < h) return false;
    const double *a = tables->normals + 3 * (size_t)ql_halfedge_face(h);
    const double *b = tables->normals + 3 * (size_t)ql_halfedge_face(other);
    bool planes = (a[0] != 0 || a[1] != 0 || a[2] != 0) && (b[0] != 0 || b[1] != 0 || b[2] != 0);
    return planes && a[0] * b[0] + a[1] * b[1] + a[2] * b[2] < cosine;
}

static void segment_of(const ql_mesh *mesh, const ql_tables *tables, int32_t h, double ends[6])
{
    const double *from = mesh->vertices + 3 * (size_t)ql_halfedge_from(mesh, h);
    const double *to = mesh->vertices + 3 * (size_t)ql_halfedge_to(mesh, h);
    for (int c = 0; c < 3; ++c) {
        ends[c] = (from[c] - tables->center[c]) / tables->scale;
        ends[3 + c] = (to[c] - tables->center[c]) / tables->scale;
    }
}

static double length_of(const double ends[6])
{
    return sqrt((ends[3] - ends[0]) * (ends[3] - ends[0]) + (ends[4] - ends[1]) * (ends[4] - ends[1]) +
                (ends[5] - ends[2]) * (ends[5] - ends[2]));
}

static int32_t samples_of(const double ends[6], double spacing)
{
    double wanted = spacing > 0 ? ceil(length_of(ends) / spacing) : 1;
    return (int32_t)fmax(1, fmin(MOST_SAMPLES_PER_EDGE, wanted));
}

static ql_status sample_segments(segments *s, double spacing)
{
    for (int32_t k = 0; k < s->count; ++k) s->samples += samples_of(s->ends + 6 * (size_t)k, spacing);
    QL_TRY(QL_TAKE(s->points, 3 * (size_t)s->samples));
    QL_TRY(QL_TAKE(s->segment, s->samples));
    int32_t at = 0;
    for (int32_t k = 0; k < s->count; ++k) {
        const double *ends = s->ends + 6 * (size_t)k;
        int32_t n = samples_of(ends, spacing);
        for (int32_t i = 0; i < n; ++i, ++at) {
            double t = (i + 0.5) / n;
            for (int c = 0; c < 3; ++c) s->points[3 * (size_t)at + (size_t)c] = ends[c] + t * (ends[3 + c] - ends[c]);
            s->segment[at] = k;
        }
    }
    return QL_OK;
}

static double distance_to_segment(const double ends[6], const double point[3])
{
    double along = 0, length2 = 0, distance2 = 0;
    for (int c = 0; c < 3; ++c) {
        along += (point[c] - ends[c]) * (ends[3 + c] - ends[c]);
        length2 += (ends[3 + c] - ends[c]) * (ends[3 + c] - ends[c]);
    }
    double t = length2 > 0 ? fmax(0, fmin(1, along / length2)) : 0;
    for (int c = 0; c < 3; ++c) {
        double gap = ends[c] + t * (ends[3 + c] - ends[c]) - point[c];
        distance2 += gap * gap;
    }
    return sqrt(distance2);
}

static ql_status query_all(double *distance, const segments *s, const ql_tables *tables)
{
    ql_kdtree *tree = NULL;
    QL_TRY(ql_kdtree_create(&tree, s->points, s->samples));
    for (int32_t i = 0; i < tables->face_count; ++i) {
        int32_t nearest[CANDIDATES];
        double distance2[CANDIDATES];
        const double *point = tables->points + 3 * (size_t)i;
        int found = ql_kdtree_nearest(tree, point, CANDIDATES, nearest, distance2);
        distance[i] = INFINITY;
        for (int k = 0; k < found; ++k)
            distance[i] = fmin(distance[i], distance_to_segment(s->ends + 6 * (size_t)s->segment[nearest[k]], point));
    }
    ql_kdtree_destroy(tree);
    return QL_OK;
}

static ql_status collect(segments *s, const ql_mesh *mesh, const ql_topology *topology, const ql_tables *tables,
                         double cosine, double *mean_length)
{
    for (int32_t h = 0; h < 3 * mesh->face_count; ++h) s->count += is_sharp(topology, tables, h, cosine);
    QL_TRY(QL_TAKE(s->ends, 6 * (size_t)s->count));
    int32_t at = 0;

    for (int32_t h = 0; h < 3 * mesh->face_count; ++h) {
        if (!is_sharp(topology, tables, h, cosine)) continue;
        segment_of(mesh, tables, h, s->ends + 6 * (size_t)at);
        *mean_length += length_of(s->ends + 6 * (size_t)at++) / s->count;
    }
    return QL_OK;
}

ql_status ql_feature_distance(double *distance, int32_t *edges, const ql_mesh *mesh, const ql_topology *topology,
                              const ql_tables *tables, double angle_deg)
{
    segments s = {0};
    double mean_length = 0;
    ql_status status = collect(&s, mesh, topology, tables, cos(angle_deg * M_PI / 180), &mean_length);
    *edges = s.count;
    for (int32_t i = 0; i < tables->face_count; ++i) distance[i] = 1e30;
    if (status == QL_OK && s.count > 0) status = sample_segments(&s, mean_length / 2);
    if (status == QL_OK && s.count > 0) status = query_all(distance, &s, tables);
    ql_free(s.ends);
    ql_free(s.points);
    ql_free(s.segment);
    return status;
}

#include "field/cross_surface.h"

#include "base/memory.h"
#include "field/cross_vector.h"

#include <string.h>

/* Pairs half-edges: bucket by smaller end vertex (CSR), then search the short bucket. */
static ql_status link_opposite(ql_surface *s)
{
    int32_t n = 3 * s->face_count;
    int32_t *start = NULL, *bucket = NULL;
    ql_status status = QL_TAKE(start, s->vertex_count + 2);
    if (status == QL_OK) status = QL_TAKE(bucket, n + 1);
    for (int32_t h = 0; status == QL_OK && h < n; ++h) {
        int32_t a = ql_from(s, h), b = ql_to(s, h);
        if (a == b || a < 0 || a >= s->vertex_count)
            status = QL_FAIL(MESH, "face %d has a bad or repeated vertex", h / 3);
        else
            start[(a < b ? a : b) + 2]++;
        s->opposite[h] = -1;
    }
    if (status == QL_OK) {
        for (int32_t v = 0; v < s->vertex_count; ++v) start[v + 2] += start[v + 1];
        for (int32_t h = 0; h < n; ++h) {
            int32_t a = ql_from(s, h), b = ql_to(s, h);
            bucket[start[(a < b ? a : b) + 1]++] = h;
        }
    }
    for (int32_t v = 0; status == QL_OK && v < s->vertex_count; ++v)
        for (int32_t i = start[v]; status == QL_OK && i < start[v + 1]; ++i)
            for (int32_t j = i + 1; j < start[v + 1]; ++j) {
                int32_t h = bucket[i], g = bucket[j];
                int32_t same = ql_from(s, h) == ql_from(s, g) && ql_to(s, h) == ql_to(s, g);
                int32_t opposed = ql_from(s, h) == ql_to(s, g) && ql_to(s, h) == ql_from(s, g);
                if (same || (opposed && (s->opposite[h] >= 0 || s->opposite[g] >= 0))) {
                    status = QL_FAIL(MESH, "edge %d-%d of faces %d and %d is not manifold and oriented", ql_from(s, h),
                                     ql_to(s, h), h / 3, g / 3);
                    break;
                }
                if (opposed) {
                    s->opposite[h] = g;
                    s->opposite[g] = h;
                }
            }
    ql_free(start);
    ql_free(bucket);
    return status;
}

ql_status ql_surface_link(ql_surface *s)
{
    QL_TRY(link_opposite(s));
    for (int32_t v = 0; v < s->vertex_count; ++v) s->outgoing[v] = -1;
    for (int32_t h = 0; h < 3 * s->face_count; ++h) {
        int32_t *out = &s->outgoing[ql_from(s, h)];
        if (*out < 0 || s->opposite[h] < 0) *out = h;
    }
    return QL_OK;
}

ql_status ql_surface_create(ql_surface *s, const double *vertices, int32_t vertex_count, const int32_t *faces,
                            int32_t face_count)
{
    memset(s, 0, sizeof *s);
    s->vertex_count = vertex_count;
    s->face_count = face_count;
    ql_status status = QL_TAKE(s->vertices, 3 * (int64_t)vertex_count);
    if (status == QL_OK) status = QL_TAKE(s->faces, 3 * (int64_t)face_count);
    if (status == QL_OK) status = QL_TAKE(s->opposite, 3 * (int64_t)face_count);
    if (status == QL_OK) status = QL_TAKE(s->feature, 3 * (int64_t)face_count);
    if (status == QL_OK) status = QL_TAKE(s->outgoing, vertex_count);
    if (status == QL_OK) {
        memcpy(s->vertices, vertices, 3 * (size_t)vertex_count * sizeof *vertices);
        memcpy(s->faces, faces, 3 * (size_t)face_count * sizeof *faces);
        status = ql_surface_link(s);
    }
    if (status != QL_OK) {
        ql_surface_destroy(s);
        return status;
    }
    for (int32_t h = 0; h < 3 * face_count; ++h) s->feature[h] = s->opposite[h] < 0;
    return QL_OK;
}

void ql_surface_destroy(ql_surface *s)
{
    if (s == NULL) return;
    ql_free(s->vertices);
    ql_free(s->faces);
    ql_free(s->opposite);
    ql_free(s->outgoing);
    ql_free(s->feature);
    memset(s, 0, sizeof *s);
}

double ql_surface_normal(const ql_surface *s, int32_t face, double normal[3])
{
    const int32_t *t = s->faces + 3 * (int64_t)face;
    return ql_triangle_normal(ql_at(s, t[0]), ql_at(s, t[1]), ql_at(s, t[2]), normal);
}

double ql_surface_area(const ql_surface *s)
{
    double sum = 0, normal[3];
    for (int32_t f = 0; f < s->face_count; ++f) sum += 0.5 * ql_surface_normal(s, f, normal);
    return sum;
}

int32_t ql_surface_euler(const ql_surface *s)
{
    int32_t used = 0, half = 0, rim = 0;
    for (int32_t v = 0; v < s->vertex_count; ++v) used += s->outgoing[v] >= 0;
    for (int32_t h = 0; h < 3 * s->face_count; ++h) {
        half += s->opposite[h] >= 0;
        rim += s->opposite[h] < 0;
    }
    return used - (half / 2 + rim) + s->face_count;
}

ql_status ql_surface_loops(const ql_surface *s, int32_t *loops)
{
    uint8_t *seen = NULL;
    QL_TRY(QL_TAKE(seen, s->vertex_count + 1));
    *loops = 0;
    for (int32_t v = 0; v < s->vertex_count; ++v) {
        if (seen[v] || !ql_on_boundary(s, v)) continue;
        ++*loops;
        for (int32_t w = v; !seen[w]; w = ql_to(s, s->outgoing[w])) seen[w] = 1;
    }
    ql_free(seen);
    return QL_OK;
}

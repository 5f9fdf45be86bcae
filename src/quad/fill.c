#include "quad/fill.h"

#include "base/memory.h"
#include "field/cross_vector.h"
#include "quad/feature.h"

#include <stdlib.h>
#include <string.h>

uint8_t ql_fill_pin(const ql_polygons *p, int32_t v, const ql_surface *s, const uint8_t *corner)
{
    int32_t origin = p->origin[v], half[2];
    switch (p->origin_kind[v]) {
    case QL_ORIGIN_EDGE: return s->feature[origin] ? QL_PIN_LINE : QL_PIN_FREE;
    case QL_ORIGIN_VERTEX:
        if (corner[origin]) return QL_PIN_CORNER;
        return ql_feature_at(s, origin, half) > 0 ? QL_PIN_LINE : QL_PIN_FREE;
    default: return QL_PIN_FREE;
    }
}

enum { MIDDLE_LIMIT = 10 };

typedef struct filler {
    ql_quads *q;
    int32_t vertices, faces;
} filler;

static const double *at(const ql_quads *q, int32_t v) { return q->vertices + 3 * (int64_t)v; }

static void add_quad(filler *f, int32_t a, int32_t b, int32_t c, int32_t d)
{
    int32_t *out = f->q->faces + 4 * (int64_t)f->faces++;
    out[0] = a;
    out[1] = b;
    out[2] = c;
    out[3] = d;
}

/* Worst quad of a fan round `middle` that joins every second vertex from `first` on. */
static double fan_quality(const filler *f, const int32_t *ring, int32_t n, int32_t first, const double *middle)
{
    double least = INFINITY;
    for (int32_t i = first; i < n + first; i += 2)
        least = fmin(least, ql_quad_scaled_jacobian(middle, at(f->q, ring[i % n]), at(f->q, ring[(i + 1) % n]),
                                                    at(f->q, ring[(i + 2) % n])));
    return least;
}

static void fill_ring(filler *f, int32_t *ring, int32_t n)
{
    while (n > MIDDLE_LIMIT) { /* cut off the best quad of the rim */
        int32_t best = 0;
        double value = -INFINITY;
        for (int32_t i = 0; i < n; ++i) {
            double q = ql_quad_scaled_jacobian(at(f->q, ring[i]), at(f->q, ring[(i + 1) % n]),
                                               at(f->q, ring[(i + 2) % n]), at(f->q, ring[(i + 3) % n]));
            if (q <= value) continue;
            value = q;
            best = i;
        }
        add_quad(f, ring[best], ring[(best + 1) % n], ring[(best + 2) % n], ring[(best + 3) % n]);
        int32_t drop[2] = {(best + 1) % n, (best + 2) % n}, m = 0;
        for (int32_t i = 0; i < n; ++i)
            if (i != drop[0] && i != drop[1]) ring[m++] = ring[i];
        n = m;
    }
    if (n == 4) {
        add_quad(f, ring[0], ring[1], ring[2], ring[3]);
        return;
    }
    int32_t middle = f->vertices++;
    double *x = f->q->vertices + 3 * (int64_t)middle;
    for (int32_t i = 0; i < n; ++i) ql_axpy(1.0 / n, at(f->q, ring[i]), x);
    int32_t first = fan_quality(f, ring, n, 0, x) >= fan_quality(f, ring, n, 1, x) ? 0 : 1;
    for (int32_t i = first; i < n + first; i += 2)
        add_quad(f, middle, ring[i % n], ring[(i + 1) % n], ring[(i + 2) % n]);
}

void ql_fill_ring(ql_quads *quads, int32_t *vertices, int32_t *faces, int32_t *ring, int32_t n)
{
    filler f = {.q = quads, .vertices = *vertices, .faces = *faces};
    fill_ring(&f, ring, n);
    *vertices = f.vertices;
    *faces = f.faces;
}

ql_status ql_fill(ql_quads *quads, const ql_polygons *p, const ql_surface *s, const uint8_t *corner, int32_t *odd)
{
    int32_t corners = p->face_count > 0 ? p->start[p->face_count] : 0;
    *odd = 0;
    QL_TRY(ql_quads_create(quads, p->vertex_count + p->face_count, corners));
    filler f = {.q = quads, .vertices = p->vertex_count};
    memcpy(quads->vertices, p->vertices, 3 * (size_t)p->vertex_count * sizeof *p->vertices);
    for (int32_t v = 0; v < p->vertex_count; ++v) quads->pin[v] = ql_fill_pin(p, v, s, corner);
    for (int32_t i = 0; i < p->face_count; ++i) {
        int32_t n = p->start[i + 1] - p->start[i], ring[QL_FILL_RING_LIMIT];
        if (n % 2 != 0 || n < 4 || n > QL_FILL_RING_LIMIT) {
            ++*odd;
            continue;
        }
        memcpy(ring, p->corner + p->start[i], (size_t)n * sizeof *ring);
        fill_ring(&f, ring, n);
    }
    quads->vertex_count = f.vertices;
    quads->face_count = f.faces;
    return QL_OK;
}

typedef struct edge_ref {
    int32_t low, high, corner;
} edge_ref;

static int compare_refs(const void *left, const void *right)
{
    const edge_ref *a = left, *b = right;
    if (a->low != b->low) return a->low < b->low ? -1 : 1;
    if (a->high != b->high) return a->high < b->high ? -1 : 1;
    return a->corner < b->corner ? -1 : a->corner > b->corner;
}

/* middle[i] = number of the vertex in the middle of the edge that starts at corner i; returns how many edges there are. */
static ql_status number_edges(const int32_t *start, const int32_t *corner, int32_t faces, int32_t *middle,
                              int32_t *edges)
{
    edge_ref *refs = NULL;
    int32_t n = start[faces];
    QL_TRY(QL_TAKE(refs, n + 1));
    for (int32_t f = 0; f < faces; ++f)
        for (int32_t i = start[f]; i < start[f + 1]; ++i) {
            int32_t a = corner[i], b = corner[i + 1 < start[f + 1] ? i + 1 : start[f]];
            refs[i] = (edge_ref){a < b ? a : b, a < b ? b : a, i};
        }
    qsort(refs, (size_t)n, sizeof *refs, compare_refs);
    *edges = 0;
    for (int32_t i = 0; i < n; ++i) {
        if (i > 0 && (refs[i].low != refs[i - 1].low || refs[i].high != refs[i - 1].high)) ++*edges;
        middle[refs[i].corner] = *edges;
    }
    *edges += n > 0;
    ql_free(refs);
    return QL_OK;
}

ql_status ql_fill_split(ql_quads *quads, const double *vertices, int32_t vertex_count, const int32_t *start,
                        const int32_t *corner, int32_t face_count, const uint8_t *pin, const uint8_t *line_edges)
{
    int32_t corners = start[face_count], *middle = NULL, edges;
    QL_TRY(QL_TAKE(middle, corners + 1));
    ql_status status = number_edges(start, corner, face_count, middle, &edges);
    if (status == QL_OK) status = ql_quads_create(quads, vertex_count + edges + face_count, corners);
    if (status != QL_OK) {
        ql_free(middle);
        return status;
    }
    memcpy(quads->vertices, vertices, 3 * (size_t)vertex_count * sizeof *vertices);
    memcpy(quads->pin, pin, (size_t)vertex_count);
    for (int32_t f = 0; f < face_count; ++f) {
        int32_t n = start[f + 1] - start[f], centre = vertex_count + edges + f;
        double *x = quads->vertices + 3 * (int64_t)centre;
        for (int32_t i = start[f]; i < start[f + 1]; ++i) {
            int32_t next = i + 1 < start[f + 1] ? i + 1 : start[f], before = i > start[f] ? i - 1 : start[f + 1] - 1;
            int32_t m = vertex_count + middle[i], q[4] = {corner[i], m, centre, vertex_count + middle[before]};
            ql_lerp(at(quads, corner[i]), at(quads, corner[next]), 0.5, quads->vertices + 3 * (int64_t)m);
            if (line_edges != NULL && line_edges[i]) quads->pin[m] = QL_PIN_LINE;
            ql_axpy(1.0 / n, at(quads, corner[i]), x);
            memcpy(quads->faces + 4 * (int64_t)i, q, sizeof q);
        }
    }
    ql_free(middle);
    return QL_OK;
}

/* The last rung: triangles of a re-meshed surface, in pairs where two make a good quad, each split once (three quads from a
 * triangle, four from a pair). Needs no map, so it always works. */
#include "quad/job.h"

#include "base/log.h"
#include "base/memory.h"
#include "field/cross_vector.h"
#include "quad/feature.h"
#include "quad/fill.h"
#include "quad/remesh.h"

#include <stdlib.h>
#include <string.h>

/* No pair is made with a smaller scaled Jacobian. */
static const double LEAST_PAIR = 0.4;
/* So near the wanted number the surface is not re-meshed again. */
static const double NEAR_TARGET = 0.05;
/* With so many times the wanted number sharp edges are given up (make.c): not worth the work of improving the quads. */
static const double FAR_TOO_MANY = 1.5;

typedef struct pair {
    double quality;
    int32_t half;
} pair;

/* Triangles and pairs of them as polygons. */
typedef struct patchwork {
    int32_t count, quads; /* polygons; quads when each is split */
    int32_t *start, *corner;
    uint8_t *line, *pin; /* per corner: its edge is a feature; per vertex */
} patchwork;

static void patchwork_destroy(patchwork *p)
{
    ql_free(p->start);
    ql_free(p->corner);
    ql_free(p->line);
    ql_free(p->pin);
}

static int compare_pairs(const void *left, const void *right)
{
    const pair *a = left, *b = right;
    if (a->quality != b->quality) return a->quality > b->quality ? -1 : 1;
    return a->half < b->half ? -1 : a->half > b->half;
}

/* Corners of the quad that the faces of h and its opposite make, as half-edges that begin there. */
static void quad_of(const ql_surface *s, int32_t h, int32_t out[4])
{
    int32_t o = s->opposite[h];
    out[0] = ql_next(o);
    out[1] = ql_previous(o);
    out[2] = ql_next(h);
    out[3] = ql_previous(h);
}

/* mate[f]: the half-edge of f across which its partner lies, -1 = it stays alone; the best pairs first. */
static ql_status choose_pairs(const ql_surface *s, int32_t *mate)
{
    pair *list = NULL;
    int32_t count = 0;
    QL_TRY(QL_TAKE(list, 3 * (int64_t)s->face_count / 2 + 1));
    for (int32_t f = 0; f < s->face_count; ++f) mate[f] = -1;
    for (int32_t h = 0; h < 3 * s->face_count; ++h) {
        int32_t c[4], o = s->opposite[h];
        if (o < h || s->feature[h]) continue;
        quad_of(s, h, c);
        double m[3], n[3],
            quality = ql_quad_scaled_jacobian(ql_at(s, ql_from(s, c[0])), ql_at(s, ql_from(s, c[1])),
                                              ql_at(s, ql_from(s, c[2])), ql_at(s, ql_from(s, c[3])));
        (void)ql_surface_normal(s, h / 3, m);
        (void)ql_surface_normal(s, o / 3, n);
        if (quality >= LEAST_PAIR && ql_dot(m, n) > 0.5) list[count++] = (pair){quality, h};
    }
    qsort(list, (size_t)count, sizeof *list, compare_pairs);
    for (int32_t i = 0; i < count; ++i) {
        int32_t h = list[i].half, o = s->opposite[h];
        if (mate[h / 3] >= 0 || mate[o / 3] >= 0) continue;
        mate[h / 3] = h;
        mate[o / 3] = o;
    }
    ql_free(list);
    return QL_OK;
}

static void add_polygon(patchwork *p, const ql_surface *s, const int32_t *half, int32_t n)
{
    int32_t at = p->start[p->count];
    for (int32_t k = 0; k < n; ++k) {
        p->corner[at + k] = ql_from(s, half[k]);
        p->line[at + k] = s->feature[half[k]] != 0;
    }
    p->start[++p->count] = at + n;
    p->quads += n;
}

static ql_status patchwork_create(patchwork *p, const ql_surface *s, bool paired)
{
    int32_t *mate = NULL, half[2];
    memset(p, 0, sizeof *p);
    ql_status status = QL_TAKE(mate, s->face_count + 1);
    if (status == QL_OK) status = QL_TAKE(p->start, s->face_count + 1);
    if (status == QL_OK) status = QL_TAKE(p->corner, 3 * (int64_t)s->face_count + 1);
    if (status == QL_OK) status = QL_TAKE(p->line, 3 * (int64_t)s->face_count + 1);
    if (status == QL_OK) status = QL_TAKE(p->pin, s->vertex_count + 1);
    if (status == QL_OK && paired) status = choose_pairs(s, mate);
    for (int32_t f = 0; status == QL_OK && f < s->face_count; ++f) {
        int32_t h = paired ? mate[f] : -1, corners[4] = {3 * f, 3 * f + 1, 3 * f + 2, -1};
        if (h >= 0 && s->opposite[h] < h) continue; /* with its partner */
        if (h >= 0) quad_of(s, h, corners);
        add_polygon(p, s, corners, h >= 0 ? 4 : 3);
    }
    if (status == QL_OK) status = ql_feature_corners(s, p->pin);
    for (int32_t v = 0; status == QL_OK && v < s->vertex_count; ++v)
        p->pin[v] = p->pin[v]                                              ? QL_PIN_CORNER
                    : s->outgoing[v] >= 0 && ql_feature_at(s, v, half) > 0 ? QL_PIN_LINE
                                                                           : QL_PIN_FREE;
    ql_free(mate);
    if (status != QL_OK) patchwork_destroy(p);
    return status;
}

static ql_status split_all(ql_job *j, const ql_surface *s, const patchwork *p, int sweeps, bool *done)
{
    ql_quads quads = {0};
    ql_status status =
        ql_fill_split(&quads, s->vertices, s->vertex_count, p->start, p->corner, p->count, p->pin, p->line);
    if (status == QL_OK && ql_job_accept(j, &quads, sweeps)) {
        *done = true;
        j->rung = QL_RUNG_SPLIT;
    }
    ql_quads_destroy(&quads);
    return status;
}

/* Re-meshes until the number of quads is near the wanted one: features and details take more triangles than their area asks
 * for. */
static ql_status remesh(const ql_job *j, double share, bool paired, int tries, ql_surface *s, patchwork *p)
{
    double size = share * j->edge, wanted = j->component->area / (j->edge * j->edge);
    for (int i = 1;; ++i) {
        QL_TRY(ql_job_copy(s, &j->original));
        ql_status status = QL_OK;
        if (i > 1)
            status =
                ql_remesh(s, 0.5 * size, 2, j->surface, j->lines, 0); /* what splits as one does not merge as one */
        if (status == QL_OK) status = ql_remesh(s, size, 6, j->surface, j->lines, 0);
        if (status == QL_OK) status = patchwork_create(p, s, paired);
        if (status != QL_OK) {
            ql_surface_destroy(s);
            return status;
        }
        double ratio = p->quads / wanted;
        QL_DEBUG("%d triangles of edge %g: %d quads", s->face_count, size, p->quads);
        if (i == tries || fabs(ratio - 1) <= NEAR_TARGET) return QL_OK;
        size *= fmin(fmax(sqrt(ratio), 0.5), 2);
        patchwork_destroy(p);
        ql_surface_destroy(s);
    }
}

/* As they are: smoothed, or not when that does not verify. */
static ql_status try_as_is(ql_job *j, const ql_surface *s, const patchwork *p, bool *done)
{
    QL_TRY(split_all(j, s, p, 4, done));
    return *done ? QL_OK : split_all(j, s, p, 0, done);
}

ql_status ql_job_split(ql_job *j, bool *found)
{
    static const struct {
        double share; /* triangle edge for the wanted number of quads, and smaller ones that keep more of the shape */
        bool paired;
        int tries;
    } ways[] = {{2.2, true, 4}, {2.63, false, 4}, {1.8, false, 1}, {1.2, false, 1}};
    enum { WAYS = sizeof ways / sizeof *ways };
    ql_surface s;
    patchwork p;
    *found = false;
    for (int i = 0; i < WAYS && !*found; ++i) {
        double wanted = j->component->area / (j->edge * j->edge);
        QL_TRY(remesh(j, ways[i].share, ways[i].paired, ways[i].tries, &s, &p));
        ql_status status = QL_OK;
        if (i == 0 && j->features > 0 && wanted > QL_JOB_FEW_QUADS && p.quads > FAR_TOO_MANY * wanted)
            status = QL_FAIL(NUMERIC, "sharp edges take %d quads, %.0f are wanted", p.quads, wanted);
        else
            status = try_as_is(j, &s, &p, found);
        patchwork_destroy(&p);
        ql_surface_destroy(&s);
        QL_TRY(status);
    }
    if (!*found) { /* at last the input itself */
        QL_TRY(patchwork_create(&p, &j->original, false));
        ql_status status = split_all(j, &j->original, &p, 0, found);
        patchwork_destroy(&p);
        QL_TRY(status);
    }
    return *found ? QL_OK : QL_FAIL(NUMERIC, "no rung of the ladder gave a valid quad mesh");
}

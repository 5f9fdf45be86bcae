/* Verification and the quality table (definitions of the project's judge: see quad.h). */
#include "quad/quad.h"

#include "base/memory.h"
#include "base/random.h"
#include "field/cross_vector.h"
#include "quad/closest.h"
#include "quad/polish.h"
#include "quad/prepare.h"

#include <stdio.h>

#include <stdlib.h>
#include <string.h>

#define QL_QUALITY_NAME(name, unit, text) #name,
#define QL_QUALITY_UNIT(name, unit, text) unit,
#define QL_QUALITY_TEXT(name, unit, text) text,
static const char *const names[] = {QL_QUAD_QUALITY_LIST(QL_QUALITY_NAME)};
static const char *const units[] = {QL_QUAD_QUALITY_LIST(QL_QUALITY_UNIT)};
static const char *const texts[] = {QL_QUAD_QUALITY_LIST(QL_QUALITY_TEXT)};

int ql_quad_quality_count(void) { return (int)(sizeof names / sizeof *names); }
const char *ql_quad_quality_name(int index) { return names[index]; }
const char *ql_quad_quality_unit(int index) { return units[index]; }
const char *ql_quad_quality_text(int index) { return texts[index]; }
double ql_quad_quality_value(const ql_quad_quality *quality, int index)
{
    double value;
    memcpy(&value, (const char *)quality + (size_t)index * sizeof value, sizeof value);
    return value;
}

enum { SAMPLES = 30000 };

typedef struct judged {
    const double *x;
    int32_t vertices;
    const int32_t *quads;
    int32_t faces;
    ql_quad_quality *out;
    int32_t nonmanifold, folded;
    int32_t *rim; /* union-find over vertices of boundary edges, -1 = not at the boundary */
} judged;

typedef struct side {
    int32_t low, high;
} side;

static int compare_sides(const void *left, const void *right)
{
    const side *a = left, *b = right;
    if (a->low != b->low) return a->low < b->low ? -1 : 1;
    return a->high < b->high ? -1 : a->high > b->high;
}

static int32_t find(int32_t *parent, int32_t v)
{
    while (parent[v] != v) v = parent[v] = parent[parent[v]];
    return v;
}

static void count_valence(judged *j, const int32_t *valence)
{
    ql_quad_quality *q = j->out;
    for (int32_t v = 0; v < j->vertices; ++v) {
        if (valence[v] == 0) continue;
        q->vertices += 1;
        if (j->rim[v] >= 0) {
            q->irregular_boundary += valence[v] != 3;
            q->boundary_loops += j->rim[v] == v;
            continue;
        }
        q->irregular_interior += valence[v] != 4;
        q->singularities_below += valence[v] < 3;
        q->singularities_3 += valence[v] == 3;
        q->singularities_5 += valence[v] == 5;
        q->singularities_6 += valence[v] == 6;
        q->singularities_above += valence[v] > 6;
    }
}

static ql_status topology(judged *j)
{
    side *sides = NULL;
    int32_t *valence = NULL, n = 4 * j->faces, edges = 0;
    ql_status status = QL_TAKE(sides, n + 1);
    if (status == QL_OK) status = QL_TAKE(valence, j->vertices + 1);
    if (status == QL_OK) status = QL_TAKE(j->rim, j->vertices + 1);
    if (status == QL_OK) {
        for (int32_t v = 0; v < j->vertices; ++v) j->rim[v] = -1;
        for (int32_t i = 0; i < n; ++i) {
            int32_t a = j->quads[i], b = j->quads[(i & ~3) | ((i + 1) & 3)];
            sides[i] = (side){a < b ? a : b, a < b ? b : a};
        }
        qsort(sides, (size_t)n, sizeof *sides, compare_sides);
        for (int32_t i = 0, end; i < n; i = end) {
            for (end = i + 1; end < n && compare_sides(&sides[i], &sides[end]) == 0;) ++end;
            int32_t a = sides[i].low, b = sides[i].high;
            ++edges;
            valence[a]++;
            valence[b]++;
            j->nonmanifold += end - i > 2;
            if (end - i != 1) continue;
            if (j->rim[a] < 0) j->rim[a] = a;
            if (j->rim[b] < 0) j->rim[b] = b;
            j->rim[find(j->rim, a)] = find(j->rim, b);
        }
        for (int32_t v = 0; v < j->vertices; ++v)
            if (j->rim[v] >= 0) j->rim[v] = find(j->rim, v);
        count_valence(j, valence);
        j->out->euler = j->out->vertices - edges + j->faces;
    }
    ql_free(sides);
    ql_free(valence);
    return status;
}

ql_status ql_quad_count_irregular(const ql_quads *quads, int32_t *irregular)
{
    ql_quad_quality quality = {0};
    judged j = {.vertices = quads->vertex_count, .quads = quads->faces, .faces = quads->face_count, .out = &quality};
    ql_status status = topology(&j);
    *irregular = (int32_t)quality.irregular_interior;
    ql_free(j.rim);
    return status;
}

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

typedef struct sums {
    double jacobian, angle, ratio, area, area2, edge, edge2;
} sums;

/* One quad's share of the sums; returns its scaled Jacobian. */
static double one_quad(const judged *j, int32_t f, sums *s)
{
    const double *p[4];
    double edge[4][3], length[4], n[3], u[3], v[3], low = INFINITY, high = -INFINITY;
    for (int k = 0; k < 4; ++k) p[k] = j->x + 3 * (int64_t)j->quads[4 * f + k];
    ql_sub(p[2], p[0], u);
    ql_sub(p[3], p[1], v);
    ql_cross(u, v, n);
    double area = 0.5 * ql_normalise(n);
    for (int k = 0; k < 4; ++k) {
        ql_sub(p[(k + 1) & 3], p[k], edge[k]);
        length[k] = ql_norm(edge[k]);
        s->edge += length[k];
        s->edge2 += length[k] * length[k];
    }
    for (int k = 0; k < 4; ++k) {
        double x[3], product = fmax(length[k] * length[(k + 3) & 3], 1e-300);
        ql_cross(edge[(k + 3) & 3], edge[k], x);
        double jacobian = ql_dot(x, n), cosine = -ql_dot(edge[k], edge[(k + 3) & 3]) / product;
        low = fmin(low, jacobian);
        high = fmax(high, jacobian);
        s->angle += fabs(acos(fmax(-1, fmin(1, cosine))) * 180 / M_PI - 90);
    }
    s->ratio += fmax(-1, fmin(1, low / fmax(high, 1e-300)));
    s->area += area;
    s->area2 += area * area;
    return ql_quad_scaled_jacobian(p[0], p[1], p[2], p[3]);
}

static ql_status shape(judged *j, double *mean_area)
{
    double *value = NULL, n = j->faces;
    sums s = {0};
    QL_TRY(QL_TAKE(value, j->faces + 1));
    for (int32_t f = 0; f < j->faces; ++f) {
        value[f] = one_quad(j, f, &s);
        s.jacobian += value[f];
        j->folded += !(value[f] > 0);
    }
    qsort(value, (size_t)j->faces, sizeof *value, compare_doubles);
    ql_quad_quality *q = j->out;
    q->faces = n;
    q->sj_min = value[0];
    q->sj_p5 = value[(int32_t)(0.05 * (n - 1))];
    q->sj_mean = s.jacobian / n;
    q->angle_dev_mean = s.angle / (4 * n);
    q->jr_mean = s.ratio / n;
    q->area_cv = sqrt(fmax(0, s.area2 / n - s.area * s.area / (n * n))) / fmax(s.area / n, 1e-300);
    q->edge_cv = sqrt(fmax(0, s.edge2 / (4 * n) - s.edge * s.edge / (16 * n * n))) / fmax(s.edge / (4 * n), 1e-300);
    *mean_area = s.area / n;
    ql_free(value);
    return QL_OK;
}

/* Mean and largest distance of area-weighted samples of triangles to a tree. */
static ql_status sampled(const double *x, const int32_t *tri, int32_t count, const ql_closest *tree, double *mean,
                         double *largest)
{
    double *sum = NULL, total = 0;
    QL_TRY(QL_TAKE(sum, count + 1));
    for (int32_t t = 0; t < count; ++t) {
        double n[3];
        total += ql_triangle_normal(x + 3 * (int64_t)tri[3 * t], x + 3 * (int64_t)tri[3 * t + 1],
                                    x + 3 * (int64_t)tri[3 * t + 2], n);
        sum[t] = total;
    }
    *mean = *largest = 0;
    int32_t t = 0;
    ql_key key = {{4, 17}};
    for (int32_t i = 0; i < SAMPLES; ++i) { /* stratified over area */
        ql_random4 r = ql_random_at(key, QL_STREAM_TEST, 1, (uint64_t)i);
        double where = (i + (double)ql_uniform(r.r[0])) / SAMPLES * total, a = sqrt((double)ql_uniform(r.r[1])),
               b = (double)ql_uniform(r.r[2]), p[3] = {0, 0, 0}, near_one[3], d2;
        while (t + 1 < count && sum[t] < where) ++t;
        ql_axpy(1 - a, x + 3 * (int64_t)tri[3 * t], p);
        ql_axpy(a * (1 - b), x + 3 * (int64_t)tri[3 * t + 1], p);
        ql_axpy(a * b, x + 3 * (int64_t)tri[3 * t + 2], p);
        if (ql_closest_find(tree, p, INFINITY, near_one, &d2) < 0) continue;
        *mean += sqrt(d2) / SAMPLES;
        *largest = fmax(*largest, sqrt(d2));
    }
    ql_free(sum);
    return QL_OK;
}

static ql_status distances(judged *j, const ql_prepared *input, const ql_mesh *mesh)
{
    int32_t *tri = NULL;
    ql_closest *ours = NULL, *theirs = NULL;
    double mean[2], largest[2];
    ql_status status = QL_TAKE(tri, 6 * (int64_t)j->faces);
    for (int32_t f = 0; status == QL_OK && f < j->faces; ++f) {
        const int32_t *q = j->quads + 4 * (int64_t)f;
        int32_t t[6] = {q[0], q[1], q[2], q[0], q[2], q[3]};
        memcpy(tri + 6 * (int64_t)f, t, sizeof t);
    }
    if (status == QL_OK) status = ql_closest_of_faces(&ours, j->x, tri, 2 * j->faces);
    if (status == QL_OK) status = ql_closest_of_faces(&theirs, mesh->vertices, mesh->faces, mesh->face_count);
    if (status == QL_OK) status = sampled(mesh->vertices, mesh->faces, mesh->face_count, ours, &mean[0], &largest[0]);
    if (status == QL_OK) status = sampled(j->x, tri, 2 * j->faces, theirs, &mean[1], &largest[1]);
    if (status == QL_OK) {
        j->out->chamfer_pct = 50 * (mean[0] + mean[1]) / input->diagonal;
        j->out->hausdorff_pct = 100 * fmax(largest[0], largest[1]) / input->diagonal;
    }
    ql_free(tri);
    ql_closest_destroy(ours);
    ql_closest_destroy(theirs);
    return status;
}

/* Share of sharp input edges whose middle lies within a tenth of a quad edge of an output edge. */
static ql_status recall(judged *j, const ql_prepared *input, double angle_deg, double quad_edge)
{
    double *corners = NULL, limit = cos(angle_deg * M_PI / 180), found = 0, sharp = 0;
    ql_closest *edges = NULL;
    QL_TRY(QL_TAKE(corners, 36 * (int64_t)j->faces));
    for (int32_t i = 0; i < 4 * j->faces; ++i) {
        const double *a = j->x + 3 * (int64_t)j->quads[i], *b = j->x + 3 * (int64_t)j->quads[(i & ~3) | ((i + 1) & 3)];
        memcpy(corners + 9 * (int64_t)i, a, 3 * sizeof *a);
        memcpy(corners + 9 * (int64_t)i + 3, b, 3 * sizeof *b);
        memcpy(corners + 9 * (int64_t)i + 6, b, 3 * sizeof *b);
    }
    ql_status status = ql_closest_create(&edges, corners, 4 * j->faces);
    for (int32_t c = 0; status == QL_OK && c < input->count; ++c) {
        const ql_surface *s = &input->component[c].surface;
        for (int32_t h = 0; h < 3 * s->face_count; ++h) {
            double m[3], n[3], middle[3], near_one[3], d2, reach = 0.1 * quad_edge;
            if (s->opposite[h] < h) continue;
            double a = ql_surface_normal(s, h / 3, m), b = ql_surface_normal(s, s->opposite[h] / 3, n);
            if (!(a > 0) || !(b > 0) || ql_dot(m, n) >= limit) continue;
            ql_lerp(ql_at(s, ql_from(s, h)), ql_at(s, ql_to(s, h)), 0.5, middle);
            sharp += 1;
            found += ql_closest_find(edges, middle, reach * reach, near_one, &d2) >= 0;
        }
    }
    j->out->feature_recall = sharp > 0 ? found / sharp : NAN;
    ql_free(corners);
    ql_closest_destroy(edges);
    return status;
}

static ql_status open_judged(judged *j, ql_quad_quality *out, const double *vertices, int32_t vertex_count,
                             const int32_t *quads, int32_t face_count)
{
    memset(out, 0, sizeof *out);
    *j = (judged){.x = vertices, .vertices = vertex_count, .quads = quads, .faces = face_count, .out = out};
    if (face_count < 1) return QL_FAIL(MESH, "quad mesh has no faces");
    for (int32_t i = 0; i < 4 * face_count; ++i)
        if (quads[i] < 0 || quads[i] >= vertex_count)
            return QL_FAIL(MESH, "quad %d: vertex %d is not among the %d", i / 4, quads[i], vertex_count);
    return QL_OK;
}

/* Topology and shape, and what they say; *mean_area is that of the quads. */
static ql_status verdict(judged *j, const ql_prepared *input, bool *valid, char why[256], double *mean_area)
{
    const ql_quad_quality *q = j->out;
    ql_status status = topology(j);
    if (status == QL_OK) status = shape(j, mean_area);
    why[0] = 0;
    if (status == QL_OK) {
        if (q->euler != input->euler)
            (void)snprintf(why, 256, "Euler characteristic %d, input has %d", (int)q->euler, input->euler);
        else if (q->boundary_loops != input->loops)
            (void)snprintf(why, 256, "%d boundary loops, input has %d", (int)q->boundary_loops, input->loops);
        else if (j->nonmanifold > 0)
            (void)snprintf(why, 256, "%d non-manifold edges", j->nonmanifold);
        else if (j->folded > 0)
            (void)snprintf(why, 256, "%d quads with scaled Jacobian <= 0", j->folded);
    }
    *valid = status == QL_OK && why[0] == 0;
    ql_free(j->rim);
    return status;
}

ql_status ql_quad_check(bool *valid, char why[256], const double *vertices, int32_t vertex_count, const int32_t *quads,
                        int32_t face_count, const ql_mesh *input)
{
    ql_quad_quality quality;
    ql_prepared prepared;
    judged j;
    double mean_area;
    *valid = false;
    why[0] = 0;
    QL_TRY(open_judged(&j, &quality, vertices, vertex_count, quads, face_count));
    QL_TRY(ql_prepare(&prepared, input));
    ql_status status = verdict(&j, &prepared, valid, why, &mean_area);
    ql_prepared_destroy(&prepared);
    return status;
}

ql_status ql_quad_judge(ql_quad_quality *quality, bool *valid, char why[256], const double *vertices,
                        int32_t vertex_count, const int32_t *quads, int32_t face_count, const ql_mesh *input,
                        double feature_angle_deg)
{
    ql_prepared prepared;
    judged j;
    double mean_area = 0;
    *valid = false;
    why[0] = 0;
    QL_TRY(open_judged(&j, quality, vertices, vertex_count, quads, face_count));
    QL_TRY(ql_prepare(&prepared, input));
    ql_status status = verdict(&j, &prepared, valid, why, &mean_area);
    if (status == QL_OK) status = distances(&j, &prepared, input);
    if (status == QL_OK) status = recall(&j, &prepared, feature_angle_deg, sqrt(mean_area));
    if (status != QL_OK) *valid = false;
    ql_prepared_destroy(&prepared);
    return status;
}

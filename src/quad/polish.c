#include "quad/polish.h"

#include "base/memory.h"
#include "field/cross_vector.h"
#include "quad/star.h"

#include <stdbool.h>
#include <string.h>

ql_status ql_quads_create(ql_quads *q, int32_t vertex_count, int32_t face_count)
{
    memset(q, 0, sizeof *q);
    q->vertex_count = vertex_count;
    q->face_count = face_count;
    ql_status status = QL_TAKE(q->vertices, 3 * (int64_t)vertex_count + 1);
    if (status == QL_OK) status = QL_TAKE(q->faces, 4 * (int64_t)face_count + 1);
    if (status == QL_OK) status = QL_TAKE(q->pin, vertex_count + 1);
    if (status != QL_OK) ql_quads_destroy(q);
    return status;
}

void ql_quads_destroy(ql_quads *q)
{
    if (q == NULL) return;
    ql_free(q->vertices);
    ql_free(q->faces);
    ql_free(q->pin);
    memset(q, 0, sizeof *q);
}

double ql_quad_scaled_jacobian(const double *a, const double *b, const double *c, const double *d)
{
    const double *p[4] = {a, b, c, d};
    double edge[4][3], length[4], n[3], u[3], v[3], least = INFINITY;
    ql_sub(c, a, u);
    ql_sub(d, b, v);
    ql_cross(u, v, n);
    if (!(ql_normalise(n) > 0)) return -1;
    for (int k = 0; k < 4; ++k) {
        ql_sub(p[(k + 1) & 3], p[k], edge[k]);
        length[k] = ql_norm(edge[k]);
    }
    for (int k = 0; k < 4; ++k) {
        double x[3];
        ql_cross(edge[(k + 3) & 3], edge[k], x); /* e_i x (-e_{i-1}) = e_{i-1} x e_i */
        least = fmin(least, ql_dot(x, n) / fmax(length[k] * length[(k + 3) & 3], 1e-300));
    }
    return least;
}

/* Where the square nearest to a quad (least squares in its mean plane) has corner k. The size is the quad's own, pulled half
 * way towards `size`. */
static void square_corner(const ql_quads *q, int32_t f, int k, double size, double out[3])
{
    const int32_t *c = q->faces + 4 * (int64_t)f;
    double centre[3] = {0, 0, 0}, u[3], v[3], n[3], a[3], b[3];
    for (int i = 0; i < 4; ++i) ql_axpy(0.25, ql_star_at(q, c[i]), centre);
    ql_sub(ql_star_at(q, c[2]), ql_star_at(q, c[0]), u);
    ql_sub(ql_star_at(q, c[3]), ql_star_at(q, c[1]), v);
    ql_cross(u, v, n);
    (void)ql_normalise(n);
    ql_axpy(-ql_dot(u, n), n, u);
    ql_cross(v, n, a); /* the second diagonal turned back by 90 degrees */
    for (int i = 0; i < 3; ++i) b[i] = 0.5 * (u[i] + a[i]);
    double length = ql_norm(b), wanted = 0.5 * (length + size * sqrt(2.0));
    if (length > 0)
        for (int i = 0; i < 3; ++i) b[i] *= wanted / length;
    ql_cross(n, b, a);
    static const double along[4] = {-0.5, 0, 0.5, 0}, over[4] = {0, -0.5, 0, 0.5};
    for (int i = 0; i < 3; ++i) out[i] = centre[i] + along[k] * b[i] + over[k] * a[i];
}

static double mean_edge(const ql_quads *q)
{
    double sum = 0;
    for (int32_t f = 0; f < q->face_count; ++f)
        for (int k = 0; k < 4; ++k)
            sum +=
                sqrt(ql_distance2(ql_star_at(q, q->faces[4 * f + k]), ql_star_at(q, q->faces[4 * f + ((k + 1) & 3)])));
    return sum / (4.0 * (q->face_count > 0 ? q->face_count : 1));
}

/* guarded: only moves that do not spoil the worst quad round the vertex; else all moves, of vertices off the lines. */
static void smooth_sweep(const ql_star *p, double size, bool guarded)
{
    ql_quads *q = p->q;
    for (int32_t v = 0; v < q->vertex_count; ++v) {
        int32_t n = p->start[v + 1] - p->start[v];
        if (q->pin[v] == QL_PIN_CORNER || n == 0 || (!guarded && q->pin[v] != QL_PIN_FREE)) continue;
        double x[3] = {0, 0, 0};
        for (int32_t i = p->start[v]; i < p->start[v + 1]; ++i) {
            double wish[3];
            square_corner(q, p->star[i] / 4, p->star[i] & 3, size, wish);
            ql_axpy(1.0 / n, wish, x);
        }
        ql_star_put_back(p, v, x);
        if (!guarded || ql_star_quality(p, v, x) > 0.6 ||
            ql_star_quality(p, v, x) >= ql_star_quality(p, v, ql_star_at(q, v)))
            memcpy(q->vertices + 3 * (int64_t)v, x, sizeof x);
    }
}

/* Direct search: steps along tangent directions while the worst quad round v gets better. */
static int search_vertex(const ql_star *p, int32_t v)
{
    ql_quads *q = p->q;
    if (q->pin[v] == QL_PIN_CORNER) return 0;
    int32_t corner0 = p->star[p->start[v]];
    double size = 0, best = ql_star_quality(p, v, ql_star_at(q, v)), n[3] = {0, 0, 0}, a[3], b[3];
    for (int32_t i = p->start[v]; i < p->start[v + 1]; ++i) {
        const int32_t *c = q->faces + 4 * (int64_t)(p->star[i] / 4);
        double u[3], w[3], x[3];
        ql_sub(ql_star_at(q, c[2]), ql_star_at(q, c[0]), u);
        ql_sub(ql_star_at(q, c[3]), ql_star_at(q, c[1]), w);
        ql_cross(u, w, x);
        ql_axpy(1, x, n);
        size = fmax(size, fmax(ql_norm(u), ql_norm(w)));
    }
    (void)ql_normalise(n);
    ql_sub(ql_star_at(q, q->faces[4 * (corner0 / 4) + ((corner0 + 1) & 3)]), ql_star_at(q, v), a);
    ql_axpy(-ql_dot(a, n), n, a);
    if (!(ql_normalise(a) > 0)) return 0;
    ql_cross(n, a, b);
    int moved = 0;
    for (double step = 0.4 * size; step > 0.01 * size; step *= 0.5)
        for (int k = 0; k < 12; ++k) {
            double x[3], c = cos(k * M_PI / 6), s = sin(k * M_PI / 6);
            for (int i = 0; i < 3; ++i) x[i] = ql_star_at(q, v)[i] + step * (c * a[i] + s * b[i]);
            ql_star_put_back(p, v, x);
            double value = ql_star_quality(p, v, x);
            if (value <= best + 1e-6) continue;
            best = value;
            memcpy(q->vertices + 3 * (int64_t)v, x, sizeof x);
            moved = 1;
        }
    return moved;
}

/* Works on quads below `limit`, their corners first, then the ring around. */
static void untangle_sweep(const ql_star *p, double limit)
{
    const ql_quads *q = p->q;
    for (int32_t f = 0; f < q->face_count; ++f) {
        if (ql_star_quad(q, f) >= limit) continue;
        for (int k = 0; k < 4; ++k) (void)search_vertex(p, q->faces[4 * f + k]);
    }
}

/* Interior vertices with two quads: the quads become one. */
static ql_status remove_doublets(ql_quads *q, int *removed)
{
    int32_t *first = NULL, *second = NULL, *count = NULL;
    ql_status status = QL_TAKE(first, q->vertex_count + 1);
    if (status == QL_OK) status = QL_TAKE(second, q->vertex_count + 1);
    if (status == QL_OK) status = QL_TAKE(count, q->vertex_count + 1);
    *removed = 0;
    for (int32_t i = 0; status == QL_OK && i < 4 * q->face_count; ++i) {
        int32_t v = q->faces[i];
        if (count[v]++ == 0)
            first[v] = i;
        else
            second[v] = i;
    }
    for (int32_t v = 0; status == QL_OK && v < q->vertex_count; ++v) {
        if (count[v] != 2 || q->pin[v] != QL_PIN_FREE) continue;
        int32_t *f = q->faces + 4 * (int64_t)(first[v] / 4), *g = q->faces + 4 * (int64_t)(second[v] / 4);
        if (f == g || f[0] < 0 || g[0] < 0) continue;
        int32_t i = first[v] & 3, j = second[v] & 3;
        /* f = (.. before v after far), g = (.. after v before other) */
        if (f[(i + 1) & 3] != g[(j + 3) & 3] || f[(i + 3) & 3] != g[(j + 1) & 3]) continue;
        f[i] = g[(j + 2) & 3];
        for (int k = 0; k < 4; ++k) g[k] = -1;
        ++*removed;
    }
    int32_t n = 0;
    for (int32_t f = 0; status == QL_OK && f < q->face_count; ++f)
        if (q->faces[4 * f] >= 0) {
            memmove(q->faces + 4 * (int64_t)n, q->faces + 4 * (int64_t)f, 4 * sizeof *q->faces);
            ++n;
        }
    if (status == QL_OK) q->face_count = n;
    ql_free(first);
    ql_free(second);
    ql_free(count);
    return status;
}

/* Renumbers vertices in use. */
static ql_status compact(ql_quads *q)
{
    int32_t *number = NULL, n = 0;
    QL_TRY(QL_TAKE(number, q->vertex_count + 1));
    for (int32_t i = 0; i < 4 * q->face_count; ++i) number[q->faces[i]] = 1;
    for (int32_t v = 0; v < q->vertex_count; ++v) {
        if (!number[v]) continue;
        memmove(q->vertices + 3 * (int64_t)n, ql_star_at(q, v), 3 * sizeof *q->vertices);
        q->pin[n] = q->pin[v];
        number[v] = n++;
    }
    for (int32_t i = 0; i < 4 * q->face_count; ++i) q->faces[i] = number[q->faces[i]];
    q->vertex_count = n;
    ql_free(number);
    return QL_OK;
}

static double worst_quad(const ql_quads *q)
{
    double least = INFINITY;
    for (int32_t f = 0; f < q->face_count; ++f) least = fmin(least, ql_star_quad(q, f));
    return least;
}

static void improve(const ql_star *p, int loose_sweeps, int sweeps)
{
    double size = mean_edge(p->q);
    for (int sweep = 0; sweep < loose_sweeps; ++sweep) smooth_sweep(p, size, false);
    for (int sweep = 0; sweep < sweeps; ++sweep) smooth_sweep(p, size, true);
    for (int sweep = 0; sweep < 6; ++sweep) untangle_sweep(p, 0.45);
}

/* Careful smoothing first; when that leaves bad corners, also from the start with free smoothing, and the better one stays. */
static ql_status improve_twice(const ql_star *p, int sweeps)
{
    static const double GOOD = 0.25;
    ql_quads *q = p->q;
    size_t size = 3 * (size_t)q->vertex_count * sizeof *q->vertices;
    double *start = NULL, *first = NULL;
    ql_status status = QL_TAKE(start, 3 * (int64_t)q->vertex_count + 1);
    if (status == QL_OK) status = QL_TAKE(first, 3 * (int64_t)q->vertex_count + 1);
    if (status == QL_OK) {
        memcpy(start, q->vertices, size);
        improve(p, 0, sweeps);
        double one = worst_quad(q);
        if (sweeps > 0 && one < GOOD) {
            memcpy(first, q->vertices, size);
            memcpy(q->vertices, start, size);
            improve(p, 15, sweeps);
            if (worst_quad(q) < one) memcpy(q->vertices, first, size);
        }
    }
    ql_free(start);
    ql_free(first);
    return status;
}

ql_status ql_polish(ql_quads *q, const ql_closest *surface, const ql_closest *lines, const int32_t *chain, int sweeps)
{
    ql_star p = {0};
    ql_status status = QL_OK;
    for (int removed = 1, round = 0; status == QL_OK && removed && round < 10; ++round)
        status = remove_doublets(q, &removed);
    if (status == QL_OK) status = compact(q);
    if (status == QL_OK) status = ql_star_create(&p, q, surface, lines, chain);
    if (status == QL_OK) status = improve_twice(&p, sweeps);
    ql_star_destroy(&p);
    return status;
}

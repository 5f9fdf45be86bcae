#include "quad/fit.h"

#include "base/memory.h"
#include "field/cross_vector.h"
#include "quad/even.h"
#include "quad/star.h"

#include <string.h>

/* Samples of the input per quad. */
enum { INPUT_PER_QUAD = 10 };
/* Samples of each of a quad's two triangles: inside and on the edges. */
static const double SHARES[6][3] = {{2.0 / 3, 1.0 / 6, 1.0 / 6},
                                    {1.0 / 6, 2.0 / 3, 1.0 / 6},
                                    {1.0 / 6, 1.0 / 6, 2.0 / 3},
                                    {0, 0.5, 0.5},
                                    {0.5, 0, 0.5},
                                    {0.5, 0.5, 0}};
enum { PER_TRIANGLE = sizeof SHARES / sizeof *SHARES };
/* No quad becomes worse than this for the sake of nearness. */
static const double LEAST_QUALITY = 0.4;
/* Weight of samples that are near already, of the furthest one. */
static const double FLOOR = 0.02;
/* Sweeps without a gain after which it ends. */
enum { PATIENCE = 3 };

typedef struct fit {
    ql_quads *q;
    const ql_surface *s;
    const ql_closest *tree;
    ql_star star;
    int32_t count;          /* samples of the input */
    double *point, *normal; /* count x 3 */
    int32_t *tri;           /* 6 per quad */
    double *pull, *weight;  /* 3 per vertex, 1 per vertex: sum w b r, sum w b */
    double largest, sum4;   /* of this sweep: largest squared distance, sum of d^4 */
} fit;

static double fraction(double x) { return x - floor(x); }

/* Stratified over area, with barycentric coordinates of the R2 sequence (Roberts 2018), and every vertex of the input, since
 * tips are vertices. */
static ql_status sample_input(fit *t)
{
    const ql_surface *s = t->s;
    int64_t wanted = INPUT_PER_QUAD * (int64_t)t->q->face_count, room = wanted + s->vertex_count;
    double total = ql_surface_area(s), sum = 0, n[3];
    QL_TRY(QL_TAKE(t->point, 3 * room + 1));
    QL_TRY(QL_TAKE(t->normal, 3 * room + 1));
    int64_t i = 0;
    for (int32_t f = 0; f < s->face_count; ++f) {
        sum += 0.5 * ql_surface_normal(s, f, n);
        for (; i < wanted && ((double)i + 0.5) * total < sum * (double)wanted; ++i) {
            double a = sqrt(fraction(0.5 + 0.7548776662466927 * (double)i)),
                   b = fraction(0.5 + 0.5698402909980532 * (double)i), *p = t->point + 3 * (int64_t)t->count;
            ql_axpy(1 - a, ql_at(s, s->faces[3 * f]), p);
            ql_axpy(a * (1 - b), ql_at(s, s->faces[3 * f + 1]), p);
            ql_axpy(a * b, ql_at(s, s->faces[3 * f + 2]), p);
            memcpy(t->normal + 3 * (int64_t)t->count++, n, sizeof n);
        }
    }
    int64_t stride =
        1 + s->vertex_count / (wanted + 1); /* of inputs that are much finer than the quads a share will do */
    for (int64_t v = 0; v < s->vertex_count; v += stride) {
        if (s->outgoing[v] < 0) continue;
        memcpy(t->point + 3 * (int64_t)t->count++, ql_at(s, (int32_t)v), sizeof n); /* normal 0: any side */
    }
    return QL_OK;
}

static void build_triangles(const fit *t)
{
    for (int32_t f = 0; f < t->q->face_count; ++f) {
        const int32_t *c = t->q->faces + 4 * (int64_t)f;
        int32_t two[6] = {c[0], c[1], c[2], c[0], c[2], c[3]};
        memcpy(t->tri + 6 * (int64_t)f, two, sizeof two);
    }
}

/* Barycentric coordinates of a point on a triangle (a third each where it is degenerate). */
static void shares(const double x[3], const double a[3], const double b[3], const double c[3], double share[3])
{
    double e[3], f[3], d[3];
    ql_sub(b, a, e);
    ql_sub(c, a, f);
    ql_sub(x, a, d);
    double ee = ql_dot(e, e), ef = ql_dot(e, f), ff = ql_dot(f, f), de = ql_dot(d, e), df = ql_dot(d, f),
           det = ee * ff - ef * ef;
    share[0] = share[1] = share[2] = 1.0 / 3;
    if (!(det > 1e-14 * ee * ff)) return;
    share[1] = fmin(fmax((ff * de - ef * df) / det, 0), 1);
    share[2] = fmin(fmax((ee * df - ef * de) / det, 0), 1 - share[1]);
    share[0] = 1 - share[1] - share[2];
}

/* The point of triangle `tri` of the quads with these shares wants to move by r. */
static void pull(fit *t, int32_t tri, const double share[3], const double r[3], double scale2)
{
    double d2 = ql_dot(r, r), w = d2 / scale2 + FLOOR;
    t->largest = fmax(t->largest, d2);
    t->sum4 += d2 * d2;
    for (int k = 0; k < 3; ++k) {
        int32_t v = t->tri[3 * (int64_t)tri + k];
        ql_axpy(w * share[k], r, t->pull + 3 * (int64_t)v);
        t->weight[v] += w * share[k];
    }
}

static ql_status measure(fit *t, double scale2)
{
    const ql_quads *q = t->q;
    ql_closest *ours = NULL;
    QL_TRY(ql_closest_of_faces(&ours, q->vertices, t->tri, 2 * q->face_count));
    memset(t->pull, 0, 3 * (size_t)q->vertex_count * sizeof *t->pull);
    memset(t->weight, 0, (size_t)q->vertex_count * sizeof *t->weight);
    t->largest = t->sum4 = 0;
    double x[3], n[3], r[3], share[3], d2;
    for (int32_t i = 0; i < t->count; ++i) {
        const double *p = t->point + 3 * (int64_t)i;
        int32_t f = ql_closest_find(ours, p, INFINITY, x, &d2);
        if (f < 0) continue;
        const int32_t *c = t->tri + 3 * (int64_t)f;
        (void)ql_triangle_normal(ql_star_at(q, c[0]), ql_star_at(q, c[1]), ql_star_at(q, c[2]), n);
        ql_sub(p, x, r);
        shares(x, ql_star_at(q, c[0]), ql_star_at(q, c[1]), ql_star_at(q, c[2]), share);
        if (ql_dot(n, t->normal + 3 * (int64_t)i) < -0.3) /* the other side of a thin wall */
            t->largest = fmax(t->largest, d2);
        else
            pull(t, f, share, r, scale2);
    }
    ql_closest_destroy(ours);
    for (int32_t f = 0; f < 2 * q->face_count; ++f)
        for (int j = 0; j < PER_TRIANGLE; ++j) {
            const int32_t *c = t->tri + 3 * (int64_t)f;
            double p[3] = {0, 0, 0};
            for (int k = 0; k < 3; ++k) {
                share[k] = SHARES[j][k];
                ql_axpy(share[k], ql_star_at(q, c[k]), p);
            }
            if (ql_closest_find(t->tree, p, INFINITY, x, &d2) < 0) continue;
            ql_sub(x, p, r);
            pull(t, f, share, r, scale2);
        }
    return QL_OK;
}

static void move_all(const fit *t)
{
    ql_quads *q = t->q;
    for (int32_t v = 0; v < q->vertex_count; ++v) {
        if (q->pin[v] == QL_PIN_CORNER || !(t->weight[v] > 0)) continue;
        double least = fmin(LEAST_QUALITY, ql_star_quality(&t->star, v, ql_star_at(q, v)));
        double step = 1 / t->weight[v];
        for (int tries = 0; tries < 3; ++tries, step *= 0.5) {
            double x[3];
            memcpy(x, ql_star_at(q, v), sizeof x);
            ql_axpy(step, t->pull + 3 * (int64_t)v, x);
            if (q->pin[v] == QL_PIN_LINE) ql_star_put_back(&t->star, v, x);
            if (!(ql_star_quality(&t->star, v, x) >= least)) continue;
            memcpy(q->vertices + 3 * (int64_t)v, x, sizeof x);
            break;
        }
    }
}

/* Keeps what has the least sum of d^4 among the states in which no distance is larger than at the start. */
static ql_status sweep_all(fit *t, int sweeps, double *best)
{
    size_t size = 3 * (size_t)t->q->vertex_count * sizeof *best;
    QL_TRY(measure(t, INFINITY));
    double bound = t->largest, least = INFINITY;
    for (int sweep = 0, stuck = 0; bound > 0 && sweep <= sweeps && stuck < PATIENCE; ++sweep) {
        QL_TRY(measure(t, t->largest));
        stuck = t->sum4 < 0.97 * least ? 0 : stuck + 1;
        if (t->sum4 < least && t->largest <= bound) {
            least = t->sum4;
            memcpy(best, t->q->vertices, size);
        }
        if (sweep < sweeps) move_all(t);
    }
    if (bound > 0) memcpy(t->q->vertices, best, size);
    return QL_OK;
}

/* Half of the height of the chords on both sides, as a move of every vertex on a line; count: such chords. */
static void chord_moves(const fit *t, double *moves, int32_t *count)
{
    const ql_quads *q = t->q;
    const ql_star *star = &t->star;
    for (int32_t i = 0; i < 4 * q->face_count; ++i) {
        int32_t v[2] = {q->faces[i], q->faces[(i & ~3) + ((i + 1) & 3)]};
        double middle[3], x[3];
        int32_t found = ql_star_along(star, v[0], v[1], x);
        ql_lerp(ql_star_at(q, v[0]), ql_star_at(q, v[1]), 0.5, middle);
        for (int end = 0; found >= 0 && end < 2; ++end) {
            if (q->pin[v[end]] != QL_PIN_LINE || (star->chain != NULL && star->chain[found] != star->own[v[end]]))
                continue;
            ql_axpy(1, x, moves + 3 * (int64_t)v[end]);
            ql_axpy(-1, middle, moves + 3 * (int64_t)v[end]);
            ++count[v[end]];
        }
    }
}

/* Chords of curved sharp edges and boundaries miss them by their whole height while the vertices lie on them: half of it on
 * either side. (Inner edges are seen from two quads, those of the boundary from one: the mean counts.) */
static ql_status balance_lines(fit *t)
{
    ql_quads *q = t->q;
    double *moves = NULL;
    int32_t *count = NULL;
    if (t->star.lines == NULL) return QL_OK;
    ql_status status = QL_TAKE(moves, 3 * (int64_t)q->vertex_count + 1);
    if (status == QL_OK) status = QL_TAKE(count, q->vertex_count + 1);
    if (status == QL_OK) chord_moves(t, moves, count);
    for (int32_t v = 0; status == QL_OK && v < q->vertex_count; ++v) {
        double x[3], least = fmin(LEAST_QUALITY, ql_star_quality(&t->star, v, ql_star_at(q, v)));
        if (count[v] == 0) continue;
        memcpy(x, ql_star_at(q, v), sizeof x);
        ql_axpy(0.5 / count[v], moves + 3 * (int64_t)v, x);
        if (ql_star_quality(&t->star, v, x) >= least) memcpy(q->vertices + 3 * (int64_t)v, x, sizeof x);
    }
    ql_free(moves);
    ql_free(count);
    return status;
}

enum { EVEN_SWEEPS = 60 };

ql_status ql_fit(ql_quads *quads, const ql_surface *surface, const ql_closest *tree, const ql_closest *lines,
                 const int32_t *chain, int sweeps)
{
    fit t = {.q = quads, .s = surface, .tree = tree};
    double *best = NULL;
    ql_status status = ql_star_create(&t.star, quads, tree, lines, chain);
    if (status == QL_OK) status = sample_input(&t);
    if (status == QL_OK) status = QL_TAKE(t.tri, 6 * (int64_t)quads->face_count + 1);
    if (status == QL_OK) status = QL_TAKE(t.pull, 3 * (int64_t)quads->vertex_count + 1);
    if (status == QL_OK) status = QL_TAKE(t.weight, quads->vertex_count + 1);
    if (status == QL_OK) status = QL_TAKE(best, 3 * (int64_t)quads->vertex_count + 1);
    if (status == QL_OK) build_triangles(&t);
    if (status == QL_OK) status = ql_even_lines(&t.star, EVEN_SWEEPS);
    if (status == QL_OK) status = sweep_all(&t, sweeps, best);
    if (status == QL_OK) status = balance_lines(&t);
    ql_free(best);
    ql_free(t.tri);
    ql_free(t.pull);
    ql_free(t.weight);
    ql_free(t.point);
    ql_free(t.normal);
    ql_star_destroy(&t.star);
    return status;
}

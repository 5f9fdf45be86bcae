#include "field/smooth.h"

#include "base/memory.h"
#include "base/random.h"
#include "field/cross.h"
#include "field/cross_vector.h"

#include <cholmod.h>
#include <string.h>

typedef struct diffusion {
    const ql_surface *s;
    double *psi, *weight, *area; /* 3F, 3F, F */
    double *z;                   /* F x 2 */
    int32_t *slot;               /* face -> row, -1 = fixed */
    int32_t rows;
    cholmod_common common;
    cholmod_factor *factor;
} diffusion;

/* r = exp(4 i (psi_h - psi_g)): takes z across h from the far face into the near one. */
static void carry(const diffusion *d, int32_t h, double r[2])
{
    double angle = 4 * (d->psi[h] - d->psi[d->s->opposite[h]]);
    r[0] = cos(angle);
    r[1] = sin(angle);
}

static void set_weights(diffusion *d)
{
    const ql_surface *s = d->s;
    double normal[3], total = 0;
    for (int32_t f = 0; f < s->face_count; ++f) total += d->area[f] = 0.5 * ql_surface_normal(s, f, normal);
    double least = 1e-4 * total / s->face_count;
    for (int32_t f = 0; f < s->face_count; ++f) d->area[f] = fmax(d->area[f], least);
    ql_cross_weights(s, d->weight);
}

static void fix_features(diffusion *d)
{
    const ql_surface *s = d->s;
    for (int32_t f = 0; f < s->face_count; ++f) {
        double longest = 0;
        for (int32_t h = 3 * f; h < 3 * f + 3; ++h) {
            double l2 = ql_distance2(ql_at(s, ql_from(s, h)), ql_at(s, ql_to(s, h)));
            if (!s->feature[h] || l2 <= longest) continue;
            longest = l2;
            d->z[2 * (int64_t)f] = cos(4 * d->psi[h]);
            d->z[2 * (int64_t)f + 1] = sin(4 * d->psi[h]);
        }
        d->slot[f] = longest > 0 ? -1 : d->rows++;
    }
}

/* Factor of (mass M + step L) over the free faces; complex Hermitian, lower part. */
static ql_status factorise(diffusion *d, double mass, double step)
{
    const ql_surface *s = d->s;
    cholmod_common *common = &d->common;
    cholmod_triplet *t =
        cholmod_allocate_triplet((size_t)d->rows, (size_t)d->rows, 4 * (size_t)d->rows, -1, CHOLMOD_COMPLEX, common);
    if (t == NULL) return QL_FAIL(NO_MEMORY, "no memory for the smooth field of %d faces", d->rows);
    int *ti = t->i, *tj = t->j;
    double *tx = t->x;
    size_t n = 0;
    for (int32_t f = 0; f < s->face_count; ++f) {
        if (d->slot[f] < 0) continue;
        double diagonal = mass * d->area[f];
        for (int32_t h = 3 * f; h < 3 * f + 3; ++h) {
            int32_t g = s->opposite[h];
            if (g < 0) continue;
            diagonal += step * d->weight[h];
            if (d->slot[g / 3] < 0 || d->slot[g / 3] > d->slot[f]) continue;
            double r[2];
            carry(d, h, r); /* row f, column of the far face */
            ti[n] = d->slot[f];
            tj[n] = d->slot[g / 3];
            tx[2 * n] = -step * d->weight[h] * r[0];
            tx[2 * n++ + 1] = -step * d->weight[h] * r[1];
        }
        ti[n] = tj[n] = d->slot[f];
        tx[2 * n] = diagonal;
        tx[2 * n++ + 1] = 0;
    }
    t->nnz = n;
    cholmod_sparse *a = cholmod_triplet_to_sparse(t, n, common);
    cholmod_free_triplet(&t, common);
    if (a != NULL && d->factor == NULL) d->factor = cholmod_analyze(a, common);
    int good =
        a != NULL && d->factor != NULL && cholmod_factorize(a, d->factor, common) && common->status == CHOLMOD_OK;
    cholmod_free_sparse(&a, common);
    return good ? QL_OK : QL_FAIL(NUMERIC, "smooth field: factorisation failed (CHOLMOD status %d)", common->status);
}

/* z <- solution of (mass M + step L) z = mass M z + what the fixed faces give, brought to unit length face by face or (an
 * eigenvector in the making) as a whole. *change is the mean change. */
static ql_status diffuse(diffusion *d, double mass, double step, int by_face, double *change)
{
    const ql_surface *s = d->s;
    cholmod_dense *b = cholmod_zeros((size_t)d->rows, 1, CHOLMOD_COMPLEX, &d->common);
    if (b == NULL) return QL_FAIL(NO_MEMORY, "no memory for the smooth field");
    double *bx = b->x;
    for (int32_t f = 0; f < s->face_count; ++f) {
        if (d->slot[f] < 0) continue;
        double *row = bx + 2 * (int64_t)d->slot[f];
        row[0] = mass * d->area[f] * d->z[2 * (int64_t)f];
        row[1] = mass * d->area[f] * d->z[2 * (int64_t)f + 1];
        for (int32_t h = 3 * f; h < 3 * f + 3; ++h) {
            int32_t g = s->opposite[h];
            if (g < 0 || d->slot[g / 3] >= 0) continue;
            double r[2];
            const double *y = d->z + 2 * (int64_t)(g / 3);
            carry(d, h, r);
            row[0] += step * d->weight[h] * (r[0] * y[0] - r[1] * y[1]);
            row[1] += step * d->weight[h] * (r[0] * y[1] + r[1] * y[0]);
        }
    }
    cholmod_dense *x = cholmod_solve(CHOLMOD_A, d->factor, b, &d->common);
    cholmod_free_dense(&b, &d->common);
    if (x == NULL) return QL_FAIL(NO_MEMORY, "no memory for the smooth field");
    const double *xx = x->x;
    double sum = 0, whole = 0;
    for (int64_t i = 0; i < 2 * (int64_t)d->rows; ++i) whole += xx[i] * xx[i];
    whole = sqrt(whole / (d->rows > 0 ? d->rows : 1));
    for (int32_t f = 0; f < s->face_count; ++f) {
        if (d->slot[f] < 0) continue;
        const double *row = xx + 2 * (int64_t)d->slot[f];
        double *z = d->z + 2 * (int64_t)f, length = by_face ? hypot(row[0], row[1]) : whole;
        if (!(length > 1e-200)) continue;
        sum += hypot(row[0] / length - z[0], row[1] / length - z[1]);
        z[0] = row[0] / length;
        z[1] = row[1] / length;
    }
    cholmod_free_dense(&x, &d->common);
    *change = sum / (d->rows > 0 ? d->rows : 1);
    return QL_OK;
}

/* Start value: harmonic from the fixed faces, or the smoothest eigenvector by inverse iteration when there are none. */
static ql_status begin(diffusion *d, double area)
{
    double mass = 1e-6 / area, change;
    int fixed = d->rows < d->s->face_count;
    for (int32_t f = 0; f < d->s->face_count; ++f) {
        if (d->slot[f] < 0) continue;
        ql_key key = {{17, 4}};
        double angle = fixed ? 0 : 2 * M_PI * ql_uniform(ql_random_at(key, QL_STREAM_TEST, 0, (uint64_t)f).r[0]);
        d->z[2 * (int64_t)f] = fixed ? 0 : cos(angle);
        d->z[2 * (int64_t)f + 1] = fixed ? 0 : sin(angle);
    }
    QL_TRY(factorise(d, mass, 1));
    for (int i = 0; i < (fixed ? 1 : 30); ++i) QL_TRY(diffuse(d, mass, 1, fixed, &change));
    return QL_OK;
}

static ql_status iterate(diffusion *d, const double *guide, double edge)
{
    double area = 0, change = 0;
    for (int32_t f = 0; f < d->s->face_count; ++f) area += d->area[f];
    double last = 0.25 * edge * edge, first = fmax(0.01 * area, 4 * last);
    int levels = 7;
    if (guide == NULL) {
        QL_TRY(begin(d, area));
    } else {
        levels = 2;
        first = last;
        for (int32_t f = 0; f < d->s->face_count; ++f)
            if (d->slot[f] >= 0) {
                d->z[2 * (int64_t)f] = cos(4 * guide[f]);
                d->z[2 * (int64_t)f + 1] = sin(4 * guide[f]);
            }
    }
    for (int level = 0; level < levels; ++level) {
        double step = first * pow(last / first, (double)level / (levels - 1));
        QL_TRY(factorise(d, 1, step));
        for (int i = 0; i < (guide == NULL ? 12 : 1); ++i) {
            QL_TRY(diffuse(d, 1, step, 1, &change));
            if (change < 1e-4) break;
        }
    }
    return QL_OK;
}

ql_status ql_smooth_field(const ql_surface *s, const double *guide, double edge, double *phi)
{
    diffusion d = {.s = s};
    ql_status status = QL_TAKE(d.psi, 3 * (int64_t)s->face_count);
    if (status == QL_OK) status = QL_TAKE(d.weight, 3 * (int64_t)s->face_count);
    if (status == QL_OK) status = QL_TAKE(d.area, s->face_count);
    if (status == QL_OK) status = QL_TAKE(d.z, 2 * (int64_t)s->face_count);
    if (status == QL_OK) status = QL_TAKE(d.slot, s->face_count);
    if (status == QL_OK) {
        cholmod_start(&d.common);
        d.common.print = 0;
        ql_cross_edge_angles(s, d.psi);
        set_weights(&d);
        fix_features(&d);
        if (d.rows > 0) status = iterate(&d, guide, edge);
        for (int32_t f = 0; f < s->face_count; ++f) phi[f] = atan2(d.z[2 * (int64_t)f + 1], d.z[2 * (int64_t)f]) / 4;
        cholmod_free_factor(&d.factor, &d.common);
        cholmod_finish(&d.common);
    }
    ql_free(d.psi);
    ql_free(d.weight);
    ql_free(d.area);
    ql_free(d.z);
    ql_free(d.slot);
    return status;
}

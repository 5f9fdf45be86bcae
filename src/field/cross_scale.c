#include "field/cross_scale.h"

#include "base/memory.h"
#include "field/cross.h"
#include "field/cross_vector.h"

#include <cholmod.h>

/* Lower triangle of sum over edges of (sigma_i - sigma_j)^2 / w, slightly grounded; and the right side. */
static cholmod_sparse *assemble(const ql_surface *s, const double *weight, const double *delta, double *b,
                                cholmod_common *common)
{
    size_t n = 0, room = 4 * 3 * (size_t)s->face_count + (size_t)s->vertex_count;
    cholmod_triplet *t =
        cholmod_allocate_triplet((size_t)s->vertex_count, (size_t)s->vertex_count, room, -1, CHOLMOD_REAL, common);
    if (t == NULL) return NULL;
    int *ti = t->i, *tj = t->j;
    double *tx = t->x;
    for (int32_t v = 0; v < s->vertex_count; ++v) {
        ti[n] = tj[n] = v;
        tx[n++] = 1e-7;
    }
    for (int32_t h = 0; h < 3 * s->face_count; ++h) {
        int32_t j = ql_from(s, h), i = ql_to(s, h);
        if (s->opposite[h] < 0) continue;
        double k = 1 / weight[h];
        b[i] += delta[h];
        ti[n] = tj[n] = i;
        tx[n++] = k;
        if (i < j) continue;
        ti[n] = i;
        tj[n] = j;
        tx[n++] = -k;
    }
    t->nnz = n;
    cholmod_sparse *a = cholmod_triplet_to_sparse(t, n, common);
    cholmod_free_triplet(&t, common);
    return a;
}

/* exp of the face means, bounded, with mean square 1. */
static void to_faces(const ql_surface *s, const double *sigma, double share, double least, double most, double *scale)
{
    double sum = 0, area = 0, normal[3];
    for (int pass = 0; pass < 3; ++pass) { /* bounding shifts the mean a little */
        double mean = pass == 0 ? 1 : sqrt(sum / area);
        sum = area = 0;
        for (int32_t f = 0; f < s->face_count; ++f) {
            const int32_t *c = s->faces + 3 * (int64_t)f;
            double raw = pass == 0 ? exp(share * (sigma[c[0]] + sigma[c[1]] + sigma[c[2]]) / 3) : scale[f] / mean;
            scale[f] = pass == 0 ? raw : fmin(fmax(raw, least), most);
            double a = ql_surface_normal(s, f, normal);
            sum += a * scale[f] * scale[f];
            area += a;
        }
    }
}

ql_status ql_cross_scale(const ql_surface *s, const double *delta, double share, double least, double most,
                         double *scale)
{
    double *weight = NULL;
    cholmod_common common;
    for (int32_t f = 0; f < s->face_count; ++f) scale[f] = 1;
    if (!(share > 0)) return QL_OK;
    QL_TRY(QL_TAKE(weight, 3 * (int64_t)s->face_count));
    ql_cross_weights(s, weight);
    cholmod_start(&common);
    common.print = 0;
    cholmod_dense *b = cholmod_zeros((size_t)s->vertex_count, 1, CHOLMOD_REAL, &common), *x = NULL;
    cholmod_sparse *a = b != NULL ? assemble(s, weight, delta, b->x, &common) : NULL;
    cholmod_factor *factor = a != NULL ? cholmod_analyze(a, &common) : NULL;
    if (factor != NULL && cholmod_factorize(a, factor, &common) && common.status == CHOLMOD_OK)
        x = cholmod_solve(CHOLMOD_A, factor, b, &common);
    if (x != NULL) {
        double *sigma = x->x, mean = 0;
        for (int32_t v = 0; v < s->vertex_count; ++v) mean += sigma[v] / s->vertex_count;
        for (int32_t v = 0; v < s->vertex_count; ++v) sigma[v] -= mean;
        to_faces(s, sigma, share, least, most, scale);
    }
    ql_status status =
        x != NULL ? QL_OK : QL_FAIL(NUMERIC, "field: no size of quads (CHOLMOD status %d)", common.status);
    cholmod_free_dense(&x, &common);
    cholmod_free_dense(&b, &common);
    cholmod_free_sparse(&a, &common);
    cholmod_free_factor(&factor, &common);
    cholmod_finish(&common);
    ql_free(weight);
    return status;
}

/* Engine ref, SDF network: value, gradient, Hessian and their adjoint (method, section 4).
 *
 *   z_l = W_l a_{l-1} + b_l, a_l = sin 30 z_l, T_l = dz_l/dx, delta_l = df/da_l, e_l = delta_l * 30 cos 30 z_l
 *   g = W_0^T e_0,  H = sum_l T_l^T diag(delta_l * (-900 sin 30 z_l)) T_l
 */
#include "engine/ref/ref.h"

#include <string.h>

enum { W = QL_SDF_WIDTH, L = QL_REF_HIDDEN };

int ql_ref_sdf_take(ql_ref_sdf *sdf, ql_arena *arena)
{
    const size_t size = (size_t)QL_REF_ROWS * W;
    int complete = 1;
    for (int l = 0; l < L; ++l) {
        double **arrays[] = {&sdf->sine[l], &sdf->cosine[l], &sdf->delta[l], &sdf->z_adjoint[l],
                             &sdf->delta_adjoint[l]};
        for (size_t k = 0; k < sizeof arrays / sizeof *arrays; ++k)
            complete &= (*arrays[k] = ql_arena_take(arena, size, sizeof(double))) != NULL;
        for (int d = 0; d < 3; ++d) {
            complete &= (sdf->tangent[l][d] = ql_arena_take(arena, size, sizeof(double))) != NULL;
            complete &= (sdf->tangent_adjoint[l][d] = ql_arena_take(arena, size, sizeof(double))) != NULL;
        }
    }
    for (int k = 0; k < 5; ++k) complete &= (sdf->work[k] = ql_arena_take(arena, size, sizeof(double))) != NULL;
    return complete;
}

/* da_l/dx along d, or e_l: 30 cos(30 z_l) times x. */
static void times_first(double *out, const double *x, const double *cosine, int count)
{
    for (int i = 0; i < count * W; ++i) out[i] = ql_sine_first(cosine[i]) * x[i];
}

static void first_layer(const ql_ref *ref, ql_ref_sdf *sdf, double *z, int count, int second)
{
    const ql_dense *dense = &ref->layout->sdf[0];
    const double *weight = ref->parameters + dense->weight;
    ql_ref_fill_rows(z, ref->parameters + dense->bias, count, W);
    ql_ref_multiply(z, sdf->point, ref->transposed + dense->weight, count, 3, W);
    if (!second) return;
    for (int d = 0; d < 3; ++d)
        for (int p = 0; p < count; ++p)
            for (int k = 0; k < W; ++k) sdf->tangent[0][d][p * W + k] = weight[3 * k + d];
}

static void activate(ql_ref_sdf *sdf, int l, const double *z, int count)
{
    for (int i = 0; i < count * W; ++i) {
        sdf->sine[l][i] = sin(QL_SDF_OMEGA * z[i]);
        sdf->cosine[l][i] = cos(QL_SDF_OMEGA * z[i]);
    }
}

/* delta_l downwards, and g. */
static void adjoint_sweep(const ql_ref *ref, ql_ref_sdf *sdf, int count)
{
    const ql_layout *layout = ref->layout;
    double *e = sdf->work[1];
    ql_ref_fill_rows(sdf->delta[L - 1], ref->parameters + layout->sdf[L].weight, count, W);
    for (int l = L - 1; l >= 0; --l) {
        times_first(e, sdf->delta[l], sdf->cosine[l], count);
        double *out = l > 0 ? sdf->delta[l - 1] : sdf->gradient;
        int width = l > 0 ? W : 3;
        memset(out, 0, (size_t)(count * width) * sizeof *out);
        ql_ref_multiply(out, e, ref->parameters + layout->sdf[l].weight, count, W, width);
    }
}

static void add_hessian(ql_ref_sdf *sdf, int l, int count)
{
    for (int p = 0; p < count; ++p) {
        double *h = sdf->hessian + 6 * p;
        for (int k = p * W; k < (p + 1) * W; ++k) {
            double q = sdf->delta[l][k] * ql_sine_second(sdf->sine[l][k]);
            double x = sdf->tangent[l][0][k], y = sdf->tangent[l][1][k], z = sdf->tangent[l][2][k];
            h[0] += q * x * x;
            h[1] += q * x * y;
            h[2] += q * x * z;
            h[3] += q * y * y;
            h[4] += q * y * z;
            h[5] += q * z * z;
        }
    }
}

void ql_ref_sdf_forward(const ql_ref *ref, ql_ref_sdf *sdf, int count, int second)
{
    const ql_layout *layout = ref->layout;
    double *z = sdf->work[0];
    first_layer(ref, sdf, z, count, second);
    for (int l = 0; l < L; ++l) {
        if (l > 0) {
            const double *transposed = ref->transposed + layout->sdf[l].weight;
            ql_ref_fill_rows(z, ref->parameters + layout->sdf[l].bias, count, W);
            ql_ref_multiply(z, sdf->sine[l - 1], transposed, count, W, W);
            for (int d = 0; second && d < 3; ++d) {
                times_first(sdf->work[1], sdf->tangent[l - 1][d], sdf->cosine[l - 1], count);
                memset(sdf->tangent[l][d], 0, (size_t)(count * W) * sizeof *z);
                ql_ref_multiply(sdf->tangent[l][d], sdf->work[1], transposed, count, W, W);
            }
        }
        activate(sdf, l, z, count);
    }
    for (int p = 0; p < count; ++p) sdf->value[p] = ref->parameters[layout->sdf[L].bias];
    ql_ref_multiply(sdf->value, sdf->sine[L - 1], ref->parameters + layout->sdf[L].weight, count, W, 1);
    adjoint_sweep(ref, sdf, count);
    if (!second) return;
    memset(sdf->hessian, 0, sizeof sdf->hessian);
    for (int l = 0; l < L; ++l) add_hessian(sdf, l, count);
}

/* Adjoints of T_l, delta_l and z_l through H alone. */
static void hessian_adjoint_layer(ql_ref_sdf *sdf, int l, int count, const double *hessian_adjoint)
{
    for (int p = 0; p < count; ++p) {
        const double *h = hessian_adjoint + 6 * p;
        for (int k = p * W; k < (p + 1) * W; ++k) {
            double t[3] = {sdf->tangent[l][0][k], sdf->tangent[l][1][k], sdf->tangent[l][2][k]}, ht[3];
            ql_symmetric_times(h, t, ht);
            double second = ql_sine_second(sdf->sine[l][k]), q = sdf->delta[l][k] * second, q_adjoint = ql_dot3(t, ht);
            for (int d = 0; d < 3; ++d) sdf->tangent_adjoint[l][d][k] = 2 * q * ht[d];
            sdf->delta_adjoint[l][k] = q_adjoint * second;
            sdf->z_adjoint[l][k] = q_adjoint * sdf->delta[l][k] * ql_sine_third(sdf->cosine[l][k]);
        }
    }
}

static void start_adjoints(ql_ref_sdf *sdf, int count, const double *hessian_adjoint)
{
    for (int l = 0; l < L; ++l) {
        if (hessian_adjoint != NULL) {
            hessian_adjoint_layer(sdf, l, count, hessian_adjoint);
        } else {
            memset(sdf->delta_adjoint[l], 0, (size_t)(count * W) * sizeof(double));
            memset(sdf->z_adjoint[l], 0, (size_t)(count * W) * sizeof(double));
        }
    }
}

/* Reverse of adjoint_sweep, from g upwards. */
static void reverse_adjoint_sweep(const ql_ref *ref, ql_ref_sdf *sdf, int count, const double *gradient_adjoint,
                                  double *gradient)
{
    const ql_layout *layout = ref->layout;
    double *e_adjoint = sdf->work[0], *e = sdf->work[1];
    const double *below = gradient_adjoint; /* adjoint of delta_{l-1}; of g for l = 0 */
    int width = 3;
    for (int l = 0; l < L; ++l) {
        times_first(e, sdf->delta[l], sdf->cosine[l], count);
        ql_ref_multiply_transposed(gradient + layout->sdf[l].weight, e, below, W, count, width);
        memset(e_adjoint, 0, (size_t)(count * W) * sizeof *e_adjoint);
        ql_ref_multiply(e_adjoint, below, ref->transposed + layout->sdf[l].weight, count, width, W);
        for (int i = 0; i < count * W; ++i) {
            sdf->delta_adjoint[l][i] += e_adjoint[i] * ql_sine_first(sdf->cosine[l][i]);
            sdf->z_adjoint[l][i] += e_adjoint[i] * sdf->delta[l][i] * ql_sine_second(sdf->sine[l][i]);
        }
        below = sdf->delta_adjoint[l];
        width = W;
    }
    ql_ref_add_rows(gradient + layout->sdf[L].weight, sdf->delta_adjoint[L - 1], count, W);
}

/* a_adjoint and (with tangents) a'_adjoint of layer l become the full adjoints of z_l and T_l. */
static void through_activation(ql_ref_sdf *sdf, int l, int count, const double *a_adjoint,
                               double *const slope_adjoint[3])
{
    for (int i = 0; i < count * W; ++i) {
        double first = ql_sine_first(sdf->cosine[l][i]), sum = a_adjoint[i] * first;
        if (slope_adjoint != NULL) {
            double second = ql_sine_second(sdf->sine[l][i]);
            for (int d = 0; d < 3; ++d) {
                sum += slope_adjoint[d][i] * sdf->tangent[l][d][i] * second;
                sdf->tangent_adjoint[l][d][i] += slope_adjoint[d][i] * first;
            }
        }
        sdf->z_adjoint[l][i] += sum;
    }
}

static void first_layer_gradient(const ql_ref *ref, ql_ref_sdf *sdf, int count, int second, double *gradient)
{
    const ql_dense *dense = &ref->layout->sdf[0];
    ql_ref_multiply_transposed(gradient + dense->weight, sdf->z_adjoint[0], sdf->point, W, count, 3);
    ql_ref_add_rows(gradient + dense->bias, sdf->z_adjoint[0], count, W);
    for (int d = 0; second && d < 3; ++d)
        for (int p = 0; p < count; ++p)
            for (int k = 0; k < W; ++k) gradient[dense->weight + 3 * k + d] += sdf->tangent_adjoint[0][d][p * W + k];
}

/* Reverse of values and tangents, from f downwards. */
static void reverse_forward(const ql_ref *ref, ql_ref_sdf *sdf, int count, const double *value_adjoint, int second,
                            double *gradient)
{
    const ql_layout *layout = ref->layout;
    const ql_dense *last = &layout->sdf[L];
    double *a_adjoint = sdf->work[0], *const slope_adjoint[3] = {sdf->work[1], sdf->work[2], sdf->work[3]};
    for (int p = 0; p < count; ++p) {
        gradient[last->bias] += value_adjoint[p];
        for (int k = 0; k < W; ++k) {
            a_adjoint[p * W + k] = value_adjoint[p] * ref->parameters[last->weight + k];
            gradient[last->weight + k] += value_adjoint[p] * sdf->sine[L - 1][p * W + k];
        }
    }
    through_activation(sdf, L - 1, count, a_adjoint, NULL);
    for (int l = L - 1; l > 0; --l) {
        const ql_dense *dense = &layout->sdf[l];
        const double *weight = ref->parameters + dense->weight;
        ql_ref_multiply_transposed(gradient + dense->weight, sdf->z_adjoint[l], sdf->sine[l - 1], W, count, W);
        ql_ref_add_rows(gradient + dense->bias, sdf->z_adjoint[l], count, W);
        memset(a_adjoint, 0, (size_t)(count * W) * sizeof *a_adjoint);
        ql_ref_multiply(a_adjoint, sdf->z_adjoint[l], weight, count, W, W);
        for (int d = 0; second && d < 3; ++d) {
            double *slope = sdf->work[4];
            times_first(slope, sdf->tangent[l - 1][d], sdf->cosine[l - 1], count);
            ql_ref_multiply_transposed(gradient + dense->weight, sdf->tangent_adjoint[l][d], slope, W, count, W);
            memset(slope_adjoint[d], 0, (size_t)(count * W) * sizeof(double));
            ql_ref_multiply(slope_adjoint[d], sdf->tangent_adjoint[l][d], weight, count, W, W);
        }
        through_activation(sdf, l - 1, count, a_adjoint, second ? slope_adjoint : NULL);
    }
    first_layer_gradient(ref, sdf, count, second, gradient);
}

void ql_ref_sdf_backward(const ql_ref *ref, ql_ref_sdf *sdf, int count, const double *value_adjoint,
                         const double *gradient_adjoint, const double *hessian_adjoint, double *gradient)
{
    start_adjoints(sdf, count, hessian_adjoint);
    reverse_adjoint_sweep(ref, sdf, count, gradient_adjoint, gradient);
    reverse_forward(ref, sdf, count, value_adjoint, hessian_adjoint != NULL, gradient);
}

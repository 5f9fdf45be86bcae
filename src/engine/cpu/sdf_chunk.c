/* SDF network over one chunk of points, forward and backward (method, section 4): 15 units of products per point with
 * second derivatives, 6 without.
 *
 *     T_l = W_l A'_{l-1},  A'_l = 30 cos T_l,  e_l = 30 cos delta_l,  delta_{l-1} = W_l^T e_l,  g = W_0^T e_0,
 *     q_l = -900 sin delta_l,  H = sum_l T_l^T diag(q_l) T_l
 *
 * Backward runs up the adjoint sweep, then down values and tangents. All products of a layer that share a weight matrix
 * are one product over stacked rows.
 */
#include "engine/cpu/gemm.h"
#include "engine/cpu/kernels.h"
#include "engine/cpu/simd.h"

#include <string.h>

enum { W = QL_SDF_WIDTH, LD = QL_SDF_LD, L = QL_SDF_HIDDEN };

static float *row_of(float *block, int32_t rows, int32_t k, int32_t i)
{
    return block + ((ptrdiff_t)k * rows + i) * LD;
}

static void multiply(ql_sdf_work *work, int32_t rows, const float *x, const float *packed, float *y)
{
    const ql_gemm_out out = {.y = y, .ldy = LD};
    work->flop += ql_gemm_rows(rows, W, W, x, LD, packed, &out);
}

/* ---- forward ---- */

/* cos, sin and 30 cos T at one place of row i, layer l. */
QL_ALWAYS void store_activation(const ql_sdf_work *work, int l, float *c, float *s, ql_vector cosine, ql_vector sine)
{
    const ptrdiff_t block = (ptrdiff_t)work->rows * LD;
    ql_store(s, sine);
    ql_store(c, cosine);
    if (!work->second || l == L - 1) return;
    ql_vector first = 30.0f * cosine;
    for (int d = 1; d <= 3; ++d) ql_store(s + d * block, first * ql_load(c + d * block));
}

static void first_layer_row(const ql_sdf_model *model, ql_sdf_work *work, int32_t i)
{
    const ptrdiff_t block = (ptrdiff_t)work->rows * LD;
    float *c = row_of(work->cosine[0], work->rows, 0, i), *s = row_of(work->sine[0], work->rows, 0, i);
    const double p[3] = {(double)work->point[3 * i], (double)work->point[3 * i + 1], (double)work->point[3 * i + 2]};
    for (int k = 0; k < W; k += QL_LANES) {
        ql_vector sine, cosine;
        ql_sine30_first(model->first, model->bias[0], k, p, &sine, &cosine);
        if (work->second)
            for (int d = 0; d < 3; ++d) ql_store(c + (d + 1) * block + k, ql_load(model->first[d] + k));
        store_activation(work, 0, c + k, s + k, cosine, sine);
    }
}

/* z in row i of cosine[l] (plus bias) becomes cos. */
static void activate_row(const ql_sdf_work *work, int l, int32_t i, const float *bias)
{
    float *c = row_of(work->cosine[l], work->rows, 0, i), *s = row_of(work->sine[l], work->rows, 0, i);
    for (int k = 0; k < W; k += QL_LANES) {
        ql_vector sine, cosine;
        ql_sine30(ql_load(c + k) + ql_load(bias + k), &sine, &cosine);
        store_activation(work, l, c + k, s + k, cosine, sine);
    }
}

static void output_values(const ql_sdf_model *model, ql_sdf_work *work)
{
    for (int32_t i = 0; i < work->rows; ++i) {
        const float *s = row_of(work->sine[L - 1], work->rows, 0, i);
        ql_vector sum = {0};
        for (int k = 0; k < W; k += QL_LANES) sum += ql_load(model->last + k) * ql_load(s + k);
        work->value[i] = ql_sum_lanes(sum) + model->last_bias;
    }
}

/* e_l into `e` and layer l's part of the Hessian. */
static void adjoint_row(const ql_sdf_work *work, int l, int32_t i, const float *delta, float *e)
{
    const int32_t n = work->rows;
    const float *c = row_of(work->cosine[l], n, 0, i), *s = row_of(work->sine[l], n, 0, i);
    const float *tx = row_of(work->cosine[l], n, 1, i), *ty = row_of(work->cosine[l], n, 2, i),
                *tz = row_of(work->cosine[l], n, 3, i);
    ql_vector xx = {0}, xy = {0}, xz = {0}, yy = {0}, yz = {0}, zz = {0};
    for (int k = 0; k < W; k += QL_LANES) {
        ql_vector d = ql_load(delta + k);
        ql_store(e + k, 30.0f * ql_load(c + k) * d);
        if (!work->second) continue;
        ql_vector q = -900.0f * ql_load(s + k) * d, x = ql_load(tx + k), y = ql_load(ty + k), z = ql_load(tz + k);
        ql_vector qx = q * x, qy = q * y;
        xx += qx * x;
        xy += qx * y;
        xz += qx * z;
        yy += qy * y;
        yz += qy * z;
        zz += q * z * z;
    }
    if (!work->second) return;
    const ql_vector sums[6] = {xx, xy, xz, yy, yz, zz};
    for (int k = 0; k < 6; ++k) work->hessian[6 * i + k] += ql_sum_lanes(sums[k]);
}

static void output_gradients(const ql_sdf_model *model, ql_sdf_work *work, const float *e)
{
    for (int32_t i = 0; i < work->rows; ++i, e += LD) {
        ql_vector g[3] = {{0}, {0}, {0}};
        for (int k = 0; k < W; k += QL_LANES)
            for (int d = 0; d < 3; ++d) g[d] += ql_load(e + k) * ql_load(model->first[d] + k);
        for (int d = 0; d < 3; ++d) work->gradient[3 * i + d] = ql_sum_lanes(g[d]);
    }
}

void ql_sdf_chunk_forward(const ql_sdf_model *model, ql_sdf_work *work)
{
    const int32_t n = work->rows;
    for (int32_t i = 0; i < n; ++i) first_layer_row(model, work, i);
    for (int l = 1; l < L; ++l) {
        multiply(work, work->second ? 4 * n : n, work->sine[l - 1], model->forward[l], work->cosine[l]);
        for (int32_t i = 0; i < n; ++i) activate_row(work, l, i, model->bias[l]);
    }
    output_values(model, work);
    if (work->second) memset(work->hessian, 0, (size_t)n * 6 * sizeof(float));
    float *e = work->left;
    for (int l = L - 1; l >= 0; --l) {
        for (int32_t i = 0; i < n; ++i)
            adjoint_row(work, l, i, l == L - 1 ? model->last : row_of(work->delta[l], n, 0, i), row_of(e, n, 0, i));
        if (l > 0) multiply(work, n, e, model->reverse[l], work->delta[l - 1]);
    }
    output_gradients(model, work, e);
}

/* ---- backward ---- */

/* Adjoints of delta_l and z_l from that of e_l (`e_adjoint`) and from the Hessian. For layer 0 the adjoint of e is W_0 g'. */
static void upward_row(const ql_sdf_model *model, ql_sdf_work *work, int l, int32_t i)
{
    const int32_t n = work->rows;
    const float *c = row_of(work->cosine[l], n, 0, i), *s = row_of(work->sine[l], n, 0, i);
    const float *tx = row_of(work->cosine[l], n, 1, i), *ty = row_of(work->cosine[l], n, 2, i),
                *tz = row_of(work->cosine[l], n, 3, i);
    const float *delta = l == L - 1 ? model->last : row_of(work->delta[l], n, 0, i);
    const float *product = row_of(work->product, n, 0, i), *h = work->hessian_adjoint + 6 * i;
    float *delta_adjoint = row_of(work->sine[l], n, work->second ? 4 : 1, i),
          *z_adjoint = row_of(work->z_adjoint[l], n, 0, i);
    float *column = l == 0 ? work->column : work->column + (3 + L) * W; /* W_0 by g' e_0, or w_5 */
    const ql_vector gx = ql_splat(work->gradient_adjoint[3 * i]), gy = ql_splat(work->gradient_adjoint[3 * i + 1]),
                    gz = ql_splat(work->gradient_adjoint[3 * i + 2]);
    for (int k = 0; k < W; k += QL_LANES) {
        ql_vector cosine = ql_load(c + k), sine = ql_load(s + k), d = ql_load(delta + k), e_adjoint;
        ql_vector first = 30.0f * cosine, second = -900.0f * sine;
        if (l == 0) {
            e_adjoint = gx * ql_load(model->first[0] + k) + gy * ql_load(model->first[1] + k) +
                        gz * ql_load(model->first[2] + k);
            ql_vector e = first * d;
            ql_add_to(column + k, e * gx);
            ql_add_to(column + W + k, e * gy);
            ql_add_to(column + 2 * W + k, e * gz);
        } else {
            e_adjoint = ql_load(product + k);
        }
        ql_vector d_adjoint = e_adjoint * first, za = e_adjoint * d * second;
        if (work->second) {
            ql_vector x = ql_load(tx + k), y = ql_load(ty + k), z = ql_load(tz + k);
            ql_vector q_adjoint =
                x * (h[0] * x + 2.0f * (h[1] * y + h[2] * z)) + y * (h[3] * y + 2.0f * h[4] * z) + h[5] * z * z;
            d_adjoint += q_adjoint * second;
            za += q_adjoint * d * (-27000.0f * cosine);
        }
        ql_store(z_adjoint + k, za);
        if (l == L - 1)
            ql_add_to(column + k, d_adjoint);
        else
            ql_store(delta_adjoint + k, d_adjoint);
    }
}

static void upward(const ql_sdf_model *model, ql_sdf_work *work)
{
    const int32_t n = work->rows;
    for (int l = 0; l < L; ++l) {
        for (int32_t i = 0; i < n; ++i) upward_row(model, work, l, i);
        const float *delta_adjoint = row_of(work->sine[l], n, work->second ? 4 : 1, 0);
        if (l < L - 1) multiply(work, n, delta_adjoint, model->forward[l + 1], work->product);
    }
}

/* Row i of `left` for layer l: full adjoints of z and T, and e. product holds the adjoints of sin and 30 cos T, except for the
 * topmost layer. */
static void downward_row(const ql_sdf_model *model, ql_sdf_work *work, int l, int32_t i)
{
    const int32_t n = work->rows;
    const bool top = l == L - 1;
    const ptrdiff_t block = (ptrdiff_t)n * LD;
    const float *c = row_of(work->cosine[l], n, 0, i), *s = row_of(work->sine[l], n, 0, i);
    const float *delta = top ? model->last : row_of(work->delta[l], n, 0, i);
    const float *a = row_of(work->product, n, 0, i), *z_adjoint = row_of(work->z_adjoint[l], n, 0, i);
    const float *h = work->hessian_adjoint + 6 * i;
    float *left = row_of(work->left, n, 0, i), *bias = work->column + (3 + l) * W;
    const ql_vector f = ql_splat(work->value_adjoint[i]);
    for (int k = 0; k < W; k += QL_LANES) {
        ql_vector cosine = ql_load(c + k), d = ql_load(delta + k), sine = ql_load(s + k);
        ql_vector first = 30.0f * cosine, z = ql_load(z_adjoint + k);
        z += (top ? f * d : ql_load(a + k)) * first;
        if (work->second) {
            ql_vector second = -900.0f * sine, twice = 2.0f * d * second;
            ql_vector tx = ql_load(c + block + k), ty = ql_load(c + 2 * block + k), tz = ql_load(c + 3 * block + k);
            ql_vector ax = twice * (h[0] * tx + h[1] * ty + h[2] * tz),
                      ay = twice * (h[1] * tx + h[3] * ty + h[4] * tz),
                      az = twice * (h[2] * tx + h[4] * ty + h[5] * tz);
            if (!top) {
                ql_vector sx = ql_load(a + block + k), sy = ql_load(a + 2 * block + k), sz = ql_load(a + 3 * block + k);
                z += (sx * tx + sy * ty + sz * tz) * second;
                ax += first * sx;
                ay += first * sy;
                az += first * sz;
            }
            ql_store(left + block + k, ax);
            ql_store(left + 2 * block + k, ay);
            ql_store(left + 3 * block + k, az);
        }
        ql_store(left + k, z);
        ql_store(left + (work->second ? 4 : 1) * block + k, first * d);
        ql_add_to(bias + k, z);
        if (top) ql_add_to(work->column + (3 + L) * W + k, f * sine);
    }
}

/* W_0 by z' p and T'. */
static void first_layer_gradient(ql_sdf_work *work)
{
    const ptrdiff_t block = (ptrdiff_t)work->rows * LD;
    for (int32_t i = 0; i < work->rows; ++i) {
        const float *left = row_of(work->left, work->rows, 0, i);
        for (int d = 0; d < 3; ++d) {
            const ql_vector p = ql_splat(work->point[3 * i + d]);
            float *column = work->column + d * W;
            for (int k = 0; k < W; k += QL_LANES) {
                ql_vector sum = ql_load(column + k) + ql_load(left + k) * p;
                if (work->second) sum += ql_load(left + (d + 1) * block + k);
                ql_store(column + k, sum);
            }
        }
    }
}

void ql_sdf_chunk_backward(const ql_sdf_model *model, ql_sdf_work *work, float *gradient)
{
    const ql_layout *layout = ql_layout_get();
    const int32_t n = work->rows, value_rows = work->second ? 4 * n : n;
    upward(model, work);
    for (int l = L - 1; l >= 0; --l) {
        for (int32_t i = 0; i < n; ++i) downward_row(model, work, l, i);
        if (l == 0) break;
        work->flop += ql_gemm_gradient(value_rows + n, W, W, work->left, LD, work->sine[l - 1], LD,
                                       gradient + layout->sdf[l].weight, W);
        multiply(work, value_rows, work->left, model->reverse[l], work->product);
    }
    first_layer_gradient(work);
}

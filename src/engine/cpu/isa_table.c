/* Packing, work over flat arrays, and the table of one instruction set (see isa.h). */
#include "engine/cpu/gemm.h"
#include "engine/cpu/kernels.h"
#include "engine/cpu/simd.h"

#define QL_REAL float
#include "model/point.h"

/* Panel p, inner index k (a column of W), lane j: W[p QL_PANEL + j][k]. Blocks of 16 columns keep the rows in L1. */
static void pack_forward(const ql_pack_task *task, float *packed)
{
    const ptrdiff_t in = task->in;
    for (ptrdiff_t m = 0; m < task->out; m += QL_PANEL) {
        float scale[QL_PANEL];
        for (int j = 0; j < QL_PANEL; ++j)
            scale[j] = task->row_scale != NULL ? task->factor * task->row_scale[m + j] : 1.0f;
#ifdef QL_BF16
        for (ptrdiff_t k = 0; task->bf16 && k < in; k += 2) {
            float two[2][QL_PANEL];
            for (int j = 0; j < QL_PANEL; ++j)
                for (int b = 0; b < 2; ++b) two[b][j] = scale[j] * task->weight[(m + j) * in + k + b];
            for (int v = 0; v < QL_PANEL; v += QL_LANES, packed += QL_LANES)
                ql_store(packed, ql_pair(ql_load(two[0] + v), ql_load(two[1] + v)));
        }
        if (task->bf16) continue;
#endif
        for (ptrdiff_t k0 = 0; k0 < in; k0 += 16) {
            const ptrdiff_t end = k0 + 16 < in ? k0 + 16 : in;
            for (ptrdiff_t k = k0; k < end; ++k)
                for (int j = 0; j < QL_PANEL; ++j) packed[k * QL_PANEL + j] = scale[j] * task->weight[(m + j) * in + k];
        }
        packed += QL_PANEL * in;
    }
}

/* Panel p, inner index m (a row of W), lane j: W[m][p QL_PANEL + j]. */
static void pack_reverse(const ql_pack_task *task, float *packed)
{
    for (ptrdiff_t m = 0; m < task->out; ++m) {
        const float scale = task->row_scale != NULL ? task->factor * task->row_scale[m] : 1.0f;
        const float *row = task->weight + m * task->in;
#ifdef QL_BF16
        const float next = task->row_scale != NULL && m + 1 < task->out ? task->factor * task->row_scale[m + 1] : 1.0f;
        for (ptrdiff_t k = 0; task->bf16 && k < task->in; k += QL_LANES)
            ql_store(packed + k / QL_PANEL * QL_PANEL * (task->out / 2) + m / 2 * QL_PANEL + k % QL_PANEL,
                     ql_pair(ql_load(row + k) * scale, ql_load(row + task->in + k) * next));
        m += task->bf16;
        if (task->bf16) continue;
#endif
        for (ptrdiff_t k = 0; k < task->in; k += QL_PANEL)
            for (int v = 0; v < QL_PANEL; v += QL_LANES)
                ql_store(packed + k * task->out + m * QL_PANEL + v, ql_load(row + k + v) * scale);
    }
}

static void sum_arrays(float *sum, const float *const *arrays, int32_t count, int64_t begin, int64_t end)
{
    enum { BLOCK = 1024 };
    for (int64_t at = begin; at < end; at += BLOCK) {
        const int64_t stop = at + BLOCK < end ? at + BLOCK : end;
        for (int32_t a = 0; a < count; ++a)
            for (int64_t i = at; i < stop; ++i) sum[i] += arrays[a][i];
    }
}

static double squares(const float *x, int64_t begin, int64_t end)
{
    double sum[8] = {0}, total = 0;
    int64_t i = begin;
    for (; i + 8 <= end; i += 8)
        for (int k = 0; k < 8; ++k) sum[k] += (double)x[i + k] * (double)x[i + k];
    for (; i < end; ++i) sum[0] += (double)x[i] * (double)x[i];
    for (int k = 0; k < 8; ++k) total += sum[k];
    return total;
}

static void adam(double t, double norm, double clip_norm, double learning_rate, const float *restrict gradient,
                 float *restrict parameters, float *restrict m, float *restrict v, int64_t begin, int64_t end)
{
    const ql_adam step = ql_adam_at(t, norm, clip_norm, learning_rate);
    for (int64_t i = begin; i < end; ++i) ql_adam_update(&step, gradient[i], &parameters[i], &m[i], &v[i]);
}

static void multiply(int32_t rows, int32_t in, int32_t out, const float *x, int32_t ldx, const float *packed, float *y,
                     int32_t ldy)
{
    const ql_gemm_out to = {.y = y, .ldy = ldy};
    (void)ql_gemm_rows(rows, in, out, x, ldx, packed, &to);
}

static void multiply_gradient(int32_t rows, int32_t out, int32_t in, const float *left, int32_t ldl, const float *right,
                              int32_t ldr, float *gradient)
{
    (void)ql_gemm_gradient(rows, out, in, left, ldl, right, ldr, gradient, in);
}

#ifdef QL_BF16
static void multiply_bf16(int32_t rows, int32_t in, int32_t out, const float *x, int32_t ldx, float *scratch,
                          const float *packed, float *y, int32_t ldy)
{
    const ql_gemm_out to = {.y = y, .ldy = ldy};
    (void)ql_gemm_rows_bf16(rows, in, out, x, ldx, scratch, packed, &to);
}

static void multiply_gradient_bf16(int32_t rows, int32_t out, int32_t in, const float *left, int32_t ldl,
                                   const float *right, int32_t ldr, float *scratch, float *gradient)
{
    (void)ql_gemm_gradient_bf16(rows, out, in, left, ldl, right, ldr, scratch, gradient, in);
}
#endif

/* Twelve chains of multiply-adds cover the latency of two units on every core of today. */
static double peak(int64_t n)
{
    enum { CHAINS = 12 };
    ql_vector x[CHAINS];
    const ql_vector factor = ql_splat(0.999f), term = ql_splat(1e-3f);
    QL_UNROLL
    for (int k = 0; k < CHAINS; ++k) x[k] = ql_splat((float)k);
    for (int64_t i = 0; i < n; ++i) {
        QL_UNROLL
        for (int k = 0; k < CHAINS; ++k) {
            x[k] = x[k] * factor + term;
            QL_OPAQUE(x[k]);
        }
    }
    ql_vector sum = {0};
    QL_UNROLL
    for (int k = 0; k < CHAINS; ++k) sum += x[k];
    float kept = ql_sum_lanes(sum);
    __asm__ volatile("" : : "r"(&kept) : "memory");
    return 2.0 * QL_LANES * CHAINS * (double)n;
}

static void sine30(const float *z, float *sine, float *cosine, int64_t count)
{
    for (int64_t i = 0; i < count; i += QL_LANES) {
        float in[QL_LANES] = {0}, out[2][QL_LANES];
        const size_t bytes = (size_t)(count - i < QL_LANES ? count - i : QL_LANES) * sizeof(float);
        ql_vector s, c;
        memcpy(in, z + i, bytes);
        ql_sine30(ql_load(in), &s, &c);
        ql_store(out[0], s);
        ql_store(out[1], c);
        memcpy(sine + i, out[0], bytes);
        memcpy(cosine + i, out[1], bytes);
    }
}

const ql_cpu_isa ql_cpu_isa_table = {
    .name = QL_ISA_TEXT2(QL_ISA),
    .panel = QL_PANEL,
    .tile_rows = QL_TILE_ROWS,
    .pack_forward = pack_forward,
    .pack_reverse = pack_reverse,
    .sdf_forward = ql_sdf_chunk_forward,
    .sdf_backward = ql_sdf_chunk_backward,
    .angle_forward = ql_angle_chunk_forward,
    .angle_backward = ql_angle_chunk_backward,
    .sum_arrays = sum_arrays,
    .squares = squares,
    .adam = adam,
    .multiply = multiply,
    .multiply_gradient = multiply_gradient,
#ifdef QL_BF16
    .multiply_bf16 = multiply_bf16,
    .multiply_gradient_bf16 = multiply_gradient_bf16,
#endif
    .peak = peak,
    .sine30 = sine30,
};

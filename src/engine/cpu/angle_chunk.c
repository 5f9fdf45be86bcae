/* Angle network over one chunk of faces, forward and backward (method, section 2).
 *
 * What a residual block keeps is its output and the normalised inner activations (1.5 d floats per face); all else is
 * computed again. gamma and the drop factor s are part of the packed `up` matrix, and their gradients come from
 * G = sum of y'^T r alone: W' = gamma s G, gamma' = s (sum_k W G + b sum y'), which ql_angle_finish does once per step. A
 * dropped block is a ReLU.
 *
 * With engine.precision bf16 the factors of all products but the first layer's, whose inputs are coordinates, are rounded to
 * bf16 on their way into a product; sums, activations, layer norms and the weights themselves stay float32.
 */
#include "engine/cpu/gemm.h"
#include "engine/cpu/kernels.h"
#include "engine/cpu/simd.h"

#define QL_REAL float
#include "model/point.h"

#include <string.h>

/* A matrix of the chunk at hand. */
typedef struct matrix {
    float *x;
    ptrdiff_t ld;
} matrix;

typedef struct chunk {
    const ql_angle_model *model;
    const ql_layout *layout;
    const ql_angle_slots *slots;
    ql_angle_work *work;
    float *record, *gradient;
    const float *input;
    int32_t rows;
} chunk;

static matrix slot(const chunk *c, ql_slot s)
{
    return (matrix){c->record + (ptrdiff_t)s.offset * c->work->capacity + s.column, s.ld};
}

static float *stat(const chunk *c, int32_t offset) { return c->record + (ptrdiff_t)offset * c->work->capacity; }
static matrix columns(matrix m, int first) { return (matrix){m.x + first, m.ld}; }
static matrix wide(const chunk *c, int k) { return (matrix){c->work->wide[k], 512 + QL_PAD}; }
static matrix narrow(const chunk *c, int k) { return (matrix){c->work->narrow[k], 128 + QL_PAD}; }
static matrix middle(float *x) { return (matrix){x, 256 + QL_PAD}; }

/* ---- products ---- */

static void multiply(const chunk *c, int inner, int width, matrix x, const ql_packed *w, const float *packed,
                     const ql_gemm_out *out)
{
#ifdef QL_BF16
    if (w->bf16) {
        c->work->flop += ql_gemm_rows_bf16(c->rows, inner, width, x.x, x.ld, c->work->scratch, packed, out);
        return;
    }
#else
    (void)w;
#endif
    c->work->flop += ql_gemm_rows(c->rows, inner, width, x.x, x.ld, packed, out);
}

static void dense(const chunk *c, const ql_dense *shape, const ql_packed *w, matrix x, matrix y)
{
    const ql_gemm_out out = {.y = y.x, .ldy = y.ld, .bias = w->bias};
    multiply(c, shape->in, shape->out, x, w, w->forward, &out);
}

static void dense_reverse(const chunk *c, const ql_dense *shape, const ql_packed *w, matrix y, matrix x, bool add)
{
    const ql_gemm_out out = {.y = x.x, .ldy = x.ld, .add = add ? x.x : NULL, .ldadd = x.ld};
    multiply(c, shape->out, shape->in, y, w, w->reverse, &out);
}

static void dense_gradient(const chunk *c, const ql_dense *shape, matrix y, matrix x)
{
#ifdef QL_BF16
    if (c->work->scratch != NULL) {
        c->work->flop += ql_gemm_gradient_bf16(c->rows, shape->out, shape->in, y.x, y.ld, x.x, x.ld, c->work->scratch,
                                               c->gradient + shape->weight, shape->in);
        return;
    }
#endif
    c->work->flop +=
        ql_gemm_gradient(c->rows, shape->out, shape->in, y.x, y.ld, x.x, x.ld, c->gradient + shape->weight, shape->in);
}

static void bias_gradient(const chunk *c, const ql_dense *shape, matrix y)
{
    float *sum = c->gradient + shape->bias;
    for (int k = 0; k < shape->out; k += QL_LANES) {
        ql_vector total = {0};
        for (int32_t i = 0; i < c->rows; ++i) total += ql_load(y.x + i * y.ld + k);
        ql_add_to(sum + k, total);
    }
}

/* ---- layer norm ---- */

QL_ALWAYS void row_statistics(const float *x, const int width, float *mean, float *rate)
{
    ql_vector sum = {0}, squares = {0};
    for (int k = 0; k < width; k += QL_LANES) sum += ql_load(x + k);
    *mean = ql_sum_lanes(sum) / (float)width;
    const ql_vector m = ql_splat(*mean);
    for (int k = 0; k < width; k += QL_LANES) {
        ql_vector d = ql_load(x + k) - m;
        squares += d * d;
    }
    *rate = (float)(1 / sqrt((double)ql_sum_lanes(squares) / width + 1e-6));
}

/* x becomes hat = (x - mean) rate; y = [relu] (hat w + b). */
QL_ALWAYS void normalise_width(const int width, int32_t rows, matrix x, float *rate, const float *w, const float *b,
                               const bool relu, matrix y)
{
    for (int32_t i = 0; i < rows; ++i) {
        float *in = x.x + i * x.ld, *out = y.x + i * y.ld, mean;
        row_statistics(in, width, &mean, &rate[i]);
        const ql_vector m = ql_splat(mean), r = ql_splat(rate[i]);
        for (int k = 0; k < width; k += QL_LANES) {
            ql_vector hat = (ql_load(in + k) - m) * r, value = hat * ql_load(w + k) + ql_load(b + k);
            ql_store(in + k, hat);
            ql_store(out + k, relu ? ql_positive(value) : value);
        }
    }
}

static void normalise(const chunk *c, const ql_norm *norm, matrix x, float *rate, bool relu, matrix y)
{
    const float *w = c->model->parameters + norm->weight, *b = c->model->parameters + norm->bias;
    switch (norm->width) {
    case 64: normalise_width(64, c->rows, x, rate, w, b, relu, y); break;
    case 128: normalise_width(128, c->rows, x, rate, w, b, relu, y); break;
    case 256: normalise_width(256, c->rows, x, rate, w, b, relu, y); break;
    default: normalise_width(512, c->rows, x, rate, w, b, relu, y); break;
    }
}

/* y = hat w + b with statistics kept (2 per row) instead of hat; with `known` they are read. */
static void normalise_kept(const chunk *c, const ql_norm *norm, matrix x, float *stats, bool known, matrix y)
{
    const float *w = c->model->parameters + norm->weight, *b = c->model->parameters + norm->bias;
    for (int32_t i = 0; i < c->rows; ++i) {
        const float *in = x.x + i * x.ld;
        float *out = y.x + i * y.ld;
        if (!known) row_statistics(in, norm->width, &stats[2 * i], &stats[2 * i + 1]);
        const ql_vector m = ql_splat(stats[2 * i]), r = ql_splat(stats[2 * i + 1]);
        for (int k = 0; k < norm->width; k += QL_LANES)
            ql_store(out + k, (ql_load(in + k) - m) * r * ql_load(w + k) + ql_load(b + k));
    }
}

/* One row of a layer norm backward, in place: a = [relu'] y' w; x' = rate (a - mean(a) - hat mean(a hat)). With relu
 * the activation is computed again into `again`. */
QL_ALWAYS void norm_row_backward(const int width, const float *hat, float rate, float *adjoint, const float *w,
                                 const float *b, const bool relu, float *again, float *gw, float *gb)
{
    ql_vector sum = {0}, product = {0};
    for (int k = 0; k < width; k += QL_LANES) {
        ql_vector h = ql_load(hat + k), a = ql_load(adjoint + k), weight = ql_load(w + k);
        if (relu) {
            ql_vector value = h * weight + ql_load(b + k);
            ql_store(again + k, ql_positive(value));
            a = ql_select(value > 0.0f, a, (ql_vector){0});
        }
        ql_add_to(gw + k, a * h);
        ql_add_to(gb + k, a);
        a *= weight;
        sum += a;
        product += a * h;
        ql_store(adjoint + k, a);
    }
    const ql_vector mean = ql_splat(ql_sum_lanes(sum) / (float)width),
                    slope = ql_splat(ql_sum_lanes(product) / (float)width), r = ql_splat(rate);
    for (int k = 0; k < width; k += QL_LANES)
        ql_store(adjoint + k, (ql_load(adjoint + k) - mean - ql_load(hat + k) * slope) * r);
}

static void normalise_backward(const chunk *c, const ql_norm *norm, matrix hat, const float *rate, matrix adjoint,
                               bool relu, matrix again)
{
    const float *w = c->model->parameters + norm->weight, *b = c->model->parameters + norm->bias;
    float *gw = c->gradient + norm->weight, *gb = c->gradient + norm->bias;
    for (int32_t i = 0; i < c->rows; ++i) {
        const float *h = hat.x + i * hat.ld;
        float *a = adjoint.x + i * adjoint.ld, *g = relu ? again.x + i * again.ld : NULL;
        if (relu && norm->width == 64)
            norm_row_backward(64, h, rate[i], a, w, b, true, g, gw, gb);
        else if (relu)
            norm_row_backward(128, h, rate[i], a, w, b, true, g, gw, gb);
        else
            norm_row_backward(norm->width, h, rate[i], a, w, b, false, g, gw, gb);
    }
}

/* The same from kept statistics; hat goes through a row on the stack. */
static void normalise_kept_backward(const chunk *c, const ql_norm *norm, matrix x, const float *stats, matrix adjoint)
{
    const float *w = c->model->parameters + norm->weight;
    float hat[512] __attribute__((aligned(64)));
    for (int32_t i = 0; i < c->rows; ++i) {
        const ql_vector m = ql_splat(stats[2 * i]), r = ql_splat(stats[2 * i + 1]);
        for (int k = 0; k < norm->width; k += QL_LANES) ql_store(hat + k, (ql_load(x.x + i * x.ld + k) - m) * r);
        norm_row_backward(norm->width, hat, stats[2 * i + 1], adjoint.x + i * adjoint.ld, w, NULL, false, NULL,
                          c->gradient + norm->weight, c->gradient + norm->bias);
    }
}

/* ---- residual blocks ---- */

static void relu_rows(const chunk *c, matrix x, int width, matrix y)
{
    for (int32_t i = 0; i < c->rows; ++i)
        for (int k = 0; k < width; k += QL_LANES)
            ql_store(y.x + i * y.ld + k, ql_positive(ql_load(x.x + i * x.ld + k)));
}

/* Zeroes the adjoint where y is not positive; with `sum`, adds its columns there. */
static void relu_backward(const chunk *c, matrix y, int width, matrix adjoint, float *sum)
{
    for (int k = 0; k < width; k += QL_LANES) {
        ql_vector total = {0};
        for (int32_t i = 0; i < c->rows; ++i) {
            float *a = adjoint.x + i * adjoint.ld + k;
            ql_vector kept = ql_select(ql_load(y.x + i * y.ld + k) > 0.0f, ql_load(a), (ql_vector){0});
            total += kept;
            ql_store(a, kept);
        }
        if (sum != NULL) ql_add_to(sum + k, total);
    }
}

static void block_forward(const chunk *c, int index)
{
    const ql_block *block = &c->layout->block[index];
    const ql_block_slots *at = &c->slots->block[index];
    matrix x = slot(c, at->x), y = slot(c, at->y), hat1 = slot(c, at->hat1), hat2 = slot(c, at->hat2), r = narrow(c, 0);
    if (!(c->model->drop[index] > 0)) {
        relu_rows(c, x, block->width, y);
        return;
    }
    dense(c, &block->down, &c->model->down[index], x, hat1);
    normalise(c, &block->norm1, hat1, stat(c, at->rate1), true, r);
    dense(c, &block->mid, &c->model->mid[index], r, hat2);
    normalise(c, &block->norm2, hat2, stat(c, at->rate2), true, r);
    const ql_packed *up = &c->model->up[index];
    const ql_gemm_out out = {.y = y.x, .ldy = y.ld, .bias = up->bias, .add = x.x, .ldadd = x.ld, .relu = true};
    multiply(c, block->inner, block->width, r, up, up->forward, &out);
}

/* In place: the adjoint of y becomes that of x. */
static void block_backward(const chunk *c, int index, matrix adjoint)
{
    const ql_block *block = &c->layout->block[index];
    const ql_block_slots *at = &c->slots->block[index];
    if (!(c->model->drop[index] > 0)) {
        relu_backward(c, slot(c, at->y), block->width, adjoint, NULL);
        return;
    }
    matrix a2 = narrow(c, 0), a1 = narrow(c, 1), r = narrow(c, 2);
    relu_backward(c, slot(c, at->y), block->width, adjoint, c->gradient + block->up.bias);
    dense_reverse(c, &block->up, &c->model->up[index], adjoint, a2, false);
    normalise_backward(c, &block->norm2, slot(c, at->hat2), stat(c, at->rate2), a2, true, r);
    dense_gradient(c, &block->up, adjoint, r);
    bias_gradient(c, &block->mid, a2);
    dense_reverse(c, &block->mid, &c->model->mid[index], a2, a1, false);
    normalise_backward(c, &block->norm1, slot(c, at->hat1), stat(c, at->rate1), a1, true, r);
    dense_gradient(c, &block->mid, a2, r);
    bias_gradient(c, &block->down, a1);
    dense_gradient(c, &block->down, a1, slot(c, at->x));
    dense_reverse(c, &block->down, &c->model->down[index], a1, adjoint, true);
}

static void stage_forward(const chunk *c, ql_stage stage)
{
    for (int b = c->layout->stage_begin[stage]; b < c->layout->stage_begin[stage + 1]; ++b) block_forward(c, b);
}

static void stage_backward(const chunk *c, ql_stage stage, matrix adjoint)
{
    for (int b = c->layout->stage_begin[stage + 1] - 1; b >= c->layout->stage_begin[stage]; --b)
        block_backward(c, b, adjoint);
}

static matrix stage_out(const chunk *c, ql_stage stage)
{
    return slot(c, c->slots->block[c->layout->stage_begin[stage + 1] - 1].y);
}

static void tail_forward(const chunk *c, const ql_tail *tail, const ql_packed *w, matrix x, int32_t stats, ql_slot y)
{
    normalise_kept(c, &tail->norm, x, stat(c, stats), false, wide(c, 2));
    dense(c, &tail->linear, w, wide(c, 2), slot(c, y));
}

/* Sets x_adjoint. */
static void tail_backward(const chunk *c, const ql_tail *tail, const ql_packed *w, matrix x, int32_t stats,
                          matrix y_adjoint, matrix x_adjoint)
{
    normalise_kept(c, &tail->norm, x, stat(c, stats), true, wide(c, 2));
    dense_gradient(c, &tail->linear, y_adjoint, wide(c, 2));
    bias_gradient(c, &tail->linear, y_adjoint);
    dense_reverse(c, &tail->linear, w, y_adjoint, x_adjoint, false);
    normalise_kept_backward(c, &tail->norm, x, stat(c, stats), x_adjoint);
}

/* ---- the network ---- */

static void head_forward(const chunk *c, float *theta)
{
    const ql_layout *layout = c->layout;
    const float *w = c->model->parameters + layout->out_linear.weight;
    const float bias = c->model->parameters[layout->out_linear.bias];
    matrix hidden = slot(c, c->slots->hidden), normal = narrow(c, 0);
    tail_forward(c, &layout->h_tail, &c->model->h_tail, stage_out(c, QL_STAGE_H), c->slots->h_stat, c->slots->h);
    normalise_kept(c, &layout->out_norm, slot(c, c->slots->h), stat(c, c->slots->out_stat), false, normal);
    dense(c, &layout->out_hidden, &c->model->hidden, normal, hidden);
    for (int32_t i = 0; i < c->rows; ++i) {
        double sum = (double)bias; /* smoothness sees small differences of angles */
        float slope;
        for (int k = 0; k < 32; ++k) sum += (double)w[k] * (double)ql_gelu(hidden.x[i * hidden.ld + k], &slope);
        theta[i] = (float)(2 * M_PI * sum);
    }
}

static chunk chunk_of(const ql_angle_model *model, const ql_angle_slots *slots, ql_angle_work *work, float *record,
                      const float *input, int32_t rows, float *gradient)
{
    return (chunk){model, ql_layout_get(), slots, work, record, gradient, input, rows};
}

void ql_angle_chunk_forward(const ql_angle_model *model, const ql_angle_slots *slots, ql_angle_work *work,
                            float *record, const float *input, int32_t rows, float *theta)
{
    const chunk here = chunk_of(model, slots, work, record, input, rows, NULL), *c = &here;
    const ql_layout *layout = c->layout;
    dense(c, &layout->in, &model->in, (matrix){(float *)(uintptr_t)input, QL_INPUT_LD}, slot(c, slots->in_hat));
    normalise(c, &layout->in_norm, slot(c, slots->in_hat), stat(c, slots->in_rate), false, slot(c, slots->a0));
    for (ql_stage e = QL_STAGE_E0; e <= QL_STAGE_E2; ++e) stage_forward(c, e);
    dense(c, &layout->widen, &model->widen, stage_out(c, QL_STAGE_E2), slot(c, slots->widen_hat));
    normalise(c, &layout->widen_norm, slot(c, slots->widen_hat), stat(c, slots->widen_rate), false, slot(c, slots->a3));
    for (int k = 0; k < 4; ++k) {
        ql_stage stage = (ql_stage)(QL_STAGE_E3 + k);
        stage_forward(c, stage);
        tail_forward(c, &layout->d_tail[k], &model->d_tail[k], stage_out(c, stage), slots->d_stat[k], slots->d[k]);
    }
    for (int k = 0; k < 3; ++k)
        tail_forward(c, &layout->s_tail[k], &model->s_tail[k], slot(c, slots->d[k]), slots->s_stat[k], slots->s[k]);
    stage_forward(c, QL_STAGE_H);
    head_forward(c, theta);
}

/* From theta to the adjoint of stage h's input in `adjoint`. */
static void head_backward(const chunk *c, const float *theta_adjoint, matrix adjoint)
{
    const ql_layout *layout = c->layout;
    const float *w = c->model->parameters + layout->out_linear.weight;
    float *gw = c->gradient + layout->out_linear.weight, *gb = c->gradient + layout->out_linear.bias;
    matrix hidden = slot(c, c->slots->hidden), normal = narrow(c, 0), h_adjoint = narrow(c, 1),
           h = slot(c, c->slots->h);
    for (int32_t i = 0; i < c->rows; ++i) {
        const float a = (float)(2 * M_PI) * theta_adjoint[i];
        float *x = hidden.x + i * hidden.ld, slope;
        *gb += a;
        for (int k = 0; k < 32; ++k) {
            gw[k] += a * ql_gelu(x[k], &slope);
            x[k] = a * w[k] * slope; /* the activation is not needed any more */
        }
    }
    normalise_kept(c, &layout->out_norm, h, stat(c, c->slots->out_stat), true, normal);
    dense_gradient(c, &layout->out_hidden, hidden, normal);
    bias_gradient(c, &layout->out_hidden, hidden);
    dense_reverse(c, &layout->out_hidden, &c->model->hidden, hidden, h_adjoint, false);
    normalise_kept_backward(c, &layout->out_norm, h, stat(c, c->slots->out_stat), h_adjoint);
    tail_backward(c, &layout->h_tail, &c->model->h_tail, stage_out(c, QL_STAGE_H), c->slots->h_stat, h_adjoint,
                  adjoint);
    stage_backward(c, QL_STAGE_H, adjoint);
}

static void add_columns(const chunk *c, matrix to, matrix from, int width, bool add)
{
    for (int32_t i = 0; i < c->rows; ++i)
        for (int k = 0; k < width; k += QL_LANES) {
            ql_vector x = ql_load(from.x + i * from.ld + k);
            ql_store(to.x + i * to.ld + k, add ? x + ql_load(to.x + i * to.ld + k) : x);
        }
}

static void decoder_tail(const chunk *c, int k, matrix y_adjoint, matrix x_adjoint)
{
    tail_backward(c, &c->layout->d_tail[k], &c->model->d_tail[k], stage_out(c, (ql_stage)(QL_STAGE_E3 + k)),
                  c->slots->d_stat[k], y_adjoint, x_adjoint);
}

/* From the adjoint of [d3, s2, s1, s0] to that of stage e3's input; adjoints of e0, e1, e2 through the skips are kept. */
static void decoder_backward(const chunk *c, matrix *adjoint, matrix *other)
{
    for (int k = 0; k < 3; ++k)
        tail_backward(c, &c->layout->s_tail[k], &c->model->s_tail[k], slot(c, c->slots->d[k]), c->slots->s_stat[k],
                      columns(*adjoint, 128 * (3 - k)), middle(c->work->d_adjoint[k]));
    matrix y_adjoint = *adjoint;
    for (int k = 3; k > 0; --k) {
        decoder_tail(c, k, y_adjoint, *other);
        matrix swap = *adjoint;
        *adjoint = *other;
        *other = swap;
        stage_backward(c, (ql_stage)(QL_STAGE_E3 + k), *adjoint);
        add_columns(c, middle(c->work->e_adjoint[3 - k]), *adjoint, 256, false);
        y_adjoint = middle(c->work->d_adjoint[k - 1]);
        add_columns(c, y_adjoint, columns(*adjoint, 256), 256, true);
    }
    decoder_tail(c, 0, y_adjoint, *adjoint);
    stage_backward(c, QL_STAGE_E3, *adjoint);
}

/* The first layer's 12 inputs are padded to QL_INPUT_LD columns; only 12 of the sums are wanted. */
static void input_gradient(const chunk *c, matrix adjoint)
{
    const ql_dense *in = &c->layout->in;
    float *sum = c->work->first;
    memset(sum, 0, (size_t)in->out * QL_INPUT_LD * sizeof(float));
    c->work->flop += ql_gemm_gradient(c->rows, in->out, QL_INPUT_LD, adjoint.x, adjoint.ld, c->input, QL_INPUT_LD, sum,
                                      QL_INPUT_LD) *
                     QL_ANGLE_INPUTS / QL_INPUT_LD;
    for (int m = 0; m < in->out; ++m)
        for (int k = 0; k < in->in; ++k) c->gradient[in->weight + m * in->in + k] += sum[m * QL_INPUT_LD + k];
    bias_gradient(c, in, adjoint);
}

void ql_angle_chunk_backward(const ql_angle_model *model, const ql_angle_slots *slots, ql_angle_work *work,
                             float *record, const float *input, int32_t rows, const float *theta_adjoint,
                             float *gradient)
{
    const chunk here = chunk_of(model, slots, work, record, input, rows, gradient), *c = &here;
    const ql_layout *layout = c->layout;
    matrix adjoint = wide(c, 0), other = wide(c, 1), none = {NULL, 0};
    head_backward(c, theta_adjoint, adjoint);
    decoder_backward(c, &adjoint, &other);
    normalise_backward(c, &layout->widen_norm, slot(c, slots->widen_hat), stat(c, slots->widen_rate), adjoint, false,
                       none);
    dense_gradient(c, &layout->widen, adjoint, stage_out(c, QL_STAGE_E2));
    bias_gradient(c, &layout->widen, adjoint);
    dense_reverse(c, &layout->widen, &model->widen, adjoint, other, false);
    for (int k = 2; k >= 0; --k) {
        add_columns(c, other, middle(work->e_adjoint[k]), 256, true);
        stage_backward(c, (ql_stage)(QL_STAGE_E0 + k), other);
    }
    normalise_backward(c, &layout->in_norm, slot(c, slots->in_hat), stat(c, slots->in_rate), other, false, none);
    input_gradient(c, other);
}

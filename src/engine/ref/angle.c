/* Engine ref, angle network: a pointwise residual MLP, forward and backward over a block of faces (method, section 2). */
#include "engine/ref/ref.h"

#include <string.h>

static size_t bytes_of(int count, int width) { return (size_t)count * (size_t)width * sizeof(double); }

static int take(double **array, ql_arena *arena, int width)
{
    *array = ql_arena_take(arena, (size_t)QL_REF_ROWS * (size_t)width, sizeof(double));
    return *array != NULL;
}

int ql_ref_angle_take(ql_ref_angle *angle, const ql_layout *layout, ql_arena *arena)
{
    int complete = take(&angle->input, arena, QL_ANGLE_INPUTS) & take(&angle->in_linear, arena, 256) &
                   take(&angle->widen_linear, arena, 512) & take(&angle->a3, arena, 512);
    for (int b = 0; b < QL_BLOCK_COUNT; ++b) {
        ql_ref_block *block = &angle->block[b];
        int width = layout->block[b].width, inner = layout->block[b].inner;
        complete &= take(&block->in, arena, width) & take(&block->out, arena, width) & take(&block->up, arena, width) &
                    take(&block->down, arena, inner) & take(&block->relu1, arena, inner) &
                    take(&block->mid, arena, inner) & take(&block->relu2, arena, inner);
    }
    for (int k = 0; k < 4; ++k)
        complete &= take(&angle->d[k], arena, k < 3 ? 256 : 128) & take(&angle->work[k], arena, 512);
    for (int k = 0; k < 3; ++k)
        complete &= take(&angle->s[k], arena, 128) & take(&angle->e_adjoint[k], arena, 256) &
                    take(&angle->d_adjoint[k], arena, 256);
    for (int k = 0; k < 6; ++k) complete &= take(&angle->adjoint[k], arena, 512);
    return complete & take(&angle->h, arena, 128) & take(&angle->out_norm, arena, 128) &
           take(&angle->hidden, arena, 32) & take(&angle->gelu, arena, 32) & take(&angle->out, arena, 1);
}

/* ---- layers ---- */

static void dense_forward(const ql_ref *ref, const ql_dense *dense, const double *x, int count, double *y)
{
    ql_ref_fill_rows(y, ref->parameters + dense->bias, count, dense->out);
    ql_ref_multiply(y, x, ref->transposed + dense->weight, count, dense->in, dense->out);
}

/* Adds to the gradient; sets x_adjoint (NULL: not wanted). */
static void dense_backward(const ql_ref *ref, const ql_dense *dense, const double *x, const double *y_adjoint,
                           int count, double *x_adjoint, double *gradient)
{
    ql_ref_multiply_transposed(gradient + dense->weight, y_adjoint, x, dense->out, count, dense->in);
    ql_ref_add_rows(gradient + dense->bias, y_adjoint, count, dense->out);
    if (x_adjoint == NULL) return;
    memset(x_adjoint, 0, bytes_of(count, dense->in));
    ql_ref_multiply(x_adjoint, y_adjoint, ref->parameters + dense->weight, count, dense->out, dense->in);
}

static void row_statistics(const double *x, int width, double *mean, double *rate)
{
    double sum = 0, squares = 0;
    for (int k = 0; k < width; ++k) sum += x[k];
    *mean = sum / width;
    for (int k = 0; k < width; ++k) squares += (x[k] - *mean) * (x[k] - *mean);
    *rate = 1.0 / sqrt(squares / width + QL_NORM_EPSILON);
}

static void norm_forward(const ql_ref *ref, const ql_norm *norm, const double *x, int count, double *y)
{
    const double *weight = ref->parameters + norm->weight, *bias = ref->parameters + norm->bias;
    for (int p = 0; p < count; ++p, x += norm->width, y += norm->width) {
        double mean, rate;
        row_statistics(x, norm->width, &mean, &rate);
        for (int k = 0; k < norm->width; ++k) y[k] = (x[k] - mean) * rate * weight[k] + bias[k];
    }
}

/* In place: y_adjoint becomes x_adjoint. With xh = (x - mean) rate, g = y' w: x' = rate (g - mean(g) - xh mean(g xh)). */
static void norm_backward(const ql_ref *ref, const ql_norm *norm, const double *x, double *adjoint, int count,
                          double *gradient)
{
    const double *weight = ref->parameters + norm->weight;
    for (int p = 0; p < count; ++p, x += norm->width, adjoint += norm->width) {
        double mean, rate, sum = 0, product = 0;
        row_statistics(x, norm->width, &mean, &rate);
        for (int k = 0; k < norm->width; ++k) {
            double hat = (x[k] - mean) * rate;
            gradient[norm->weight + k] += adjoint[k] * hat;
            gradient[norm->bias + k] += adjoint[k];
            adjoint[k] *= weight[k];
            sum += adjoint[k];
            product += adjoint[k] * hat;
        }
        sum /= norm->width;
        product /= norm->width;
        for (int k = 0; k < norm->width; ++k) adjoint[k] = rate * (adjoint[k] - sum - (x[k] - mean) * rate * product);
    }
}

static void relu(double *x, int size)
{
    for (int i = 0; i < size; ++i) x[i] = x[i] > 0 ? x[i] : 0;
}

static void relu_backward(const double *y, double *adjoint, int size)
{
    for (int i = 0; i < size; ++i)
        if (!(y[i] > 0)) adjoint[i] = 0;
}

/* ---- a residual block and a tail ---- */

static void block_forward(const ql_ref *ref, int index, ql_ref_block *tape, const double *x, int count, double drop)
{
    const ql_block *block = &ref->layout->block[index];
    memcpy(tape->in, x, bytes_of(count, block->width));
    memcpy(tape->out, x, bytes_of(count, block->width));
    if (drop > 0) {
        const double *gamma = ref->parameters + block->gamma;
        dense_forward(ref, &block->down, x, count, tape->down);
        norm_forward(ref, &block->norm1, tape->down, count, tape->relu1);
        relu(tape->relu1, count * block->inner);
        dense_forward(ref, &block->mid, tape->relu1, count, tape->mid);
        norm_forward(ref, &block->norm2, tape->mid, count, tape->relu2);
        relu(tape->relu2, count * block->inner);
        dense_forward(ref, &block->up, tape->relu2, count, tape->up);
        for (int p = 0; p < count; ++p)
            for (int k = 0; k < block->width; ++k)
                tape->out[p * block->width + k] += gamma[k] * drop * tape->up[p * block->width + k];
    }
    relu(tape->out, count * block->width);
}

/* In place: the adjoint of out becomes that of in. work: two arrays of the inner width, one of the full one. */
static void block_backward(const ql_ref *ref, int index, const ql_ref_block *tape, double *adjoint, int count,
                           double drop, double *const work[3], double *gradient)
{
    const ql_block *block = &ref->layout->block[index];
    int width = block->width;
    relu_backward(tape->out, adjoint, count * width);
    if (!(drop > 0)) return;
    const double *gamma = ref->parameters + block->gamma;
    double *up = work[0], *inner = work[1], *other = work[2];
    for (int p = 0; p < count; ++p)
        for (int k = 0; k < width; ++k) {
            double a = adjoint[p * width + k] * drop;
            gradient[block->gamma + k] += a * tape->up[p * width + k];
            up[p * width + k] = a * gamma[k];
        }
    dense_backward(ref, &block->up, tape->relu2, up, count, inner, gradient);
    relu_backward(tape->relu2, inner, count * block->inner);
    norm_backward(ref, &block->norm2, tape->mid, inner, count, gradient);
    dense_backward(ref, &block->mid, tape->relu1, inner, count, other, gradient);
    relu_backward(tape->relu1, other, count * block->inner);
    norm_backward(ref, &block->norm1, tape->down, other, count, gradient);
    dense_backward(ref, &block->down, tape->in, other, count, up, gradient);
    for (int i = 0; i < count * width; ++i) adjoint[i] += up[i];
}

/* Blocks of a stage; returns its output. */
static const double *stage_forward(const ql_ref *ref, ql_ref_angle *angle, ql_stage stage, const double *x, int count,
                                   const double *drop)
{
    for (int b = ref->layout->stage_begin[stage]; b < ref->layout->stage_begin[stage + 1]; ++b) {
        block_forward(ref, b, &angle->block[b], x, count, drop != NULL ? drop[b] : 1.0);
        x = angle->block[b].out;
    }
    return x;
}

static void stage_backward(const ql_ref *ref, ql_ref_angle *angle, ql_stage stage, double *adjoint, int count,
                           const double *drop, double *gradient)
{
    for (int b = ref->layout->stage_begin[stage + 1] - 1; b >= ref->layout->stage_begin[stage]; --b)
        block_backward(ref, b, &angle->block[b], adjoint, count, drop != NULL ? drop[b] : 1.0, angle->work, gradient);
}

static void tail_forward(const ql_ref *ref, ql_ref_angle *angle, const ql_tail *tail, const double *x, int count,
                         double *y)
{
    norm_forward(ref, &tail->norm, x, count, angle->work[0]);
    dense_forward(ref, &tail->linear, angle->work[0], count, y);
}

/* Sets x_adjoint. The normalised input is computed again rather than kept. */
static void tail_backward(const ql_ref *ref, ql_ref_angle *angle, const ql_tail *tail, const double *x,
                          const double *y_adjoint, int count, double *x_adjoint, double *gradient)
{
    norm_forward(ref, &tail->norm, x, count, angle->work[0]);
    dense_backward(ref, &tail->linear, angle->work[0], y_adjoint, count, x_adjoint, gradient);
    norm_backward(ref, &tail->norm, x, x_adjoint, count, gradient);
}

/* Columns [at, at + width) of a wide matrix. */
static void put_columns(double *wide, int wide_width, int at, const double *x, int width, int count)
{
    for (int p = 0; p < count; ++p) memcpy(wide + p * wide_width + at, x + p * width, (size_t)width * sizeof *x);
}

static void get_columns(double *x, int width, const double *wide, int wide_width, int at, int count)
{
    for (int p = 0; p < count; ++p) memcpy(x + p * width, wide + p * wide_width + at, (size_t)width * sizeof *x);
}

static void add_to(double *sum, const double *x, int size)
{
    for (int i = 0; i < size; ++i) sum[i] += x[i];
}

/* ---- the network ---- */

static void load_inputs(const ql_ref *ref, ql_ref_angle *angle, int32_t first, int count)
{
    const ql_tables *tables = ref->setup.tables;
    const double *columns[4] = {tables->points, tables->normals, tables->u, tables->v};
    for (int k = 0; k < 4; ++k)
        put_columns(angle->input, QL_ANGLE_INPUTS, 3 * k, columns[k] + 3 * (size_t)first, 3, count);
}

static const double *stage_out(const ql_ref *ref, const ql_ref_angle *angle, ql_stage stage)
{
    return angle->block[ref->layout->stage_begin[stage + 1] - 1].out;
}

void ql_ref_angle_forward(const ql_ref *ref, ql_ref_angle *angle, int32_t first, int count, const double *drop,
                          double *theta)
{
    const ql_layout *layout = ref->layout;
    double *wide = angle->work[1];
    load_inputs(ref, angle, first, count);
    dense_forward(ref, &layout->in, angle->input, count, angle->in_linear);
    norm_forward(ref, &layout->in_norm, angle->in_linear, count, wide);
    const double *e[3];
    e[0] = stage_forward(ref, angle, QL_STAGE_E0, wide, count, drop);
    e[1] = stage_forward(ref, angle, QL_STAGE_E1, e[0], count, drop);
    e[2] = stage_forward(ref, angle, QL_STAGE_E2, e[1], count, drop);
    dense_forward(ref, &layout->widen, e[2], count, angle->widen_linear);
    norm_forward(ref, &layout->widen_norm, angle->widen_linear, count, angle->a3);
    const double *x = stage_forward(ref, angle, QL_STAGE_E3, angle->a3, count, drop);
    tail_forward(ref, angle, &layout->d_tail[0], x, count, angle->d[0]);
    for (int k = 1; k < 4; ++k) {
        put_columns(wide, 512, 0, e[3 - k], 256, count);
        put_columns(wide, 512, 256, angle->d[k - 1], 256, count);
        x = stage_forward(ref, angle, (ql_stage)(QL_STAGE_D1 + k - 1), wide, count, drop);
        tail_forward(ref, angle, &layout->d_tail[k], x, count, angle->d[k]);
    }
    for (int k = 0; k < 3; ++k) tail_forward(ref, angle, &layout->s_tail[k], angle->d[k], count, angle->s[k]);
    put_columns(wide, 512, 0, angle->d[3], 128, count);
    for (int k = 0; k < 3; ++k) put_columns(wide, 512, 128 * (k + 1), angle->s[2 - k], 128, count);
    x = stage_forward(ref, angle, QL_STAGE_H, wide, count, drop);
    tail_forward(ref, angle, &layout->h_tail, x, count, angle->h);
    norm_forward(ref, &layout->out_norm, angle->h, count, angle->out_norm);
    dense_forward(ref, &layout->out_hidden, angle->out_norm, count, angle->hidden);
    double slope;
    for (int i = 0; i < count * 32; ++i) angle->gelu[i] = ql_gelu(angle->hidden[i], &slope);
    dense_forward(ref, &layout->out_linear, angle->gelu, count, angle->out);
    for (int p = 0; p < count; ++p) theta[p] = 2 * M_PI * angle->out[p];
}

/* From theta back to the input of stage h; leaves its adjoint (512 wide) in adjoint[0]. */
static void head_backward(const ql_ref *ref, ql_ref_angle *angle, int count, const double *drop,
                          const double *theta_adjoint, double *gradient)
{
    const ql_layout *layout = ref->layout;
    double *out = angle->adjoint[1], *hidden = angle->adjoint[2], *h = angle->adjoint[3];
    for (int p = 0; p < count; ++p) out[p] = 2 * M_PI * theta_adjoint[p];
    dense_backward(ref, &layout->out_linear, angle->gelu, out, count, hidden, gradient);
    for (int i = 0; i < count * 32; ++i) {
        double slope;
        (void)ql_gelu(angle->hidden[i], &slope);
        hidden[i] *= slope;
    }
    dense_backward(ref, &layout->out_hidden, angle->out_norm, hidden, count, h, gradient);
    norm_backward(ref, &layout->out_norm, angle->h, h, count, gradient);
    tail_backward(ref, angle, &layout->h_tail, stage_out(ref, angle, QL_STAGE_H), h, count, angle->adjoint[0],
                  gradient);
    stage_backward(ref, angle, QL_STAGE_H, angle->adjoint[0], count, drop, gradient);
}

/* The decoder: leaves the adjoint of e3 in adjoint[0] and those of e0, e1, e2 through the skips in e_adjoint. */
static void decoder_backward(const ql_ref *ref, ql_ref_angle *angle, int count, const double *drop, double *gradient)
{
    const ql_layout *layout = ref->layout;
    double *wide = angle->adjoint[0], *narrow = angle->adjoint[1];
    for (int k = 0; k < 3; ++k) {
        get_columns(narrow, 128, wide, 512, 128 * (3 - k), count);
        tail_backward(ref, angle, &layout->s_tail[k], angle->d[k], narrow, count, angle->d_adjoint[k], gradient);
    }
    get_columns(narrow, 128, wide, 512, 0, count);
    const double *d_adjoint = narrow; /* of d3; below of d_{k-1}, complete when its turn comes */
    for (int k = 3; k > 0; --k) {
        ql_stage stage = (ql_stage)(QL_STAGE_D1 + k - 1);
        tail_backward(ref, angle, &layout->d_tail[k], stage_out(ref, angle, stage), d_adjoint, count, wide, gradient);
        stage_backward(ref, angle, stage, wide, count, drop, gradient);
        get_columns(angle->e_adjoint[3 - k], 256, wide, 512, 0, count);
        get_columns(narrow, 256, wide, 512, 256, count);
        add_to(angle->d_adjoint[k - 1], narrow, count * 256);
        d_adjoint = angle->d_adjoint[k - 1];
    }
    tail_backward(ref, angle, &layout->d_tail[0], stage_out(ref, angle, QL_STAGE_E3), d_adjoint, count, wide, gradient);
}

void ql_ref_angle_backward(const ql_ref *ref, ql_ref_angle *angle, int count, const double *drop,
                           const double *theta_adjoint, double *gradient)
{
    const ql_layout *layout = ref->layout;
    head_backward(ref, angle, count, drop, theta_adjoint, gradient);
    decoder_backward(ref, angle, count, drop, gradient);
    double *wide = angle->adjoint[0], *x = angle->adjoint[2];
    stage_backward(ref, angle, QL_STAGE_E3, wide, count, drop, gradient);
    norm_backward(ref, &layout->widen_norm, angle->widen_linear, wide, count, gradient);
    dense_backward(ref, &layout->widen, stage_out(ref, angle, QL_STAGE_E2), wide, count, x, gradient);
    for (int k = 2; k >= 0; --k) {
        add_to(x, angle->e_adjoint[k], count * 256);
        stage_backward(ref, angle, (ql_stage)(QL_STAGE_E0 + k), x, count, drop, gradient);
    }
    norm_backward(ref, &layout->in_norm, angle->in_linear, x, count, gradient);
    dense_backward(ref, &layout->in, angle->input, x, count, NULL, gradient);
}

/* The bodies of residual blocks (residual.h) on random numbers, by threads of a block as coroutines or by a single one, against
 * the formulas written out in double precision. For tests. */
#include "host_machine.h"

#include "host_engine.h"

namespace
{
enum { PARTS = QL_RESIDUAL_PARTS };

float next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<float>(static_cast<int32_t>(*state >> 33)) / 1073741824.0f - 1.0f;
}

/* What both ways read and write; rows longer than they need be where the network has them so. */
template <ql_operand_kind KIND, int INNER> struct setting {
    static constexpr int WIDTH = PARTS * INNER, COLUMNS = 6 * INNER + WIDTH, LD_X = WIDTH + 8;
    int rows, slice_rows;
    ql_arena arena;
    float *norm[6], *down, *mid, *mid_out, *adjoint, *x, *below, *bias_wide, *partial;
    ql_operand w_mid, w_up, w_down, relu1, relu2, mid_adjoint, down_adjoint;
    ql_activation out;

    float *take(int64_t count, float scale, uint64_t *state)
    {
        float *array = static_cast<float *>(ql_arena_take(&arena, static_cast<size_t>(count), sizeof(float)));
        for (int64_t i = 0; arena.base != nullptr && i < count; ++i) array[i] = scale * next_random(state);
        return array;
    }

    ql_operand operand(int64_t lines, int width, float scale, uint64_t *state)
    {
        const ql_operand op = ql_operand_of(take(lines * width, 0, state), width, KIND);
        for (int64_t i = 0; arena.base != nullptr && i < lines * width; ++i) op.put(i, scale * next_random(state));
        return op;
    }

    void lay_out(uint64_t seed)
    {
        uint64_t state = seed;
        for (float *&one : norm) one = take(INNER, 1, &state);
        down = take(static_cast<int64_t>(rows) * INNER, 1, &state);
        mid = take(static_cast<int64_t>(rows) * INNER, 1, &state);
        mid_out = take(static_cast<int64_t>(rows) * INNER, 1, &state);
        adjoint = take(static_cast<int64_t>(rows) * INNER, 1, &state);
        x = take(static_cast<int64_t>(rows) * LD_X, 1, &state);
        below = take(static_cast<int64_t>(rows) * LD_X, 1, &state);
        bias_wide = take(WIDTH, 1, &state);
        partial = take(static_cast<int64_t>(rows) / slice_rows * COLUMNS, 1, &state);
        w_mid = operand(INNER, INNER, 0.1f, &state);
        w_up = operand(WIDTH, INNER, 0.1f, &state);
        w_down = operand(INNER, WIDTH, 0.1f, &state);
        relu1 = operand(rows, INNER, 1, &state);
        relu2 = operand(rows, INNER, 1, &state);
        mid_adjoint = operand(rows, INNER, 1, &state);
        down_adjoint = operand(rows, INNER, 1, &state);
        out.x = take(static_cast<int64_t>(rows) * LD_X, 1, &state);
        out.ld = LD_X;
        out.op = KIND == QL_OPERAND_BF16 ? operand(rows, WIDTH, 1, &state) : ql_operand_of(out.x, LD_X, KIND);
    }

    ql_norm_input norm1() const { return ql_norm_input{down, INNER, norm[0], norm[1], norm[2]}; }
    ql_norm_input norm2() const { return ql_norm_input{mid, INNER, norm[3], norm[4], norm[5]}; }
};

template <ql_operand_kind KIND> double seen(double x)
{
    const float single = static_cast<float>(x);
    if (KIND == QL_OPERAND_PLAIN || KIND == QL_OPERAND_SPLIT) return x;
    return static_cast<double>(KIND == QL_OPERAND_BF16 ? ql_float_of_bf16(ql_bf16_of(single)) : ql_round_tf32(single));
}

/* Relative distance of what was computed from what should have been. */
struct distance_of {
    double gap = 0, size = 0;
    void add(double is, double should)
    {
        gap += (is - should) * (is - should);
        size += should * should;
    }
    double value() const { return sqrt(gap / size); }
};

/* A row through a norm: hat and rate. */
template <int INNER> double normed(const double *x, const ql_norm_input &in, double hat[INNER])
{
    double mean = 0, squares = 0;
    for (int k = 0; k < INNER; ++k) mean += (x[k] + static_cast<double>(in.linear_bias[k])) / INNER;
    for (int k = 0; k < INNER; ++k) {
        hat[k] = x[k] + static_cast<double>(in.linear_bias[k]) - mean;
        squares += hat[k] * hat[k] / INNER;
    }
    const double rate = 1 / sqrt(squares + static_cast<double>(QL_NORM_EPSILON));
    for (int k = 0; k < INNER; ++k) hat[k] *= rate;
    return rate;
}

template <int INNER> void activated(const double *x, const ql_norm_input &in, double y[INNER])
{
    normed<INNER>(x, in, y);
    for (int k = 0; k < INNER; ++k) {
        y[k] = y[k] * static_cast<double>(in.weight[k]) + static_cast<double>(in.bias[k]);
        if (y[k] < 0) y[k] = 0;
    }
}

template <ql_operand_kind KIND> double weight(const ql_operand &w, int64_t at)
{
    return seen<KIND>(static_cast<double>(w.get(at)));
}

template <ql_operand_kind KIND, int INNER> double forward_error(const setting<KIND, INNER> &s, bool wide)
{
    distance_of relu1, relu2, mid, out;
    for (int64_t row = 0; row < s.rows; ++row) {
        double x[INNER], y[INNER];
        for (int k = 0; k < INNER; ++k) x[k] = static_cast<double>(s.down[row * INNER + k]);
        activated<INNER>(x, s.norm1(), y);
        for (int k = 0; k < INNER; ++k)
            relu1.add(static_cast<double>(s.relu1.get(row * INNER + k)),
                      KIND == QL_OPERAND_BF16 ? seen<KIND>(y[k]) : y[k]);
        for (int j = 0; j < INNER; ++j) {
            x[j] = 0;
            for (int k = 0; k < INNER; ++k) x[j] += seen<KIND>(y[k]) * weight<KIND>(s.w_mid, j * INNER + k);
            mid.add(static_cast<double>(s.mid_out[row * INNER + j]), x[j]);
        }
        activated<INNER>(x, s.norm2(), y);
        for (int k = 0; k < INNER; ++k)
            relu2.add(static_cast<double>(s.relu2.get(row * INNER + k)),
                      KIND == QL_OPERAND_BF16 ? seen<KIND>(y[k]) : y[k]);
        for (int c = 0; wide && c < s.WIDTH; ++c) {
            double z = static_cast<double>(s.x[row * s.LD_X + c]) + static_cast<double>(s.bias_wide[c]);
            for (int k = 0; k < INNER; ++k) z += seen<KIND>(y[k]) * weight<KIND>(s.w_up, c * INNER + k);
            if (z < 0) z = 0;
            out.add(static_cast<double>(s.out.x[row * s.out.ld + c]), z);
            if (KIND == QL_OPERAND_BF16)
                out.add(static_cast<double>(s.out.op.get(row * s.out.op.ld + c)),
                        seen<KIND>(static_cast<double>(s.out.x[row * s.out.ld + c])));
        }
    }
    return fmax(fmax(relu1.value(), relu2.value()), fmax(mid.value(), wide ? out.value() : 0));
}

/* y: adjoint of the ReLU's output, becomes that of x, whose sums join `sums`. */
template <int INNER> void back(const double *x, const ql_norm_input &in, double y[INNER], double *sums)
{
    double hat[INNER], sum = 0, product = 0;
    const double rate = normed<INNER>(x, in, hat);
    for (int k = 0; k < INNER; ++k) {
        if (!(hat[k] * static_cast<double>(in.weight[k]) + static_cast<double>(in.bias[k]) > 0)) y[k] = 0;
        sums[k] += y[k] * hat[k];
        sums[INNER + k] += y[k];
        y[k] *= static_cast<double>(in.weight[k]);
        sum += y[k] / INNER;
        product += y[k] * hat[k] / INNER;
    }
    for (int k = 0; k < INNER; ++k) {
        y[k] = rate * (y[k] - sum - hat[k] * product);
        sums[2 * INNER + k] += y[k];
    }
}

template <ql_operand_kind KIND, int INNER>
double backward_error(const setting<KIND, INNER> &s, bool wide, bool masked, const float *addend)
{
    distance_of mid, down, out, columns;
    double sums[s.COLUMNS];
    for (int64_t row = 0; row < s.rows; ++row) {
        double x[INNER], y[INNER], t[INNER];
        if (row % s.slice_rows == 0) memset(sums, 0, sizeof sums);
        for (int k = 0; k < INNER; ++k) {
            x[k] = static_cast<double>(s.mid[row * INNER + k]);
            y[k] = static_cast<double>(s.adjoint[row * INNER + k]);
        }
        back<INNER>(x, s.norm2(), y, sums);
        for (int k = 0; k < INNER; ++k)
            mid.add(static_cast<double>(s.mid_adjoint.get(row * INNER + k)),
                    KIND == QL_OPERAND_BF16 ? seen<KIND>(y[k]) : y[k]);
        for (int k = 0; k < INNER; ++k) {
            t[k] = 0;
            for (int j = 0; j < INNER; ++j) t[k] += seen<KIND>(y[j]) * weight<KIND>(s.w_mid, j * INNER + k);
            x[k] = static_cast<double>(s.down[row * INNER + k]);
        }
        back<INNER>(x, s.norm1(), t, sums + 3 * INNER);
        for (int k = 0; k < INNER; ++k)
            down.add(static_cast<double>(s.down_adjoint.get(row * INNER + k)),
                     KIND == QL_OPERAND_BF16 ? seen<KIND>(t[k]) : t[k]);
        for (int c = 0; wide && c < s.WIDTH; ++c) {
            double z = static_cast<double>(addend[row * s.LD_X + c]);
            for (int k = 0; k < INNER; ++k)
                z += seen<KIND>(t[k]) * weight<KIND>(s.w_down, static_cast<int64_t>(k) * s.WIDTH + c);
            if (masked && !(s.below[row * s.LD_X + c] > 0)) z = 0;
            out.add(static_cast<double>(s.out.x[row * s.out.ld + c]), z);
            sums[6 * INNER + c] += z;
        }
        const float *partial = s.partial + row / s.slice_rows * s.COLUMNS;
        for (int k = 0; (row + 1) % s.slice_rows == 0 && k < (wide ? s.COLUMNS : 6 * INNER); ++k)
            columns.add(static_cast<double>(partial[k]), sums[k]);
    }
    return fmax(fmax(mid.value(), down.value()), fmax(columns.value(), wide ? out.value() : 0));
}

template <class Body> bool launch(const Body &body, int rows, int tile, bool threads)
{
    if (threads) return body.aligned() && ql_tiles_on_host(rows / tile, body);
    ql_host_machine<false> machine;
    if (machine.open() != QL_OK) return false;
    machine.tiles(rows / tile, body);
    return machine.status() == QL_OK;
}

template <ql_operand_kind KIND, int INNER, int TILE> ql_status errors_of(double error[2], const ql_residual_case *which)
{
    setting<KIND, INNER> s = {};
    uint64_t seed = 7;
    s.rows = which->rows;
    s.slice_rows = which->slice_rows;
    s.arena = ql_arena_measuring();
    s.lay_out(seed);
    const size_t bytes = s.arena.used;
    QL_TRY(ql_arena_create(&s.arena, bytes));
    s.lay_out(seed);
    const bool wide = which->wide;
    const ql_activation x = {s.x, s.LD_X, ql_operand_of(s.x, s.LD_X, KIND)};
    bool sound =
        launch(ql_residual_forward<KIND, INNER, TILE>{s.norm1(), s.norm2(), ql_residual_weights{s.w_mid, s.w_up, wide},
                                                      s.mid_out, s.relu1, s.relu2, x, s.out, s.bias_wide},
               s.rows, TILE, which->threads);
    error[0] = sound ? forward_error(s, wide) : 0;
    const float *addend = s.x;
    if (which->in_place) /* the addend is where the result goes */
        memcpy(s.out.x, s.x, static_cast<size_t>(s.rows) * s.LD_X * sizeof(float));
    sound = sound && launch(
                         ql_residual_backward<KIND, INNER, TILE>{
                             s.norm1(), s.norm2(), ql_residual_weights{s.w_mid, s.w_down, wide}, s.adjoint,
                             s.mid_adjoint, s.down_adjoint, ql_column_sums{s.partial, s.COLUMNS, s.slice_rows, s.rows},
                             3 * INNER, 0, which->in_place ? s.out.x : addend, which->masked ? s.below : nullptr,
                             s.LD_X, s.LD_X, 6 * INNER, s.out},
                         s.rows, TILE, which->threads);
    error[1] = sound ? backward_error(s, wide, which->masked, addend) : 0;
    ql_arena_destroy(&s.arena);
    return sound ? QL_OK : QL_FAIL(INTERNAL, "a residual block that is not aligned, or no memory");
}

template <ql_operand_kind KIND> ql_status errors_of(double error[2], const ql_residual_case *which)
{
    const bool large = which->tile == QL_RESIDUAL_LARGE;
    if (which->inner == 128)
        return large ? errors_of<KIND, 128, QL_RESIDUAL_LARGE>(error, which)
                     : errors_of<KIND, 128, QL_RESIDUAL_SMALL>(error, which);
    return large ? errors_of<KIND, 64, QL_RESIDUAL_LARGE>(error, which)
                 : errors_of<KIND, 64, QL_RESIDUAL_SMALL>(error, which);
}
} // namespace

extern "C" ql_status ql_cuda_residual_errors(double error[2], const ql_residual_case *which)
{
    switch (which->kind) {
    case QL_OPERAND_PLAIN: return errors_of<QL_OPERAND_PLAIN>(error, which);
    case QL_OPERAND_TF32: return errors_of<QL_OPERAND_TF32>(error, which);
    case QL_OPERAND_BF16: return errors_of<QL_OPERAND_BF16>(error, which);
    case QL_OPERAND_SPLIT: return errors_of<QL_OPERAND_SPLIT>(error, which);
    }
    return QL_FAIL(INTERNAL, "a kind of operand that there is not");
}

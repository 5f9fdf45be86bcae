/* Angle network: bodies between the matrix products (method, section 2; engine ref, angle.c, is the same written out).
 *
 * gamma is folded into the last layer of a residual block, W_f = gamma drop W_up, b_f = gamma drop b_up, so that
 * out = relu(x + W_f r + b_f) is one product with addend, bias and ReLU as its epilogue, and a block that is dropped in this
 * step has W_f = 0: the same launches serve every step. With a = out' where out > 0, G = a^T r and A = sum a:
 *   W_up' = gamma drop G,  b_up' = gamma drop A,  gamma' = drop (sum_j W_up G + b_up A)
 *
 * Sums over faces (biases, norms) go through partial sums of fixed slices of rows: partial[slice][column]. */
#ifndef QL_CUDA_ANGLE_BODIES_H
#define QL_CUDA_ANGLE_BODIES_H

#include "step_data.h"

/* A matrix of activations: float32 and, where the products want another form, an operand beside it (else op.data == x). */
struct ql_activation {
    float *x;
    int ld;
    ql_operand op;

    QL_BODY void put(int64_t row, int column, float value) const
    {
        if (x != nullptr) x[row * ld + column] = value;
        if (op.data != x) op.put(row * op.ld + column, value);
    }
    int size() const { return (x != nullptr ? 4 : 0) + (op.data != x ? op.size() : 0); }
    QL_BODY ql_activation columns(int at) const { return ql_activation{x + at, ld, op.from(at)}; }
    QL_BODY ql_activation rows(int64_t at) const { return ql_activation{x + at * ld, ld, op.from(at * op.ld)}; }
};

/* Where slices of rows leave their sums. */
struct ql_column_sums {
    float *partial;
    int stride; /* columns of all arrays together */
    int slice_rows;
    int rows;

    QL_BODY int64_t begin(int64_t slice) const { return slice * slice_rows; }
    QL_BODY int64_t end(int64_t slice) const
    {
        return (slice + 1) * slice_rows < rows ? (slice + 1) * slice_rows : rows;
    }
};

struct ql_norm_input {
    const float *x; /* rows x WIDTH */
    int ld;
    const float *linear_bias;   /* of the layer that made x, still to be added; or nullptr */
    const float *weight, *bias; /* of the norm */
};

/* A sum in blocks of 16: what a lane of a warp adds at most; the host keeps the rounding error of the same order. */
struct ql_blocked_sum {
    float total = 0, part = 0;
    QL_BODY void add(int j, float x)
    {
        part += x;
        if (j % 16 == 15) {
            total += part;
            part = 0;
        }
    }
    QL_BODY float value() const { return total + part; }
};

/* A row in registers: lane i holds columns i, i + SIZE, ... */
template <int WIDTH, class Team> struct ql_norm_row {
    static constexpr int MINE = WIDTH / Team::SIZE;
    float hat[MINE], rate; /* (x - mean) rate */

    QL_BODY void load(const ql_norm_input &in, int64_t row, const Team &team)
    {
        fetch(in, row, team);
        norm(team);
    }

    /* Of several rows first, so that they come together. */
    QL_BODY void fetch(const ql_norm_input &in, int64_t row, const Team &team)
    {
        for (int j = 0; j < MINE; ++j) {
            int k = team.lane() + j * Team::SIZE;
            hat[j] = in.x[row * in.ld + k] + (in.linear_bias != nullptr ? in.linear_bias[k] : 0.0f);
        }
    }

    QL_BODY void norm(const Team &team)
    {
        ql_blocked_sum sum, squares;
        for (int j = 0; j < MINE; ++j) sum.add(j, hat[j]);
        float mean = team.sum(sum.value()) * (1.0f / WIDTH);
        for (int j = 0; j < MINE; ++j) {
            hat[j] -= mean;
            squares.add(j, hat[j] * hat[j]);
        }
        rate = 1 / sqrtf(team.sum(squares.value()) * (1.0f / WIDTH) + QL_NORM_EPSILON);
        for (int j = 0; j < MINE; ++j) hat[j] *= rate;
    }
};

/* rows(rows): out = LN(x), then ReLU where RELU. */
template <int WIDTH, bool RELU> struct ql_norm_forward {
    ql_norm_input in;
    ql_activation out;

    double bytes() const { return WIDTH * (4 + out.size()); }

    template <class Team> QL_BODY void operator()(int64_t row, const Team &team) const
    {
        ql_norm_row<WIDTH, Team> r;
        r.load(in, row, team);
        for (int j = 0; j < r.MINE; ++j) {
            int k = team.lane() + j * Team::SIZE;
            float y = r.hat[j] * in.weight[k] + in.bias[k];
            out.put(row, k, RELU && !(y > 0) ? 0.0f : y);
        }
    }
};

/* The way back through a norm, row by row, and its sums over the rows so far: for the norm's weight, its bias, and (the adjoint
 * of x) the bias of the layer below. With g = y' w: x' = rate (g - mean(g) - hat mean(g hat)). */
template <int WIDTH, bool RELU, class Team> struct ql_norm_adjoint {
    static constexpr int MINE = WIDTH / Team::SIZE;
    float weight_sum[MINE], bias_sum[MINE], x_sum[MINE];

    QL_BODY void clear()
    {
        for (int j = 0; j < MINE; ++j) weight_sum[j] = bias_sum[j] = x_sum[j] = 0;
    }

    /* y: adjoint of row r; put(k, x') keeps that of x, and returns what counts of it. */
    template <class Put>
    QL_BODY void row(const ql_norm_input &in, const ql_norm_row<WIDTH, Team> &r, const float y[MINE], const Team &team,
                     const Put &put)
    {
        float g[MINE];
        ql_blocked_sum sums_g, sums_product;
        for (int j = 0; j < MINE; ++j) {
            int k = team.lane() + j * Team::SIZE;
            float here = y[j];
            if (RELU && !(r.hat[j] * in.weight[k] + in.bias[k] > 0)) here = 0;
            weight_sum[j] += here * r.hat[j];
            bias_sum[j] += here;
            g[j] = here * in.weight[k];
            sums_g.add(j, g[j]);
            sums_product.add(j, g[j] * r.hat[j]);
        }
        float sum = team.sum(sums_g.value()) * (1.0f / WIDTH);
        float product = team.sum(sums_product.value()) * (1.0f / WIDTH);
        for (int j = 0; j < MINE; ++j)
            x_sum[j] += put(team.lane() + j * Team::SIZE, r.rate * (g[j] - sum - r.hat[j] * product));
    }

    /* WIDTH numbers of each sum. */
    QL_BODY void store(float *to, const Team &team) const
    {
        for (int j = 0; j < MINE; ++j) {
            int k = team.lane() + j * Team::SIZE;
            to[k] = weight_sum[j];
            to[WIDTH + k] = bias_sum[j];
            to[2 * WIDTH + k] = x_sum[j];
        }
    }
};

/* rows(slices): adjoint of x from that of y; columns: the three sums. BELOW: x is what a ReLU let pass, and what leaves is the
 * adjoint before it. */
template <int WIDTH, bool RELU, bool BELOW> struct ql_norm_backward {
    ql_norm_input in;
    const float *adjoint;
    int adjoint_ld;
    ql_activation out;
    ql_column_sums sums;
    int column;

    double bytes() const { return WIDTH * (sums.slice_rows * (8 + out.size()) + 12.0); }

    template <class Team> QL_BODY void operator()(int64_t slice, const Team &team) const
    {
        ql_norm_adjoint<WIDTH, RELU, Team> way;
        way.clear();
        for (int64_t row = sums.begin(slice); row < sums.end(slice); ++row) {
            ql_norm_row<WIDTH, Team> r;
            float y[r.MINE];
            r.fetch(in, row, team);
            for (int j = 0; j < r.MINE; ++j) y[j] = adjoint[row * adjoint_ld + team.lane() + j * Team::SIZE];
            r.norm(team);
            way.row(in, r, y, team, [&](int k, float x) {
                if (BELOW && !(in.x[row * in.ld + k] > 0)) x = 0;
                out.put(row, k, x);
                return x;
            });
        }
        way.store(sums.partial + slice * sums.stride + column, team);
    }
};

/* rows(slices): out = adjoint (+ more) where y is positive, else 0; and its column sums. May work in place. */
template <int WIDTH> struct ql_relu_backward {
    const float *y;
    int y_ld;
    const float *adjoint, *more; /* more: nullptr, or laid out as adjoint */
    int adjoint_ld;
    ql_activation out;
    ql_column_sums sums;
    int column;

    double bytes() const { return WIDTH * (sums.slice_rows * ((more != nullptr ? 12.0 : 8.0) + out.size()) + 4); }

    template <class Team> QL_BODY void operator()(int64_t slice, const Team &team) const
    {
        constexpr int MINE = WIDTH / Team::SIZE;
        float sum[MINE];
        for (int j = 0; j < MINE; ++j) sum[j] = 0;
        for (int64_t row = sums.begin(slice); row < sums.end(slice); ++row)
            for (int j = 0; j < MINE; ++j) {
                int k = team.lane() + j * Team::SIZE;
                float a = 0;
                if (y[row * y_ld + k] > 0)
                    a = adjoint[row * adjoint_ld + k] + (more != nullptr ? more[row * adjoint_ld + k] : 0.0f);
                out.put(row, k, a);
                sum[j] += a;
            }
        for (int j = 0; j < MINE; ++j)
            sums.partial[slice * sums.stride + column + team.lane() + j * Team::SIZE] = sum[j];
    }
};

/* each(slices * width): column sums alone. */
struct ql_column_sum {
    const float *x;
    int ld, width;
    ql_column_sums sums;
    int column;

    double bytes() const { return 4.0 * sums.slice_rows + 4; }

    QL_BODY void operator()(int64_t index) const
    {
        int64_t slice, k;
        float sum = 0;
        ql_place_of(index, width, &slice, &k);
        for (int64_t row = sums.begin(slice); row < sums.end(slice); ++row) sum += x[row * ld + k];
        sums.partial[slice * sums.stride + column + k] = sum;
    }
};

/* each(groups * columns): sums of `group` slices at a time, in order. */
struct ql_slice_groups {
    const float *partial;
    float *out;
    int columns, slices, group;

    double bytes() const { return 4.0 * group + 4; }

    QL_BODY void operator()(int64_t index) const
    {
        int64_t number, k;
        float sum = 0;
        ql_place_of(index, columns, &number, &k);
        const int64_t first = number * group;
        for (int64_t s = first; s < first + group && s < slices; ++s) sum += partial[s * columns + k];
        out[index] = sum;
    }
};

/* each(columns): all groups in order, added to the gradient at the columns' places (-1: not wanted). */
struct ql_columns_finish {
    const float *partial;
    const int32_t *place;
    float *gradient;
    int columns, groups;

    double bytes() const { return 4.0 * groups + 12; }

    QL_BODY void operator()(int64_t k) const
    {
        if (place[k] < 0) return;
        float sum = 0;
        for (int64_t g = 0; g < groups; ++g) sum += partial[g * columns + k];
        gradient[place[k]] += sum;
    }
};

/* Products of a few weight gradients (two stages of blocks and the tails below them), cut into slices of rows, on their way into
 * the gradient. */
enum { QL_WEIGHT_ITEMS = 40 };
struct ql_weight_sums {
    struct item {
        int32_t place, size, slices;
        int64_t begin, partial;
    } items[QL_WEIGHT_ITEMS];
    int count;
    int64_t total;
    const float *partial;
    float *gradient;

    double bytes() const
    {
        double all = 0;
        for (int i = 0; i < count; ++i) all += items[i].size * (4.0 * items[i].slices + 8);
        return total > 0 ? all / static_cast<double>(total) : 0;
    }

    /* each(total) */
    QL_BODY void operator()(int64_t index) const
    {
        int which = 0;
        while (which + 1 < count && index >= items[which + 1].begin) ++which;
        const item &it = items[which];
        int64_t at = index - it.begin;
        float sum = 0;
        for (int64_t s = 0; s < it.slices; ++s) sum += partial[it.partial + s * it.size + at];
        gradient[it.place + at] += sum;
    }
};

/* each(rows * width / 4): float32 to bfloat16, four at a time; width and row lengths are multiples of four. */
struct ql_convert {
    const float *x;
    int ld, width;
    ql_operand op;

    double bytes() const { return 4 * (4 + op.size()); }

    QL_BODY void operator()(int64_t index) const
    {
        struct alignas(16) four {
            float of[4];
        };
        struct alignas(8) halves {
            uint16_t of[4];
        };
        int64_t row, k;
        ql_place_of(4 * index, width, &row, &k);
        const four from = *reinterpret_cast<const four *>(x + row * ld + k);
        halves to;
        for (int e = 0; e < 4; ++e) to.of[e] = ql_bf16_of(from.of[e]);
        *reinterpret_cast<halves *>(static_cast<uint16_t *>(op.data) + row * op.ld + k) = to;
    }
};

/* each(rows * width): what a product's epilogue does where the library has no such epilogue. */
struct ql_epilogue {
    float *c;
    const float *addend, *bias;
    int ld, addend_ld, width;
    bool relu;

    double bytes() const { return addend != nullptr ? 12 : 8; }

    QL_BODY void operator()(int64_t index) const
    {
        int64_t row, k;
        ql_place_of(index, width, &row, &k);
        const int64_t at = row * ld + k;
        float x = c[at];
        if (addend != nullptr) x += addend[row * addend_ld + k];
        if (bias != nullptr) x += bias[k];
        c[at] = relu && !(x > 0) ? 0.0f : x;
    }
};

/* each(batch * m * n): a product that nothing faster takes, an element a thread. */
struct ql_plain_product {
    ql_gemm g;

    QL_BODY void operator()(int64_t index) const
    {
        int64_t line, column, batch, row;
        ql_place_of(index, g.n, &line, &column);
        ql_place_of(line, g.m, &batch, &row);
        const bool tn = g.product == QL_PRODUCT_TN, nt = g.product == QL_PRODUCT_NT;
        const int64_t a = batch * g.stride_a + (tn ? row : row * g.a.ld), a_step = tn ? g.a.ld : 1;
        const int64_t b = batch * g.stride_b + (nt ? column * g.b.ld : column), b_step = nt ? 1 : g.b.ld;
        const int64_t c = batch * g.stride_c, addend_ld = g.addend_ld > 0 ? g.addend_ld : g.ldc;
        float sum = 0;
        for (int64_t k = 0; k < g.k; ++k) sum += g.a.get(a + k * a_step) * g.b.get(b + k * b_step);
        if (g.addend != nullptr) sum += g.addend[c + row * addend_ld + column];
        if (g.bias != nullptr) sum += g.bias[column];
        g.c[c + row * g.ldc + column] = g.relu && !(sum > 0) ? 0.0f : sum;
    }
};

/* rows(slices): the adjoint of [e, d] parts: e' is set, d' is added to; d' as an operand, and its column sums. */
struct ql_part_skip {
    const float *wide;
    float *e;
    ql_activation d;
    ql_column_sums sums;
    int column;

    double bytes() const { return 256.0 * (sums.slice_rows * (16 + d.size()) + 4); }

    template <class Team> QL_BODY void operator()(int64_t slice, const Team &team) const
    {
        constexpr int MINE = 256 / Team::SIZE;
        float sum[MINE];
        for (int j = 0; j < MINE; ++j) sum[j] = 0;
        for (int64_t row = sums.begin(slice); row < sums.end(slice); ++row)
            for (int j = 0; j < MINE; ++j) {
                int k = team.lane() + j * Team::SIZE;
                const float x = d.x[row * 256 + k] + wide[row * 512 + 256 + k];
                e[row * 256 + k] = wide[row * 512 + k];
                d.put(row, k, x);
                sum[j] += x;
            }
        for (int j = 0; j < MINE; ++j)
            sums.partial[slice * sums.stride + column + team.lane() + j * Team::SIZE] = sum[j];
    }
};

/* ---- head: theta = 2 pi (w . gelu(hidden + b) + b1), 32 hidden units ---- */

static constexpr int QL_HEAD = 32;

struct ql_head {
    const float *hidden;                      /* rows x 32, without bias */
    const float *hidden_bias, *weight, *bias; /* 32, 32, 1 */
    QL_BODY float gelu(int64_t row, int k, float *slope) const
    {
        return ql_gelu(hidden[row * QL_HEAD + k] + hidden_bias[k], slope);
    }
};

static constexpr float QL_TURN = 6.28318530717958647692f;

/* rows(rows) */
struct ql_head_forward {
    ql_head head;
    float *theta;

    double bytes() const { return 4 * QL_HEAD + 4; }

    template <class Team> QL_BODY void operator()(int64_t row, const Team &team) const
    {
        float sum = 0, slope;
        for (int k = team.lane(); k < QL_HEAD; k += Team::SIZE) sum += head.weight[k] * head.gelu(row, k, &slope);
        sum = team.sum(sum);
        if (team.lane() == 0) theta[row] = QL_TURN * (sum + head.bias[0]);
    }
};

/* rows(slices): adjoint of hidden; columns: 32 of the weight, 32 of the hidden bias, 1 of the bias. Rows >= count weigh
 * nothing: this is where the padding of a chunk is cut off from the gradient. */
struct ql_head_backward {
    ql_head head;
    const float *theta_adjoint;
    ql_activation out;
    ql_column_sums sums;
    int column, count;

    double bytes() const { return sums.slice_rows * (QL_HEAD * (4.0 + out.size()) + 4) + 8.0 * QL_HEAD; }

    template <class Team> QL_BODY void operator()(int64_t slice, const Team &team) const
    {
        constexpr int MINE = QL_HEAD / Team::SIZE;
        float weight_sum[MINE], bias_sum[MINE], out_sum = 0;
        for (int j = 0; j < MINE; ++j) weight_sum[j] = bias_sum[j] = 0;
        for (int64_t row = sums.begin(slice); row < sums.end(slice); ++row) {
            float adjoint = row < count ? QL_TURN * theta_adjoint[row] : 0.0f;
            out_sum += adjoint;
            for (int j = 0; j < MINE; ++j) {
                int k = team.lane() + j * Team::SIZE;
                float slope, value = head.gelu(row, k, &slope), x = adjoint * head.weight[k] * slope;
                weight_sum[j] += adjoint * value;
                bias_sum[j] += x;
                out.put(row, k, x);
            }
        }
        float *partial = sums.partial + slice * sums.stride + column;
        for (int j = 0; j < MINE; ++j) {
            partial[team.lane() + j * Team::SIZE] = weight_sum[j];
            partial[QL_HEAD + team.lane() + j * Team::SIZE] = bias_sum[j];
        }
        if (team.lane() == 0) partial[2 * QL_HEAD] = out_sum;
    }
};

/* ---- weights of a step ---- */

/* Where the last layers of the residual blocks lie; a small table on the device. */
struct ql_fold_table {
    int32_t row[QL_BLOCK_COUNT + 1];     /* rows of all W_up before this block */
    int32_t element[QL_BLOCK_COUNT + 1]; /* elements of all W_up before it */
    int32_t weight[QL_BLOCK_COUNT], bias[QL_BLOCK_COUNT], gamma[QL_BLOCK_COUNT], inner[QL_BLOCK_COUNT];

    QL_BODY int block_of(const int32_t *begin, int64_t at) const
    {
        int low = 0, high = QL_BLOCK_COUNT;
        while (high - low > 1) {
            int middle = (low + high) / 2;
            if (at >= begin[middle])
                low = middle;
            else
                high = middle;
        }
        return low;
    }
};

/* each(elements + rows): W_f, then b_f. */
struct ql_fold {
    const ql_fold_table *table;
    const float *parameters, *drop;
    ql_operand folded;
    float *folded_bias;
    int32_t elements;

    double bytes() const { return 4 + folded.size(); }

    QL_BODY void operator()(int64_t at) const
    {
        if (at >= elements) return bias(at - elements);
        int b = table->block_of(table->element, at);
        int64_t local = at - table->element[b], row, column;
        ql_place_of(local, table->inner[b], &row, &column);
        float factor = parameters[table->gamma[b] + row] * drop[b];
        folded.put(at, factor * parameters[table->weight[b] + local]);
    }

    QL_BODY void bias(int64_t at) const
    {
        int b = table->block_of(table->row, at);
        int64_t row = at - table->row[b];
        folded_bias[at] = parameters[table->gamma[b] + row] * drop[b] * parameters[table->bias[b] + row];
    }
};

/* rows(rows): from G and A, which lie where the gradients of W_up and b_up belong, to the gradients (see above). */
struct ql_unfold_gradient {
    const ql_fold_table *table;
    const float *parameters, *drop;
    float *gradient;

    double bytes() const { return 12.0 * 96; } /* inner is 64 or 128 */

    template <class Team> QL_BODY void operator()(int64_t at, const Team &team) const
    {
        int b = table->block_of(table->row, at);
        int64_t row = at - table->row[b], inner = table->inner[b], first = table->weight[b] + row * inner;
        float factor = parameters[table->gamma[b] + row] * drop[b], sum = 0;
        for (int64_t j = team.lane(); j < inner; j += Team::SIZE) {
            sum += parameters[first + j] * gradient[first + j];
            gradient[first + j] *= factor;
        }
        sum = team.sum(sum);
        if (team.lane() > 0) return;
        int32_t bias = table->bias[b] + static_cast<int32_t>(row);
        gradient[table->gamma[b] + row] += drop[b] * (sum + parameters[bias] * gradient[bias]);
        gradient[bias] *= factor;
    }
};

/* each(1): drop factors of a step without stochastic depth. */
struct ql_drop_ones {
    float *drop;

    double bytes() const { return 4; }
    QL_BODY void operator()(int64_t b) const { drop[b] = 1.0f; }
};

#endif

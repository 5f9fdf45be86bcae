/* A residual block of the angle network from its narrow layer on, in one launch each way. 64 rows (32 where few faces would leave
 * a device empty) and the slices of weights at work are in shared memory; only what the way back needs is written.
 *
 *   forward   down -> norm1, ReLU -> mid -> norm2, ReLU -> out = relu(x + W_f . + b_f)
 *   backward  adjoint of norm2's ReLU -> norm2 -> mid -> norm1 -> adjoint of x, behind the ReLU that made x
 *
 * What is left outside are the two products whose depth is the block's width: down = W x, and the adjoint that comes in. Without
 * `wide` the last product each way is left outside, too.
 *
 * Products are in tiles of ROWS x INNER with the fragments' layout of mma.m16n8k8 (tile_product.h); by tensor cores, bfloat16 as the
 * tf32 that it is, or by float32 multiply-adds in the same layout. The weights come as one stream of slices of 16 of k, whatever product
 * they belong to: the next ones are on their way while rows are normed.
 *
 * `Block` is as in tile_product.h, and besides: WARPS, LANES; exchange(x, step): x of lane ^ step; core<KIND, INNER, ROWS,
 * PRODUCT>: who multiplies. A body's operator()(block, tile) computes rows ROWS tile .. of the chunk, whose rows are a multiple of 64. */
#ifndef QL_CUDA_RESIDUAL_H
#define QL_CUDA_RESIDUAL_H

#include "angle_bodies.h"
#include "tile_product.h"

enum {
    QL_RESIDUAL_LARGE = 64,
    QL_RESIDUAL_SMALL = 32,
    QL_RESIDUAL_WARPS = 8,
    QL_RESIDUAL_PARTS = 4 /* a block's width over its inner one */
};

/* Whether large tiles are enough for half of a GPU's multiprocessors. */
inline bool ql_residual_is_large(int rows) { return rows / QL_RESIDUAL_LARGE >= 66; }

/* Weights of the product within the block, and of the one that leaves it. */
struct ql_residual_weights {
    ql_operand mid, wide;
    bool has_wide;
    QL_BODY int products() const { return has_wide ? 1 + QL_RESIDUAL_PARTS : 1; }
};

/* As the products of this kind see it. */
template <ql_operand_kind KIND> QL_BODY float ql_residual_operand(float x)
{
    if (KIND == QL_OPERAND_BF16) return ql_float_of_bf16(ql_bf16_of(x));
    return KIND == QL_OPERAND_TF32 ? ql_tf32_of(x) : x;
}

struct alignas(8) ql_float_pair {
    float of[2];
};

/* Rows (ROWS x INNER in shared memory, row length LD) times weights, by 256 threads; sum is the part that is ours. Products are called
 * for in the order of the stream. */
template <ql_operand_kind KIND, int INNER, int TILE, ql_product PRODUCT> struct ql_residual_core {
    static constexpr bool ALONG = PRODUCT == QL_PRODUCT_NT;
    static constexpr int SIZE = KIND == QL_OPERAND_BF16 ? 2 : 4; /* bytes of a weight */
    static constexpr int LD_ROWS = INNER + 4, STEPS = INNER / QL_TILE_K;
    /* no bank conflicts, as in ql_tile_slice; 48 g + 2 t bytes and 272 t + 2 g are in different banks, too */
    static constexpr int LD = ALONG ? QL_TILE_K + 16 / SIZE : INNER + 8, LINES = ALONG ? INNER : QL_TILE_K;
    static constexpr int STAGE = LINES * LD * SIZE, FLOATS = QL_TILE_STAGES * STAGE / 4;
    static constexpr int ACROSS = TILE == QL_RESIDUAL_LARGE ? 4 : 8; /* warps beside each other */
    static constexpr int WM = TILE * ACROSS / (16 * QL_RESIDUAL_WARPS), WN = INNER / (8 * ACROSS);
    float sum[WM][WN][4];
    const ql_residual_weights &weights;
    float *slices;
    int next;

    template <class Block>
    QL_BODY ql_residual_core(const Block &block, const ql_residual_weights &its_weights, float *its_slices)
        : weights(its_weights), slices(its_slices), next(0)
    {
        for (int step = 0; step < QL_TILE_STAGES - 1; ++step) {
            load(block, step);
            block.commit();
        }
    }

    /* begin(row, column, x): what is added to, two neighbours at a time. */
    template <class Block, class Begin> QL_BODY void product(const Block &block, const float *rows, const Begin &begin)
    {
        pairs(block, begin); /* all loads together, beside those of the weights */
        for (int step = 0; step < STEPS; ++step, ++next) {
            block.wait();
            block.sync(); /* for the others' copies, and what they made of the rows */
            load(block, next + QL_TILE_STAGES - 1);
            block.commit();
            const char *slice = reinterpret_cast<const char *>(slices) + next % QL_TILE_STAGES * STAGE;
            if constexpr (KIND == QL_OPERAND_PLAIN)
                multiply_plain(block, rows + step * QL_TILE_K, slice);
            else
                multiply_fragments(block, rows + step * QL_TILE_K, slice);
        }
    }

    /* act(row, column, x): two neighbours of the product at a time, which may be changed. */
    template <class Block, class Act> QL_BODY void pairs(const Block &block, const Act &act)
    {
        const int group = block.lane() / 4, t = block.lane() % 4;
        QL_UNROLL for (int i = 0; i < WM; ++i) QL_UNROLL for (int half = 0; half < 2; ++half)
            QL_UNROLL for (int j = 0; j < WN; ++j) act(first_row(block) + 16 * i + 8 * half + group,
                                                       first_column(block) + 8 * j + 2 * t, &sum[i][j][2 * half]);
    }

    /* to[row / 16 * ld + column]: sums over 16 rows. */
    template <class Block> QL_BODY void sums_of_16(const Block &block, float *to, int ld) const
    {
        QL_UNROLL for (int i = 0; i < WM; ++i) QL_UNROLL for (int j = 0; j < WN; ++j)
            QL_UNROLL for (int e = 0; e < 2; ++e)
        {
            float x = sum[i][j][e] + sum[i][j][2 + e];
            for (int step = 4; step < 32; step *= 2) x += block.exchange(x, step);
            if (block.lane() < 4)
                to[(first_row(block) / 16 + i) * ld + first_column(block) + 8 * j + 2 * block.lane() + e] = x;
        }
    }

  private:
    template <class Block> static QL_BODY int first_row(const Block &block) { return block.warp() / ACROSS * 16 * WM; }
    template <class Block> static QL_BODY int first_column(const Block &block)
    {
        return block.warp() % ACROSS * 8 * WN;
    }

    template <class Block> QL_BODY void load(const Block &block, int number) const
    {
        constexpr int EACH = 16 / SIZE, CHUNKS = (ALONG ? QL_TILE_K : INNER) / EACH, THREADS = 32 * QL_RESIDUAL_WARPS;
        const int product = number / STEPS, k = number % STEPS * QL_TILE_K;
        if (product >= weights.products()) return;
        const ql_operand &w = product == 0 ? weights.mid : weights.wide;
        const int64_t begin = product == 0 ? 0 : static_cast<int64_t>(product - 1) * INNER * (ALONG ? w.ld : 1);
        char *to = reinterpret_cast<char *>(slices) + number % QL_TILE_STAGES * STAGE;
        for (int chunk = block.thread(); chunk < LINES * CHUNKS; chunk += THREADS) {
            const int line = chunk / CHUNKS, column = chunk % CHUNKS * EACH;
            const int64_t from = begin + (ALONG ? static_cast<int64_t>(line) * w.ld + k + column
                                                : static_cast<int64_t>(k + line) * w.ld + column);
            block.copy(reinterpret_cast<float *>(to + (line * LD + column) * SIZE),
                       reinterpret_cast<const float *>(static_cast<const char *>(w.data) + from * SIZE), true);
        }
    }

    static QL_BODY float weight(const char *slice, int n, int k)
    {
        const int at = ALONG ? n * LD + k : k * LD + n;
        if constexpr (KIND == QL_OPERAND_BF16)
            return ql_float_of_bf16(reinterpret_cast<const uint16_t *>(slice)[at]);
        else
            return reinterpret_cast<const float *>(slice)[at];
    }

    static QL_BODY void halves(float x, float *hi, float *lo)
    {
        if constexpr (KIND == QL_OPERAND_SPLIT)
            ql_split_tf32(x, hi, lo);
        else
            *hi = *lo = x; /* lo is not used */
    }

    template <class Block> QL_BODY void multiply_fragments(const Block &block, const float *rows, const char *slice)
    {
        const int group = block.lane() / 4, t = block.lane() % 4;
        QL_UNROLL for (int k = 0; k < QL_TILE_K; k += 8)
        {
            float a_hi[WM][4], a_lo[WM][4], b_hi[WN][2], b_lo[WN][2];
            QL_UNROLL for (int j = 0; j < WN; ++j) QL_UNROLL for (int e = 0; e < 2; ++e)
            {
                const float x = weight(slice, first_column(block) + 8 * j + group, k + t + 4 * e);
                halves(KIND == QL_OPERAND_TF32 ? ql_tf32_of(x) : x, &b_hi[j][e], &b_lo[j][e]);
            }
            QL_UNROLL for (int i = 0; i < WM; ++i) QL_UNROLL for (int e = 0; e < 4; ++e)
                halves(rows[(first_row(block) + 16 * i + group + e % 2 * 8) * LD_ROWS + k + t + e / 2 * 4], &a_hi[i][e],
                       &a_lo[i][e]);
            block.template multiply_all<KIND == QL_OPERAND_SPLIT ? 3 : 1, WM, WN>(sum, a_hi, a_lo, b_hi, b_lo);
        }
    }

    /* Four of k at a time: loads of 16 bytes. */
    template <class Block> QL_BODY void multiply_plain(const Block &block, const float *rows, const char *slice)
    {
        struct alignas(16) four {
            float of[4];
        };
        const int group = block.lane() / 4, t = block.lane() % 4;
        const float *b = reinterpret_cast<const float *>(slice);
        QL_UNROLL for (int k = 0; k < QL_TILE_K; k += 4)
        {
            four a[WM][2];
            QL_UNROLL for (int i = 0; i < WM; ++i) QL_UNROLL for (int half = 0; half < 2; ++half) a[i][half] =
                *reinterpret_cast<const four *>(rows + (first_row(block) + 16 * i + 8 * half + group) * LD_ROWS + k);
            QL_UNROLL for (int j = 0; j < WN; ++j)
            {
                const int n = first_column(block) + 8 * j + 2 * t;
                float w[2][4];
                if constexpr (ALONG) {
                    QL_UNROLL for (int e = 0; e < 2; ++e)
                    {
                        const four x = *reinterpret_cast<const four *>(b + (n + e) * LD + k);
                        QL_UNROLL for (int d = 0; d < 4; ++d) w[e][d] = x.of[d];
                    }
                } else {
                    QL_UNROLL for (int d = 0; d < 4; ++d)
                    {
                        const ql_float_pair x = *reinterpret_cast<const ql_float_pair *>(b + (k + d) * LD + n);
                        w[0][d] = x.of[0];
                        w[1][d] = x.of[1];
                    }
                }
                QL_UNROLL for (int i = 0; i < WM; ++i) QL_UNROLL for (int e = 0; e < 4; ++e)
                    QL_UNROLL for (int d = 0; d < 4; ++d) sum[i][j][e] += a[i][e / 2].of[d] * w[e % 2][d];
            }
        }
    }
};

/* A warp of a block as a team (portable.h). */
template <class Block> struct ql_residual_team {
    static constexpr int SIZE = Block::LANES;
    const Block &block;
    QL_BODY int lane() const { return block.lane(); }
    QL_BODY float sum(float x) const
    {
        for (int step = SIZE / 2; step > 0; step /= 2) x += block.exchange(x, step);
        return x;
    }
};

/* Pairs of an activation. */
QL_BODY void ql_residual_put(const ql_activation &to, int64_t row, int column, const float x[2])
{
    if (to.x != nullptr) *reinterpret_cast<ql_float_pair *>(to.x + row * to.ld + column) = ql_float_pair{{x[0], x[1]}};
    struct alignas(4) halves {
        uint16_t of[2];
    };
    if (to.op.data == to.x) return; /* else bfloat16 */
    *reinterpret_cast<halves *>(static_cast<uint16_t *>(to.op.data) + row * to.op.ld + column) =
        halves{{ql_bf16_of(x[0]), ql_bf16_of(x[1])}};
}

QL_BODY ql_float_pair ql_residual_pair(const float *from, int ld, int64_t row, int column)
{
    return *reinterpret_cast<const ql_float_pair *>(from + row * ld + column);
}

/* For copies of 16 bytes and pairs of 8. */
inline bool ql_residual_aligned(const float *x, int ld)
{
    return reinterpret_cast<uintptr_t>(x) % 8 == 0 && ld % 2 == 0;
}
inline bool ql_residual_aligned(const ql_activation &a) { return ql_residual_aligned(a.x, a.ld); }
inline bool ql_residual_aligned(const ql_residual_weights &w)
{
    const auto whole = [](const ql_operand &op) {
        return reinterpret_cast<uintptr_t>(op.data) % 16 == 0 && op.ld * op.size() % 16 == 0;
    };
    return whole(w.mid) && (!w.has_wide || whole(w.wide));
}

/* Nothing that a product is added to. */
struct ql_residual_zero {
    QL_BODY void operator()(int, int, float *x) const { x[0] = x[1] = 0; }
};

/* tiles(rows / TILE) */
template <ql_operand_kind KIND, int INNER, int TILE> struct ql_residual_forward {
    typedef ql_residual_core<KIND, INNER, TILE, QL_PRODUCT_NT> core;
    static constexpr int LD = INNER + 4, ROWS = TILE * LD;
    static constexpr int FLOATS = ROWS + core::FLOATS; /* of shared memory */

    ql_norm_input norm1, norm2; /* norm2.x: mid, which is written here */
    ql_residual_weights weights;
    float *mid;
    ql_operand relu1, relu2; /* INNER wide */
    ql_activation x, out;
    const float *bias; /* of the last product */

    double bytes() const
    {
        const double wide = weights.has_wide ? QL_RESIDUAL_PARTS * (4 + out.size()) : 0;
        return TILE * INNER * (4 + 4 + relu1.size() + relu2.size() + wide);
    }
    double flop() const { return 2.0 * TILE * INNER * INNER * weights.products(); }
    bool aligned() const { return ql_residual_aligned(weights) && ql_residual_aligned(x) && ql_residual_aligned(out); }

    template <class Block> QL_BODY void operator()(const Block &block, int64_t tile) const
    {
        float *rows = block.shared();
        const int64_t first = tile * TILE;
        typename Block::template core<KIND, INNER, TILE, QL_PRODUCT_NT> c(block, weights, rows + ROWS);
        normed(block, norm1, first, relu1, first, rows);
        c.product(block, rows, ql_residual_zero());
        block.sync(); /* all have read the rows */
        c.pairs(block, [&](int row, int column, const float *y) {
            *reinterpret_cast<ql_float_pair *>(rows + row * LD + column) = ql_float_pair{{y[0], y[1]}};
            *reinterpret_cast<ql_float_pair *>(mid + (first + row) * INNER + column) = ql_float_pair{{y[0], y[1]}};
        });
        block.sync();
        normed(block, ql_norm_input{rows, LD, norm2.linear_bias, norm2.weight, norm2.bias}, 0, relu2, first, rows);
        for (int part = 0; weights.has_wide && part < QL_RESIDUAL_PARTS; ++part) {
            c.product(block, rows, [&](int row, int column, float *y) {
                const int k = part * INNER + column;
                const ql_float_pair more = ql_residual_pair(x.x, x.ld, first + row, k);
                for (int e = 0; e < 2; ++e) y[e] = more.of[e] + bias[k + e];
            });
            c.pairs(block, [&](int row, int column, float *y) {
                for (int e = 0; e < 2; ++e)
                    if (!(y[e] > 0)) y[e] = 0;
                ql_residual_put(out, first + row, part * INNER + column, y);
            });
        }
    }

  private:
    /* Rows of `in` from `begin` on, normed, behind the ReLU, to shared memory and to `kept`; so many at once. */
    template <class Block>
    static QL_BODY void normed(const Block &block, const ql_norm_input &in, int64_t begin, const ql_operand &kept,
                               int64_t first, float *rows)
    {
        constexpr int EACH = TILE / Block::WARPS, ONCE = EACH < 4 ? EACH : 4;
        const ql_residual_team<Block> team = {block};
        for (int r = block.warp() * EACH; r < (block.warp() + 1) * EACH; r += ONCE) {
            ql_norm_row<INNER, ql_residual_team<Block>> row[ONCE];
            QL_UNROLL for (int i = 0; i < ONCE; ++i) row[i].fetch(in, begin + r + i, team);
            QL_UNROLL for (int i = 0; i < ONCE; ++i) row[i].norm(team);
            QL_UNROLL for (int i = 0; i < ONCE; ++i) for (int j = 0; j < row[i].MINE; ++j)
            {
                const int k = team.lane() + j * team.SIZE;
                float y = row[i].hat[j] * in.weight[k] + in.bias[k];
                if (!(y > 0)) y = 0;
                kept.put((first + r + i) * INNER + k, y);
                rows[(r + i) * LD + k] = ql_residual_operand<KIND>(y);
            }
        }
    }
};

/* tiles(rows / TILE) */
template <ql_operand_kind KIND, int INNER, int TILE> struct ql_residual_backward {
    typedef ql_residual_core<KIND, INNER, TILE, QL_PRODUCT_NN> core;
    /* group: rows whose sums a warp adds by itself */
    static constexpr int LD = INNER + 4, ROWS = TILE * LD, GROUPS = QL_RESIDUAL_WARPS, GROUP = TILE / GROUPS;
    static constexpr int FLOATS = ROWS + GROUPS * 3 * INNER + core::FLOATS;

    ql_norm_input norm1, norm2;
    ql_residual_weights weights;
    const float *adjoint; /* INNER wide */
    ql_operand mid_adjoint, down_adjoint;
    ql_column_sums sums;
    int column1, column2;
    /* with `wide`: x' = addend + ., zero where `below` is given and not positive; its sums where column >= 0 */
    const float *addend, *below;
    int addend_ld, below_ld, column;
    ql_activation out;

    double bytes() const
    {
        const double wide = QL_RESIDUAL_PARTS * (4 + out.size() + (below != nullptr ? 4 : 0));
        const double all = 12 + mid_adjoint.size() + down_adjoint.size() + (weights.has_wide ? wide : 0);
        const int columns = 6 + (weights.has_wide && column >= 0 ? QL_RESIDUAL_PARTS : 0);
        return TILE * INNER * (all + 4.0 * columns / sums.slice_rows);
    }
    double flop() const { return 2.0 * TILE * INNER * INNER * weights.products(); }
    bool aligned() const
    {
        return ql_residual_aligned(weights) && ql_residual_aligned(out) && ql_residual_aligned(addend, addend_ld) &&
               ql_residual_aligned(below, below_ld) && TILE % sums.slice_rows == 0 && sums.slice_rows % 16 == 0;
    }

    template <class Block> QL_BODY void operator()(const Block &block, int64_t tile) const
    {
        float *rows = block.shared(), *scratch = rows + ROWS;
        const int64_t first = tile * TILE;
        typename Block::template core<KIND, INNER, TILE, QL_PRODUCT_NN> c(block, weights, scratch + GROUPS * 3 * INNER);
        through_norm(block, norm2, first, adjoint + first * INNER, INNER, mid_adjoint, rows, scratch);
        finish(block, tile, scratch, GROUP, 3 * INNER, column2);
        c.product(block, rows, ql_residual_zero());
        block.sync();
        c.pairs(block, [&](int row, int k, const float *y) {
            *reinterpret_cast<ql_float_pair *>(rows + row * LD + k) = ql_float_pair{{y[0], y[1]}};
        });
        block.sync();
        through_norm(block, norm1, first, rows, LD, down_adjoint, rows, scratch);
        finish(block, tile, scratch, GROUP, 3 * INNER, column1);
        if (!weights.has_wide) return;
        for (int part = 0; part < QL_RESIDUAL_PARTS; ++part) {
            c.product(block, rows, [&](int row, int at, float *y) {
                const ql_float_pair more = ql_residual_pair(addend, addend_ld, first + row, part * INNER + at);
                y[0] = more.of[0];
                y[1] = more.of[1];
            });
            if (below != nullptr)
                c.pairs(block, [&](int row, int at, float *y) {
                    const ql_float_pair is = ql_residual_pair(below, below_ld, first + row, part * INNER + at);
                    for (int e = 0; e < 2; ++e)
                        if (!(is.of[e] > 0)) y[e] = 0;
                });
            c.pairs(block,
                    [&](int row, int at, const float *y) { ql_residual_put(out, first + row, part * INNER + at, y); });
            if (column >= 0) c.sums_of_16(block, scratch + part * INNER, QL_RESIDUAL_PARTS * INNER);
        }
        if (column >= 0) finish(block, tile, scratch, 16, QL_RESIDUAL_PARTS * INNER, column);
    }

  private:
    template <class Block>
    QL_BODY void through_norm(const Block &block, const ql_norm_input &in, int64_t first, const float *from,
                              int from_ld, const ql_operand &kept, float *rows, float *scratch) const
    {
        constexpr int ONCE = 2;
        const ql_residual_team<Block> team = {block};
        for (int group = block.warp(); group < GROUPS; group += Block::WARPS) {
            ql_norm_adjoint<INNER, true, ql_residual_team<Block>> way;
            way.clear();
            for (int r = group * GROUP; r < (group + 1) * GROUP; r += ONCE) {
                ql_norm_row<INNER, ql_residual_team<Block>> row[ONCE];
                float y[ONCE][way.MINE];
                QL_UNROLL for (int i = 0; i < ONCE; ++i)
                {
                    row[i].fetch(in, first + r + i, team);
                    for (int j = 0; j < way.MINE; ++j) y[i][j] = from[(r + i) * from_ld + team.lane() + j * team.SIZE];
                }
                QL_UNROLL for (int i = 0; i < ONCE; ++i) row[i].norm(team);
                QL_UNROLL for (int i = 0; i < ONCE; ++i) way.row(in, row[i], y[i], team, [&](int k, float x) {
                    kept.put((first + r + i) * INNER + k, x);
                    rows[(r + i) * LD + k] = ql_residual_operand<KIND>(x);
                    return x;
                });
            }
            way.store(scratch + group * 3 * INNER, team);
        }
    }

    /* Sums of so many rows each become those of slices, in order. */
    template <class Block>
    QL_BODY void finish(const Block &block, int64_t tile, const float *scratch, int group, int width, int to) const
    {
        const int slices = TILE / sums.slice_rows, groups = sums.slice_rows / group;
        block.sync();
        for (int at = block.thread(); at < slices * width; at += Block::WARPS * Block::LANES) {
            const int slice = at / width, k = at % width;
            float sum = 0;
            for (int g = 0; g < groups; ++g) sum += scratch[(slice * groups + g) * width + k];
            sums.partial[(tile * slices + slice) * sums.stride + to + k] = sum;
        }
    }
};

#endif

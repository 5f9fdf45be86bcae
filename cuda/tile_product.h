/* Products of float32 matrices on tensor cores with float32's accuracy (operand kind SPLIT, "3xtf32").
 *
 * Each number is split in registers into two tf32 halves, x = hi + lo, and a b = lo hi + hi lo + hi hi in three passes of
 * mma.m16n8k8 with float32 accumulation: the matrices stay float32 in memory, are read once, and the result is written once
 * (addend, bias and ReLU with it). A block computes a BM x BN tile; slices of 16 columns of k come to shared memory by
 * asynchronous copies, three deep.
 *
 * `Block` is who computes: on the device a thread block (tile_device.h); in tests so many coroutines (tile_host.h) whose
 * copies arrive no sooner than they are waited for, and whose fragments lie as the PTX manual says.
 *   thread(), warp(), lane(); shared(): the block's memory; sync()
 *   copy(to, from, wanted): 16 bytes, zeros where not wanted; commit(); wait(): all but the newest commit have arrived
 *   multiply(c, a_hi, a_lo, b_hi, b_lo): the three passes, all lanes of a warp together
 */
#ifndef QL_CUDA_TILE_PRODUCT_H
#define QL_CUDA_TILE_PRODUCT_H

#include "portable.h"

enum { QL_TILE_K = 16, QL_TILE_STAGES = 3 };

/* How a block's tile is shared among its warps; each computes 16 WM x 8 WN. */
template <int WARPS_M, int WARPS_N, int WM, int WN> struct ql_tile_shape {
    static constexpr int THREADS = 32 * WARPS_M * WARPS_N, ACROSS = WARPS_N;
    static constexpr int FRAGMENTS_M = WM, FRAGMENTS_N = WN;
    static constexpr int BM = 16 * WM * WARPS_M, BN = 8 * WN * WARPS_N;
};
typedef ql_tile_shape<2, 4, 4, 4> ql_tile_large; /* 128 x 128, 256 threads */
typedef ql_tile_shape<2, 2, 2, 4> ql_tile_small; /* 64 x 64, 128 threads */

/* A matrix's slice in shared memory. ALONG: k runs along the rows in memory. The padding keeps the fragments' loads free of
 * bank conflicts: 20 g + t and 8 t + g are different modulo 32 for g < 8, t < 4. */
template <bool ALONG, int SIZE> struct ql_tile_slice {
    static constexpr int ROWS = ALONG ? SIZE : QL_TILE_K, COLUMNS = ALONG ? QL_TILE_K : SIZE;
    static constexpr int LD = ALONG ? QL_TILE_K + 4 : SIZE + 8;
    static constexpr int FLOATS = ROWS * LD;
    static QL_BODY int at(int i, int k) { return ALONG ? i * LD + k : k * LD + i; }

    /* Rows first .. of the matrix, columns k ..; what lies outside of size x depth becomes zero. */
    template <int THREADS, class Block>
    static QL_BODY void load(const Block &block, float *to, const float *from, int ld, int first, int size, int k,
                             int depth)
    {
        constexpr int CHUNKS = ROWS * COLUMNS / 4;
        static_assert(CHUNKS % THREADS == 0, "every thread copies as much");
        for (int chunk = block.thread(); chunk < CHUNKS; chunk += THREADS) {
            const int row = chunk / (COLUMNS / 4), column = chunk % (COLUMNS / 4) * 4;
            const int i = first + (ALONG ? row : column), j = k + (ALONG ? column : row);
            const bool inside = i < size && j < depth;
            const int64_t place = ALONG ? static_cast<int64_t>(i) * ld + j : static_cast<int64_t>(j) * ld + i;
            block.copy(to + row * LD + column, inside ? from + place : from, inside);
        }
    }
};

QL_BODY float ql_tf32_of(float x)
{
#ifdef __CUDA_ARCH__
    uint32_t bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return ql_float_of(bits);
#else
    return ql_round_tf32(x);
#endif
}

QL_BODY void ql_split_tf32(float x, float *hi, float *lo)
{
    *hi = ql_tf32_of(x);
    *lo = ql_tf32_of(x - *hi);
}

template <ql_product PRODUCT, class Shape> struct ql_tile {
    typedef ql_tile_slice<PRODUCT != QL_PRODUCT_TN, Shape::BM> slice_a;
    typedef ql_tile_slice<PRODUCT == QL_PRODUCT_NT, Shape::BN> slice_b;
    static constexpr int STAGE = slice_a::FLOATS + slice_b::FLOATS;
    static constexpr int BYTES = QL_TILE_STAGES * STAGE * 4;
    static constexpr int WM = Shape::FRAGMENTS_M, WN = Shape::FRAGMENTS_N;
    float sum[WM][WN][4];

    /* The tile whose first row and column these are, of slice `batch`. */
    template <class Block>
    QL_BODY void compute(const Block &block, const ql_gemm &g, int first_m, int first_n, int batch)
    {
        const float *a = static_cast<const float *>(g.a.data) + batch * g.stride_a;
        const float *b = static_cast<const float *>(g.b.data) + batch * g.stride_b;
        const int steps = (g.k + QL_TILE_K - 1) / QL_TILE_K;
        QL_UNROLL for (int i = 0; i < WM; ++i) QL_UNROLL for (int j = 0; j < WN; ++j)
            QL_UNROLL for (int e = 0; e < 4; ++e) sum[i][j][e] = 0;
        for (int step = 0; step < QL_TILE_STAGES - 1; ++step) {
            load(block, g, a, b, first_m, first_n, step);
            block.commit();
        }
        for (int step = 0; step < steps; ++step) {
            block.wait(); /* for our own part of this slice */
            /* for the others' parts, and until all are done with the slice before, whose place is filled next */
            block.sync();
            load(block, g, a, b, first_m, first_n, step + QL_TILE_STAGES - 1);
            block.commit(); /* an empty one, too: wait counts them */
            multiply(block, block.shared() + step % QL_TILE_STAGES * STAGE);
        }
        store(block, g, first_m, first_n, batch);
    }

  private:
    struct alignas(8) pair {
        float of[2];
    };

    template <class Block>
    static QL_BODY void load(const Block &block, const ql_gemm &g, const float *a, const float *b, int first_m,
                             int first_n, int step)
    {
        if (step * QL_TILE_K >= g.k) return;
        float *to = block.shared() + step % QL_TILE_STAGES * STAGE;
        slice_a::template load<Shape::THREADS>(block, to, a, g.a.ld, first_m, g.m, step * QL_TILE_K, g.k);
        slice_b::template load<Shape::THREADS>(block, to + slice_a::FLOATS, b, g.b.ld, first_n, g.n, step * QL_TILE_K,
                                               g.k);
    }

    /* Row of the tile where our warp begins, and column. */
    template <class Block> static QL_BODY int warp_m(const Block &block)
    {
        return block.warp() / Shape::ACROSS * 16 * WM;
    }
    template <class Block> static QL_BODY int warp_n(const Block &block)
    {
        return block.warp() % Shape::ACROSS * 8 * WN;
    }

    /* Fragments (PTX, mma.m16n8k8 .tf32), group = lane / 4, t = lane % 4: a (group, t) (group + 8, t) (group, t + 4) (group + 8,
     * t + 4); b (t, group) (t + 4, group). */
    template <class Block> QL_BODY void multiply(const Block &block, const float *slice)
    {
        const int group = block.lane() / 4, t = block.lane() % 4;
        const float *a = slice, *b = slice + slice_a::FLOATS;
        QL_UNROLL for (int k = 0; k < QL_TILE_K; k += 8)
        {
            float b_hi[WN][2], b_lo[WN][2];
            QL_UNROLL for (int j = 0; j < WN; ++j) QL_UNROLL for (int e = 0; e < 2; ++e)
                ql_split_tf32(b[slice_b::at(warp_n(block) + 8 * j + group, k + t + 4 * e)], &b_hi[j][e], &b_lo[j][e]);
            QL_UNROLL for (int i = 0; i < WM; ++i)
            {
                float a_hi[4], a_lo[4];
                QL_UNROLL for (int e = 0; e < 4; ++e) ql_split_tf32(
                    a[slice_a::at(warp_m(block) + 16 * i + group + e % 2 * 8, k + t + e / 2 * 4)], &a_hi[e], &a_lo[e]);
                QL_UNROLL for (int j = 0; j < WN; ++j) block.multiply(sum[i][j], a_hi, a_lo, b_hi[j], b_lo[j]);
            }
        }
    }

    /* c: (group, 2 t) (group, 2 t + 1) (group + 8, 2 t) (group + 8, 2 t + 1). n and all row lengths are even. */
    template <class Block>
    QL_BODY void store(const Block &block, const ql_gemm &g, int first_m, int first_n, int batch) const
    {
        const int group = block.lane() / 4, t = block.lane() % 4, addend_ld = g.addend_ld > 0 ? g.addend_ld : g.ldc;
        float *c = g.c + batch * g.stride_c;
        const float *addend = g.addend != nullptr ? g.addend + batch * g.stride_c : nullptr;
        QL_UNROLL for (int i = 0; i < WM; ++i) QL_UNROLL for (int half = 0; half < 2; ++half)
        {
            const int64_t row = first_m + warp_m(block) + 16 * i + 8 * half + group;
            if (row >= g.m) continue;
            QL_UNROLL for (int j = 0; j < WN; ++j)
            {
                const int column = first_n + warp_n(block) + 8 * j + 2 * t;
                if (column >= g.n) continue;
                pair x = {{sum[i][j][2 * half], sum[i][j][2 * half + 1]}}, more = {{0, 0}};
                if (addend != nullptr) more = *reinterpret_cast<const pair *>(addend + row * addend_ld + column);
                for (int e = 0; e < 2; ++e) {
                    x.of[e] += more.of[e];
                    if (g.bias != nullptr) x.of[e] += g.bias[column + e];
                    if (g.relu && !(x.of[e] > 0)) x.of[e] = 0;
                }
                *reinterpret_cast<pair *>(c + row * g.ldc + column) = x;
            }
        }
    }
};

/* Whether copies of 16 bytes and stores of 8 are aligned for this product, and its grid is within bounds. */
inline bool ql_tile_takes(const ql_gemm &g)
{
    const auto aligned = [](const void *p, uintptr_t to) { return reinterpret_cast<uintptr_t>(p) % to == 0; };
    const int across = g.product == QL_PRODUCT_NT ? g.k : g.product == QL_PRODUCT_NN ? g.k | g.n : g.m | g.n;
    const int64_t fours = g.a.ld | g.b.ld | across | g.stride_a | g.stride_b;
    const int64_t twos = g.n | g.ldc | g.addend_ld | g.stride_c;
    return aligned(g.a.data, 16) && aligned(g.b.data, 16) && aligned(g.c, 8) && aligned(g.addend, 8) &&
           fours % 4 == 0 && twos % 2 == 0 && (g.m + 63) / 64 <= 65535 && g.batch <= 65535;
}

/* Large tiles where there are enough of them for a GPU's multiprocessors. */
inline bool ql_tile_is_large(const ql_gemm &g)
{
    const int64_t tiles = static_cast<int64_t>((g.m + 127) / 128) * ((g.n + 127) / 128) * g.batch;
    return g.n > 64 && tiles >= 132;
}

#endif

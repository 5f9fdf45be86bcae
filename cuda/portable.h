/* What every file of this folder includes: the C floors seen from C++, and what lets one function body run on the device
 * and on the host.
 *
 * A "body" is a function object over an index. The device runs it in a kernel, the host in a loop: a machine without a GPU
 * tests the very code that the GPU runs. Three kinds:
 *   each: body(i), one thread per index, no exchange
 *   rows: body(row, team), a team of threads per row; team.lane() walks the columns, team.sum() adds over the team
 *   tiles: body(block, tile), a block of threads with shared memory per 64 rows (residual.h)
 * bytes() is what an index reads and writes of device memory, each element once, small tables left out: the count by which
 * a plan's traffic is judged (count_machine.h).
 */
#ifndef QL_CUDA_PORTABLE_H
#define QL_CUDA_PORTABLE_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define QL_REAL float
#define _Alignas alignas /* C's word in comm.h */
extern "C" {
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "comm/comm.h"
#include "engine/engine.h"
#include "model/layout.h"
#include "model/point.h"
#include "model/sample.h"
}

#ifdef __CUDACC__
#define QL_BODY __host__ __device__ __forceinline__
#else
#define QL_BODY inline
#endif
#ifdef __CUDA_ARCH__
#define QL_UNROLL _Pragma("unroll")
#else
#define QL_UNROLL
#endif

/* A team of one: the host. */
struct ql_team_single {
    static constexpr int SIZE = 1;
    QL_BODY int lane() const { return 0; }
    QL_BODY float sum(float x) const { return x; }
    QL_BODY double sum(double x) const { return x; }
};

#ifdef __CUDACC__
/* A warp. All 32 lanes call sum together; every lane gets the same bits (butterfly, fixed order). */
struct ql_team_warp {
    static constexpr int SIZE = 32;
    __device__ __forceinline__ int lane() const { return static_cast<int>(threadIdx.x & 31u); }
    template <class Real> __device__ __forceinline__ Real sum(Real x) const
    {
        for (int step = 16; step > 0; step >>= 1) x += __shfl_xor_sync(0xffffffffu, x, step);
        return x;
    }
};
#endif

/* Bits of a float and back. */
QL_BODY uint32_t ql_bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

QL_BODY float ql_float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Nearest value with 10 (tf32) or 7 (bf16) bits of fraction, ties to even; infinities and NaN stay what they are. */
QL_BODY uint32_t ql_round_bits(uint32_t bits, uint32_t dropped)
{
    if ((bits & 0x7f800000u) == 0x7f800000u) return bits;
    uint32_t odd = (bits >> dropped) & 1u;
    return (bits + (1u << (dropped - 1)) - 1u + odd) & ~((1u << dropped) - 1u);
}

QL_BODY float ql_round_tf32(float x) { return ql_float_of(ql_round_bits(ql_bits_of(x), 13)); }
QL_BODY uint16_t ql_bf16_of(float x)
{
#ifdef __CUDA_ARCH__
    uint16_t half;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(half) : "f"(x));
    return half;
#else
    uint32_t bits = ql_bits_of(x);
    if (x != x) return static_cast<uint16_t>((bits >> 16) | 0x40u);
    return static_cast<uint16_t>(ql_round_bits(bits, 16) >> 16);
#endif
}
QL_BODY float ql_float_of_bf16(uint16_t x) { return ql_float_of(static_cast<uint32_t>(x) << 16); }

/* Row and column of an element by its number in a matrix so many columns wide. A 64-bit division costs a GPU a hundred instructions,
 * more time than a number takes through its memory; matrices of 2^32 elements and more are rare. */
QL_BODY void ql_place_of(int64_t index, int width, int64_t *row, int64_t *column)
{
    if (index >> 32 == 0) {
        const uint32_t at = static_cast<uint32_t>(index), wide = static_cast<uint32_t>(width);
        *row = at / wide;
        *column = at % wide;
    } else {
        *row = index / width;
        *column = index % width;
    }
}

/* How a matrix is held as an operand of a product.
 *   PLAIN  float32, multiplied in float32
 *   TF32   float32, multiplied by tensor cores that read 10 bits of fraction
 *   BF16   bfloat16
 *   SPLIT  float32, split in two tf32 halves as it is multiplied: three tensor core passes give float32's accuracy
 *          ("3xtf32", tile_product.h) */
enum ql_operand_kind { QL_OPERAND_PLAIN, QL_OPERAND_TF32, QL_OPERAND_BF16, QL_OPERAND_SPLIT };

/* A view of a matrix; never owns. Element (row, column) is at row * ld + column. */
struct ql_operand {
    void *data;
    int ld;
    ql_operand_kind kind;

    QL_BODY int size() const { return kind == QL_OPERAND_BF16 ? 2 : 4; } /* bytes per element */

    QL_BODY void put(int64_t at, float x) const
    {
        if (kind == QL_OPERAND_BF16)
            static_cast<uint16_t *>(data)[at] = ql_bf16_of(x);
        else
            static_cast<float *>(data)[at] = x;
    }

    QL_BODY float get(int64_t at) const
    {
        if (kind == QL_OPERAND_BF16) return ql_float_of_bf16(static_cast<uint16_t *>(data)[at]);
        return static_cast<float *>(data)[at];
    }

    QL_BODY ql_operand from(int64_t at) const
    {
        ql_operand view = *this;
        view.data = static_cast<char *>(data) + at * size();
        return view;
    }
};

inline ql_operand ql_operand_of(float *matrix, int ld, ql_operand_kind kind = QL_OPERAND_PLAIN)
{
    return ql_operand{matrix, ld, kind};
}

/* Tables on their way from pinned host memory to a device; all zeros: none. The last two are the device's own. */
struct ql_table_block {
    void *host, *device;
    int64_t bytes;
    void *stream, *arrived;
};

/* C = A op B (+ addend) (+ bias), then relu; row-major. */
enum ql_product {
    QL_PRODUCT_NT, /* C[m x n] = A[m x k] B[n x k]^T: layers forward */
    QL_PRODUCT_NN, /* C[m x n] = A[m x k] B[k x n]: adjoints */
    QL_PRODUCT_TN  /* C[m x n] = A[k x m]^T B[k x n]: weight gradients; a batch of slices of k */
};

struct ql_gemm {
    ql_product product;
    int m, n, k;
    ql_operand a, b;
    float *c;
    int ldc;
    const float *addend; /* nullptr: none; may be c itself */
    const float *bias;   /* n, or nullptr */
    bool relu;
    int batch; /* 1, or the number of slices: A, B, C advance by the strides (elements) */
    int64_t stride_a, stride_b, stride_c;
    int addend_ld = 0; /* 0: as c */
};

#endif

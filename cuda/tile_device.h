/* Tiles of a product by thread blocks of a GPU (see tile_product.h). Compiled by nvcc only. */
#ifndef QL_CUDA_TILE_DEVICE_H
#define QL_CUDA_TILE_DEVICE_H

#include "residual.h"

#include <cuda_runtime.h>

struct ql_block_device {
    static constexpr int WARPS = QL_RESIDUAL_WARPS, LANES = 32; /* of a residual block's tile */
    template <ql_operand_kind KIND, int INNER, int ROWS, ql_product PRODUCT>
    using core = ql_residual_core<KIND, INNER, ROWS, PRODUCT>;
    float *memory;

    __device__ __forceinline__ int thread() const { return static_cast<int>(threadIdx.x); }
    __device__ __forceinline__ int warp() const { return static_cast<int>(threadIdx.x / 32u); }
    __device__ __forceinline__ int lane() const { return static_cast<int>(threadIdx.x & 31u); }
    __device__ __forceinline__ float *shared() const { return memory; }
    __device__ __forceinline__ void sync() const { __syncthreads(); }
    __device__ __forceinline__ void copy(float *to, const float *from, bool wanted) const
    {
        const unsigned place = static_cast<unsigned>(__cvta_generic_to_shared(to));
        const int bytes = wanted ? 16 : 0; /* the rest is filled with zeros */
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(place), "l"(from), "r"(bytes) : "memory");
    }
    __device__ __forceinline__ void commit() const { asm volatile("cp.async.commit_group;" ::: "memory"); }
    __device__ __forceinline__ void wait() const
    {
        asm volatile("cp.async.wait_group %0;" ::"n"(QL_TILE_STAGES - 2) : "memory");
    }
    __device__ __forceinline__ void multiply(float c[4], const float a_hi[4], const float a_lo[4], const float b_hi[2],
                                             const float b_lo[2]) const
    {
        one(c, a_lo, b_hi);
        one(c, a_hi, b_lo);
        one(c, a_hi, b_hi);
    }

    template <int PASSES, int WM, int WN>
    __device__ __forceinline__ void multiply_all(float c[WM][WN][4], const float a_hi[WM][4], const float a_lo[WM][4],
                                                 const float b_hi[WN][2], const float b_lo[WN][2]) const
    {
        QL_UNROLL for (int i = 0; i < WM; ++i) QL_UNROLL for (int j = 0; j < WN; ++j)
        {
            if (PASSES == 3)
                multiply(c[i][j], a_hi[i], a_lo[i], b_hi[j], b_lo[j]);
            else
                one(c[i][j], a_hi[i], b_hi[j]);
        }
    }
    __device__ __forceinline__ float exchange(float x, int step) const { return __shfl_xor_sync(0xffffffffu, x, step); }

  private:
    static __device__ __forceinline__ void one(float c[4], const float a[4], const float b[2])
    {
        asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                     "{%0,%1,%2,%3};"
                     : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                     : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
                       "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
    }
};

template <ql_product PRODUCT, class Shape>
__global__ void __launch_bounds__(Shape::THREADS, 512 / Shape::THREADS)
    ql_tile_kernel(const __grid_constant__ ql_gemm g)
{
    extern __shared__ __align__(16) float ql_tile_memory[];
    ql_tile<PRODUCT, Shape> tile;
    tile.compute(ql_block_device{ql_tile_memory}, g, static_cast<int>(blockIdx.y) * Shape::BM,
                 static_cast<int>(blockIdx.x) * Shape::BN, static_cast<int>(blockIdx.z));
}

/* Shared memory beyond 48 KB must be asked for, once per device and kernel; that is no stream operation, so it may happen
 * while a graph is recorded. And as many blocks beside each other as the registers allow. */
template <class Kernel> cudaError_t ql_tile_ask(Kernel *kernel, int bytes)
{
    const cudaError_t result = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    if (result != cudaSuccess) return result;
    return cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout, cudaSharedmemCarveoutMaxShared);
}

template <ql_product PRODUCT, class Shape> cudaError_t ql_tile_launch(const ql_gemm &g, cudaStream_t stream)
{
    constexpr int bytes = ql_tile<PRODUCT, Shape>::BYTES;
    const cudaError_t result = ql_tile_ask(ql_tile_kernel<PRODUCT, Shape>, bytes);
    if (result != cudaSuccess) return result;
    const dim3 grid(static_cast<unsigned>((g.n + Shape::BN - 1) / Shape::BN),
                    static_cast<unsigned>((g.m + Shape::BM - 1) / Shape::BM), static_cast<unsigned>(g.batch));
    ql_tile_kernel<PRODUCT, Shape><<<grid, Shape::THREADS, bytes, stream>>>(g);
    return cudaGetLastError();
}

template <class Shape> cudaError_t ql_tile_launch_as(const ql_gemm &g, cudaStream_t stream)
{
    switch (g.product) {
    case QL_PRODUCT_NT: return ql_tile_launch<QL_PRODUCT_NT, Shape>(g, stream);
    case QL_PRODUCT_NN: return ql_tile_launch<QL_PRODUCT_NN, Shape>(g, stream);
    case QL_PRODUCT_TN: return ql_tile_launch<QL_PRODUCT_TN, Shape>(g, stream);
    }
    return cudaErrorInvalidValue;
}

inline cudaError_t ql_tile_multiply(const ql_gemm &g, cudaStream_t stream)
{
    return ql_tile_is_large(g) ? ql_tile_launch_as<ql_tile_large>(g, stream)
                               : ql_tile_launch_as<ql_tile_small>(g, stream);
}

/* Two blocks beside each other on a multiprocessor where its shared memory allows: 128 registers. */
template <class Body>
__global__ void __launch_bounds__(32 * ql_block_device::WARPS, 2) ql_tiles(const __grid_constant__ Body body)
{
    extern __shared__ __align__(16) float ql_tile_memory[];
    body(ql_block_device{ql_tile_memory}, static_cast<int64_t>(blockIdx.x));
}

template <class Body> cudaError_t ql_tiles_launch(int64_t count, const Body &body, cudaStream_t stream)
{
    constexpr int bytes = Body::FLOATS * 4;
    static_assert(bytes <= 99 * 1024, "shared memory of compute capability 8.6 and 8.9");
    const cudaError_t result = ql_tile_ask(ql_tiles<Body>, bytes);
    if (result != cudaSuccess) return result;
    ql_tiles<Body><<<static_cast<unsigned>(count), 32 * ql_block_device::WARPS, bytes, stream>>>(body);
    return cudaGetLastError();
}

#endif

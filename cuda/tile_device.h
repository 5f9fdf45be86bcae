/* Tiles of a product by thread blocks of a GPU (see tile_product.h). Compiled by nvcc only. */
#ifndef QL_CUDA_TILE_DEVICE_H
#define QL_CUDA_TILE_DEVICE_H

#include "tile_product.h"

#include <cuda_runtime.h>

struct ql_block_device {
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
 * while a graph is recorded. */
template <ql_product PRODUCT, class Shape> cudaError_t ql_tile_launch(const ql_gemm &g, cudaStream_t stream)
{
    constexpr int bytes = ql_tile<PRODUCT, Shape>::BYTES;
    cudaError_t result =
        cudaFuncSetAttribute(ql_tile_kernel<PRODUCT, Shape>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    if (result == cudaSuccess) /* as many blocks beside each other as the registers allow */
        result = cudaFuncSetAttribute(ql_tile_kernel<PRODUCT, Shape>, cudaFuncAttributePreferredSharedMemoryCarveout,
                                      cudaSharedmemCarveoutMaxShared);
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

#endif

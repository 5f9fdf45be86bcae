/* Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): a counter-based generator.
 *
 * Everything random in a training is a pure function of a key (run seed, content hash of the mesh) and a counter
 * (stream, step, index): it does not depend on which rank or thread asks, nor on an interruption.
 * The functions are inline so that C engines and CUDA kernels share the arithmetic.
 */
#ifndef QL_BASE_RANDOM_H
#define QL_BASE_RANDOM_H

#include <stdint.h>

#ifdef __CUDACC__
#define QL_INLINE static __host__ __device__ __forceinline__
#else
#define QL_INLINE static inline
#endif

typedef struct ql_key {
    uint32_t k[2];
} ql_key;

typedef struct ql_random4 {
    uint32_t r[4];
} ql_random4;

/* Streams: the fourth word of the counter. Never renumber: stored checkpoints rely on them. */
typedef enum ql_stream {
    QL_STREAM_INIT = 1,       /* initial parameters: index = parameter */
    QL_STREAM_OFF_POINT = 2,  /* off-surface points: step, index = point */
    QL_STREAM_DROP = 3,       /* stochastic depth: step, index = block */
    QL_STREAM_OFF_NORMAL = 4, /* near-surface offsets: step, index = point */
    QL_STREAM_TEST = 99
} ql_stream;

QL_INLINE ql_random4 ql_philox(ql_key key, ql_random4 counter)
{
    uint32_t c0 = counter.r[0], c1 = counter.r[1], c2 = counter.r[2], c3 = counter.r[3];
    uint32_t k0 = key.k[0], k1 = key.k[1];
    for (int round = 0; round < 10; ++round) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    ql_random4 out = {{c0, c1, c2, c3}};
    return out;
}

/* Four random words of element `index` of a stream at a step. */
QL_INLINE ql_random4 ql_random_at(ql_key key, ql_stream stream, uint32_t step, uint64_t index)
{
    ql_random4 counter = {{(uint32_t)index, (uint32_t)(index >> 32), step, (uint32_t)stream}};
    return ql_philox(key, counter);
}

/* Uniform in [0, 1) with 24 bits: exact in float and double alike. */
QL_INLINE float ql_uniform(uint32_t word) { return (float)(word >> 8) * (1.0f / 16777216.0f); }

/* Uniform in (0, 1), 32 bits, never 0 or 1: for logarithms. */
QL_INLINE double ql_uniform_open(uint32_t word) { return ((double)word + 0.5) * (1.0 / 4294967296.0); }

/* Key of a mesh in a run: both words mixed by splitmix64's finaliser. */
QL_INLINE ql_key ql_key_make(uint64_t seed, uint64_t mesh_hash)
{
    uint64_t z = seed * 0x9E3779B97F4A7C15ull + mesh_hash;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    z ^= z >> 31;
    ql_key key = {{(uint32_t)z, (uint32_t)(z >> 32)}};
    return key;
}

#endif

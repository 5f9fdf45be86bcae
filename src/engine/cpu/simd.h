/* Vectors of floats for the files that are compiled once per instruction set (see isa.h).
 *
 * Compilers' portable vector types, no intrinsics: the same source serves SSE2, AVX2, AVX-512 and Arm. Shapes of the
 * register tile: QL_TILE_ROWS x QL_VECTORS vectors of QL_LANES floats are accumulated at once; together with one row of
 * the second factor and a broadcast they fill the registers that the set has.
 */
#ifndef QL_ENGINE_CPU_SIMD_H
#define QL_ENGINE_CPU_SIMD_H

#include "engine/cpu/isa.h"

#include <stdint.h>
#include <string.h>

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif
#if defined(__AVX512BF16__) || defined(QL_SIMD_WIDE)
#define QL_BF16
#endif

#if defined(__AVX512F__) || defined(QL_SIMD_WIDE) /* the shape of avx512 on a processor without it, for tests */
#define QL_WIDE_TILE
enum { QL_LANES = 16, QL_VECTORS = 2, QL_TILE_ROWS = 12 };
#elif defined(__AVX2__)
enum { QL_LANES = 8, QL_VECTORS = 2, QL_TILE_ROWS = 6 };
#elif defined(__aarch64__)
enum { QL_LANES = 4, QL_VECTORS = 4, QL_TILE_ROWS = 6 };
#else
enum { QL_LANES = 4, QL_VECTORS = 2, QL_TILE_ROWS = 6 };
#endif
enum { QL_PANEL = QL_LANES * QL_VECTORS };

typedef float ql_vector __attribute__((vector_size(4 * QL_LANES)));
typedef int32_t ql_vector_int __attribute__((vector_size(4 * QL_LANES)));
typedef float ql_vector_unaligned __attribute__((vector_size(4 * QL_LANES), aligned(4), may_alias));

#define QL_ALWAYS static inline __attribute__((always_inline))

#ifdef __clang__
#define QL_UNROLL _Pragma("clang loop unroll(full)")
#else
#define QL_UNROLL _Pragma("GCC unroll 16")
#endif

/* Keeps the compiler from knowing how x came about (for a pointer: from deriving it from another one each time). */
#define QL_OPAQUE_POINTER(x) __asm__("" : "+r"(x))

#if defined(__aarch64__)
#define QL_OPAQUE(x) __asm__("" : "+w"(x))
#elif defined(__AVX512F__)
#define QL_OPAQUE(x) __asm__("" : "+v"(x))
#elif defined(QL_SIMD_WIDE)
#define QL_OPAQUE(x) __asm__("" : "+m"(x)) /* no register is that wide */
#else
#define QL_OPAQUE(x) __asm__("" : "+x"(x))
#endif

QL_ALWAYS ql_vector ql_load(const float *p) { return (ql_vector) * (const ql_vector_unaligned *)p; }
QL_ALWAYS void ql_store(float *p, ql_vector x) { *(ql_vector_unaligned *)p = (ql_vector_unaligned)x; }
QL_ALWAYS ql_vector ql_splat(float x) { return x - (ql_vector){0}; }
QL_ALWAYS void ql_add_to(float *p, ql_vector x) { ql_store(p, ql_load(p) + x); }

QL_ALWAYS ql_vector ql_select(ql_vector_int mask, ql_vector yes, ql_vector no)
{
    return (ql_vector)(((ql_vector_int)yes & mask) | ((ql_vector_int)no & ~mask));
}

QL_ALWAYS ql_vector ql_positive(ql_vector x) /* max(x, 0); NaN stays visible as NaN */
{
    return ql_select(x <= 0.0f, (ql_vector){0}, x);
}

#ifdef QL_BF16
/* Two bf16 numbers share a float's place: the pair's first one is the lower half. Where the processor has no instructions for
 * them (tests) the same numbers come from shifts and multiply-adds: nearest even, the pair's second one first, denormals
 * are zeros (none are among the factors: ql_to_bf16 made them). */
typedef uint32_t ql_vector_bits __attribute__((vector_size(4 * QL_LANES)));

QL_ALWAYS ql_vector ql_splat_pair(const float *p)
{
    uint32_t bits;
    memcpy(&bits, p, sizeof bits);
    return (ql_vector)((ql_vector_bits){0} + bits);
}

#ifdef __AVX512BF16__
QL_ALWAYS ql_vector_bits ql_to_bf16(ql_vector x)
{
    return (ql_vector_bits)_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)x));
}

QL_ALWAYS ql_vector ql_add_pairs(ql_vector sum, ql_vector a, ql_vector b)
{
    return (ql_vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
}
#else
QL_ALWAYS ql_vector ql_flush(ql_vector x)
{
    ql_vector_bits bits = (ql_vector_bits)x, normal = (ql_vector_bits)((bits & 0x7f800000u) != 0u);
    return (ql_vector)(bits & (normal | 0x80000000u));
}

QL_ALWAYS ql_vector_bits ql_to_bf16(ql_vector x)
{
    ql_vector_bits bits = (ql_vector_bits)ql_flush(x), nan = (ql_vector_bits)(x != x);
    ql_vector_bits rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    return (rounded & ~nan) | ((bits >> 16 | 0x40u) & nan);
}

QL_ALWAYS ql_vector ql_add_pairs(ql_vector sum, ql_vector a, ql_vector b)
{
    ql_vector_bits x = (ql_vector_bits)a, y = (ql_vector_bits)b;
    sum = ql_flush(sum + (ql_vector)(x & 0xffff0000u) * (ql_vector)(y & 0xffff0000u));
    return ql_flush(sum + (ql_vector)(x << 16) * (ql_vector)(y << 16));
}
#endif

QL_ALWAYS ql_vector ql_pair(ql_vector first, ql_vector second)
{
    return (ql_vector)(ql_to_bf16(first) | ql_to_bf16(second) << 16);
}

typedef uint16_t ql_vector_short __attribute__((vector_size(2 * QL_LANES), aligned(2), may_alias));

/* The same numbers next to each other: pairs along a row. p has room for QL_LANES / 2 floats. */
QL_ALWAYS void ql_store_bf16(float *p, ql_vector x)
{
    *(ql_vector_short *)p = __builtin_convertvector(ql_to_bf16(x), ql_vector_short);
}
#endif

/* Sum of the lanes, halves first. */
QL_ALWAYS float ql_sum_lanes(ql_vector x)
{
    float lane[QL_LANES];
    memcpy(lane, &x, sizeof lane);
    QL_UNROLL
    for (int half = QL_LANES / 2; half > 0; half /= 2)
        for (int k = 0; k < half; ++k) lane[k] += lane[k + half];
    return lane[0];
}

/* sin and cos of r + quarter pi/2, |r| <= pi/4; the polynomials are minimax there. */
QL_ALWAYS void ql_sine_quarter(ql_vector r, ql_vector_int quarter, ql_vector *sine, ql_vector *cosine)
{
    ql_vector r2 = r * r;
    ql_vector s = ((-1.9515659e-4f * r2 + 8.3321668e-3f) * r2 - 0.16666655f) * (r2 * r) + r;
    ql_vector c = ((2.4436613e-5f * r2 - 1.3887353e-3f) * r2 + 4.1666646e-2f) * (r2 * r2) + (1.0f - 0.5f * r2);
    ql_vector_int odd = -(quarter & 1);
    ql_vector_int sine_sign = (quarter & 2) << 30, cosine_sign = ((quarter + 1) & 2) << 30;
    *sine = (ql_vector)((ql_vector_int)ql_select(odd, c, s) ^ sine_sign);
    *cosine = (ql_vector)((ql_vector_int)ql_select(odd, s, c) ^ cosine_sign);
}

#define QL_ROUND_MAGIC 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer, found in the lowest bits */

/* sin and cos of 30 z. The phase is kept in two floats and reduced by multiples of pi/2 in three parts, two of 8 bits (Cody
 * and Waite, 1980), so that |30 z| up to 5e4 keeps an absolute error near one unit in the last place of 1. */
QL_ALWAYS void ql_sine30(ql_vector z, ql_vector *sine, ql_vector *cosine)
{
    const ql_vector magic = ql_splat(QL_ROUND_MAGIC);
    ql_vector phase = z * 30.0f;
#if defined(__FMA__) || defined(__aarch64__)
    QL_OPAQUE(z);
    ql_vector low = z * 30.0f - phase; /* contracted to one operation: the rounding error of the product */
#else
    ql_vector low = {0};
#endif
    ql_vector shifted = phase * 0.63661977f + magic;
    ql_vector turns = shifted - magic;
    ql_vector r = (phase - turns * 1.5703125f) - turns * 4.825592041015625e-4f;
    low = low - turns * 1.26759079510652e-6f;
    r = r + low;
    ql_sine_quarter(r, (ql_vector_int)shifted, sine, cosine);
}

/* sin and cos of 30 (w . p + b) for the first layer, where far points make phases of 1e4 rad: in double up to the reduced
 * angle, half a vector at a time. w[3] and b are at consecutive units. */
enum { QL_HALF = QL_LANES / 2 };
typedef float ql_half __attribute__((vector_size(4 * QL_HALF)));
typedef float ql_half_unaligned __attribute__((vector_size(4 * QL_HALF), aligned(4), may_alias));
typedef double ql_half_double __attribute__((vector_size(8 * QL_HALF)));

QL_ALWAYS ql_half_double ql_load_double(const float *p)
{
    return __builtin_convertvector((ql_half) * (const ql_half_unaligned *)p, ql_half_double);
}

QL_ALWAYS void ql_sine30_first(float *const w[3], const float *b, int k, const double p[3], ql_vector *sine,
                               ql_vector *cosine)
{
    float angle[QL_LANES] __attribute__((aligned(64))), turn[QL_LANES] __attribute__((aligned(64)));
    for (int half = 0; half < QL_LANES; half += QL_HALF) {
        const int at = k + half;
        ql_half_double z = ql_load_double(w[0] + at) * p[0] + ql_load_double(w[1] + at) * p[1] +
                           ql_load_double(w[2] + at) * p[2] + ql_load_double(b + at);
        ql_half_double phase = z * 30.0;
        ql_half_double turns = (phase * 0.63661977236758134308 + 0x1.8p52) - 0x1.8p52;
        ql_half_double r = phase - turns * 1.57079632679489661923;
        *(ql_half_unaligned *)(angle + half) = (ql_half_unaligned) __builtin_convertvector(r, ql_half);
        *(ql_half_unaligned *)(turn + half) = (ql_half_unaligned) __builtin_convertvector(turns, ql_half);
    }
    ql_vector shifted = ql_load(turn) + ql_splat(QL_ROUND_MAGIC);
    ql_sine_quarter(ql_load(angle), (ql_vector_int)shifted, sine, cosine);
}

#endif

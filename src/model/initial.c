/* Initial parameters (see initial.h). Normal deviates by Box-Muller (1958); the truncation at +-2 is 100 standard
 * deviations away and so never acts.
 *
 * Four million of them at the beginning of every mesh: computed in blocks, by loops that the compiler turns into vector
 * instructions, with a logarithm and a cosine of our own. There are only additions, multiplications, divisions and roots in them, and
 * none is contracted to a fused one, so the bytes are the same on every processor.
 *     log x = e log 2 + 2 artanh((m - 1) / (m + 1)),  x = 2^e m,  sqrt(1/2) <= m < sqrt 2
 *     cos 2 pi u = +-cos y or +-sin y,                y = 2 pi (u - nearest quarter)
 * with their Taylor series, cut where what is left out is below 2^-53 of the sum. */
#include "model/initial.h"

#include "model/layout.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 256 };

#define QL_TOGETHER static inline __attribute__((always_inline))

static const double TWO_PI = 6.283185307179586476925286766559, LOG_2_HIGH = 0x1.62e42fefa0000p-1,
                    LOG_2_LOW = 0x1.cf79abc9e3b39p-40;

/* First and second word of the parameters from `first` on. */
QL_TOGETHER void draw(ql_key key, uint32_t first, uint32_t word[2][BLOCK])
{
    for (uint32_t i = 0; i < BLOCK; ++i) {
        ql_random4 random = ql_random_at(key, QL_STREAM_INIT, 0, first + i);
        word[0][i] = random.r[0];
        word[1][i] = random.r[1];
    }
}

QL_TOGETHER uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

QL_TOGETHER double from_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* For 0 < x < 1. */
QL_TOGETHER double logarithm(double x)
{
    const uint64_t half_root = 0x3fe6a09e667f3bcdULL, one = 0x3ff0000000000000ULL, two52 = 0x4330000000000000ULL;
    const uint64_t shifted = bits_of(x) + (one - half_root);
    const double m = from_bits((shifted & 0x000fffffffffffffULL) + half_root);
    const double e = from_bits((shifted >> 52) | two52) - (0x1p52 + 1023);
    const double s = (m - 1) / (m + 1), z = s * s;
    double sum = 1.0 / 21; /* of z^k / (2 k + 3) */
    sum = sum * z + 1.0 / 19;
    sum = sum * z + 1.0 / 17;
    sum = sum * z + 1.0 / 15;
    sum = sum * z + 1.0 / 13;
    sum = sum * z + 1.0 / 11;
    sum = sum * z + 1.0 / 9;
    sum = sum * z + 1.0 / 7;
    sum = sum * z + 1.0 / 5;
    sum = sum * z + 1.0 / 3;
    return e * LOG_2_HIGH + (2 * s + (2 * s * z * sum + e * LOG_2_LOW));
}

/* cos(2 pi u), u = (word + 1/2) / 2^32. */
QL_TOGETHER double cosine(uint32_t word)
{
    const uint32_t quarter = (word + 0x20000000u) >> 30;
    const double y = ((double)(int32_t)(word - (quarter << 30)) + 0.5) * (TWO_PI / 4294967296.0), z = -(y * y);
    double even = 1.0 / 20922789888000, odd = 1.0 / 355687428096000; /* of z^k / (2 k)! and z^k / (2 k + 1)! */
    even = even * z + 1.0 / 87178291200, odd = odd * z + 1.0 / 1307674368000;
    even = even * z + 1.0 / 479001600, odd = odd * z + 1.0 / 6227020800;
    even = even * z + 1.0 / 3628800, odd = odd * z + 1.0 / 39916800;
    even = even * z + 1.0 / 40320, odd = odd * z + 1.0 / 362880;
    even = even * z + 1.0 / 720, odd = odd * z + 1.0 / 5040;
    even = even * z + 1.0 / 24, odd = odd * z + 1.0 / 120;
    even = even * z + 1.0 / 2, odd = odd * z + 1.0 / 6;
    even = even * z + 1, odd = odd * z + 1;
    const double size = quarter & 1 ? odd * y : even;
    return (quarter + 1) & 2 ? -size : size;
}

/* Normal deviates of a block. */
QL_TOGETHER void normal_block(ql_key key, uint32_t first, double deviation, float *out)
{
    uint32_t word[2][BLOCK];
    draw(key, first, word);
    for (int i = 0; i < BLOCK; ++i) {
        const double radius = sqrt(-2.0 * logarithm(ql_uniform_open(word[0][i])));
        out[i] = (float)(deviation * radius * cosine(word[1][i]));
    }
}

QL_TOGETHER void uniform_block(ql_key key, uint32_t first, double bound, float *out)
{
    uint32_t word[2][BLOCK];
    draw(key, first, word);
    for (int i = 0; i < BLOCK; ++i) out[i] = (float)(bound * (2.0 * ql_uniform_open(word[0][i]) - 1.0));
}

typedef struct law {
    bool normal;
    double width; /* deviation, or bound */
} law;

QL_TOGETHER void fill(ql_key key, uint32_t first, uint32_t count, law by, float *out)
{
    float block[BLOCK];
    for (uint32_t at = 0; at < count; at += BLOCK) {
        if (by.normal)
            normal_block(key, first + at, by.width, block);
        else
            uniform_block(key, first + at, by.width, block);
        memcpy(out + at, block, (count - at < BLOCK ? count - at : BLOCK) * sizeof *out);
    }
}

static void fill_baseline(ql_key key, uint32_t first, uint32_t count, law by, float *out)
{
    fill(key, first, count, by, out);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void fill_avx2(ql_key key, uint32_t first, uint32_t count, law by, float *out)
{
    fill(key, first, count, by, out);
}

static bool has_avx2(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") != 0;
}
#else
#define fill_avx2 fill_baseline
static bool has_avx2(void) { return false; }
#endif

static void fill_entry(const ql_entry *entry, ql_key key, bool wide, float *parameters)
{
    const uint32_t first = (uint32_t)entry->offset, count = (uint32_t)(entry->rows * entry->columns);
    float *out = parameters + first;
    law by = {false, 0};
    float same = 0;
    switch (entry->kind) {
    case QL_ENTRY_SDF_FIRST: by.width = 1.0 / 3.0; break;
    case QL_ENTRY_SDF_WEIGHT: by.width = sqrt(6.0 / QL_SDF_WIDTH) / QL_SDF_OMEGA; break;
    case QL_ENTRY_SDF_BIAS: by.width = 1.0 / sqrt((double)entry->fan_in); break;
    case QL_ENTRY_WEIGHT: by = (law){true, 0.02}; break;
    case QL_ENTRY_ONE: same = 1.0f; break;
    case QL_ENTRY_GAMMA: same = 1e-6f; break;
    case QL_ENTRY_ZERO: break;
    }
    if (by.width > 0)
        (wide ? fill_avx2 : fill_baseline)(key, first, count, by, out);
    else
        for (uint32_t k = 0; k < count; ++k) out[k] = same;
}

void ql_initial_parameters_by(ql_key key, bool wide, float *parameters)
{
    const ql_layout *layout = ql_layout_get();
    for (int e = 0; e < QL_ENTRY_COUNT; ++e) fill_entry(&layout->entry[e], key, wide && has_avx2(), parameters);
}

void ql_initial_parameters(ql_key key, float *parameters) { ql_initial_parameters_by(key, true, parameters); }

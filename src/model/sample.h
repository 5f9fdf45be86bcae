/* Everything random in a step, as a pure function of (key, step, index) (method, sections 2, 3 and 5). Inline: the CPU
 * engines and the CUDA kernels draw the same points and the same blocks. */
#ifndef QL_MODEL_SAMPLE_H
#define QL_MODEL_SAMPLE_H

#include "base/random.h"

#include <math.h>

/* Sampling region: uniform in [-256, 256]^3 (far) or [-1.1, 1.1]^3 and near the surface. */
#define QL_FAR_RANGE 256.0f
#define QL_NEAR_RANGE 1.1f

/* Uniform off-surface point in [-range, range]^3. */
QL_INLINE void ql_sample_uniform(ql_key key, uint32_t step, uint64_t index, float range, float point[3])
{
    ql_random4 random = ql_random_at(key, QL_STREAM_OFF_POINT, step, index);
    for (int c = 0; c < 3; ++c) point[c] = range * (2.0f * ql_uniform(random.r[c]) - 1.0f);
}

/* p_i + sigma_i N(0, 1) for a face i drawn uniformly; returns i, and the offset in units of sigma. Box-Muller (1958). */
QL_INLINE int32_t ql_sample_near(ql_key key, uint32_t step, uint64_t index, int32_t face_count, float offset[3])
{
    ql_random4 a = ql_random_at(key, QL_STREAM_OFF_POINT, step, index);
    ql_random4 b = ql_random_at(key, QL_STREAM_OFF_NORMAL, step, index);
    double radius0 = sqrt(-2.0 * log(ql_uniform_open(b.r[0]))), angle0 = 6.283185307179586 * ql_uniform_open(b.r[1]);
    double radius1 = sqrt(-2.0 * log(ql_uniform_open(b.r[2]))), angle1 = 6.283185307179586 * ql_uniform_open(b.r[3]);
    offset[0] = (float)(radius0 * cos(angle0));
    offset[1] = (float)(radius0 * sin(angle0));
    offset[2] = (float)(radius1 * cos(angle1));
    return (int32_t)(((uint64_t)a.r[3] * (uint64_t)face_count) >> 32);
}

/* Off-surface points [0, near) are drawn near the surface, the others uniformly. */
QL_INLINE int64_t ql_sample_near_count(int64_t off_points, int near_sampling, double near_fraction)
{
    return near_sampling ? (int64_t)(near_fraction * (double)off_points + 0.5) : 0;
}

/* Factor on the branch of a residual block at a step: 0 = dropped (with probability `rate`), else 1 / (1 - rate). */
QL_INLINE double ql_sample_drop(ql_key key, uint32_t step, uint32_t block, double rate)
{
    ql_random4 random = ql_random_at(key, QL_STREAM_DROP, step, block);
    return ql_uniform_open(random.r[0]) < rate ? 0.0 : 1.0 / (1.0 - rate);
}

#endif

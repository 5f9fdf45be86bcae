/* Formulas at one point, face or parameter, written once for every engine (method, sections 3, 4 and 7).
 *
 * Define QL_REAL (float or double) before including; the CUDA kernels include it as well, so a machine without a GPU
 * tests the very arithmetic that the GPU runs. Symmetric 3x3 matrices are stored as xx, xy, xz, yy, yz, zz.
 * "Adjoint" of x means d(weighted total loss)/dx.
 */
#ifndef QL_MODEL_POINT_H
#define QL_MODEL_POINT_H

#include "base/random.h" /* QL_INLINE */

#include <math.h>

#ifndef QL_REAL
#error "define QL_REAL as float or double before including model/point.h"
#endif

typedef QL_REAL ql_real;

QL_INLINE ql_real ql_abs(ql_real x) { return x < 0 ? -x : x; }
QL_INLINE ql_real ql_sign(ql_real x) { return (ql_real)((x > 0) - (x < 0)); }
QL_INLINE ql_real ql_root(ql_real x)
{
    return sizeof(ql_real) == sizeof(float) ? (ql_real)sqrtf((float)x) : (ql_real)sqrt((double)x);
}

QL_INLINE ql_real ql_dot3(const ql_real a[3], const ql_real b[3]) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

QL_INLINE void ql_cross3(const ql_real a[3], const ql_real b[3], ql_real out[3])
{
    out[0] = a[1] * b[2] - a[2] * b[1];
    out[1] = a[2] * b[0] - a[0] * b[2];
    out[2] = a[0] * b[1] - a[1] * b[0];
}

/* y = S x for a symmetric S. */
QL_INLINE void ql_symmetric_times(const ql_real s[6], const ql_real x[3], ql_real y[3])
{
    y[0] = s[0] * x[0] + s[1] * x[1] + s[2] * x[2];
    y[1] = s[1] * x[0] + s[3] * x[1] + s[4] * x[2];
    y[2] = s[2] * x[0] + s[4] * x[1] + s[5] * x[2];
}

/* Adds the symmetric part of a b^T, as the adjoint of S (an off-diagonal entry stands for both of S's). The result is
 * the full symmetric matrix (A + A^T)/2, entry by entry, not doubled off the diagonal. */
QL_INLINE void ql_symmetric_add_outer(ql_real s[6], const ql_real a[3], const ql_real b[3])
{
    const ql_real half = (ql_real)0.5;
    s[0] += a[0] * b[0];
    s[1] += half * (a[0] * b[1] + a[1] * b[0]);
    s[2] += half * (a[0] * b[2] + a[2] * b[0]);
    s[3] += a[1] * b[1];
    s[4] += half * (a[1] * b[2] + a[2] * b[1]);
    s[5] += a[2] * b[2];
}

/* Raw terms of one point, before averaging and weighting. */
typedef struct ql_point_terms {
    ql_real sdf, off, eikonal, normal, align;
} ql_point_terms;

/* d total / d raw term at this point: weight times share in the mean. */
typedef struct ql_point_scale {
    ql_real sdf, off, eikonal, normal, align;
} ql_point_scale;

/* Adjoints of the network's outputs at one point. `hessian` is symmetric, entry by entry (see above). */
typedef struct ql_point_adjoint {
    ql_real value, gradient[3], hessian[6], theta;
} ql_point_adjoint;

/* abs(|g| - 1): returns the term, adds scale times its derivative to adjoint[3]. */
QL_INLINE ql_real ql_point_eikonal(const ql_real g[3], ql_real scale, ql_real adjoint[3])
{
    ql_real length = ql_root(ql_dot3(g, g)), excess = length - 1;
    if (length > 0) {
        ql_real factor = scale * ql_sign(excess) / length;
        for (int c = 0; c < 3; ++c) adjoint[c] += factor * g[c];
    }
    return ql_abs(excess);
}

/* 1/2 mean_c abs(n^T H). */
QL_INLINE ql_real ql_point_normal(const ql_real h[6], const ql_real n[3], ql_real scale, ql_real h_adjoint[6])
{
    const ql_real sixth = (ql_real)(1.0 / 6.0);
    ql_real x[3], x_adjoint[3];
    ql_symmetric_times(h, n, x);
    for (int c = 0; c < 3; ++c) x_adjoint[c] = scale * sixth * ql_sign(x[c]);
    ql_symmetric_add_outer(h_adjoint, x_adjoint, n);
    return sixth * (ql_abs(x[0]) + ql_abs(x[1]) + ql_abs(x[2]));
}

/* 1/2 mean_c abs((d^T H) x d) for one direction d of the cross; adds to the adjoints of H and d. */
QL_INLINE ql_real ql_point_align_direction(const ql_real h[6], const ql_real d[3], ql_real scale, ql_real h_adjoint[6],
                                           ql_real d_adjoint[3])
{
    const ql_real sixth = (ql_real)(1.0 / 6.0);
    ql_real x[3], c[3], c_adjoint[3], x_adjoint[3], part[3];
    ql_symmetric_times(h, d, x);
    ql_cross3(x, d, c);
    for (int k = 0; k < 3; ++k) c_adjoint[k] = scale * sixth * ql_sign(c[k]);
    ql_cross3(d, c_adjoint, x_adjoint); /* c = x x d: adjoint of x is d x c', of d is c' x x */
    ql_cross3(c_adjoint, x, part);
    for (int k = 0; k < 3; ++k) d_adjoint[k] += part[k];
    ql_symmetric_times(h, x_adjoint, part); /* x = H d */
    for (int k = 0; k < 3; ++k) d_adjoint[k] += part[k];
    ql_symmetric_add_outer(h_adjoint, x_adjoint, d);
    return sixth * (ql_abs(c[0]) + ql_abs(c[1]) + ql_abs(c[2]));
}

/* alpha = u cos t + v sin t, beta = -u sin t + v cos t, each divided by (length + 1e-12): stored frames are unit only up to
 * the rounding of float32, and the reference normalises the cross once more. Zero frames give a zero cross. */
QL_INLINE void ql_point_cross(const ql_real u[3], const ql_real v[3], ql_real cosine, ql_real sine, ql_real alpha[3],
                              ql_real beta[3])
{
    for (int c = 0; c < 3; ++c) {
        alpha[c] = u[c] * cosine + v[c] * sine;
        beta[c] = v[c] * cosine - u[c] * sine;
    }
    ql_real alpha_scale = 1 / (ql_root(ql_dot3(alpha, alpha)) + (ql_real)1e-12);
    ql_real beta_scale = 1 / (ql_root(ql_dot3(beta, beta)) + (ql_real)1e-12);
    for (int c = 0; c < 3; ++c) {
        alpha[c] *= alpha_scale;
        beta[c] *= beta_scale;
    }
}

/* All terms of a surface point except smoothness: value f, gradient g, Hessian h of the distance field, frame (n, u, v),
 * cosine and sine of the cross angle. Sets every field of `adjoint`. */
QL_INLINE ql_point_terms ql_point_surface(ql_real f, const ql_real g[3], const ql_real h[6], const ql_real n[3],
                                          const ql_real u[3], const ql_real v[3], ql_real cosine, ql_real sine,
                                          const ql_point_scale *scale, ql_point_adjoint *adjoint)
{
    ql_point_terms terms = {0, 0, 0, 0, 0};
    ql_real alpha[3], beta[3], alpha_adjoint[3] = {0, 0, 0}, beta_adjoint[3] = {0, 0, 0};
    for (int k = 0; k < 6; ++k) adjoint->hessian[k] = 0;
    for (int c = 0; c < 3; ++c) adjoint->gradient[c] = 0;
    terms.sdf = ql_abs(f);
    adjoint->value = scale->sdf * ql_sign(f);
    terms.eikonal = ql_point_eikonal(g, scale->eikonal, adjoint->gradient);
    terms.normal = ql_point_normal(h, n, scale->normal, adjoint->hessian);
    ql_point_cross(u, v, cosine, sine, alpha, beta);
    terms.align = ql_point_align_direction(h, alpha, scale->align, adjoint->hessian, alpha_adjoint) +
                  ql_point_align_direction(h, beta, scale->align, adjoint->hessian, beta_adjoint);
    /* d alpha / d theta = beta, d beta / d theta = -alpha (the frame being orthonormal) */
    adjoint->theta = ql_dot3(alpha_adjoint, beta) - ql_dot3(beta_adjoint, alpha);
    return terms;
}

/* exp(-100 |f|) and the eikonal term of an off-surface point. Sets value and gradient of `adjoint`. The exponential is
 * the caller's (`e` = exp(-100 |f|)), so that engines may vectorise it. */
QL_INLINE ql_point_terms ql_point_off(ql_real f, ql_real e, const ql_real g[3], const ql_point_scale *scale,
                                      ql_point_adjoint *adjoint)
{
    ql_point_terms terms = {0, 0, 0, 0, 0};
    for (int c = 0; c < 3; ++c) adjoint->gradient[c] = 0;
    terms.off = e;
    adjoint->value = -100 * scale->off * e * ql_sign(f);
    terms.eikonal = ql_point_eikonal(g, scale->eikonal, adjoint->gradient);
    return terms;
}

/* Smoothness of a pair: 2(|cos d| + |sin d|) - 2, d = theta_j + rho_ij - theta_i, and its derivative by d.
 * For the reverse pair d changes its sign, so the derivative does too: a face gathers all that depends on its angle as
 * -(share_i + share_j) * slope over its own neighbours. A NaN in rho means that one of the two faces has no plane
 * (degenerate): all products vanish, the term is the constant -2. As sin^2 + cos^2 = 1, the larger one less 1 is
 * -less^2 / (1 + larger): without it the sum loses its digits in float32 where a field is smooth. */
QL_INLINE ql_real ql_point_smooth(ql_real cosine, ql_real sine, ql_real *slope)
{
    ql_real c = ql_abs(cosine), s = ql_abs(sine), less = c < s ? c : s, more = c < s ? s : c;
    *slope = 2 * (ql_sign(sine) * cosine - ql_sign(cosine) * sine);
    return 2 * less * (1 - less / (1 + more));
}

/* Derivatives of sin(omega z) at z, from s = sin(omega z), c = cos(omega z): first, second, third. */
QL_INLINE ql_real ql_sine_first(ql_real c) { return 30 * c; }
QL_INLINE ql_real ql_sine_second(ql_real s) { return -900 * s; }
QL_INLINE ql_real ql_sine_third(ql_real c) { return -27000 * c; }

/* Exact GELU x Phi(x) and its slope Phi(x) + x phi(x). */
QL_INLINE ql_real ql_gelu(ql_real x, ql_real *slope)
{
    double cumulative = 0.5 * (1.0 + erf((double)x * 0.70710678118654752440));
    double density = 0.39894228040143267794 * exp(-0.5 * (double)x * (double)x);
    *slope = (ql_real)(cumulative + (double)x * density);
    return (ql_real)((double)x * cumulative);
}

#define QL_NORM_EPSILON ((ql_real)1e-6)

/* Adam with bias correction; epsilon is added after the root. t = 1 for the first step. */
typedef struct ql_adam {
    ql_real clip;       /* factor on the gradient: min(1, clip_norm / (norm + 1e-6)) */
    ql_real step_size;  /* learning_rate / (1 - 0.9^t) */
    ql_real root_scale; /* 1 / sqrt(1 - 0.999^t) */
} ql_adam;

QL_INLINE ql_real ql_adam_clip(double norm, double clip_norm)
{
    const double clip = clip_norm / (norm + 1e-6);
    return (ql_real)(clip < 1.0 ? clip : 1.0);
}

QL_INLINE ql_adam ql_adam_at(double t, double norm, double clip_norm, double learning_rate)
{
    ql_adam adam;
    adam.clip = ql_adam_clip(norm, clip_norm);
    adam.step_size = (ql_real)(learning_rate / (1.0 - pow(0.9, t)));
    adam.root_scale = (ql_real)(1.0 / sqrt(1.0 - pow(0.999, t)));
    return adam;
}

QL_INLINE void ql_adam_update(const ql_adam *adam, ql_real gradient, ql_real *parameter, ql_real *m, ql_real *v)
{
    ql_real g = gradient * adam->clip;
    *m = (ql_real)0.9 * *m + (ql_real)0.1 * g;
    *v = (ql_real)0.999 * *v + (ql_real)0.001 * g * g;
    *parameter -= adam->step_size * *m / (ql_root(*v) * adam->root_scale + (ql_real)1e-8);
}

#endif

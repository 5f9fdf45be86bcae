/* Three-vectors, inline: the few operations that surface geometry needs. */
#ifndef QL_FIELD_CROSS_VECTOR_H
#define QL_FIELD_CROSS_VECTOR_H

#include <math.h>

static inline void ql_sub(const double a[3], const double b[3], double out[3])
{
    out[0] = a[0] - b[0];
    out[1] = a[1] - b[1];
    out[2] = a[2] - b[2];
}
static inline double ql_dot(const double a[3], const double b[3]) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
static inline void ql_cross(const double a[3], const double b[3], double out[3])
{
    double x = a[1] * b[2] - a[2] * b[1], y = a[2] * b[0] - a[0] * b[2], z = a[0] * b[1] - a[1] * b[0];
    out[0] = x;
    out[1] = y;
    out[2] = z;
}
static inline double ql_norm(const double a[3]) { return sqrt(ql_dot(a, a)); }
static inline void ql_axpy(double s, const double x[3], double y[3])
{
    y[0] += s * x[0];
    y[1] += s * x[1];
    y[2] += s * x[2];
}
static inline void ql_lerp(const double a[3], const double b[3], double t, double out[3])
{
    for (int c = 0; c < 3; ++c) out[c] = a[c] + t * (b[c] - a[c]);
}
static inline double ql_distance2(const double a[3], const double b[3])
{
    double d[3];
    ql_sub(a, b, d);
    return ql_dot(d, d);
}
/* Scales to unit length; returns the old length (0 leaves it alone). */
static inline double ql_normalise(double a[3])
{
    double length = ql_norm(a);
    if (length > 0)
        for (int c = 0; c < 3; ++c) a[c] /= length;
    return length;
}
/* Unit normal of a triangle; returns twice its area (normal zero when degenerate). */
static inline double ql_triangle_normal(const double a[3], const double b[3], const double c[3], double n[3])
{
    double e[3], f[3];
    ql_sub(b, a, e);
    ql_sub(c, a, f);
    ql_cross(e, f, n);
    return ql_normalise(n);
}

#endif

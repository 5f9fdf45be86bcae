/* Polygons to triangles.
 *
 * A quad takes the diagonal whose worse triangle is better. A larger polygon is projected on the plane of its
 * vector area (Newell) and cut by ear clipping, best ear first; where no ear is left (self-intersecting
 * outlines) the best convex corner is cut, and at last any. Quality of a triangle is the sine of its smallest
 * angle, negative when it faces away from the polygon.
 */
#include "base/memory.h"
#include "mesh/reader.h"

#include <math.h>
#include <string.h>

/* Beyond this the quadratic time of clipping counts; such outlines are cut as a fan. */
enum { CLIP_MAX = 10000 };

void ql_triangulator_destroy(ql_triangulator *work)
{
    ql_free(work->points);
    ql_free(work->corners);
    ql_free(work->next);
    ql_free(work->previous);
    ql_free(work->quality);
    *work = (ql_triangulator){0};
}

static ql_status triangulator_reserve(ql_triangulator *work, int32_t n)
{
    if (n <= work->room) return QL_OK;
    ql_triangulator_destroy(work);
    size_t room = 2 * (size_t)n;
    ql_status status = QL_TAKE(work->points, 2 * room);
    if (status == QL_OK) status = QL_TAKE(work->corners, room);
    if (status == QL_OK) status = QL_TAKE(work->next, room);
    if (status == QL_OK) status = QL_TAKE(work->previous, room);
    if (status == QL_OK) status = QL_TAKE(work->quality, room);
    if (status == QL_OK) work->room = (int64_t)room;
    return status;
}

/* Corners without those equal to the one before (cyclic); returns how many. */
static int32_t drop_repeats(int32_t *out, const int32_t *polygon, int32_t n)
{
    int32_t count = 0;
    for (int32_t i = 0; i < n; ++i)
        if (count == 0 || polygon[i] != out[count - 1]) out[count++] = polygon[i];
    while (count > 1 && out[count - 1] == out[0]) --count;
    return count;
}

static void emit(int32_t *triangles, int32_t *count, int32_t a, int32_t b, int32_t c)
{
    int32_t *t = triangles + 3 * (size_t)*count;
    t[0] = a;
    t[1] = b;
    t[2] = c;
    ++*count;
}

/* Vector area of a closed outline (Newell), taken about its first corner against cancellation. */
static void vector_area(const double *vertices, const int32_t *corners, int32_t n, double area[3])
{
    const double *o = vertices + 3 * (size_t)corners[0];
    area[0] = area[1] = area[2] = 0.0;
    for (int32_t i = 1; i + 1 < n; ++i) {
        const double *a = vertices + 3 * (size_t)corners[i], *b = vertices + 3 * (size_t)corners[i + 1];
        double p[3] = {a[0] - o[0], a[1] - o[1], a[2] - o[2]}, q[3] = {b[0] - o[0], b[1] - o[1], b[2] - o[2]};
        area[0] += 0.5 * (p[1] * q[2] - p[2] * q[1]);
        area[1] += 0.5 * (p[2] * q[0] - p[0] * q[2]);
        area[2] += 0.5 * (p[0] * q[1] - p[1] * q[0]);
    }
}

/* Twice the signed area over the product of the two longest sides: the sine of the smallest angle. */
static double shape(double signed_double_area, double la2, double lb2, double lc2)
{
    double shortest = fmin(la2, fmin(lb2, lc2));
    double product = la2 == shortest ? lb2 * lc2 : lb2 == shortest ? la2 * lc2 : la2 * lb2;
    return product > 0.0 ? signed_double_area / sqrt(product) : 0.0;
}

static double distance2(const double *a, const double *b)
{
    double x = a[0] - b[0], y = a[1] - b[1], z = a[2] - b[2];
    return x * x + y * y + z * z;
}

static double triangle_quality(const double *vertices, int32_t i, int32_t j, int32_t k, const double area[3])
{
    const double *a = vertices + 3 * (size_t)i, *b = vertices + 3 * (size_t)j, *c = vertices + 3 * (size_t)k;
    int32_t corners[3] = {i, j, k};
    double own[3];
    vector_area(vertices, corners, 3, own);
    double length = 2.0 * sqrt(own[0] * own[0] + own[1] * own[1] + own[2] * own[2]);
    bool away = own[0] * area[0] + own[1] * area[1] + own[2] * area[2] < 0.0;
    return shape(away ? -length : length, distance2(a, b), distance2(b, c), distance2(c, a));
}

static void cut_quad(const double *vertices, const int32_t q[4], int32_t *triangles, int32_t *count)
{
    double area[3];
    vector_area(vertices, q, 4, area);
    double first =
        fmin(triangle_quality(vertices, q[0], q[1], q[2], area), triangle_quality(vertices, q[0], q[2], q[3], area));
    double second =
        fmin(triangle_quality(vertices, q[0], q[1], q[3], area), triangle_quality(vertices, q[1], q[2], q[3], area));
    if (second > first + 1e-9) { /* ties go to the first diagonal, whatever the rounding */
        emit(triangles, count, q[0], q[1], q[3]);
        emit(triangles, count, q[1], q[2], q[3]);
    } else {
        emit(triangles, count, q[0], q[1], q[2]);
        emit(triangles, count, q[0], q[2], q[3]);
    }
}

/* ---- ear clipping in the plane ---- */

static double cross2(const double *o, const double *a, const double *b)
{
    return (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0]);
}

static double square2(const double *a, const double *b)
{
    return (a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1]);
}

/* Projects the corners on the plane of `area`, with the outline counter-clockwise; false when there is no
 * plane. */
static bool project(ql_triangulator *work, const double *vertices, int32_t n)
{
    double area[3], u[3] = {0}, v[3];
    vector_area(vertices, work->corners, n, area);
    double length = sqrt(area[0] * area[0] + area[1] * area[1] + area[2] * area[2]);
    if (!(length > 0.0)) return false;
    for (int k = 0; k < 3; ++k) area[k] /= length;
    int m = fabs(area[0]) <= fabs(area[1]) ? 0 : 1;
    if (fabs(area[2]) < fabs(area[m])) m = 2;
    int a = (m + 1) % 3, b = (m + 2) % 3;
    double side = hypot(area[a], area[b]);
    u[a] = -area[b] / side;
    u[b] = area[a] / side;
    for (int k = 0; k < 3; ++k) v[k] = area[(k + 1) % 3] * u[(k + 2) % 3] - area[(k + 2) % 3] * u[(k + 1) % 3];
    const double *o = vertices + 3 * (size_t)work->corners[0];
    for (int32_t i = 0; i < n; ++i) {
        const double *p = vertices + 3 * (size_t)work->corners[i];
        double d[3] = {p[0] - o[0], p[1] - o[1], p[2] - o[2]};
        work->points[2 * i] = d[0] * u[0] + d[1] * u[1] + d[2] * u[2];
        work->points[2 * i + 1] = d[0] * v[0] + d[1] * v[1] + d[2] * v[2];
    }
    return true;
}

/* Whether another corner of the remaining outline lies in the triangle at i (the same position as one of its
 * corners does not count: outlines that touch themselves). */
static bool ear_is_blocked(const ql_triangulator *work, int32_t i)
{
    int32_t before = work->previous[i], after = work->next[i];
    const double *a = work->points + 2 * before, *b = work->points + 2 * i, *c = work->points + 2 * after;
    for (int32_t j = work->next[after]; j != before; j = work->next[j]) {
        const double *p = work->points + 2 * j;
        if (cross2(a, b, p) < 0.0 || cross2(b, c, p) < 0.0 || cross2(c, a, p) < 0.0) continue;
        if (square2(p, a) == 0.0 || square2(p, b) == 0.0 || square2(p, c) == 0.0) continue;
        return true;
    }
    return false;
}

/* Sine of the smallest angle of the ear at i; less than -1 where it is convex but blocked, lower still where
 * reflex. */
static double ear_quality(const ql_triangulator *work, int32_t i)
{
    const double *a = work->points + 2 * work->previous[i], *b = work->points + 2 * i,
                 *c = work->points + 2 * work->next[i];
    double q = shape(cross2(a, b, c), square2(a, b), square2(b, c), square2(c, a));
    if (q < 0.0) return q - 4.0;
    return ear_is_blocked(work, i) ? q - 2.5 : q;
}

static void clip_ears(ql_triangulator *work, int32_t n, int32_t *triangles, int32_t *count)
{
    for (int32_t i = 0; i < n; ++i) {
        work->next[i] = i + 1 < n ? i + 1 : 0;
        work->previous[i] = i > 0 ? i - 1 : n - 1;
    }
    for (int32_t i = 0; i < n; ++i) work->quality[i] = ear_quality(work, i);
    int32_t left = n, at = 0;
    while (left > 3) {
        int32_t best = at;
        for (int32_t i = work->next[at]; i != at; i = work->next[i])
            if (work->quality[i] > work->quality[best] || (work->quality[i] == work->quality[best] && i < best))
                best = i;
        int32_t before = work->previous[best], after = work->next[best];
        emit(triangles, count, work->corners[before], work->corners[best], work->corners[after]);
        work->next[before] = after;
        work->previous[after] = before;
        work->quality[before] = ear_quality(work, before);
        work->quality[after] = ear_quality(work, after);
        at = after;
        --left;
    }
    int32_t second = work->next[at], third = work->next[second];
    emit(triangles, count, work->corners[at], work->corners[second], work->corners[third]);
}

ql_status ql_triangulate(ql_triangulator *work, const double *vertices, const int32_t *polygon, int32_t n,
                         int32_t *triangles, int32_t *triangle_count)
{
    *triangle_count = 0;
    QL_TRY(triangulator_reserve(work, n));
    int32_t kept = drop_repeats(work->corners, polygon, n);
    if (kept < 3) { /* nothing but a point or a line: kept as one degenerate face, which preflight reports */
        emit(triangles, triangle_count, polygon[0], polygon[1], polygon[2]);
    } else if (kept == 3) {
        emit(triangles, triangle_count, work->corners[0], work->corners[1], work->corners[2]);
    } else if (kept == 4) {
        cut_quad(vertices, work->corners, triangles, triangle_count);
    } else if (kept <= CLIP_MAX && project(work, vertices, kept)) {
        clip_ears(work, kept, triangles, triangle_count);
    } else {
        for (int32_t i = 1; i + 1 < kept; ++i)
            emit(triangles, triangle_count, work->corners[0], work->corners[i], work->corners[i + 1]);
    }
    return QL_OK;
}

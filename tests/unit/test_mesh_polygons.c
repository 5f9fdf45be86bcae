/* Polygons to triangles: quads, star-shaped and comb-shaped outlines in any plane, repeated corners, degenerate ones. */
#include "support/test.h"

#include "base/random.h"
#include "mesh/reader.h"

#include <math.h>
#include <string.h>

enum { MAX_CORNERS = 600 };

typedef struct outline {
    double vertices[3 * MAX_CORNERS];
    int32_t corners[MAX_CORNERS];
    int32_t n;
} outline;

static double random_at(uint64_t i)
{
    return (double)ql_uniform(ql_random_at(ql_key_make(7, 7), QL_STREAM_TEST, 1, i).r[0]);
}

static void vector_area_of(const double *a, const double *b, const double *c, double out[3])
{
    double u[3], v[3];
    for (int k = 0; k < 3; ++k) {
        u[k] = b[k] - a[k];
        v[k] = c[k] - a[k];
    }
    for (int k = 0; k < 3; ++k) out[k] = 0.5 * (u[(k + 1) % 3] * v[(k + 2) % 3] - u[(k + 2) % 3] * v[(k + 1) % 3]);
}

/* A planar outline must give n - 2 triangles that all face the same way and together have its area: then none overlap.
 * Returns the smallest height over length of a triangle. */
static double check_planar(const outline *o, const double normal[3], double area)
{
    static int32_t triangles[3 * MAX_CORNERS];
    int32_t count = 0;
    ql_triangulator work = {0};
    ASSERT_OK(ql_triangulate(&work, o->vertices, o->corners, o->n, triangles, &count));
    ql_triangulator_destroy(&work);
    assert_int_equal(count, o->n - 2);
    double sum = 0.0, worst = 1.0;
    for (int32_t t = 0; t < count; ++t) {
        const double *p[3];
        double a[3], longest = 0.0;
        for (int k = 0; k < 3; ++k) p[k] = o->vertices + 3 * triangles[3 * t + k];
        for (int k = 0; k < 3; ++k) {
            double square = 0.0;
            for (int j = 0; j < 3; ++j) square += (p[k][j] - p[(k + 1) % 3][j]) * (p[k][j] - p[(k + 1) % 3][j]);
            longest = fmax(longest, square);
        }
        vector_area_of(p[0], p[1], p[2], a);
        double along = a[0] * normal[0] + a[1] * normal[1] + a[2] * normal[2];
        assert_true(along > -1e-12 * area);
        sum += along;
        worst = fmin(worst, 2.0 * along / longest);
    }
    assert_true(fabs(sum - area) < 1e-9 * area);
    return worst;
}

/* Puts plane coordinates into a tilted plane and returns its normal and the area of the outline. */
static double tilt(outline *o, const double (*plane)[2], int32_t n, double normal[3])
{
    const double u[3] = {0.36, 0.48, 0.8}, v[3] = {-0.8, 0.6, 0.0};
    double area = 0.0;
    o->n = n;
    for (int k = 0; k < 3; ++k) normal[k] = u[(k + 1) % 3] * v[(k + 2) % 3] - u[(k + 2) % 3] * v[(k + 1) % 3];
    for (int32_t i = 0; i < n; ++i) {
        const double *p = plane[i], *q = plane[(i + 1) % n];
        area += 0.5 * (p[0] * q[1] - p[1] * q[0]);
        o->corners[i] = i;
        for (int k = 0; k < 3; ++k) o->vertices[3 * i + k] = 5.0 + p[0] * u[k] + p[1] * v[k];
    }
    return area;
}

static void test_star_shaped(void **state)
{
    (void)state;
    static outline o;
    static double plane[MAX_CORNERS][2];
    for (int trial = 0; trial < 200; ++trial) {
        int32_t n = 4 + trial % 60;
        double normal[3];
        for (int32_t i = 0; i < n; ++i) {
            double angle = 6.283185307179586 * (i + 0.8 * random_at((uint64_t)(trial * 1000 + 2 * i))) / n;
            double radius = 0.2 + random_at((uint64_t)(trial * 1000 + 2 * i + 1));
            plane[i][0] = radius * cos(angle);
            plane[i][1] = radius * sin(angle);
        }
        double area = tilt(&o, plane, n, normal);
        (void)check_planar(&o, normal, area);
    }
}

/* A comb: many reflex corners, and a fan from any corner would fail. */
static void test_comb(void **state)
{
    (void)state;
    static outline o;
    static double plane[MAX_CORNERS][2];
    int32_t n = 0, teeth = 100;
    for (int32_t i = 0; i < teeth; ++i) {
        plane[n][0] = 2 * i, plane[n++][1] = -1.0;
        plane[n][0] = 2 * i + 0.5, plane[n++][1] = 3.0;
        plane[n][0] = 2 * i + 1.0, plane[n++][1] = -1.0;
    }
    plane[n][0] = 2 * teeth, plane[n++][1] = -2.0;
    plane[n][0] = -1.0, plane[n++][1] = -2.0;
    for (int32_t i = 0; i < n / 2; ++i) { /* counter-clockwise */
        double x = plane[i][0], y = plane[i][1];
        memcpy(plane[i], plane[n - 1 - i], sizeof plane[i]);
        plane[n - 1 - i][0] = x, plane[n - 1 - i][1] = y;
    }
    double normal[3], area = tilt(&o, plane, n, normal);
    assert_true(area > 0.0);
    (void)check_planar(&o, normal, area);
}

/* Corners on straight sides: no triangle without area is needed. */
static void test_collinear_corners(void **state)
{
    (void)state;
    static outline o;
    static const double TRIANGLE[][2] = {{0, 0}, {1, 0}, {2, 0}, {3, 0}, {1.5, 1.5}, {0, 3}, {0, 2}, {0, 1}};
    double normal[3], area = tilt(&o, TRIANGLE, 8, normal);
    assert_true(check_planar(&o, normal, area) > 0.1);
}

static void test_quads(void **state)
{
    (void)state;
    static outline o;
    double normal[3];
    static const double DART[][2] = {
        {0, 0}, {2, -1}, {0.5, 0}, {2, 1}}; /* reflex at corner 2: only one diagonal is inside */
    for (int turn = 0; turn < 4; ++turn) {
        double plane[4][2];
        for (int i = 0; i < 4; ++i) memcpy(plane[i], DART[(i + turn) % 4], sizeof plane[i]);
        double area = tilt(&o, plane, 4, normal);
        assert_true(check_planar(&o, normal, area) > 0.05);
    }
    static const double FLAT[][2] = {{0, 0}, {1, -0.1}, {2, 0}, {1, 0.1}}; /* the short diagonal is better */
    double area = tilt(&o, FLAT, 4, normal);
    assert_true(check_planar(&o, normal, area) > 0.15);
}

static void assert_triangles(const int32_t *polygon, int32_t n, const int32_t *expected, int32_t expected_count)
{
    static const double VERTICES[] = {0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1, 0};
    int32_t triangles[24], count = 0;
    ql_triangulator work = {0};
    ASSERT_OK(ql_triangulate(&work, VERTICES, polygon, n, triangles, &count));
    ql_triangulator_destroy(&work);
    assert_int_equal(count, expected_count);
    assert_memory_equal(triangles, expected, 3 * sizeof(int32_t) * (size_t)count);
}

static void test_repeated_corners(void **state)
{
    (void)state;
    assert_triangles((int32_t[]){0, 1, 1, 2}, 4, (int32_t[]){0, 1, 2}, 1);
    assert_triangles((int32_t[]){0, 1, 2, 2, 0}, 5, (int32_t[]){0, 1, 2}, 1);
    assert_triangles((int32_t[]){1, 1, 1, 1}, 4, (int32_t[]){1, 1, 1}, 1);
    assert_triangles((int32_t[]){0, 1, 2, 3}, 4, (int32_t[]){0, 1, 2, 0, 2, 3}, 2); /* a square: the first diagonal */
}

/* Outlines without a plane or that cross themselves still end in n - 2 triangles. */
static void test_hopeless(void **state)
{
    (void)state;
    static outline o;
    int32_t triangles[3 * MAX_CORNERS], count = 0;
    ql_triangulator work = {0};
    for (int kind = 0; kind < 3; ++kind) {
        o.n = 500;
        for (int32_t i = 0; i < o.n; ++i) {
            o.corners[i] = i;
            for (int k = 0; k < 3; ++k)
                o.vertices[3 * i + k] = kind == 0 ? 1.0 : kind == 1 ? (double)i : random_at((uint64_t)(3 * i + k));
        }
        ASSERT_OK(ql_triangulate(&work, o.vertices, o.corners, o.n, triangles, &count));
        assert_int_equal(count, o.n - 2);
    }
    ql_triangulator_destroy(&work);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_star_shaped),       cmocka_unit_test(test_comb),
        cmocka_unit_test(test_collinear_corners), cmocka_unit_test(test_quads),
        cmocka_unit_test(test_repeated_corners),  cmocka_unit_test(test_hopeless),
    };
    return ql_test_main(tests);
}

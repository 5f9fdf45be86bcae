/* Extraction alone: synthetic maps with known answers, and integer-grid maps of real models. */
#include "support/test.h"

#include "quad/extract.h"
#include "quad/map.h"

#include <math.h>
#include <string.h>

/* A fan of `n` triangles pairs: cone of valence n, each sector one quadrant of [0, size]^2 cells. */
static void test_cones(void **state)
{
    (void)state;
    enum { SIZE = 3 };
    for (int valence = 1; valence <= 6; ++valence) { /* index 3 .. -2 */
        if (valence < 3) continue;                   /* two sectors share both edges: no simple triangulation */
        int32_t faces[36], count = 2 * valence;
        int64_t uv[72];
        uint8_t matching[36] = {0};
        double x[39] = {0};
        for (int s = 0; s < valence; ++s) {
            double a = 2 * M_PI * s / valence, b = 2 * M_PI * (s + 0.5) / valence;
            int rim = 1 + 2 * s, corner = rim + 1, next = 1 + 2 * ((s + 1) % valence);
            x[3 * rim] = cos(a), x[3 * rim + 1] = sin(a);
            x[3 * corner] = 1.4 * cos(b), x[3 * corner + 1] = 1.4 * sin(b);
            const int32_t f[6] = {0, rim, corner, 0, corner, next};
            const int64_t c[12] = {0, 0, SIZE, 0, SIZE, SIZE, 0, 0, SIZE, SIZE, 0, SIZE};
            memcpy(faces + 6 * s, f, sizeof f);
            for (int i = 0; i < 12; ++i) uv[12 * s + i] = c[i] * QL_FIXED_ONE;
        }
        ql_surface surface;
        ASSERT_OK(ql_surface_create(&surface, x, 1 + count, faces, count));
        for (int s = 0; s < valence; ++s) { /* across the edge to the next sector the axes turn by a quarter */
            int32_t h = 6 * s + 5;
            matching[h] = 3;
            matching[surface.opposite[h]] = 1;
        }
        ql_polygons polygons;
        ASSERT_OK(ql_extract(&polygons, &surface, uv, matching));
        assert_int_equal(polygons.face_count, SIZE * SIZE * valence);
        assert_int_equal(polygons.quads, polygons.face_count);
        assert_int_equal(polygons.vertex_count, 1 + valence * SIZE + valence * SIZE * SIZE);
        assert_int_equal(polygons.loose, 0);
        ql_polygons_destroy(&polygons);
        uv[2] += 1; /* no longer seamless */
        assert_int_equal(ql_extract(&polygons, &surface, uv, matching), QL_STATUS_NUMERIC);
        ql_surface_destroy(&surface);
    }
}

/* A torus of m x n cells whose grid is shifted against the vertices by a fraction of a cell, so that grid vertices fall
 * into faces and on edges. */
static void torus_case(int m, int n, int64_t shift_u, int64_t shift_v)
{
    int32_t *faces = NULL;
    int64_t *uv = NULL;
    uint8_t *matching = NULL;
    double *x = NULL;
    ASSERT_OK(QL_TAKE(faces, 6 * m * n));
    ASSERT_OK(QL_TAKE(uv, 12 * m * n));
    ASSERT_OK(QL_TAKE(matching, 6 * m * n));
    ASSERT_OK(QL_TAKE(x, 3 * m * n));
    int k = 0;
    for (int i = 0; i < m; ++i)
        for (int j = 0; j < n; ++j) {
            double a = 2 * M_PI * i / m, b = 2 * M_PI * j / n;
            double *p = x + 3 * (i * n + j);
            p[0] = (3 + cos(b)) * cos(a), p[1] = (3 + cos(b)) * sin(a), p[2] = sin(b);
            const int corner[6][2] = {{0, 0}, {1, 0}, {1, 1}, {0, 0}, {1, 1}, {0, 1}};
            for (int c = 0; c < 6; ++c, ++k) {
                faces[k] = (i + corner[c][0]) % m * n + (j + corner[c][1]) % n;
                uv[2 * k] = (i + corner[c][0]) * QL_FIXED_ONE + shift_u;
                uv[2 * k + 1] = (j + corner[c][1]) * QL_FIXED_ONE + shift_v;
            }
        }
    ql_surface surface;
    ql_polygons polygons;
    ASSERT_OK(ql_surface_create(&surface, x, m * n, faces, 2 * m * n));
    ASSERT_OK(ql_extract(&polygons, &surface, uv, matching));
    assert_int_equal(polygons.face_count, m * n);
    assert_int_equal(polygons.quads, m * n);
    assert_int_equal(polygons.vertex_count, m * n);
    assert_int_equal(polygons.loose, 0);
    ql_polygons_destroy(&polygons);
    ql_surface_destroy(&surface);
    ql_free(faces);
    ql_free(uv);
    ql_free(matching);
    ql_free(x);
}

static void test_torus(void **state)
{
    (void)state;
    torus_case(5, 4, 0, 0);
    torus_case(6, 3, QL_FIXED_ONE / 3, QL_FIXED_ONE / 5);
    torus_case(4, 7, QL_FIXED_ONE / 2, 0);
    torus_case(4, 7, QL_FIXED_ONE / 2, QL_FIXED_ONE / 2);
}

/* A flat grid one of whose inner vertices is pulled across its neighbours, so that triangles fold over: what lies there comes
 * out as polygons with an even number of corners, the rest is untouched. */
static void test_fold(void **state)
{
    (void)state;
    enum { N = 6 };
    int32_t faces[6 * N * N];
    int64_t uv[12 * N * N];
    uint8_t matching[6 * N * N] = {0};
    double x[3 * (N + 1) * (N + 1)];
    int k = 0;
    for (int i = 0; i <= N; ++i)
        for (int j = 0; j <= N; ++j) {
            double *p = x + 3 * (i * (N + 1) + j);
            p[0] = i, p[1] = j, p[2] = 0;
        }
    for (int i = 0; i < N; ++i)
        for (int j = 0; j < N; ++j) {
            const int corner[6][2] = {{0, 0}, {1, 0}, {1, 1}, {0, 0}, {1, 1}, {0, 1}};
            for (int c = 0; c < 6; ++c, ++k) {
                int a = i + corner[c][0], b = j + corner[c][1];
                faces[k] = a * (N + 1) + b;
                uv[2 * k] = a * QL_FIXED_ONE + (a == 3 && b == 3 ? 7 * QL_FIXED_ONE / 5 : 0);
                uv[2 * k + 1] = b * QL_FIXED_ONE + (a == 3 && b == 3 ? QL_FIXED_ONE / 7 : 0);
            }
        }
    ql_surface surface;
    ql_polygons polygons;
    ASSERT_OK(ql_surface_create(&surface, x, (N + 1) * (N + 1), faces, 2 * N * N));
    ASSERT_OK(ql_extract(&polygons, &surface, uv, matching));
    assert_true(polygons.quads >= N * N - 9);
    for (int32_t f = 0; f < polygons.face_count; ++f)
        assert_int_equal((polygons.start[f + 1] - polygons.start[f]) % 2, 0);
    ql_polygons_destroy(&polygons);
    ql_surface_destroy(&surface);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cones), cmocka_unit_test(test_torus),
                                       cmocka_unit_test(test_fold)};
    return ql_test_main(tests);
}

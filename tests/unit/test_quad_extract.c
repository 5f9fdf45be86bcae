/* Extraction alone: synthetic maps with known answers, and integer-grid maps of real models. */
#include "support/test.h"

#include "quad/extract.h"
#include "quad/map.h"

#include <math.h>
#include <string.h>

/* Cone of `valence` quadrants [0, SIZE]^2: index 4 - valence. RINGS rings of triangles with STEPS points a quadrant. */
enum { SIZE = 3, RINGS = 5, STEPS = 4 };

static void cone_corner(int ring, int step, int64_t uv[2]) /* on the square [0, SIZE ring / RINGS]^2 */
{
    int64_t reach = SIZE * QL_FIXED_ONE * ring / RINGS;
    uv[0] = step <= STEPS / 2 ? reach : reach * (2 * STEPS - 2 * step) / STEPS;
    uv[1] = step <= STEPS / 2 ? reach * 2 * step / STEPS : reach;
}

static void check_cone(int valence)
{
    enum { FACES = (2 * RINGS - 1) * STEPS * 6, VERTICES = 1 + RINGS * STEPS * 6 };
    static const int square[6][2] = {{0, 0}, {1, 0}, {1, 1}, {0, 0}, {1, 1}, {0, 1}};
    int32_t faces[3 * FACES], n = 0, wide = STEPS * valence;
    int64_t uv[6 * FACES];
    uint8_t matching[3 * FACES] = {0};
    double x[3 * VERTICES] = {0};
    for (int s = 0; s < valence; ++s)
        for (int i = 0; i < RINGS; ++i)
            for (int j = 0; j < STEPS; ++j)
                for (int c = 0; c < 6; ++c) {
                    int ring = i + square[c][0], step = s * STEPS + j + square[c][1];
                    if (i == 0 && c >= 3) continue; /* one triangle at the apex */
                    faces[n] = ring == 0 ? 0 : 1 + (ring - 1) * wide + step % wide;
                    x[3 * faces[n]] = ring * cos(2 * M_PI * step / wide);
                    x[3 * faces[n] + 1] = ring * sin(2 * M_PI * step / wide);
                    cone_corner(ring, step - s * STEPS, uv + 2 * n);
                    ++n;
                }
    ql_surface surface;
    ql_polygons polygons;
    ASSERT_OK(ql_surface_create(&surface, x, 1 + RINGS * wide, faces, n / 3));
    for (int32_t h = 0; h < n; ++h) /* to the next sector the axes turn by a quarter */
        if (uv[2 * h] == 0 && uv[2 * ql_next(h)] == 0) {
            matching[h] = 3;
            matching[surface.opposite[h]] = 1;
        }
    ASSERT_OK(ql_extract(&polygons, &surface, uv, matching));
    assert_int_equal(polygons.face_count, SIZE * SIZE * valence);
    assert_int_equal(polygons.quads, polygons.face_count);
    assert_int_equal(polygons.vertex_count, 1 + valence * SIZE + valence * SIZE * SIZE);
    assert_int_equal(polygons.loose, 0);
    int32_t apex = 0;
    for (int32_t i = 0; i < 4 * polygons.face_count; ++i) {
        int32_t v = polygons.corner[i];
        apex += polygons.origin_kind[v] == QL_ORIGIN_VERTEX && polygons.origin[v] == 0;
    }
    assert_int_equal(apex, valence);
    ql_polygons_destroy(&polygons);
    uv[2] += 1; /* no longer seamless */
    assert_int_equal(ql_extract(&polygons, &surface, uv, matching), QL_STATUS_NUMERIC);
    ql_surface_destroy(&surface);
}

static void test_cones(void **state)
{
    (void)state;
    for (int valence = 1; valence <= 6; ++valence) check_cone(valence); /* index 3 .. -2 */
}

/* Grids of m x n squares of two triangles: a plane, closed in one direction a cylinder, in both a torus. Corner coordinates are
 * place * scale + shift. */
typedef struct sheet {
    int m, n, round_u, round_v;
    int32_t vertices, faces, *corner;
    double *x;
    int64_t *uv;
    uint8_t *matching;
} sheet;

static void sheet_create(sheet *s, int m, int n, int round_u, int round_v)
{
    static const int square[6][2] = {{0, 0}, {1, 0}, {1, 1}, {0, 0}, {1, 1}, {0, 1}};
    int wide = n + !round_v, tall = m + !round_u, k = 0;
    *s = (sheet){.m = m, .n = n, .round_u = round_u, .round_v = round_v, .vertices = tall * wide, .faces = 2 * m * n};
    ASSERT_OK(QL_TAKE(s->corner, 6 * m * n));
    ASSERT_OK(QL_TAKE(s->uv, 12 * m * n));
    ASSERT_OK(QL_TAKE(s->matching, 6 * m * n));
    ASSERT_OK(QL_TAKE(s->x, 3 * s->vertices));
    for (int i = 0; i < m; ++i)
        for (int j = 0; j < n; ++j)
            for (int c = 0; c < 6; ++c, ++k) {
                int a = i + square[c][0], b = j + square[c][1];
                s->corner[k] = a % tall * wide + b % wide;
                double *p = s->x + 3 * s->corner[k], u = 2 * M_PI * a / m, v = 2 * M_PI * b / n;
                p[0] = round_u ? (round_v ? 3 + cos(v) : 3) * cos(u) : a;
                p[1] = round_u ? (round_v ? 3 + cos(v) : 3) * sin(u) : round_v ? cos(v) : b;
                p[2] = round_v ? sin(v) : round_u ? b : 0;
                s->uv[2 * k] = a * QL_FIXED_ONE;
                s->uv[2 * k + 1] = b * QL_FIXED_ONE;
            }
}

static void sheet_move(sheet *s, int32_t vertex, int64_t u, int64_t v)
{
    for (int32_t k = 0; k < 3 * s->faces; ++k)
        if (s->corner[k] == vertex) {
            s->uv[2 * k] += u;
            s->uv[2 * k + 1] += v;
        }
}

static void sheet_destroy(sheet *s)
{
    ql_free(s->corner);
    ql_free(s->uv);
    ql_free(s->matching);
    ql_free(s->x);
}

/* Folded triangles, and 1 when the extraction is the full grid of all m x n cells, 0 when it says that it is not. */
static int sheet_extract(const sheet *s, int32_t *folded)
{
    ql_surface surface;
    ql_polygons p;
    *folded = 0;
    for (int32_t f = 0; f < s->faces; ++f) *folded += ql_extract_orientation(s->uv, f) <= 0;
    ASSERT_OK(ql_surface_create(&surface, s->x, s->vertices, s->corner, s->faces));
    ASSERT_OK(ql_extract(&p, &surface, s->uv, s->matching));
    int right = p.loose == 0 && p.quads == p.face_count;
    if (right) {
        int32_t *valence = NULL, irregular = 0;
        assert_int_equal(p.face_count, s->m * s->n);
        assert_int_equal(p.vertex_count, s->vertices);
        ASSERT_OK(QL_TAKE(valence, p.vertex_count));
        for (int32_t i = 0; i < 4 * p.face_count; ++i) valence[p.corner[i]]++;
        for (int32_t v = 0; v < p.vertex_count; ++v) irregular += valence[v] != 4;

        assert_int_equal(irregular, (s->round_u ? 0 : 2 * (s->n + !s->round_v)) +
                                        (s->round_v ? 0 : 2 * (s->m + !s->round_u)) -
                                        (s->round_u || s->round_v ? 0 : 4));
        ql_free(valence);
    }
    ql_polygons_destroy(&p);
    ql_surface_destroy(&surface);
    return right;
}

static void test_plane_and_cylinder(void **state)
{
    (void)state;
    static const int kinds[][4] = {{5, 4, 0, 0}, {6, 3, 1, 0}, {3, 6, 0, 1}, {1, 1, 0, 0}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; ++i) {
        sheet s;
        int32_t folded;
        sheet_create(&s, kinds[i][0], kinds[i][1], kinds[i][2], kinds[i][3]);
        assert_int_equal(sheet_extract(&s, &folded), 1);
        assert_int_equal(folded, 0);
        sheet_destroy(&s);
    }
}

/* Vertices pushed about at random, by more than a cell, until a good part of the triangles is folded: the map can still be
 * pulled straight, so the grid is the same. `quantum`: steps of this part of a cell (1 = any place; large steps put grid
 * points on edges and vertices and flatten triangles: then it may also say that it failed, but never be wrong). */
static void push_about(int m, int n, int round_u, int round_v, double reach, int64_t quantum, uint64_t seed, int *right,
                       int32_t *folded)
{
    sheet s;
    uint64_t random = seed * 0x9e3779b97f4a7c15u + 1;
    sheet_create(&s, m, n, round_u, round_v);
    for (int32_t v = 0; v < s.vertices; ++v) {
        int64_t move[2];
        for (int c = 0; c < 2; ++c) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            double r = (double)(random >> 11) / 9007199254740992.0 - 0.5;
            move[c] = llround(2 * r * reach * (double)QL_FIXED_ONE / (double)quantum) * quantum;
        }
        int32_t i = v / (n + !round_v), j = v % (n + !round_v);
        int rim = (!round_u && (i == 0 || i == m)) || (!round_v && (j == 0 || j == n));
        if (!rim) sheet_move(&s, v, move[0], move[1]);
    }
    *right = sheet_extract(&s, folded);
    sheet_destroy(&s);
}

static void test_folded(void **state)
{
    (void)state;
    static const int kinds[][4] = {{8, 8, 0, 0}, {9, 6, 1, 0}, {6, 9, 0, 1}, {8, 7, 1, 1}};
    static const double reach[] = {0.4, 0.8, 1.6};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; ++k)
        for (size_t r = 0; r < sizeof reach / sizeof *reach; ++r) {
            int32_t most = 0;
            int good[2] = {0, 0};
            for (uint64_t seed = 0; seed < 40; ++seed) {
                int right;
                int32_t folded;
                push_about(kinds[k][0], kinds[k][1], kinds[k][2], kinds[k][3], reach[r], 1, seed, &right, &folded);
                good[0] += right;
                most = folded > most ? folded : most;
                push_about(kinds[k][0], kinds[k][1], kinds[k][2], kinds[k][3], reach[r], QL_FIXED_ONE / 4, seed, &right,
                           &folded);
                good[1] += right;
            }
            print_message(
                "%d x %d, pushed by up to %g cells: up to %d of %d triangles folded, %d of 40 right; in steps of a "
                "quarter cell %d of 40\n",
                kinds[k][0], kinds[k][1], reach[r], most, 2 * kinds[k][0] * kinds[k][1], good[0], good[1]);
            assert_int_equal(good[0], 40);
        }
}

/* A torus whose grid is shifted against the vertices, so that grid vertices fall into faces and on edges. */
static void torus_case(int m, int n, int64_t shift_u, int64_t shift_v)
{
    sheet s;
    int32_t folded;
    sheet_create(&s, m, n, 1, 1);
    for (int32_t v = 0; v < s.vertices; ++v) sheet_move(&s, v, shift_u, shift_v);
    assert_int_equal(sheet_extract(&s, &folded), 1);
    sheet_destroy(&s);
}

static void test_torus(void **state)
{
    (void)state;
    torus_case(5, 4, 0, 0);
    torus_case(6, 3, QL_FIXED_ONE / 3, QL_FIXED_ONE / 5);
    torus_case(4, 7, QL_FIXED_ONE / 2, 0);
    torus_case(4, 7, QL_FIXED_ONE / 2, QL_FIXED_ONE / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cones), cmocka_unit_test(test_plane_and_cylinder),
                                       cmocka_unit_test(test_torus), cmocka_unit_test(test_folded)};
    return ql_test_main(tests);
}

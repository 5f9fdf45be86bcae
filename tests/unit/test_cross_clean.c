/* Cleaning of cross fields, sectors of feature vertices, the size of quads that a field asks for, acute features. */
#include "support/test.h"

#include "field/cross.h"
#include "field/cross_clean.h"
#include "field/cross_scale.h"
#include "field/cross_sector.h"
#include "field/cross_vector.h"
#include "field/smooth.h"
#include "mesh/generate.h"
#include "quad/feature.h"
#include "quad/prepare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct scene {
    ql_surface s;
    double *phi, *psi, *delta;
    uint8_t *matching;
    int32_t *index;
} scene;

static void read_field(scene *c)
{
    ql_cross_edge_angles(&c->s, c->psi);
    ql_cross_indices(&c->s, c->psi, c->phi, c->matching, c->index);
    ql_cross_turns(&c->s, c->psi, c->phi, c->matching, c->delta);
}

static void take_field(scene *c)
{
    ASSERT_OK(QL_TAKE(c->phi, c->s.face_count));
    ASSERT_OK(QL_TAKE(c->psi, 3 * c->s.face_count));
    ASSERT_OK(QL_TAKE(c->delta, 3 * c->s.face_count));
    ASSERT_OK(QL_TAKE(c->matching, 3 * c->s.face_count));
    ASSERT_OK(QL_TAKE(c->index, c->s.vertex_count));
}

static void drop_scene(scene *c)
{
    ql_surface_destroy(&c->s);
    ql_free(c->phi);
    ql_free(c->psi);
    ql_free(c->delta);
    ql_free(c->matching);
    ql_free(c->index);
}

/* (n + 1) x (m + 1) points x(i, j) of a rectangle of cells, each cell two triangles with alternating diagonals. */
static void make_grid(scene *c, int n, int m, void (*place)(double i, double j, double x[3]))
{
    double *x = NULL;
    int32_t *tri = NULL, faces = 0;
    ASSERT_OK(QL_TAKE(x, 3 * (n + 1) * (m + 1)));
    ASSERT_OK(QL_TAKE(tri, 6 * n * m));
    for (int j = 0; j <= m; ++j)
        for (int i = 0; i <= n; ++i) place((double)i / n, (double)j / m, x + 3 * (i + (n + 1) * j));
    for (int j = 0; j < m; ++j)
        for (int i = 0; i < n; ++i) {
            int32_t a = i + (n + 1) * j, b = a + 1, d = a + n + 1, e = d + 1;
            int32_t even[6] = {a, b, e, a, e, d}, odd[6] = {a, b, d, b, e, d};
            memcpy(tri + 3 * faces, (i + j) % 2 ? odd : even, sizeof even);
            faces += 2;
        }
    ASSERT_OK(ql_surface_create(&c->s, x, (n + 1) * (m + 1), tri, faces));
    ql_free(x);
    ql_free(tri);
    take_field(c);
}

static void square(double i, double j, double x[3])
{
    x[0] = i;
    x[1] = j;
    x[2] = 0;
}

/* Half a ring, radii 1 and 3. */
static void half_ring(double i, double j, double x[3])
{
    double r = 1 + 2 * j, angle = M_PI * (1 - i);
    x[0] = r * cos(angle);
    x[1] = r * sin(angle);
    x[2] = 0;
}

static int32_t count_singular(const scene *c, int32_t *sum)
{
    int32_t n = 0;
    *sum = 0;
    for (int32_t v = 0; v < c->s.vertex_count; ++v) {
        *sum += c->index[v];
        n += c->index[v] != 0 && !ql_on_boundary(&c->s, v);
    }
    return n;
}

/* Directions along x everywhere; turn 1 for some other field. */
static void along_x(scene *c)
{
    double *alpha = NULL;
    ASSERT_OK(QL_TAKE(alpha, 3 * c->s.face_count));
    for (int32_t f = 0; f < c->s.face_count; ++f) alpha[3 * f] = 1;
    ql_cross_angles(&c->s, alpha, c->phi);
    ql_cross_edge_angles(&c->s, c->psi);
    ql_cross_matching(&c->s, c->psi, c->phi, c->matching);
    ql_free(alpha);
}

/* Moves an index along the row of vertices from (i0, j) to (i1, j) of an n-wide grid by matchings alone. */
static void push_along_row(scene *c, int n, int i0, int i1, int j, int amount)
{
    for (int i = i0; i < i1; ++i) {
        int32_t v = i + (n + 1) * j, h = c->s.outgoing[v], first = h;
        while (ql_to(&c->s, h) != v + 1) {
            h = ql_turn_left(&c->s, h);
            assert_true(h >= 0 && h != first);
        }
        c->matching[h] = (uint8_t)((c->matching[h] + amount + 4) % 4);
        c->matching[c->s.opposite[h]] = (uint8_t)((4 - c->matching[h]) % 4);
    }
}

static void clean_with(scene *c, double price, bool follow, int32_t most, int32_t second, ql_clean_report *report)
{
    ql_clean_options options = {.price = price, .follow = follow, .most = most, .second = second};
    ASSERT_OK(ql_cross_clean(&c->s, &options, c->phi, c->matching, report));
}

/* A pair of opposite singularities on a square with fixed sides is cancelled, and the flat field comes back. */
static void test_pair_cancels(void **state)
{
    (void)state;
    scene c = {0};
    ql_clean_report report;
    int32_t sum;
    make_grid(&c, 24, 24, square);
    along_x(&c);
    push_along_row(&c, 24, 9, 15, 12, 1);
    read_field(&c);
    assert_int_equal(count_singular(&c, &sum), 2);
    assert_int_equal(sum, 4);
    clean_with(&c, 0.1, false, INT32_MAX, -1, &report);
    read_field(&c);
    assert_int_equal(count_singular(&c, &sum), 0);
    assert_int_equal(sum, 4);
    assert_int_equal(report.before, 2);
    assert_int_equal(report.after, 0);
    assert_true(report.energy < 1e-9);
    for (int32_t h = 0; h < 3 * c.s.face_count; ++h) assert_true(fabs(c.delta[h]) < 1e-6);
    drop_scene(&c);
}

/* Without a price nothing is cancelled that does not walk into its opposite; a field without singularities stays. */
static void test_free_of_charge(void **state)
{
    (void)state;
    scene c = {0};
    ql_clean_report report;
    make_grid(&c, 12, 12, square);
    along_x(&c);
    read_field(&c);
    clean_with(&c, 0, false, INT32_MAX, -1, &report);
    assert_int_equal(report.before, 0);
    assert_int_equal(report.after, 0);
    assert_int_equal(report.sectors, 0);
    assert_int_equal(report.transports, 0);
    drop_scene(&c);
}

/* A field that is to be followed keeps its angles, whatever they are, when there is nothing to cancel. */
static void test_follow(void **state)
{
    (void)state;
    scene c = {0};
    ql_clean_report report;
    double *before = NULL;
    make_grid(&c, 12, 12, square);
    along_x(&c);
    ASSERT_OK(QL_TAKE(before, c.s.face_count));
    for (int32_t f = 0; f < c.s.face_count; ++f) /* wavy inside, with the sides at the boundary */
        if (!(c.s.feature[3 * f] || c.s.feature[3 * f + 1] || c.s.feature[3 * f + 2])) c.phi[f] += 0.2 * sin(f);
    memcpy(before, c.phi, (size_t)c.s.face_count * sizeof *before);
    clean_with(&c, 1, true, INT32_MAX, -1, &report);
    for (int32_t f = 0; f < c.s.face_count; ++f) assert_true(fabs(c.phi[f] - before[f]) < 1e-9);
    assert_int_equal(report.after, 0);
    clean_with(&c, 1, false, INT32_MAX, -1, &report);
    assert_true(report.energy < 1e-9);
    ql_free(before);
    drop_scene(&c);
}

/* Closed surfaces: the sum stays 4 chi, energy and count never grow, and the minimum number is kept. */
static void check_closed(ql_mesh *mesh, int32_t euler, int32_t at_least, int32_t at_most)
{
    scene c = {0};
    ql_prepared prepared;
    ql_clean_report report;
    int32_t sum;
    ASSERT_OK(ql_prepare(&prepared, mesh));
    c.s = prepared.component[0].surface;
    memset(&prepared.component[0].surface, 0, sizeof c.s);
    take_field(&c);
    ASSERT_OK(ql_smooth_field(&c.s, NULL, sqrt(ql_surface_area(&c.s) / 1000), c.phi));
    ql_cross_edge_angles(&c.s, c.psi);
    ql_cross_matching(&c.s, c.psi, c.phi, c.matching);
    read_field(&c);
    int32_t before = count_singular(&c, &sum);
    clean_with(&c, 0.35, false, INT32_MAX, -1, &report);
    read_field(&c);
    int32_t after = count_singular(&c, &sum);
    assert_int_equal(sum, 4 * euler);
    assert_int_equal(report.after, after);
    assert_true(after <= before && after >= at_least && after <= at_most);
    drop_scene(&c);
    ql_prepared_destroy(&prepared);
    ql_mesh_destroy(mesh);
}

static void test_closed(void **state)
{
    (void)state;
    ql_mesh mesh;
    ASSERT_OK(ql_generate_icosphere(&mesh, 4));
    check_closed(&mesh, 2, 8, 8); /* the corners of a (twisted) cube */
    ASSERT_OK(ql_generate_torus(&mesh, 60, 30));
    check_closed(&mesh, 0, 0, 0);
    ASSERT_OK(ql_generate_double_torus_of(&mesh, 6000));
    check_closed(&mesh, -2, 8, 12);
}

/* Fewer transports leave more singular vertices; the second best one in place of the last leaves as many, elsewhere. */
static void test_which_transports(void **state)
{
    (void)state;
    enum { RUNS = 3 };
    ql_mesh mesh;
    ql_prepared prepared;
    ql_clean_report report[RUNS];
    int32_t *index[RUNS] = {NULL}, sum, most = INT32_MAX, second = -1, differ = 0;
    ASSERT_OK(ql_generate_handles(&mesh, 3, 40));
    ASSERT_OK(ql_prepare(&prepared, &mesh));
    scene c = {.s = prepared.component[0].surface};
    memset(&prepared.component[0].surface, 0, sizeof c.s);
    take_field(&c);
    for (int run = 0; run < RUNS; ++run) {
        ASSERT_OK(ql_smooth_field(&c.s, NULL, sqrt(ql_surface_area(&c.s) / 1000), c.phi));
        ql_cross_edge_angles(&c.s, c.psi);
        ql_cross_matching(&c.s, c.psi, c.phi, c.matching);
        clean_with(&c, 0.35, false, most, second, &report[run]);
        read_field(&c);
        assert_int_equal(count_singular(&c, &sum), report[run].after);
        assert_int_equal(sum, 4 * (2 - 2 * 3));
        ASSERT_OK(QL_TAKE(index[run], c.s.vertex_count));
        memcpy(index[run], c.index, (size_t)c.s.vertex_count * sizeof **index);
        most = run == 0 ? report[0].transports - 1 : INT32_MAX;
        second = run == 1 ? report[0].transports - 1 : -1;
    }
    assert_true(report[0].transports >= 2);
    assert_int_equal(report[1].transports, report[0].transports - 1);
    assert_true(report[1].after > report[0].after);
    assert_true(report[2].after <= report[1].after);
    for (int32_t v = 0; v < c.s.vertex_count; ++v) differ += index[0][v] != index[2][v];
    print_message("%d, %d, %d singular vertices; %d vertices differ\n", report[0].after, report[1].after,
                  report[2].after, differ);
    assert_true(differ > 0);
    for (int run = 0; run < RUNS; ++run) ql_free(index[run]);
    drop_scene(&c);
    ql_prepared_destroy(&prepared);
    ql_mesh_destroy(&mesh);
}

static void test_sectors(void **state)
{
    (void)state;
    int32_t least, most;
    static const double degrees[] = {10, 40, 90, 150, 180, 270, 360};
    static const int32_t want[][2] = {{1, 1}, {1, 1}, {1, 3}, {1, 6}, {2, 7}, {2, 10}, {3, 14}};
    for (int i = 0; i < 7; ++i) {
        ql_cross_sector_fits(degrees[i] * M_PI / 180 - 1e-9, &least, &most);
        assert_int_equal(least, want[i][0]);
        assert_true(abs(most - want[i][1]) <= 1 && most >= least);
    }
    scene c = {0};
    make_grid(&c, 6, 6, square);
    along_x(&c);
    read_field(&c);
    ql_sector sector;
    ql_cross_sector(&c.s, c.delta, c.s.outgoing[3], &sector); /* middle of a side */
    assert_int_equal(sector.quads, 2);
    assert_true(fabs(sector.angle - M_PI) < 1e-9);
    ql_cross_sector(&c.s, c.delta, c.s.outgoing[0], &sector); /* corner */
    assert_int_equal(sector.quads, 1);
    assert_true(fabs(sector.angle - M_PI_2) < 1e-9);
    drop_scene(&c);
}

/* A kite with a tip of 30 degrees: left alone, both sides of the tip want the same line; cleaning puts a quad there. */
static void kite(double i, double j, double x[3])
{
    double a = i * 1.0, b = j * 1.0;
    x[0] = a + b * cos(M_PI / 6);
    x[1] = b * sin(M_PI / 6);
    x[2] = 0;
}

static void test_acute_corner(void **state)
{
    (void)state;
    scene c = {0};
    ql_clean_report report;
    int32_t sum;
    make_grid(&c, 24, 24, kite);
    ASSERT_OK(ql_smooth_field(&c.s, NULL, 0.1, c.phi));
    ql_cross_edge_angles(&c.s, c.psi);
    ql_cross_matching(&c.s, c.psi, c.phi, c.matching);
    clean_with(&c, 0.35, false, INT32_MAX, -1, &report);
    read_field(&c);
    (void)count_singular(&c, &sum);
    assert_int_equal(sum, 4);
    for (int32_t h = 0; h < 3 * c.s.face_count; ++h) {
        int32_t inner = ql_turn_left(&c.s, h), least, most;
        if (c.s.opposite[h] >= 0 || inner < 0) continue;
        ql_sector sector;
        ql_cross_sector(&c.s, c.delta, inner, &sector);
        ql_cross_sector_fits(sector.angle, &least, &most);
        assert_in_range(sector.quads, least, most);
    }
    drop_scene(&c);
}

/* Half a ring with a field along its circles: the map is the logarithm, so the wished size goes like 1 / radius. */
static void test_scale(void **state)
{
    (void)state;
    scene c = {0};
    double *alpha = NULL, *scale = NULL, low = INFINITY, high = 0;
    make_grid(&c, 96, 32, half_ring);
    ASSERT_OK(QL_TAKE(alpha, 3 * c.s.face_count));
    ASSERT_OK(QL_TAKE(scale, c.s.face_count));
    for (int32_t f = 0; f < c.s.face_count; ++f) {
        double m[3] = {0, 0, 0};
        for (int k = 0; k < 3; ++k) ql_axpy(1.0 / 3, ql_at(&c.s, c.s.faces[3 * f + k]), m);
        alpha[3 * f] = -m[1];
        alpha[3 * f + 1] = m[0];
    }
    ql_cross_angles(&c.s, alpha, c.phi);
    ql_cross_edge_angles(&c.s, c.psi);
    ql_cross_matching(&c.s, c.psi, c.phi, c.matching);
    read_field(&c);
    ASSERT_OK(ql_cross_scale(&c.s, c.delta, 1, 0.1, 3, scale));
    for (int32_t f = 0; f < c.s.face_count; ++f) {
        double m[3] = {0, 0, 0};
        for (int k = 0; k < 3; ++k) ql_axpy(1.0 / 3, ql_at(&c.s, c.s.faces[3 * f + k]), m);
        double product = scale[f] * ql_norm(m);
        low = fmin(low, product);
        high = fmax(high, product);
    }
    assert_true(high / low < 1.08);
    ASSERT_OK(ql_cross_scale(&c.s, c.delta, 0, 0.1, 3, scale));
    for (int32_t f = 0; f < c.s.face_count; ++f) assert_true(scale[f] == 1);
    ASSERT_OK(ql_cross_scale(&c.s, c.delta, 1, 0.9, 1.1, scale)); /* bounded at both ends */
    for (int32_t f = 0; f < c.s.face_count; ++f) {
        assert_true(scale[f] >= 0.9 && scale[f] <= 1.1);
        low = f == 0 ? scale[f] : fmin(low, scale[f]);
        high = f == 0 ? scale[f] : fmax(high, scale[f]);
    }
    assert_true(low < 0.95 && high > 1.05);
    ql_free(alpha);
    ql_free(scale);
    drop_scene(&c);
}

/* Two features that leave a vertex 12 degrees apart: one of them keeps its distance; at 30 degrees both stay. */
static int32_t features_of_wedge(double degrees, double gap)
{
    enum { N = 20 };
    double x[3 * (3 * N + 4)] = {0}, angle = degrees * M_PI / 180;
    int32_t tri[3 * (6 * N + 6)], faces = 0, rows = 4, n = 1, marked = 0;
    /* rays at 0, angle, angle + 70 and -70 degrees from the origin, points at 1 .. N on each */
    double ray[4] = {-70 * M_PI / 180, 0, angle, angle + 70 * M_PI / 180};
    for (int r = 0; r < rows; ++r)
        for (int k = 1; k <= N && n < 3 * N + 4; ++k) {
            if (r == 0 || r == 3) {
                if (k != N) continue;
            }
            x[3 * n] = k * cos(ray[r]);
            x[3 * n + 1] = k * sin(ray[r]);
            ++n;
        }
    /* vertices: 0 origin, 1 on ray 0, 2 .. N+1 on ray 1, N+2 .. 2N+1 on ray 2, 2N+2 on ray 3 */
    int32_t p = 2, q = N + 2, end = 2 * N + 2;
    for (int k = -1; k < N - 1; ++k) {
        int32_t pa = k < 0 ? 0 : p + k, qa = k < 0 ? 0 : q + k;
        int32_t t[4][3] = {{1, p + k + 1, pa}, {qa, q + k + 1, end}, {pa, p + k + 1, q + k + 1}, {pa, q + k + 1, qa}};
        for (int i = 0; i < (k < 0 ? 3 : 4); ++i) {
            memcpy(tri + 3 * faces, t[i], sizeof t[i]);
            ++faces;
        }
    }
    ql_surface s;
    ASSERT_OK(ql_surface_create(&s, x, n, tri, faces));
    for (int32_t h = 0; h < 3 * s.face_count; ++h) {
        int32_t a = ql_from(&s, h), b = ql_to(&s, h);
        bool one = (a == 0 || (a >= p && a < q)) && (b == 0 || (b >= p && b < q));
        bool two = (a == 0 || (a >= q && a < end)) && (b == 0 || (b >= q && b < end));
        if (one || two) s.feature[h] = 1;
    }
    ASSERT_OK(ql_feature_open_wedges(&s, gap, 0.01));
    for (int32_t h = 0; h < 3 * s.face_count; ++h) marked += s.feature[h] && s.opposite[h] > h;
    ql_surface_destroy(&s);
    return marked;
}

static void test_open_wedges(void **state)
{
    (void)state;
    assert_int_equal(features_of_wedge(30, 2), 40);
    /* at 12 degrees a point k along one ray is k sin 12 = 0.208 k from the other: 2 away from k = 10 on */
    assert_int_equal(features_of_wedge(12, 2), 30);
    assert_int_equal(features_of_wedge(12, INFINITY), 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pair_cancels),   cmocka_unit_test(test_which_transports),
        cmocka_unit_test(test_free_of_charge), cmocka_unit_test(test_closed),
        cmocka_unit_test(test_follow),         cmocka_unit_test(test_sectors),
        cmocka_unit_test(test_acute_corner),   cmocka_unit_test(test_scale),
        cmocka_unit_test(test_open_wedges),
    };
    return ql_test_main(tests);
}

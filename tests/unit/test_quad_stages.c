/* Stages of the quad pipeline alone: repair, re-meshing, indices, cut, lattice, rounding. */
#include "support/test.h"

#include "field/cross.h"
#include "field/cross_snap.h"
#include "field/cross_vector.h"
#include "field/smooth.h"
#include "mesh/generate.h"
#include "quad/cut.h"
#include "quad/feature.h"
#include "quad/fit.h"
#include "quad/grid.h"
#include "quad/lattice.h"
#include "quad/patch.h"
#include "quad/prepare.h"
#include "quad/release.h"
#include "quad/remesh.h"
#include "quad/round.h"
#include "quad/star.h"

#include <math.h>
#include <string.h>

/* Smooth field on a surface: indices must add up to 4 chi, the cut must be a disk, conditions must be solvable. */
static void check_surface(ql_surface *s)
{
    double area = ql_surface_area(s), edge = sqrt(area / 600), *phi = NULL, *psi = NULL;
    uint8_t *matching = NULL;
    int32_t *index = NULL, sum = 0;
    ASSERT_OK(ql_feature_mark(s, 40, edge, 0.25));
    ASSERT_OK(QL_TAKE(phi, s->face_count));
    ASSERT_OK(QL_TAKE(psi, 3 * s->face_count));
    ASSERT_OK(QL_TAKE(matching, 3 * s->face_count));
    ASSERT_OK(QL_TAKE(index, s->vertex_count));
    ASSERT_OK(ql_smooth_field(s, NULL, edge, phi));
    ql_cross_edge_angles(s, psi);
    ql_cross_matching(s, psi, phi, matching);
    ql_cross_indices(s, psi, phi, matching, index);
    for (int32_t v = 0; v < s->vertex_count; ++v) sum += index[v];
    assert_int_equal(sum, 4 * ql_surface_euler(s));
    ql_cut cut;
    ql_grid grid;
    ASSERT_OK(ql_cut_create(&cut, s, phi, NULL)); /* checks for a disk itself */
    ASSERT_OK(ql_grid_create(&grid, s, &cut, 1));
    assert_true(grid.reals > 0);
    ql_grid_destroy(&grid);
    ql_cut_destroy(&cut);
    ql_free(phi);
    ql_free(psi);
    ql_free(matching);
    ql_free(index);
}

static void check_mesh(const ql_mesh *mesh, int32_t euler, int32_t loops)
{
    ql_prepared prepared;
    ASSERT_OK(ql_prepare(&prepared, mesh));
    assert_int_equal(prepared.count, 1);
    assert_int_equal(prepared.euler, euler);
    assert_int_equal(prepared.loops, loops);
    check_surface(&prepared.component[0].surface);
    ql_prepared_destroy(&prepared);
}

static void test_indices_generated(void **state)
{
    (void)state;
    for (int genus = 0; genus <= 5; ++genus) {
        ql_mesh mesh = {0};
        ASSERT_OK(ql_generate_handles(&mesh, genus, 40));
        check_mesh(&mesh, 2 - 2 * genus, 0);
        ql_mesh_destroy(&mesh);
    }
    ql_mesh bracket = {0};
    ASSERT_OK(ql_generate_bracket(&bracket, 8));
    check_mesh(&bracket, 0, 2);
    ql_mesh_destroy(&bracket);
}

static void test_indices_real(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int euler, loops;
    } cases[] = {{"torque", 2, 0}, {"sculpt", -2, 0}, {"kitten", 0, 0}, {"SquareMyles", 0, 2}};
    SKIP_WITHOUT_SHARED("indices of real meshes");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        char path[4096];
        ql_mesh mesh = {0};
        (void)snprintf(path, sizeof path, "%s/meshes/dev/%s.obj", ql_test_shared(), cases[i].name);
        ASSERT_OK(ql_mesh_read(&mesh, path));
        check_mesh(&mesh, cases[i].euler, cases[i].loops);
        ql_mesh_destroy(&mesh);
    }
}

static void test_remesh(void **state)
{
    (void)state;
    ql_mesh mesh = {0};
    ql_prepared prepared;
    ql_closest *tree = NULL, *lines = NULL;
    int32_t *chain = NULL, loops = -1;
    ASSERT_OK(ql_generate_block(&mesh, 6));
    ASSERT_OK(ql_prepare(&prepared, &mesh));
    ql_surface *s = &prepared.component[0].surface;
    double area = ql_surface_area(s), edge = sqrt(area / 4000), normal[3];
    ASSERT_OK(ql_feature_mark(s, 40, edge, 0.25));
    ASSERT_OK(ql_closest_of_faces(&tree, s->vertices, s->faces, s->face_count));
    ASSERT_OK(ql_remesh_lines(s, &lines, &chain));
    ASSERT_OK(ql_remesh(s, edge, 5, tree, lines, 1));
    assert_int_equal(ql_surface_euler(s), prepared.euler);
    ASSERT_OK(ql_surface_loops(s, &loops));
    assert_int_equal(loops, 0);
    assert_true(fabs(ql_surface_area(s) - area) < 0.01 * area);
    for (int32_t f = 0; f < s->face_count; ++f) { /* no slivers */
        double longest = 0;
        for (int32_t h = 3 * f; h < 3 * f + 3; ++h)
            longest = fmax(longest, ql_distance2(ql_at(s, ql_from(s, h)), ql_at(s, ql_to(s, h))));
        assert_true(ql_surface_normal(s, f, normal) > 0.05 * longest);
    }
    for (int32_t h = 0; h < 3 * s->face_count; ++h) assert_true(s->opposite[h] >= 0 || s->feature[h]);
    ql_closest_destroy(tree);
    ql_closest_destroy(lines);
    ql_free(chain);
    ql_prepared_destroy(&prepared);
    ql_mesh_destroy(&mesh);
}

/* A torus with a peak on it, at u and v from 0 to 1 around and across. */
static void torus_at(double u, double v, double height, double out[3])
{
    double to_peak = (u - 0.27) * (u - 0.27) * 6.3 + (v - 0.29) * (v - 0.29) * 0.4;
    double r = 0.4 + height * exp(-to_peak / (2 * 0.02 * 0.02)), ring = 1 + r * cos(2 * M_PI * v);
    out[0] = ring * cos(2 * M_PI * u);
    out[1] = ring * sin(2 * M_PI * u);
    out[2] = r * sin(2 * M_PI * v);
}

/* Cell i of around x across: its corners. */
static void torus_cell(int i, int around, int across, int32_t corner[4])
{
    int a = i / across, b = i % across, c = (a + 1) % around, d = (b + 1) % across;
    corner[0] = a * across + b;
    corner[1] = c * across + b;
    corner[2] = c * across + d;
    corner[3] = a * across + d;
}

/* A smooth surface, badly sampled: re-meshing leaves it smooth, and as large. */
static void check_remesh(ql_surface *s)
{
    ql_closest *tree = NULL, *lines = NULL;
    int32_t *chain = NULL, euler = ql_surface_euler(s);
    double area = ql_surface_area(s), edge = 0.8 * sqrt(area / 4000), n0[3], n1[3];
    ASSERT_OK(ql_closest_of_faces(&tree, s->vertices, s->faces, s->face_count));
    ASSERT_OK(ql_remesh_lines(s, &lines, &chain));
    ASSERT_OK(ql_remesh(s, edge, 5, tree, lines, 1));
    print_message("area %g, %g in %d faces\n", area, ql_surface_area(s), s->face_count);
    assert_int_equal(ql_surface_euler(s), euler);
    assert_true(fabs(ql_surface_area(s) - area) < 0.005 * area);
    assert_true(s->face_count > 10000 && s->face_count < 22000);
    for (int32_t h = 0; h < 3 * s->face_count; ++h) {
        if (s->opposite[h] < 0) continue;
        (void)ql_surface_normal(s, h / 3, n0);
        (void)ql_surface_normal(s, s->opposite[h] / 3, n1);
        assert_true(ql_dot(n0, n1) > 0.766);
    }
    ql_closest_destroy(tree);
    ql_closest_destroy(lines);
    ql_free(chain);
    ql_surface_destroy(s);
}

/* A tube of triangles 240 times as long as wide. */
static void test_remesh_needles(void **state)
{
    (void)state;
    enum { AROUND = 1500, ROWS = 3 };
    ql_surface s;
    double x[3 * AROUND * ROWS];
    int32_t tri[6 * AROUND * (ROWS - 1)], *t = tri;
    for (int i = 0; i < AROUND; ++i)
        for (int row = 0; row < ROWS; ++row) {
            int a = i * ROWS + row, b = (i + 1) % AROUND * ROWS + row;
            double at[3] = {cos(2 * M_PI * i / AROUND), sin(2 * M_PI * i / AROUND), row};
            memcpy(x + 3 * (size_t)a, at, sizeof at);
            if (row + 1 == ROWS) continue;
            int32_t two[6] = {a, b, b + 1, a, b + 1, a + 1};
            memcpy(t, two, sizeof two);
            t += 6;
        }
    ASSERT_OK(ql_surface_create(&s, x, AROUND * ROWS, tri, 2 * AROUND * (ROWS - 1)));
    check_remesh(&s);
}

/* A torus whose triangles are wider and wider around it, 30 degrees at the end. */
static void test_remesh_gradation(void **state)
{
    (void)state;
    enum { AROUND = 60, ACROSS = 40 };
    ql_surface s;
    double x[3 * AROUND * ACROSS];
    int32_t tri[6 * AROUND * ACROSS], c[4];
    for (int i = 0; i < AROUND * ACROSS; ++i) {
        torus_at(pow((double)(i / ACROSS) / AROUND, 5), (double)(i % ACROSS) / ACROSS, 0, x + 3 * (size_t)i);
        torus_cell(i, AROUND, ACROSS, c);
        int32_t two[6] = {c[0], c[1], c[2], c[0], c[2], c[3]};
        memcpy(tri + 6 * (size_t)i, two, sizeof two);
    }
    ASSERT_OK(ql_surface_create(&s, x, AROUND * ACROSS, tri, 2 * AROUND * ACROSS));
    check_remesh(&s);
}

static double furthest(const ql_quads *q, const ql_surface *s)
{
    double largest = 0, near_one[3], d2;
    int32_t tri[6 * 24 * 12];
    ql_closest *tree = NULL;
    for (int32_t f = 0; f < q->face_count; ++f) {
        const int32_t *c = q->faces + 4 * (size_t)f;
        int32_t two[6] = {c[0], c[1], c[2], c[0], c[2], c[3]};
        memcpy(tri + 6 * (size_t)f, two, sizeof two);
    }
    ASSERT_OK(ql_closest_of_faces(&tree, q->vertices, tri, 2 * q->face_count));
    for (int32_t v = 0; v < s->vertex_count; ++v) {
        assert_true(ql_closest_find(tree, ql_at(s, v), INFINITY, near_one, &d2) >= 0);
        largest = fmax(largest, sqrt(d2));
    }
    ql_closest_destroy(tree);
    return largest;
}

/* Quads with all vertices on the torus: nearer after the fit, the corner where it was, no quad spoilt. */
static void check_fit(double height, double share)
{
    enum { A = 24, B = 12, FINE_A = 8 * A, FINE_B = 8 * B };
    ql_surface s;
    ql_quads q;
    ql_closest *tree = NULL;
    double *x = NULL, corner[3];
    int32_t *tri = NULL, c[4];
    ASSERT_OK(QL_TAKE(x, 3 * FINE_A * FINE_B));
    ASSERT_OK(QL_TAKE(tri, 6 * FINE_A * FINE_B));
    for (int i = 0; i < FINE_A * FINE_B; ++i) {
        torus_at((double)(i / FINE_B) / FINE_A, (double)(i % FINE_B) / FINE_B, height, x + 3 * (size_t)i);
        torus_cell(i, FINE_A, FINE_B, c);
        int32_t two[6] = {c[0], c[1], c[2], c[0], c[2], c[3]};
        memcpy(tri + 6 * (size_t)i, two, sizeof two);
    }
    ASSERT_OK(ql_surface_create(&s, x, FINE_A * FINE_B, tri, 2 * FINE_A * FINE_B));
    ASSERT_OK(ql_closest_of_faces(&tree, s.vertices, s.faces, s.face_count));
    ASSERT_OK(ql_quads_create(&q, A * B, A * B));
    for (int i = 0; i < A * B; ++i) {
        torus_at((double)(i / B) / A, (double)(i % B) / B, height, q.vertices + 3 * (size_t)i);
        torus_cell(i, A, B, q.faces + 4 * (size_t)i);
    }
    q.pin[A * B - 1] = QL_PIN_CORNER;
    double before = furthest(&q, &s);
    memcpy(corner, q.vertices + 3 * (A * B - 1), sizeof corner);
    ASSERT_OK(ql_fit(&q, &s, tree, NULL, NULL, 12));
    double after = furthest(&q, &s);
    print_message("largest distance %g before, %g after\n", before, after);
    assert_true(after < share * before);
    assert_memory_equal(corner, q.vertices + 3 * (A * B - 1), sizeof corner);
    for (int f = 0; f < q.face_count; ++f) {
        const int32_t *g = q.faces + 4 * (size_t)f;
        assert_true(ql_quad_scaled_jacobian(q.vertices + 3 * (size_t)g[0], q.vertices + 3 * (size_t)g[1],
                                            q.vertices + 3 * (size_t)g[2], q.vertices + 3 * (size_t)g[3]) >= 0.39);
    }
    ql_closest_destroy(tree);
    ql_quads_destroy(&q);
    ql_surface_destroy(&s);
    ql_free(x);
    ql_free(tri);
}

static void test_fit(void **state)
{
    (void)state;
    check_fit(0, 0.8);    /* one vertex stays: next to it things are as they were */
    check_fit(0.15, 0.6); /* a peak narrower than a quad */
}

/* A flat ring: its two circles are lines, and chords between vertices on them miss them by their whole height. */
static void test_fit_lines(void **state)
{
    (void)state;
    enum { N = 16, FINE = 16 * N };
    ql_surface s;
    ql_quads q;
    ql_closest *tree = NULL, *lines = NULL;
    int32_t *chain = NULL, tri[6 * FINE];
    double x[6 * FINE], height = 1 - cos(M_PI / N), largest = 0;
    for (int i = 0; i < FINE; ++i)
        for (int side = 0; side < 2; ++side) {
            double r = side ? 1 : 0.6, at[3] = {r * cos(2 * M_PI * i / FINE), r * sin(2 * M_PI * i / FINE), 0};
            int a = 2 * i, b = 2 * ((i + 1) % FINE);
            int32_t three[2][3] = {{a, a + 1, b + 1}, {a, b + 1, b}};
            memcpy(x + 3 * (2 * i + side), at, sizeof at);
            memcpy(tri + 3 * (2 * i + side), three[side], sizeof three[side]);
        }
    ASSERT_OK(ql_surface_create(&s, x, 2 * FINE, tri, 2 * FINE));
    ASSERT_OK(ql_closest_of_faces(&tree, s.vertices, s.faces, s.face_count));
    ASSERT_OK(ql_remesh_lines(&s, &lines, &chain));
    ASSERT_OK(ql_quads_create(&q, 2 * N, N));
    for (int i = 0; i < N; ++i) {
        int32_t a = 2 * i, b = 2 * ((i + 1) % N), four[4] = {a, a + 1, b + 1, b};
        memcpy(q.faces + 4 * (size_t)i, four, sizeof four);
        for (int side = 0; side < 2; ++side) {
            memcpy(q.vertices + 3 * (size_t)(a + side), x + 3 * (size_t)(2 * i * FINE / N + side), 3 * sizeof *x);
            q.pin[a + side] = QL_PIN_LINE;
        }
    }
    ASSERT_OK(ql_fit(&q, &s, tree, lines, chain, 4));
    for (int i = 0; i < N; ++i) {
        double middle[3];
        ql_lerp(q.vertices + 3 * (size_t)(2 * i + 1), q.vertices + 3 * (size_t)(2 * ((i + 1) % N) + 1), 0.5, middle);
        largest =
            fmax(largest, fmax(fabs(ql_norm(middle) - 1), fabs(ql_norm(q.vertices + 3 * (size_t)(2 * i + 1)) - 1)));
    }
    print_message("%g of the height of a chord\n", largest / height);
    assert_true(largest < 0.6 * height);
    ql_quads_destroy(&q);
    ql_closest_destroy(tree);
    ql_closest_destroy(lines);
    ql_free(chain);
    ql_surface_destroy(&s);
}

/* Two corners of a sharp edge in each other's place fold the quads between: one of them must be let go, and no other vertex. */
static void test_release(void **state)
{
    (void)state;
    enum { N = 7, ROW = N / 2 };
    ql_quads q;
    ql_closest *lines = NULL;
    double edge[9] = {0, ROW, 0, N - 1, ROW, 0, N - 1, ROW, 0};
    int32_t released = 0, held = 0;
    ASSERT_OK(ql_quads_create(&q, N * N, (N - 1) * (N - 1)));
    for (int v = 0; v < N * N; ++v) {
        q.vertices[3 * v] = v % N;
        q.vertices[3 * v + 1] = v / N;
        if (v / N == 0 || v / N == N - 1 || v % N == 0 || v % N == N - 1)
            q.pin[v] = QL_PIN_CORNER;
        else if (v / N == ROW)
            q.pin[v] = QL_PIN_LINE;
    }
    for (int f = 0; f < q.face_count; ++f) {
        int32_t a = f % (N - 1) + f / (N - 1) * N, four[4] = {a, a + 1, a + N + 1, a + N};
        memcpy(q.faces + 4 * (size_t)f, four, sizeof four);
    }
    q.pin[ROW * N + 3] = q.pin[ROW * N + 4] = QL_PIN_CORNER;
    q.vertices[3 * (ROW * N + 3)] = 4.3;
    ASSERT_OK(ql_closest_create(&lines, edge, 1));
    assert_true(ql_release_folds(&q, NULL, lines, NULL, 12, &released));
    for (int v = ROW * N; v < (ROW + 1) * N; ++v) held += q.pin[v] != QL_PIN_FREE;
    print_message("%d released, %d of %d held\n", released, held, N);
    assert_int_equal(released, 1);
    assert_int_equal(held, N - 1);
    for (int f = 0; f < q.face_count; ++f) assert_true(ql_star_quad(&q, f) > 0.2);
    ql_quads_destroy(&q);
    ql_closest_destroy(lines);
}

/* Every integer choice of the free variables must solve all equations. */
static void test_lattice(void **state)
{
    (void)state;
    static const int32_t variable[3][4] = {{0, 1, 2, 3}, {1, 4, 5, 0}, {2, 3, 4, 5}};
    static const int64_t coefficient[3][4] = {{2, -1, 3, 1}, {2, 4, -6, 2}, {3, 5, -7, 2}};
    ql_lattice *lattice = NULL;
    double *matrix = NULL;
    int32_t columns = 0;
    ASSERT_OK(ql_lattice_create(&lattice, 6, NULL));
    for (int i = 0; i < 3; ++i) ASSERT_OK(ql_lattice_add(lattice, variable[i], coefficient[i], 4));
    ASSERT_OK(ql_lattice_solve(lattice, &matrix, &columns));
    assert_int_equal(columns, 3);
    for (int c = 0; c < columns; ++c)
        for (int i = 0; i < 3; ++i) {
            double sum = 0;
            for (int k = 0; k < 4; ++k) sum += (double)coefficient[i][k] * matrix[variable[i][k] * columns + c];
            assert_true(sum == 0);
        }
    ql_free(matrix);
    ql_lattice_destroy(lattice);
}

static void test_round(void **state)
{
    (void)state;
    /* 1/2 z'Sz - b'z with minimum at (0.4, 0.4): nearest integers coincide; the condition keeps them apart */
    const double schur[4] = {2, 0, 0, 2}, linear[2] = {0.8, 0.9}, coefficient[2] = {-1, 1};
    const int32_t both[2] = {0, 1};
    double z[2];
    int32_t broken;
    int64_t work;
    ASSERT_OK(ql_round(schur, linear, 2, NULL, z, &broken, &work));
    assert_true(z[0] == 0 && z[1] == 0);
    ql_conditions conditions = {0};
    ASSERT_OK(ql_conditions_add(&conditions, both, coefficient, 2, 1));
    ASSERT_OK(ql_round(schur, linear, 2, &conditions, z, &broken, &work));
    assert_int_equal(broken, 0);
    assert_true(z[0] == 0 && z[1] == 1);
    ql_conditions_destroy(&conditions);
}

static void test_prepare_refuses(void **state)
{
    (void)state;
    ql_mesh mesh = {0};
    ql_prepared prepared;
    ASSERT_OK(ql_mesh_create(&mesh, "strip", "", 6, 6)); /* a Moebius strip of six triangles */
    static const int32_t faces[18] = {0, 1, 2, 1, 3, 2, 2, 3, 4, 3, 5, 4, 4, 5, 1, 5, 0, 1};
    for (int i = 0; i < 18; ++i) mesh.vertices[i] = sin(1.7 * i);
    memcpy(mesh.faces, faces, sizeof faces);
    assert_int_equal(ql_prepare(&prepared, &mesh), QL_STATUS_MESH);
    assert_non_null(strstr(ql_error_text(), "orientable"));
    ql_mesh_destroy(&mesh);
}

/* The surface of unit cubes at (i & 1, i >> 1 & 1, i >> 2) for the bits i of `solid`, with shared vertices. */
static void cubes(ql_mesh *mesh, int solid, bool inside_out)
{
    static const int DIRECTION[6][3] = {{-1, 0, 0}, {1, 0, 0}, {0, -1, 0}, {0, 1, 0}, {0, 0, -1}, {0, 0, 1}};
    static const int SIDE[6][4] = {{0, 4, 6, 2}, {1, 3, 7, 5}, {0, 1, 5, 4}, {2, 6, 7, 3}, {0, 2, 3, 1}, {4, 5, 7, 6}};
    ASSERT_OK(ql_mesh_create(mesh, "cubes", "", 27, 8 * 12));
    for (int v = 0; v < 27; ++v)
        for (int k = 0; k < 3; ++k) mesh->vertices[3 * v + k] = (v / (k == 0 ? 1 : k == 1 ? 3 : 9)) % 3;
    int faces = 0;
    for (int i = 0; i < 8; ++i)
        for (int d = 0; d < 6 && (solid >> i & 1); ++d) {
            int at[3] = {i & 1, i >> 1 & 1, i >> 2}, beside = 0, corner[4];
            bool within = true;
            for (int k = 0; k < 3; ++k) {
                int x = at[k] + DIRECTION[d][k];
                within = within && x >= 0 && x < 2;
                beside |= (x & 1) << k;
            }
            if (within && (solid >> beside & 1)) continue;
            for (int c = 0; c < 4; ++c) {
                int s = SIDE[d][inside_out ? 3 - c : c];
                corner[c] = at[0] + (s & 1) + 3 * (at[1] + (s >> 1 & 1)) + 9 * (at[2] + (s >> 2));
            }
            const int32_t two[6] = {corner[0], corner[1], corner[2], corner[0], corner[2], corner[3]};
            memcpy(mesh->faces + 3 * (size_t)faces, two, sizeof two);
            faces += 2;
        }
    mesh->face_count = faces;
}

/* Solids that touch along an edge come apart, and one that is pinched there opens, without a boundary; also with the faces seen
 * from inside. */
static void test_prepare_touching(void **state)
{
    (void)state;
    static const struct {
        int solid, components, euler;
    } CASES[] = {
        {0x09, 2, 4}, /* two cubes */
        {0xb9, 1, 2}, /* the same below three that join them: the edge's two copies have both ends in common */
        {0x69, 4, 8}, /* four cubes, six edges and a vertex */
        {0xff, 1, 2}, /* nothing to mend */
    };
    for (size_t i = 0; i < 2 * sizeof CASES / sizeof CASES[0]; ++i) {
        ql_mesh mesh;
        ql_prepared prepared;
        cubes(&mesh, CASES[i / 2].solid, i % 2 != 0);
        ASSERT_OK(ql_prepare(&prepared, &mesh));
        assert_int_equal(prepared.count, CASES[i / 2].components);
        assert_int_equal(prepared.euler, CASES[i / 2].euler);
        assert_int_equal(prepared.loops, 0);
        assert_int_equal(prepared.turned, 0);
        ql_prepared_destroy(&prepared);
        ql_mesh_destroy(&mesh);
    }
}

/* Two pyramids' bases joined by a sheet so thin in the middle that its sides share an edge there: the sides stay, it does not fall
 * in two. */
static void test_prepare_pinched(void **state)
{
    (void)state;
    ql_mesh mesh;
    ql_prepared prepared;
    /* a lens along x, pinched at x = 0 from y = -1 to y = 1; around it a closed rim */
    static const double AT[10][3] = {{0, -1, 0},   {0, 1, 0},    {-3, 0, 0.2},  {-3, 0, -0.2}, {3, 0, 0.2},
                                     {3, 0, -0.2}, {0, -3, 0.2}, {0, -3, -0.2}, {0, 3, 0.2},   {0, 3, -0.2}};
    static const int32_t FACES[16][3] = {{0, 1, 2}, {1, 0, 4}, {0, 2, 6}, {0, 6, 4}, {1, 8, 2}, {1, 4, 8},
                                         {1, 0, 3}, {0, 1, 5}, {0, 7, 3}, {0, 5, 7}, {1, 3, 9}, {1, 9, 5},
                                         {2, 3, 6}, {3, 7, 6}, {8, 9, 2}, {9, 3, 2}};
    ASSERT_OK(ql_mesh_create(&mesh, "lens", "", 10, 16));
    memcpy(mesh.vertices, AT, sizeof AT);
    memcpy(mesh.faces, FACES, sizeof FACES);
    ASSERT_OK(ql_prepare(&prepared, &mesh));
    assert_int_equal(prepared.count, 1);
    assert_int_equal(prepared.split_edges, 1);
    assert_int_equal(prepared.loops, 1); /* the rim on the other side is left open */
    assert_int_equal(prepared.euler, 1);
    ql_prepared_destroy(&prepared);
    ql_mesh_destroy(&mesh);
}

/* Four integers that conditions tie to one value and push up: no step of one or two of them mends anything. */
static void test_round_breaks_out(void **state)
{
    (void)state;
    enum { N = 4 };
    const double tie[2] = {1, -1}, all[N] = {1, 1, 1, 1}, linear[N] = {0};
    const int32_t every[N] = {0, 1, 2, 3};
    double schur[N * N] = {0}, z[N];
    ql_conditions conditions = {0};
    int32_t broken;
    int64_t work;
    for (int32_t i = 0; i < N; ++i) schur[i * N + i] = 1;
    for (int32_t i = 0; i < N; ++i)
        for (int32_t k = 0; k < N; ++k) {
            int32_t pair[2] = {i, k};
            if (i != k) ASSERT_OK(ql_conditions_add(&conditions, pair, tie, 2, 0));
        }
    ASSERT_OK(ql_conditions_add(&conditions, every, all, N, 2 * N));
    ASSERT_OK(ql_round(schur, linear, N, &conditions, z, &broken, &work));
    assert_int_equal(broken, 0);
    for (int32_t i = 0; i < N; ++i) assert_true(z[i] == 2);
    ql_conditions_destroy(&conditions);
}

static int32_t count_inner_features(const ql_surface *s)
{
    int32_t count = 0;
    for (int32_t h = 0; h < 3 * s->face_count; ++h) count += s->feature[h] && s->opposite[h] > h;
    return count;
}

/* Creases round a single triangle of a surface with other creases: they go, the others and the boundary stay. */
static void test_small_patches(void **state)
{
    (void)state;
    ql_mesh mesh;
    ql_prepared prepared;
    ASSERT_OK(ql_generate_bracket(&mesh, 6));
    ASSERT_OK(ql_prepare(&prepared, &mesh));
    ql_surface *s = &prepared.component[0].surface;
    double normal[3], mean = ql_surface_area(s) / s->face_count;
    int32_t merged, before, boundary = 0;
    ASSERT_OK(ql_feature_mark(s, 40, 1e-3, 0.25));
    before = count_inner_features(s);
    assert_true(before > 0);
    ASSERT_OK(ql_patch_merge(s, 3 * mean, &merged));
    assert_int_equal(merged, 0);
    int32_t f = 0; /* a face without feature or boundary */
    while (s->feature[3 * f] || s->feature[3 * f + 1] || s->feature[3 * f + 2]) ++f;
    for (int32_t h = 3 * f; h < 3 * f + 3; ++h) s->feature[h] = s->feature[s->opposite[h]] = 1;
    ASSERT_OK(ql_patch_merge(s, 0.4 * ql_surface_normal(s, f, normal), &merged));
    assert_int_equal(merged, 0);
    ASSERT_OK(ql_patch_merge(s, 0.6 * ql_surface_normal(s, f, normal), &merged));
    assert_int_equal(merged, 1);
    assert_int_equal(count_inner_features(s), before);
    ASSERT_OK(ql_patch_merge(s, INFINITY, &merged));
    assert_int_equal(count_inner_features(s), 0);
    for (int32_t h = 0; h < 3 * s->face_count; ++h) boundary += s->opposite[h] < 0 && !s->feature[h];
    assert_int_equal(boundary, 0);
    ql_prepared_destroy(&prepared);
    ql_mesh_destroy(&mesh);
}

/* Mean turn of the crosses between two fields. */
static double mean_change(const double *a, const double *b, int32_t count)
{
    double sum = 0;
    for (int32_t f = 0; f < count; ++f) sum += fabs(a[f] - b[f] - M_PI_2 * round((a[f] - b[f]) / M_PI_2));
    return sum / count;
}

static bool above(const ql_surface *s, int32_t f)
{
    double z = 0;
    for (int k = 0; k < 3; ++k) z += ql_at(s, s->faces[3 * f + k])[2] / 3;
    return z > 0.5;
}

/* A field that is not smooth, as users have them: snapping changes it where something moves and hardly elsewhere. */
static void test_snap_keeps_field(void **state)
{
    (void)state;
    ql_mesh mesh;
    ql_prepared prepared;
    ASSERT_OK(ql_generate_icosphere(&mesh, 4));
    ASSERT_OK(ql_prepare(&prepared, &mesh));
    ql_surface *s = &prepared.component[0].surface;
    double edge = sqrt(ql_surface_area(s) / 600), *phi[3], *psi = NULL, change[2];
    uint8_t *matching = NULL;
    for (int i = 0; i < 3; ++i) ASSERT_OK(QL_TAKE(phi[i], s->face_count));
    ASSERT_OK(QL_TAKE(psi, 3 * s->face_count));
    ASSERT_OK(QL_TAKE(matching, 3 * s->face_count));
    ASSERT_OK(ql_smooth_field(s, NULL, edge, phi[0])); /* knows no features: singular vertices lie beside them */
    for (int32_t h = 0; h < 3 * s->face_count; ++h)    /* a crease between the faces above and below */
        s->feature[h] = above(s, h / 3) != above(s, s->opposite[h] / 3);
    for (int32_t f = 0; f < s->face_count; ++f) {
        bool held = s->feature[3 * f] || s->feature[3 * f + 1] || s->feature[3 * f + 2];
        if (!held) phi[0][f] += 0.3 * sin(40 * ql_at(s, s->faces[3 * f])[0]) * sin(31 * ql_at(s, s->faces[3 * f])[1]);
    }
    ql_cross_edge_angles(s, psi);
    for (int follow = 0; follow < 2; ++follow) {
        int32_t moved = 0;
        memcpy(phi[1 + follow], phi[0], (size_t)s->face_count * sizeof *phi[0]);
        ql_cross_matching(s, psi, phi[0], matching);
        ASSERT_OK(ql_cross_snap(s, 4 * edge, follow != 0, phi[1 + follow], matching, &moved));
        assert_true(moved > 0);
        change[follow] = mean_change(phi[1 + follow], phi[0], s->face_count);
        print_message("%d moved, follow %d: mean change %.4f\n", moved, follow, change[follow]);
    }
    assert_true(change[1] < 0.7 * change[0]);
    for (int i = 0; i < 3; ++i) ql_free(phi[i]);
    ql_free(psi);
    ql_free(matching);
    ql_prepared_destroy(&prepared);
    ql_mesh_destroy(&mesh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_indices_generated),
        cmocka_unit_test(test_indices_real),
        cmocka_unit_test(test_remesh),
        cmocka_unit_test(test_remesh_needles),
        cmocka_unit_test(test_remesh_gradation),
        cmocka_unit_test(test_fit),
        cmocka_unit_test(test_fit_lines),
        cmocka_unit_test(test_release),
        cmocka_unit_test(test_lattice),
        cmocka_unit_test(test_round),
        cmocka_unit_test(test_round_breaks_out),
        cmocka_unit_test(test_small_patches),
        cmocka_unit_test(test_snap_keeps_field),
        cmocka_unit_test(test_prepare_refuses),
        cmocka_unit_test(test_prepare_touching),
        cmocka_unit_test(test_prepare_pinched),
    };
    return ql_test_main(tests);
}

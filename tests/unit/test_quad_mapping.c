/* The integer-grid map: weights, rounding that ends without folds, exact seams; vertices spread along lines. */
#include "support/test.h"

#include "field/cross.h"
#include "field/cross_clean.h"
#include "field/cross_vector.h"
#include "field/smooth.h"
#include "mesh/generate.h"
#include "quad/even.h"
#include "quad/feature.h"
#include "quad/mapping.h"
#include "quad/prepare.h"
#include "quad/remesh.h"
#include "quad/untangle.h"

#include <math.h>
#include <string.h>

typedef struct scene {
    ql_prepared prepared;
    ql_surface *s;
    double *phi, edge;
    uint8_t *matching;
} scene;

/* A cleaned smooth field on a re-meshed surface, as the ladder makes it. */
static void make_scene(scene *c, ql_mesh *mesh, int32_t quads)
{
    ql_closest *tree = NULL, *lines = NULL;
    int32_t *chain = NULL;
    double *psi = NULL;
    ql_clean_options options = {.price = 0.35, .most = INT32_MAX, .second = -1};
    ql_clean_report report;
    ASSERT_OK(ql_prepare(&c->prepared, mesh));
    c->s = &c->prepared.component[0].surface;
    c->edge = sqrt(ql_surface_area(c->s) / quads);
    ASSERT_OK(ql_feature_mark(c->s, 40, c->edge, 0.25));
    ASSERT_OK(ql_closest_of_faces(&tree, c->s->vertices, c->s->faces, c->s->face_count));
    ASSERT_OK(ql_remesh_lines(c->s, &lines, &chain));
    ASSERT_OK(ql_remesh(c->s, 0.8 * c->edge, 5, tree, lines, 1));
    ASSERT_OK(QL_TAKE(c->phi, c->s->face_count));
    ASSERT_OK(QL_TAKE(psi, 3 * c->s->face_count));
    ASSERT_OK(QL_TAKE(c->matching, 3 * c->s->face_count));
    ASSERT_OK(ql_smooth_field(c->s, NULL, c->edge, c->phi));
    ql_cross_edge_angles(c->s, psi);
    ql_cross_matching(c->s, psi, c->phi, c->matching);
    ASSERT_OK(ql_cross_clean(c->s, &options, c->phi, c->matching, &report));
    ql_free(psi);
    ql_free(chain);
    ql_closest_destroy(tree);
    ql_closest_destroy(lines);
    ql_mesh_destroy(mesh);
}

static void drop_scene(scene *c)
{
    ql_prepared_destroy(&c->prepared);
    ql_free(c->phi);
    ql_free(c->matching);
}

/* The same weight everywhere changes nothing; weights of a region bring the gradients there nearer to the wished ones. */
static void test_weights(void **state)
{
    (void)state;
    ql_mesh mesh = {0};
    scene c = {0};
    ql_cut cut;
    ql_grid grid;
    ql_map map;
    double *weight = NULL, *z = NULL, *first = NULL, *value = NULL, *gradient = NULL, off[2] = {0, 0};
    ASSERT_OK(ql_generate_block(&mesh, 6));
    make_scene(&c, &mesh, 800);
    int32_t faces = c.s->face_count;
    ASSERT_OK(ql_cut_create(&cut, c.s, c.phi, c.matching));
    ASSERT_OK(ql_grid_create(&grid, c.s, &cut, 1));
    ASSERT_OK(ql_map_create(&map, c.s, &cut, &grid));
    ASSERT_OK(QL_TAKE(weight, 2 * faces));
    ASSERT_OK(QL_TAKE(gradient, 2 * faces));
    ASSERT_OK(QL_TAKE(z, grid.free_integers + 1));
    ASSERT_OK(QL_TAKE(first, 2 * faces));
    ASSERT_OK(QL_TAKE(value, map.size));
    ASSERT_OK(ql_map_relaxed(&map, c.edge, z));
    ASSERT_OK(ql_map_solve(&map, c.edge, z, value));
    ql_untangle_gradients(&map, c.edge, value, first);
    for (int i = 0; i < 2 * faces; ++i) weight[i] = 7;
    for (int round = 0; round < 2; ++round) {
        ASSERT_OK(ql_map_reweigh(&map, weight));
        ASSERT_OK(ql_map_relaxed(&map, c.edge, z));
        ASSERT_OK(ql_map_solve(&map, c.edge, z, value));
        ql_untangle_gradients(&map, c.edge, value, gradient);
        for (int32_t i = 0; round == 0 && i < 2 * faces; ++i) assert_true(fabs(gradient[i] - first[i]) < 1e-4);
        for (int32_t i = 0; i < 2 * faces; ++i)
            if (i % 2 == 0 && i / 2 < faces / 4) off[round] += pow(gradient[i] - cut.scale[i / 2], 2);
        for (int32_t i = 0; i < 2 * faces; ++i) weight[i] = i % 2 == 0 && i / 2 < faces / 4 ? 100 : 1;
    }
    assert_true(off[1] < 0.9 * off[0]);
    ql_map_destroy(&map);
    ql_grid_destroy(&grid);
    ql_cut_destroy(&cut);
    ql_free(weight);
    ql_free(gradient);
    ql_free(z);
    ql_free(first);
    ql_free(value);
    drop_scene(&c);
}

/* Across a seam the coordinates of both sides differ by quarter turns and one integer translation, exactly. */
static void check_seams(const ql_mapping *m)
{
    const ql_surface *s = m->surface;
    for (int32_t h = 0; h < 3 * s->face_count; ++h) {
        int32_t o = s->opposite[h];
        if (o < 0 || o < h) continue;
        const int64_t *a = m->uv + 2 * (int64_t)h, *b = m->uv + 6 * (int64_t)(h / 3) + 2 * ((h % 3 + 1) % 3),
                      *d = m->uv + 2 * (int64_t)o, *e = m->uv + 6 * (int64_t)(o / 3) + 2 * ((o % 3 + 1) % 3);
        int64_t u = b[0] - a[0], v = b[1] - a[1], p = d[0] - e[0], q = d[1] - e[1];
        int turned = (p == u && q == v) || (p == -v && q == u) || (p == -u && q == -v) || (p == v && q == -u);
        assert_true(turned);
    }
}

static void check_mapping(ql_mesh *mesh, int32_t quads)
{
    scene c = {0};
    ql_mapping m;
    double cells, after;
    make_scene(&c, mesh, quads);
    ASSERT_OK(ql_mapping_create(&m, c.s, c.phi, c.matching, c.edge));
    ASSERT_OK(ql_mapping_cells(&m, c.edge, &cells));
    assert_true(cells > 0.5 * quads && cells < 2 * quads);
    double edge = c.edge;
    ASSERT_OK(ql_mapping_round(&m, &edge));
    assert_int_equal(m.folded, 0);
    assert_int_equal(m.broken, 0);
    check_seams(&m);
    ASSERT_OK(ql_mapping_cells(&m, edge, &after)); /* weights may have changed, the number may not */
    assert_true(fabs(after / cells - 1) < 0.02);
    ql_mapping_destroy(&m);
    drop_scene(&c);
}

static void test_round_generated(void **state)
{
    (void)state;
    for (int genus = 0; genus <= 4; genus += 2) {
        ql_mesh mesh = {0};
        ASSERT_OK(ql_generate_handles(&mesh, genus, 40));
        check_mapping(&mesh, 2000);
    }
    ql_mesh block = {0};
    ASSERT_OK(ql_generate_block(&block, 8));
    check_mapping(&block, 2000);
}

/* The first map of each of these folds whatever the barrier does; stiffer it does not. */
static void test_stiffening(void **state)
{
    (void)state;
    static const char *const names[] = {"bunny", "fandisk", "beetle"};
    SKIP_WITHOUT_SHARED("maps that fold at first");
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
        char path[4096];
        ql_mesh mesh = {0};
        (void)snprintf(path, sizeof path, "%s/meshes/dev/%s.obj", ql_test_shared(), names[i]);
        ASSERT_OK(ql_mesh_read(&mesh, path));
        check_mapping(&mesh, 4000);
    }
}

/* A strip of quads between two lines, vertices bunched at one end: they spread, and the ends, which are corners, stay. */
static void test_even_lines(void **state)
{
    (void)state;
    enum { N = 10 };
    ql_quads q;
    ql_star star;
    ql_closest *lines = NULL;
    const double line[18] = {0, 0, 0, N, 0, 0, N, 0, 0, 0, 2, 0, N, 2, 0, N, 2, 0};
    const int32_t three[6] = {0, 1, 2, 3, 4, 5}, chain[2] = {0, 1};
    ASSERT_OK(ql_quads_create(&q, 2 * (N + 1), N));
    for (int i = 0; i <= N; ++i)
        for (int side = 0; side < 2; ++side) {
            int32_t v = 2 * i + side;
            q.vertices[3 * v] = N * pow((double)i / N, 3);
            q.vertices[3 * v + 1] = 2 * side;
            q.pin[v] = i == 0 || i == N ? QL_PIN_CORNER : QL_PIN_LINE;
        }
    for (int i = 0; i < N; ++i) {
        int32_t a = 2 * i, four[4] = {a, a + 2, a + 3, a + 1};
        memcpy(q.faces + 4 * (size_t)i, four, sizeof four);
    }
    ASSERT_OK(ql_closest_of_faces(&lines, line, three, 2));
    ASSERT_OK(ql_star_create(&star, &q, NULL, lines, chain));
    ASSERT_OK(ql_even_lines(&star, 200));
    double longest = 0, before = N * (1 - pow(1 - 1.0 / N, 3));
    for (int i = 0; i < N; ++i)
        for (int side = 0; side < 2; ++side) {
            const double *a = q.vertices + 3 * (size_t)(2 * i + side), *b = a + 6;
            assert_true(b[0] > a[0] && a[1] == 2 * side);
            longest = fmax(longest, b[0] - a[0]);
        }
    print_message("longest edge %g, %g before\n", longest, before);
    assert_true(longest < 2 && before > 2.7);
    assert_true(q.vertices[0] == 0 && q.vertices[3 * (size_t)(2 * N)] == N);
    ql_star_destroy(&star);
    ql_closest_destroy(lines);
    ql_quads_destroy(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_round_generated),
        cmocka_unit_test(test_stiffening),
        cmocka_unit_test(test_even_lines),
    };
    return ql_test_main(tests);
}

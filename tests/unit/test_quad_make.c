/* From mesh to verified quads: generated and real meshes, bad input. */
#include "support/test.h"

#include "base/memory.h"
#include "field/cross_vector.h"
#include "mesh/generate.h"
#include "quad/job.h"
#include "quad/quad.h"

#include <math.h>
#include <string.h>

static const ql_quads_options OPTIONS = {
    .enabled = true, .target = 800, .feature_angle_deg = 40, .method = QL_QUADS_SMOOTH};

static void check_result(const ql_mesh *mesh, const double *alpha, const ql_quads_options *options, ql_quad_rung worst,
                         double irregular)
{
    ql_quad_result r;
    ASSERT_OK(ql_quads_make(&r, mesh, alpha, options));
    assert_true(r.valid);
    assert_true(r.rung <= worst);
    assert_true(r.quality.sj_min > 0);
    assert_true(r.quality.irregular_interior <= irregular);
    if (r.rung <= QL_RUNG_SMOOTH)
        assert_true(fabs((double)r.face_count - (double)options->target) <= 0.1 * (double)options->target);
    ql_quad_quality again;
    bool valid = false;
    char why[256];
    ASSERT_OK(ql_quad_judge(&again, &valid, why, r.vertices, r.vertex_count, r.faces, r.face_count, mesh, 40));
    assert_true(valid);
    r.faces[1] = r.faces[0]; /* the judge must notice damage */
    ASSERT_OK(ql_quad_judge(&again, &valid, why, r.vertices, r.vertex_count, r.faces, r.face_count, mesh, 40));
    assert_false(valid);
    assert_true(why[0] != 0);
    ql_quad_result_destroy(&r);
}

static void test_generated(void **state)
{
    (void)state;
    ql_mesh mesh = {0};
    ASSERT_OK(ql_generate_icosphere(&mesh, 4));
    check_result(&mesh, NULL, &OPTIONS, QL_RUNG_SCALED, 30);
    ql_mesh_destroy(&mesh);
    ASSERT_OK(ql_generate_torus(&mesh, 48, 24));
    check_result(&mesh, NULL, &OPTIONS, QL_RUNG_SCALED, 24);
    ql_mesh_destroy(&mesh);
    ASSERT_OK(ql_generate_block(&mesh, 8));
    check_result(&mesh, NULL, &OPTIONS, QL_RUNG_SCALED, 40);
    ql_mesh_destroy(&mesh);
    ASSERT_OK(ql_generate_bracket(&mesh, 8));
    check_result(&mesh, NULL, &OPTIONS, QL_RUNG_SCALED, 8);
    ql_mesh_destroy(&mesh);
}

/* Coarse enough that some of its edges count as sharp, at random: the field then turns where a torus has no map. */
static void test_coarse_torus(void **state)
{
    (void)state;
    static const int faces[] = {300, 400};
    for (int i = 0; i < 2; ++i) {
        ql_mesh mesh = {0};
        ql_quads_options options = OPTIONS;
        options.target = 1000;
        ASSERT_OK(ql_generate_by_name(&mesh, "torus", faces[i]));
        check_result(&mesh, NULL, &options, QL_RUNG_SCALED, 8);
        ql_mesh_destroy(&mesh);
    }
}

/* A given field with no opinion anywhere and with opinions along x. */
static void test_given_field(void **state)
{
    (void)state;
    ql_mesh mesh = {0};
    double *alpha = NULL;
    ql_quads_options options = OPTIONS;
    options.method = QL_QUADS_TRAINED;
    ASSERT_OK(ql_generate_torus(&mesh, 48, 24));
    ASSERT_OK(QL_TAKE(alpha, 3 * mesh.face_count));
    for (int32_t f = 0; f < mesh.face_count; ++f) alpha[3 * f] = 1;
    check_result(&mesh, alpha, &options, QL_RUNG_SPLIT, 1e9);
    alpha[5] = NAN;
    ql_quad_result r;
    assert_int_equal(ql_quads_make(&r, &mesh, alpha, &options), QL_STATUS_FORMAT);
    assert_non_null(strstr(ql_error_text(), "face 1"));
    ql_free(alpha);
    ql_mesh_destroy(&mesh);
}

static void test_number_of_quads(void **state)
{
    (void)state;
    ql_mesh mesh = {0};
    ql_quad_result r;
    ql_quads_options options = OPTIONS;
    options.target = 2000;
    ASSERT_OK(ql_generate_torus(&mesh, 48, 24));
    ASSERT_OK(ql_quads_make(&r, &mesh, NULL, &options));
    assert_true(fabs(r.face_count - 2000.0) <= 200);
    ql_quad_result_destroy(&r);
    options.target = 0;
    assert_int_equal(ql_quads_make(&r, &mesh, NULL, &options), QL_STATUS_CONFIG);
    options.target = 1000000000;
    assert_int_equal(ql_quads_make(&r, &mesh, NULL, &options), QL_STATUS_CONFIG);
    ql_mesh_destroy(&mesh);
}

/* A torus and specks, each smaller than a quad: all of them together as many quads as are wanted. */
static void test_number_of_quads_with_specks(void **state)
{
    (void)state;
    enum { SPECKS = 15 };
    ql_mesh torus = {0}, mesh = {0};
    ql_quad_result r;
    ASSERT_OK(ql_generate_torus(&torus, 48, 24));
    int32_t v = torus.vertex_count, f = torus.face_count;
    ASSERT_OK(ql_mesh_create(&mesh, "specks", "specks", v + 4 * SPECKS, f + 4 * SPECKS));
    memcpy(mesh.vertices, torus.vertices, 3 * (size_t)v * sizeof *mesh.vertices);
    memcpy(mesh.faces, torus.faces, 3 * (size_t)f * sizeof *mesh.faces);
    for (int i = 0; i < SPECKS; ++i, v += 4, f += 4)
        for (int k = 0; k < 4; ++k) {
            const double x[4][3] = {{0, 0, 0}, {1e-3, 0, 0}, {0, 1e-3, 0}, {0, 0, 1e-3}};
            const int32_t tri[4][3] = {{0, 2, 1}, {0, 1, 3}, {1, 2, 3}, {2, 0, 3}};
            for (int c = 0; c < 3; ++c) {
                mesh.vertices[3 * (size_t)(v + k) + (size_t)c] = x[k][c] + (c == 2 ? 0.1 * i : 0);
                mesh.faces[3 * (size_t)(f + k) + (size_t)c] = v + tri[k][c];
            }
        }
    ASSERT_OK(ql_quads_make(&r, &mesh, NULL, &OPTIONS));
    print_message("%d quads\n", r.face_count);
    assert_true(r.valid);
    assert_true(fabs(r.face_count - (double)OPTIONS.target) <= 0.1 * (double)OPTIONS.target);
    ql_quad_result_destroy(&r);
    ql_mesh_destroy(&mesh);
    ql_mesh_destroy(&torus);
}

static void make_mesh(ql_mesh *mesh, int32_t vertices, int32_t faces, const double *x, const int32_t *tri)
{
    ASSERT_OK(ql_mesh_create(mesh, "small", "", vertices, faces));
    memcpy(mesh->vertices, x, 3 * (size_t)vertices * sizeof *x);
    memcpy(mesh->faces, tri, 3 * (size_t)faces * sizeof *tri);
}

static void test_small(void **state)
{
    (void)state;
    static const double x[21] = {0, 0, 0, 1, 0, 0, 0, 1, 0, 9, 9, 9, 5, 0, 0, 6, 0, 0, 5, 1, 0};
    static const int32_t one[3] = {0, 1, 2}, two[6] = {0, 1, 2, 4, 5, 6};
    ql_mesh mesh = {0};
    ql_quad_result r;
    make_mesh(&mesh, 4, 1, x, one); /* a single triangle, an unreferenced vertex */
    ASSERT_OK(ql_quads_make(&r, &mesh, NULL, &OPTIONS));
    assert_true(r.valid && r.quality.euler == 1);
    ql_quad_result_destroy(&r);
    ql_mesh_destroy(&mesh);
    make_mesh(&mesh, 7, 2, x, two); /* two components */
    ASSERT_OK(ql_quads_make(&r, &mesh, NULL, &OPTIONS));
    assert_true(r.valid && r.quality.euler == 2);
    ql_quad_result_destroy(&r);
    ql_mesh_destroy(&mesh);
}

/* An open tube along a helix, without a feature but its two rims. */
static void make_spring(ql_mesh *mesh)
{
    enum { RINGS = 160, AROUND = 14 };
    const double radius = 0.16;
    ASSERT_OK(ql_mesh_create(mesh, "spring", "", RINGS * AROUND, 2 * (RINGS - 1) * AROUND));
    for (int32_t i = 0; i < RINGS; ++i)
        for (int32_t k = 0; k < AROUND; ++k) {
            double t = 25.0 * i / RINGS, a = 2 * M_PI * k / AROUND, out[3] = {cos(t), sin(t), 0},
                   axis[3] = {-sin(t), cos(t), 0.12}, up[3], *x = mesh->vertices + 3 * (AROUND * i + k);
            (void)ql_normalise(axis);
            ql_cross(axis, out, up);
            for (int c = 0; c < 3; ++c) x[c] = out[c] + radius * (cos(a) * out[c] + sin(a) * up[c]);
            x[2] += 0.12 * t;
        }
    int32_t *f = mesh->faces;
    for (int32_t i = 0; i + 1 < RINGS; ++i)
        for (int32_t k = 0; k < AROUND; ++k, f += 6) {
            int32_t a = AROUND * i + k, b = AROUND * i + (k + 1) % AROUND;
            memcpy(f, ((int32_t[6]){a, b, b + AROUND, a, b + AROUND, a + AROUND}), 6 * sizeof *f);
        }
}

/* A smooth field along so long a tube is twisted by chance; it must not stay so. */
static void test_spring(void **state)
{
    (void)state;
    ql_mesh mesh = {0};
    make_spring(&mesh);
    ql_quads_options options = OPTIONS;
    options.target = 2500;
    check_result(&mesh, NULL, &options, QL_RUNG_SCALED, 4);
    ql_mesh_destroy(&mesh);
}

/* The rung that always works meets the number of quads, too, also where sharp edges ask for more, and most vertices are regular. */
static void test_split(void **state)
{
    (void)state;
    static const double targets[] = {400, 1000, 3000};
    ql_mesh mesh = {0};
    ql_prepared prepared;
    ASSERT_OK(ql_generate_bracket(&mesh, 8));
    ASSERT_OK(ql_prepare(&prepared, &mesh));
    for (size_t i = 0; i < sizeof targets / sizeof *targets; ++i) {
        int64_t effort = 0;
        int32_t irregular = 0;
        bool found = false;
        ql_quad_quality time = {0};
        ql_job job = {.mesh = &mesh,
                      .component = &prepared.component[0],
                      .edge = sqrt(prepared.area / targets[i]),
                      .begin = {0.8, 0.35, 0.7, 0},
                      .feature_angle_deg = 40,
                      .effort = &effort,
                      .patience = 1,
                      .time = &time};
        ASSERT_OK(ql_job_prepare(&job));
        ASSERT_OK(ql_job_split(&job, &found));
        assert_true(found && job.rung == QL_RUNG_SPLIT);
        print_message("%g quads wanted: %d\n", targets[i], job.quads.face_count);
        assert_true(fabs(job.quads.face_count / targets[i] - 1) <= 0.1);
        ASSERT_OK(ql_quad_count_irregular(&job.quads, &irregular));
        assert_true(irregular <= 0.25 * job.quads.face_count);
        ql_job_destroy(&job);
    }
    ql_prepared_destroy(&prepared);
    ql_mesh_destroy(&mesh);
}

/* Angle at x of a field with two singular vertices of opposite index, 0.3 apart on a plate. */
static double pair_angle(const double *x)
{
    return (atan2(x[1] - 0.5, x[0] - 0.35) - atan2(x[1] - 0.5, x[0] - 0.65)) / 4;
}

/* What an irregular vertex less may cost decides whether a pair of a given field stays. */
static void test_irregular_price(void **state)
{
    (void)state;
    enum { N = 40 };
    ql_mesh mesh = {0};
    double *alpha;
    ASSERT_OK(ql_mesh_create(&mesh, "plate", "", (N + 1) * (N + 1), 2 * N * N));
    for (int v = 0; v < (N + 1) * (N + 1); ++v) {
        mesh.vertices[3 * v] = (double)(v % (N + 1)) / N;
        mesh.vertices[3 * v + 1] = (double)(v / (N + 1)) / N;
    }
    for (int f = 0; f < 2 * N * N; ++f) {
        int32_t a = f / 2 % N + f / 2 / N * (N + 1), b = a + N + 2;
        const int32_t face[2][3] = {{a, a + 1, b}, {a, b, b - 1}};
        memcpy(mesh.faces + 3 * (size_t)f, face[f % 2], sizeof face[0]);
    }
    ASSERT_OK(QL_TAKE(alpha, 3 * mesh.face_count));
    for (int32_t f = 0; f < mesh.face_count; ++f) {
        double x[3] = {0, 0, 0};
        for (int k = 0; k < 3; ++k) ql_axpy(1.0 / 3, mesh.vertices + 3 * (size_t)mesh.faces[3 * f + k], x);
        alpha[3 * (size_t)f] = cos(pair_angle(x));
        alpha[3 * (size_t)f + 1] = sin(pair_angle(x));
    }
    for (int dear = 0; dear < 2; ++dear) {
        ql_quads_options options = OPTIONS;
        options.method = QL_QUADS_TRAINED;
        options.irregular_price = dear ? 4 : 0;
        ql_quad_result r;
        ASSERT_OK(ql_quads_make(&r, &mesh, alpha, &options));
        assert_true(r.valid && r.rung == QL_RUNG_FIELD);
        assert_true(r.quality.irregular_interior == (dear ? 0 : 2));
        ql_quad_result_destroy(&r);
    }
    ql_free(alpha);
    ql_mesh_destroy(&mesh);
}

/* A given field that whirls bends its map until it folds; the smoothest field with its singular vertices has one. */
static void test_whirling_field(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double whirl, irregular;
    } cases[] = {{"torus", 3, 8}, {"handles-3", 2, 16}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        ql_mesh mesh = {0};
        double *alpha;
        ASSERT_OK(ql_generate_by_name(&mesh, cases[i].name, 4000));
        ASSERT_OK(QL_TAKE(alpha, 3 * mesh.face_count));
        for (size_t f = 0; f < (size_t)mesh.face_count; ++f) {
            static const double axis[3] = {0.1, 0.2, 1};
            const int32_t *v = mesh.faces + 3 * f;
            double x[3] = {0, 0, 0}, n[3], across[3], along[3];
            for (int k = 0; k < 3; ++k) ql_axpy(1.0 / 3, mesh.vertices + 3 * (size_t)v[k], x);
            (void)ql_triangle_normal(mesh.vertices + 3 * (size_t)v[0], mesh.vertices + 3 * (size_t)v[1],
                                     mesh.vertices + 3 * (size_t)v[2], n);
            ql_cross(n, axis, across);
            ql_cross(n, across, along);
            double angle = cases[i].whirl * sin(3 * x[2] + 2 * x[0]);
            ql_axpy(cos(angle), across, alpha + 3 * f);
            ql_axpy(sin(angle), along, alpha + 3 * f);
        }
        ql_quads_options options = OPTIONS;
        options.method = QL_QUADS_TRAINED;
        options.irregular_price = 3;
        check_result(&mesh, alpha, &options, QL_RUNG_FIELD, cases[i].irregular);
        ql_free(alpha);
        ql_mesh_destroy(&mesh);
    }
}

static void test_real(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        ql_quad_rung worst;
        double irregular;
    } cases[] = {{"torque", QL_RUNG_SCALED, 8}, {"block", QL_RUNG_SCALED, 60}, {"fandisk", QL_RUNG_FIELD, 30}};
    SKIP_WITHOUT_SHARED("quads of real meshes");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        char path[4096];
        ql_mesh mesh = {0};
        ql_quads_options options = OPTIONS;
        options.target = 4000;
        (void)snprintf(path, sizeof path, "%s/meshes/dev/%s.obj", ql_test_shared(), cases[i].name);
        ASSERT_OK(ql_mesh_read(&mesh, path));
        check_result(&mesh, NULL, &options, cases[i].worst, cases[i].irregular);
        ql_mesh_destroy(&mesh);
    }
}

static void test_quality_names(void **state)
{
    (void)state;
    ql_quad_quality q = {.faces = 1, .total_s = 7};
    int n = ql_quad_quality_count();
    assert_string_equal(ql_quad_quality_name(0), "faces");
    assert_string_equal(ql_quad_quality_name(n - 1), "total_s");
    assert_string_equal(ql_quad_quality_unit(n - 1), "s");
    assert_true(ql_quad_quality_value(&q, 0) == 1 && ql_quad_quality_value(&q, n - 1) == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generated),
        cmocka_unit_test(test_coarse_torus),
        cmocka_unit_test(test_given_field),
        cmocka_unit_test(test_number_of_quads),
        cmocka_unit_test(test_number_of_quads_with_specks),
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_spring),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_irregular_price),
        cmocka_unit_test(test_whirling_field),
        cmocka_unit_test(test_real),
        cmocka_unit_test(test_quality_names),
    };
    return ql_test_main(tests);
}

/* Generators: sizes, topology, orientation, quality of triangles, names, and that they always give the same mesh. */
#include "support/test.h"

#include "mesh/generate.h"
#include "mesh/preflight.h"

#include <math.h>
#include <string.h>

static ql_preflight report_of(const ql_mesh *mesh)
{
    ql_topology topology;
    ql_preflight report;
    ASSERT_OK(ql_topology_build(&topology, mesh));
    ASSERT_OK(ql_preflight_run(&report, mesh, &topology, 40.0));
    ql_topology_destroy(&topology);
    return report;
}

/* What all have in common; `loops` = 0 also wants a closed surface with outward normals. */
static ql_preflight check(const ql_mesh *mesh, int genus, int loops)
{
    ql_preflight r = report_of(mesh);
    assert_true(r.manifold && r.oriented && r.closed == (loops == 0));
    assert_int_equal(r.components, 1);
    assert_int_equal(r.genus, genus);
    assert_int_equal(r.boundary_loops, loops);
    assert_int_equal(r.degenerate_faces + r.duplicate_faces + r.isolated_vertices, 0);
    assert_true(r.min_angle_deg > 15.0);
    if (loops == 0) assert_true(r.volume > 0.0);
    assert_true(mesh->hash != 0 && mesh->path[0] == '\0');
    return r;
}

static void test_icosphere(void **state)
{
    (void)state;
    for (int n = 0; n <= 4; ++n) {
        ql_mesh mesh;
        ASSERT_OK(ql_generate_icosphere(&mesh, n));
        assert_int_equal(mesh.face_count, 20 << (2 * n));
        assert_int_equal(mesh.vertex_count, (10 << (2 * n)) + 2);
        ql_preflight r = check(&mesh, 0, 0);
        if (n == 4) assert_true(fabs(r.volume - 4.18879) < 0.01);
        for (int32_t v = 0; v < mesh.vertex_count; ++v) {
            const double *p = mesh.vertices + 3 * v;
            assert_true(fabs(p[0] * p[0] + p[1] * p[1] + p[2] * p[2] - 1.0) < 1e-14);
        }
        ql_mesh_destroy(&mesh);
    }
}

static void test_torus(void **state)
{
    (void)state;
    static const int SIZES[][2] = {{4, 3}, {5, 3}, {20, 8}, {21, 8}, {64, 25}};
    for (int i = 0; i < 5; ++i) {
        ql_mesh mesh;
        ASSERT_OK(ql_generate_torus(&mesh, SIZES[i][0], SIZES[i][1]));
        assert_int_equal(mesh.face_count, 2 * SIZES[i][0] * SIZES[i][1]);
        (void)check(&mesh, 1, 0);
        ql_mesh_destroy(&mesh);
    }
}

static void test_block_and_bracket(void **state)
{
    (void)state;
    for (int r = 1; r <= 6; ++r) {
        ql_mesh mesh;
        ASSERT_OK(ql_generate_block(&mesh, r));
        assert_int_equal(mesh.face_count, 132 * r * r);
        ql_preflight report = check(&mesh, 0, 0);
        assert_int_equal(report.sharp_edges, 58 * r); /* edges of the solid, and only those */
        ql_mesh_destroy(&mesh);
        ASSERT_OK(ql_generate_bracket(&mesh, r));
        assert_int_equal(mesh.face_count, 28 * r * r);
        report = check(&mesh, 0, 2);
        assert_int_equal(report.sharp_edges, 3 * r); /* the fold */
        assert_int_equal(report.boundary_edges, 20 * r);
        assert_true(fabs(report.area - 14.0) < 1e-12);
        ql_mesh_destroy(&mesh);
    }
}

static void test_smooth_shapes(void **state)
{
    (void)state;
    ql_mesh mesh;
    ASSERT_OK(ql_generate_double_torus(&mesh, 24));
    ql_preflight r = check(&mesh, 2, 0);
    assert_true(fabs(r.volume - 1.9) < 0.1);
    ql_mesh_destroy(&mesh);
    for (int genus = 0; genus <= 5; ++genus) {
        ASSERT_OK(ql_generate_handles(&mesh, genus, 34));
        r = check(&mesh, genus, 0);
        assert_true(fabs(r.area - (12.56 + 3.25 * genus)) < 0.5); /* nothing has collapsed */
        ql_mesh_destroy(&mesh);
    }
}

static void test_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int faces, genus, loops;
        double tolerance; /* relative, of the number of faces */
    } CASES[] = {
        {"icosphere", 1280, 0, 0, 0.01},  {"icosphere", 5000, 0, 0, 0.6},    {"torus", 500, 1, 0, 0.15},
        {"torus", 20000, 1, 0, 0.05},     {"block", 2000, 0, 0, 0.25},       {"bracket", 800, 0, 2, 0.25},
        {"double-torus", 500, 2, 0, 0.2}, {"double-torus", 2000, 2, 0, 0.1}, {"handles-0", 1000, 0, 0, 0.15},
        {"handles-3", 2000, 3, 0, 0.3},   {"handles-5", 3500, 5, 0, 0.15},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; ++i) {
        ql_mesh mesh, again;
        ASSERT_OK(ql_generate_by_name(&mesh, CASES[i].name, CASES[i].faces));
        assert_string_equal(mesh.name, CASES[i].name);
        if (abs(mesh.face_count - CASES[i].faces) > CASES[i].tolerance * CASES[i].faces)
            fail_msg("%s: %d faces for %d", CASES[i].name, mesh.face_count, CASES[i].faces);
        (void)check(&mesh, CASES[i].genus, CASES[i].loops);
        ASSERT_OK(ql_generate_by_name(&again, CASES[i].name, CASES[i].faces));
        assert_true(again.hash == mesh.hash);
        ql_mesh_destroy(&mesh);
        ql_mesh_destroy(&again);
    }
    /* as few as the shape can do with */
    ql_mesh mesh;
    ASSERT_OK(ql_generate_by_name(&mesh, "handles-5", 1));
    (void)check(&mesh, 5, 0);
    ql_mesh_destroy(&mesh);
}

static void test_refusals(void **state)
{
    (void)state;
    ql_mesh mesh;
    assert_int_equal(ql_generate_icosphere(&mesh, -1), QL_STATUS_USAGE);
    assert_int_equal(ql_generate_icosphere(&mesh, 12), QL_STATUS_USAGE);
    assert_int_equal(ql_generate_torus(&mesh, 2, 8), QL_STATUS_USAGE);
    assert_int_equal(ql_generate_block(&mesh, 0), QL_STATUS_USAGE);
    assert_int_equal(ql_generate_handles(&mesh, 6, 30), QL_STATUS_USAGE);
    assert_int_equal(ql_generate_double_torus(&mesh, 1000000), QL_STATUS_USAGE);
    assert_int_equal(ql_generate_handles(&mesh, 5, 8), QL_STATUS_USAGE); /* too coarse */
    assert_int_equal(ql_generate_by_name(&mesh, "teapot", 100), QL_STATUS_USAGE);
    assert_non_null(strstr(ql_error_text(), "double-torus"));
    assert_int_equal(ql_generate_by_name(&mesh, "handles-6", 100), QL_STATUS_USAGE);
    assert_int_equal(ql_generate_by_name(&mesh, "handles-33", 100), QL_STATUS_USAGE);
    assert_int_equal(ql_generate_by_name(&mesh, "torus", 0), QL_STATUS_USAGE);
}

static void test_memory_runs_out(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"icosphere", "torus", "block", "bracket", "double-torus"};
    for (int i = 0; i < 5; ++i) {
        ql_status status = QL_STATUS_NO_MEMORY;
        for (int n = 1; status != QL_OK; n += 1 + n / 2) {
            ql_mesh mesh;
            ql_memory_fail_at(n);
            status = ql_generate_by_name(&mesh, NAMES[i], 300);
            ql_memory_fail_at(0);
            assert_true(status == QL_OK || status == QL_STATUS_NO_MEMORY);
            ql_mesh_destroy(&mesh);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_icosphere),         cmocka_unit_test(test_torus),
        cmocka_unit_test(test_block_and_bracket), cmocka_unit_test(test_smooth_shapes),
        cmocka_unit_test(test_by_name),           cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_memory_runs_out),
    };
    return ql_test_main(tests);
}

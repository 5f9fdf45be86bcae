/* Seams between patches that have vertices of their own: what becomes one edge, and what does not. */
#include "support/test.h"

#include "mesh/preflight.h"
#include "mesh/seams.h"

#include <stdio.h>
#include <string.h>

static int32_t read_vertices; /* before joining */

/* The mesh in a text, joined. */
static void read_text(ql_mesh *mesh, const char *text)
{
    ASSERT_OK(ql_mesh_read_memory(mesh, "text.obj", text, strlen(text)));
    read_vertices = mesh->vertex_count;
    ASSERT_OK(ql_mesh_join_seams(mesh));
}

static void examine(ql_preflight *report, const ql_mesh *mesh)
{
    ql_topology topology;
    ASSERT_OK(ql_topology_build(&topology, mesh));
    ASSERT_OK(ql_preflight_run(report, mesh, &topology, 40.0));
    ql_topology_destroy(&topology);
}

/* The sides of a cube, each with four corners of its own, as a CAD program tessellates it. */
static void cube_of_patches(char *text, size_t size)
{
    static const int CORNERS[6][4] = {{0, 2, 3, 1}, {4, 5, 7, 6}, {0, 1, 5, 4},
                                      {2, 6, 7, 3}, {0, 4, 6, 2}, {1, 3, 7, 5}};
    size_t used = 0;
    for (int s = 0; s < 6; ++s) {
        for (int k = 0; k < 4; ++k) {
            int c = CORNERS[s][k];
            used += (size_t)snprintf(text + used, size - used, "v %g %g %g\n", 0.1 * (c & 1), 0.1 * (c >> 1 & 1),
                                     0.1 * (c >> 2));
        }
        used += (size_t)snprintf(text + used, size - used, "f %d %d %d\nf %d %d %d\n", 4 * s + 1, 4 * s + 2, 4 * s + 3,
                                 4 * s + 1, 4 * s + 3, 4 * s + 4);
    }
}

static void test_patches_become_a_cube(void **state)
{
    (void)state;
    char text[2048];
    cube_of_patches(text, sizeof text);
    ql_mesh mesh;
    ql_preflight report;
    read_text(&mesh, text);
    examine(&report, &mesh);
    assert_int_equal(mesh.vertex_count, 8);
    assert_int_equal(read_vertices, 24);
    assert_int_equal(report.seam_vertices, 0);
    assert_int_equal(report.components, 1);
    assert_true(report.closed && report.manifold && report.oriented);
    assert_int_equal(report.euler, 2);
    assert_int_equal(report.sharp_edges, 12);
    assert_int_equal(report.isolated_vertices, 0);
    assert_float_equal(report.volume, 1e-3, 1e-15);
    ql_mesh_destroy(&mesh);
}

/* An edge of three sheets is no seam: the sheets stay apart. */
static void test_three_sheets_stay(void **state)
{
    (void)state;
    ql_mesh mesh;
    read_text(&mesh, "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 0 0\nv 0 0 0\nv 0 -1 0\nv 0 0 0\nv 1 0 0\nv 0 0 1\n"
                     "f 1 2 3\nf 4 5 6\nf 7 8 9\n");
    assert_int_equal(mesh.vertex_count, 9);
    ql_mesh_destroy(&mesh);
}

/* Nor is the border of a sheet with a back: the two would become a pillow without thickness. */
static void test_two_sided_sheet_stays(void **state)
{
    (void)state;
    ql_mesh mesh;
    read_text(&mesh, "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
                     "f 1 2 3\nf 1 3 4\nf 5 7 6\nf 5 8 7\n");
    assert_int_equal(mesh.vertex_count, 8);
    ql_mesh_destroy(&mesh);
}

/* Two triangles that run along their seam the same way are neighbours all the same; to orient them is another matter. Vertices
 * keep their order, a vertex of no face keeps its place, and one that is met at a point only stays. */
static void test_order_and_orientation(void **state)
{
    (void)state;
    ql_mesh mesh;
    ql_preflight report;
    read_text(&mesh, "v 5 5 5\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv -0 0 0\nv 1 0 0\nv 0 -1 0\nv 0 1 0\nv -1 1 0\nv -1 2 0\n"
                     "f 2 3 4\nf 5 6 7\nf 8 9 10\n");
    examine(&report, &mesh);
    assert_int_equal(mesh.vertex_count, 8);
    static const int32_t FACES[9] = {1, 2, 3, 1, 2, 4, 5, 6, 7};
    assert_memory_equal(mesh.faces, FACES, sizeof FACES);
    assert_int_equal(report.misoriented_edges, 1);
    assert_int_equal(report.isolated_vertices, 1);
    assert_float_equal(mesh.vertices[3 * 7 + 1], 2.0, 0.0);
    ql_mesh_destroy(&mesh);
}

/* A face of which two corners are at one place: the faces beside it become neighbours. Before joining the report counts. */
static void test_collapsed_face(void **state)
{
    (void)state;
    static const char TEXT[] = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 0 0\nv 1 1 0\nf 1 2 3\nf 3 2 4\nf 3 4 5\n";
    ql_mesh mesh;
    ql_preflight report;
    ASSERT_OK(ql_mesh_read_memory(&mesh, "text.obj", TEXT, sizeof TEXT - 1));
    examine(&report, &mesh);
    assert_int_equal(report.seam_vertices, 1);
    assert_int_equal(report.vertices, 5);
    assert_int_equal(report.boundary_edges, 5);
    ASSERT_OK(ql_mesh_join_seams(&mesh));
    examine(&report, &mesh);
    assert_int_equal(mesh.face_count, 3);
    assert_int_equal(report.boundary_edges, 4);
    assert_int_equal(report.degenerate_faces, 1);
    ql_mesh_destroy(&mesh);
}

/* Digits: sides that differ by a millionth of the size are a seam, by a hundred-thousandth they are a cut, wherever the mesh lies
 * and whichever side of a grid's line. */
static void test_tolerance(void **state)
{
    (void)state;
    static const double OFFSETS[] = {0, 1e-6, 0.123456789, -77.7, 1e5};
    for (int near = 0; near < 2; ++near)
        for (size_t i = 0; i < sizeof OFFSETS / sizeof OFFSETS[0]; ++i) {
            char text[512];
            double x = OFFSETS[i], d = near ? -1e-6 : -1e-5;
            (void)snprintf(
                text, sizeof text,
                "v %.12f 0 0\nv %.12f 0 0\nv %.12f 1 0\nv %.12f 0 0\nv %.12f 1 0\nv %.12f 1 0\nf 1 2 3\nf 4 5 6\n", x,
                x + 1, x, x + 1 + d, x + 1, x + d);
            ql_mesh mesh;
            read_text(&mesh, text);
            assert_int_equal(mesh.vertex_count, near ? 4 : 6);
            ql_mesh_destroy(&mesh);
        }
}

/* The same mesh with and without a seam has one hash: the content decides. */
static void test_hash(void **state)
{
    (void)state;
    ql_mesh apart, whole;
    read_text(&apart, "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nf 1 2 3\nf 4 5 6\n");
    read_text(&whole, "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\nf 1 2 3\nf 2 4 3\n");
    assert_int_equal(apart.vertex_count, 4);
    assert_true(apart.hash == whole.hash);
    ql_mesh_destroy(&apart);
    ql_mesh_destroy(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patches_become_a_cube),
        cmocka_unit_test(test_three_sheets_stay),
        cmocka_unit_test(test_two_sided_sheet_stays),
        cmocka_unit_test(test_order_and_orientation),
        cmocka_unit_test(test_collapsed_face),
        cmocka_unit_test(test_tolerance),
        cmocka_unit_test(test_hash),
    };
    return ql_test_main(tests);
}

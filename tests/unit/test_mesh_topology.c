/* Edges and opposites: closed and open surfaces, non-manifold edges, collapsed faces, order, agreement with brute force. */
#include "support/test.h"

#include "base/clock.h"
#include "base/random.h"
#include "mesh/generate.h"
#include "mesh/topology.h"

#include <string.h>

static void build_from(ql_mesh *mesh, ql_topology *topology, int32_t vertices, const int32_t (*faces)[3], int32_t count)
{
    ASSERT_OK(ql_mesh_create(mesh, "test", "", vertices, count));
    memcpy(mesh->faces, faces, sizeof *faces * (size_t)count);
    ASSERT_OK(ql_topology_build(topology, mesh));
}

static void test_tetrahedron(void **state)
{
    (void)state;
    ql_mesh mesh;
    ql_topology t;
    const int32_t faces[][3] = {{0, 2, 1}, {0, 1, 3}, {1, 2, 3}, {2, 0, 3}};
    build_from(&mesh, &t, 4, faces, 4);
    assert_int_equal(t.edge_count, 6);
    const int32_t edges[] = {0, 1, 0, 2, 0, 3, 1, 2, 1, 3, 2, 3};
    assert_memory_equal(t.edge_vertices, edges, sizeof edges);
    for (int32_t h = 0; h < 12; ++h) {
        int32_t g = t.opposite[h];
        assert_true(g >= 0 && t.opposite[g] == h && t.edge_of[g] == t.edge_of[h]);
        assert_int_equal(ql_halfedge_from(&mesh, h), ql_halfedge_to(&mesh, g));
        assert_int_equal(ql_halfedge_next(ql_halfedge_previous(h)), h);
        assert_int_equal(ql_halfedge_face(ql_halfedge_next(h)), ql_halfedge_face(h));
    }
    ql_topology_destroy(&t);
    ql_mesh_destroy(&mesh);
}

static void test_defects(void **state)
{
    (void)state;
    ql_mesh mesh;
    ql_topology t;
    /* three faces on edge 0 1; face 3 repeats a vertex; face 4 runs along 1 2 like face 0 */
    const int32_t faces[][3] = {{0, 1, 2}, {1, 0, 3}, {0, 1, 4}, {2, 2, 5}, {1, 2, 6}};
    build_from(&mesh, &t, 7, faces, 5);
    int32_t shared = t.edge_of[0];
    assert_int_equal(t.edge_ptr[shared + 1] - t.edge_ptr[shared], 3);
    const int32_t on_edge[] = {0, 3, 6};
    assert_memory_equal(t.edge_halfedges + t.edge_ptr[shared], on_edge, sizeof on_edge);
    assert_int_equal(t.opposite[0], QL_NO_HALFEDGE);
    for (int32_t h = 9; h < 12; ++h) assert_true(t.edge_of[h] == -1 && t.opposite[h] == QL_NO_HALFEDGE);
    assert_int_equal(t.opposite[1], 12);
    assert_int_equal(t.opposite[12], 1);
    ql_topology_destroy(&t);
    ql_mesh_destroy(&mesh);
}

/* Random faces on few vertices (every defect at once) against a search over all pairs. */
static void test_against_brute_force(void **state)
{
    (void)state;
    enum { FACES = 300, VERTICES = 40 };
    ql_mesh mesh;
    ql_topology t;
    int32_t faces[FACES][3];
    for (int f = 0; f < FACES; ++f)
        for (int k = 0; k < 3; ++k)
            faces[f][k] =
                (int32_t)(ql_random_at(ql_key_make(3, 0), QL_STREAM_TEST, (uint32_t)k, (uint64_t)f).r[0] % VERTICES);
    build_from(&mesh, &t, VERTICES, (const int32_t(*)[3])faces, FACES);
    for (int32_t h = 0; h < 3 * FACES; ++h) {
        const int32_t *face = faces[h / 3];
        bool collapsed = face[0] == face[1] || face[1] == face[2] || face[2] == face[0];
        assert_true((t.edge_of[h] < 0) == collapsed);
        if (collapsed) continue;
        int32_t a = ql_halfedge_from(&mesh, h), b = ql_halfedge_to(&mesh, h), partners = 0, last = -1;
        for (int32_t g = 0; g < 3 * FACES; ++g) {
            if (g == h || t.edge_of[g] < 0) continue;
            int32_t c = ql_halfedge_from(&mesh, g), d = ql_halfedge_to(&mesh, g);
            bool same = (a == c && b == d) || (a == d && b == c);
            assert_true(same == (t.edge_of[g] == t.edge_of[h]));
            partners += same;
            if (same) last = g;
        }
        assert_int_equal(t.opposite[h], partners == 1 ? last : QL_NO_HALFEDGE);
        assert_int_equal(t.edge_ptr[t.edge_of[h] + 1] - t.edge_ptr[t.edge_of[h]], partners + 1);
    }
    ql_topology_destroy(&t);
    ql_mesh_destroy(&mesh);
}

/* One vertex in every face: a bucket as large as the mesh must not make it quadratic. */
static void test_fan_of_many(void **state)
{
    (void)state;
    enum { FACES = 300000 };
    ql_mesh mesh;
    ql_topology t;
    ASSERT_OK(ql_mesh_create(&mesh, "fan", "", FACES + 2, FACES));
    for (int32_t f = 0; f < FACES; ++f) {
        mesh.faces[3 * f] = 0;
        mesh.faces[3 * f + 1] = 1 + (int32_t)((int64_t)f * 7919 % FACES);
        mesh.faces[3 * f + 2] = mesh.faces[3 * f + 1] + 1;
    }
    double start = ql_clock_s();
    ASSERT_OK(ql_topology_build(&t, &mesh));
    assert_true(ql_clock_s() - start < 5.0);
    assert_int_equal(t.edge_count, 2 * FACES + 1);
    ql_topology_destroy(&t);
    ql_mesh_destroy(&mesh);
}

static void test_memory_runs_out(void **state)
{
    (void)state;
    ql_mesh mesh;
    ql_topology t;
    ASSERT_OK(ql_generate_icosphere(&mesh, 1));
    for (int n = 1; n < 20; ++n) {
        ql_memory_fail_at(n);
        ql_status status = ql_topology_build(&t, &mesh);
        ql_memory_fail_at(0);
        ql_topology_destroy(&t);
        if (status == QL_OK) break;
        assert_int_equal(status, QL_STATUS_NO_MEMORY);
    }
    ql_mesh_destroy(&mesh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tetrahedron),         cmocka_unit_test(test_defects),
        cmocka_unit_test(test_against_brute_force), cmocka_unit_test(test_fan_of_many),
        cmocka_unit_test(test_memory_runs_out),
    };
    return ql_test_main(tests);
}

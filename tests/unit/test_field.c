/* Tables, singularities and feature distances against closed forms. */
#include "support/test.h"

#include "base/clock.h"
#include "field/feature_distance.h"
#include "field/singularity.h"
#include "mesh/generate.h"

#include <math.h>
#include <string.h>

typedef struct fixture {
    ql_mesh mesh;
    ql_topology topology;
    ql_tables tables;
} fixture;

static void open_named(fixture *f, const char *name, int faces)
{
    ASSERT_OK(ql_generate_by_name(&f->mesh, name, faces));
    ASSERT_OK(ql_topology_build(&f->topology, &f->mesh));
    ASSERT_OK(ql_tables_build(&f->tables, &f->mesh, &f->topology, 1));
}

static void close_fixture(fixture *f)
{
    ql_tables_destroy(&f->tables);
    ql_topology_destroy(&f->topology);
    ql_mesh_destroy(&f->mesh);
}

static double dot3(const double *a, const double *b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

static void frames_are_orthonormal(void **state)
{
    (void)state;
    fixture f;
    open_named(&f, "torus", 800);
    double largest = 0;
    for (int32_t i = 0; i < f.tables.face_count; ++i) {
        const double *n = f.tables.normals + 3 * i, *u = f.tables.u + 3 * i, *v = f.tables.v + 3 * i;
        assert_true(fabs(dot3(n, n) - 1) < 1e-12 && fabs(dot3(u, u) - 1) < 1e-11 && fabs(dot3(v, v) - 1) < 1e-11);
        assert_true(fabs(dot3(n, u)) < 1e-12 && fabs(dot3(u, v)) < 1e-12 && fabs(dot3(v, n)) < 1e-12);
        for (int c = 0; c < 3; ++c) largest = fmax(largest, fabs(f.tables.points[3 * i + c]));
    }
    assert_true(fabs(largest - 1) < 1e-12); /* the scale makes the farthest component 1 */
    close_fixture(&f);
}

/* The frame follows the specification on axis-parallel normals, ties included. */
static void frame_takes_the_smallest_component(void **state)
{
    (void)state;
    const double n[3] = {0, 0, 1};
    double u[3], v[3];
    ql_frame_of_normal(n, u, v); /* m = 0 (first of the tie), a = 1, b = 2: u = (0, n2, -n1) = (0, 1, 0) */
    assert_true(u[0] == 0 && fabs(u[1] - 1) < 1e-11 && u[2] == 0);
    assert_true(fabs(v[0] + 1) < 1e-11 && fabs(v[1]) < 1e-12);
}

/* rho_ij = -rho_ji modulo 2 pi, and transporting a tangent vector by rho is the rotation about the shared edge. */
static void transport_reverses(void **state)
{
    (void)state;
    fixture f;
    open_named(&f, "block", 1000);
    const ql_tables *t = &f.tables;
    for (int32_t i = 0; i < t->face_count; ++i)
        for (int32_t k = t->neighbour_ptr[i]; k < t->neighbour_ptr[i + 1]; ++k) {
            int32_t j = t->neighbour[k], back = -1;
            for (int32_t l = t->neighbour_ptr[j]; l < t->neighbour_ptr[j + 1]; ++l)
                if (t->neighbour[l] == i) back = l;
            assert_true(back >= 0);
            assert_true(fabs(remainder(t->transport[k] + t->transport[back], 2 * M_PI)) < 1e-9);
        }
    close_fixture(&f);
}

/* Sigma by brute force. */
static void sigma_is_the_50th_distance(void **state)
{
    (void)state;
    fixture f;
    open_named(&f, "icosphere", 320);
    const ql_tables *t = &f.tables;
    for (int32_t i = 0; i < t->face_count; i += 37) {
        int32_t nearer = 0, not_farther = 0;
        for (int32_t j = 0; j < t->face_count; ++j) {
            double d = 0;
            for (int c = 0; c < 3; ++c) d += pow(t->points[3 * i + c] - t->points[3 * j + c], 2);
            nearer += j != i && sqrt(d) < t->sigma[i] - 1e-12;
            not_farther += j != i && sqrt(d) <= t->sigma[i] + 1e-12;
        }
        assert_true(nearer < QL_SIGMA_NEIGHBOUR && not_farther >= QL_SIGMA_NEIGHBOUR);
    }
    close_fixture(&f);
}

static int64_t index_sum(const char *name, int faces, uint64_t seed)
{
    fixture f;
    open_named(&f, name, faces);
    double *theta = NULL;
    int8_t *index = NULL;
    ASSERT_OK(QL_TAKE(theta, f.mesh.face_count));
    ASSERT_OK(QL_TAKE(index, f.mesh.vertex_count));
    srand((unsigned)seed);
    for (int32_t i = 0; i < f.mesh.face_count; ++i) theta[i] = 6.0 * rand() / RAND_MAX;
    ql_singularities found;
    ASSERT_OK(ql_singularities_find(&found, index, &f.mesh, &f.topology, &f.tables, theta));
    int64_t sum = 0;
    for (int32_t v = 0; v < f.mesh.vertex_count; ++v) sum += index[v];
    assert_int_equal(sum, found.sum);
    ql_free(theta);
    ql_free(index);
    close_fixture(&f);
    return found.sum;
}

/* Poincare-Hopf for any field at all: sum of indices = 4 chi quarter turns. */
static void indices_sum_to_four_chi(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 6; ++seed) {
        assert_int_equal(index_sum("icosphere", 320, seed), 8);
        assert_int_equal(index_sum("torus", 600, seed), 0);
        assert_int_equal(index_sum("block", 800, seed), 8);
        assert_int_equal(index_sum("double-torus", 1500, seed), -8);
    }
}

/* A degenerate face and one without neighbours are legal; transport to a face without a plane is not a number. */
static void odd_faces_are_legal(void **state)
{
    (void)state;
    static const double at[] = {0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 1, 0, 2, 0, 0, 5, 5, 5, 6, 5, 5, 5, 6, 5};
    static const int32_t faces[] = {0, 1, 2, 1, 3, 2, 0, 4, 1, 5, 6, 7};
    fixture f;
    ASSERT_OK(ql_mesh_create(&f.mesh, "odd", "", 8, 4));
    memcpy(f.mesh.vertices, at, sizeof at);
    memcpy(f.mesh.faces, faces, sizeof faces);
    ASSERT_OK(ql_topology_build(&f.topology, &f.mesh));
    ASSERT_OK(ql_tables_build(&f.tables, &f.mesh, &f.topology, 1));
    const ql_tables *t = &f.tables;
    assert_true(t->u[6] == 0 && t->u[7] == 0 && t->u[8] == 0); /* face 2: corners on a line */
    assert_int_equal(t->neighbour_ptr[4] - t->neighbour_ptr[3], 0);
    for (int32_t i = 0; i < 4; ++i)
        for (int32_t k = t->neighbour_ptr[i]; k < t->neighbour_ptr[i + 1]; ++k)
            assert_int_equal(isnan(t->transport[k]) != 0, i == 2 || t->neighbour[k] == 2);
    close_fixture(&f);
}

/* Distance to the creases of the block is zero nowhere but small beside them; on a sphere there are none. */
static void feature_distance_sees_creases(void **state)
{
    (void)state;
    fixture f;
    int32_t edges;
    double *distance = NULL;
    open_named(&f, "icosphere", 1280);
    ASSERT_OK(QL_TAKE(distance, f.mesh.face_count));
    ASSERT_OK(ql_feature_distance(distance, &edges, &f.mesh, &f.topology, &f.tables, 40));
    assert_int_equal(edges, 0);
    assert_true(distance[0] > 1e20);
    ql_free(distance);
    close_fixture(&f);
    open_named(&f, "block", 1500);
    ASSERT_OK(QL_TAKE(distance, f.mesh.face_count));
    ASSERT_OK(ql_feature_distance(distance, &edges, &f.mesh, &f.topology, &f.tables, 40));
    assert_true(edges > 20);
    for (int32_t h = 0; h < 3 * f.mesh.face_count; ++h) { /* exact against the two faces of each sharp edge */
        int32_t other = f.topology.opposite[h];
        if (other < 0 ||
            dot3(f.tables.normals + 3 * (h / 3), f.tables.normals + 3 * (other / 3)) > cos(40 * M_PI / 180))
            continue;
        const double *a = f.mesh.vertices + 3 * f.mesh.faces[h], *b = f.mesh.vertices + 3 * ql_halfedge_to(&f.mesh, h);
        double e[3], p[3], c[3];
        for (int k = 0; k < 3; ++k) {
            e[k] = (b[k] - a[k]) / f.tables.scale;
            p[k] = f.tables.points[3 * (h / 3) + k] - (a[k] - f.tables.center[k]) / f.tables.scale;
        }
        c[0] = e[1] * p[2] - e[2] * p[1], c[1] = e[2] * p[0] - e[0] * p[2], c[2] = e[0] * p[1] - e[1] * p[0];
        assert_true(distance[h / 3] <=
                    sqrt(dot3(c, c) / dot3(e, e)) + 1e-9); /* the centroid projects inside the edge */
        assert_true(distance[h / 3] > 0);
    }
    ql_free(distance);
    close_fixture(&f);
}

/* Reading, adjacency and tables of the largest real mesh: under 2 s of one core (not under sanitizers). */
static void tables_of_50000_faces_are_quick(void **state)
{
    (void)state;
    SKIP_WITHOUT_SHARED("time for the tables of meshes/dev/doubleTorus.obj");
    char path[4200];
    fixture f;
    (void)snprintf(path, sizeof path, "%s/meshes/dev/doubleTorus.obj", ql_test_shared());
    double began = ql_clock_cpu_s();
    ASSERT_OK(ql_mesh_read(&f.mesh, path));
    double read = ql_clock_cpu_s();
    ASSERT_OK(ql_topology_build(&f.topology, &f.mesh));
    ASSERT_OK(ql_tables_build(&f.tables, &f.mesh, &f.topology, 1));
    double built = ql_clock_cpu_s();
    print_message("%d faces: read in %.3f s, tables in %.3f s\n", (int)f.mesh.face_count, read - began, built - read);
    assert_int_equal(f.mesh.face_count, 50000);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true(built - began < 2);
#endif
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_orthonormal),
        cmocka_unit_test(frame_takes_the_smallest_component),
        cmocka_unit_test(transport_reverses),
        cmocka_unit_test(sigma_is_the_50th_distance),
        cmocka_unit_test(indices_sum_to_four_chi),
        cmocka_unit_test(odd_faces_are_legal),
        cmocka_unit_test(feature_distance_sees_creases),
        cmocka_unit_test(tables_of_50000_faces_are_quick),
    };
    return ql_test_main(tests);
}

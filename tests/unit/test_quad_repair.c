/* What a list of faces cannot tell apart: faces with the same vertices in the input, edges with the same ends in the quads. */
#include "support/test.h"

#include "base/memory.h"
#include "mesh/generate.h"
#include "quad/mend.h"
#include "quad/part.h"
#include "quad/prepare.h"
#include "quad/release.h"

#include <math.h>
#include <string.h>

/* A ball of 80 faces with faces added; a vertex more than the ball's, `out` times the ball's radius over the first face's first. */
static void ball(ql_mesh *mesh, const int32_t (*added)[3], int count, double out)
{
    ql_mesh plain;
    ASSERT_OK(ql_generate_icosphere(&plain, 1));
    ASSERT_OK(ql_mesh_create(mesh, "ball", "", plain.vertex_count + 1, plain.face_count + count));
    memcpy(mesh->vertices, plain.vertices, 3 * (size_t)plain.vertex_count * sizeof *mesh->vertices);
    memcpy(mesh->faces, plain.faces, 3 * (size_t)plain.face_count * sizeof *mesh->faces);
    for (int k = 0; k < 3; ++k)
        mesh->vertices[3 * plain.vertex_count + k] = out * plain.vertices[3 * plain.faces[0] + k];
    memcpy(mesh->faces + 3 * (size_t)plain.face_count, added, 3 * (size_t)count * sizeof *mesh->faces);
    ql_mesh_destroy(&plain);
}

static void expect(ql_mesh *mesh, int count, int euler, int loops, int dropped, int split)
{
    ql_prepared prepared;
    ASSERT_OK(ql_prepare(&prepared, mesh));
    assert_int_equal(prepared.count, count);
    assert_int_equal(prepared.euler, euler);
    assert_int_equal(prepared.loops, loops);
    assert_int_equal(prepared.dropped, dropped);
    assert_int_equal(prepared.split_edges, split);
    ql_prepared_destroy(&prepared);
    ql_mesh_destroy(mesh);
}

/* A flap of one face seen from both sides goes; a large one is a sheet that is meant and keeps a side. */
static void test_flaps(void **state)
{
    (void)state;
    ql_mesh mesh, plain;
    ASSERT_OK(ql_generate_icosphere(&plain, 1));
    int32_t a = plain.faces[0], b = plain.faces[1], c = plain.faces[2], tip = plain.vertex_count;
    ql_mesh_destroy(&plain);
    const int32_t flap[2][3] = {{a, b, tip}, {b, a, tip}};
    ball(&mesh, flap, 2, 1.001);
    expect(&mesh, 1, 2, 0, 2, 0);
    ball(&mesh, flap, 2, 3.0);
    expect(&mesh, 2, 3, 1, 1, 1);
    const int32_t over_face[2][3] = {{a, c, b},
                                     {b, c, a}}; /* the flap lies on a face: three copies, of which one stays */
    ball(&mesh, over_face, 1, 1.0);
    expect(&mesh, 1, 2, 0, 1, 0); /* repeated the other way round: no flap, its edges have three faces */
    const int32_t folded[2][3] = {{a, c, b}, {a, b, c}};
    ball(&mesh, folded, 2, 1.0);
    expect(&mesh, 1, 2, 0, 2, 0);
}

/* A sheet with both sides keeps one, as does a ball given twice. */
static void test_both_sides(void **state)
{
    (void)state;
    for (int which = 0; which < 2; ++which) {
        ql_mesh plain, mesh;
        if (which == 0)
            ASSERT_OK(ql_generate_bracket(&plain, 2));
        else
            ASSERT_OK(ql_generate_icosphere(&plain, 1));
        ql_prepared prepared;
        ASSERT_OK(ql_prepare(&prepared, &plain));
        int euler = prepared.euler, loops = prepared.loops, n = plain.face_count;
        ql_prepared_destroy(&prepared);
        ASSERT_OK(ql_mesh_create(&mesh, "twice", "", plain.vertex_count, 2 * n));
        memcpy(mesh.vertices, plain.vertices, 3 * (size_t)plain.vertex_count * sizeof *mesh.vertices);
        for (int32_t f = 0; f < n; ++f) {
            const int32_t *t = plain.faces + 3 * f, back[3] = {t[1], t[0], t[2]};
            memcpy(mesh.faces + 3 * f, t, sizeof back);
            memcpy(mesh.faces + 3 * (n + f), back, sizeof back);
        }
        ql_mesh_destroy(&plain);
        expect(&mesh, 1, euler, loops, n, 0);
    }
}

/* A closed tube of `rings` pairs of vertices: all edges within pairs but the first and the last are doubled. */
static void thin_tube(ql_quads *q, int rings)
{
    ASSERT_OK(ql_quads_create(q, 2 * rings, 2 * (rings - 1)));
    for (int k = 0; k < rings; ++k)
        for (int side = 0; side < 2; ++side) {
            double *x = q->vertices + 3 * (2 * k + side);
            x[0] = side ? 0.5 : -0.5;
            x[1] = 0.1 * k * k;
            x[2] = k;
            if (k + 1 == rings) continue;
            int32_t a = 2 * k + side, b = 2 * k + !side, quad[4] = {a, b, b + 2, a + 2};
            memcpy(q->faces + 4 * (2 * k + side), quad, sizeof quad);
        }
}

static void test_doubled_edges(void **state)
{
    (void)state;
    for (int rings = 3; rings <= 6; ++rings) {
        ql_quads q;
        ql_surface s;
        int32_t parted = 0;
        thin_tube(&q, rings);
        assert_int_equal(ql_quads_triangulate(&s, &q), QL_STATUS_MESH);
        ql_error_clear();
        ASSERT_OK(ql_quads_part(&q, &parted));
        assert_int_equal(parted, rings - 2);
        assert_int_equal(q.face_count, 2 * (rings - 1) + rings - 2);
        ASSERT_OK(ql_quads_triangulate(&s, &q));
        assert_int_equal(ql_surface_euler(&s), 2);
        ASSERT_OK(ql_quads_part(&q, &parted)); /* nothing left */
        assert_int_equal(parted, 0);
        ql_surface_destroy(&s);
        ql_quads_destroy(&q);
    }
}

/* Two tubes along one pair of vertices, an edge of four quads that no sheet joins: it is left alone. */
static void test_pinched_edge(void **state)
{
    (void)state;
    ql_quads q;
    int32_t parted = 0;
    ASSERT_OK(ql_quads_create(&q, 10, 4));
    static const int32_t FACES[4][4] = {{0, 1, 2, 3}, {1, 0, 4, 5}, {0, 1, 6, 7}, {1, 0, 8, 9}};
    memcpy(q.faces, FACES, sizeof FACES);
    for (int i = 0; i < 30; ++i) q.vertices[i] = (i * 7) % 11;
    ASSERT_OK(ql_quads_part(&q, &parted));
    assert_int_equal(parted, 0);
    assert_int_equal(q.face_count, 4);
    ql_quads_destroy(&q);
}

/* A closed grid of quads (a torus of n x n). */
static void torus_of_quads(ql_quads *q, int n)
{
    ASSERT_OK(ql_quads_create(q, n * n, n * n));
    for (int i = 0; i < n * n; ++i) {
        int u = i / n, v = i % n, right = (u + 1) % n * n, up = (v + 1) % n,
            quad[4] = {i, right + v, right + up, u * n + up};
        double a = 2 * M_PI * u / n, b = 2 * M_PI * v / n,
               x[3] = {cos(a) * (2 + cos(b)), sin(a) * (2 + cos(b)), sin(b)};
        memcpy(q->faces + 4 * i, quad, sizeof quad);
        memcpy(q->vertices + 3 * i, x, sizeof x);
    }
}

static void merge(ql_quads *q, int32_t from, int32_t into)
{
    for (int32_t i = 0; i < 4 * q->face_count; ++i)
        if (q->faces[i] == from) q->faces[i] = into;
}

/* Quads that are wrong in a place or two: a vertex that is one with another corner of its quad, or with its neighbour, or with one two
 * edges away; a quad turned round. */
static void test_mend(void **state)
{
    (void)state;
    enum { N = 30, KINDS = 6, A = 8 * N + 8, B = 20 * N + 20 };
    for (int kind = 0; kind < KINDS; ++kind) {
        ql_quads q;
        ql_surface s;
        int32_t mended = 0, loops = -1;
        torus_of_quads(&q, N);
        if (kind == 1 || kind == 5) merge(&q, A, A + N + 1);
        if (kind == 2) merge(&q, A, A + 1);
        if (kind == 3) merge(&q, A, A + 2 * N);
        if (kind >= 4) {
            int32_t *f = q.faces + 4 * B, swap = f[1];
            f[1] = f[3];
            f[3] = swap;
        }
        if (kind > 0) {
            assert_int_equal(ql_quads_triangulate(&s, &q), QL_STATUS_MESH);
            ql_error_clear();
        }
        ASSERT_OK(ql_quads_mend(&q, &mended));
        assert_int_equal(mended, kind == 0 ? 0 : kind == 5 ? 2 : 1);
        ASSERT_OK(ql_quads_triangulate(&s, &q));
        assert_int_equal(ql_surface_euler(&s), 0);
        ASSERT_OK(ql_surface_loops(&s, &loops));
        assert_int_equal(loops, 0);
        assert_in_range(q.face_count, N * N - 20 * mended, N * N);
        ql_surface_destroy(&s);
        ql_quads_destroy(&q);
    }
}

/* Defects everywhere are no place to mend. */
static void test_mend_gives_up(void **state)
{
    (void)state;
    ql_quads q;
    int32_t mended = 0;
    torus_of_quads(&q, 20);
    for (int32_t f = 0; f < q.face_count; f += 7) q.faces[4 * f + 2] = q.faces[4 * f];
    ASSERT_OK(ql_quads_mend(&q, &mended));
    assert_int_equal(mended, 0);
    assert_int_equal(q.face_count, 400);
    ql_quads_destroy(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flaps),        cmocka_unit_test(test_both_sides), cmocka_unit_test(test_doubled_edges),
        cmocka_unit_test(test_pinched_edge), cmocka_unit_test(test_mend),       cmocka_unit_test(test_mend_gives_up),
    };
    return ql_test_main(tests);
}

/* Damage of every kind done to generated meshes: each ends in a verified quad mesh or in an error that says what is wrong. */
#include "support/test.h"

#include "base/random.h"
#include "mesh/generate.h"
#include "quad/prepare.h"
#include "quad/quad.h"

#include <math.h>
#include <string.h>

typedef struct dice {
    uint64_t thrown;
    uint32_t seed;
} dice;

static double throw_one(dice *d)
{
    ql_key key = {{d->seed, 99}};
    return (double)ql_uniform(ql_random_at(key, QL_STREAM_TEST, 0, d->thrown++).r[0]);
}

static int32_t pick(dice *d, int32_t count) { return (int32_t)(throw_one(d) * count) % count; }

/* A copy with room for more; the counts stay those of the mesh. */
static void enlarge(ql_mesh *mesh, int32_t vertices, int32_t faces)
{
    ql_mesh big;
    ASSERT_OK(ql_mesh_create(&big, "damaged", "", mesh->vertex_count + vertices, mesh->face_count + faces));
    memcpy(big.vertices, mesh->vertices, 3 * (size_t)mesh->vertex_count * sizeof *big.vertices);
    memcpy(big.faces, mesh->faces, 3 * (size_t)mesh->face_count * sizeof *big.faces);
    big.vertex_count = mesh->vertex_count;
    big.face_count = mesh->face_count;
    ql_mesh_destroy(mesh);
    *mesh = big;
}

static void add_face(ql_mesh *mesh, int32_t a, int32_t b, int32_t c)
{
    int32_t tri[3] = {a, b, c};
    memcpy(mesh->faces + 3 * (int64_t)mesh->face_count++, tri, sizeof tri);
}

static int32_t add_vertex(ql_mesh *mesh, const double near_one[3], double distance, dice *d)
{
    double *x = mesh->vertices + 3 * (int64_t)mesh->vertex_count;
    for (int c = 0; c < 3; ++c) x[c] = near_one[c] + distance * (throw_one(d) - 0.5);
    return mesh->vertex_count++;
}

static void punch_holes(ql_mesh *mesh, dice *d)
{
    for (int32_t i = mesh->face_count / 50; i > 0; --i) {
        int32_t f = pick(d, mesh->face_count--);
        memmove(mesh->faces + 3 * (int64_t)f, mesh->faces + 3 * (int64_t)mesh->face_count, 3 * sizeof *mesh->faces);
    }
}

static void turn_faces(ql_mesh *mesh, dice *d)
{
    for (int32_t i = mesh->face_count / 5; i > 0; --i) {
        int32_t *t = mesh->faces + 3 * (int64_t)pick(d, mesh->face_count), swap = t[0];
        t[0] = t[1];
        t[1] = swap;
    }
}

static void repeat_faces(ql_mesh *mesh, dice *d)
{
    for (int32_t i = mesh->face_count / 20; i > 0; --i) {
        const int32_t *t = mesh->faces + 3 * (int64_t)pick(d, mesh->face_count);
        add_face(mesh, t[1], t[2], t[0]);
        if (i % 3 == 0) add_face(mesh, t[0], t[0], t[1]);
    }
}

/* Vertices that all but coincide with a neighbour: slivers and faces of no area. */
static void squeeze(ql_mesh *mesh, dice *d)
{
    for (int32_t i = mesh->vertex_count / 20; i > 0; --i) {
        const int32_t *t = mesh->faces + 3 * (int64_t)pick(d, mesh->face_count);
        const double *to = mesh->vertices + 3 * (int64_t)t[0];
        double *x = mesh->vertices + 3 * (int64_t)t[1];
        for (int c = 0; c < 3; ++c) x[c] = to[c] + (i % 2 ? 1e-5 : 0.0) * (x[c] - to[c]);
    }
}

/* Corners of faces that no longer share their vertex: seams that are open by next to nothing. */
static void crack(ql_mesh *mesh, dice *d)
{
    for (int32_t i = mesh->face_count / 50; i > 0; --i) {
        int64_t h = pick(d, 3 * mesh->face_count);
        mesh->faces[h] = add_vertex(mesh, mesh->vertices + 3 * (int64_t)mesh->faces[h], i % 2 ? 0 : 1e-4, d);
    }
}

/* Specks: triangles and tetrahedra of next to no size. */
static void add_specks(ql_mesh *mesh, dice *d)
{
    for (int i = 0; i < 12; ++i) {
        double where[3] = {4 * throw_one(d) - 2, 4 * throw_one(d) - 2, 4 * throw_one(d) - 2},
               size = i % 3 ? 1e-2 : 1e-7;
        int32_t v[4];
        for (int k = 0; k < 4; ++k) v[k] = add_vertex(mesh, where, size, d);
        add_face(mesh, v[0], v[1], v[2]);
        if (i % 2) continue;
        add_face(mesh, v[0], v[3], v[1]);
        add_face(mesh, v[1], v[3], v[2]);
        add_face(mesh, v[2], v[3], v[0]);
    }
}

/* Fins: faces on edges that have two already, and vertices where two surfaces touch. */
static void add_fins(ql_mesh *mesh, dice *d)
{
    for (int i = 0; i < 6; ++i) {
        const int32_t *t = mesh->faces + 3 * (int64_t)pick(d, mesh->face_count);
        int32_t a = t[0], b = t[1], tip = add_vertex(mesh, mesh->vertices + 3 * (int64_t)t[2], 0.5, d);
        add_face(mesh, a, i % 2 ? b : add_vertex(mesh, mesh->vertices, 0.5, d), tip);
    }
}

typedef void damage(ql_mesh *mesh, dice *d);
static damage *const DAMAGE[] = {punch_holes, turn_faces, repeat_faces, squeeze, crack, add_specks, add_fins};
enum { DAMAGES = sizeof DAMAGE / sizeof *DAMAGE };

static int verified, named;

static void check_damaged(ql_mesh *mesh, int round, int what)
{
    static const ql_quads_options options = {
        .enabled = true, .target = 100, .feature_angle_deg = 40, .method = QL_QUADS_SMOOTH};
    ql_quad_result r;
    if (ql_quads_make(&r, mesh, NULL, &options) != QL_OK) {
        print_message("mesh %d, damage %d: %s\n", round, what, ql_error_text());
        assert_true(ql_error_text()[0] != 0);
        ql_error_clear();
        ++named;
        return;
    }
    ql_quad_quality again;
    bool valid = false;
    char why[256];
    ASSERT_OK(ql_quad_judge(&again, &valid, why, r.vertices, r.vertex_count, r.faces, r.face_count, mesh, 40));
    assert_true(r.valid && valid);
    ql_quad_result_destroy(&r);
    ++verified;
}

static void make(ql_mesh *mesh, int which)
{
    memset(mesh, 0, sizeof *mesh);
    if (which == 0) ASSERT_OK(ql_generate_icosphere(mesh, 2));
    if (which == 1) ASSERT_OK(ql_generate_block(mesh, 2));
    if (which == 2) ASSERT_OK(ql_generate_bracket(mesh, 4));
    if (which == 3) ASSERT_OK(ql_generate_torus(mesh, 24, 10));
    enlarge(mesh, mesh->vertex_count + 400, 2 * mesh->face_count + 400);
}

static void test_damage(void **state)
{
    (void)state;
    for (int round = 0; round < 4; ++round)
        for (int what = 0; what <= DAMAGES; ++what) {
            dice d = {0, (uint32_t)(100 * round + what)};
            ql_mesh mesh;
            make(&mesh, round);
            for (int i = 0; i < DAMAGES; ++i) /* the last one: all of them at once */
                if (i == what || what == DAMAGES) DAMAGE[i](&mesh, &d);
            check_damaged(&mesh, round, what);
            ql_mesh_destroy(&mesh);
        }
    print_message("%d verified, %d refused\n", verified, named);
    assert_true(verified >= 3 * named); /* most damage can be repaired */
}

/* Work is proportional to the faces, not to faces times components. */
static void test_many_components(void **state)
{
    (void)state;
    enum { N = 60000 };
    ql_mesh mesh;
    ql_prepared prepared;
    ASSERT_OK(ql_mesh_create(&mesh, "specks", "", 3 * N, N));
    for (int32_t i = 0; i < 3 * N; ++i) {
        mesh.vertices[3 * (int64_t)i] = (i / 3) + (i % 3 == 1);
        mesh.vertices[3 * (int64_t)i + 1] = i % 3 == 2;
        mesh.faces[i] = i;
    }
    for (int32_t i = 1; i < N; ++i) mesh.vertices[9 * (int64_t)i + 2] = 1e-3 * i; /* none touches another */
    ASSERT_OK(ql_prepare(&prepared, &mesh));
    assert_int_equal(prepared.count, N);
    assert_int_equal(prepared.loops, N);
    for (int32_t c = 0; c < N; ++c) assert_int_equal(prepared.component[c].surface.face_count, 1);
    ql_prepared_destroy(&prepared);
    ql_mesh_destroy(&mesh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_many_components), cmocka_unit_test(test_damage)};
    return ql_test_main(tests);
}

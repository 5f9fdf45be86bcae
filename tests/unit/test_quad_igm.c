/* Extraction alone on integer-grid maps of real models, all of which fold somewhere: the quad mesh that belongs to each map must
 * come out, the same quads, and away from folds at the same places. The maps are decimal numbers that fit together
 * only nearly, so they are first made exact round every vertex (Ebke et al. 2013, section 3.1).
 *
 * A map has as many cells as its image has signed area. Where the given mesh has fewer (its extractor lost some in the folds of
 * very coarse maps) it cannot be the measure: then there must be exactly that many quads and the right Euler
 * characteristic, or ports without a partner must say that it went wrong. */
#include "support/test.h"

#include "field/cross_vector.h"
#include "quad/extract.h"
#include "quad/map.h"

#include <math.h>
#include <string.h>

/* An OBJ file with texture coordinates per corner; `degree` corners a face. */
typedef struct igm {
    int32_t vertices, coordinates, faces, degree;
    double *x, *uv;
    int32_t *corner, *texture;
} igm;

static void igm_read(igm *out, const char *path, int degree)
{
    char line[512];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    *out = (igm){.degree = degree};
    for (int pass = 0; pass < 2; ++pass) {
        if (pass == 1) {
            ASSERT_OK(QL_TAKE(out->x, 3 * out->vertices));
            ASSERT_OK(QL_TAKE(out->uv, 2 * out->coordinates + 1));
            ASSERT_OK(QL_TAKE(out->corner, degree * out->faces));
            ASSERT_OK(QL_TAKE(out->texture, degree * out->faces));
        }
        rewind(file);
        int32_t v = 0, t = 0, f = 0;
        while (fgets(line, sizeof line, file) != NULL) {
            char *at = line + 2;
            if (strncmp(line, "v ", 2) == 0) {
                for (int k = 0; pass == 1 && k < 3; ++k) out->x[3 * v + k] = strtod(at, &at);
                ++v;
            } else if (strncmp(line, "vt ", 3) == 0) {
                for (int k = 0; pass == 1 && k < 2; ++k) out->uv[2 * t + k] = strtod(at + (k == 0), &at);
                ++t;
            } else if (strncmp(line, "f ", 2) == 0) {
                for (int k = 0; pass == 1 && k < degree; ++k) {
                    out->corner[degree * f + k] = (int32_t)strtol(at, &at, 10) - 1;
                    if (*at == '/') out->texture[degree * f + k] = (int32_t)strtol(at + 1, &at, 10) - 1;
                }
                ++f;
            }
        }
        out->vertices = v, out->coordinates = t, out->faces = f;
    }
    (void)fclose(file);
}

static void igm_destroy(igm *m)
{
    ql_free(m->x);
    ql_free(m->uv);
    ql_free(m->corner);
    ql_free(m->texture);
}

static void turn(double x, double y, int quarter, double out[2])
{
    for (int i = 0; i < (quarter & 3); ++i) {
        double t = x;
        x = -y;
        y = t;
    }
    out[0] = x;
    out[1] = y;
}

/* Quarter turn and integer shift from the chart of h to the one across: b = R^k a + t. */
static void transition(const igm *m, const ql_surface *s, int32_t h, int *quarter, int64_t shift[2])
{
    const double *a0 = m->uv + 2 * m->texture[h], *a1 = m->uv + 2 * m->texture[ql_next(h)];
    int32_t g = s->opposite[h];
    const double *b0 = m->uv + 2 * m->texture[ql_next(g)], *b1 = m->uv + 2 * m->texture[g];
    double best = INFINITY, r[2];
    for (int k = 0; k < 4; ++k) {
        turn(a1[0] - a0[0], a1[1] - a0[1], k, r);
        double error = hypot(r[0] - (b1[0] - b0[0]), r[1] - (b1[1] - b0[1]));
        if (error >= best) continue;
        best = error;
        *quarter = k;
    }
    turn(a0[0], a0[1], *quarter, r);
    for (int c = 0; c < 2; ++c) shift[c] = llround(b0[c] - r[c]);
    assert_true(best < 1e-5);
}

static void across(const int64_t in[2], int quarter, const int64_t shift[2], int64_t out[2])
{
    int64_t x = in[0], y = in[1];
    for (int i = 0; i < (quarter & 3); ++i) {
        int64_t t = x;
        x = -y;
        y = t;
    }
    out[0] = x + shift[0];
    out[1] = y + shift[1];
}

/* Corner coordinates in fixed point: one corner of each vertex rounded, the others through the transitions; a vertex whose
 * ring turns is put on the point that the turn leaves alone. */
static void make_exact(const igm *m, const ql_surface *s, int64_t *uv, uint8_t *matching)
{
    int64_t(*shift)[2] = NULL;
    ASSERT_OK(QL_TAKE(shift, 3 * s->face_count));
    for (int32_t h = 0; h < 3 * s->face_count; ++h) {
        int k = 0;
        if (s->opposite[h] < 0) continue;
        transition(m, s, h, &k, shift[h]);
        matching[h] = (uint8_t)k;
        for (int c = 0; c < 2; ++c) shift[h][c] *= QL_FIXED_ONE;
    }
    for (int32_t v = 0; v < s->vertex_count; ++v) {
        int32_t first = s->outgoing[v], h = first;
        if (h < 0) continue;
        int64_t p[2], zero[2] = {0, 0};
        int turned = 0;
        for (int c = 0; c < 2; ++c) p[c] = llround(m->uv[2 * m->texture[h] + c] * (double)QL_FIXED_ONE);
        do { /* the whole way round as one motion: what it does to 0 and by how much it turns */
            int32_t e = ql_previous(h);
            if (s->opposite[e] < 0) break;
            across(zero, matching[e], shift[e], zero);
            turned = (turned + matching[e]) & 3;
            h = s->opposite[e];
        } while (h != first);
        int closed = h == first && s->opposite[ql_previous(h)] >= 0;
        int64_t tx = zero[0], ty = zero[1];
        if (closed && turned == 0) assert_true(tx == 0 && ty == 0);
        if (closed && turned == 2) p[0] = tx / 2, p[1] = ty / 2;
        if (closed && turned == 1) p[0] = (tx - ty) / 2, p[1] = (tx + ty) / 2;
        if (closed && turned == 3) p[0] = (tx + ty) / 2, p[1] = (ty - tx) / 2;
        h = first;
        do {
            uv[2 * h] = p[0];
            uv[2 * h + 1] = p[1];
            for (int c = 0; c < 2; ++c)
                assert_true(fabs((double)p[c] / (double)QL_FIXED_ONE - m->uv[2 * m->texture[h] + c]) < 1e-5);
            int32_t e = ql_previous(h);
            if (s->opposite[e] < 0) break;
            across(p, matching[e], shift[e], p);
            h = s->opposite[e];
        } while (h != first);
    }
    ql_free(shift);
}

typedef struct side {
    int32_t from, to, at; /* half-edge: at = 4 face + corner */
} side;

static int compare_sides(const void *left, const void *right)
{
    const side *a = left, *b = right;
    return a->from != b->from ? a->from - b->from : a->to - b->to;
}

/* twin[i]: the half-edge on the other side of half-edge i of a closed quad mesh. */
static int32_t *twins(const int32_t *quads, int32_t faces)
{
    side *sides = NULL;
    int32_t *twin = NULL, n = 4 * faces;
    ASSERT_OK(QL_TAKE(sides, n));
    ASSERT_OK(QL_TAKE(twin, n));
    for (int32_t i = 0; i < n; ++i) sides[i] = (side){quads[i], quads[(i & ~3) | ((i + 1) & 3)], i};
    qsort(sides, (size_t)n, sizeof *sides, compare_sides);
    for (int32_t i = 0; i < n; ++i) {
        side key = {sides[i].to, sides[i].from, 0},
             *found = bsearch(&key, sides, (size_t)n, sizeof *sides, compare_sides);
        assert_non_null(found);
        twin[sides[i].at] = found->at;
    }
    ql_free(sides);
    return twin;
}

static int32_t nearest(const igm *m, const double *x)
{
    int32_t best = 0;
    for (int32_t w = 1; w < m->vertices; ++w)
        if (ql_distance2(x, m->x + 3 * w) < ql_distance2(x, m->x + 3 * best)) best = w;
    return best;
}

/* A half-edge of theirs whose four corners are the places of face 0's corners, from its corner 0 on, when there is one. */
static int32_t same_face(const ql_polygons *p, int32_t f, const igm *want, double near2)
{
    int32_t q[4];
    for (int k = 0; k < 4; ++k) {
        const double *x = p->vertices + 3 * p->corner[p->start[f] + k];
        q[k] = nearest(want, x);
        if (ql_distance2(x, want->x + 3 * q[k]) > near2) return -1;
    }
    for (int32_t i = 0; i < 4 * want->faces; ++i) {
        int equal = 1;
        for (int k = 0; k < 4; ++k) equal &= want->corner[(i & ~3) | ((i + k) & 3)] == q[k];
        if (equal) return i;
    }
    return -1;
}

/* Walks both meshes at the same time from one face that they share: the same quads up to renumbering. */
static void match_quads(const ql_polygons *p, const igm *want, double near2, int32_t *partner)
{
    int32_t *ours = twins(p->corner, p->face_count), *theirs = twins(want->corner, want->faces);
    int32_t *image = NULL, *stack = NULL, top = 0;
    ASSERT_OK(QL_TAKE(image, 4 * p->face_count));
    ASSERT_OK(QL_TAKE(stack, 4 * p->face_count));
    for (int32_t i = 0; i < 4 * p->face_count; ++i) image[i] = -1;
    for (int32_t v = 0; v < p->vertex_count; ++v) partner[v] = -1;
    for (int32_t f = 0; f < p->face_count && top == 0; ++f) {
        image[4 * f] = same_face(p, f, want, near2);
        if (image[4 * f] >= 0) stack[top++] = 4 * f;
    }
    assert_int_equal(top, 1);
    while (top > 0) {
        int32_t i = stack[--top];
        for (int k = 0; k < 4; ++k) {
            int32_t a = (i & ~3) | ((i + k) & 3), b = (image[i] & ~3) | ((image[i] + k) & 3);
            image[a] = b;
            if (partner[p->corner[a]] < 0) partner[p->corner[a]] = want->corner[b];
            assert_int_equal(partner[p->corner[a]], want->corner[b]);
            if (image[ours[a]] >= 0) {
                assert_int_equal(image[ours[a]], theirs[b]);
            } else {
                image[ours[a]] = theirs[b];
                stack[top++] = ours[a];
            }
        }
    }
    ql_free(ours);
    ql_free(theirs);
    ql_free(image);
    ql_free(stack);
}

/* Same quads; same places but for at most `moved` vertices, which are off by little more than a quad edge at most (where the
 * map folds a grid point has several places). */
static void compare_meshes(const ql_polygons *p, const igm *want, int32_t moved)
{
    int32_t *partner = NULL, *taken = NULL, off = 0;
    double edge2 = 0;
    assert_int_equal(p->vertex_count, want->vertices);
    for (int32_t i = 0; i < 4 * want->faces; ++i)
        edge2 += ql_distance2(want->x + 3 * want->corner[i], want->x + 3 * want->corner[(i & ~3) | ((i + 1) & 3)]) /
                 (4 * want->faces);
    ASSERT_OK(QL_TAKE(partner, p->vertex_count));
    ASSERT_OK(QL_TAKE(taken, p->vertex_count));
    match_quads(p, want, 1e-8 * edge2, partner);
    for (int32_t v = 0; v < p->vertex_count; ++v) {
        assert_true(partner[v] >= 0);
        assert_int_equal(taken[partner[v]]++, 0);
        double d2 = ql_distance2(p->vertices + 3 * v, want->x + 3 * partner[v]);
        off += d2 > 1e-8 * edge2;
        assert_true(d2 < 1.5 * edge2);
    }
    print_message("  %d of %d vertices at another place of the same grid point\n", off, p->vertex_count);
    assert_true(off <= moved);
    ql_free(partner);
    ql_free(taken);
}

static int32_t cells(const int64_t *uv, int32_t faces)
{
    double area = 0;
    for (int32_t f = 0; f < faces; ++f) {
        double p[6];
        for (int i = 0; i < 6; ++i) p[i] = (double)uv[6 * f + i] / (double)QL_FIXED_ONE;
        area += 0.5 * ((p[2] - p[0]) * (p[5] - p[1]) - (p[3] - p[1]) * (p[4] - p[0]));
    }
    assert_true(fabs(area - rint(area)) < 1e-4);
    return (int32_t)lrint(area);
}

static void check_map(const char *name)
{
    char path[4096];
    igm map, want;
    ql_surface s;
    ql_polygons polygons;
    int64_t *uv = NULL;
    uint8_t *matching = NULL;
    int32_t flipped = 0;
    (void)snprintf(path, sizeof path, "%s/meshes/igm/%s_param.obj", ql_test_shared(), name);
    igm_read(&map, path, 3);
    (void)snprintf(path, sizeof path, "%s/meshes/igm/%s_quad.obj", ql_test_shared(), name);
    igm_read(&want, path, 4);
    ASSERT_OK(ql_surface_create(&s, map.x, map.vertices, map.corner, map.faces));
    ASSERT_OK(QL_TAKE(uv, 6 * map.faces));
    ASSERT_OK(QL_TAKE(matching, 3 * map.faces));
    make_exact(&map, &s, uv, matching);
    for (int32_t f = 0; f < map.faces; ++f) flipped += ql_extract_orientation(uv, f) <= 0;
    ASSERT_OK(ql_extract(&polygons, &s, uv, matching));
    print_message("%s: %d triangles, %d of them folded; %d vertices, %d faces, %d quads, %d loose ports\n", name,
                  map.faces, flipped, polygons.vertex_count, polygons.face_count, polygons.quads, polygons.loose);
    int32_t count = cells(uv, map.faces);
    if (count == want.faces || polygons.loose == 0) {
        assert_int_equal(polygons.loose, 0);
        assert_int_equal(polygons.face_count, count);
        assert_int_equal(polygons.quads, count);
        assert_int_equal(polygons.vertex_count, count + ql_surface_euler(&s));
    }
    if (count == want.faces) compare_meshes(&polygons, &want, flipped);
    ql_polygons_destroy(&polygons);
    ql_surface_destroy(&s);
    ql_free(uv);
    ql_free(matching);
    igm_destroy(&map);
    igm_destroy(&want);
}

#define IGM_TEST(name)                                                                                                 \
    static void test_##name(void **state)                                                                              \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        SKIP_WITHOUT_SHARED("integer-grid map " #name);                                                                \
        check_map(#name);                                                                                              \
    }
IGM_TEST(duck_miq_4)
IGM_TEST(duck_miq_8)
IGM_TEST(duck_miq_16)
IGM_TEST(duck_miq_28)
IGM_TEST(duck_qc_8)
IGM_TEST(fandisk)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duck_miq_4),  cmocka_unit_test(test_duck_miq_8), cmocka_unit_test(test_duck_miq_16),
        cmocka_unit_test(test_duck_miq_28), cmocka_unit_test(test_duck_qc_8),  cmocka_unit_test(test_fandisk),
    };
    return ql_test_main(tests);
}

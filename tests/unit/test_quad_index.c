/* Indices of cross fields: whatever the field, over a closed surface they add up to 4 chi; on a surface with boundary they do
 * when the field follows the boundary. On generated surfaces of genus 0 to 5 and on every closed mesh of the shared
 * folder, with fields that have nothing to do with the surface (a fixed direction; one at random per face), so that
 * thousands of vertices are singular. */
#include "support/test.h"

#include "field/cross.h"
#include "field/smooth.h"
#include "mesh/generate.h"
#include "quad/prepare.h"

#include <math.h>
#include <string.h>

static int32_t index_sum(const ql_surface *s, const double *phi, int32_t *singular)
{
    double *psi = NULL;
    uint8_t *matching = NULL;
    int32_t *index = NULL, sum = 0;
    ASSERT_OK(QL_TAKE(psi, 3 * s->face_count));
    ASSERT_OK(QL_TAKE(matching, 3 * s->face_count));
    ASSERT_OK(QL_TAKE(index, s->vertex_count));
    ql_cross_edge_angles(s, psi);
    ql_cross_matching(s, psi, phi, matching);
    ql_cross_indices(s, psi, phi, matching, index);
    *singular = 0;
    for (int32_t v = 0; v < s->vertex_count; ++v) {
        sum += index[v];
        *singular += index[v] != 0 && !ql_on_boundary(s, v);
    }
    ql_free(psi);
    ql_free(matching);
    ql_free(index);
    return sum;
}

/* Any field on a closed surface. */
static void check_closed(const ql_mesh *mesh, int32_t euler)
{
    ql_prepared prepared;
    ASSERT_OK(ql_prepare(&prepared, mesh));
    assert_int_equal(prepared.count, 1);
    assert_int_equal(prepared.loops, 0);
    assert_int_equal(prepared.euler, euler);
    const ql_surface *s = &prepared.component[0].surface;
    double *phi = NULL, *alpha = NULL;
    int32_t singular[2];
    ASSERT_OK(QL_TAKE(phi, s->face_count));
    ASSERT_OK(QL_TAKE(alpha, 3 * s->face_count));
    for (int32_t f = 0; f < s->face_count; ++f) alpha[3 * f] = 1, alpha[3 * f + 1] = 0.3;
    ql_cross_angles(s, alpha, phi);
    assert_int_equal(index_sum(s, phi, &singular[0]), 4 * euler);
    uint64_t random = 5;
    for (int32_t f = 0; f < s->face_count; ++f) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        phi[f] = (double)(random >> 11) / 9007199254740992.0 * 2 * M_PI;
    }
    assert_int_equal(index_sum(s, phi, &singular[1]), 4 * euler);
    assert_true(singular[1] > s->vertex_count / 10);
    print_message("%s: chi %d; %d and %d singular vertices\n", mesh->name, euler, singular[0], singular[1]);
    ql_free(phi);
    ql_free(alpha);
    ql_prepared_destroy(&prepared);
}

static void test_generated(void **state)
{
    (void)state;
    for (int genus = 0; genus <= 5; ++genus) {
        ql_mesh mesh = {0};
        ASSERT_OK(ql_generate_handles(&mesh, genus, 40));
        check_closed(&mesh, 2 - 2 * genus);
        ql_mesh_destroy(&mesh);
    }
}

/* name,class,file,...: columns of the manifest by number */
static char *column(char *row, int number)
{
    static char copy[4096];
    (void)snprintf(copy, sizeof copy, "%s", row);
    char *at = copy;
    for (int i = 0; i < number && at != NULL; ++i) {
        at = strchr(at, ',');
        if (at != NULL) ++at;
    }
    assert_non_null(at);
    at[strcspn(at, ",")] = 0;
    return at;
}

static void test_closed_real(void **state)
{
    (void)state;
    SKIP_WITHOUT_SHARED("indices of real meshes");
    char path[4096], row[4096];
    int checked = 0;
    (void)snprintf(path, sizeof path, "%s/meshes/manifest.csv", ql_test_shared());
    FILE *manifest = fopen(path, "r");
    assert_non_null(manifest);
    while (fgets(row, sizeof row, manifest) != NULL) {
        if (strcmp(column(row, 0), "dev") != 0 || strcmp(column(row, 13), "yes") != 0) continue;
        int genus = atoi(column(row, 9));
        ql_mesh mesh = {0};
        (void)snprintf(path, sizeof path, "%s/meshes/%s", ql_test_shared(), column(row, 3));
        ASSERT_OK(ql_mesh_read(&mesh, path));
        check_closed(&mesh, 2 - 2 * genus);
        ql_mesh_destroy(&mesh);
        ++checked;
    }
    (void)fclose(manifest);
    assert_true(checked >= 15);
}

/* Fields that follow the boundary: its vertices count, too. */
static void test_boundary(void **state)
{
    (void)state;
    static const char *const names[] = {"SquareMyles", "alligator"};
    ql_mesh mesh = {0};
    ASSERT_OK(ql_generate_bracket(&mesh, 6));
    for (int i = -1; i < 2; ++i) {
        char path[4096];
        if (i >= 0 && ql_test_shared() == NULL) break;
        if (i >= 0) {
            (void)snprintf(path, sizeof path, "%s/meshes/dev/%s.obj", ql_test_shared(), names[i]);
            ASSERT_OK(ql_mesh_read(&mesh, path));
        }
        ql_prepared prepared;
        double *phi = NULL;
        int32_t singular;
        ASSERT_OK(ql_prepare(&prepared, &mesh));
        assert_true(prepared.loops > 0);
        const ql_surface *s = &prepared.component[0].surface;
        ASSERT_OK(QL_TAKE(phi, s->face_count));
        ASSERT_OK(ql_smooth_field(s, NULL, sqrt(prepared.area / 500), phi));
        assert_int_equal(index_sum(s, phi, &singular), 4 * prepared.euler);
        print_message("%s: chi %d, %d loops; %d singular vertices inside\n", mesh.name, prepared.euler, prepared.loops,
                      singular);
        ql_free(phi);
        ql_prepared_destroy(&prepared);
        ql_mesh_destroy(&mesh);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_generated), cmocka_unit_test(test_closed_real),
                                       cmocka_unit_test(test_boundary)};
    return ql_test_main(tests);
}

/* Preflight: each defect by itself, the definitions on real meshes, JSON and text, judgement. */
#include "support/test.h"

#include "mesh/generate.h"
#include "mesh/preflight.h"

#include <math.h>
#include <string.h>

static void run(ql_preflight *report, const ql_mesh *mesh)
{
    ql_topology topology;
    ASSERT_OK(ql_topology_build(&topology, mesh));
    ASSERT_OK(ql_preflight_run(report, mesh, &topology, 40.0));
    ql_topology_destroy(&topology);
}

/* Report of a mesh given as OBJ text. */
static ql_preflight report_of(const char *text)
{
    ql_mesh mesh;
    ql_preflight report;
    ASSERT_OK(ql_mesh_read_memory(&mesh, "test.obj", text, strlen(text)));
    run(&report, &mesh);
    ql_mesh_destroy(&mesh);
    return report;
}

#define CORNERS "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nv 1 1 1\n"
#define TETRAHEDRON "f 1 3 2\nf 1 2 4\nf 2 3 4\nf 3 1 4\n"

static void test_clean(void **state)
{
    (void)state;
    ql_preflight r = report_of("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n" TETRAHEDRON);
    assert_true(r.closed && r.manifold && r.oriented && r.orientable && !r.far_from_origin);
    assert_int_equal(r.genus, 0);
    assert_int_equal(r.euler, 2);
    assert_int_equal(r.components, 1);
    assert_int_equal(r.edges, 6);
    assert_int_equal(r.sharp_edges, 6);
    assert_int_equal(r.first_bad_face, -1);
    assert_true(fabs(r.volume - 1.0 / 6.0) < 1e-15);
    assert_true(fabs(r.area - (1.5 + 0.5 * sqrt(3.0))) < 1e-15);
    assert_true(fabs(r.min_angle_deg - 45.0) < 1e-12);
    assert_true(fabs(r.min_edge - 1.0) < 1e-15 && fabs(r.max_edge - sqrt(2.0)) < 1e-15);
    ASSERT_OK(ql_preflight_judge(&r));
    r = report_of("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 4 2\nf 2 4 3\nf 3 4 1\n");
    assert_true(r.volume < 0.0 && r.oriented);
}

static void test_defects(void **state)
{
    (void)state;
    ql_preflight r = report_of(CORNERS "f 1 2 3\nf 2 1 4\nf 1 2 5\n");
    assert_int_equal(r.nonmanifold_edges, 1);
    assert_int_equal(r.nonmanifold_vertices, 2);
    assert_int_equal(r.genus, -1);
    assert_int_equal(r.first_bad_face, 0);
    assert_false(r.manifold);

    r = report_of(CORNERS "f 1 2 3\nf 1 2 4\n");
    assert_int_equal(r.misoriented_edges, 1);
    assert_true(r.orientable && !r.oriented && r.manifold);
    assert_int_equal(r.genus, 0);
    assert_int_equal(r.isolated_vertices, 1);

    r = report_of(CORNERS "f 1 2 3\nf 3 2 1\nf 2 3 1\n");
    assert_int_equal(r.duplicate_faces, 2);
    r = report_of(CORNERS "f 1 2 2\nf 1 2 3\n");
    assert_int_equal(r.degenerate_faces, 1);
    assert_int_equal(r.first_bad_face, 0);
    assert_true(r.manifold);
    assert_int_equal(r.genus, 0);
    r = report_of("v 0 0 0\nv 1 1 1\nv 3 3 3\nv 0 1 0\nf 1 2 3\nf 1 2 4\n");
    assert_int_equal(r.degenerate_faces, 1);
    assert_true(r.min_angle_deg == 0.0);
}

/* Two tetrahedra that share a vertex; two that share nothing. */
static void test_components(void **state)
{
    (void)state;
    const char *more = "v 2 2 2\nv 3 2 2\nv 2 3 2\n";
    char text[512];
    (void)snprintf(text, sizeof text, "%s%s%s%s", "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n", more, TETRAHEDRON,
                   "f 4 6 5\nf 4 5 7\nf 5 6 7\nf 6 4 7\n");
    ql_preflight r = report_of(text);
    assert_int_equal(r.components, 1);
    assert_int_equal(r.nonmanifold_vertices, 1);
    assert_int_equal(r.nonmanifold_edges, 0);
    assert_true(r.closed && !r.manifold);
    (void)snprintf(text, sizeof text, "%s%sv 2 2 3\n%s%s", "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n", more, TETRAHEDRON,
                   "f 5 7 6\nf 5 6 8\nf 6 7 8\nf 7 5 8\n");
    r = report_of(text);
    assert_int_equal(r.components, 2);
    assert_true(r.manifold);
    assert_int_equal(r.genus, 0);
    assert_int_equal(r.euler, 4);
}

/* A strip of n quads closed with or without half a turn. */
static ql_preflight strip_report(int n, bool turned)
{
    ql_mesh mesh;
    ql_preflight report;
    ASSERT_OK(ql_mesh_create(&mesh, "strip", "", 2 * n, 2 * n));
    for (int i = 0; i < n; ++i) {
        double a = 6.283185307179586 * i / n, tilt = turned ? 0.5 * a : 0.0;
        for (int side = 0; side < 2; ++side) {
            double w = side ? 0.3 : -0.3;
            double *p = mesh.vertices + 3 * (2 * i + side);
            p[0] = (1.0 + w * sin(tilt)) * cos(a);
            p[1] = (1.0 + w * sin(tilt)) * sin(a);
            p[2] = w * cos(tilt);
        }
        int swap = turned && i == n - 1, a0 = 2 * i, a1 = a0 + 1, b0 = 2 * ((i + 1) % n) + swap,
            b1 = 2 * ((i + 1) % n) + !swap;
        const int32_t faces[6] = {a0, b0, a1, b0, b1, a1};
        memcpy(mesh.faces + 6 * i, faces, sizeof faces);
    }
    run(&report, &mesh);
    ql_mesh_destroy(&mesh);
    return report;
}

static void test_orientability(void **state)
{
    (void)state;
    ql_preflight r = strip_report(20, false);
    assert_true(r.orientable && r.oriented && r.manifold);
    assert_int_equal(r.boundary_loops, 2);
    assert_int_equal(r.genus, 0);
    r = strip_report(20, true);
    assert_true(!r.orientable && !r.oriented && r.manifold);
    assert_int_equal(r.boundary_loops, 1);
    assert_int_equal(r.misoriented_edges, 1);
    assert_int_equal(r.genus, -1);
}

static void test_judge(void **state)
{
    (void)state;
    ql_preflight r = report_of("v 0 0 0\nv 1 1 1\nv 2 2 2\nf 1 2 3\nf 1 1 2\n");
    assert_int_equal(ql_preflight_judge(&r), QL_STATUS_MESH);
    assert_non_null(strstr(ql_error_text(), "none of the 2 faces has an area"));
    r = report_of("v 0 0 0\nv 1e-90 0 0\nv 0 1e-90 0\nf 1 2 3\n");
    assert_int_equal(ql_preflight_judge(&r), QL_STATUS_MESH);
    r = report_of("v 0 0 0\nv 1e69 0 0\nv 0 1e69 0\nf 1 2 3\n");
    ASSERT_OK(ql_preflight_judge(&r));
    assert_true(isfinite(r.area) && fabs(r.min_angle_deg - 45.0) < 1e-9);
    r = report_of("v 100000000 0 0\nv 100000001 0 0\nv 100000000 1 0\nf 1 2 3\n");
    assert_true(r.far_from_origin);
}

static void test_output(void **state)
{
    (void)state;
    ql_mesh mesh;
    ql_preflight r;
    ASSERT_OK(ql_generate_bracket(&mesh, 3));
    run(&r, &mesh);
    ql_json json = {0};
    ql_json_object(&json, NULL);
    ql_preflight_json(&r, &mesh, &json);
    ql_json_close_object(&json);
    ASSERT_OK(ql_json_end(&json));
    assert_non_null(strstr(json.text, "\"boundary_loops\": 2"));
    assert_non_null(strstr(json.text, "\"faces\": 252"));
    assert_non_null(strstr(json.text, "\"bbox_max\": [3, 3, 2]"));
    ql_json_destroy(&json);

    char text[4096] = "";
    FILE *out = fmemopen(text, sizeof text, "w");
    assert_non_null(out);
    ql_preflight_print(&r, &mesh, out);
    (void)fclose(out);
    assert_non_null(strstr(text, "open, 1 component, genus 0, 2 boundary loops with"));
    assert_non_null(strstr(text, "defects   none"));
    ql_mesh_destroy(&mesh);
}

static void test_memory_runs_out(void **state)
{
    (void)state;
    ql_mesh mesh;
    ql_topology topology;
    ql_preflight r;
    ASSERT_OK(ql_generate_block(&mesh, 2));
    ASSERT_OK(ql_topology_build(&topology, &mesh));
    ql_status status = QL_STATUS_NO_MEMORY;
    int failures = 0;
    for (int n = 1; status != QL_OK; ++n, ++failures) {
        int64_t blocks = ql_memory_balance().blocks;
        ql_memory_fail_at(n);
        status = ql_preflight_run(&r, &mesh, &topology, 40.0);
        ql_memory_fail_at(0);
        assert_true(status == QL_OK || status == QL_STATUS_NO_MEMORY);
        assert_true(ql_memory_balance().blocks == blocks);
    }
    assert_true(failures >= 9);
    ql_topology_destroy(&topology);
    ql_mesh_destroy(&mesh);
}

/* ---- real meshes ---- */

/* Vertices whose link, as a set of edges, is no path and no cycle: by the definition, with plain loops. */
static int32_t count_bad_links(const ql_mesh *mesh)
{
    int32_t bad = 0, *first = NULL, *next = NULL;
    ASSERT_OK(QL_TAKE(first, mesh->vertex_count));
    ASSERT_OK(QL_TAKE(next, 3 * (size_t)mesh->face_count));
    for (int32_t c = 0; c < 3 * mesh->face_count; ++c) {
        next[c] = first[mesh->faces[c]];
        first[mesh->faces[c]] = c + 1;
    }
    for (int32_t v = 0; v < mesh->vertex_count; ++v) {
        int32_t ends[256][2], count = 0, reached[512], steps = 0;
        for (int32_t c = first[v]; c > 0; c = next[c - 1]) {
            int32_t a = mesh->faces[ql_halfedge_next(c - 1)], b = mesh->faces[ql_halfedge_previous(c - 1)];
            bool known = false;
            for (int i = 0; i < count; ++i)
                known = known || (ends[i][0] == a && ends[i][1] == b) || (ends[i][0] == b && ends[i][1] == a);
            if (known) continue;
            assert_true(count < 256);
            ends[count][0] = a, ends[count++][1] = b;
        }
        bool branched = false;
        for (int i = 0; i < 2 * count; ++i) {
            int degree = 0;
            for (int j = 0; j < 2 * count; ++j) degree += ends[i / 2][i % 2] == ends[j / 2][j % 2];
            branched = branched || degree > 2;
        }
        bool grown = count > 0, used[256] = {0};
        if (count > 0) reached[steps++] = ends[0][0];
        while (grown) {
            grown = false;
            for (int i = 0; i < count; ++i)
                for (int s = 0; s < steps && !used[i]; ++s)
                    if (reached[s] == ends[i][0] || reached[s] == ends[i][1]) {
                        used[i] = grown = true;
                        reached[steps++] = reached[s] == ends[i][0] ? ends[i][1] : ends[i][0];
                    }
        }
        for (int i = 0; i < count; ++i) branched = branched || !used[i];
        bad += branched;
    }
    ql_free(first);
    ql_free(next);
    return bad;
}

typedef struct survey_row {
    char name[64], path[512];
    int column[24]; /* -1: empty */
    double min_angle_deg;
    bool closed;
} survey_row;

static bool next_row(FILE *file, const char *shared, survey_row *row)
{
    char line[2048], *rest = line;
    if (fgets(line, sizeof line, file) == NULL) return false;
    for (int i = 0; i < 19 && rest != NULL; ++i) {
        const char *cell = strsep(&rest, ",");
        if (i == 1) (void)snprintf(row->name, sizeof row->name, "%s", cell);
        if (i == 3) (void)snprintf(row->path, sizeof row->path, "%s/meshes/%s", shared, cell);
        if (i == 13) row->closed = strcmp(cell, "yes") == 0;
        if (i == 18) row->min_angle_deg = strtod(cell, NULL);
        row->column[i] = cell[0] != '\0' ? atoi(cell) : -1;
    }
    return true;
}

/* The survey's figures for 24 clean and 8 dirty meshes. Where there are non-manifold edges it counts non-manifold
 * vertices otherwise (not at every end of such an edge); there the definition itself is the measure. */
static void test_survey(void **state)
{
    (void)state;
    SKIP_WITHOUT_SHARED("preflight of real meshes");
    char path[512], header[2048];
    (void)snprintf(path, sizeof path, "%s/meshes/manifest.csv", ql_test_shared());
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(header, sizeof header, file));
    survey_row row;
    int meshes = 0;
    for (; next_row(file, ql_test_shared(), &row); ++meshes) {
        ql_mesh mesh;
        ql_preflight r;
        ASSERT_OK(ql_mesh_read(&mesh, row.path));
        run(&r, &mesh);
        const int32_t ours[] = {r.faces,
                                r.vertices,
                                r.genus,
                                r.boundary_loops,
                                r.boundary_edges,
                                r.components,
                                r.closed,
                                r.nonmanifold_edges,
                                r.nonmanifold_vertices,
                                r.misoriented_edges,
                                r.sharp_edges};
        row.column[13] = row.closed;
        if (r.nonmanifold_edges > 0) row.column[15] = count_bad_links(&mesh);
        for (int i = 0; i < 11; ++i)
            if (row.column[7 + i] != -1 && row.column[7 + i] != ours[i])
                fail_msg("%s: column %d is %d and not %d", row.name, 7 + i, ours[i], row.column[7 + i]);
        if (fabs(r.min_angle_deg - row.min_angle_deg) > 5.1e-4)
            fail_msg("%s: smallest angle %g and not %g", row.name, r.min_angle_deg, row.min_angle_deg);
        ASSERT_OK(ql_preflight_judge(&r));
        ql_mesh_destroy(&mesh);
    }
    (void)fclose(file);
    assert_int_equal(meshes, 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean),           cmocka_unit_test(test_defects), cmocka_unit_test(test_components),
        cmocka_unit_test(test_orientability),   cmocka_unit_test(test_judge),   cmocka_unit_test(test_output),
        cmocka_unit_test(test_memory_runs_out), cmocka_unit_test(test_survey),
    };
    return ql_test_main(tests);
}

/* Result files: what is written comes back, equal runs give equal values. */
#include "support/store_samples.h"

static char directory[QL_PATH_SIZE], path[QL_PATH_SIZE];

static int set_up(void **state)
{
    (void)state;
    sample_directory(directory);
    ASSERT_OK(ql_path_join(path, directory, "sphere-01234567.h5"));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sample_directory_remove(directory);
    return 0;
}

static double quad_vertices[] = {0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1, 0, 2, 0, 0, 2, 1, 0};
static int32_t quad_faces[] = {0, 1, 2, 3, 1, 4, 5, 2};

static void everything_comes_back(void **state)
{
    (void)state;
    ql_mesh mesh;
    ql_train_result train;
    ql_options options;
    ql_provenance provenance = {0};
    ql_result *read;
    ASSERT_OK(QL_TAKE(read, 1));
    ql_options_init(&options);
    sample_mesh(&mesh, "sphere", 300);
    sample_train(&train, &mesh, true);
    ASSERT_OK(ql_provenance_text(&provenance, "git", "abc"));
    ASSERT_OK(ql_provenance_real(&provenance, "joules", 12.5));
    ASSERT_OK(ql_provenance_int(&provenance, "ranks", 4));
    ql_quad_result quads = {.vertex_count = 6,
                            .face_count = 2,
                            .vertices = quad_vertices,
                            .faces = quad_faces,
                            .rung = QL_RUNG_SCALED,
                            .valid = true,
                            .note = "two holes filled"};
    quads.quality.sj_min = 0.5;
    quads.quality.irregular_interior = 3;
    quads.quality.chamfer_pct = NAN;
    quads.quality.total_s = 1.25;
    ql_result_content content = {"sphere-01234567", &mesh, &train, &options, &quads, &provenance, 77, 2, 1};
    ASSERT_OK(ql_result_write(path, &content));
    ASSERT_OK(ql_result_read(read, path, QL_RESULT_ALL));

    size_t faces = (size_t)mesh.face_count, vertices = (size_t)mesh.vertex_count;
    assert_true(read->mesh.face_count == mesh.face_count && read->mesh.hash == mesh.hash);
    assert_memory_equal(read->mesh.vertices, mesh.vertices, 3 * vertices * sizeof(double));
    assert_memory_equal(read->mesh.faces, mesh.faces, 3 * faces * sizeof(int32_t));
    assert_memory_equal(read->train.theta, train.theta, faces * sizeof(float));
    assert_memory_equal(read->train.alpha, train.alpha, 3 * faces * sizeof(float));
    assert_memory_equal(read->train.beta, train.beta, 3 * faces * sizeof(float));
    assert_memory_equal(read->train.sdf, train.sdf, faces * sizeof(float));
    assert_memory_equal(read->train.curvature_min, train.curvature_min, 3 * faces * sizeof(float));
    assert_memory_equal(read->train.curvature_max, train.curvature_max, 3 * faces * sizeof(float));
    assert_memory_equal(read->train.singularity_index, train.singularity_index, vertices);
    assert_memory_equal(read->train.parameters, train.parameters, QL_PARAMETER_COUNT * sizeof(float));
    assert_true(read->train.history.rows == 5);
    assert_memory_equal(read->train.history.values, train.history.values, 5 * QL_HISTORY_COLUMNS * sizeof(double));
    assert_true(read->quads.face_count == 2 && read->quads.vertex_count == 6 && read->quads.valid);
    assert_true(read->quads.rung == QL_RUNG_SCALED && isnan(read->quads.quality.chamfer_pct));
    assert_string_equal(read->quads.note, "two holes filled");
    assert_memory_equal(read->quads.faces, quad_faces, sizeof quad_faces);
    assert_memory_equal(read->quads.vertices, quad_vertices, sizeof quad_vertices);
    assert_string_equal(ql_provenance_find(&read->provenance, "git")->text, "abc");
    assert_true(ql_provenance_find(&read->provenance, "joules")->real == 12.5);
    assert_true(ql_provenance_find(&read->provenance, "ranks")->integer == 4);
    assert_string_equal(ql_provenance_find(&read->provenance, "options.train.steps")->text, "10000");
    assert_string_equal(ql_provenance_find(&read->provenance, "input")->text, mesh.path);

    const ql_summary *row = &read->summary;
    assert_string_equal(row->mesh, "sphere-01234567");
    assert_true(row->euler == 2 && row->boundary_edges == 0 && row->steps == 40 && row->attempts == 2);
    assert_true(row->loss_smooth == 0.5 + QL_LOSS_SMOOTH && row->singularity_sum == 8);
    assert_true(row->quads_faces == 2 && row->quads_irregular_interior == 3 && row->quads_sj_min == 0.5);
    assert_true(row->quads_ladder_step == 1 && row->quads_s == 1.25 && isnan(row->quads_chamfer_pct));
    ql_summary *alone;
    ASSERT_OK(QL_TAKE(alone, 1));
    ASSERT_OK(ql_summary_read(alone, path));
    assert_memory_equal(alone, row, sizeof *row);

    ql_result_destroy(read);
    ql_free(read);
    ql_free(alone);
    ql_provenance_destroy(&provenance);
    ql_train_result_destroy(&train);
    ql_mesh_destroy(&mesh);
}

static void field_without_networks_and_history_is_a_result_too(void **state)
{
    (void)state;
    ql_mesh mesh;
    ql_train_result train;
    ql_result *read;
    ASSERT_OK(QL_TAKE(read, 1));
    sample_mesh(&mesh, "plain", 5);
    sample_train(&train, &mesh, false);
    train.history.rows = 0;
    ql_free(train.sdf);
    train.sdf = NULL;
    ql_result_content content = {.id = "plain-0", .mesh = &mesh, .train = &train};
    ASSERT_OK(ql_result_write(path, &content));
    ASSERT_OK(ql_result_read(read, path, QL_RESULT_ALL));
    assert_null(read->train.parameters);
    assert_null(read->train.sdf);
    assert_non_null(read->train.theta);
    assert_true(read->quads.face_count == 0 && read->train.history.rows == 0);
    ql_result_destroy(read);
    ql_free(read);
    ql_train_result_destroy(&train);
    ql_mesh_destroy(&mesh);
}

static void vtkhdf_copy_stands_alone(void **state)
{
    (void)state;
    char copy[QL_PATH_SIZE];
    ql_mesh mesh;
    ql_train_result train;
    sample_mesh(&mesh, "plain", 5);
    sample_train(&train, &mesh, false);
    ql_result_content content = {.id = "plain-0", .mesh = &mesh, .train = &train};
    ASSERT_OK(ql_result_write(path, &content));
    ASSERT_OK(ql_path_join(copy, directory, "copy.vtkhdf"));
    ASSERT_OK(ql_result_export_vtkhdf(path, copy));
    assert_true(ql_path_exists(copy));
    assert_int_equal(ql_result_export_vtkhdf(copy, path), QL_OK);
    ql_train_result_destroy(&train);
    ql_mesh_destroy(&mesh);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {TEST(everything_comes_back),
                                       TEST(field_without_networks_and_history_is_a_result_too),
                                       TEST(vtkhdf_copy_stands_alone)};
    return ql_test_main(tests);
}

/* What thousands of meshes need: divided folders, the memory of former surveys, the note of packed results. */
#include "support/store_samples.h"

#include "store/packed.h"
#include "sweep/survey.h"

#include <string.h>

static void write_failure(const char *run, const char *id)
{
    ql_failure failure;
    ql_failure_init(&failure);
    (void)snprintf(failure.mesh, sizeof failure.mesh, "%s", id);
    (void)snprintf(failure.stage, sizeof failure.stage, "check");
    ASSERT_OK(ql_failure_write(run, &failure));
}

/* A run that becomes wide finds its old files where they are and puts new ones into the folders. */
static void test_wide(void **state)
{
    (void)state;
    char run[QL_PATH_SIZE], path[QL_PATH_SIZE];
    ql_listing listing;
    sample_directory(run);
    ASSERT_OK(ql_rundir_create(run));
    write_failure(run, "early-0badf00d");
    ASSERT_OK(ql_rundir_widen(run));
    ASSERT_OK(ql_rundir_widen(run));
    write_failure(run, "late-e1badf00");
    ASSERT_OK(ql_rundir_path(path, run, QL_RUN_FAILURE, "early-0badf00d"));
    assert_non_null(strstr(path, "/failures/early-0badf00d.json"));
    ASSERT_OK(ql_rundir_path(path, run, QL_RUN_FAILURE, "late-e1badf00"));
    assert_non_null(strstr(path, "/failures/e1/late-e1badf00.json"));
    assert_true(ql_path_exists(path));
    ASSERT_OK(ql_rundir_path(path, run, QL_RUN_RESULT, "a-b-3f01a2b4"));
    assert_non_null(strstr(path, "/meshes/3f/a-b-3f01a2b4.h5"));
    ASSERT_OK(ql_rundir_side_path(path, run, "a-b-3f01a2b4.quads", "begun"));
    assert_non_null(strstr(path, "/checkpoints/3f/a-b-3f01a2b4.quads.begun"));
    ASSERT_OK(ql_rundir_create(run)); /* the next start */
    ASSERT_OK(ql_listing_read(&listing, run));
    assert_true(listing.count == 2 && listing.failed == 2);
    assert_string_equal(listing.meshes[1].id, "late-e1badf00");
    ql_listing_destroy(&listing);
    sample_directory_remove(run);
}

static void test_packed_note(void **state)
{
    (void)state;
    char run[QL_PATH_SIZE], path[QL_PATH_SIZE];
    const char first[][QL_ID_SIZE] = {"a-00000001", "b-00000002"}, second[][QL_ID_SIZE] = {"b-00000002", "c-00000003"};
    ql_packed packed;
    ql_listing listing;
    sample_directory(run);
    ASSERT_OK(ql_rundir_create(run));
    ASSERT_OK(ql_packed_read(&packed, run));
    assert_true(packed.count == 0 && ql_packed_find(&packed, "a-00000001") == NULL);
    ql_packed_destroy(&packed);
    ASSERT_OK(ql_packed_add(run, "/tmp/one pack.h5", first[0], sizeof first[0], 2));
    ASSERT_OK(ql_packed_add(run, "/tmp/two.h5", second[0], sizeof second[0], 2));
    ASSERT_OK(ql_packed_read(&packed, run));
    assert_int_equal(packed.count, 3);
    assert_string_equal(ql_packed_find(&packed, "a-00000001")->path, "/tmp/one pack.h5");
    assert_string_equal(ql_packed_find(&packed, "b-00000002")->path, "/tmp/two.h5");
    assert_null(ql_packed_find(&packed, "d-00000004"));
    ql_packed_destroy(&packed);

    /* packed and finished; a file that is there again goes before the note */
    ASSERT_OK(ql_rundir_path(path, run, QL_RUN_RESULT, "c-00000003"));
    ASSERT_OK(ql_file_write_whole(path, "x", 1));
    ASSERT_OK(ql_listing_read(&listing, run));
    assert_true(listing.count == 3 && listing.finished == 3);
    assert_true(listing.meshes[0].packed && listing.meshes[1].packed && !listing.meshes[2].packed);
    ql_listing_destroy(&listing);
    sample_directory_remove(run);
}

static void write_mesh(const char *path, double x)
{
    char text[256];
    int length =
        snprintf(text, sizeof text, "v 0 0 0\nv %g 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 1 4 3\nf 2 3 4\n", x);
    ASSERT_OK(ql_file_write_whole(path, text, (size_t)length));
}

/* The next survey takes what it knows, unless the file was changed. */
static void test_survey_cache(void **state)
{
    (void)state;
    char run[QL_PATH_SIZE], input[QL_PATH_SIZE], path[QL_PATH_SIZE], *text;
    size_t size;
    ql_options options;
    ql_survey survey;
    ql_comm *self;
    sample_directory(run);
    sample_directory(input);
    ASSERT_OK(ql_rundir_create(run));
    ASSERT_OK(ql_comm_self(&self));
    ql_options_init(&options);
    ASSERT_OK(ql_path_join(path, input, "a mesh.obj"));
    write_mesh(path, 1);
    for (int round = 0; round < 3; ++round) {
        ql_collection collection = {0};
        if (round == 2) write_mesh(path, 1.25);
        ASSERT_OK(ql_collection_add(&collection, input));
        ASSERT_OK(ql_survey_make(&survey, &collection, self, run, &options, false));
        if (round == 1) assert_int_equal(survey.work[0].faces, 77); /* from the cache, as falsified below */
        if (round != 1) assert_int_equal(survey.work[0].faces, 4);
        ql_survey_keep(&survey, &collection, run);
        ql_survey_destroy(&survey);
        ql_collection_destroy(&collection);
        ASSERT_OK(ql_path_join(path, run, "survey.txt"));
        ASSERT_OK(ql_file_read_whole(path, 0, &text, &size));
        assert_non_null(strstr(text, round == 1 ? " 77 4 " : " 4 4 "));
        if (round == 0) { /* 16 digits of the hash, then " 4 4 " */
            char changed[512];
            int length = snprintf(changed, sizeof changed, "%.16s 77%s", text, text + 18);
            ASSERT_OK(ql_file_write_whole(path, changed, (size_t)length));
        }
        ql_free(text);
        ASSERT_OK(ql_path_join(path, input, "a mesh.obj"));
    }
    ql_comm_destroy(self);
    sample_directory_remove(run);
    sample_directory_remove(input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wide),
        cmocka_unit_test(test_packed_note),
        cmocka_unit_test(test_survey_cache),
    };
    return ql_test_main(tests);
}

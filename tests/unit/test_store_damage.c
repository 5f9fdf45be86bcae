/* Damage is found and named; crashes and full disks leave the old file or the new one. */
#include "support/store_samples.h"

#include "base/clock.h"

#include <dirent.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char directory[QL_PATH_SIZE], path[QL_PATH_SIZE];
static ql_mesh mesh;
static ql_train_result train;
static ql_result_content content;

static int set_up(void **state)
{
    (void)state;
    sample_directory(directory);
    ASSERT_OK(ql_path_join(path, directory, "sphere-01234567.h5"));
    sample_mesh(&mesh, "sphere", 40);
    sample_train(&train, &mesh, false);
    content = (ql_result_content){.id = "sphere-01234567", .mesh = &mesh, .train = &train};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sample_directory_remove(directory);
    ql_train_result_destroy(&train);
    ql_mesh_destroy(&mesh);
    return 0;
}

static void expect_finding(const char *text)
{
    ql_findings findings;
    ASSERT_OK(ql_result_write(path, &content));
    ASSERT_OK(ql_result_verify(&findings, path));
    if (text == NULL) {
        assert_string_equal(findings.text, "");
        assert_int_equal(findings.count, 0);
    } else if (strstr(findings.text, text) == NULL) {
        fail_msg("expected \"%s\", found \"%s\"", text, findings.text);
    }
}

static void good_result_has_no_findings(void **state)
{
    (void)state;
    expect_finding(NULL);
}

static void fields_that_contradict_themselves_are_found(void **state)
{
    (void)state;
    train.alpha[3 * 7 + 1] += 0.01F;
    expect_finding("/field: face 7: alpha is not unit");
    train.alpha[3 * 7 + 1] -= 0.01F;
    float theta = train.theta[9];
    train.theta[9] += 0.001F;
    expect_finding("/field: face 9: alpha is not where theta says (1 faces");
    train.theta[9] = NAN;
    expect_finding("/field: face 9");
    train.theta[9] = theta;
    float beta[3], *at = train.beta + 3 * 5;
    memcpy(beta, at, sizeof beta);
    memcpy(at, train.alpha + 3 * 5, sizeof beta);
    expect_finding("/field: face 5: alpha and beta are not orthogonal");
    memcpy(at, beta, sizeof beta);
    train.singularity_index[0] = 1;
    expect_finding("/field/singularity_index: sums to 9, recorded is 8");
    train.singularity_sum = 9;
    expect_finding("must be 4 chi = 8");
    train.singularity_index[0] = 0;
    train.singularity_sum = 8;
    expect_finding(NULL);
}

static void impossible_quads_are_found(void **state)
{
    (void)state;
    double vertices[15] = {0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1, 0, 2, 2, 2};
    int32_t faces[8] = {0, 1, 2, 3, 0, 1, 1, 4};
    ql_quad_result quads = {.vertex_count = 5, .face_count = 2, .vertices = vertices, .faces = faces, .valid = true};
    content.quads = &quads;
    expect_finding("/quads/faces: quad 1 has a repeated corner");
    faces[6] = 2;
    expect_finding("/quads: Euler characteristic 1, input has 2"); /* quads, but not those of this mesh */
    faces[6] = 5;
    expect_finding("/quads/faces: face 1: vertex 5 of 5");
    faces[6] = 2;
    vertices[4] = INFINITY;
    expect_finding("/quads/vertices: vertex 1 is not finite");
}

/* Every byte of a file flipped in turn: either a finding, or everything that the file says is unchanged. */
static void any_flipped_byte_is_found_or_harmless(void **state)
{
    (void)state;
    char *bytes, damaged[QL_PATH_SIZE];
    size_t size, harmless = 0, tried = 0;
    ql_findings findings;
    ql_result *good, *bad;
    ASSERT_OK(QL_TAKE(good, 1));
    ASSERT_OK(QL_TAKE(bad, 1));
    ASSERT_OK(ql_result_write(path, &content));
    ASSERT_OK(ql_result_read(good, path, QL_RESULT_ALL));
    ASSERT_OK(ql_file_read_whole(path, 0, &bytes, &size));
    ASSERT_OK(ql_path_join(damaged, directory, "damaged.h5"));
    size_t faces = (size_t)mesh.face_count, vertices = (size_t)mesh.vertex_count;
    for (size_t at = 0; at < size; at += at < 1024 ? 1 : 17) {
        bytes[at] = (char)(bytes[at] ^ (1 << (at % 8)));
        FILE *file = fopen(damaged, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(bytes, 1, size, file), size);
        assert_int_equal(fclose(file), 0);
        bytes[at] = (char)(bytes[at] ^ (1 << (at % 8)));
        ++tried;
        ASSERT_OK(ql_result_verify(&findings, damaged));
        if (findings.count > 0) continue;
        ++harmless;
        ASSERT_OK(ql_result_read(bad, damaged, QL_RESULT_ALL));
        assert_memory_equal(&bad->summary, &good->summary, sizeof good->summary);
        assert_memory_equal(bad->mesh.vertices, good->mesh.vertices, 3 * vertices * sizeof(double));
        assert_memory_equal(bad->mesh.faces, good->mesh.faces, 3 * faces * sizeof(int32_t));
        assert_memory_equal(bad->train.theta, good->train.theta, faces * sizeof(float));
        assert_memory_equal(bad->train.alpha, good->train.alpha, 3 * faces * sizeof(float));
        assert_memory_equal(bad->train.beta, good->train.beta, 3 * faces * sizeof(float));
        assert_memory_equal(bad->train.singularity_index, good->train.singularity_index, vertices);
        assert_int_equal(bad->train.history.rows, good->train.history.rows);
        assert_int_equal(bad->provenance.count, good->provenance.count);
        ql_result_destroy(bad);
    }
    print_message("%zu bytes flipped one by one in a file of %zu: %zu harmless (unused space), none unnoticed\n", tried,
                  size, harmless);
    ql_result_destroy(good);
    ql_free(good);
    ql_free(bad);
    ql_free(bytes);
}

/* ---- crashes ---- */

static ql_snapshot old_snapshot, new_snapshot;
static char run[QL_PATH_SIZE];

static ql_status write_new_result(void)
{
    content.attempts = 2;
    return ql_result_write(path, &content);
}

static ql_status write_new_checkpoint(void) { return ql_checkpoint_write(path, &new_snapshot, NULL, NULL); }

static ql_status write_new_summary(void) { return ql_rundir_write_summary(run); }

/* Runs `write` in a child that kills itself at write point 1, 2, ... until one survives; after each, `check`. */
static int crash_everywhere(ql_status (*write)(void), void (*check)(bool survived))
{
    for (int point = 1;; ++point) {
        assert_true(point < 1000);
        pid_t child = fork();
        if (child == 0) {
            ql_file_crash_at(point);
            _exit(write() == QL_OK ? 0 : 1);
        }
        int code;
        assert_int_equal(waitpid(child, &code, 0), child);
        bool survived = WIFEXITED(code);
        if (survived)
            assert_int_equal(WEXITSTATUS(code), 0);
        else
            assert_true(WIFSIGNALED(code) && WTERMSIG(code) == SIGKILL);
        check(survived);
        if (survived) return point - 1;
    }
}

static int count_files(void)
{
    int count = 0;
    DIR *listing = opendir(directory);
    assert_non_null(listing);
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) count += entry->d_name[0] != '.';
    (void)closedir(listing);
    return count;
}

static void result_is_old_or_new(bool survived)
{
    ql_findings findings;
    ql_summary *row;
    ASSERT_OK(QL_TAKE(row, 1));
    ASSERT_OK(ql_directory_sweep_temporaries(directory));
    assert_int_equal(count_files(), 1); /* stale temporaries are gone */
    ASSERT_OK(ql_result_verify(&findings, path));
    assert_int_equal(findings.count, 0);
    ASSERT_OK(ql_summary_read(row, path));
    assert_true(row->attempts == 2 || (!survived && row->attempts == 1));
    ql_free(row);
}

static void result_survives_a_crash_anywhere(void **state)
{
    (void)state;
    content.attempts = 1;
    ASSERT_OK(ql_result_write(path, &content));
    int points = crash_everywhere(write_new_result, result_is_old_or_new);
    print_message("result: killed at each of %d write points\n", points);
    assert_true(points >= 10);
}

static void no_result_or_the_new_one(bool survived)
{
    ql_findings findings;
    ASSERT_OK(ql_directory_sweep_temporaries(directory));
    assert_true(count_files() == (ql_path_exists(path) ? 1 : 0));
    assert_true(!survived || ql_path_exists(path));
    if (!ql_path_exists(path)) return;
    ASSERT_OK(ql_result_verify(&findings, path));
    assert_int_equal(findings.count, 0);
    ASSERT_OK(ql_file_remove(path));
}

static void first_result_is_whole_or_absent(void **state)
{
    (void)state;
    assert_true(crash_everywhere(write_new_result, no_result_or_the_new_one) >= 10);
}

static void checkpoint_is_old_or_new(bool survived)
{
    ql_snapshot read;
    ASSERT_OK(ql_directory_sweep_temporaries(directory));
    ASSERT_OK(ql_checkpoint_read(&read, path, NULL));
    assert_true(read.step == 200 || (!survived && read.step == 100));
    const ql_snapshot *written = read.step == 200 ? &new_snapshot : &old_snapshot;
    assert_memory_equal(read.state.moment2, written->state.moment2, QL_PARAMETER_COUNT * sizeof(float));
    assert_true(count_files() <= 2);
    ql_snapshot_destroy(&read);
}

static void checkpoint_survives_a_crash_anywhere(void **state)
{
    (void)state;
    sample_snapshot(&old_snapshot, QL_FLOAT32, 100);
    sample_snapshot(&new_snapshot, QL_FLOAT32, 200);
    ASSERT_OK(ql_checkpoint_write(path, &old_snapshot, NULL, NULL));
    int points = crash_everywhere(write_new_checkpoint, checkpoint_is_old_or_new);
    print_message("checkpoint: killed at each of %d write points\n", points);
    assert_true(points >= 8);
    ql_snapshot_destroy(&old_snapshot);
    ql_snapshot_destroy(&new_snapshot);
}

static void summary_is_whole(bool survived)
{
    char summary[QL_PATH_SIZE], *text;
    size_t size;
    (void)survived;
    ASSERT_OK(ql_rundir_create(run)); /* what the next start does */
    ASSERT_OK(ql_rundir_path(summary, run, QL_RUN_SUMMARY, NULL));
    if (!ql_path_exists(summary)) return;
    ASSERT_OK(ql_file_read_whole(summary, 0, &text, &size));
    assert_true(size > 2 && strcmp(text + size - 2, "\r\n") == 0);
    ql_free(text);
}

static void summary_survives_a_crash_anywhere(void **state)
{
    (void)state;
    ASSERT_OK(ql_path_join(run, directory, "run"));
    ASSERT_OK(ql_rundir_create(run));
    ASSERT_OK(ql_rundir_path(path, run, QL_RUN_RESULT, "sphere-01234567"));
    ASSERT_OK(ql_result_write(path, &content));
    assert_true(crash_everywhere(write_new_summary, summary_is_whole) >= 10);
    int files = 0;
    DIR *listing = opendir(run);
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) files += entry->d_name[0] != '.';
    (void)closedir(listing);
    assert_int_equal(files, 7); /* five folders, summary.csv, index.h5 */
}

/* A limit on the size of files stands for a full disk: write fails in the middle of a file. */
static void full_disk_is_told_and_spoils_nothing(void **state)
{
    (void)state;
    ql_snapshot read;
    sample_snapshot(&old_snapshot, QL_FLOAT32, 100);
    sample_snapshot(&new_snapshot, QL_FLOAT32, 200);
    ASSERT_OK(ql_checkpoint_write(path, &old_snapshot, NULL, NULL));
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {20000000, 20000000};
        (void)signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(2);
        if (ql_checkpoint_write(path, &new_snapshot, NULL, NULL) != QL_STATUS_IO) _exit(3);
        if (strstr(ql_error_text(), "sphere-01234567.h5") == NULL) _exit(4);
        if (ql_result_write(path, &content) != QL_OK) _exit(5); /* a small file still fits: the library is sane */
        _exit(ql_checkpoint_write(path, &new_snapshot, NULL, NULL) == QL_STATUS_IO ? 0 : 6);
    }
    int code;
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_true(WIFEXITED(code));
    assert_int_equal(WEXITSTATUS(code), 0);
    ASSERT_OK(ql_checkpoint_read(&read, path, NULL)); /* PATH is now that small result: the one before serves */
    assert_int_equal(read.step, 100);
    ql_snapshot_destroy(&read);
    assert_int_equal(count_files(), 2);
    ql_snapshot_destroy(&old_snapshot);
    ql_snapshot_destroy(&new_snapshot);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(good_result_has_no_findings),          TEST(fields_that_contradict_themselves_are_found),
        TEST(impossible_quads_are_found),           TEST(any_flipped_byte_is_found_or_harmless),
        TEST(result_survives_a_crash_anywhere),     TEST(first_result_is_whole_or_absent),
        TEST(checkpoint_survives_a_crash_anywhere), TEST(summary_survives_a_crash_anywhere),
        TEST(full_disk_is_told_and_spoils_nothing)};
    return ql_test_main(tests);
}

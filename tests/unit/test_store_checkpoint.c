/* Checkpoints: round trips, damage, fallback, speed. */
#include "support/store_samples.h"

#include "base/clock.h"

static char directory[QL_PATH_SIZE], path[QL_PATH_SIZE], previous[QL_PATH_SIZE];

static int set_up(void **state)
{
    (void)state;
    sample_directory(directory);
    ASSERT_OK(ql_path_join(path, directory, "mesh-01234567.h5"));
    ASSERT_OK(ql_path_join(previous, directory, "mesh-01234567.h5.previous"));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sample_directory_remove(directory);
    return 0;
}

static void assert_same(const ql_snapshot *a, const ql_snapshot *b)
{
    size_t bytes = QL_PARAMETER_COUNT * (a->state.type == QL_FLOAT64 ? sizeof(double) : sizeof(float));
    assert_int_equal(a->state.type, b->state.type);
    assert_true(a->step == b->step && a->seconds == b->seconds);
    assert_true(a->mesh_hash == b->mesh_hash && a->options_hash == b->options_hash);
    assert_memory_equal(a->state.parameters, b->state.parameters, bytes);
    assert_memory_equal(a->state.moment1, b->state.moment1, bytes);
    assert_memory_equal(a->state.moment2, b->state.moment2, bytes);
    assert_true(a->history.rows == b->history.rows);
    assert_memory_equal(a->history.values, b->history.values,
                        (size_t)a->history.rows * QL_HISTORY_COLUMNS * sizeof(double));
}

static void round_trip(ql_real_type type)
{
    ql_snapshot written, read;
    ql_options options;
    ql_checkpoint_origin origin;
    ql_checkpoint_head head;
    ql_options_init(&options);
    sample_snapshot(&written, type, 1200);
    ASSERT_OK(ql_checkpoint_write(path, &written, &options, NULL));
    ASSERT_OK(ql_checkpoint_read(&read, path, &origin));
    assert_same(&written, &read);
    assert_false(origin.previous);
    ASSERT_OK(ql_checkpoint_read_head(&head, path));
    assert_true(head.step == 1200 && head.steps == options.train.steps && head.type == type);
    ql_snapshot_destroy(&written);
    ql_snapshot_destroy(&read);
}

static void single_precision_comes_back_bit_for_bit(void **state)
{
    (void)state;
    round_trip(QL_FLOAT32);
}

static void double_precision_comes_back_bit_for_bit(void **state)
{
    (void)state;
    round_trip(QL_FLOAT64);
}

static void empty_history_comes_back(void **state)
{
    (void)state;
    ql_snapshot written, read;
    sample_snapshot(&written, QL_FLOAT32, 0);
    written.history.rows = 0;
    ASSERT_OK(ql_checkpoint_write(path, &written, NULL, NULL));
    ASSERT_OK(ql_checkpoint_read(&read, path, NULL));
    assert_true(read.history.rows == 0);
    ql_snapshot_destroy(&written);
    ql_snapshot_destroy(&read);
}

static void flip_byte(const char *file, long at)
{
    FILE *stream = fopen(file, "r+b");
    assert_non_null(stream);
    assert_int_equal(fseek(stream, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    int byte = fgetc(stream);
    assert_int_equal(fseek(stream, -1, SEEK_CUR), 0);
    (void)fputc(byte ^ 0x10, stream);
    assert_int_equal(fclose(stream), 0);
}

static void damaged_one_falls_back_to_the_one_before(void **state)
{
    (void)state;
    ql_snapshot first, second, read;
    ql_checkpoint_origin origin;
    sample_snapshot(&first, QL_FLOAT32, 100);
    sample_snapshot(&second, QL_FLOAT32, 200);
    ASSERT_OK(ql_checkpoint_write(path, &first, NULL, NULL));
    ASSERT_OK(ql_checkpoint_write(path, &second, NULL, NULL));
    flip_byte(path, 20000000);
    ASSERT_OK(ql_checkpoint_read(&read, path, &origin));
    assert_true(origin.previous);
    assert_non_null(strstr(origin.problem, "mesh-01234567.h5"));
    assert_non_null(strstr(origin.problem, "/moment1"));
    assert_same(&first, &read);
    ql_snapshot_destroy(&read);
    flip_byte(previous, 20000000);
    assert_int_equal(ql_checkpoint_read(&read, path, &origin), QL_STATUS_FORMAT);
    assert_non_null(strstr(ql_error_text(), "previous"));
    ASSERT_OK(ql_checkpoint_write(path, &second, NULL, NULL)); /* a new one heals */
    ASSERT_OK(ql_checkpoint_read(&read, path, &origin));
    assert_same(&second, &read);
    ql_snapshot_destroy(&read);
    ql_snapshot_destroy(&first);
    ql_snapshot_destroy(&second);
}

static void missing_one_is_told(void **state)
{
    (void)state;
    ql_snapshot read;
    assert_false(ql_checkpoint_exists(path));
    assert_int_equal(ql_checkpoint_read(&read, path, NULL), QL_STATUS_IO);
    assert_non_null(strstr(ql_error_text(), path));
    FILE *file = fopen(path, "w");
    (void)fputs("this is no HDF5 file", file);
    (void)fclose(file);
    assert_int_equal(ql_checkpoint_read(&read, path, NULL), QL_STATUS_FORMAT);
    ASSERT_OK(ql_checkpoint_remove(path));
    assert_false(ql_checkpoint_exists(path));
}

static void every_cut_off_file_is_refused(void **state)
{
    (void)state;
    ql_snapshot written, read;
    sample_snapshot(&written, QL_FLOAT32, 7);
    ASSERT_OK(ql_checkpoint_write(path, &written, NULL, NULL));
    for (long keep = 40000000; keep > 0; keep /= 7) {
        assert_int_equal(truncate(path, keep), 0);
        assert_int_equal(ql_checkpoint_read(&read, path, NULL), QL_STATUS_FORMAT);
    }
    ql_snapshot_destroy(&written);
}

static void writing_is_fast_and_memory_is_given_back(void **state)
{
    (void)state;
    ql_snapshot written;
    double best = 1e9;
    sample_snapshot(&written, QL_FLOAT32, 7);
    for (int k = 0; k < 3; ++k) {
        double begin = ql_clock_s();
        ASSERT_OK(ql_checkpoint_write(path, &written, NULL, NULL));
        double took = ql_clock_s() - begin;
        best = took < best ? took : best;
    }
    print_message("checkpoint of 52.3 MB written and synced in %.3f s\n", best);
    assert_true(best < 5); /* a sanity bound: the figure itself depends on the disk */
    ql_snapshot_destroy(&written);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {TEST(single_precision_comes_back_bit_for_bit),
                                       TEST(double_precision_comes_back_bit_for_bit),
                                       TEST(empty_history_comes_back),
                                       TEST(damaged_one_falls_back_to_the_one_before),
                                       TEST(missing_one_is_told),
                                       TEST(every_cut_off_file_is_refused),
                                       TEST(writing_is_fast_and_memory_is_given_back)};
    return ql_test_main(tests);
}

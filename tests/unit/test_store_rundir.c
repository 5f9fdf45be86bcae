/* Run directory: names, events, failures, attempts, listing, summary, what a view of a run says. */
#include "support/store_samples.h"

#include "base/process.h"

#include <sys/wait.h>

static char directory[QL_PATH_SIZE];

static int set_up(void **state)
{
    (void)state;
    sample_directory(directory);
    ASSERT_OK(ql_rundir_create(directory));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sample_directory_remove(directory);
    return 0;
}

static void names_are_safe_and_tell_meshes_apart(void **state)
{
    (void)state;
    char id[QL_ID_SIZE], again[QL_ID_SIZE], longer[300];
    ql_rundir_id_of(id, "bunny", UINT64_C(0x0123456789abcdef));
    assert_string_equal(id, "bunny-01234567");
    ql_rundir_id_of(id, "../a b/c:\"d\".v2", 0);
    assert_string_equal(id, "_._a_b_c__d_.v2-00000000");
    ql_rundir_id_of(id, "-rf", 1);
    assert_string_equal(id, "_rf-00000000");
    ql_rundir_id_of(id, "", UINT64_MAX);
    assert_string_equal(id, "mesh-ffffffff");
    ql_rundir_id_of(id, "k\xc3\xbchn \xff", 0);
    assert_string_equal(id, "k\xc3\xbchn__-00000000");
    memset(longer, 'x', sizeof longer);
    longer[99] = '\xc3';
    longer[100] = '\xbc';
    longer[299] = '\0';
    ql_rundir_id_of(id, longer, 0);
    assert_int_equal(strlen(id), 99 + 9); /* the character is not cut in two */
    longer[99] = 'x';
    longer[100] = 'x';
    ql_rundir_id_of(id, longer, UINT64_C(0x1111111100000000));
    ql_rundir_id_of(again, longer, UINT64_C(0x2222222200000000));
    assert_true(strlen(id) < QL_ID_SIZE - 1 && strcmp(id, again) != 0);
}

static void check_says_what_is_missing(void **state)
{
    (void)state;
    char path[QL_PATH_SIZE];
    ASSERT_OK(ql_rundir_check(directory));
    ASSERT_OK(ql_path_join(path, directory, "meshes"));
    assert_int_equal(ql_rundir_check(path), QL_STATUS_IO);
    assert_non_null(strstr(ql_error_text(), "not a run directory"));
}

static void failure_comes_back(void **state)
{
    (void)state;
    ql_failure written, read;
    char path[QL_PATH_SIZE];
    ql_failure_init(&written);
    (void)snprintf(written.mesh, sizeof written.mesh, "a-00000000");
    (void)snprintf(written.name, sizeof written.name, "a \"quoted\"\n\\name");
    (void)snprintf(written.reason, sizeof written.reason, "face 12: \xc3\xa4 \t index 9 >= 4");
    (void)snprintf(written.remedy, sizeof written.remedy, "repair the mesh");
    (void)snprintf(written.stage, sizeof written.stage, "check");
    written.status = QL_STATUS_MESH;
    written.face = 12;
    written.attempts = 3;
    ASSERT_OK(ql_failure_write(directory, &written));
    ASSERT_OK(ql_rundir_path(path, directory, QL_RUN_FAILURE, "a-00000000"));
    ASSERT_OK(ql_failure_read(&read, path));
    assert_string_equal(read.name, written.name);
    assert_string_equal(read.reason, written.reason);
    assert_string_equal(read.stage, "check");
    assert_true(read.status == QL_STATUS_MESH && read.face == 12 && read.line == -1 && read.attempts == 3);
    assert_true(read.date[0] == '2');
    ASSERT_OK(ql_failure_remove(directory, "a-00000000"));
    ASSERT_OK(ql_failure_remove(directory, "a-00000000"));
    assert_false(ql_path_exists(path));
}

static void attempts_count_until_progress_or_settled(void **state)
{
    (void)state;
    int64_t n;
    ASSERT_OK(ql_attempts_begin(directory, "m-0", 0, &n));
    assert_int_equal(n, 1);
    ASSERT_OK(ql_attempts_begin(directory, "m-0", 0, &n));
    assert_int_equal(n, 2);
    ASSERT_OK(ql_attempts_begin(directory, "m-0", 100, &n)); /* the last one got somewhere */
    assert_int_equal(n, 1);
    ASSERT_OK(ql_attempts_begin(directory, "m-0", 100, &n));
    assert_int_equal(n, 2);
    ASSERT_OK(ql_attempts_settle(directory, "m-0"));
    ASSERT_OK(ql_attempts_begin(directory, "m-0", 0, &n));
    assert_int_equal(n, 1);
}

typedef struct collected {
    int count;
    ql_event events[64];
} collected;

static void collect(void *context, const char *log, const ql_event *event)
{
    collected *all = context;
    (void)log;
    if (all->count < 64) all->events[all->count++] = *event;
}

static void append_raw(const char *log, const char *text)
{
    char path[QL_PATH_SIZE];
    (void)snprintf(path, sizeof path, "%.4000s/events/%s.jsonl", directory, log);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

static void events_come_back_and_torn_lines_do_not_matter(void **state)
{
    (void)state;
    ql_events log;
    collected *all;
    int64_t skipped;
    ASSERT_OK(QL_TAKE(all, 1));
    ASSERT_OK(ql_events_open(&log, directory, "0", 0, 1));
    ql_event sample = {.type = QL_EVENT_sample, .time = 1.75e9 + 0.25, .step = 12, .steps = 100, .loss = 0.125};
    (void)snprintf(sample.mesh, sizeof sample.mesh, "a\"\\-0");
    ASSERT_OK(ql_events_write(&log, &sample));
    ql_events_close(&log);
    append_raw("0", "{\"time\": \"2026-11-22T18:04:05Z\", \"event\": \"sam"); /* killed in the middle */
    ASSERT_OK(ql_events_open(&log, directory, "0", 0, 1));
    ASSERT_OK(ql_events_write(&log, &(ql_event){.type = QL_EVENT_end, .code = 75}));
    ql_events_close(&log);
    append_raw("0", "{\"time\": \"2026-11-22T18:04:05Z\", \"event\": \"from_the_future\", \"x\": [1, {\"y\": 2}]}\n");
    ASSERT_OK(ql_events_read(directory, collect, all, &skipped));
    assert_int_equal(all->count, 2);
    assert_int_equal(skipped, 2);
    const ql_event *back = &all->events[0];
    assert_true(back->type == QL_EVENT_sample && back->step == 12 && back->loss == 0.125);
    assert_true(fabs(back->time - sample.time) < 2e-3);
    assert_string_equal(back->mesh, sample.mesh);
    assert_true(all->events[1].type == QL_EVENT_end && all->events[1].code == 75 && all->events[1].time > 1.7e9);
    ql_free(all);
}

/* Thousands of logs lie in folders of their own; one that exists stays where it is. */
static void many_logs_are_divided(void **state)
{
    (void)state;
    ql_events log;
    collected *all;
    char path[QL_PATH_SIZE];
    ASSERT_OK(QL_TAKE(all, 1));
    ASSERT_OK(ql_events_open(&log, directory, "1of3000-0", 0, 3000));
    ASSERT_OK(ql_events_write(&log, &(ql_event){.type = QL_EVENT_end, .code = 1}));
    ql_events_close(&log);
    (void)snprintf(path, sizeof path, "%.4000s/events/1of3000-0.jsonl", directory);
    assert_false(ql_path_exists(path));
    ASSERT_OK(ql_events_open(&log, directory, "1of3000-0", 0, 1));
    ASSERT_OK(ql_events_write(&log, &(ql_event){.type = QL_EVENT_end, .code = 2}));
    ql_events_close(&log);
    assert_false(ql_path_exists(path));
    ASSERT_OK(ql_events_open(&log, directory, "0", 0, 1));
    ASSERT_OK(ql_events_write(&log, &(ql_event){.type = QL_EVENT_end, .code = 3}));
    ql_events_close(&log);
    ASSERT_OK(ql_events_open(&log, directory, "0", 0, 3000));
    ASSERT_OK(ql_events_write(&log, &(ql_event){.type = QL_EVENT_end, .code = 4}));
    ql_events_close(&log);
    ASSERT_OK(ql_events_read(directory, collect, all, NULL));
    assert_int_equal(all->count, 4);
    static const int64_t codes[] = {3, 4, 1, 2}; /* by name, in order of writing */
    for (int i = 0; i < 4; ++i) assert_int_equal(all->events[i].code, codes[i]);
    ql_free(all);
}

static void start_log(ql_events *log, const char *name, int rank, int64_t meshes)
{
    ASSERT_OK(ql_events_open(log, directory, name, rank, 1));
    ASSERT_OK(ql_events_write(log, &(ql_event){.type = QL_EVENT_start, .ranks = 2, .meshes = meshes}));
}

static ql_event event_of(ql_event_type type, const char *mesh)
{
    ql_event event = {.type = type};
    (void)snprintf(event.mesh, sizeof event.mesh, "%s", mesh);
    return event;
}

static void view_of_a_run_that_runs_halts_and_crashes(void **state)
{
    (void)state;
    ql_events log;
    ql_run_view view;
    ASSERT_OK(ql_run_view_read(&view, directory));
    assert_int_equal(view.life, QL_RUN_NEVER);
    start_log(&log, "0", 0, 9);
    ql_event event = event_of(QL_EVENT_mesh_start, "a-0");
    ASSERT_OK(ql_events_write(&log, &event));
    event = event_of(QL_EVENT_mesh_end, "a-0");
    ASSERT_OK(ql_events_write(&log, &event));
    event = event_of(QL_EVENT_mesh_start, "b-0");
    ASSERT_OK(ql_events_write(&log, &event));
    event = event_of(QL_EVENT_sample, "b-0");
    event.step = 500;
    event.seconds_per_step = 0.25;
    ASSERT_OK(ql_events_write(&log, &event));
    ASSERT_OK(ql_run_view_read(&view, directory));
    assert_int_equal(view.life, QL_RUN_RUNNING);
    assert_true(view.meshes == 9 && view.finished_now == 1 && view.steps_per_second == 4);
    assert_string_equal(view.logs[0].mesh, "b-0");
    assert_true(view.logs[0].sample.step == 500);
    ql_run_view_destroy(&view);
    ASSERT_OK(ql_events_write(&log, &(ql_event){.type = QL_EVENT_end, .code = 75}));
    ql_events_close(&log);
    ASSERT_OK(ql_run_view_read(&view, directory));
    assert_int_equal(view.life, QL_RUN_HALTED);
    ql_run_view_destroy(&view);
    pid_t child = fork(); /* a rank that dies without a word */
    if (child == 0) {
        ql_events other;
        bool fine = ql_events_open(&other, directory, "1", 1, 1) == QL_OK &&
                    ql_events_write(&other, &(ql_event){.type = QL_EVENT_start, .ranks = 2}) == QL_OK;
        _exit(fine ? 0 : 1);
    }
    int code;
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(code, 0);
    ASSERT_OK(ql_run_view_read(&view, directory));
    assert_int_equal(view.life, QL_RUN_CRASHED);
    assert_int_equal(view.log_count, 2);
    ql_run_view_destroy(&view);
}

static void shards_announce_their_meshes_once_each(void **state)
{
    (void)state;
    static const char *const names[] = {"1of2-0", "1of2-1", "2of2-0", "2of2-1"};
    static const int64_t meshes[] = {5, 5, 4, 4};
    ql_events logs[4];
    ql_run_view view;
    for (int k = 0; k < 4; ++k) start_log(&logs[k], names[k], k % 2, meshes[k]);
    ASSERT_OK(ql_run_view_read(&view, directory));
    assert_int_equal(view.meshes, 9);
    assert_int_equal(view.life, QL_RUN_RUNNING);
    ql_run_view_destroy(&view);
    for (int k = 0; k < 4; ++k) ql_events_close(&logs[k]);
}

static void view_of_a_run_on_another_host(void **state)
{
    (void)state;
    ql_run_view view;
    append_raw("0", "{\"time\": \"2020-01-01T00:00:00Z\", \"event\": \"start\", \"ranks\": 1, \"meshes\": 3, "
                    "\"host\": \"elsewhere\", \"pid\": 7, \"process\": 8, \"place\": \"00000000-00000000\"}\n");
    ASSERT_OK(ql_run_view_read(&view, directory));
    assert_int_equal(view.life, QL_RUN_SILENT);
    assert_int_equal(view.meshes, 3);
    ql_run_view_destroy(&view);
}

static void touch(ql_run_part part, const char *id)
{
    char path[QL_PATH_SIZE];
    ASSERT_OK(ql_rundir_path(path, directory, part, id));
    ASSERT_OK(ql_file_write_whole(path, "{}", 2));
}

static void listing_tells_who_is_where(void **state)
{
    (void)state;
    ql_listing listing;
    touch(QL_RUN_RESULT, "c-0");
    touch(QL_RUN_RESULT, "a-0");
    touch(QL_RUN_CHECKPOINT, "a-0"); /* left over */
    touch(QL_RUN_CHECKPOINT, "b-0");
    touch(QL_RUN_ATTEMPTS, "b-0");
    touch(QL_RUN_FAILURE, "d-0");
    char path[QL_PATH_SIZE];
    ASSERT_OK(ql_path_join(path, directory, "meshes/e-0.h5.tmp-1-2-3-4-5"));
    ASSERT_OK(ql_file_write_whole(path, "", 0));
    ASSERT_OK(ql_listing_read(&listing, directory));
    assert_true(listing.count == 4 && listing.finished == 2 && listing.failed == 1 && listing.unfinished == 1);
    assert_string_equal(listing.meshes[0].id, "a-0");
    assert_true(ql_listing_find(&listing, "b-0")->checkpointed);
    assert_true(ql_listing_find(&listing, "d-0")->failed);
    assert_null(ql_listing_find(&listing, "e-0"));
    ql_listing_destroy(&listing);
}

static void write_result(const char *name)
{
    ql_mesh mesh;
    ql_train_result train;
    char id[QL_ID_SIZE], path[QL_PATH_SIZE];
    sample_mesh(&mesh, name, 5);
    sample_train(&train, &mesh, false);
    ql_rundir_id(id, &mesh);
    ASSERT_OK(ql_rundir_path(path, directory, QL_RUN_RESULT, id));
    ql_result_content content = {.id = id, .mesh = &mesh, .train = &train};
    ASSERT_OK(ql_result_write(path, &content));
    ql_train_result_destroy(&train);
    ql_mesh_destroy(&mesh);
}

static char *read_text(const char *path)
{
    char *text;
    size_t size;
    ASSERT_OK(ql_file_read_whole(path, 0, &text, &size));
    return text;
}

static void summary_has_a_row_for_every_mesh(void **state)
{
    (void)state;
    char path[QL_PATH_SIZE];
    ql_failure failure;
    ql_snapshot snapshot;
    write_result("good");
    touch(QL_RUN_RESULT, "broken-0");
    ql_failure_init(&failure);
    (void)snprintf(failure.mesh, sizeof failure.mesh, "bad-0");
    (void)snprintf(failure.reason, sizeof failure.reason, "so \"bad\", so sad");
    ASSERT_OK(ql_failure_write(directory, &failure));
    sample_snapshot(&snapshot, QL_FLOAT32, 77);
    ASSERT_OK(ql_rundir_path(path, directory, QL_RUN_CHECKPOINT, "slow-0"));
    ASSERT_OK(ql_checkpoint_write(path, &snapshot, NULL, NULL));
    ql_snapshot_destroy(&snapshot);
    ASSERT_OK(ql_rundir_write_summary(directory));
    ASSERT_OK(ql_rundir_path(path, directory, QL_RUN_SUMMARY, NULL));
    char *text = read_text(path);
    assert_non_null(strstr(text, "mesh,name,status,"));
    assert_non_null(strstr(text, ",good,finished,"));
    assert_non_null(strstr(text, ",\"/models/a, \"\"b\"\".obj\","));
    assert_non_null(strstr(text, "bad-0,,failed,,\"so \"\"bad\"\", so sad\","));
    assert_non_null(strstr(text, "broken-0,,failed,store,"));
    assert_non_null(strstr(text, "slow-0,,unfinished,,,"));
    int lines = 0;
    for (const char *c = text; (c = strstr(c, "\r\n")) != NULL; c += 2) ++lines;
    assert_int_equal(lines, 5);
    ql_free(text);
    ASSERT_OK(ql_rundir_path(path, directory, QL_RUN_INDEX, NULL));
    assert_true(ql_path_exists(path));
    static const char *const some[] = {"another-0", "bad-0", "nobody-0", "slow-0"}; /* rows of some meshes alone */
    ql_summary *rows;
    int64_t count;
    ASSERT_OK(ql_rundir_rows_of(directory, some, 4, &rows, &count));
    assert_int_equal(count, 2);
    assert_string_equal(rows[0].mesh, "bad-0");
    assert_string_equal(rows[1].status, "unfinished");
    ql_free(rows);
}

static void options_are_written(void **state)
{
    (void)state;
    char path[QL_PATH_SIZE];
    ql_options options;
    ql_options_init(&options);
    ASSERT_OK(ql_rundir_write_options(directory, &options));
    ASSERT_OK(ql_rundir_path(path, directory, QL_RUN_OPTIONS, NULL));
    char *text = read_text(path);
    assert_non_null(strstr(text, "steps:"));
    ql_free(text);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {TEST(names_are_safe_and_tell_meshes_apart),
                                       TEST(check_says_what_is_missing),
                                       TEST(failure_comes_back),
                                       TEST(attempts_count_until_progress_or_settled),
                                       TEST(events_come_back_and_torn_lines_do_not_matter),
                                       TEST(many_logs_are_divided),
                                       TEST(view_of_a_run_that_runs_halts_and_crashes),
                                       TEST(shards_announce_their_meshes_once_each),
                                       TEST(view_of_a_run_on_another_host),
                                       TEST(listing_tells_who_is_where),
                                       TEST(summary_has_a_row_for_every_mesh),
                                       TEST(options_are_written)};
    return ql_test_main(tests);
}

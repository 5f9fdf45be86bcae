/* The store from several threads at once (HDF5 itself is not thread-safe), and the reader of JSON lines. */
#include "support/store_samples.h"

#include "store/json_scan.h"

#include <pthread.h>

enum { THREADS = 4, ROUNDS = 12 };

static char directory[QL_PATH_SIZE];
static ql_mesh mesh;
static ql_train_result train;
static ql_events log_of_all;

/* cmocka's assertions belong to the main thread: a thread counts what went wrong. */
static void *work(void *argument)
{
    int me = *(int *)argument;
    intptr_t wrong = 0;
    for (int round = 0; round < ROUNDS; ++round) {
        char id[QL_ID_SIZE], path[QL_PATH_SIZE];
        ql_findings findings;
        ql_event event = {.type = QL_EVENT_sample, .step = me * ROUNDS + round + 1};
        (void)snprintf(id, sizeof id, "mesh%d-0", me);
        memset(event.text, 'a' + me, 400);
        ql_result_content content = {.id = id, .mesh = &mesh, .train = &train, .attempts = round};
        wrong += ql_rundir_path(path, directory, QL_RUN_RESULT, id) != QL_OK;
        wrong += ql_result_write(path, &content) != QL_OK;
        wrong += ql_result_verify(&findings, path) != QL_OK || findings.count != 0;
        wrong += ql_events_write(&log_of_all, &event) != QL_OK;
        (void)ql_rundir_path(path, directory, QL_RUN_RESULT, "nothing-0");
        wrong += ql_result_verify(&findings, path) != QL_OK || findings.count != 1; /* errors stay in their thread */
    }
    return (void *)wrong;
}

static void count_line(void *context, const char *log, const ql_event *event)
{
    int *seen = context;
    (void)log;
    assert_true(event->step >= 1 && event->step <= THREADS * ROUNDS);
    ++seen[event->step];
    assert_int_equal(strspn(event->text, (char[]){(char)('a' + (event->step - 1) / ROUNDS), '\0'}), 400);
}

static void threads_do_not_disturb_each_other(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    int number[THREADS], seen[THREADS * ROUNDS + 1] = {0};
    int64_t skipped;
    sample_directory(directory);
    ASSERT_OK(ql_rundir_create(directory));
    ASSERT_OK(ql_events_open(&log_of_all, directory, "0", 0, 1));
    sample_mesh(&mesh, "shared", 20);
    sample_train(&train, &mesh, false);
    for (int k = 0; k < THREADS; ++k) {
        number[k] = k;
        assert_int_equal(pthread_create(&threads[k], NULL, work, &number[k]), 0);
    }
    for (int k = 0; k < THREADS; ++k) {
        void *wrong;
        assert_int_equal(pthread_join(threads[k], &wrong), 0);
        assert_int_equal((intptr_t)wrong, 0);
    }
    ql_events_close(&log_of_all);
    ASSERT_OK(ql_events_read(directory, count_line, seen, &skipped));
    assert_int_equal(skipped, 0);
    for (int step = 1; step <= THREADS * ROUNDS; ++step) assert_int_equal(seen[step], 1);
    ql_train_result_destroy(&train);
    ql_mesh_destroy(&mesh);
    sample_directory_remove(directory);
}

static void keep_last(void *context, const ql_json_member *member) { *(ql_json_member *)context = *member; }

static bool scan(const char *text, ql_json_member *last)
{
    memset(last, 0, sizeof *last);
    return ql_json_scan(text, strlen(text), keep_last, last);
}

static void json_of_every_kind_is_understood_or_refused(void **state)
{
    (void)state;
    static const char *const good[] = {"{}", " { \"a\" : 1 } \n",
                                       "{\"a\": [1, {\"b\": [true, null]}, \"]\"], \"c\": -1.5e3}",
                                       "{\"a\": \"\\u00e4\\ud83d\\ude00\\n\\/\"}"};
    static const char *const bad[] = {"",
                                      "{",
                                      "{\"a\"}",
                                      "{\"a\": }",
                                      "{\"a\": 1",
                                      "{\"a\": 1,}",
                                      "{\"a\": 1} x",
                                      "{\"a\": \"\\q\"}",
                                      "{\"a\": \"\\ud83d\"}",
                                      "{\"a\": nan}",
                                      "[1]",
                                      "{\"a\": \"x",
                                      "{\"a\": [1}",
                                      "{a: 1}",
                                      "{\"a\": 0x10}"};
    ql_json_member *last;
    ASSERT_OK(QL_TAKE(last, 1));
    for (size_t k = 0; k < sizeof good / sizeof *good; ++k)
        if (!scan(good[k], last)) fail_msg("refused: %s", good[k]);
    assert_string_equal(last->text, "\xc3\xa4\xf0\x9f\x98\x80\n/");
    for (size_t k = 0; k < sizeof bad / sizeof *bad; ++k)
        if (scan(bad[k], last)) fail_msg("accepted: %s", bad[k]);
    char deep[20000] = "{\"a\": ";
    memset(deep + strlen(deep), '[', 10000);
    assert_false(scan(deep, last)); /* no stack of that depth */
    char *longer;
    ASSERT_OK(QL_TAKE(longer, 30000));
    (void)snprintf(longer, 30000, "{\"a\": \"%*s\", \"b\": 7}", 20000, "x");
    assert_true(scan(longer, last)); /* a long text is cut, the rest still read */
    assert_int_equal(ql_json_member_int(last, 0), 7);
    ql_free(longer);
    ql_free(last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(threads_do_not_disturb_each_other),
                                       cmocka_unit_test(json_of_every_kind_is_understood_or_refused)};
    return ql_test_main(tests);
}

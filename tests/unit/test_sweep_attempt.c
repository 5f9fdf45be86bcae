/* Deaths that are counted per mesh, and the mark that a crash leaves. */
#include "support/test.h"

#include "sweep/attempt.h"
#include "sweep/signals.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[128];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/ql-attempt-XXXXXX");
    return mkdtemp(folder) == NULL || ql_rundir_create(folder) != QL_OK;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[256];
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* How many attempts are let through when each one dies without a word. */
static int attempts_until_refused(bool crash, int64_t faces)
{
    for (int begun = 0; begun < 100; ++begun) {
        ql_attempt attempt;
        ql_status status = ql_attempt_begin(&attempt, folder, "mesh-0", faces, 0, 2);
        if (status == QL_STATUS_MESH) return begun;
        ASSERT_OK(status);
        if (crash) ASSERT_OK(ql_file_write_whole(attempt.mark, "", 0));
    }
    return -1;
}

static void test_crashes_count_fully(void **state)
{
    (void)state;
    assert_int_equal(attempts_until_refused(true, 100), 2);
    assert_non_null(strstr(ql_error_text(), "crashed 2 times"));
}

static void test_kills_from_outside_hardly_count(void **state)
{
    (void)state;
    assert_int_equal(attempts_until_refused(false, 100), 30);
}

/* A mesh that fills the machine is suspected once its record does not tell otherwise. */
static void test_lack_of_memory_counts(void **state)
{
    (void)state;
    ql_attempt attempt;
    char path[QL_PATH_SIZE];
    for (int i = 0; i < 2; ++i) {
        ASSERT_OK(ql_attempt_begin(&attempt, folder, "mesh-0", 2000000000, 0, 2));
        (void)snprintf(path, sizeof path, "%s/checkpoints/mesh-0.begun", folder);
        ASSERT_OK(ql_file_write_whole(path, "1 2 3\n", 6)); /* began on another machine */
    }
    assert_int_equal(ql_attempt_begin(&attempt, folder, "mesh-0", 2000000000, 0, 2), QL_STATUS_MESH);
    assert_non_null(strstr(ql_error_text(), "lack of memory"));
}

static void test_progress_clears(void **state)
{
    (void)state;
    ql_attempt attempt;
    for (int i = 0; i < 100; ++i) {
        ASSERT_OK(ql_attempt_begin(&attempt, folder, "mesh-0", 100, 0, 3));
        ASSERT_OK(ql_attempt_going(&attempt, folder)); /* took a step, then killed */
        assert_int_equal(attempt.number, 1);
    }
    /* one that crashes stays counted, unless it got farther */
    for (int i = 0; i < 20; ++i) {
        ASSERT_OK(ql_attempt_begin(&attempt, folder, "mesh-1", 100, 10 * i, 3));
        ASSERT_OK(ql_attempt_going(&attempt, folder));
        ASSERT_OK(ql_file_write_whole(attempt.mark, "", 0));
    }
    ASSERT_OK(ql_attempt_over(&attempt, folder));
    assert_false(ql_path_exists(attempt.mark));
}

static void *crash(void *context)
{
    ql_signals_set_thread_mark(context);
    (void)raise(SIGSEGV);
    return NULL;
}

/* A child that dies of SIGSEGV, in its main thread or in another one with a mark of its own. */
static void die(const char *mark, char *thread_mark)
{
    const struct rlimit none = {0, 0};
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        (void)setrlimit(RLIMIT_CORE, &none);
        if (ql_signals_install() != QL_OK) _exit(1);
        ql_signals_set_mark(mark);
        if (thread_mark != NULL && pthread_create(&thread, NULL, crash, thread_mark) == 0)
            (void)pthread_join(thread, NULL);
        (void)raise(SIGSEGV);
        _exit(2);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static void test_mark(void **state)
{
    (void)state;
    char mark[QL_PATH_SIZE], thread_mark[QL_PATH_SIZE];
    (void)snprintf(mark, sizeof mark, "%s/main", folder);
    (void)snprintf(thread_mark, sizeof thread_mark, "%s/thread", folder);
    die(mark, NULL);
    assert_true(ql_path_exists(mark));
    ASSERT_OK(ql_file_remove(mark));
    die(mark, thread_mark);
    assert_true(ql_path_exists(thread_mark) && !ql_path_exists(mark));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_crashes_count_fully, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_kills_from_outside_hardly_count, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_lack_of_memory_counts, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_progress_clears, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_mark, make_folder, remove_folder),
    };
    return ql_test_main(tests);
}

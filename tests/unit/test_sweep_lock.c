/* Locks of a run directory: double starts, dead owners, shards, takeover. */
#include "support/test.h"

#include "base/clock.h"
#include "sweep/lock.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[128];
static const ql_shard whole = {1, 1};

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/ql-lock-XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[256];
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static int64_t count_alive(void)
{
    int64_t count = -1;
    ASSERT_OK(ql_lock_count(folder, &count, NULL));
    return count;
}

/* A child that takes the lock, says so, and waits to be killed. */
static pid_t start_owner(ql_shard shard)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        ql_lock lock;
        byte = ql_lock_take(&lock, folder, shard) == QL_OK ? 'y' : 'n';
        if (write(ready[1], &byte, 1) != 1) _exit(1);
        for (;;) (void)pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    (void)close(ready[0]);
    (void)close(ready[1]);
    return child;
}

static void test_double_start(void **state)
{
    (void)state;
    pid_t owner = start_owner(whole);
    ql_lock lock;
    char pid[32];
    assert_int_equal(ql_lock_take(&lock, folder, whole), QL_STATUS_BUSY);
    (void)snprintf(pid, sizeof pid, "process %lld", (long long)owner);
    assert_non_null(strstr(ql_error_text(), pid));
    assert_non_null(strstr(ql_error_text(), "quadloom halt"));
    assert_int_equal(ql_lock_take(&lock, folder, (ql_shard){1, 2}), QL_STATUS_BUSY);
    assert_int_equal(count_alive(), 1);

    (void)kill(owner, SIGKILL); /* a zombie until waited for: dead enough */
    for (int i = 0; i < 100 && count_alive() > 0; ++i) (void)usleep(10000);
    ASSERT_OK(ql_lock_take(&lock, folder, whole));
    assert_int_equal(waitpid(owner, NULL, 0), owner);
    ASSERT_OK(ql_lock_beat(&lock));
    ql_lock_release(&lock);
    assert_int_equal(count_alive(), 0);
}

static void test_shards(void **state)
{
    (void)state;
    pid_t first = start_owner((ql_shard){1, 3});
    ql_lock lock;
    ASSERT_OK(ql_lock_take(&lock, folder, (ql_shard){2, 3}));
    assert_int_equal(count_alive(), 2);
    ql_lock other;
    assert_int_equal(ql_lock_take(&other, folder, (ql_shard){1, 3}), QL_STATUS_BUSY);
    assert_int_equal(ql_lock_take(&other, folder, (ql_shard){2, 2}), QL_STATUS_BUSY);
    ql_lock_release(&lock);
    (void)kill(first, SIGKILL);
    assert_int_equal(waitpid(first, NULL, 0), first);
}

/* Of several parts the last one at work keeps its lock, for what concerns all. */
static void test_retire(void **state)
{
    (void)state;
    pid_t other = start_owner((ql_shard){1, 3});
    ql_lock lock;
    bool last = true;
    ASSERT_OK(ql_lock_take(&lock, folder, (ql_shard){2, 3}));
    ASSERT_OK(ql_lock_retire(&lock, folder, &last));
    assert_false(last);
    assert_int_equal(count_alive(), 1);
    ASSERT_OK(ql_lock_beat(&lock)); /* nothing to keep alive any more */
    (void)kill(other, SIGKILL);
    assert_int_equal(waitpid(other, NULL, 0), other);
    ASSERT_OK(ql_lock_take(&lock, folder, (ql_shard){3, 3}));
    ASSERT_OK(ql_lock_retire(&lock, folder, &last));
    assert_true(last);
    assert_int_equal(count_alive(), 1);
    ql_lock_release(&lock);
    assert_int_equal(count_alive(), 0);
}

static void write_foreign(const char *job, double age_s)
{
    char path[QL_PATH_SIZE], text[512];
    (void)snprintf(path, sizeof path, "%s/locks", folder);
    ASSERT_OK(ql_directory_make(path));
    (void)snprintf(path, sizeof path, "%s/locks/all.lock", folder);
    (void)snprintf(text, sizeof text,
                   "token x\nhost elsewhere\npid 1\nstart 1\nplace 1\nboot 1\nshard 1/1\nsince then\njob %s\n", job);
    ASSERT_OK(ql_file_write_whole(path, text, strlen(text)));
    struct timespec times[2];
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &times[0]), 0);
    times[0].tv_sec -= (time_t)age_s;
    times[1] = times[0];
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void test_other_host(void **state)
{
    (void)state;
    ql_lock lock;
    write_foreign("4711", 5);
    assert_int_equal(ql_lock_take(&lock, folder, whole), QL_STATUS_BUSY);
    assert_non_null(strstr(ql_error_text(), "on elsewhere, job 4711"));
    write_foreign("4711", QL_LOCK_SILENT_S + 5);
    ASSERT_OK(ql_lock_take(&lock, folder, whole));
    write_foreign("4712", 0); /* somebody took over from us */
    assert_int_equal(ql_lock_beat(&lock), QL_STATUS_BUSY);
    ql_lock_release(&lock); /* must leave the other's lock alone */
    assert_int_equal(count_alive(), 1);
}

/* A requeued job waits for its former life, here one whose heart has been silent for almost long enough; but not for a later
 * one, nor does a life of another job count. */
static void test_former_life(void **state)
{
    (void)state;
    ql_lock lock;
    assert_int_equal(setenv("SLURM_JOB_ID", "4711", 1), 0);
    assert_int_equal(setenv("SLURM_RESTART_COUNT", "1", 1), 0);
    write_foreign("4711", QL_LOCK_FORMER_SILENT_S - 4);
    const double began = ql_clock_s();
    ASSERT_OK(ql_lock_take(&lock, folder, whole));
    assert_true(ql_clock_s() - began > 0.5);
    assert_true(ql_clock_s() - began < QL_LOCK_SILENT_S - QL_LOCK_FORMER_SILENT_S);
    ql_lock_release(&lock);
    write_foreign("4711+r2", QL_LOCK_FORMER_SILENT_S + 5); /* we are the former life */
    assert_int_equal(ql_lock_take(&lock, folder, whole), QL_STATUS_BUSY);
    write_foreign("4712", QL_LOCK_FORMER_SILENT_S + 5);
    assert_int_equal(ql_lock_take(&lock, folder, whole), QL_STATUS_BUSY);
    (void)unsetenv("SLURM_JOB_ID");
    (void)unsetenv("SLURM_RESTART_COUNT");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_double_start, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_shards, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_retire, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_other_host, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(test_former_life, make_folder, remove_folder),
    };
    return ql_test_main(tests);
}

/* Files that are complete or absent: a crash at every write point, faults of the system, names of two
 * writers, sweeping. */
#include "support/test.h"

#include "base/file.h"
#include "base/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[] = "/tmp/ql_file_XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[4][QL_PATH_SIZE];
    static int next;
    char *out = path[next++ % 4];
    ASSERT_OK(ql_path_join(out, folder, name));
    return out;
}

static int count_entries(const char *directory)
{
    DIR *listing = opendir(directory);
    assert_non_null(listing);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) count += entry->d_name[0] != '.';
    assert_int_equal(closedir(listing), 0);
    return count;
}

static void expect_content(const char *path, const char *expected)
{
    char *data;
    size_t size;
    ASSERT_OK(ql_file_read_whole(path, 0, &data, &size));
    assert_int_equal(size, strlen(expected));
    assert_string_equal(data, expected);
    ql_free(data);
}

static void touch(const char *path)
{
    int file = open(path, O_WRONLY | O_CREAT, 0666);
    assert_true(file >= 0);
    assert_int_equal(close(file), 0);
}

static void paths(void **state)
{
    (void)state;
    char out[QL_PATH_SIZE], longest[QL_PATH_SIZE + 10];
    ASSERT_OK(ql_path_join(out, "a/b", "c"));
    assert_string_equal(out, "a/b/c");
    ASSERT_OK(ql_path_join(out, "a/", "c"));
    assert_string_equal(out, "a/c");
    ASSERT_OK(ql_path_join(out, "", "c"));
    assert_string_equal(out, "c");
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(ql_path_join(out, "a", longest), QL_STATUS_IO);
    assert_string_equal(ql_path_name("/a/b.obj"), "b.obj");
    assert_string_equal(ql_path_name("b"), "b");
    assert_int_equal(ql_path_stem_length("b.tar.gz"), 5);
    assert_int_equal(ql_path_stem_length(".hidden"), 7);
    assert_int_equal(ql_path_stem_length("plain"), 5);
}

static void directories(void **state)
{
    (void)state;
    ASSERT_OK(ql_directory_make(in_folder("d/e//f/")));
    ASSERT_OK(ql_directory_make(in_folder("d/e/f")));
    assert_true(ql_path_is_directory(in_folder("d/e/f")));
    touch(in_folder("d/file"));
    assert_int_equal(ql_directory_make(in_folder("d/file")), QL_STATUS_IO);
    assert_non_null(strstr(ql_error_text(), "is a file"));
    assert_int_equal(ql_directory_make(in_folder("d/file/g")), QL_STATUS_IO);
    assert_int_equal(ql_directory_make(""), QL_STATUS_IO);
    ASSERT_OK(ql_file_remove(in_folder("d/file")));
    ASSERT_OK(ql_file_remove(in_folder("d/file")));
    assert_int_equal(rmdir(in_folder("d/e/f")) + rmdir(in_folder("d/e")) + rmdir(in_folder("d")), 0);
}

static void whole_files(void **state)
{
    (void)state;
    char *data;
    size_t size;
    ASSERT_OK(ql_file_write_whole(in_folder("a"), "old", 3));
    ASSERT_OK(ql_file_write_whole(in_folder("a"), "newer", 5));
    expect_content(in_folder("a"), "newer");
    ASSERT_OK(ql_file_write_whole(in_folder("a"), NULL, 0));
    expect_content(in_folder("a"), "");
    ASSERT_OK(ql_file_write_whole(in_folder("a"), "12345", 5));
    assert_int_equal(ql_file_read_whole(in_folder("a"), 4, &data, &size), QL_STATUS_IO);
    ASSERT_OK(ql_file_read_whole(in_folder("a"), 5, &data, &size));
    ql_free(data);
    ASSERT_OK(ql_file_read_whole("/proc/self/stat", 0, &data, &size)); /* claims to be empty */
    assert_true(size > 20);
    ql_free(data);
    assert_int_equal(ql_file_read_whole(folder, 0, &data, &size), QL_STATUS_IO);
    assert_int_equal(ql_file_read_whole(in_folder("none"), 0, &data, &size), QL_STATUS_IO);
    assert_non_null(strstr(ql_error_text(), "none: No such file"));
    ASSERT_OK(ql_file_remove(in_folder("a")));
    assert_int_equal(count_entries(folder), 0);
}

/* A child writes "new" over "old" and dies at write point n; the file then holds one of them, whole. The
 * sweep leaves nothing else. Ends when the child survives. */
static void a_crash_at_every_write_point(void **state)
{
    (void)state;
    int crashes = 0;
    for (;; ++crashes) {
        ASSERT_OK(ql_file_write_whole(in_folder("a"), "old", 3));
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            ql_file_crash_at(crashes + 1);
            _exit(ql_file_write_whole(in_folder("a"), "new", 3) == QL_OK ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            break;
        }
        assert_int_equal(WTERMSIG(status), SIGKILL);
        char *data;
        size_t size;
        ASSERT_OK(ql_file_read_whole(in_folder("a"), 0, &data, &size));
        assert_true(strcmp(data, "old") == 0 || strcmp(data, "new") == 0);
        ql_free(data);
        ASSERT_OK(ql_directory_sweep_temporaries(folder));
        assert_int_equal(count_entries(folder), 1);
    }
    assert_int_equal(crashes, 7);
    expect_content(in_folder("a"), "new");
    ASSERT_OK(ql_file_remove(in_folder("a")));
}

static void the_variable_crashes_too(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) { /* a fresh image, because the variable is read once */
        assert_int_equal(setenv("QL_TEST_CRASH_AT", "2", 1), 0);
        (void)execl("/proc/self/exe", "test_file", in_folder("v"), (char *)NULL);
        _exit(9);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_false(ql_path_exists(in_folder("v")));
    assert_int_equal(count_entries(folder), 1);
    ASSERT_OK(ql_directory_sweep_temporaries(folder));
    assert_int_equal(count_entries(folder), 0);
}

static void two_writers_never_share_a_name(void **state)
{
    (void)state;
    char a[QL_PATH_SIZE], b[QL_PATH_SIZE], c[QL_PATH_SIZE];
    ASSERT_OK(ql_file_temporary_name(a, "x/y.h5"));
    ASSERT_OK(ql_file_temporary_name(b, "x/y.h5"));
    assert_string_not_equal(a, b);
    assert_int_equal(strncmp(a, "x/y.h5.tmp-", 11), 0);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork(); /* inherits the counter */
    assert_true(child >= 0);
    if (child == 0) {
        bool made = ql_file_temporary_name(c, "x/y.h5") == QL_OK;
        _exit(made && write(ends[1], c, sizeof c) == sizeof c ? 0 : 1);
    }
    assert_int_equal(read(ends[0], c, sizeof c), sizeof c);
    ASSERT_OK(ql_file_temporary_name(b, "x/y.h5"));
    assert_string_not_equal(b, c);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(close(ends[0]) + close(ends[1]), 0);

    char name[256]; /* the longest name that a file may have still gets a temporary one */
    memset(name, 'n', 255);
    name[255] = '\0';
    ASSERT_OK(ql_file_write_whole(in_folder(name), "x", 1));
    ASSERT_OK(ql_file_remove(in_folder(name)));
    assert_int_equal(ql_file_temporary_name(a, "x/"), QL_STATUS_IO);
}

/* Makes "NAME.tmp-..." of a given identity; `age_s` sets its time of change back. */
static void make_temporary(const char *name, ql_place place, long long pid, uint64_t start, int age_s)
{
    char full[256];
    (void)snprintf(full, sizeof full, "%s.tmp-%08x-%08x-%lld-%llx-0", name, place.host, place.boot, pid,
                   (unsigned long long)start);
    touch(in_folder(full));
    struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    assert_int_equal(clock_gettime(CLOCK_REALTIME, &times[1]), 0);
    times[1].tv_sec -= age_s;
    assert_int_equal(utimensat(AT_FDCWD, in_folder(full), times, 0), 0);
}

static void only_the_files_of_the_dead_are_swept(void **state)
{
    (void)state;
    ql_place here = ql_process_place(), rebooted = here, elsewhere = here;
    rebooted.boot ^= 1;
    elsewhere.host ^= 1;
    long long pid = getpid();
    uint64_t start = ql_process_start(pid);
    assert_true(start > 0);
    assert_true(ql_process_is_alive(pid, start));
    enum { DAY = 24 * 3600 };
    make_temporary("living", here, pid, start, 30 * DAY);
    make_temporary("elsewhere", elsewhere, pid, start, 6 * DAY);
    touch(in_folder("a.tmp-not-ours"));
    touch(in_folder("result.h5"));
    assert_int_equal(count_entries(folder), 4);
    make_temporary("successor_of_that_number", here, pid, start - 1, 0);
    make_temporary("gone", here, 4194999, start, 0); /* above the largest process number */
    make_temporary("rebooted", rebooted, pid, start, 0);
    make_temporary("elsewhere_long_ago", elsewhere, pid, start, 8 * DAY);
    pid_t zombie = fork();
    assert_true(zombie >= 0);
    if (zombie == 0) _exit(0);
    siginfo_t info;
    uint64_t zombie_start = start; /* any: a zombie has none */
    assert_int_equal(waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(ql_process_start(zombie), 0);
    make_temporary("zombie", here, zombie, zombie_start, 0);
    assert_int_equal(count_entries(folder), 9);
    ASSERT_OK(ql_directory_sweep_temporaries(folder));
    assert_int_equal(count_entries(folder), 4);
    assert_int_equal(waitpid(zombie, NULL, 0), zombie);

    char command[128]; /* clear away */
    (void)snprintf(command, sizeof command, "rm -f %s/*", folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(ql_directory_sweep_temporaries(in_folder("none")), QL_STATUS_IO);
}

static void a_limit_on_file_size_loses_nothing(void **state)
{
    (void)state;
    ASSERT_OK(ql_file_write_whole(in_folder("a"), "old", 3));
    struct rlimit before, tight;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = before;
    tight.rlim_cur = 1000;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    static char data[5000];
    ql_status status = ql_file_write_whole(in_folder("a"), data, sizeof data);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, handler);
    assert_int_equal(status, QL_STATUS_IO);
    assert_non_null(strstr(ql_error_text(), "ulimit -f"));
    expect_content(in_folder("a"), "old");
    assert_int_equal(count_entries(folder), 1);
    ASSERT_OK(ql_file_remove(in_folder("a")));
}

static void a_full_disk_loses_nothing(void **state)
{
    (void)state;
    ASSERT_OK(ql_directory_make(in_folder("disk")));
    if (mount("none", in_folder("disk"), "tmpfs", 0, "size=64k") != 0) {
        assert_int_equal(rmdir(in_folder("disk")), 0);
        print_message("SKIPPED: full disk (mounting a small tmpfs needs privileges)\n");
        skip();
    }
    static char data[128 * 1024];
    ASSERT_OK(ql_file_write_whole(in_folder("disk/a"), "old", 3));
    ql_status status = ql_file_write_whole(in_folder("disk/a"), data, sizeof data);
    assert_int_equal(status, QL_STATUS_IO);
    assert_non_null(strstr(ql_error_text(), "No space left on device; free some space"));
    expect_content(in_folder("disk/a"), "old");
    assert_int_equal(count_entries(in_folder("disk")), 1);
    assert_int_equal(umount2(in_folder("disk"), MNT_DETACH), 0);
    assert_int_equal(rmdir(in_folder("disk")), 0);
}

static void unusable_places_are_named(void **state)
{
    (void)state;
    assert_int_equal(ql_file_write_whole(in_folder("none/a"), "x", 1), QL_STATUS_IO);
    assert_non_null(strstr(ql_error_text(), "writing "));
    assert_int_equal(ql_file_write_whole("/proc/a", "x", 1), QL_STATUS_IO); /* not writable, even for root */
    ASSERT_OK(ql_directory_make(in_folder("a")));
    assert_int_equal(ql_file_write_whole(in_folder("a"), "x", 1), QL_STATUS_IO); /* a directory has that name */
    assert_int_equal(count_entries(folder), 1);
    assert_int_equal(rmdir(in_folder("a")), 0);
    char temporary[QL_PATH_SIZE];
    ASSERT_OK(ql_file_temporary_name(temporary, in_folder("b")));
    assert_int_equal(ql_file_commit(temporary, in_folder("b")), QL_STATUS_IO); /* it was never written */
    assert_int_equal(count_entries(folder), 0);
}

static void no_memory_is_an_error(void **state)
{
    (void)state;
    char *data;
    size_t size;
    ASSERT_OK(ql_file_write_whole(in_folder("a"), "old", 3));
    ql_memory_fail_at(1);
    assert_int_equal(ql_file_read_whole(in_folder("a"), 0, &data, &size), QL_STATUS_NO_MEMORY);
    ql_memory_fail_at(0);
    ASSERT_OK(ql_file_remove(in_folder("a")));
}

int main(int argc, char **argv)
{
    if (argc == 2) return ql_file_write_whole(argv[1], "text", 4) == QL_OK ? 0 : 1;
    if (mkdtemp(folder) == NULL) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths),
        cmocka_unit_test(directories),
        cmocka_unit_test(whole_files),
        cmocka_unit_test(a_crash_at_every_write_point),
        cmocka_unit_test(the_variable_crashes_too),
        cmocka_unit_test(two_writers_never_share_a_name),
        cmocka_unit_test(only_the_files_of_the_dead_are_swept),
        cmocka_unit_test(a_limit_on_file_size_loses_nothing),
        cmocka_unit_test(a_full_disk_loses_nothing),
        cmocka_unit_test(unusable_places_are_named),
        cmocka_unit_test(no_memory_is_an_error),
    };
    int failed = ql_test_main(tests);
    return failed + (rmdir(folder) != 0);
}

/* Status, log, memory, arena, random numbers, clock, JSON, short texts, machine, provenance. */
#include "support/test.h"

#include "base/build.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/process.h"
#include "base/provenance.h"
#include "base/random.h"
#include "base/text.h"

#include <math.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

/* ---- status ---- */

static ql_status innermost(int index) { return QL_FAIL(FORMAT, "index %d >= %d", index, 7); }

static ql_status in_between(int index)
{
    QL_TRY(QL_CHAIN(innermost(index), "face %d", 812));
    return QL_OK;
}

static void the_first_cause_travels_with_its_chain(void **state)
{
    (void)state;
    ql_error_clear();
    assert_int_equal(QL_CHAIN(in_between(9), "reading %s", "a.ply"), QL_STATUS_FORMAT);
    assert_string_equal(ql_error_text(), "reading a.ply: face 812: index 9 >= 7");
    assert_int_equal(strncmp(ql_error_place(), "test_base.c:", 12), 0);
    assert_int_equal(QL_CHAIN(QL_OK, "nothing to say"), QL_OK);
    assert_string_equal(ql_error_text(), "reading a.ply: face 812: index 9 >= 7");
    char longest[5000]; /* longer than the text can be: cut, not overrun */
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(QL_CHAIN(QL_STATUS_IO, "%s", longest), QL_STATUS_IO);
    assert_int_equal(QL_FAIL(IO, "%s", longest), QL_STATUS_IO);
    assert_int_equal(QL_CHAIN(QL_STATUS_IO, "short"), QL_STATUS_IO);
    assert_true(strlen(ql_error_text()) > 1000);
    ql_error_clear();
    assert_string_equal(ql_error_text(), "");
    for (int s = 0; s < QL_STATUS_COUNT; ++s) assert_true(strlen(ql_status_text((ql_status)s)) > 3);
    assert_string_equal(ql_status_name(QL_STATUS_FORMAT), "FORMAT");
    assert_string_equal(ql_status_name((ql_status)999), "UNKNOWN");
}

static void *fail_elsewhere(void *unused)
{
    (void)unused;
    (void)QL_FAIL(IO, "of another thread");
    return NULL;
}

static void threads_have_their_own_text(void **state)
{
    (void)state;
    pthread_t thread;
    (void)QL_FAIL(MESH, "mine");
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(ql_error_text(), "mine");
}

/* ---- log ---- */

/* Standard error of one call of `speak` in a file. */
static void capture(void (*speak)(void), char *text, size_t size)
{
    FILE *file = tmpfile();
    assert_non_null(file);
    int saved = dup(STDERR_FILENO);
    assert_true(saved >= 0 && dup2(fileno(file), STDERR_FILENO) >= 0);
    speak();
    assert_true(dup2(saved, STDERR_FILENO) >= 0 && close(saved) == 0);
    rewind(file);
    size_t got = fread(text, 1, size - 1, file);
    text[got] = '\0';
    assert_int_equal(fclose(file), 0);
}

static void speak_at_all_levels(void)
{
    QL_ERROR("one");
    QL_WARNING("two %d", 2);
    QL_INFO("three");
    QL_DEBUG("four");
    ql_log_live("no terminal, no live line");
}

static void levels_and_ranks_are_shown(void **state)
{
    (void)state;
    char text[512];
    ql_log_configure(QL_LOG_INFO, 0, 1);
    capture(speak_at_all_levels, text, sizeof text);
    assert_string_equal(text, "error: one\nwarning: two 2\nthree\n");
    ql_log_configure(QL_LOG_WARNING, 3, 4);
    capture(speak_at_all_levels, text, sizeof text);
    assert_string_equal(text, "[3] error: one\n[3] warning: two 2\n");
    ql_log_configure(QL_LOG_INFO, 0, 1);
}

/* ---- memory ---- */

static void memory_is_zeroed_aligned_and_counted(void **state)
{
    (void)state;
    ql_memory_report before = ql_memory_balance();
    double *p;
    ASSERT_OK(QL_TAKE(p, 1000));
    assert_true((uintptr_t)p % 64 == 0);
    for (int i = 0; i < 1000; ++i) assert_true(p[i] == 0);
    assert_int_equal(ql_memory_balance().blocks, before.blocks + 1);
    assert_int_equal(ql_memory_balance().bytes, before.bytes + 8000);
    p[999] = 3;
    p = ql_memory_resize(p, 2000, sizeof *p);
    assert_non_null(p);
    assert_true(p[999] == 3 && p[1000] == 0 && p[1999] == 0);
    assert_int_equal(ql_memory_balance().bytes, before.bytes + 16000);
    assert_true(ql_memory_balance().peak_bytes >= before.bytes + 16000);
    ql_free(p);
    ql_free(NULL);
    assert_int_equal(ql_memory_balance().bytes, before.bytes);
    ql_memory_reset_peak();
    assert_int_equal(ql_memory_balance().peak_bytes, before.bytes);
    void *nothing = ql_memory_take(0, 8);
    assert_non_null(nothing);
    ql_free(nothing);
    char *copy = ql_memory_string("text");
    assert_string_equal(copy, "text");
    ql_free(copy);
    assert_true(ql_memory_peak_resident() > 1 << 20);
}

static void large_blocks_behave_like_small_ones(void **state)
{
    (void)state;
    ql_memory_report before = ql_memory_balance();
    for (size_t size = (size_t)15 << 20; size <= (size_t)21 << 20; size += (size_t)3 << 20) {
        unsigned char *p = ql_memory_take(size + 5, 1);
        assert_non_null(p);
        assert_true((uintptr_t)p % 64 == 0);
        p[0] = 1;
        p[size + 4] = 2;
        p = ql_memory_resize(p, 2 * size, 1);
        assert_non_null(p);
        assert_true(p[0] == 1 && p[1] == 0 && p[size + 4] == 2 && p[size + 5] == 0 && p[2 * size - 1] == 0);
        p = ql_memory_resize(p, 10, 1);
        assert_non_null(p);
        assert_int_equal(p[0], 1);
        ql_free(p);
    }
    assert_int_equal(ql_memory_balance().bytes, before.bytes);
}

static void too_much_is_refused(void **state)
{
    (void)state;
    ql_memory_report before = ql_memory_balance();
    double *p;
    assert_int_equal(QL_TAKE(p, (size_t)1 << 61), QL_STATUS_NO_MEMORY); /* 2^64 bytes: the product overflows */
    assert_null(p);
    assert_null(ql_memory_take(SIZE_MAX, SIZE_MAX));
    assert_null(ql_memory_take(SIZE_MAX, 1));
    assert_null(ql_memory_take((size_t)PTRDIFF_MAX - 10, 1));
    ql_memory_fail_at(2);
    char *first = ql_memory_take(1, 1);
    assert_non_null(first);
    assert_null(ql_memory_resize(first, 100, 1)); /* the old block stays */
    first[0] = 'a';
    ql_free(first);
    ql_memory_fail_at(0);
    assert_int_equal(ql_memory_balance().blocks, before.blocks);
}

/* A large block that is kept comes back for a smaller one, with what was in it; others are cleared. */
static void kept_memory_comes_back(void **state)
{
    (void)state;
    const int64_t before = ql_memory_balance().bytes;
    const size_t size = (size_t)40 << 20;
    bool zeroed = false;
    ql_memory_drop_kept();
    char *first = ql_memory_take_uncleared(size, 1, &zeroed);
    assert_non_null(first);
    const bool maps = zeroed; /* not under sanitizers */
    first[100] = 7;
    ql_memory_keep(first);
    assert_int_equal(ql_memory_balance().bytes, before);
    char *other = ql_memory_take(size, 1);
    assert_int_equal(other[100], 0);
    char *second = ql_memory_take_uncleared(size / 2, 1, &zeroed);
    assert_false(zeroed);
    if (maps) assert_true(second == first && second[100] == 7);
    ql_memory_keep(second);
    char *larger = ql_memory_take_uncleared(size, 1, &zeroed);
    assert_true(zeroed == maps && (!maps || larger[100] == 0));
    ql_memory_keep(larger);
    ql_free(other);
    ql_memory_keep(NULL);
    ql_memory_drop_kept();
    assert_int_equal(ql_memory_balance().bytes, before);

    ql_arena arena;
    for (int i = 0; i < 2; ++i) {
        ASSERT_OK(ql_arena_create_uncleared(&arena, size, &zeroed));
        assert_true(zeroed == (maps && i == 0));
        (void)ql_arena_take(&arena, 128, 1);
        if (!zeroed) ql_arena_clear_rest(&arena);
        char *rest = ql_arena_take(&arena, 128, 1);
        assert_int_equal(rest[64], 0);
        memset(rest, 1, 128);
        ql_arena_keep(&arena);
    }
    ql_arena_keep(NULL);
    ql_memory_drop_kept();
    assert_int_equal(ql_memory_balance().bytes, before);
}

static void an_arena_measures_and_gives(void **state)
{
    (void)state;
    ql_arena measure = ql_arena_measuring(), arena;
    assert_non_null(ql_arena_take(&measure, 100, 4));
    assert_non_null(ql_arena_take(&measure, 1, 1));
    assert_int_equal(measure.used, 448 + 64);
    assert_null(ql_arena_take(&measure, SIZE_MAX, 2));
    ASSERT_OK(ql_arena_create(&arena, measure.used));
    char *a = ql_arena_take(&arena, 100, 4), *b = ql_arena_take(&arena, 1, 1);
    assert_true(a != NULL && b - a == 448 && (uintptr_t)b % 64 == 0);
    assert_null(ql_arena_take(&arena, 1, 1));
    ql_arena_destroy(&arena);
    ql_arena_destroy(&arena);
    ql_arena_destroy(NULL);
}

/* ---- random ---- */

/* Known answers of philox4x32-10 published with Random123 (Salmon et al. 2011): zeros, ones, digits of pi. */
static void philox_gives_the_published_words(void **state)
{
    (void)state;
    static const struct {
        ql_random4 counter;
        ql_key key;
        ql_random4 expected;
    } known[] = {
        {{{0, 0, 0, 0}}, {{0, 0}}, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
        {{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}},
         {{0xffffffff, 0xffffffff}},
         {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
        {{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
         {{0xa4093822, 0x299f31d0}},
         {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; ++i) {
        ql_random4 got = ql_philox(known[i].key, known[i].counter);
        assert_memory_equal(&got, &known[i].expected, sizeof got);
    }
}

static void random_numbers_are_even_and_independent(void **state)
{
    (void)state;
    enum { N = 100000 };
    ql_key key = ql_key_make(1, 2), other = ql_key_make(2, 1);
    double sum = 0, square = 0, cross = 0;
    for (uint64_t i = 0; i < N; ++i) {
        ql_random4 w = ql_random_at(key, QL_STREAM_TEST, 7, i), next = ql_random_at(key, QL_STREAM_TEST, 8, i);
        float u = ql_uniform(w.r[0]);
        assert_true(u >= 0 && u < 1);
        sum += u;
        square += (double)u * u;
        cross += ((double)u - 0.5) * ((double)ql_uniform(next.r[0]) - 0.5);
    }
    /* standard errors: 0.29, 0.30 and 0.083 over sqrt(N) */
    assert_true(fabs(sum / N - 0.5) < 4e-3 && fabs(square / N - 1.0 / 3) < 4e-3 && fabs(cross / N) < 1.2e-3);
    assert_true(key.k[0] != other.k[0] && key.k[1] != other.k[1]);
    assert_true(ql_uniform(0xffffffffu) < 1 && ql_uniform_open(0) > 0 && ql_uniform_open(0xffffffffu) < 1);
    ql_random4 low = ql_random_at(key, QL_STREAM_TEST, 0, 1),
               high = ql_random_at(key, QL_STREAM_TEST, 0, 1ull << 32 | 1);
    assert_true(low.r[0] != high.r[0]); /* indices beyond 32 bits count */
}

/* ---- clock, hash ---- */

static void times_are_written_as_people_read_them(void **state)
{
    (void)state;
    char out[QL_DURATION_SIZE];
    assert_string_equal(ql_clock_duration(out, 12.34), "12.3 s");
    assert_string_equal(ql_clock_duration(out, 59.99), "1:00");
    assert_string_equal(ql_clock_duration(out, 245), "4:05");
    assert_string_equal(ql_clock_duration(out, 3599.9), "1:00:00");
    assert_string_equal(ql_clock_duration(out, 3723), "1:02:03");
    assert_string_equal(ql_clock_duration(out, NAN), "?");
    assert_string_equal(ql_clock_duration(out, -1), "?");
    assert_string_equal(ql_clock_duration(out, INFINITY), "?");
    char stamp[QL_STAMP_SIZE];
    ql_clock_stamp(stamp);
    assert_int_equal(strlen(stamp), 20);
    assert_true(stamp[4] == '-' && stamp[10] == 'T' && stamp[19] == 'Z');
    double before = ql_clock_s();
    assert_true(before > 0 && ql_clock_s() >= before && ql_clock_cpu_s() > 0);
}

static void hashes_are_xxh64(void **state)
{
    (void)state;
    assert_true(ql_hash_bytes("", 0, 0) == 0xef46db3751d8e999ull); /* published vector */
    assert_true(ql_hash_bytes("a", 1, 0) != ql_hash_bytes("a", 1, 1));
}

/* ---- JSON ---- */

static void json_is_escaped_and_nested(void **state)
{
    (void)state;
    ql_json json = {0};
    ql_json_object(&json, NULL);
    ql_json_string(&json, "a\"b", "tab\t, quote\", back\\, bell\a, \xc3\xa9");
    ql_json_array(&json, "list");
    ql_json_int(&json, NULL, INT64_MIN);
    ql_json_real(&json, NULL, 0.5);
    ql_json_real(&json, NULL, NAN);
    ql_json_object(&json, NULL);
    ql_json_close_object(&json);
    ql_json_close_array(&json);
    ql_json_bool(&json, "yes", true);
    ql_json_close_object(&json);
    ASSERT_OK(ql_json_end(&json));
    assert_string_equal(json.text, "{\"a\\\"b\": \"tab\\u0009, quote\\\", back\\\\, bell\\u0007, \xc3\xa9\", \"list\": "
                                   "[-9223372036854775808, 0.5, null, {}], \"yes\": true}");
    ql_json_destroy(&json);
    ql_json_destroy(NULL);
}

/* Names of files are bytes; what is not UTF-8 must not make the object unreadable. */
static void json_stays_utf8(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *expected;
    } cases[] = {
        {"a\xff z", "\"a\xef\xbf\xbd z\""},
        {"\xc3", "\"\xef\xbf\xbd\""},
        {"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xe2\x82\xac \xf0\x9f\x98\x80", "\"\xe2\x82\xac \xf0\x9f\x98\x80\""},
        {"\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""},                 /* overlong */
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* surrogate */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        ql_json json = {0};
        ql_json_string(&json, NULL, cases[i].bytes);
        ASSERT_OK(ql_json_end(&json));
        assert_string_equal(json.text, cases[i].expected);
        ql_json_destroy(&json);
    }
}

static void json_reports_missing_memory(void **state)
{
    (void)state;
    ql_json json = {0};
    ql_memory_fail_at(2);
    ql_json_array(&json, NULL);
    for (int i = 0; i < 1000; ++i) ql_json_int(&json, NULL, i);
    ql_json_close_array(&json);
    ql_memory_fail_at(0);
    assert_int_equal(ql_json_end(&json), QL_STATUS_NO_MEMORY);
    ql_json_destroy(&json);
}

/* ---- short texts ---- */

static void numbers_are_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        int64_t value;
    } ints[] = {
        {"0", true, 0},
        {"-12", true, -12},
        {"+7", true, 7},
        {"1e4", true, 10000},
        {"2.5e3", true, 2500},
        {"1.50e1", true, 15},
        {"9223372036854775807", true, INT64_MAX},
        {"", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"15_000", false, 0},
        {"0x10", false, 0},
        {"1.5", false, 0},
        {"1e", false, 0},
        {"e4", false, 0},
        {".", false, 0},
        {"nan", false, 0},
        {"inf", false, 0},
        {"9223372036854775808", false, 0},
        {"1e17", false, 0},
        {"--1", false, 0},
        {"1,5", false, 0},
    };
    for (size_t i = 0; i < sizeof ints / sizeof ints[0]; ++i) {
        int64_t value = -99;
        if (ql_text_to_int(ints[i].text, &value) != ints[i].ok) fail_msg("'%s'", ints[i].text);
        assert_int_equal(value, ints[i].ok ? ints[i].value : -99);
    }
    uint64_t big = 0;
    assert_true(ql_text_to_uint("18446744073709551615", &big) && big == UINT64_MAX);
    assert_true(ql_text_to_uint("1e3", &big) && big == 1000);
    assert_false(ql_text_to_uint("18446744073709551616", &big) || ql_text_to_uint("-1", &big));
    double real = 0;
    assert_true(ql_text_to_real("-.5e-3", &real) && real == -0.0005);
    assert_false(ql_text_to_real("1e999", &real) || ql_text_to_real("infinity", &real) ||
                 ql_text_to_real("0x1p3", &real));
    bool flag = false;
    assert_true(ql_text_to_bool("Yes", &flag) && flag && ql_text_to_bool("off", &flag) && !flag);
    assert_false(ql_text_to_bool("maybe", &flag) || ql_text_to_bool("", &flag));
}

static void durations_are_read_as_slurm_writes_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double seconds; /* -1: refused */
    } cases[] = {{"90", 90},
                 {"1.5e3", 1500},
                 {"01:30", 90},
                 {"1:02:03", 3723},
                 {"2-00:00:10", 172810},
                 {"100:00:00", 360000},
                 {"", -1},
                 {"-5", -1},
                 {"1:60", -1},
                 {"1:2:3", -1},
                 {"1:", -1},
                 {":30", -1},
                 {"1:02:03:04", -1},
                 {"a:30", -1},
                 {"1:02h", -1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        double seconds = -1;
        bool read = ql_text_to_seconds(cases[i].text, &seconds);
        if (read != (cases[i].seconds >= 0) || (read && seconds != cases[i].seconds)) fail_msg("'%s'", cases[i].text);
    }
}

static void reals_survive_the_way_through_text(void **state)
{
    (void)state;
    static const double values[] = {
        0, 0.1, 1.0 / 3, 5e-5, 7000, 1e300, 5e-324, -2.2250738585072014e-308, 123456789.125};
    char text[QL_REAL_SIZE];
    for (size_t i = 0; i < sizeof values / sizeof values[0]; ++i) {
        double back = 1;
        assert_true(ql_text_to_real(ql_text_from_real(text, values[i]), &back));
        assert_memory_equal(&back, &values[i], sizeof back);
    }
    assert_string_equal(ql_text_from_real(text, 0.1), "0.1");
    assert_string_equal(ql_text_from_real(text, 7000), "7000");
}

static void words_and_typos(void **state)
{
    (void)state;
    assert_int_equal(ql_text_choice("near|far", "far"), 1);
    assert_int_equal(ql_text_choice("near|far", "fa"), -1);
    assert_int_equal(ql_text_choice("near|far", ""), -1);
    assert_int_equal(ql_text_distance("", "abc"), 3);
    assert_int_equal(ql_text_distance("kitten", "sitting"), 3);
    assert_int_equal(ql_text_distance("trian", "train"), 1);
    assert_int_equal(ql_text_distance("STEPS", "steps"), 0);
    char longest[100];
    memset(longest, 'x', 99);
    longest[99] = '\0';
    assert_true(ql_text_distance(longest, "x") >= 64);
    assert_true(ql_text_is_near("ab", 1) && !ql_text_is_near("ab", 2));
}

/* ---- machine, process, provenance ---- */

static void the_machine_is_seen(void **state)
{
    (void)state;
    ql_machine machine;
    ql_machine_look(&machine);
    assert_true(machine.cores >= 1 && machine.threads >= machine.cores);
    assert_int_equal(machine.threads, sysconf(_SC_NPROCESSORS_ONLN) < machine.threads ? -1 : machine.threads);
    assert_true(machine.memory_bytes > 1 << 26 && machine.available_bytes <= machine.memory_bytes);
    int threads = ql_machine_threads(&machine);
    assert_true(threads >= 1 && threads <= machine.cores);
    machine.cpu_quota = 0.5;
    assert_int_equal(ql_machine_threads(&machine), 1);
    machine.limit_bytes = 1000;
    machine.limit_left_bytes = 10;
    assert_int_equal(ql_machine_memory_left(&machine), 10);
    machine.limit_left_bytes = INT64_MAX;
    assert_int_equal(ql_machine_memory_left(&machine), machine.available_bytes);
    struct rlimit before, tight; /* a limit on addresses is seen, and what is already taken counts */
    assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
    tight = before;
    tight.rlim_cur = (rlim_t)1 << 50;
    if (setrlimit(RLIMIT_AS, &tight) == 0) {
        ql_machine limited;
        ql_machine_look(&limited);
        assert_true(limited.limit_bytes > 0 && limited.limit_bytes <= (int64_t)1 << 50);
        assert_true(limited.limit_left_bytes > 0 && limited.limit_left_bytes < limited.limit_bytes);
        assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
    }
}

static void jobs_are_recognised(void **state)
{
    (void)state;
    static const char *const names[] = {
        "SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT",
        "PBS_JOBID",    "LSB_JOBID",          "FLUX_JOB_ID",         "JOB_ID"};
    char job[QL_JOB_SIZE];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; ++i) assert_int_equal(unsetenv(names[i]), 0);
    assert_string_equal(ql_process_job(job), "");
    assert_int_equal(setenv("PBS_JOBID", "12.server", 1), 0);
    assert_string_equal(ql_process_job(job), "12.server");
    assert_int_equal(setenv("SLURM_JOB_ID", "4711", 1) + setenv("SLURM_RESTART_COUNT", "0", 1), 0);
    assert_string_equal(ql_process_job(job), "4711");
    assert_int_equal(setenv("SLURM_RESTART_COUNT", "2", 1), 0);
    assert_string_equal(ql_process_job(job), "4711+r2");
    assert_int_equal(setenv("SLURM_ARRAY_JOB_ID", "4700", 1) + setenv("SLURM_ARRAY_TASK_ID", "3", 1), 0);
    assert_string_equal(ql_process_job(job), "4700_3+r2");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; ++i) assert_int_equal(unsetenv(names[i]), 0);
}

static void end_of_the_job_is_known(void **state)
{
    (void)state;
    char text[32];
    assert_int_equal(unsetenv("SLURM_JOB_END_TIME"), 0);
    assert_true(ql_process_job_left_s() == 0);
    (void)snprintf(text, sizeof text, "%lld", (long long)time(NULL) + 1000);
    assert_int_equal(setenv("SLURM_JOB_END_TIME", text, 1), 0);
    assert_true(ql_process_job_left_s() > 900 && ql_process_job_left_s() <= 1000);
    assert_int_equal(setenv("SLURM_JOB_END_TIME", "1600000000", 1), 0);
    assert_true(ql_process_job_left_s() < 0);
    assert_int_equal(setenv("SLURM_JOB_END_TIME", "soon", 1), 0);
    assert_true(ql_process_job_left_s() == 0);
    assert_int_equal(unsetenv("SLURM_JOB_END_TIME"), 0);
}

static void provenance_is_complete(void **state)
{
    (void)state;
    static const char *const expected[] = {"program", "version", "git",   "compiler",  "build_type", "hdf5", "openblas",
                                           "host",    "system",  "cores", "memory_mb", "pid",        "start"};
    ql_provenance provenance = {0};
    ASSERT_OK(ql_provenance_collect(&provenance));
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; ++i)
        if (ql_provenance_find(&provenance, expected[i]) == NULL) fail_msg("%s is missing", expected[i]);
    assert_string_equal(ql_provenance_find(&provenance, "version")->text, ql_build.version);
    int32_t count = provenance.count;
    ASSERT_OK(ql_provenance_collect(&provenance)); /* replaces, does not repeat */
    assert_int_equal(provenance.count, count);
    ql_provenance_destroy(&provenance);
    for (int64_t n = 1; n < 20; ++n) { /* out of memory on the way: an error, and nothing lost */
        ql_memory_fail_at(n);
        assert_int_equal(ql_provenance_collect(&provenance), QL_STATUS_NO_MEMORY);
        ql_memory_fail_at(0);
        ql_provenance_destroy(&provenance);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_cause_travels_with_its_chain),
        cmocka_unit_test(threads_have_their_own_text),
        cmocka_unit_test(levels_and_ranks_are_shown),
        cmocka_unit_test(memory_is_zeroed_aligned_and_counted),
        cmocka_unit_test(large_blocks_behave_like_small_ones),
        cmocka_unit_test(too_much_is_refused),
        cmocka_unit_test(kept_memory_comes_back),
        cmocka_unit_test(an_arena_measures_and_gives),
        cmocka_unit_test(philox_gives_the_published_words),
        cmocka_unit_test(random_numbers_are_even_and_independent),
        cmocka_unit_test(times_are_written_as_people_read_them),
        cmocka_unit_test(hashes_are_xxh64),
        cmocka_unit_test(json_is_escaped_and_nested),
        cmocka_unit_test(json_stays_utf8),
        cmocka_unit_test(json_reports_missing_memory),
        cmocka_unit_test(numbers_are_read_strictly),
        cmocka_unit_test(durations_are_read_as_slurm_writes_them),
        cmocka_unit_test(reals_survive_the_way_through_text),
        cmocka_unit_test(words_and_typos),
        cmocka_unit_test(the_machine_is_seen),
        cmocka_unit_test(jobs_are_recognised),
        cmocka_unit_test(end_of_the_job_is_known),
        cmocka_unit_test(provenance_is_complete),
    };
    return ql_test_main(tests);
}

/* The option table and its sources: precedence, errors that name file, line and key, the round trip through
 * YAML. */
#include "support/test.h"

#include "base/file.h"
#include "base/options.h"
#include "base/random.h"

#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/ql_options_XXXXXX";

static const char *write_file(const char *name, const char *text)
{
    static char path[QL_PATH_SIZE];
    ASSERT_OK(ql_path_join(path, folder, name));
    ASSERT_OK(ql_file_write_whole(path, text, strlen(text)));
    return path;
}

static ql_status resolve_yaml(ql_options *options, const char *text)
{
    return ql_options_resolve(options, NULL, write_file("o.yaml", text), NULL, 0);
}

static void expect_error(const char *yaml, const char *part)
{
    ql_options options;
    if (resolve_yaml(&options, yaml) != QL_STATUS_CONFIG) fail_msg("accepted: %s", yaml);
    if (strstr(ql_error_text(), part) == NULL) fail_msg("'%s' lacks '%s'", ql_error_text(), part);
}

static void every_row_holds_its_own_values(void **state)
{
    (void)state;
    for (int i = 0; i < ql_option_count(); ++i) {
        const ql_option *option = ql_option_at(i);
        assert_int_equal(ql_option_find(option->name), i);
        for (int j = 0; j < i; ++j) assert_true(ql_option_at(j)->offset != option->offset);
        for (int preset = 0; preset < QL_PRESET_COUNT; ++preset) {
            const char *value = option->value[preset];
            if (preset == QL_PRESET_QUALITY) assert_non_null(value);
            if (value == NULL) continue;
            ql_options options;
            char text[128], again[128];
            ql_options_init(&options);
            ASSERT_OK(ql_options_set(&options, i, value, QL_SOURCE_COMMAND_LINE, "test"));
            ASSERT_OK(
                ql_options_set(&options, i, ql_options_get(&options, i, text, sizeof text), QL_SOURCE_YAML, "test"));
            assert_string_equal(text, ql_options_get(&options, i, again, sizeof again));
        }
    }
}

static void presets_hold_what_the_method_says(void **state)
{
    (void)state;
    ql_options options;
    ASSERT_OK(ql_options_resolve(&options, NULL, NULL, NULL, 0));
    assert_int_equal(options.train.steps, 10000);
    assert_int_equal(options.train.off_points, 15000);
    assert_true(options.train.learning_rate == 5e-5 && options.train.clip_norm == 10);
    assert_true(options.train.weight_sdf == 7000 && options.train.weight_off == 600);
    assert_true(options.train.weight_eikonal == 50 && options.train.weight_normal == 3);
    assert_true(options.train.weight_align == 10 && options.train.weight_smooth == 30);
    assert_int_equal(options.train.sampling, QL_SAMPLING_NEAR);
    assert_int_equal(options.train.averaging, QL_AVERAGING_FACES);
    assert_true(options.train.feature_rho > 0 && options.train.stochastic_depth && options.train.deterministic);
    assert_string_equal(options.engine.name, "auto");

    ASSERT_OK(ql_options_resolve(&options, "reference", NULL, NULL, 0));
    assert_int_equal(options.train.preset, QL_PRESET_REFERENCE);
    assert_int_equal(options.train.steps, 10000);
    assert_int_equal(options.train.sampling, QL_SAMPLING_FAR);
    assert_int_equal(options.train.averaging, QL_AVERAGING_GROUPS);
    assert_true(options.train.feature_rho == 0);
    assert_int_equal(options.source[ql_option_find("train.sampling")], QL_SOURCE_PRESET);
    assert_int_equal(options.source[ql_option_find("train.preset")], QL_SOURCE_COMMAND_LINE);
    assert_int_equal(options.source[ql_option_find("train.clip_norm")], QL_SOURCE_DEFAULT);
}

static void later_sources_win(void **state)
{
    (void)state;
    static const char yaml[] = "train:\n  preset: quick\n  steps: 7\n  seed: 18446744073709551615\n"
                               "quads.target: 1e3\n";
    static const char *const set[] = {"train.steps=9", "train.steps=1e1"};
    ql_options options;
    const char *path = write_file("p.yaml", yaml);
    int steps = ql_option_find("train.steps");

    ASSERT_OK(ql_options_resolve(&options, NULL, path, NULL, 0));
    assert_int_equal(options.train.steps, 7);
    assert_int_equal(options.source[steps], QL_SOURCE_YAML);
    assert_int_equal(options.train.off_points, 2000); /* of preset quick */
    assert_true(options.train.seed == UINT64_MAX);
    assert_int_equal(options.quads.target, 1000);

    assert_int_equal(setenv("QL_TRAIN_STEPS", "8", 1), 0);
    ASSERT_OK(ql_options_resolve(&options, NULL, path, NULL, 0));
    assert_int_equal(options.train.steps, 8);
    assert_int_equal(options.source[steps], QL_SOURCE_ENVIRONMENT);

    ASSERT_OK(ql_options_resolve(&options, "reference", path, set, 2));
    assert_int_equal(options.train.steps, 10);
    assert_int_equal(options.source[steps], QL_SOURCE_COMMAND_LINE);
    assert_int_equal(options.train.off_points, 15000); /* the command line's preset, not the file's */
    assert_int_equal(unsetenv("QL_TRAIN_STEPS"), 0);
}

static void errors_name_file_line_and_key(void **state)
{
    (void)state;
    expect_error("train:\n  steps: 5\n  stepz: 5\n",
                 "o.yaml:3: train.stepz: no such option; did you mean train.steps?");
    expect_error("trian:\n  steps: 5\n", "o.yaml:2: trian.steps: no such option; did you mean train.steps?");
    expect_error("steps: 5\n", "o.yaml:1: steps: no such option; did you mean train.steps?");
    expect_error("zebra: 5\n", "o.yaml:1: zebra: no such option; `quadloom options` lists them");
    expect_error("train:\n  steps: 0\n", "o.yaml:2: train.steps: '0' is not accepted; expected 1 to 10000000 steps");
    expect_error("train: {steps: 1e99}", "o.yaml:1: train.steps");
    expect_error("train: {steps: 15_000}", "train.steps: '15_000' is not accepted");
    expect_error("train: {steps: 0x10}", "train.steps");
    expect_error("train: {steps: 1.5}", "train.steps");
    expect_error("train: {steps: }", "train.steps: '' is not accepted");
    expect_error("train: {seed: -1}", "train.seed: '-1' is not accepted; expected 0 to 18446744073709551615");
    expect_error("train: {learning_rate: nan}", "train.learning_rate");
    expect_error("train: {learning_rate: 1e999}", "train.learning_rate");
    expect_error("train: {deterministic: perhaps}", "expected true or false");
    expect_error("train: {sampling: nearby}", "expected near or far");
    expect_error("sweep: {group: 0}", "expected auto or 1 to 1000000 ranks");
    expect_error("engine: {name: tpu}", "expected auto, ref, cpu or cuda");
    expect_error("train:\n  steps: [1, 2]\n", "o.yaml:2: train.steps: expected a single value");
    expect_error("train:\n  steps: 1\n  steps: 2\n", "o.yaml:3: train.steps: given twice, first on line 2");
    expect_error("train:\n  steps: {a: 1}\n", "o.yaml:2: train.steps: expected a single value");
    expect_error("- train\n", "o.yaml:1: expected sections");
    expect_error("train: {steps: 1}\n---\ntrain: {steps: 2}\n", "o.yaml:2: a second YAML document");
    expect_error("train:\n\tsteps: 1\n", "o.yaml:2: not YAML");
    expect_error("train: \"unclosed\n", "not YAML");
    expect_error("a: &a {a: *a}\n", "expected a single value");
}

static void other_sources_name_themselves(void **state)
{
    (void)state;
    ql_options options;
    static const char *const wrong[] = {"train.steps"}, *const unknown[] = {"train.step=1"};
    assert_int_equal(ql_options_resolve(&options, NULL, NULL, wrong, 1), QL_STATUS_CONFIG);
    assert_non_null(strstr(ql_error_text(), "--set train.steps: expected key=value"));
    assert_int_equal(ql_options_resolve(&options, NULL, NULL, unknown, 1), QL_STATUS_CONFIG);
    assert_non_null(strstr(ql_error_text(), "did you mean train.steps?"));
    assert_int_equal(ql_options_resolve(&options, "fast", NULL, NULL, 0), QL_STATUS_CONFIG);
    assert_non_null(strstr(ql_error_text(), "--preset: train.preset: 'fast'"));
    assert_int_equal(ql_options_resolve(&options, NULL, "/nowhere/o.yaml", NULL, 0), QL_STATUS_IO);

    assert_int_equal(setenv("QL_TRAIN_STEP", "8", 1), 0);
    assert_int_equal(ql_options_resolve(&options, NULL, NULL, NULL, 0), QL_STATUS_CONFIG);
    assert_non_null(strstr(ql_error_text(), "QL_TRAIN_STEP: no such option; did you mean QL_TRAIN_STEPS?"));
    assert_int_equal(unsetenv("QL_TRAIN_STEP"), 0);
    assert_int_equal(setenv("QL_ENGINE_THREADS", "two", 1), 0);
    assert_int_equal(ql_options_resolve(&options, NULL, NULL, NULL, 0), QL_STATUS_CONFIG);
    assert_non_null(strstr(ql_error_text(), "environment variable QL_ENGINE_THREADS: engine.threads"));
    assert_int_equal(unsetenv("QL_ENGINE_THREADS"), 0);
}

static void harmless_yaml_is_accepted(void **state)
{
    (void)state;
    ql_options options;
    ASSERT_OK(resolve_yaml(&options, ""));
    ASSERT_OK(resolve_yaml(&options, "# nothing\n"));
    ASSERT_OK(resolve_yaml(&options, "---\n# nothing\n"));
    ASSERT_OK(resolve_yaml(&options, "train:\nengine:\n  name: \"ref\"\n"));
    assert_string_equal(options.engine.name, "ref");
    ASSERT_OK(resolve_yaml(&options, "\xef\xbb\xbftrain: {deterministic: No, steps: +15}\r\n"));
    assert_false(options.train.deterministic);
    ASSERT_OK(resolve_yaml(&options, "sweep: {group: 4, time_limit_s: '01:30:00'}\n"));
    assert_string_equal(options.sweep.group, "4");
    assert_true(options.sweep.time_limit_s == 5400);
}

/* Every option away from its default, as far as it has another value. */
static void disturb(ql_options *options)
{
    for (int i = 0; i < ql_option_count(); ++i) {
        const ql_option *option = ql_option_at(i);
        static const char *const tries[] = {"0.1234567890123456789",
                                            "12345",
                                            "7",
                                            "false",
                                            "true",
                                            "cuda",
                                            "debug",
                                            "groups",
                                            "reference",
                                            "bf16",
                                            "far",
                                            "recompute",
                                            "smooth"};
        for (size_t k = 0; k < sizeof tries / sizeof tries[0]; ++k) {
            if (strcmp(tries[k], option->value[0]) == 0) continue;
            if (ql_options_set(options, i, tries[k], QL_SOURCE_COMMAND_LINE, "test") == QL_OK) break;
        }
        if (option->type == QL_OPTION_SEED)
            ASSERT_OK(ql_options_set(options, i, "18446744073709551557", QL_SOURCE_COMMAND_LINE, "test"));
    }
}

static void yaml_gives_back_every_option(void **state)
{
    (void)state;
    for (int with_sources = 0; with_sources < 2; ++with_sources) {
        ql_options written, read;
        ql_options_init(&written);
        disturb(&written);
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);
        assert_non_null(out);
        ASSERT_OK(ql_options_write_yaml(&written, with_sources == 1, out));
        assert_int_equal(fclose(out), 0);
        ASSERT_OK(resolve_yaml(&read, text));
        for (int i = 0; i < ql_option_count(); ++i) {
            char a[128], b[128];
            assert_string_equal(ql_options_get(&written, i, a, sizeof a), ql_options_get(&read, i, b, sizeof b));
            assert_int_equal(read.source[i], QL_SOURCE_YAML);
        }
        memcpy(read.source, written.source, sizeof read.source);
        assert_memory_equal(&written, &read, sizeof read);
        free(text);
    }
}

static ql_status set_from_yaml(void *context, const char *name, const char *value, const char *where)
{
    return ql_options_set_named(context, name, value, QL_SOURCE_YAML, where);
}

/* Damaged files: bytes changed, doubled, dropped at random. Whatever comes out is QL_OK or a CONFIG error with a place. */
static void damaged_yaml_is_an_error_at_worst(void **state)
{
    (void)state;
    enum { ROUNDS = 5000 };
    static const char alphabet[] = ":-[]{}&*!|>'\"%@`#,?~ \n\t\r\\.0a\x80\xff\xc3";
    ql_options options;
    char *text = NULL;
    size_t size;
    ql_options_init(&options);
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    ASSERT_OK(ql_options_write_yaml(&options, true, out));
    assert_int_equal(fclose(out), 0);
    char *damaged = ql_memory_take(2 * size, 1);
    int accepted = 0;
    for (uint32_t round = 0; round < ROUNDS; ++round) {
        size_t used = size;
        memcpy(damaged, text, size);
        ql_random4 w = ql_random_at(ql_key_make(1, 1), QL_STREAM_TEST, round, 0);
        for (uint32_t k = 0; k <= w.r[0] % 4; ++k) {
            ql_random4 v = ql_random_at(ql_key_make(1, 1), QL_STREAM_TEST, round, k + 1);
            size_t at = v.r[0] % used, length = v.r[1] % (used - at) % 40;
            if (v.r[2] % 3 == 0) {
                damaged[at] = alphabet[v.r[3] % (sizeof alphabet - 1)];
            } else if (v.r[2] % 3 == 1) {
                memmove(damaged + at, damaged + at + length, used - at - length);
                used -= length;
            } else if (used + length < 2 * size) {
                memmove(damaged + at + length, damaged + at, used - at);
                used += length;
            }
        }
        ql_status status = ql_options_parse_yaml(damaged, used, "d.yaml", set_from_yaml, &options);
        accepted += status == QL_OK;
        if (status != QL_OK && (status != QL_STATUS_CONFIG || strncmp(ql_error_text(), "d.yaml:", 7) != 0))
            fail_msg("round %u: %s", round, ql_error_text());
    }
    assert_true(accepted > ROUNDS / 100 && accepted < ROUNDS);
    ql_free(damaged);
    free(text);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"o.yaml", "p.yaml"};
    for (int i = 0; i < 2; ++i) {
        char path[QL_PATH_SIZE];
        (void)ql_path_join(path, folder, names[i]);
        (void)unlink(path);
    }
    return rmdir(folder); /* fails when a temporary file was left */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_row_holds_its_own_values, make_folder),
        cmocka_unit_test(presets_hold_what_the_method_says),
        cmocka_unit_test(later_sources_win),
        cmocka_unit_test(errors_name_file_line_and_key),
        cmocka_unit_test(other_sources_name_themselves),
        cmocka_unit_test(harmless_yaml_is_accepted),
        cmocka_unit_test(damaged_yaml_is_an_error_at_worst),
        cmocka_unit_test_teardown(yaml_gives_back_every_option, remove_folder),
    };
    return ql_test_main(tests);
}

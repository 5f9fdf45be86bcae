/* Engine cuda on a GPU against the same bodies on the host (tight) and against engine ref, at odd sizes, in every
 * precision; the same bytes twice; graph against single launches; recomputed chunks; golden numbers in fp32 and 3xtf32. */
#include "golden/golden_check.h"
#include "gpu/engine_pairs.h"
#include "host_engine.h"

#include <pthread.h>

/* Between a device and the host, whose tolerances these are: sums in another order, tensor cores that truncate. */
static const double DEVICE_ROOM = 4;

static void odd_sizes(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 31, 33, 352, 1000};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; ++s)
        for (size_t p = 0; p < sizeof PRECISIONS / sizeof *PRECISIONS; ++p) {
            fixture f;
            outcome device, host;
            open_fixture(&f, "torus", sizes[s], SEED);
            f.options.engine.precision = PRECISIONS[p].precision;
            f.options.train.sampling = s % 2 == 0 ? QL_SAMPLING_NEAR : QL_SAMPLING_FAR;
            run(&device, &f, &ql_engine_cuda);
            run(&host, &f, &ql_engine_cuda_on_host);
            compare(&device, &host, &f, &PRECISIONS[p], DEVICE_ROOM);
            discard(&device);
            discard(&host);
            close_fixture(&f);
        }
}

static void against_ref(void **state)
{
    (void)state;
    fixture f;
    outcome truth, ours;
    open_fixture(&f, "torus", 130, SEED);
    run(&truth, &f, &ql_engine_ref);
    for (size_t p = 0; p < sizeof PRECISIONS / sizeof *PRECISIONS; ++p) {
        f.options.engine.precision = PRECISIONS[p].precision;
        run(&ours, &f, &ql_engine_cuda);
        compare(&ours, &truth, &f, &PRECISIONS[p], DEVICE_ROOM);
        discard(&ours);
    }
    discard(&truth);
    close_fixture(&f);
}

/* Residual blocks in launches of their own against all that may be in one, with the small and the large tiles of rows. Thousands of
 * faces turn a sign or two: that is the angle gradient's tolerance. */
static void fused_blocks(void **state)
{
    (void)state;
    static const int sizes[] = {352, 4300};
    static const char *const levels[] = {"0", "1", "2"};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; ++s)
        for (size_t p = 0; p < sizeof PRECISIONS / sizeof *PRECISIONS; ++p) {
            fixture f;
            outcome out[3];
            tolerance most = PRECISIONS[p];
            most.angle = fmax(most.angle, 1e-3);
            open_fixture(&f, "torus", sizes[s], SEED);
            f.options.engine.precision = PRECISIONS[p].precision;
            for (int level = 0; level < 3; ++level) {
                (void)setenv("QL_CUDA_FUSED", levels[level], 1);
                run(&out[level], &f, &ql_engine_cuda);
                if (level > 0) compare(&out[level], &out[0], &f, &most, DEVICE_ROOM);
            }
            (void)unsetenv("QL_CUDA_FUSED");
            for (int level = 0; level < 3; ++level) discard(&out[level]);
            close_fixture(&f);
        }
}

static void chunks(void **state)
{
    (void)state;
    fixture f;
    outcome whole, chunked;
    open_fixture(&f, "torus", 1000, SEED_OF_1000);
    run(&whole, &f, &ql_engine_cuda);
    f.options.engine.memory = QL_MEMORY_RECOMPUTE;
    run(&chunked, &f, &ql_engine_cuda);
    compare(&chunked, &whole, &f, &PRECISIONS[0], DEVICE_ROOM);
    discard(&whole);
    discard(&chunked);
    close_fixture(&f);
}

/* Launch by launch, while recording, from the graph: the same bytes, and again in a second engine; in every precision. */
static void same_bytes(void **state)
{
    (void)state;
    fixture f;
    double *first = NULL, *second = NULL;
    open_fixture(&f, "torus", 352, SEED);
    ASSERT_OK(QL_TAKE(first, QL_PARAMETER_COUNT));
    ASSERT_OK(QL_TAKE(second, QL_PARAMETER_COUNT));
    for (size_t p = 0; p < sizeof PRECISIONS / sizeof *PRECISIONS; ++p) {
        f.options.engine.precision = PRECISIONS[p].precision;
        three_times(&f, &ql_engine_cuda, first);
        three_times(&f, &ql_engine_cuda, second);
        assert_memory_equal(first, second, QL_PARAMETER_COUNT * sizeof *first);
    }
    ql_free(first);
    ql_free(second);
    close_fixture(&f);
}

/* Eight engines by eight threads, each with a stream and a graph of its own: the bytes of one alone. */
static void *beside_others(void *context)
{
    double *gradient = NULL;
    if (QL_TAKE(gradient, QL_PARAMETER_COUNT) == QL_OK) three_times(context, &ql_engine_cuda, gradient);
    return gradient;
}

static void eight_at_once(void **state)
{
    (void)state;
    fixture f;
    pthread_t thread[8];
    double *alone = NULL;
    open_fixture(&f, "torus", 1000, SEED_OF_1000);
    ASSERT_OK(QL_TAKE(alone, QL_PARAMETER_COUNT));
    three_times(&f, &ql_engine_cuda, alone);
    for (int k = 0; k < 8; ++k) assert_int_equal(pthread_create(&thread[k], NULL, beside_others, &f), 0);
    for (int k = 0; k < 8; ++k) {
        void *its = NULL;
        (void)pthread_join(thread[k], &its);
        assert_non_null(its);
        assert_memory_equal(alone, its, QL_PARAMETER_COUNT * sizeof *alone);
        ql_free(its);
    }
    ql_free(alone);
    close_fixture(&f);
}

static void steps_sent_ahead(void **state)
{
    (void)state;
    ahead_as_one_by_one(&ql_engine_cuda);
}

/* NCCL with one rank, its operations in the graph; through the host where there is no NCCL. */
static void nccl_alone(void **state)
{
    (void)state;
    group_of_one(&ql_engine_cuda);
}

static void golden(void **state)
{
    (void)state;
    SKIP_WITHOUT_SHARED("golden numbers on the GPU");
    char path[4200];
    ql_golden g;
    ql_options options;
    ql_options_init(&options);
    (void)snprintf(path, sizeof path, "%s/golden/bracket352.h5", ql_test_shared());
    ASSERT_OK(ql_golden_read(&g, path));
    int failed = 0;
    for (int split = 0; split < 2; ++split) {
        ql_golden_report report = {0};
        options.engine.precision = split ? QL_PRECISION_3XTF32 : QL_PRECISION_FP32;
        ASSERT_OK(ql_golden_check_engine(&report, &g, &ql_engine_cuda, &options.engine, NULL, true));
        for (int k = 0; k < report.count; ++k)
            print_message("golden %s %-24s %.2e (allowed %.2e)\n", split ? "3xtf32" : "fp32", report.line[k].quantity,
                          report.line[k].error, report.line[k].tolerance);
        failed += report.failed;
    }
    ql_golden_destroy(&g);
    assert_int_equal(failed, 0);
}

/* "first": what tells in a few seconds whether the kernels compute what they should; "rest": all else; nothing: both. */
int main(int argc, char **argv)
{
    const char *part = argc > 1 ? argv[1] : "";
    if (ql_engine_cuda.available() != QL_OK) {
        printf("SKIPPED: engine cuda on a GPU (%s)\n", ql_error_text());
        return 77;
    }
    const struct CMUnitTest first[] = {
        cmocka_unit_test(golden),
        cmocka_unit_test(same_bytes),
        cmocka_unit_test(steps_sent_ahead),
    };
    const struct CMUnitTest rest[] = {
        cmocka_unit_test(eight_at_once), cmocka_unit_test(nccl_alone),  cmocka_unit_test(chunks),
        cmocka_unit_test(fused_blocks),  cmocka_unit_test(against_ref), cmocka_unit_test(odd_sizes),
    };
    int failed = 0;
    if (strcmp(part, "rest") != 0) failed += ql_test_main(first);
    if (strcmp(part, "first") != 0) failed += ql_test_main(rest);
    return failed;
}

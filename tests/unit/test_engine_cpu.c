/* Engine cpu against engine ref at odd sizes, dropped blocks, both samplings and every instruction set that runs here (the
 * shape of avx512 runs on avx2 too); the products against plain loops; same bytes for every number of threads and both memory
 * modes; flops against the formula; memory against its prediction. */
#include "support/engine_fixture.h"

#include "engine/cpu/isa.h"

static void evaluate(fixture *f, ql_engine *engine, int64_t step, double terms[QL_LOSS_COUNT], double *gradient)
{
    ql_loss_weights weights = ql_loss_weights_at(&f->options.train, step);
    ASSERT_OK(engine->kind->evaluate(engine, step, &weights, terms));
    if (gradient != NULL) ASSERT_OK(engine->kind->gradient(engine, gradient));
}

/* Each array of the layout by itself, so that small gradients count too. A sign that flips at a kink of the loss moves
 * whole points, hence the room. */
static void compare_gradients(const double *got, const double *expected, const char *what)
{
    const ql_layout *layout = ql_layout_get();
    double whole = distance(got, expected, QL_PARAMETER_COUNT);
    if (!(whole < 2e-5)) fail_msg("%s: gradient differs by %g", what, whole);
    for (int e = 0; e < QL_ENTRY_COUNT; ++e) {
        const ql_entry *entry = &layout->entry[e];
        double gap = distance(got + entry->offset, expected + entry->offset, (int64_t)entry->rows * entry->columns);
        if (!(gap < 2e-3)) fail_msg("%s: gradient of %s differs by %g", what, entry->name, gap);
    }
}

static void compare_with_ref(fixture *f, int64_t step, const char *what)
{
    double expected[QL_LOSS_COUNT], got[QL_LOSS_COUNT], *gradient[2];
    for (int k = 0; k < 2; ++k) ASSERT_OK(QL_TAKE(gradient[k], QL_PARAMETER_COUNT));
    ql_engine *ref = start(f, &ql_engine_ref), *cpu = start(f, &ql_engine_cpu);
    evaluate(f, ref, step, expected, gradient[0]);
    evaluate(f, cpu, step, got, gradient[1]);
    for (int term = 0; term < QL_LOSS_COUNT; ++term)
        if (!(fabs(got[term] - expected[term]) <= 1e-5 * fabs(expected[term]) + 1e-9))
            fail_msg("%s: %s is %.9g, ref has %.9g", what, ql_loss_name((ql_loss_term)term), got[term], expected[term]);
    compare_gradients(gradient[1], gradient[0], what);
    ql_engine_ref.destroy(ref);
    ql_engine_cpu.destroy(cpu);
    for (int k = 0; k < 2; ++k) ql_free(gradient[k]);
}

static void equals_ref_at_odd_sizes(void **state)
{
    (void)state;
    const int sizes[] = {1, 2, 31, 33, 352, 1000};
    for (int k = 0; k < 6; ++k) {
        fixture f;
        char what[64];
        open_fixture(&f, "bracket", sizes[k], 1);
        f.options.train.sampling = k % 2 == 0 ? QL_SAMPLING_NEAR : QL_SAMPLING_FAR;
        f.options.engine.threads = 1 + k % 3;
        f.options.engine.memory = k == 3 ? QL_MEMORY_RECOMPUTE : QL_MEMORY_KEEP;
        (void)snprintf(what, sizeof what, "%d faces, %s", sizes[k], k % 2 == 0 ? "near" : "far");
        compare_with_ref(&f, 3 + k, what);
        close_fixture(&f);
    }
}

#ifdef QL_TEST_WIDE
extern const ql_cpu_isa ql_cpu_isa_table_wide;

static bool has_avx2(void)
{
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return true;
    print_message("SKIPPED: shape of avx512 (needs avx2)\n");
    return false;
}
#endif

static void every_instruction_set(void **state)
{
    (void)state;
    const char *const sets[] = {"baseline", "avx2", "avx512", "avx512bf16"};
    fixture f;
    open_fixture(&f, "bracket", 45, 1);
    for (int k = 0; k < 4; ++k) {
        (void)setenv("QL_CPU_ISA", sets[k], 1);
        if (strcmp(ql_cpu_isa_find()->name, sets[k]) == 0)
            compare_with_ref(&f, 3, sets[k]);
        else
            print_message("SKIPPED: instruction set %s (not here)\n", sets[k]);
    }
    (void)unsetenv("QL_CPU_ISA");
#ifdef QL_TEST_WIDE
    if (has_avx2()) {
        ql_cpu_isa_use(&ql_cpu_isa_table_wide);
        compare_with_ref(&f, 3, "shape of avx512");
        ql_cpu_isa_use(NULL);
    }
#endif
    close_fixture(&f);
}

/* ---- products ---- */

enum { PRODUCT_MOST = 256, PRODUCT_LD = PRODUCT_MOST + QL_PAD };

static float sample(int k) { return (float)((k * 37 + k / 7) % 101 - 50) * 0.02f; }

static void check_layer(const ql_cpu_isa *isa, int rows, int in, int out)
{
    float *x, *w, *packed[2], *y;
    ASSERT_OK(QL_TAKE(x, rows * PRODUCT_LD));
    ASSERT_OK(QL_TAKE(w, in * out));
    ASSERT_OK(QL_TAKE(packed[0], in * out));
    ASSERT_OK(QL_TAKE(packed[1], in * out));
    ASSERT_OK(QL_TAKE(y, rows * PRODUCT_LD));
    for (int k = 0; k < rows * PRODUCT_LD; ++k) x[k] = sample(k);
    for (int k = 0; k < in * out; ++k) w[k] = sample(k + 3);
    const ql_pack_task forward = {w, NULL, 1.0f, out, in, false};
    isa->pack_forward(&forward, packed[0]);
    isa->pack_reverse(&forward, packed[1]);
    for (int reverse = 0; reverse < 2; ++reverse) { /* x W^T, then x W */
        const int inner = reverse ? out : in, columns = reverse ? in : out;
        for (int k = 0; k < rows * PRODUCT_LD; ++k) y[k] = -77;
        isa->multiply(rows, inner, columns, x, PRODUCT_LD, packed[reverse], y, PRODUCT_LD);
        for (int i = 0; i < rows; ++i)
            for (int m = 0; m < columns; ++m) {
                double sum = 0, size = 0;
                for (int k = 0; k < inner; ++k) {
                    const double term =
                        (double)x[i * PRODUCT_LD + k] * (double)(reverse ? w[k * in + m] : w[m * in + k]);
                    sum += term;
                    size += fabs(term);
                }
                if (!(fabs((double)y[i * PRODUCT_LD + m] - sum) <= 1e-6 * size + 1e-12))
                    fail_msg("%s: layer %d x %d%s, %d rows: (%d, %d) is %g, not %g", isa->name, out, in,
                             reverse ? " reversed" : "", rows, i, m, (double)y[i * PRODUCT_LD + m], sum);
            }
        for (int i = 0; i < rows; ++i) /* nothing beyond the columns is written */
            for (int m = columns; m < PRODUCT_LD; ++m) assert_true(y[i * PRODUCT_LD + m] == -77);
    }
    ql_free(x);
    ql_free(w);
    ql_free(packed[0]);
    ql_free(packed[1]);
    ql_free(y);
}

static void check_gradient(const ql_cpu_isa *isa, int rows, int out, int in)
{
    float *left, *right, *gradient;
    ASSERT_OK(QL_TAKE(left, rows * PRODUCT_LD));
    ASSERT_OK(QL_TAKE(right, rows * PRODUCT_LD));
    ASSERT_OK(QL_TAKE(gradient, out * in));
    for (int k = 0; k < rows * PRODUCT_LD; ++k) {
        left[k] = sample(k);
        right[k] = sample(k + 11);
    }
    for (int k = 0; k < out * in; ++k) gradient[k] = 2;
    isa->multiply_gradient(rows, out, in, left, PRODUCT_LD, right, PRODUCT_LD, gradient);
    for (int m = 0; m < out; ++m)
        for (int k = 0; k < in; ++k) {
            double sum = 2, size = 2;
            for (int i = 0; i < rows; ++i) {
                const double term = (double)left[i * PRODUCT_LD + m] * (double)right[i * PRODUCT_LD + k];
                sum += term;
                size += fabs(term);
            }
            if (!(fabs((double)gradient[m * in + k] - sum) <= 1e-6 * size))
                fail_msg("%s: gradient %d x %d, %d rows: (%d, %d) is %g, not %g", isa->name, out, in, rows, m, k,
                         (double)gradient[m * in + k], sum);
        }
    ql_free(left);
    ql_free(right);
    ql_free(gradient);
}

static void check_products(const ql_cpu_isa *isa)
{
    const int widths[] = {32, 64, 128, 256};
    for (int rows = 1; rows <= 26; ++rows) {
        check_layer(isa, rows, widths[rows % 4], widths[(rows + 1 + rows / 4) % 4]);
        check_gradient(isa, rows, widths[(rows + 1) % 4], widths[(rows + rows / 4) % 4]);
    }
    check_layer(isa, 97, 256, 256);
    check_gradient(isa, 121, 256, 256);
}

static void products_equal_plain_loops(void **state)
{
    (void)state;
    const char *const sets[] = {"baseline", "avx2", "avx512", "avx512bf16"};
    for (int k = 0; k < 4; ++k) {
        (void)setenv("QL_CPU_ISA", sets[k], 1);
        if (strcmp(ql_cpu_isa_find()->name, sets[k]) == 0) check_products(ql_cpu_isa_find());
    }
    (void)unsetenv("QL_CPU_ISA");
#ifdef QL_TEST_WIDE
    if (has_avx2()) check_products(&ql_cpu_isa_table_wide);
#endif
}

static void theta_and_field_equal_ref(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, "bracket", 77, 1);
    double *theta[2], value[2][77], gradient[2][77 * 3], hessian[2][77 * 6];
    const ql_engine_class *kinds[2] = {&ql_engine_ref, &ql_engine_cpu};
    for (int k = 0; k < 2; ++k) {
        ASSERT_OK(QL_TAKE(theta[k], 77));
        ql_engine *engine = start(&f, kinds[k]);
        ASSERT_OK(kinds[k]->theta(engine, theta[k]));
        ASSERT_OK(kinds[k]->field(engine, f.tables.points, 77, value[k], gradient[k], hessian[k]));
        ASSERT_OK(kinds[k]->field(engine, f.tables.points, 77, value[k], NULL, NULL));
        kinds[k]->destroy(engine);
    }
    assert_true(distance(theta[1], theta[0], 77) < 1e-5);
    assert_true(distance(value[1], value[0], 77) < 2e-6);
    assert_true(distance(gradient[1], gradient[0], 77 * 3) < 1e-5);
    assert_true(distance(hessian[1], hessian[0], 77 * 6) < 1e-5);
    for (int k = 0; k < 2; ++k) ql_free(theta[k]);
    close_fixture(&f);
}

/* Parameters after three steps. */
static void train(fixture *f, float *parameters)
{
    ql_engine *engine = start(f, &ql_engine_cpu);
    for (int64_t step = 0; step < 3; ++step) {
        double terms[QL_LOSS_COUNT], norm;
        evaluate(f, engine, step, terms, NULL);
        ASSERT_OK(ql_engine_cpu.apply(engine, step, &norm));
    }
    ql_engine_state now;
    ASSERT_OK(ql_engine_cpu.state(engine, &now));
    memcpy(parameters, now.parameters, QL_PARAMETER_COUNT * sizeof *parameters);
    ql_engine_cpu.destroy(engine);
}

static void same_bytes(void **state)
{
    (void)state;
    float *first = NULL, *other = NULL;
    ASSERT_OK(QL_TAKE(first, QL_PARAMETER_COUNT));
    ASSERT_OK(QL_TAKE(other, QL_PARAMETER_COUNT));
    fixture f;
    open_fixture(&f, "bracket", 501, 1);
    f.options.engine.threads = 1;
    train(&f, first);
    for (int threads = 2; threads <= 5; ++threads) { /* for every number of threads and both memory modes */
        f.options.engine.threads = threads;
        f.options.engine.memory = threads % 2 == 0 ? QL_MEMORY_KEEP : QL_MEMORY_RECOMPUTE;
        train(&f, other);
        assert_memory_equal(first, other, QL_PARAMETER_COUNT * sizeof *first);
    }
    f.options.train.deterministic = false; /* and run to run otherwise */
    f.options.engine.threads = 2;
    train(&f, first);
    train(&f, other);
    assert_memory_equal(first, other, QL_PARAMETER_COUNT * sizeof *first);
    close_fixture(&f);
    ql_free(first);
    ql_free(other);
}

static void flops_and_memory(void **state)
{
    (void)state;
    fixture f;
    open_fixture(&f, "bracket", 333, 1);
    f.options.train.stochastic_depth = false;
    double terms[QL_LOSS_COUNT];
    for (int recompute = 0; recompute < 2; ++recompute) {
        f.options.engine.memory = recompute ? QL_MEMORY_RECOMPUTE : QL_MEMORY_KEEP;
        int64_t predicted, before = ql_memory_balance().bytes;
        ASSERT_OK(ql_engine_cpu.memory(&f.setup, &predicted));
        ql_engine *engine = start(&f, &ql_engine_cpu);
        int64_t taken = ql_memory_balance().bytes - before, blocks = ql_memory_balance().blocks;
        assert_true(llabs(taken - predicted) <= predicted / 10);
        evaluate(&f, engine, 0, terms, NULL);
        assert_true(ql_memory_balance().blocks == blocks);
        double formula = ql_engine_flop_formula(333, 129), counted = ql_engine_cpu.flop(engine);
        assert_true(fabs(counted - formula) < 2e-3 * formula);
        ql_engine_cpu.destroy(engine);
    }
    close_fixture(&f);
}

static void sine_of_large_phases(void **state)
{
    (void)state;
    enum { COUNT = 1 << 16 };
    float *z = NULL, *sine = NULL, *cosine = NULL;
    ASSERT_OK(QL_TAKE(z, COUNT));
    ASSERT_OK(QL_TAKE(sine, COUNT));
    ASSERT_OK(QL_TAKE(cosine, COUNT));
    const ql_cpu_isa *isa = ql_cpu_isa_find();
    for (int decade = -3; decade < 4; ++decade) {
        const double range = decade < 3 ? pow(10, decade) : 5e4 / 30;
        for (int i = 0; i < COUNT; ++i) z[i] = (float)(range * (2.0 * i / COUNT - 1));
        isa->sine30(z, sine, cosine, COUNT - 3);
        double worst = 0;
        for (int i = 0; i < COUNT - 3; ++i) {
            worst = fmax(worst, fabs((double)sine[i] - sin(30.0 * (double)z[i])));
            worst = fmax(worst, fabs((double)cosine[i] - cos(30.0 * (double)z[i])));
        }
        /* without fused multiply-adds the phase itself is rounded */
        const double room = strcmp(isa->name, "baseline") == 0 ? 30 * range * 6e-8 : 0;
        if (!(worst < 1e-7 + room)) fail_msg("|z| <= %g: error %g", range, worst);
    }
    ql_free(z);
    ql_free(sine);
    ql_free(cosine);
}

static void refusals(void **state)
{
    (void)state;
    fixture f;
    ql_engine *engine = NULL;
    open_fixture(&f, "bracket", 10, 1);
    f.options.engine.precision = QL_PRECISION_TF32;
    assert_int_equal(ql_engine_cpu.create(&engine, &f.setup), QL_STATUS_CONFIG);
    f.options.engine.precision = QL_PRECISION_FP32;
    f.options.engine.memory_mb = 1;
    assert_int_equal(ql_engine_cpu.create(&engine, &f.setup), QL_STATUS_NO_MEMORY);
    assert_non_null(strstr(ql_error_text(), "memory_mb"));
    assert_null(engine);

    /* without a limit what the machine does not have is refused before any of it is taken */
    f.options.engine.memory_mb = 0;
    const int32_t faces = f.tables.face_count;
    int64_t bytes;
    f.tables.face_count = 2000000000;
    assert_int_equal(ql_engine_cpu.memory(&f.setup, &bytes), QL_STATUS_NO_MEMORY);
    assert_non_null(strstr(ql_error_text(), "this machine has"));
    f.tables.face_count = faces;
    assert_int_equal(ql_engine_cpu.memory(&f.setup, &bytes), QL_OK);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_ref_at_odd_sizes),
        cmocka_unit_test(every_instruction_set),
        cmocka_unit_test(products_equal_plain_loops),
        cmocka_unit_test(theta_and_field_equal_ref),
        cmocka_unit_test(same_bytes),
        cmocka_unit_test(flops_and_memory),
        cmocka_unit_test(sine_of_large_phases),
        cmocka_unit_test(refusals),
    };
    return ql_test_main(tests);
}

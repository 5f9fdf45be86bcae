/* The step loop: resume is bit-identical, stop and checkpoint requests, NaN and explosion named, options hash. */
#include "support/test.h"

#include "mesh/generate.h"
#include "model/layout.h"
#include "train/train.h"

#include <math.h>
#include <string.h>

typedef struct recorder {
    int64_t stop_at, steps_seen, checkpoints;
    ql_snapshot kept;
    bool have;
} recorder;

static bool should_stop(void *context)
{
    recorder *r = context;
    return r->steps_seen == r->stop_at;
}

static void progress(void *context, const ql_train_progress *p)
{
    recorder *r = context;
    r->steps_seen = p->step;
}

static ql_status keep_snapshot(void *context, const ql_snapshot *snapshot)
{
    recorder *r = context;
    if (r->have) ql_snapshot_destroy(&r->kept);
    QL_TRY(ql_snapshot_create(&r->kept, snapshot->state.type));
    size_t bytes = QL_PARAMETER_COUNT * (snapshot->state.type == QL_FLOAT64 ? sizeof(double) : sizeof(float));
    memcpy(r->kept.state.parameters, snapshot->state.parameters, bytes);
    memcpy(r->kept.state.moment1, snapshot->state.moment1, bytes);
    memcpy(r->kept.state.moment2, snapshot->state.moment2, bytes);
    r->kept.step = snapshot->step;
    r->kept.seconds = snapshot->seconds;
    r->kept.mesh_hash = snapshot->mesh_hash;
    r->kept.options_hash = snapshot->options_hash;
    r->have = true;
    r->checkpoints++;
    return ql_history_copy(&r->kept.history, &snapshot->history);
}

static void small_options(ql_options *options)
{
    ql_options_init(options);
    options->train.steps = 5;
    options->train.off_points = 40;
    options->train.history_every = 1;
}

static void every_engine_resumes_to_the_same_bytes(void **state)
{
    (void)state;
    ql_mesh mesh;
    ASSERT_OK(ql_generate_by_name(&mesh, "bracket", 60));
    const ql_engine_class *const *engines = ql_engine_list();
    for (int e = 0; engines[e] != NULL; ++e) {
        if (engines[e]->available() != QL_OK) continue;
        ql_options options;
        small_options(&options);
        ql_engine_class kind = *engines[e];
        kind.advance = NULL; /* asked after every step, so that it stops where we want */
        ql_train_job job = {&mesh, &options, &kind, NULL, NULL};
        ql_train_result straight, resumed;
        recorder r = {.stop_at = 3};
        ql_train_callbacks callbacks = {&r, should_stop, NULL, keep_snapshot, progress};
        ASSERT_OK(ql_train_mesh(&straight, &job, NULL, NULL));
        assert_int_equal(ql_train_mesh(&resumed, &job, NULL, &callbacks), QL_STATUS_STOPPED);
        assert_int_equal(r.checkpoints, 1);
        assert_int_equal(r.kept.step, 3);
        r.stop_at = -1;
        ASSERT_OK(ql_train_mesh(&resumed, &job, &r.kept, &callbacks));
        assert_memory_equal(straight.parameters, resumed.parameters, QL_PARAMETER_COUNT * sizeof(float));
        assert_memory_equal(straight.theta, resumed.theta, (size_t)mesh.face_count * sizeof(float));
        assert_int_equal(straight.history.rows, 5);
        assert_int_equal(resumed.history.rows, 5);
        for (int64_t row = 0; row < 5; ++row)
            assert_memory_equal(straight.history.values + row * QL_HISTORY_COLUMNS,
                                resumed.history.values + row * QL_HISTORY_COLUMNS, 10 * sizeof(double));
        assert_true(fabs((double)straight.memory_bytes / (double)straight.memory_predicted - 1) < 0.1);
        assert_string_equal(straight.engine, engines[e]->name);
        ql_train_result_destroy(&straight);
        ql_train_result_destroy(&resumed);
        options.train.seed++; /* another run: refused */
        assert_int_equal(ql_train_mesh(&resumed, &job, &r.kept, &callbacks), QL_STATUS_CONFIG);
        ql_snapshot_destroy(&r.kept);
    }
    ql_mesh_destroy(&mesh);
}

/* Crosses are unit, orthogonal and tangent; the index sum is right. */
static void result_is_a_field(void **state)
{
    (void)state;
    ql_mesh mesh;
    ql_options options;
    ql_train_result result;
    small_options(&options);
    options.train.steps = 2;
    ASSERT_OK(ql_generate_by_name(&mesh, "icosphere", 80));
    ql_train_job job = {&mesh, &options, &ql_engine_ref, NULL, NULL};
    ASSERT_OK(ql_train_mesh(&result, &job, NULL, NULL));
    assert_int_equal(result.singularity_sum, 8);
    for (int32_t i = 0; i < mesh.face_count; ++i) {
        const float *a = result.alpha + 3 * i, *b = result.beta + 3 * i;
        assert_true(fabsf(a[0] * b[0] + a[1] * b[1] + a[2] * b[2]) < 1e-6f);
        assert_true(fabsf(a[0] * a[0] + a[1] * a[1] + a[2] * a[2] - 1) < 1e-6f);
    }
    ql_train_result_destroy(&result);
    ql_mesh_destroy(&mesh);
}

static void breakdown_names_step_and_term(void **state)
{
    (void)state;
    ql_mesh mesh;
    ql_options options;
    ql_train_result result;
    small_options(&options);
    options.train.steps = 30;
    options.train.learning_rate = 1.0; /* far too large */
    ASSERT_OK(ql_generate_by_name(&mesh, "icosphere", 80));
    ql_train_job job = {&mesh, &options, &ql_engine_ref, NULL, NULL};
    assert_int_equal(ql_train_mesh(&result, &job, NULL, NULL), QL_STATUS_NUMERIC);
    assert_non_null(strstr(ql_error_text(), "step "));
    assert_non_null(strstr(ql_error_text(), "train.learning_rate"));
    ql_mesh_destroy(&mesh);
}

static void memory_budget_is_kept(void **state)
{
    (void)state;
    ql_mesh mesh;
    ql_options options;
    ql_train_result result;
    small_options(&options);
    options.engine.memory_mb = 10;
    ASSERT_OK(ql_generate_by_name(&mesh, "icosphere", 80));
    ql_train_job job = {&mesh, &options, &ql_engine_ref, NULL, NULL};
    assert_int_equal(ql_train_mesh(&result, &job, NULL, NULL), QL_STATUS_NO_MEMORY);
    assert_non_null(strstr(ql_error_text(), "engine.memory_mb"));
    ql_mesh_destroy(&mesh);
}

static void unusable_mesh_is_refused(void **state)
{
    (void)state;
    ql_mesh mesh;
    ql_options options;
    ql_train_result result;
    small_options(&options);
    ASSERT_OK(ql_mesh_create(&mesh, "flat", "", 3, 1)); /* three vertices at the origin */
    mesh.faces[1] = 1;
    mesh.faces[2] = 2;
    ql_train_job job = {&mesh, &options, &ql_engine_ref, NULL, NULL};
    assert_int_equal(ql_train_mesh(&result, &job, NULL, NULL), QL_STATUS_MESH);
    ql_mesh_destroy(&mesh);
}

/* Every allocation may fail: the error comes back and nothing leaks (the balance at the end tells). */
static void survives_lack_of_memory(void **state)
{
    (void)state;
    ql_mesh mesh;
    ql_options options;
    small_options(&options);
    options.train.steps = 1;
    options.train.off_points = 8;
    ASSERT_OK(ql_generate_by_name(&mesh, "icosphere", 20));
    ql_train_job job = {&mesh, &options, &ql_engine_ref, NULL, NULL};
    int64_t n = 1;
    for (;; ++n) {
        ql_train_result result;
        ql_memory_fail_at(n);
        ql_status status = ql_train_mesh(&result, &job, NULL, NULL);
        bool fired = status != QL_OK;
        if (!fired) ql_train_result_destroy(&result);
        if (fired) assert_int_equal(status, QL_STATUS_NO_MEMORY);
        if (!fired || n > 100) break;
    }
    ql_memory_fail_at(0);
    assert_in_range(n, 20, 100);
    ql_mesh_destroy(&mesh);
}

/* An engine that takes steps by itself, in no time; its loss says which step it was. Step 57 breaks it. */
static ql_engine_class hasty;
static int64_t hasty_calls, hasty_steps;

static ql_status hasty_create(ql_engine **engine, const ql_engine_setup *setup)
{
    QL_TRY(ql_engine_ref.create(engine, setup));
    (*engine)->kind = &hasty;
    return QL_OK;
}

static ql_status hasty_advance(ql_engine *engine, int64_t first, int count, const ql_loss_weights *weights,
                               double (*terms)[QL_LOSS_COUNT], double *norms)
{
    (void)engine;
    assert_true(count >= 1 && count <= QL_ENGINE_AHEAD);
    hasty_calls++;
    hasty_steps += count;
    for (int k = 0; k < count; ++k) {
        for (int term = 0; term < QL_LOSS_COUNT; ++term) terms[k][term] = 1 + 1e-3 * (double)(first + k);
        if (first + k >= 57) terms[k][QL_LOSS_SDF] = NAN;
        terms[k][QL_LOSS_TOTAL] = ql_loss_total(&weights[k], terms[k]);
        norms[k] = (double)(first + k);
    }
    return QL_OK;
}

static bool should_stop_from(void *context)
{
    recorder *r = context;
    return r->stop_at >= 0 && r->steps_seen >= r->stop_at;
}

/* What is written of a step is that step's, however many the engine took at once; a wish waits for the end of a few steps; a step
 * that breaks is named. */
static void runs_ahead(void **state)
{
    (void)state;
    ql_mesh mesh;
    ql_options options;
    ql_train_result straight, resumed;
    recorder r = {.stop_at = 10};
    ql_train_callbacks callbacks = {&r, should_stop_from, NULL, keep_snapshot, progress};
    hasty = ql_engine_ref;
    hasty.create = hasty_create;
    hasty.advance = hasty_advance;
    small_options(&options);
    options.train.steps = 40;
    options.train.history_every = 7;
    ASSERT_OK(ql_generate_by_name(&mesh, "icosphere", 20));
    ql_train_job job = {&mesh, &options, &hasty, NULL, NULL};
    ASSERT_OK(ql_train_mesh(&straight, &job, NULL, NULL));
    assert_int_equal(hasty_steps, 40);
    assert_true(hasty_calls < 20); /* one to see how long it takes, then eight at a time */
    assert_int_equal(straight.history.rows, 7);
    for (int64_t row = 0; row < 7; ++row) {
        const double *values = straight.history.values + row * QL_HISTORY_COLUMNS,
                     step = (double)(row < 6 ? 7 * row : 39);
        assert_true(values[0] == step && values[9] == step && values[2] == 1 + 1e-3 * step);
    }
    assert_int_equal(ql_train_mesh(&resumed, &job, NULL, &callbacks), QL_STATUS_STOPPED);
    assert_true(r.kept.step >= 10 && r.kept.step < 10 + QL_ENGINE_AHEAD);
    r.stop_at = -1;
    ASSERT_OK(ql_train_mesh(&resumed, &job, &r.kept, &callbacks));
    assert_int_equal(resumed.history.rows, 7);
    for (int64_t row = 0; row < 7; ++row)
        assert_memory_equal(straight.history.values + row * QL_HISTORY_COLUMNS,
                            resumed.history.values + row * QL_HISTORY_COLUMNS, 10 * sizeof(double));
    ql_train_result_destroy(&straight);
    ql_train_result_destroy(&resumed);
    ql_snapshot_destroy(&r.kept);
    options.train.steps = 100;
    assert_int_equal(ql_train_mesh(&resumed, &job, NULL, &callbacks), QL_STATUS_NUMERIC);
    assert_non_null(strstr(ql_error_text(), "step 57: loss term sdf"));
    assert_int_equal(r.steps_seen, 57);
    ql_mesh_destroy(&mesh);
}

static void options_hash_sees_what_matters(void **state)
{
    (void)state;
    ql_options a, b;
    ql_options_init(&a);
    b = a;
    assert_true(ql_train_options_hash(&a, "cpu") == ql_train_options_hash(&b, "cpu"));
    assert_true(ql_train_options_hash(&a, "cpu") != ql_train_options_hash(&b, "ref"));
    b.engine.threads = 7;
    b.train.checkpoint_every_s = 1;
    b.sweep.max_failures = 9;
    assert_true(ql_train_options_hash(&a, "cpu") == ql_train_options_hash(&b, "cpu"));
    b.train.learning_rate *= 1.0000001;
    assert_true(ql_train_options_hash(&a, "cpu") != ql_train_options_hash(&b, "cpu"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_engine_resumes_to_the_same_bytes),
        cmocka_unit_test(result_is_a_field),
        cmocka_unit_test(breakdown_names_step_and_term),
        cmocka_unit_test(memory_budget_is_kept),
        cmocka_unit_test(unusable_mesh_is_refused),
        cmocka_unit_test(survives_lack_of_memory),
        cmocka_unit_test(options_hash_sees_what_matters),
        cmocka_unit_test(runs_ahead),
    };
    return ql_test_main(tests);
}

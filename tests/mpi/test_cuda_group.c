/* Engine cuda over the ranks of a group, its bodies on the host: what a rank alone computes, within float32; the same bytes on
 * all ranks and twice; refusal of deterministic mode; a device that is lost on one rank ends the call on all. */
#include "support/engine_fixture.h"

#include "comm/comm.h"
#include "host_engine.h"
#include "nccl_comm.h"

static ql_comm *world;
static const ql_engine_class *const HOST = &ql_engine_cuda_on_host;

typedef struct trace {
    double terms[2][QL_LOSS_COUNT], norm[2], *gradient, *theta;
    float *parameters;
} trace;

/* Two steps; the gradient is that of the first. */
static void train(fixture *f, ql_comm *group, trace *t)
{
    ql_engine *engine = NULL;
    ql_engine_state state = {QL_FLOAT32, f->parameters, f->zeros, f->zeros};
    memset(t, 0, sizeof *t);
    ASSERT_OK(QL_TAKE(t->gradient, QL_PARAMETER_COUNT));
    ASSERT_OK(QL_TAKE(t->parameters, QL_PARAMETER_COUNT));
    ASSERT_OK(QL_TAKE(t->theta, f->tables.face_count));
    f->setup.group = group;
    ASSERT_OK(ql_engine_create(&engine, HOST, &f->setup));
    ASSERT_OK(HOST->set_state(engine, &state));
    for (int step = 0; step < 2; ++step) {
        ql_loss_weights weights = ql_loss_weights_at(&f->options.train, step);
        engine->vote = group != NULL && group->rank == group->size - 1 ? step : 0;
        ASSERT_OK(HOST->evaluate(engine, step, &weights, t->terms[step]));
        if (group != NULL) assert_int_equal(engine->vote, step);
        if (step == 0) ASSERT_OK(HOST->gradient(engine, t->gradient));
        ASSERT_OK(HOST->apply(engine, step, &t->norm[step]));
    }
    ASSERT_OK(HOST->theta(engine, t->theta));
    ASSERT_OK(HOST->state(engine, &state));
    memcpy(t->parameters, state.parameters, QL_PARAMETER_COUNT * sizeof *t->parameters);
    HOST->destroy(engine);
}

static void free_trace(trace *t)
{
    ql_free(t->gradient);
    ql_free(t->parameters);
    ql_free(t->theta);
}

static void open_shared(fixture *f, int faces)
{
    open_fixture(f, "torus", faces, 2);
    f->options.train.deterministic = false;
}

/* Where rounding turned a sign at a kink of the loss the gradient of the angle network moves by 1e-4 (engine_pairs.h). */
static void compare_with_alone(int faces, ql_sampling sampling)
{
    fixture f;
    trace together, again, alone;
    const int sdf = QL_SDF_PARAMETER_COUNT, rest = QL_PARAMETER_COUNT - sdf;
    open_shared(&f, faces);
    f.options.train.sampling = sampling;
    train(&f, world, &together);
    train(&f, world, &again);
    train(&f, NULL, &alone);
    assert_true(distance(together.gradient, alone.gradient, sdf) < 6e-6);
    assert_true(distance(together.gradient + sdf, alone.gradient + sdf, rest) < 3e-4);
    for (int term = 1; term < QL_LOSS_COUNT; ++term)
        assert_true(fabs(together.terms[0][term] - alone.terms[0][term]) <= 4e-6 * fabs(alone.terms[0][term]) + 1e-6);
    assert_true(fabs(together.norm[0] / alone.norm[0] - 1) < 6e-6);
    assert_memory_equal(together.terms, again.terms, sizeof again.terms);
    assert_memory_equal(together.parameters, again.parameters, QL_PARAMETER_COUNT * sizeof *again.parameters);
    if (world->rank > 0) memset(again.parameters, 0, QL_PARAMETER_COUNT * sizeof *again.parameters);
    ASSERT_OK(ql_comm_broadcast(world, again.parameters, QL_PARAMETER_COUNT * sizeof *again.parameters, 0));
    ASSERT_OK(ql_comm_broadcast(world, again.theta, (size_t)faces * sizeof *again.theta, 0));
    assert_memory_equal(together.parameters, again.parameters, QL_PARAMETER_COUNT * sizeof *again.parameters);
    assert_memory_equal(together.theta, again.theta, (size_t)faces * sizeof *again.theta);
    free_trace(&together);
    free_trace(&again);
    free_trace(&alone);
    close_fixture(&f);
}

static void equals_alone(void **state)
{
    (void)state;
    compare_with_alone(7, QL_SAMPLING_NEAR);
    compare_with_alone(33, QL_SAMPLING_FAR);
}

/* The same where arrays go from device to device, in steps recorded as one graph; and where one rank cannot record it, so that
 * none does. */
static void equals_alone_directly(void **state)
{
    (void)state;
    for (int recorded = 0; recorded < 2; ++recorded) {
        const int64_t before = ql_cuda_host_recorded();
        ql_cuda_host_groups(true, recorded == 1 || world->rank != world->size - 1);
        compare_with_alone(7, QL_SAMPLING_NEAR);
        if (world->size > 1) assert_int_equal(ql_cuda_host_recorded() > before, recorded == 1);
    }
    ql_cuda_host_groups(false, true);
}

static void refuses_deterministic(void **state)
{
    (void)state;
    fixture f;
    ql_engine *engine = NULL;
    open_fixture(&f, "torus", 31, 2);
    f.setup.group = world;
    ql_status status = ql_engine_create(&engine, HOST, &f.setup);
    if (world->size > 1) {
        assert_int_equal(status, QL_STATUS_CONFIG);
        assert_non_null(strstr(ql_error_text(), "train.deterministic"));
        assert_null(engine);
    } else {
        ASSERT_OK(status);
        HOST->destroy(engine);
    }
    close_fixture(&f);
}

/* On the last rank alone; at creation and in the middle of a step. */
static void lost_on_one_rank(void **state)
{
    (void)state;
    if (world->size == 1) return;
    fixture f;
    open_shared(&f, 31);
    f.setup.group = world;
    for (int64_t at = 3; at < 400; at += 300) {
        ql_engine *engine = NULL;
        ql_engine_state initial = {QL_FLOAT32, f.parameters, f.zeros, f.zeros};
        ql_loss_weights weights = ql_loss_weights_at(&f.options.train, 0);
        double terms[QL_LOSS_COUNT], norm;
        ql_cuda_host_faults(world->rank == world->size - 1 ? at : -1, QL_STATUS_ENVIRONMENT, 0);
        ql_status status = ql_engine_create(&engine, HOST, &f.setup);
        if (at > 3) ASSERT_OK(status);
        if (status == QL_OK) ASSERT_OK(HOST->set_state(engine, &initial));
        for (int step = 0; step < 2 && status == QL_OK; ++step) {
            status = HOST->evaluate(engine, step, &weights, terms);
            if (status == QL_OK) status = HOST->apply(engine, step, &norm);
        }
        assert_int_equal(status, QL_STATUS_ENVIRONMENT);
        assert_non_null(strstr(ql_error_text(), "injected"));
        HOST->destroy(engine);
    }
    ql_cuda_host_faults(-1, QL_OK, 0);
    close_fixture(&f);
}

/* ---- NCCL's start on all ranks or on none ---- */

static int starts[2], aborts; /* of this rank: what begin gives and what becomes of it; how often it was aborted */
static int begin(void *of) { return (void)of, starts[0]; }
static int state_of(void *of) { return (void)of, starts[1]; }
static void destroyed(void *of) { (void)of; }
static void aborted(void *of) { aborts += of == NULL; }
static const char *text(int result) { return result == 6 ? "remote process exited" : "?"; }

/* On the last rank it is there later, fails, or never comes: all ranks have it or none, and what the others have is aborted. */
static void nccl_together(void **state)
{
    (void)state;
    static const int last[3] = {QL_NCCL_SUCCESS, 6, QL_NCCL_IN_PROGRESS};
    const ql_nccl_calls calls = {begin, state_of, state_of, destroyed, aborted, text};
    ql_error_clear(); /* of an earlier test */
    for (int k = 0; k < 3; ++k) {
        bool joined = k > 0;
        aborts = 0;
        starts[0] = world->rank == world->size - 1 ? QL_NCCL_IN_PROGRESS : QL_NCCL_SUCCESS;
        starts[1] = last[k];
        ASSERT_OK(ql_nccl_join(&calls, NULL, world, 0.1, &joined));
        assert_int_equal(joined, k == 0);
        assert_int_equal(aborts, k > 0);
        assert_string_equal(ql_error_text(), "");
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_alone), cmocka_unit_test(equals_alone_directly),
                                       cmocka_unit_test(refuses_deterministic), cmocka_unit_test(lost_on_one_rank),
                                       cmocka_unit_test(nccl_together)};
    if (ql_launcher_mpi.start(&world, &argc, &argv) != QL_OK) return 1;
    int failed = _cmocka_run_group_tests("cuda group", tests, sizeof tests / sizeof tests[0], NULL, NULL);
    ql_launcher_mpi.stop(world);
    return failed + (ql_memory_balance().blocks != 0);
}

/* Engine cuda over the ranks of a group, its bodies on the host: what a rank alone computes, within float32; the same bytes on
 * all ranks and twice, one by one and sent ahead; refusal of deterministic mode; a device that is lost on one rank ends the call on
 * all; training that looks at several steps at a time: wishes of one rank, numbers that break. */
#include "support/engine_fixture.h"

#include "comm/comm.h"
#include "host_engine.h"
#include "nccl_comm.h"
#include "train/train.h"

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

static void join(int way)
{
    ql_cuda_host_group(way == QL_GROUP_UNRECORDED && world->rank < world->size - 1 ? QL_GROUP_DIRECT : way);
}

/* The same where arrays go from device to device. */
static void equals_alone_directly(void **state)
{
    (void)state;
    join(QL_GROUP_DIRECT);
    compare_with_alone(7, QL_SAMPLING_NEAR);
    join(QL_GROUP_HOST);
}

/* ---- steps sent ahead ---- */

enum { STEPS = 5 };

typedef struct course {
    double terms[STEPS][QL_LOSS_COUNT], norm[STEPS];
    float *parameters;
} course;

/* The last rank wishes something with the last call, and is the slowest. */
static void wish(ql_engine *engine, bool last)
{
    engine->vote = last && world->rank == world->size - 1 ? 2 : 0;
    engine->pace_s = 0.01 * (world->rank + 1);
}

static void assert_wishes(const ql_engine *engine, bool last)
{
    assert_int_equal(engine->vote, last ? 2 : 0);
    assert_true(engine->pace_s == 0.01 * world->size);
}

/* One by one, or so many at a time; from the third call on nobody takes memory. */
static void take(course *c, fixture *f, bool ahead)
{
    static const int blocks[] = {1, 1, 3}, single[] = {1, 1, 1, 1, 1};
    const int *block = ahead ? blocks : single, calls = ahead ? 3 : STEPS;
    ql_engine *engine = NULL;
    ql_engine_state state = {QL_FLOAT32, f->parameters, f->zeros, f->zeros};
    ql_loss_weights weights[STEPS];
    for (int k = 0; k < STEPS; ++k) weights[k] = ql_loss_weights_at(&f->options.train, k);
    ASSERT_OK(QL_TAKE(c->parameters, QL_PARAMETER_COUNT));
    ASSERT_OK(ql_engine_create(&engine, HOST, &f->setup));
    ASSERT_OK(HOST->set_state(engine, &state));
    for (int call = 0, k = 0; call < calls; k += block[call++]) {
        if (call == 2) ql_memory_fail_at(1);
        wish(engine, call == calls - 1);
        if (ahead) {
            ASSERT_OK(ql_engine_steps(engine, k, block[call], &weights[k], &c->terms[k], &c->norm[k]));
        } else {
            ASSERT_OK(HOST->evaluate(engine, k, &weights[k], c->terms[k]));
            ASSERT_OK(HOST->apply(engine, k, &c->norm[k]));
        }
        assert_wishes(engine, call == calls - 1);
    }
    const bool untouched = ql_memory_take(1, 1) == NULL; /* the failure that was ordered is still there */
    ql_memory_fail_at(0);
    assert_true(untouched);
    ASSERT_OK(HOST->state(engine, &state));
    memcpy(c->parameters, state.parameters, QL_PARAMETER_COUNT * sizeof *c->parameters);
    HOST->destroy(engine);
}

static void assert_same_course(const course *a, const course *b)
{
    assert_memory_equal(a->terms, b->terms, sizeof a->terms);
    assert_memory_equal(a->norm, b->norm, sizeof a->norm);
    assert_memory_equal(a->parameters, b->parameters, QL_PARAMETER_COUNT * sizeof *a->parameters);
}

/* Steps sent ahead have the bytes of those taken one by one, on all ranks, however the ranks are joined: norm, clip and Adam on the
 * device are those of the host. Where one rank cannot record them none does. */
static void sent_ahead(void **state)
{
    (void)state;
    fixture f;
    open_shared(&f, 33);
    f.setup.group = world;
    f.options.train.clip_norm = 0.5;
    for (int way = world->size > 2 ? QL_GROUP_DIRECT : QL_GROUP_HOST; way <= QL_GROUP_PARTS; ++way) {
        static course single;
        course several, first;
        const int64_t before = ql_cuda_host_recorded();
        join(way);
        if (way == QL_GROUP_HOST || way == QL_GROUP_DIRECT) take(&single, &f, false);
        take(&several, &f, true);
        assert_same_course(&several, &single);
        assert_true(single.norm[0] > 0.5 && single.norm[STEPS - 1] > 0.5);
        assert_int_equal(ql_cuda_host_recorded() > before, world->size > 1 && way == QL_GROUP_DIRECT);
        ASSERT_OK(QL_TAKE(first.parameters, QL_PARAMETER_COUNT));
        memcpy(first.parameters, several.parameters, QL_PARAMETER_COUNT * sizeof *first.parameters);
        memcpy(first.terms, several.terms, sizeof first.terms);
        memcpy(first.norm, several.norm, sizeof first.norm);
        ASSERT_OK(ql_comm_broadcast(world, first.parameters, QL_PARAMETER_COUNT * sizeof *first.parameters, 0));
        ASSERT_OK(ql_comm_broadcast(world, first.terms, sizeof first.terms, 0));
        ASSERT_OK(ql_comm_broadcast(world, first.norm, sizeof first.norm, 0));
        assert_same_course(&several, &first);
        ql_free(first.parameters);
        ql_free(several.parameters);
        if (way == QL_GROUP_HOST || way == QL_GROUP_PARTS) ql_free(single.parameters);
    }
    join(QL_GROUP_HOST);
    close_fixture(&f);
}

/* Calls of the machine until the end of creation and of each of three calls, the last of three steps. */
static ql_status three_calls(fixture *f, int64_t made[4], int *call)
{
    static const int first[] = {0, 1, 2}, count[] = {1, 1, 3};
    ql_engine *engine = NULL;
    ql_engine_state initial = {QL_FLOAT32, f->parameters, f->zeros, f->zeros};
    double terms[3][QL_LOSS_COUNT], norms[3];
    ql_loss_weights weights[3];
    for (int k = 0; k < 3; ++k) weights[k] = ql_loss_weights_at(&f->options.train, 0);
    ASSERT_OK(ql_engine_create(&engine, HOST, &f->setup));
    ASSERT_OK(HOST->set_state(engine, &initial));
    made[0] = ql_cuda_host_calls();
    ql_status status = QL_OK;
    for (*call = 0; *call < 3 && status == QL_OK; ++*call) {
        status = ql_engine_steps(engine, first[*call], count[*call], weights, terms, norms);
        made[*call + 1] = ql_cuda_host_calls();
    }
    HOST->destroy(engine);
    return status;
}

/* The last rank's device is lost in one of these calls: the same call fails on all, with that rank's reason. */
static void lost_in_a_batch(void **state)
{
    (void)state;
    if (world->size == 1) return;
    fixture f;
    int64_t made[4], unused[4];
    int call;
    open_shared(&f, 31);
    f.setup.group = world;
    join(QL_GROUP_DIRECT);
    ql_cuda_host_faults(-1, QL_OK, 0);
    ASSERT_OK(three_calls(&f, made, &call));
    for (int lost = 2; lost <= 3; ++lost) {
        const int64_t at = lost < 3 ? made[1] + 2 : made[3] - 3; /* where it is recorded; late in the batch */
        ql_cuda_host_faults(world->rank == world->size - 1 ? at : -1, QL_STATUS_ENVIRONMENT, 0);
        assert_int_equal(three_calls(&f, unused, &call), QL_STATUS_ENVIRONMENT);
        assert_int_equal(call, lost);
        assert_non_null(strstr(ql_error_text(), "injected"));
    }
    ql_cuda_host_faults(-1, QL_OK, 0);
    join(QL_GROUP_HOST);
    close_fixture(&f);
}

/* ---- training ---- */

/* A device so fast that three steps are sent ahead. */
static ql_engine_class fast;
static int64_t fast_calls, fast_steps;

static ql_status fast_create(ql_engine **engine, const ql_engine_setup *setup)
{
    QL_TRY(HOST->create(engine, setup));
    (*engine)->kind = &fast;
    return QL_OK;
}

static ql_status fast_advance(ql_engine *engine, int64_t first, int count, const ql_loss_weights *weights,
                              double (*terms)[QL_LOSS_COUNT], double *norms)
{
    fast_calls++;
    fast_steps += count;
    QL_TRY(HOST->advance(engine, first, count, weights, terms, norms));
    engine->pace_s = 0.016;
    return QL_OK;
}

typedef struct recorder {
    int64_t steps_seen, stop_from, checkpoint_at, checkpoints; /* wishes of the last rank; < 0: none */
    ql_snapshot kept;                                          /* its history stays empty */
} recorder;

static bool is_last(void) { return world->rank == world->size - 1; }

static bool should_stop(void *context)
{
    const recorder *r = context;
    return is_last() && r->stop_from >= 0 && r->steps_seen >= r->stop_from;
}

static bool should_checkpoint(void *context)
{
    const recorder *r = context;
    return is_last() && r->checkpoint_at >= 0 && r->steps_seen >= r->checkpoint_at &&
           r->steps_seen < r->checkpoint_at + 8;
}

static void progress(void *context, const ql_train_progress *p) { ((recorder *)context)->steps_seen = p->step; }

static ql_status keep_snapshot(void *context, const ql_snapshot *snapshot)
{
    recorder *r = context;
    assert_int_equal(world->rank, 0);
    r->checkpoints++;
    r->kept.step = snapshot->step;
    r->kept.mesh_hash = snapshot->mesh_hash;
    r->kept.options_hash = snapshot->options_hash;
    memcpy(r->kept.state.parameters, snapshot->state.parameters, QL_PARAMETER_COUNT * sizeof(float));
    memcpy(r->kept.state.moment1, snapshot->state.moment1, QL_PARAMETER_COUNT * sizeof(float));
    memcpy(r->kept.state.moment2, snapshot->state.moment2, QL_PARAMETER_COUNT * sizeof(float));
    return QL_OK;
}

static void share_snapshot(ql_snapshot *snapshot)
{
    void *arrays[] = {snapshot->state.parameters, snapshot->state.moment1, snapshot->state.moment2};
    ASSERT_OK(ql_comm_broadcast(world, &snapshot->step, sizeof snapshot->step, 0));
    ASSERT_OK(ql_comm_broadcast(world, &snapshot->mesh_hash, sizeof snapshot->mesh_hash, 0));
    ASSERT_OK(ql_comm_broadcast(world, &snapshot->options_hash, sizeof snapshot->options_hash, 0));
    for (int k = 0; k < 3; ++k) ASSERT_OK(ql_comm_broadcast(world, arrays[k], QL_PARAMETER_COUNT * sizeof(float), 0));
}

static void assert_same_result(const ql_train_result *a, const ql_train_result *b)
{
    assert_memory_equal(a->parameters, b->parameters, QL_PARAMETER_COUNT * sizeof(float));
    assert_memory_equal(a->theta, b->theta, (size_t)a->face_count * sizeof(float));
    assert_memory_equal(a->final_terms, b->final_terms, sizeof a->final_terms);
}

/* The text of rank 0 is that of all. */
static void assert_breaks(ql_train_job *job, ql_options *options, double rate, const char *why)
{
    ql_train_result result;
    char text[512];
    options->train.learning_rate = rate;
    assert_int_equal(ql_train_mesh(&result, job, NULL, NULL), QL_STATUS_NUMERIC);
    (void)snprintf(text, sizeof text, "%.500s", ql_error_text());
    ASSERT_OK(ql_comm_broadcast(world, text, sizeof text, 0));
    assert_string_equal(text, ql_error_text());
    if (strstr(text, why) == NULL) fail_msg("%s", text);
}

/* What is written of a step is that step's, however many were sent ahead; a wish of the last rank is heeded by all at the same
 * step, after two looks at most; numbers that break name the step, everywhere. */
static void trains_ahead(void **state)
{
    (void)state;
    if (world->size == 1) return;
    enum { ALL = 6, SECOND_LOOK = 4 };
    ql_mesh mesh;
    ql_options options;
    ql_train_result slow, quick, resumed;
    recorder r = {.stop_from = -1, .checkpoint_at = 1};
    const ql_train_callbacks callbacks = {&r, should_stop, should_checkpoint, keep_snapshot, progress};
    ASSERT_OK(ql_generate_by_name(&mesh, "icosphere", 20));
    ASSERT_OK(ql_snapshot_create(&r.kept, QL_FLOAT32));
    ql_options_init(&options);
    options.train.deterministic = false;
    options.train.steps = ALL;
    options.train.off_points = 40;
    options.train.history_every = 1;
    ql_train_job job = {&mesh, &options, &fast, world, NULL};
    join(QL_GROUP_DIRECT);
    fast = *HOST;
    fast.create = fast_create;
    fast.advance = NULL; /* step by step */
    ASSERT_OK(ql_train_mesh(&slow, &job, NULL, NULL));
    fast.advance = fast_advance;
    ASSERT_OK(ql_train_mesh(&quick, &job, NULL, &callbacks));
    assert_int_equal(fast_steps, ALL);
    assert_int_equal(fast_calls, 3); /* 1, 3, 2 */
    assert_same_result(&quick, &slow);
    assert_int_equal(quick.history.rows, ALL);
    for (int64_t row = 0; row < ALL; ++row) /* but for the seconds */
        assert_memory_equal(quick.history.values + row * QL_HISTORY_COLUMNS,
                            slow.history.values + row * QL_HISTORY_COLUMNS, 10 * sizeof(double));
    ql_train_result_destroy(&quick);

    assert_int_equal(r.checkpoints, world->rank == 0);
    share_snapshot(&r.kept);
    assert_int_equal(r.kept.step, SECOND_LOOK); /* wished for after step 1 */
    r.checkpoint_at = -1;
    ASSERT_OK(ql_train_mesh(&resumed, &job, &r.kept, &callbacks));
    assert_same_result(&resumed, &slow);
    ql_train_result_destroy(&resumed);
    ql_train_result_destroy(&slow);

    r.stop_from = 1;
    r.steps_seen = r.checkpoints = 0;
    assert_int_equal(ql_train_mesh(&quick, &job, NULL, &callbacks), QL_STATUS_STOPPED);
    assert_int_equal(r.steps_seen, SECOND_LOOK);
    assert_int_equal(r.checkpoints, world->rank == 0);

    options.train.steps = 60;
    assert_breaks(&job, &options, 1, "exploded");
    assert_breaks(&job, &options, 1e3, "not a finite number");
    join(QL_GROUP_HOST);
    ql_snapshot_destroy(&r.kept);
    ql_mesh_destroy(&mesh);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(equals_alone),     cmocka_unit_test(equals_alone_directly),
                                       cmocka_unit_test(sent_ahead),       cmocka_unit_test(lost_in_a_batch),
                                       cmocka_unit_test(trains_ahead),     cmocka_unit_test(refuses_deterministic),
                                       cmocka_unit_test(lost_on_one_rank), cmocka_unit_test(nccl_together)};
    if (ql_launcher_mpi.start(&world, &argc, &argv) != QL_OK) return 1;
    int failed = _cmocka_run_group_tests("cuda group", tests, sizeof tests / sizeof tests[0], NULL, NULL);
    ql_launcher_mpi.stop(world);
    return failed + (ql_memory_balance().blocks != 0);
}

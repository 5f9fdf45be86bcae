/* One mesh over the ranks of a group: the same bytes as a rank alone in deterministic mode, the golden numbers otherwise, and
 * one answer for all when something fails. */
#include "support/engine_fixture.h"

#include "comm/comm.h"
#include "golden/golden_check.h"

static ql_comm *world;

/* A whole mesh, shared by all ranks. */
static void open_whole(fixture *f, int faces, int64_t off_points)
{
    memset(f, 0, sizeof *f);
    ql_options_init(&f->options);
    f->options.train.off_points = off_points;
    f->options.engine.threads = 1 + world->rank % 2; /* not the same everywhere */
    ASSERT_OK(ql_generate_by_name(&f->mesh, "bracket", faces));
    prepare_fixture(f, QL_AVERAGING_FACES, 1);
    f->setup.group = world;
}

static ql_engine *start_in(fixture *f, const ql_engine_class *kind, ql_comm *group)
{
    f->setup.group = group;
    return start(f, kind);
}

/* What a training of some steps leaves: terms and norm of each, parameters, angles and the distance field. */
typedef struct trace {
    double terms[20][QL_LOSS_COUNT + 1];
    double *parameters, *theta, *field;
} trace;

static void train(fixture *f, const ql_engine_class *kind, ql_comm *group, int64_t steps, trace *t)
{
    const size_t faces = (size_t)f->mesh.face_count;
    ql_engine *engine = start_in(f, kind, group);
    ql_engine_state state;
    memset(t, 0, sizeof *t);
    ASSERT_OK(QL_TAKE(t->parameters, QL_PARAMETER_COUNT));
    ASSERT_OK(QL_TAKE(t->theta, faces));
    ASSERT_OK(QL_TAKE(t->field, 7 * faces));
    for (int64_t step = 0; step < steps; ++step) {
        ql_loss_weights weights = ql_loss_weights_at(&f->options.train, step);
        ASSERT_OK(kind->evaluate(engine, step, &weights, t->terms[step]));
        ASSERT_OK(kind->apply(engine, step, &t->terms[step][QL_LOSS_COUNT]));
    }
    ASSERT_OK(kind->theta(engine, t->theta));
    ASSERT_OK(kind->field(engine, f->tables.points, (int64_t)faces, t->field, NULL, t->field + faces));
    ASSERT_OK(kind->state(engine, &state));
    for (size_t i = 0; i < QL_PARAMETER_COUNT; ++i)
        t->parameters[i] = state.type == QL_FLOAT64 ? ((const double *)state.parameters)[i]
                                                    : (double)((const float *)state.parameters)[i];
    kind->destroy(engine);
}

static void free_trace(trace *t)
{
    ql_free(t->parameters);
    ql_free(t->theta);
    ql_free(t->field);
}

/* Every rank by itself knows what the group must come to; and all ranks of the group hold the same. */
static void check_same_bytes(const ql_engine_class *kind, int faces, int64_t off_points, int64_t steps)
{
    fixture f;
    trace alone, together;
    open_whole(&f, faces, off_points);
    const size_t count = (size_t)f.mesh.face_count;
    train(&f, kind, world, steps, &together);
    if (world->rank == 0) {
        f.options.engine.threads = 2;
        f.options.engine.memory = QL_MEMORY_RECOMPUTE;
        train(&f, kind, NULL, steps, &alone);
    } else {
        memset(&alone, 0, sizeof alone);
        ASSERT_OK(QL_TAKE(alone.parameters, QL_PARAMETER_COUNT));
        ASSERT_OK(QL_TAKE(alone.theta, count));
        ASSERT_OK(QL_TAKE(alone.field, 7 * count));
    }
    ASSERT_OK(ql_comm_broadcast(world, alone.terms, sizeof alone.terms, 0));
    ASSERT_OK(ql_comm_broadcast(world, alone.parameters, QL_PARAMETER_COUNT * sizeof(double), 0));
    ASSERT_OK(ql_comm_broadcast(world, alone.theta, count * sizeof(double), 0));
    ASSERT_OK(ql_comm_broadcast(world, alone.field, 7 * count * sizeof(double), 0));
    assert_memory_equal(together.terms, alone.terms, sizeof alone.terms);
    assert_memory_equal(together.parameters, alone.parameters, QL_PARAMETER_COUNT * sizeof(double));
    assert_memory_equal(together.theta, alone.theta, count * sizeof(double));
    assert_memory_equal(together.field, alone.field, 7 * count * sizeof(double));
    free_trace(&alone);
    free_trace(&together);
    close_fixture(&f);
}

static void cpu_same_bytes(void **state)
{
    (void)state;
    check_same_bytes(&ql_engine_cpu, 70, 101, 20);
}

/* A tiny mesh has one shard: all ranks but one only take part in the sums. */
static void more_ranks_than_shards(void **state)
{
    (void)state;
    assert_int_equal(ql_engine_cpu.most_ranks(&(ql_train_options){.deterministic = true}, 12), 1);
    check_same_bytes(&ql_engine_cpu, 12, 17, 3);
}

static void ref_same_bytes(void **state)
{
    (void)state;
    check_same_bytes(&ql_engine_ref, 20, 17, 2);
}

/* Not deterministic, thus summed otherwise: inside the tolerances of float32. */
static void golden_numbers(void **state)
{
    (void)state;
    SKIP_WITHOUT_SHARED("golden numbers in a group");
    if (world->size > 3) skip(); /* takes its time, tells nothing new */
    char path[1024];
    (void)snprintf(path, sizeof path, "%s/golden/bracket352.h5", ql_test_shared());
    ql_golden golden;
    ql_golden_report report = {0};
    const ql_engine_options options = {.threads = 1 + world->rank % 2};
    ASSERT_OK(ql_golden_read(&golden, path));
    ASSERT_OK(ql_golden_check_engine(&report, &golden, &ql_engine_cpu, &options, world, false));
    assert_true(report.count > 10);
    for (int k = 0; k < report.count; ++k)
        if (report.line[k].error > report.line[k].tolerance)
            fail_msg("%s: %g, not <= %g", report.line[k].quantity, report.line[k].error, report.line[k].tolerance);
    ql_golden_destroy(&golden);
}

/* Blocks that do not divide evenly, a rank with hardly any work, more ranks than shards need. */
static void few_faces_per_rank(void **state)
{
    (void)state;
    fixture f;
    trace t;
    open_whole(&f, 12, 5);
    f.options.train.deterministic = false;
    train(&f, &ql_engine_cpu, world, 2, &t);
    double bits[2] = {t.terms[1][QL_LOSS_TOTAL], t.terms[1][QL_LOSS_TOTAL]};
    ASSERT_OK(world->kind->broadcast(world, &bits[0], sizeof bits[0], 0));
    assert_memory_equal(&bits[0], &bits[1], sizeof bits[0]);
    free_trace(&t);
    close_fixture(&f);
}

static void largest_vote_counts(void **state)
{
    (void)state;
    fixture f;
    open_whole(&f, 12, 5);
    ql_engine *engine = start_in(&f, &ql_engine_cpu, world);
    ql_loss_weights weights = ql_loss_weights_at(&f.options.train, 0);
    double terms[QL_LOSS_COUNT];
    for (int voter = 0; voter <= world->size; ++voter) { /* in the last round nobody */
        engine->vote = world->rank == voter ? 2 : 0;
        ASSERT_OK(engine->kind->evaluate(engine, 0, &weights, terms));
        assert_int_equal(engine->vote, voter < world->size ? 2 : 0);
    }
    engine->kind->destroy(engine);
    close_fixture(&f);
}

static void one_answer_for_all(void **state)
{
    (void)state;
    fixture f;
    ql_engine *engine;
    open_whole(&f, 12, 5);
    const int last = world->size - 1;
    f.options.engine.memory_mb = world->rank == last ? 10 : 0;
    assert_int_equal(ql_engine_create(&engine, &ql_engine_cpu, &f.setup), QL_STATUS_NO_MEMORY);
    assert_non_null(strstr(ql_error_text(), "engine.memory_mb"));
    assert_null(engine);
    ql_engine_class loner = ql_engine_cpu;
    loner.groups = false;
    f.options.engine.memory_mb = 0;
    if (world->size > 1) assert_int_equal(ql_engine_create(&engine, &loner, &f.setup), QL_STATUS_ENVIRONMENT);
    close_fixture(&f);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpu_same_bytes),     cmocka_unit_test(more_ranks_than_shards),
        cmocka_unit_test(ref_same_bytes),     cmocka_unit_test(golden_numbers),
        cmocka_unit_test(few_faces_per_rank), cmocka_unit_test(largest_vote_counts),
        cmocka_unit_test(one_answer_for_all),
    };
    ql_status status = ql_launcher_mpi.launched() ? ql_launcher_mpi.start(&world, &argc, &argv) : ql_comm_self(&world);
    if (status != QL_OK) {
        print_error("%s\n", ql_error_text());
        return 1;
    }
    bool self = strcmp(world->kind->name, "self") == 0;
    if (world->size > 4) cmocka_set_test_filter("cpu_same_bytes"); /* minutes otherwise, and nothing new */
    int failed = _cmocka_run_group_tests("group", tests, sizeof tests / sizeof tests[0], NULL, NULL);
    if (self)
        ql_comm_destroy(world);
    else
        ql_launcher_mpi.stop(world);
    return failed + (ql_memory_balance().blocks != 0);
}

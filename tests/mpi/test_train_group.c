/* Training by a group: any rank's wish to stop stops all at the same step, groups of other sizes go on from the checkpoint to
 * the bytes of a rank alone, and what fails on one rank fails on all with its text. */
#include "support/test.h"

#include "comm/comm.h"
#include "mesh/generate.h"
#include "model/layout.h"
#include "train/train.h"

#include <string.h>

static ql_comm *world;

typedef struct recorder {
    ql_comm *group;
    int stopper; /* rank that asks to stop after its second step, -1 none */
    int64_t steps_seen, checkpoints;
    ql_snapshot kept;
} recorder;

static bool should_stop(void *context)
{
    const recorder *r = context;
    return r->steps_seen >= 2 && r->group->rank == r->stopper;
}

static void progress(void *context, const ql_train_progress *p) { ((recorder *)context)->steps_seen = p->step; }

static ql_status copy_state(ql_snapshot *to, const ql_snapshot *from)
{
    ql_history history = to->history;
    QL_TRY(ql_history_copy(&history, &from->history));
    to->step = from->step;
    to->seconds = from->seconds;
    to->mesh_hash = from->mesh_hash;
    to->options_hash = from->options_hash;
    to->history = history;
    memcpy(to->state.parameters, from->state.parameters, QL_PARAMETER_COUNT * sizeof(float));
    memcpy(to->state.moment1, from->state.moment1, QL_PARAMETER_COUNT * sizeof(float));
    memcpy(to->state.moment2, from->state.moment2, QL_PARAMETER_COUNT * sizeof(float));
    return QL_OK;
}

static ql_status keep_snapshot(void *context, const ql_snapshot *snapshot)
{
    recorder *r = context;
    assert_int_equal(r->group->rank, 0);
    r->checkpoints++;
    return copy_state(&r->kept, snapshot);
}

/* What rank 0 of the world wrote, to all, as from a file. */
static void share_snapshot(ql_snapshot *snapshot)
{
    ASSERT_OK(ql_comm_broadcast(world, &snapshot->step, sizeof snapshot->step, 0));
    ASSERT_OK(ql_comm_broadcast(world, &snapshot->mesh_hash, sizeof snapshot->mesh_hash, 0));
    ASSERT_OK(ql_comm_broadcast(world, &snapshot->options_hash, sizeof snapshot->options_hash, 0));
    void *arrays[] = {snapshot->state.parameters, snapshot->state.moment1, snapshot->state.moment2};
    for (int k = 0; k < 3; ++k) ASSERT_OK(ql_comm_broadcast(world, arrays[k], QL_PARAMETER_COUNT * sizeof(float), 0));
}

static void small_options(ql_options *options)
{
    ql_options_init(options);
    options->train.steps = 6;
    options->train.off_points = 40;
    options->train.history_every = 1;
    options->engine.threads = 1;
}

static void assert_same_result(const ql_train_result *a, const ql_train_result *b)
{
    assert_memory_equal(a->parameters, b->parameters, QL_PARAMETER_COUNT * sizeof(float));
    assert_memory_equal(a->theta, b->theta, (size_t)a->face_count * sizeof(float));
    assert_memory_equal(a->sdf, b->sdf, (size_t)a->face_count * sizeof(float));
    assert_memory_equal(a->final_terms, b->final_terms, sizeof a->final_terms);
}

static void another_group_goes_on(void **state)
{
    (void)state;
    ql_mesh mesh;
    ql_options options;
    ql_train_result alone, stopped, result;
    recorder r = {.group = world, .stopper = world->size - 1};
    const ql_train_callbacks callbacks = {&r, should_stop, NULL, keep_snapshot, progress};
    ASSERT_OK(ql_generate_by_name(&mesh, "bracket", 60));
    small_options(&options);
    ql_train_job job = {&mesh, &options, &ql_engine_cpu, NULL, NULL};
    ASSERT_OK(ql_snapshot_create(&r.kept, QL_FLOAT32));
    if (world->rank == 0) ASSERT_OK(ql_train_mesh(&alone, &job, NULL, NULL));
    job.group = world;
    assert_int_equal(ql_train_mesh(&stopped, &job, NULL, &callbacks), QL_STATUS_STOPPED);
    assert_int_equal(r.steps_seen, world->size > 1 ? 3 : 2); /* in a group the wish travels with the next step */
    assert_int_equal(r.checkpoints, world->rank == 0);
    share_snapshot(&r.kept);

    int members[64], count = 0; /* the first half of the ranks, one at least, goes on */
    for (int rank = 0; rank < (world->size + 1) / 2; ++rank) members[count++] = rank;
    if (world->rank < count) {
        ql_comm *half;
        ASSERT_OK(world->kind->group(world, members, count, 1, &half));
        r.stopper = -1;
        r.group = job.group = half;
        options.engine.threads = 2;
        ASSERT_OK(ql_train_mesh(&result, &job, &r.kept, &callbacks));
        if (world->rank == 0) assert_same_result(&result, &alone);
        ql_train_result_destroy(&result);
        ql_comm_destroy(half);
    }
    ASSERT_OK(world->kind->barrier(world));
    if (world->rank == 0) ql_train_result_destroy(&alone);
    ql_snapshot_destroy(&r.kept);
    ql_mesh_destroy(&mesh);
}

static ql_status fail_to_write(void *context, const ql_snapshot *snapshot)
{
    (void)context, (void)snapshot;
    return QL_FAIL(IO, "disk is full");
}

static void one_failure_for_all(void **state)
{
    (void)state;
    ql_mesh mesh;
    ql_options options;
    ql_train_result result;
    recorder r = {.group = world, .stopper = world->size - 1};
    const ql_train_callbacks callbacks = {&r, should_stop, NULL, fail_to_write, progress};
    ASSERT_OK(ql_generate_by_name(&mesh, "icosphere", 80));
    small_options(&options);
    ql_train_job job = {&mesh, &options, &ql_engine_cpu, world, NULL};
    assert_int_equal(ql_train_mesh(&result, &job, NULL, &callbacks), QL_STATUS_IO); /* of the checkpoint, on rank 0 */
    assert_string_equal(ql_error_text(), "disk is full");
    options.engine.memory_mb = world->rank == world->size - 1 ? 10 : 0;
    assert_int_equal(ql_train_mesh(&result, &job, NULL, NULL), QL_STATUS_NO_MEMORY);
    assert_non_null(strstr(ql_error_text(), "engine.memory_mb"));
    options.engine.memory_mb = 0;
    options.train.learning_rate = 1e3; /* explodes, everywhere at the same step */
    options.train.steps = 60;
    assert_int_equal(ql_train_mesh(&result, &job, NULL, NULL), QL_STATUS_NUMERIC);
    assert_non_null(strstr(ql_error_text(), "step "));
    ql_mesh_destroy(&mesh);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_group_goes_on),
        cmocka_unit_test(one_failure_for_all),
    };
    ql_status status = ql_launcher_mpi.launched() ? ql_launcher_mpi.start(&world, &argc, &argv) : ql_comm_self(&world);
    if (status != QL_OK) {
        print_error("%s\n", ql_error_text());
        return 1;
    }
    bool self = strcmp(world->kind->name, "self") == 0;
    int failed = _cmocka_run_group_tests("train_group", tests, sizeof tests / sizeof tests[0], NULL, NULL);
    if (self)
        ql_comm_destroy(world);
    else
        ql_launcher_mpi.stop(world);
    return failed + (ql_memory_balance().blocks != 0);
}

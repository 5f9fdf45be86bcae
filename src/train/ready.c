/* What a training needs before its engine (see train.h): topology, tables, shares, and their way to a device. */
#include "base/memory.h"
#include "field/feature_distance.h"
#include "mesh/preflight.h"
#include "train/train.h"

static ql_status check_mesh(const ql_train_ready *ready, const ql_train_job *job)
{
    ql_preflight report;
    QL_TRY(ql_preflight_run(&report, job->mesh, &ready->topology, job->options->quads.feature_angle_deg));
    return ql_preflight_judge(&report);
}

static ql_status build_shares(ql_train_ready *ready, const ql_train_job *job)
{
    const ql_train_options *train = &job->options->train;
    double *distance = NULL;
    int32_t edges = 0;
    ql_status status = QL_OK;
    if (train->feature_rho > 0) {
        QL_TRY(QL_TAKE(distance, ready->tables.face_count));
        status = ql_feature_distance(distance, &edges, job->mesh, &ready->topology, &ready->tables,
                                     job->options->quads.feature_angle_deg);
    }
    if (status == QL_OK)
        status = ql_loss_shares_build(&ready->shares, &ready->tables, train->averaging, train->feature_rho,
                                      edges > 0 ? distance : NULL);
    ql_free(distance);
    return status;
}

static ql_status build(ql_train_ready *ready, const ql_train_job *job)
{
    QL_TRY(ql_topology_build(&ready->topology, job->mesh));
    QL_TRY(check_mesh(ready, job));
    QL_TRY(
        ql_tables_build(&ready->tables, job->mesh, &ready->topology, job->options->train.sampling == QL_SAMPLING_NEAR));
    return build_shares(ready, job);
}

ql_engine_setup ql_train_setup(const ql_train_ready *ready, const ql_train_job *job)
{
    return (ql_engine_setup){.tables = &ready->tables,
                             .shares = &ready->shares,
                             .train = &job->options->train,
                             .engine = &job->options->engine,
                             .key = ql_key_make(job->options->train.seed, job->mesh->hash),
                             .upload = ready->upload,
                             .group = job->group};
}

ql_status ql_train_ready_make(ql_train_ready *ready, const ql_train_job *job)
{
    *ready = (ql_train_ready){.engine = job->engine};
    ql_status status = build(ready, job);
    if (status != QL_OK) ql_train_ready_destroy(ready);
    return status;
}

/* An upload only saves time: without it create sends the tables, and says what is wrong. */
void ql_train_ready_send(ql_train_ready *ready, const ql_train_job *job)
{
    if (job->engine->prepare == NULL || ready->upload != NULL) return;
    const ql_engine_setup setup = ql_train_setup(ready, job);
    if (job->engine->prepare(&ready->upload, &setup) != QL_OK) ql_error_clear();
}

void ql_train_ready_destroy(ql_train_ready *ready)
{
    if (ready->upload != NULL) ready->engine->discard(ready->upload);
    ql_loss_shares_destroy(&ready->shares);
    ql_tables_destroy(&ready->tables);
    ql_topology_destroy(&ready->topology);
    *ready = (ql_train_ready){0};
}

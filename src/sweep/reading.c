/* The first stage of a rank: reading and checking a mesh (see worker_private.h). */
#include "base/clock.h"
#include "sweep/worker_private.h"

static ql_status check(ql_task *task)
{
    ql_topology topology;
    QL_TRY(ql_topology_build(&topology, &task->mesh));
    ql_status status =
        ql_preflight_run(&task->preflight, &task->mesh, &topology, task->options.quads.feature_angle_deg);
    ql_topology_destroy(&topology);
    return status == QL_OK ? ql_preflight_judge(&task->preflight) : status;
}

/* The file may have changed since the survey: then it is another mesh, which another rank may even be working on. */
static ql_status check_identity(const ql_task *task)
{
    if (task->mesh.hash == task->work->hash) return QL_OK;
    return QL_FAIL(IO, "%s changed while the run was starting; run again", task->item->path);
}

ql_status ql_worker_read(ql_worker *worker, int64_t index, ql_task **out)
{
    const ql_work *work = &worker->setup->survey->work[index];
    ql_task *task;
    double began = ql_clock_s();
    QL_TRY(ql_task_create(&task, work, &worker->setup->collection->items[work->item], worker->setup->options));
    ql_status status = ql_mesh_read(&task->mesh, task->item->path);
    if (status == QL_OK) status = check_identity(task);
    if (status != QL_OK) {
        ql_task_fail(task, status, "read");
    } else {
        status = check(task);
        if (status != QL_OK) ql_task_fail(task, status, "check");
    }
    task->read_seconds = ql_clock_s() - began;
    *out = task;
    return QL_OK;
}

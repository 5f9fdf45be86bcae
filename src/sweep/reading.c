/* The first stage of a rank: reading and checking a mesh (see worker_private.h). */
#include "base/clock.h"
#include "mesh/seams.h"
#include "sweep/worker_private.h"

#include <time.h>

/* Time before the work in hand runs out at which the next mesh is asked for, besides twice what reading one takes. */
static const double LEAD_S = 0.5;

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

/* Tables, and their way to the device, while the mesh before trains. What cannot be made here is made, or told, there. */
static void make_ready(const ql_worker *worker, ql_task *task)
{
    const ql_train_job job = {&task->mesh, &task->options, worker->setup->engine, NULL, NULL};
    if (ql_train_ready_make(&task->ready, &job) == QL_OK)
        ql_train_ready_send(&task->ready, &job);
    else
        ql_error_clear();
}

static ql_status read_work(ql_worker *worker, const ql_work *work, ql_task **out)
{
    ql_task *task;
    double began = ql_clock_s();
    QL_TRY(ql_task_create(&task, work, &worker->setup->collection->items[work->item], worker->setup->options));
    ql_status status = ql_mesh_read_joined(&task->mesh, task->item->path);
    if (status == QL_OK) status = check_identity(task);
    if (status != QL_OK) {
        ql_task_fail(task, status, "read");
    } else {
        status = check(task);
        if (status == QL_OK)
            make_ready(worker, task);
        else
            ql_task_fail(task, status, "check");
    }
    task->read_seconds = ql_clock_s() - began;
    *out = task;
    return QL_OK;
}

ql_status ql_worker_read_granted(ql_worker *worker, int64_t position, ql_task **task)
{
    const ql_work *work = &worker->setup->survey->work[worker->setup->order[position]];
    (void)pthread_mutex_lock(&worker->mutex);
    worker->granted++;
    worker->state.work_left += work->cost;
    (void)pthread_mutex_unlock(&worker->mutex);
    QL_TRY(read_work(worker, work, task));
    (void)pthread_mutex_lock(&worker->mutex);
    worker->read_seconds = (*task)->read_seconds;
    (void)pthread_mutex_unlock(&worker->mutex);
    return QL_OK;
}

ql_status ql_worker_read(ql_worker *worker, ql_task **task)
{
    ql_crew_grant grant;
    *task = NULL;
    QL_TRY(ql_crew_next(worker->setup->crew, false, &grant));
    return grant.position < 0 ? QL_OK : ql_worker_read_granted(worker, grant.position, task);
}

/* Whether what is in hand keeps the engine busy for longer than getting the next mesh takes. */
static bool has_enough(ql_worker *worker)
{
    (void)pthread_mutex_lock(&worker->mutex);
    const ql_crew_state *state = &worker->state;
    bool enough = false;
    const bool hungry = atomic_load(&worker->hungry); /* a lane with nothing to do, whatever the others have in hand */
    if (!hungry && worker->granted > worker->end.finished + worker->end.failed) {
        double pace = state->work_done > 0 ? state->work_done / (ql_clock_s() - worker->started_s) : 0;
        double left_s = pace > 0 ? state->work_left / pace : LEAD_S + 1;
        enough = left_s > LEAD_S + 2 * worker->read_seconds;
    }
    (void)pthread_mutex_unlock(&worker->mutex);
    return enough;
}

void ql_worker_read_ahead(ql_worker *worker)
{
    const struct timespec nap = {0, 20 * 1000 * 1000};
    for (;;) {
        ql_task *task = NULL;
        if (!ql_queue_wait_room(&worker->read) || ql_crew_should_stop(worker->setup->crew)) return;
        if (has_enough(worker)) {
            (void)nanosleep(&nap, NULL);
            continue;
        }
        ql_status status = ql_worker_read(worker, &task);
        if (status != QL_OK) ql_worker_break(worker, status);
        if (task == NULL) return;
        ql_queue_put(&worker->read, task);
    }
}

/* A mesh that several ranks train together (see worker_private.h).
 *
 * The first rank of the group does what a rank alone would do: reads and checks the mesh, looks for a checkpoint (which a
 * group of any size may have written), counts the attempt, writes checkpoints, hands the result on. What the others need of that
 * comes from it by broadcast, so no file is read twice. All of them take the same way at every turn.
 */
#include "base/clock.h"
#include "base/memory.h"
#include "model/layout.h"
#include "sweep/worker_private.h"

#include <string.h>

/* What becomes of the mesh. */
typedef enum verdict {
    TRAIN,
    NO_NEED, /* it cannot be trained, or has been */
    STOP,    /* the run stops */
    BREAK    /* the run directory cannot be used */
} verdict;

/* From the first rank to all. */
typedef struct headline {
    int32_t verdict;
    int32_t vertex_count, face_count, input_polygons;
    uint64_t hash;
    int64_t attempt, step, rows; /* of the snapshot; step < 0: none */
    int32_t state_type;
    uint64_t mesh_hash, options_hash;
    double seconds;
    char mark[QL_PATH_SIZE];
} headline;

/* ---- the first rank ---- */

static bool is_stopping(ql_worker *worker) { return ql_crew_should_stop(worker->setup->crew); }

static verdict prepare(ql_worker *worker, ql_task *task, ql_snapshot *snapshot, ql_status *status)
{
    *status = QL_OK;
    if (task->stage != NULL) return NO_NEED;
    if (is_stopping(worker)) return STOP;
    if (ql_worker_find_trained(worker, task)) return NO_NEED;
    *status = ql_worker_find_snapshot(worker, task, snapshot);
    if (*status == QL_OK) *status = ql_worker_begin_attempt(worker, task, snapshot);
    if (*status == QL_OK) return TRAIN;
    if (*status == QL_STATUS_IO) return BREAK;
    ql_task_fail(task, *status, *status == QL_STATUS_MESH ? "process" : "prepare");
    *status = QL_OK;
    return NO_NEED;
}

static headline describe(verdict what, const ql_task *task, const ql_snapshot *snapshot)
{
    headline h = {.verdict = (int32_t)what,
                  .vertex_count = task->mesh.vertex_count,
                  .face_count = task->mesh.face_count,
                  .input_polygons = task->mesh.input_polygons,
                  .hash = task->mesh.hash,
                  .attempt = task->attempt.number,
                  .step = snapshot->step,
                  .rows = snapshot->history.rows,
                  .state_type = (int32_t)snapshot->state.type,
                  .mesh_hash = snapshot->mesh_hash,
                  .options_hash = snapshot->options_hash,
                  .seconds = snapshot->seconds};
    memcpy(h.mark, task->attempt.mark, sizeof h.mark);
    return h;
}

/* ---- the others ---- */

static ql_status take_room(const headline *h, ql_task *task, ql_snapshot *snapshot)
{
    QL_TRY(ql_mesh_create(&task->mesh, task->work->id, task->item->path, h->vertex_count, h->face_count));
    task->mesh.hash = h->hash;
    task->mesh.input_polygons = h->input_polygons;
    task->attempt.number = h->attempt;
    memcpy(task->attempt.mark, h->mark, sizeof h->mark);
    if (h->step < 0) return QL_OK;
    QL_TRY(ql_snapshot_create(snapshot, (ql_real_type)h->state_type));
    QL_TRY(ql_history_reserve(&snapshot->history, h->rows));
    snapshot->step = h->step;
    snapshot->seconds = h->seconds;
    snapshot->mesh_hash = h->mesh_hash;
    snapshot->options_hash = h->options_hash;
    snapshot->history.rows = h->rows;
    return QL_OK;
}

/* ---- all ---- */

static ql_status send_mesh(ql_comm *group, const headline *h, ql_task *task, ql_snapshot *snapshot)
{
    const size_t number = h->state_type == QL_FLOAT64 ? sizeof(double) : sizeof(float);
    QL_TRY(ql_comm_broadcast(group, task->mesh.vertices, (size_t)h->vertex_count * 3 * sizeof(double), 0));
    QL_TRY(ql_comm_broadcast(group, task->mesh.faces, (size_t)h->face_count * 3 * sizeof(int32_t), 0));
    if (h->step < 0) return QL_OK;
    void *arrays[] = {snapshot->state.parameters, snapshot->state.moment1, snapshot->state.moment2};
    for (int k = 0; k < 3; ++k) QL_TRY(ql_comm_broadcast(group, arrays[k], QL_PARAMETER_COUNT * number, 0));
    return ql_comm_broadcast(group, snapshot->history.values, (size_t)h->rows * QL_HISTORY_COLUMNS * sizeof(double), 0);
}

/* The training itself, with the worst status of the group on all of its ranks. */
static ql_status train(ql_worker *worker, ql_comm *group, const headline *h, ql_task *task, ql_snapshot *snapshot,
                       double formed_s)
{
    ql_status status = group->rank == 0 ? QL_OK : take_room(h, task, snapshot);
    status = ql_comm_agree(group, status);
    if (status == QL_OK) status = send_mesh(group, h, task, snapshot);
    return status != QL_OK ? status : ql_worker_train_with(&worker->lane[0], task, snapshot, group, formed_s);
}

static void note_group(ql_worker *worker, const ql_comm *group, const ql_task *task, double formed_s)
{
    ql_event event = {.type = QL_EVENT_group, .ranks = group->size, .seconds = formed_s};
    worker->groups++;
    worker->form_s += formed_s;
    ql_worker_event(worker, &event, task);
}

/* What the other ranks make of it: no mesh of theirs failed, and what broke is the first rank's to tell. */
static ql_status follow(verdict what, ql_status status)
{
    const bool over = what == STOP || what == BREAK || status == QL_STATUS_STOPPED || status == QL_STATUS_IO;
    return over ? QL_STATUS_STOPPED : QL_OK;
}

static ql_status lead(ql_worker *worker, verdict what, ql_status status, ql_task *task)
{
    if (what == STOP) return QL_STATUS_STOPPED;
    if (what == BREAK) return status;
    return what == TRAIN ? ql_worker_end_training(&worker->lane[0], task, status) : QL_OK;
}

static ql_status share(ql_worker *worker, ql_comm *group, ql_task *task, double formed_s)
{
    ql_snapshot snapshot = {.step = -1};
    ql_status status = QL_OK;
    headline h = {0};
    note_group(worker, group, task, formed_s);
    const double began = ql_clock_s();
    if (group->rank == 0) {
        verdict what = prepare(worker, task, &snapshot, &status);
        h = describe(what, task, &snapshot);
    }
    const ql_status sent = ql_comm_broadcast(group, &h, sizeof h, 0);
    ql_worker_add_io(worker, ql_clock_s() - began);
    if (sent != QL_OK) return sent;
    if (h.verdict == TRAIN) status = train(worker, group, &h, task, &snapshot, formed_s);
    ql_snapshot_destroy(&snapshot);
    return group->rank == 0 ? lead(worker, (verdict)h.verdict, status, task) : follow((verdict)h.verdict, status);
}

/* The first rank's task is read, the others' only made. */
static ql_status make_task(ql_worker *worker, const ql_comm *group, int64_t position, ql_task **task)
{
    const ql_worker_setup *setup = worker->setup;
    const ql_work *work = &setup->survey->work[setup->order[position]];
    if (group->rank == 0) return ql_worker_read_granted(worker, position, task);
    return ql_task_create(task, work, &setup->collection->items[work->item], setup->options);
}

ql_status ql_worker_share(ql_worker *worker, const ql_crew_grant *grant, double asked_s, ql_task **task)
{
    ql_comm *group;
    *task = NULL;
    worker->lane[0].going = false;
    QL_TRY(worker->setup->comm->kind->group(worker->setup->comm, grant->members, grant->size, grant->number, &group));
    ql_crew_expect(worker->setup->crew, QL_CREW_STEP_S);
    const double formed_s = ql_clock_s() - asked_s, began = ql_clock_s();
    ql_status status = ql_comm_agree(group, make_task(worker, group, grant->position, task));
    ql_worker_add_io(worker, ql_clock_s() - began);
    if (status == QL_OK) status = share(worker, group, *task, formed_s);
    if (group->rank != 0 || status != QL_OK) {
        ql_task_destroy(*task);
        *task = NULL;
    }
    ql_comm_destroy(group);
    ql_crew_expect(worker->setup->crew, 0);
    return status;
}

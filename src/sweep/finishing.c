/* The last stage of a rank: result files, and records of what failed (see worker_private.h). */
#include "base/build.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/checkpoint.h"
#include "store/result.h"
#include "sweep/worker_private.h"

#include <stdlib.h>
#include <string.h>

/* ---- failures ---- */

/* The number behind `word` in a text ("line 12", "face 7"); -1 = none. */
static int64_t number_after(const char *text, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word)) {
        bool begins = at == text || at[-1] == ' ' || at[-1] == '(';
        if (begins && at[length] == ' ' && at[length + 1] >= '0' && at[length + 1] <= '9')
            return strtoll(at + length + 1, NULL, 10);
    }
    return -1;
}

static const char *remedy_of(const ql_task *task)
{
    if (strcmp(task->stage, "process") == 0)
        return "give the job more memory or this mesh fewer faces (quadloom inspect), lower engine.memory_mb so that "
               "it is "
               "refused in time, or raise sweep.max_attempts to try again";
    switch (task->status) {
    case QL_STATUS_FORMAT: return "repair or re-export the file; `quadloom inspect` checks it";
    case QL_STATUS_IO: return "check that the file exists, can be read and does not change, then run again";
    case QL_STATUS_MESH: return "repair the mesh; `quadloom inspect` lists its defects";
    case QL_STATUS_NUMERIC:
        return "use a smaller train.learning_rate or another train.seed for this mesh (set: in a collection file), "
               "then "
               "run again with --retry";
    case QL_STATUS_NO_MEMORY:
        return "give the job more memory, run fewer ranks per node, set engine.memory: recompute, or decimate the mesh";
    default: return "run again; if it stays, please report it with this file";
    }
}

static ql_status record_failure(ql_worker *worker, const ql_task *task)
{
    ql_failure *failure;
    QL_TRY(QL_TAKE(failure, 1));
    ql_failure_init(failure);
    (void)snprintf(failure->mesh, sizeof failure->mesh, "%s", task->work->id);
    const char *name = ql_path_name(task->item->path);
    (void)snprintf(failure->name, sizeof failure->name, "%.*s", (int)ql_path_stem_length(name), name);
    (void)snprintf(failure->input, sizeof failure->input, "%.*s", (int)sizeof failure->input - 1, task->item->path);
    (void)snprintf(failure->stage, sizeof failure->stage, "%s", task->stage);
    (void)snprintf(failure->reason, sizeof failure->reason, "%s", task->reason);
    (void)snprintf(failure->remedy, sizeof failure->remedy, "%s", remedy_of(task));
    failure->status = task->status;
    failure->line = number_after(task->reason, "line");
    failure->face = number_after(task->reason, "face");
    if (failure->face < 0) failure->face = task->preflight.first_bad_face;
    failure->step = task->step;
    failure->attempts = task->attempt.number > 0 ? task->attempt.number : 1;
    failure->faces = task->mesh.face_count;
    failure->vertices = task->mesh.vertex_count;
    ql_status status = ql_failure_write(worker->setup->run_directory, failure);
    ql_free(failure);
    return status;
}

static ql_status finish_failed(ql_worker *worker, const ql_task *task)
{
    QL_TRY(record_failure(worker, task));
    if (strcmp(task->stage, "process") != 0) QL_TRY(ql_attempt_over(&task->attempt, worker->setup->run_directory));
    QL_ERROR("%s failed (%s): %s", task->item->path, task->stage, task->reason);
    ql_event event = {.type = QL_EVENT_failure, .step = task->step, .attempt = task->attempt.number};
    (void)snprintf(event.stage, sizeof event.stage, "%s", task->stage);
    (void)snprintf(event.text, sizeof event.text, "%.*s", (int)sizeof event.text - 1, task->reason);
    ql_worker_event(worker, &event, task);
    return QL_OK;
}

/* ---- results ---- */

static ql_status describe(ql_worker *worker, const ql_task *task, ql_provenance *provenance)
{
    QL_TRY(ql_provenance_collect(provenance));
    QL_TRY(ql_provenance_text(provenance, "engine_summary", worker->setup->engine->summary));
    QL_TRY(ql_provenance_int(provenance, "ranks", worker->setup->ranks));
    QL_TRY(ql_provenance_int(provenance, "rank", worker->setup->events->rank));
    QL_TRY(ql_provenance_int(provenance, "threads", task->options.engine.threads));
    if (task->result.device.name[0] != '\0') {
        QL_TRY(ql_provenance_text(provenance, "device", task->result.device.name));
        if (task->result.device.joules >= 0)
            QL_TRY(ql_provenance_real(provenance, "device_joules", task->result.device.joules));
        if (task->result.device.watts >= 0)
            QL_TRY(ql_provenance_real(provenance, "device_watts", task->result.device.watts));
    }
    QL_TRY(ql_provenance_real(provenance, "wall_seconds", task->result.train_seconds));
    QL_TRY(ql_provenance_real(provenance, "cpu_seconds", task->result.cpu_seconds));
    return ql_provenance_real(provenance, "read_seconds", task->read_seconds);
}

ql_status ql_worker_write_result(ql_worker *worker, const ql_task *task, const ql_quad_result *quads, const char *path)
{
    ql_provenance provenance = {0};
    ql_train_result train = task->result; /* borrowed */
    if (!task->options.store.parameters) train.parameters = NULL;
    ql_status status = describe(worker, task, &provenance);
    ql_result_content content = {.id = task->work->id,
                                 .mesh = &task->mesh,
                                 .train = &train,
                                 .options = &task->options,
                                 .quads = quads,
                                 .provenance = &provenance,
                                 .options_hash = ql_train_options_hash(&task->options, worker->setup->engine->name),
                                 .attempts = task->attempt.number > 0 ? task->attempt.number : 1,
                                 .ranks = task->ranks};
    if (status == QL_OK) status = ql_result_write(path, &content);
    ql_provenance_destroy(&provenance);
    return status;
}

/* For the line of progress: extraction goes on beside the next training, or after the last. */
static void tell_quads(ql_worker *worker, const char *id)
{
    (void)pthread_mutex_lock(&worker->mutex);
    (void)snprintf(worker->state.quads, sizeof worker->state.quads, "%.*s", (int)sizeof worker->state.quads - 1, id);
    ql_worker_tell(worker);
    (void)pthread_mutex_unlock(&worker->mutex);
}

/* The result first, then what it makes superfluous: a death in between leaves something to sweep, nothing to miss. A mesh
 * whose quads failed keeps its field. */
static ql_status finish_trained(ql_worker *worker, ql_task *task)
{
    const char *run = worker->setup->run_directory;
    char path[QL_PATH_SIZE];
    ql_quad_result quads = {0};
    bool wanted = task->options.quads.enabled;
    if (wanted) tell_quads(worker, task->work->id);
    ql_status status = wanted ? ql_worker_make_quads(worker, task, &quads) : QL_OK;
    if (wanted) tell_quads(worker, "");
    if (status == QL_OK) status = ql_rundir_path(path, run, QL_RUN_RESULT, task->work->id);
    if (status == QL_OK)
        status = ql_worker_write_result(worker, task, wanted && task->stage == NULL ? &quads : NULL, path);
    ql_quad_result_destroy(&quads);
    QL_TRY(status);
    QL_TRY(ql_rundir_path(path, run, QL_RUN_CHECKPOINT, task->work->id));
    QL_TRY(ql_checkpoint_remove(path));
    QL_TRY(ql_worker_forget_trained(worker, task));
    QL_TRY(ql_attempt_over(&task->attempt, run));
    if (task->stage != NULL) return QL_OK;
    QL_TRY(ql_failure_remove(run, task->work->id));
    ql_event event = {.type = QL_EVENT_mesh_end, .step = task->result.steps, .seconds = task->result.train_seconds};
    ql_worker_event(worker, &event, task);
    return QL_OK;
}

/* What no other mesh would fare better with: the run directory cannot be written. */
static bool concerns_run(ql_status status) { return status == QL_STATUS_IO; }

static ql_status finish(ql_worker *worker, ql_task *task)
{
    if (task->stage == NULL) {
        ql_status status = finish_trained(worker, task);
        if (status != QL_OK && concerns_run(status)) return status;
        if (status != QL_OK) ql_task_fail(task, status, "store");
    }
    return task->stage != NULL ? finish_failed(worker, task) : QL_OK;
}

/* Extraction can take its time; when the run stops, what is not begun waits for the next start. */
static bool must_wait(const ql_worker *worker, const ql_task *task)
{
    return task->stage == NULL && task->options.quads.enabled && ql_crew_should_stop(worker->setup->crew);
}

static ql_status put_off(ql_worker *worker, const ql_task *task)
{
    QL_TRY(ql_worker_save_trained(worker, task));
    return ql_attempt_over(&task->attempt, worker->setup->run_directory);
}

static void count(ql_worker *worker, const ql_task *task)
{
    bool failed = task->stage != NULL;
    (void)pthread_mutex_lock(&worker->mutex);
    worker->end.finished += !failed;
    worker->end.failed += failed;
    worker->state.finished = worker->end.finished;
    worker->state.failed = worker->end.failed;
    if (failed && task->step == 0) worker->state.work_left -= task->work->cost;
    ql_worker_tell(worker);
    (void)pthread_mutex_unlock(&worker->mutex);
}

void ql_worker_finish(ql_worker *worker, ql_task *task)
{
    bool wait = must_wait(worker, task);
    ql_status status = wait ? put_off(worker, task) : finish(worker, task);
    if (status != QL_OK)
        ql_worker_break(worker, QL_CHAIN(status, "%s", task->work->id));
    else if (!wait)
        count(worker, task);
    ql_task_destroy(task);
}

/* Quads of a trained mesh within a run (see worker_private.h).
 *
 * Extraction is a work of its own: the trained field is kept in checkpoints/ID.trained while it lasts, so that a process that
 * dies in it has not trained in vain, and deaths in it are counted apart from those in the training. */
#include "base/log.h"
#include "base/memory.h"
#include "quad/quad.h"
#include "store/export.h"
#include "store/result.h"
#include "sweep/signals.h"
#include "sweep/worker_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static ql_status trained_path(char out[QL_PATH_SIZE], const ql_worker *worker, const ql_task *task)
{
    return ql_rundir_side_path(out, worker->setup->run_directory, task->work->id, "trained");
}

/* Moves the field of a result file into the task when it was made with the same mesh and options. */
static bool take_field(const ql_worker *worker, ql_task *task, const char *path)
{
    char hash[32];
    ql_result *result = ql_memory_take(1, sizeof *result);
    bool found = false;
    (void)snprintf(hash, sizeof hash, "%016" PRIx64,
                   ql_train_options_hash(&task->options, worker->setup->engine->name));
    if (result != NULL && ql_path_exists(path) &&
        ql_result_read(result, path, QL_RESULT_FIELD | QL_RESULT_MODEL | QL_RESULT_HISTORY) == QL_OK) {
        found = strcmp(result->summary.options_hash, hash) == 0 && result->train.face_count == task->mesh.face_count;
        if (found) {
            task->result = result->train;
            result->train = (ql_train_result){0};
        }
        ql_result_destroy(result);
    }
    ql_free(result);
    ql_error_clear();
    return found;
}

bool ql_worker_find_trained(const ql_worker *worker, ql_task *task)
{
    char path[QL_PATH_SIZE];
    if (!task->options.quads.enabled) return false;
    if (trained_path(path, worker, task) == QL_OK && take_field(worker, task, path)) return true;
    return ql_rundir_path(path, worker->setup->run_directory, QL_RUN_RESULT, task->work->id) == QL_OK &&
           take_field(worker, task, path);
}

static ql_status make(const ql_task *task, ql_quad_result *quads)
{
    double *alpha;
    size_t count = 3 * (size_t)task->mesh.face_count;
    QL_TRY(QL_TAKE(alpha, count));
    for (size_t i = 0; i < count; ++i) alpha[i] = (double)task->result.alpha[i];
    ql_status status = ql_quads_make(quads, &task->mesh, alpha, &task->options.quads);
    ql_free(alpha);
    return status;
}

/* With the death count of the extraction around it. */
static ql_status make_watched(ql_worker *worker, const ql_task *task, ql_quad_result *quads)
{
    const char *run = worker->setup->run_directory;
    char id[QL_ID_SIZE];
    ql_attempt attempt;
    (void)snprintf(id, sizeof id, "%.*s.quads", (int)sizeof id - 8, task->work->id);
    ql_status status = ql_attempt_begin(&attempt, run, id, task->mesh.face_count, 0, task->options.sweep.max_attempts);
    if (status != QL_OK) return status;
    ql_signals_set_thread_mark(attempt.mark);
    status = make(task, quads);
    ql_signals_set_thread_mark(NULL);
    ql_status over = ql_attempt_over(&attempt, run);
    return status != QL_OK ? status : over;
}

static ql_status write_obj(const ql_worker *worker, const ql_task *task, const ql_quad_result *quads)
{
    char path[QL_PATH_SIZE];
    QL_TRY(ql_rundir_path(path, worker->setup->run_directory, QL_RUN_QUADS, task->work->id));
    return ql_export_quads(path, quads, QL_EXPORT_OBJ);
}

ql_status ql_worker_save_trained(ql_worker *worker, const ql_task *task)
{
    char path[QL_PATH_SIZE];
    QL_TRY(trained_path(path, worker, task));
    return ql_worker_write_result(worker, task, NULL, path);
}

ql_status ql_worker_make_quads(ql_worker *worker, ql_task *task, ql_quad_result *quads)
{
    QL_TRY(ql_worker_save_trained(worker, task));
    ql_status status = make_watched(worker, task, quads);
    if (status == QL_OK) status = write_obj(worker, task, quads);
    if (status == QL_OK || status == QL_STATUS_IO) return status;
    ql_task_fail(task, status, "quads");
    return QL_OK;
}

ql_status ql_worker_forget_trained(const ql_worker *worker, const ql_task *task)
{
    char path[QL_PATH_SIZE];
    QL_TRY(trained_path(path, worker, task));
    return ql_path_exists(path) ? ql_file_remove(path) : QL_OK;
}

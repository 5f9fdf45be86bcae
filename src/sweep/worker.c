/* The training stage of a rank and the threads around it (see worker.h). */
#include "sweep/worker.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "store/checkpoint.h"
#include "sweep/signals.h"
#include "sweep/worker_private.h"

#include <math.h>
#include <signal.h>
#include <string.h>

/* A checkpoint that was never timed; and what the end of a run takes. */
static const double CHECKPOINT_GUESS_S = 2, FAREWELL_S = 2, SAMPLE_MAX_S = 10;

void ql_worker_tell(ql_worker *worker)
{
    worker->state.seconds = ql_clock_s() - worker->started_s;
    ql_crew_tell(worker->setup->crew, &worker->state);
}

void ql_worker_break(ql_worker *worker, ql_status status)
{
    (void)pthread_mutex_lock(&worker->mutex);
    if (worker->end.status == QL_OK) {
        worker->end.status = status;
        (void)snprintf(worker->end.text, sizeof worker->end.text, "%.*s", (int)sizeof worker->end.text - 1,
                       ql_error_text());
    }
    ql_crew_stop(worker->setup->crew, worker->end.text);
    (void)pthread_mutex_unlock(&worker->mutex);
}

void ql_worker_event(ql_worker *worker, ql_event *event, const ql_task *task)
{
    if (task != NULL) (void)snprintf(event->mesh, sizeof event->mesh, "%s", task->work->id);
    if (ql_events_write(worker->setup->events, event) != QL_OK) ql_worker_break(worker, QL_STATUS_IO);
}

/* ---- callbacks of a training ---- */

/* Time that stopping takes from now on: the step that is about to begin (in a group the wish travels with one more), a
 * checkpoint, the end. */
static double farewell(const ql_worker *worker)
{
    return 2.5 * worker->step_s + 1.5 * (worker->write_s > 0 ? worker->write_s : CHECKPOINT_GUESS_S) + FAREWELL_S;
}

static bool is_late(ql_worker *worker)
{
    double deadline = worker->setup->deadline_s;
    if (deadline <= 0 || ql_clock_s() + farewell(worker) < deadline) return false;
    ql_crew_stop(worker->setup->crew, "time limit");
    return true;
}

static bool should_stop(void *context)
{
    ql_worker *worker = context;
    return ql_crew_should_stop(worker->setup->crew) || is_late(worker);
}

static bool should_checkpoint(void *context)
{
    ql_worker *worker = context;
    double every = worker->current->options.train.checkpoint_every_s;
    return every > 0 && ql_clock_s() - worker->last_checkpoint_s >= every;
}

/* One that is only for safety may fail (the next one may succeed); the one before stopping may not. */
static ql_status write_checkpoint(void *context, const ql_snapshot *snapshot)
{
    ql_worker *worker = context;
    ql_task *task = worker->current;
    char path[QL_PATH_SIZE];
    double began = ql_clock_s();
    QL_TRY(ql_rundir_path(path, worker->setup->run_directory, QL_RUN_CHECKPOINT, task->work->id));
    ql_status status = ql_checkpoint_write(path, snapshot, &task->options, NULL);
    worker->last_checkpoint_s = ql_clock_s();
    worker->write_s = worker->last_checkpoint_s - began;
    worker->io_s += worker->write_s;
    if (status != QL_OK) {
        if (should_stop(worker)) return status;
        QL_WARNING("%s: checkpoint after step %lld not written: %s", task->work->id, (long long)snapshot->step,
                   ql_error_text());
        return QL_OK;
    }
    ql_event event = {.type = QL_EVENT_checkpoint, .step = snapshot->step, .seconds = worker->write_s};
    ql_worker_event(worker, &event, task);
    return QL_OK;
}

static void sample(ql_worker *worker, const ql_train_progress *progress, double now)
{
    if (now - worker->last_sample_s < fmin(worker->setup->options->log.interval_s, SAMPLE_MAX_S)) return;
    worker->last_sample_s = now;
    ql_event event = {.type = QL_EVENT_sample,
                      .step = progress->step,
                      .steps = progress->steps,
                      .seconds = progress->seconds,
                      .seconds_per_step = progress->seconds_per_step,
                      .loss = progress->terms[QL_LOSS_TOTAL]};
    ql_worker_event(worker, &event, worker->current);
}

static void note_progress(void *context, const ql_train_progress *progress)
{
    ql_worker *worker = context;
    const ql_task *task = worker->current;
    double per_step = ql_engine_flop_formula(task->mesh.face_count, task->options.train.off_points);
    if (!worker->going) {
        worker->going = true;
        if (ql_attempt_going(&task->attempt, worker->setup->run_directory) != QL_OK)
            ql_worker_break(worker, QL_STATUS_IO);
    }
    worker->step_s = progress->seconds_per_step;
    worker->current->step = progress->step;
    (void)pthread_mutex_lock(&worker->mutex);
    worker->state.step = progress->step;
    worker->state.steps = progress->steps;
    worker->state.steps_per_s = progress->seconds_per_step > 0 ? 1 / progress->seconds_per_step : 0;
    worker->state.work_done += per_step;
    worker->state.work_left -= per_step;
    ql_worker_tell(worker);
    (void)pthread_mutex_unlock(&worker->mutex);
    sample(worker, progress, ql_clock_s());
}

/* ---- one mesh ---- */

/* A damaged one costs time, not the mesh. */
ql_status ql_worker_find_snapshot(ql_worker *worker, const ql_task *task, ql_snapshot *snapshot)
{
    char path[QL_PATH_SIZE];
    ql_checkpoint_origin origin;
    *snapshot = (ql_snapshot){.step = -1};
    QL_TRY(ql_rundir_path(path, worker->setup->run_directory, QL_RUN_CHECKPOINT, task->work->id));
    if (!ql_checkpoint_exists(path)) return QL_OK;
    ql_status status = ql_checkpoint_read(snapshot, path, &origin);
    if (status == QL_STATUS_NO_MEMORY) return status;
    if (status != QL_OK) {
        QL_WARNING("%s: starting again, its checkpoint cannot be used: %s", task->work->id, ql_error_text());
        *snapshot = (ql_snapshot){.step = -1};
    } else if (origin.previous) {
        QL_WARNING("%s: going on from the previous checkpoint: %s", task->work->id, origin.problem);
    }
    uint64_t options_hash = ql_train_options_hash(&task->options, worker->setup->engine->name);
    if (snapshot->step >= 0 && (snapshot->mesh_hash != task->mesh.hash || snapshot->options_hash != options_hash)) {
        QL_WARNING("%s: starting again, its checkpoint was made with other options", task->work->id);
        ql_snapshot_destroy(snapshot);
        snapshot->step = -1;
    }
    return QL_OK;
}

static void note_start(ql_worker *worker, const ql_task *task, int64_t step, const ql_comm *group, double formed_s)
{
    ql_event event = {.type = QL_EVENT_mesh_start,
                      .faces = task->mesh.face_count,
                      .steps = task->options.train.steps,
                      .step = step,
                      .attempt = task->attempt.number,
                      .ranks = group != NULL ? group->size : 1,
                      .seconds = formed_s};
    (void)snprintf(event.text, sizeof event.text, "%.*s", (int)sizeof event.text - 1, task->item->path);
    ql_worker_event(worker, &event, task);
    worker->last_sample_s = worker->last_checkpoint_s = ql_clock_s();
    (void)pthread_mutex_lock(&worker->mutex);
    (void)snprintf(worker->state.mesh, sizeof worker->state.mesh, "%.*s", (int)sizeof worker->state.mesh - 1,
                   task->mesh.name);
    worker->state.step = step;
    worker->state.steps = task->options.train.steps;
    worker->state.steps_per_s = 0;
    ql_worker_tell(worker);
    (void)pthread_mutex_unlock(&worker->mutex);
}

static void note_stop(ql_worker *worker)
{
    (void)pthread_mutex_lock(&worker->mutex);
    worker->state.mesh[0] = '\0';
    worker->state.steps_per_s = 0;
    ql_worker_tell(worker);
    (void)pthread_mutex_unlock(&worker->mutex);
}

/* Ranks of a group but the first: how fast it goes, for the time limit. */
static void note_pace(void *context, const ql_train_progress *progress)
{
    ((ql_worker *)context)->step_s = progress->seconds_per_step;
}

ql_status ql_worker_train_with(ql_worker *worker, ql_task *task, const ql_snapshot *snapshot, ql_comm *group,
                               double formed_s)
{
    const bool first = group == NULL || group->rank == 0;
    const ql_train_callbacks callbacks = {worker, should_stop, first ? should_checkpoint : NULL,
                                          first ? write_checkpoint : NULL, first ? note_progress : note_pace};
    const ql_train_job job = {&task->mesh, &task->options, worker->setup->engine, group, &task->ready};
    task->ranks = group != NULL ? group->size : 1;
    const double comm_before = group != NULL ? group->seconds : 0, io_before = worker->io_s;
    worker->current = task;
    worker->going = false;
    if (first) note_start(worker, task, snapshot->step > 0 ? snapshot->step : 0, group, formed_s);
    ql_signals_set_mark(task->attempt.mark);
    double began = ql_clock_s();
    ql_status status = ql_train_mesh(&task->result, &job, snapshot->step >= 0 ? snapshot : NULL, &callbacks);
    ql_signals_set_mark(NULL);
    const double comm_s = group != NULL ? group->seconds - comm_before : 0;
    worker->comm_s += comm_s;
    worker->train_s += ql_clock_s() - began - comm_s - (worker->io_s - io_before);
    if (first) note_stop(worker);
    return status;
}

ql_status ql_worker_begin_attempt(ql_worker *worker, ql_task *task, const ql_snapshot *snapshot)
{
    return ql_attempt_begin(&task->attempt, worker->setup->run_directory, task->work->id, task->mesh.face_count,
                            snapshot->step > 0 ? snapshot->step : 0, worker->setup->options->sweep.max_attempts);
}

ql_status ql_worker_end_training(ql_worker *worker, ql_task *task, ql_status status)
{
    if (status == QL_STATUS_STOPPED)
        return ql_attempt_over(&task->attempt, worker->setup->run_directory) == QL_OK ? status : QL_STATUS_IO;
    if (status == QL_STATUS_IO) return status;
    if (status == QL_STATUS_ENVIRONMENT) return status; /* a device that is lost would fail all meshes to come */
    if (status != QL_OK && task->stage == NULL) ql_task_fail(task, status, worker->going ? "train" : "prepare");
    return QL_OK;
}

ql_status ql_worker_train(ql_worker *worker, ql_task *task)
{
    ql_snapshot snapshot = {.step = -1};
    worker->going = false;
    if (ql_worker_find_trained(worker, task)) return QL_OK;
    ql_status status = ql_worker_find_snapshot(worker, task, &snapshot);
    if (status == QL_OK) status = ql_worker_begin_attempt(worker, task, &snapshot);
    if (status == QL_STATUS_MESH)
        ql_task_fail(task, status, "process");
    else if (status == QL_OK)
        status = ql_worker_train_with(worker, task, &snapshot, NULL, 0);
    ql_snapshot_destroy(&snapshot);
    return ql_worker_end_training(worker, task, status);
}

/* ---- the threads ---- */

static bool may_begin(ql_worker *worker)
{
    (void)pthread_mutex_lock(&worker->mutex);
    bool sound = worker->end.status == QL_OK;
    (void)pthread_mutex_unlock(&worker->mutex);
    return sound && !should_stop(worker);
}

static void *run_reader(void *context)
{
    ql_worker *worker = context;
    ql_worker_read_ahead(worker);
    ql_queue_close(&worker->read);
    return NULL;
}

static void *run_finisher(void *context)
{
    ql_worker *worker = context;
    for (ql_task *task = ql_queue_take(&worker->trained); task != NULL; task = ql_queue_take(&worker->trained))
        ql_worker_finish(worker, task);
    return NULL;
}

static bool start_thread(pthread_t *thread, void *(*run)(void *), ql_worker *worker)
{
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &old);
    int code = pthread_create(thread, NULL, run, worker);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (code == 0) return true;
    (void)QL_FAIL(ENVIRONMENT, "cannot start a thread: %s", strerror(code));
    ql_worker_break(worker, QL_STATUS_ENVIRONMENT);
    return false;
}

/* Next task: from the reader's queue, or read here when nothing is read ahead. NULL: no more. */
static ql_task *next_task(ql_worker *worker, bool ahead)
{
    ql_task *task = NULL;
    if (ahead) {
        task = ql_queue_take(&worker->read);
    } else {
        ql_status status = ql_worker_read(worker, &task);
        if (status != QL_OK) ql_worker_break(worker, status);
    }
    return task;
}

/* On to the last stage with a task whose training ended so; whether to go on. */
static bool hand_over(ql_worker *worker, ql_task *task, ql_status status)
{
    if (status == QL_OK) {
        if (task != NULL) ql_queue_put(&worker->trained, task);
        return true;
    }
    if (status != QL_STATUS_STOPPED) ql_worker_break(worker, status);
    ql_task_destroy(task);
    return false;
}

static ql_status train_if_sound(ql_worker *worker, ql_task *task)
{
    if (task->stage != NULL) return QL_OK;
    return may_begin(worker) ? ql_worker_train(worker, task) : QL_STATUS_STOPPED;
}

static void train_all(ql_worker *worker, bool ahead)
{
    while (may_begin(worker)) {
        ql_task *task = next_task(worker, ahead);
        if (task == NULL || !hand_over(worker, task, train_if_sound(worker, task))) return;
    }
}

static ql_status do_grant(ql_worker *worker, const ql_crew_grant *grant, double asked_s, ql_task **task)
{
    if (grant->size > 1) return ql_worker_share(worker, grant, asked_s, task);
    const double began = ql_clock_s();
    QL_TRY(ql_worker_read_granted(worker, grant->position, task));
    worker->io_s += ql_clock_s() - began;
    return train_if_sound(worker, *task);
}

/* The meshes that ranks share, until all of them have begun. Nothing is read ahead here, since a group waits for its members.
 * Whether to go on. */
static bool train_shared(ql_worker *worker)
{
    while (may_begin(worker)) {
        ql_crew_grant grant;
        ql_task *task = NULL;
        const double asked_s = ql_clock_s();
        ql_status status = ql_crew_next(worker->setup->crew, true, &grant);
        const bool more = status == QL_OK && grant.position >= 0;
        if (more) status = do_grant(worker, &grant, asked_s, &task);
        ql_crew_grant_clear(&grant);
        if (!hand_over(worker, task, status)) return false;
        if (!more) return true;
    }
    return false;
}

static void run_threads(ql_worker *worker)
{
    pthread_t reader, finisher;
    int64_t ahead = ql_crew_has_messenger(worker->setup->crew) ? worker->setup->options->sweep.prefetch : 0;
    ql_queue_create(&worker->read, ahead < 1 ? 1 : ahead > QL_QUEUE_MAX ? QL_QUEUE_MAX : (int)ahead);
    ql_queue_create(&worker->trained, 1);
    bool finishing = start_thread(&finisher, run_finisher, worker);
    bool on = finishing && (worker->setup->comm->size == 1 || train_shared(worker));
    bool reading = on && ahead > 0 && start_thread(&reader, run_reader, worker);
    if (on && (reading || ahead == 0)) train_all(worker, reading);
    ql_queue_close(&worker->read);
    ql_queue_close(&worker->trained);
    if (reading) (void)pthread_join(reader, NULL);
    if (finishing) (void)pthread_join(finisher, NULL);
    ql_queue_destroy(&worker->read);
    ql_queue_destroy(&worker->trained);
}

void ql_worker_run(const ql_worker_setup *setup, ql_crew_end *end)
{
    ql_worker worker = {.setup = setup, .started_s = ql_clock_s()};
    (void)pthread_mutex_init(&worker.mutex, NULL);
    run_threads(&worker);
    (void)pthread_mutex_lock(&worker.mutex);
    worker.end.left = worker.granted - worker.end.finished - worker.end.failed;
    worker.end.train_s = worker.train_s;
    worker.end.comm_s = worker.comm_s;
    worker.end.io_s = worker.io_s;
    worker.end.form_s = worker.form_s;
    worker.end.groups = worker.groups;
    worker.end.wall_s = ql_clock_s() - worker.started_s;
    worker.state.work_left = 0;
    ql_worker_tell(&worker);
    *end = worker.end;
    (void)pthread_mutex_unlock(&worker.mutex);
    (void)pthread_mutex_destroy(&worker.mutex);
}

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
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A checkpoint that was never timed; and what the end of a run takes. */
static const double CHECKPOINT_GUESS_S = 2, FAREWELL_S = 2, SAMPLE_MAX_S = 10;

/* Of a rank whose first step is not yet over: ten times slower than one core. */
static const double SLOWEST_S_PER_FLOP = 2e-10;

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
static double farewell(const ql_lane *lane)
{
    const double write_s = lane->write_s > 0 ? lane->write_s : CHECKPOINT_GUESS_S;
    const int writers = atomic_load(&lane->worker->lanes_active);
    return 2.5 * lane->step_s + 1.5 * (writers > 1 ? writers : 1) * write_s + FAREWELL_S;
}

static bool is_late(const ql_lane *lane)
{
    double deadline = lane->worker->setup->deadline_s;
    if (deadline <= 0 || ql_clock_s() + farewell(lane) < deadline) return false;
    ql_crew_stop(lane->worker->setup->crew, "time limit");
    return true;
}

static bool should_stop(void *context)
{
    const ql_lane *lane = context;
    return ql_crew_should_stop(lane->worker->setup->crew) || is_late(lane);
}

static bool should_checkpoint(void *context)
{
    const ql_lane *lane = context;
    double every = lane->current->options.train.checkpoint_every_s;
    return every > 0 && ql_clock_s() - lane->last_checkpoint_s >= every;
}

void ql_worker_add_io(ql_worker *worker, double seconds)
{
    (void)pthread_mutex_lock(&worker->mutex);
    if (worker->lanes_active <= 1) worker->io_s += seconds;
    if (worker->lanes_active == 1) worker->busy_other_s += seconds;
    (void)pthread_mutex_unlock(&worker->mutex);
}

/* One that is only for safety may fail (the next one may succeed); the one before stopping may not. */
static ql_status write_checkpoint(void *context, const ql_snapshot *snapshot)
{
    ql_lane *lane = context;
    ql_worker *worker = lane->worker;
    ql_task *task = lane->current;
    char path[QL_PATH_SIZE];
    double began = ql_clock_s();
    QL_TRY(ql_rundir_path(path, worker->setup->run_directory, QL_RUN_CHECKPOINT, task->work->id));
    ql_status status = ql_checkpoint_write(path, snapshot, &task->options, NULL);
    lane->last_checkpoint_s = ql_clock_s();
    lane->write_s = lane->last_checkpoint_s - began;
    ql_worker_add_io(worker, lane->write_s);
    if (status != QL_OK) {
        if (should_stop(lane)) return status;
        QL_WARNING("%s: checkpoint after step %lld not written: %s", task->work->id, (long long)snapshot->step,
                   ql_error_text());
        return QL_OK;
    }
    ql_event event = {.type = QL_EVENT_checkpoint, .step = snapshot->step, .seconds = lane->write_s};
    ql_worker_event(worker, &event, task);
    return QL_OK;
}

static void sample(ql_lane *lane, const ql_train_progress *progress, double now)
{
    if (now - lane->last_sample_s < fmin(lane->worker->setup->options->log.interval_s, SAMPLE_MAX_S)) return;
    lane->last_sample_s = now;
    ql_event event = {.type = QL_EVENT_sample,
                      .step = progress->step,
                      .steps = progress->steps,
                      .seconds = progress->seconds,
                      .seconds_per_step = progress->seconds_per_step,
                      .loss = progress->terms[QL_LOSS_TOTAL]};
    ql_worker_event(lane->worker, &event, lane->current);
}

/* What the line of progress shows: one mesh by name, the speed of all. With the mutex held. */
static void tell_lanes(ql_worker *worker)
{
    const ql_lane *one = NULL;
    worker->state.steps_per_s = 0;
    worker->state.active = 0;
    for (int k = worker->lanes - 1; k >= 0; --k) {
        if (worker->lane[k].shown == NULL) continue;
        one = &worker->lane[k];
        worker->state.active++;
        worker->state.steps_per_s += one->steps_per_s;
    }
    const char *name = one != NULL ? one->shown->mesh.name : "";
    (void)snprintf(worker->state.mesh, sizeof worker->state.mesh, "%.*s", (int)sizeof worker->state.mesh - 1, name);
    worker->state.step = one != NULL ? one->step : 0;
    worker->state.steps = one != NULL ? one->steps : 0;
    ql_worker_tell(worker);
}

/* With the mutex held: more is known of how many meshes at once pay. */
static void note_number(ql_worker *worker, const ql_lane *lane)
{
    const int size_class = worker->several.lane[lane->number].size_class;
    (void)pthread_cond_broadcast(&worker->changed);
    if (!worker->several.sizes[size_class].settled || worker->lanes == 1) return;
    char rates[160] = "";
    int used = 0;
    for (int level = 0; level < QL_SEVERAL_CLASSES && worker->several.sizes[size_class].rate[level] > 0; ++level)
        used += snprintf(rates + used, sizeof rates - (size_t)used, "%s%d: %.0f", level > 0 ? ", " : "", 1 << level,
                         worker->several.sizes[size_class].rate[level] * 1e-9);
    QL_INFO("meshes of about %d faces: %d at the same time on this device (GFLOP/s with %s)",
            (int)lane->current->mesh.face_count, ql_several_number(&worker->several, size_class), rates);
}

static void expect_step(const ql_lane *lane, double step_s)
{
    if (lane->current->ranks > 1) ql_crew_expect(lane->worker->setup->crew, QL_CREW_STEP_S + QL_CREW_STEPS * step_s);
}

static void note_progress(void *context, const ql_train_progress *progress)
{
    ql_lane *lane = context;
    ql_worker *worker = lane->worker;
    const ql_task *task = lane->current;
    expect_step(lane, progress->seconds_per_step);
    double per_step = ql_engine_flop_formula(task->mesh.face_count, task->options.train.off_points);
    if (!lane->going) {
        lane->going = true;
        if (ql_attempt_going(&task->attempt, worker->setup->run_directory) != QL_OK)
            ql_worker_break(worker, QL_STATUS_IO);
    }
    lane->step_s = progress->seconds_per_step;
    lane->current->step = progress->step;
    (void)pthread_mutex_lock(&worker->mutex);
    lane->step = progress->step;
    lane->steps = progress->steps;
    lane->steps_per_s = progress->seconds_per_step > 0 ? 1 / progress->seconds_per_step : 0;
    worker->state.work_done += per_step;
    worker->state.work_left -= per_step;
    tell_lanes(worker);
    if (ql_several_step(&worker->several, lane->number, per_step, ql_clock_s())) note_number(worker, lane);
    (void)pthread_mutex_unlock(&worker->mutex);
    sample(lane, progress, ql_clock_s());
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

static void note_start(ql_lane *lane, int64_t step, const ql_comm *group, double formed_s)
{
    ql_worker *worker = lane->worker;
    const ql_task *task = lane->current;
    ql_event event = {.type = QL_EVENT_mesh_start,
                      .faces = task->mesh.face_count,
                      .steps = task->options.train.steps,
                      .step = step,
                      .attempt = task->attempt.number,
                      .ranks = group != NULL ? group->size : 1,
                      .seconds = formed_s};
    (void)snprintf(event.text, sizeof event.text, "%.*s", (int)sizeof event.text - 1, task->item->path);
    ql_worker_event(worker, &event, task);
    lane->last_sample_s = lane->last_checkpoint_s = ql_clock_s();
    (void)pthread_mutex_lock(&worker->mutex);
    lane->shown = task;
    lane->step = step;
    lane->steps = task->options.train.steps;
    lane->steps_per_s = 0;
    tell_lanes(worker);
    (void)pthread_mutex_unlock(&worker->mutex);
}

static void note_stop(ql_lane *lane)
{
    (void)pthread_mutex_lock(&lane->worker->mutex);
    lane->shown = NULL;
    tell_lanes(lane->worker);
    (void)pthread_mutex_unlock(&lane->worker->mutex);
}

/* Time counts once, however many meshes train in it. */
static void note_busy(ql_worker *worker)
{
    (void)pthread_mutex_lock(&worker->mutex);
    if (worker->lanes_active++ == 0) {
        worker->busy_since_s = ql_clock_s();
        worker->busy_other_s = 0;
    }
    (void)pthread_mutex_unlock(&worker->mutex);
}

static void note_idle(ql_worker *worker, double comm_s)
{
    (void)pthread_mutex_lock(&worker->mutex);
    worker->comm_s += comm_s;
    worker->busy_other_s += comm_s;
    if (--worker->lanes_active == 0) worker->train_s += ql_clock_s() - worker->busy_since_s - worker->busy_other_s;
    (void)pthread_mutex_unlock(&worker->mutex);
}

/* Where a crash leaves its mark: beside others only that of our own thread. */
static void set_mark(const ql_lane *lane, const char *mark)
{
    if (lane->worker->lanes > 1)
        ql_signals_set_thread_mark(mark);
    else
        ql_signals_set_mark(mark);
}

/* Ranks of a group but the first: how fast it goes, for the time limit. */
static void note_pace(void *context, const ql_train_progress *progress)
{
    ql_lane *lane = context;
    expect_step(lane, progress->seconds_per_step);
    lane->step_s = progress->seconds_per_step;
}

ql_status ql_worker_train_with(ql_lane *lane, ql_task *task, const ql_snapshot *snapshot, ql_comm *group,
                               double formed_s)
{
    ql_worker *worker = lane->worker;
    const bool first = group == NULL || group->rank == 0;
    const ql_train_callbacks callbacks = {lane, should_stop, first ? should_checkpoint : NULL,
                                          first ? write_checkpoint : NULL, first ? note_progress : note_pace};
    const ql_train_job job = {&task->mesh, &task->options, worker->setup->engine, group, &task->ready};
    task->ranks = group != NULL ? group->size : 1;
    const double comm_before = group != NULL ? group->seconds : 0;
    lane->current = task;
    lane->going = false;
    expect_step(lane, SLOWEST_S_PER_FLOP *
                          ql_engine_flop_formula(task->mesh.face_count, task->options.train.off_points) / task->ranks);
    if (first) note_start(lane, snapshot->step > 0 ? snapshot->step : 0, group, formed_s);
    set_mark(lane, task->attempt.mark);
    note_busy(worker);
    ql_status status = ql_train_mesh(&task->result, &job, snapshot->step >= 0 ? snapshot : NULL, &callbacks);
    note_idle(worker, group != NULL ? group->seconds - comm_before : 0);
    set_mark(lane, NULL);
    if (first) note_stop(lane);
    return status;
}

ql_status ql_worker_begin_attempt(ql_worker *worker, ql_task *task, const ql_snapshot *snapshot)
{
    return ql_attempt_begin(&task->attempt, worker->setup->run_directory, task->work->id, task->mesh.face_count,
                            snapshot->step > 0 ? snapshot->step : 0, worker->setup->options->sweep.max_attempts);
}

ql_status ql_worker_end_training(ql_lane *lane, ql_task *task, ql_status status)
{
    if (status == QL_STATUS_STOPPED)
        return ql_attempt_over(&task->attempt, lane->worker->setup->run_directory) == QL_OK ? status : QL_STATUS_IO;
    if (status == QL_STATUS_IO) return status;
    if (status == QL_STATUS_ENVIRONMENT) return status; /* a device that is lost would fail all meshes to come */
    if (status != QL_OK && task->stage == NULL) ql_task_fail(task, status, lane->going ? "train" : "prepare");
    return QL_OK;
}

/* ---- several meshes at once ---- */

static int class_of(const ql_lane *lane, const ql_task *task)
{
    const ql_engine_class *engine = lane->worker->setup->engine;
    if (engine->at_once == NULL || task->stage != NULL) return 0;
    return ql_several_class(engine->at_once(task->mesh.face_count, task->options.train.off_points));
}

/* With the mutex held: until something changes, or a moment has passed in which the run may have been stopped. */
static void wait_a_moment(ql_worker *worker)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 50 * 1000 * 1000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_cond_timedwait(&worker->changed, &worker->mutex, &until);
}

/* Until there is room for the mesh beside those that train, or the run stops. */
static void wait_for_room(ql_lane *lane, const ql_task *task)
{
    ql_worker *worker = lane->worker;
    const int size_class = class_of(lane, task);
    (void)pthread_mutex_lock(&worker->mutex);
    while (!ql_several_admits(&worker->several, size_class) && !ql_crew_should_stop(worker->setup->crew))
        wait_a_moment(worker);
    ql_several_begin(&worker->several, lane->number, size_class);
    (void)pthread_mutex_unlock(&worker->mutex);
}

static void make_room(ql_lane *lane)
{
    (void)pthread_mutex_lock(&lane->worker->mutex);
    ql_several_end(&lane->worker->several, lane->number);
    (void)pthread_cond_broadcast(&lane->worker->changed);
    (void)pthread_mutex_unlock(&lane->worker->mutex);
}

/* For a mesh that found no memory beside the others: lets nobody in until they are done. */
static void wait_to_be_alone(ql_lane *lane, const ql_task *task)
{
    ql_worker *worker = lane->worker;
    QL_INFO("%s: not enough memory beside the other meshes, waits until they are done", task->work->id);
    make_room(lane);
    (void)pthread_mutex_lock(&worker->door);
    (void)pthread_mutex_lock(&worker->mutex);
    while (!ql_several_idle(&worker->several) && !ql_crew_should_stop(worker->setup->crew)) wait_a_moment(worker);
    ql_several_begin(&worker->several, lane->number, 0);
    (void)pthread_mutex_unlock(&worker->mutex);
    (void)pthread_mutex_unlock(&worker->door);
}

ql_status ql_worker_train(ql_lane *lane, ql_task *task)
{
    ql_worker *worker = lane->worker;
    ql_snapshot snapshot = {.step = -1};
    int64_t *threads = &task->options.engine.threads;
    if (worker->lanes > 1 && worker->setup->engine->at_once == NULL)
        *threads = *threads > worker->lanes ? *threads / worker->lanes : 1;
    lane->going = false;
    if (ql_worker_find_trained(worker, task)) return QL_OK;
    ql_status status = ql_worker_find_snapshot(worker, task, &snapshot);
    if (status == QL_OK) status = ql_worker_begin_attempt(worker, task, &snapshot);
    if (status == QL_STATUS_MESH)
        ql_task_fail(task, status, "process");
    else if (status == QL_OK)
        status = ql_worker_train_with(lane, task, &snapshot, NULL, 0);
    if (status == QL_STATUS_NO_MEMORY && worker->lanes > 1 && task->stage == NULL) {
        wait_to_be_alone(lane, task);
        status = should_stop(lane) ? QL_STATUS_STOPPED : ql_worker_train_with(lane, task, &snapshot, NULL, 0);
    }
    ql_snapshot_destroy(&snapshot);
    return ql_worker_end_training(lane, task, status);
}

/* ---- the threads ---- */

static bool may_begin(ql_lane *lane)
{
    (void)pthread_mutex_lock(&lane->worker->mutex);
    bool sound = lane->worker->end.status == QL_OK;
    (void)pthread_mutex_unlock(&lane->worker->mutex);
    return sound && !should_stop(lane);
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

static bool start_thread(pthread_t *thread, void *(*run)(void *), void *context)
{
    sigset_t all, old;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &old);
    int code = pthread_create(thread, NULL, run, context);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (code == 0) return true;
    (void)QL_FAIL(ENVIRONMENT, "cannot start a thread: %s", strerror(code));
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

static ql_status train_if_sound(ql_lane *lane, ql_task *task)
{
    if (task->stage != NULL) return QL_OK;
    return may_begin(lane) ? ql_worker_train(lane, task) : QL_STATUS_STOPPED;
}

/* Threads that may train at the same time. Where nobody but us takes the messenger's turn there is one. */
static int lanes_wanted(const ql_worker *worker)
{
    if (!ql_crew_has_messenger(worker->setup->crew)) return 1;
    if (worker->several.fixed > 0) return worker->several.fixed;
    return worker->setup->engine->at_once != NULL ? QL_SEVERAL_MOST : 1;
}

/* One lane at a time waits for a mesh and for room, so that no more is taken on than will soon be trained. */
static ql_task *come_in(ql_lane *lane)
{
    ql_worker *worker = lane->worker;
    (void)pthread_mutex_lock(&worker->door);
    atomic_store(&worker->hungry, true);
    ql_task *task = may_begin(lane) ? next_task(worker, worker->reads_ahead) : NULL;
    atomic_store(&worker->hungry, false);
    if (task != NULL) wait_for_room(lane, task);
    (void)pthread_mutex_unlock(&worker->door);
    return task;
}

static void train_all(ql_lane *lane)
{
    for (bool on = true; on;) {
        ql_task *task = come_in(lane);
        if (task == NULL) return;
        const ql_status status = train_if_sound(lane, task);
        make_room(lane);
        on = hand_over(lane->worker, task, status);
    }
}

static void *run_lane(void *context)
{
    train_all(context);
    return NULL;
}

static void train_on_lanes(ql_worker *worker)
{
    int started = 1;
    worker->lanes = lanes_wanted(worker);
    while (started < worker->lanes && start_thread(&worker->lane[started].thread, run_lane, &worker->lane[started]))
        ++started;
    if (started < worker->lanes) ql_error_clear(); /* the threads that there are will do */
    train_all(&worker->lane[0]);
    for (int k = 1; k < started; ++k) (void)pthread_join(worker->lane[k].thread, NULL);
}

/* ---- meshes that ranks share ---- */

static ql_status do_grant(ql_worker *worker, const ql_crew_grant *grant, double asked_s, ql_task **task)
{
    if (grant->size > 1) return ql_worker_share(worker, grant, asked_s, task);
    const double began = ql_clock_s();
    QL_TRY(ql_worker_read_granted(worker, grant->position, task));
    ql_worker_add_io(worker, ql_clock_s() - began);
    return train_if_sound(&worker->lane[0], *task);
}

/* The meshes that ranks share, until all of them have begun. Nothing is read ahead here, since a group waits for its members.
 * Whether to go on. */
static bool train_shared(ql_worker *worker)
{
    while (may_begin(&worker->lane[0])) {
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
    worker->reads_ahead = reading;
    if (!finishing || (on && ahead > 0 && !reading)) ql_worker_break(worker, QL_STATUS_ENVIRONMENT);
    if (on && (reading || ahead == 0)) train_on_lanes(worker);
    ql_queue_close(&worker->read);
    ql_queue_close(&worker->trained);
    if (reading) (void)pthread_join(reader, NULL);
    if (finishing) (void)pthread_join(finisher, NULL);
    ql_queue_destroy(&worker->read);
    ql_queue_destroy(&worker->trained);
}

void ql_worker_run(const ql_worker_setup *setup, ql_crew_end *end)
{
    ql_worker worker = {.setup = setup, .started_s = ql_clock_s(), .lanes = 1};
    for (int k = 0; k < QL_SEVERAL_MOST; ++k) worker.lane[k] = (ql_lane){.worker = &worker, .number = k};
    ql_several_init(&worker.several, (int)strtol(setup->options->sweep.at_once, NULL, 10)); /* auto: 0 */
    (void)pthread_mutex_init(&worker.mutex, NULL);
    (void)pthread_mutex_init(&worker.door, NULL);
    (void)pthread_cond_init(&worker.changed, NULL);
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
    (void)pthread_cond_destroy(&worker.changed);
    (void)pthread_mutex_destroy(&worker.door);
    (void)pthread_mutex_destroy(&worker.mutex);
}

/* The run over a collection (see sweep.h): what to do, may we, who does what, do it, say what became of it. */
#include "sweep/sweep.h"

#include "base/build.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/process.h"
#include "store/events.h"
#include "store/rundir.h"
#include "sweep/continue.h"
#include "sweep/cores.h"
#include "sweep/plan.h"
#include "sweep/report.h"
#include "sweep/signals.h"
#include "sweep/worker.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* Between our end and that of the job: what the launcher and the batch script still have to do. */
static const double SCHEDULER_MARGIN_S = 30;

/* Age at which a part that ends beside others writes the tables all the same; and, per mesh of the run, one that ends alone: a
 * multiple of what writing takes, so that parts one after the other do not spend their time on it. */
static const double TABLES_OLD_S = 600, TABLES_OLD_PER_MESH_S = 0.02;

typedef struct sweep {
    const ql_sweep_request *request;
    ql_comm *comm;
    FILE *out;
    ql_options options; /* engine resolved, threads shared */
    const ql_engine_class *engine;
    ql_collection collection;
    int64_t named; /* rank 0: meshes of the collection, all shards together */
    ql_survey survey;
    ql_lock lock;
    ql_events events;
    bool events_open;
    ql_crew *crew;
    int64_t *order, count; /* what is to do, longest first */
    double *costs;
    ql_cost cost;    /* rank 0 */
    bool cost_known; /* measured on this machine, not guessed */
    ql_plan plan;    /* rank 0: ranks per mesh; its meshes are those of `order` */
    ql_crew_end end; /* rank 0: of all */
} sweep;

/* ---- beginning ---- */

static ql_status gather_inputs(sweep *s)
{
    const ql_sweep_request *request = s->request;
    ql_status status = QL_OK;
    for (int i = 0; s->comm->rank == 0 && i < request->input_count && status == QL_OK; ++i)
        status = ql_collection_add(&s->collection, request->inputs[i]);
    s->named = s->collection.count;
    if (s->comm->rank == 0 && status == QL_OK && request->shard.count > 1)
        status = ql_collection_keep_shard(&s->collection, request->shard.index, request->shard.count);
    QL_TRY(ql_comm_agree(s->comm, status));
    return ql_collection_broadcast(&s->collection, s->comm);
}

/* All ranks must train with the same engine; "auto" is resolved once, so that continuing elsewhere is noticed. */
static ql_status choose_engine(sweep *s)
{
    char first[QL_OPTION_TEXT] = "";
    ql_status status = ql_engine_find(s->options.engine.name, &s->engine);
    if (status == QL_OK) status = s->engine->available();
    QL_TRY(ql_comm_agree(s->comm, status));
    (void)snprintf(first, sizeof first, "%s", s->engine->name);
    QL_TRY(s->comm->kind->broadcast(s->comm, first, sizeof first, 0));
    if (strcmp(first, s->engine->name) != 0)
        status = QL_FAIL(ENVIRONMENT, "rank %d would use engine %s, rank 0 uses %s; say which: --set engine.name=%s",
                         s->comm->rank, s->engine->name, first, first);
    QL_TRY(ql_comm_agree(s->comm, status));
    (void)snprintf(s->options.engine.name, sizeof s->options.engine.name, "%s", s->engine->name);
    return QL_OK;
}

static ql_status share_cores(sweep *s)
{
    int threads;
    QL_TRY(ql_cores_share(s->comm, (int)s->options.engine.threads, &threads));
    s->options.engine.threads = threads;
    return QL_OK;
}

/* A halt that was asked for when nothing ran any more must not stop this run; other parts at work still need it. */
static ql_status remove_halt_file(const sweep *s)
{
    char path[QL_PATH_SIZE];
    int64_t alive = 0;
    QL_TRY(ql_lock_count(s->request->run_directory, &alive, NULL));
    QL_TRY(ql_path_join(path, s->request->run_directory, QL_HALT_FILE));
    return alive <= 1 && ql_path_exists(path) ? ql_file_remove(path) : QL_OK;
}

static ql_status open_run(sweep *s)
{
    const char *run = s->request->run_directory;
    ql_options written = s->options;
    written.engine.threads = s->request->options.engine.threads;
    QL_TRY(ql_directory_make(run));
    QL_TRY(ql_lock_take(&s->lock, run, s->request->shard));
    QL_TRY(ql_rundir_create(run));
    if (s->named > QL_RUNDIR_NARROW) QL_TRY(ql_rundir_widen(run));
    QL_TRY(ql_continue_check(run, &written));
    QL_TRY(remove_halt_file(s));
    return ql_rundir_write_options(run, &written);
}

static ql_status open_events(sweep *s)
{
    char name[64], host[QL_HOST_SIZE];
    ql_shard shard = s->request->shard;
    if (shard.count > 1)
        (void)snprintf(name, sizeof name, "%lldof%lld-%d", (long long)shard.index, (long long)shard.count,
                       s->comm->rank);
    else
        (void)snprintf(name, sizeof name, "%d", s->comm->rank);
    QL_TRY(ql_events_open(&s->events, s->request->run_directory, name, s->comm->rank, shard.count * s->comm->size));
    s->events_open = true;
    ql_event event = {.type = QL_EVENT_start,
                      .rank = s->comm->rank,
                      .ranks = s->comm->size,
                      .meshes = s->survey.count - s->survey.states[QL_WORK_TWIN]};
    (void)snprintf(event.version, sizeof event.version, "%s", ql_build.version);
    (void)snprintf(event.host, sizeof event.host, "%.63s", ql_process_host(host));
    return ql_events_write(&s->events, &event);
}

/* A file that was repaired is another mesh; the record of what was wrong with it before has done its duty. */
static ql_status drop_outdated_failures(const sweep *s)
{
    ql_listing listing = {0};
    ql_failure *failure;
    QL_TRY(QL_TAKE(failure, 1));
    ql_status status = ql_listing_read(&listing, s->request->run_directory);
    for (int64_t i = 0; status == QL_OK && i < listing.count; ++i) {
        char path[QL_PATH_SIZE];
        if (!listing.meshes[i].failed) continue;
        status = ql_rundir_path(path, s->request->run_directory, QL_RUN_FAILURE, listing.meshes[i].id);
        if (status != QL_OK || ql_failure_read(failure, path) != QL_OK) continue;
        for (int64_t k = 0; k < s->survey.count; ++k) {
            const ql_work *work = &s->survey.work[k];
            if (strcmp(s->collection.items[work->item].path, failure->input) == 0 &&
                strcmp(work->id, listing.meshes[i].id) != 0)
                status = ql_failure_remove(s->request->run_directory, listing.meshes[i].id);
        }
    }
    ql_listing_destroy(&listing);
    ql_free(failure);
    return status;
}

static void announce(const sweep *s)
{
    const ql_survey *survey = &s->survey;
    if (s->comm->rank != 0) return;
    QL_INFO(
        "%lld mesh%s: %lld to do, %lld finished, %lld failed earlier, %lld given twice; %d rank%s with %lld thread%s, "
        "engine %s",
        (long long)survey->count, survey->count == 1 ? "" : "es", (long long)survey->states[QL_WORK_TODO],
        (long long)survey->states[QL_WORK_FINISHED], (long long)survey->states[QL_WORK_FAILED],
        (long long)survey->states[QL_WORK_TWIN], s->comm->size, s->comm->size == 1 ? "" : "s",
        (long long)s->options.engine.threads, s->options.engine.threads == 1 ? "" : "s", s->engine->name);
}

/* ---- work ---- */

static ql_status list_work(sweep *s)
{
    QL_TRY(ql_survey_list(&s->survey, &s->order, &s->count));
    QL_TRY(QL_TAKE(s->costs, s->count));
    for (int64_t i = 0; i < s->count; ++i) s->costs[i] = s->survey.work[s->order[i]].cost;
    if (s->comm->rank != 0) return QL_OK;
    s->cost_known = ql_cost_recall(&s->cost, &s->options, s->engine->name);
    if (!s->cost_known) ql_cost_guess(&s->cost, s->options.engine.threads);
    const ql_plan_request request = {.cost = &s->cost,
                                     .options = &s->options,
                                     .groups = ql_engine_shares(s->engine, &s->options.train),
                                     .most_ranks = s->engine->most_ranks,
                                     .inexact = s->engine->groups && !s->engine->groups_exact,
                                     .ranks = s->comm->size,
                                     .memory_bytes = s->cost_known ? 1e6 * (double)s->options.engine.memory_mb : 0};
    char lost[320];
    QL_TRY(ql_plan_survey(&s->plan, &request, &s->survey, &s->collection));
    ql_plan_describe_loss(&s->plan, s->engine->name, lost, sizeof lost);
    if (lost[0] != '\0') QL_INFO("%s", lost);
    return QL_OK;
}

static ql_status start_crew(sweep *s)
{
    const ql_survey *survey = &s->survey;
    ql_crew_settings settings = {.run_directory = s->request->run_directory,
                                 .lock = s->comm->rank == 0 ? &s->lock : NULL,
                                 .costs = s->costs,
                                 .allotment = &s->plan.allotment,
                                 .count = s->count,
                                 .meshes = survey->count - survey->states[QL_WORK_TWIN],
                                 .finished = survey->states[QL_WORK_FINISHED],
                                 .failed = survey->states[QL_WORK_FAILED],
                                 .max_failures = s->options.sweep.max_failures,
                                 .log_interval_s = s->options.log.interval_s};
    return ql_crew_create(&s->crew, s->comm, &settings);
}

/* When to be done, by ql_clock_s; 0: never. The earlier one of the time limit and of what the scheduler says of our job (Slurm
 * from 23.02 on, seconds since 1970): a limit that was given with an earlier submission in mind does no harm. */
static double deadline_of(const sweep *s)
{
    const double limit = s->options.sweep.time_limit_s;
    const double own = limit > 0 ? s->request->started_s + limit : 0;
    const double left = ql_process_job_left_s();
    if (left == 0) return own;
    if (left < 0) {
        if (s->comm->rank == 0)
            QL_WARNING("SLURM_JOB_END_TIME lies in the past: it is another job's; no time limit taken from it");
        return own;
    }
    const double theirs = ql_clock_s() + fmax(0, left - SCHEDULER_MARGIN_S);
    return own > 0 ? fmin(own, theirs) : theirs;
}

static void work(sweep *s, ql_crew_end *mine)
{
    ql_worker_setup setup = {.run_directory = s->request->run_directory,
                             .options = &s->options,
                             .engine = s->engine,
                             .collection = &s->collection,
                             .survey = &s->survey,
                             .order = s->order,
                             .events = &s->events,
                             .crew = s->crew,
                             .comm = s->comm,
                             .ranks = s->comm->size,
                             .deadline_s = deadline_of(s)};
    ql_worker_run(&setup, mine);
    if (mine->left == 0) return;
    ql_event event = {.type = QL_EVENT_halt};
    (void)snprintf(event.text, sizeof event.text, "%s", ql_crew_reason(s->crew));
    (void)ql_events_write(&s->events, &event);
}

/* ---- end ---- */

static ql_status outcome(const sweep *s)
{
    int64_t failed = s->survey.states[QL_WORK_FAILED] + s->end.failed;
    int64_t limit = s->options.sweep.max_failures;
    if (s->end.status != QL_OK) return s->end.status;
    if (s->end.left > 0 && !(limit > 0 && s->end.failed >= limit)) return QL_STATUS_STOPPED;
    return failed > 0 ? QL_STATUS_MESH : QL_OK;
}

/* What the finished meshes tell of this machine's speed, for the next plan. */
static void learn(sweep *s, const ql_summary *rows, int64_t count)
{
    if (!s->cost_known || s->end.finished == 0) return;
    if (ql_cost_refine(&s->cost, rows, count, s->engine->name, s->options.train.off_points) == QL_OK)
        ql_cost_keep(&s->cost, &s->options, s->engine->name);
    ql_error_clear();
}

/* Seconds since a file was written, to the fraction (whole seconds would call a file of this second newborn); infinite when there is
 * none. */
static double age_of(const char *path)
{
    struct stat info;
    struct timespec now;
    if (stat(path, &info) != 0 || clock_gettime(CLOCK_REALTIME, &now) != 0) return INFINITY;
    return difftime(now.tv_sec, info.st_mtim.tv_sec) + 1e-9 * (double)(now.tv_nsec - info.st_mtim.tv_nsec);
}

static bool all_is_done(const sweep *s)
{
    ql_listing listing;
    if (ql_listing_read(&listing, s->request->run_directory) != QL_OK) return true;
    const bool done = listing.finished + listing.failed >= s->named;
    ql_listing_destroy(&listing);
    return done;
}

/* Many parts on one run directory, each writing the tables of all when it ends, would read every result once per part. So a part
 * leaves that to those which still work, the last one of which finds nobody else and everything done; unless the tables are
 * old. */
static ql_status tables_are_ours(sweep *s, bool *ours)
{
    const char *run_directory = s->request->run_directory;
    char path[QL_PATH_SIZE];
    bool last = true;
    *ours = true;
    if (s->request->shard.count == 1) return QL_OK;
    QL_TRY(ql_lock_retire(&s->lock, run_directory, &last));
    QL_TRY(ql_rundir_path(path, run_directory, QL_RUN_SUMMARY, NULL));
    const double age = age_of(path);
    *ours = last ? age > TABLES_OLD_PER_MESH_S * (double)s->named || all_is_done(s) : age > TABLES_OLD_S;
    return QL_OK;
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static ql_status own_rows(const sweep *s, ql_summary **rows, int64_t *count)
{
    const ql_survey *survey = &s->survey;
    const char **ids;
    int64_t id_count = 0;
    QL_TRY(QL_TAKE(ids, survey->count));
    for (int64_t i = 0; i < survey->count; ++i)
        if (survey->work[i].state != QL_WORK_TWIN) ids[id_count++] = survey->work[i].id;
    if (id_count > 0) qsort(ids, (size_t)id_count, sizeof *ids, compare_ids);
    ql_status status = ql_rundir_rows_of(s->request->run_directory, ids, id_count, rows, count);
    ql_free(ids);
    return status;
}

static ql_status take_rows(sweep *s, ql_summary **rows, int64_t *count)
{
    bool ours = true;
    QL_TRY(tables_are_ours(s, &ours));
    if (!ours) return own_rows(s, rows, count);
    QL_TRY(ql_rundir_rows(s->request->run_directory, rows, count));
    return ql_rundir_write_rows(s->request->run_directory, *rows, *count);
}

/* Rank 0, when all work is over. */
static ql_status conclude(sweep *s)
{
    const char *run_directory = s->request->run_directory;
    ql_summary *rows = NULL;
    int64_t count = 0;
    ql_log_live(NULL);
    ql_status result = outcome(s);
    ql_status status = take_rows(s, &rows, &count);
    ql_report_facts facts = {.survey = &s->survey,
                             .run_directory = run_directory,
                             .rows = rows,
                             .row_count = count,
                             .end = &s->end,
                             .stop_reason = ql_crew_reason(s->crew),
                             .seconds = ql_clock_s() - s->request->started_s,
                             .predicted_s = s->cost_known ? s->plan.allotment.makespan_s : 0,
                             .ranks = s->comm->size,
                             .quads = s->options.quads.enabled};
    if (status == QL_OK) status = ql_report_end(s->out, &facts);
    if (status == QL_OK) learn(s, rows, count);
    ql_free(rows);
    if (s->end.status != QL_OK) return ql_error_set(s->end.status, __FILE__, __LINE__, "%s", s->end.text);
    return status != QL_OK ? status : result;
}

static ql_status part(sweep *s, const ql_crew_end *mine)
{
    ql_status status = ql_crew_gather(s->crew, mine, &s->end);
    if (status != QL_OK) return status; /* MPI itself failed: nothing to agree on any more */
    if (s->comm->rank == 0) {
        ql_status result = conclude(s);
        QL_TRY(ql_crew_dismiss(s->crew, (int)result));
    }
    return (ql_status)ql_crew_exit_code(s->crew);
}

static void release(sweep *s)
{
    ql_crew_destroy(s->crew);
    ql_events_close(s->events_open ? &s->events : NULL);
    ql_lock_release(&s->lock);
    ql_survey_destroy(&s->survey);
    ql_collection_destroy(&s->collection);
    ql_free(s->order);
    ql_free(s->costs);
    ql_plan_destroy(&s->plan);
}

/* Up to where all ranks still go in step. */
static ql_status prepare(sweep *s)
{
    QL_TRY(gather_inputs(s));
    QL_TRY(choose_engine(s));
    QL_TRY(share_cores(s));
    ql_status status = s->comm->rank == 0 && !s->request->dry_run ? open_run(s) : QL_OK;
    QL_TRY(ql_comm_agree(s->comm, status));
    return ql_survey_make(&s->survey, &s->collection, s->comm, s->request->run_directory, &s->options,
                          s->request->retry);
}

/* As docs/runs.md lists them; for the log of events. */
static int64_t exit_code(ql_status status)
{
    switch (status) {
    case QL_OK: return 0;
    case QL_STATUS_MESH: return 1;
    case QL_STATUS_STOPPED: return 75;
    default: return 3;
    }
}

static ql_status run(sweep *s)
{
    ql_crew_end mine = {0};
    announce(s);
    /* a part looks at few meshes, and would write over what the others found */
    if (s->comm->rank == 0 && s->request->shard.count == 1)
        ql_survey_keep(&s->survey, &s->collection, s->request->run_directory);
    ql_status status = s->comm->rank == 0 ? drop_outdated_failures(s) : QL_OK;
    if (status == QL_OK) status = open_events(s);
    if (status == QL_OK) status = list_work(s);
    QL_TRY(ql_comm_agree(s->comm, status));
    QL_TRY(ql_comm_agree(s->comm, start_crew(s)));
    work(s, &mine);
    status = part(s, &mine);
    const double spent = mine.train_s + mine.comm_s + mine.io_s + mine.form_s;
    ql_event event = {.type = QL_EVENT_end,
                      .code = exit_code(status),
                      .seconds = ql_clock_s() - s->request->started_s,
                      .busy_s = mine.train_s,
                      .comm_s = mine.comm_s,
                      .io_s = mine.io_s,
                      .form_s = mine.form_s,
                      .idle_s = mine.wall_s > spent ? mine.wall_s - spent : 0};
    (void)ql_events_write(&s->events, &event);
    return status;
}

ql_status ql_sweep_run(const ql_sweep_request *request, ql_comm *comm, FILE *out)
{
    sweep *s;
    QL_TRY(QL_TAKE(s, 1));
    s->request = request;
    s->comm = comm;
    s->out = out;
    s->options = request->options;
    ql_status status = ql_comm_agree(comm, ql_signals_install());
    if (status == QL_OK) status = prepare(s);
    if (status == QL_STATUS_STOPPED && comm->rank == 0) /* before there was anything to report on */
        (void)fprintf(out, "Nothing trained; stopped: %s\nRun the same command again.\n", ql_error_text());
    if (status == QL_OK && request->dry_run && comm->rank == 0)
        status = ql_report_plan(out, &s->survey, &s->collection, comm->size, request->run_directory);
    else if (status == QL_OK && !request->dry_run)
        status = run(s);
    release(s);
    ql_signals_restore();
    ql_free(s);
    return status;
}

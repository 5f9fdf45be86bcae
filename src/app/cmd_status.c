/* quadloom status RUN_DIR: how far a run is, what it does, what failed; for one that runs, stopped or died. */
#include "app/arguments.h"
#include "app/commands.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "store/store.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const DETAILS = "Works while the run is going on, on any machine that sees the directory.\n"
                                   "Exit code 0: all finished, 1: some meshes failed, 75: there is work left.";

enum { FAILURES_SHOWN = 20 };

typedef struct run_status {
    const char *directory;
    ql_run_view view;
    ql_listing listing;
    int64_t total, waiting; /* total 0 = not yet known */
    double now, eta_s;      /* NaN = cannot tell */
} run_status;

static bool is_active(const ql_log_view *log)
{
    return log->mesh[0] != '\0' && !log->past && log->life == QL_RUN_RUNNING;
}

static double steps_left(const ql_log_view *log)
{
    int64_t steps = log->sample.steps > 0 ? log->sample.steps : log->mesh_start.steps;
    int64_t step = log->sample.step > 0 ? log->sample.step : log->mesh_start.step;
    return steps > step ? (double)(steps - step) : 0;
}

/* Seconds left of one active mesh; NaN before its first sample. */
static double mesh_eta(const ql_log_view *log)
{
    return log->sample.seconds_per_step > 0 ? steps_left(log) * log->sample.seconds_per_step : NAN;
}

/* From the rate of finishing once there is one, before that from the steps per second of what is active. */
static double run_eta(const run_status *run)
{
    const ql_run_view *view = &run->view;
    double left = 0, steps_per_mesh = 0, longest = 0;
    int64_t active = 0;
    if (view->life != QL_RUN_RUNNING) return NAN;
    for (int64_t i = 0; i < view->log_count; ++i) {
        const ql_log_view *log = &view->logs[i];
        if (!is_active(log)) continue;
        ++active;
        left += steps_left(log);
        longest = fmax(longest, mesh_eta(log));
        steps_per_mesh = fmax(steps_per_mesh, (double)log->mesh_start.steps);
    }
    int64_t queued = run->waiting - active > 0 ? run->waiting - active : 0;
    if (queued > 0 && view->finished_now > 0)
        return (double)run->waiting * (run->now - view->start_time) / (double)view->finished_now;
    if (view->steps_per_second > 0)
        return fmax(longest, (left + (double)queued * steps_per_mesh) / view->steps_per_second);
    return NAN;
}

static ql_status read_status(run_status *run, const char *directory)
{
    *run = (run_status){.directory = directory};
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    run->now = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    QL_TRY(ql_rundir_check(directory));
    QL_TRY(ql_run_view_read(&run->view, directory));
    ql_status status = ql_listing_read(&run->listing, directory);
    if (status != QL_OK) {
        ql_run_view_destroy(&run->view);
        return status;
    }
    const ql_listing *listing = &run->listing;
    run->total = run->view.meshes > listing->count ? run->view.meshes : listing->count;
    run->waiting = run->total - listing->finished - listing->failed;
    run->eta_s = run_eta(run);
    return QL_OK;
}

static void destroy_status(run_status *run)
{
    ql_run_view_destroy(&run->view);
    ql_listing_destroy(&run->listing);
}

/* ---- for people ---- */

static const char *advice(const run_status *run)
{
    switch (run->view.life) {
    case QL_RUN_NEVER: return "not started yet";
    case QL_RUN_HALTED: return "stopped early on request: run the same command again to go on";
    case QL_RUN_CRASHED:
        return "its process is gone without a word: run the same command again, nothing finished is lost";
    case QL_RUN_SILENT:
        return "no word for long from another machine: look at the job there, then run the same command again";
    case QL_RUN_ENDED: return run->waiting > 0 ? "ended with meshes left: run the same command again" : "";
    default: return "";
    }
}

static void print_head(const run_status *run)
{
    const ql_run_view *view = &run->view;
    char since[QL_DURATION_SIZE], silent[QL_DURATION_SIZE], eta[QL_DURATION_SIZE];
    (void)printf("%s: %s", run->directory, ql_run_life_name(view->life));
    for (int64_t i = 0; i < view->log_count; ++i) {
        const ql_event *start = &view->logs[i].start;
        if (view->logs[i].past || start->time == 0) continue;
        (void)printf(", %lld rank%s, on %s%s%s", (long long)start->ranks, start->ranks == 1 ? "" : "s", start->host,
                     start->job[0] != '\0' ? ", job " : "", start->job);
        break;
    }
    if (view->log_count > 0)
        (void)printf(", started %s ago, last event %s ago", ql_clock_duration(since, run->now - view->start_time),
                     ql_clock_duration(silent, fmax(0, run->now - view->last_time)));
    (void)printf("\n");
    if (advice(run)[0] != '\0') (void)printf("  %s\n", advice(run));
    (void)printf("  meshes    %lld of %lld finished, %lld failed, %lld left (%lld with a checkpoint)\n",
                 (long long)run->listing.finished, (long long)run->total, (long long)run->listing.failed,
                 (long long)run->waiting, (long long)run->listing.unfinished);
    if (isfinite(run->eta_s)) (void)printf("  time left about %s\n", ql_clock_duration(eta, run->eta_s));
}

static void print_active(const run_status *run)
{
    for (int64_t i = 0; i < run->view.log_count; ++i) {
        const ql_log_view *log = &run->view.logs[i];
        const ql_event *sample = &log->sample;
        char left[QL_DURATION_SIZE];
        if (log->mesh[0] == '\0' || log->past) continue;
        (void)printf("  %s %-6s %s", log->life == QL_RUN_RUNNING ? "rank" : "lost", log->log, log->mesh);
        if (sample->time > 0)
            (void)printf("  step %lld of %lld, %.3g s/step, loss %.4g, %s left", (long long)sample->step,
                         (long long)(sample->steps > 0 ? sample->steps : log->mesh_start.steps),
                         sample->seconds_per_step, sample->loss, ql_clock_duration(left, mesh_eta(log)));
        else
            (void)printf("  %lld faces, starting", (long long)log->mesh_start.faces);
        (void)printf("\n");
    }
}

typedef void visit_failure(void *context, const ql_failure *failure);

/* Failures that still stand (the mesh is not finished), at most `limit`. */
static ql_status each_failure(const run_status *run, int64_t limit, visit_failure *visit, void *context)
{
    char path[QL_PATH_SIZE];
    ql_failure *failure;
    QL_TRY(QL_TAKE(failure, 1));
    ql_status status = QL_OK;
    for (int64_t i = 0; i < run->listing.count && limit > 0 && status == QL_OK; ++i) {
        const ql_listed_mesh *mesh = &run->listing.meshes[i];
        if (mesh->finished || !mesh->failed) continue;
        status = ql_rundir_path(path, run->directory, QL_RUN_FAILURE, mesh->id);
        if (status != QL_OK) break;
        if (ql_failure_read(failure, path) != QL_OK)
            (void)snprintf(failure->reason, sizeof failure->reason, "%s", ql_error_text());
        (void)snprintf(failure->mesh, sizeof failure->mesh, "%s", mesh->id);
        visit(context, failure);
        --limit;
    }
    ql_free(failure);
    return status;
}

static void print_failure(void *context, const ql_failure *failure)
{
    (void)context;
    (void)printf("  failed %s: %s: %s\n", failure->mesh, failure->stage, failure->reason);
    if (failure->remedy[0] != '\0') (void)printf("         %s\n", failure->remedy);
}

static ql_status print_text(const run_status *run)
{
    print_head(run);
    print_active(run);
    QL_TRY(each_failure(run, FAILURES_SHOWN, print_failure, NULL));
    if (run->listing.failed > FAILURES_SHOWN)
        (void)printf("  ... and %lld more in %s/failures\n", (long long)(run->listing.failed - FAILURES_SHOWN),
                     run->directory);
    return QL_OK;
}

/* ---- for programs ---- */

static void json_active(ql_json *json, const run_status *run)
{
    ql_json_array(json, "active");
    for (int64_t i = 0; i < run->view.log_count; ++i) {
        const ql_log_view *log = &run->view.logs[i];
        if (log->mesh[0] == '\0' || log->past) continue;
        ql_json_object(json, NULL);
        ql_json_string(json, "log", log->log);
        ql_json_string(json, "life", ql_run_life_name(log->life));
        ql_json_string(json, "mesh", log->mesh);
        ql_json_int(json, "faces", log->mesh_start.faces);
        ql_json_int(json, "step", log->sample.time > 0 ? log->sample.step : log->mesh_start.step);
        ql_json_int(json, "steps", log->mesh_start.steps);
        ql_json_real(json, "s_per_step", log->sample.time > 0 ? log->sample.seconds_per_step : NAN);
        ql_json_real(json, "loss", log->sample.time > 0 ? log->sample.loss : NAN);
        ql_json_real(json, "eta_s", mesh_eta(log));
        ql_json_close_object(json);
    }
    ql_json_close_array(json);
}

static void json_failure(void *context, const ql_failure *failure)
{
    ql_json *json = context;
    ql_json_object(json, NULL);
    ql_json_string(json, "mesh", failure->mesh);
    ql_json_string(json, "stage", failure->stage);
    ql_json_string(json, "status", ql_status_name(failure->status));
    ql_json_string(json, "reason", failure->reason);
    ql_json_string(json, "remedy", failure->remedy);
    ql_json_int(json, "attempts", failure->attempts);
    ql_json_close_object(json);
}

static ql_status print_json(const run_status *run)
{
    ql_json json = {0};
    bool known = run->view.log_count > 0;
    ql_json_object(&json, NULL);
    ql_json_string(&json, "run", run->directory);
    ql_json_string(&json, "life", ql_run_life_name(run->view.life));
    ql_json_int(&json, "meshes", run->total);
    ql_json_int(&json, "finished", run->listing.finished);
    ql_json_int(&json, "failed", run->listing.failed);
    ql_json_int(&json, "left", run->waiting);
    ql_json_int(&json, "checkpointed", run->listing.unfinished);
    ql_json_real(&json, "eta_s", run->eta_s);
    ql_json_real(&json, "running_s", known ? run->view.last_time - run->view.start_time : NAN);
    ql_json_real(&json, "last_event_age_s", known ? run->now - run->view.last_time : NAN);
    json_active(&json, run);
    ql_json_array(&json, "failures");
    ql_status status = each_failure(run, INT64_MAX, json_failure, &json);
    ql_json_close_array(&json);
    ql_json_close_object(&json);
    if (status == QL_OK) status = ql_json_end(&json);
    if (status == QL_OK) (void)printf("%s\n", json.text);
    ql_json_destroy(&json);
    return status;
}

/* Prints once; *running and *code tell about the run. */
static ql_status print_once(const char *directory, bool json, bool *running, int *code)
{
    run_status run;
    QL_TRY(read_status(&run, directory));
    ql_status status = json ? print_json(&run) : print_text(&run);
    (void)fflush(stdout);
    *running = run.view.life == QL_RUN_RUNNING;
    *code = run.waiting > 0 || run.total == 0 ? QL_EXIT_STOPPED
            : run.listing.failed > 0          ? QL_EXIT_SOME_FAILED
                                              : QL_EXIT_OK;
    destroy_status(&run);
    return status;
}

int ql_cmd_status(int argc, char **argv)
{
    bool json = false, watch = false, running = false;
    double interval_s = 5;
    const ql_argument table[] = {
        {"json", 0, QL_ARGUMENT_SWITCH, &json, NULL, "print one JSON object"},
        {"watch", 'w', QL_ARGUMENT_SWITCH, &watch, NULL, "again and again until the run ends"},
        {"interval", 0, QL_ARGUMENT_SECONDS, &interval_s, "S", "seconds between two looks of --watch (default 5)"},
    };
    enum { ROWS = sizeof table / sizeof table[0] };
    ql_arguments arguments;
    int code = QL_EXIT_OK;
    ql_status status = ql_arguments_parse(&arguments, argc, argv, table, ROWS);
    if (status == QL_OK && arguments.help) {
        ql_arguments_help(stdout, argv[0], DETAILS, table, ROWS);
        return QL_EXIT_OK;
    }
    if (status == QL_OK && arguments.operand_count != 1)
        status = QL_FAIL(USAGE, "expected one RUN_DIR; see `quadloom status --help`");
    bool screen = watch && !json && isatty(STDOUT_FILENO) != 0;
    while (status == QL_OK) {
        if (screen) (void)printf("\033[H\033[J");
        status = print_once(arguments.operands[0], json, &running, &code);
        if (!watch || !running) break;
        double pause = fmin(fmax(interval_s, 0.1), 3600);
        (void)nanosleep(&(struct timespec){(time_t)pause, (long)((pause - floor(pause)) * 1e9)}, NULL);
    }
    return status == QL_OK ? code : ql_command_failed(argv[0], status);
}

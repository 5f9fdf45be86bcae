/* The state of a run, read from its event logs (see events.h). */
#include "store/events.h"

#include "base/memory.h"
#include "base/process.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Seconds after which a process on another host that does not speak is given up; and between starts of one run. */
enum { SILENT_AFTER_S = 900, SAME_START_S = 300 };

const char *ql_run_life_name(ql_run_life life)
{
    static const char *const names[] = {"never started", "running", "ended", "halted", "silent", "crashed"};
    return names[life];
}

typedef struct view_builder {
    ql_run_view *view;
    ql_status status;
} view_builder;

static ql_log_view *log_of(view_builder *builder, const char *name)
{
    ql_run_view *view = builder->view;
    ql_log_view *last = view->log_count > 0 ? &view->logs[view->log_count - 1] : NULL;
    if (last != NULL && strcmp(last->log, name) == 0) return last; /* events come log by log */
    ql_log_view *grown = ql_memory_resize(view->logs, (size_t)view->log_count + 1, sizeof *grown);
    if (grown == NULL) {
        builder->status = QL_FAIL(NO_MEMORY, "no memory for the event logs");
        return NULL;
    }
    view->logs = grown;
    last = &grown[view->log_count++];
    *last = (ql_log_view){.life = QL_RUN_RUNNING};
    (void)snprintf(last->log, sizeof last->log, "%.63s", name);
    return last;
}

static void end_mesh(ql_log_view *log, const char *mesh, int64_t *counter)
{
    ++*counter;
    if (strcmp(log->mesh, mesh) == 0) log->mesh[0] = '\0';
}

static void take_event(void *context, const char *name, const ql_event *event)
{
    ql_log_view *log = log_of(context, name);
    if (log == NULL) return;
    log->last_time = event->time;
    switch (event->type) {
    case QL_EVENT_start: {
        ql_log_view fresh = {.start = *event, .last_time = event->time, .life = QL_RUN_RUNNING};
        memcpy(fresh.log, log->log, sizeof fresh.log);
        *log = fresh;
        break;
    }
    case QL_EVENT_mesh_start:
        (void)snprintf(log->mesh, sizeof log->mesh, "%s", event->mesh);
        log->mesh_start = *event;
        log->sample = (ql_event){0};
        break;
    case QL_EVENT_sample:
        if (strcmp(log->mesh, event->mesh) == 0) log->sample = *event;
        break;
    case QL_EVENT_mesh_end: end_mesh(log, event->mesh, &log->finished); break;
    case QL_EVENT_failure: end_mesh(log, event->mesh, &log->failed); break;
    case QL_EVENT_halt:
        log->life = QL_RUN_HALTED; /* until `end`, its process decides */
        break;
    case QL_EVENT_end:
        log->code = event->code;
        log->life = event->code == 75 ? QL_RUN_HALTED : QL_RUN_ENDED;
        log->mesh[0] = '\0';
        log->start.process = 0; /* nothing to look for any more */
        log->start.pid = 0;
        break;
    default: break;
    }
}

/* Whether the process of a log that did not say `end` still lives. */
static void judge_life(ql_log_view *log, double now)
{
    char here[24];
    ql_place place = ql_process_place();
    if (log->start.pid == 0) return; /* it said goodbye, or never said hello */
    (void)snprintf(here, sizeof here, "%08x-%08x", place.host, place.boot);
    if (strcmp(here, log->start.place) == 0)
        log->life = ql_process_is_alive(log->start.pid, (uint64_t)log->start.process) ? QL_RUN_RUNNING : QL_RUN_CRASHED;
    else if (strncmp(here, log->start.place, 9) == 0) /* this machine before its last boot */
        log->life = QL_RUN_CRASHED;
    else
        log->life = now - log->last_time < SILENT_AFTER_S ? QL_RUN_RUNNING : QL_RUN_SILENT;
}

/* Length of the shard's name in that of a log: "2of8-0" is rank 0 of "2of8", "0" is rank 0 of the only one. */
static size_t shard_length(const char *log)
{
    const char *dash = strrchr(log, '-');
    return dash != NULL ? (size_t)(dash - log) : 0;
}

/* Every rank of a shard announces all meshes of its shard: counted once per shard. Logs are sorted by name. */
static void count_meshes(ql_run_view *view)
{
    const char *shard = NULL;
    int64_t largest = 0;
    for (int64_t i = 0; i < view->log_count; ++i) {
        const ql_log_view *log = &view->logs[i];
        size_t length = shard_length(log->log);
        if (log->past) continue;
        if (shard == NULL || shard_length(shard) != length || strncmp(shard, log->log, length) != 0) {
            view->meshes += largest;
            largest = 0;
        }
        shard = log->log;
        if (log->start.meshes > largest) largest = log->start.meshes;
    }
    view->meshes += largest;
}

static void sum_up(ql_run_view *view)
{
    /* what matters most about a run comes last */
    static const int weight[] = {[QL_RUN_NEVER] = 0,  [QL_RUN_ENDED] = 1,   [QL_RUN_HALTED] = 2,
                                 [QL_RUN_SILENT] = 3, [QL_RUN_CRASHED] = 4, [QL_RUN_RUNNING] = 5};
    double newest = 0;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    for (int64_t i = 0; i < view->log_count; ++i) {
        judge_life(&view->logs[i], (double)now.tv_sec);
        newest = fmax(newest, view->logs[i].start.time);
        view->last_time = fmax(view->last_time, view->logs[i].last_time);
    }
    for (int64_t i = 0; i < view->log_count; ++i) {
        ql_log_view *log = &view->logs[i];
        log->past = log->life != QL_RUN_RUNNING && log->start.time < newest - SAME_START_S;
        if (log->past) continue;
        if (weight[log->life] > weight[view->life]) view->life = log->life;
        if (view->start_time == 0 || log->start.time < view->start_time) view->start_time = log->start.time;
        view->finished_now += log->finished;
        if (log->mesh[0] != '\0' && log->life == QL_RUN_RUNNING && log->sample.seconds_per_step > 0)
            view->steps_per_second += 1 / log->sample.seconds_per_step;
    }
    count_meshes(view);
}

ql_status ql_run_view_read(ql_run_view *view, const char *run_directory)
{
    *view = (ql_run_view){0};
    view_builder builder = {view, QL_OK};
    ql_status status = ql_events_read(run_directory, take_event, &builder, &view->skipped);
    if (status == QL_OK) status = builder.status;
    if (status == QL_OK)
        sum_up(view);
    else
        ql_run_view_destroy(view);
    return status;
}

void ql_run_view_destroy(ql_run_view *view)
{
    if (view == NULL) return;
    ql_free(view->logs);
    *view = (ql_run_view){0};
}

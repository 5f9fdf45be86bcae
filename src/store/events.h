/* What happens during a run: events/RANK.jsonl (events/XX/RANK.jsonl when there are thousands), one JSON object per line, append-only (one write per line
 * with O_APPEND). A line torn by a crash is skipped by readers and ended by the next writer. Fields of zero
 * or "" are left out. */
#ifndef QL_STORE_EVENTS_H
#define QL_STORE_EVENTS_H

#include "base/status.h"
#include "store/summary.h"

#include <stdbool.h>
#include <stdint.h>

/* X(name, which fields it carries) */
#define QL_EVENT_TYPES(X)                                                                                              \
    X(start, "rank, ranks, meshes, host, pid, process, place, job, version")                                           \
    X(mesh_start, "mesh, faces, steps, step (resumed at), attempt, ranks and seconds (of its group), text (path)")     \
    X(group, "mesh, ranks, seconds (from asking for work until the group was complete)")                               \
    X(sample, "mesh, step, steps, seconds, seconds_per_step, loss")                                                    \
    X(checkpoint, "mesh, step, seconds (to write), bytes")                                                             \
    X(mesh_end, "mesh, step, seconds")                                                                                 \
    X(failure, "mesh, step, stage, text (reason), attempt")                                                            \
    X(halt, "text (why: SIGTERM, time limit, halt requested)")                                                         \
    X(end, "code (exit code), seconds; of the rank: busy_s, comm_s, io_s, form_s, idle_s")

typedef enum ql_event_type {
#define QL_EVENT_ENUM(name, fields) QL_EVENT_##name,
    QL_EVENT_TYPES(QL_EVENT_ENUM)
#undef QL_EVENT_ENUM
        QL_EVENT_TYPE_COUNT
} ql_event_type;

typedef struct ql_event {
    ql_event_type type;
    double time; /* seconds since 1970; 0 = now when written */
    int64_t rank, ranks, meshes, faces, step, steps, attempt, bytes, code;
    double seconds, seconds_per_step, loss, busy_s, comm_s, io_s, form_s, idle_s;
    char mesh[QL_ID_SIZE], stage[32], text[QL_SUMMARY_TEXT];
    char host[64], job[64], version[64];
    int64_t pid, process; /* process: start time, which with pid and place tells whether it is still alive */
    char place[24];       /* host and boot (base/process.h) */
} ql_event;

const char *ql_event_name(ql_event_type type); /* "mesh_start" */

/* A rank's open log. */
typedef struct ql_events {
    int file, rank;
} ql_events;

/* Opens (creates) events/NAME.jsonl in a run directory; name: the rank, "0", or "SHARD-RANK" when several
 * jobs share the directory. When there will be more than QL_RUNDIR_NARROW `logs` it is events/3f/NAME.jsonl, by a hash of the name;
 * a log that is already there stays where it is. */
ql_status ql_events_open(ql_events *events, const char *run_directory, const char *name, int rank, int64_t logs);
void ql_events_close(ql_events *events); /* NULL-safe */

/* Appends one line. Fills time and, for `start`, host, pid, process, place and job. Callable from any thread.
 */
ql_status ql_events_write(ql_events *events, const ql_event *event);

/* Calls `visit` for every complete line of every log of the run directory, log by log, in order of writing.
 * Unknown types and torn or foreign lines are counted in *skipped (or NULL). log: file name without
 * extension. */
ql_status ql_events_read(const char *run_directory,
                         void (*visit)(void *context, const char *log, const ql_event *event), void *context,
                         int64_t *skipped);

/* ---- the state of a run, as its events tell it ---- */

typedef enum ql_run_life {
    QL_RUN_NEVER,   /* no events */
    QL_RUN_RUNNING, /* its process lives, or lives elsewhere and spoke a short while ago */
    QL_RUN_ENDED,   /* all done */
    QL_RUN_HALTED,  /* stopped early on request: submit again */
    QL_RUN_SILENT,  /* on another host, silent for long: probably dead */
    QL_RUN_CRASHED  /* its process is gone without a word */
} ql_run_life;
const char *ql_run_life_name(ql_run_life life);

typedef struct ql_log_view {
    char log[64];
    ql_event start; /* the last one */
    double last_time;
    ql_run_life life;
    int64_t code;                /* of `end` */
    char mesh[QL_ID_SIZE];       /* active mesh, "" = none */
    ql_event mesh_start, sample; /* of the active mesh; time 0 = none yet */
    bool past;                   /* of an earlier start of the run; only `life` and last_time matter */
    int64_t finished, failed;    /* mesh_end and failure events since `start` */
} ql_log_view;

typedef struct ql_run_view {
    ql_run_life life;
    int64_t log_count, skipped;
    ql_log_view *logs;            /* sorted by name */
    int64_t meshes;               /* announced by the last starts; 0 = unknown */
    double start_time, last_time; /* seconds since 1970: earliest start that is not past, last event */
    int64_t finished_now;         /* since start_time */
    double steps_per_second;      /* sum over active meshes */
} ql_run_view;

ql_status ql_run_view_read(ql_run_view *view, const char *run_directory);
void ql_run_view_destroy(ql_run_view *view); /* NULL-safe */

#endif

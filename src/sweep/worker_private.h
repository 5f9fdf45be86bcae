/* Between worker.c, sharing.c, reading.c and finishing.c only. */
#ifndef QL_SWEEP_WORKER_PRIVATE_H
#define QL_SWEEP_WORKER_PRIVATE_H

#include "quad/quad.h"
#include "sweep/several.h"
#include "sweep/task.h"
#include "sweep/worker.h"

#include <stdatomic.h>

/* A thread that trains, and the mesh on it. */
typedef struct ql_lane {
    struct ql_worker *worker;
    int number;
    pthread_t thread; /* of all but the first, whose is the calling one */
    ql_task *current;
    double step_s, write_s, last_checkpoint_s, last_sample_s; /* newest step and checkpoint; when */
    bool going;
    /* under the worker's mutex, for the line of progress */
    const ql_task *shown; /* NULL: trains none */
    int64_t step, steps;
    double steps_per_s;
} ql_lane;

typedef struct ql_worker {
    const ql_worker_setup *setup;
    ql_queue read, trained;
    double started_s;
    int lanes; /* more than one: several small meshes at the same time (several.h) */
    ql_lane lane[QL_SEVERAL_MOST];
    pthread_mutex_t door;    /* held by the lane that waits for a mesh, or for room to begin it */
    atomic_bool hungry;      /* a lane waits for a mesh */
    atomic_int lanes_active; /* that train; changed with the mutex held */
    bool reads_ahead;
    pthread_mutex_t mutex;  /* of all below */
    pthread_cond_t changed; /* in `several` */
    ql_several several;
    ql_crew_state state;
    ql_crew_end end;
    int64_t granted;                   /* meshes taken on so far */
    double read_seconds;               /* of the last one */
    double busy_since_s, busy_other_s; /* while a lane trains: since when, and what of it was not computing */
    double train_s, comm_s, io_s;      /* sums */
    /* calling thread only */
    double form_s;
    int64_t groups;
} ql_worker;

/* Stage 1: the next mesh from the crew as a new task, read and checked (or failed). NULL: no more. And the same for a mesh that
 * was granted already. */
ql_status ql_worker_read(ql_worker *worker, ql_task **task);
ql_status ql_worker_read_granted(ql_worker *worker, int64_t position, ql_task **task);

/* Stage 1 ahead of the training, until there is no more: a mesh is taken on only when the ones in hand will soon be done, so
 * that no rank holds back work that another one could do now. */
void ql_worker_read_ahead(ql_worker *worker);

/* Stage 2, a lane: a task that was read. Stopped (QL_STATUS_STOPPED) and trouble of the run directory
 * (QL_STATUS_IO) come back; what is the mesh's own ends up in the task. */
ql_status ql_worker_train(ql_lane *lane, ql_task *task);

/* The parts of it. find_snapshot: the checkpoint to go on from, snapshot->step < 0 = none. `status` of begin: QL_STATUS_MESH
 * when the mesh killed the process too often. train_with is collective over `group` (NULL: alone); on its first rank it keeps
 * the records. end sorts the status of a training as above. */
ql_status ql_worker_find_snapshot(ql_worker *worker, const ql_task *task, ql_snapshot *snapshot);
ql_status ql_worker_begin_attempt(ql_worker *worker, ql_task *task, const ql_snapshot *snapshot);
ql_status ql_worker_train_with(ql_lane *lane, ql_task *task, const ql_snapshot *snapshot, ql_comm *group,
                               double formed_s);
ql_status ql_worker_end_training(ql_lane *lane, ql_task *task, ql_status status);

/* Reading or writing so long while nothing was trained. */
void ql_worker_add_io(ql_worker *worker, double seconds);

/* A mesh that was granted to several ranks, from the forming of the group to its end. On its first rank *task comes back for
 * stage 3 (NULL elsewhere, and when it was stopped). Statuses as above; collective over the members. */
ql_status ql_worker_share(ql_worker *worker, const ql_crew_grant *grant, double asked_s, ql_task **task);

/* Stage 3: quads, result file, record of the failure; takes the task over. */
void ql_worker_finish(ql_worker *worker, ql_task *task);

/* Writes the result file with quads (NULL: without). */
ql_status ql_worker_write_result(ql_worker *worker, const ql_task *task, const ql_quad_result *quads, const char *path);

/* Quads of a trained task, also as RUN_DIR/quads/ID.obj. What is the mesh's own fault ends up in the task (stage quads). */
ql_status ql_worker_make_quads(ql_worker *worker, ql_task *task, ql_quad_result *quads);

/* Keeps a trained field whose quads are still to come. */
ql_status ql_worker_save_trained(ql_worker *worker, const ql_task *task);

/* Whether an earlier start trained this mesh and only its quads are missing; then its field is in the task. */
bool ql_worker_find_trained(const ql_worker *worker, ql_task *task);
ql_status ql_worker_forget_trained(const ql_worker *worker, const ql_task *task);

/* An error that concerns the whole run: stops it. */
void ql_worker_break(ql_worker *worker, ql_status status);

/* Counts and the active mesh for the crew; call with the worker's mutex held. */
void ql_worker_tell(ql_worker *worker);

void ql_worker_event(ql_worker *worker, ql_event *event, const ql_task *task);

#endif

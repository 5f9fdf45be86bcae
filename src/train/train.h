/* Training of one mesh: a pure function of (mesh, options, key). It knows no MPI, no file and no other mesh; what must
 * survive leaves through callbacks, and a snapshot brings it back to continue bit-identically.
 *
 * The ranks of a group may train it together: all call ql_train_mesh with the same mesh, options and snapshot, take the same
 * way and end with the same status and result; a failure of one is a failure of all, with its text. Each rank's wish to stop
 * or to checkpoint travels with the loss terms of a step, or of the few that an engine takes at once, so all know at their end what
 * all will do.
 */
#ifndef QL_TRAIN_TRAIN_H
#define QL_TRAIN_TRAIN_H

#include "engine/engine.h"

/* One row per sampled step (train.history_every, and the first and last step). Columns as in ql_history_column_name. */
enum { QL_HISTORY_COLUMNS = 11 };
/* step, total, sdf, off, eikonal, normal, align, smooth, weight_normal, gradient_norm, seconds */

typedef struct ql_history {
    int64_t rows, capacity;
    double *values; /* rows x QL_HISTORY_COLUMNS */
} ql_history;

const char *ql_history_column_name(int column);
const char *ql_history_column_unit(int column);
ql_status ql_history_append(ql_history *history, const double row[QL_HISTORY_COLUMNS]);
ql_status ql_history_reserve(ql_history *history, int64_t rows); /* then so many more are appended without failing */
ql_status ql_history_copy(ql_history *to, const ql_history *from);
void ql_history_destroy(ql_history *history); /* NULL-safe */

/* All that a training needs in order to go on: what a checkpoint holds. */
typedef struct ql_snapshot {
    int64_t step;   /* steps taken */
    double seconds; /* spent training so far, all attempts */
    uint64_t mesh_hash;
    uint64_t options_hash; /* of the options that decide the result: another one cannot be continued */
    ql_engine_state state; /* three arrays of QL_PARAMETER_COUNT */
    ql_history history;
} ql_snapshot;

/* Takes memory for the arrays of `state` of this type. */
ql_status ql_snapshot_create(ql_snapshot *snapshot, ql_real_type type);
void ql_snapshot_destroy(ql_snapshot *snapshot); /* NULL-safe */

typedef struct ql_train_progress {
    int64_t step, steps;
    double seconds, seconds_per_step; /* the latter a running mean */
    const double *terms;              /* QL_LOSS_COUNT */
} ql_train_progress;

/* All optional. In a group the wish of any rank counts, one look later; `checkpoint` is called on rank 0 of the group only. An engine
 * on a device may take up to QL_ENGINE_AHEAD steps, 0.05 s, between two looks: wishes are asked for, and a loss that is not finite is
 * seen, so much later; what is written at a step is that step's all the same. */
typedef struct ql_train_callbacks {
    void *context;
    bool (*should_stop)(void *context); /* asked after every step: finish it, checkpoint, return QL_STATUS_STOPPED */
    bool (*should_checkpoint)(void *context);                            /* asked after every step */
    ql_status (*checkpoint)(void *context, const ql_snapshot *snapshot); /* the snapshot is borrowed for the call */
    void (*progress)(void *context, const ql_train_progress *progress);  /* after every step */
} ql_train_callbacks;

/* What a training builds of its mesh before it creates an engine. Made ahead, on another thread, it saves that time, and the
 * tables are on the device already. */
typedef struct ql_train_ready {
    const ql_engine_class *engine; /* NULL: nothing was made */
    ql_topology topology;
    ql_tables tables;
    ql_loss_shares shares;
    ql_engine_upload *upload; /* NULL: none */
} ql_train_ready;

typedef struct ql_train_job {
    const ql_mesh *mesh;
    const ql_options *options;
    const ql_engine_class *engine;
    struct ql_comm *group; /* NULL or of one rank: this one alone */
    ql_train_ready *ready; /* made for this mesh and these options, or NULL; training empties it */
} ql_train_job;

/* Tables of a job, and their way to the device (which may fail in silence: training sends them then). Any thread. */
ql_status ql_train_ready_make(ql_train_ready *ready, const ql_train_job *job);
void ql_train_ready_send(ql_train_ready *ready, const ql_train_job *job);
void ql_train_ready_destroy(ql_train_ready *ready); /* also of zeros */

/* What an engine for this job is created with; borrows from both. */
ql_engine_setup ql_train_setup(const ql_train_ready *ready, const ql_train_job *job);

/* What a training leaves: the field in input coordinates and the networks. */
typedef struct ql_train_result {
    int32_t face_count, vertex_count;
    float *theta;                         /* F, radians, stochastic depth off (as trained in preset reference) */
    float *alpha, *beta;                  /* F x 3, unit, input coordinates; zero for degenerate faces */
    float *sdf;                           /* F, distance field at the centroids, normalised units */
    float *curvature_min, *curvature_max; /* F x 3, principal directions of the field's Hessian, unit */
    int8_t *singularity_index;            /* V, quarter turns */
    int64_t singularity_sum;              /* quarter turns; 4 chi on a closed surface */
    int32_t singular_vertices;
    double mismatch_mean_deg; /* mean |delta| of neighbouring crosses modulo 90 degrees */
    float *parameters;        /* QL_PARAMETER_COUNT */
    ql_history history;
    int64_t steps;
    double final_terms[QL_LOSS_COUNT];
    double train_seconds, prepare_seconds, seconds_per_step, cpu_seconds;
    int64_t memory_bytes, memory_predicted; /* of the engine */
    char engine[16];
    ql_engine_device device; /* where the engine can tell; else name "" */
} ql_train_result;

/* Collective over job->group. Trains from the beginning or, when `resume` is not NULL, from a snapshot (which must match mesh and options).
 * QL_STATUS_STOPPED: stopped on request after a checkpoint. QL_STATUS_NUMERIC: NaN or exploding loss (text names step
 * and term). QL_STATUS_MESH: the mesh cannot be trained (text names the defect and the remedy). */
ql_status ql_train_mesh(ql_train_result *result, const ql_train_job *job, const ql_snapshot *resume,
                        const ql_train_callbacks *callbacks);
void ql_train_result_destroy(ql_train_result *result); /* NULL-safe */

/* Hash of those options that decide the numbers of a result (not threads, intervals, limits). */
uint64_t ql_train_options_hash(const ql_options *options, const char *engine_name);

#endif

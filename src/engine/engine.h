/* The seam between training and the machine: one mesh's networks, gradient and optimiser on some device.
 *
 * A call is one step wide; nothing virtual happens inside a loop over points. An engine owns the flat parameter,
 * gradient and moment arrays. Engines that are not compiled in are still listed and say how to get them.
 *
 * The ranks of a group (setup->group) share a mesh: each has the same tables and state, does its part of the faces and points,
 * and ends every call with the same numbers. Then create, evaluate, apply, advance, theta and field are collective. With
 * train.deterministic the numbers are those of a rank alone, to the byte.
 *
 * Order of a step (method, section 4): evaluate = draw off-surface points and dropped blocks, angle network forward, SDF
 * forward and backward chunk by chunk, smoothness, angle network backward; apply = norm, clip, Adam.
 */
#ifndef QL_ENGINE_ENGINE_H
#define QL_ENGINE_ENGINE_H

#include "base/options.h"
#include "base/random.h"
#include "field/tables.h"
#include "model/loss.h"

/* A mesh's tables on their way to a device; each engine has its own kind. */
typedef struct ql_engine_upload ql_engine_upload;

/* What a mesh's training is made of. All pointers are borrowed until destroy. */
typedef struct ql_engine_setup {
    const ql_tables *tables;
    const ql_loss_shares *shares;
    const ql_train_options *train;
    const ql_engine_options *engine;
    ql_key key;
    const float *fixed_off_points; /* off_points x 3 used at every step instead of drawing, or NULL */
    ql_engine_upload *upload;      /* what the same kind's `prepare` made of this mesh, or NULL; create empties it */
    struct ql_comm *group; /* the ranks that share this mesh, one engine at a time; NULL or of one rank: alone */
} ql_engine_setup;

/* Where an engine computes and what it took. */
typedef struct ql_engine_device {
    char name[96];
    double joules; /* of the whole device since create, whoever used it; < 0: not known */
    double watts;  /* its mean power over that time; < 0: not known */
    int64_t bytes; /* of the device's own memory that the engine took; 0: it takes the host's */
} ql_engine_device;

typedef enum ql_real_type { QL_FLOAT32, QL_FLOAT64 } ql_real_type;

/* Trainable state: three flat arrays of QL_PARAMETER_COUNT numbers. */
typedef struct ql_engine_state {
    ql_real_type type;
    void *parameters, *moment1, *moment2;
} ql_engine_state;

typedef struct ql_engine ql_engine;

typedef struct ql_engine_class {
    const char *name;    /* ref, cpu, cuda */
    const char *summary; /* one line for doctor; for a missing engine how to get it */

    /* Required. QL_STATUS_ENVIRONMENT when the engine cannot run here (not compiled in, no device). */
    ql_status (*available)(void);
    /* Bytes that create will take for this setup, within 10 %. */
    ql_status (*memory)(const ql_engine_setup *setup, int64_t *bytes);
    ql_status (*create)(ql_engine **engine, const ql_engine_setup *setup); /* by ql_engine_create */
    void (*destroy)(ql_engine *engine);                                    /* NULL-safe */

    /* Loss terms (unweighted, and their weighted total) and gradient before step `step` (0-based) with these weights. */
    ql_status (*evaluate)(ql_engine *engine, int64_t step, const ql_loss_weights *weights, double terms[QL_LOSS_COUNT]);
    /* Clips by the global norm and takes Adam's step number `step` + 1. Returns the norm before clipping. */
    ql_status (*apply)(ql_engine *engine, int64_t step, double *norm);
    /* The gradient of the last evaluate, QL_PARAMETER_COUNT doubles. */
    ql_status (*gradient)(ql_engine *engine, double *gradient);

    /* Cross angles of all faces with stochastic depth off, radians. */
    ql_status (*theta)(ql_engine *engine, double *theta);
    /* Distance field at any points (count x 3, normalised coordinates): value, gradient (count x 3), Hessian (count x 6:
     * xx xy xz yy yz zz); each output may be NULL. */
    ql_status (*field)(ql_engine *engine, const double *points, int64_t count, double *value, double *gradient,
                       double *hessian);

    /* Borrowed view of the state, valid until the next call; and its replacement (either type, converted). */
    ql_status (*state)(ql_engine *engine, ql_engine_state *state);
    ql_status (*set_state)(ql_engine *engine, const ql_engine_state *state);

    /* Optional (may be NULL): floating-point operations of one evaluate, and seconds spent by stage since create. */
    double (*flop)(const ql_engine *engine);
    int (*stages)(const ql_engine *engine, const char *const **names, const double **seconds);
    void (*device)(ql_engine *engine, ql_engine_device *device);

    /* Optional, for engines whose tables travel. prepare starts the way of a later create's tables (tables, shares, train
     * and fixed points of the setup) and returns without waiting for the device; any thread may call it while other engines
     * of the kind work. The tables may go before the upload does. discard: NULL-safe, after create or instead of it. */
    ql_status (*prepare)(ql_engine_upload **upload, const ql_engine_setup *setup);
    void (*discard)(ql_engine_upload *upload);

    /* Optional, for devices that a small mesh does not fill: how many meshes of this size could pay, each trained by a
     * thread of its own at the same time; 1: it fills the device alone. NULL: 1. */
    int (*at_once)(int64_t faces, int64_t off_points);

    /* Whether several ranks can share a mesh; and whether also with train.deterministic, where every number of ranks must give
     * the same bytes. ql_engine_shares tells, ql_engine_create refuses the rest. */
    bool groups, groups_exact;

    /* Optional: how many ranks of a group find work in a mesh. More do no harm and no good. */
    int64_t (*most_ranks)(const ql_train_options *train, int64_t faces);

    /* Optional, for devices that need not wait for the host between steps: what ql_engine_steps does, with the same bytes. */
    ql_status (*advance)(ql_engine *engine, int64_t first, int count, const ql_loss_weights *weights,
                         double (*terms)[QL_LOSS_COUNT], double *norms);
} ql_engine_class;

enum { QL_ENGINE_AHEAD = 8 }; /* steps that ql_engine_steps takes at most */

struct ql_engine {
    const ql_engine_class *kind;
    /* Before evaluate or advance our own, afterwards the largest of the group's (alone: unchanged); see train.c. */
    int vote;      /* what to do next */
    double pace_s; /* what a step takes; of engines that have `advance` only */
};

/* All engines, compiled in or not; NULL-terminated. */
const ql_engine_class *const *ql_engine_list(void);

/* The class for a name ("auto" takes the best that is available); errors say what there is. */
ql_status ql_engine_find(const char *name, const ql_engine_class **engine_class);

bool ql_engine_shares(const ql_engine_class *engine_class, const ql_train_options *train);

/* Creates an engine of a class. Collective over setup->group: all ranks get one, or all the same error. */
ql_status ql_engine_create(ql_engine **engine, const ql_engine_class *engine_class, const ql_engine_setup *setup);

/* `count` steps, `first` and those after it: evaluate with its weights, and apply. Leaves the terms and the norm of each; behind a
 * step whose numbers are not finite they mean nothing. */
ql_status ql_engine_steps(ql_engine *engine, int64_t first, int count, const ql_loss_weights *weights,
                          double (*terms)[QL_LOSS_COUNT], double *norms);

/* Defined by engine/ref, engine/cpu and by cuda/ (a stub when CUDA is not compiled in). */
extern const ql_engine_class ql_engine_ref, ql_engine_cpu, ql_engine_cuda;

/* Number of floating-point operations of one evaluate by the method's count (2 per multiply-add of the matrix
 * products): 15 units per surface point, 6 per off-surface point, 3 passes of the angle network. */
double ql_engine_flop_formula(int64_t faces, int64_t off_points);

#endif

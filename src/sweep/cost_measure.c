/* Measuring the cost model's coefficients on this machine (see cost.h). */
#include "base/clock.h"
#include "base/memory.h"
#include "mesh/generate.h"
#include "quad/quad.h"
#include "sweep/cost.h"
#include "train/train.h"

#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SMALL_FACES = 300, LARGE_FACES = 1500, STEPS = 5, MOST_NEIGHBOURS = 512 };

typedef struct measurement {
    double faces, step_s, prepare_s, quads_s, memory;
} measurement;

/* The fastest step of those after the first, which touches all memory for the first time. */
static double fastest_step(const ql_train_result *result)
{
    double fastest = result->seconds_per_step;
    for (int64_t row = 2; row < result->history.rows; ++row) {
        const double *end = result->history.values + (row + 1) * QL_HISTORY_COLUMNS - 1;
        double step = end[0] - end[-QL_HISTORY_COLUMNS];
        if (step > 0 && step < fastest) fastest = step;
    }
    return fastest;
}

/* With the smooth field: that of a training that has hardly begun says nothing about the time. The time differs by a factor of
 * twenty between meshes of one size (how often the ladder has to try); a double torus is in the middle of it. */
static ql_status measure_quads(measurement *m, int faces, const ql_options *options)
{
    ql_mesh mesh = {0};
    ql_quad_result quads = {0};
    QL_TRY(ql_generate_by_name(&mesh, "double-torus", faces));
    double began = ql_clock_s();
    ql_status status = ql_quads_make(&quads, &mesh, NULL, &options->quads);
    m->quads_s = (ql_clock_s() - began) * (double)faces / (double)mesh.face_count;
    ql_quad_result_destroy(&quads);
    ql_mesh_destroy(&mesh);
    return status;
}

static ql_status measure(measurement *m, const ql_options *options, const ql_engine_class *engine, int faces)
{
    ql_options own = *options;
    ql_mesh mesh = {0};
    ql_train_result result = {0};
    own.train.steps = STEPS;
    own.train.stop_after = 0;
    own.train.history_every = 1;
    QL_TRY(ql_generate_by_name(&mesh, "torus", faces));
    ql_train_job job = {&mesh, &own, engine, NULL, NULL};
    ql_status status = ql_train_mesh(&result, &job, NULL, NULL);
    if (status == QL_OK) {
        *m = (measurement){.faces = mesh.face_count,
                           .step_s = fastest_step(&result),
                           .prepare_s = result.prepare_seconds,
                           .memory = (double)result.memory_predicted};
        if (options->quads.enabled) status = measure_quads(m, faces, options);
    }
    ql_train_result_destroy(&result);
    ql_mesh_destroy(&mesh);
    return status;
}

static void line_through(double x0, double y0, double x1, double y1, double *base, double *slope)
{
    *slope = fmax(0, (y1 - y0) / (x1 - x0));
    *base = fmax(0, y0 - *slope * x0);
}

static ql_status fit(ql_cost *cost, const ql_options *options, const ql_engine_class *engine)
{
    measurement small, large;
    ql_options warm = *options; /* memory that the first mesh clears goes from one to the next (base/memory.h) */
    warm.quads.enabled = false;
    QL_TRY(measure(&small, &warm, engine, SMALL_FACES));
    QL_TRY(measure(&small, options, engine, SMALL_FACES));
    QL_TRY(measure(&large, options, engine, LARGE_FACES));
    int64_t off = options->train.off_points;
    ql_cost_guess(cost, options->engine.threads); /* what one process cannot measure: the exchange */
    cost->samples = 2;
    line_through(ql_engine_flop_formula((int64_t)small.faces, off), small.step_s,
                 ql_engine_flop_formula((int64_t)large.faces, off), large.step_s, &cost->fixed_s, &cost->s_per_flop);
    if (!(cost->s_per_flop > 0)) { /* noise: the larger one as if it were all arithmetic */
        cost->fixed_s = 0;
        cost->s_per_flop = large.step_s / ql_engine_flop_formula((int64_t)large.faces, off);
    }
    line_through(small.faces, small.prepare_s, large.faces, large.prepare_s, &cost->prepare_s,
                 &cost->prepare_s_per_face);
    line_through(small.faces, small.quads_s, large.faces, large.quads_s, &cost->quads_s, &cost->quads_s_per_face);
    line_through(small.faces, small.memory, large.faces, large.memory, &cost->memory_bytes,
                 &cost->memory_bytes_per_face);
    return QL_OK;
}

/* ---- the other ranks of the node ---- */

/* Trains until killed; ends with its parent. */
static void keep_busy(pid_t parent, const ql_options *options, const ql_engine_class *engine)
{
    measurement m;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (getppid() == parent && measure(&m, options, engine, LARGE_FACES) == QL_OK) continue;
    _exit(0);
}

ql_status ql_cost_calibrate(ql_cost *cost, const ql_options *options, const ql_engine_class *engine, int neighbours)
{
    pid_t children[MOST_NEIGHBOURS], parent = getpid();
    int count = 0;
    for (; count < neighbours && count < MOST_NEIGHBOURS; ++count) {
        children[count] = fork();
        if (children[count] == 0) keep_busy(parent, options, engine);
        if (children[count] < 0) break; /* measured with fewer of them */
    }
    ql_status status = fit(cost, options, engine);
    for (int i = 0; i < count; ++i) (void)kill(children[i], SIGKILL);
    for (int i = 0; i < count; ++i) (void)waitpid(children[i], NULL, 0);
    return status;
}

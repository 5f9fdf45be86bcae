/* What training a mesh costs on this machine.
 *
 *   seconds per step = fixed + per_flop * flop(faces, off-surface points)      flop: the method's count
 *   preparation, memory = base + slope * faces
 * The coefficients come from short trainings of generated meshes of two sizes (some seconds), or from the meshes that a run
 * has finished; they are kept in the user's cache per machine, engine and number of threads.
 */
#ifndef QL_SWEEP_COST_H
#define QL_SWEEP_COST_H

#include "base/options.h"
#include "engine/engine.h"
#include "sweep/survey.h"

typedef struct ql_cost {
    double fixed_s, s_per_flop;
    double prepare_s, prepare_s_per_face;
    double memory_bytes, memory_bytes_per_face;
    int64_t samples; /* meshes that the speed was fitted to */
} ql_cost;

/* Seconds of one step, and of a whole training from step `done` on; bytes of the engine. */
double ql_cost_step(const ql_cost *cost, int64_t faces, int64_t off_points);
double ql_cost_mesh(const ql_cost *cost, int64_t faces, const ql_train_options *train, int64_t done);
double ql_cost_memory(const ql_cost *cost, int64_t faces);

/* Measures on this machine. options->engine.threads must be set. */
ql_status ql_cost_calibrate(ql_cost *cost, const ql_options *options, const ql_engine_class *engine);

/* Speed from (faces, seconds per step) of meshes that were trained: least squares of the relative error, both coefficients
 * >= 0. Too little variety in sizes keeps the former ratio of the two. */
void ql_cost_refine(ql_cost *cost, const double *faces, const double *seconds, int64_t count, int64_t off_points);

/* The cache: false when there is nothing for this machine. Failing to write is no error. */
bool ql_cost_recall(ql_cost *cost, const char *engine, int64_t threads);
void ql_cost_keep(const ql_cost *cost, const char *engine, int64_t threads);

#endif

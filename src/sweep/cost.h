/* What a mesh costs on this machine, on any number of ranks.
 *
 *   seconds per step on k ranks = fixed + per_flop * flop(F / k, P / k) + exchange(k)
 *   exchange(k) = latency * ceil(log2 k) + per_byte * (k - 1) / k * (2 * 4 N + 4 F)          k > 1
 *   preparation, quads, memory = base + slope * F
 * F faces, P off-surface points, N parameters; flop: the method's count; exchange: all-reduce of the gradient (4 N = 17.5 MB)
 * and all-gather of theta, by rings. fixed is what every rank does alike (optimiser).
 *
 * The coefficients come from short trainings of generated meshes of two sizes (some seconds), with the other cores of this
 * machine as busy as they will be in the run, and from the meshes that runs have finished. They are kept in the user's cache
 * per machine, engine, threads and number of off-surface points.
 */
#ifndef QL_SWEEP_COST_H
#define QL_SWEEP_COST_H

#include "base/options.h"
#include "engine/engine.h"
#include "store/summary.h"

/* X(name, what it is) */
#define QL_COST_COEFFICIENTS(X)                                                                                        \
    X(fixed_s, "of a step, on every rank alike")                                                                       \
    X(s_per_flop, "of a step, shared among ranks")                                                                     \
    X(latency_s, "of an exchange, per doubling of the ranks")                                                          \
    X(s_per_byte, "of an exchange")                                                                                    \
    X(prepare_s, "of reading, tables and initial parameters")                                                          \
    X(prepare_s_per_face, "")                                                                                          \
    X(quads_s, "of field to quads")                                                                                    \
    X(quads_s_per_face, "")                                                                                            \
    X(memory_bytes, "of the engine on one rank")                                                                       \
    X(memory_bytes_per_face, "")                                                                                       \
    X(samples, "meshes that the speed was fitted to")

typedef struct ql_cost {
#define QL_COST_FIELD(name, meaning) double name;
    QL_COST_COEFFICIENTS(QL_COST_FIELD)
#undef QL_COST_FIELD
} ql_cost;

/* What is left of a mesh when `done` steps are taken; seconds of a step, and of all of it: preparation, training, quads. The
 * quads keep one rank of a group busy while the others go on, so they count with 1 / ranks. */
typedef struct ql_cost_job {
    int64_t faces, off_points, steps; /* steps that are left */
    bool quads;
    bool alone; /* one rank only, by the mesh's own options */
} ql_cost_job;
ql_cost_job ql_cost_job_of(int64_t faces, const ql_options *options, int64_t done);
double ql_cost_step(const ql_cost *cost, int64_t faces, int64_t off_points, int ranks);
double ql_cost_mesh(const ql_cost *cost, const ql_cost_job *job, int ranks);

/* Bytes of the engine on each of so many ranks. */
double ql_cost_memory(const ql_cost *cost, int64_t faces, int ranks);

/* Coefficients of a usual core, when nothing was measured: right in their proportions, not in their size. */
void ql_cost_guess(ql_cost *cost, int64_t threads);

/* Measures on this machine while `neighbours` other processes are as busy. options->engine.threads must be set. The process
 * must not have threads or MPI running. */
ql_status ql_cost_calibrate(ql_cost *cost, const ql_options *options, const ql_engine_class *engine, int neighbours);

/* Corrects by rows of finished meshes (those of this engine count): least squares of the relative error, coefficients >= 0.
 * Too little variety in sizes keeps the former ratio of fixed and per_flop. Meshes trained by groups correct the exchange. */
ql_status ql_cost_refine(ql_cost *cost, const ql_summary *rows, int64_t count, const char *engine, int64_t off_points);

/* Reads coefficients from a file of the cache (of another machine). */
ql_status ql_cost_read(ql_cost *cost, const char *path);

/* The cache: false when there is nothing for this machine. Failing to write is no error. */
bool ql_cost_recall(ql_cost *cost, const ql_options *options, const char *engine);
void ql_cost_keep(const ql_cost *cost, const ql_options *options, const char *engine);

#endif

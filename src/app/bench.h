/* Measurements behind `quadloom bench` (private to src/app). */
#ifndef QL_APP_BENCH_H
#define QL_APP_BENCH_H

#include "base/status.h"
#include "engine/cpu/isa.h"
#include "engine/engine.h"

#include <stdbool.h>
#include <stdint.h>

/* FP32 multiply-adds that `threads` threads do at once in registers, GFLOP/s, measured for about `seconds`. */
typedef struct ql_bench_peak ql_bench_peak;
ql_status ql_bench_peak_create(ql_bench_peak **peak, int threads);
double ql_bench_peak_gflops(ql_bench_peak *peak, double seconds);
void ql_bench_peak_destroy(ql_bench_peak *peak); /* NULL-safe */

double ql_bench_median(double *values, int64_t count); /* sorts */

/* Seconds that `count` engines of this setup, each driven by a thread of its own, take for `steps` steps each, beside each
 * other, after a few to warm up. */
ql_status ql_bench_several(const ql_engine_class *kind, const ql_engine_setup *setup, int count, int64_t steps,
                           double *seconds);

/* `bench gemm`: the products of a step, one by one, on one thread. */
ql_status ql_bench_gemm(double seconds, bool json);

/* `bench io`: checkpoints and results in a folder of their own below `folder`, which is removed again. */
ql_status ql_bench_io(const char *folder, int64_t faces, int64_t repeats, bool json);

/* `bench allreduce`: sums over the ranks of the job, in the sizes that a group's training step needs. */
ql_status ql_bench_allreduce(int64_t repeats, bool json);

/* Product of libxsmm for y = x W^T (W by columns, x, y) or, with gradient, G += y^T x (x, y, G), rows padded by QL_PAD; NULL
 * when the program was built without libxsmm or that has no kernel for the shape. */
typedef void (*ql_bench_product)(const float *a, const float *b, float *c, ...);
ql_bench_product ql_bench_xsmm(bool gradient, int rows, int in, int out);

#endif

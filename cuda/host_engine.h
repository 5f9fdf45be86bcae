/* Engine cuda's arithmetic on the host (tests only). */
#ifndef QL_CUDA_HOST_ENGINE_H
#define QL_CUDA_HOST_ENGINE_H

#ifdef __cplusplus
#include <stdint.h>
extern "C" {
#endif
#include "engine/engine.h"

extern const ql_engine_class ql_engine_cuda_on_host, ql_engine_cuda_in_lanes;

/* A plan's cuts, for tests in C. */
typedef struct ql_plan_facts {
    int angle_chunks, angle_rows, surface_chunks, surface_rows, off_rows;
    int64_t bytes, table_bytes;
    char text[128];
} ql_plan_facts;

/* Lets the call number fail_at (from now on, from 0; < 0: none) of the host's machines fail with this status, and every
 * allocation above `memory` bytes (0: no limit). And how many calls there were since. */
void ql_cuda_host_faults(int64_t fail_at, ql_status status, int64_t memory);
int64_t ql_cuda_host_calls(void);

/* Blocks of what would be the device's memory or pinned, taken so far. */
int64_t ql_cuda_host_allocations(void);

/* How the ranks of a group, all alike, are joined from now on: through the host; directly, as between GPUs, steps as graphs; the
 * same where this rank (it alone may differ) cannot record them; the same where graphs can hold no exchanges. And how many steps of
 * groups ran as recorded so far. */
enum { QL_GROUP_HOST, QL_GROUP_DIRECT, QL_GROUP_UNRECORDED, QL_GROUP_PARTS };
void ql_cuda_host_group(int way);
int64_t ql_cuda_host_recorded(void);

/* What a device may run beside the rest of a step: in its place before the rest, as late as it may be, or as for a large mesh. */
enum { QL_ASIDE_EARLY, QL_ASIDE_LATE, QL_ASIDE_NEVER };
void ql_cuda_host_aside(int when);

/* What a step of this plan launches, moves and computes, by range (the first: all others together). */
typedef struct ql_traffic {
    const char *name;
    int64_t launches;
    double bytes, flop;
} ql_traffic;
enum { QL_TRAFFIC_MOST = 8 };
/* What a GPU refuses, as far as sizes and addresses tell: blocks of the largest launch; products off 16 bytes, and those that the
 * tiles' kernels cannot take. */
typedef struct ql_launch_limits {
    int64_t most_blocks, unaligned, refused;
} ql_launch_limits;
ql_status ql_cuda_traffic_of(ql_traffic traffic[QL_TRAFFIC_MOST], int *count, ql_launch_limits *limits,
                             const ql_engine_setup *setup, int64_t budget);

/* A product of 3xtf32 by the tiles' own code (tile_product.h), threads as coroutines, of random numbers between -1 and 1:
 * the largest error against double precision. product: enum ql_product; way: small tiles, large ones, or the plain kernel;
 * epilogue: addend, bias and ReLU. */
enum { QL_WAY_SMALL, QL_WAY_LARGE, QL_WAY_PLAIN, QL_WAYS };
typedef struct ql_tile_case {
    int product, m, n, k, batch, way;
    bool epilogue;
} ql_tile_case;
ql_status ql_cuda_tile_error(double *error, const ql_tile_case *which);

/* A residual block's two launches (residual.h) of random numbers: relative errors, forward and backward, against the formulas in
 * double precision with operands rounded as their kind has them (enum ql_operand_kind). threads: 256 threads as coroutines, else one
 * alone; masked: the ReLU below; in_place: the adjoint that is added lies where the result goes. */
typedef struct ql_residual_case {
    int kind, inner, tile, rows, slice_rows; /* tile: 64 or 32 */
    bool wide, masked, in_place, threads;
} ql_residual_case;
ql_status ql_cuda_residual_errors(double error[2], const ql_residual_case *which);

/* Off-surface points first .. first + count of a step as the engine's body draws them, and the drop factors as it sends them. */
ql_status ql_cuda_draws_of(float *points, int count, int first, float drop[], const ql_engine_setup *setup,
                           int64_t step);

ql_status ql_cuda_plan_of(ql_plan_facts *facts, const ql_engine_setup *setup, int64_t budget);

#ifdef __cplusplus
}
#endif

#endif

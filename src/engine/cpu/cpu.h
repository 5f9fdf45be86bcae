/* Engine cpu: float32 on the cores of one rank (private to src/engine/cpu).
 *
 * Faces and off-surface points are split into shards of fixed boundaries; a shard has its own gradient array, and the
 * arrays are summed as a fixed tree (engine/reduce.h). With train.deterministic the number of shards depends on the mesh
 * alone, so the bytes of a result depend neither on the number of threads nor on that of the ranks that share the mesh;
 * without it there are as many shards as threads. In either case the same run gives the same bytes again.
 * A shard is worked through in chunks that stay in cache. The off-surface points of a shard are cut once more into parts,
 * each with the SDF network's part of a gradient: small pieces that even out the threads at the end of a step, since
 * cores are seldom equally fast. All memory comes from one arena.
 */
#ifndef QL_ENGINE_CPU_CPU_H
#define QL_ENGINE_CPU_CPU_H

#include "engine/cpu/isa.h"
#include "engine/cpu/team.h"
#include "engine/engine.h"
#include "engine/reduce.h"

#include "base/memory.h"
#include "comm/comm.h"

#include <stdatomic.h>

enum {
    QL_CPU_SHARDS_FEW = 8,
    QL_CPU_SHARDS_MOST = 64, /* powers of two, so that groups of such sizes send one array per rank */
    QL_CPU_FACES_PER_SHARD_FEW =
        8, /* up to QL_CPU_SHARDS_FEW: a tiny mesh takes less time than clearing and adding gradients */
    QL_CPU_FACES_PER_SHARD = 500, /* above: more shards only where a shard's work outweighs the sum of its gradient */
    QL_CPU_OFF_PARTS = 32,        /* off-surface points of all shards are worked through in about so many parts */
    QL_CPU_ROWS_UNIT = 12,        /* of the chunks: whole register tiles of every instruction set */
    QL_CPU_ANGLE_ROWS = 96,       /* rows of a chunk at most: angle network, surface and off-surface points */
    QL_CPU_SURFACE_ROWS = 24,
    QL_CPU_OFF_ROWS = 36
};

typedef enum ql_cpu_stage {
    QL_CPU_PACK,
    QL_CPU_ANGLE_FORWARD,
    QL_CPU_SURFACE,
    QL_CPU_OFF,
    QL_CPU_SMOOTH,
    QL_CPU_ANGLE_BACKWARD,
    QL_CPU_SUM,
    QL_CPU_APPLY,
    QL_CPU_SHARE, /* the other ranks of the group: sending, combining, waiting for them */
    QL_CPU_WAIT,
    QL_CPU_STAGES
} ql_cpu_stage;

enum { QL_CPU_FACE_PIECES, QL_CPU_OFF_PIECES, QL_CPU_QUEUES };

/* What a thread has for itself. */
typedef struct ql_cpu_member {
    ql_sdf_work surface, off;
    ql_angle_work angle;
    float *record; /* activations of a chunk when they are not kept for all */
    double seconds[QL_CPU_STAGES], since;
    atomic_int next[QL_CPU_QUEUES]; /* pieces of this member's share of the work that are taken, by whomever */
} ql_cpu_member;

typedef struct ql_cpu_split { /* n elements over shards and chunks */
    int64_t count;
    int32_t shards, first, chunks; /* shards in all, the first that is ours, chunks per shard */
    int32_t rows;                  /* of a chunk; the last of a shard has fewer */
} ql_cpu_split;

typedef struct ql_cpu {
    ql_engine base;
    ql_engine_setup setup;
    const ql_layout *layout;
    const ql_cpu_isa *isa;
    ql_team *team;
    int members;
    bool keep; /* activations of all faces */
    ql_cpu_split angle_split, surface_split, off_split;
    ql_arena arena;
    bool zeroed;     /* the arena was, when it was taken */
    ql_arena common; /* memory of the group's ranks on this node for the packed weights; base NULL: each has its own */

    float *parameters, *moment1, *moment2;
    ql_reduce reduce;
    float **shard_gradient; /* of our shards, at least one; [0] is the gradient of the step in the end */
    double (*shard_terms)[QL_LOSS_COUNT];
    int32_t off_parts;    /* of each shard */
    float **off_gradient; /* of each part of each of our shards: QL_SDF_PARAMETER_COUNT */
    double (*off_terms)[QL_LOSS_COUNT];
    ql_status status; /* of what went on between the ranks, and its error's text */
    char status_text[512];
    float *points, *normals, *u, *v; /* F x 3 */
    float *input;                    /* F x QL_INPUT_LD: p, n, u, v */
    float *theta, *theta_adjoint;    /* F */
    float *records;                  /* one per chunk of the angle network, when kept */

    ql_sdf_model sdf;
    ql_angle_model angle;
    ql_angle_slots slots;
    float *up_bias[QL_BLOCK_COUNT]; /* gamma drop b */
    ql_cpu_member *member;

    const char *stage_names[QL_CPU_STAGES];
    double stage_seconds[QL_CPU_STAGES], flop;
    /* of the step at hand */
    uint32_t step;
    const ql_loss_weights *weights;
} ql_cpu;

/* cpu_plan.c: how the work is split and how many bytes the arena needs; then every array from the arena; the end. */
ql_status ql_cpu_plan(ql_cpu *cpu, const ql_engine_setup *setup, size_t *bytes);
int64_t ql_cpu_most_ranks(const ql_train_options *train, int64_t faces); /* that find work in a mesh */
ql_status ql_cpu_share_models(ql_cpu *cpu); /* collective over the group: before take, finds cpu->common */
bool ql_cpu_take(ql_cpu *cpu, ql_arena *arena);
void ql_cpu_release(ql_cpu *cpu); /* NULL-safe */

/* First element of a chunk of one of our shards; chunk = split->chunks gives the end of the shard. */
static inline int64_t ql_cpu_begin(const ql_cpu_split *split, int32_t shard, int32_t chunk)
{
    const int64_t s = split->first + shard;
    const int64_t begin = split->count * s / split->shards, end = split->count * (s + 1) / split->shards;
    const int64_t at = begin + (int64_t)split->rows * chunk;
    return at < end && chunk < split->chunks ? at : end;
}

/* cpu_step.c */
void ql_cpu_touch(
    ql_cpu *cpu); /* each member first touches its part of the flat arrays, so that it lies in its memory node */
ql_status ql_cpu_evaluate(ql_cpu *cpu, int64_t step, const ql_loss_weights *weights, double terms[QL_LOSS_COUNT]);
double ql_cpu_apply(ql_cpu *cpu, int64_t step);
ql_status ql_cpu_theta(ql_cpu *cpu, double *theta);
ql_status ql_cpu_field(ql_cpu *cpu, const double *points, int64_t count, double *value, double *gradient,
                       double *hessian);

/* cpu_pack.c: member's part of refreshing the packed weights; `drop` factors are in cpu->angle. Ranks that have them in common
 * each do a part. */
void ql_cpu_pack(ql_cpu *cpu, int member);
void ql_cpu_bind_biases(ql_cpu *cpu); /* once, after the arena is there */
/* Member's part of what is left to do on the summed gradient: gamma and the matrices that it scales. */
void ql_cpu_finish_gradient(ql_cpu *cpu, int member);

#endif

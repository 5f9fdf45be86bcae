/* Memory of one mesh's training on the device: how it is cut into chunks, and where everything lies in the one arena.
 * Plain host code that holds device addresses and never reads through them. */
#ifndef QL_CUDA_NETWORK_H
#define QL_CUDA_NETWORK_H

#include "angle_bodies.h"
#include "loss_bodies.h"
#include "tables.h"

/* How a mesh is cut. All row counts are multiples of 64, so that slices of rows are equally long; the padding costs at
 * most 64 rows below 2,048 faces, 256 below 8,192, 1,024 above. */
struct ql_plan {
    int faces, off_points;  /* of the mesh */
    int first, own;         /* faces that this rank computes */
    int off_first, off_own; /* off-surface points likewise */
    ql_operand_kind sdf_kind, angle_kind;
    int angle_chunks, angle_rows; /* 1 chunk: activations are kept; more: forward again, chunk by chunk (recompute) */
    int surface_chunks, surface_rows;
    int off_chunks, off_rows;
    int sdf_rows;                  /* that a chunk may have at most */
    int column_slices, slice_rows; /* of the sums over faces */
    int64_t table_bytes, bytes;    /* of the tables; of these and the arena */
    int64_t keep_bytes;            /* what the first choice would take */
};

/* Which part of a mesh a rank of a group computes. */
struct ql_share {
    int rank, ranks;
};

/* The matrix arithmetic that an engine.precision means here; QL_STATUS_CONFIG for fp64. */
ql_status ql_plan_kinds(ql_precision precision, ql_operand_kind *sdf, ql_operand_kind *angle);

/* The best plan within `budget` bytes: activations kept; else recomputed; else in smaller chunks. QL_STATUS_NO_MEMORY says
 * what would be needed. All ranks of a group cut alike, as the one with most faces must. */
ql_status ql_plan_make(ql_plan *plan, const ql_engine_setup *setup, ql_share share, int64_t budget);

/* The least number of ranks, a device of `budget` bytes each, that can share the mesh; 0: none up to 1,024. */
int ql_plan_ranks(const ql_engine_setup *setup, int64_t budget);

/* What a plan does with memory, for people: "keeps activations, 5.2 GB". */
void ql_plan_describe(const ql_plan *plan, char *text, size_t size);

struct ql_angle_block {
    float *down, *mid; /* without their biases */
    ql_operand relu1, relu2;
    ql_activation out;
};

/* Places in the array of column sums. */
struct ql_angle_columns {
    int in, widen, out_norm, head;
    int norm1[QL_BLOCK_COUNT], norm2[QL_BLOCK_COUNT], up[QL_BLOCK_COUNT];
    int parts; /* biases of the layers that make h's input [d3 s2 s1 s0] */
    int d_norm[4], d_bias[3], s_norm[3], h_norm;
    int total;
};

/* Fills places and, where `place` is not NULL, the padded parameter (or -1) of every column. */
void ql_angle_columns_build(ql_angle_columns *columns, int32_t *place);

/* What the blocks of a stage keep lies one behind the other, so that their weight gradients are one product each: inputs of
 * blocks, in the order of blocks, from that of block `first` on (those of E1 and E2 begin in a wide matrix: 1, else 0). */
struct ql_angle_stage {
    ql_activation inputs;
    int first;
    ql_operand relu1, relu2;
};

enum { QL_STAGE_BLOCKS = 6 }; /* at most */

struct ql_angle_net {
    ql_operand_kind kind;
    int rows;
    ql_angle_stage stage[QL_STAGE_COUNT];
    /* adjoints of a stage's blocks, one behind the other: of the outputs behind their ReLU, of mid's and down's outputs */
    ql_operand masked, mid_adjoint, down_adjoint;
    float *in_linear, *widen_linear, *h_linear, *hidden;
    ql_activation a0, a3, wide[4]; /* inputs of d1, d2, d3, h: [e2 d0] [e1 d1] [e0 d2] [d3 s2 s1 s0] */
    ql_angle_block block[QL_BLOCK_COUNT];
    ql_operand d_tail[4], s_tail[3], h_tail, out_norm; /* normed, 512, 256, 512 and 128 wide */
    /* adjoints */
    ql_activation p, q; /* 512 wide */
    ql_activation e[3]; /* 256 wide */
    ql_activation d[3]; /* 256 wide */
    float *inner;       /* 512 wide, of a tail's norm or of a block's inner layers */
    ql_activation inner_adjoint, hidden_adjoint, in_adjoint;
    /* weights of the step */
    ql_operand weights, folded; /* padded flat array; all W_f */
    float *folded_bias;
    ql_fold_table *fold;
    /* sums */
    float *column_partial, *column_groups, *weight_partial;
    int64_t weight_room; /* of weight_partial, elements */
    int32_t *column_place;
    ql_angle_columns columns;
};

struct ql_network {
    ql_plan plan;
    float *parameters, *moment1, *moment2, *gradient; /* padded flat arrays */
    ql_step *step;
    ql_report *report;
    ql_ahead *ahead;
    float *ones;             /* drop factors of an output */
    ql_device_tables tables; /* of a block that is not in the arena */
    float *inputs;           /* of the angle network: padded rows x 12 */
    float *theta, *theta_adjoint;
    ql_operand sdf_weights;
    ql_sdf_chunk surface, off; /* share their memory */
    float *off_point;          /* off_rows x 3 */
    float *temporary;          /* 4 blocks of a chunk: products on their way into a body */
    float *sdf_columns, *sdf_weight_partial;
    double *term_partial, *norm_partial;
    ql_angle_net angle;
};

/* How much of a residual block is one launch: nothing, all between its wide layers, the wide layer that follows as well. The last
 * with tensor cores, whose products then wait for memory; without them cuBLASLt's are faster than those beside a block's rows. Or
 * for measuring QL_CUDA_FUSED: 0, 1 or 2. */
enum ql_fusion { QL_FUSED_NONE, QL_FUSED_MIDDLE, QL_FUSED_WIDE };
ql_fusion ql_wanted_fusion(ql_operand_kind kind);

enum { QL_FEW_FACES = 16384 }; /* up to which the SDF goes beside the angle network */

enum { QL_COLUMN_GROUP = 32, QL_SDF_SLICES = 8 };

/* Slices into which the rows of weight gradients' products, `count` at a time, are cut, so that their tiles fill a GPU; divides
 * `rows`. */
int ql_weight_slices(int rows, int out, int in, int count);

/* Lays the network out; false when the arena is full. With a measuring arena the addresses mean nothing. */
bool ql_network_lay_out(ql_network *network, const ql_plan *plan, ql_arena *arena);

void ql_fold_table_build(ql_fold_table *table);

#endif

/* What a step reads and leaves on the device, apart from the networks: its parameters, the tables of the mesh, the loss. */
#ifndef QL_CUDA_STEP_DATA_H
#define QL_CUDA_STEP_DATA_H

#include "portable.h"

/* The flat array on the device has a gap behind the SDF network (264,449 numbers, an odd count), so that every weight of
 * the angle network starts at a multiple of 256 bytes, as tensor cores want it. The gap is zero and stays zero. */
enum {
    QL_GAP = 255,
    QL_PADDED_COUNT = 4362880, /* 4,362,562 + 255, rounded up to 64 */
};

QL_BODY int32_t ql_padded(int32_t offset) { return offset + (offset >= QL_SDF_PARAMETER_COUNT ? QL_GAP : 0); }

/* What changes from step to step: a small buffer that the host fills before each launch of the same graph. */
struct ql_step {
    ql_key key;
    uint32_t number;
    float drop[QL_BLOCK_COUNT]; /* factor on each block's branch; 0 = dropped in this step */
    double weight[QL_LOSS_COUNT];
    double clip_norm;
    ql_adam adam; /* but for `clip`, which waits for the norm */
};

/* What a step tells the host. */
struct ql_report {
    double terms[QL_LOSS_COUNT]; /* unweighted; TOTAL is left to the host */
    double squares;              /* squared norm of the gradient */
};

/* Steps that were sent ahead: what they read, what they leave until the host asks, and which one is next. Nothing travels between
 * them. */
struct ql_ahead {
    int64_t next;
    ql_step step[QL_ENGINE_AHEAD];
    ql_report report[QL_ENGINE_AHEAD];
    ql_adam adam; /* of the step at work */
};

/* The mesh and its shares, float32. */
struct ql_device_tables {
    int32_t face_count, off_count;
    const float *points, *normals, *u, *v; /* x 3 */
    const float *sigma;                    /* nullptr: far sampling */
    const int32_t *neighbour_ptr, *neighbour;
    const float *transport;
    const float *align, *smooth; /* shares */
    const float *fixed_off_points;
    int near_count; /* off-surface points drawn near the surface */
    float range;    /* of the others */
};

#endif

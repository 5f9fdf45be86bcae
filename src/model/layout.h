/* Shape of both networks and where each parameter lives in the one flat array (method, section 2).
 *
 * Names, order and shapes are those of the golden files: `sdf.L.weight` is [out x in] row-major. Everything else about
 * the architecture (which blocks feed which) is in the engines' forward pass, in the order of this layout.
 */
#ifndef QL_MODEL_LAYOUT_H
#define QL_MODEL_LAYOUT_H

#include <stdint.h>

enum {
    QL_PARAMETER_COUNT = 4362562,
    QL_SDF_PARAMETER_COUNT = 264449, /* the SDF network comes first */
    QL_SDF_WIDTH = 256,
    QL_SDF_LAYERS = 6,    /* five with sine, the last one linear */
    QL_ANGLE_INPUTS = 12, /* p, n, u, v */
    QL_BLOCK_COUNT = 32,
    QL_STAGE_COUNT = 8,
    QL_ENTRY_COUNT = 410
};

/* Frequency of the sine activation. */
#define QL_SDF_OMEGA 30

/* y = W x + b, W [out x in] at `weight`, b at `bias` (offsets into the flat array). */
typedef struct ql_dense {
    int32_t in, out;
    int32_t weight, bias;
} ql_dense;

typedef struct ql_norm {
    int32_t width;
    int32_t weight, bias;
} ql_norm;

/* x <- relu(x + gamma * drop(up(relu(LN2(mid(relu(LN1(down(x))))))))) */
typedef struct ql_block {
    int32_t width, inner; /* d and d/4 */
    ql_dense down, mid, up;
    ql_norm norm1, norm2;
    int32_t gamma;
    double drop_rate; /* probability of dropping the branch for a whole step */
} ql_block;

/* linear(LN(x)) */
typedef struct ql_tail {
    ql_norm norm;
    ql_dense linear;
} ql_tail;

/* Runs of residual blocks, in order of the flat array. */
typedef enum ql_stage {
    QL_STAGE_E0,
    QL_STAGE_E1,
    QL_STAGE_E2,
    QL_STAGE_E3,
    QL_STAGE_D1,
    QL_STAGE_D2,
    QL_STAGE_D3,
    QL_STAGE_H
} ql_stage;

/* Decides how a parameter is initialised. */
typedef enum ql_entry_kind {
    QL_ENTRY_SDF_FIRST,  /* U(-1/3, 1/3) */
    QL_ENTRY_SDF_WEIGHT, /* U(+-sqrt(6/256)/30) */
    QL_ENTRY_SDF_BIAS,   /* U(+-1/sqrt(fan_in)) */
    QL_ENTRY_WEIGHT,     /* normal(0, 0.02) truncated at +-2 */
    QL_ENTRY_ZERO,       /* biases */
    QL_ENTRY_ONE,        /* layer norm weights */
    QL_ENTRY_GAMMA       /* 1e-6 */
} ql_entry_kind;

typedef struct ql_entry {
    char name[32];
    int32_t offset, rows, columns; /* [rows x columns]; vectors have one column */
    ql_entry_kind kind;
    int32_t fan_in; /* of the layer a bias belongs to */
} ql_entry;

typedef struct ql_layout {
    ql_dense sdf[QL_SDF_LAYERS];
    ql_dense in, widen; /* 12 -> 256, 256 -> 512 */
    ql_norm in_norm, widen_norm;
    ql_block block[QL_BLOCK_COUNT];
    int32_t stage_begin[QL_STAGE_COUNT + 1]; /* blocks of stage s: stage_begin[s] .. stage_begin[s + 1] */
    ql_tail d_tail[4], s_tail[3], h_tail;
    ql_norm out_norm;
    ql_dense out_hidden, out_linear; /* 128 -> 32 -> 1 */
    ql_entry entry[QL_ENTRY_COUNT];
} ql_layout;

/* The one layout; built at the first call, thread-safe, never freed. */
const ql_layout *ql_layout_get(void);

#endif

/* What engine cpu computes with: a table of functions, compiled once per instruction set and chosen at run time.
 *
 * Each file in the list QL_CPU_ISA_SOURCES (CMakeLists.txt) is compiled with the flags of one instruction set and with
 * QL_ISA set to its name, which QL_ISA_NAME appends to every exported symbol. No instruction of a set is executed
 * before ql_cpu_isa_find has asked the processor for it.
 *
 * All matrices are row-major with points (or faces) as rows and features as columns. Rows are padded by QL_PAD floats, so
 * that equal columns of successive rows do not fall into the same set of a cache.
 */
#ifndef QL_ENGINE_CPU_ISA_H
#define QL_ENGINE_CPU_ISA_H

#include "model/layout.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    QL_PAD = 16,
    QL_SDF_HIDDEN = 5,
    QL_SDF_LD = QL_SDF_WIDTH + QL_PAD,
    QL_INPUT_LD = 32 /* the angle network's 12 inputs, padded with zeros */
};

/* Floats that a product of up to `rows` rows needs to bring its factors into bf16. */
#define QL_BF16_SCRATCH(rows) (((size_t)(rows) + 1) / 2 * 2 * (512 + QL_PAD))

/* ---- SDF network ---- */

/* Weights of the SDF network in the order in which the products read them; refreshed after each Adam step. */
typedef struct ql_sdf_model {
    float *forward[QL_SDF_HIDDEN]; /* W_l packed for x W^T, l = 1..4 */
    float *reverse[QL_SDF_HIDDEN]; /* W_l packed for x W, l = 1..4 */
    float *bias[QL_SDF_HIDDEN];
    float *first[3]; /* columns of W_0 */
    float *last;     /* w_5 */
    float last_bias;
} ql_sdf_model;

/* Working arrays of one chunk of `rows` points; with tangents (second derivatives) or without. Blocks of rows lie on
 * top of each other so that one product serves them all. */
typedef struct ql_sdf_work {
    bool second;
    int32_t capacity, rows;
    float *cosine[QL_SDF_HIDDEN];      /* rows of cos(30 z); then, with tangents, 3 blocks T_l = dz_l/dx */
    float *sine[QL_SDF_HIDDEN];        /* rows of sin(30 z); then 3 blocks 30 cos T; then the adjoint of delta */
    float *delta[QL_SDF_HIDDEN];       /* df/da_l, l = 0..3 (delta_4 = w_5) */
    float *z_adjoint[QL_SDF_HIDDEN];   /* what the Hessian and the gradient add to the adjoint of z_l */
    float *left, *product;             /* adjoints of z and T and then e, 2 or 5 blocks; result of a product, 1 or 4 */
    float *column;                     /* column sums: 3 of W_0, bias of each layer, w_5: (4 + 5) x 256 */
    float *point;                      /* rows x 3, in */
    float *value, *gradient, *hessian; /* out of forward: 1, 3, 6 per row */
    float *value_adjoint, *gradient_adjoint, *hessian_adjoint; /* into backward */
    double flop;                                               /* of matrix products, counted up */
} ql_sdf_work;

/* ---- angle network ---- */

typedef struct ql_packed {
    float *forward, *reverse;
    const float *bias;
    bool bf16; /* numbers in pairs, half as many floats */
} ql_packed;

/* Weights as the products read them. A block's `up` contains gamma and the drop factor: x + gamma drop (W r + b). */
typedef struct ql_angle_model {
    const float *parameters; /* flat; layer norms and small vectors are read in place */
    double drop[QL_BLOCK_COUNT];
    ql_packed in, widen, hidden, down[QL_BLOCK_COUNT], mid[QL_BLOCK_COUNT], up[QL_BLOCK_COUNT], d_tail[4], s_tail[3],
        h_tail;
} ql_angle_model;

/* A matrix of a chunk's record, or columns of one: starts at offset * capacity + column floats, rows are ld floats apart. */
typedef struct ql_slot {
    int32_t offset, ld, column;
} ql_slot;

typedef struct ql_block_slots {
    ql_slot x, y;         /* input and output */
    ql_slot hat1, hat2;   /* normalised inner activations */
    int32_t rate1, rate2; /* offsets of 1 / standard deviation, one per row */
} ql_block_slots;

/* Where the activations of a chunk are kept between forward and backward. A record has record_floats * capacity floats. */
typedef struct ql_angle_slots {
    int32_t record_floats;
    ql_slot in_hat, widen_hat, a0, a3; /* normalised inputs, and what follows */
    int32_t in_rate, widen_rate;
    ql_block_slots block[QL_BLOCK_COUNT];
    ql_slot d[4], s[3], h, hidden;
    ql_slot out;                                    /* the last block's output */
    int32_t d_stat[4], s_stat[3], h_stat, out_stat; /* mean and rate, two per row */
} ql_angle_slots;

typedef struct ql_angle_work {
    int32_t capacity;
    float *wide[3];                     /* capacity x (512 + pad) */
    float *narrow[3];                   /* capacity x (128 + pad) */
    float *e_adjoint[3], *d_adjoint[3]; /* capacity x (256 + pad) */
    float *first;                       /* 256 x QL_INPUT_LD: gradient of the first layer */
    float *scratch;                     /* factors of a product in bf16: QL_BF16_SCRATCH(capacity), or NULL */
    double flop;
} ql_angle_work;

/* ---- the table ---- */

typedef struct ql_pack_task {
    const float *weight, *row_scale; /* [out x in]; row_scale (out) or NULL */
    float factor;                    /* on row_scale */
    int32_t out, in;
    bool bf16; /* in pairs along the inner index; both widths are even */
} ql_pack_task;

typedef struct ql_cpu_isa {
    const char *name;
    int32_t panel;     /* widths of packed matrices are multiples of it */
    int32_t tile_rows; /* good numbers of rows are multiples of it */

    /* Packs W [out x in] for y = x W^T and for y = x W. */
    void (*pack_forward)(const ql_pack_task *task, float *packed);
    void (*pack_reverse)(const ql_pack_task *task, float *packed);

    /* Value and gradient, with work->second also the Hessian, at work->point. */
    void (*sdf_forward)(const ql_sdf_model *model, ql_sdf_work *work);
    /* Adds to work->column and to the inner layers' weights in the flat gradient. After forward. */
    void (*sdf_backward)(const ql_sdf_model *model, ql_sdf_work *work, float *gradient);

    /* theta of `rows` faces with these inputs; fills the record. */
    void (*angle_forward)(const ql_angle_model *model, const ql_angle_slots *slots, ql_angle_work *work, float *record,
                          const float *input, int32_t rows, float *theta);
    /* Adds to the flat gradient, which ql_angle_finish completes at the end. */
    void (*angle_backward)(const ql_angle_model *model, const ql_angle_slots *slots, ql_angle_work *work, float *record,
                           const float *input, int32_t rows, const float *theta_adjoint, float *gradient);

    /* sum[begin, end) over `count` arrays, in order. */
    void (*sum_arrays)(float *sum, const float *const *arrays, int32_t count, int64_t begin, int64_t end);
    double (*squares)(const float *x, int64_t begin, int64_t end);
    void (*adam)(double t, double norm, double clip_norm, double learning_rate, const float *gradient,
                 float *parameters, float *m, float *v, int64_t begin, int64_t end);

    /* For measuring and tests: y[rows x out] = x[rows x in] W^T; n times the register-resident multiply-add loop (returns
     * its flops); sine and cosine of 30 z. */
    void (*multiply)(int32_t rows, int32_t in, int32_t out, const float *x, int32_t ldx, const float *packed, float *y,
                     int32_t ldy);
    void (*multiply_gradient)(int32_t rows, int32_t out, int32_t in, const float *left, int32_t ldl, const float *right,
                              int32_t ldr, float *gradient);
    /* The same with factors in bf16; NULL where the processor has no products of them. */
    void (*multiply_bf16)(int32_t rows, int32_t in, int32_t out, const float *x, int32_t ldx, float *scratch,
                          const float *packed, float *y, int32_t ldy);
    void (*multiply_gradient_bf16)(int32_t rows, int32_t out, int32_t in, const float *left, int32_t ldl,
                                   const float *right, int32_t ldr, float *scratch, float *gradient);
    double (*peak)(int64_t n);
    void (*sine30)(const float *z, float *sine, float *cosine, int64_t count);
} ql_cpu_isa;

/* The widest set that this processor has; the environment variable QL_CPU_ISA (baseline, avx2, avx512, avx512bf16)
 * may ask for a narrower one. */
const ql_cpu_isa *ql_cpu_isa_find(void);

/* For tests: from now on find gives this one; NULL: what the processor has. */
void ql_cpu_isa_use(const ql_cpu_isa *isa);

/* Name of the widest set compiled in that the processor has: what find would take without QL_CPU_ISA. */
const char *ql_cpu_isa_widest(void);

/* Inside the files that are compiled per set. */
#define QL_ISA_PASTE(a, b) a##_##b
#define QL_ISA_PASTE2(a, b) QL_ISA_PASTE(a, b)
#define QL_ISA_NAME(name) QL_ISA_PASTE2(name, QL_ISA)
#define QL_ISA_TEXT(x) #x
#define QL_ISA_TEXT2(x) QL_ISA_TEXT(x)

#endif

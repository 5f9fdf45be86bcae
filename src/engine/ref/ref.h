/* Engine ref: plain loops in double, the definition of correct. Private to its own files.
 *
 * Work is cut into QL_REF_SHARDS fixed contiguous parts, each with its own gradient, summed as a fixed tree: results depend
 * neither on the number of threads nor on that of the ranks of a group, of which at most QL_REF_SHARDS have work.
 */
#ifndef QL_ENGINE_REF_REF_H
#define QL_ENGINE_REF_REF_H

#include "base/memory.h"
#include "engine/engine.h"
#include "engine/reduce.h"
#include "engine/ref/loops.h"
#include "model/layout.h"

#define QL_REAL double
#include "model/point.h"

enum { QL_REF_SHARDS = 4, QL_REF_HIDDEN = QL_SDF_LAYERS - 1 };

/* A block of points in the SDF network; each array is ROWS x WIDTH. Tangents exist only with `second`. */
typedef struct ql_ref_sdf {
    double *sine[QL_REF_HIDDEN], *cosine[QL_REF_HIDDEN]; /* of 30 z_l */
    double *tangent[QL_REF_HIDDEN][3];                   /* dz_l/dx */
    double *delta[QL_REF_HIDDEN];                        /* df/da_l */
    double *z_adjoint[QL_REF_HIDDEN], *tangent_adjoint[QL_REF_HIDDEN][3], *delta_adjoint[QL_REF_HIDDEN];
    double *work[5];
    double point[QL_REF_ROWS * 3];
    double value[QL_REF_ROWS], gradient[QL_REF_ROWS * 3], hessian[QL_REF_ROWS * 6];
} ql_ref_sdf;

/* What the backward pass of a residual block needs. */
typedef struct ql_ref_block {
    double *in, *down, *relu1, *mid, *relu2, *up, *out;
} ql_ref_block;

/* A block of faces in the angle network. */
typedef struct ql_ref_angle {
    double *input, *in_linear, *widen_linear, *a3;
    ql_ref_block block[QL_BLOCK_COUNT];
    double *d[4], *s[3], *h, *out_norm, *hidden, *gelu, *out; /* out: g, ROWS x 1 */
    double *adjoint[6], *work[4];                             /* running adjoints */
    double *e_adjoint[3], *d_adjoint[3];                      /* of the skip connections' sources */
} ql_ref_angle;

typedef struct ql_ref {
    ql_engine base;
    ql_engine_setup setup;
    const ql_layout *layout;
    ql_arena arena;
    int threads;
    double *parameters, *moment1, *moment2, *transposed; /* transposed: each weight [in x out] at its own offset */
    ql_reduce reduce;
    double *gradient;                      /* the sum, after evaluate */
    double *shard_gradient[QL_REF_SHARDS]; /* of our shards */
    double shard_terms[QL_REF_SHARDS][QL_LOSS_COUNT];
    double *theta, *theta_adjoint;
    ql_ref_sdf sdf[QL_REF_SHARDS]; /* of our shards */
    ql_ref_angle angle[QL_REF_SHARDS];
    double drop[QL_BLOCK_COUNT]; /* factor on each block's branch in this step */
} ql_ref;

/* SDF network at `count` <= ROWS points already in sdf->point. */
void ql_ref_sdf_forward(const ql_ref *ref, ql_ref_sdf *sdf, int count, int second);
/* Adds to `gradient` what the adjoints of value (count), gradient (count x 3) and Hessian (count x 6, or NULL) demand. */
void ql_ref_sdf_backward(const ql_ref *ref, ql_ref_sdf *sdf, int count, const double *value_adjoint,
                         const double *gradient_adjoint, const double *hessian_adjoint, double *gradient);

/* Angle network at `count` faces from `first`; leaves theta in theta[0..count). drop: factor per block, NULL = all 1. */
void ql_ref_angle_forward(const ql_ref *ref, ql_ref_angle *angle, int32_t first, int count, const double *drop,
                          double *theta);
/* After a forward of the same faces: adds the gradient for the adjoints of theta. */
void ql_ref_angle_backward(const ql_ref *ref, ql_ref_angle *angle, int count, const double *drop,
                           const double *theta_adjoint, double *gradient);

/* Arrays of the workspaces. */
int ql_ref_sdf_take(ql_ref_sdf *sdf, ql_arena *arena);
int ql_ref_angle_take(ql_ref_angle *angle, const ql_layout *layout, ql_arena *arena);

#endif

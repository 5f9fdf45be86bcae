/* Matrix products of one instruction set, for rows of points and columns of features.
 *
 * The second factor is packed in panels of QL_PANEL columns: panel p holds, for each inner index k, the QL_PANEL numbers
 * B[k][p QL_PANEL ...]. A panel (16 KB at 256 inner indices) stays in L1 while all rows pass by.
 */
#ifndef QL_ENGINE_CPU_GEMM_H
#define QL_ENGINE_CPU_GEMM_H

#include "engine/cpu/isa.h"

#include <stddef.h>

/* What happens to a product on its way to memory: y = [relu] (product + bias + add). */
typedef struct ql_gemm_out {
    float *y;
    ptrdiff_t ldy;
    const float *bias; /* one per column, or NULL */
    const float *add;  /* a matrix (may be y itself), or NULL */
    ptrdiff_t ldadd;
    bool relu;
} ql_gemm_out;

#define ql_gemm_rows QL_ISA_NAME(ql_gemm_rows)
#define ql_gemm_gradient QL_ISA_NAME(ql_gemm_gradient)

#define ql_gemm_rows_bf16 QL_ISA_NAME(ql_gemm_rows_bf16)
#define ql_gemm_gradient_bf16 QL_ISA_NAME(ql_gemm_gradient_bf16)

/* y [rows x columns] from x [rows x inner] and B packed; columns is a multiple of QL_PANEL. Returns the flops. */
double ql_gemm_rows(int32_t rows, int32_t inner, int32_t columns, const float *x, ptrdiff_t ldx, const float *packed,
                    const ql_gemm_out *out);

/* gradient [out x in] += left^T right over `rows` rows; `in` is a multiple of QL_PANEL. Returns the flops. */
double ql_gemm_gradient(int32_t rows, int32_t out, int32_t in, const float *left, ptrdiff_t ldl, const float *right,
                        ptrdiff_t ldr, float *gradient, ptrdiff_t ldg);

/* Both again with factors rounded to bf16 and sums in float32; only in sets that have QL_BF16 (simd.h). The inner index goes by
 * pairs: `packed` was packed so, inner is even, and the other factors are brought into this form in `scratch`
 * (QL_BF16_SCRATCH(rows) floats). */
double ql_gemm_rows_bf16(int32_t rows, int32_t inner, int32_t columns, const float *x, ptrdiff_t ldx, float *scratch,
                         const float *packed, const ql_gemm_out *out);
double ql_gemm_gradient_bf16(int32_t rows, int32_t out, int32_t in, const float *left, ptrdiff_t ldl,
                             const float *right, ptrdiff_t ldr, float *scratch, float *gradient, ptrdiff_t ldg);

#endif

/* Plain loops over small row-major matrices of double, for engine ref. A block of ROWS points is one matrix. */
#ifndef QL_ENGINE_REF_LOOPS_H
#define QL_ENGINE_REF_LOOPS_H

#include <stdint.h>

enum { QL_REF_ROWS = 32 };

/* C[m x n] += A[m x k] B[k x n]. */
void ql_ref_multiply(double *c, const double *a, const double *b, int m, int k, int n);

/* C[m x n] += A[k x m]^T B[k x n]: sums over points, for weight gradients. */
void ql_ref_multiply_transposed(double *c, const double *a, const double *b, int m, int k, int n);

/* sum[n] += sum over the m rows of A[m x n]. */
void ql_ref_add_rows(double *sum, const double *a, int m, int n);

/* Each row of A[m x n] becomes a copy of row[n]. */
void ql_ref_fill_rows(double *a, const double *row, int m, int n);

#endif

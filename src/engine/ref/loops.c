/* Plain loops (see loops.h): the inner loop runs along rows, so that compilers vectorise it. */
#include "engine/ref/loops.h"

#include <string.h>

/* A copy of each loop per instruction set, chosen at run time (not under sanitizers, whose runtime starts too late). */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
#define QL_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define QL_CLONES
#endif

QL_CLONES void ql_ref_multiply(double *restrict c, const double *restrict a, const double *restrict b, int m, int k,
                               int n)
{
    int row = 0;
    for (; row + 4 <= m; row += 4) {
        double *restrict c0 = c + (int64_t)row * n, *restrict c1 = c0 + n, *restrict c2 = c1 + n, *restrict c3 = c2 + n;
        const double *a0 = a + (int64_t)row * k, *a1 = a0 + k, *a2 = a1 + k, *a3 = a2 + k;
        for (int j = 0; j < k; ++j) {
            const double *restrict line = b + (int64_t)j * n;
            double x0 = a0[j], x1 = a1[j], x2 = a2[j], x3 = a3[j];
            for (int i = 0; i < n; ++i) {
                c0[i] += x0 * line[i];
                c1[i] += x1 * line[i];
                c2[i] += x2 * line[i];
                c3[i] += x3 * line[i];
            }
        }
    }
    for (; row < m; ++row)
        for (int j = 0; j < k; ++j)
            for (int i = 0; i < n; ++i) c[(int64_t)row * n + i] += a[(int64_t)row * k + j] * b[(int64_t)j * n + i];
}

QL_CLONES void ql_ref_multiply_transposed(double *restrict c, const double *restrict a, const double *restrict b, int m,
                                          int k, int n)
{
    for (int row = 0; row < m; ++row) {
        double *restrict out = c + (int64_t)row * n;
        int j = 0;
        for (; j + 4 <= k; j += 4) {
            const double *restrict b0 = b + (int64_t)j * n, *restrict b1 = b0 + n, *restrict b2 = b1 + n,
                                   *restrict b3 = b2 + n;
            double x0 = a[(int64_t)j * m + row], x1 = a[(int64_t)(j + 1) * m + row];
            double x2 = a[(int64_t)(j + 2) * m + row], x3 = a[(int64_t)(j + 3) * m + row];
            for (int i = 0; i < n; ++i) out[i] += (x0 * b0[i] + x1 * b1[i]) + (x2 * b2[i] + x3 * b3[i]);
        }
        for (; j < k; ++j)
            for (int i = 0; i < n; ++i) out[i] += a[(int64_t)j * m + row] * b[(int64_t)j * n + i];
    }
}

void ql_ref_add_rows(double *sum, const double *a, int m, int n)
{
    for (int row = 0; row < m; ++row)
        for (int i = 0; i < n; ++i) sum[i] += a[(int64_t)row * n + i];
}

void ql_ref_fill_rows(double *a, const double *row, int m, int n)
{
    for (int r = 0; r < m; ++r) memcpy(a + (int64_t)r * n, row, (size_t)n * sizeof *row);
}

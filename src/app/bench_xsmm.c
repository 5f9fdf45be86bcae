/* libxsmm as an opponent of engine cpu's own products in `quadloom bench gemm` (CMake switch QL_XSMM). */
#include "app/bench.h"

#include "quadloom_config.h"

#if QL_HAVE_XSMM
#include <libxsmm.h>

/* libxsmm has columns next to each other: y^T = W x^T with W by columns, and G^T += x^T y. */
ql_bench_product ql_bench_xsmm(bool gradient, int rows, int in, int out)
{
    const int ldx = in + QL_PAD, ldy = out + QL_PAD, prefetch = LIBXSMM_PREFETCH_NONE;
    const int flags = gradient ? LIBXSMM_GEMM_FLAG_TRANS_B : LIBXSMM_GEMM_FLAG_NONE;
    const float alpha = 1, beta = gradient ? 1 : 0;
    if (gradient) return libxsmm_smmdispatch(in, out, rows, &ldx, &ldy, &in, &alpha, &beta, &flags, &prefetch);
    return libxsmm_smmdispatch(out, rows, in, &out, &ldx, &ldy, &alpha, &beta, &flags, &prefetch);
}
#else
ql_bench_product ql_bench_xsmm(bool gradient, int rows, int in, int out)
{
    (void)gradient, (void)rows, (void)in, (void)out;
    return NULL;
}
#endif

/* cuBLASLt, found at run time: a program with engine cuda starts on machines without CUDA. One plan per shape of product;
 * all are made in the first step, so that later ones only launch. */
#ifndef QL_CUDA_LT_H
#define QL_CUDA_LT_H

#include "portable.h"

#include <cublasLt.h>

/* Loads the library (once per process). QL_STATUS_ENVIRONMENT says which file is missing and where it was looked for. */
ql_status ql_lt_load(void);

/* What decides a plan: everything of a product but its addresses. */
struct ql_lt_key {
    int32_t product, m, n, k, lda, ldb, ldc, addend_ld, batch, kind, accumulates, epilogue;
    int64_t stride_a, stride_b, stride_c;
};

struct ql_lt_plan {
    ql_lt_key key;
    cublasLtMatmulDesc_t operation;
    cublasLtMatrixLayout_t a, b, c, d;
    cublasLtMatmulAlgo_t algorithm;
    bool usable; /* the library has an algorithm for it */
};

enum { QL_LT_PLANS = 512, QL_LT_WORKSPACE = 32 << 20 };

struct ql_lt {
    cublasLtHandle_t handle;
    ql_lt_plan *plans;
    int count;
    void *workspace; /* QL_LT_WORKSPACE bytes on the device, borrowed */
};

ql_status ql_lt_open(ql_lt *lt);
void ql_lt_close(ql_lt *lt);

/* One product, of any kind but SPLIT. *done = false (and nothing launched) where the library has no algorithm for it. */
ql_status ql_lt_multiply(ql_lt *lt, const ql_gemm &g, cudaStream_t stream, bool *done);

#endif

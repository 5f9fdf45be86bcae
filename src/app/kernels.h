/* Whether the kernels in use are the widest that the processor has: our own and OpenBLAS's (private to src/app). */
#ifndef QL_APP_KERNELS_H
#define QL_APP_KERNELS_H

#include "base/json.h"

enum { QL_KERNEL_LINE = 256 };

typedef struct ql_kernel_advice {
    int count; /* 0: all is as wide as it can be */
    char line[2][QL_KERNEL_LINE];
} ql_kernel_advice;

void ql_kernels_look(ql_kernel_advice *advice);

/* The same as array "kernel_advice" of the open object. */
void ql_kernels_json(ql_json *json);

/* Vector width of the kernels that OpenBLAS runs; 0: not known. */
int ql_blas_kernel_bits(void);

#endif

/* The GPUs of this machine, and which one this process uses. */
#ifndef QL_CUDA_DEVICE_H
#define QL_CUDA_DEVICE_H

#include "binding.h"
#include "portable.h"

#include <cuda_runtime_api.h>

enum { QL_CUDA_OLDEST = 80 }; /* compute capability times ten */

/* Records a failed call of the CUDA runtime with its text. */
ql_status ql_cuda_judge(cudaError_t result, const char *call, const char *file, int line);
#define CUDA_TRY(call) QL_TRY(ql_cuda_judge((call), #call, __FILE__, __LINE__))

/* QL_STATUS_ENVIRONMENT when engine cuda cannot run: no driver, no GPU, one too old, no cuBLASLt. The text, written at the
 * first success, names the GPUs and the one this process takes. */
ql_status ql_cuda_available(void);
extern char ql_cuda_summary[256];

/* Logs, once in a process, which GPU it has. */
void ql_cuda_report_binding(const char *bus_id);

/* Makes this process's GPU current in the calling thread. */
ql_status ql_cuda_use_device(void);

#endif

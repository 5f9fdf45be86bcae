/* Choice of a GPU (see device.h). */
#include "device.h"

#include "lt.h"

char ql_cuda_summary[256] = "NVIDIA GPUs of compute capability 8.0 and newer";

ql_status ql_cuda_judge(cudaError_t result, const char *call, const char *file, int line)
{
    if (result == cudaSuccess) return QL_OK;
    (void)cudaGetLastError(); /* clears what can be cleared */
    ql_status status = result == cudaErrorMemoryAllocation ? QL_STATUS_NO_MEMORY : QL_STATUS_ENVIRONMENT;
    return ql_error_set(status, file, line, "CUDA: %s: %s (%s)", call, cudaGetErrorString(result),
                        cudaGetErrorName(result));
}

static ql_status count_devices(int *count)
{
    cudaError_t result = cudaGetDeviceCount(count);
    if (result == cudaErrorInsufficientDriver || result == cudaErrorNoDevice ||
        (result == cudaSuccess && *count == 0)) {
        (void)cudaGetLastError();
        return QL_FAIL(ENVIRONMENT, "%s (program built with CUDA %d.%d)",
                       result == cudaErrorInsufficientDriver
                           ? "no NVIDIA driver, or one older than the program's CUDA"
                           : "no NVIDIA GPU that this process may use (see CUDA_VISIBLE_DEVICES)",
                       CUDART_VERSION / 1000, CUDART_VERSION / 10 % 100);
    }
    return ql_cuda_judge(result, "cudaGetDeviceCount", __FILE__, __LINE__);
}

ql_status ql_cuda_available(void)
{
    int count = 0;
    QL_TRY(count_devices(&count));
    int device = ql_cuda_device_of_rank(ql_cuda_local_rank(), count);
    cudaDeviceProp properties;
    CUDA_TRY(cudaGetDeviceProperties(&properties, device));
    if (properties.major * 10 + properties.minor < QL_CUDA_OLDEST)
        return QL_FAIL(ENVIRONMENT, "%s has compute capability %d.%d; 8.0 or newer is needed", properties.name,
                       properties.major, properties.minor);
    QL_TRY(ql_lt_load());
    char summary[sizeof ql_cuda_summary];
    (void)snprintf(summary, sizeof summary,
                   "GPU %d of %d: %.96s, compute capability %d.%d, %.0f GB, %d multiprocessors (CUDA %d.%d)", device,
                   count, properties.name, properties.major, properties.minor,
                   static_cast<double>(properties.totalGlobalMem) / 1e9, properties.multiProcessorCount,
                   CUDART_VERSION / 1000, CUDART_VERSION / 10 % 100);
    if (strcmp(summary, ql_cuda_summary) != 0)
        memcpy(ql_cuda_summary, summary, sizeof summary); /* read by other threads */
    return QL_OK;
}

ql_status ql_cuda_use_device(void)
{
    int count = 0;
    QL_TRY(count_devices(&count));
    CUDA_TRY(cudaSetDevice(ql_cuda_device_of_rank(ql_cuda_local_rank(), count)));
    return QL_OK;
}

void ql_cuda_report_binding(const char *bus_id)
{
    static int reported = 0;
    int count = 0, device = 0;
    char text[256];
    cudaDeviceProp properties;
    if (__atomic_exchange_n(&reported, 1, __ATOMIC_RELAXED) != 0) return;
    if (cudaGetDeviceCount(&count) != cudaSuccess || cudaGetDevice(&device) != cudaSuccess ||
        cudaGetDeviceProperties(&properties, device) != cudaSuccess)
        return;
    ql_cuda_describe_binding(text, sizeof text, ql_cuda_local_rank(), count, properties.name, bus_id);
    QL_INFO("%s", text);
}

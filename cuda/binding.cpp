/* Rank to GPU (see binding.h). */
#include "binding.h"

#include <stdio.h>
#include <stdlib.h>

int ql_cuda_local_rank(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID", "MPI_LOCALRANKID",
                                        "PMIX_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK"};
    for (const char *name : names) {
        const char *value = getenv(name);
        if (value == nullptr) continue;
        char *end = nullptr;
        long rank = strtol(value, &end, 10);
        if (end != value && *end == '\0' && rank >= 0 && rank < 65536) return static_cast<int>(rank);
    }
    return 0;
}

int ql_cuda_device_of_rank(int local_rank, int count) { return count > 0 ? local_rank % count : 0; }

void ql_cuda_describe_binding(char *text, size_t size, int local_rank, int count, const char *name, const char *bus_id)
{
    (void)snprintf(text, size, "engine cuda: local rank %d has GPU %d of the %d that it sees (%s, %s)", local_rank,
                   ql_cuda_device_of_rank(local_rank, count), count, name, bus_id);
}

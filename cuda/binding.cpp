/* Rank to GPU (see binding.h). */
#include "binding.h"

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

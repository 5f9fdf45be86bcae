/* Which GPU a process takes. */
#ifndef QL_CUDA_BINDING_H
#define QL_CUDA_BINDING_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Number of this process among those of its launcher on this host, from the launcher's variables (Open MPI, Slurm, MPICH,
 * PMIx, MVAPICH); 0 when there is none. */
int ql_cuda_local_rank(void);

/* Local rank r takes GPU r modulo count; CUDA_VISIBLE_DEVICES has already chosen and ordered them. */
int ql_cuda_device_of_rank(int local_rank, int count);

/* The line that every process logs when its first mesh begins: who has which GPU. */
void ql_cuda_describe_binding(char *text, size_t size, int local_rank, int count, const char *name, const char *bus_id);

#ifdef __cplusplus
}
#endif

#endif

/* Which GPU a process takes. */
#ifndef QL_CUDA_BINDING_H
#define QL_CUDA_BINDING_H

#ifdef __cplusplus
extern "C" {
#endif

/* Number of this process among those of its launcher on this host, from the launcher's variables (Open MPI, Slurm, MPICH,
 * PMIx, MVAPICH); 0 when there is none. */
int ql_cuda_local_rank(void);

/* Local rank r takes GPU r modulo count; CUDA_VISIBLE_DEVICES has already chosen and ordered them. */
int ql_cuda_device_of_rank(int local_rank, int count);

#ifdef __cplusplus
}
#endif

#endif

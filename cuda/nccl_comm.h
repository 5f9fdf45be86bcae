/* The communicator `nccl`: the verbs on arrays for arrays that lie on GPUs, over NCCL, which is opened at run time. Control
 * (barrier, broadcast, allgather) goes through the group it was made from.
 *
 * An operation waits, on a stream of its own, for what was launched on the engine's stream before it was begun; `wait` lets
 * the engine's stream wait for it. The host waits for nothing. */
#ifndef QL_CUDA_NCCL_COMM_H
#define QL_CUDA_NCCL_COMM_H

#ifdef __cplusplus
extern "C" {
#endif
#include <stdbool.h>
#include <stddef.h>

/* What a rank knows of itself when a group forms. */
typedef struct ql_nccl_candidate {
    bool available; /* the library is there */
    bool records;   /* its operations may be part of a graph */
    int version;
    char host[64], bus_id[32]; /* and the GPU that it uses */
} ql_nccl_candidate;

/* Whether these ranks can use NCCL: all have it in one version, and no two share a GPU (NCCL refuses that). Otherwise `why`
 * says, in the words of a log line, what stands against it. The same on all ranks. */
bool ql_nccl_choose(const ql_nccl_candidate *all, int count, char *why, size_t size);

/* Whether operations of this NCCL (22803 = 2.28.3) can be recorded in a CUDA graph under a driver for this CUDA (12040 = 12.4):
 * from 2.9 and 11.3 on (NCCL's manual, "Using NCCL with CUDA Graphs"). */
bool ql_nccl_records(int nccl_version, int driver_version);

#ifdef __cplusplus
}

#include "portable.h"

struct CUstream_st;

/* Version of the library as NCCL counts (22803 = 2.28.3); 0 and a text in `why` where it is missing or not compiled in. */
int ql_nccl_version(char *why, size_t size);

/* Collective over `group`, after ql_nccl_choose said yes. `stream`: of the engine, borrowed as the group is. */
ql_status ql_nccl_open(ql_comm **comm, ql_comm *group, CUstream_st *stream);
#endif

#endif

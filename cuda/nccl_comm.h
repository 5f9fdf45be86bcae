/* The communicator `nccl`: the verbs on arrays for arrays that lie on GPUs, over NCCL, which is opened at run time. Control
 * (barrier, broadcast, allgather) goes through the group it was made from.
 *
 * From NCCL 2.14 on no call blocks: each is begun and then asked for until it is done, for two minutes at most, so that a rank
 * that vanishes at the start leaves no other hanging. Kernels are on their streams, or in the graph that is being recorded, once
 * NCCL says so (its manual, "Nonblocking Group Operation"); the host waits for that and no more.
 *
 * An operation waits, on a stream of its own, for what was launched on the engine's stream before it was begun; `wait` lets
 * the engine's stream wait for it. */
#ifndef QL_CUDA_NCCL_COMM_H
#define QL_CUDA_NCCL_COMM_H

#ifdef __cplusplus
#include "portable.h"
extern "C" {
#else
#include "comm/comm.h"

#include <stdbool.h>
#include <stddef.h>
#endif

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

/* A function of the library; false, and a text in `why`, where a required one is missing (an optional one is NULL then). */
bool ql_nccl_find(void *library, const char *name, bool required, void **function, char *why, size_t size);

/* ---- calls that do not block ---- */

/* NCCL's own numbers (nccl_comm.cpp asserts that), and how long a rank waits for a call to be done. */
enum { QL_NCCL_SUCCESS = 0, QL_NCCL_IN_PROGRESS = 7, QL_NCCL_LIMIT_S = 120 };

/* A communicator as those see it that wait for it; `of` is whose it is. Results are NCCL's numbers. */
typedef struct ql_nccl_calls {
    int (*begin)(void *of);    /* its start */
    int (*state)(void *of);    /* what became of the call that was in progress */
    int (*finish)(void *of);   /* all that was begun comes to an end, on all ranks */
    void (*destroy)(void *of); /* frees it after that */
    void (*abort)(void *of);   /* the same at any time, also where it never started; does nothing the second time */
    const char *(*text)(int result);
} ql_nccl_calls;

/* Waits until the call that gave `result` is done. QL_STATUS_ENVIRONMENT when it failed or was not done in time: the communicator
 * is good for nothing but ql_nccl_leave then. */
ql_status ql_nccl_settle(const ql_nccl_calls *calls, void *of, int result, const char *call, double limit_s);

/* Collective. Starts the communicator on all ranks or, where one cannot, on none: aborted, a line says why, *joined is false. */
ql_status ql_nccl_join(const ql_nccl_calls *calls, void *of, ql_comm *group, double limit_s, bool *joined);

/* Ends it; broken: without waiting for what was begun. Leaves the error that is pending alone. */
void ql_nccl_leave(const ql_nccl_calls *calls, void *of, bool broken, double limit_s);

#ifdef __cplusplus
}

struct CUstream_st;

/* Version of the library as NCCL counts (22803 = 2.28.3); 0 and a text in `why` where it is missing or not compiled in. */
int ql_nccl_version(char *why, size_t size);

/* Collective over `group`, after ql_nccl_choose said yes. *comm is NULL where NCCL did not start on all ranks (a line says why):
 * the group goes through the host. `stream`: of the engine, borrowed as the group is. */
ql_status ql_nccl_open(ql_comm **comm, ql_comm *group, CUstream_st *stream);

/* A rank has failed: destroy waits for nothing that was begun. */
void ql_nccl_give_up(ql_comm *comm);
#endif

#endif

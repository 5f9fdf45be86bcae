/* Where a process is bound: for reports on the placement of ranks. Linux; what the system does not tell is "". */
#ifndef QL_BASE_BINDING_H
#define QL_BASE_BINDING_H

enum { QL_BINDING_SIZE = 48, QL_GPU_SIZE = 48 };

typedef struct ql_binding {
    char cpus[QL_BINDING_SIZE]; /* hardware threads that it may run on, "0-3,8-11"; cut off when longer */
    char numa[QL_BINDING_SIZE]; /* NUMA nodes of these, "0" or "0,1" */
    char gpus[QL_GPU_SIZE];     /* CUDA_VISIBLE_DEVICES: "0,1"; "" = not set, all */
} ql_binding;

void ql_binding_look(ql_binding *binding);

/* The GPU that a rank takes: entry local_rank modulo their number of binding->gpus, "" when that is "". */
const char *ql_binding_gpu(const ql_binding *binding, int local_rank, char out[QL_GPU_SIZE]);

#endif

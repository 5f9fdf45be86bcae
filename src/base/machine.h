/* What this process may use of the machine it runs on: cores, memory, vector instructions. All of it read from the
 * system at each call; a figure that the system does not tell is 0. */
#ifndef QL_BASE_MACHINE_H
#define QL_BASE_MACHINE_H

#include <stdint.h>

enum { QL_CPU_NAME_SIZE = 128 };

typedef struct ql_machine {
    char cpu[QL_CPU_NAME_SIZE]; /* model name, "" when unknown */
    int threads;                /* hardware threads that this process may run on (affinity) */
    int cores;                  /* cores that these threads belong to */
    double cpu_quota;           /* processors' worth of time that control groups allow; 0 = no limit */
    int vector_bits;            /* widest vectors of 64-bit x86: 128, 256 (AVX2 with FMA), 512 (AVX-512); else 0 */
    int64_t memory_bytes;       /* installed */
    int64_t available_bytes;    /* free or reclaimable now */
    int64_t limit_bytes;        /* smallest limit of control groups and ulimit -v; 0 = none */
    int64_t limit_left_bytes;   /* what the tightest of them still allows, other processes of the group counted */
    int64_t swap_bytes;         /* swap that is configured */
} ql_machine;

void ql_machine_look(ql_machine *machine);

/* Threads worth starting in this process: allowed cores, at most the quota, at least 1. */
int ql_machine_threads(const ql_machine *machine);

/* Memory that may still be taken: the smaller of what is available and what the limits leave. */
int64_t ql_machine_memory_left(const ql_machine *machine);

/* How many processes of this job share the machine's memory (1 until it is said), and the part of one of them. */
void ql_machine_set_sharers(int processes);
int64_t ql_machine_memory_share(const ql_machine *machine);

#endif

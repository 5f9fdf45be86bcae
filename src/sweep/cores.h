/* The share of a node's cores that a rank may keep busy. */
#ifndef QL_SWEEP_CORES_H
#define QL_SWEEP_CORES_H

#include "comm/comm.h"

/* Collective. Threads for this rank, at least 1: each core counts for one, divided by the number of ranks of this node that
 * may run on it (so it is right for bound and unbound ranks alike), and within a control group's limit. */
ql_status ql_cores_share(ql_comm *comm, int *threads);

#endif

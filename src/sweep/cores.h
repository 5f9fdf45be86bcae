/* The share of a node's cores that a rank may keep busy. */
#ifndef QL_SWEEP_CORES_H
#define QL_SWEEP_CORES_H

#include "comm/comm.h"

/* Collective, once, on the main thread before others are started. Threads for this rank: `wanted` (engine.threads), or where that
 * is 0 at least 1: each core counts for one, divided by the number of ranks of this node that may run on it (so it is right
 * for bound and unbound ranks alike), and within a control group's limit.
 *
 * Where the ranks of a node may all run on the same cores and have threads for all of them, each keeps a part of its own,
 * neighbours in hwloc's order; ranks that a launcher has bound stay where they are. Memory is divided by the ranks of the node
 * (ql_machine_memory_share). */
ql_status ql_cores_share(ql_comm *comm, int wanted, int *threads);

#endif

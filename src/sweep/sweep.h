/* The run over a collection: everything between the command line and the training of one mesh. */
#ifndef QL_SWEEP_SWEEP_H
#define QL_SWEEP_SWEEP_H

#include "base/options.h"
#include "comm/comm.h"
#include "sweep/lock.h"

#include <stdio.h>

typedef struct ql_sweep_request {
    const char *const *inputs;
    int input_count;
    const char *run_directory;
    ql_options options;
    ql_shard shard;   /* 1 of 1: everything */
    bool dry_run;     /* only say what would be done */
    bool retry;       /* meshes that failed earlier too */
    double started_s; /* by ql_clock_s: the time limit counts from here */
} ql_sweep_request;

/* Collective. Rank 0 writes the plan (dry run) or the report at the end to `out`. All ranks return the same:
 *   QL_OK              all meshes are finished
 *   QL_STATUS_MESH     some failed and are recorded, the others are finished
 *   QL_STATUS_STOPPED  stopped early with checkpoints; run again to go on
 * and for what kept it from working USAGE, CONFIG, BUSY, ENVIRONMENT, IO, NO_MEMORY with the text on every rank. */
ql_status ql_sweep_run(const ql_sweep_request *request, ql_comm *comm, FILE *out);

#endif

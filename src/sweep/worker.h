/* What a rank does with its meshes: read and check them ahead (one thread), train them (the calling thread), extract quads
 * and write results behind (one thread). A mesh that fails is recorded and hinders no other. Meshes that several ranks share come
 * first; there the first rank of the group reads, checks, writes checkpoints and finishes, the others only train. */
#ifndef QL_SWEEP_WORKER_H
#define QL_SWEEP_WORKER_H

#include "engine/engine.h"
#include "store/events.h"
#include "sweep/crew.h"
#include "sweep/survey.h"

typedef struct ql_worker_setup {
    const char *run_directory;
    const ql_options *options; /* engine.threads already the share of this rank */
    const ql_engine_class *engine;
    const ql_collection *collection;
    const ql_survey *survey;
    const int64_t *order; /* the list that the crew grants from: indices into the survey's work */
    ql_events *events;
    ql_crew *crew;
    ql_comm *comm;
    int ranks;
    double deadline_s; /* by ql_clock_s; 0 = none */
} ql_worker_setup;

/* Works until all is done or the crew stops. Errors of meshes are not errors here; end->status tells of those that no
 * mesh is to blame for (run directory cannot be written). */
void ql_worker_run(const ql_worker_setup *setup, ql_crew_end *end);

#endif

/* How many ranks train each mesh of a run: option sweep.group, and what the engine and the meshes allow. */
#ifndef QL_SWEEP_GROUPING_H
#define QL_SWEEP_GROUPING_H

#include "engine/engine.h"
#include "sweep/allot.h"
#include "sweep/survey.h"

typedef struct ql_grouping_facts {
    const ql_options *options; /* engine.threads: of a rank */
    const ql_engine_class *engine;
    const ql_survey *survey;
    const int64_t *order; /* what is to do, longest first: indices into the survey's work */
    int64_t count;
    int ranks;
} ql_grouping_facts;

/* The meshes of the allotment are positions in `order`. A number in sweep.group holds for all meshes with that many faces; auto is
 * the allotment of allot.h by the cost model. QL_STATUS_CONFIG: the engine cannot share a mesh. */
ql_status ql_grouping_make(ql_allotment *allotment, const ql_grouping_facts *facts);

#endif

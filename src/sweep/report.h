/* What people read: the plan of a dry run and the table at the end of a run. */
#ifndef QL_SWEEP_REPORT_H
#define QL_SWEEP_REPORT_H

#include "sweep/crew.h"
#include "sweep/survey.h"

#include <stdio.h>

/* What would be done, most work first. */
ql_status ql_report_plan(FILE *out, const ql_survey *survey, const ql_collection *collection, int ranks,
                         const char *run_directory);

/* What the end of a run is made of. */
typedef struct ql_report_facts {
    const ql_survey *survey;
    const char *run_directory;
    const ql_summary *rows; /* of the run directory */
    int64_t row_count;
    const ql_crew_end *end;
    const char *stop_reason; /* "" when it did not stop early */
    double seconds;          /* of the whole job */
    double predicted_s;      /* of the work, by the plan; 0: nothing was measured on this machine */
    int ranks;
    bool quads;
} ql_report_facts;

/* Meshes of this run with their results, what failed and what to do, where everything lies. */
ql_status ql_report_end(FILE *out, const ql_report_facts *facts);

#endif

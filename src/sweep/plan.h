/* The plan of a collection: what the cost model and the allotment make of a survey. */
#ifndef QL_SWEEP_PLAN_H
#define QL_SWEEP_PLAN_H

#include "sweep/allot.h"
#include "sweep/cost.h"
#include "sweep/survey.h"

typedef struct ql_plan_request {
    const ql_cost *cost;
    const ql_options *options; /* of the run: sweep.group, "auto" or the ranks of every mesh with so many faces */
    bool groups;               /* whether the engine can share a mesh */
    int ranks;
    double memory_bytes; /* that a rank may take; 0: as much as it likes */
    int64_t (*most_ranks)(const ql_train_options *train, int64_t faces); /* of the engine; NULL: no limit */
    bool inexact; /* the engine shares a mesh, but not with train.deterministic */
} ql_plan_request;

typedef struct ql_plan {
    int64_t count;
    int64_t *work;     /* the allotment's mesh i is the survey's work[work[i]]; NULL in a plan of jobs */
    ql_cost_job *jobs; /* of each mesh */
    ql_allotment allotment;
    double memory_bytes; /* of the largest share of a mesh on a rank */
    double lost; /* times as long as with train.deterministic=false, where ranks could share meshes; 0: no longer */
} ql_plan;

/* What is to do of a survey, with the options of each mesh. Deterministic: the same on every rank. */
ql_status ql_plan_survey(ql_plan *plan, const ql_plan_request *request, const ql_survey *survey,
                         const ql_collection *collection);

/* What the plan loses by train.deterministic, and the remedy, in a line; "" where that is nothing. */
void ql_plan_describe_loss(const ql_plan *plan, const char *engine_name, char *text, size_t size);

/* A list of jobs (copied). */
ql_status ql_plan_jobs(ql_plan *plan, const ql_plan_request *request, const ql_cost_job *jobs, int64_t count);

void ql_plan_destroy(ql_plan *plan); /* NULL-safe */

/* Faces of a made-up collection: log-normal, median * exp(sigma z), at least 4, fixed by the seed. */
void ql_plan_draw(int64_t *faces, int64_t count, double median, double sigma, uint64_t seed);

#endif

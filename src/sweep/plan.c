/* Plans (see plan.h). */
#include "sweep/plan.h"

#include "base/memory.h"
#include "base/random.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* With fewer faces a rank spends more time on what every rank does for itself (Adam, packing of weights) and on travelling
 * gradients than on its share, whatever the model says. */
enum { FACES_PER_RANK = 250 };

/* A plan that groups would shorten by less is not worth a word. */
static const double WORTH_A_WORD = 1.1;

typedef struct question {
    const ql_plan_request *request;
    const ql_cost_job *jobs;
    int only;
    bool free; /* as if train.deterministic were false */
} question;

/* A number that the user gave counts as it is. */
static bool may_share(const question *q, const ql_cost_job *job, int group)
{
    const ql_plan_request *request = q->request;
    if (!q->free && (!request->groups || job->alone)) return false;
    if (q->only > 0) return job->faces >= group;
    if (request->most_ranks != NULL && group > request->most_ranks(&request->options->train, job->faces)) return false;
    return job->faces >= (int64_t)FACES_PER_RANK * group;
}

static double seconds_of(const void *context, int64_t mesh, int group)
{
    const question *q = context;
    const ql_cost_job *job = &q->jobs[mesh];
    double limit = q->request->memory_bytes;
    if (job->faces <= 0) return group == 1 ? 0 : INFINITY; /* cannot be read: a rank will record why */
    if (group > 1 && !may_share(q, job, group)) return INFINITY;
    if (group == 1 && q->only > 1 && may_share(q, job, q->only)) return INFINITY;
    if (limit > 0 && ql_cost_memory(q->request->cost, job->faces, group) > limit) return INFINITY;
    return ql_cost_mesh(q->request->cost, job, group);
}

/* An engine that shares meshes only without train.deterministic leaves ranks idle that could have helped: how much that costs. */
static ql_status count_loss(ql_plan *plan, const ql_plan_request *request)
{
    question q = {request, plan->jobs, 0, true};
    ql_allotment other;
    const ql_allot_problem problem = {plan->count, request->ranks, 0, seconds_of, &q};
    QL_TRY(ql_allot_make(&other, &problem));
    if (other.makespan_s < plan->allotment.makespan_s / WORTH_A_WORD)
        plan->lost = plan->allotment.makespan_s / other.makespan_s;
    ql_allot_destroy(&other);
    return QL_OK;
}

void ql_plan_describe_loss(const ql_plan *plan, const char *engine_name, char *text, size_t size)
{
    text[0] = '\0';
    if (plan->lost > 0)
        (void)snprintf(text, size,
                       "engine %s trains every mesh on one rank: train.deterministic asks for the same bytes on any "
                       "number of ranks; with train.deterministic=false ranks would share large meshes and all be done "
                       "%.1f times as fast",
                       engine_name, plan->lost);
}

/* plan->jobs and plan->count are there. */
static ql_status make(ql_plan *plan, const ql_plan_request *request)
{
    long only = strtol(request->options->sweep.group, NULL, 10); /* 0: auto */
    question q = {request, plan->jobs, only < request->ranks ? (int)only : request->ranks, false};
    ql_allot_problem problem = {plan->count, request->ranks, q.only, seconds_of, &q};
    if (only > 1 && request->ranks > 1 && !request->groups)
        return QL_FAIL(CONFIG, "sweep.group is %ld, but this engine trains a mesh on one rank only%s; use %sauto or 1",
                       only, request->inexact ? " while train.deterministic is true" : "",
                       request->inexact ? "train.deterministic=false (the same ranks still give the same bytes), or "
                                        : "");
    QL_TRY(ql_allot_make(&plan->allotment, &problem));
    for (int64_t i = 0; i < plan->count; ++i)
        if (plan->jobs[i].faces > 0)
            plan->memory_bytes =
                fmax(plan->memory_bytes, ql_cost_memory(request->cost, plan->jobs[i].faces, plan->allotment.group[i]));
    return request->inexact && !request->groups && only == 0 && request->ranks > 1 ? count_loss(plan, request) : QL_OK;
}

static ql_status take_survey(ql_plan *plan, const ql_plan_request *request, const ql_survey *survey,
                             const ql_collection *collection)
{
    QL_TRY(ql_survey_list(survey, &plan->work, &plan->count));
    QL_TRY(QL_TAKE(plan->jobs, plan->count));
    for (int64_t i = 0; i < plan->count; ++i) {
        const ql_work *work = &survey->work[plan->work[i]];
        ql_options own;
        QL_TRY(ql_collection_item_options(&collection->items[work->item], request->options, &own));
        plan->jobs[i] = ql_cost_job_of(work->faces, &own, work->step);
        plan->jobs[i].alone = request->inexact && own.train.deterministic;
    }
    return make(plan, request);
}

ql_status ql_plan_survey(ql_plan *plan, const ql_plan_request *request, const ql_survey *survey,
                         const ql_collection *collection)
{
    *plan = (ql_plan){0};
    ql_status status = take_survey(plan, request, survey, collection);
    if (status != QL_OK) ql_plan_destroy(plan);
    return status;
}

ql_status ql_plan_jobs(ql_plan *plan, const ql_plan_request *request, const ql_cost_job *jobs, int64_t count)
{
    *plan = (ql_plan){.count = count};
    QL_TRY(QL_TAKE(plan->jobs, count));
    for (int64_t i = 0; i < count; ++i) plan->jobs[i] = jobs[i];
    ql_status status = make(plan, request);
    if (status != QL_OK) ql_plan_destroy(plan);
    return status;
}

void ql_plan_destroy(ql_plan *plan)
{
    if (plan == NULL) return;
    ql_free(plan->work);
    ql_free(plan->jobs);
    ql_allot_destroy(&plan->allotment);
    *plan = (ql_plan){0};
}

void ql_plan_draw(int64_t *faces, int64_t count, double median, double sigma, uint64_t seed)
{
    ql_key key = ql_key_make(seed, 0);
    for (int64_t i = 0; i < count; ++i) {
        ql_random4 word = ql_random_at(key, QL_STREAM_TEST, 1, (uint64_t)i);
        double z = sqrt(-2 * log(ql_uniform_open(word.r[0]))) * cos(6.283185307179586 * ql_uniform_open(word.r[1]));
        faces[i] = (int64_t)fmin(1e9, fmax(4, round(median * exp(sigma * z))));
    }
}

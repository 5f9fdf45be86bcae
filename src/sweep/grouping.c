/* Ranks per mesh (see grouping.h). */
#include "sweep/grouping.h"

#include "base/memory.h"
#include "sweep/cost.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* With fewer faces a rank spends more time on what every rank does for itself (Adam, packing of weights) and on travelling
 * gradients than on its share. */
enum { FACES_PER_RANK = 250 };

/* Before anything was measured: a core's speed, and what sharing adds to a step (17.5 MB there and back, a second Adam). */
static const double FLOP_PER_S = 3e10, SHARE_S = 0.02;

typedef struct prediction {
    const ql_grouping_facts *facts;
    ql_cost cost;
} prediction;

static double seconds_of(const void *context, int64_t mesh, int group)
{
    const prediction *p = context;
    const ql_train_options *train = &p->facts->options->train;
    const ql_work *work = &p->facts->survey->work[p->facts->order[mesh]];
    if (group > 1 && (!ql_engine_shares(p->facts->engine, train) || work->faces < (int64_t)group * FACES_PER_RANK))
        return INFINITY;
    const double alone = ql_cost_mesh(&p->cost, work->faces, train, work->step);
    const double apart = ql_cost_mesh(&p->cost, work->faces, train, train->steps); /* what no step is in */
    const int64_t steps = train->stop_after > 0 && train->stop_after < train->steps ? train->stop_after : train->steps;
    const double left = steps > work->step ? (double)(steps - work->step) : 0;
    return apart + (alone - apart) / group + (group > 1 ? left * SHARE_S : 0);
}

static ql_status by_cost(ql_allotment *allotment, const ql_grouping_facts *facts)
{
    prediction p = {.facts = facts};
    const ql_allot_problem problem = {facts->count, facts->ranks, seconds_of, &p};
    const int64_t threads = facts->options->engine.threads;
    if (!ql_cost_recall(&p.cost, facts->engine->name, threads))
        p.cost = (ql_cost){.s_per_flop = 1 / (FLOP_PER_S * (double)(threads > 0 ? threads : 1))};
    return ql_allot_make(allotment, &problem);
}

/* `group` ranks for every mesh that is large enough for so many, one for the others. */
static ql_status by_number(ql_allotment *allotment, const ql_grouping_facts *facts, int group)
{
    int64_t next = 0;
    *allotment = (ql_allotment){.count = facts->count, .ranks = facts->ranks};
    ql_status status = QL_TAKE(allotment->group, facts->count);
    if (status == QL_OK) status = QL_TAKE(allotment->order, facts->count);
    for (int shared = 1; status == QL_OK && shared >= 0; --shared)
        for (int64_t i = 0; i < facts->count; ++i) {
            const bool large = group > 1 && facts->survey->work[facts->order[i]].faces >= group;
            if (large != (shared == 1)) continue;
            allotment->group[i] = large ? group : 1;
            allotment->order[next++] = i;
        }
    if (status != QL_OK) ql_allot_destroy(allotment);
    return status;
}

ql_status ql_grouping_make(ql_allotment *allotment, const ql_grouping_facts *facts)
{
    const char *option = facts->options->sweep.group;
    if (facts->ranks == 1) return by_number(allotment, facts, 1);
    if (strcmp(option, "auto") == 0) return by_cost(allotment, facts);
    const long wanted = strtol(option, NULL, 10);
    const int group = wanted < facts->ranks ? (int)wanted : facts->ranks;
    if (group > 1 && !ql_engine_shares(facts->engine, &facts->options->train))
        return QL_FAIL(CONFIG, "sweep.group is %s, but engine %s trains a mesh on one rank only%s; use auto or 1",
                       option, facts->engine->name, facts->engine->groups ? " while train.deterministic is true" : "");
    return by_number(allotment, facts, group);
}

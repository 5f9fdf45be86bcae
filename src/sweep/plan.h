/* How long a collection takes on so many ranks: the list scheduling of a run, simulated. */
#ifndef QL_SWEEP_PLAN_H
#define QL_SWEEP_PLAN_H

#include "base/status.h"

#include <stdint.h>

typedef struct ql_plan {
    double makespan_s;
    double lower_bound_s; /* no schedule is faster: max(sum / ranks, longest) */
    double total_s, longest_s;
    double efficiency; /* total / (ranks * makespan) */
} ql_plan;

/* `seconds` of each mesh in the order in which they are begun (longest first for the bound to hold). When `rank_of` or
 * `start_s` are not NULL they get who does what and when. O(count log ranks). `noise` (relative, uniform, 0 = none) is on the true
 * times, which the order does not know; `seed` chooses it. */
ql_status ql_plan_simulate(ql_plan *plan, const double *seconds, int64_t count, int ranks, double noise, uint64_t seed,
                           int32_t *rank_of, double *start_s);

#endif

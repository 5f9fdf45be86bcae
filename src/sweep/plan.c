/* Simulated list scheduling (see plan.h): a binary heap of the times at which ranks become free. */
#include "sweep/plan.h"

#include "base/memory.h"
#include "base/random.h"

#include <math.h>

typedef struct seat {
    double free_s;
    int32_t rank;
} seat;

static int before(const seat *a, const seat *b)
{
    return a->free_s < b->free_s || (a->free_s == b->free_s && a->rank < b->rank);
}

/* Moves the first one down to where it belongs. */
static void sift(seat *heap, int size)
{
    for (int at = 0;;) {
        int child = 2 * at + 1;
        if (child >= size) return;
        if (child + 1 < size && before(&heap[child + 1], &heap[child])) ++child;
        if (!before(&heap[child], &heap[at])) return;
        seat swap = heap[at];
        heap[at] = heap[child];
        heap[child] = swap;
        at = child;
    }
}

ql_status ql_plan_simulate(ql_plan *plan, const double *seconds, int64_t count, int ranks, double noise, uint64_t seed,
                           int32_t *rank_of, double *start_s)
{
    seat *heap;
    ql_key key = ql_key_make(seed, 0);
    *plan = (ql_plan){0};
    QL_TRY(QL_TAKE(heap, ranks));
    for (int rank = 0; rank < ranks; ++rank) heap[rank].rank = rank;
    for (int64_t i = 0; i < count; ++i) {
        double word = (double)ql_uniform(ql_random_at(key, QL_STREAM_TEST, 0, (uint64_t)i).r[0]);
        double true_s = seconds[i] * (1 + noise * (2 * word - 1));
        if (rank_of != NULL) rank_of[i] = heap[0].rank;
        if (start_s != NULL) start_s[i] = heap[0].free_s;
        heap[0].free_s += true_s;
        plan->total_s += true_s;
        plan->longest_s = fmax(plan->longest_s, true_s);
        plan->makespan_s = fmax(plan->makespan_s, heap[0].free_s);
        sift(heap, ranks);
    }
    ql_free(heap);
    plan->lower_bound_s = fmax(plan->total_s / ranks, plan->longest_s);
    plan->efficiency = plan->makespan_s > 0 ? plan->total_s / (ranks * plan->makespan_s) : 1;
    return QL_OK;
}

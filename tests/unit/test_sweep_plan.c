/* Cost model, simulated scheduling and the deal of work. */
#include "support/test.h"

#include "base/clock.h"
#include "sweep/cost.h"
#include "sweep/plan.h"

#include <math.h>
#include <string.h>

static void test_known_schedule(void **state)
{
    (void)state;
    const double seconds[] = {7, 6, 5, 4, 3};
    int32_t rank_of[5];
    double start_s[5];
    ql_plan plan;
    ASSERT_OK(ql_plan_simulate(&plan, seconds, 5, 2, 0, 1, rank_of, start_s));
    const int32_t expected_rank[] = {0, 1, 1, 0, 1}; /* 7 | 6, then 5 at 6, 4 at 7, 3 at 11 (both free: rank 0 first) */
    assert_int_equal(rank_of[0], expected_rank[0]);
    assert_int_equal(rank_of[1], expected_rank[1]);
    assert_int_equal(rank_of[2], expected_rank[2]);
    assert_int_equal(rank_of[3], expected_rank[3]);
    assert_true(start_s[2] == 6 && start_s[3] == 7 && start_s[4] == 11);
    assert_true(plan.makespan_s == 14 && plan.total_s == 25 && plan.lower_bound_s == 12.5);
    ASSERT_OK(ql_plan_simulate(&plan, seconds, 0, 2, 0, 1, NULL, NULL));
    assert_true(plan.makespan_s == 0 && plan.efficiency == 1);
}

/* Log-normal sizes, 16 meshes per rank, 10 % noise on the true times: list scheduling wastes little unless one mesh is
 * longer than all the rest per rank; and a hundred thousand meshes are a matter of a moment. */
static void test_large(void **state)
{
    (void)state;
    enum { COUNT = 100000, RANKS = 4096 };
    double *seconds = ql_memory_take(COUNT, sizeof *seconds);
    assert_non_null(seconds);
    for (int i = 0; i < COUNT; ++i) {
        double quantile = (COUNT - i - 0.5) / COUNT; /* longest first */
        seconds[i] = exp(1.2 * (sqrt(2) * (quantile < 0.5 ? -1 : 1) * sqrt(-log(4 * quantile * (1 - quantile)) * 0.6)));
    }
    ql_plan plan;
    double began = ql_clock_cpu_s();
    ASSERT_OK(ql_plan_simulate(&plan, seconds, COUNT, RANKS, 0.1, 7, NULL, NULL));
    assert_true(ql_clock_cpu_s() - began < 1);
    assert_true(plan.makespan_s >= plan.lower_bound_s && plan.makespan_s <= plan.total_s / RANKS + plan.longest_s);
    ASSERT_OK(ql_plan_simulate(&plan, seconds, COUNT, COUNT / 64, 0.1, 7, NULL, NULL));
    if (plan.lower_bound_s > plan.longest_s) assert_true(plan.efficiency > 0.95);
    ql_free(seconds);
}

static void test_refine(void **state)
{
    (void)state;
    const double faces[] = {300, 1000, 4000, 20000};
    double seconds[4];
    ql_cost truth = {.fixed_s = 0.02, .s_per_flop = 2e-11}, cost = {.fixed_s = 1, .s_per_flop = 1e-10};
    for (int i = 0; i < 4; ++i) seconds[i] = ql_cost_step(&truth, (int64_t)faces[i], 2000);
    ql_cost_refine(&cost, faces, seconds, 4, 2000);
    assert_true(fabs(cost.fixed_s - 0.02) < 1e-6 && fabs(cost.s_per_flop / 2e-11 - 1) < 1e-6);

    /* one size only: the former ratio is kept, the level is right */
    cost = (ql_cost){.fixed_s = 1, .s_per_flop = 1e-10};
    ql_cost_refine(&cost, faces, seconds, 1, 2000);
    assert_true(fabs(ql_cost_step(&cost, 300, 2000) / seconds[0] - 1) < 1e-9);
    assert_true(fabs(cost.fixed_s / cost.s_per_flop / 1e10 - 1) < 1e-9);

    /* never negative */
    const double odd[] = {5, 1, 1, 1};
    ql_cost_refine(&cost, faces, odd, 4, 2000);
    assert_true(cost.fixed_s >= 0 && cost.s_per_flop >= 0);
}

static void test_deal(void **state)
{
    (void)state;
    ql_work work[6];
    memset(work, 0, sizeof work);
    const double cost[] = {3, 9, 4, 8, 5, 100};
    for (int i = 0; i < 6; ++i) work[i].cost = cost[i];
    work[5].state = QL_WORK_FINISHED;
    ql_survey survey = {.count = 6, .work = work};
    double sum = 0;
    int64_t dealt = 0;
    for (int rank = 0; rank < 2; ++rank) {
        int64_t *order = NULL, count = 0;
        ASSERT_OK(ql_survey_deal(&survey, rank, 2, &order, &count));
        for (int64_t i = 0; i < count; ++i) {
            sum += work[order[i]].cost;
            assert_true(i == 0 || work[order[i]].cost <= work[order[i - 1]].cost);
        }
        dealt += count;
        ql_free(order);
    }
    assert_int_equal(dealt, 5);
    assert_true(sum == 29);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_schedule),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_refine),
        cmocka_unit_test(test_deal),
    };
    return ql_test_main(tests);
}

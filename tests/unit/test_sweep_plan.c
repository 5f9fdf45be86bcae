/* Cost model, plans, and the efficiency that they reach in simulation. */
#include "support/test.h"

#include "sweep/plan.h"

#include <math.h>
#include <string.h>

/* analysis/results/cost_zen3.txt: engine cpu, one thread on a Zen 3 core, by `quadloom plan`. */
static const ql_cost MEASURED = {.fixed_s = 0.101167385,
                                 .s_per_flop = 1.39853257e-11,
                                 .latency_s = 0.0001,
                                 .s_per_byte = 1.7e-10,
                                 .prepare_s = 0.225099558,
                                 .prepare_s_per_face = 2.80327079e-05,
                                 .memory_bytes = 230601179,
                                 .memory_bytes_per_face = 98564.0687};

/* Log-normal sizes, sigma 1.2, single meshes 10 % off: at least 95 % of the ranks' time is work with 16 meshes per rank, 85 %
 * with 4, on 8 to 4096 ranks. */
static void test_efficiency(void **state)
{
    (void)state;
    enum { MOST = 16 * 4096, SEEDS = 3 };
    static const struct {
        int per_rank;
        double bar;
    } cases[] = {{16, 0.95}, {4, 0.85}};
    int64_t *faces = ql_memory_take(MOST, sizeof *faces);
    ql_cost_job *jobs = ql_memory_take(MOST, sizeof *jobs);
    ql_options options;
    assert_true(faces != NULL && jobs != NULL);
    ql_options_init(&options);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; ++c)
        for (int ranks = 8; ranks <= 4096; ranks *= ranks < 512 ? 2 : 8)
            for (uint64_t seed = 1; seed <= (ranks > 128 ? 1 : SEEDS); ++seed) {
                int64_t count = (int64_t)cases[c].per_rank * ranks;
                ql_plan_request request = {&MEASURED, &options, true, ranks, 0, ql_engine_cpu.most_ranks, false};
                ql_allot_outcome outcome;
                ql_plan plan;
                ql_plan_draw(faces, count, 10000, 1.2, seed);
                for (int64_t i = 0; i < count; ++i) jobs[i] = ql_cost_job_of(faces[i], &options, 0);
                ASSERT_OK(ql_plan_jobs(&plan, &request, jobs, count));
                ASSERT_OK(ql_allot_simulate(&outcome, &plan.allotment, 0.1, seed, NULL, NULL));
                if (seed == 1)
                    print_message("%4d ranks, %2d meshes each: %.1f %%\n", ranks, cases[c].per_rank,
                                  100 * outcome.efficiency);
                assert_true(outcome.efficiency >= cases[c].bar);
                assert_true(outcome.forming_s == 0);
                ql_plan_destroy(&plan);
            }
    ql_free(faces);
    ql_free(jobs);
}

/* Memory and the number of faces limit groups from below and above; a given group size is taken as it is. */
static void test_limits(void **state)
{
    (void)state;
    ql_options options;
    ql_plan plan;
    ql_options_init(&options);
    const ql_cost_job jobs[] = {ql_cost_job_of(100000, &options, 0), ql_cost_job_of(2, &options, 0),
                                ql_cost_job_of(0, &options, 0)};
    ql_plan_request request = {&MEASURED, &options, true, 8, 5.5e9, NULL, false};
    ASSERT_OK(ql_plan_jobs(&plan, &request, jobs, 3));
    assert_true(plan.allotment.group[0] >= 2 && plan.memory_bytes <= 5.5e9);
    assert_int_equal(plan.allotment.group[1], 1);
    assert_int_equal(plan.allotment.group[2], 1);
    ql_plan_destroy(&plan);
    (void)strcpy(options.sweep.group, "4");
    ASSERT_OK(ql_plan_jobs(&plan, &request, jobs, 1));
    assert_int_equal(plan.allotment.group[0], 4);
    ql_plan_destroy(&plan);
    ASSERT_OK(ql_plan_jobs(&plan, &request, jobs, 3)); /* too small for four */
    assert_true(plan.allotment.group[0] == 4 && plan.allotment.group[1] == 1 && plan.allotment.group[2] == 1);
    ql_plan_destroy(&plan);
    request.groups = false;
    assert_int_equal(ql_plan_jobs(&plan, &request, jobs, 3), QL_STATUS_CONFIG);

    /* nobody in a group without work, where shards are fixed */
    const ql_cost_job one = ql_cost_job_of(7000, &options, 0);
    (void)strcpy(options.sweep.group, "auto");
    request = (ql_plan_request){&MEASURED, &options, true, 64, 0, NULL, false};
    ASSERT_OK(ql_plan_jobs(&plan, &request, &one, 1));
    assert_true(plan.allotment.group[0] > 8);
    ql_plan_destroy(&plan);
    request.most_ranks = ql_engine_cpu.most_ranks;
    ASSERT_OK(ql_plan_jobs(&plan, &request, &one, 1));
    assert_int_equal(plan.allotment.group[0], 8);
    ql_plan_destroy(&plan);
    options.train.deterministic = false;
    ASSERT_OK(ql_plan_jobs(&plan, &request, &one, 1));
    assert_true(plan.allotment.group[0] > 8);
    ql_plan_destroy(&plan);
}

/* An engine that shares meshes only without train.deterministic: by default one rank each, and a line that names the option; a
 * mesh with options of its own is planned by them. */
static void test_inexact_engine(void **state)
{
    (void)state;
    ql_options options;
    ql_plan plan;
    char text[320];
    ql_options_init(&options);
    assert_true(options.train.deterministic);
    ql_cost_job jobs[] = {ql_cost_job_of(100000, &options, 0), ql_cost_job_of(2000, &options, 0)};
    jobs[0].alone = jobs[1].alone = true;
    ql_plan_request request = {&MEASURED, &options, false, 8, 0, NULL, true};
    ASSERT_OK(ql_plan_jobs(&plan, &request, jobs, 2));
    assert_int_equal(plan.allotment.group[0], 1);
    assert_true(plan.lost > 2);
    ql_plan_describe_loss(&plan, "cuda", text, sizeof text);
    assert_non_null(strstr(text, "train.deterministic=false"));
    ql_plan_destroy(&plan);

    ASSERT_OK(ql_plan_jobs(&plan, &request, &jobs[1], 0)); /* nothing to do, nothing lost */
    ql_plan_describe_loss(&plan, "cuda", text, sizeof text);
    assert_true(plan.lost == 0 && text[0] == '\0');
    ql_plan_destroy(&plan);

    (void)strcpy(options.sweep.group, "4");
    assert_int_equal(ql_plan_jobs(&plan, &request, jobs, 2), QL_STATUS_CONFIG);
    assert_non_null(strstr(ql_error_text(), "train.deterministic=false"));
    (void)strcpy(options.sweep.group, "auto");

    request.groups = true; /* the run says train.deterministic=false, the second mesh says true */
    options.train.deterministic = false;
    jobs[0].alone = false;
    jobs[1].faces = 20000;
    ASSERT_OK(ql_plan_jobs(&plan, &request, jobs, 2));
    assert_true(plan.allotment.group[0] > 1 && plan.lost == 0);
    assert_int_equal(plan.allotment.group[1], 1);
    ql_plan_destroy(&plan);
}

static void test_refine(void **state)
{
    (void)state;
    enum { COUNT = 6 };
    const int64_t faces[COUNT] = {300, 1000, 4000, 20000, 1000, 8000};
    ql_summary *rows = ql_memory_take(COUNT, sizeof *rows);
    ql_cost truth = {.fixed_s = 0.02, .s_per_flop = 2e-11, .latency_s = 1e-3, .s_per_byte = 1e-9},
            cost = {.fixed_s = 1, .s_per_flop = 1e-10, .latency_s = 1e-4, .s_per_byte = 1e-10, .quads_s = 1};
    assert_non_null(rows);
    for (int i = 0; i < COUNT; ++i) {
        ql_summary_init(&rows[i]);
        (void)strcpy(rows[i].engine, i < 5 ? "cpu" : "ref");
        rows[i].faces = faces[i];
        rows[i].steps = 100;
        rows[i].ranks = i == 4 ? 2 : 1;
        rows[i].s_per_step = (i == 5 ? 100 : 1) * ql_cost_step(&truth, faces[i], 2000, (int)rows[i].ranks);
        rows[i].quads_s = 0.5 + 1e-3 * (double)faces[i];
    }
    ASSERT_OK(ql_cost_refine(&cost, rows, COUNT, "cpu", 2000));
    assert_true(fabs(cost.fixed_s - 0.02) < 1e-6 && fabs(cost.s_per_flop / 2e-11 - 1) < 1e-6);
    assert_true(fabs(cost.s_per_byte / 1e-9 - 1) < 1e-6 && fabs(cost.latency_s / 1e-3 - 1) < 1e-6);
    assert_true(fabs(cost.quads_s - 0.5) < 1e-6 && fabs(cost.quads_s_per_face - 1e-3) < 1e-9);
    assert_true(cost.samples == 4);

    /* one size only: the former ratio is kept, the level is right */
    cost = (ql_cost){.fixed_s = 1, .s_per_flop = 1e-10};
    ASSERT_OK(ql_cost_refine(&cost, rows, 1, "cpu", 2000));
    assert_true(fabs(ql_cost_step(&cost, 300, 2000, 1) / rows[0].s_per_step - 1) < 1e-9);
    assert_true(fabs(cost.fixed_s / cost.s_per_flop / 1e10 - 1) < 1e-9);

    /* never negative */
    const double odd[] = {5, 1, 1, 1};
    for (int i = 0; i < 4; ++i) rows[i].s_per_step = odd[i];
    ASSERT_OK(ql_cost_refine(&cost, rows, 4, "cpu", 2000));
    assert_true(cost.fixed_s >= 0 && cost.s_per_flop >= 0);
    ql_free(rows);
}

static void test_cache(void **state)
{
    (void)state;
    char folder[] = "/tmp/quadloom-cost-XXXXXX";
    assert_non_null(mkdtemp(folder));
    assert_int_equal(setenv("XDG_CACHE_HOME", folder, 1), 0);
    ql_options options;
    ql_cost back;
    ql_options_init(&options);
    options.engine.threads = 3;
    options.quads.enabled = false;
    assert_false(ql_cost_recall(&back, &options, "cpu"));
    ql_cost_keep(&MEASURED, &options, "cpu");
    assert_true(ql_cost_recall(&back, &options, "cpu"));
    assert_memory_equal(&back, &MEASURED, sizeof back);
    assert_false(ql_cost_recall(&back, &options, "ref"));
    options.quads.enabled = true; /* their time was not measured */
    assert_false(ql_cost_recall(&back, &options, "cpu"));
    options.train.off_points++;
    options.quads.enabled = false;
    assert_false(ql_cost_recall(&back, &options, "cpu"));
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r '%s'", folder);
    assert_int_equal(system(command), 0);
}

static void test_list(void **state)
{
    (void)state;
    ql_work work[6];
    memset(work, 0, sizeof work);
    const double cost[] = {3, 9, 4, 8, 5, 100};
    for (int i = 0; i < 6; ++i) work[i].cost = cost[i];
    work[5].state = QL_WORK_FINISHED;
    ql_survey survey = {.count = 6, .work = work};
    int64_t *order = NULL, count = 0;
    const int64_t expected[] = {1, 3, 4, 2, 0};
    ASSERT_OK(ql_survey_list(&survey, &order, &count));
    assert_int_equal(count, 5);
    assert_memory_equal(order, expected, sizeof expected);
    ql_free(order);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_efficiency), cmocka_unit_test(test_limits), cmocka_unit_test(test_inexact_engine),
        cmocka_unit_test(test_refine),     cmocka_unit_test(test_cache),  cmocka_unit_test(test_list),
    };
    return ql_test_main(tests);
}

/* Allotment of ranks to meshes: bounds, brute force on tiny cases, the rule of granting, speed. */
#include "support/test.h"

#include "base/clock.h"
#include "base/random.h"
#include "sweep/allot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Mesh i: work[i] / k shared out, and a part that grows with k. */
typedef struct model {
    const double *work;
    double serial_s, exchange_s;
    int least_group; /* smaller ones: no memory */
} model;

static double seconds_of(const void *context, int64_t mesh, int group)
{
    const model *m = context;
    if (group < m->least_group) return INFINITY;
    return m->serial_s + m->work[mesh] / group + m->exchange_s * log2(group);
}

static double word(uint64_t seed, uint64_t index)
{
    return ql_uniform_open(ql_random_at(ql_key_make(seed, 1), QL_STREAM_TEST, 1, index).r[0]);
}

/* Heavy-tailed: Pareto with exponent 1.2. */
static void draw(double *work, int64_t count, uint64_t seed)
{
    for (int64_t i = 0; i < count; ++i) work[i] = pow(word(seed, (uint64_t)i), -1 / 1.2);
}

/* ---- brute force ---- */

enum { TINY = 4, TINY_RANKS = 4 };

typedef struct brute {
    const model *m;
    int count, ranks;
    int group[TINY], order[TINY];
    double best_s;
} brute;

/* Ranks in use at time t by those placed already. */
static int used_at(const double *start, const double *end, const int *group, int placed, double t)
{
    int used = 0;
    for (int j = 0; j < placed; ++j) used += start[j] <= t && t < end[j] ? group[j] : 0;
    return used;
}

/* Each mesh in the given order at the earliest time at which it fits: over all orders that includes an optimal schedule. */
static double place_all(const brute *b)
{
    double start[TINY], end[TINY], makespan = 0;
    int group[TINY];
    for (int p = 0; p < b->count && p < TINY; ++p) {
        int mesh = b->order[p];
        double t = seconds_of(b->m, mesh, b->group[mesh]), at = INFINITY;
        for (int c = -1; c < p; ++c) {
            double from = c < 0 ? 0 : end[c];
            bool fits = used_at(start, end, group, p, from) + b->group[mesh] <= b->ranks;
            for (int j = 0; j < p; ++j)
                if (start[j] > from && start[j] < from + t)
                    fits = fits && used_at(start, end, group, p, start[j]) + b->group[mesh] <= b->ranks;
            if (fits && from < at) at = from;
        }
        start[p] = at;
        end[p] = at + t;
        group[p] = b->group[mesh];
        makespan = fmax(makespan, end[p]);
    }
    return makespan;
}

static void permute(brute *b, int from)
{
    if (from >= b->count || from >= TINY) {
        b->best_s = fmin(b->best_s, place_all(b));
        return;
    }
    for (int i = from; i < b->count && i < TINY; ++i) {
        int keep = b->order[from];
        b->order[from] = b->order[i];
        b->order[i] = keep;
        permute(b, from + 1);
        b->order[i] = b->order[from];
        b->order[from] = keep;
    }
}

static void choose_groups(brute *b, int mesh)
{
    if (mesh >= b->count || mesh >= TINY) {
        permute(b, 0);
        return;
    }
    for (b->group[mesh] = 1; b->group[mesh] <= b->ranks; b->group[mesh]++)
        if (b->group[mesh] != 3 || b->ranks == 3) choose_groups(b, mesh + 1);
}

static void test_brute_force(void **state)
{
    (void)state;
    double worst = 1;
    for (uint64_t seed = 0; seed < 60; ++seed) {
        double work[TINY];
        model m = {.work = work, .serial_s = 0.1, .exchange_s = seed % 3 == 0 ? 0 : 0.3};
        draw(work, TINY, seed);
        for (int ranks = 1; ranks <= TINY_RANKS; ++ranks)
            for (int count = 1; count <= TINY; ++count) {
                brute b = {.m = &m, .count = count, .ranks = ranks, .order = {0, 1, 2, 3}, .best_s = INFINITY};
                ql_allot_problem problem = {count, ranks, 0, seconds_of, &m};
                ql_allotment allotment;
                choose_groups(&b, 0);
                ASSERT_OK(ql_allot_make(&allotment, &problem));
                assert_true(allotment.lower_bound_s <= b.best_s * (1 + 1e-7));
                assert_true(b.best_s <= allotment.makespan_s * (1 + 1e-7));
                worst = fmax(worst, allotment.makespan_s / b.best_s);
                ql_allot_destroy(&allotment);
            }
    }
    assert_true(worst <= 1.75); /* 2 - 1/m */
    print_message("worst ratio to the best schedule: %.3f\n", worst);
}

/* ---- bounds and feasibility ---- */

typedef struct edge {
    double at;
    int change;
} edge;

static int compare_edges(const void *a, const void *b)
{
    const edge *x = a, *y = b;
    if (x->at != y->at) return x->at < y->at ? -1 : 1;
    return (x->change > y->change) - (x->change < y->change); /* ends before starts */
}

static void assert_feasible(const ql_allotment *a)
{
    edge *edges = ql_memory_take((size_t)(2 * a->count), sizeof *edges);
    int used = 0;
    assert_non_null(edges);
    for (int64_t i = 0; i < a->count; ++i) {
        edges[2 * i] = (edge){a->start_s[i], a->seconds[i] > 0 ? a->group[i] : 0};
        edges[2 * i + 1] = (edge){a->end_s[i], -edges[2 * i].change};
        assert_true(fabs(a->end_s[i] - a->start_s[i] - a->seconds[i]) <= 1e-9 * a->end_s[i]);
        assert_true(a->end_s[i] <= a->makespan_s);
    }
    qsort(edges, (size_t)(2 * a->count), sizeof *edges, compare_edges);
    for (int64_t e = 0; e < 2 * a->count; ++e) {
        used += edges[e].change;
        assert_true(used >= 0 && used <= a->ranks);
    }
    assert_int_equal(used, 0);
    ql_free(edges);
}

static void test_bounds(void **state)
{
    (void)state;
    enum { MOST = 300 };
    static const int ranks[] = {1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 24, 31, 64, 100, 128};
    double work[MOST];
    for (uint64_t seed = 0; seed < 20; ++seed) {
        int count = 1 + (int)(word(seed, 1u << 30) * (MOST - 1));
        model m = {.work = work,
                   .serial_s = 0.05,
                   .exchange_s = 0.2 * (double)(seed % 4),
                   .least_group = seed % 5 == 4 ? 2 : 1};
        draw(work, count, seed);
        for (size_t r = 0; r < sizeof ranks / sizeof *ranks; ++r) {
            ql_allot_problem problem = {count, ranks[r], 0, seconds_of, &m};
            ql_allotment a;
            ql_allot_outcome outcome;
            bool power = (ranks[r] & (ranks[r] - 1)) == 0;
            ASSERT_OK(ql_allot_make(&a, &problem));
            assert_feasible(&a);
            assert_true(a.makespan_s >= a.lower_bound_s * (1 - 1e-9));
            assert_true(a.makespan_s <= (power ? 2 - 1.0 / ranks[r] : 3) * a.lower_bound_s * (1 + 1e-6));
            ASSERT_OK(ql_allot_simulate(&outcome, &a, 0.3, seed, NULL, NULL));
            if (power && m.least_group == 1) assert_true(a.forming_s == 0 && outcome.forming_s == 0);
            assert_true(outcome.busy_s <= outcome.makespan_s * a.ranks * (1 + 1e-9));
            ql_allot_destroy(&a);
        }
    }
}

/* ---- known answers ---- */

static void test_known(void **state)
{
    (void)state;
    const double work[] = {1, 8, 1, 1, 1, 1, 1, 1, 1};
    model m = {.work = work};
    ql_allot_problem problem = {9, 4, 0, seconds_of, &m};
    ql_allotment a;
    ASSERT_OK(ql_allot_make(&a, &problem)); /* 16 in all, 4 each: the long one must be shared */
    assert_true(fabs(a.lower_bound_s - 4) < 1e-6 && fabs(a.makespan_s - 4) < 1e-9 && a.efficiency > 1 - 1e-9);
    assert_true(a.group[1] >= 2 && a.order[0] == 1 && a.start_s[1] == 0);
    ql_allot_destroy(&a);

    /* sharing that costs more than it saves is left alone */
    m.exchange_s = 100;
    ASSERT_OK(ql_allot_make(&a, &problem));
    assert_int_equal(a.group[1], 1);
    assert_true(fabs(a.lower_bound_s - 8) < 1e-6 && a.makespan_s == 8);
    ql_allot_destroy(&a);

    /* one mesh, a number of ranks that is no power of two: all of them */
    problem = (ql_allot_problem){1, 6, 0, seconds_of, &m};
    m.exchange_s = 0;
    ASSERT_OK(ql_allot_make(&a, &problem));
    assert_int_equal(a.group[0], 6);
    ql_allot_destroy(&a);

    /* memory for three ranks at least; and for none */
    problem = (ql_allot_problem){9, 4, 0, seconds_of, &m};
    m.least_group = 3;
    ASSERT_OK(ql_allot_make(&a, &problem));
    for (int i = 0; i < 9; ++i) assert_int_equal(a.group[i], 4);
    ql_allot_destroy(&a);
    m.least_group = 5;
    ASSERT_OK(ql_allot_make(&a, &problem));
    for (int i = 0; i < 9; ++i) assert_true(a.group[i] == 1 && a.seconds[i] == 0);
    assert_true(a.makespan_s == 0);
    ql_allot_destroy(&a);

    /* a size that was asked for; more than there are */
    m.least_group = 2;
    for (problem.only = 3; problem.only <= 5; problem.only += 2) {
        ASSERT_OK(ql_allot_make(&a, &problem));
        for (int i = 0; i < 9; ++i) assert_int_equal(a.group[i], problem.only == 3 ? 3 : 4);
        ql_allot_destroy(&a);
    }
    problem.count = problem.only = 0;
    ASSERT_OK(ql_allot_make(&a, &problem));
    assert_true(a.makespan_s == 0 && a.efficiency == 1);
    ql_allot_destroy(&a);
}

/* A waiting head keeps its ranks, but the ones it cannot use go to others. */
static void test_queue(void **state)
{
    (void)state;
    int32_t group[] = {4, 4, 2, 1, 1};
    int64_t order[] = {0, 1, 2, 3, 4};
    ql_allotment a = {.count = 5, .ranks = 7, .group = group, .order = order};
    ql_allot_queue queue;
    ql_allot_queue_begin(&queue, &a);
    assert_int_equal(ql_allot_queue_next(&queue, 7), 0);
    assert_int_equal(ql_allot_queue_next(&queue, 3), 2); /* 7 mod 4 = 3 are of no use to the second group of four */
    assert_int_equal(ql_allot_queue_next(&queue, 1), 3);
    assert_int_equal(ql_allot_queue_next(&queue, 0), -1);
    assert_int_equal(ql_allot_queue_next(&queue, 4), 1);
    assert_int_equal(ql_allot_queue_left(&queue), 1);
    assert_int_equal(ql_allot_queue_next(&queue, 4), 4);
    assert_int_equal(ql_allot_queue_next(&queue, 7), -1);
    assert_int_equal(ql_allot_queue_left(&queue), 0);

    a.ranks = 8;
    ql_allot_queue_begin(&queue, &a);
    assert_int_equal(ql_allot_queue_next(&queue, 8), 0);
    assert_int_equal(ql_allot_queue_next(&queue, 3), -1); /* the fourth one is to come */
    assert_int_equal(ql_allot_queue_next(&queue, 4), 1);
}

/* ---- scale ---- */

static void test_speed(void **state)
{
    (void)state;
    enum { COUNT = 100000, RANKS = 4096 };
    double *work = ql_memory_take(COUNT, sizeof *work);
    assert_non_null(work);
    draw(work, COUNT, 3);
    model m = {.work = work, .serial_s = 1e-3, .exchange_s = 1e-3};
    ql_allot_problem problem = {COUNT, RANKS, 0, seconds_of, &m};
    ql_allotment a;
    double began = ql_clock_cpu_s();
    ASSERT_OK(ql_allot_make(&a, &problem));
    double seconds = ql_clock_cpu_s() - began;
    print_message("%d meshes on %d ranks: %.3f s\n", (int)COUNT, (int)RANKS, seconds);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_true(seconds < 1);
#endif
    assert_feasible(&a);
    ql_allot_destroy(&a);
    ql_free(work);
}

static void test_no_memory(void **state)
{
    (void)state;
    const double work[] = {3, 2, 1};
    model m = {.work = work};
    ql_allot_problem problem = {3, 2, 0, seconds_of, &m};
    ql_allotment a;
    ql_status status = QL_STATUS_NO_MEMORY;
    for (int64_t n = 1; status == QL_STATUS_NO_MEMORY; ++n) {
        ql_memory_fail_at(n);
        status = ql_allot_make(&a, &problem);
        assert_true(status == QL_STATUS_NO_MEMORY || n > 10);
    }
    ql_memory_fail_at(0);
    assert_int_equal(status, QL_OK);
    ql_allot_destroy(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_brute_force), cmocka_unit_test(test_bounds), cmocka_unit_test(test_known),
        cmocka_unit_test(test_queue),       cmocka_unit_test(test_speed),  cmocka_unit_test(test_no_memory),
    };
    return ql_test_main(tests);
}

/* k-d tree against a search over all points, with ties, duplicates, few points and threads; and its speed. */
#include "support/test.h"

#include "base/clock.h"
#include "base/random.h"
#include "mesh/nearest.h"

#include <string.h>

enum { MAX_POINTS = 3000, K = 50 };
static double points[3 * MAX_POINTS];

/* kind 0: in a cube; 1: on a sphere-like shell of integers (many ties); 2: all equal; 3: on a line */
static void fill(int kind, int32_t count)
{
    for (int32_t i = 0; i < count; ++i) {
        ql_random4 r = ql_random_at(ql_key_make(5, (uint64_t)kind), QL_STREAM_TEST, 0, (uint64_t)i);
        for (int k = 0; k < 3; ++k) {
            double x = (double)ql_uniform(r.r[k]);
            points[3 * i + k] = kind == 0   ? x
                                : kind == 1 ? (double)(int)(8.0 * x)
                                : kind == 2 ? 0.25
                                : k == 1    ? x
                                            : 1.0;
        }
    }
}

/* The definition: sorted by (squared distance, index). */
static int brute_force(const double query[3], int32_t count, int k, int32_t *index, double *distance2)
{
    int found = 0;
    for (int32_t i = 0; i < count; ++i) {
        double x = points[3 * i] - query[0], y = points[3 * i + 1] - query[1], z = points[3 * i + 2] - query[2];
        double d = x * x + y * y + z * z;
        if (found == k && !(d < distance2[found - 1])) continue;
        int at = found < k ? found++ : k - 1;
        for (; at > 0 && d < distance2[at - 1]; --at) {
            distance2[at] = distance2[at - 1];
            index[at] = index[at - 1];
        }
        distance2[at] = d;
        index[at] = i;
    }
    return found;
}

static void check(int kind, int32_t count, int k)
{
    ql_kdtree *tree;
    fill(kind, count);
    ASSERT_OK(ql_kdtree_create(&tree, points, count));
    for (int32_t q = 0; q < 60; ++q) {
        int32_t index[64], expected_index[64];
        double distance2[64], expected[64], query[3];
        ql_random4 r = ql_random_at(ql_key_make(6, 0), QL_STREAM_TEST, 0, (uint64_t)q);
        for (int j = 0; j < 3; ++j)
            query[j] = q % 2 == 0 && count > 0 ? points[3 * (q % count) + j] : 3.0 * (double)ql_uniform(r.r[j]) - 1.0;
        int n = ql_kdtree_nearest(tree, query, k, index, distance2);
        assert_int_equal(n, brute_force(query, count, k, expected_index, expected));
        assert_int_equal(n, k < count ? k : count);
        assert_memory_equal(index, expected_index, sizeof *index * (size_t)n);
        assert_memory_equal(distance2, expected, sizeof *distance2 * (size_t)n);
    }
    ql_kdtree_destroy(tree);
}

static void test_against_brute_force(void **state)
{
    (void)state;
    static const int32_t COUNTS[] = {0, 1, 2, 7, 8, 9, 15, 16, 17, 33, 64, 65, 100, 1000, MAX_POINTS};
    for (int kind = 0; kind < 4; ++kind) {
        for (size_t i = 0; i < sizeof COUNTS / sizeof COUNTS[0]; ++i) {
            check(kind, COUNTS[i], 1);
            check(kind, COUNTS[i], K);
            check(kind, COUNTS[i], 64);
        }
    }
}

static void test_threads_agree(void **state)
{
    (void)state;
    ql_kdtree *tree;
    fill(0, MAX_POINTS);
    ASSERT_OK(ql_kdtree_create(&tree, points, MAX_POINTS));
    double alone = 0.0, together = 0.0;
    for (int pass = 0; pass < 2; ++pass) {
        double sum = 0.0;
#pragma omp parallel for reduction(+ : sum) if (pass == 1)
        for (int32_t i = 0; i < MAX_POINTS; ++i) {
            int32_t index[K];
            double distance2[K];
            (void)ql_kdtree_nearest(tree, points + 3 * (size_t)i, K, index, distance2);
            sum += (double)index[K - 1];
        }
        *(pass == 0 ? &alone : &together) = sum;
    }
    assert_true(alone == together);
    ql_kdtree_destroy(tree);
}

static void test_memory_runs_out(void **state)
{
    (void)state;
    ql_kdtree *tree;
    fill(0, 100);
    for (int n = 1; n <= 5; ++n) {
        ql_memory_fail_at(n);
        assert_int_equal(ql_kdtree_create(&tree, points, 100), QL_STATUS_NO_MEMORY);
        ql_memory_fail_at(0);
        assert_null(tree);
    }
}

/* 50 neighbours of 50,000 points; the bound is loose for sanitizers, the real figure is printed. */
static void test_speed(void **state)
{
    (void)state;
    enum { COUNT = 50000 };
    double *cloud, seconds = ql_clock_s();
    ASSERT_OK(QL_TAKE(cloud, 3 * COUNT));
    for (uint64_t i = 0; i < COUNT; ++i) {
        ql_random4 r = ql_random_at(ql_key_make(8, 0), QL_STREAM_TEST, 0, i);
        cloud[3 * i] = (double)ql_uniform(r.r[0]);
        cloud[3 * i + 1] = (double)ql_uniform(r.r[1]);
        cloud[3 * i + 2] = cloud[3 * i] * cloud[3 * i + 1];
    }
    ql_kdtree *tree;
    ASSERT_OK(ql_kdtree_create(&tree, cloud, COUNT));
    for (int32_t i = 0; i < COUNT; ++i) {
        int32_t index[K];
        double distance2[K];
        assert_true(ql_kdtree_nearest(tree, cloud + 3 * (size_t)i, K, index, distance2) == K);
        assert_true(distance2[0] == 0.0);
    }
    seconds = ql_clock_s() - seconds;
    print_message("%d neighbours of %d points in %.2f s\n", (int)K, (int)COUNT, seconds);
    assert_true(seconds < 20.0);
    ql_kdtree_destroy(tree);
    ql_free(cloud);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_brute_force),
        cmocka_unit_test(test_threads_agree),
        cmocka_unit_test(test_memory_runs_out),
        cmocka_unit_test(test_speed),
    };
    return ql_test_main(tests);
}

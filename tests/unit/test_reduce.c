/* The sum over shards: exactly the tree of its definition, whatever the pieces in which it is computed. (Between ranks: tests/mpi.) */
#include "support/test.h"

#include "base/random.h"
#include "engine/reduce.h"

#include <string.h>

enum { LENGTH = 1100, MOST = 64 }; /* longer than a block, not a multiple of one */

static float *array[MOST];

/* T(n) = T(p) + T(n - p), p the largest power of two below n. */
static float tree(int first, int count, int i)
{
    int p = 1;
    if (count == 1) return array[first][i];
    while (2 * p < count) p *= 2;
    return tree(first, p, i) + tree(first + p, count - p, i);
}

static void fill_arrays(void)
{
    for (int s = 0; s < MOST; ++s)
        for (int i = 0; i < LENGTH; ++i) {
            ql_random4 r = ql_random_at(ql_key_make(7, (uint64_t)s), QL_STREAM_TEST, 0, (uint64_t)i);
            array[s][i] = (ql_uniform(r.r[0]) - 0.5f) * (float)(1 << (r.r[1] % 20));
        }
}

static void check(const ql_reduce_setup *setup, int shards)
{
    ql_reduce reduce;
    float sum[LENGTH];
    double own[MOST][QL_LOSS_COUNT] = {{0}}, terms[QL_LOSS_COUNT], expected = 0;
    int vote;
    ASSERT_OK(ql_reduce_create(&reduce, setup));
    assert_int_equal(reduce.count, shards);
    assert_int_equal(ql_reduce_begin_of(&reduce, 0, 1000), 0);
    assert_int_equal(ql_reduce_begin_of(&reduce, 1, 1000), 1000);
    memset(sum, 0, sizeof sum);
    for (int bucket = 0; bucket < 2; ++bucket) /* in two parts, as two threads do */
        for (int part = 0; part < 2; ++part)
            ql_reduce_fill(&reduce, bucket, (const void *const *)array, sum, part * 333, part == 0 ? 333 : LENGTH);
    for (int i = 0; i < LENGTH; ++i) {
        float exact = tree(0, shards, i);
        assert_memory_equal(&sum[i], &exact, sizeof exact);
    }
    for (int s = 0; s < shards; ++s) expected += own[s][QL_LOSS_SDF] = 0.1 * s;
    ASSERT_OK(ql_reduce_terms_begin(&reduce, (const double(*)[QL_LOSS_COUNT])own, 2));
    ASSERT_OK(ql_reduce_terms_finish(&reduce, terms, &vote));
    assert_int_equal(vote, 2);
    assert_true(terms[QL_LOSS_SDF] == expected);
    ql_reduce_destroy(&reduce);
}

static void sums_are_the_tree(void **state)
{
    (void)state;
    static const int64_t border[] = {0, 100, LENGTH};
    for (int s = 0; s < MOST; ++s) ASSERT_OK(QL_TAKE(array[s], LENGTH));
    fill_arrays();
    for (int shards = 1; shards <= MOST; shards += shards < 10 ? 1 : 18) {
        ql_reduce_setup setup = {.number = QL_NUMBER_FLOAT32, .fixed_shards = shards, .border = border, .buckets = 2};
        check(&setup, shards);
        setup.fixed_shards = 0;
        setup.own_shards = shards;
        check(&setup, shards);
    }
    for (int s = 0; s < MOST; ++s) ql_free(array[s]);
}

/* Every allocation that fails is told and leaves nothing behind. */
static void no_memory(void **state)
{
    (void)state;
    static const int64_t border[] = {0, LENGTH};
    const ql_reduce_setup setup = {.number = QL_NUMBER_FLOAT32, .fixed_shards = 8, .border = border, .buckets = 1};
    for (int n = 1;; ++n) {
        ql_reduce reduce;
        ql_memory_fail_at(n);
        ql_status status = ql_reduce_create(&reduce, &setup);
        ql_memory_fail_at(0);
        if (status == QL_OK) {
            assert_true(n > 5);
            ql_reduce_destroy(&reduce);
            return;
        }
        assert_int_equal(status, QL_STATUS_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_the_tree),
        cmocka_unit_test(no_memory),
    };
    return ql_test_main(tests);
}

/* The seam between ranks, on any number of them: the same calls over `self` and over `mpi`. */
#include "support/test.h"

#include "base/memory.h"
#include "comm/comm.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

static ql_comm *world;

static void test_place(void **state)
{
    (void)state;
    assert_true(world->size >= 1 && world->rank >= 0 && world->rank < world->size);
    assert_true(world->local_size >= 1 && world->local_size <= world->size);
    assert_true(world->local_rank >= 0 && world->local_rank < world->local_size);
    assert_int_equal(ql_comm_announced_size(), world->size);
}

static void test_collectives(void **state)
{
    (void)state;
    int root = world->size - 1, sent = world->rank == root ? 4711 : 0;
    ASSERT_OK(world->kind->broadcast(world, &sent, sizeof sent, root));
    assert_int_equal(sent, 4711);
    int mine = 10 * world->rank, all[64];
    ASSERT_OK(world->kind->allgather(world, &mine, all, sizeof mine));
    for (int rank = 0; rank < world->size; ++rank) assert_int_equal(all[rank], 10 * rank);
    ASSERT_OK(world->kind->barrier(world));
}

static void test_sum(void **state)
{
    (void)state;
    int64_t counts[2] = {world->rank + 1, 7};
    double real = 0.5;
    ASSERT_OK(ql_comm_sum(world, counts, 2, QL_NUMBER_INT64));
    assert_int_equal(counts[0], world->size * (world->size + 1) / 2);
    assert_int_equal(counts[1], 7 * world->size);
    ASSERT_OK(ql_comm_sum(world, &real, 1, QL_NUMBER_FLOAT64));
    assert_true(real == 0.5 * world->size);
}

/* Two operations under way at once, with other work in between. */
static void test_sum_begun(void **state)
{
    (void)state;
    enum { LONG = 300000 };
    float *first;
    double *second;
    ql_request one = {.active = false}, other = {.active = false};
    ASSERT_OK(QL_TAKE(first, LONG));
    ASSERT_OK(QL_TAKE(second, LONG));
    for (int i = 0; i < LONG; ++i) {
        first[i] = (float)(i % 100 + world->rank);
        second[i] = i * (world->rank + 1);
    }
    ASSERT_OK(world->kind->sum_begin(world, first, LONG, QL_NUMBER_FLOAT32, &one));
    ASSERT_OK(world->kind->sum_begin(world, second, LONG, QL_NUMBER_FLOAT64, &other));
    for (bool over = false; !over;) ASSERT_OK(world->kind->test(world, &one, &over));
    ASSERT_OK(world->kind->wait(world, &other));
    ASSERT_OK(world->kind->wait(world, &other)); /* once more does nothing */
    const int size = world->size, ranks = size * (size - 1) / 2;
    for (int i = 0; i < LONG; ++i) {
        assert_true(first[i] == (float)(i % 100 * size + ranks));
        assert_true(second[i] == (double)i * (ranks + size));
    }
    ql_free(first);
    ql_free(second);
}

/* Parts of unequal length, one of them empty. */
static void test_gather(void **state)
{
    (void)state;
    int count[64], at[64], total = 0;
    double all[64 * 64];
    for (int rank = 0; rank < world->size; ++rank) {
        count[rank] = rank == 1 ? 0 : rank + 1;
        at[rank] = total;
        total += count[rank];
    }
    for (int i = 0; i < total; ++i) all[i] = -1;
    for (int i = 0; i < count[world->rank]; ++i) all[at[world->rank] + i] = 100 * world->rank + i;
    const ql_parts parts = {count, at};
    ASSERT_OK(ql_comm_gather(world, all, &parts, QL_NUMBER_FLOAT64));
    for (int rank = 0; rank < world->size; ++rank)
        for (int i = 0; i < count[rank]; ++i) assert_true(all[at[rank] + i] == 100 * rank + i);
}

/* Rank a sends b + 1 numbers to rank b. */
static void test_exchange(void **state)
{
    (void)state;
    int to_count[64], to_at[64], from_count[64], from_at[64], sent = 0;
    float send[64 * 64], receive[64 * 64];
    for (int rank = 0; rank < world->size; ++rank) {
        to_count[rank] = rank + 1;
        to_at[rank] = sent;
        for (int i = 0; i <= rank; ++i) send[sent++] = (float)(1000 * world->rank + 10 * rank + i);
        from_count[rank] = world->rank + 1;
        from_at[rank] = rank * (world->rank + 1);
    }
    const ql_parts to = {to_count, to_at}, from = {from_count, from_at};
    ql_request request = {.active = false};
    ASSERT_OK(world->kind->exchange_begin(world, send, &to, receive, &from, QL_NUMBER_FLOAT32, &request));
    ASSERT_OK(world->kind->wait(world, &request));
    for (int rank = 0; rank < world->size; ++rank)
        for (int i = 0; i <= world->rank; ++i)
            assert_true(receive[from_at[rank] + i] == (float)(1000 * rank + 10 * world->rank + i));
}

/* Every other rank in one group, in reverse order; the others meanwhile do nothing collective. Then all again. */
static void test_group(void **state)
{
    (void)state;
    int members[64], count = 0;
    for (int rank = world->size - 1; rank >= 0; --rank)
        if (rank % 2 == 0) members[count++] = rank;
    for (int round = 0; round < 3 && world->rank % 2 == 0; ++round) {
        ql_comm *group;
        double one = 1;
        ASSERT_OK(world->kind->group(world, members, count, round, &group));
        assert_int_equal(group->size, count);
        assert_int_equal(members[group->rank], world->rank);
        assert_true(group->local_size >= 1 && group->local_rank < group->local_size);
        ASSERT_OK(ql_comm_sum(group, &one, 1, QL_NUMBER_FLOAT64));
        assert_true(one == count);
        assert_int_equal(ql_comm_agree(group, QL_OK), QL_OK);
        ql_comm_destroy(group);
    }
    ASSERT_OK(world->kind->barrier(world));
}

/* What one rank writes the others of its node read; asked for again it is the same block. */
static void test_node_memory(void **state)
{
    (void)state;
    enum { EACH = 1000 };
    int64_t *numbers, *again;
    ASSERT_OK(world->kind->node_memory(world, sizeof *numbers * EACH * 64, (void **)&numbers));
    assert_true(numbers != NULL || world->local_size == 1);
    assert_int_equal((uintptr_t)numbers % 64, 0);
    for (int64_t round = 0; numbers != NULL && round < 5; ++round) {
        for (int i = 0; i < EACH; ++i)
            numbers[world->local_rank * EACH + i] = round * 100000 + world->local_rank * EACH + i;
        ASSERT_OK(world->kind->node_meet(world));
        for (int i = 0; i < EACH * world->local_size; ++i) assert_int_equal(numbers[i], round * 100000 + i);
        ASSERT_OK(world->kind->node_meet(world));
    }
    ASSERT_OK(world->kind->node_memory(world, 64, (void **)&again));
    assert_ptr_equal(numbers, again);
}

/* Every number is given once, whoever asks; rank 0 serves while it polls. */
static void test_counter(void **state)
{
    (void)state;
    enum { EACH = 50 };
    int64_t taken[64 * EACH] = {0}, sum = world->rank;
    ql_message message;
    bool arrived;
    for (int i = 0; i < EACH; ++i) {
        int64_t before;
        ASSERT_OK(world->kind->fetch_add(world, 1, &before));
        assert_true(before >= 0 && before < (int64_t)world->size * EACH);
        taken[before] = 1;
    }
    ql_request request = {.active = false};
    ASSERT_OK(world->kind->sum_begin(world, &sum, 1, QL_NUMBER_INT64, &request));
    for (bool over = false; !over;) {
        ASSERT_OK(world->kind->poll(world, &message, &arrived));
        assert_false(arrived);
        ASSERT_OK(world->kind->test(world, &request, &over));
    }
    ASSERT_OK(ql_comm_sum(world, taken, world->size * EACH, QL_NUMBER_INT64));
    for (int i = 0; i < world->size * EACH; ++i) assert_int_equal(taken[i], 1);
}

static void test_agree(void **state)
{
    (void)state;
    assert_int_equal(ql_comm_agree(world, QL_OK), QL_OK);
    int last = world->size - 1;
    ql_status mine = world->rank == last ? QL_FAIL(IO, "disk is full") : QL_OK;
    assert_int_equal(ql_comm_agree(world, mine), QL_STATUS_IO);
    assert_string_equal(ql_error_text(), "disk is full");
}

static void nap(void)
{
    struct timespec time = {0, 1000000};
    (void)nanosleep(&time, NULL);
}

static void post_number(int peer, int tag, int64_t number)
{
    ql_message message = {.peer = peer, .tag = tag, .bytes = sizeof number};
    memcpy(message.data, &number, sizeof number);
    ASSERT_OK(world->kind->post(world, &message));
}

/* Takes messages from all ranks, COUNT each, and checks that each rank's come in order. */
static void take_all(int64_t count)
{
    int64_t next[64] = {0}, left = count * world->size;
    while (left > 0) {
        ql_message message;
        bool arrived;
        ASSERT_OK(world->kind->poll(world, &message, &arrived));
        if (!arrived) {
            nap();
            continue;
        }
        int64_t number;
        assert_int_equal(message.bytes, sizeof number);
        memcpy(&number, message.data, sizeof number);
        assert_int_equal(number, next[message.peer]++);
        assert_int_equal(message.tag, 3);
        --left;
    }
    ql_message message;
    bool arrived;
    ASSERT_OK(world->kind->poll(world, &message, &arrived));
    assert_false(arrived);
}

/* Every rank to rank 0, itself included, then rank 0 to every rank. */
static void test_messages(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    for (int64_t i = 0; i < COUNT; ++i) post_number(0, 3, i);
    if (world->rank == 0) {
        take_all(COUNT);
        for (int rank = 1; rank < world->size; ++rank) post_number(rank, 4, rank);
    } else {
        ql_message message;
        bool arrived = false;
        while (!arrived) {
            ASSERT_OK(world->kind->poll(world, &message, &arrived));
            if (!arrived) nap();
        }
        assert_int_equal(message.tag, 4);
        assert_int_equal(message.peer, 0);
    }
    ASSERT_OK(world->kind->barrier(world));
}

static void *exchange(void *context)
{
    int64_t count = *(const int64_t *)context;
    for (int64_t i = 0; i < count; ++i)
        for (int rank = 0; rank < world->size; ++rank) post_number(rank, 3, i);
    take_all(count);
    return NULL;
}

/* One thread exchanges messages while another one is in collectives. */
static void test_threads(void **state)
{
    (void)state;
    if (!world->threads) skip();
    int64_t count = 50;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, exchange, &count), 0);
    for (int i = 0; i < 50; ++i) {
        int64_t one = 1;
        ASSERT_OK(ql_comm_sum(world, &one, 1, QL_NUMBER_INT64));
        assert_int_equal(one, world->size);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    ASSERT_OK(world->kind->barrier(world));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_place),     cmocka_unit_test(test_collectives), cmocka_unit_test(test_sum),
        cmocka_unit_test(test_sum_begun), cmocka_unit_test(test_gather),      cmocka_unit_test(test_exchange),
        cmocka_unit_test(test_group),     cmocka_unit_test(test_node_memory), cmocka_unit_test(test_counter),
        cmocka_unit_test(test_agree),     cmocka_unit_test(test_messages),    cmocka_unit_test(test_threads),
    };
    ql_status status = ql_launcher_mpi.launched() ? ql_launcher_mpi.start(&world, &argc, &argv) : ql_comm_self(&world);
    if (status != QL_OK) {
        print_error("%s\n", ql_error_text());
        return 1;
    }
    bool self = strcmp(world->kind->name, "self") == 0;
    int failed = _cmocka_run_group_tests("comm", tests, sizeof tests / sizeof tests[0], NULL, NULL);
    if (self)
        ql_comm_destroy(world);
    else
        ql_launcher_mpi.stop(world);
    return failed + (ql_memory_balance().blocks != 0);
}

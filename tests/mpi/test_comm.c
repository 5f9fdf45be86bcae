/* The seam between ranks, on any number of them: the same calls over `self` and over `mpi`. */
#include "support/test.h"

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
    int64_t counts[2] = {world->rank + 1, 7};
    ASSERT_OK(world->kind->sum_int(world, counts, 2));
    assert_int_equal(counts[0], world->size * (world->size + 1) / 2);
    assert_int_equal(counts[1], 7 * world->size);
    double real = 0.5;
    ASSERT_OK(world->kind->sum_real(world, &real, 1));
    assert_true(real == 0.5 * world->size);

    int root = world->size - 1, sent = world->rank == root ? 4711 : 0;
    ASSERT_OK(world->kind->broadcast(world, &sent, sizeof sent, root));
    assert_int_equal(sent, 4711);
    int mine = 10 * world->rank, all[64];
    ASSERT_OK(world->kind->allgather(world, &mine, all, sizeof mine));
    for (int rank = 0; rank < world->size; ++rank) assert_int_equal(all[rank], 10 * rank);
    ASSERT_OK(world->kind->barrier(world));
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
        ASSERT_OK(world->kind->sum_int(world, &one, 1));
        assert_int_equal(one, world->size);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    ASSERT_OK(world->kind->barrier(world));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_place),    cmocka_unit_test(test_collectives), cmocka_unit_test(test_agree),
        cmocka_unit_test(test_messages), cmocka_unit_test(test_threads),
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

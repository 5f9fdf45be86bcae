/* Ranks of a node that may all run everywhere divide its cores; bound ones stay; threads that were asked for are given. */
#include "support/test.h"

#include "comm/comm.h"
#include "engine/cpu/places.h"
#include "sweep/cores.h"

#include <sched.h>
#include <string.h>

static ql_comm *world;

/* Masks of all ranks after each took its share; returns our threads. */
static int share(int wanted, cpu_set_t *all)
{
    int threads = 0;
    cpu_set_t mine;
    ASSERT_OK(ql_cores_share(world, wanted, &threads));
    assert_int_equal(sched_getaffinity(0, sizeof mine, &mine), 0);
    ASSERT_OK(world->kind->allgather(world, &mine, all, sizeof mine));
    return threads;
}

static void cores_are_divided(void **state)
{
    (void)state;
    cpu_set_t before, all[16], overlap;
    const int cores = ql_places_count();
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    if (world->size < 2 || world->size > 16) return;
    const int threads = share(0, all);
    assert_true(threads == (cores >= world->size ? cores / world->size : 1));
    for (int rank = 0; rank < world->size; ++rank)
        for (int other = 0; other < rank; ++other) {
            CPU_AND(&overlap, &all[rank], &all[other]);
            if (cores >= world->size)
                assert_int_equal(CPU_COUNT(&overlap), 0);
            else /* more ranks than cores: as the system likes */
                assert_true(CPU_EQUAL(&all[rank], &before));
        }
    if (cores >= world->size) { /* bound now: a second look changes nothing */
        cpu_set_t again[16];
        assert_int_equal(share(0, again), threads);
        assert_true(CPU_EQUAL(&again[world->rank], &all[world->rank]));
    }
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(share(3, all), 3);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(cores_are_divided)};
    ql_status status = ql_launcher_mpi.launched() ? ql_launcher_mpi.start(&world, &argc, &argv) : ql_comm_self(&world);
    if (status != QL_OK) {
        print_error("%s\n", ql_error_text());
        return 1;
    }
    const bool self = strcmp(world->kind->name, "self") == 0;
    int failed = _cmocka_run_group_tests("cores", tests, sizeof tests / sizeof tests[0], NULL, NULL);
    if (self)
        ql_comm_destroy(world);
    else
        ql_launcher_mpi.stop(world);
    return failed + (ql_memory_balance().blocks != 0);
}

/* Where the threads of engine cpu run: a team that fills the cores that the process may use is bound to them one by one, its
 * caller is not, a smaller team neither; what an outer binding leaves is what counts; threads within a quota; memory shared. */
#include "support/test.h"

#include "base/machine.h"
#include "engine/cpu/places.h"
#include "engine/cpu/team.h"

#include <sched.h>

enum { MOST = 256 };

static cpu_set_t seen[MOST];

static void look(void *context, int member)
{
    (void)context;
    if (member < MOST) assert_int_equal(sched_getaffinity(0, sizeof seen[0], &seen[member]), 0);
}

static void see(int members)
{
    ql_team *team;
    ASSERT_OK(ql_team_create(&team, members));
    ql_team_run(team, look, NULL);
    ql_team_destroy(team);
}

static void one_thread_per_core(void **state)
{
    (void)state;
    cpu_set_t all, overlap;
    const int cores = ql_places_count();
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    assert_true(cores >= 1 && cores <= CPU_COUNT(&all));
    if (cores < 2 || cores > MOST) {
        print_message("SKIPPED: binding (%d cores)\n", cores);
        return;
    }
    see(cores);
    assert_true(CPU_EQUAL(&seen[0], &all)); /* what the caller starts later is not bound */
    for (int k = 1; k < cores; ++k) {
        assert_true(CPU_COUNT(&seen[k]) < CPU_COUNT(&all));
        for (int other = 1; other < k; ++other) {
            CPU_AND(&overlap, &seen[k], &seen[other]);
            assert_int_equal(CPU_COUNT(&overlap), 0);
        }
    }
    see(cores + 1); /* more threads than cores: as the system likes */
    for (int k = 0; k <= cores && k < MOST; ++k) assert_true(CPU_EQUAL(&seen[k], &all));
}

static void outer_binding_is_kept(void **state)
{
    (void)state;
    cpu_set_t all, kept;
    const int cores = ql_places_count();
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    ql_places_keep(cores - 1, 1); /* as a launcher would */
    assert_int_equal(sched_getaffinity(0, sizeof kept, &kept), 0);
    assert_int_equal(ql_places_count(), 1);
    assert_int_equal(ql_team_cores(), 1);
    see(2);
    for (int k = 0; k < 2; ++k) assert_true(CPU_EQUAL(&seen[k], &kept));
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    assert_int_equal(ql_places_count(), cores);
}

static void memory_is_divided(void **state)
{
    (void)state;
    const ql_machine machine = {
        .cores = 16, .cpu_quota = 2.5, .available_bytes = 12000, .limit_bytes = 9000, .limit_left_bytes = 6000};
    assert_int_equal(ql_machine_threads(&machine), 3);
    assert_int_equal(ql_machine_memory_share(&machine), 6000);
    ql_machine_set_sharers(4);
    assert_int_equal(ql_machine_memory_share(&machine), 1500);
    ql_machine_set_sharers(0);
    assert_int_equal(ql_machine_memory_share(&machine), 6000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_per_core),
        cmocka_unit_test(outer_binding_is_kept),
        cmocka_unit_test(memory_is_divided),
    };
    return ql_test_main(tests);
}

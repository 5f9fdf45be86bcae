/* Stands in for the launcher when quadloom is built without MPI: one process alone works, one of several is
 * refused. */
#include "comm/comm.h"

#include <stdlib.h>

static bool launched(void) { return ql_comm_announced_size() > 1; }

static ql_status start(ql_comm **world, int *argc, char ***argv)
{
    (void)world, (void)argc, (void)argv;
    return QL_FAIL(ENVIRONMENT,
                   "started as one of %d processes, but this quadloom was built without MPI and each would do "
                   "the whole work; start it alone, or install MPI (Debian and Ubuntu: apt-get install "
                   "libopenmpi-dev openmpi-bin) and configure with -DQL_MPI=ON",
                   ql_comm_announced_size());
}

static void stop(ql_comm *world) { ql_comm_destroy(world); }

static void abort_all(int exit_code) { _Exit(exit_code); }

const ql_launcher ql_launcher_mpi = {
    "mpi", "not compiled in; install libopenmpi-dev and configure with -DQL_MPI=ON", launched, start, stop, abort_all};

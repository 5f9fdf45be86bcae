/* Start and end of MPI for the whole job. */
#include "mpi_comm.h"

#include <stdlib.h>

static bool launched(void) { return ql_comm_announced_size() > 1; }

/* A launcher that announced several processes while MPI sees one gives N jobs that know nothing of each
 * other. */
static ql_status check_world(const ql_comm *world)
{
    int announced = ql_comm_announced_size();
    if (world->size > 1 || announced <= 1) return QL_OK;
    return QL_FAIL(ENVIRONMENT,
                   "started as one of %d processes, but MPI sees a single one: the launcher and the MPI library "
                   "do not speak the same protocol. Slurm: srun --mpi=pmix (`srun --mpi=list` shows what there "
                   "is); otherwise use the mpirun of the MPI that quadloom was built with",
                   announced);
}

static ql_status start(ql_comm **world, int *argc, char ***argv)
{
    int provided = MPI_THREAD_SINGLE;
    QL_TRY(ql_mpi_check(MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread"));
    QL_TRY(ql_mpi_check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler"));
    QL_TRY(ql_mpi_comm_create(world, MPI_COMM_WORLD, provided == MPI_THREAD_MULTIPLE));
    ql_status status = check_world(*world);
    if (status == QL_OK) return QL_OK;
    ql_comm_destroy(*world);
    *world = NULL;
    (void)MPI_Finalize();
    return status;
}

static void stop(ql_comm *world)
{
    int initialized = 0, finalized = 0;
    ql_comm_destroy(world);
    (void)MPI_Initialized(&initialized);
    (void)MPI_Finalized(&finalized);
    if (initialized != 0 && finalized == 0) (void)MPI_Finalize();
}

static void abort_all(int exit_code)
{
    int initialized = 0, finalized = 0;
    (void)MPI_Initialized(&initialized);
    (void)MPI_Finalized(&finalized);
    if (initialized != 0 && finalized == 0) (void)MPI_Abort(MPI_COMM_WORLD, exit_code);
    _Exit(exit_code);
}

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
#ifdef OPEN_MPI
#define LIBRARY "Open MPI " TEXT(OMPI_MAJOR_VERSION) "." TEXT(OMPI_MINOR_VERSION) "." TEXT(OMPI_RELEASE_VERSION)
#else
#define LIBRARY "MPI " TEXT(MPI_VERSION) "." TEXT(MPI_SUBVERSION)
#endif

const ql_launcher ql_launcher_mpi = {"mpi", LIBRARY, launched, start, stop, abort_all};

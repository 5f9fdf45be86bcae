/* Stands in for parallel files when there is no MPI, or HDF5 was built without it. */
#include "store/parallel.h"

static ql_status no_access(int64_t access_list, const ql_comm *comm)
{
    (void)access_list, (void)comm;
    return QL_FAIL(ENVIRONMENT, "%s; or use one process", ql_parallel_file_mpi.summary);
}

static ql_status no_transfer(int64_t transfer_list) { return no_access(transfer_list, NULL); }

const ql_parallel_file ql_parallel_file_mpi = {false,
                                               "several processes cannot write one file: this HDF5 was built without "
                                               "MPI; install libhdf5-openmpi-dev and configure "
                                               "with -DQL_MPI=ON",
                                               no_access, no_transfer};

/* Hands HDF5 the ranks of a communicator. With store/ the only place that includes hdf5.h: HDF5's own functions take MPI's
 * types. */
#include "mpi_comm.h"
#include "store/parallel.h"

#include <hdf5.h>

static ql_status set_access(int64_t access_list, const ql_comm *comm)
{
    if (H5Pset_fapl_mpio(access_list, ql_mpi_handle(comm), MPI_INFO_NULL) < 0 ||
        H5Pset_all_coll_metadata_ops(access_list, true) < 0 || H5Pset_coll_metadata_write(access_list, true) < 0)
        return QL_FAIL(ENVIRONMENT, "HDF5 does not take the communicator");
    return QL_OK;
}

static ql_status set_collective(int64_t transfer_list)
{
    if (H5Pset_dxpl_mpio(transfer_list, H5FD_MPIO_COLLECTIVE) < 0)
        return QL_FAIL(ENVIRONMENT, "HDF5 does not take collective transfers");
    return QL_OK;
}

const ql_parallel_file ql_parallel_file_mpi = {true, "HDF5 with MPI", set_access, set_collective};

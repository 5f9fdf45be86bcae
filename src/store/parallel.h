/* How several processes write one HDF5 file. The store asks for it here and never sees MPI; mpi/ provides it where there is MPI
 * and an HDF5 that was built with it. */
#ifndef QL_STORE_PARALLEL_H
#define QL_STORE_PARALLEL_H

#include "comm/comm.h"

typedef struct ql_parallel_file {
    bool available;
    const char *summary; /* or how to get it */
    /* Sets a file access list (hid_t) to the ranks of `comm`, and a transfer list to collective transfers. */
    ql_status (*set_access)(int64_t access_list, const ql_comm *comm);
    ql_status (*set_collective)(int64_t transfer_list);
} ql_parallel_file;

extern const ql_parallel_file ql_parallel_file_mpi;

#endif

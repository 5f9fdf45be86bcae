/* Communicator over MPI; only for the files of this folder. */
#ifndef QL_MPI_MPI_COMM_H
#define QL_MPI_MPI_COMM_H

#include "comm/comm.h"

#include <mpi.h>

/* QL_OK, or an error with MPI's own text. `what` names the call. */
ql_status ql_mpi_check(int code, const char *what);

/* Collective over `mpi`. Duplicates it twice (collectives and messages never meet), so the caller keeps
 * `mpi`. */
ql_status ql_mpi_comm_create(ql_comm **comm, MPI_Comm mpi, bool threads);

/* The communicator of MPI behind one of ours, for libraries that take one. */
MPI_Comm ql_mpi_handle(const ql_comm *comm);

#endif

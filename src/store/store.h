/* Everything that lasts on disk. Only this floor includes hdf5.h.
 *
 *   result.h      a finished mesh: field, networks, history, quads, provenance (HDF5, opens in ParaView)
 *   checkpoint.h  an unfinished mesh: all that its training needs in order to go on
 *   events.h      what happens during a run, a line each, append-only
 *   rundir.h      the run directory that holds all of it: names, failures, attempts, who is finished
 *   summary.h     a row per mesh: in each result, in summary.csv and in index.h5
 *
 * Files appear whole or not at all: HDF5 builds them in memory, one sequential write makes a temporary file,
 * then fsync, rename, fsync of the directory. HDF5 is not thread-safe; a lock inside lets any thread call any
 * function here. Errors: QL_STATUS_IO (cannot be read or written, disk full), QL_STATUS_FORMAT (damaged; the
 * text names file and dataset), QL_STATUS_NO_MEMORY. */
#ifndef QL_STORE_STORE_H
#define QL_STORE_STORE_H

#include "store/checkpoint.h"
#include "store/events.h"
#include "store/result.h"
#include "store/rundir.h"
#include "store/summary.h"

/* Version of the HDF5 library in use, "1.10.8". */
const char *ql_store_hdf5_version(void);

#endif

/* Thousands of result files in one HDF5 file, and back.
 *
 *   /data/PATH          the datasets PATH (as in a result file) of all meshes, one behind the other; chunked, fletcher32; those
 *                       that a result compresses, or that are small in it, compressed. Another type or width: PATH~2, ...
 *   /data/skeleton      all the rest of each file (skeleton.h): u8
 *   /index/mesh         NAME-HASH8 of each mesh, sorted            /index/columns  names below /data, sorted
 *   /index/start,count  meshes x columns: rows of a mesh in a column
 *   /index/xxh64        of each mesh: skeleton and values, checked when it was packed
 *   /table              the rows of the meshes, as in index.h5
 * The file is written by all ranks together (collective, in rounds) as FILE.partial; FILE.state tells how many meshes are safe
 * in it, so that a pack that was killed goes on there, on any number of ranks. Then every mesh is read back from it and compared
 * with its result file byte for byte, and only then it becomes FILE.
 */
#ifndef QL_STORE_PACK_H
#define QL_STORE_PACK_H

#include "comm/comm.h"
#include "store/rundir.h"

typedef struct ql_pack_request {
    const char *run_directory, *path;
    bool remove;                                                  /* the result files, when all is verified */
    int64_t buffer_bytes;                                         /* of results per rank and round */
    bool (*should_stop)(void);                                    /* asked between rounds; or NULL */
    void (*progress)(const char *what, int64_t done, int64_t of); /* rank 0; or NULL */
} ql_pack_request;

typedef struct ql_pack_outcome {
    int64_t meshes, resumed_at; /* meshes that were in the file already */
    int64_t removed, bytes_before, bytes_after;
} ql_pack_outcome;

/* Collective. QL_STATUS_USAGE: nothing to pack, or FILE holds something else. QL_STATUS_FORMAT names a damaged result.
 * QL_STATUS_STOPPED: run again to go on. */
ql_status ql_pack(ql_pack_outcome *outcome, const ql_pack_request *request, ql_comm *comm);

/* Whether the file is a pack (false also when it cannot be read). */
bool ql_pack_is(const char *path);

/* Rows of the meshes in it. ql_free(*rows). */
ql_status ql_pack_rows(const char *path, ql_summary **rows, int64_t *count);

/* Writes DIRECTORY/ID.h5 (of a run directory: its result files) of the meshes named (none named: all), shared among the ranks; not collective in itself: rank `rank`
 * of `size` does its part. */
ql_status ql_unpack(const char *path, const char *directory, const char *const *ids, int id_count, int rank, int size,
                    int64_t *count);

/* Reads every mesh and compares its hash; `visit` gets each one with "" or what is wrong. */
ql_status ql_pack_verify(const char *path, void (*visit)(void *context, const char *id, const char *problem),
                         void *context);

#endif

/* Packing a run directory: survey, rounds, verification, index, removal (see pack.h). */
#include "store/pack.h"

#include "base/file.h"
#include "base/memory.h"
#include "store/pack_file.h"
#include "store/pack_index.h"
#include "store/packed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct pack {
    const ql_pack_request *request;
    ql_comm *comm;
    ql_pack_layout layout; /* of the result files */
    ql_pack_layout found;  /* of a FILE that is there already */
    bool is_there;
    int64_t *hashes; /* XXH64 of each mesh, as verified */
    ql_pack_outcome *outcome;
} pack;

static int compare_ids(const void *a, const void *b) { return strcmp(a, b); }

/* Position of a mesh in the pack; -1: not in it. */
static int64_t find(const ql_pack_layout *packed, const char *id)
{
    const char(*at)[QL_ID_SIZE] = bsearch(id, packed->ids, (size_t)packed->meshes, sizeof *packed->ids, compare_ids);
    return at == NULL ? -1 : (int64_t)(at - (const char(*)[QL_ID_SIZE])packed->ids);
}

/* ---- verification ---- */

static bool same(const ql_pack_mesh *a, const ql_pack_mesh *b)
{
    if (a->skeleton.size != b->skeleton.size || memcmp(a->skeleton.bytes, b->skeleton.bytes, a->skeleton.size) != 0)
        return false;
    for (int i = 0; i < a->skeleton.count; ++i)
        if (memcmp(a->data[i], b->data[i], ql_skeleton_array_bytes(&a->skeleton.arrays[i])) != 0) return false;
    return true;
}

static ql_status verify_mesh(pack *p, ql_pack_reader *reader, int64_t mesh)
{
    char path[QL_PATH_SIZE];
    ql_pack_mesh in_file, in_pack;
    QL_TRY(ql_rundir_path(path, p->request->run_directory, QL_RUN_RESULT, p->layout.ids[mesh]));
    QL_TRY(ql_pack_mesh_take(&in_file, path));
    ql_status status = ql_pack_mesh_read(&in_pack, reader, find(reader->layout, p->layout.ids[mesh]));
    if (status == QL_OK) {
        uint64_t hash = ql_pack_mesh_hash(&in_pack);
        memcpy(&p->hashes[mesh], &hash, sizeof hash);
        if (!same(&in_file, &in_pack)) status = QL_FAIL(FORMAT, "%s differs from %s", p->layout.ids[mesh], path);
        ql_pack_mesh_destroy(&in_pack);
    }
    ql_pack_mesh_destroy(&in_file);
    return status;
}

/* Collective: every mesh in the file against its result. */
static ql_status verify(pack *p, const char *path)
{
    const ql_pack_layout *packed = p->is_there ? &p->found : &p->layout;
    ql_pack_reader reader;
    int64_t from, to;
    ql_pack_share(&p->layout, 0, p->layout.meshes, p->comm->rank, p->comm->size, &from, &to);
    ql_h5_lock();
    ql_status status = ql_pack_reader_open(&reader, path, packed);
    for (int64_t i = from; status == QL_OK && i < to; ++i) {
        status = verify_mesh(p, &reader, i);
        if (p->comm->rank == 0 && p->request->progress != NULL)
            p->request->progress("verified", i + 1 - from, to - from);
    }
    ql_pack_reader_close(&reader);
    ql_h5_unlock();
    QL_TRY(ql_comm_agree(p->comm, QL_CHAIN(status, "%s", path)));
    return ql_comm_sum(p->comm, p->hashes, (int)p->layout.meshes, QL_NUMBER_INT64);
}

/* ---- end ---- */

/* Rank 0: what makes the datasets a pack, then its name. */
static ql_status finish(pack *p, const char *partial, const char *state)
{
    ql_summary *rows;
    QL_TRY(QL_TAKE(rows, p->layout.meshes));
    ql_status status = QL_OK;
    for (int64_t i = 0; status == QL_OK && i < p->layout.meshes; ++i) {
        char path[QL_PATH_SIZE];
        status = ql_rundir_path(path, p->request->run_directory, QL_RUN_RESULT, p->layout.ids[i]);
        if (status == QL_OK) status = ql_summary_read(&rows[i], path);
    }
    if (status == QL_OK) {
        ql_h5_lock();
        status = ql_pack_write_index(partial, &p->layout, p->hashes, rows);
        ql_h5_unlock();
    }
    ql_free(rows);
    if (status == QL_OK) status = ql_file_commit(partial, p->request->path);
    if (status == QL_OK) status = ql_file_remove(state);
    return status;
}

/* Rank 0, with everything verified: the note where the results are now, then the files. */
static ql_status remove_results(pack *p)
{
    const char *run = p->request->run_directory;
    char *real = realpath(p->request->path, NULL);
    if (real == NULL) return QL_FAIL(IO, "%s: has no path", p->request->path);
    ql_status status = ql_packed_add(run, real, (const char *)p->layout.ids, sizeof *p->layout.ids, p->layout.meshes);
    free(real);
    for (int64_t i = 0; status == QL_OK && i < p->layout.meshes; ++i) {
        char path[QL_PATH_SIZE];
        ql_file_write_point();
        status = ql_rundir_path(path, run, QL_RUN_RESULT, p->layout.ids[i]);
        if (status == QL_OK) status = ql_file_remove(path);
        p->outcome->removed += status == QL_OK;
    }
    return status == QL_OK ? ql_rundir_write_summary(run) : status;
}

static int64_t size_of(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? (int64_t)info.st_size : 0;
}

/* Collective: what is at FILE already must hold all the meshes. */
static ql_status look_at_target(pack *p)
{
    ql_status status = QL_OK;
    p->is_there = ql_path_exists(p->request->path);
    if (p->is_there) {
        status = ql_pack_read_index(&p->found, p->request->path);
        for (int64_t i = 0; status == QL_OK && i < p->layout.meshes; ++i)
            if (find(&p->found, p->layout.ids[i]) < 0)
                status = QL_FAIL(USAGE, "%s is there already and does not hold %s; name another file", p->request->path,
                                 p->layout.ids[i]);
    }
    int64_t mine = p->is_there ? 1 : 0, first = mine;
    QL_TRY(ql_comm_agree(p->comm, status));
    QL_TRY(p->comm->kind->broadcast(p->comm, &first, sizeof first, 0));
    return ql_comm_agree(p->comm, first == mine ? QL_OK : QL_FAIL(IO, "%s: not all ranks see it", p->request->path));
}

static ql_status make(pack *p)
{
    char partial[QL_PATH_SIZE], state[QL_PATH_SIZE];
    QL_TRY(ql_pack_survey(&p->layout, p->request->run_directory, p->comm));
    QL_TRY(look_at_target(p));
    QL_TRY(ql_comm_agree(p->comm, QL_TAKE(p->hashes, p->layout.meshes)));
    (void)snprintf(partial, sizeof partial, "%.4000s.partial", p->request->path);
    (void)snprintf(state, sizeof state, "%.4000s.state", p->request->path);
    p->outcome->meshes = p->layout.meshes;
    for (int64_t i = 0; p->comm->rank == 0 && i < p->layout.meshes; ++i) {
        char path[QL_PATH_SIZE];
        if (ql_rundir_path(path, p->request->run_directory, QL_RUN_RESULT, p->layout.ids[i]) == QL_OK)
            p->outcome->bytes_before += size_of(path);
    }
    if (p->is_there) {
        p->outcome->resumed_at = p->layout.meshes;
        QL_TRY(verify(p, p->request->path));
    } else {
        QL_TRY(ql_pack_write(&p->layout, p->request, p->comm, &p->outcome->resumed_at));
        ql_status status = verify(p, partial);
        if (status == QL_STATUS_FORMAT && p->comm->rank == 0) (void)remove(state); /* the next start makes it anew */
        QL_TRY(status);
        QL_TRY(ql_comm_agree(p->comm, p->comm->rank == 0 ? finish(p, partial, state) : QL_OK));
    }
    p->outcome->bytes_after = size_of(p->request->path);
    if (!p->request->remove) return QL_OK;
    return ql_comm_agree(p->comm, p->comm->rank == 0 ? remove_results(p) : QL_OK);
}

ql_status ql_pack(ql_pack_outcome *outcome, const ql_pack_request *request, ql_comm *comm)
{
    pack p = {.request = request, .comm = comm, .outcome = outcome};
    *outcome = (ql_pack_outcome){0};
    ql_status status = make(&p);
    ql_pack_layout_destroy(&p.layout);
    ql_pack_layout_destroy(&p.found);
    ql_free(p.hashes);
    return status;
}

/* Filling FILE.partial, round by round (see pack.h). After each round everything is flushed to disk before the state file says
 * so; a process killed at any moment loses at most a round. */
#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "store/pack_file.h"
#include "store/parallel.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK_BYTES = 1 << 20, DEFLATE_LEVEL = 4, LARGEST_TRANSFER = 1 << 29, CHECK_BYTES = 1 << 26 };

typedef struct packing {
    const ql_pack_layout *layout;
    const ql_pack_request *request;
    ql_comm *comm;
    char partial[QL_PATH_SIZE], state[QL_PATH_SIZE];
    hid_t file, transfer, *dataset, *type; /* of each column */
    void **buffer;                         /* of each column: the rank's rows of a round */
    int64_t *start;                        /* of each column: first row of the round */
} packing;

/* ---- where a former process got to ---- */

static uint64_t layout_hash(const ql_pack_layout *layout)
{
    uint64_t hash = ql_hash_bytes(layout->ids, (size_t)layout->meshes * sizeof *layout->ids, 0);
    hash = ql_hash_bytes(layout->column, (size_t)layout->columns * sizeof *layout->column, hash);
    return ql_hash_bytes(layout->rows, (size_t)(layout->meshes * layout->columns) * sizeof *layout->rows, hash);
}

static ql_status write_state(const packing *p, int64_t done)
{
    char text[64];
    int length = snprintf(text, sizeof text, "%016" PRIx64 " %lld\n", layout_hash(p->layout), (long long)done);
    return ql_file_write_whole(p->state, text, (size_t)length);
}

/* Meshes that are safe in the partial file; 0: it must be made anew. */
static int64_t read_state(const packing *p)
{
    char *text = NULL;
    size_t size;
    uint64_t hash = 0;
    long long done = 0;
    if (ql_path_exists(p->partial) && ql_path_exists(p->state) &&
        ql_file_read_whole(p->state, 64, &text, &size) == QL_OK &&
        (sscanf(text, "%16" SCNx64 " %lld", &hash, &done) != 2 || hash != layout_hash(p->layout) || done < 0 ||
         done > p->layout->meshes))
        done = 0;
    ql_free(text);
    ql_error_clear();
    return done;
}

/* ---- the file and its datasets ---- */

static hid_t access_list(const packing *p)
{
    hid_t list = H5Pcreate(H5P_FILE_ACCESS);
    bool fine = list >= 0 && H5Pset_libver_bounds(list, H5F_LIBVER_V18, H5F_LIBVER_V18) >= 0;
#if H5_VERSION_GE(1, 10, 7)
    fine = fine && H5Pset_file_locking(list, false, true) >= 0;
#endif
    if (fine && p->comm->size > 1) fine = ql_parallel_file_mpi.set_access(list, p->comm) == QL_OK;
    if (fine) return list;
    if (list >= 0) (void)H5Pclose(list);
    return -1;
}

static hid_t column_storage(const ql_pack_column *column)
{
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    size_t row = ql_pack_row_bytes(column);
    hsize_t chunk[2] = {row < CHUNK_BYTES ? CHUNK_BYTES / row : 1, (hsize_t)column->width};
    if (chunk[0] > (hsize_t)column->rows) chunk[0] = (hsize_t)column->rows;
    if (list >= 0 && H5Pset_obj_track_times(list, false) >= 0 && H5Pset_fill_time(list, H5D_FILL_TIME_NEVER) >= 0 &&
        H5Pset_chunk(list, column->width > 1 ? 2 : 1, chunk) >= 0 &&
        (!column->deflated || (H5Pset_shuffle(list) >= 0 && H5Pset_deflate(list, DEFLATE_LEVEL) >= 0)) &&
        H5Pset_fletcher32(list) >= 0)
        return list;
    if (list >= 0) (void)H5Pclose(list);
    return -1;
}

static ql_status create_column(const packing *p, int c)
{
    const ql_pack_column *column = &p->layout->column[c];
    char path[QL_PACK_NAME + 8];
    hsize_t shape[2] = {(hsize_t)column->rows, (hsize_t)column->width};
    (void)snprintf(path, sizeof path, "data/%s", column->name);
    hid_t links = H5Pcreate(H5P_LINK_CREATE), storage = column_storage(column);
    hid_t space = H5Screate_simple(column->width > 1 ? 2 : 1, shape, NULL);
    if (links >= 0 && storage >= 0 && space >= 0 && H5Pset_create_intermediate_group(links, 1) >= 0)
        p->dataset[c] = H5Dcreate2(p->file, path, p->type[c], space, links, storage, H5P_DEFAULT);
    if (links >= 0) (void)H5Pclose(links);
    if (storage >= 0) (void)H5Pclose(storage);
    if (space >= 0) (void)H5Sclose(space);
    return p->dataset[c] < 0 ? QL_H5_FAIL(IO, "%s: making dataset %s", p->partial, path) : QL_OK;
}

static ql_status open_column(const packing *p, int c)
{
    char path[QL_PACK_NAME + 8];
    (void)snprintf(path, sizeof path, "data/%s", p->layout->column[c].name);
    p->dataset[c] = H5Dopen2(p->file, path, H5P_DEFAULT);
    return p->dataset[c] < 0 ? QL_H5_FAIL(FORMAT, "%s: dataset %s", p->partial, path) : QL_OK;
}

/* Collective. */
static ql_status open_file(packing *p, bool anew)
{
    hid_t access = access_list(p);
    p->transfer = H5Pcreate(H5P_DATASET_XFER);
    ql_status status =
        access < 0 || p->transfer < 0 ? QL_FAIL(ENVIRONMENT, "HDF5 does not take the communicator") : QL_OK;
    if (status == QL_OK && p->comm->size > 1) status = ql_parallel_file_mpi.set_collective(p->transfer);
    status = ql_comm_agree(p->comm, status);
    if (status == QL_OK) {
        p->file = anew ? H5Fcreate(p->partial, H5F_ACC_TRUNC, H5P_DEFAULT, access)
                       : H5Fopen(p->partial, H5F_ACC_RDWR, access);
        if (p->file < 0) status = QL_H5_FAIL(IO, "%s: cannot be %s", p->partial, anew ? "made" : "opened");
        status = ql_comm_agree(p->comm, status);
    }
    if (access >= 0) (void)H5Pclose(access);
    for (int c = 0; status == QL_OK && c < p->layout->columns; ++c) {
        p->type[c] = H5Tdecode(p->layout->column[c].type);
        status = anew ? create_column(p, c) : open_column(p, c);
    }
    return ql_comm_agree(p->comm, status);
}

static void close_file(packing *p)
{
    for (int c = 0; c < p->layout->columns; ++c) {
        if (p->dataset[c] >= 0) (void)H5Dclose(p->dataset[c]);
        if (p->type[c] >= 0) (void)H5Tclose(p->type[c]);
        p->dataset[c] = p->type[c] = -1;
    }
    if (p->transfer >= 0) (void)H5Pclose(p->transfer);
    if (p->file >= 0) (void)H5Fclose(p->file);
    p->transfer = p->file = -1;
}

/* ---- a round ---- */

/* Values of a mesh into the buffers, behind those that are there already (`filled` rows of each column). */
static ql_status load_mesh(packing *p, int64_t mesh, int64_t *filled)
{
    const ql_pack_layout *layout = p->layout;
    const int64_t *rows = layout->rows + mesh * layout->columns;
    char path[QL_PATH_SIZE];
    ql_skeleton skeleton;
    hid_t file;
    QL_TRY(ql_rundir_path(path, p->request->run_directory, QL_RUN_RESULT, layout->ids[mesh]));
    QL_TRY(ql_h5_open(path, &file));
    ql_status status = ql_skeleton_read(&skeleton, file);
    if (status == QL_OK && (int64_t)skeleton.size != rows[QL_PACK_SKELETON]) status = QL_FAIL(FORMAT, "it was changed");
    if (status == QL_OK)
        memcpy((char *)p->buffer[QL_PACK_SKELETON] + filled[QL_PACK_SKELETON], skeleton.bytes, skeleton.size);
    for (int i = 0; status == QL_OK && i < skeleton.count; ++i) {
        const ql_skeleton_array *array = &skeleton.arrays[i];
        int c = array->width > 0 ? ql_pack_find_column(layout, array) : -1;
        if (c < 0) continue;
        if (rows[c] != array->rows) status = QL_FAIL(FORMAT, "it was changed");
        size_t at = (size_t)filled[c] * ql_pack_row_bytes(&layout->column[c]);
        if (status == QL_OK) status = ql_skeleton_read_array(file, array, (char *)p->buffer[c] + at);
    }
    for (int c = 0; c < layout->columns; ++c) filled[c] += rows[c];
    ql_skeleton_destroy(&skeleton);
    (void)H5Fclose(file);
    return QL_CHAIN(status, "%s", path);
}

static int64_t rows_between(const ql_pack_layout *layout, int c, int64_t from, int64_t to)
{
    int64_t rows = 0;
    for (int64_t i = from; i < to; ++i) rows += layout->rows[i * layout->columns + c];
    return rows;
}

static ql_status load_share(packing *p, int64_t from, int64_t to)
{
    int64_t *filled;
    QL_TRY(QL_TAKE(filled, p->layout->columns));
    ql_status status = QL_OK;
    for (int c = 0; status == QL_OK && c < p->layout->columns; ++c) {
        size_t bytes = (size_t)rows_between(p->layout, c, from, to) * ql_pack_row_bytes(&p->layout->column[c]);
        p->buffer[c] = ql_memory_take(bytes, 1);
        if (p->buffer[c] == NULL) status = QL_FAIL(NO_MEMORY, "no memory for %zu bytes of results", bytes);
    }
    for (int64_t i = from; status == QL_OK && i < to; ++i) status = load_mesh(p, i, filled);
    ql_free(filled);
    return status;
}

/* Collective: `count` rows of the rank from `first` on; 0 takes part without data. */
static ql_status write_rows(const packing *p, int c, int64_t first, int64_t count, const void *data)
{
    hsize_t width = (hsize_t)p->layout->column[c].width;
    hsize_t at[2] = {(hsize_t)first, 0}, shape[2] = {(hsize_t)count, width};
    int rank = width > 1 ? 2 : 1;
    hid_t space = H5Dget_space(p->dataset[c]), memory = H5Screate_simple(rank, shape, NULL);
    herr_t done = space < 0 || memory < 0 ? -1 : 0;
    if (done >= 0 && count == 0) done = H5Sselect_none(space) < 0 || H5Sselect_none(memory) < 0 ? -1 : 0;
    if (done >= 0 && count > 0) done = H5Sselect_hyperslab(space, H5S_SELECT_SET, at, NULL, shape, NULL);
    if (done >= 0) done = H5Dwrite(p->dataset[c], p->type[c], memory, space, p->transfer, data);
    if (space >= 0) (void)H5Sclose(space);
    if (memory >= 0) (void)H5Sclose(memory);
    return done < 0 ? QL_H5_FAIL(IO, "%s: writing %s", p->partial, p->layout->column[c].name) : QL_OK;
}

/* Collective. MPI's files take less than 2 GiB at once: all ranks write in as many pieces as the largest share needs. */
static ql_status write_column(const packing *p, int c, int64_t round_from, int64_t round_to, int64_t from, int64_t to)
{
    size_t row = ql_pack_row_bytes(&p->layout->column[c]);
    int64_t piece = row < LARGEST_TRANSFER ? (int64_t)(LARGEST_TRANSFER / row) : 1, most = 0;
    for (int rank = 0; rank < p->comm->size; ++rank) {
        int64_t a, b;
        ql_pack_share(p->layout, round_from, round_to, rank, p->comm->size, &a, &b);
        int64_t rows = rows_between(p->layout, c, a, b);
        if (rows > most) most = rows;
    }
    int64_t mine = rows_between(p->layout, c, from, to),
            first = p->start[c] + rows_between(p->layout, c, round_from, from);
    for (int64_t at = 0; at < most; at += piece) {
        int64_t count = at < mine ? (mine - at < piece ? mine - at : piece) : 0;
        QL_TRY(write_rows(p, c, first + at, count, (const char *)p->buffer[c] + (count > 0 ? (size_t)at * row : 0)));
    }
    return QL_OK;
}

static ql_status sync_file(const char *path)
{
    int file = open(path, O_RDWR | O_CLOEXEC);
    bool fine = file >= 0 && fsync(file) == 0;
    if (file >= 0) (void)close(file);
    return fine ? QL_OK : QL_FAIL(IO, "%s: cannot be written to disk", path);
}

/* Collective. */
static ql_status write_round(packing *p, int64_t round_from, int64_t round_to)
{
    int64_t from, to;
    ql_pack_share(p->layout, round_from, round_to, p->comm->rank, p->comm->size, &from, &to);
    ql_status status = ql_comm_agree(p->comm, load_share(p, from, to));
    for (int c = 0; status == QL_OK && c < p->layout->columns; ++c) {
        status = write_column(p, c, round_from, round_to, from, to);
        p->start[c] += rows_between(p->layout, c, round_from, round_to);
        ql_file_write_point();
    }
    for (int c = 0; c < p->layout->columns; ++c) {
        ql_free(p->buffer[c]);
        p->buffer[c] = NULL;
    }
    if (status == QL_OK && H5Fflush(p->file, H5F_SCOPE_GLOBAL) < 0) status = QL_H5_FAIL(IO, "%s: flush", p->partial);
    QL_TRY(ql_comm_agree(p->comm, status));
    if (p->comm->rank == 0) {
        status = sync_file(p->partial);
        if (status == QL_OK) status = write_state(p, round_to);
    }
    return ql_comm_agree(p->comm, status);
}

static int64_t round_end(const packing *p, int64_t from)
{
    double room = (double)p->request->buffer_bytes * p->comm->size;
    int64_t to = from;
    for (double bytes = 0; to < p->layout->meshes; ++to) {
        bytes += (double)ql_pack_bytes_of(p->layout, to);
        if (bytes > room && to > from) break;
    }
    return to;
}

/* Collective. */
static ql_status stop_asked(const packing *p)
{
    bool mine = p->request->should_stop != NULL && p->request->should_stop();
    return ql_comm_agree(p->comm, mine ? QL_FAIL(STOPPED, "stopped; the same command goes on") : QL_OK);
}

static ql_status write_all(packing *p, int64_t done)
{
    for (int c = 0; c < p->layout->columns; ++c) p->start[c] = rows_between(p->layout, c, 0, done);
    while (done < p->layout->meshes) {
        int64_t to = round_end(p, done);
        QL_TRY(stop_asked(p));
        QL_TRY(write_round(p, done, to));
        done = to;
        if (p->comm->rank == 0 && p->request->progress != NULL) p->request->progress("packed", done, p->layout->meshes);
    }
    return QL_OK;
}

/* ---- all of it ---- */

static ql_status prepare(packing *p)
{
    QL_TRY(QL_TAKE(p->dataset, p->layout->columns));
    QL_TRY(QL_TAKE(p->type, p->layout->columns));
    QL_TRY(QL_TAKE(p->buffer, p->layout->columns));
    QL_TRY(QL_TAKE(p->start, p->layout->columns));
    for (int c = 0; c < p->layout->columns; ++c) p->dataset[c] = p->type[c] = -1;
    if (p->comm->size > 1 && !ql_parallel_file_mpi.available)
        return QL_FAIL(ENVIRONMENT, "%s; or use one process", ql_parallel_file_mpi.summary);
    if (snprintf(p->partial, sizeof p->partial, "%s.partial", p->request->path) >= (int)sizeof p->partial ||
        snprintf(p->state, sizeof p->state, "%s.state", p->request->path) >= (int)sizeof p->state)
        return QL_FAIL(USAGE, "%.200s...: name too long", p->request->path);
    return QL_OK;
}

static bool column_reads(hid_t file, const ql_pack_column *column, char *rows, int64_t room)
{
    char path[QL_PACK_NAME + 8];
    (void)snprintf(path, sizeof path, "data/%s", column->name);
    hid_t dataset = H5Dopen2(file, path, H5P_DEFAULT), space = dataset < 0 ? -1 : H5Dget_space(dataset);
    hid_t type = dataset < 0 ? -1 : H5Dget_type(dataset);
    bool fine = space >= 0 && type >= 0;
    for (int64_t at = 0; fine && at < column->rows; at += room) {
        int64_t count = column->rows - at < room ? column->rows - at : room;
        hsize_t first[2] = {(hsize_t)at, 0}, shape[2] = {(hsize_t)count, (hsize_t)column->width};
        hid_t memory = H5Screate_simple(column->width > 1 ? 2 : 1, shape, NULL);
        fine = memory >= 0 && H5Sselect_hyperslab(space, H5S_SELECT_SET, first, NULL, shape, NULL) >= 0 &&
               H5Dread(dataset, type, memory, space, H5P_DEFAULT, rows) >= 0;
        if (memory >= 0) (void)H5Sclose(memory);
    }
    if (type >= 0) (void)H5Tclose(type);
    if (space >= 0) (void)H5Sclose(space);
    if (dataset >= 0) (void)H5Dclose(dataset);
    return fine;
}

/* One rank: whether a process that was killed left a file that can be gone on with. Its last chunks may be torn, and a rank that
 * fails to read such a chunk in the middle of a collective write would leave the others waiting in it. */
static bool partial_reads(const packing *p)
{
    char *rows = NULL;
    hid_t file = H5Fopen(p->partial, H5F_ACC_RDONLY, H5P_DEFAULT);
    bool fine = file >= 0 && QL_TAKE(rows, CHECK_BYTES) == QL_OK;
    for (int c = 0; fine && c < p->layout->columns; ++c) {
        const size_t row = ql_pack_row_bytes(&p->layout->column[c]);
        fine = row <= CHECK_BYTES && column_reads(file, &p->layout->column[c], rows, (int64_t)(CHECK_BYTES / row));
    }
    ql_free(rows);
    if (file >= 0 && H5Fclose(file) < 0) fine = false;
    ql_error_clear();
    return fine;
}

/* Collective. A partial file that is not sound any more is made anew: nothing was deleted yet. */
static ql_status run(packing *p, int64_t *resumed_at)
{
    int64_t done = p->comm->rank == 0 ? read_state(p) : 0;
    if (done > 0 && !partial_reads(p)) done = 0;
    QL_TRY(p->comm->kind->broadcast(p->comm, &done, sizeof done, 0));
    ql_status status = QL_OK;
    if (done > 0 && open_file(p, false) != QL_OK) {
        close_file(p);
        ql_error_clear();
        done = 0;
    }
    *resumed_at = done;
    if (done == 0) {
        if (p->comm->rank == 0) status = ql_file_remove(p->state);
        status = ql_comm_agree(p->comm, status);
        if (status == QL_OK) status = open_file(p, true);
    }
    if (status == QL_OK) status = write_all(p, done);
    close_file(p);
    return status;
}

ql_status ql_pack_write(const ql_pack_layout *layout, const ql_pack_request *request, ql_comm *comm,
                        int64_t *resumed_at)
{
    packing p = {.layout = layout, .request = request, .comm = comm, .file = -1, .transfer = -1};
    ql_status status = ql_comm_agree(comm, prepare(&p));
    if (status == QL_OK) {
        ql_h5_lock();
        status = run(&p, resumed_at);
        ql_h5_unlock();
    }
    ql_free(p.dataset);
    ql_free(p.type);
    ql_free(p.buffer);
    ql_free(p.start);
    return status;
}

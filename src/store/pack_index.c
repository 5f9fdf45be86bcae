/* The index of a pack, and what is done with it: rows, verification, unpacking (see pack.h). */
#include "store/pack_index.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "store/h5_common.h"
#include "store/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT_VERSION = 1 };

/* ---- writing ---- */

static ql_status put_cells(hid_t file, const char *name, const int64_t *cells, const ql_pack_layout *layout,
                           const char *long_name)
{
    ql_h5_array array = {.name = name,
                         .type = QL_H5_I64,
                         .rows = layout->meshes,
                         .columns = layout->columns,
                         .data = cells,
                         .units = "1",
                         .long_name = long_name,
                         .storage = QL_H5_PACKED};
    return ql_h5_write_array(file, &array);
}

static ql_status put_starts(hid_t file, const ql_pack_layout *layout)
{
    int64_t *start;
    size_t columns = (size_t)layout->columns;
    QL_TRY(QL_TAKE(start, (size_t)layout->meshes * columns));
    for (size_t k = columns; k < (size_t)layout->meshes * columns; ++k)
        start[k] = start[k - columns] + layout->rows[k - columns];
    ql_status status = put_cells(file, "index/start", start, layout, "first row of a mesh in a column");
    ql_free(start);
    return status;
}

static ql_status put_hashes(hid_t file, const ql_pack_layout *layout, const int64_t *hashes)
{
    ql_h5_array array = {.name = "index/xxh64",
                         .type = QL_H5_I64,
                         .rows = layout->meshes,
                         .data = hashes,
                         .units = "1",
                         .long_name = "XXH64 of skeleton and values, as a signed number",
                         .storage = QL_H5_SUMMED};
    return ql_h5_write_array(file, &array);
}

static ql_status put_index(hid_t file, const ql_pack_layout *layout, const int64_t *hashes, const ql_summary *rows)
{
    char stamp[QL_STAMP_SIZE];
    QL_TRY(ql_h5_write_texts(file, "index/mesh", (const char *)layout->ids, sizeof *layout->ids, layout->meshes, "",
                             "NAME-HASH8 of each mesh"));
    QL_TRY(ql_h5_write_texts(file, "index/columns", layout->column[0].name, sizeof *layout->column, layout->columns, "",
                             "datasets below /data"));
    QL_TRY(put_starts(file, layout));
    QL_TRY(put_cells(file, "index/count", layout->rows, layout, "rows of a mesh in a column"));
    QL_TRY(put_hashes(file, layout, hashes));
    QL_TRY(ql_part_put_table(file, rows, layout->meshes));
    QL_TRY(ql_h5_put_int(file, "format_version", FORMAT_VERSION));
    QL_TRY(ql_h5_put_int(file, "meshes", layout->meshes));
    QL_TRY(ql_h5_put_text(file, "date", ql_clock_stamp(stamp)));
    return ql_h5_put_text(file, "format", "quadloom-pack"); /* last: without it this is none */
}

/* What a former process that was killed here has left behind. */
static void drop_index(hid_t file)
{
    static const char *const groups[] = {"index", "table"}, *const attributes[] = {"format_version", "meshes", "date"};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; ++i)
        if (ql_h5_has(file, groups[i])) (void)H5Ldelete(file, groups[i], H5P_DEFAULT);
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; ++i)
        if (H5Aexists(file, attributes[i]) > 0) (void)H5Adelete(file, attributes[i]);
    if (H5Aexists(file, "format") > 0) (void)H5Adelete(file, "format");
}

ql_status ql_pack_write_index(const char *path, const ql_pack_layout *layout, const int64_t *hashes,
                              const ql_summary *rows)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    (void)H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18);
#if H5_VERSION_GE(1, 10, 7)
    (void)H5Pset_file_locking(access, false, true);
#endif
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, access);
    if (access >= 0) (void)H5Pclose(access);
    if (file < 0) return QL_H5_FAIL(IO, "%s: cannot be opened", path);
    drop_index(file);
    ql_status status = put_index(file, layout, hashes, rows);
    if (H5Fclose(file) < 0 && status == QL_OK) status = QL_H5_FAIL(IO, "%s: closing", path);
    return QL_CHAIN(status, "%s", path);
}

/* ---- reading ---- */

/* Texts into places of `size` bytes, `stride` apart. */
static ql_status read_texts(hid_t file, const char *name, int64_t count, char *texts, size_t size, size_t stride)
{
    char *dense;
    QL_TRY(QL_TAKE(dense, size * (size_t)count));
    hid_t dataset = H5Dopen2(file, name, H5P_DEFAULT), space = dataset < 0 ? -1 : H5Dget_space(dataset);
    hid_t memory = ql_h5_text_type(size);
    herr_t done = space < 0 || memory < 0 || H5Sget_simple_extent_npoints(space) != count ? -1 : 0;
    if (done >= 0 && count > 0) done = H5Dread(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, dense);
    for (int64_t i = 0; done >= 0 && i < count; ++i) memcpy(texts + (size_t)i * stride, dense + (size_t)i * size, size);
    if (memory >= 0) (void)H5Tclose(memory);
    if (space >= 0) (void)H5Sclose(space);
    if (dataset >= 0) (void)H5Dclose(dataset);
    ql_free(dense);
    return done < 0 ? QL_H5_FAIL(FORMAT, "/%s: damaged", name) : QL_OK;
}

/* Type and shape of a column as its dataset has them. */
static ql_status take_column(hid_t file, ql_pack_column *column)
{
    char path[QL_PACK_NAME + 8];
    hsize_t shape[2] = {0, 1};
    size_t size = sizeof column->type;
    (void)snprintf(path, sizeof path, "data/%s", column->name);
    hid_t dataset = H5Dopen2(file, path, H5P_DEFAULT), space = dataset < 0 ? -1 : H5Dget_space(dataset);
    hid_t type = dataset < 0 ? -1 : H5Dget_type(dataset);
    int rank = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    herr_t done = type < 0 || rank < 1 || rank > 2 ? -1 : H5Sget_simple_extent_dims(space, shape, NULL);
    if (done >= 0) done = H5Tencode(type, NULL, &size);
    if (done >= 0 && size <= sizeof column->type) done = H5Tencode(type, column->type, &size);
    if (size > sizeof column->type) done = -1;
    column->type_length = (uint32_t)size;
    column->element_bytes = type < 0 ? 0 : H5Tget_size(type);
    column->rows = (int64_t)shape[0];
    column->width = (int64_t)shape[1];
    if (type >= 0) (void)H5Tclose(type);
    if (space >= 0) (void)H5Sclose(space);
    if (dataset >= 0) (void)H5Dclose(dataset);
    return done < 0 ? QL_H5_FAIL(FORMAT, "/%s: damaged", path) : QL_OK;
}

/* Rows that the index claims must be those of the datasets. */
static ql_status check_rows(const ql_pack_layout *layout)
{
    for (int c = 0; c < layout->columns; ++c) {
        int64_t rows = 0, limit = layout->column[c].rows;
        for (int64_t i = 0; i < layout->meshes; ++i) {
            int64_t here = layout->rows[i * layout->columns + c];
            if (here < 0 || here > limit - rows) return QL_FAIL(FORMAT, "/index/count: not the rows of /data");
            rows += here;
        }
        if (rows != limit) return QL_FAIL(FORMAT, "/index/count: not the rows of /data");
    }
    return QL_OK;
}

static ql_status read_index(ql_pack_layout *layout, hid_t file)
{
    char format[32] = "";
    bool found = false;
    int64_t meshes = -1, columns = -1;
    void *cells = NULL;
    QL_TRY(ql_h5_get_text(file, "format", format, sizeof format, &found));
    if (strcmp(format, "quadloom-pack") != 0) return QL_FAIL(FORMAT, "is not a pack of results");
    QL_TRY(ql_h5_read_array(file, "index/count", QL_H5_I64, &meshes, &columns, &cells));
    layout->rows = cells;
    layout->meshes = meshes;
    layout->columns = (int)columns;
    QL_TRY(QL_TAKE(layout->ids, meshes));
    QL_TRY(QL_TAKE(layout->column, columns));
    QL_TRY(read_texts(file, "index/mesh", meshes, (char *)layout->ids, QL_ID_SIZE, QL_ID_SIZE));
    QL_TRY(read_texts(file, "index/columns", columns, layout->column[0].name, QL_PACK_NAME, sizeof *layout->column));
    for (int c = 0; c < layout->columns; ++c) QL_TRY(take_column(file, &layout->column[c]));
    return check_rows(layout);
}

ql_status ql_pack_read_index(ql_pack_layout *layout, const char *path)
{
    hid_t file;
    *layout = (ql_pack_layout){0};
    ql_h5_lock();
    ql_status status = ql_h5_open(path, &file);
    if (status == QL_OK) {
        status = QL_CHAIN(read_index(layout, file), "%s", path);
        (void)H5Fclose(file);
    }
    ql_h5_unlock();
    if (status != QL_OK) ql_pack_layout_destroy(layout);
    return status;
}

bool ql_pack_is(const char *path)
{
    char format[32] = "";
    bool found = false;
    hid_t file;
    ql_h5_lock();
    if (ql_h5_open(path, &file) == QL_OK) {
        (void)ql_h5_get_text(file, "format", format, sizeof format, &found);
        (void)H5Fclose(file);
    }
    ql_h5_unlock();
    ql_error_clear();
    return strcmp(format, "quadloom-pack") == 0;
}

/* ---- rows ---- */

static ql_status read_cells(hid_t file, const ql_summary_column *column, ql_summary *rows, int64_t count)
{
    char name[64];
    void *values = NULL;
    int64_t columns = 0;
    (void)snprintf(name, sizeof name, "table/%s", column->name);
    if (!ql_h5_has(file, name)) return QL_OK; /* a column that is younger than the pack */
    if (column->kind == QL_SUMMARY_KIND_TEXT)
        return read_texts(file, name, count, (char *)rows + column->offset, QL_SUMMARY_TEXT, sizeof *rows);
    ql_h5_type type = column->kind == QL_SUMMARY_KIND_INT ? QL_H5_I64 : QL_H5_F64;
    QL_TRY(ql_h5_read_array(file, name, type, &count, &columns, &values));
    for (int64_t i = 0; i < count; ++i)
        memcpy((char *)&rows[i] + column->offset, (const char *)values + 8 * (size_t)i, 8);
    ql_free(values);
    return QL_OK;
}

ql_status ql_pack_rows(const char *path, ql_summary **rows, int64_t *count)
{
    hid_t file;
    bool found;
    *rows = NULL;
    *count = 0;
    ql_h5_lock();
    ql_status status = ql_h5_open(path, &file);
    if (status == QL_OK) {
        int64_t meshes = 0;
        status = ql_h5_get_int(file, "meshes", &meshes, &found);
        if (status == QL_OK && (!found || meshes < 0 || meshes > INT32_MAX)) status = QL_FAIL(FORMAT, "is not a pack");
        if (status == QL_OK) status = QL_TAKE(*rows, meshes);
        for (int64_t i = 0; status == QL_OK && i < meshes; ++i) ql_summary_init(&(*rows)[i]);
        for (int c = 0; status == QL_OK && c < ql_summary_column_count(); ++c)
            status = read_cells(file, ql_summary_column_at(c), *rows, meshes);
        if (status == QL_OK) *count = meshes;
        (void)H5Fclose(file);
        status = QL_CHAIN(status, "%s", path);
    }
    ql_h5_unlock();
    if (status == QL_OK) return QL_OK;
    ql_free(*rows);
    *rows = NULL;
    return status;
}

/* ---- verification and unpacking ---- */

static ql_status read_hashes(hid_t file, int64_t meshes, int64_t **hashes)
{
    int64_t columns = 0;
    void *values = NULL;
    QL_TRY(ql_h5_read_array(file, "index/xxh64", QL_H5_I64, &meshes, &columns, &values));
    *hashes = values;
    return QL_OK;
}

/* A mesh, held against its hash. */
static ql_status read_checked(ql_pack_mesh *mesh, ql_pack_reader *reader, int64_t index, const int64_t *hashes)
{
    uint64_t expected;
    memcpy(&expected, &hashes[index], sizeof expected);
    QL_TRY(ql_pack_mesh_read(mesh, reader, index));
    if (ql_pack_mesh_hash(mesh) == expected) return QL_OK;
    ql_pack_mesh_destroy(mesh);
    return QL_FAIL(FORMAT, "%s: damaged, its hash is another one", reader->layout->ids[index]);
}

typedef struct opened {
    ql_pack_layout layout;
    ql_pack_reader reader;
    int64_t *hashes;
} opened;

static ql_status open_pack(opened *it, const char *path)
{
    *it = (opened){.reader = {.file = -1, .data = -1}};
    QL_TRY(ql_pack_read_index(&it->layout, path));
    ql_h5_lock();
    ql_status status = ql_pack_reader_open(&it->reader, path, &it->layout);
    if (status == QL_OK) status = read_hashes(it->reader.file, it->layout.meshes, &it->hashes);
    ql_h5_unlock();
    return status;
}

static void close_pack(opened *it)
{
    ql_h5_lock();
    ql_pack_reader_close(&it->reader);
    ql_h5_unlock();
    ql_free(it->hashes);
    ql_pack_layout_destroy(&it->layout);
}

ql_status ql_pack_verify(const char *path, void (*visit)(void *context, const char *id, const char *problem),
                         void *context)
{
    opened it;
    ql_status status = open_pack(&it, path);
    for (int64_t i = 0; status == QL_OK && i < it.layout.meshes; ++i) {
        ql_pack_mesh mesh;
        ql_h5_lock();
        ql_status one = read_checked(&mesh, &it.reader, i, it.hashes);
        ql_h5_unlock();
        if (one == QL_STATUS_NO_MEMORY) status = one;
        if (one == QL_OK) ql_pack_mesh_destroy(&mesh);
        visit(context, it.layout.ids[i], one == QL_OK ? "" : ql_error_text());
    }
    close_pack(&it);
    return status;
}

static ql_status write_result(const ql_pack_mesh *mesh, const char *path)
{
    size_t bytes = 1 << 16;
    ql_h5_image image;
    for (int i = 0; i < mesh->skeleton.count; ++i) bytes += ql_skeleton_array_bytes(&mesh->skeleton.arrays[i]);
    ql_status status = ql_h5_image_create(&image, bytes);
    if (status == QL_OK) status = ql_skeleton_build(&mesh->skeleton, image.file, (const void *const *)mesh->data);
    if (status == QL_OK) status = ql_h5_image_close(&image);
    if (status == QL_OK) status = ql_file_write_whole(path, image.bytes, image.size);
    ql_h5_image_destroy(&image);
    return status;
}

/* DIRECTORY/ID.h5, or its place in a run directory. */
static ql_status place_of(char path[QL_PATH_SIZE], const char *directory, const char *id)
{
    char name[QL_ID_SIZE + 8];
    bool is_run = ql_rundir_check(directory) == QL_OK;
    ql_error_clear();
    if (is_run) return ql_rundir_path(path, directory, QL_RUN_RESULT, id);
    (void)snprintf(name, sizeof name, "%s.h5", id);
    return ql_path_join(path, directory, name);
}

static ql_status unpack_one(opened *it, int64_t index, const char *directory)
{
    char path[QL_PATH_SIZE];
    ql_pack_mesh mesh;
    QL_TRY(place_of(path, directory, it->layout.ids[index]));
    ql_h5_lock();
    ql_status status = read_checked(&mesh, &it->reader, index, it->hashes);
    if (status == QL_OK) {
        status = write_result(&mesh, path);
        ql_pack_mesh_destroy(&mesh);
    }
    ql_h5_unlock();
    return status;
}

static ql_status find_mesh(const ql_pack_layout *layout, const char *id, int64_t *index)
{
    for (*index = 0; *index < layout->meshes; ++*index)
        if (strcmp(layout->ids[*index], id) == 0) return QL_OK;
    return QL_FAIL(USAGE, "%s: not in this pack; `quadloom unpack FILE --list` shows what is", id);
}

ql_status ql_unpack(const char *path, const char *directory, const char *const *ids, int id_count, int rank, int size,
                    int64_t *count)
{
    opened it;
    *count = 0;
    ql_status status = open_pack(&it, path);
    int64_t all = id_count > 0 ? id_count : it.layout.meshes, each = (all + size - 1) / size;
    for (int64_t k = rank * each; status == QL_OK && k < all && k < (rank + 1) * each; ++k) {
        int64_t index = k;
        if (id_count > 0) status = find_mesh(&it.layout, ids[k], &index);
        if (status == QL_OK) status = unpack_one(&it, index, directory);
        *count += status == QL_OK;
    }
    close_pack(&it);
    return QL_CHAIN(status, "%s", path);
}

/* Meshes out of a pack and out of result files, taken apart alike (see pack.h). */
#include "base/hash.h"
#include "base/memory.h"
#include "store/pack_file.h"

#include <stdio.h>
#include <string.h>

/* ---- an open pack ---- */

ql_status ql_pack_reader_open(ql_pack_reader *reader, const char *path, const ql_pack_layout *layout)
{
    *reader = (ql_pack_reader){.file = -1, .data = -1, .layout = layout};
    ql_status status = ql_h5_open(path, &reader->file);
    if (status == QL_OK && (reader->data = H5Gopen2(reader->file, "data", H5P_DEFAULT)) < 0)
        status = QL_H5_FAIL(FORMAT, "%s: is not a pack of results", path);
    if (status == QL_OK) status = QL_TAKE(reader->dataset, layout->columns);
    for (int c = 0; status == QL_OK && c < layout->columns; ++c) reader->dataset[c] = -1;
    if (status == QL_OK) status = QL_TAKE(reader->start, layout->columns);
    for (int c = 0; status == QL_OK && c < layout->columns; ++c) {
        reader->dataset[c] = H5Dopen2(reader->data, layout->column[c].name, H5P_DEFAULT);
        if (reader->dataset[c] < 0)
            status = QL_H5_FAIL(FORMAT, "%s: /data/%s is missing", path, layout->column[c].name);
    }
    if (status != QL_OK) ql_pack_reader_close(reader);
    return status;
}

void ql_pack_reader_close(ql_pack_reader *reader)
{
    for (int c = 0; reader->dataset != NULL && c < reader->layout->columns; ++c)
        if (reader->dataset[c] >= 0) (void)H5Dclose(reader->dataset[c]);
    if (reader->data >= 0) (void)H5Gclose(reader->data);
    if (reader->file >= 0) (void)H5Fclose(reader->file);
    ql_free(reader->dataset);
    ql_free(reader->start);
    *reader = (ql_pack_reader){.file = -1, .data = -1};
}

/* Moves to a mesh. */
static void seek(ql_pack_reader *reader, int64_t mesh)
{
    const ql_pack_layout *layout = reader->layout;
    if (mesh < reader->at) {
        reader->at = 0;
        memset(reader->start, 0, (size_t)layout->columns * sizeof *reader->start);
    }
    for (; reader->at < mesh; ++reader->at)
        for (int c = 0; c < layout->columns; ++c) reader->start[c] += layout->rows[reader->at * layout->columns + c];
}

/* A mesh's rows of a column, in the type of the file. */
static ql_status read_rows(const ql_pack_reader *reader, int c, int64_t rows, void *data)
{
    const ql_pack_column *column = &reader->layout->column[c];
    hid_t type = H5Dget_type(reader->dataset[c]), space = H5Dget_space(reader->dataset[c]);
    int rank = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    hsize_t at[2] = {(hsize_t)reader->start[c], 0}, shape[2] = {(hsize_t)rows, (hsize_t)column->width};
    hid_t memory = rank == 1 || rank == 2 ? H5Screate_simple(rank, shape, NULL) : -1;
    herr_t done = type < 0 || memory < 0 || H5Tget_size(type) != column->element_bytes ? -1 : 0;
    if (done >= 0) done = H5Sselect_hyperslab(space, H5S_SELECT_SET, at, NULL, shape, NULL);
    if (done >= 0) done = H5Dread(reader->dataset[c], type, memory, space, H5P_DEFAULT, data);
    if (memory >= 0) (void)H5Sclose(memory);
    if (space >= 0) (void)H5Sclose(space);
    if (type >= 0) (void)H5Tclose(type);
    return done < 0 ? QL_H5_FAIL(FORMAT, "/data/%s: damaged", column->name) : QL_OK;
}

/* ---- a mesh ---- */

static ql_status take_data(ql_pack_mesh *mesh)
{
    QL_TRY(QL_TAKE(mesh->data, mesh->skeleton.count));
    for (int i = 0; i < mesh->skeleton.count; ++i) {
        size_t bytes = ql_skeleton_array_bytes(&mesh->skeleton.arrays[i]);
        mesh->data[i] = ql_memory_take(bytes, 1);
        if (mesh->data[i] == NULL) return QL_FAIL(NO_MEMORY, "no memory for %zu bytes of a result", bytes);
    }
    return QL_OK;
}

static ql_status read_mesh(ql_pack_mesh *mesh, ql_pack_reader *reader, int64_t index)
{
    const ql_pack_layout *layout = reader->layout;
    const int64_t *rows = layout->rows + index * layout->columns;
    unsigned char *bytes;
    seek(reader, index);
    QL_TRY(QL_TAKE(bytes, rows[QL_PACK_SKELETON]));
    ql_status status = read_rows(reader, QL_PACK_SKELETON, rows[QL_PACK_SKELETON], bytes);
    if (status != QL_OK) {
        ql_free(bytes);
        return status;
    }
    QL_TRY(ql_skeleton_parse(&mesh->skeleton, bytes, (size_t)rows[QL_PACK_SKELETON]));
    for (int i = 0; i < mesh->skeleton.count; ++i) { /* before memory is taken for what a damaged skeleton claims */
        const ql_skeleton_array *array = &mesh->skeleton.arrays[i];
        int c = ql_pack_find_column(layout, array);
        if (array->rows > 0 && array->width > 0 && (c < 0 || rows[c] != array->rows))
            return QL_FAIL(FORMAT, "/%.*s: its rows are not in the pack", (int)array->path_length, array->path);
    }
    QL_TRY(take_data(mesh));
    for (int i = 0; i < mesh->skeleton.count; ++i) {
        const ql_skeleton_array *array = &mesh->skeleton.arrays[i];
        if (array->rows == 0 || array->width == 0) continue;
        QL_TRY(read_rows(reader, ql_pack_find_column(layout, array), array->rows, mesh->data[i]));
    }
    return QL_OK;
}

ql_status ql_pack_mesh_read(ql_pack_mesh *mesh, ql_pack_reader *reader, int64_t index)
{
    *mesh = (ql_pack_mesh){0};
    ql_status status = read_mesh(mesh, reader, index);
    if (status != QL_OK) ql_pack_mesh_destroy(mesh);
    return QL_CHAIN(status, "%s", reader->layout->ids[index]);
}

ql_status ql_pack_mesh_take(ql_pack_mesh *mesh, const char *result_path)
{
    hid_t file;
    *mesh = (ql_pack_mesh){0};
    QL_TRY(ql_h5_open(result_path, &file));
    ql_status status = ql_skeleton_read(&mesh->skeleton, file);
    if (status == QL_OK) status = take_data(mesh);
    for (int i = 0; status == QL_OK && i < mesh->skeleton.count; ++i)
        status = ql_skeleton_read_array(file, &mesh->skeleton.arrays[i], mesh->data[i]);
    (void)H5Fclose(file);
    if (status != QL_OK) ql_pack_mesh_destroy(mesh);
    return QL_CHAIN(status, "%s", result_path);
}

void ql_pack_mesh_destroy(ql_pack_mesh *mesh)
{
    for (int i = 0; mesh->data != NULL && i < mesh->skeleton.count; ++i) ql_free(mesh->data[i]);
    ql_free(mesh->data);
    ql_skeleton_destroy(&mesh->skeleton);
    mesh->data = NULL;
}

uint64_t ql_pack_mesh_hash(const ql_pack_mesh *mesh)
{
    uint64_t hash = ql_hash_bytes(mesh->skeleton.bytes, mesh->skeleton.size, 0);
    for (int i = 0; i < mesh->skeleton.count; ++i)
        hash = ql_hash_bytes(mesh->data[i], ql_skeleton_array_bytes(&mesh->skeleton.arrays[i]), hash);
    return hash;
}

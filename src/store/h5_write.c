/* HDF5 files built in memory (see h5.h). */
#include "store/h5.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "store/h5_common.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { CHUNK_BYTES = 1 << 20, COMPACT_BYTES = 512, DEFLATE_LEVEL = 4, SMALLEST_IMAGE = 1 << 16 };

/* ---- the image ---- */

static void *image_resize(void *block, size_t size, H5FD_file_image_op_t operation, void *udata)
{
    (void)operation;
    (void)udata;
    return ql_memory_resize(block, size, 1);
}

/* The driver gives back its memory when the file is closed: that is the file. */
static herr_t image_keep(void *block, H5FD_file_image_op_t operation, void *udata)
{
    ql_h5_image *image = udata;
    if (operation == H5FD_FILE_IMAGE_OP_FILE_CLOSE && image->bytes == NULL)
        image->bytes = block;
    else
        ql_free(block);
    return 0;
}

static void *share_udata(void *udata) { return udata; }

static herr_t keep_udata(void *udata)
{
    (void)udata;
    return 0;
}

static ql_status access_list(ql_h5_image *image, size_t increment, hid_t *list)
{
    H5FD_file_image_callbacks_t callbacks = {.image_realloc = image_resize,
                                             .image_free = image_keep,
                                             .udata_copy = share_udata,
                                             .udata_free = keep_udata,
                                             .udata = image};
    *list = H5Pcreate(H5P_FILE_ACCESS);
    if (*list < 0 || H5Pset_fapl_core(*list, increment, false) < 0 ||
        H5Pset_file_image_callbacks(*list, &callbacks) < 0 ||
        H5Pset_libver_bounds(*list, H5F_LIBVER_V18, H5F_LIBVER_V18) < 0)
        return QL_H5_FAIL(INTERNAL, "HDF5: no file in memory");
    return QL_OK;
}

ql_status ql_h5_image_create(ql_h5_image *image, size_t expected_bytes)
{
    *image = (ql_h5_image){.file = -1};
    size_t increment = expected_bytes > SMALLEST_IMAGE ? expected_bytes : SMALLEST_IMAGE;
    hid_t access = -1, creation = H5Pcreate(H5P_FILE_CREATE);
    ql_status status = access_list(image, increment, &access);
    if (status == QL_OK && (H5Pset_obj_track_times(creation, false) < 0 ||
                            H5Pset_attr_phase_change(creation, QL_H5_MOST_ATTRIBUTES, 0) < 0))
        status = QL_H5_FAIL(INTERNAL, "HDF5: cannot set up a file");
    if (status == QL_OK) {
        image->file = H5Fcreate("image", H5F_ACC_TRUNC, creation, access);
        if (image->file < 0) status = QL_H5_FAIL(NO_MEMORY, "no memory for a file of %zu bytes", expected_bytes);
    }
    if (access >= 0) (void)H5Pclose(access);
    if (creation >= 0) (void)H5Pclose(creation);
    return status;
}

/* Length that the superblock (version 2 or 3) tells: bytes 28 to 35, little-endian. */
static uint64_t image_length(const unsigned char *superblock)
{
    uint64_t length = 0;
    for (int i = 7; i >= 0; --i) length = length << 8 | superblock[28 + i];
    return length;
}

ql_status ql_h5_image_close(ql_h5_image *image)
{
    assert(image->file >= 0);
    ssize_t open_objects = H5Fget_obj_count(image->file, H5F_OBJ_ALL);
    assert(open_objects == 1);
    (void)open_objects;
    herr_t closed = H5Fclose(image->file);
    image->file = -1;
    if (closed < 0 || image->bytes == NULL) return QL_H5_FAIL(NO_MEMORY, "HDF5: closing a file in memory");
    image->size = (size_t)image_length(image->bytes);
    return QL_OK;
}

void ql_h5_image_destroy(ql_h5_image *image)
{
    if (image->file >= 0) (void)H5Fclose(image->file);
    ql_free(image->bytes);
    *image = (ql_h5_image){.file = -1};
}

/* ---- attributes ---- */

/* Replaces nothing: an attribute is written once. */
static ql_status put(hid_t object, const char *name, hid_t type, hid_t space, const void *value)
{
    if (type < 0 || space < 0) return QL_H5_FAIL(INTERNAL, "attribute %s", name);
    hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    herr_t done = attribute < 0 ? -1 : H5Awrite(attribute, type, value);
    if (attribute >= 0) (void)H5Aclose(attribute);
    return done < 0 ? QL_H5_FAIL(INTERNAL, "writing attribute %s", name) : QL_OK;
}

static ql_status put_scalar(hid_t object, const char *name, hid_t type, const void *value)
{
    hid_t space = H5Screate(H5S_SCALAR);
    ql_status status = put(object, name, type, space, value);
    if (space >= 0) (void)H5Sclose(space);
    return status;
}

ql_status ql_h5_put_text(hid_t object, const char *name, const char *value)
{
    hid_t type = ql_h5_text_type(strlen(value) + 1);
    ql_status status = put_scalar(object, name, type, value);
    if (type >= 0) (void)H5Tclose(type);
    return status;
}

ql_status ql_h5_put_int(hid_t object, const char *name, int64_t value)
{
    return put_scalar(object, name, H5T_NATIVE_INT64, &value);
}

ql_status ql_h5_put_uint(hid_t object, const char *name, uint64_t value)
{
    return put_scalar(object, name, H5T_NATIVE_UINT64, &value);
}

ql_status ql_h5_put_real(hid_t object, const char *name, double value)
{
    return put_scalar(object, name, H5T_NATIVE_DOUBLE, &value);
}

ql_status ql_h5_put_facts(hid_t object, const char *prefix, const ql_provenance *facts)
{
    for (int32_t i = 0; facts != NULL && i < facts->count; ++i) {
        const ql_fact *fact = &facts->facts[i];
        char name[256];
        (void)snprintf(name, sizeof name, "%s%s", prefix, fact->name);
        switch (fact->type) {
        case QL_FACT_TEXT: QL_TRY(ql_h5_put_text(object, name, fact->text)); break;
        case QL_FACT_INT: QL_TRY(ql_h5_put_int(object, name, fact->integer)); break;
        case QL_FACT_REAL: QL_TRY(ql_h5_put_real(object, name, fact->real)); break;
        }
    }
    return QL_OK;
}

ql_status ql_h5_group(hid_t where, const char *name, hid_t *group)
{
    hid_t links = H5Pcreate(H5P_LINK_CREATE), creation = H5Pcreate(H5P_GROUP_CREATE);
    *group = -1;
    if (links >= 0 && creation >= 0 && H5Pset_create_intermediate_group(links, 1) >= 0 &&
        H5Pset_obj_track_times(creation, false) >= 0 &&
        H5Pset_attr_phase_change(creation, QL_H5_MOST_ATTRIBUTES, 0) >= 0)
        *group = H5Gcreate2(where, name, links, creation, H5P_DEFAULT);
    ql_status status = *group < 0 ? QL_H5_FAIL(INTERNAL, "making group %s", name) : QL_OK;
    if (links >= 0) (void)H5Pclose(links);
    if (creation >= 0) (void)H5Pclose(creation);
    return status;
}

/* ---- datasets ---- */

/* Layout and filters. Small arrays lie in the object header, which has its own checksum. */
static herr_t set_storage(hid_t creation, ql_h5_storage storage, const hsize_t shape[2], int rank, size_t size)
{
    hsize_t row_bytes = size * (rank == 2 ? shape[1] : 1), bytes = row_bytes * shape[0];
    if (bytes <= COMPACT_BYTES) return H5Pset_layout(creation, H5D_COMPACT);
    if (storage == QL_H5_RAW) return H5Pset_layout(creation, H5D_CONTIGUOUS);
    hsize_t chunk[2] = {shape[0], shape[1]};
    if (bytes > CHUNK_BYTES) chunk[0] = row_bytes < CHUNK_BYTES ? CHUNK_BYTES / row_bytes : 1;
    if (H5Pset_chunk(creation, rank, chunk) < 0) return -1;
    if (storage == QL_H5_PACKED && (H5Pset_shuffle(creation) < 0 || H5Pset_deflate(creation, DEFLATE_LEVEL) < 0))
        return -1;
    return H5Pset_fletcher32(creation);
}

static hid_t creation_list(ql_h5_storage storage, const hsize_t shape[2], int rank, size_t size)
{
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    if (creation < 0) return -1;
    if (H5Pset_obj_track_times(creation, false) >= 0 &&
        H5Pset_attr_phase_change(creation, QL_H5_MOST_ATTRIBUTES, 0) >= 0 &&
        set_storage(creation, storage, shape, rank, size) >= 0)
        return creation;
    (void)H5Pclose(creation);
    return -1;
}

/* Creates a dataset, writes it and its attribute xxh64; the dataset stays open in *dataset. */
static ql_status write_values(hid_t where, const char *name, hid_t type, const hsize_t shape[2], int rank,
                              const void *data, ql_h5_storage storage, hid_t *dataset)
{
    size_t size = H5Tget_size(type);
    hid_t space = H5Screate_simple(rank, shape, NULL), links = H5Pcreate(H5P_LINK_CREATE);
    hid_t creation = creation_list(storage, shape, rank, size);
    hsize_t count = shape[0] * (rank == 2 ? shape[1] : 1);
    *dataset = -1;
    if (space >= 0 && links >= 0 && creation >= 0 && H5Pset_create_intermediate_group(links, 1) >= 0)
        *dataset = H5Dcreate2(where, name, type, space, links, creation, H5P_DEFAULT);
    herr_t written = *dataset < 0 ? -1 : 0;
    if (*dataset >= 0 && count > 0) written = H5Dwrite(*dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    ql_status status = written < 0 ? QL_H5_FAIL(NO_MEMORY, "building dataset %s", name) : QL_OK;
    if (status == QL_OK) status = ql_h5_put_uint(*dataset, "xxh64", ql_hash_bytes(data, count * size, 0));
    if (creation >= 0) (void)H5Pclose(creation);
    if (links >= 0) (void)H5Pclose(links);
    if (space >= 0) (void)H5Sclose(space);
    return status;
}

static ql_status put_meaning(hid_t dataset, const char *units, const char *long_name)
{
    QL_TRY(ql_h5_put_text(dataset, "units", units));
    return ql_h5_put_text(dataset, "long_name", long_name);
}

ql_status ql_h5_write_array(hid_t where, const ql_h5_array *array)
{
    hsize_t shape[2] = {(hsize_t)array->rows, (hsize_t)array->columns};
    hid_t dataset;
    ql_file_write_point();
    ql_status status = write_values(where, array->name, ql_h5_native(array->type), shape, array->columns > 0 ? 2 : 1,
                                    array->data, array->storage, &dataset);
    if (status == QL_OK) status = put_meaning(dataset, array->units, array->long_name);
    if (dataset >= 0) (void)H5Dclose(dataset);
    return status;
}

ql_status ql_h5_write_texts(hid_t where, const char *name, const char *texts, size_t stride, int64_t count,
                            const char *units, const char *long_name)
{
    size_t longest = 1;
    for (int64_t i = 0; i < count; ++i) {
        size_t length = strnlen(texts + (size_t)i * stride, stride);
        if (length > longest) longest = length;
    }
    char *packed;
    QL_TRY(QL_TAKE(packed, longest * (size_t)count));
    for (int64_t i = 0; i < count; ++i) /* NULLPAD: no zero needed behind the longest */
        memcpy(packed + (size_t)i * longest, texts + (size_t)i * stride, strnlen(texts + (size_t)i * stride, longest));
    hsize_t shape[2] = {(hsize_t)count, 0};
    hid_t type = ql_h5_padded_text_type(longest), dataset = -1;
    ql_status status = write_values(where, name, type, shape, 1, packed, QL_H5_PACKED, &dataset);
    if (status == QL_OK) status = put_meaning(dataset, units, long_name);
    if (dataset >= 0) (void)H5Dclose(dataset);
    if (type >= 0) (void)H5Tclose(type);
    ql_free(packed);
    return status;
}

/* Attribute `units` of a table: one text per column. */
static ql_status put_units(hid_t dataset, int columns, const char *(*column_unit)(int))
{
    enum { UNIT = 16 };
    char *units;
    QL_TRY(QL_TAKE(units, UNIT * columns));
    for (int c = 0; c < columns; ++c) (void)snprintf(units + UNIT * c, UNIT, "%s", column_unit(c));
    hsize_t shape = (hsize_t)columns;
    hid_t type = ql_h5_text_type(UNIT), space = H5Screate_simple(1, &shape, NULL);
    ql_status status = put(dataset, "units", type, space, units);
    if (space >= 0) (void)H5Sclose(space);
    if (type >= 0) (void)H5Tclose(type);
    ql_free(units);
    return status;
}

ql_status ql_h5_write_table(hid_t where, const char *name, const double *values, int64_t rows, int columns,
                            const char *(*column_name)(int), const char *(*column_unit)(int), const char *long_name,
                            ql_h5_storage storage)
{
    hsize_t shape[2] = {(hsize_t)rows, 0};
    hid_t type = ql_h5_table_type(columns, column_name), dataset = -1;
    if (type < 0) return QL_H5_FAIL(INTERNAL, "type of table %s", name);
    ql_file_write_point();
    ql_status status = write_values(where, name, type, shape, 1, values, storage, &dataset);
    if (status == QL_OK) status = put_units(dataset, columns, column_unit);
    if (status == QL_OK) status = ql_h5_put_text(dataset, "long_name", long_name);
    if (dataset >= 0) (void)H5Dclose(dataset);
    (void)H5Tclose(type);
    return status;
}

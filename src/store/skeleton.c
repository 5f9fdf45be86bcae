/* Taking an HDF5 file apart into its skeleton (see skeleton.h). Building: skeleton_build.c. */
#include "store/skeleton.h"

#include "base/memory.h"
#include "store/skeleton_bytes.h"

#include <stdio.h>
#include <string.h>

enum { PATH = 512, MOST_SHARED = 256 };

/* ---- bytes ---- */

typedef struct writer {
    unsigned char *bytes;
    size_t size, capacity;
    ql_status status; /* of all calls so far */
    struct shared {   /* objects with several names: where, and under which name they are described */
        haddr_t address;
        char path[PATH];
    } * shared;
    int shared_count;
} writer;

static void put(writer *w, const void *data, size_t size)
{
    if (w->status == QL_OK && w->size + size > w->capacity) {
        size_t larger = 2 * (w->size + size);
        unsigned char *grown = ql_memory_resize(w->bytes, larger, 1);
        if (grown == NULL) {
            w->status = QL_FAIL(NO_MEMORY, "no memory for the skeleton of a file");
        } else {
            w->bytes = grown;
            w->capacity = larger;
        }
    }
    if (w->status != QL_OK || size == 0) return;
    memcpy(w->bytes + w->size, data, size);
    w->size += size;
}

static void put_byte(writer *w, unsigned value) { put(w, &(unsigned char){(unsigned char)value}, 1); }

static void put_number(writer *w, uint64_t value, int bytes)
{
    unsigned char little[8];
    for (int i = 0; i < bytes; ++i) little[i] = (unsigned char)(value >> 8 * i);
    put(w, little, (size_t)bytes);
}

static void put_block(writer *w, const void *data, size_t size)
{
    put_number(w, size, 4);
    put(w, data, size);
}

/* ---- parts of objects ---- */

static ql_status put_type(writer *w, hid_t type)
{
    unsigned char room[4096], *encoded = room;
    size_t size = 0;
    if (H5Tdetect_class(type, H5T_VLEN) > 0 || H5Tdetect_class(type, H5T_REFERENCE) > 0 || H5Tis_variable_str(type) > 0)
        return QL_FAIL(FORMAT, "values of variable length or references cannot be packed");
    if (H5Tencode(type, NULL, &size) < 0) return QL_H5_FAIL(FORMAT, "a type cannot be encoded");
    if (size > sizeof room) QL_TRY(QL_TAKE(encoded, size));
    herr_t done = H5Tencode(type, encoded, &size);
    if (done >= 0) put_block(w, encoded, size);
    if (encoded != room) ql_free(encoded);
    return done < 0 ? QL_H5_FAIL(FORMAT, "a type cannot be encoded") : w->status;
}

static ql_status put_shape(writer *w, hid_t space, hsize_t *points)
{
    hsize_t shape[H5S_MAX_RANK];
    H5S_class_t kind = H5Sget_simple_extent_type(space);
    int rank = kind == H5S_SIMPLE ? H5Sget_simple_extent_dims(space, shape, NULL) : 0;
    *points = 1;
    if ((kind != H5S_SIMPLE && kind != H5S_SCALAR) || rank < 0)
        return QL_H5_FAIL(FORMAT, "a dataset or attribute without shape");
    put_byte(w, kind == H5S_SCALAR ? QL_SKELETON_SCALAR : (unsigned)rank);
    for (int i = 0; i < rank; ++i) {
        put_number(w, shape[i], 8);
        *points *= shape[i];
    }
    return w->status;
}

static ql_status put_attribute_of(writer *w, hid_t attribute, const char *name)
{
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    hsize_t points = 0;
    unsigned char *value = NULL;
    put_block(w, name, strlen(name));
    ql_status status = type < 0 || space < 0 ? QL_H5_FAIL(FORMAT, "damaged") : put_type(w, type);
    if (status == QL_OK) status = put_shape(w, space, &points);
    size_t size = status == QL_OK ? (size_t)points * H5Tget_size(type) : 0;
    if (status == QL_OK) status = QL_TAKE(value, size);
    if (status == QL_OK && H5Aread(attribute, type, value) < 0) status = QL_H5_FAIL(FORMAT, "cannot be read");
    if (status == QL_OK) put_block(w, value, size);
    ql_free(value);
    if (type >= 0) (void)H5Tclose(type);
    if (space >= 0) (void)H5Sclose(space);
    return status == QL_OK ? w->status : QL_CHAIN(status, "attribute %s", name);
}

static ql_status put_attributes(writer *w, hid_t object)
{
    H5O_info_t info;
    if (H5Oget_info(object, &info) < 0) return QL_H5_FAIL(FORMAT, "damaged");
    put_number(w, info.num_attrs, 4);
    for (hsize_t i = 0; i < info.num_attrs; ++i) {
        char name[256];
        hid_t attribute = H5Aopen_by_idx(object, ".", H5_INDEX_NAME, H5_ITER_INC, i, H5P_DEFAULT, H5P_DEFAULT);
        if (attribute < 0) return QL_H5_FAIL(FORMAT, "attributes damaged");
        ssize_t length = H5Aget_name(attribute, sizeof name, name);
        ql_status status = length < 0 || length >= (ssize_t)sizeof name ? QL_H5_FAIL(FORMAT, "name of an attribute")
                                                                        : put_attribute_of(w, attribute, name);
        (void)H5Aclose(attribute);
        QL_TRY(status);
    }
    return w->status;
}

static ql_status put_filter(writer *w, hid_t creation, unsigned index)
{
    unsigned flags = 0, values[64];
    size_t count = sizeof values / sizeof *values;
    H5Z_filter_t id = H5Pget_filter2(creation, index, &flags, &count, values, 0, NULL, NULL);
    if (id < 0 || count > sizeof values / sizeof *values) return QL_H5_FAIL(FORMAT, "a filter cannot be told");
    put_number(w, (uint64_t)(uint32_t)id, 4);
    put_number(w, flags, 4);
    put_number(w, 4 * count, 4);
    for (size_t i = 0; i < count; ++i) put_number(w, values[i], 4);
    return w->status;
}

static ql_status put_storage(writer *w, hid_t creation)
{
    hsize_t chunk[H5S_MAX_RANK];
    H5D_layout_t layout = H5Pget_layout(creation);
    if (layout != H5D_COMPACT && layout != H5D_CONTIGUOUS && layout != H5D_CHUNKED)
        return QL_H5_FAIL(FORMAT, "virtual datasets cannot be packed");
    put_byte(w, (unsigned)layout);
    int rank = layout == H5D_CHUNKED ? H5Pget_chunk(creation, H5S_MAX_RANK, chunk) : 0;
    for (int i = 0; i < rank; ++i) put_number(w, chunk[i], 8);
    int filters = H5Pget_nfilters(creation);
    if (rank < 0 || filters < 0) return QL_H5_FAIL(FORMAT, "damaged");
    put_byte(w, (unsigned)filters);
    for (int i = 0; i < filters; ++i) QL_TRY(put_filter(w, creation, (unsigned)i));
    return w->status;
}

static ql_status put_dataset(writer *w, hid_t dataset)
{
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset), creation = H5Dget_create_plist(dataset);
    hsize_t points;
    ql_status status = type < 0 || space < 0 || creation < 0 ? QL_H5_FAIL(FORMAT, "damaged") : put_type(w, type);
    if (status == QL_OK) status = put_shape(w, space, &points);
    if (status == QL_OK) status = put_storage(w, creation);
    if (type >= 0) (void)H5Tclose(type);
    if (space >= 0) (void)H5Sclose(space);
    if (creation >= 0) (void)H5Pclose(creation);
    return status;
}

/* ---- the walk ---- */

static ql_status put_object(writer *w, hid_t parent, const char *name, const char *path);

static ql_status put_members(writer *w, hid_t group, const char *path)
{
    H5G_info_t info;
    if (H5Gget_info(group, &info) < 0) return QL_H5_FAIL(FORMAT, "damaged");
    for (hsize_t i = 0; i < info.nlinks; ++i) {
        char name[256], below[PATH];
        H5L_info_t link;
        ssize_t length = H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_DEC, i, name, sizeof name, H5P_DEFAULT);
        if (length < 0 || length >= (ssize_t)sizeof name || H5Lget_info(group, name, &link, H5P_DEFAULT) < 0)
            return QL_H5_FAIL(FORMAT, "its members cannot be listed");
        if (link.type != H5L_TYPE_HARD) return QL_FAIL(FORMAT, "%s: links cannot be packed", name);
        int used = snprintf(below, sizeof below, "%s%s%s", path, path[0] != '\0' ? "/" : "", name);
        if (used >= PATH) return QL_FAIL(FORMAT, "%s: path too long", name);
        QL_TRY(put_object(w, group, name, below));
    }
    return QL_OK;
}

/* Whether an object of several names was described under another one: then only this name is noted. */
static bool put_link(writer *w, const H5O_info_t *info, const char *path)
{
    for (int i = 0; i < w->shared_count; ++i) {
        if (w->shared[i].address != info->addr) continue;
        put_byte(w, 'L');
        put_block(w, path, strlen(path));
        put_block(w, w->shared[i].path, strlen(w->shared[i].path));
        return true;
    }
    struct shared *place = &w->shared[w->shared_count++];
    place->address = info->addr;
    (void)snprintf(place->path, sizeof place->path, "%s", path);
    return false;
}

static ql_status put_opened(writer *w, hid_t object, const char *path)
{
    H5O_info_t info;
    if (H5Oget_info(object, &info) < 0 || (info.type != H5O_TYPE_GROUP && info.type != H5O_TYPE_DATASET))
        return QL_H5_FAIL(FORMAT, "/%s: damaged, or a kind of object that cannot be packed", path);
    if (info.rc > 1 && w->shared_count == MOST_SHARED) return QL_FAIL(FORMAT, "/%s: too many links", path);
    if (info.rc > 1 && put_link(w, &info, path)) return w->status;
    bool group = info.type == H5O_TYPE_GROUP;
    put_byte(w, group ? 'G' : 'D');
    put_block(w, path, strlen(path));
    ql_status status = group ? QL_OK : put_dataset(w, object);
    if (status == QL_OK) status = put_attributes(w, object);
    status = QL_CHAIN(status, "/%s", path);
    return status == QL_OK && group ? put_members(w, object, path) : status;
}

static ql_status put_object(writer *w, hid_t parent, const char *name, const char *path)
{
    hid_t object = H5Oopen(parent, name, H5P_DEFAULT);
    if (object < 0) return QL_H5_FAIL(FORMAT, "/%s: damaged", path);
    ql_status status = put_opened(w, object, path);
    (void)H5Oclose(object);
    return status;
}

ql_status ql_skeleton_read(ql_skeleton *skeleton, hid_t file)
{
    writer w = {0};
    *skeleton = (ql_skeleton){0};
    QL_TRY(QL_TAKE(w.shared, MOST_SHARED));
    ql_status status = put_object(&w, file, "/", "");
    if (status == QL_OK) status = w.status;
    ql_free(w.shared);
    if (status == QL_OK) return ql_skeleton_parse(skeleton, w.bytes, w.size);
    ql_free(w.bytes);
    return status;
}

void ql_skeleton_destroy(ql_skeleton *skeleton)
{
    if (skeleton == NULL) return;
    ql_free(skeleton->bytes);
    ql_free(skeleton->arrays);
    *skeleton = (ql_skeleton){0};
}

/* ---- values ---- */

ql_status ql_skeleton_read_array(hid_t file, const ql_skeleton_array *array, void *data)
{
    char path[PATH];
    if (array->path_length >= sizeof path) return QL_FAIL(FORMAT, "path too long");
    memcpy(path, array->path, array->path_length);
    path[array->path_length] = '\0';
    hid_t dataset = H5Dopen2(file, path, H5P_DEFAULT), type = dataset < 0 ? -1 : H5Dget_type(dataset);
    herr_t done = type < 0 ? -1 : 0;
    if (done >= 0 && ql_skeleton_array_bytes(array) > 0)
        done = H5Dread(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    if (type >= 0) (void)H5Tclose(type);
    if (dataset >= 0) (void)H5Dclose(dataset);
    return done < 0 ? QL_H5_FAIL(FORMAT, "/%s: damaged", path) : QL_OK;
}

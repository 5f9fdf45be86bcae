/* From the bytes of a skeleton to what they describe, and to the file (see skeleton.h). Nothing that the bytes claim is
 * believed before it was held against their length. */
#include "base/memory.h"
#include "store/h5_common.h"
#include "store/skeleton.h"
#include "store/skeleton_bytes.h"

#include <stdio.h>
#include <string.h>

enum { PATH = 512 };

/* ---- bytes ---- */

typedef struct reader {
    const unsigned char *at, *end;
    bool broken;
} reader;

static const unsigned char *get(reader *r, size_t size)
{
    const unsigned char *at = r->at;
    if (r->broken || size > (size_t)(r->end - r->at)) {
        r->broken = true;
        return NULL;
    }
    r->at += size;
    return at;
}

static uint64_t get_number(reader *r, int bytes)
{
    const unsigned char *little = get(r, (size_t)bytes);
    uint64_t value = 0;
    for (int i = 0; little != NULL && i < bytes; ++i) value |= (uint64_t)little[i] << 8 * i;
    return value;
}

typedef struct block {
    const unsigned char *data;
    size_t size;
} block;

static block get_block(reader *r)
{
    size_t size = (size_t)get_number(r, 4);
    const unsigned char *data = get(r, size);
    return (block){data, data == NULL ? 0 : size};
}

/* ---- records ---- */

typedef struct shape {
    int rank; /* QL_SKELETON_SCALAR */
    hsize_t extent[H5S_MAX_RANK];
    uint64_t points;
} shape;

static void get_shape(reader *r, shape *s)
{
    *s = (shape){.rank = (int)get_number(r, 1), .points = 1};
    if (s->rank == QL_SKELETON_SCALAR) return;
    if (s->rank > H5S_MAX_RANK) r->broken = true;
    for (int i = 0; !r->broken && i < s->rank; ++i) {
        s->extent[i] = get_number(r, 8);
        if (s->extent[i] > 0 && s->points > (uint64_t)INT64_MAX / 64 / s->extent[i]) r->broken = true;
        s->points *= s->extent[i];
    }
}

typedef struct filter {
    int32_t id;
    uint32_t flags;
    block values;
} filter;

enum { MOST_FILTERS = 16 };

typedef struct record {
    bool group, link;
    block path, type, target; /* target: of a link */
    shape space;
    int layout, filters;
    hsize_t chunk[H5S_MAX_RANK];
    filter filter[MOST_FILTERS];
    uint32_t attributes;
} record;

static void get_storage(reader *r, record *it)
{
    it->layout = (int)get_number(r, 1);
    for (int i = 0; it->layout == H5D_CHUNKED && i < it->space.rank && i < H5S_MAX_RANK; ++i)
        it->chunk[i] = get_number(r, 8);
    it->filters = (int)get_number(r, 1);
    if (it->filters > MOST_FILTERS) r->broken = true;
    for (int i = 0; !r->broken && i < it->filters; ++i) {
        it->filter[i].id = (int32_t)get_number(r, 4);
        it->filter[i].flags = (uint32_t)get_number(r, 4);
        it->filter[i].values = get_block(r);
    }
}

static void get_record(reader *r, record *it)
{
    uint64_t kind = get_number(r, 1);
    *it = (record){.group = kind == 'G', .link = kind == 'L'};
    if (kind != 'G' && kind != 'D' && kind != 'L') r->broken = true;
    it->path = get_block(r);
    if (it->link) it->target = get_block(r);
    if (it->path.size >= PATH || it->target.size >= PATH) r->broken = true;
    if (it->link) return;
    if (!it->group) {
        it->type = get_block(r);
        get_shape(r, &it->space);
        get_storage(r, it);
    }
    it->attributes = (uint32_t)get_number(r, 4);
}

typedef struct attribute {
    block name, type, value;
    shape space;
} attribute;

static void get_attribute(reader *r, attribute *it)
{
    it->name = get_block(r);
    it->type = get_block(r);
    get_shape(r, &it->space);
    it->value = get_block(r);
    if (it->name.size >= 256) r->broken = true;
}

/* ---- what datasets there are ---- */

static ql_status take_array(ql_skeleton_array *array, const record *it)
{
    hid_t type = it->type.size > 0 ? H5Tdecode(it->type.data) : -1;
    size_t size = type < 0 ? 0 : H5Tget_size(type);
    if (type >= 0) (void)H5Tclose(type);
    if (size == 0) return QL_H5_FAIL(FORMAT, "the type of a dataset is damaged");
    bool flat = it->space.rank == QL_SKELETON_SCALAR || it->space.rank == 0;
    int64_t rows = flat ? 1 : (int64_t)it->space.extent[0];
    *array = (ql_skeleton_array){.path = (const char *)it->path.data,
                                 .path_length = it->path.size,
                                 .type = it->type.data,
                                 .type_length = it->type.size,
                                 .element_bytes = size,
                                 .rows = rows,
                                 .width = 1,
                                 .deflated = it->layout == H5D_COMPACT};
    for (int i = 1; !flat && i < it->space.rank; ++i) array->width *= (int64_t)it->space.extent[i];
    for (int i = 0; i < it->filters; ++i)
        if (it->filter[i].id == H5Z_FILTER_DEFLATE) array->deflated = true;
    return QL_OK;
}

static ql_status parse(ql_skeleton *skeleton)
{
    reader r = {skeleton->bytes, skeleton->bytes + skeleton->size, false};
    for (int pass = 0; pass < 2; ++pass) { /* count, then take */
        int count = 0;
        r.at = skeleton->bytes;
        while (r.at < r.end && !r.broken) {
            record it;
            attribute a;
            get_record(&r, &it);
            for (uint32_t i = 0; i < it.attributes && !r.broken; ++i) get_attribute(&r, &a);
            if (r.broken || it.group || it.link) continue;
            if (pass == 1) QL_TRY(take_array(&skeleton->arrays[count], &it));
            ++count;
        }
        if (r.broken) return QL_FAIL(FORMAT, "the skeleton of a file is damaged");
        if (pass == 0) QL_TRY(QL_TAKE(skeleton->arrays, count));
        skeleton->count = count;
    }
    return QL_OK;
}

ql_status ql_skeleton_parse(ql_skeleton *skeleton, unsigned char *bytes, size_t size)
{
    *skeleton = (ql_skeleton){.bytes = bytes, .size = size};
    ql_status status = parse(skeleton);
    if (status != QL_OK) ql_skeleton_destroy(skeleton);
    return status;
}

/* ---- building ---- */

static hid_t make_space(const shape *s)
{
    if (s->rank == QL_SKELETON_SCALAR) return H5Screate(H5S_SCALAR);
    return H5Screate_simple(s->rank, s->extent, NULL);
}

static ql_status build_attribute(hid_t object, const attribute *it)
{
    char name[256] = "";
    memcpy(name, it->name.data, it->name.size);
    hid_t type = it->type.size > 0 ? H5Tdecode(it->type.data) : -1, space = make_space(&it->space), made = -1;
    herr_t done = -1;
    if (type >= 0 && space >= 0 && it->value.size == it->space.points * H5Tget_size(type))
        made = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (made >= 0) done = H5Awrite(made, type, it->value.data);
    if (made >= 0) (void)H5Aclose(made);
    if (type >= 0) (void)H5Tclose(type);
    if (space >= 0) (void)H5Sclose(space);
    return done < 0 ? QL_H5_FAIL(FORMAT, "attribute %s", name) : QL_OK;
}

static hid_t storage_list(const record *it)
{
    hid_t list = H5Pcreate(H5P_DATASET_CREATE);
    herr_t done = list < 0 || H5Pset_obj_track_times(list, false) < 0 ||
                          H5Pset_attr_phase_change(list, QL_H5_MOST_ATTRIBUTES, 0) < 0
                      ? -1
                      : 0;
    if (done >= 0)
        done = it->layout == H5D_CHUNKED ? H5Pset_chunk(list, it->space.rank, it->chunk)
                                         : H5Pset_layout(list, (H5D_layout_t)it->layout);
    for (int i = 0; done >= 0 && i < it->filters; ++i) {
        unsigned values[64] = {0};
        size_t count = it->filter[i].values.size / 4;
        reader r = {it->filter[i].values.data, it->filter[i].values.data + it->filter[i].values.size, false};
        if (count > 64) return H5Pclose(list), -1;
        for (size_t k = 0; k < count; ++k) values[k] = (unsigned)get_number(&r, 4);
        done = H5Pset_filter(list, it->filter[i].id, it->filter[i].flags, count, values);
    }
    if (done >= 0) return list;
    if (list >= 0) (void)H5Pclose(list);
    return -1;
}

static ql_status build_dataset(hid_t file, const char *path, const record *it, const void *data, hid_t *dataset)
{
    hid_t type = H5Tdecode(it->type.data), space = make_space(&it->space), storage = storage_list(it);
    herr_t done = -1;
    *dataset = -1;
    if (type >= 0 && space >= 0 && storage >= 0)
        *dataset = H5Dcreate2(file, path, type, space, H5P_DEFAULT, storage, H5P_DEFAULT);
    if (*dataset >= 0) done = 0;
    if (done >= 0 && it->space.points > 0) done = H5Dwrite(*dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    if (type >= 0) (void)H5Tclose(type);
    if (space >= 0) (void)H5Sclose(space);
    if (storage >= 0) (void)H5Pclose(storage);
    return done < 0 ? QL_H5_FAIL(FORMAT, "building dataset %s", path) : QL_OK;
}

static ql_status build_link(hid_t file, const char *path, const record *it)
{
    char target[PATH] = "";
    memcpy(target, it->target.data, it->target.size);
    if (H5Lcreate_hard(file, target, file, path, H5P_DEFAULT, H5P_DEFAULT) >= 0) return QL_OK;
    return QL_H5_FAIL(FORMAT, "building a link to /%s", target);
}

ql_status ql_skeleton_build(const ql_skeleton *skeleton, hid_t file, const void *const *data)
{
    reader r = {skeleton->bytes, skeleton->bytes + skeleton->size, false};
    int next = 0;
    while (r.at < r.end && !r.broken) {
        record it;
        attribute a;
        char path[PATH] = "";
        hid_t object = -1;
        ql_status status = QL_OK;
        get_record(&r, &it);
        if (r.broken) break;
        memcpy(path, it.path.data, it.path.size);
        if (it.link)
            status = build_link(file, path, &it);
        else if (!it.group)
            status = build_dataset(file, path, &it, data[next++], &object);
        else if (path[0] == '\0')
            object = H5Gopen2(file, "/", H5P_DEFAULT);
        else
            status = ql_h5_group(file, path, &object);
        for (uint32_t i = 0; status == QL_OK && i < it.attributes && !r.broken; ++i) {
            get_attribute(&r, &a);
            if (!r.broken) status = build_attribute(object, &a);
        }
        if (object >= 0) (void)H5Oclose(object);
        QL_TRY(QL_CHAIN(status, "/%s", path));
    }
    return r.broken ? QL_FAIL(FORMAT, "the skeleton of a file is damaged") : QL_OK;
}

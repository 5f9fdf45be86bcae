/* Reading and checking HDF5 files (see h5.h). Sizes that a file claims are held against its length before
 * memory is taken. */
#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "store/h5_common.h"

#include <limits.h>
#include <string.h>

ql_status ql_h5_open(const char *path, hid_t *file)
{
    *file = -1;
    if (!ql_path_exists(path)) return QL_FAIL(IO, "%s: no such file", path);
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access < 0) return QL_H5_FAIL(INTERNAL, "HDF5: no access list");
#if H5_VERSION_GE(1, 10, 7) /* finished files never change, and many parallel file systems have no locks */
    (void)H5Pset_file_locking(access, false, true);
#endif
    *file = H5Fopen(path, H5F_ACC_RDONLY, access);
    (void)H5Pclose(access);
    return *file < 0 ? QL_H5_FAIL(FORMAT, "%s: not an HDF5 file, or damaged or cut off", path) : QL_OK;
}

bool ql_h5_has(hid_t where, const char *path)
{
    char part[256];
    size_t length = strlen(path);
    if (length >= sizeof part) return false;
    for (size_t end = 1; end <= length; ++end) {
        if (path[end] != '/' && path[end] != '\0') continue;
        memcpy(part, path, end);
        part[end] = '\0';
        htri_t there = H5Lexists(where, part, H5P_DEFAULT);
        if (there <= 0) {
            (void)H5Eclear2(H5E_DEFAULT);
            return false;
        }
    }
    return true;
}

/* ---- datasets ---- */

typedef struct opened {
    hid_t dataset, type; /* type: of the values in memory */
    hsize_t shape[2];
    int rank;
    size_t count, bytes; /* of all values */
} opened;

static void close_dataset(opened *it)
{
    if (it->type >= 0) (void)H5Tclose(it->type);
    if (it->dataset >= 0) (void)H5Dclose(it->dataset);
}

/* A damaged shape must not ask for more than the stored bytes can hold (deflate packs at most 1032 to 1). */
static ql_status check_size(const opened *it, const char *name)
{
    enum { MOST_PACKED = 1100, COMPACT_LIMIT = 65536 };
    hsize_t stored = H5Dget_storage_size(it->dataset);
    if (it->bytes > COMPACT_LIMIT && it->bytes / MOST_PACKED > stored)
        return QL_FAIL(FORMAT, "%s: claims %zu bytes, but only %llu are stored", name, it->bytes,
                       (unsigned long long)stored);
    return QL_OK;
}

static ql_status take_shape(opened *it, const char *name)
{
    hid_t space = H5Dget_space(it->dataset);
    it->rank = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    bool known = it->rank >= 1 && it->rank <= 2 && H5Sget_simple_extent_dims(space, it->shape, NULL) >= 0;
    if (space >= 0) (void)H5Sclose(space);
    if (!known) return QL_H5_FAIL(FORMAT, "%s: has neither one nor two dimensions", name);
    size_t size = H5Tget_size(it->type);
    if (__builtin_mul_overflow((size_t)it->shape[0], it->rank == 2 ? (size_t)it->shape[1] : 1, &it->count) ||
        __builtin_mul_overflow(it->count, size, &it->bytes) || it->bytes > (size_t)PTRDIFF_MAX)
        return QL_FAIL(FORMAT, "%s: its shape is impossibly large", name);
    return check_size(it, name);
}

static ql_status open_dataset(opened *it, hid_t where, const char *name)
{
    *it = (opened){.dataset = -1, .type = -1, .shape = {0, 1}};
    it->dataset = H5Dopen2(where, name, H5P_DEFAULT);
    if (it->dataset < 0) return QL_H5_FAIL(FORMAT, "%s: missing or damaged", name);
    hid_t stored = H5Dget_type(it->dataset);
    it->type = stored < 0 ? -1 : H5Tget_native_type(stored, H5T_DIR_ASCEND);
    if (stored >= 0) (void)H5Tclose(stored);
    if (it->type < 0) return QL_H5_FAIL(FORMAT, "%s: unknown type of values", name);
    return take_shape(it, name);
}

/* Reads all values and compares with the hash that the dataset carries. */
static ql_status read_checked(const opened *it, const char *name, void *data)
{
    if (it->count > 0 && H5Dread(it->dataset, it->type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        return QL_H5_FAIL(FORMAT, "%s: its values are damaged", name);
    uint64_t kept, hash = ql_hash_bytes(data, it->bytes, 0);
    bool found;
    QL_TRY(ql_h5_get_uint(it->dataset, "xxh64", &kept, &found));
    if (!found) return QL_FAIL(FORMAT, "%s: carries no checksum", name);
    if (kept != hash)
        return QL_FAIL(FORMAT, "%s: its values are damaged (XXH64 %016llx, should be %016llx)", name,
                       (unsigned long long)hash, (unsigned long long)kept);
    return QL_OK;
}

/* `expected` = -1 accepts anything; columns 0: one dimension. */
static ql_status check_shape(const opened *it, const char *name, int64_t rows, int64_t columns)
{
    int64_t have_rows = (int64_t)it->shape[0], have_columns = it->rank == 2 ? (int64_t)it->shape[1] : 0;
    if ((rows >= 0 && rows != have_rows) || (columns >= 0 && columns != have_columns))
        return QL_FAIL(FORMAT, "%s: is %lld x %lld, expected %lld x %lld", name, (long long)have_rows,
                       (long long)have_columns, (long long)rows, (long long)columns);
    return QL_OK;
}

static ql_status open_array(opened *it, hid_t where, const char *name, ql_h5_type type, int64_t rows, int64_t columns)
{
    QL_TRY(open_dataset(it, where, name));
    if (H5Tequal(it->type, ql_h5_native(type)) <= 0) return QL_H5_FAIL(FORMAT, "%s: wrong type of values", name);
    return check_shape(it, name, rows, columns);
}

ql_status ql_h5_read_array(hid_t where, const char *name, ql_h5_type type, int64_t *rows, int64_t *columns, void **data)
{
    opened it;
    *data = NULL;
    ql_status status = open_array(&it, where, name, type, *rows, *columns);
    if (status == QL_OK) {
        *data = ql_memory_take(it.count, ql_h5_type_size(type));
        if (*data == NULL) status = QL_FAIL(NO_MEMORY, "%s: no memory for %zu bytes", name, it.bytes);
    }
    if (status == QL_OK) status = read_checked(&it, name, *data);
    if (status == QL_OK) {
        *rows = (int64_t)it.shape[0];
        *columns = it.rank == 2 ? (int64_t)it.shape[1] : 0;
    } else {
        ql_free(*data);
        *data = NULL;
    }
    close_dataset(&it);
    return status;
}

ql_status ql_h5_read_into(hid_t where, const char *name, ql_h5_type type, int64_t rows, int64_t columns, void *data)
{
    opened it;
    ql_status status = open_array(&it, where, name, type, rows, columns);
    if (status == QL_OK) status = read_checked(&it, name, data);
    close_dataset(&it);
    return status;
}

ql_status ql_h5_read_table(hid_t where, const char *name, int columns, const char *(*column_name)(int), int64_t *rows,
                           double **values)
{
    opened it;
    *values = NULL;
    hid_t type = ql_h5_table_type(columns, column_name);
    ql_status status = type < 0 ? QL_H5_FAIL(INTERNAL, "type of table %s", name) : open_dataset(&it, where, name);
    if (type < 0) return status;
    if (status == QL_OK && H5Tequal(it.type, type) <= 0)
        status = QL_FAIL(FORMAT, "%s: its columns are not those of this version", name);
    if (status == QL_OK) status = check_shape(&it, name, -1, 0);
    if (status == QL_OK) status = QL_TAKE(*values, it.bytes / sizeof **values);
    if (status == QL_OK) status = read_checked(&it, name, *values);
    if (status == QL_OK) {
        *rows = (int64_t)it.shape[0];
    } else {
        ql_free(*values);
        *values = NULL;
    }
    close_dataset(&it);
    (void)H5Tclose(type);
    return status;
}

/* ---- attributes ---- */

/* Opens an attribute of the wanted class (or any number for H5T_FLOAT); *attribute < 0 when it is not there.
 */
static ql_status open_attribute(hid_t object, const char *name, H5T_class_t wanted, hid_t *attribute, hid_t *type)
{
    *attribute = *type = -1;
    htri_t there = H5Aexists(object, name);
    if (there < 0) return QL_H5_FAIL(FORMAT, "attribute %s: damaged", name);
    if (there == 0) return QL_OK;
    *attribute = H5Aopen(object, name, H5P_DEFAULT);
    *type = *attribute < 0 ? -1 : H5Aget_type(*attribute);
    H5T_class_t kind = *type < 0 ? H5T_NO_CLASS : H5Tget_class(*type);
    hid_t space = *type < 0 ? -1 : H5Aget_space(*attribute);
    bool scalar = space >= 0 && H5Sget_simple_extent_npoints(space) == 1;
    if (space >= 0) (void)H5Sclose(space);
    if (scalar && (kind == wanted || (wanted == H5T_FLOAT && kind == H5T_INTEGER))) return QL_OK;
    ql_status status = QL_H5_FAIL(FORMAT, "attribute %s: damaged or of another kind", name);
    if (*type >= 0) (void)H5Tclose(*type);
    if (*attribute >= 0) (void)H5Aclose(*attribute);
    *attribute = *type = -1;
    return status;
}

static ql_status get_number(hid_t object, const char *name, H5T_class_t wanted, hid_t memory, void *value, bool *found)
{
    hid_t attribute, type;
    *found = false;
    QL_TRY(open_attribute(object, name, wanted, &attribute, &type));
    if (attribute < 0) return QL_OK;
    ql_status status =
        H5Aread(attribute, memory, value) < 0 ? QL_H5_FAIL(FORMAT, "attribute %s: damaged", name) : QL_OK;
    *found = status == QL_OK;
    (void)H5Tclose(type);
    (void)H5Aclose(attribute);
    return status;
}

ql_status ql_h5_get_int(hid_t object, const char *name, int64_t *value, bool *found)
{
    return get_number(object, name, H5T_INTEGER, H5T_NATIVE_INT64, value, found);
}

ql_status ql_h5_get_uint(hid_t object, const char *name, uint64_t *value, bool *found)
{
    return get_number(object, name, H5T_INTEGER, H5T_NATIVE_UINT64, value, found);
}

ql_status ql_h5_get_real(hid_t object, const char *name, double *value, bool *found)
{
    return get_number(object, name, H5T_FLOAT, H5T_NATIVE_DOUBLE, value, found);
}

/* The text of an open attribute of fixed length, a new block. */
static ql_status read_text(hid_t attribute, hid_t type, const char *name, char **text)
{
    size_t size = H5Tget_size(type);
    *text = NULL;
    if (H5Tis_variable_str(type) != 0 || size == 0)
        return QL_FAIL(FORMAT, "attribute %s: not a text of fixed length", name);
    QL_TRY(QL_TAKE(*text, size + 1));
    if (H5Aread(attribute, type, *text) >= 0) return QL_OK;
    ql_free(*text);
    *text = NULL;
    return QL_H5_FAIL(FORMAT, "attribute %s: damaged", name);
}

ql_status ql_h5_get_text(hid_t object, const char *name, char *value, size_t size, bool *found)
{
    hid_t attribute, type;
    char *text;
    *found = false;
    QL_TRY(open_attribute(object, name, H5T_STRING, &attribute, &type));
    if (attribute < 0) return QL_OK;
    ql_status status = read_text(attribute, type, name, &text);
    if (status == QL_OK) {
        (void)snprintf(value, size, "%s", text);
        ql_free(text);
        *found = true;
    }
    (void)H5Tclose(type);
    (void)H5Aclose(attribute);
    return status;
}

typedef struct fact_walk {
    ql_provenance *facts;
    ql_status status;
} fact_walk;

static ql_status take_fact(hid_t object, const char *name, ql_provenance *facts)
{
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT), type = attribute < 0 ? -1 : H5Aget_type(attribute);
    H5T_class_t kind = type < 0 ? H5T_NO_CLASS : H5Tget_class(type);
    ql_status status = QL_OK;
    bool found;
    int64_t integer;
    double real;
    char *text;
    if (kind == H5T_STRING && (status = read_text(attribute, type, name, &text)) == QL_OK) {
        status = ql_provenance_text(facts, name, text);
        ql_free(text);
    } else if (kind == H5T_INTEGER && (status = ql_h5_get_int(object, name, &integer, &found)) == QL_OK) {
        status = ql_provenance_int(facts, name, integer);
    } else if (kind == H5T_FLOAT && (status = ql_h5_get_real(object, name, &real, &found)) == QL_OK) {
        status = ql_provenance_real(facts, name, real);
    } else if (kind == H5T_NO_CLASS) {
        status = QL_H5_FAIL(FORMAT, "attribute %s: damaged", name);
    }
    if (type >= 0) (void)H5Tclose(type);
    if (attribute >= 0) (void)H5Aclose(attribute);
    return status;
}

static herr_t visit_fact(hid_t object, const char *name, const H5A_info_t *info, void *udata)
{
    fact_walk *walk = udata;
    (void)info;
    walk->status = take_fact(object, name, walk->facts);
    return walk->status == QL_OK ? 0 : -1;
}

ql_status ql_h5_get_facts(hid_t where, const char *group, ql_provenance *facts)
{
    hid_t object = H5Oopen(where, group, H5P_DEFAULT);
    if (object < 0) return QL_H5_FAIL(FORMAT, "%s: missing or damaged", group);
    fact_walk walk = {facts, QL_OK};
    herr_t walked = H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_NATIVE, NULL, visit_fact, &walk);
    ql_status status = walk.status;
    if (walked < 0 && status == QL_OK) status = QL_H5_FAIL(FORMAT, "%s: its attributes are damaged", group);
    (void)H5Oclose(object);
    (void)H5Eclear2(H5E_DEFAULT);
    return QL_CHAIN(status, "%s", group);
}

/* ---- all datasets ---- */

typedef struct check_walk {
    ql_h5_finding *found;
    void *context;
    ql_status status;
} check_walk;

static ql_status check_dataset(hid_t where, const char *name)
{
    opened it;
    void *data = NULL;
    ql_status status = open_dataset(&it, where, name);
    if (status == QL_OK && H5Tdetect_class(it.type, H5T_VLEN) > 0)
        status = QL_FAIL(FORMAT, "%s: unexpected type of values", name);
    if (status == QL_OK && (data = ql_memory_take(it.bytes, 1)) == NULL)
        status = QL_FAIL(NO_MEMORY, "%s: no memory for %zu bytes", name, it.bytes);
    if (status == QL_OK) status = read_checked(&it, name, data);
    ql_free(data);
    close_dataset(&it);
    return status;
}

static herr_t visit_link(hid_t where, const char *name, const H5L_info_t *info, void *udata)
{
    check_walk *walk = udata;
    char path[256];
    if (info->type != H5L_TYPE_HARD) return 0;
    (void)snprintf(path, sizeof path, "/%s", name);
    hid_t object = H5Oopen(where, path, H5P_DEFAULT);
    H5I_type_t kind = object < 0 ? H5I_BADID : H5Iget_type(object);
    ql_status status = object < 0 ? QL_H5_FAIL(FORMAT, "%s: damaged", path) : QL_OK;
    if (object >= 0) (void)H5Oclose(object);
    if (kind == H5I_DATASET) status = check_dataset(where, path);
    if (status == QL_STATUS_NO_MEMORY) {
        walk->status = status;
        return -1;
    }
    if (status != QL_OK) walk->found(walk->context, ql_error_text());
    return 0;
}

ql_status ql_h5_check_all(hid_t where, ql_h5_finding *found, void *context)
{
    check_walk walk = {found, context, QL_OK};
    if (H5Lvisit(where, H5_INDEX_NAME, H5_ITER_NATIVE, visit_link, &walk) >= 0 || walk.status != QL_OK)
        return walk.status;
    (void)QL_H5_FAIL(FORMAT, "/: its groups are damaged");
    found(context, ql_error_text());
    return QL_OK;
}

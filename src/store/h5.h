/* HDF5 as the store uses it; private to src/store.
 *
 * Writing: a file is built in memory (core driver) and leaves in one sequential write, so a full disk or a
 * crash never meets libhdf5 half way, and parallel file systems see one stream. Format bounds are those of
 * HDF5 1.8: every reader since 2008 opens it, and object headers carry checksums. Locking: HDF5 is not
 * thread-safe. Public functions of the store hold ql_h5_lock from first to last HDF5 call; functions here
 * expect it held. Errors: HDF5's own printing is off; its innermost message goes into the text of the status.
 */
#ifndef QL_STORE_H5_H
#define QL_STORE_H5_H

#include "base/provenance.h"
#include "base/status.h"

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

void ql_h5_lock(void);
void ql_h5_unlock(void);

/* Fails with the text and HDF5's innermost message; empties HDF5's error stack. */
ql_status ql_h5_error(ql_status status, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
#define QL_H5_FAIL(code, ...) ql_h5_error(QL_STATUS_##code, __FILE__, __LINE__, __VA_ARGS__)

typedef enum ql_h5_type { QL_H5_F32, QL_H5_F64, QL_H5_I8, QL_H5_U8, QL_H5_I32, QL_H5_I64 } ql_h5_type;
size_t ql_h5_type_size(ql_h5_type type);

typedef enum ql_h5_storage {
    QL_H5_RAW,    /* contiguous; for large arrays that are read at once and whose hash is checked */
    QL_H5_SUMMED, /* chunked, fletcher32 */
    QL_H5_PACKED  /* chunked, shuffle, deflate, fletcher32 */
} ql_h5_storage;

/* An array to write: rows x columns, columns = 0 for one dimension. */
typedef struct ql_h5_array {
    const char *name; /* path below `where`; its groups are made */
    ql_h5_type type;
    int64_t rows, columns;
    const void *data;
    const char *units, *long_name;
    ql_h5_storage storage;
} ql_h5_array;

/* ---- writing ---- */
typedef struct ql_h5_image {
    hid_t file;
    void *bytes;
    size_t size;
} ql_h5_image;

/* `expected_bytes`: a guess of the size, so that memory is taken once. */
ql_status ql_h5_image_create(ql_h5_image *image, size_t expected_bytes);
/* Closes HDF5's side; image->bytes, image->size are the file. */
ql_status ql_h5_image_close(ql_h5_image *image);
void ql_h5_image_destroy(ql_h5_image *image);

ql_status ql_h5_write_array(hid_t where, const ql_h5_array *array);
/* Texts of one length, padded with zeros. */
ql_status ql_h5_write_texts(hid_t where, const char *name, const char *texts, size_t stride, int64_t count,
                            const char *units, const char *long_name);
/* A table of doubles whose columns have names and units: compound, one member per column. */
ql_status ql_h5_write_table(hid_t where, const char *name, const double *values, int64_t rows, int columns,
                            const char *(*column_name)(int), const char *(*column_unit)(int), const char *long_name,
                            ql_h5_storage storage);

ql_status ql_h5_group(hid_t where, const char *name, hid_t *group); /* makes it, parents too */
ql_status ql_h5_put_text(hid_t object, const char *name, const char *value);
ql_status ql_h5_put_int(hid_t object, const char *name, int64_t value);
ql_status ql_h5_put_uint(hid_t object, const char *name, uint64_t value);
ql_status ql_h5_put_real(hid_t object, const char *name, double value);
ql_status ql_h5_put_facts(hid_t object, const char *prefix, const ql_provenance *facts);

/* ---- reading ---- */
ql_status ql_h5_open(const char *path, hid_t *file);
bool ql_h5_has(hid_t where, const char *path); /* every part of the path is there */

/* Reads a whole array into a new block (ql_free), converting to `type`. rows and columns: expected, or -1 to
 * be told; columns = 0 expects one dimension. Checks the hash that the array carries. */
ql_status ql_h5_read_array(hid_t where, const char *name, ql_h5_type type, int64_t *rows, int64_t *columns,
                           void **data);
/* The same into memory of the caller. */
ql_status ql_h5_read_into(hid_t where, const char *name, ql_h5_type type, int64_t rows, int64_t columns, void *data);
ql_status ql_h5_read_table(hid_t where, const char *name, int columns, const char *(*column_name)(int), int64_t *rows,
                           double **values);

/* Attributes; *found tells whether it is there (an attribute of another kind is an error). */
ql_status ql_h5_get_text(hid_t object, const char *name, char *value, size_t size, bool *found);
ql_status ql_h5_get_int(hid_t object, const char *name, int64_t *value, bool *found);
ql_status ql_h5_get_uint(hid_t object, const char *name, uint64_t *value, bool *found);
ql_status ql_h5_get_real(hid_t object, const char *name, double *value, bool *found);
ql_status ql_h5_get_facts(hid_t where, const char *group, ql_provenance *facts);

/* Checks every dataset below `where`: readable, and its values have the hash that it carries. `found` gets a
 * line for each that does not. */
typedef void ql_h5_finding(void *context, const char *problem); /* "/field/theta: its values are damaged" */
ql_status ql_h5_check_all(hid_t where, ql_h5_finding *found, void *context);

#endif

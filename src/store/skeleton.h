/* What an HDF5 file is besides the values of its datasets: groups, attributes, types, shapes, storage; as bytes, from which
 * the same file can be built again. For files of this program: an object may have several names (hard links), but other links
 * and values of variable length are refused. Private to src/store; the lock of h5.h is held by the caller.
 *
 * Bytes, little-endian, one record per name, those of a group in descending order; text and blocks are preceded by their
 * length (u32):
 *   group    'G' path attributes          dataset  'D' path type shape storage attributes          further name   'L' path path
 *   attributes: count (u32), each name type shape block      type: as H5Tencode      shape: rank (u8, 255 = scalar), u64 each
 *   storage: layout (u8), chunk (u64 per dimension if chunked), count of filters (u8), each id (i32) flags (u32) values (block)
 */
#ifndef QL_STORE_SKELETON_H
#define QL_STORE_SKELETON_H

#include "store/h5.h"

/* A dataset of a skeleton; `path` and `type` point into its bytes. */
typedef struct ql_skeleton_array {
    const char *path; /* below "/", not ended by a zero */
    size_t path_length;
    const unsigned char *type; /* encoded */
    size_t type_length, element_bytes;
    int64_t rows, width; /* first dimension; product of the others. A scalar is 1 x 1 */
    bool deflated;       /* worth it: large arrays that do not compress are contiguous in a result */
} ql_skeleton_array;

typedef struct ql_skeleton {
    unsigned char *bytes;
    size_t size;
    ql_skeleton_array *arrays;
    int count;
} ql_skeleton;

static inline size_t ql_skeleton_array_bytes(const ql_skeleton_array *array)
{
    return (size_t)array->rows * (size_t)array->width * array->element_bytes;
}

ql_status ql_skeleton_read(ql_skeleton *skeleton, hid_t file);
/* Takes `bytes` over, also when it fails (QL_STATUS_FORMAT: damaged). */
ql_status ql_skeleton_parse(ql_skeleton *skeleton, unsigned char *bytes, size_t size);
void ql_skeleton_destroy(ql_skeleton *skeleton); /* NULL-safe */

/* The values of a dataset as they are in the file (no conversion of types). */
ql_status ql_skeleton_read_array(hid_t file, const ql_skeleton_array *array, void *data);

/* Everything into an empty file; data[i] are the values of arrays[i]. */
ql_status ql_skeleton_build(const ql_skeleton *skeleton, hid_t file, const void *const *data);

#endif

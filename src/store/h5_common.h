/* What reading and writing HDF5 share; private to the h5_*.c files. */
#ifndef QL_STORE_H5_COMMON_H
#define QL_STORE_H5_COMMON_H

#include "store/h5.h"

/* Attributes stay inside the object header, under its checksum, however many there are. */
enum { QL_H5_MOST_ATTRIBUTES = 4096 };

hid_t ql_h5_native(ql_h5_type type);

/* Text types (UTF-8): ended by a zero within `size`, or padded with zeros to exactly `size`. */
hid_t ql_h5_text_type(size_t size);
hid_t ql_h5_padded_text_type(size_t size);

/* Compound of doubles, packed; the memory of a row-major table as it is. */
hid_t ql_h5_table_type(int columns, const char *(*column_name)(int));

#endif

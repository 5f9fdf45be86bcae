/* The lock, error texts and types of HDF5 (see h5.h). */
#include "store/h5.h"

#include "store/h5_common.h"
#include "store/store.h"

#include <assert.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static pthread_mutex_t the_lock = PTHREAD_MUTEX_INITIALIZER;

void ql_h5_lock(void)
{
    (void)pthread_mutex_lock(&the_lock);
    (void)H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* per thread in thread-safe builds, so each time */
}

void ql_h5_unlock(void) { (void)pthread_mutex_unlock(&the_lock); }

/* Upward from the innermost: the first one is the cause. */
static herr_t take_innermost(unsigned n, const H5E_error2_t *error, void *udata)
{
    if (n == 0) (void)snprintf(udata, 256, "%s", error->desc != NULL ? error->desc : "");
    return 0;
}

ql_status ql_h5_error(ql_status status, const char *file, int line, const char *format, ...)
{
    char text[1024], cause[256] = "";
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_innermost, cause);
    (void)H5Eclear2(H5E_DEFAULT);
    if (cause[0] == '\0') return ql_error_set(status, file, line, "%s", text);
    return ql_error_set(status, file, line, "%s (HDF5: %s)", text, cause);
}

size_t ql_h5_type_size(ql_h5_type type)
{
    static const size_t sizes[] = {4, 8, 1, 1, 4, 8};
    return sizes[type];
}

hid_t ql_h5_native(ql_h5_type type)
{
    switch (type) {
    case QL_H5_F32: return H5T_NATIVE_FLOAT;
    case QL_H5_F64: return H5T_NATIVE_DOUBLE;
    case QL_H5_I8: return H5T_NATIVE_INT8;
    case QL_H5_U8: return H5T_NATIVE_UINT8;
    case QL_H5_I32: return H5T_NATIVE_INT32;
    default: return H5T_NATIVE_INT64;
    }
}

static hid_t text_type(size_t size, H5T_str_t padding)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 &&
        (H5Tset_size(type, size) < 0 || H5Tset_strpad(type, padding) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0)) {
        (void)H5Tclose(type);
        type = -1;
    }
    return type;
}

hid_t ql_h5_text_type(size_t size) { return text_type(size, H5T_STR_NULLTERM); }

hid_t ql_h5_padded_text_type(size_t size) { return text_type(size, H5T_STR_NULLPAD); }

hid_t ql_h5_table_type(int columns, const char *(*column_name)(int))
{
    hid_t type = H5Tcreate(H5T_COMPOUND, (size_t)columns * sizeof(double));
    for (int c = 0; type >= 0 && c < columns; ++c)
        if (H5Tinsert(type, column_name(c), (size_t)c * sizeof(double), H5T_NATIVE_DOUBLE) < 0) {
            (void)H5Tclose(type);
            return -1;
        }
    return type;
}

const char *ql_store_hdf5_version(void)
{
    static char text[32];
    unsigned major = 0, minor = 0, release = 0;
    ql_h5_lock();
    if (H5get_libversion(&major, &minor, &release) >= 0 && text[0] == '\0')
        (void)snprintf(text, sizeof text, "%u.%u.%u", major, minor, release);
    ql_h5_unlock();
    return text;
}

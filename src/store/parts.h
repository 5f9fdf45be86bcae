/* Parts that several kinds of files have; private to src/store. The lock of h5.h is held by the caller. */
#ifndef QL_STORE_PARTS_H
#define QL_STORE_PARTS_H

#include "base/options.h"
#include "store/h5.h"
#include "store/summary.h"

/* All options as text attributes PREFIXtrain.steps, ... of a group (made when it is not there). */
ql_status ql_part_put_options(hid_t file, const char *group, const char *prefix, const ql_options *options);

/* The columns of a row that are known, as attributes; and back. */
ql_status ql_part_put_summary(hid_t object, const ql_summary *row);
ql_status ql_part_get_summary(hid_t object, ql_summary *row);

/* /table of many rows: one dataset per column. */
ql_status ql_part_put_table(hid_t file, const ql_summary *rows, int64_t count);

#endif

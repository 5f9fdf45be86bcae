/* Between the pack*.c files only: the index of a pack. */
#ifndef QL_STORE_PACK_INDEX_H
#define QL_STORE_PACK_INDEX_H

#include "store/pack_file.h"

/* /index, /table and what makes FILE a pack, into a file that has its datasets. With the lock of h5.h held. */
ql_status ql_pack_write_index(const char *path, const ql_pack_layout *layout, const int64_t *hashes,
                              const ql_summary *rows);

/* The layout of a pack (takes the lock). QL_STATUS_FORMAT: not a pack, or damaged. */
ql_status ql_pack_read_index(ql_pack_layout *layout, const char *path);

#endif

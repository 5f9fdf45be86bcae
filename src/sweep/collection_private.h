/* Between collection.c and collection_yaml.c only. */
#ifndef QL_SWEEP_COLLECTION_PRIVATE_H
#define QL_SWEEP_COLLECTION_PRIVATE_H

#include "base/file.h"
#include "sweep/collection.h"

/* Appends what `input` stands for, every mesh with the options `set` ("key=value" lines). */
ql_status ql_collection_add_input(ql_collection *collection, const char *input, const char *set, int nesting);
ql_status ql_collection_add_yaml(ql_collection *collection, const char *path, int nesting);
ql_status ql_collection_beside(char out[QL_PATH_SIZE], const char *file, const char *name);

#endif

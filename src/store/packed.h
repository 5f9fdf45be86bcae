/* RUN_DIR/packed.txt: which meshes' result files were removed after they were packed, and where they are: "ID PATH" lines. */
#ifndef QL_STORE_PACKED_H
#define QL_STORE_PACKED_H

#include "store/summary.h"

#include <stdbool.h>

typedef struct ql_packed_mesh {
    char id[QL_ID_SIZE];
    const char *path; /* of the pack */
} ql_packed_mesh;

typedef struct ql_packed {
    int64_t count;
    ql_packed_mesh *meshes; /* sorted by id */
    char *text;             /* holds the paths */
} ql_packed;

/* Nothing when there is no such file. */
ql_status ql_packed_read(ql_packed *packed, const char *run_directory);
const ql_packed_mesh *ql_packed_find(const ql_packed *packed, const char *id); /* NULL: not packed */
void ql_packed_destroy(ql_packed *packed);                                     /* NULL-safe */

/* Notes ids (sorted texts of `stride` bytes each), in place of former notes of theirs. */
ql_status ql_packed_add(const char *run_directory, const char *path, const char *ids, size_t stride, int64_t count);

#endif

/* Between the pack_*.c files only. The lock of h5.h is held by the caller of everything that takes an hid_t or an open pack. */
#ifndef QL_STORE_PACK_FILE_H
#define QL_STORE_PACK_FILE_H

#include "store/pack.h"
#include "store/skeleton.h"

enum { QL_PACK_NAME = 512, QL_PACK_SKELETON = 0 /* the first column */ };

/* A dataset below /data. The type is encoded as in a skeleton. */
typedef struct ql_pack_column {
    char name[QL_PACK_NAME]; /* PATH or PATH~2 */
    unsigned char type[4096];
    uint32_t type_length;
    int64_t width;
    size_t element_bytes;
    bool deflated;
    int64_t rows; /* of all meshes */
} ql_pack_column;

/* Which rows of which columns a mesh has. */
typedef struct ql_pack_layout {
    int64_t meshes;
    int columns;
    char (*ids)[QL_ID_SIZE]; /* sorted */
    ql_pack_column *column;
    int64_t *rows; /* meshes x columns */
} ql_pack_layout;

void ql_pack_layout_destroy(ql_pack_layout *layout);
size_t ql_pack_bytes_of(const ql_pack_layout *layout, int64_t mesh);
size_t ql_pack_row_bytes(const ql_pack_column *column);

/* Column of a skeleton's array in mesh `mesh`; -1: none (an array without rows has none). */
int ql_pack_find_column(const ql_pack_layout *layout, const ql_skeleton_array *array);

/* Collective: the layout of all results of a run directory. */
ql_status ql_pack_survey(ql_pack_layout *layout, const char *run_directory, ql_comm *comm);

/* Meshes [*from, *to) of [first, last) that are rank's, by bytes. */
void ql_pack_share(const ql_pack_layout *layout, int64_t first, int64_t last, int rank, int size, int64_t *from,
                   int64_t *to);

/* Collective: FILE.partial from mesh *done on, as far as the state file tells; *done returns how far it got. */
ql_status ql_pack_write(const ql_pack_layout *layout, const ql_pack_request *request, ql_comm *comm,
                        int64_t *resumed_at);

/* An open pack. */
typedef struct ql_pack_reader {
    hid_t file, data;
    const ql_pack_layout *layout;
    hid_t *dataset; /* of each column, -1 = none */
    int64_t *start; /* of each column: first row of mesh `at` */
    int64_t at;
} ql_pack_reader;

ql_status ql_pack_reader_open(ql_pack_reader *reader, const char *path, const ql_pack_layout *layout);
void ql_pack_reader_close(ql_pack_reader *reader);

/* A mesh taken apart: its skeleton and the values of its arrays. */
typedef struct ql_pack_mesh {
    ql_skeleton skeleton;
    void **data;
} ql_pack_mesh;

/* From the pack (meshes in any order; ascending is fast), and from a result file. */
ql_status ql_pack_mesh_read(ql_pack_mesh *mesh, ql_pack_reader *reader, int64_t index);
ql_status ql_pack_mesh_take(ql_pack_mesh *mesh, const char *result_path);
void ql_pack_mesh_destroy(ql_pack_mesh *mesh);
uint64_t ql_pack_mesh_hash(const ql_pack_mesh *mesh);

#endif

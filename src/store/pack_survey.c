/* What a pack will be made of: the columns of all result files and each mesh's rows in them (see pack.h). */
#include "base/memory.h"
#include "store/pack_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_COLUMNS = 1024 };

void ql_pack_layout_destroy(ql_pack_layout *layout)
{
    if (layout == NULL) return;
    ql_free(layout->ids);
    ql_free(layout->column);
    ql_free(layout->rows);
    *layout = (ql_pack_layout){0};
}

size_t ql_pack_row_bytes(const ql_pack_column *column) { return (size_t)column->width * column->element_bytes; }

size_t ql_pack_bytes_of(const ql_pack_layout *layout, int64_t mesh)
{
    const int64_t *rows = layout->rows + mesh * layout->columns;
    size_t bytes = 0;
    for (int c = 0; c < layout->columns; ++c) bytes += (size_t)rows[c] * ql_pack_row_bytes(&layout->column[c]);
    return bytes;
}

/* ---- columns ---- */

static int compare_columns(const void *a, const void *b)
{
    const ql_pack_column *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    if (order == 0 && x->type_length != y->type_length) order = x->type_length < y->type_length ? -1 : 1;
    if (order == 0) order = memcmp(x->type, y->type, x->type_length);
    if (order == 0) order = (x->width > y->width) - (x->width < y->width);
    return order;
}

/* What an array needs; names are not made different yet. */
static ql_status column_of(ql_pack_column *column, const ql_skeleton_array *array)
{
    if (array->path_length + 8 > QL_PACK_NAME || array->type_length > sizeof column->type)
        return QL_FAIL(FORMAT, "a dataset's name or type is too long to be packed");
    *column = (ql_pack_column){.type_length = (uint32_t)array->type_length,
                               .width = array->width,
                               .element_bytes = array->element_bytes,
                               .deflated = array->deflated};
    memcpy(column->name, array->path, array->path_length);
    memcpy(column->type, array->type, array->type_length);
    return QL_OK;
}

static ql_status add_column(ql_pack_layout *layout, const ql_pack_column *column, int *index)
{
    for (*index = 0; *index < layout->columns; ++*index)
        if (compare_columns(&layout->column[*index], column) == 0) {
            layout->column[*index].deflated = layout->column[*index].deflated || column->deflated;
            return QL_OK;
        }
    if (layout->columns == MOST_COLUMNS) return QL_FAIL(FORMAT, "more than %d kinds of datasets", (int)MOST_COLUMNS);
    layout->column[layout->columns++] = *column;
    return QL_OK;
}

/* Length of a column's name without its "~2". */
static size_t base_length(const char *name) { return strcspn(name, "~"); }

int ql_pack_find_column(const ql_pack_layout *layout, const ql_skeleton_array *array)
{
    for (int c = 0; c < layout->columns && array->rows > 0; ++c) {
        const ql_pack_column *column = &layout->column[c];
        if (base_length(column->name) == array->path_length && column->width == array->width &&
            column->type_length == array->type_length && memcmp(column->name, array->path, array->path_length) == 0 &&
            memcmp(column->type, array->type, array->type_length) == 0)
            return c;
    }
    return -1;
}

/* "PATH", "PATH~2", ... in the sorted list. The skeleton's column comes first. */
static void name_columns(ql_pack_layout *layout)
{
    qsort(layout->column + 1, (size_t)layout->columns - 1, sizeof *layout->column, compare_columns);
    for (int c = layout->columns - 1, first; c > 0; c = first - 1) {
        first = c;
        while (first > 1 && strcmp(layout->column[first - 1].name, layout->column[c].name) == 0) --first;
        for (int k = first + 1; k <= c; ++k) {
            char *name = layout->column[k].name;
            (void)snprintf(name + strlen(name), 8, "~%d", (k - first + 1) % 1000);
        }
    }
}

static ql_status skeleton_column(ql_pack_column *column)
{
    size_t size = sizeof column->type;
    *column = (ql_pack_column){.name = "skeleton", .width = 1, .element_bytes = 1, .deflated = true};
    if (H5Tencode(H5T_STD_U8LE, column->type, &size) < 0) return QL_H5_FAIL(INTERNAL, "type of bytes");
    column->type_length = (uint32_t)size;
    return QL_OK;
}

/* ---- scan ---- */

/* A rank's meshes: their arrays' columns in the rank's own numbering. */
typedef struct scan {
    ql_pack_layout own; /* only columns */
    int64_t count, room;
    struct entry {
        int64_t mesh, rows;
        int column;
    } * entries;
} scan;

static ql_status note(scan *s, int64_t mesh, int column, int64_t rows)
{
    if (s->count == s->room) {
        int64_t larger = s->room > 0 ? 2 * s->room : 1024;
        struct entry *grown = ql_memory_resize(s->entries, (size_t)larger, sizeof *grown);
        if (grown == NULL) return QL_FAIL(NO_MEMORY, "no memory for %lld datasets", (long long)larger);
        s->entries = grown;
        s->room = larger;
    }
    s->entries[s->count++] = (struct entry){mesh, rows, column};
    return QL_OK;
}

static ql_status scan_skeleton(scan *s, int64_t mesh, const ql_skeleton *skeleton)
{
    ql_pack_column *column;
    QL_TRY(QL_TAKE(column, 1));
    ql_status status = note(s, mesh, QL_PACK_SKELETON, (int64_t)skeleton->size);
    for (int i = 0, index; status == QL_OK && i < skeleton->count; ++i) {
        if (skeleton->arrays[i].rows == 0 || skeleton->arrays[i].width == 0) continue;
        status = column_of(column, &skeleton->arrays[i]);
        if (status == QL_OK) status = add_column(&s->own, column, &index);
        if (status == QL_OK) status = note(s, mesh, index, skeleton->arrays[i].rows);
    }
    ql_free(column);
    return status;
}

static ql_status scan_own(scan *s, const ql_pack_layout *layout, const char *run_directory, const ql_comm *comm)
{
    QL_TRY(QL_TAKE(s->own.column, MOST_COLUMNS));
    QL_TRY(skeleton_column(&s->own.column[QL_PACK_SKELETON]));
    s->own.columns = 1;
    for (int64_t i = comm->rank; i < layout->meshes; i += comm->size) {
        char path[QL_PATH_SIZE];
        ql_skeleton skeleton;
        hid_t file;
        QL_TRY(ql_rundir_path(path, run_directory, QL_RUN_RESULT, layout->ids[i]));
        QL_TRY(ql_h5_open(path, &file));
        ql_status status = ql_skeleton_read(&skeleton, file);
        (void)H5Fclose(file);
        if (status == QL_OK) status = scan_skeleton(s, i, &skeleton);
        ql_skeleton_destroy(&skeleton);
        QL_TRY(QL_CHAIN(status, "%s", path));
    }
    return QL_OK;
}

/* Collective: the columns of all ranks, the same everywhere whatever the number of ranks. */
static ql_status merge_columns(ql_pack_layout *layout, const scan *s, ql_comm *comm)
{
    ql_pack_column *theirs;
    ql_status status = QL_TAKE(theirs, MOST_COLUMNS);
    if (status == QL_OK) status = QL_TAKE(layout->column, MOST_COLUMNS);
    status = ql_comm_agree(comm, status);
    for (int rank = 0; status == QL_OK && rank < comm->size; ++rank) {
        int32_t count = rank == comm->rank ? s->own.columns : 0;
        status = comm->kind->broadcast(comm, &count, sizeof count, rank);
        if (status == QL_OK && rank == comm->rank) memcpy(theirs, s->own.column, (size_t)count * sizeof *theirs);
        if (status == QL_OK) status = ql_comm_broadcast(comm, theirs, (size_t)count * sizeof *theirs, rank);
        for (int c = 0, index; status == QL_OK && c < count; ++c) status = add_column(layout, &theirs[c], &index);
    }
    ql_free(theirs);
    if (status == QL_OK) name_columns(layout);
    return status;
}

/* Columns of the rank's numbering in the common one. */
static void fill_rows(ql_pack_layout *layout, const scan *s)
{
    int common[MOST_COLUMNS] = {0};
    for (int c = 0; c < s->own.columns; ++c) {
        const ql_pack_column *own = &s->own.column[c];
        ql_skeleton_array array = {.path = own->name,
                                   .path_length = strlen(own->name),
                                   .type = own->type,
                                   .type_length = own->type_length,
                                   .rows = 1,
                                   .width = own->width};
        common[c] = ql_pack_find_column(layout, &array);
    }
    for (int64_t e = 0; e < s->count; ++e)
        layout->rows[s->entries[e].mesh * layout->columns + common[s->entries[e].column]] += s->entries[e].rows;
}

static ql_status join(ql_pack_layout *layout, const scan *s, ql_comm *comm)
{
    QL_TRY(merge_columns(layout, s, comm));
    int64_t cells = layout->meshes * layout->columns;
    ql_status status = cells > INT32_MAX ? QL_FAIL(USAGE, "too many meshes for one file") : QL_OK;
    if (status == QL_OK) status = QL_TAKE(layout->rows, cells);
    QL_TRY(ql_comm_agree(comm, status));
    fill_rows(layout, s);
    QL_TRY(ql_comm_sum(comm, layout->rows, (int)cells, QL_NUMBER_INT64));
    for (int64_t i = 0; i < layout->meshes; ++i)
        for (int c = 0; c < layout->columns; ++c) layout->column[c].rows += layout->rows[i * layout->columns + c];
    return QL_OK;
}

/* Collective: rank 0's list of the finished meshes. */
static ql_status list_meshes(ql_pack_layout *layout, const char *run_directory, ql_comm *comm)
{
    ql_listing listing = {0};
    ql_status status = comm->rank == 0 ? ql_rundir_check(run_directory) : QL_OK;
    if (status == QL_OK && comm->rank == 0) status = ql_listing_read(&listing, run_directory);
    int64_t count = 0;
    for (int64_t i = 0; i < listing.count; ++i) count += listing.meshes[i].finished && !listing.meshes[i].packed;
    if (status == QL_OK && comm->rank == 0 && count == 0)
        status = QL_FAIL(USAGE, "%s: no finished mesh in meshes/ to pack", run_directory);
    status = ql_comm_agree(comm, status);
    if (status == QL_OK) status = comm->kind->broadcast(comm, &count, sizeof count, 0);
    if (status == QL_OK) status = ql_comm_agree(comm, QL_TAKE(layout->ids, count));
    layout->meshes = count;
    for (int64_t i = 0, at = 0; status == QL_OK && i < listing.count; ++i)
        if (listing.meshes[i].finished && !listing.meshes[i].packed)
            (void)snprintf(layout->ids[at++], QL_ID_SIZE, "%s", listing.meshes[i].id);
    ql_listing_destroy(&listing);
    QL_TRY(status);
    return ql_comm_broadcast(comm, layout->ids, (size_t)count * sizeof *layout->ids, 0);
}

ql_status ql_pack_survey(ql_pack_layout *layout, const char *run_directory, ql_comm *comm)
{
    scan s = {0};
    *layout = (ql_pack_layout){0};
    ql_status status = list_meshes(layout, run_directory, comm);
    if (status == QL_OK) {
        ql_h5_lock();
        status = ql_comm_agree(comm, scan_own(&s, layout, run_directory, comm));
        ql_h5_unlock();
    }
    if (status == QL_OK) status = join(layout, &s, comm);
    ql_pack_layout_destroy(&s.own);
    ql_free(s.entries);
    if (status != QL_OK) ql_pack_layout_destroy(layout);
    return status;
}

void ql_pack_share(const ql_pack_layout *layout, int64_t first, int64_t last, int rank, int size, int64_t *from,
                   int64_t *to)
{
    double all = 0, before = 0;
    for (int64_t i = first; i < last; ++i) all += (double)ql_pack_bytes_of(layout, i);
    *from = *to = first;
    for (int64_t i = first; i < last; ++i) {
        int owner = all > 0 ? (int)(before / all * size) : 0;
        if (owner < rank) *from = i + 1;
        if (owner <= rank) *to = i + 1;
        before += (double)ql_pack_bytes_of(layout, i);
    }
}

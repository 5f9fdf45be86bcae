/* Who is finished, failed, unfinished in a run directory, and the rows of all (see rundir.h). */
#include "store/rundir.h"

#include "base/memory.h"
#include "store/checkpoint.h"
#include "store/pack.h"
#include "store/packed.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum found_in { IN_MESHES, IN_FAILURES, IN_CHECKPOINTS, IN_PACK } found_in;

typedef struct id_list {
    ql_listed_mesh *items;
    size_t count, capacity;
} id_list;

static ql_status append(id_list *list, const char *name, size_t length, found_in where)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity > 0 ? 2 * list->capacity : 256;
        ql_listed_mesh *grown = ql_memory_resize(list->items, capacity, sizeof *grown);
        if (grown == NULL) return QL_FAIL(NO_MEMORY, "no memory for a list of %zu meshes", capacity);
        list->items = grown;
        list->capacity = capacity;
    }
    ql_listed_mesh *item = &list->items[list->count++];
    *item = (ql_listed_mesh){.finished = where == IN_MESHES || where == IN_PACK,
                             .failed = where == IN_FAILURES,
                             .checkpointed = where == IN_CHECKPOINTS,
                             .packed = where == IN_PACK};
    memcpy(item->id, name, length);
    item->id[length] = '\0';
    return QL_OK;
}

static bool is_part(const char *name) { return strlen(name) == 2 && strspn(name, "0123456789abcdef") == 2; }

/* Names "ID" + ending in a folder and, in a wide run, the folders in it. Temporary files end otherwise. */
static ql_status list_folder(id_list *list, const char *run_directory, const char *folder, const char *ending,
                             found_in where)
{
    char path[QL_PATH_SIZE];
    QL_TRY(ql_path_join(path, run_directory, folder));
    DIR *listing = opendir(path);
    if (listing == NULL) return QL_FAIL(IO, "%s: %s", path, strerror(errno));
    ql_status status = QL_OK;
    struct dirent *entry;
    size_t tail = strlen(ending);
    while (status == QL_OK && (entry = readdir(listing)) != NULL) {
        size_t length = strlen(entry->d_name);
        if (is_part(entry->d_name)) status = list_folder(list, path, entry->d_name, ending, where);
        if (length <= tail || length - tail >= QL_ID_SIZE || entry->d_name[0] == '.') continue;
        if (strcmp(entry->d_name + length - tail, ending) == 0)
            status = append(list, entry->d_name, length - tail, where);
    }
    (void)closedir(listing);
    return status;
}

static ql_status list_packed(id_list *list, const char *run_directory)
{
    ql_packed packed;
    QL_TRY(ql_packed_read(&packed, run_directory));
    ql_status status = QL_OK;
    for (int64_t i = 0; status == QL_OK && i < packed.count; ++i)
        status = append(list, packed.meshes[i].id, strlen(packed.meshes[i].id), IN_PACK);
    ql_packed_destroy(&packed);
    return status;
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(((const ql_listed_mesh *)a)->id, ((const ql_listed_mesh *)b)->id);
}

/* Sorted, one entry per id, counted. */
static void merge(ql_listing *listing, id_list *list)
{
    size_t kept = 0;
    if (list->count > 0) qsort(list->items, list->count, sizeof *list->items, compare_ids);
    for (size_t i = 0; i < list->count; ++i) {
        ql_listed_mesh *last = kept > 0 ? &list->items[kept - 1] : NULL;
        const ql_listed_mesh *item = &list->items[i];
        if (last != NULL && strcmp(last->id, item->id) == 0) {
            /* packed means that no file says it is finished */
            last->packed = (last->packed && !(item->finished && !item->packed)) ||
                           (item->packed && !(last->finished && !last->packed));
            last->finished |= item->finished;
            last->failed |= item->failed;
            last->checkpointed |= item->checkpointed;
        } else {
            list->items[kept++] = *item;
        }
    }
    *listing = (ql_listing){.count = (int64_t)kept, .meshes = list->items};
    for (size_t i = 0; i < kept; ++i) {
        const ql_listed_mesh *item = &list->items[i];
        listing->finished += item->finished;
        listing->failed += !item->finished && item->failed;
        listing->unfinished += !item->finished && !item->failed;
    }
}

ql_status ql_listing_read(ql_listing *listing, const char *run_directory)
{
    id_list list = {0};
    *listing = (ql_listing){0};
    ql_status status = list_folder(&list, run_directory, "meshes", ".h5", IN_MESHES);
    if (status == QL_OK) status = list_folder(&list, run_directory, "failures", ".json", IN_FAILURES);
    if (status == QL_OK) status = list_folder(&list, run_directory, "checkpoints", ".h5", IN_CHECKPOINTS);
    if (status == QL_OK) status = list_folder(&list, run_directory, "checkpoints", ".h5.previous", IN_CHECKPOINTS);
    if (status == QL_OK) status = list_packed(&list, run_directory);
    if (status == QL_OK)
        merge(listing, &list);
    else
        ql_free(list.items);
    return status;
}

const ql_listed_mesh *ql_listing_find(const ql_listing *listing, const char *id)
{
    ql_listed_mesh key = {.finished = false};
    (void)snprintf(key.id, sizeof key.id, "%s", id);
    if (listing->count == 0) return NULL;
    return bsearch(&key, listing->meshes, (size_t)listing->count, sizeof key, compare_ids);
}

void ql_listing_destroy(ql_listing *listing)
{
    if (listing == NULL) return;
    ql_free(listing->meshes);
    *listing = (ql_listing){0};
}

/* ---- rows ---- */

static void put(char *to, const char *text) { (void)snprintf(to, QL_SUMMARY_TEXT, "%.*s", QL_SUMMARY_TEXT - 1, text); }

static ql_status finished_row(ql_summary *row, const char *run_directory, const char *id)
{
    char path[QL_PATH_SIZE];
    QL_TRY(ql_rundir_path(path, run_directory, QL_RUN_RESULT, id));
    ql_status status = ql_summary_read(row, path);
    if (status == QL_STATUS_NO_MEMORY) return status;
    if (status == QL_OK) return QL_OK;
    ql_summary_init(row);
    put(row->status, "failed");
    put(row->stage, "store");
    put(row->reason, ql_error_text());
    return QL_OK;
}

static ql_status failed_row(ql_summary *row, const char *run_directory, const char *id)
{
    char path[QL_PATH_SIZE];
    ql_failure *failure;
    QL_TRY(ql_rundir_path(path, run_directory, QL_RUN_FAILURE, id));
    QL_TRY(QL_TAKE(failure, 1));
    if (ql_failure_read(failure, path) != QL_OK) put(failure->reason, ql_error_text());
    put(row->name, failure->name);
    put(row->status, "failed");
    put(row->stage, failure->stage);
    put(row->reason, failure->reason);
    put(row->input, failure->input);
    put(row->date, failure->date);
    row->attempts = failure->attempts;
    row->steps = failure->step;
    if (failure->faces > 0) row->faces = failure->faces;
    if (failure->vertices > 0) row->vertices = failure->vertices;
    ql_free(failure);
    return QL_OK;
}

static ql_status unfinished_row(ql_summary *row, const char *run_directory, const char *id)
{
    char path[QL_PATH_SIZE];
    ql_checkpoint_head head;
    put(row->status, "unfinished");
    QL_TRY(ql_rundir_path(path, run_directory, QL_RUN_CHECKPOINT, id));
    if (ql_checkpoint_read_head(&head, path) == QL_OK) {
        row->steps = head.step;
        row->train_s = head.seconds;
    } else {
        put(row->reason, ql_error_text());
    }
    return QL_OK;
}

static ql_status row_of(ql_summary *row, const char *run_directory, const ql_listed_mesh *mesh)
{
    ql_status status;
    ql_summary_init(row);
    if (mesh->packed)
        status = QL_OK; /* packed_rows */
    else if (mesh->finished)
        status = finished_row(row, run_directory, mesh->id);
    else if (mesh->failed)
        status = failed_row(row, run_directory, mesh->id);
    else
        status = unfinished_row(row, run_directory, mesh->id);
    put(row->mesh, mesh->id); /* its file's name, whatever is in the file */
    return status;
}

/* ---- rows of packed meshes ---- */

static int compare_row(const void *id, const void *row) { return strcmp(id, ((const ql_summary *)row)->mesh); }

/* Every pack is read once; a row that cannot be had says why. */
static ql_status packed_rows(ql_summary *rows, const ql_listing *listing, const char *run_directory)
{
    ql_packed packed;
    QL_TRY(ql_packed_read(&packed, run_directory));
    ql_summary *theirs = NULL;
    int64_t count = 0;
    const char *open = "";
    for (int64_t i = 0; i < listing->count; ++i) {
        const ql_packed_mesh *mesh = listing->meshes[i].packed ? ql_packed_find(&packed, listing->meshes[i].id) : NULL;
        if (mesh == NULL) continue;
        if (strcmp(open, mesh->path) != 0) {
            ql_free(theirs);
            open = mesh->path;
            if (ql_pack_rows(open, &theirs, &count) != QL_OK) put(rows[i].reason, ql_error_text());
        }
        const ql_summary *row =
            theirs == NULL ? NULL : bsearch(mesh->id, theirs, (size_t)count, sizeof *theirs, compare_row);
        if (row != NULL) {
            rows[i] = *row;
        } else {
            put(rows[i].status, "failed");
            put(rows[i].stage, "store");
            if (rows[i].reason[0] == '\0') (void)snprintf(rows[i].reason, QL_SUMMARY_TEXT, "not in %.480s", mesh->path);
        }
    }
    ql_free(theirs);
    ql_packed_destroy(&packed);
    return QL_OK;
}

static ql_status rows_of_listing(const char *run_directory, const ql_listing *listing, ql_summary **rows,
                                 int64_t *count)
{
    ql_status status = QL_TAKE(*rows, listing->count);
    for (int64_t i = 0; i < listing->count && status == QL_OK; ++i)
        status = row_of(&(*rows)[i], run_directory, &listing->meshes[i]);
    if (status == QL_OK) status = packed_rows(*rows, listing, run_directory);
    if (status == QL_OK) {
        *count = listing->count;
    } else {
        ql_free(*rows);
        *rows = NULL;
    }
    return status;
}

ql_status ql_rundir_rows(const char *run_directory, ql_summary **rows, int64_t *count)
{
    ql_listing listing;
    *rows = NULL;
    *count = 0;
    QL_TRY(ql_listing_read(&listing, run_directory));
    ql_status status = rows_of_listing(run_directory, &listing, rows, count);
    ql_listing_destroy(&listing);
    return status;
}

/* Keeps what both lists have, both sorted. */
static void keep_ids(ql_listing *listing, const char *const *ids, int64_t id_count)
{
    int64_t kept = 0;
    for (int64_t i = 0, k = 0; i < listing->count; ++i) {
        while (k < id_count && strcmp(ids[k], listing->meshes[i].id) < 0) ++k;
        if (k < id_count && strcmp(ids[k], listing->meshes[i].id) == 0) listing->meshes[kept++] = listing->meshes[i];
    }
    listing->count = kept;
}

ql_status ql_rundir_rows_of(const char *run_directory, const char *const *ids, int64_t id_count, ql_summary **rows,
                            int64_t *count)
{
    ql_listing listing;
    *rows = NULL;
    *count = 0;
    QL_TRY(ql_listing_read(&listing, run_directory));
    keep_ids(&listing, ids, id_count);
    ql_status status = rows_of_listing(run_directory, &listing, rows, count);
    ql_listing_destroy(&listing);
    return status;
}

ql_status ql_rundir_write_rows(const char *run_directory, const ql_summary *rows, int64_t count)
{
    char path[QL_PATH_SIZE];
    QL_TRY(ql_rundir_path(path, run_directory, QL_RUN_SUMMARY, NULL));
    QL_TRY(ql_summary_write_csv(path, rows, count));
    QL_TRY(ql_rundir_path(path, run_directory, QL_RUN_INDEX, NULL));
    return ql_summary_write_index(path, rows, count);
}

ql_status ql_rundir_write_summary(const char *run_directory)
{
    ql_summary *rows;
    int64_t count;
    QL_TRY(ql_rundir_rows(run_directory, &rows, &count));
    ql_status status = ql_rundir_write_rows(run_directory, rows, count);
    ql_free(rows);
    return status;
}

/* Expanding the user's inputs into a list of mesh files (see collection.h; the YAML form is in
 * collection_yaml.c). */
#include "sweep/collection.h"

#include "base/file.h"
#include "base/memory.h"
#include "mesh/mesh.h"
#include "sweep/collection_private.h"

#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { NESTING_MAX = 8 };

void ql_collection_destroy(ql_collection *collection)
{
    if (collection == NULL) return;
    for (int64_t i = 0; i < collection->count; ++i) {
        ql_free(collection->items[i].path);
        ql_free(collection->items[i].set);
    }
    ql_free(collection->items);
    *collection = (ql_collection){0};
}

static ql_status append(ql_collection *collection, const char *path, const char *set, int64_t bytes)
{
    if (collection->count == collection->capacity) {
        int64_t larger = collection->capacity == 0 ? 64 : 2 * collection->capacity;
        ql_collection_item *grown = ql_memory_resize(collection->items, (size_t)larger, sizeof *grown);
        if (grown == NULL) return QL_FAIL(NO_MEMORY, "no memory for %lld meshes", (long long)larger);
        collection->items = grown;
        collection->capacity = larger;
    }
    ql_collection_item item = {ql_memory_string(path), ql_memory_string(set), bytes};
    if (item.path == NULL || item.set == NULL) {
        ql_free(item.path);
        ql_free(item.set);
        return QL_FAIL(NO_MEMORY, "no memory for the name of a mesh");
    }
    collection->items[collection->count++] = item;
    return QL_OK;
}

/* ---- folders ---- */

static int by_name(const FTSENT **a, const FTSENT **b) { return strcmp((*a)->fts_name, (*b)->fts_name); }

/* Results of an earlier run below an input folder are no inputs. */
static bool is_run_directory(const char *path)
{
    char part[QL_PATH_SIZE];
    return ql_path_join(part, path, "run.yaml") == QL_OK && ql_path_exists(part) &&
           ql_path_join(part, path, "meshes") == QL_OK && ql_path_is_directory(part);
}

static ql_status visit_entry(ql_collection *collection, FTS *walk, FTSENT *entry, const char *set)
{
    bool hidden = entry->fts_level > 0 && entry->fts_name[0] == '.';
    switch (entry->fts_info) {
    case FTS_D:
        if (hidden || is_run_directory(entry->fts_accpath)) (void)fts_set(walk, entry, FTS_SKIP);
        return QL_OK;
    case FTS_F:
        if (hidden || ql_mesh_is_readable_name(entry->fts_name) == 0) return QL_OK;
        return append(collection, entry->fts_path, set, (int64_t)entry->fts_statp->st_size);
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS: return QL_FAIL(USAGE, "%s: %s", entry->fts_path, strerror(entry->fts_errno));
    default: /* directories left, cycles, sockets, dangling links */ return QL_OK;
    }
}

static ql_status add_folder(ql_collection *collection, const char *path, const char *set)
{
    int64_t before = collection->count;
    size_t length = strlen(path);
    char *root = ql_memory_string(path);
    if (root == NULL) return QL_FAIL(NO_MEMORY, "no memory for a path");
    while (length > 1 && root[length - 1] == '/') root[--length] = '\0';
    char *roots[2] = {root, NULL};
    FTS *walk = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, by_name);
    ql_status status = QL_OK;
    if (walk == NULL) status = QL_FAIL(USAGE, "%s: %s", path, strerror(errno));
    while (status == QL_OK) {
        errno = 0;
        FTSENT *entry = fts_read(walk);
        if (entry == NULL) {
            if (errno != 0) status = QL_FAIL(USAGE, "%s: %s", path, strerror(errno));
            break;
        }
        status = visit_entry(collection, walk, entry, set);
    }
    if (walk != NULL) (void)fts_close(walk);
    ql_free(root);
    if (status == QL_OK && collection->count == before)
        return QL_FAIL(USAGE, "%s: no mesh in this folder or below; readable are .obj, .ply, .off and .stl", path);
    return status;
}

/* ---- list files ---- */

/* Path `name` as it counts from the folder of `file`. */
ql_status ql_collection_beside(char out[QL_PATH_SIZE], const char *file, const char *name)
{
    const char *slash = strrchr(file, '/');
    if (name[0] == '/' || slash == NULL) {
        if (snprintf(out, QL_PATH_SIZE, "%s", name) >= QL_PATH_SIZE)
            return QL_FAIL(USAGE, "%s: path is longer than %d bytes", name, QL_PATH_SIZE - 1);
        return QL_OK;
    }
    if (snprintf(out, QL_PATH_SIZE, "%.*s/%s", (int)(slash - file), file, name) >= QL_PATH_SIZE)
        return QL_FAIL(USAGE, "%s: path is longer than %d bytes", name, QL_PATH_SIZE - 1);
    return QL_OK;
}

static char *trim(char *line)
{
    line += strspn(line, " \t");
    size_t length = strlen(line);
    while (length > 0 && strchr(" \t\r", line[length - 1]) != NULL) line[--length] = '\0';
    return line;
}

static ql_status add_line(ql_collection *collection, const char *list, int64_t number, const char *line, int nesting)
{
    char path[QL_PATH_SIZE];
    bool is_list = line[0] == '@';
    ql_status status = ql_collection_beside(path, list, line + is_list);
    if (status == QL_OK) {
        char marked[QL_PATH_SIZE + 1];
        (void)snprintf(marked, sizeof marked, "%s%s", is_list ? "@" : "", path);
        status = ql_collection_add_input(collection, marked, "", nesting + 1);
    }
    return QL_CHAIN(status, "%s:%lld", list, (long long)number);
}

static ql_status add_list(ql_collection *collection, const char *path, int nesting)
{
    char *text = NULL;
    size_t size = 0;
    if (!ql_path_exists(path)) return QL_FAIL(USAGE, "%s: no such list file", path);
    QL_TRY(ql_file_read_whole(path, (size_t)1 << 30, &text, &size));
    ql_status status = QL_OK;
    int64_t before = collection->count, number = 0;
    for (char *at = text; status == QL_OK && at < text + size;) {
        char *end = memchr(at, '\n', (size_t)(text + size - at));
        char *next = end != NULL ? end + 1 : text + size;
        if (end != NULL) *end = '\0';
        char *line = trim(at);
        ++number;
        if (line[0] != '\0' && line[0] != '#') status = add_line(collection, path, number, line, nesting);
        at = next;
    }
    ql_free(text);
    if (status == QL_OK && collection->count == before)
        return QL_FAIL(USAGE, "%s: names no mesh; expected one path per line", path);
    return status;
}

/* ---- any input ---- */

static bool has_extension(const char *path, const char *extension)
{
    size_t length = strlen(path), tail = strlen(extension);
    return length > tail && strcmp(path + length - tail, extension) == 0;
}

ql_status ql_collection_add_input(ql_collection *collection, const char *input, const char *set, int nesting)
{
    struct stat info;
    if (nesting > NESTING_MAX) return QL_FAIL(USAGE, "%s: lists within lists, more than %d deep", input, NESTING_MAX);
    if (input[0] == '@') return add_list(collection, input + 1, nesting);
    if (stat(input, &info) != 0)
        return QL_FAIL(USAGE, "%s: %s", input,
                       errno == ENOENT ? "no such mesh, folder or collection" : strerror(errno));
    if (S_ISDIR(info.st_mode)) return add_folder(collection, input, set);
    if (!S_ISREG(info.st_mode)) return QL_FAIL(USAGE, "%s: neither a file nor a folder", input);
    if (has_extension(input, ".yaml") || has_extension(input, ".yml"))
        return ql_collection_add_yaml(collection, input, nesting);
    return append(collection, input, set, (int64_t)info.st_size);
}

/* Of entries that are the same file the first one stays, with the options of the last one that has any. */
typedef struct identity {
    dev_t device;
    ino_t inode;
    int64_t index;
} identity;

static int compare_identities(const void *a, const void *b)
{
    const identity *x = a, *y = b;
    if (x->device != y->device) return x->device < y->device ? -1 : 1;
    if (x->inode != y->inode) return x->inode < y->inode ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static void drop(ql_collection_item *item)
{
    ql_free(item->path);
    ql_free(item->set);
    *item = (ql_collection_item){0};
}

static void close_gaps(ql_collection *collection)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < collection->count; ++i)
        if (collection->items[i].path != NULL) collection->items[kept++] = collection->items[i];
    collection->count = kept;
}

static ql_status drop_repetitions(ql_collection *collection)
{
    identity *all;
    QL_TRY(QL_TAKE(all, collection->count));
    for (int64_t i = 0; i < collection->count; ++i) {
        struct stat info = {0};
        all[i].index = i;
        if (stat(collection->items[i].path, &info) != 0)
            info.st_ino = (ino_t)(i + 1); /* gone since; will be told when it is read */
        all[i].device = info.st_dev;
        all[i].inode = info.st_ino;
    }
    qsort(all, (size_t)collection->count, sizeof *all, compare_identities);
    int64_t first = 0;
    for (int64_t i = 1; i < collection->count; ++i) {
        bool same = all[i].device == all[first].device && all[i].inode == all[first].inode;
        if (!same) {
            first = i;
            continue;
        }
        ql_collection_item *kept = &collection->items[all[first].index], *again = &collection->items[all[i].index];
        if (again->set[0] != '\0') {
            char *set = kept->set;
            kept->set = again->set;
            again->set = set;
        }
        drop(again);
    }
    ql_free(all);
    close_gaps(collection);
    return QL_OK;
}

ql_status ql_collection_add(ql_collection *collection, const char *input)
{
    QL_TRY(ql_collection_add_input(collection, input, "", 0));
    return drop_repetitions(collection);
}

/* ---- shards ---- */

typedef struct sized {
    int64_t bytes, index;
} sized;

static int larger_first(const void *a, const void *b)
{
    const sized *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

ql_status ql_collection_keep_shard(ql_collection *collection, int64_t index, int64_t count)
{
    sized *order;
    QL_TRY(QL_TAKE(order, collection->count));
    for (int64_t i = 0; i < collection->count; ++i) order[i] = (sized){collection->items[i].bytes, i};
    qsort(order, (size_t)collection->count, sizeof *order, larger_first);
    for (int64_t i = 0; i < collection->count; ++i)
        if (i % count != index - 1) drop(&collection->items[order[i].index]);
    ql_free(order);
    close_gaps(collection);
    return QL_OK;
}

/* ---- to all ranks: "bytes NUL path NUL set NUL" per mesh ---- */

static ql_status pack(const ql_collection *collection, char **text, int64_t *size)
{
    size_t need = 0;
    for (int64_t i = 0; i < collection->count; ++i)
        need += 24 + strlen(collection->items[i].path) + strlen(collection->items[i].set);
    QL_TRY(QL_TAKE(*text, need + 1));
    size_t at = 0;
    for (int64_t i = 0; i < collection->count; ++i) {
        const ql_collection_item *item = &collection->items[i];
        int used = snprintf(*text + at, need + 1 - at, "%lld%c%s%c%s", (long long)item->bytes, '\0', item->path, '\0',
                            item->set);
        at += (size_t)used + 1;
    }
    *size = (int64_t)at;
    return QL_OK;
}

static ql_status unpack(ql_collection *collection, const char *text, int64_t size)
{
    for (const char *at = text; at < text + size;) {
        int64_t bytes = strtoll(at, NULL, 10);
        const char *path = at + strlen(at) + 1, *set = path + strlen(path) + 1;
        QL_TRY(append(collection, path, set, bytes));
        at = set + strlen(set) + 1;
    }
    return QL_OK;
}

ql_status ql_collection_broadcast(ql_collection *collection, ql_comm *comm)
{
    char *text = NULL;
    int64_t size = 0;
    if (comm->size == 1) return QL_OK;
    ql_status status = comm->rank == 0 ? pack(collection, &text, &size) : QL_OK;
    if (status != QL_OK) size = -1;
    QL_TRY(comm->kind->broadcast(comm, &size, sizeof size, 0));
    if (comm->rank != 0 && size >= 0) status = QL_TAKE(text, size + 1);
    status = ql_comm_agree(comm, status);
    const int64_t piece = 1 << 28;
    for (int64_t at = 0; status == QL_OK && at < size; at += piece)
        status = comm->kind->broadcast(comm, text + at, (size_t)(size - at < piece ? size - at : piece), 0);
    if (status == QL_OK && comm->rank != 0) status = unpack(collection, text, size);
    ql_free(text);
    return ql_comm_agree(comm, status);
}

/* ---- options of one mesh ---- */

ql_status ql_collection_item_options(const ql_collection_item *item, const ql_options *run, ql_options *options)
{
    *options = *run;
    for (const char *at = item->set; *at != '\0';) {
        size_t length = strcspn(at, "\n"), name_length = strcspn(at, "=");
        char name[QL_OPTION_TEXT], value[256];
        if (name_length >= sizeof name || length <= name_length || length - name_length > sizeof value)
            return QL_FAIL(CONFIG, "%s: option '%.*s' is too long", item->path, (int)length, at);
        (void)snprintf(name, sizeof name, "%.*s", (int)name_length, at);
        (void)snprintf(value, sizeof value, "%.*s", (int)(length - name_length - 1), at + name_length + 1);
        QL_TRY(ql_options_set_named(options, name, value, QL_SOURCE_YAML, item->path));
        at += length + (at[length] == '\n');
    }
    return QL_OK;
}

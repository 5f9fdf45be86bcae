/* The meshes of a run, as the user names them: files, folders, list files, collection files.
 *
 *   FILE          a mesh
 *   FOLDER        every readable mesh in it and below, sorted by path; hidden files and run directories are
 * left out
 *   @LIST         a text file with one of these per line; '#' begins a comment
 *   NAME.yaml     a collection: `meshes:` is a list of paths or patterns (*, ?, []), or of mappings `path:`
 * and `set:` with options for that mesh alone Relative paths in a list or collection count from its folder. A
 * file that is named twice is taken once.
 */
#ifndef QL_SWEEP_COLLECTION_H
#define QL_SWEEP_COLLECTION_H

#include "base/options.h"
#include "base/status.h"
#include "comm/comm.h"

#include <stdint.h>

typedef struct ql_collection_item {
    char *path;
    char *set;     /* "key=value" lines for this mesh alone, "" = none */
    int64_t bytes; /* size of the file */
} ql_collection_item;

typedef struct ql_collection {
    int64_t count, capacity;
    ql_collection_item *items; /* in the order in which the user named them */
} ql_collection;

/* Appends what `input` stands for. QL_STATUS_USAGE names an input that is not there or holds no mesh. */
ql_status ql_collection_add(ql_collection *collection, const char *input);
void ql_collection_destroy(ql_collection *collection); /* NULL-safe */

/* Collective: rank 0's collection to all. */
ql_status ql_collection_broadcast(ql_collection *collection, ql_comm *comm);

/* Keeps part `index` (from 1) of `count`: every count-th mesh in descending order of size, so that parts are
 * alike. The parts of all jobs together are the whole, whatever is finished already. */
ql_status ql_collection_keep_shard(ql_collection *collection, int64_t index, int64_t count);

/* Options of one mesh: those of the run with its own on top. */
ql_status ql_collection_item_options(const ql_collection_item *item, const ql_options *run, ql_options *options);

#endif

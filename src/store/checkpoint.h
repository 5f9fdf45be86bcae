/* A checkpoint: an unfinished mesh's parameters and Adam moments as they are in memory, contiguous and
 * uncompressed (random mantissas do not compress), each with its XXH64, and the history. */
#ifndef QL_STORE_CHECKPOINT_H
#define QL_STORE_CHECKPOINT_H

#include "base/options.h"
#include "base/provenance.h"
#include "train/train.h"

/* Replaces PATH atomically; the one before becomes PATH.previous. options and provenance (or NULL) are only
 * for readers. */
ql_status ql_checkpoint_write(const char *path, const ql_snapshot *snapshot, const ql_options *options,
                              const ql_provenance *provenance);

typedef struct ql_checkpoint_origin {
    bool previous;     /* PATH was damaged or missing, the one before was taken */
    char problem[512]; /* what was wrong with PATH, "" when nothing */
} ql_checkpoint_origin;

/* Whether there is anything to resume from. */
bool ql_checkpoint_exists(const char *path);

/* Reads PATH and checks every hash; when that fails, PATH.previous. `origin` (or NULL) tells; the caller
 * should warn. Both unusable: QL_STATUS_FORMAT, or QL_STATUS_IO when there is none. */
ql_status ql_checkpoint_read(ql_snapshot *snapshot, const char *path, ql_checkpoint_origin *origin);

/* Head of a checkpoint without the arrays, for status. */
typedef struct ql_checkpoint_head {
    int64_t step, steps; /* steps: train.steps as stored, 0 = unknown */
    double seconds;
    uint64_t mesh_hash, options_hash;
    ql_real_type type;
} ql_checkpoint_head;
ql_status ql_checkpoint_read_head(ql_checkpoint_head *head, const char *path);

/* Removes it with its predecessor and what else belongs to the unfinished mesh, when the mesh is finished. */
ql_status ql_checkpoint_remove(const char *path);

#endif

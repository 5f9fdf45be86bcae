/* The run directory: folders, names, failures, attempts, and who is finished.
 *
 *   run.yaml  meshes/ID.h5  quads/ID.obj  checkpoints/ID.h5 (.previous, .attempts)  events/RANK.jsonl  failures/ID.json
 *   summary.csv  index.h5  packed.txt                                                    ID = NAME-HASH8
 *
 * A run of more than QL_RUNDIR_NARROW meshes is wide: meshes/, quads/, checkpoints/ and failures/ have 256 folders, named by the
 * first two digits of HASH8: meshes/3f/NAME-3f01a2b4.h5. The folder meshes/00 tells that. A run that was begun narrow and
 * became wide keeps what it has where it is. */
#ifndef QL_STORE_RUNDIR_H
#define QL_STORE_RUNDIR_H

#include "base/file.h"
#include "base/options.h"
#include "mesh/mesh.h"
#include "store/summary.h"

typedef enum ql_run_part {
    QL_RUN_OPTIONS,    /* run.yaml */
    QL_RUN_SUMMARY,    /* summary.csv */
    QL_RUN_INDEX,      /* index.h5 */
    QL_RUN_RESULT,     /* meshes/ID.h5 */
    QL_RUN_QUADS,      /* quads/ID.obj */
    QL_RUN_CHECKPOINT, /* checkpoints/ID.h5 */
    QL_RUN_ATTEMPTS,   /* checkpoints/ID.attempts */
    QL_RUN_FAILURE     /* failures/ID.json */
} ql_run_part;

/* Makes the folders that are missing and sweeps stale temporary files of dead processes. Any number of ranks
 * may do so at the same time. */
ql_status ql_rundir_create(const char *run_directory);

/* Makes it wide, also one that has files already. */
enum { QL_RUNDIR_NARROW = 2000 };
ql_status ql_rundir_widen(const char *run_directory);

/* Whether it is one: QL_OK, or an error that says what is missing. */
ql_status ql_rundir_check(const char *run_directory);

/* Path of a part; id is ignored by the first three and may be NULL. */
ql_status ql_rundir_path(char out[QL_PATH_SIZE], const char *run_directory, ql_run_part part, const char *id);

/* Path of what lies beside a checkpoint: checkpoints/ID.SUFFIX. */
ql_status ql_rundir_side_path(char out[QL_PATH_SIZE], const char *run_directory, const char *id, const char *suffix);

/* NAME-HASH8: the mesh's name with everything but letters, digits, '.', '_', '-' and UTF-8 as '_', at most
 * 100 bytes, and the first 8 hexadecimal digits of its content hash. */
void ql_rundir_id(char id[QL_ID_SIZE], const ql_mesh *mesh);
void ql_rundir_id_of(char id[QL_ID_SIZE], const char *name, uint64_t hash);

/* run.yaml, with the source of each value. */
ql_status ql_rundir_write_options(const char *run_directory, const ql_options *options);

/* ---- failures ---- */
typedef struct ql_failure {
    char mesh[QL_ID_SIZE];
    char name[QL_SUMMARY_TEXT], input[QL_SUMMARY_TEXT];
    ql_status status;
    char stage[32];     /* read, check, prepare, train, quads, store, process */
    char reason[2048];  /* names the offending face or line */
    char remedy[512];   /* how to fix it */
    int64_t face, line; /* offending face (0-based) and line of the file (from 1); -1 = none */
    int64_t step, attempts, faces, vertices;
    char date[32], host[64], job[64]; /* filled by the writer */
} ql_failure;

void ql_failure_init(ql_failure *failure); /* empty, -1 */
ql_status ql_failure_write(const char *run_directory, const ql_failure *failure);
ql_status ql_failure_read(ql_failure *failure, const char *path);
ql_status ql_failure_remove(const char *run_directory, const char *id); /* fine when there is none */

/* ---- attempts: how often work on a mesh was begun and ended without a word (process killed) ---- */

/* Counts one more before the work starts and tells the count, 1 the first time. Progress resets it: when
 * `resume_step` is larger than at the attempt before, counting begins anew. */
ql_status ql_attempts_begin(const char *run_directory, const char *id, int64_t resume_step, int64_t *attempts);
/* Forgets the count: the mesh is finished, failed for a known reason, or was stopped in good order. */
ql_status ql_attempts_settle(const char *run_directory, const char *id);

/* ---- who is where ---- */
typedef struct ql_listed_mesh {
    char id[QL_ID_SIZE];
    bool finished, failed, checkpointed; /* which files there are */
    bool packed;                         /* finished, and its file only in a pack (packed.txt) */
} ql_listed_mesh;

typedef struct ql_listing {
    int64_t count, finished, failed, unfinished; /* each mesh once: finished before failed before checkpointed */
    ql_listed_mesh *meshes;                      /* sorted by id */
} ql_listing;

/* Directory listings and packed.txt; opens no other file. */
ql_status ql_listing_read(ql_listing *listing, const char *run_directory);
const ql_listed_mesh *ql_listing_find(const ql_listing *listing, const char *id); /* NULL: nothing there */
void ql_listing_destroy(ql_listing *listing);                                     /* NULL-safe */

/* Rows of all meshes of a run directory (results and failures; unfinished ones with id and status), sorted by
 * id. A result that cannot be read becomes a failed row that says so. ql_free(*rows). */
ql_status ql_rundir_rows(const char *run_directory, ql_summary **rows, int64_t *count);

/* The same of these meshes alone (sorted ids, each once), as far as there is anything of them: reads their files only. */
ql_status ql_rundir_rows_of(const char *run_directory, const char *const *ids, int64_t id_count, ql_summary **rows,
                            int64_t *count);

/* summary.csv and index.h5 from these rows; and from what the run directory holds. */
ql_status ql_rundir_write_rows(const char *run_directory, const ql_summary *rows, int64_t count);
ql_status ql_rundir_write_summary(const char *run_directory);

#endif

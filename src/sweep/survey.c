/* Survey and list of the work (see survey.h). */
#include "sweep/survey.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "engine/engine.h"
#include "mesh/seams.h"
#include "store/checkpoint.h"
#include "store/packed.h"
#include "store/rundir.h"
#include "sweep/signals.h"
#include "train/train.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SAMPLE = 1 << 20 };

/* ---- one mesh ---- */

/* A file that is no mesh is known by its beginning and its size. */
static void identify_bytes(ql_work *work, const ql_collection_item *item)
{
    uint64_t hash = ql_hash_bytes(&item->bytes, sizeof item->bytes, 0);
    FILE *file = fopen(item->path, "rbe");
    char *sample = ql_memory_take(SAMPLE, 1);
    if (file != NULL && sample != NULL) hash = ql_hash_bytes(sample, fread(sample, 1, SAMPLE, file), hash);
    if (file != NULL) (void)fclose(file);
    ql_free(sample);
    const char *name = ql_path_name(item->path);
    char stem[QL_ID_SIZE];
    (void)snprintf(stem, sizeof stem, "%.*s", (int)ql_path_stem_length(name), name);
    work->hash = hash;
    ql_rundir_id_of(work->id, stem, hash);
}

/* When a file was changed last; 0 = unknown. */
static int64_t changed_ns(const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0) return 0;
    return (int64_t)info.st_mtim.tv_sec * 1000000000 + info.st_mtim.tv_nsec;
}

/* As a former survey found it, when the file is still the same by size and time. */
static bool recall(ql_work *work, const ql_collection_item *item, const ql_survey_cache *cache)
{
    const struct ql_surveyed *known = ql_survey_cache_find(cache, item->path);
    work->changed_ns = changed_ns(item->path);
    if (known == NULL || known->bytes != item->bytes || known->changed_ns != work->changed_ns) return false;
    work->hash = known->hash;
    work->faces = known->faces;
    work->vertices = known->vertices;
    memcpy(work->id, known->id, sizeof work->id);
    return true;
}

static void identify(ql_work *work, const ql_collection_item *item, const ql_survey_cache *cache)
{
    ql_mesh mesh = {0};
    if (recall(work, item, cache)) return;
    if (ql_mesh_read_joined(&mesh, item->path) == QL_OK) {
        work->hash = mesh.hash;
        work->faces = mesh.face_count;
        work->vertices = mesh.vertex_count;
        ql_rundir_id(work->id, &mesh);
    } else {
        identify_bytes(work, item);
    }
    ql_mesh_destroy(&mesh);
    ql_error_clear();
}

/* Whether a finished mesh was made with the options of now; the row tells which engine made it. */
static ql_status check_finished(const char *path, const ql_options *options)
{
    ql_summary *row;
    char hash[32];
    QL_TRY(QL_TAKE(row, 1));
    ql_status status = ql_summary_read(row, path);
    if (status == QL_OK) {
        (void)snprintf(hash, sizeof hash, "%016" PRIx64, ql_train_options_hash(options, row->engine));
        if (row->options_hash[0] != '\0' && strcmp(row->options_hash, hash) != 0)
            status = QL_FAIL(CONFIG,
                             "%s was made with other options for this mesh than the collection has now; remove that "
                             "file to train it again, or use another run directory",
                             path);
    } else {
        status = QL_OK; /* damaged: `verify` tells; not a reason to stop */
    }
    ql_free(row);
    return status;
}

/* What the run directory tells without looking at each mesh. */
typedef struct run_state {
    const char *directory;
    ql_packed packed;
    ql_survey_cache cache;
} run_state;

/* A failure that time does not heal: the numbers broke down, or the process died too often. */
static bool will_fail_again(const char *run_directory, const ql_work *work)
{
    char path[QL_PATH_SIZE];
    ql_failure *failure = ql_memory_take(1, sizeof *failure);
    bool again = false;
    if (failure != NULL && ql_rundir_path(path, run_directory, QL_RUN_FAILURE, work->id) == QL_OK &&
        ql_path_exists(path) && ql_failure_read(failure, path) == QL_OK)
        again = strcmp(failure->stage, "process") == 0 || strcmp(failure->stage, "quads") == 0 ||
                failure->status == QL_STATUS_NUMERIC;
    ql_free(failure);
    return again;
}

static ql_status compare_with_run(ql_work *work, const run_state *run, const ql_options *options, bool retry)
{
    const char *run_directory = run->directory;
    char path[QL_PATH_SIZE];
    ql_checkpoint_head head;
    bool again = work->faces > 0 && will_fail_again(run_directory, work);
    if (again && !retry) {
        work->state = QL_WORK_FAILED;
        return QL_OK;
    }
    QL_TRY(ql_rundir_path(path, run_directory, QL_RUN_RESULT, work->id));
    if (work->faces > 0 && !again && ql_path_exists(path)) {
        work->state = QL_WORK_FINISHED;
        return check_finished(path, options);
    }
    if (work->faces > 0 && !again && ql_packed_find(&run->packed, work->id) != NULL) {
        work->state = QL_WORK_FINISHED;
        return QL_OK;
    }
    QL_TRY(ql_rundir_path(path, run_directory, QL_RUN_CHECKPOINT, work->id));
    if (work->faces > 0 && ql_checkpoint_exists(path) && ql_checkpoint_read_head(&head, path) == QL_OK)
        work->step = head.step;
    ql_error_clear();
    return QL_OK;
}

static ql_status survey_one(ql_work *work, const ql_collection_item *item, const run_state *run,
                            const ql_options *run_options, bool retry)
{
    ql_options options;
    QL_TRY(ql_collection_item_options(item, run_options, &options));
    work->bytes = (double)item->bytes;
    identify(work, item, &run->cache);
    QL_TRY(compare_with_run(work, run, &options, retry));
    int64_t steps = options.train.steps;
    if (options.train.stop_after > 0 && options.train.stop_after < steps) steps = options.train.stop_after;
    int64_t left = steps > work->step ? steps - work->step : 0;
    if (work->state == QL_WORK_TODO && work->faces > 0)
        work->cost = (double)left * ql_engine_flop_formula(work->faces, options.train.off_points);
    return QL_OK;
}

/* ---- all meshes ---- */

typedef struct named {
    const char *id;
    int64_t index;
} named;

static int by_id(const void *a, const void *b)
{
    const named *x = a, *y = b;
    int order = strcmp(x->id, y->id);
    if (order != 0) return order;
    return x->index < y->index ? -1 : x->index > y->index;
}

static ql_status find_twins(ql_survey *survey)
{
    named *all;
    QL_TRY(QL_TAKE(all, survey->count));
    for (int64_t i = 0; i < survey->count; ++i) all[i] = (named){survey->work[i].id, i};
    qsort(all, (size_t)survey->count, sizeof *all, by_id);
    for (int64_t i = 1; i < survey->count; ++i)
        if (strcmp(all[i].id, all[i - 1].id) == 0) survey->work[all[i].index].state = QL_WORK_TWIN;
    ql_free(all);
    for (int64_t i = 0; i < survey->count; ++i) survey->states[survey->work[i].state]++;
    return QL_OK;
}

static ql_status survey_each(ql_work *own, const ql_collection *collection, const ql_comm *comm, const run_state *run,
                             const ql_options *options, bool retry)
{
    int64_t slot = 0;
    for (int64_t i = comm->rank; i < collection->count; i += comm->size, ++slot) {
        int signal = ql_signals_stop();
        if (signal != 0) return QL_FAIL(STOPPED, "%s while the meshes were looked at", ql_signals_name(signal));
        own[slot].item = i;
        QL_TRY(survey_one(&own[slot], &collection->items[i], run, options, retry));
    }
    return QL_OK;
}

static ql_status survey_own(ql_work *own, const ql_collection *collection, const ql_comm *comm,
                            const char *run_directory, const ql_options *options, bool retry)
{
    run_state run = {.directory = run_directory};
    QL_TRY(ql_packed_read(&run.packed, run_directory));
    ql_status status = ql_survey_cache_read(&run.cache, run_directory);
    if (status == QL_OK) status = survey_each(own, collection, comm, &run, options, retry);
    ql_survey_cache_destroy(&run.cache);
    ql_packed_destroy(&run.packed);
    return status;
}

ql_status ql_survey_make(ql_survey *survey, const ql_collection *collection, ql_comm *comm, const char *run_directory,
                         const ql_options *options, bool retry)
{
    *survey = (ql_survey){.count = collection->count};
    int64_t each = (collection->count + comm->size - 1) / comm->size;
    ql_work *own = NULL, *all = NULL;
    ql_status status = QL_TAKE(own, each);
    if (status == QL_OK) status = QL_TAKE(all, each * comm->size);
    if (status == QL_OK) status = QL_TAKE(survey->work, survey->count);
    if (status == QL_OK) status = survey_own(own, collection, comm, run_directory, options, retry);
    status = ql_comm_agree(comm, status);
    if (status == QL_OK) status = comm->kind->allgather(comm, own, all, (size_t)each * sizeof *own);
    for (int64_t i = 0; status == QL_OK && i < survey->count; ++i)
        survey->work[i] = all[(i % comm->size) * each + i / comm->size];
    if (status == QL_OK) status = find_twins(survey);
    ql_free(own);
    ql_free(all);
    if (status != QL_OK) ql_survey_destroy(survey);
    return status;
}

void ql_survey_destroy(ql_survey *survey)
{
    if (survey == NULL) return;
    ql_free(survey->work);
    *survey = (ql_survey){0};
}

/* ---- list of the work ---- */

typedef struct costed {
    double cost, bytes;
    int64_t index;
} costed;

static int longest_first(const void *a, const void *b)
{
    const costed *x = a, *y = b;
    if (x->cost != y->cost) return x->cost > y->cost ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes > y->bytes ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

ql_status ql_survey_list(const ql_survey *survey, int64_t **order, int64_t *count)
{
    costed *todo;
    int64_t todo_count = 0;
    *count = 0;
    *order = NULL;
    QL_TRY(QL_TAKE(todo, survey->count));
    for (int64_t i = 0; i < survey->count; ++i)
        if (survey->work[i].state == QL_WORK_TODO)
            todo[todo_count++] = (costed){survey->work[i].cost, survey->work[i].bytes, i};
    qsort(todo, (size_t)todo_count, sizeof *todo, longest_first);
    ql_status status = QL_TAKE(*order, todo_count);
    for (int64_t i = 0; status == QL_OK && i < todo_count; ++i) (*order)[i] = todo[i].index;
    if (status == QL_OK) *count = todo_count;
    ql_free(todo);
    return status;
}

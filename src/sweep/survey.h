/* What there is to do: every mesh of the collection read once, in parallel over the ranks, and compared with the run
 * directory. Identity is content: the same mesh under two names is two meshes, twice the same name with other content too;
 * the same name and content is one. */
#ifndef QL_SWEEP_SURVEY_H
#define QL_SWEEP_SURVEY_H

#include "store/summary.h"
#include "sweep/collection.h"

typedef enum ql_work_state {
    QL_WORK_TODO,
    QL_WORK_FINISHED, /* in an earlier run */
    QL_WORK_FAILED,   /* in an earlier run, and would fail again */
    QL_WORK_TWIN      /* the same mesh as an earlier one of the collection */
} ql_work_state;

typedef struct ql_work {
    int64_t item; /* in the collection */
    char id[QL_ID_SIZE];
    uint64_t hash;
    int32_t faces, vertices; /* 0: cannot be read; the worker will find and record why */
    int32_t state;           /* ql_work_state */
    int64_t step;            /* of its checkpoint, 0 = none */
    double cost;             /* floating-point operations left, by the method's count */
    double bytes;            /* of the file */
    int64_t changed_ns;      /* when the file was changed last; 0 = unknown */
} ql_work;

typedef struct ql_survey {
    int64_t count;
    ql_work *work;     /* one per item, in the collection's order */
    int64_t states[4]; /* how many of each */
} ql_survey;

/* Collective. run_directory may not exist yet. retry: meshes that failed earlier are work again, whatever the reason.
 * QL_STATUS_STOPPED: a signal asked to stop meanwhile. QL_STATUS_CONFIG: a mesh was finished with other options. */
ql_status ql_survey_make(ql_survey *survey, const ql_collection *collection, ql_comm *comm, const char *run_directory,
                         const ql_options *options, bool retry);
void ql_survey_destroy(ql_survey *survey); /* NULL-safe */

/* ---- RUN_DIR/survey.txt: what former surveys found, so that the next start reads no mesh again whose file has the same size
 * and time of change ---- */

typedef struct ql_survey_cache {
    int64_t count;
    struct ql_surveyed {
        const char *path;
        uint64_t hash;
        int64_t bytes, changed_ns;
        int32_t faces, vertices;
        char id[QL_ID_SIZE];
    } * meshes; /* sorted by path */
    char *text; /* holds the paths */
} ql_survey_cache;

/* Nothing when there is no such file, or it is of no use. */
ql_status ql_survey_cache_read(ql_survey_cache *cache, const char *run_directory);
const struct ql_surveyed *ql_survey_cache_find(const ql_survey_cache *cache, const char *path);
void ql_survey_cache_destroy(ql_survey_cache *cache); /* NULL-safe */

/* Rank 0: writes it; failing to is no error. Meshes that could not be read are left out. */
void ql_survey_keep(const ql_survey *survey, const ql_collection *collection, const char *run_directory);

/* Indices of the work that is to do, most work first; deterministic. */
ql_status ql_survey_list(const ql_survey *survey, int64_t **order, int64_t *count);

#endif

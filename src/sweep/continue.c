/* Options of an earlier start against those of now (see continue.h). */
#include "sweep/continue.h"

#include "base/file.h"
#include "store/rundir.h"

#include <string.h>

/* Results do not depend on these: where, when and how fast, but not what. */
static bool decides_result(const char *name)
{
    static const char *const idle[] = {"train.preset", "train.checkpoint_every_s", "train.history_every"};
    for (size_t i = 0; i < sizeof idle / sizeof idle[0]; ++i)
        if (strcmp(name, idle[i]) == 0) return false;
    return strncmp(name, "train.", 6) == 0 || strncmp(name, "quads.", 6) == 0 || strcmp(name, "engine.name") == 0 ||
           strcmp(name, "engine.precision") == 0;
}

/* Options that another version had are skipped. */
static ql_status take_option(void *context, const char *name, const char *value, const char *where)
{
    int index = ql_option_find(name);
    return index < 0 ? QL_OK : ql_options_set(context, index, value, QL_SOURCE_YAML, where);
}

static ql_status compare(const char *path, const ql_options *before, const ql_options *now)
{
    for (int i = 0; i < ql_option_count(); ++i) {
        const char *name = ql_option_at(i)->name;
        char was[256], is[256];
        if (!decides_result(name)) continue;
        (void)ql_options_get(before, i, was, sizeof was);
        (void)ql_options_get(now, i, is, sizeof is);
        if (strcmp(was, is) != 0)
            return QL_FAIL(CONFIG,
                           "%s was %s when this run began and is %s now, which would mix two kinds of results; use "
                           "another run directory, or continue with the former options: -c %s",
                           name, was, is, path);
    }
    return QL_OK;
}

ql_status ql_continue_check(const char *run_directory, const ql_options *options)
{
    char path[QL_PATH_SIZE];
    ql_listing listing = {0};
    QL_TRY(ql_rundir_path(path, run_directory, QL_RUN_OPTIONS, NULL));
    if (!ql_path_exists(path)) return QL_OK;
    QL_TRY(ql_listing_read(&listing, run_directory));
    bool fresh = true;
    for (int64_t i = 0; i < listing.count; ++i)
        fresh = fresh && !listing.meshes[i].finished && !listing.meshes[i].checkpointed;
    ql_listing_destroy(&listing);
    if (fresh) return QL_OK;
    ql_options before = *options; /* what an older version did not write is taken as equal */
    QL_TRY(ql_options_read_yaml(path, take_option, &before));
    return compare(path, &before, options);
}

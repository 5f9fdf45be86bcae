/* What former surveys found (see survey.h). A line per mesh: hash faces vertices bytes changed_ns id path. */
#include "base/file.h"
#include "base/memory.h"
#include "sweep/survey.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const NAME = "survey.txt";

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct ql_surveyed *)a)->path, ((const struct ql_surveyed *)b)->path);
}

/* Other lines are skipped. */
static void take_line(ql_survey_cache *cache, const char *line)
{
    struct ql_surveyed *mesh = &cache->meshes[cache->count];
    int at = 0;
    if (sscanf(line, "%" SCNx64 " %" SCNd32 " %" SCNd32 " %" SCNd64 " %" SCNd64 " %127s %n", &mesh->hash, &mesh->faces,
               &mesh->vertices, &mesh->bytes, &mesh->changed_ns, mesh->id, &at) != 6 ||
        at == 0 || line[at] == '\0' || mesh->faces < 1)
        return;
    mesh->path = line + at;
    ++cache->count;
}

static ql_status take_lines(ql_survey_cache *cache, size_t size)
{
    size_t lines = 1;
    for (size_t i = 0; i < size; ++i) lines += cache->text[i] == '\n';
    QL_TRY(QL_TAKE(cache->meshes, lines));
    for (char *line = cache->text, *end; line != NULL; line = end) {
        end = strchr(line, '\n');
        if (end != NULL) *end++ = '\0';
        take_line(cache, line);
    }
    qsort(cache->meshes, (size_t)cache->count, sizeof *cache->meshes, compare);
    return QL_OK;
}

ql_status ql_survey_cache_read(ql_survey_cache *cache, const char *run_directory)
{
    char path[QL_PATH_SIZE];
    size_t size = 0;
    *cache = (ql_survey_cache){0};
    QL_TRY(ql_path_join(path, run_directory, NAME));
    if (!ql_path_exists(path)) return QL_OK;
    ql_status status = ql_file_read_whole(path, 0, &cache->text, &size);
    if (status == QL_OK) status = take_lines(cache, size);
    if (status != QL_OK) ql_survey_cache_destroy(cache);
    if (status == QL_STATUS_NO_MEMORY) return status;
    ql_error_clear();
    return QL_OK;
}

const struct ql_surveyed *ql_survey_cache_find(const ql_survey_cache *cache, const char *path)
{
    const struct ql_surveyed key = {.path = path};
    if (cache->count == 0) return NULL;
    return bsearch(&key, cache->meshes, (size_t)cache->count, sizeof key, compare);
}

void ql_survey_cache_destroy(ql_survey_cache *cache)
{
    if (cache == NULL) return;
    ql_free(cache->meshes);
    ql_free(cache->text);
    *cache = (ql_survey_cache){0};
}

void ql_survey_keep(const ql_survey *survey, const ql_collection *collection, const char *run_directory)
{
    char path[QL_PATH_SIZE], *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    for (int64_t i = 0; out != NULL && i < survey->count; ++i) {
        const ql_work *work = &survey->work[i];
        const char *from = collection->items[work->item].path;
        if (work->faces < 1 || work->changed_ns == 0 || strchr(from, '\n') != NULL) continue;
        (void)fprintf(out, "%016" PRIx64 " %" PRId32 " %" PRId32 " %" PRId64 " %" PRId64 " %s %s\n", work->hash,
                      work->faces, work->vertices, (int64_t)work->bytes, work->changed_ns, work->id, from);
    }
    if (out != NULL && fclose(out) == 0 && ql_path_join(path, run_directory, NAME) == QL_OK)
        (void)ql_file_write_whole(path, text, size);
    free(text);
    ql_error_clear();
}

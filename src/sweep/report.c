/* Texts for people (see report.h). */
#include "sweep/report.h"

#include "base/clock.h"
#include "base/memory.h"
#include "store/rundir.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS_SHOWN = 40, FAILURES_SHOWN = 20 };

static const char *plural(int64_t count, const char *one, const char *many) { return count == 1 ? one : many; }

/* ---- dry run ---- */

static void print_work(FILE *out, const ql_work *work, const char *path)
{
    char faces[32] = "unreadable", from[32] = "";
    if (work->faces > 0) (void)snprintf(faces, sizeof faces, "%d", (int)work->faces);
    if (work->step > 0) (void)snprintf(from, sizeof from, " from step %lld", (long long)work->step);
    (void)fprintf(out, "%10s  %9.3g  %s%s\n", faces, work->cost * 1e-12, path, from);
}

ql_status ql_report_plan(FILE *out, const ql_survey *survey, const ql_collection *collection, int ranks,
                         const char *run_directory)
{
    int64_t *order = NULL, count = 0;
    QL_TRY(ql_survey_list(survey, &order, &count));
    (void)fprintf(out, "%lld %s: %lld to do on %d %s, %lld finished, %lld failed earlier, %lld given twice\n",
                  (long long)survey->count, plural(survey->count, "mesh", "meshes"),
                  (long long)survey->states[QL_WORK_TODO], ranks, plural(ranks, "rank", "ranks"),
                  (long long)survey->states[QL_WORK_FINISHED], (long long)survey->states[QL_WORK_FAILED],
                  (long long)survey->states[QL_WORK_TWIN]);
    (void)fprintf(out, "     faces      TFLOP  mesh\n");
    for (int64_t i = 0; i < count; ++i) {
        const ql_work *work = &survey->work[order[i]];
        print_work(out, work, collection->items[work->item].path);
    }
    (void)fprintf(out,
                  "Nothing was written; without --dry-run results go to %s. `quadloom plan` predicts the time and who "
                  "works together\n",
                  run_directory);
    ql_free(order);
    return QL_OK;
}

/* ---- end of a run ---- */

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_listed(const char **ids, int64_t count, const char *id)
{
    return bsearch(&id, ids, (size_t)count, sizeof *ids, compare_texts) != NULL;
}

static void print_row(FILE *out, const ql_summary *row)
{
    char time[QL_DURATION_SIZE] = "-", faces[32] = "-", steps[32] = "-";
    if (row->faces >= 0) (void)snprintf(faces, sizeof faces, "%lld", (long long)row->faces);
    if (row->steps >= 0) (void)snprintf(steps, sizeof steps, "%lld", (long long)row->steps);
    if (isfinite(row->train_s)) (void)ql_clock_duration(time, row->train_s);
    (void)fprintf(out, "%-32.60s %8s %7s %9s", row->mesh, faces, steps, time);
    if (isfinite(row->s_per_step))
        (void)fprintf(out, " %8.3f %9lld %5lld %9.2f", row->s_per_step, (long long)row->singular_vertices,
                      (long long)row->singularity_sum, row->mismatch_mean_deg);
    else
        (void)fprintf(out, " %8s %9s %5s %9s", "-", "-", "-", "-");
    (void)fprintf(out, "  %s\n", row->status);
}

static void print_rows(FILE *out, const ql_summary *rows, int64_t count, const char **ids, int64_t id_count)
{
    int64_t shown = 0, more = 0;
    (void)fprintf(out, "\n%-32s %8s %7s %9s %8s %9s %5s %9s\n", "mesh", "faces", "steps", "time", "s/step", "singular",
                  "sum", "mismatch");
    for (int64_t i = 0; i < count; ++i) {
        if (!is_listed(ids, id_count, rows[i].mesh)) continue;
        if (shown++ < ROWS_SHOWN)
            print_row(out, &rows[i]);
        else
            ++more;
    }
    if (more > 0) (void)fprintf(out, "and %lld more in summary.csv\n", (long long)more);
}

static ql_status print_failures(FILE *out, const char *run_directory, const ql_summary *rows, int64_t count,
                                const char **ids, int64_t id_count)
{
    ql_failure *failure;
    int64_t shown = 0;
    QL_TRY(QL_TAKE(failure, 1));
    for (int64_t i = 0; i < count; ++i) {
        char path[QL_PATH_SIZE];
        if (!is_listed(ids, id_count, rows[i].mesh)) continue;
        if (ql_rundir_path(path, run_directory, QL_RUN_FAILURE, rows[i].mesh) != QL_OK || !ql_path_exists(path) ||
            ql_failure_read(failure, path) != QL_OK)
            continue;
        if (shown++ == FAILURES_SHOWN) {
            (void)fprintf(out, "  and more in %s/failures/\n", run_directory);
            break;
        }
        (void)fprintf(out, "%s  %s (%s)\n    %s\n    what to do: %s\n", shown == 1 ? "\nFailed:\n" : "", failure->input,
                      failure->stage, failure->reason, failure->remedy);
    }
    ql_free(failure);
    return QL_OK;
}

/* How well the plan foresaw the time of the work, when all of it was done. */
static void print_prediction(FILE *out, const ql_report_facts *facts)
{
    char is[QL_DURATION_SIZE], was[QL_DURATION_SIZE];
    if (!(facts->predicted_s > 0) || facts->end->left > 0) return;
    (void)fprintf(out, "Predicted were %s, the work took %s\n", ql_clock_duration(was, facts->predicted_s),
                  ql_clock_duration(is, facts->end->wall_s));
}

/* Share of all ranks' time that went into trainings. */
static void print_use(FILE *out, const ql_report_facts *facts)
{
    char train[QL_DURATION_SIZE], wall[QL_DURATION_SIZE];
    const ql_crew_end *end = facts->end;
    if (!(end->wall_s > 0) || end->train_s <= 0) return;
    (void)fprintf(out, "Training took %s on %d %s in %s: %.0f %% of their time\n",
                  ql_clock_duration(train, end->train_s), facts->ranks, plural(facts->ranks, "rank", "ranks"),
                  ql_clock_duration(wall, end->wall_s), 100 * end->train_s / (facts->ranks * end->wall_s));
    const double percent = 100 / (facts->ranks * end->wall_s);
    if (end->groups > 0)
        (void)fprintf(out, "Groups: %.1f %% between their ranks, %.1f %% until they were complete; files %.1f %%\n",
                      end->comm_s * percent, end->form_s * percent, end->io_s * percent);
}

static void print_places(FILE *out, const ql_report_facts *facts)
{
    char time[QL_DURATION_SIZE];
    const int64_t *states = facts->survey->states;
    const char *run = facts->run_directory;
    int64_t failed = states[QL_WORK_FAILED] + facts->end->failed, meshes = facts->survey->count - states[QL_WORK_TWIN];
    (void)fprintf(out, "\n%lld of %lld %s finished, %lld failed, %lld left; %s",
                  (long long)(states[QL_WORK_FINISHED] + facts->end->finished), (long long)meshes,
                  plural(meshes, "mesh", "meshes"), (long long)failed, (long long)facts->end->left,
                  ql_clock_duration(time, facts->seconds));
    if (facts->end->left > 0 && facts->stop_reason[0] != '\0') (void)fprintf(out, "; stopped: %s", facts->stop_reason);
    (void)fprintf(out, "\n");
    print_use(out, facts);
    print_prediction(out, facts);
    (void)fprintf(out,
                  "Results   %s/meshes/*.h5 (HDF5; open them in ParaView or with h5py)\n"
                  "Table     %s/summary.csv, %s/index.h5\n",
                  run, run, run);
    if (facts->quads) (void)fprintf(out, "Quads     %s/quads/*.obj\n", run);
    if (failed > 0) (void)fprintf(out, "Failures  %s/failures/*.json\n", run);
    if (facts->end->left > 0) (void)fprintf(out, "Run the same command again to go on where this one stopped.\n");
}

ql_status ql_report_end(FILE *out, const ql_report_facts *facts)
{
    const ql_survey *survey = facts->survey;
    const char **ids;
    QL_TRY(QL_TAKE(ids, survey->count));
    for (int64_t i = 0; i < survey->count; ++i) ids[i] = survey->work[i].id;
    qsort(ids, (size_t)survey->count, sizeof *ids, compare_texts);
    print_rows(out, facts->rows, facts->row_count, ids, survey->count);
    ql_status status = print_failures(out, facts->run_directory, facts->rows, facts->row_count, ids, survey->count);
    print_places(out, facts);
    ql_free(ids);
    return status;
}

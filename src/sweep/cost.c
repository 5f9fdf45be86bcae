/* The cost model: prediction, fitting, cache (see cost.h). Measuring: cost_measure.c. */
#include "sweep/cost.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/process.h"
#include "model/layout.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- prediction ---- */

static double exchange(const ql_cost *cost, int64_t faces, int ranks)
{
    if (ranks < 2) return 0;
    double share = (double)(ranks - 1) / ranks;
    double bytes = share * 4 * (2 * (double)QL_PARAMETER_COUNT + (double)faces);
    return cost->latency_s * ceil(log2(ranks)) + cost->s_per_byte * bytes;
}

static int64_t part_of(int64_t whole, int ranks) { return (whole + ranks - 1) / ranks; }

double ql_cost_step(const ql_cost *cost, int64_t faces, int64_t off_points, int ranks)
{
    double flop = ql_engine_flop_formula(part_of(faces, ranks), part_of(off_points, ranks));
    return cost->fixed_s + cost->s_per_flop * flop + exchange(cost, faces, ranks);
}

ql_cost_job ql_cost_job_of(int64_t faces, const ql_options *options, int64_t done)
{
    const ql_train_options *train = &options->train;
    int64_t steps = train->stop_after > 0 && train->stop_after < train->steps ? train->stop_after : train->steps;
    return (ql_cost_job){faces, train->off_points, steps > done ? steps - done : 0, options->quads.enabled, false};
}

double ql_cost_mesh(const ql_cost *cost, const ql_cost_job *job, int ranks)
{
    double faces = (double)job->faces;
    double quads = job->quads ? cost->quads_s + cost->quads_s_per_face * faces : 0;
    return cost->prepare_s + cost->prepare_s_per_face * faces +
           (double)job->steps * ql_cost_step(cost, job->faces, job->off_points, ranks) + quads / ranks;
}

double ql_cost_memory(const ql_cost *cost, int64_t faces, int ranks)
{
    return cost->memory_bytes + cost->memory_bytes_per_face * (double)part_of(faces, ranks);
}

/* A core at 20 GFLOP/s; 17.5 MB reduced in 3 ms between two ranks of a node. */
void ql_cost_guess(ql_cost *cost, int64_t threads)
{
    double cores = threads > 0 ? (double)threads : 1;
    *cost = (ql_cost){.fixed_s = 0.01,
                      .s_per_flop = 5e-11 / cores,
                      .latency_s = 1e-4,
                      .s_per_byte = 1.7e-10,
                      .prepare_s = 0.1,
                      .prepare_s_per_face = 2e-5,
                      .quads_s = 0.5,
                      .quads_s_per_face = 5e-4,
                      .memory_bytes = 3e8,
                      .memory_bytes_per_face = 4e4};
}

/* ---- fitting ---- */

enum { FEWEST_STEPS = 5 }; /* the first one is slow */

/* Minimises sum ((a + b x - y) / y)^2 with a, b >= 0; false when the x do not tell a from b. */
static bool fit_line(const double *x, const double *y, int64_t count, double *a, double *b)
{
    double s = 0, sx = 0, sxx = 0, sy = 0, sxy = 0;
    for (int64_t i = 0; i < count; ++i) {
        double w = 1 / (y[i] * y[i]);
        s += w;
        sx += w * x[i];
        sxx += w * x[i] * x[i];
        sy += w * y[i];
        sxy += w * x[i] * y[i];
    }
    double determinant = s * sxx - sx * sx;
    if (count < 3 || !(determinant > 1e-6 * s * sxx)) return false;
    *b = (s * sxy - sx * sy) / determinant;
    if (!(*b >= 0)) return false;
    *a = (sy - *b * sx) / s;
    if (*a < 0) { /* all of it proportional */
        *a = 0;
        *b = sxy / sxx;
    }
    return true;
}

static double mean_ratio(const double *is, const double *predicted, int64_t count)
{
    double ratio = 0;
    for (int64_t i = 0; i < count; ++i) ratio += is[i] / predicted[i] / (double)count;
    return isfinite(ratio) && ratio > 0 ? ratio : 1;
}

/* Least squares of relative errors stays below the mean where a few are far above (quads that needed many attempts); but it is sums
 * that plans predict. */
static void keep_sum(double *base, double *slope, const double *x, const double *y, int64_t count)
{
    double is = 0, predicted = 0;
    for (int64_t i = 0; i < count; ++i) {
        is += y[i];
        predicted += *base + *slope * x[i];
    }
    if (!(predicted > 0)) return;
    *base *= is / predicted;
    *slope *= is / predicted;
}

/* Line through (x, y), or the former one scaled. */
static void correct(double *base, double *slope, const double *x, const double *y, double *room, int64_t count)
{
    double a = 0, b = 0;
    if (count < 1) return;
    for (int64_t i = 0; i < count; ++i) room[i] = *base + *slope * x[i];
    double ratio = mean_ratio(y, room, count);
    bool fitted = fit_line(x, y, count, &a, &b);
    *base = fitted ? a : *base * ratio;
    *slope = fitted ? b : *slope * ratio;
    if (fitted) keep_sum(base, slope, x, y, count);
}

/* Meshes of groups: the exchange is what remains of a step beyond the ranks' own work. */
static void correct_exchange(ql_cost *cost, const ql_summary *rows, int64_t count, const char *engine,
                             int64_t off_points)
{
    double is = 0, predicted = 0;
    for (int64_t i = 0; i < count; ++i) {
        int ranks = rows[i].ranks > 1 && rows[i].ranks < INT32_MAX ? (int)rows[i].ranks : 1;
        if (ranks < 2 || rows[i].steps < FEWEST_STEPS || !(rows[i].s_per_step > 0) ||
            strcmp(rows[i].engine, engine) != 0)
            continue;
        double share = exchange(cost, rows[i].faces, ranks);
        is += fmax(0, rows[i].s_per_step - (ql_cost_step(cost, rows[i].faces, off_points, ranks) - share));
        predicted += share;
    }
    if (!(predicted > 0)) return;
    double ratio = fmin(100, fmax(0.05, is / predicted));
    cost->latency_s *= ratio;
    cost->s_per_byte *= ratio;
}

typedef struct samples {
    double *x, *y, *room;
    int64_t count;
} samples;

static void take(samples *s, double x, double y)
{
    if (!(isfinite(y) && y > 0)) return;
    s->x[s->count] = x;
    s->y[s->count++] = y;
}

static void refine(ql_cost *cost, const ql_summary *rows, int64_t count, const char *engine, int64_t off_points,
                   samples *s)
{
    for (int64_t i = 0; i < count; ++i)
        if (rows[i].faces > 0 && rows[i].ranks <= 1 && rows[i].steps >= FEWEST_STEPS &&
            strcmp(rows[i].engine, engine) == 0)
            take(s, ql_engine_flop_formula(rows[i].faces, off_points), rows[i].s_per_step);
    correct(&cost->fixed_s, &cost->s_per_flop, s->x, s->y, s->room, s->count);
    if (s->count > 0) cost->samples = (double)s->count;
    s->count = 0;
    for (int64_t i = 0; i < count; ++i)
        if (rows[i].faces > 0) take(s, (double)rows[i].faces, rows[i].quads_s);
    correct(&cost->quads_s, &cost->quads_s_per_face, s->x, s->y, s->room, s->count);
    correct_exchange(cost, rows, count, engine, off_points);
}

ql_status ql_cost_refine(ql_cost *cost, const ql_summary *rows, int64_t count, const char *engine, int64_t off_points)
{
    samples s = {0};
    ql_status status = QL_TAKE(s.x, count);
    if (status == QL_OK) status = QL_TAKE(s.y, count);
    if (status == QL_OK) status = QL_TAKE(s.room, count);
    if (status == QL_OK) refine(cost, rows, count, engine, off_points, &s);
    ql_free(s.x);
    ql_free(s.y);
    ql_free(s.room);
    return status;
}

/* ---- cache ---- */

static bool cache_path(char path[QL_PATH_SIZE], const ql_options *options, const char *engine)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char folder[QL_PATH_SIZE], name[160];
    if (cache != NULL && cache[0] == '/')
        (void)snprintf(folder, sizeof folder, "%.3000s/quadloom", cache);
    else if (home != NULL && home[0] == '/')
        (void)snprintf(folder, sizeof folder, "%.3000s/.cache/quadloom", home);
    else
        return false;
    (void)snprintf(name, sizeof name, "speed-%08" PRIx32 "-%.32s-%lld-%lld", ql_process_place().host, engine,
                   (long long)options->engine.threads, (long long)options->train.off_points);
    return ql_directory_make(folder) == QL_OK && ql_path_join(path, folder, name) == QL_OK;
}

/* Value of the line "NAME VALUE". */
static bool find_value(const char *text, const char *name, double *value)
{
    size_t length = strlen(name);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, length) == 0 && line[length] == ' ')
            return sscanf(line + length, "%lf", value) == 1 && isfinite(*value) && *value >= 0;
    }
    return false;
}

ql_status ql_cost_read(ql_cost *cost, const char *path)
{
    char *text = NULL;
    size_t size = 0;
    bool found = true;
    QL_TRY(ql_file_read_whole(path, 1 << 16, &text, &size));
#define READ(name, meaning) found = found && find_value(text, #name, &cost->name);
    QL_COST_COEFFICIENTS(READ)
#undef READ
    ql_free(text);
    if (found && cost->s_per_flop > 0) return QL_OK;
    return QL_FAIL(USAGE,
                   "%s: is not a cost model (lines of a coefficient's name and a number; plan keeps its own in "
                   "~/.cache/quadloom/speed-*)",
                   path);
}

bool ql_cost_recall(ql_cost *cost, const ql_options *options, const char *engine)
{
    char path[QL_PATH_SIZE];
    bool found = cache_path(path, options, engine) && ql_path_exists(path) && ql_cost_read(cost, path) == QL_OK;
    ql_error_clear();
    return found && (cost->quads_s + cost->quads_s_per_face > 0 || !options->quads.enabled);
}

void ql_cost_keep(const ql_cost *cost, const ql_options *options, const char *engine)
{
    char path[QL_PATH_SIZE], text[1024];
    int length = 0;
#define KEEP(name, meaning)                                                                                            \
    length += snprintf(text + length, sizeof text - (size_t)length, "%s %.9g\n", #name, cost->name);
    QL_COST_COEFFICIENTS(KEEP)
#undef KEEP
    if (cache_path(path, options, engine)) (void)ql_file_write_whole(path, text, (size_t)length);
    ql_error_clear();
}

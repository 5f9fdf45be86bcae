/* The cost model (see cost.h). */
#include "sweep/cost.h"

#include "base/file.h"
#include "base/machine.h"
#include "base/memory.h"
#include "base/process.h"
#include "mesh/generate.h"
#include "train/train.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL_FACES = 300, LARGE_FACES = 1500, CALIBRATION_STEPS = 4 };

double ql_cost_step(const ql_cost *cost, int64_t faces, int64_t off_points)
{
    return cost->fixed_s + cost->s_per_flop * ql_engine_flop_formula(faces, off_points);
}

double ql_cost_mesh(const ql_cost *cost, int64_t faces, const ql_train_options *train, int64_t done)
{
    int64_t steps = train->stop_after > 0 && train->stop_after < train->steps ? train->stop_after : train->steps;
    double left = steps > done ? (double)(steps - done) : 0;
    return cost->prepare_s + cost->prepare_s_per_face * (double)faces +
           left * ql_cost_step(cost, faces, train->off_points);
}

double ql_cost_memory(const ql_cost *cost, int64_t faces)
{
    return cost->memory_bytes + cost->memory_bytes_per_face * (double)faces;
}

/* ---- fitting ---- */

/* Minimises sum ((a + b x - y) / y)^2. */
static void fit_line(const double *x, const double *y, int64_t count, double *a, double *b)
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
    *b = determinant > 1e-6 * s * sxx ? (s * sxy - sx * sy) / determinant : -1;
    *a = *b >= 0 ? (sy - *b * sx) / s : -1;
    if (*b >= 0 && *a < 0) { /* all of it proportional */
        *a = 0;
        *b = sxy / sxx;
    }
}

void ql_cost_refine(ql_cost *cost, const double *faces, const double *seconds, int64_t count, int64_t off_points)
{
    double *flop = ql_memory_take((size_t)count, sizeof *flop), a = -1, b = -1, ratio = 0;
    if (count < 1 || flop == NULL) {
        ql_free(flop);
        return;
    }
    for (int64_t i = 0; i < count; ++i) flop[i] = ql_engine_flop_formula((int64_t)faces[i], off_points);
    fit_line(flop, seconds, count, &a, &b);
    if (count >= 3 && a >= 0 && b > 0) {
        cost->fixed_s = a;
        cost->s_per_flop = b;
    } else {
        for (int64_t i = 0; i < count; ++i)
            ratio += seconds[i] / ql_cost_step(cost, (int64_t)faces[i], off_points) / (double)count;
        if (isfinite(ratio) && ratio > 0) {
            cost->fixed_s *= ratio;
            cost->s_per_flop *= ratio;
        }
    }
    cost->samples = count;
    ql_free(flop);
}

/* ---- measuring ---- */

typedef struct measurement {
    double faces, step_s, prepare_s, memory;
} measurement;

static ql_status measure(measurement *m, const ql_options *options, const ql_engine_class *engine, int faces)
{
    ql_options own = *options;
    ql_mesh mesh = {0};
    ql_train_result result = {0};
    own.train.steps = CALIBRATION_STEPS;
    own.train.stop_after = 0;
    own.train.history_every = 1;
    QL_TRY(ql_generate_by_name(&mesh, "torus", faces));
    ql_train_job job = {&mesh, &own, engine, NULL, NULL};
    ql_status status = ql_train_mesh(&result, &job, NULL, NULL);
    if (status == QL_OK) {
        /* the fastest step of those after the first, which touches all memory for the first time */
        *m = (measurement){mesh.face_count, result.seconds_per_step, result.prepare_seconds,
                           (double)result.memory_predicted};
        for (int64_t row = 2; row < result.history.rows; ++row) {
            const double *end = result.history.values + (row + 1) * QL_HISTORY_COLUMNS - 1;
            double step = end[0] - end[-QL_HISTORY_COLUMNS];
            if (step > 0 && step < m->step_s) m->step_s = step;
        }
    }
    ql_train_result_destroy(&result);
    ql_mesh_destroy(&mesh);
    return status;
}

static void line_through(double x0, double y0, double x1, double y1, double *base, double *slope)
{
    *slope = fmax(0, (y1 - y0) / (x1 - x0));
    *base = fmax(0, y0 - *slope * x0);
}

ql_status ql_cost_calibrate(ql_cost *cost, const ql_options *options, const ql_engine_class *engine)
{
    measurement small, large;
    QL_TRY(measure(&small, options, engine, SMALL_FACES));
    QL_TRY(measure(&large, options, engine, LARGE_FACES));
    double off = (double)options->train.off_points;
    *cost = (ql_cost){.samples = 2};
    line_through(ql_engine_flop_formula((int64_t)small.faces, (int64_t)off), small.step_s,
                 ql_engine_flop_formula((int64_t)large.faces, (int64_t)off), large.step_s, &cost->fixed_s,
                 &cost->s_per_flop);
    line_through(small.faces, small.prepare_s, large.faces, large.prepare_s, &cost->prepare_s,
                 &cost->prepare_s_per_face);
    line_through(small.faces, small.memory, large.faces, large.memory, &cost->memory_bytes,
                 &cost->memory_bytes_per_face);
    return QL_OK;
}

/* ---- cache ---- */

static bool cache_path(char path[QL_PATH_SIZE], const char *engine, int64_t threads)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char folder[QL_PATH_SIZE], name[128];
    if (cache != NULL && cache[0] == '/')
        (void)snprintf(folder, sizeof folder, "%.3000s/quadloom", cache);
    else if (home != NULL && home[0] == '/')
        (void)snprintf(folder, sizeof folder, "%.3000s/.cache/quadloom", home);
    else
        return false;
    (void)snprintf(name, sizeof name, "cost-%08" PRIx32 "-%.32s-%lld", ql_process_place().host, engine,
                   (long long)threads);
    return ql_directory_make(folder) == QL_OK && ql_path_join(path, folder, name) == QL_OK;
}

bool ql_cost_recall(ql_cost *cost, const char *engine, int64_t threads)
{
    char path[QL_PATH_SIZE], *text = NULL;
    size_t size = 0;
    long long samples = 0;
    bool found = cache_path(path, engine, threads) && ql_path_exists(path) &&
                 ql_file_read_whole(path, 4096, &text, &size) == QL_OK &&
                 sscanf(text, "%lf %lf %lf %lf %lf %lf %lld", &cost->fixed_s, &cost->s_per_flop, &cost->prepare_s,
                        &cost->prepare_s_per_face, &cost->memory_bytes, &cost->memory_bytes_per_face, &samples) == 7;
    ql_free(text);
    ql_error_clear();
    cost->samples = samples;
    return found && cost->s_per_flop > 0;
}

void ql_cost_keep(const ql_cost *cost, const char *engine, int64_t threads)
{
    char path[QL_PATH_SIZE], text[512];
    int length = snprintf(text, sizeof text, "%.9g %.9g %.9g %.9g %.9g %.9g %lld\n", cost->fixed_s, cost->s_per_flop,
                          cost->prepare_s, cost->prepare_s_per_face, cost->memory_bytes, cost->memory_bytes_per_face,
                          (long long)cost->samples);
    if (cache_path(path, engine, threads)) (void)ql_file_write_whole(path, text, (size_t)length);
    ql_error_clear();
}

/* ql_quads_make: components, ways to begin, and the result. */
#include "base/clock.h"
#include "base/memory.h"
#include "field/cross_vector.h"
#include "quad/fit.h"
#include "quad/job.h"
#include "quad/quad.h"
#include "quad/result.h"
#include "quad/star.h"

#include <cblas.h>
#include <string.h>

/* The later ones are tried when the first gives extra irregular vertices or bad corners. */
static const ql_beginning BEGINNING[] = {
    {0.8, 0.35, 0.7, 0}, {0.8, 0.35, 0.7, 0.25}, {1.0, 0.35, INFINITY, 0.25}, {0.65, 0.1, 0.7, 0.25}};
enum {
    BEGINNINGS = sizeof BEGINNING / sizeof *BEGINNING,
    BY_PATCHES = 1 /* differs from the one before in that alone */
};
/* Features as close as this all over, in quad edges, are noise or detail below the quads' size: no map holds them all. */
static const double CROWDED = 0.9;
/* Sweeps of the fit at the end. */
enum { FIT_SWEEPS = 12 };
/* When no map with all features works out (noise that looks like creases), only those sharper than this are pinned. */
static const double RELAXED_DEG[] = {75, 180};
/* Share of the effort after which beginnings with all features end when none has given a result. */
static const double PATIENCE = 0.6;
/* Mended quads with more penalty than this share of the field's singular vertices and so many more are worth another try. */
static const double DEAR_SHARE = 1.5, DEAR_MORE = 10;
/* Share of the effort that is left for a beginning without sharp edges, whatever the others have cost: its field is the smoothest. */
static const double LAST_CHANCE = 0.4;
/* Small components leave the others at least this share of the wanted number. */
static const double LEAST_LEFT = 0.5;
/* The promise about the number of quads, unless they are just a few. */
static const double OFF_TARGET = 0.1;
enum { RELAXATIONS = sizeof RELAXED_DEG / sizeof *RELAXED_DEG };

/* How much worse than wished: irregular vertices beyond those of the field, lost sharp edges, bad corners, a missed number, rungs. */
static ql_status penalty(const ql_job *j, double *value)
{
    int32_t irregular;
    double least = INFINITY;
    QL_TRY(ql_quad_count_irregular(&j->quads, &irregular));
    double off = fabs(j->quads.face_count * j->edge * j->edge / j->component->area - 1);
    for (int32_t f = 0; f < j->quads.face_count; ++f) least = fmin(least, ql_star_quad(&j->quads, f));
    *value =
        irregular + j->released +
        (least < 0.05   ? 100
         : least < 0.2  ? 20
         : least < 0.35 ? 4
                        : 0) +
        (j->quads.face_count > QL_JOB_FEW_QUADS && off > OFF_TARGET ? 20 + 1e4 * off * (j->rung == QL_RUNG_SPLIT) : 0) +
        (j->rung == QL_RUNG_SPLIT    ? 1e6
         : j->rung == QL_RUNG_COARSE ? 1e3
         : j->rung == QL_RUNG_SCALED ? 0.1 * j->singular + 3 /* another beginning may do without */
                                     : 0);
    return QL_OK;
}

typedef struct winner {
    ql_quads quads;
    ql_quad_rung rung;
    int32_t singular;
    double penalty;              /* INFINITY = none yet */
    bool mended;                 /* in places where the map's quads did not fit together */
    bool relaxed;                /* not all sharp edges were pinned */
    ql_closest *surface, *lines; /* of the job that made the quads */
    int32_t *chain;
} winner;

static void winner_destroy(winner *w)
{
    ql_quads_destroy(&w->quads);
    ql_closest_destroy(w->surface);
    ql_closest_destroy(w->lines);
    ql_free(w->chain);
}

/* Keeps the quads of a job when they are better than what there was. */
static ql_status keep_better(winner *w, ql_job *j)
{
    double value = INFINITY;
    QL_TRY(penalty(j, &value));
    if (value >= w->penalty) return QL_OK;
    w->penalty = value;
    w->rung = j->rung;
    w->singular = j->singular;
    w->relaxed = j->released > 0;
    w->mended = j->mended > 0;
    winner_destroy(w);
    w->quads = j->quads;
    w->surface = j->surface;
    w->lines = j->lines;
    w->chain = j->chain;
    memset(&j->quads, 0, sizeof j->quads);
    j->surface = j->lines = NULL;
    j->chain = NULL;
    return QL_OK;
}

/* One way to begin, unless it has these `known` features; hopeless = no other way with these features will do better. */
static ql_status one_attempt(winner *w, ql_job *j, ql_status (*method)(ql_job *, bool *), int32_t known, bool *hopeless)
{
    bool found = false;
    ql_status status = ql_job_prepare(j);
    if (status == QL_OK && j->features == known) return QL_OK;
    if (status == QL_OK) status = method(j, &found);
    if (status == QL_OK && found) status = keep_better(w, j);
    *hopeless = !found && j->loose >= QL_JOB_HOPELESS;
    j->crowded = j->crowded && !found && j->features > 0;
    return status;
}

/* The rung that always works; without sharp edges when with them the number of quads is missed. */
static ql_status without_map(const ql_job *base, winner *w)
{
    double wanted = base->component->area / (base->edge * base->edge);
    ql_status status = QL_OK;
    for (int i = 0; status == QL_OK && i < 2; ++i) {
        bool found = false;
        ql_job j = *base;
        j.begin = BEGINNING[0];
        if (i == 1) j.feature_angle_deg = 180;
        status = ql_job_prepare(&j);
        if (status == QL_OK && (i == 1 || j.crowding <= CROWDED)) status = ql_job_split(&j, &found);
        if (status == QL_OK && found) status = keep_better(w, &j);
        ql_job_destroy(&j);
        if (i == 0 && status == QL_STATUS_NUMERIC) {
            ql_error_clear();
            status = QL_OK;
        }
        w->relaxed |= i == 1;
        if (fabs(w->quads.face_count / wanted - 1) <= OFF_TARGET) break;
    }
    return status;
}

/* Whether fewer features may do better: nothing found yet, or quads that were mended at the price of many irregular vertices. */
static bool wanting(const winner *w)
{
    return w->penalty == INFINITY || (w->mended && w->penalty > DEAR_SHARE * w->singular + DEAR_MORE);
}

/* Tries one beginning after the other, then fewer features, then what always works; the best result is kept. A hopeless first
 * beginning leaves the next two a chance, which hold on to fewer features. */
static ql_status best_of(ql_job *base, winner *w)
{
    ql_status status = QL_OK;
    bool hopeless = false;
    int32_t features = -1;
    w->penalty = INFINITY;
    for (int i = 0; status == QL_OK && i < BEGINNINGS && !(hopeless && i > 2); ++i) {
        base->patience = w->penalty == INFINITY ? PATIENCE : 1;
        if (ql_job_tired(base)) break;
        ql_job j = *base;
        j.begin = BEGINNING[i];
        status = one_attempt(w, &j, ql_job_climb, i == BY_PATCHES ? features : -1, &hopeless);
        features = j.features;
        bool crowded = j.crowded || j.crowding > CROWDED;
        ql_job_destroy(&j);
        if (w->penalty <= 1.1 * w->singular + 2 || (w->penalty == INFINITY && crowded)) break;
    }
    base->patience = 1;
    for (int i = 0; status == QL_OK && i < RELAXATIONS && wanting(w) && features > 0; ++i) {
        double before = w->penalty;
        if (i + 1 == RELAXATIONS && before == INFINITY) base->patience = fmax(1, ql_job_spent(base) + LAST_CHANCE);
        if (ql_job_tired(base)) continue;
        ql_job j = *base;
        j.begin = BEGINNING[0];
        j.feature_angle_deg = fmax(j.feature_angle_deg, RELAXED_DEG[i]);
        status = one_attempt(w, &j, ql_job_climb, features, &hopeless);
        features = j.features > 0 ? j.features : features;
        if (w->penalty < before) w->relaxed = true;
        ql_job_destroy(&j);
    }
    return status == QL_OK && w->penalty == INFINITY ? without_map(base, w) : status;
}

/* The edge, smaller where that gives a small component a few quads; a sliver, which has length without area, gets only so many
 * along it: 200, or all that are wanted. */
static double own_edge(const ql_component *component, double edge, double wanted)
{
    enum { FEW = 12, MOST_ALONG = 200 };
    const ql_surface *s = &component->surface;
    double low[3] = {INFINITY, INFINITY, INFINITY}, high[3] = {-INFINITY, -INFINITY, -INFINITY};
    for (int32_t v = 0; v < s->vertex_count; ++v)
        for (int c = 0; c < 3; ++c) {
            low[c] = fmin(low[c], ql_at(s, v)[c]);
            high[c] = fmax(high[c], ql_at(s, v)[c]);
        }
    double length = sqrt(ql_distance2(low, high)), small = fmax(sqrt(component->area / FEW), length / MOST_ALONG);
    return fmax(fmin(edge, small), length / fmax(wanted, MOST_ALONG));
}

static ql_status one_component(ql_quad_result *result, const ql_prepared *prepared, int32_t c, const ql_mesh *mesh,
                               const double *alpha, const ql_quads_options *options, double edge, bool *relaxed)
{
    const ql_component *component = &prepared->component[c];
    double own = own_edge(component, edge, prepared->area / (edge * edge));
    int64_t effort = 0;
    ql_job base = {.mesh = mesh,
                   .alpha = options->method == QL_QUADS_SMOOTH ? NULL : alpha,
                   .component = component,
                   .edge = own,
                   .feature_angle_deg = options->feature_angle_deg,
                   .irregular_price = options->irregular_price,
                   .effort = &effort,
                   .patience = 1,
                   .time = &result->quality};
    winner w = {.rung = QL_RUNG_FIELD};
    ql_status status = best_of(&base, &w);
    double since = ql_clock_s();
    if (status == QL_OK) status = ql_fit(&w.quads, &component->surface, w.surface, w.lines, w.chain, FIT_SWEEPS);
    result->quality.improve_s += ql_clock_lap(&since);
    if (status == QL_OK) status = ql_quad_result_append(result, &w.quads);
    if (status == QL_OK) {
        if (w.rung > result->rung) result->rung = w.rung;
        result->quality.field_singularities += w.singular;
        *relaxed |= w.relaxed;
    }
    winner_destroy(&w);
    return QL_CHAIN(status, "component %d of %d (from face %d)", c + 1, prepared->count, component->parent[0]);
}

/* The smallest first: those that are smaller than a few quads get more than their share of the wanted number, the others less. */
static ql_status all_components(ql_quad_result *result, const ql_prepared *prepared, const ql_mesh *mesh,
                                const double *alpha, const ql_quads_options *options, double edge, bool *relaxed)
{
    double wanted = prepared->area / (edge * edge), area = prepared->area, left = wanted;
    for (int32_t c = prepared->count - 1; c >= 0; --c) {
        const ql_component *component = &prepared->component[c];
        int32_t before = result->face_count;
        bool small = own_edge(component, edge, wanted) < edge;
        bool as_asked = options->edge_length > 0 || small || left == wanted;
        double share = as_asked ? edge : sqrt(area / fmax(left, LEAST_LEFT * wanted));
        QL_TRY(one_component(result, prepared, c, mesh, alpha, options, share, relaxed));
        if (!small) continue;
        area -= component->area;
        left -= result->face_count - before;
    }
    return QL_OK;
}

static ql_status check_request(const ql_mesh *mesh, const double *alpha, const ql_quads_options *options)
{
    if (!(options->edge_length > 0) && (options->target < 1 || options->target > 20000000))
        return QL_FAIL(CONFIG, "target of %lld quads: expected 1 to 20000000", (long long)options->target);
    for (int64_t i = 0; alpha != NULL && i < 3 * (int64_t)mesh->face_count; ++i)
        if (!isfinite(alpha[i]))
            return QL_FAIL(FORMAT, "field: direction of face %lld is not a finite number", (long long)(i / 3));
    for (int64_t i = 0; i < 3 * (int64_t)mesh->vertex_count; ++i)
        if (!isfinite(mesh->vertices[i])) return QL_FAIL(MESH, "vertex %lld is not a finite point", (long long)(i / 3));
    return QL_OK;
}

ql_status ql_quads_make(ql_quad_result *result, const ql_mesh *mesh, const double *alpha,
                        const ql_quads_options *options)
{
    memset(result, 0, sizeof *result);
    QL_TRY(check_request(mesh, alpha, options));
    openblas_set_num_threads(1); /* else CHOLMOD's sums, and with them the quads, would depend on how many there are */
    double begin = ql_clock_s(), since = begin;
    ql_prepared prepared;
    QL_TRY(ql_prepare(&prepared, mesh));
    result->quality.prepare_s = ql_clock_lap(&since);
    double edge = options->edge_length > 0 ? options->edge_length : sqrt(prepared.area / (double)options->target);
    bool relaxed = false;
    ql_status status = QL_OK;
    if (prepared.area / (edge * edge) > 2e7)
        status = QL_FAIL(CONFIG, "edge length %g would give %.3g quads; at most 20000000", edge,
                         prepared.area / (edge * edge));
    if (status == QL_OK) status = all_components(result, &prepared, mesh, alpha, options, edge, &relaxed);
    if (status == QL_OK) status = ql_quad_result_judge(result, mesh, options->feature_angle_deg);
    if (status == QL_OK) {
        ql_quad_result_note(result, &prepared, relaxed);
        result->quality.total_s = ql_clock_s() - begin;
    }
    ql_prepared_destroy(&prepared);
    if (status != QL_OK) ql_quad_result_destroy(result);
    return status;
}

#include "quad/mapping.h"

#include "base/log.h"
#include "base/memory.h"
#include "field/cross_vector.h"
#include "quad/separate.h"
#include "quad/untangle.h"

#include <stdbool.h>
#include <string.h>

/* With so many integers rounding would take too long. */
enum { MOST_INTEGERS = 1500, UNTANGLE_NS = 150 };
/* Stiffening: rounds, rings of faces round a fold, and what their weight is multiplied by. */
enum { ROUNDS = 4, RINGS = 2 };
static const double STIFFER = 3;
/* Rounds that leave more than this share of the folds are vain; after so many the folds have another cause. */
static const double ENOUGH = 0.95;
enum { VAIN = 2 };
/* So have folds of more than one face in so many. */
enum { ONE_IN = 50 };
/* Nodes and lines within so many cells of each other in the relaxed map are kept apart. */
static const double REACH = 2.2;

void ql_mapping_destroy(ql_mapping *m)
{
    if (m == NULL) return;
    ql_cut_destroy(&m->cut);
    ql_grid_destroy(&m->grid);
    ql_map_destroy(&m->map);
    ql_conditions_destroy(&m->conditions);
    ql_free(m->weight);
    ql_free(m->z);
    ql_free(m->linear);
    ql_free(m->value);
    ql_free(m->uv);
    memset(m, 0, sizeof *m);
}

static ql_status relax(ql_mapping *m, double edge)
{
    QL_TRY(ql_map_relaxed(&m->map, edge, m->z));
    return ql_map_solve(&m->map, edge, m->z, m->value);
}

/* Weights under which a gradient s times as long as wished costs log^2 s and not (s - 1)^2: one step of iterative reweighting. */
static ql_status balance(ql_mapping *m, double edge)
{
    static const double LEAST = 0.2, MOST = 5;
    int64_t count = 2 * (int64_t)m->surface->face_count;
    double *gradient = NULL;
    QL_TRY(QL_TAKE(gradient, count));
    ql_status status = relax(m, edge);
    if (status == QL_OK) ql_untangle_gradients(&m->map, edge, m->value, gradient);
    for (int64_t i = 0; status == QL_OK && i < count; ++i) {
        double s = fmin(fmax(gradient[i] / m->cut.scale[i / 2], LEAST), MOST);
        double ratio = fabs(s - 1) < 1e-3 ? 1 : log(s) / (s - 1);
        m->weight[i] = ratio * ratio;
    }
    ql_free(gradient);
    return status == QL_OK ? ql_map_reweigh(&m->map, m->weight) : status;
}

ql_status ql_mapping_create(ql_mapping *m, const ql_surface *s, const double *phi, const uint8_t *matching, double edge)
{
    memset(m, 0, sizeof *m);
    m->surface = s;
    ql_status status = ql_cut_create(&m->cut, s, phi, matching);
    if (status == QL_OK) status = ql_grid_create(&m->grid, s, &m->cut, 1);
    if (status == QL_OK && m->grid.free_integers > MOST_INTEGERS)
        status = QL_FAIL(NUMERIC, "%d integers to round, more than %d", m->grid.free_integers, MOST_INTEGERS);
    if (status == QL_OK) status = ql_map_create(&m->map, s, &m->cut, &m->grid);
    if (status == QL_OK) status = QL_TAKE(m->weight, 2 * (int64_t)s->face_count);
    if (status == QL_OK) status = QL_TAKE(m->z, m->grid.free_integers + 1);
    if (status == QL_OK) status = QL_TAKE(m->linear, m->grid.free_integers + 1);
    if (status == QL_OK) status = QL_TAKE(m->value, m->map.size + 1);
    if (status == QL_OK) status = QL_TAKE(m->uv, 6 * (int64_t)s->face_count);
    if (status == QL_OK) status = balance(m, edge);
    if (status != QL_OK) ql_mapping_destroy(m);
    return status;
}

ql_status ql_mapping_cells(ql_mapping *m, double edge, double *cells)
{
    double *det = NULL, normal[3];
    QL_TRY(QL_TAKE(det, m->surface->face_count));
    ql_status status = relax(m, edge);
    if (status == QL_OK) status = ql_untangle_determinants(&m->map, edge, m->value, det);
    *cells = 0;
    for (int32_t f = 0; status == QL_OK && f < m->surface->face_count; ++f)
        *cells += 0.5 * det[f] * ql_surface_normal(m->surface, f, normal) / (edge * edge);
    ql_free(det);
    return status;
}

/* One rounding with the weights as they are. */
static ql_status round_once(ql_mapping *m, double edge)
{
    int64_t work = 0;
    ql_conditions_destroy(&m->conditions);
    QL_TRY(relax(m, edge));
    QL_TRY(ql_separate(&m->conditions, &m->map, m->value, REACH));
    for (int32_t i = 0; i < m->grid.free_integers; ++i) m->linear[i] = m->map.linear[i] / edge;
    QL_TRY(ql_round(m->map.schur, m->linear, m->grid.free_integers, &m->conditions, m->z, &m->broken, &work));
    m->effort += work;
    QL_TRY(ql_map_solve(&m->map, edge, m->z, m->value));
    QL_TRY(ql_untangle(&m->map, edge, m->value, &m->folded, &work));
    m->effort += UNTANGLE_NS * work;
    return QL_OK;
}

/* Three times the weight round folds, and the edge that keeps the number of cells. */
static ql_status stiffen(ql_mapping *m, double *edge)
{
    uint8_t *mark = NULL;
    double before, after;
    QL_TRY(QL_TAKE(mark, m->surface->face_count));
    ql_status status = ql_untangle_mark(&m->map, *edge, m->value, RINGS, mark);
    for (int32_t f = 0; status == QL_OK && f < m->surface->face_count; ++f)
        for (int c = 0; mark[f] && c < 2; ++c) m->weight[2 * (int64_t)f + c] *= STIFFER;
    ql_free(mark);
    if (status == QL_OK) status = ql_mapping_cells(m, *edge, &before);
    if (status == QL_OK) status = ql_map_reweigh(&m->map, m->weight);
    if (status == QL_OK) status = ql_mapping_cells(m, *edge, &after);
    if (status == QL_OK && after > 0.2 * before && after < 5 * before) *edge *= sqrt(after / before);
    return status;
}

ql_status ql_mapping_round(ql_mapping *m, double *edge)
{
    double *best = NULL, at = *edge;
    size_t bytes = (size_t)m->map.size * sizeof *best;
    int32_t folded = INT32_MAX, broken = 0, vain = 0;
    m->effort = 0;
    QL_TRY(QL_TAKE(best, m->map.size + 1));
    ql_status status = QL_OK;
    for (int round = 0; status == QL_OK; ++round) {
        status = round_once(m, at);
        if (status != QL_OK) break;
        if (round > 0) QL_DEBUG("stiffened at edge %g: %d folded triangles", at, m->folded);
        vain += round > 0 && m->folded > ENOUGH * folded;
        if (m->folded < folded) {
            folded = m->folded;
            broken = m->broken;
            *edge = at;
            memcpy(best, m->value, bytes);
        }
        bool hopeless = ONE_IN * m->folded > m->surface->face_count || m->broken > QL_MAPPING_MOST_BROKEN;
        if (m->folded == 0 || round == ROUNDS || vain == VAIN || hopeless) break;
        status = stiffen(m, &at);
    }
    m->folded = folded;
    m->broken = broken;
    if (status == QL_OK) {
        memcpy(m->value, best, bytes);
        status = ql_map_fixed(&m->map, m->value, m->uv);
    }
    ql_free(best);
    return status;
}

/* Rungs of the ladder that need a map: field, map, rounding, extraction, verification; see quad.h. */
#include "quad/job.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "field/cross.h"
#include "field/cross_clean.h"
#include "field/cross_snap.h"
#include "field/cross_vector.h"
#include "field/smooth.h"
#include "quad/extract.h"
#include "quad/feature.h"
#include "quad/fill.h"
#include "quad/mapping.h"
#include "quad/mend.h"
#include "quad/part.h"
#include "quad/release.h"
#include "quad/remesh.h"

#include <string.h>

/* Singular vertices nearer to a feature than this share of the quad edge are moved onto it. */
static const double SNAP = 0.7;
/* With so many corners there are too many integers. */
enum { MOST_CORNERS = 1500 };
/* With so many broken, and one in so many of all, there are more features than the quads have room for. */
enum { CROWD_BROKEN = 200, CROWD_ONE_IN = 10 };
/* So far off the wanted number the quads are made again at another edge, when they are not just a few; a map with loose ports,
 * which the next one would have as well, is worth the time only when it misses what is promised. */
static const double OFF_TARGET = 0.08, OFF_TARGET_LOOSE = 0.1;
/* Polygons that are split have no other chance; so far off they are no result all the same. */
static const double FAR_OFF = 0.5;
enum { LOST = 300 }; /* with more loose ports than LOST nothing is gained by another number */
/* A component that has cost so much effort per wanted quad (and at least as much as for so many) is not begun anew: what there is
 * has to do. Counted in operations, so that results do not depend on the machine. */
static const int64_t EFFORT_PER_QUAD = 4000000;
enum { EFFORT_QUADS = 5000 };

double ql_job_spent(const ql_job *j)
{
    double quads = fmax(EFFORT_QUADS, j->component->area / (j->edge * j->edge));
    return (double)*j->effort / ((double)EFFORT_PER_QUAD * quads);
}

bool ql_job_tired(const ql_job *j) { return ql_job_spent(j) > j->patience; }

/* Vertices where the boundary passes more than once: two loops that touch are one to who counts connected edges. */
static int32_t count_pinched(const ql_surface *s)
{
    uint8_t *seen = NULL;
    int32_t pinched = 0;
    if (QL_TAKE(seen, s->vertex_count + 1) != QL_OK) return -1;
    for (int32_t h = 0; h < 3 * s->face_count; ++h)
        if (s->opposite[h] < 0) pinched += seen[ql_from(s, h)]++ > 0;
    ql_free(seen);
    return pinched;
}

/* Do the quads make an oriented manifold of the component's topology? */
static bool right_topology(const ql_job *j, const ql_quads *q)
{
    int32_t loops = -1, euler = 0;
    ql_surface s;
    bool good = q->face_count > 0 && ql_quads_triangulate(&s, q) == QL_OK;
    if (good) {
        euler = ql_surface_euler(&s);
        good =
            ql_surface_loops(&s, &loops) == QL_OK && euler == j->euler && loops == j->loops && count_pinched(&s) == 0;
        ql_surface_destroy(&s);
    }
    if (!good)
        QL_DEBUG("topology: euler %d for %d, loops %d for %d; %s", euler, j->euler, loops, j->loops, ql_error_text());
    ql_error_clear();
    return good;
}

/* Takes over quads that verify: topology before the work of improving them, and after it. */
bool ql_job_accept(ql_job *j, ql_quads *q, int sweeps)
{
    double since = ql_clock_s();
    bool good = right_topology(j, q);
    j->time->verify_s += ql_clock_lap(&since);
    good = good && ql_polish(q, j->surface, j->lines, j->chain, sweeps) == QL_OK;
    j->time->improve_s += ql_clock_lap(&since);
    j->released = 0;
    good = good && ql_release_folds(q, j->surface, j->lines, j->chain, sweeps, &j->released);
    j->time->improve_s += ql_clock_lap(&since);
    good = good && right_topology(j, q);
    j->time->verify_s += ql_clock_lap(&since);
    if (good) {
        ql_quads_destroy(&j->quads);
        j->quads = *q;
        memset(q, 0, sizeof *q);
    }
    return good;
}

/* One integer-grid map at about one edge length (in/out): rounding, fold repair, extraction. */
static ql_status extract_at(ql_mapping *m, ql_job *j, double *edge, ql_polygons *polygons)
{
    double since = ql_clock_s();
    memset(polygons, 0, sizeof *polygons);
    ql_status status = ql_mapping_round(m, edge);
    *j->effort += m->effort;
    j->folded = m->folded;
    j->time->map_s += ql_clock_lap(&since);
    if (status == QL_OK) status = ql_extract(polygons, &j->work, m->uv, m->cut.matching);
    j->time->extract_s += ql_clock_lap(&since);
    j->loose =
        m->broken > QL_MAPPING_MOST_BROKEN && polygons->loose < QL_JOB_HOPELESS ? QL_JOB_HOPELESS : polygons->loose;
    j->crowded = m->broken > CROWD_BROKEN && CROWD_ONE_IN * m->broken > m->conditions.count;
    if (status == QL_OK)
        QL_DEBUG("map at edge %g: %d of %d conditions broken, %d folded triangles, %d faces, %d quads, %d loose ports",
                 *edge, m->broken, m->conditions.count, m->folded, polygons->face_count, polygons->quads,
                 polygons->loose);
    return status;
}

/* Every corner of features is a node with integers of its own. */
static ql_status check_corners(ql_job *j)
{
    int32_t corners = 0;
    for (int32_t v = 0; v < j->work.vertex_count; ++v) corners += j->corner[v];
    if (corners <= MOST_CORNERS) return QL_OK;
    j->loose = QL_JOB_HOPELESS;
    return QL_FAIL(NUMERIC, "%d corners of features, more than %d", corners, MOST_CORNERS);
}

/* How a field is made: it follows the given one; it is the smoothest one with the singular vertices that following left; it is
 * smooth from the beginning. Which transports clean it (field/cross_clean.h): all; another one in place of the last, which
 * hardly costs more and gives another topology; fewer. The price of an irregular vertex, as a share. */
typedef enum guidance { FOLLOW, EASE, SMOOTH } guidance;
typedef enum transports { ALL, OTHER, FEWER } transports;
typedef struct approach {
    guidance guidance;
    transports transports;
    double price;
} approach;

/* In this order, until one has a map. */
static const approach GIVEN_FIELD[] = {{FOLLOW, ALL, 1}, {EASE, ALL, 1},     {EASE, OTHER, 1},
                                       {EASE, FEWER, 1}, {FOLLOW, ALL, 0.5}, {SMOOTH, ALL, 1}},
                      NO_FIELD[] = {{SMOOTH, ALL, 1}, {SMOOTH, OTHER, 1}, {SMOOTH, FEWER, 1}};
enum {
    GIVEN_APPROACHES = sizeof GIVEN_FIELD / sizeof *GIVEN_FIELD,
    OWN_APPROACHES = sizeof NO_FIELD / sizeof *NO_FIELD,
    FEWER_BY = 8 /* one in so many, and one */
};

/* Singular vertices that no longer follow the given field's angles bend it more than need be. */
static ql_status clean_field(ql_job *j, const approach *way)
{
    ql_clean_options options = {.price = way->price * (way->guidance == SMOOTH ? j->begin.price : j->irregular_price),
                                .follow = way->guidance != SMOOTH,
                                .most = INT32_MAX,
                                .second = way->transports == OTHER ? j->transports - 1 : -1};
    ql_clean_report cleaned, eased;
    if (way->transports == FEWER) options.most = j->transports - 1 - j->transports / FEWER_BY;
    QL_TRY(ql_cross_clean(&j->work, &options, j->phi, j->matching, &cleaned));
    *j->effort += cleaned.work;
    if (way->transports == ALL) j->transports = cleaned.transports;
    QL_DEBUG("field: %d singular vertices, %d after %d transports, %d sectors corrected, %d tubes untwisted, energy %g",
             cleaned.before, cleaned.after, cleaned.transports, cleaned.sectors, cleaned.untwisted, cleaned.energy);
    if (way->guidance != EASE) return QL_OK;
    options = (ql_clean_options){.second = -1};
    QL_TRY(ql_cross_clean(&j->work, &options, j->phi, j->matching, &eased));
    *j->effort += eased.work;
    QL_DEBUG("eased: %d singular vertices, energy %g", eased.after, eased.energy);
    return QL_OK;
}

static ql_status make_field(ql_job *j, const approach *way)
{
    const bool given = way->guidance != SMOOTH;
    double since = ql_clock_s(), *guide = NULL;
    ql_status status = QL_OK;
    if (given) {
        const ql_surface *s = &j->work;
        double *alpha = NULL;
        status = QL_TAKE(alpha, 3 * (int64_t)s->face_count);
        if (status == QL_OK) status = QL_TAKE(guide, s->face_count);
        for (int32_t f = 0; status == QL_OK && f < s->face_count; ++f) {
            double x[3] = {0, 0, 0}, near_one[3], d2;
            for (int k = 0; k < 3; ++k) ql_axpy(1.0 / 3, ql_at(s, s->faces[3 * f + k]), x);
            int32_t t = ql_closest_find(j->surface, x, INFINITY, near_one, &d2);
            if (t >= 0) memcpy(alpha + 3 * (int64_t)f, j->alpha + 3 * (int64_t)j->component->parent[t], sizeof x);
        }
        if (status == QL_OK) ql_cross_angles(s, alpha, guide);
        ql_free(alpha);
    }
    if (status == QL_OK) status = ql_smooth_field(&j->work, guide, j->edge, j->phi);
    ql_free(guide);
    double *psi = NULL;
    if (status == QL_OK) status = QL_TAKE(psi, 3 * (int64_t)j->work.face_count);
    if (status == QL_OK) {
        int32_t moved = 0;
        ql_cross_edge_angles(&j->work, psi);
        ql_cross_matching(&j->work, psi, j->phi, j->matching);
        status = clean_field(j, way);
        if (status == QL_OK)
            status = ql_cross_snap(&j->work, SNAP * j->edge, way->guidance == FOLLOW, j->phi, j->matching, &moved);
        QL_DEBUG("%d singular vertices moved onto features", moved);
    }
    ql_free(psi);
    j->time->field_s += ql_clock_lap(&since);
    return status;
}

/* Quads of the map at one edge length; none when polygons are left that cannot be filled with quads. */
static ql_status map_once(ql_mapping *m, ql_job *j, double *edge, ql_quads *quads)
{
    ql_polygons polygons;
    int32_t odd = 0, parted = 0;
    memset(quads, 0, sizeof *quads);
    ql_status status = extract_at(m, j, edge, &polygons);
    if (status == QL_OK && polygons.face_count > 0) status = ql_fill(quads, &polygons, &j->work, j->corner, &odd);
    if (status != QL_OK || odd > 0) ql_quads_destroy(quads);
    j->mended = 0;
    bool worth = quads->face_count > 0 && !(j->crowded && j->features > 0); /* else fewer features do better */
    if (status == QL_OK && worth) status = ql_quads_part(quads, &parted);
    if (status == QL_OK && worth) status = ql_quads_mend(quads, &j->mended);
    if (parted + j->mended > 0) QL_DEBUG("%d doubled edges parted, %d places mended", parted, j->mended);
    j->mended += parted;
    ql_polygons_destroy(&polygons);
    return status;
}

/* The same, and when rounding made them many more or fewer than wanted, once more at an edge that makes up for it. */
static ql_status map_near(ql_mapping *m, ql_job *j, double edge, ql_quads *quads)
{
    double wanted = j->component->area / (j->edge * j->edge);
    QL_TRY(map_once(m, j, &edge, quads));
    for (int again = 0; again < 2 && quads->face_count > QL_JOB_FEW_QUADS && !ql_job_tired(j); ++again) {
        ql_quads other;
        int32_t loose = j->loose, mended = j->mended, folded = j->folded;
        double off = fabs(quads->face_count / wanted - 1);
        if (off <= (loose > 0 ? OFF_TARGET_LOOSE : OFF_TARGET) || off > 1 || loose > LOST) break;
        edge *= sqrt(quads->face_count / wanted);
        QL_TRY(map_once(m, j, &edge, &other));
        if (other.face_count > 0 && fabs(other.face_count / wanted - 1) < off && right_topology(j, &other)) {
            ql_quads_destroy(quads);
            *quads = other;
            continue;
        }
        ql_quads_destroy(&other);
        j->loose = loose;
        j->mended = mended;
        j->folded = folded;
        break;
    }
    return QL_OK;
}

/* The edge at which the map has about the wanted number of cells. */
static ql_status normal_edge(ql_mapping *m, const ql_job *j, double *edge)
{
    double cells = 0, wanted = j->component->area / (j->edge * j->edge);
    QL_TRY(ql_mapping_cells(m, j->edge, &cells));
    *edge = cells > 0.2 * wanted && cells < 5 * wanted ? j->edge * sqrt(cells / wanted) : j->edge;
    return QL_OK;
}

/* Puts aside what had to be mended. */
static void set_aside(ql_job *j, ql_quad_rung rung)
{
    j->spare = (ql_job_result){j->quads, rung, j->singular, j->released, j->mended};
    memset(&j->quads, 0, sizeof j->quads);
}

/* Quads of one map, when they verify; those that had to be mended are put aside. */
static ql_status try_map(ql_mapping *m, ql_job *j, ql_quad_rung rung, double scale, bool *done)
{
    ql_quads quads = {0};
    double edge;
    QL_TRY(normal_edge(m, j, &edge));
    QL_TRY(map_near(m, j, edge * scale, &quads));
    bool again = j->mended > 0 && j->spare.quads.face_count > 0;
    if (quads.face_count > 0 && !again && ql_job_accept(j, &quads, 12)) {
        *done = j->mended == 0;
        j->rung = rung;
        if (!*done) set_aside(j, rung);
    }
    ql_quads_destroy(&quads);
    return QL_OK;
}

/* Integer-grid maps of the current field at several scales. */
static ql_status try_maps(ql_job *j, ql_quad_rung rung, const double *scale, int scales, bool *done)
{
    ql_mapping m;
    double since = ql_clock_s();
    *done = false;
    j->loose = QL_JOB_HOPELESS;
    QL_TRY(ql_mapping_create(&m, &j->work, j->phi, j->matching, j->edge));
    j->singular = m.cut.singular;
    j->time->map_s += ql_clock_lap(&since);
    ql_status status = QL_OK;
    for (int i = 0; status == QL_OK && i < scales && !*done && !ql_job_tired(j); ++i)
        status = try_map(&m, j, rung, scale[i], done);
    ql_mapping_destroy(&m);
    return status;
}

/* The polygons of a map, each split once. */
static ql_status split_polygons(const ql_job *j, const ql_polygons *p, ql_quads *quads)
{
    uint8_t *pin = NULL, *line = NULL;
    memset(quads, 0, sizeof *quads);
    if (p->face_count == 0) return QL_OK;
    ql_status status = QL_TAKE(pin, p->vertex_count + 1);
    if (status == QL_OK) status = QL_TAKE(line, p->start[p->face_count] + 1);
    for (int32_t v = 0; status == QL_OK && v < p->vertex_count; ++v) pin[v] = ql_fill_pin(p, v, &j->work, j->corner);
    for (int32_t f = 0; status == QL_OK && f < p->face_count; ++f)
        for (int32_t i = p->start[f]; i < p->start[f + 1]; ++i) {
            int32_t next = p->corner[i + 1 < p->start[f + 1] ? i + 1 : p->start[f]];
            double x[3], near_one[3], d2;
            if (pin[p->corner[i]] == QL_PIN_FREE || pin[next] == QL_PIN_FREE || j->lines == NULL) continue;
            ql_lerp(p->vertices + 3 * (int64_t)p->corner[i], p->vertices + 3 * (int64_t)next, 0.5, x);
            line[i] = ql_closest_find(j->lines, x, 0.0625 * j->edge * j->edge, near_one, &d2) >= 0;
        }
    if (status == QL_OK)
        status = ql_fill_split(quads, p->vertices, p->vertex_count, p->start, p->corner, p->face_count, pin, line);
    ql_free(pin);
    ql_free(line);
    return status;
}

/* A map of half the resolution whose polygons are split once; another one when the number of quads is far from the wanted. */
static ql_status try_coarse(ql_job *j, bool *done)
{
    ql_mapping m;
    double edge, wanted = j->component->area / (j->edge * j->edge);
    *done = false;
    QL_TRY(ql_mapping_create(&m, &j->work, j->phi, j->matching, j->edge));
    ql_status status = normal_edge(&m, j, &edge);
    edge *= 2;
    for (int tries = 0; status == QL_OK && tries < 3 && !*done; ++tries) {
        ql_polygons p;
        ql_quads quads = {0};
        status = extract_at(&m, j, &edge, &p);
        if (status == QL_OK) status = split_polygons(j, &p, &quads);
        ql_polygons_destroy(&p);
        double ratio = quads.face_count / wanted;
        bool again = tries < 2 && ratio > 0.1 && fabs(ratio - 1) > OFF_TARGET_LOOSE && !ql_job_tired(j);
        bool near_enough = quads.face_count <= QL_JOB_FEW_QUADS || fabs(ratio - 1) <= FAR_OFF;
        if (status == QL_OK && !again && near_enough && quads.face_count > 0 && ql_job_accept(j, &quads, 12)) {
            *done = true;
            j->rung = QL_RUNG_COARSE;
        }
        ql_quads_destroy(&quads);
        if (!again) break;
        edge *= sqrt(ratio);
    }
    ql_mapping_destroy(&m);
    return status;
}

ql_status ql_job_copy(ql_surface *out, const ql_surface *in)
{
    QL_TRY(ql_surface_create(out, in->vertices, in->vertex_count, in->faces, in->face_count));
    memcpy(out->feature, in->feature, 3 * (size_t)in->face_count);
    return QL_OK;
}

ql_status ql_job_prepare(ql_job *j)
{
    double since = ql_clock_s();
    QL_TRY(ql_job_copy(&j->original, &j->component->surface));
    j->euler = ql_surface_euler(&j->original);
    QL_TRY(ql_surface_loops(&j->original, &j->loops));
    QL_TRY(ql_feature_mark(&j->original, j->feature_angle_deg, j->edge, j->begin.patch));
    QL_TRY(ql_feature_open_wedges(&j->original, j->begin.gap * j->edge, j->edge));
    for (int32_t h = 0; h < 3 * j->original.face_count; ++h) {
        const ql_surface *s = &j->original;
        if (!s->feature[h] || s->opposite[h] < h) continue;
        ++j->features;
        j->crowding += sqrt(ql_distance2(ql_at(s, ql_from(s, h)), ql_at(s, ql_to(s, h))));
    }
    j->crowding *= j->edge / j->component->area;
    QL_DEBUG("%d edges of features, %.3g per quad edge", j->features, j->crowding);
    QL_TRY(ql_closest_of_faces(&j->surface, j->original.vertices, j->original.faces, j->original.face_count));
    QL_TRY(ql_remesh_lines(&j->original, &j->lines, &j->chain));
    QL_TRY(ql_job_copy(&j->work, &j->original));
    QL_TRY(ql_remesh(&j->work, j->begin.work_edge * j->edge, 5, j->surface, j->lines, 1));
    QL_TRY(QL_TAKE(j->corner, j->work.vertex_count));
    QL_TRY(QL_TAKE(j->phi, j->work.face_count));
    QL_TRY(QL_TAKE(j->matching, 3 * (int64_t)j->work.face_count));
    QL_TRY(ql_feature_corners(&j->work, j->corner));
    j->time->prepare_s += ql_clock_lap(&since);
    return QL_OK;
}

/* A step that breaks down numerically only costs its rung. */
static ql_status forgive(ql_status status, const char *rung)
{
    if (status == QL_STATUS_NUMERIC || status == QL_STATUS_INTERNAL || status == QL_STATUS_MESH) {
        QL_DEBUG("rung %s: %s", rung, ql_error_text());
        ql_error_clear();
        return QL_OK;
    }
    return status;
}

/* Maps of one field, at several scales. */
static ql_status climb_way(ql_job *j, const approach *way, bool *done)
{
    static const double first[] = {1}, more[] = {0.97, 1.04};
    ql_quad_rung best = j->alpha != NULL && way->guidance == SMOOTH ? QL_RUNG_SMOOTH : QL_RUNG_FIELD;
    ql_status status = check_corners(j);
    if (status == QL_OK) status = make_field(j, way);
    if (status == QL_OK) status = try_maps(j, best, first, 1, done);
    if (status == QL_OK && !*done && j->loose < QL_JOB_HOPELESS && j->folded == 0)
        status = try_maps(j, best == QL_RUNG_FIELD ? QL_RUNG_SCALED : best, more, 2, done);
    return forgive(status, ql_quad_rung_name(best));
}

/* Whether what had to be mended is better than what was found without, if anything was: a place that was mended may have lost
 * sharp edges and counts as several irregular vertices. */
static ql_status spare_is_better(const ql_job *j, bool found, bool *better)
{
    enum { PLACE = 4 };
    int32_t without = 0, with = 0;
    *better = j->spare.quads.face_count > 0;
    if (!*better || !found) return QL_OK;
    QL_TRY(ql_quad_count_irregular(&j->quads, &without));
    QL_TRY(ql_quad_count_irregular(&j->spare.quads, &with));
    QL_DEBUG("without mending %d irregular, %d released; with %d places %d, %d", without, j->released, j->spare.mended,
             with, j->spare.released);
    *better = without + j->released > with + j->spare.released + PLACE * j->spare.mended;
    return QL_OK;
}

static void take_spare(ql_job *j)
{
    ql_quads_destroy(&j->quads);
    j->quads = j->spare.quads;
    j->rung = j->spare.rung;
    j->singular = j->spare.singular;
    j->released = j->spare.released;
    j->mended = j->spare.mended;
    memset(&j->spare, 0, sizeof j->spare);
}

/* The rungs that need a map. */
ql_status ql_job_climb(ql_job *j, bool *found)
{
    bool done = false, better = false;
    const approach *way = j->alpha != NULL ? GIVEN_FIELD : NO_FIELD;
    const approach *end = way + (j->alpha != NULL ? (int)GIVEN_APPROACHES : (int)OWN_APPROACHES);
    for (const approach *first = way; way < end && !done && !ql_job_tired(j); ++way) {
        if (way > first && way->guidance != SMOOTH && j->irregular_price <= 0) continue;
        if (way->transports != ALL && j->transports == 0) continue;
        if (j->alpha != NULL && way->guidance == SMOOTH && j->spare.quads.face_count > 0)
            break; /* of the given field */
        QL_TRY(climb_way(j, way, &done));
    }
    QL_TRY(spare_is_better(j, done, &better));
    if (better) take_spare(j);
    done = done || better;
    /* without faults, but an arm of the surface is so thin that two edges join the same two vertices: a split parts them */
    if (!done && j->loose < QL_JOB_HOPELESS && !ql_job_tired(j)) QL_TRY(forgive(try_coarse(j, &done), "coarse"));
    *found = done;
    return QL_OK;
}

void ql_job_destroy(ql_job *j)
{
    ql_surface_destroy(&j->original);
    ql_surface_destroy(&j->work);
    ql_free(j->corner);
    ql_free(j->phi);
    ql_free(j->matching);
    ql_closest_destroy(j->surface);
    ql_closest_destroy(j->lines);
    ql_free(j->chain);
    ql_quads_destroy(&j->quads);
    ql_quads_destroy(&j->spare.quads);
}

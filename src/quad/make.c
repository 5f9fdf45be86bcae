/* ql_quads_make: components, the ladder of rungs, and the result. */
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "field/cross.h"
#include "field/cross_clean.h"
#include "field/cross_snap.h"
#include "field/cross_vector.h"
#include "field/smooth.h"
#include "quad/cut.h"
#include "quad/extract.h"
#include "quad/feature.h"
#include "quad/fill.h"
#include "quad/fit.h"
#include "quad/grid.h"
#include "quad/map.h"
#include "quad/polish.h"
#include "quad/prepare.h"
#include "quad/quad.h"
#include "quad/release.h"
#include "quad/remesh.h"
#include "quad/result.h"
#include "quad/round.h"
#include "quad/separate.h"
#include "quad/star.h"
#include "quad/untangle.h"

#include <cblas.h>
#include <string.h>

/* Ways to begin; the later ones are tried when the first gives extra irregular vertices or bad corners. Triangles of the
 * working surface are `work_edge` of the quad edge: coarser surfaces see less detail, finer ones follow the field better. An
 * irregular vertex less is worth `price` of field energy (field/cross_clean.h). Features that leave a corner at an acute angle
 * are kept `gap` quad edges apart, patches between features with less than `patch` of a quad's area are not kept (feature.h). */
typedef struct beginning {
    double work_edge, price, gap, patch;
} beginning;
static const beginning BEGINNING[] = {
    {0.8, 0.35, 0.7, 0}, {0.8, 0.35, 0.7, 0.25}, {1.0, 0.35, INFINITY, 0.25}, {0.65, 0.1, 0.7, 0.25}};
enum {
    BEGINNINGS = sizeof BEGINNING / sizeof *BEGINNING,
    BY_PATCHES = 1 /* differs from the one before in that alone */
};
/* A given field is left as it is but for pairs within an edge or two of each other. */
static const double PRICE_GIVEN = 1;
/* Singular vertices nearer to a feature than this share of the quad edge are moved onto it. */
static const double SNAP = 0.7;
/* A map that fails with so many ports without a partner, or conditions broken, will fail at other scales, too; with so many
 * integers rounding would take too long. */
enum { HOPELESS = 30, MOST_BROKEN = 20, MOST_INTEGERS = 1500 };
/* So far off the wanted number the quads are made again at another edge, when they are not just a few; a map with loose ports,
 * which the next one would have as well, is worth the time only when it misses what is promised. */
static const double OFF_TARGET = 0.08, OFF_TARGET_LOOSE = 0.1;
enum { FEW_QUADS = 50 };
/* A component that has cost so much effort per wanted quad (and at least as much as for so many) is not begun anew: what there is
 * has to do. Counted in operations, so that results do not depend on the machine. */
static const int64_t EFFORT_PER_QUAD = 4000000;
enum { EFFORT_QUADS = 5000, UNTANGLE_NS = 150 };
/* Features as close as this all over, in quad edges, are noise or detail below the quads' size: no map holds them all. */
static const double CROWDED = 0.9;
/* Sweeps of the fit at the end. */
enum { FIT_SWEEPS = 12 };
/* When no map with all features works out (noise that looks like creases), only those sharper than this are pinned. */
static const double RELAXED_DEG[] = {75, 180};
enum { RELAXATIONS = sizeof RELAXED_DEG / sizeof *RELAXED_DEG };

typedef struct job {
    const ql_mesh *mesh;
    const double *alpha; /* per face of the mesh, or NULL */
    const ql_component *component;
    double edge; /* wanted, input units */
    beginning begin;
    double feature_angle_deg;
    ql_surface original; /* copy of the component with features marked */
    ql_surface work;     /* re-meshed */
    uint8_t *corner;     /* per vertex of `work` */
    double *phi;         /* per face of `work` */
    uint8_t *matching;   /* per half-edge of `work` */
    ql_closest *surface, *lines;
    int32_t *chain; /* of each line */
    int32_t euler, loops, singular, features;
    double crowding;  /* length of features per area, in quad edges: 1 = one on every grid line of one direction */
    int32_t released; /* vertices of `quads` that let go of sharp edges */
    int32_t loose;    /* ports without a partner in the last map: many of them mean that no scale will help */
    int64_t *effort;  /* that all attempts on this component have cost so far, about nanoseconds */
    ql_quad_quality *time;
    ql_quads quads; /* the result */
    ql_quad_rung rung;
} job;

static bool tired(const job *j)
{
    double quads = fmax(EFFORT_QUADS, j->component->area / (j->edge * j->edge));
    return (double)*j->effort > (double)EFFORT_PER_QUAD * quads;
}

static double lap(double *since)
{
    double now = ql_clock_s(), spent = now - *since;
    *since = now;
    return spent;
}

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
static bool right_topology(const job *j, const ql_quads *q)
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
static bool accept(job *j, ql_quads *q, int sweeps)
{
    double since = ql_clock_s();
    bool good = right_topology(j, q);
    j->time->verify_s += lap(&since);
    good = good && ql_polish(q, j->surface, j->lines, j->chain, sweeps) == QL_OK;
    j->time->improve_s += lap(&since);
    j->released = 0;
    good = good && ql_release_folds(q, j->surface, j->lines, j->chain, sweeps, &j->released);
    j->time->improve_s += lap(&since);
    good = good && right_topology(j, q);
    j->time->verify_s += lap(&since);
    if (good) {
        ql_quads_destroy(&j->quads);
        j->quads = *q;
        memset(q, 0, sizeof *q);
    }
    return good;
}

typedef struct mapping {
    ql_cut cut;
    ql_grid grid;
    ql_map map;
    ql_conditions conditions;
    double *z, *linear, *value;
    int64_t *uv;
} mapping;

static void mapping_destroy(mapping *m)
{
    ql_cut_destroy(&m->cut);
    ql_grid_destroy(&m->grid);
    ql_map_destroy(&m->map);
    ql_conditions_destroy(&m->conditions);
    ql_free(m->z);
    ql_free(m->linear);
    ql_free(m->value);
    ql_free(m->uv);
}

static ql_status mapping_create(mapping *m, const job *j, int with_features)
{
    memset(m, 0, sizeof *m);
    ql_status status = ql_cut_create(&m->cut, &j->work, j->phi, j->matching);
    if (status == QL_OK) status = ql_grid_create(&m->grid, &j->work, &m->cut, with_features);
    if (status == QL_OK && m->grid.free_integers > MOST_INTEGERS)
        status = QL_FAIL(NUMERIC, "%d integers to round, more than %d", m->grid.free_integers, MOST_INTEGERS);
    if (status == QL_OK) status = ql_map_create(&m->map, &j->work, &m->cut, &m->grid, NULL);
    if (status == QL_OK) status = QL_TAKE(m->z, m->grid.free_integers + 1);
    if (status == QL_OK) status = QL_TAKE(m->linear, m->grid.free_integers + 1);
    if (status == QL_OK) status = QL_TAKE(m->value, m->map.size + 1);
    if (status == QL_OK) status = QL_TAKE(m->uv, 6 * (int64_t)j->work.face_count);
    if (status != QL_OK) mapping_destroy(m);
    return status;
}

/* Cells that the map has at a given edge, without rounding: to meet the wanted number of quads. */
static ql_status count_cells(const mapping *m, const job *j, double edge, double *cells)
{
    double *det = NULL, normal[3];
    QL_TRY(QL_TAKE(det, j->work.face_count));
    ql_status status = ql_map_relaxed(&m->map, edge, m->z);
    if (status == QL_OK) status = ql_map_solve(&m->map, edge, m->z, m->value);
    if (status == QL_OK) status = ql_untangle_determinants(&m->map, edge, m->value, det);
    *cells = 0;
    for (int32_t f = 0; status == QL_OK && f < j->work.face_count; ++f)
        *cells += 0.5 * det[f] * ql_surface_normal(&j->work, f, normal) / (edge * edge);
    ql_free(det);
    return status;
}

/* One integer-grid map at one edge length: rounding, fold repair, extraction. */
static ql_status extract_at(mapping *m, job *j, double edge, ql_polygons *polygons)
{
    int32_t broken = 0, folded = 0;
    int64_t work = 0;
    double since = ql_clock_s();
    memset(polygons, 0, sizeof *polygons);
    for (int32_t i = 0; i < m->grid.free_integers; ++i) m->linear[i] = m->map.linear[i] / edge;
    ql_conditions_destroy(&m->conditions);
    ql_status status = ql_map_relaxed(&m->map, edge, m->z);
    if (status == QL_OK) status = ql_map_solve(&m->map, edge, m->z, m->value);
    if (status == QL_OK) status = ql_separate(&m->conditions, &m->map, m->value, 2.2);
    if (status == QL_OK)
        status = ql_round(m->map.schur, m->linear, m->grid.free_integers, &m->conditions, m->z, &broken, &work);
    *j->effort += work;
    if (status == QL_OK) status = ql_map_solve(&m->map, edge, m->z, m->value);
    if (status == QL_OK) status = ql_untangle(&m->map, edge, m->value, &folded, &work);
    *j->effort += UNTANGLE_NS * work;
    if (status == QL_OK) status = ql_map_fixed(&m->map, m->value, m->uv);
    j->time->map_s += lap(&since);
    if (status == QL_OK) status = ql_extract(polygons, &j->work, m->uv, m->cut.matching);
    j->time->extract_s += lap(&since);
    j->loose = broken > MOST_BROKEN && polygons->loose < HOPELESS ? HOPELESS : polygons->loose;
    if (status == QL_OK)
        QL_DEBUG("map at edge %g: %d of %d conditions broken, %d folded triangles, %d faces, %d quads, %d loose ports",
                 edge, broken, m->conditions.count, folded, polygons->face_count, polygons->quads, polygons->loose);
    return status;
}

/* Every corner of features is a node with integers of its own. */
static ql_status check_corners(job *j)
{
    int32_t corners = 0;
    for (int32_t v = 0; v < j->work.vertex_count; ++v) corners += j->corner[v];
    if (corners <= MOST_INTEGERS) return QL_OK;
    j->loose = HOPELESS;
    return QL_FAIL(NUMERIC, "%d corners of features, more than %d", corners, MOST_INTEGERS);
}

/* Field of the rung: the given one, or a smooth one. */
static ql_status make_field(job *j, bool given)
{
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
        ql_clean_report cleaned;
        status = ql_cross_clean(&j->work, given ? PRICE_GIVEN : j->begin.price, given, j->phi, j->matching, &cleaned);
        *j->effort += cleaned.work;
        QL_DEBUG("field: %d singular vertices, %d after %d transports, %d sectors corrected, energy %g", cleaned.before,
                 cleaned.after, cleaned.transports, cleaned.sectors, cleaned.energy);
        if (status == QL_OK) status = ql_cross_snap(&j->work, SNAP * j->edge, given, j->phi, j->matching, &moved);
        QL_DEBUG("%d singular vertices moved onto features", moved);
    }
    ql_free(psi);
    j->time->field_s += lap(&since);
    return status;
}

/* Quads of the map at one edge length; none when polygons are left that cannot be filled with quads. */
static ql_status map_once(mapping *m, job *j, double edge, ql_quads *quads)
{
    ql_polygons polygons;
    int32_t odd = 0;
    memset(quads, 0, sizeof *quads);
    ql_status status = extract_at(m, j, edge, &polygons);
    if (status == QL_OK && polygons.face_count > 0) status = ql_fill(quads, &polygons, &j->work, j->corner, &odd);
    if (status != QL_OK || odd > 0) ql_quads_destroy(quads);
    ql_polygons_destroy(&polygons);
    return status;
}

/* The same, and when rounding made them many more or fewer than wanted, once more at an edge that makes up for it. */
static ql_status map_near(mapping *m, job *j, double edge, ql_quads *quads)
{
    double wanted = j->component->area / (j->edge * j->edge);
    QL_TRY(map_once(m, j, edge, quads));
    for (int again = 0; again < 2 && quads->face_count > FEW_QUADS && !tired(j); ++again) {
        ql_quads other;
        int32_t loose = j->loose;
        double off = fabs(quads->face_count / wanted - 1);
        if (off <= (loose > 0 ? OFF_TARGET_LOOSE : OFF_TARGET) || off > 1) break;
        edge *= sqrt(quads->face_count / wanted);
        QL_TRY(map_once(m, j, edge, &other));
        if (other.face_count > 0 && fabs(other.face_count / wanted - 1) < off && right_topology(j, &other)) {
            ql_quads_destroy(quads);
            *quads = other;
            continue;
        }
        ql_quads_destroy(&other);
        j->loose = loose;
        break;
    }
    return QL_OK;
}

/* Integer-grid map of the current field at several scales. */
static ql_status try_maps(job *j, ql_quad_rung rung, const double *scale, int scales, int with_features, bool *done)
{
    mapping m;
    double since = ql_clock_s(), cells = 0, normal = j->edge;
    *done = false;
    j->loose = HOPELESS;
    QL_TRY(mapping_create(&m, j, with_features));
    ql_status status = count_cells(&m, j, j->edge, &cells);
    double wanted = j->component->area / (j->edge * j->edge);
    if (cells > 0.2 * wanted && cells < 5 * wanted) normal = j->edge * sqrt(cells / wanted);
    j->singular = m.cut.singular;
    j->time->map_s += lap(&since);
    for (int i = 0; status == QL_OK && i < scales && !*done && !tired(j); ++i) {
        ql_quads quads = {0};
        status = map_near(&m, j, normal * scale[i], &quads);
        if (status == QL_OK && quads.face_count > 0 && accept(j, &quads, 12)) {
            *done = true;
            j->rung = rung;
        }
        ql_quads_destroy(&quads);
    }
    mapping_destroy(&m);
    return status;
}

/* A map of half the resolution whose polygons are split once. */
static ql_status try_coarse(job *j, bool *done)
{
    mapping m;
    *done = false;
    QL_TRY(mapping_create(&m, j, 1));
    ql_polygons p;
    ql_status status = extract_at(&m, j, 2 * j->edge, &p);
    uint8_t *pin = NULL, *line = NULL;
    if (status == QL_OK && p.face_count > 0) {
        status = QL_TAKE(pin, p.vertex_count + 1);
        if (status == QL_OK) status = QL_TAKE(line, p.start[p.face_count] + 1);
        for (int32_t v = 0; status == QL_OK && v < p.vertex_count; ++v)
            pin[v] = ql_fill_pin(&p, v, &j->work, j->corner);
        for (int32_t f = 0; status == QL_OK && f < p.face_count; ++f)
            for (int32_t i = p.start[f]; i < p.start[f + 1]; ++i) {
                int32_t next = p.corner[i + 1 < p.start[f + 1] ? i + 1 : p.start[f]];
                double x[3], near_one[3], d2;
                if (pin[p.corner[i]] == QL_PIN_FREE || pin[next] == QL_PIN_FREE || j->lines == NULL) continue;
                ql_lerp(p.vertices + 3 * (int64_t)p.corner[i], p.vertices + 3 * (int64_t)next, 0.5, x);
                line[i] = ql_closest_find(j->lines, x, 0.0625 * j->edge * j->edge, near_one, &d2) >= 0;
            }
        ql_quads quads = {0};
        if (status == QL_OK)
            status = ql_fill_split(&quads, p.vertices, p.vertex_count, p.start, p.corner, p.face_count, pin, line);
        if (status == QL_OK && accept(j, &quads, 12)) {
            *done = true;
            j->rung = QL_RUNG_COARSE;
        }
        ql_quads_destroy(&quads);
    }
    ql_free(pin);
    ql_free(line);
    ql_polygons_destroy(&p);
    mapping_destroy(&m);
    return status;
}

/* Triangles, each split into three quads. */
static ql_status split_triangles(job *j, const ql_surface *s, int sweeps, bool *done)
{
    int32_t *start = NULL;
    uint8_t *pin = NULL;
    ql_quads quads = {0};
    ql_status status = QL_TAKE(start, s->face_count + 1);
    if (status == QL_OK) status = QL_TAKE(pin, s->vertex_count + 1);
    if (status == QL_OK) {
        int32_t half[2];
        for (int32_t f = 0; f <= s->face_count; ++f) start[f] = 3 * f;
        (void)ql_feature_corners(s, pin);
        for (int32_t v = 0; v < s->vertex_count; ++v)
            pin[v] = pin[v]                                                 ? QL_PIN_CORNER
                     : s->outgoing[v] >= 0 && ql_feature_at(s, v, half) > 0 ? QL_PIN_LINE
                                                                            : QL_PIN_FREE;
        status = ql_fill_split(&quads, s->vertices, s->vertex_count, start, s->faces, s->face_count, pin, s->feature);
    }
    if (status == QL_OK && accept(j, &quads, sweeps)) {
        *done = true;
        j->rung = QL_RUNG_SPLIT;
    }
    ql_quads_destroy(&quads);
    ql_free(start);
    ql_free(pin);
    return status;
}

static ql_status copy_surface(ql_surface *out, const ql_surface *in)
{
    QL_TRY(ql_surface_create(out, in->vertices, in->vertex_count, in->faces, in->face_count));
    memcpy(out->feature, in->feature, 3 * (size_t)in->face_count);
    return QL_OK;
}

/* The rung that always works: re-meshed to a third of the quads, smoothed less and less, at last the input itself. */
static ql_status try_split(job *j, bool *done)
{
    static const double share[] = {2.63, 1.8, 1.2};
    for (int i = 0; i < 3 && !*done; ++i) {
        ql_surface s;
        QL_TRY(copy_surface(&s, &j->original));
        ql_status status = ql_remesh(&s, share[i] * j->edge, 6, j->surface, j->lines, 0);
        if (status == QL_OK) status = split_triangles(j, &s, 4, done);
        if (status == QL_OK && !*done) status = split_triangles(j, &s, 0, done);
        ql_surface_destroy(&s);
        QL_TRY(status);
    }
    if (!*done) QL_TRY(split_triangles(j, &j->original, 0, done));
    return QL_OK;
}

static ql_status prepare_job(job *j)
{
    double since = ql_clock_s();
    QL_TRY(copy_surface(&j->original, &j->component->surface));
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
    QL_TRY(copy_surface(&j->work, &j->original));
    QL_TRY(ql_remesh(&j->work, j->begin.work_edge * j->edge, 5, j->surface, j->lines, 1));
    QL_TRY(QL_TAKE(j->corner, j->work.vertex_count));
    QL_TRY(QL_TAKE(j->phi, j->work.face_count));
    QL_TRY(QL_TAKE(j->matching, 3 * (int64_t)j->work.face_count));
    QL_TRY(ql_feature_corners(&j->work, j->corner));
    j->time->prepare_s += lap(&since);
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

/* The rungs that need a map. */
static ql_status climb(job *j, bool *found)
{
    static const double first[] = {1}, more[] = {0.97, 1.04};
    bool done = false;
    for (int smooth = j->alpha == NULL; smooth < 2 && !done && !tired(j); ++smooth) {
        ql_quad_rung best = j->alpha != NULL && smooth ? QL_RUNG_SMOOTH : QL_RUNG_FIELD;
        ql_status status = check_corners(j);
        if (status == QL_OK) status = make_field(j, !smooth);
        if (status == QL_OK) status = try_maps(j, best, first, 1, 1, &done);
        if (status == QL_OK && !done && j->loose < HOPELESS)
            status = try_maps(j, best == QL_RUNG_FIELD ? QL_RUNG_SCALED : best, more, 2, 1, &done);
        QL_TRY(forgive(status, ql_quad_rung_name(best)));
    }
    /* without faults, but an arm of the surface is so thin that two edges join the same two vertices: a split parts them */
    if (!done && j->loose < HOPELESS && !tired(j)) QL_TRY(forgive(try_coarse(j, &done), "coarse"));
    *found = done;
    return QL_OK;
}

/* The rung that needs no map. */
static ql_status last_resort(job *j, bool *found)
{
    QL_TRY(try_split(j, found));
    return *found ? QL_OK : QL_FAIL(NUMERIC, "no rung of the ladder gave a valid quad mesh");
}

static void job_destroy(job *j)
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
}

/* How much worse than wished: irregular vertices beyond those of the field, lost sharp edges, bad corners, rungs. */
static ql_status penalty(const job *j, double *value)
{
    int32_t irregular;
    double least = INFINITY;
    QL_TRY(ql_quad_count_irregular(&j->quads, &irregular));
    for (int32_t f = 0; f < j->quads.face_count; ++f) least = fmin(least, ql_star_quad(&j->quads, f));
    *value = irregular + j->released +
             (least < 0.05   ? 100
              : least < 0.2  ? 20
              : least < 0.35 ? 4
                             : 0) +
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
static ql_status keep_better(winner *w, job *j)
{
    double value = INFINITY;
    QL_TRY(penalty(j, &value));
    if (value >= w->penalty) return QL_OK;
    w->penalty = value;
    w->rung = j->rung;
    w->singular = j->singular;
    w->relaxed = j->released > 0;
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
static ql_status one_attempt(winner *w, job *j, ql_status (*method)(job *, bool *), int32_t known, bool *hopeless)
{
    bool found = false;
    ql_status status = prepare_job(j);
    if (status == QL_OK && j->features == known) return QL_OK;
    if (status == QL_OK) status = method(j, &found);
    if (status == QL_OK && found) status = keep_better(w, j);
    *hopeless = !found && j->loose >= HOPELESS;
    return status;
}

/* Tries one beginning after the other, then fewer features, then what always works; the best result is kept. A hopeless first
 * beginning leaves the next two a chance, which hold on to fewer features. */
static ql_status best_of(const job *base, winner *w)
{
    ql_status status = QL_OK;
    bool hopeless = false;
    int32_t features = -1;
    w->penalty = INFINITY;
    for (int i = 0; status == QL_OK && i < BEGINNINGS && !(hopeless && i > 2) && !tired(base); ++i) {
        job j = *base;
        j.begin = BEGINNING[i];
        status = one_attempt(w, &j, climb, i == BY_PATCHES ? features : -1, &hopeless);
        features = j.features;
        double crowding = j.crowding;
        job_destroy(&j);
        if (w->penalty <= 1.1 * w->singular + 2 || (w->penalty == INFINITY && crowding > CROWDED)) break;
    }
    for (int i = 0; status == QL_OK && i < RELAXATIONS && w->penalty == INFINITY && features > 0 && !tired(base); ++i) {
        job j = *base;
        j.begin = BEGINNING[0];
        j.feature_angle_deg = fmax(j.feature_angle_deg, RELAXED_DEG[i]);
        status = one_attempt(w, &j, climb, -1, &hopeless);
        w->relaxed = true;
        job_destroy(&j);
    }
    if (status == QL_OK && w->penalty == INFINITY) {
        job j = *base;
        j.begin = BEGINNING[0];
        status = one_attempt(w, &j, last_resort, -1, &hopeless);
        job_destroy(&j);
    }
    return status;
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
    job base = {.mesh = mesh,
                .alpha = options->method == QL_QUADS_SMOOTH ? NULL : alpha,
                .component = component,
                .edge = own,
                .feature_angle_deg = options->feature_angle_deg,
                .effort = &effort,
                .time = &result->quality};
    winner w = {.rung = QL_RUNG_FIELD};
    ql_status status = best_of(&base, &w);
    double since = ql_clock_s();
    if (status == QL_OK) status = ql_fit(&w.quads, &component->surface, w.surface, w.lines, w.chain, FIT_SWEEPS);
    result->quality.improve_s += lap(&since);
    if (status == QL_OK) status = ql_quad_result_append(result, &w.quads);
    if (status == QL_OK) {
        if (w.rung > result->rung) result->rung = w.rung;
        result->quality.field_singularities += w.singular;
        *relaxed |= w.relaxed;
    }
    winner_destroy(&w);
    return QL_CHAIN(status, "component %d of %d (from face %d)", c + 1, prepared->count, component->parent[0]);
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
    result->quality.prepare_s = lap(&since);
    double edge = options->edge_length > 0 ? options->edge_length : sqrt(prepared.area / (double)options->target);
    bool relaxed = false;
    ql_status status = QL_OK;
    if (prepared.area / (edge * edge) > 2e7)
        status = QL_FAIL(CONFIG, "edge length %g would give %.3g quads; at most 20000000", edge,
                         prepared.area / (edge * edge));
    for (int32_t c = 0; status == QL_OK && c < prepared.count; ++c)
        status = one_component(result, &prepared, c, mesh, alpha, options, edge, &relaxed);
    if (status == QL_OK) status = ql_quad_result_judge(result, mesh, options->feature_angle_deg);
    if (status == QL_OK) {
        ql_quad_result_note(result, &prepared, relaxed);
        result->quality.total_s = ql_clock_s() - begin;
    }
    ql_prepared_destroy(&prepared);
    if (status != QL_OK) ql_quad_result_destroy(result);
    return status;
}

#include "quad/release.h"

#include "base/log.h"
#include "base/memory.h"
#include "quad/star.h"

#include <math.h>
#include <string.h>

/* Quads with a smaller scaled Jacobian count as folded; vertices of quads below the second are let go where some are folded, and
 * go back where that leaves the third; more folds than these are not worth mending. */
static const double LEAST_CORNER = 1e-3, BAD_CORNER = 0.05, GOOD_CORNER = 0.2;
enum { MOST_FOLDED = 24 };

ql_status ql_quads_triangulate(ql_surface *s, const ql_quads *q)
{
    int32_t *tri = NULL, corners = q->vertex_count, vertices = corners + q->face_count;
    double *x = NULL;
    ql_status status = QL_TAKE(tri, 12 * (int64_t)q->face_count + 1);
    if (status == QL_OK) status = QL_TAKE(x, 3 * (int64_t)vertices + 1);
    if (status == QL_OK) memcpy(x, q->vertices, 3 * (size_t)corners * sizeof *x);
    for (int32_t i = 0; status == QL_OK && i < 4 * q->face_count; ++i) {
        int32_t t[3] = {q->faces[i], q->faces[(i & ~3) + ((i + 1) & 3)], corners + i / 4};
        memcpy(tri + 3 * (int64_t)i, t, sizeof t);
    }
    if (status == QL_OK) status = ql_surface_create(s, x, vertices, tri, 4 * q->face_count);
    ql_free(tri);
    ql_free(x);
    return status;
}

static int32_t count_below(const ql_quads *q, double least)
{
    int32_t below = 0;
    for (int32_t f = 0; f < q->face_count; ++f) below += !(ql_star_quad(q, f) > least);
    return below;
}

/* Frees the vertices of bad quads, and of `rings` rings of quads round them, from their sharp edges; rim: from the boundary,
 * too. Returns how many. */
static ql_status release_bad(ql_quads *q, int rings, bool rim, int32_t *released)
{
    uint8_t *near_bad = NULL;
    ql_surface s;
    *released = 0;
    QL_TRY(ql_quads_triangulate(&s, q));
    ql_status status = QL_TAKE(near_bad, q->vertex_count + 1);
    if (status != QL_OK) goto end;
    for (int32_t i = 0; i < 4 * q->face_count; ++i)
        if (!(ql_star_quad(q, i / 4) > BAD_CORNER)) near_bad[q->faces[i]] = 1;
    for (int ring = 1; ring <= rings; ++ring)
        for (int32_t f = 0; f < q->face_count; ++f) {
            const int32_t *c = q->faces + 4 * (int64_t)f;
            int reached = 0;
            for (int k = 0; k < 4; ++k) reached |= near_bad[c[k]] > 0 && near_bad[c[k]] <= ring;
            for (int k = 0; reached && k < 4; ++k)
                if (near_bad[c[k]] == 0) near_bad[c[k]] = (uint8_t)(ring + 1);
        }
    for (int32_t v = 0; v < q->vertex_count; ++v) {
        if (!near_bad[v] || q->pin[v] == QL_PIN_FREE || (!rim && ql_on_boundary(&s, v))) continue;
        q->pin[v] = QL_PIN_FREE;
        ++*released;
    }
end:
    ql_surface_destroy(&s);
    ql_free(near_bad);
    return status;
}

typedef struct held_state { /* of the quads before anything was let go */
    double *vertices;
    uint8_t *pin;
    int32_t count;
} held_state;

static void held_destroy(held_state *held)
{
    ql_free(held->vertices);
    ql_free(held->pin);
}

static ql_status held_copy(held_state *held, const ql_quads *q)
{
    memset(held, 0, sizeof *held);
    held->count = q->vertex_count;
    ql_status status = QL_TAKE(held->vertices, 3 * (int64_t)q->vertex_count + 1);
    if (status == QL_OK) status = QL_TAKE(held->pin, q->vertex_count + 1);
    if (status != QL_OK) {
        held_destroy(held);
        return status;
    }
    memcpy(held->vertices, q->vertices, 3 * (size_t)q->vertex_count * sizeof *q->vertices);
    memcpy(held->pin, q->pin, (size_t)q->vertex_count);
    return QL_OK;
}

/* Puts vertices that were let go back onto their corner or line where the quads round them stay good; returns how many. */
static int32_t put_back(const ql_star *p, const held_state *held)
{
    ql_quads *q = p->q;
    int32_t regained = 0;
    for (int32_t v = 0; v < q->vertex_count; ++v) {
        const double *was = held->vertices + 3 * (int64_t)v;
        double x[3], d2;
        if (q->pin[v] != QL_PIN_FREE || held->pin[v] == QL_PIN_FREE) continue;
        memcpy(x, was, sizeof x);
        if (held->pin[v] == QL_PIN_LINE && p->lines != NULL)
            (void)ql_closest_find(p->lines, ql_star_at(q, v), INFINITY, x, &d2);
        if (!(ql_star_quality(p, v, x) >= GOOD_CORNER)) continue;
        memcpy(q->vertices + 3 * (int64_t)v, x, sizeof x);
        q->pin[v] = held->pin[v];
        ++regained;
    }
    return regained;
}

/* More was let go than the folds needed: what can go back without a bad corner does. */
static ql_status regain(ql_quads *q, const ql_closest *surface, const ql_closest *lines, const int32_t *chain,
                        int sweeps, const held_state *held, int32_t *released)
{
    ql_status status = QL_OK;
    for (int round = 0, again = 1; status == QL_OK && again && round < 4; ++round) {
        ql_star p;
        held_state now;
        QL_TRY(held_copy(&now, q));
        status = ql_star_create(&p, q, surface, lines, chain);
        int32_t regained = status == QL_OK ? put_back(&p, held) : 0;
        ql_star_destroy(&p);
        again = regained > 0;
        if (status == QL_OK && again) status = ql_polish(q, surface, lines, chain, sweeps);
        if (status == QL_OK && again && (count_below(q, BAD_CORNER) > 0 || q->vertex_count != held->count)) again = 0;
        if (again) {
            *released -= regained;
            QL_DEBUG("%d vertices back on sharp edges", regained);
        } else if (q->vertex_count == now.count) {
            memcpy(q->vertices, now.vertices, 3 * (size_t)now.count * sizeof *q->vertices);
            memcpy(q->pin, now.pin, (size_t)now.count);
        }
        held_destroy(&now);
    }
    return status;
}

bool ql_release_folds(ql_quads *q, const ql_closest *surface, const ql_closest *lines, const int32_t *chain, int sweeps,
                      int32_t *released)
{
    int32_t folded = count_below(q, LEAST_CORNER), now = 0;
    held_state held;
    if (folded == 0) return true;
    if (folded > MOST_FOLDED || held_copy(&held, q) != QL_OK) return false;
    for (int step = 0; step < 4 && folded > 0 && folded <= MOST_FOLDED; ++step) {
        if (release_bad(q, step % 3, step == 3, &now) != QL_OK) break;
        *released += now;
        if (ql_polish(q, surface, lines, chain, sweeps) != QL_OK) break;
        QL_DEBUG("%d folded quads, %d vertices let go of sharp edges: %d folded", folded, now,
                 count_below(q, LEAST_CORNER));
        folded = count_below(q, LEAST_CORNER);
    }
    bool good = folded == 0 &&
                (q->vertex_count != held.count || regain(q, surface, lines, chain, sweeps, &held, released) == QL_OK);
    held_destroy(&held);
    return good;
}

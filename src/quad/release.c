#include "quad/release.h"

#include "base/log.h"
#include "base/memory.h"
#include "quad/star.h"

#include <math.h>
#include <string.h>

/* Quads with a smaller scaled Jacobian count as folded; vertices of quads below the second are let go where some are folded;
 * more folds than these are not worth mending. */
static const double LEAST_CORNER = 1e-3, BAD_CORNER = 0.05;
enum { MOST_FOLDED = 24 };
/* Corners of quads below this are worth a sharp edge, when they gain so much by it and are not too many. */
static const double WISH = 0.25, GAIN = 0.02;
enum { MOST_RELEASED = 60 };

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

static int32_t count_folded(const ql_quads *q)
{
    int32_t folded = 0;
    for (int32_t f = 0; f < q->face_count; ++f) folded += !(ql_star_quad(q, f) > LEAST_CORNER);
    return folded;
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

bool ql_release_folds(ql_quads *q, const ql_closest *surface, const ql_closest *lines, const int32_t *chain, int sweeps,
                      int32_t *released)
{
    int32_t folded = count_folded(q), now = 0;
    for (int step = 0; step < 4 && folded > 0 && folded <= MOST_FOLDED; ++step) {
        if (release_bad(q, step % 3, step == 3, &now) != QL_OK) break;
        *released += now;
        if (ql_polish(q, surface, lines, chain, sweeps) != QL_OK) break;
        QL_DEBUG("%d folded quads, %d vertices let go of sharp edges: %d folded", folded, now, count_folded(q));
        folded = count_folded(q);
    }
    return folded == 0;
}

static double worst_of(const ql_quads *q)
{
    double least = INFINITY;
    for (int32_t f = 0; f < q->face_count; ++f) least = fmin(least, ql_star_quad(q, f));
    return least;
}

/* Frees pinned inner vertices of quads below `wish` (`corners`: also where sharp edges meet); returns how many. */
static ql_status free_worst(ql_quads *q, double wish, bool corners, int32_t *count)
{
    ql_surface s;
    *count = 0;
    QL_TRY(ql_quads_triangulate(&s, q));
    for (int32_t i = 0; i < 4 * q->face_count; ++i) {
        int32_t v = q->faces[i];
        if (q->pin[v] == QL_PIN_FREE || (q->pin[v] == QL_PIN_CORNER && !corners) || ql_on_boundary(&s, v) ||
            ql_star_quad(q, i / 4) >= wish)
            continue;
        q->pin[v] = QL_PIN_FREE;
        ++*count;
    }
    ql_surface_destroy(&s);
    return QL_OK;
}

ql_status ql_release_corners(ql_quads *q, const ql_closest *surface, const ql_closest *lines, const int32_t *chain,
                             int32_t *released)
{
    double *kept = NULL, before = worst_of(q);
    uint8_t *pin = NULL;
    size_t size = 3 * (size_t)q->vertex_count * sizeof *kept;
    if (before >= WISH) return QL_OK;
    ql_status status = QL_TAKE(kept, 3 * (int64_t)q->vertex_count + 1);
    if (status == QL_OK) status = QL_TAKE(pin, q->vertex_count + 1);
    for (int step = 0; status == QL_OK && step < 2 && before < WISH; ++step) {
        int32_t count = 0;
        memcpy(kept, q->vertices, size);
        memcpy(pin, q->pin, (size_t)q->vertex_count);
        status = free_worst(q, WISH, step == 1, &count);
        if (status == QL_OK && count > 0 && count <= MOST_RELEASED)
            status = ql_polish_worst(q, surface, lines, chain, WISH);
        double now = worst_of(q);
        QL_DEBUG("worst corner %.3f, %d vertices let go of sharp edges: %.3f", before, count, now);
        if (status == QL_OK && now > before + GAIN) {
            before = now;
            *released += count;
        } else {
            memcpy(q->vertices, kept, size);
            memcpy(q->pin, pin, (size_t)q->vertex_count);
        }
    }
    ql_free(kept);
    ql_free(pin);
    return status;
}

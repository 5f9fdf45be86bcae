#include "quad/release.h"

#include "base/log.h"
#include "base/memory.h"
#include "quad/star.h"

#include <string.h>

/* Quads with a smaller scaled Jacobian count as folded; vertices of quads below the second are let go where some are folded;
 * more folds than these are not worth mending. */
static const double LEAST_CORNER = 1e-3, BAD_CORNER = 0.05;
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

#include "quad/mend.h"

#include "base/memory.h"
#include "field/cross_vector.h"
#include "quad/edge_key.h"
#include "quad/fill.h"

#include <math.h>
#include <string.h>

typedef struct mending {
    const ql_quads *q;
    int32_t *mate;    /* per half-edge: the one across, RIM, or WRONG */
    int32_t *next;    /* per vertex: the next one along the rim of the hole, -1 */
    uint8_t *bad;     /* per vertex: the quads there are taken out */
    uint8_t *removed; /* per face */
} mending;

/* A hole may have so many quads, and no more than this share of all; so often it is widened where its rim is no simple ring. */
enum { RIM = -1, WRONG = -2, MOST_REMOVED = 400, WIDENINGS = 4, ROUNDS = 3, LONGEST_RING = 40 };
static const double MOST_SHARE = 0.1;
/* What is taken out lies at most so many edges of the rim from it. */
static const double REACH = 2;

/* Half-edge 4 f + k runs from corner k of quad f to the next. */
static int32_t next_of(int32_t h) { return (h & ~3) + ((h + 1) & 3); }
static int32_t previous_of(int32_t h) { return (h & ~3) + ((h + 3) & 3); }
static int32_t from(const mending *m, int32_t h) { return m->q->faces[h]; }
static int32_t to(const mending *m, int32_t h) { return m->q->faces[next_of(h)]; }

/* Mates, and the ends of edges that are wrong. */
static ql_status find_mates(mending *m)
{
    int32_t n = 4 * m->q->face_count;
    ql_edge_key *keys = NULL;
    QL_TRY(QL_TAKE(keys, n + 1));
    for (int32_t h = 0; h < n; ++h) {
        int32_t a = from(m, h), b = to(m, h);
        keys[h] = ql_edge_key_of(a, b, h);
    }
    ql_edge_keys_sort(keys, n);
    for (int32_t i = 0, end; i < n; i = end) {
        end = ql_edge_keys_end(keys, i, n);
        bool pair = end - i == 2 && from(m, keys[i].at) != from(m, keys[i + 1].at);
        bool right = keys[i].low != keys[i].high && (end - i == 1 || pair);
        for (int32_t j = i; j < end; ++j) m->mate[keys[j].at] = right ? RIM : WRONG;
        if (pair) {
            m->mate[keys[i].at] = keys[i + 1].at;
            m->mate[keys[i + 1].at] = keys[i].at;
        }
        if (!right) m->bad[keys[i].low] = m->bad[keys[i].high] = 1;
    }
    ql_free(keys);
    return QL_OK;
}

/* Vertices of more than one fan of quads, and those that a quad has twice. */
static ql_status find_fans(mending *m)
{
    int32_t n = 4 * m->q->face_count;
    uint8_t *seen = NULL, *fans = NULL;
    ql_status status = QL_TAKE(seen, n + 1);
    if (status == QL_OK) status = QL_TAKE(fans, m->q->vertex_count + 1);
    for (int32_t start = 0; status == QL_OK && start < n; ++start) {
        int32_t v = from(m, start), h = start;
        if (from(m, next_of(next_of(start))) == v) m->bad[v] = 1;
        if (seen[start]) continue;
        if (fans[v]++ > 0) m->bad[v] = 1;
        for (; !seen[h]; h = m->mate[previous_of(h)]) { /* counter-clockwise */
            seen[h] = 1;
            if (m->mate[previous_of(h)] < 0) break;
        }
        for (h = start; m->mate[h] >= 0;) { /* clockwise */
            h = next_of(m->mate[h]);
            if (seen[h]) break;
            seen[h] = 1;
        }
    }
    ql_free(seen);
    ql_free(fans);
    return status;
}

/* Takes out the quads at bad vertices and links the rim of the hole; vertices that the rim passes twice become bad. Returns how
 * many of these there are, or -1 when the hole is too large. */
static int32_t open_hole(mending *m)
{
    int32_t removed = 0, twice = 0;
    for (int32_t f = 0; f < m->q->face_count; ++f) {
        m->removed[f] = 0;
        for (int k = 0; k < 4; ++k) m->removed[f] |= m->bad[m->q->faces[4 * f + k]];
        removed += m->removed[f];
    }
    if (removed > MOST_REMOVED || removed > MOST_SHARE * m->q->face_count) return -1;
    for (int32_t v = 0; v < m->q->vertex_count; ++v) m->next[v] = -1;
    for (int32_t h = 0; h < 4 * m->q->face_count; ++h) {
        int32_t g = m->mate[h], v = from(m, h);
        if (!m->removed[h / 4] || g == WRONG || (g >= 0 && m->removed[g / 4])) continue;
        if (m->next[v] >= 0) {
            twice += !m->bad[v];
            m->bad[v] = 1;
        }
        m->next[v] = to(m, h);
    }
    return twice;
}

/* Follows the rim from v; returns the length of the ring, or 0 when it does not come back. With `take` the ring is written. */
static int32_t follow(const mending *m, int32_t v, int32_t *take)
{
    int32_t n = 0;
    for (int32_t w = v; n == 0 || w != v; w = m->next[w]) {
        if (m->next[w] < 0 || n >= QL_FILL_RING_LIMIT) return 0;
        if (take != NULL) take[n] = w;
        ++n;
    }
    return n;
}

/* Widens the hole where its rim is no ring of an even number of vertices; true when there is nothing to widen. */
static bool rim_is_good(mending *m)
{
    bool good = true;
    for (int32_t v = 0; v < m->q->vertex_count; ++v) {
        if (m->next[v] < 0) continue;
        int32_t n = follow(m, v, NULL);
        if (n >= 4 && n % 2 == 0) continue;
        m->bad[v] = 1;
        good = false;
    }
    return good;
}

/* Whether all that was taken out lies near the rim, the way it goes across the hole: a lid over a bump, or over an arm that ends
 * there, is no mending. */
static bool rim_is_near(const mending *m)
{
    const double *x = m->q->vertices;
    double edges = 0;
    int32_t count = 0;
    for (int32_t v = 0; v < m->q->vertex_count; ++v) {
        if (m->next[v] < 0) continue;
        if (follow(m, v, NULL) > LONGEST_RING) return false;
        edges += sqrt(ql_distance2(x + 3 * (int64_t)v, x + 3 * (int64_t)m->next[v]));
        ++count;
    }
    double reach = REACH * edges / count;
    for (int32_t i = 0; i < 4 * m->q->face_count; ++i) {
        int32_t v = m->q->faces[i];
        if (!m->removed[i / 4] || m->next[v] >= 0) continue;
        double nearest2 = INFINITY;
        for (int32_t w = 0; w < m->q->vertex_count; ++w)
            if (m->next[w] >= 0) nearest2 = fmin(nearest2, ql_distance2(x + 3 * (int64_t)v, x + 3 * (int64_t)w));
        if (nearest2 > reach * reach) return false;
    }
    return true;
}

/* The quads that stay, then the rings filled, over the vertices that are used. */
static ql_status rebuild(mending *m, ql_quads *out, int32_t *rings)
{
    int32_t *number = NULL, rim = 0;
    ql_status status = QL_TAKE(number, m->q->vertex_count + 1);
    for (int32_t v = 0; status == QL_OK && v < m->q->vertex_count; ++v) {
        number[v] = -1;
        rim += m->next[v] >= 0;
    }
    if (status == QL_OK) status = ql_quads_create(out, m->q->vertex_count + rim, m->q->face_count + rim);
    int32_t vertices = 0, faces = 0;
    for (int32_t f = 0; status == QL_OK && f < m->q->face_count; ++f)
        for (int k = 0; k < 4; ++k) {
            int32_t v = m->q->faces[4 * f + k];
            if (number[v] >= 0 || (m->removed[f] && m->next[v] < 0)) continue;
            memcpy(out->vertices + 3 * (int64_t)vertices, m->q->vertices + 3 * (int64_t)v, 3 * sizeof *out->vertices);
            out->pin[vertices] = m->q->pin[v];
            number[v] = vertices++;
        }
    for (int32_t f = 0; status == QL_OK && f < m->q->face_count; ++f) {
        if (m->removed[f]) continue;
        for (int k = 0; k < 4; ++k) out->faces[4 * faces + k] = number[m->q->faces[4 * f + k]];
        ++faces;
    }
    *rings = 0;
    for (int32_t v = 0; status == QL_OK && v < m->q->vertex_count; ++v) {
        int32_t ring[QL_FILL_RING_LIMIT], n = m->next[v] >= 0 ? follow(m, v, ring) : 0;
        for (int32_t i = 0; i < n; ++i) {
            m->next[ring[i]] = -1;
            ring[i] = number[ring[i]];
        }
        if (n == 0) continue;
        ql_fill_ring(out, &vertices, &faces, ring, n);
        ++*rings;
    }
    out->vertex_count = vertices;
    out->face_count = faces;
    ql_free(number);
    return status;
}

static ql_status one_round(ql_quads *q, int32_t *rings)
{
    mending m = {.q = q};
    *rings = 0;
    ql_status status = QL_TAKE(m.mate, 4 * (int64_t)q->face_count + 1);
    if (status == QL_OK) status = QL_TAKE(m.next, q->vertex_count + 1);
    if (status == QL_OK) status = QL_TAKE(m.bad, q->vertex_count + 1);
    if (status == QL_OK) status = QL_TAKE(m.removed, q->face_count + 1);
    if (status == QL_OK) status = find_mates(&m);
    if (status == QL_OK) status = find_fans(&m);
    bool any = false, good = false;
    for (int32_t v = 0; status == QL_OK && v < q->vertex_count; ++v) any |= m.bad[v] != 0;
    for (int i = 0; status == QL_OK && any && !good && i < WIDENINGS; ++i) {
        int32_t twice = open_hole(&m);
        if (twice < 0) break;
        good = twice == 0 && rim_is_good(&m);
    }
    good = good && rim_is_near(&m);
    if (status == QL_OK && good) {
        ql_quads mended;
        status = rebuild(&m, &mended, rings);
        if (status == QL_OK) {
            ql_quads_destroy(q);
            *q = mended;
        }
    }
    ql_free(m.mate);
    ql_free(m.next);
    ql_free(m.bad);
    ql_free(m.removed);
    return status;
}

ql_status ql_quads_mend(ql_quads *quads, int32_t *mended)
{
    *mended = 0;
    for (int32_t round = 0, rings = 1; round < ROUNDS && rings > 0; ++round) {
        QL_TRY(one_round(quads, &rings));
        *mended += rings;
    }
    return QL_OK;
}

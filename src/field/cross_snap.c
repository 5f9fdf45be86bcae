#include "field/cross_snap.h"

#include "base/memory.h"
#include "field/cross.h"
#include "field/cross_sector.h"
#include "field/cross_vector.h"

#include <cholmod.h>
#include <string.h>

enum { NEAR_LIMIT = 256 };

typedef struct snap {
    const ql_surface *s;
    double *psi, *delta;
    double *rest; /* turns across half-edges that cost nothing: 0, or those of the given field */
    int32_t *index;
    uint8_t *line; /* vertex on a feature or boundary */
    uint8_t *matching;
    double *phi;
} snap;

static double length_of(const ql_surface *s, int32_t h)
{
    return sqrt(ql_distance2(ql_at(s, ql_from(s, h)), ql_at(s, ql_to(s, h))));
}

typedef struct visit {
    int32_t vertex, by; /* half-edge that led here, -1 at the start */
    int32_t parent;     /* entry of `visits` */
    double length;
    int done;
} visit;

static void mark_lines(const snap *m)
{
    const ql_surface *s = m->s;
    uint8_t *line = m->line;
    for (int32_t h = 0; h < 3 * s->face_count; ++h)
        if (s->feature[h] || s->opposite[h] < 0) line[ql_from(s, h)] = line[ql_to(s, h)] = 1;
}

/* Does the sector in which half-edge `half` leaves a feature vertex take `amount` of index? */
static int sector_takes(const snap *m, int32_t half, int32_t amount)
{
    ql_sector sector;
    int32_t least, most;
    ql_cross_sector(m->s, m->delta, half, &sector);
    ql_cross_sector_fits(sector.angle, &least, &most);
    return sector.quads - amount >= least && sector.quads - amount <= most;
}

/* Shortest way along edges from a singular vertex to a feature vertex; fills visits and returns the last entry or -1. */
static int32_t find_line(const snap *m, int32_t start, double reach, visit *visits)
{
    const ql_surface *s = m->s;
    int32_t count = 0;
    visits[count++] = (visit){start, -1, -1, 0, 0};
    while (1) {
        int32_t best = -1;
        for (int32_t i = 0; i < count; ++i)
            if (!visits[i].done && (best < 0 || visits[i].length < visits[best].length)) best = i;
        if (best < 0) return -1;
        visit here = visits[best];
        visits[best].done = 1;
        if (m->line[here.vertex] && sector_takes(m, s->opposite[here.by], m->index[start])) return best;
        if (m->line[here.vertex]) continue;
        int32_t h = s->outgoing[here.vertex], first = h;
        do {
            double length = here.length + length_of(s, h);
            int32_t w = ql_to(s, h), known = -1;
            for (int32_t i = 0; i < count; ++i)
                if (visits[i].vertex == w) known = i;
            if (length <= reach && (m->index[w] == 0 || m->line[w])) {
                if (known < 0 && count < NEAR_LIMIT) {
                    visits[count++] = (visit){w, h, best, length, 0};
                } else if (known >= 0 && !visits[known].done && length < visits[known].length) {
                    visits[known].by = h;
                    visits[known].parent = best;
                    visits[known].length = length;
                }
            }
            h = ql_turn_left(s, h);
        } while (h >= 0 && h != first);
    }
}

static void move_index(const snap *m, const visit *visits, int32_t last)
{
    int32_t amount = m->index[visits[0].vertex];
    m->index[visits[0].vertex] = 0;
    m->index[visits[last].vertex] += amount;
    for (; visits[last].parent >= 0; last = visits[last].parent) {
        int32_t h = visits[last].by;
        m->matching[h] = (uint8_t)((m->matching[h] + amount + 8) % 4);
        m->matching[m->s->opposite[h]] = (uint8_t)((4 - m->matching[h]) % 4);
    }
}

/* Field differences that the matching asks for: phi_g - phi_f = want over the edge of h (face f) and its opposite (face g). */
static double wanted_step(const snap *m, int32_t h)
{
    int32_t g = m->s->opposite[h];
    double rest = -m->psi[g] + m->psi[h] + M_PI + M_PI_2 * m->matching[h], now = m->phi[g / 3] - m->phi[h / 3];
    return -(rest - 2 * M_PI * round((now + rest) / (2 * M_PI)));
}

static ql_status smooth_again(snap *m)
{
    const ql_surface *s = m->s;
    int32_t *slot = NULL, rows = 0, fixed = 0;
    cholmod_common common;
    QL_TRY(QL_TAKE(slot, s->face_count + 1));
    for (int32_t f = 0; f < s->face_count; ++f) {
        slot[f] = s->feature[3 * f] || s->feature[3 * f + 1] || s->feature[3 * f + 2] ? -1 : rows++;
        fixed += slot[f] < 0;
    }
    cholmod_start(&common);
    common.print = 0;
    cholmod_triplet *t =
        cholmod_allocate_triplet((size_t)rows, (size_t)rows, 4 * (size_t)rows + 1, -1, CHOLMOD_REAL, &common);
    cholmod_dense *b = cholmod_zeros((size_t)rows, 1, CHOLMOD_REAL, &common), *x = NULL;
    cholmod_sparse *a = NULL;
    cholmod_factor *factor = NULL;
    if (t != NULL && b != NULL && rows > 0) {
        int *ti = t->i, *tj = t->j;
        double *tx = t->x, *bx = b->x;
        size_t n = 0;
        for (int32_t f = 0; f < s->face_count; ++f) {
            if (slot[f] < 0) continue;
            double diagonal = fixed > 0 ? 0 : 1e-8;
            for (int32_t h = 3 * f; h < 3 * f + 3; ++h) {
                int32_t g = s->opposite[h];
                if (g < 0) continue;
                double step = wanted_step(m, h) + m->rest[h];
                diagonal += 1;
                bx[slot[f]] -= step;
                if (slot[g / 3] < 0)
                    bx[slot[f]] += m->phi[g / 3];
                else if (slot[g / 3] < slot[f]) {
                    ti[n] = slot[f];
                    tj[n] = slot[g / 3];
                    tx[n++] = -1;
                }
            }
            ti[n] = tj[n] = slot[f];
            tx[n++] = diagonal;
        }
        t->nnz = n;
        a = cholmod_triplet_to_sparse(t, n, &common);
        factor = a != NULL ? cholmod_analyze(a, &common) : NULL;
        if (factor != NULL && cholmod_factorize(a, factor, &common) && common.status == CHOLMOD_OK)
            x = cholmod_solve(CHOLMOD_A, factor, b, &common);
    }
    ql_status status = x != NULL || rows == 0 ? QL_OK : QL_FAIL(NUMERIC, "field: smoothing after snapping failed");
    if (x != NULL) {
        const double *xx = x->x;
        for (int32_t f = 0; f < s->face_count; ++f)
            if (slot[f] >= 0) m->phi[f] = xx[slot[f]];
    }
    cholmod_free_triplet(&t, &common);
    cholmod_free_dense(&b, &common);
    cholmod_free_dense(&x, &common);
    cholmod_free_sparse(&a, &common);
    cholmod_free_factor(&factor, &common);
    cholmod_finish(&common);
    ql_free(slot);
    return status;
}

ql_status ql_cross_snap(const ql_surface *s, double reach, bool follow, double *phi, uint8_t *matching, int32_t *moved)
{
    snap m = {.s = s, .phi = phi, .matching = matching};
    visit visits[NEAR_LIMIT];
    *moved = 0;
    ql_status status = QL_TAKE(m.psi, 3 * (int64_t)s->face_count);
    if (status == QL_OK) status = QL_TAKE(m.delta, 3 * (int64_t)s->face_count);
    if (status == QL_OK) status = QL_TAKE(m.rest, 3 * (int64_t)s->face_count);
    if (status == QL_OK) status = QL_TAKE(m.index, s->vertex_count + 1);
    if (status == QL_OK) status = QL_TAKE(m.line, s->vertex_count + 1);
    if (status == QL_OK) {
        ql_cross_edge_angles(s, m.psi);
        ql_cross_indices(s, m.psi, phi, matching, m.index);
        ql_cross_turns(s, m.psi, phi, matching, m.delta);
        if (follow) memcpy(m.rest, m.delta, 3 * (size_t)s->face_count * sizeof *m.rest);
        mark_lines(&m);
        for (int32_t v = 0; v < s->vertex_count; ++v) {
            if (m.index[v] == 0 || m.line[v] || s->outgoing[v] < 0) continue;
            int32_t last = find_line(&m, v, reach, visits);
            if (last <= 0) continue;
            move_index(&m, visits, last);
            ql_cross_turns(s, m.psi, phi, matching, m.delta);
            ++*moved;
        }
        if (*moved > 0) status = smooth_again(&m);
    }
    ql_free(m.psi);
    ql_free(m.delta);
    ql_free(m.rest);
    ql_free(m.index);
    ql_free(m.line);
    return status;
}

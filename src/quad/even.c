#include "quad/even.h"

#include "base/memory.h"
#include "field/cross_vector.h"

#include <string.h>

/* Edges along lines are long from this many mean edges on. */
static const double LONG = 1.3;
static const double LEAST_QUALITY = 0.5;

static double length_of(const ql_quads *q, int32_t a, int32_t b)
{
    return sqrt(ql_distance2(ql_star_at(q, a), ql_star_at(q, b)));
}

/* The two neighbours along its line of every vertex on one; first = -1 where there are not two. */
static void find_neighbours(const ql_star *p, int32_t *next)
{
    enum { NONE = -1, TOO_MANY = -2 };
    const ql_quads *q = p->q;
    for (int64_t i = 0; i < 2 * (int64_t)q->vertex_count; ++i) next[i] = NONE;
    for (int32_t i = 0; i < 4 * q->face_count; ++i) {
        int32_t v[2] = {q->faces[i], q->faces[(i & ~3) + ((i + 1) & 3)]};
        double foot[3];
        int32_t line = ql_star_along(p, v[0], v[1], foot);
        for (int end = 0; line >= 0 && end < 2; ++end) {
            int32_t *n = next + 2 * (int64_t)v[end], other = v[1 - end];
            if (q->pin[v[end]] != QL_PIN_LINE || (p->chain != NULL && p->chain[line] != p->own[v[end]])) continue;
            if (n[0] == other || n[1] == other || n[0] == TOO_MANY) continue;
            if (n[0] == NONE)
                n[0] = other;
            else if (n[1] == NONE)
                n[1] = other;
            else
                n[0] = TOO_MANY;
        }
    }
    for (int32_t v = 0; v < q->vertex_count; ++v)
        if (next[2 * (int64_t)v + 1] < 0) next[2 * (int64_t)v] = NONE;
}

/* As far to the middle of a and b as the quads allow. */
static void move_between(const ql_star *p, int32_t v, int32_t a, int32_t b)
{
    ql_quads *q = p->q;
    double least = fmin(LEAST_QUALITY, ql_star_quality(p, v, ql_star_at(q, v))), middle[3], x[3];
    ql_lerp(ql_star_at(q, a), ql_star_at(q, b), 0.5, middle);
    for (double share = 1; share > 0.2; share *= 0.5) {
        ql_lerp(ql_star_at(q, v), middle, share, x);
        ql_star_put_back(p, v, x);
        if (!(ql_star_quality(p, v, x) >= least)) continue;
        memcpy(q->vertices + 3 * (int64_t)v, x, sizeof x);
        return;
    }
}

ql_status ql_even_lines(const ql_star *p, int sweeps)
{
    const ql_quads *q = p->q;
    int32_t *next = NULL;
    double mean = 0;
    if (p->lines == NULL || q->face_count == 0) return QL_OK;
    QL_TRY(QL_TAKE(next, 2 * (int64_t)q->vertex_count + 1));
    find_neighbours(p, next);
    for (int32_t i = 0; i < 4 * q->face_count; ++i)
        mean += length_of(q, q->faces[i], q->faces[(i & ~3) + ((i + 1) & 3)]) / (4.0 * q->face_count);
    for (int sweep = 0; sweep < sweeps; ++sweep)
        for (int32_t v = 0; v < q->vertex_count; ++v) {
            int32_t a = next[2 * (int64_t)v], b = next[2 * (int64_t)v + 1];
            if (a >= 0 && fmax(length_of(q, v, a), length_of(q, v, b)) > LONG * mean) move_between(p, v, a, b);
        }
    ql_free(next);
    return QL_OK;
}

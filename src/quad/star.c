#include "quad/star.h"

#include "base/memory.h"
#include "field/cross_vector.h"

#include <stdbool.h>
#include <string.h>

static ql_status build_stars(ql_star *p)
{
    const ql_quads *q = p->q;
    QL_TRY(QL_TAKE(p->start, q->vertex_count + 2));
    QL_TRY(QL_TAKE(p->star, 4 * (int64_t)q->face_count + 1));
    for (int32_t i = 0; i < 4 * q->face_count; ++i) p->start[q->faces[i] + 2]++;
    for (int32_t v = 0; v < q->vertex_count; ++v) p->start[v + 2] += p->start[v + 1];
    for (int32_t i = 0; i < 4 * q->face_count; ++i) p->star[p->start[q->faces[i] + 1]++] = i;
    return QL_OK;
}

static ql_status find_chains(ql_star *p)
{
    const ql_quads *q = p->q;
    QL_TRY(QL_TAKE(p->own, q->vertex_count + 1));
    for (int32_t v = 0; v < q->vertex_count; ++v) {
        double near_one[3], d2;
        if (q->pin[v] != QL_PIN_LINE || p->lines == NULL || p->chain == NULL) continue;
        int32_t found = ql_closest_find(p->lines, ql_star_at(q, v), INFINITY, near_one, &d2);
        p->own[v] = found < 0 ? -1 : p->chain[found];
    }
    return QL_OK;
}

ql_status ql_star_create(ql_star *star, ql_quads *q, const ql_closest *surface, const ql_closest *lines,
                         const int32_t *chain)
{
    *star = (ql_star){.q = q, .surface = surface, .lines = lines, .chain = chain};
    ql_status status = build_stars(star);
    if (status == QL_OK) status = find_chains(star);
    if (status != QL_OK) ql_star_destroy(star);
    return status;
}

void ql_star_destroy(ql_star *star)
{
    ql_free(star->own);
    ql_free(star->start);
    ql_free(star->star);
    memset(star, 0, sizeof *star);
}

double ql_star_quad(const ql_quads *q, int32_t f)
{
    const int32_t *c = q->faces + 4 * (int64_t)f;
    return ql_quad_scaled_jacobian(ql_star_at(q, c[0]), ql_star_at(q, c[1]), ql_star_at(q, c[2]), ql_star_at(q, c[3]));
}

double ql_star_quality(const ql_star *p, int32_t v, const double x[3])
{
    ql_quads *q = p->q;
    double old[3], least = INFINITY;
    memcpy(old, ql_star_at(q, v), sizeof old);
    memcpy(q->vertices + 3 * (int64_t)v, x, sizeof old);
    for (int32_t i = p->start[v]; i < p->start[v + 1]; ++i) least = fmin(least, ql_star_quad(q, p->star[i] / 4));
    memcpy(q->vertices + 3 * (int64_t)v, old, sizeof old);
    return least;
}

void ql_star_put_back(const ql_star *p, int32_t v, double x[3])
{
    double near_one[3], d2;
    bool on_line = p->q->pin[v] == QL_PIN_LINE;
    const ql_closest *tree = on_line ? p->lines : p->surface;
    int32_t found = tree == NULL ? -1 : ql_closest_find(tree, x, INFINITY, near_one, &d2);
    if (found < 0) return;
    bool other = on_line && p->chain != NULL && p->chain[found] != p->own[v];
    memcpy(x, other ? ql_star_at(p->q, v) : near_one, sizeof near_one);
}

int32_t ql_star_along(const ql_star *p, int32_t a, int32_t b, double foot[3])
{
    const ql_quads *q = p->q;
    double middle[3], d2;
    if (q->pin[a] == QL_PIN_FREE || q->pin[b] == QL_PIN_FREE) return -1;
    ql_lerp(ql_star_at(q, a), ql_star_at(q, b), 0.5, middle);
    return ql_closest_find(p->lines, middle, 0.0625 * ql_distance2(ql_star_at(q, a), ql_star_at(q, b)), foot, &d2);
}

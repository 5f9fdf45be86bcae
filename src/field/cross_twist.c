#include "field/cross_twist.h"

#include "base/memory.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* A whole turn is looked for in tubes at least four times as long as their girth: n half-edges round, 2 n^2 faces per girth. */
enum { LONG = 8 };

typedef struct search {
    const ql_surface *s;
    const double *psi, *phi;
    const uint8_t *matching;
    const int32_t *index;
    int32_t *queue;  /* faces of the patch that is looked at */
    uint8_t *axis;   /* F: quarter turns since the patch's first face, + 4; 0 = not seen */
    uint8_t *vertex; /* V: 1 = has a feature edge, 2 = counted */
    uint8_t *loop;   /* 3F: 1 + loop of a rim half-edge, 0 = none or not seen */
    int32_t faces;
} search;

static bool is_rim(const ql_surface *s, int32_t h) { return s->feature[h] || s->opposite[h] < 0; }

/* The next half-edge of the rim of a patch. */
static int32_t next_on_rim(const ql_surface *s, int32_t h)
{
    int32_t g = ql_next(h);
    while (!is_rim(s, g)) g = ql_next(s->opposite[g]);
    return g;
}

/* The patch of a face, breadth first; false when the field does not come back unturned from every closed path in it. */
static bool flood(search *p, int32_t seed)
{
    const ql_surface *s = p->s;
    bool good = true;
    p->faces = 0;
    p->queue[p->faces++] = seed;
    p->axis[seed] = 4;
    for (int32_t head = 0; head < p->faces; ++head) {
        int32_t f = p->queue[head];
        for (int32_t h = 3 * f; h < 3 * f + 3; ++h) {
            if (is_rim(s, h)) continue;
            int32_t g = s->opposite[h] / 3;
            uint8_t there = (uint8_t)(4 + (p->axis[f] + p->matching[h]) % 4);
            if (p->axis[g] == 0) {
                p->axis[g] = there;
                p->queue[p->faces++] = g;
            } else if (p->axis[g] != there) {
                good = false;
            }
        }
    }
    return good;
}

/* Euler characteristic of the patch cut along its rim: inner vertices - inner edges + faces; *singular when an inner vertex is. */
static int32_t euler_of(search *p, bool *singular)
{
    const ql_surface *s = p->s;
    int32_t vertices = 0, halves = 0;
    *singular = false;
    for (int32_t i = 0; i < p->faces; ++i)
        for (int32_t h = 3 * p->queue[i]; h < 3 * p->queue[i] + 3; ++h) {
            int32_t v = ql_from(s, h);
            halves += !is_rim(s, h);
            if (p->vertex[v] != 0) continue;
            p->vertex[v] = 2;
            ++vertices;
            *singular |= p->index[v] != 0;
        }
    return vertices - halves / 2 + p->faces;
}

/* Axis of the combed field along a rim half-edge. */
static int32_t axis_along(const search *p, int32_t h)
{
    long quarter = lround((p->psi[h] - p->phi[h / 3]) / M_PI_2) - p->axis[h / 3];
    return (int32_t)((quarter % 4 + 4) % 4);
}

/* Numbers the loops of the rim; false unless there are two, both without a corner. along: axis of each; length: half-edges. */
static bool two_loops(search *p, int32_t along[2], int32_t length[2])
{
    const ql_surface *s = p->s;
    int32_t loops = 0;
    for (int32_t i = 0; i < p->faces; ++i)
        for (int32_t h = 3 * p->queue[i]; h < 3 * p->queue[i] + 3; ++h) {
            if (!is_rim(s, h) || p->loop[h] != 0) continue;
            if (loops == 2) return false;
            along[loops++] = axis_along(p, h);
            for (int32_t g = h; p->loop[g] == 0; g = next_on_rim(s, g)) {
                p->loop[g] = (uint8_t)loops;
                ++length[loops - 1];
                if (axis_along(p, g) != along[loops - 1]) return false;
            }
        }
    return loops == 2;
}

/* Half-edges that lead out of the faces round the first loop; none when the tube is too short for that. */
static int32_t ways_out(search *p, int32_t *half)
{
    const ql_surface *s = p->s;
    int32_t count = 0;
    for (int32_t pass = 0; pass < 2; ++pass) /* vertices of the first loop: 3; of the second: 5 */
        for (int32_t i = 0; i < p->faces; ++i)
            for (int32_t h = 3 * p->queue[i]; h < 3 * p->queue[i] + 3; ++h) {
                int32_t ends[2] = {ql_from(s, h), ql_to(s, h)};
                if (p->loop[h] != (pass == 0 ? 1 : 2)) continue;
                for (int e = 0; e < 2; ++e) {
                    if (pass == 1 && p->vertex[ends[e]] == 3) return 0; /* the loops touch */
                    p->vertex[ends[e]] = pass == 0 ? 3 : 5;
                }
            }
    for (int32_t i = 0; i < p->faces; ++i) {
        int32_t f = p->queue[i];
        bool inner = false, rim = false;
        for (int32_t h = 3 * f; h < 3 * f + 3; ++h) {
            inner |= p->vertex[s->faces[h]] == 3;
            rim |= p->loop[h] == 2;
        }
        if (inner && rim) return 0;
        for (int32_t h = 3 * f; inner && h < 3 * f + 3; ++h) {
            if (is_rim(s, h)) continue;
            const int32_t *c = s->faces + 3 * (int64_t)(s->opposite[h] / 3);
            if (p->vertex[c[0]] != 3 && p->vertex[c[1]] != 3 && p->vertex[c[2]] != 3) half[count++] = h;
        }
    }
    return count;
}

static void forget_rim_vertices(search *p)
{
    const ql_surface *s = p->s;
    for (int32_t i = 0; i < p->faces; ++i)
        for (int32_t h = 3 * p->queue[i]; h < 3 * p->queue[i] + 3; ++h)
            if (p->vertex[s->faces[h]] >= 3) p->vertex[s->faces[h]] = 1;
}

static void look_at_patch(search *p, int32_t seed, ql_twists *out)
{
    int32_t along[2], length[2] = {0, 0};
    bool singular, unturned = flood(p, seed), annulus = euler_of(p, &singular) == 0;
    if (!unturned || !annulus || singular || !two_loops(p, along, length)) return;
    int32_t turns = (along[1] - along[0] + 2 + 4) % 4; /* the rim has the surface on its left at both ends */
    if (turns == 0 && p->faces < LONG * (int64_t)length[0] * length[1]) return;
    int32_t count = ways_out(p, out->half + out->start[out->count]);
    forget_rim_vertices(p);
    if (count == 0) return;
    out->turns[out->count] = turns == 3 ? -1 : turns;
    out->start[out->count + 1] = out->start[out->count] + count;
    ++out->count;
}

ql_status ql_twists_find(ql_twists *out, const ql_surface *s, const double *psi, const double *phi,
                         const uint8_t *matching, const int32_t *index)
{
    search p = {.s = s, .psi = psi, .phi = phi, .matching = matching, .index = index};
    int64_t halves = 3 * (int64_t)s->face_count;
    memset(out, 0, sizeof *out);
    ql_status status = QL_TAKE(p.queue, s->face_count);
    if (status == QL_OK) status = QL_TAKE(p.axis, s->face_count);
    if (status == QL_OK) status = QL_TAKE(p.vertex, s->vertex_count + 1);
    if (status == QL_OK) status = QL_TAKE(p.loop, halves);
    if (status == QL_OK) status = QL_TAKE(out->turns, s->face_count + 1);
    if (status == QL_OK) status = QL_TAKE(out->start, s->face_count + 2);
    if (status == QL_OK) status = QL_TAKE(out->half, halves);
    for (int32_t h = 0; status == QL_OK && h < 3 * s->face_count; ++h)
        if (is_rim(s, h)) p.vertex[ql_from(s, h)] = p.vertex[ql_to(s, h)] = 1;
    for (int32_t f = 0; status == QL_OK && f < s->face_count; ++f)
        if (p.axis[f] == 0) look_at_patch(&p, f, out);
    ql_free(p.queue);
    ql_free(p.axis);
    ql_free(p.vertex);
    ql_free(p.loop);
    if (status != QL_OK) ql_twists_destroy(out);
    return status;
}

void ql_twists_destroy(ql_twists *t)
{
    if (t == NULL) return;
    ql_free(t->turns);
    ql_free(t->start);
    ql_free(t->half);
    memset(t, 0, sizeof *t);
}

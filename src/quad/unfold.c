#include "quad/unfold.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

typedef struct unfolding {
    ql_rays *r;
    int32_t *parent;      /* union-find over nodes */
    int32_t *stack, top;  /* rays whose right neighbour may cancel them */
    int32_t *joints, end; /* rays that got a partner of opposite sign */
} unfolding;

static int32_t root_of(int32_t *parent, int32_t v)
{
    while (parent[v] != v) v = parent[v] = parent[parent[v]];
    return v;
}

static void unite(unfolding *u, int32_t a, int32_t b)
{
    a = root_of(u->parent, u->r->node[a]);
    b = root_of(u->parent, u->r->node[b]);
    if (u->r->rank[b] > u->r->rank[a] || (u->r->rank[b] == u->r->rank[a] && b < a))
        u->parent[a] = b;
    else
        u->parent[b] = a;
}

static int opposite_signs(const ql_rays *r, int32_t a, int32_t b) { return r->sign[a] * r->sign[b] == -1; }

/* b follows a from now on. */
static void chain(unfolding *u, int32_t a, int32_t b)
{
    u->r->next[a] = b;
    u->r->before[b] = a;
    if (a != b && opposite_signs(u->r, a, b)) u->stack[u->top++] = a;
}

/* Contracts the isoline between a and b: the words are cut at a and b and joined crosswise. */
static void contract(unfolding *u, int32_t a, int32_t b)
{
    ql_rays *r = u->r;
    int32_t before_a = r->before[a], after_a = r->next[a], before_b = r->before[b], after_b = r->next[b];
    unite(u, a, b);
    r->partner[a] = r->partner[b] = -1;
    r->sign[a] = r->sign[b] = QL_RAY_GONE;
    if (before_a != a && before_a != b && after_b != b && after_b != a) chain(u, before_a, after_b);
    if (before_b != b && before_b != a && after_a != a && after_a != b) chain(u, before_b, after_a);
    /* one of the words was a or b alone */
    if (before_a == a && before_b != b) chain(u, before_b, after_b);
    if (before_b == b && before_a != a) chain(u, before_a, after_a);
}

/* a and its right neighbour cancel when their signs differ; their far ends are then on one isoline that turned back. */
static void cancel(unfolding *u, int32_t a)
{
    ql_rays *r = u->r;
    if (r->sign[a] == QL_RAY_GONE) return;
    int32_t b = r->next[a];
    if (!opposite_signs(r, a, b)) return;
    int32_t p = r->partner[a], q = r->partner[b], before = r->before[a], after = r->next[b];
    r->partner[a] = r->partner[b] = -1;
    r->sign[a] = r->sign[b] = QL_RAY_GONE;
    if (before != b) chain(u, before, after);
    if (p == b) return;
    if (p >= 0) r->partner[p] = q;
    if (q >= 0) r->partner[q] = p;
    if (p >= 0 && q >= 0) u->joints[u->end++] = p;
}

static void work_off(unfolding *u)
{
    ql_rays *r = u->r;
    while (u->top > 0 || u->end > 0) {
        if (u->end > 0) {
            int32_t a = u->joints[--u->end], b = r->sign[a] == QL_RAY_GONE ? -1 : r->partner[a];
            if (b >= 0 && opposite_signs(r, a, b)) contract(u, a, b);
        } else {
            cancel(u, u->stack[--u->top]);
        }
    }
}

int32_t ql_rays_around(const ql_rays *r, int32_t ray)
{
    int32_t b = r->partner[ray];
    if (b < 0) return -1;
    for (int32_t a = r->before[b];; a = r->before[a]) {
        if (r->sign[a] == QL_RAY_RIM) return -1;
        if (r->partner[a] >= 0 || a == b) return a;
    }
}

enum { FACE_LIMIT = 64 };

/* How far the valences of two words are from 4 when they are one, less what they are now. */
static int32_t cost(const ql_rays *r, int32_t a, int32_t b)
{
    int32_t valence[2] = {0, 0}, ray[2] = {a, b};
    for (int k = 0; k < 2; ++k) {
        int32_t c = ray[k];
        do valence[k] += r->sign[c] == QL_RAY_RIM ? 100 : 1;
        while ((c = r->next[c]) != ray[k]);
    }
    return abs(valence[0] + valence[1] - 4) - abs(valence[0] - 4) - abs(valence[1] - 4);
}

/* A face of 4 k > 4 corners winds k times round one cell: some vertex inside has 8 and more quadrants, and its excess is missing
 * from another. Its corners i and i + 4 are one grid point; joining them cuts a quad off. */
static void cut_windings(unfolding *u, uint8_t *seen)
{
    ql_rays *r = u->r;
    for (int32_t a = 0; a < r->count; ++a) {
        int32_t face[FACE_LIMIT], n = 0, c = a;
        if (r->sign[a] != 1 || seen[a]) continue;
        do {
            face[n++] = c;
            seen[c] = 1;
            c = ql_rays_around(r, c);
        } while (c >= 0 && c != a && n < FACE_LIMIT);
        while (c == a && n > 4 && n % 4 == 0) {
            int32_t best = 0;
            for (int32_t i = 1; i < n; ++i)
                if (cost(r, face[i], face[(i + 4) % n]) < cost(r, face[best], face[(best + 4) % n])) best = i;
            int32_t p = face[best], q = face[(best + 4) % n], after_p = r->next[p], after_q = r->next[q];
            unite(u, p, q);
            chain(u, p, after_q);
            chain(u, q, after_p);
            int32_t rest = 0, kept[FACE_LIMIT];
            for (int32_t i = 4; i < n; ++i) kept[rest++] = face[(best + i) % n];
            memcpy(face, kept, (size_t)rest * sizeof *face);
            n = rest;
        }
    }
}

ql_status ql_unfold(ql_rays *r)
{
    unfolding u = {.r = r};
    uint8_t *seen = NULL;
    ql_status status = QL_TAKE(u.parent, r->nodes + 1);
    if (status == QL_OK) status = QL_TAKE(u.stack, 6 * (int64_t)r->count + 8);
    if (status == QL_OK) status = QL_TAKE(seen, r->count + 1);
    if (status == QL_OK) status = QL_TAKE(u.joints, 2 * (int64_t)r->count + 8);
    if (status == QL_OK) {
        for (int32_t v = 0; v < r->nodes; ++v) u.parent[v] = v;
        for (int32_t a = 0; a < r->count; ++a) {
            if (r->partner[a] > a && opposite_signs(r, a, r->partner[a])) u.joints[u.end++] = a;
            if (opposite_signs(r, a, r->next[a])) u.stack[u.top++] = a;
        }
        work_off(&u);
        cut_windings(&u, seen);
        for (int32_t a = 0; a < r->count; ++a) r->node[a] = root_of(u.parent, r->node[a]);
    }
    ql_free(u.parent);
    ql_free(u.stack);
    ql_free(u.joints);
    ql_free(seen);
    return status;
}

#include "field/cross_clean.h"

#include "base/memory.h"
#include "field/cross.h"
#include "field/cross_sector.h"
#include "field/cross_twist.h"
#include "field/cross_vector.h"

#include <cholmod.h>
#include <stdlib.h>
#include <string.h>

enum { FREE = 0, CREASE = 1, RIM = 2 };
enum { NEIGHBOURS = 3, DRIFTS = 40, PASSES = 4 };
/* Work of looking at a transport and of a solve per row, about nanoseconds; thousands of singular vertices (noise) would be looked
 * at for hours. A count and not a time, so that results do not depend on the machine. */
enum { LOOK = 300, SOLVE = 100 };
static const int64_t MOST_WORK = 5000000000;

typedef struct transport {
    int32_t amount, steps;
    int32_t *path;      /* half-edges from a to b */
    double fixed, gain; /* sum w d^2 - b' L^-1 b; E + price change */
    int32_t a, b;
} transport;

typedef struct kept_state {
    bool any;
    double *phi, *delta;
    uint8_t *matching;
    int32_t *index;
} kept_state;

typedef struct clean {
    const ql_surface *s;
    const ql_clean_options *options;
    double *phi, *psi, *delta, *weight;
    double *rest; /* turns that cost nothing: 0, or those of the given field */
    uint8_t *matching, *kind;
    int32_t *index, *slot, rows;
    cholmod_common common;
    cholmod_factor *factor;
    cholmod_dense *b;
    /* search over vertices */
    double *length;
    int32_t *by, *heap, *place, *touched, heaped, touches;
    transport *list;
    int32_t count, room;
    bool torus;      /* closed and of genus 1 */
    kept_state kept; /* of a torus: the last state that has a map */
    int64_t work;
    int32_t transports;
} clean;

static double half_length(const ql_surface *s, int32_t h)
{
    return sqrt(ql_distance2(ql_at(s, ql_from(s, h)), ql_at(s, ql_to(s, h))));
}

static void mark_kinds(clean *c)
{
    const ql_surface *s = c->s;
    for (int32_t h = 0; h < 3 * s->face_count; ++h)
        if (s->feature[h] || s->opposite[h] < 0)
            for (int end = 0; end < 2; ++end) {
                uint8_t *kind = &c->kind[end ? ql_to(s, h) : ql_from(s, h)];
                if (s->opposite[h] < 0)
                    *kind = RIM;
                else if (*kind == FREE)
                    *kind = CREASE;
            }
}

static ql_status factorise(clean *c)
{
    const ql_surface *s = c->s;
    int32_t fixed = 0;
    for (int32_t f = 0; f < s->face_count; ++f) {
        bool held = s->feature[3 * f] || s->feature[3 * f + 1] || s->feature[3 * f + 2];
        c->slot[f] = held ? -1 : c->rows++;
        fixed += held;
    }
    if (c->rows == 0) return QL_OK;
    cholmod_triplet *t =
        cholmod_allocate_triplet((size_t)c->rows, (size_t)c->rows, 4 * (size_t)c->rows, -1, CHOLMOD_REAL, &c->common);
    if (t == NULL) return QL_FAIL(NO_MEMORY, "no memory to clean the field of %d faces", s->face_count);
    int *ti = t->i, *tj = t->j;
    double *tx = t->x;
    size_t n = 0;
    for (int32_t f = 0; f < s->face_count; ++f) {
        if (c->slot[f] < 0) continue;
        double diagonal = fixed > 0 ? 1e-12 : 1e-8;
        for (int32_t h = 3 * f; h < 3 * f + 3; ++h) {
            int32_t g = s->opposite[h];
            if (g < 0) continue;
            diagonal += c->weight[h];
            if (c->slot[g / 3] < 0 || c->slot[g / 3] > c->slot[f]) continue;
            ti[n] = c->slot[f];
            tj[n] = c->slot[g / 3];
            tx[n++] = -c->weight[h];
        }
        ti[n] = tj[n] = c->slot[f];
        tx[n++] = diagonal;
    }
    t->nnz = n;
    cholmod_sparse *a = cholmod_triplet_to_sparse(t, n, &c->common);
    cholmod_free_triplet(&t, &c->common);
    c->factor = a != NULL ? cholmod_analyze(a, &c->common) : NULL;
    c->b = cholmod_zeros((size_t)c->rows, 1, CHOLMOD_REAL, &c->common);
    int good = c->factor != NULL && c->b != NULL && cholmod_factorize(a, c->factor, &c->common) &&
               c->common.status == CHOLMOD_OK;
    cholmod_free_sparse(&a, &c->common);
    return good ? QL_OK : QL_FAIL(NUMERIC, "cleaning the field: factorisation failed");
}

static double energy(const clean *c)
{
    double sum = 0;
    for (int32_t h = 0; h < 3 * c->s->face_count; ++h)
        if (c->s->opposite[h] > h) sum += c->weight[h] * pow(c->delta[h] - c->rest[h], 2);
    return sum;
}

/* The best angles for the present matching. */
static ql_status relax(clean *c)
{
    const ql_surface *s = c->s;
    if (c->rows == 0) return QL_OK;
    double *b = c->b->x;
    for (int32_t f = 0; f < s->face_count; ++f) {
        if (c->slot[f] < 0) continue;
        b[c->slot[f]] = 0;
        for (int32_t h = 3 * f; h < 3 * f + 3; ++h)
            if (s->opposite[h] >= 0) b[c->slot[f]] += c->weight[h] * (c->delta[h] - c->rest[h]);
    }
    cholmod_dense *x = cholmod_solve(CHOLMOD_A, c->factor, c->b, &c->common);
    if (x == NULL) return QL_FAIL(NO_MEMORY, "no memory to clean the field");
    const double *xx = x->x;
    for (int32_t f = 0; f < s->face_count; ++f) {
        if (c->slot[f] < 0) continue;
        double step = xx[c->slot[f]];
        c->phi[f] += step;
        for (int32_t h = 3 * f; h < 3 * f + 3; ++h) {
            if (s->opposite[h] < 0) continue;
            c->delta[h] -= step;
            c->delta[s->opposite[h]] += step;
        }
    }
    cholmod_free_dense(&x, &c->common);
    return QL_OK;
}

/* Moves an index along h. */
static void push_index(clean *c, int32_t h, int32_t amount)
{
    int32_t g = c->s->opposite[h];
    c->index[ql_from(c->s, h)] -= amount;
    c->index[ql_to(c->s, h)] += amount;
    c->matching[h] = (uint8_t)((c->matching[h] + amount + 8) % 4);
    c->matching[g] = (uint8_t)((4 - c->matching[h]) % 4);
    c->delta[h] += M_PI_2 * amount;
    c->delta[g] -= M_PI_2 * amount;
}

/* The edge into a sector that begins at half-edge h over which an index of `amount` comes out best: -1 = none. */
static int32_t way_out(const clean *c, int32_t h, int32_t amount)
{
    const ql_surface *s = c->s;
    int32_t best = -1;
    double least = INFINITY;
    for (int32_t g = ql_turn_left(s, h); g >= 0 && g != h && !s->feature[g]; g = ql_turn_left(s, g)) {
        int32_t v = ql_to(s, g);
        double cost = c->weight[g] * M_PI_2 * (M_PI_2 + 2 * c->delta[g] * (amount > 0 ? -1 : 1)) +
                      10 * (abs(c->index[v] + amount) - abs(c->index[v]));
        if (c->kind[v] != FREE || cost >= least) continue;
        least = cost;
        best = g;
    }
    return best;
}

/* Step 1. Every sector is seen once, from its first feature edge. */
static ql_status correct_sectors(clean *c, int32_t *corrected)
{
    const ql_surface *s = c->s;
    for (int32_t h = 0; h < 3 * s->face_count; ++h) {
        int32_t inner = ql_turn_left(s, h);
        if (!s->feature[h] || inner < 0 || s->feature[inner]) continue;
        ql_sector sector;
        ql_cross_sector(s, c->delta, inner, &sector);
        int32_t least, most;
        ql_cross_sector_fits(sector.angle, &least, &most);
        int32_t wanted = sector.quads < least ? least : sector.quads > most ? most : sector.quads;
        int32_t way = wanted == sector.quads ? -1 : way_out(c, h, wanted - sector.quads);
        if (way < 0) continue;
        push_index(c, way, wanted - sector.quads);
        ++*corrected;
    }
    return *corrected > 0 ? relax(c) : QL_OK;
}

/* Estimated change of E when the index at the start of h moves along it: 2 w delta d + w d^2 (1 - w R), with the effective
 * resistance R of a dual edge at its mean, w R = 2/3 (Foster's theorem on a cubic graph). */
static double drift_gain(const clean *c, int32_t h, int32_t amount)
{
    double d = M_PI_2 * amount;
    return c->weight[h] * d * (2 * (c->delta[h] - c->rest[h]) + d / 3);
}

/* A vertex of index 2 would get two quads: one unit steps aside, along the edge that costs least. */
static ql_status split_double(clean *c)
{
    const ql_surface *s = c->s;
    int32_t split = 0;
    for (int32_t v = 0; v < s->vertex_count; ++v) {
        if (c->kind[v] != FREE || s->outgoing[v] < 0) continue;
        for (int32_t unit = c->index[v] > 0 ? 1 : -1; abs(c->index[v]) > 1;) {
            int32_t best = -1, h = s->outgoing[v], first = h;
            do {
                int32_t w = ql_to(s, h);
                bool fits = c->kind[w] == FREE && c->index[w] * unit <= 0;
                if (fits && (best < 0 || drift_gain(c, h, unit) < drift_gain(c, best, unit))) best = h;
                h = ql_turn_left(s, h);
            } while (h >= 0 && h != first);
            if (best < 0) break;
            push_index(c, best, unit);
            ++split;
        }
    }
    return split > 0 ? relax(c) : QL_OK;
}

typedef struct drift_step {
    double gain;
    int32_t half, amount;
} drift_step;

static int32_t find_drifts(const clean *c, drift_step *steps, int32_t room)
{
    const ql_surface *s = c->s;
    int32_t n = 0;
    for (int32_t v = 0; v < s->vertex_count && n < room; ++v) {
        int32_t amount = c->index[v], h = s->outgoing[v], first = h;
        if (c->kind[v] != FREE || h < 0 || (amount != 1 && amount != -1)) continue;
        drift_step best = {-0.03, -1, amount};
        do {
            double gain = drift_gain(c, h, amount);
            if (gain < best.gain && c->kind[ql_to(s, h)] == FREE && c->index[ql_to(s, h)] * amount <= 0) {
                best.gain = gain;
                best.half = h;
            }
            h = ql_turn_left(s, h);
        } while (h >= 0 && h != first);
        if (best.half < 0) continue;
        int32_t i = n++;
        for (; i > 0 && steps[i - 1].gain > best.gain; --i) steps[i] = steps[i - 1];
        steps[i] = best;
    }
    return n;
}

/* Lets singular vertices walk downhill; a batch that does not lower E is undone and halved. */
static ql_status drift(clean *c)
{
    enum { ROOM = 1024 };
    drift_step *steps = NULL;
    QL_TRY(QL_TAKE(steps, ROOM));
    double now = energy(c);
    ql_status status = QL_OK;
    for (int round = 0; status == QL_OK && round < DRIFTS; ++round) {
        int32_t n = find_drifts(c, steps, ROOM), taken = 0;
        while (status == QL_OK && n > 0 && !taken) {
            for (int32_t i = 0; i < n; ++i) push_index(c, steps[i].half, steps[i].amount);
            status = relax(c);
            double after = energy(c);
            taken = after < now - 1e-6;
            if (taken) {
                now = after;
                break;
            }
            for (int32_t i = 0; i < n; ++i) push_index(c, steps[i].half, -steps[i].amount);
            n /= 2;
            if (n == 0 && status == QL_OK) status = relax(c);
        }
        if (!taken) break;
    }
    ql_free(steps);
    return status;
}

/* --- shortest paths between vertices, off the features */

static void sift_up(clean *c, int32_t i)
{
    int32_t v = c->heap[i];
    for (; i > 0 && c->length[c->heap[(i - 1) / 2]] > c->length[v]; i = (i - 1) / 2) {
        c->heap[i] = c->heap[(i - 1) / 2];
        c->place[c->heap[i]] = i;
    }
    c->heap[i] = v;
    c->place[v] = i;
}

static int32_t pop(clean *c)
{
    int32_t top = c->heap[0], v = c->heap[--c->heaped], i = 0;
    c->place[top] = -2;
    if (c->heaped == 0) return top;
    while (2 * i + 1 < c->heaped) {
        int32_t k = 2 * i + 1;
        if (k + 1 < c->heaped && c->length[c->heap[k + 1]] < c->length[c->heap[k]]) ++k;
        if (c->length[c->heap[k]] >= c->length[v]) break;
        c->heap[i] = c->heap[k];
        c->place[c->heap[i]] = i;
        i = k;
    }
    c->heap[i] = v;
    c->place[v] = i;
    return top;
}

static void reach(clean *c, int32_t v, double length, int32_t by)
{
    if (c->place[v] == -2 || (c->place[v] >= 0 && c->length[v] <= length)) return;
    if (c->place[v] == -1) {
        c->place[v] = c->heaped++;
        c->heap[c->place[v]] = v;
        c->touched[c->touches++] = v;
    }
    c->length[v] = length;
    c->by[v] = by;
    sift_up(c, c->place[v]);
}

static void expand(clean *c, int32_t v)
{
    const ql_surface *s = c->s;
    int32_t h = s->outgoing[v], first = h;
    do {
        if (!s->feature[h] && s->opposite[h] >= 0) reach(c, ql_to(s, h), c->length[v] + half_length(s, h), h);
        h = ql_turn_left(s, h);
    } while (h >= 0 && h != first);
}

/* Cost of a vertex in irregular vertices: the boundary counts half of what leaves its angle's number. */
static double vertex_cost(const clean *c, int32_t v, int32_t index)
{
    return (c->kind[v] == RIM ? 0.5 : 1) * abs(index);
}

/* Index at a boundary vertex against the number that its angle wants. */
static int32_t excess(const clean *c, int32_t v, int32_t half)
{
    if (c->kind[v] != RIM) return c->index[v];
    ql_sector sector;
    ql_cross_sector(c->s, c->delta, half, &sector);
    int32_t natural = (int32_t)lround(sector.angle / M_PI_2);
    return (natural < 1 ? 1 : natural) - sector.quads;
}

/* Does the sector of v in which half-edge `half` (from v) lies take `amount` more of index? */
static bool sector_takes(const clean *c, int32_t half, int32_t amount)
{
    ql_sector sector;
    int32_t least, most;
    ql_cross_sector(c->s, c->delta, half, &sector);
    ql_cross_sector_fits(sector.angle, &least, &most);
    return sector.quads - amount >= least && sector.quads - amount <= most;
}

static double cost_change(const clean *c, const transport *t)
{
    int32_t out = t->path[0], in = c->s->opposite[t->path[t->steps - 1]];
    int32_t ia = excess(c, t->a, out), ib = excess(c, t->b, in);
    return c->options->price * (vertex_cost(c, t->a, ia - t->amount) - vertex_cost(c, t->a, ia) +
                                vertex_cost(c, t->b, ib + t->amount) - vertex_cost(c, t->b, ib));
}

static ql_status make_room(clean *c)
{
    if (c->count < c->room) return QL_OK;
    int32_t room = 2 * c->room + 64;
    transport *p = ql_memory_resize(c->list, (size_t)room, sizeof *p);
    if (p == NULL) return QL_FAIL(NO_MEMORY, "no memory to clean the field");
    c->list = p;
    c->room = room;
    return QL_OK;
}

static ql_status keep_path(clean *c, int32_t a, int32_t b, int32_t amount)
{
    QL_TRY(make_room(c));
    int32_t steps = 0;
    for (int32_t v = b; v != a; v = ql_from(c->s, c->by[v])) ++steps;
    transport t = {.a = a, .b = b, .amount = amount, .steps = steps, .fixed = -1};
    QL_TRY(QL_TAKE(t.path, steps));
    for (int32_t v = b; v != a; v = ql_from(c->s, c->by[v])) t.path[--steps] = c->by[v];
    c->list[c->count++] = t;
    return QL_OK;
}

/* Transports from a: to the nearest opposite singular vertices and the nearest line vertices that it would do good. */
static ql_status list_from(clean *c, int32_t a)
{
    const ql_surface *s = c->s;
    int32_t amount = c->index[a] > 0 ? 1 : -1, opposite = 0, rims = 0;
    ql_status status = QL_OK;
    c->heaped = c->touches = 0;
    reach(c, a, 0, -1);
    while (status == QL_OK && c->heaped > 0 && (opposite < NEIGHBOURS || rims < 1)) {
        int32_t v = pop(c);
        if (v != a) {
            int32_t back = s->opposite[c->by[v]];
            int32_t have = c->kind[v] == RIM ? excess(c, v, back) : c->index[v];
            if (have * amount < 0 && opposite < NEIGHBOURS) {
                status = keep_path(c, a, v, amount);
                ++opposite;
            } else if (c->kind[v] == RIM && have == 0 && rims < 1 && sector_takes(c, back, amount)) {
                status = keep_path(c, a, v, amount);
                ++rims;
            }
        }
        if (v == a || c->kind[v] == FREE) expand(c, v);
    }
    for (int32_t i = 0; i < c->touches; ++i) c->place[c->touched[i]] = -1;
    return status;
}

static bool allowed(const clean *c, const transport *t)
{
    int32_t out = t->path[0], in = c->s->opposite[t->path[t->steps - 1]];
    if (c->kind[t->a] != FREE && !sector_takes(c, out, -t->amount)) return false;
    return c->kind[t->b] == FREE || sector_takes(c, in, t->amount);
}

/* E changes by fixed + 2 sum w delta d: fixed = sum w d^2 - b' L^-1 b for the jumps d = pi/2 amount over `path`. */
static double linear_part(const clean *c, const transport *t)
{
    double sum = 0;
    for (int32_t i = 0; i < t->steps; ++i) sum += c->weight[t->path[i]] * (c->delta[t->path[i]] - c->rest[t->path[i]]);
    return M_PI * t->amount * sum;
}

static ql_status fixed_part(clean *c, transport *t)
{
    double *b = c->b->x, own = 0, d = M_PI_2 * t->amount;
    c->work += SOLVE * c->rows;
    memset(b, 0, (size_t)c->rows * sizeof *b);
    for (int32_t i = 0; i < t->steps; ++i) {
        int32_t h = t->path[i], f = c->slot[h / 3], g = c->slot[c->s->opposite[h] / 3];
        own += c->weight[h] * d * d;
        if (f >= 0) b[f] += c->weight[h] * d;
        if (g >= 0) b[g] -= c->weight[h] * d;
    }
    cholmod_dense *x = cholmod_solve(CHOLMOD_A, c->factor, c->b, &c->common);
    if (x == NULL) return QL_FAIL(NO_MEMORY, "no memory to clean the field");
    const double *xx = x->x;
    for (int32_t i = 0; i < c->rows; ++i) own -= b[i] * xx[i];
    cholmod_free_dense(&x, &c->common);
    t->fixed = fmax(own, 0);
    return QL_OK;
}

/* A dipole costs at least w d^2 / 3 over one edge (see drift_gain), so hopeless transports need no solve. */
static ql_status evaluate(clean *c, transport *t)
{
    static const double LEAST = 1;
    double known = linear_part(c, t) + cost_change(c, t);
    t->gain = known + LEAST;
    if (t->fixed < 0 && t->gain < 0) QL_TRY(fixed_part(c, t));
    if (t->fixed >= 0) t->gain = known + t->fixed;
    return QL_OK;
}

static void drop_list(clean *c)
{
    for (int32_t i = 0; i < c->count; ++i) ql_free(c->list[i].path);
    c->count = 0;
}

/* A torus whose field has no singular vertex is mapped flat: then the field must come back unturned from every closed path, or
 * no map has a cell. (Nor has a torus a map with a single pair of indices +1 and -1: Barnette et al. 1971.) */
static ql_status comes_back(const clean *c, bool *good)
{
    const ql_surface *s = c->s;
    int32_t *queue = NULL, head = 0, tail = 0, singular = 0;
    uint8_t *axis = NULL; /* 4 + quarter turns since the first face; 0 = not seen */
    *good = true;
    for (int32_t v = 0; v < s->vertex_count; ++v) singular += abs(c->index[v]);
    if (singular > 0) {
        *good = singular > 2;
        return QL_OK;
    }
    ql_status status = QL_TAKE(queue, s->face_count);
    if (status == QL_OK) status = QL_TAKE(axis, s->face_count);
    if (status == QL_OK) {
        queue[tail++] = 0;
        axis[0] = 4;
    }
    while (head < tail) {
        int32_t f = queue[head++];
        for (int32_t h = 3 * f; h < 3 * f + 3; ++h) {
            int32_t g = s->opposite[h] / 3;
            uint8_t there = (uint8_t)(4 + (axis[f] + c->matching[h]) % 4);
            if (axis[g] == 0) {
                axis[g] = there;
                queue[tail++] = g;
            } else if (axis[g] != there) {
                *good = false;
            }
        }
    }
    ql_free(queue);
    ql_free(axis);
    return status;
}

/* Of a torus: keeps the state when it can be mapped. */
static ql_status keep_good(clean *c)
{
    const ql_surface *s = c->s;
    bool good = false;
    if (c->torus) QL_TRY(comes_back(c, &good));
    if (!good) return QL_OK;
    c->kept.any = true;
    memcpy(c->kept.phi, c->phi, (size_t)s->face_count * sizeof *c->phi);
    memcpy(c->kept.delta, c->delta, 3 * (size_t)s->face_count * sizeof *c->delta);
    memcpy(c->kept.matching, c->matching, 3 * (size_t)s->face_count);
    memcpy(c->kept.index, c->index, (size_t)s->vertex_count * sizeof *c->index);
    return QL_OK;
}

static ql_status return_to_good(clean *c)
{
    const ql_surface *s = c->s;
    bool good = true;
    if (c->torus && c->kept.any) QL_TRY(comes_back(c, &good));
    if (good) return QL_OK;
    memcpy(c->phi, c->kept.phi, (size_t)s->face_count * sizeof *c->phi);
    memcpy(c->delta, c->kept.delta, 3 * (size_t)s->face_count * sizeof *c->delta);
    memcpy(c->matching, c->kept.matching, 3 * (size_t)s->face_count);
    memcpy(c->index, c->kept.index, (size_t)s->vertex_count * sizeof *c->index);
    return QL_OK;
}

/* The transport that lowers the cost most, of those that join other vertices than `but` does; -1 = none lowers it. */
static ql_status find_best(clean *c, const transport *but, int32_t *best)
{
    *best = -1;
    for (int32_t i = 0; i < c->count; ++i) {
        transport *t = &c->list[i];
        c->work += LOOK;
        if (c->index[t->a] * t->amount <= 0 || !allowed(c, t) || !(cost_change(c, t) < 0)) continue;
        if (but != NULL && ((t->a == but->a && t->b == but->b) || (t->a == but->b && t->b == but->a))) continue;
        QL_TRY(evaluate(c, t));
        if (t->gain < -1e-6 && (*best < 0 || t->gain < c->list[*best].gain)) *best = i;
    }
    return QL_OK;
}

/* Step 2: one pass over all transports, best first. */
static ql_status transport_pass(clean *c, int32_t *done)
{
    const ql_surface *s = c->s;
    ql_status status = QL_OK;
    for (int32_t v = 0; status == QL_OK && v < s->vertex_count; ++v)
        if (c->index[v] != 0 && c->kind[v] != RIM && s->outgoing[v] >= 0) status = list_from(c, v);
    while (status == QL_OK && c->transports < c->options->most) {
        int32_t best = -1, next = -1;
        status = find_best(c, NULL, &best);
        if (status == QL_OK && best >= 0 && c->transports == c->options->second)
            status = find_best(c, &c->list[best], &next);
        if (best < 0 || status != QL_OK || c->work > MOST_WORK) break;
        c->work += SOLVE * c->rows;
        transport *t = &c->list[next >= 0 ? next : best];
        for (int32_t i = 0; i < t->steps; ++i) push_index(c, t->path[i], t->amount);
        status = relax(c);
        if (status == QL_OK) status = keep_good(c);
        c->transports++;
        ++*done;
    }
    drop_list(c);
    return status;
}

static ql_status turn(clean *c, const ql_twists *t, int32_t i, int32_t amount)
{
    for (int32_t k = t->start[i]; k < t->start[i + 1]; ++k) push_index(c, t->half[k], amount);
    return relax(c);
}

/* Untwists tubes: by the quarter turns that are wrong, and by whole turns as long as that lowers E. */
static ql_status untwist(clean *c, int32_t *untwisted)
{
    ql_twists twists;
    QL_TRY(ql_twists_find(&twists, c->s, c->psi, c->phi, c->matching, c->index));
    ql_status status = QL_OK;
    for (int32_t i = 0; status == QL_OK && i < twists.count; ++i) {
        int32_t turned = twists.turns[i] != 0;
        if (turned) status = turn(c, &twists, i, twists.turns[i]);
        for (int32_t whole = -4; status == QL_OK && whole <= 4; whole += 8)
            for (double now = energy(c); status == QL_OK; now = energy(c)) {
                status = turn(c, &twists, i, whole);
                if (energy(c) < now) {
                    turned = 1;
                    continue;
                }
                if (status == QL_OK) status = turn(c, &twists, i, -whole);
                break;
            }
        *untwisted += turned;
    }
    ql_twists_destroy(&twists);
    return status;
}

static int32_t count_singular(const clean *c)
{
    int32_t n = 0;
    for (int32_t v = 0; v < c->s->vertex_count; ++v) n += c->index[v] != 0 && c->kind[v] != RIM;
    return n;
}

static ql_status work(clean *c, ql_clean_report *report)
{
    report->before = count_singular(c);
    QL_TRY(relax(c));
    QL_TRY(correct_sectors(c, &report->sectors));
    QL_TRY(split_double(c));
    QL_TRY(drift(c));
    QL_TRY(keep_good(c));
    for (int pass = 0; pass < PASSES && c->options->price > 0 && c->work <= MOST_WORK; ++pass) {
        int32_t done = 0;
        QL_TRY(transport_pass(c, &done));
        if (done == 0) break;
        QL_TRY(drift(c));
    }
    QL_TRY(return_to_good(c));
    QL_TRY(untwist(c, &report->untwisted));
    report->after = count_singular(c);
    report->energy = energy(c);
    report->work = c->work;
    report->transports = c->transports;
    return QL_OK;
}

static ql_status take_arrays(clean *c)
{
    int64_t halves = 3 * (int64_t)c->s->face_count, vertices = c->s->vertex_count + 1;
    QL_TRY(QL_TAKE(c->psi, halves));
    QL_TRY(QL_TAKE(c->delta, halves));
    QL_TRY(QL_TAKE(c->rest, halves));
    QL_TRY(QL_TAKE(c->weight, halves));
    QL_TRY(QL_TAKE(c->kind, vertices));
    QL_TRY(QL_TAKE(c->index, vertices));
    QL_TRY(QL_TAKE(c->slot, c->s->face_count));
    QL_TRY(QL_TAKE(c->length, vertices));
    QL_TRY(QL_TAKE(c->by, vertices));
    QL_TRY(QL_TAKE(c->heap, vertices));
    QL_TRY(QL_TAKE(c->place, vertices));
    QL_TRY(QL_TAKE(c->touched, vertices));
    if (c->torus) {
        QL_TRY(QL_TAKE(c->kept.phi, c->s->face_count));
        QL_TRY(QL_TAKE(c->kept.delta, halves));
        QL_TRY(QL_TAKE(c->kept.matching, halves));
        QL_TRY(QL_TAKE(c->kept.index, vertices));
    }
    for (int64_t v = 0; v < vertices; ++v) c->place[v] = -1;
    return QL_OK;
}

ql_status ql_cross_clean(const ql_surface *s, const ql_clean_options *options, double *phi, uint8_t *matching,
                         ql_clean_report *report)
{
    clean c = {.s = s, .options = options, .phi = phi, .matching = matching};
    memset(report, 0, sizeof *report);
    cholmod_start(&c.common);
    c.common.print = 0;
    c.torus = ql_surface_euler(s) == 0;
    for (int32_t h = 0; h < 3 * s->face_count; ++h) c.torus = c.torus && s->opposite[h] >= 0;
    ql_status status = take_arrays(&c);
    if (status == QL_OK) {
        ql_cross_edge_angles(s, c.psi);
        ql_cross_weights(s, c.weight);
        ql_cross_indices(s, c.psi, phi, matching, c.index);
        ql_cross_turns(s, c.psi, phi, matching, c.delta);
        if (options->follow) memcpy(c.rest, c.delta, 3 * (size_t)s->face_count * sizeof *c.rest);
        mark_kinds(&c);
        status = factorise(&c);
    }
    if (status == QL_OK && c.rows > 0) status = work(&c, report);
    cholmod_free_dense(&c.b, &c.common);
    cholmod_free_factor(&c.factor, &c.common);
    cholmod_finish(&c.common);
    drop_list(&c);
    void *own[] = {c.psi,  c.rest,  c.delta,   c.weight, c.kind,     c.index,      c.slot,          c.length,    c.by,
                   c.heap, c.place, c.touched, c.list,   c.kept.phi, c.kept.delta, c.kept.matching, c.kept.index};
    for (size_t i = 0; i < sizeof own / sizeof *own; ++i) ql_free(own[i]);
    return status;
}

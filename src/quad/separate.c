#include "quad/separate.h"

#include "base/hash.h"
#include "base/memory.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 8, TERMS = 64, QUEUE = 4096 };

/* Chart of a face seen from the root: U_root = R^turn U + sum of R^q t. */
typedef struct view {
    int32_t face, turn, steps;
    int32_t segment[STEPS];
    uint8_t quarter[STEPS];
} view;

typedef struct flood {
    const ql_map *map;
    const double *value;
    double reach;
    ql_conditions *out;
    int32_t *stamp, now;
    view *queue;
    uint8_t *node;  /* per vertex: 1 = both coordinates are integers */
    uint64_t *seen; /* hashes of conditions (open addressing) */
    int32_t seen_room, seen_count;
    double *row; /* free integers */
    int32_t *row_variable;
    double *row_value;
    /* the source */
    ql_grid_term origin[2][TERMS];
    int32_t origin_terms[2];
    double at[2];
    int free_coordinate; /* coordinate of the source that is no integer, -1 = none */
    double width[2];     /* half size of the box that is looked at */
} flood;

static int32_t rotated(int32_t r, int32_t c, int32_t *sign)
{
    static const int8_t signs[4][2] = {{1, 1}, {-1, 1}, {-1, -1}, {1, -1}};
    *sign = signs[r & 3][c];
    return (r & 1) ? 1 - c : c;
}

/* Coordinate c (root) of corner h seen through v: terms over all variables; returns their number, -1 = too many. */
static int32_t coordinate(const flood *f, const view *v, int32_t h, int32_t c, ql_grid_term *out, double *number)
{
    const ql_grid *grid = f->map->grid;
    int32_t sign, which = rotated(v->turn, c, &sign), n = 0, first = grid->start[2 * h + which],
                  last = grid->start[2 * h + which + 1], translations = f->map->size - 2 * f->map->cut->segments;
    if (last - first + v->steps > TERMS) return -1;
    for (int32_t i = first; i < last; ++i) out[n++] = (ql_grid_term){grid->term[i].variable, sign * grid->term[i].sign};
    for (int32_t k = 0; k < v->steps; ++k) {
        int32_t w = rotated(v->quarter[k], c, &sign);
        out[n++] = (ql_grid_term){translations + 2 * v->segment[k] + w, sign};
    }
    *number = 0;
    for (int32_t i = 0; i < n; ++i) *number += out[i].sign * f->value[out[i].variable];
    return n;
}

static bool is_integer_form(const flood *f, const ql_grid_term *t, int32_t n)
{
    for (int32_t i = 0; i < n; ++i)
        if (t[i].variable < f->map->grid->reals) return false;
    return true;
}

static bool first_time(flood *f, uint64_t hash)
{
    if (hash == 0) hash = 1;
    uint64_t mask = (uint64_t)f->seen_room - 1, i = hash & mask;
    while (f->seen[i] != 0) {
        if (f->seen[i] == hash) return false;
        i = (i + 1) & mask;
    }
    if (2 * f->seen_count >= f->seen_room) return false; /* enough of them */
    f->seen[i] = hash;
    f->seen_count++;
    return true;
}

/* sign * (terms - origin[c]) >= 1, brought to the free integers. */
static ql_status demand(flood *f, const ql_grid_term *t, int32_t n, int32_t c, double sign)
{
    const ql_grid *grid = f->map->grid;
    int32_t nz = grid->free_integers, count = 0;
    memset(f->row, 0, (size_t)nz * sizeof *f->row);
    for (int side = 0; side < 2; ++side) {
        const ql_grid_term *terms = side ? f->origin[c] : t;
        int32_t m = side ? f->origin_terms[c] : n;
        for (int32_t i = 0; i < m; ++i) {
            const double *d = grid->lattice + (int64_t)(terms[i].variable - grid->reals) * nz;
            for (int32_t q = 0; q < nz; ++q) f->row[q] += (side ? -sign : sign) * terms[i].sign * d[q];
        }
    }
    for (int32_t q = 0; q < nz; ++q)
        if (f->row[q] != 0) {
            f->row_variable[count] = q;
            f->row_value[count++] = f->row[q];
        }
    if (count == 0) return QL_OK; /* the same line or node */
    uint64_t hash = ql_hash_bytes(f->row_value, (size_t)count * sizeof *f->row_value,
                                  ql_hash_bytes(f->row_variable, (size_t)count * sizeof *f->row_variable, 7));
    return first_time(f, hash) ? ql_conditions_add(f->out, f->row_variable, f->row_value, count, 1) : QL_OK;
}

/* A node at corner h. */
static ql_status meet_node(flood *f, const view *v, int32_t h)
{
    ql_grid_term t[2][TERMS];
    int32_t n[2];
    double x[2], d[2];
    for (int c = 0; c < 2; ++c) {
        n[c] = coordinate(f, v, h, c, t[c], &x[c]);
        if (n[c] < 0 || !is_integer_form(f, t[c], n[c])) return QL_OK;
        d[c] = x[c] - f->at[c];
        if (fabs(d[c]) > f->width[c]) return QL_OK;
    }
    int c = fabs(d[0]) >= fabs(d[1]) ? 0 : 1;
    if (f->free_coordinate >= 0) c = 1 - f->free_coordinate;
    if (fabs(d[c]) < 1e-3) return QL_OK;
    return demand(f, t[c], n[c], c, d[c] > 0 ? 1 : -1);
}

/* A feature edge: a line in front of the source. */
static ql_status meet_line(flood *f, const view *v, int32_t h)
{
    int32_t along = f->map->grid->along[h], sign, c = 0, n;
    ql_grid_term t[TERMS], other[TERMS];
    double x, a, b;
    for (c = 0; c < 2; ++c) /* root coordinate that is constant along it */
        if (rotated(v->turn, c, &sign) == along) break;
    if (c == f->free_coordinate) return QL_OK;
    n = coordinate(f, v, h, c, t, &x);
    if (n < 0 || !is_integer_form(f, t, n)) return QL_OK;
    if (coordinate(f, v, h, 1 - c, other, &a) < 0 || coordinate(f, v, ql_next(h), 1 - c, other, &b) < 0) return QL_OK;
    double d = x - f->at[c], low = fmin(a, b) - f->at[1 - c], high = fmax(a, b) - f->at[1 - c];
    if (fabs(d) > f->width[c] || fabs(d) < 1e-3 || low > 0.3 || high < -0.3) return QL_OK;
    return demand(f, t, n, c, d > 0 ? 1 : -1);
}

/* Is some corner of the face inside the box round the source? */
static bool in_reach(const flood *f, const view *v)
{
    double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    for (int32_t h = 3 * v->face; h < 3 * v->face + 3; ++h)
        for (int c = 0; c < 2; ++c) {
            ql_grid_term t[TERMS];
            double x;
            if (coordinate(f, v, h, c, t, &x) < 0) return false;
            low[c] = fmin(low[c], x - f->at[c]);
            high[c] = fmax(high[c], x - f->at[c]);
        }
    return low[0] <= f->width[0] && high[0] >= -f->width[0] && low[1] <= f->width[1] && high[1] >= -f->width[1];
}

/* The chart across h. */
static bool step_over(const flood *f, const view *v, int32_t h, view *out)
{
    const ql_cut *cut = f->map->cut;
    int32_t g = f->map->surface->opposite[h], segment = cut->segment[h];
    *out = *v;
    out->face = g / 3;
    if (segment == 0) return true;
    if (v->steps == STEPS) return false;
    out->turn = (v->turn + 4 - cut->matching[h]) & 3;
    /* U' = R^k U + t: U_root = R^(turn-k) (U' - t) + ..; U' = R^k (U - t): U_root = R^(turn-k) U' + R^turn t + .. */
    out->segment[v->steps] = (segment > 0 ? segment : -segment) - 1;
    out->quarter[v->steps] = (uint8_t)((segment > 0 ? out->turn + 2 : v->turn) & 3);
    out->steps = v->steps + 1;
    for (int32_t k = 0; k < v->steps; ++k)
        if (out->segment[k] == out->segment[v->steps] && ((out->quarter[k] + 2) & 3) == out->quarter[v->steps]) {
            for (int32_t m = k; m + 1 < v->steps; ++m) {
                out->segment[m] = out->segment[m + 1];
                out->quarter[m] = out->quarter[m + 1];
            }
            out->steps = v->steps - 1;
            break;
        }
    return true;
}

static ql_status spread(flood *f, int32_t source, int32_t first_half)
{
    const ql_surface *s = f->map->surface;
    int32_t head = 0, tail = 0;
    f->queue[tail++] = (view){.face = first_half / 3};
    f->stamp[first_half / 3] = ++f->now;
    while (head < tail) {
        view v = f->queue[head++];
        for (int32_t h = 3 * v.face; h < 3 * v.face + 3; ++h) {
            if (f->node[ql_from(s, h)] && ql_from(s, h) != source) QL_TRY(meet_node(f, &v, h));
            if (f->map->grid->along[h] >= 0) QL_TRY(meet_line(f, &v, h));
        }
        for (int32_t h = 3 * v.face; h < 3 * v.face + 3; ++h) {
            int32_t g = s->opposite[h];
            bool at_source = ql_from(s, h) == source || ql_to(s, h) == source;
            if (g < 0 || f->stamp[g / 3] == f->now || tail >= QUEUE) continue;
            if (s->feature[h] && f->map->grid->along[h] >= 0 && !at_source) continue;
            if (s->feature[h] && at_source && f->free_coordinate >= 0) continue; /* one side of a line at a time */
            view next;
            if (!step_over(f, &v, h, &next) || (!at_source && !in_reach(f, &next))) continue;
            f->stamp[g / 3] = f->now;
            f->queue[tail++] = next;
        }
    }
    return QL_OK;
}

/* Floods from a corner h of vertex v; the box is narrow along a coordinate that is no integer. */
static ql_status from_corner(flood *f, int32_t v, int32_t h)
{
    view root = {.face = h / 3};
    int integers = 0;
    f->free_coordinate = -1;
    for (int c = 0; c < 2; ++c) {
        f->origin_terms[c] = coordinate(f, &root, h, c, f->origin[c], &f->at[c]);
        if (f->origin_terms[c] < 0) return QL_OK;
        bool whole = is_integer_form(f, f->origin[c], f->origin_terms[c]);
        integers += whole;
        f->width[c] = whole ? f->reach : 0.3;
        if (!whole) f->free_coordinate = c;
    }
    return integers > 0 ? spread(f, v, h) : QL_OK;
}

/* Sources: nodes, and feature vertices once for every side of the feature. */
static ql_status flood_all(flood *f)
{
    const ql_surface *s = f->map->surface;
    const ql_grid *grid = f->map->grid;
    for (int32_t v = 0; v < s->vertex_count; ++v)
        f->node[v] =
            s->outgoing[v] >= 0 && grid->scalar[2 * v] >= grid->reals && grid->scalar[2 * v + 1] >= grid->reals;
    for (int32_t v = 0; v < s->vertex_count; ++v) {
        int32_t h = s->outgoing[v], first = h;
        if (h < 0) continue;
        if (f->node[v]) {
            QL_TRY(from_corner(f, v, h));
            continue;
        }
        if (grid->scalar[2 * v] < grid->reals && grid->scalar[2 * v + 1] < grid->reals) continue;
        do {
            if (s->feature[h]) QL_TRY(from_corner(f, v, h));
            h = ql_turn_left(s, h);
        } while (h >= 0 && h != first);
    }
    return QL_OK;
}

ql_status ql_separate(ql_conditions *conditions, const ql_map *map, const double *value, double reach)
{
    flood f = {.map = map, .value = value, .reach = reach, .out = conditions, .seen_room = 1 << 16};
    int32_t nz = map->grid->free_integers;
    if (nz == 0) return QL_OK;
    ql_status status = QL_TAKE(f.stamp, map->surface->face_count);
    if (status == QL_OK) status = QL_TAKE(f.queue, QUEUE);
    if (status == QL_OK) status = QL_TAKE(f.node, map->surface->vertex_count);
    if (status == QL_OK) status = QL_TAKE(f.seen, f.seen_room);
    if (status == QL_OK) status = QL_TAKE(f.row, nz);
    if (status == QL_OK) status = QL_TAKE(f.row_variable, nz);
    if (status == QL_OK) status = QL_TAKE(f.row_value, nz);
    if (status == QL_OK) status = flood_all(&f);
    ql_free(f.stamp);
    ql_free(f.queue);
    ql_free(f.node);
    ql_free(f.seen);
    ql_free(f.row);
    ql_free(f.row_variable);
    ql_free(f.row_value);
    return status;
}

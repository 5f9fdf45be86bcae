#include "quad/untangle.h"

#include "base/memory.h"
#include "field/cross_vector.h"

#include <string.h>

enum { HISTORY = 8 };
/* Weight of a face's turn against the field: less than a quarter turn everywhere means that every vertex has as many quadrants
 * round it as the field says. Without it all determinants can be positive where one vertex has four too many and another
 * four too few. */
static const double TURN = 0.3;

typedef struct element {
    int32_t slot[3][2]; /* local variable of corner k, coordinate c; -1 = fixed */
    double sign[3][2], rest[3][2];
    double gx[3], gy[3]; /* gradient of the corner's hat function, per edge */
    double area;
} element;

/* A feature edge: its stretch along itself must stay positive, too, or the faces on it wind twice round its end. */
typedef struct line {
    int32_t slot[2];
    double sign[2], rest, weight; /* stretch = rest + sum of sign * x */
} line;

typedef struct problem {
    const ql_map *map;
    double *value, edge;
    uint8_t *in_patch; /* F */
    int32_t *slot;     /* reals -> local, -1 */
    int32_t *variable; /* local -> variable */
    int32_t faces, unknowns, lines;
    element *element;
    line *line;
    double eps;
    int64_t *work, limit; /* elements evaluated so far, and at most */
} problem;

/* A map that folds for good would be worked on until all rounds are done: after so many elements, per face of the map and in all,
 * what is reached has to do. A count and not a time, so that results do not depend on the machine. */
static const int64_t WORK_PER_FACE = 150, WORK = 30000000;

/* Hat-function gradients of a face in its chart's axes, in units of the quad edge. */
static void hat_gradients(const ql_map *map, double edge, int32_t f, double gx[3], double gy[3], double *area)
{
    const ql_surface *s = map->surface;
    double n[3], x[3], y[3], p[3][2], phi = map->cut->phi[f];
    (void)ql_surface_normal(s, f, n);
    ql_sub(ql_at(s, s->faces[3 * f + 1]), ql_at(s, s->faces[3 * f]), x);
    (void)ql_normalise(x);
    ql_cross(n, x, y);
    for (int k = 0; k < 3; ++k) {
        double d[3];
        ql_sub(ql_at(s, s->faces[3 * f + k]), ql_at(s, s->faces[3 * f]), d);
        double a = ql_dot(d, x) / edge, b = ql_dot(d, y) / edge;
        p[k][0] = a * cos(phi) + b * sin(phi);
        p[k][1] = -a * sin(phi) + b * cos(phi);
    }
    double twice = (p[1][0] - p[0][0]) * (p[2][1] - p[0][1]) - (p[1][1] - p[0][1]) * (p[2][0] - p[0][0]);
    twice = fmax(twice, 1e-9);
    for (int k = 0; k < 3; ++k) {
        const double *a = p[(k + 1) % 3], *b = p[(k + 2) % 3];
        gx[k] = (a[1] - b[1]) / twice;
        gy[k] = (b[0] - a[0]) / twice;
    }
    *area = 0.5 * twice;
}

static double corner_value(const ql_map *map, const double *value, int32_t f, int k, int c)
{
    const ql_grid *grid = map->grid;
    double sum = 0;
    for (int32_t i = grid->start[6 * (int64_t)f + 2 * k + c]; i < grid->start[6 * (int64_t)f + 2 * k + c + 1]; ++i)
        sum += grid->term[i].sign * value[grid->term[i].variable];
    return sum;
}

/* Jacobian of a face against the field's axes: du/dx, du/dy, dv/dx, dv/dy; the identity where the map is as wished. */
static void face_jacobian(const ql_map *map, double edge, const double *value, int32_t f, double j[4])
{
    double gx[3], gy[3], area;
    hat_gradients(map, edge, f, gx, gy, &area);
    memset(j, 0, 4 * sizeof *j);
    for (int k = 0; k < 3; ++k) {
        double u = corner_value(map, value, f, k, 0), v = corner_value(map, value, f, k, 1);
        j[0] += u * gx[k];
        j[1] += u * gy[k];
        j[2] += v * gx[k];
        j[3] += v * gy[k];
    }
}

ql_status ql_untangle_determinants(const ql_map *map, double edge, const double *value, double *determinant)
{
    for (int32_t f = 0; f < map->surface->face_count; ++f) {
        double j[4];
        face_jacobian(map, edge, value, f, j);
        determinant[f] = j[0] * j[3] - j[1] * j[2];
    }
    return QL_OK;
}

void ql_untangle_gradients(const ql_map *map, double edge, const double *value, double *gradient)
{
    for (int32_t f = 0; f < map->surface->face_count; ++f) {
        double j[4];
        face_jacobian(map, edge, value, f, j);
        for (int c = 0; c < 2; ++c) gradient[2 * (int64_t)f + c] = hypot(j[2 * c], j[2 * c + 1]);
    }
}

/* Stretch of feature half-edge h in the map, 1 = as long as it is; 1 for other half-edges. scale is what multiplies the
 * coordinate difference. */
static double stretch(const ql_map *map, double edge, const double *value, int32_t h, double *scale)
{
    const ql_surface *s = map->surface;
    int32_t along = map->grid->along[h], c = 1 - along;
    if (along < 0) return 1;
    double angle = map->cut->psi[h] - map->cut->phi[h / 3],
           length = sqrt(ql_distance2(ql_at(s, ql_from(s, h)), ql_at(s, ql_to(s, h))));
    *scale = ((c == 0 ? cos(angle) : sin(angle)) > 0 ? 1 : -1) * edge / fmax(length, 1e-9 * edge);
    return *scale * (corner_value(map, value, h / 3, (h % 3 + 1) % 3, c) - corner_value(map, value, h / 3, h % 3, c));
}

ql_status ql_untangle_mark(const ql_map *map, double edge, const double *value, int rings, uint8_t *mark)
{
    const ql_surface *s = map->surface;
    uint8_t *vertex = NULL;
    QL_TRY(QL_TAKE(vertex, s->vertex_count + 1));
    for (int32_t f = 0; f < s->face_count; ++f) {
        double j[4];
        face_jacobian(map, edge, value, f, j);
        mark[f] = j[0] * j[3] - j[1] * j[2] <= 0.05 || j[0] + j[3] <= 0;
    }
    for (int32_t h = 0; h < 3 * s->face_count; ++h) {
        double scale;
        if (stretch(map, edge, value, h, &scale) <= 0.02) mark[h / 3] = 1;
    }
    for (int ring = 0; ring < rings; ++ring) {
        for (int32_t h = 0; h < 3 * s->face_count; ++h)
            if (mark[h / 3]) vertex[s->faces[h]] = 1;
        for (int32_t h = 0; h < 3 * s->face_count; ++h)
            if (vertex[s->faces[h]]) mark[h / 3] = 1;
    }
    ql_free(vertex);
    return QL_OK;
}

static ql_status set_up_lines(problem *p)
{
    const ql_map *map = p->map;
    const ql_surface *s = map->surface;
    const ql_grid *grid = map->grid;
    p->lines = 0;
    for (int32_t h = 0; h < 3 * s->face_count; ++h)
        p->lines += p->in_patch[h / 3] && grid->along[h] >= 0 && s->opposite[h] < h;
    ql_free(p->line);
    QL_TRY(QL_TAKE(p->line, p->lines + 1));
    int32_t n = 0;
    for (int32_t h = 0; h < 3 * s->face_count; ++h) {
        if (!p->in_patch[h / 3] || grid->along[h] < 0 || s->opposite[h] >= h) continue;
        line *l = &p->line[n++];
        double scale;
        l->rest = stretch(map, p->edge, p->value, h, &scale);
        l->weight = 0.3;
        for (int e = 0; e < 2; ++e) {
            const ql_grid_term *t = &grid->term[grid->start[2 * (e ? ql_next(h) : h) + 1 - grid->along[h]]];
            l->slot[e] = t->variable < grid->reals ? p->slot[t->variable] : -1;
            l->sign[e] = (e ? scale : -scale) * t->sign;
            if (l->slot[e] >= 0) l->rest -= l->sign[e] * p->value[t->variable];
        }
    }
    return QL_OK;
}

/* Unknowns: real scalars whose faces are all in the patch. */
static ql_status set_up(problem *p)
{
    const ql_map *map = p->map;
    const ql_surface *s = map->surface;
    const ql_grid *grid = map->grid;
    for (int32_t i = 0; i < grid->reals; ++i) p->slot[i] = -2;
    p->faces = p->unknowns = 0;
    for (int pass = 0; pass < 2; ++pass)
        for (int64_t i = 0; i < 6 * (int64_t)s->face_count; ++i) {
            int32_t v = grid->term[grid->start[i]].variable;
            if (v >= grid->reals) continue;
            if (!p->in_patch[i / 6])
                p->slot[v] = -1;
            else if (pass == 1 && p->slot[v] == -2) {
                p->variable[p->unknowns] = v;
                p->slot[v] = p->unknowns++;
            }
        }
    for (int32_t f = 0; f < s->face_count; ++f) p->faces += p->in_patch[f];
    ql_free(p->element);
    QL_TRY(QL_TAKE(p->element, p->faces + 1));
    int32_t n = 0;
    for (int32_t f = 0; f < s->face_count; ++f) {
        if (!p->in_patch[f]) continue;
        element *e = &p->element[n++];
        hat_gradients(map, p->edge / map->cut->scale[f], f, e->gx, e->gy, &e->area);
        for (int k = 0; k < 3; ++k)
            for (int c = 0; c < 2; ++c) {
                const ql_grid_term *t = &grid->term[grid->start[6 * (int64_t)f + 2 * k + c]];
                int32_t slot = t->variable < grid->reals ? p->slot[t->variable] : -1;
                e->slot[k][c] = slot;
                e->sign[k][c] = t->sign;
                e->rest[k][c] =
                    corner_value(map, p->value, f, k, c) - (slot >= 0 ? t->sign * p->value[t->variable] : 0);
            }
    }
    return set_up_lines(p);
}

static void jacobian(const element *e, const double *x, double j[4])
{
    j[0] = j[1] = j[2] = j[3] = 0;
    for (int k = 0; k < 3; ++k) {
        double u = e->rest[k][0], v = e->rest[k][1];
        if (e->slot[k][0] >= 0) u += e->sign[k][0] * x[e->slot[k][0]];
        if (e->slot[k][1] >= 0) v += e->sign[k][1] * x[e->slot[k][1]];
        j[0] += u * e->gx[k];
        j[1] += u * e->gy[k];
        j[2] += v * e->gx[k];
        j[3] += v * e->gy[k];
    }
}

/* (1 + d^2) / chi(d), least at d = 1, and its derivative. */
static double barrier(double d, double eps, double *slope)
{
    double r = sqrt(eps * eps + d * d), chi = d > 0 ? 0.5 * (d + r) : 0.5 * eps * eps / (r - d), top = 1 + d * d;
    *slope = 2 * d / chi - top / (chi * r);
    return top / chi;
}

/* The same for the stretch of feature edges. */
static double evaluate_lines(const problem *p, const double *x, double *gradient, double *least)
{
    double sum = 0;
    for (int32_t i = 0; i < p->lines; ++i) {
        const line *l = &p->line[i];
        double d = l->rest;
        for (int e = 0; e < 2; ++e)
            if (l->slot[e] >= 0) d += l->sign[e] * x[l->slot[e]];
        double slope;
        sum += l->weight * barrier(d, p->eps, &slope);
        *least = fmin(*least, d);
        for (int e = 0; gradient != NULL && e < 2; ++e)
            if (l->slot[e] >= 0) gradient[l->slot[e]] += l->sign[e] * l->weight * slope;
    }
    return sum;
}

static double evaluate(const problem *p, const double *x, double *gradient, double *least)
{
    *least = INFINITY;
    *p->work += p->faces + p->lines;
    if (gradient != NULL) memset(gradient, 0, (size_t)p->unknowns * sizeof *gradient);
    double sum = evaluate_lines(p, x, gradient, least);
    for (int32_t i = 0; i < p->faces; ++i) {
        const element *e = &p->element[i];
        double j[4];
        jacobian(e, x, j);
        double det = j[0] * j[3] - j[1] * j[2], r = sqrt(p->eps * p->eps + det * det);
        double chi = det > 0 ? 0.5 * (det + r) : 0.5 * p->eps * p->eps / (r - det);
        double top = j[0] * j[0] + j[1] * j[1] + j[2] * j[2] + j[3] * j[3] + 1 + det * det;
        double turned = 0.5 * (j[0] + j[3]), slope;
        sum += e->area * (top / chi + TURN * barrier(turned, p->eps, &slope));
        *least = fmin(*least, fmin(det, turned));
        if (gradient == NULL) continue;
        double a = 2 * e->area / chi, b = e->area * (2 * det / chi - top / (chi * r)), c = 0.5 * TURN * e->area * slope;
        double d[4] = {a * j[0] + b * j[3] + c, a * j[1] - b * j[2], a * j[2] - b * j[1], a * j[3] + b * j[0] + c};
        for (int k = 0; k < 3; ++k) {
            if (e->slot[k][0] >= 0) gradient[e->slot[k][0]] += e->sign[k][0] * (d[0] * e->gx[k] + d[1] * e->gy[k]);
            if (e->slot[k][1] >= 0) gradient[e->slot[k][1]] += e->sign[k][1] * (d[2] * e->gx[k] + d[3] * e->gy[k]);
        }
    }
    return sum;
}

static double dot_n(const double *a, const double *b, int32_t n)
{
    double sum = 0;
    for (int32_t i = 0; i < n; ++i) sum += a[i] * b[i];
    return sum;
}

typedef struct lbfgs {
    double *s[HISTORY], *y[HISTORY], rho[HISTORY];
    int count, next;
} lbfgs;

/* direction = -(approximate inverse Hessian) * gradient (two-loop recursion, Nocedal 1980). */
static void direction_of(const lbfgs *h, const double *gradient, double *direction, int32_t n)
{
    double alpha[HISTORY];
    for (int32_t i = 0; i < n; ++i) direction[i] = -gradient[i];
    for (int k = 0; k < h->count; ++k) {
        int m = (h->next - 1 - k + 2 * HISTORY) % HISTORY;
        alpha[m] = h->rho[m] * dot_n(h->s[m], direction, n);
        for (int32_t i = 0; i < n; ++i) direction[i] -= alpha[m] * h->y[m][i];
    }
    if (h->count > 0) {
        int m = (h->next - 1 + HISTORY) % HISTORY;
        double scale = 1 / (h->rho[m] * dot_n(h->y[m], h->y[m], n));
        for (int32_t i = 0; i < n; ++i) direction[i] *= scale;
    }
    for (int k = h->count - 1; k >= 0; --k) {
        int m = (h->next - 1 - k + 2 * HISTORY) % HISTORY;
        double beta = h->rho[m] * dot_n(h->y[m], direction, n);
        for (int32_t i = 0; i < n; ++i) direction[i] += (alpha[m] - beta) * h->s[m][i];
    }
}

/* x is improved in place; returns the least determinant. work: (2 HISTORY + 4) n doubles. */
static double minimise(const problem *p, double *x, double *work, int iterations)
{
    int32_t n = p->unknowns;
    lbfgs h = {.count = 0};
    for (int m = 0; m < HISTORY; ++m) {
        h.s[m] = work + (int64_t)(2 * m) * n;
        h.y[m] = work + (int64_t)(2 * m + 1) * n;
    }
    double *gradient = work + (int64_t)(2 * HISTORY) * n, *direction = gradient + n, *trial = direction + n,
           *next_gradient = trial + n, least;
    double energy = evaluate(p, x, gradient, &least);
    for (int it = 0; it < iterations && *p->work < p->limit; ++it) {
        direction_of(&h, gradient, direction, n);
        double slope = dot_n(gradient, direction, n), step = 1, now = INFINITY, longest = 0;
        if (!(slope < 0)) {
            h.count = 0;
            for (int32_t i = 0; i < n; ++i) direction[i] = -gradient[i];
            slope = -dot_n(gradient, gradient, n);
        }
        if (!(slope < -1e-12 * fabs(energy))) break;
        for (int32_t i = 0; i < n; ++i) longest = fmax(longest, fabs(direction[i]));
        if (longest > 0.5) step = 0.5 / longest;
        int tries = 0;
        for (; tries < 30; ++tries, step *= 0.5) {
            for (int32_t i = 0; i < n; ++i) trial[i] = x[i] + step * direction[i];
            now = evaluate(p, trial, next_gradient, &least);
            if (now <= energy + 1e-4 * step * slope) break;
        }
        if (tries == 30) break;
        double sy = 0;
        int m = h.next;
        for (int32_t i = 0; i < n; ++i) {
            h.s[m][i] = trial[i] - x[i];
            h.y[m][i] = next_gradient[i] - gradient[i];
            sy += h.s[m][i] * h.y[m][i];
        }
        memcpy(x, trial, (size_t)n * sizeof *x);
        memcpy(gradient, next_gradient, (size_t)n * sizeof *x);
        if (sy > 1e-14) {
            h.rho[m] = 1 / sy;
            h.next = (m + 1) % HISTORY;
            if (h.count < HISTORY) h.count++;
        }
        double gain = energy - now;
        energy = now;
        if (gain < 1e-6 * fabs(energy)) break;
    }
    (void)evaluate(p, x, NULL, &least);
    return least;
}

static ql_status solve_patch(problem *p)
{
    double *x = NULL, *work = NULL;
    if (p->unknowns == 0) return QL_OK;
    ql_status status = QL_TAKE(x, p->unknowns);
    if (status == QL_OK) status = QL_TAKE(work, (2 * HISTORY + 4) * (int64_t)p->unknowns);
    if (status == QL_OK) {
        double least, before = -INFINITY;
        for (int32_t i = 0; i < p->unknowns; ++i) x[i] = p->value[p->variable[i]];
        p->eps = 1;
        (void)evaluate(p, x, NULL, &least);
        for (int outer = 0; outer < 14 && *p->work < p->limit; ++outer) {
            p->eps = sqrt(1e-6 + 0.04 * fmin(least, 0) * fmin(least, 0));
            least = minimise(p, x, work, 120);
            if (least > 0.02 || (outer > 5 && least < before + 1e-4 * fabs(before))) break;
            before = least;
        }
        if (least > 0) { /* free of folds: now the shape */
            p->eps = 1e-3;
            (void)minimise(p, x, work, 300);
        }
        for (int32_t i = 0; i < p->unknowns; ++i) p->value[p->variable[i]] = x[i];
    }
    ql_free(x);
    ql_free(work);
    return status;
}

ql_status ql_untangle(const ql_map *map, double edge, double *value, int32_t *folded, int64_t *work)
{
    static const int rings[] = {7, 11, 17};
    int32_t faces = map->surface->face_count;
    int64_t limit = WORK_PER_FACE * faces < WORK ? WORK_PER_FACE * faces : WORK;
    problem p = {.map = map, .value = value, .edge = edge, .work = work, .limit = limit};
    double *determinant = NULL;
    ql_status status = QL_TAKE(determinant, faces);
    if (status == QL_OK) status = QL_TAKE(p.in_patch, faces);
    if (status == QL_OK) status = QL_TAKE(p.slot, map->grid->reals + 1);
    if (status == QL_OK) status = QL_TAKE(p.variable, map->grid->reals + 1);
    *folded = 0;
    *work = 0;
    for (int round = 0; status == QL_OK; ++round) {
        status = ql_untangle_determinants(map, edge, value, determinant);
        *folded = 0;
        for (int32_t f = 0; f < faces; ++f) *folded += determinant[f] <= 1e-5;
        for (int32_t h = 0; h < 3 * faces; ++h) {
            double scale;
            *folded += stretch(map, edge, value, h, &scale) <= 1e-5;
        }
        if (status != QL_OK || *folded == 0 || round == (int)(sizeof rings / sizeof *rings) || *work >= limit) break;
        status = ql_untangle_mark(map, edge, value, rings[round], p.in_patch);
        if (status == QL_OK) status = set_up(&p);
        if (status == QL_OK) status = solve_patch(&p);
    }
    ql_free(determinant);
    ql_free(p.in_patch);
    ql_free(p.slot);
    ql_free(p.variable);
    ql_free(p.element);
    ql_free(p.line);
    return status;
}

/* Quads round the vertices of a quad mesh that is being moved: the worst corner with a vertex elsewhere, and the way back onto
 * the surface. What improves a mesh (polish.h, fit.h) works on these. */
#ifndef QL_QUAD_STAR_H
#define QL_QUAD_STAR_H

#include "quad/closest.h"
#include "quad/polish.h"

typedef struct ql_star {
    ql_quads *q; /* not owned, as are the trees and `chain` */
    const ql_closest *surface, *lines;
    const int32_t *chain;  /* of each line; NULL = all are one */
    int32_t *own;          /* chain of each vertex on a line */
    int32_t *start, *star; /* corners (4 face + k) at vertex v: star[start[v]] .. star[start[v + 1] - 1] */
} ql_star;

/* surface and lines may be NULL: then nothing is put back there. */
ql_status ql_star_create(ql_star *star, ql_quads *quads, const ql_closest *surface, const ql_closest *lines,
                         const int32_t *chain);
void ql_star_destroy(ql_star *star);

static inline const double *ql_star_at(const ql_quads *q, int32_t v) { return q->vertices + 3 * (int64_t)v; }

/* Scaled Jacobian of a quad. */
double ql_star_quad(const ql_quads *quads, int32_t face);

/* Worst scaled Jacobian round v, with v at x. */
double ql_star_quality(const ql_star *star, int32_t v, const double x[3]);

/* Back onto the surface or the vertex's chain; stays where it is when the nearest line is another chain. */
void ql_star_put_back(const ql_star *star, int32_t v, double x[3]);

/* The line along which the edge between vertices a and b runs, or -1; foot: the point of it next to the edge's middle. */
int32_t ql_star_along(const ql_star *star, int32_t a, int32_t b, double foot[3]);

#endif

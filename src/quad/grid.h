/* Variables of a seamless integer-grid map, with all conditions eliminated exactly.
 *
 * Every corner's (u, v) is R^r X_v + sum of R^q t_s: X_v the base coordinates of its vertex, t_s the integer translation of
 * seam segments crossed on the way round the vertex, R the quarter turn. Conditions: going once round a vertex closes;
 * along a feature edge one coordinate is constant. What they touch is integer (t, singular vertices, feature coordinates),
 * all coefficients are 0, +-1 or +-2, so they are solved over the integers: w = D z with D integer and z free integers.
 * The other base coordinates, y, are free reals.
 */
#ifndef QL_QUAD_GRID_H
#define QL_QUAD_GRID_H

#include "quad/cut.h"

/* coordinate = sum of sign * variable; variables 0 .. reals-1 are y, reals .. reals+integers-1 are w. */
typedef struct ql_grid_term {
    int32_t variable, sign;
} ql_grid_term;

typedef struct ql_grid {
    int32_t reals, integers, free_integers;
    int32_t *start;      /* 6F + 1: terms of coordinate c of corner k of face f at start[6 f + 2 k + c] */
    ql_grid_term *term;  /* the first one is the vertex's own scalar */
    double *lattice;     /* D: integers x free_integers */
    int32_t *base;       /* 3F: rotation r of the corner against its vertex */
    int32_t *scalar;     /* 2V: variable of base coordinate c of vertex v, and its sign */
    int8_t *scalar_sign; /* 2V */
    int8_t *along;       /* 3F: for a feature half-edge the coordinate (0 or 1) that is constant along it, else -1 */
} ql_grid;

/* with_features = 0 leaves the features free (only the seams count). */
ql_status ql_grid_create(ql_grid *grid, const ql_surface *surface, const ql_cut *cut, int with_features);
void ql_grid_destroy(ql_grid *grid); /* NULL-safe */

#endif

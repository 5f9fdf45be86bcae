/* The seamless integer-grid map as a quadratic problem (Bommes et al. 2009, "Mixed-integer quadrangulation", eq. 4):
 * minimise sum over faces of area * (|h grad u - alpha|^2 + |h grad v - beta|^2) over y (real) and w = D z (z integer).
 *
 * One sparse Cholesky factorisation with w ordered last gives everything: its trailing block is the Schur complement on the
 * integers, so rounding works on a small dense problem; a back-substitution then gives y for any integers; another quad
 * edge h only scales the right-hand side.
 */
#ifndef QL_QUAD_MAP_H
#define QL_QUAD_MAP_H

#include "quad/grid.h"

typedef struct ql_map {
    const ql_surface *surface;
    const ql_cut *cut;
    const ql_grid *grid;
    /* factor L of the permuted matrix, column by column, diagonal first; rows ascending */
    int32_t size;    /* reals + integers */
    int64_t *column; /* size + 1 */
    int32_t *row;
    double *entry;
    int32_t *order;  /* position -> variable */
    double *reduced; /* L^-1 times the right-hand side at edge = 1 */
    double *schur;   /* free_integers^2: quadratic form of z */
    double *linear;  /* free_integers: linear term at edge = 1 */
} ql_map;

ql_status ql_map_create(ql_map *map, const ql_surface *surface, const ql_cut *cut, const ql_grid *grid);

/* The same problem with weight[2f + c] times the area of face f for coordinate c (2F), the order of elimination kept. After a failure the map is only
 * good to be destroyed. */
ql_status ql_map_reweigh(ql_map *map, const double *weight);
void ql_map_destroy(ql_map *map); /* NULL-safe */

/* Values of all variables (size) for quad edge `edge` and integers z (free_integers values). */
ql_status ql_map_solve(const ql_map *map, double edge, const double *z, double *value);

/* Corner coordinates (6 F) from variable values. */
void ql_map_corners(const ql_map *map, const double *value, double *uv);

/* The same in fixed point, exact: variables rounded to multiples of 2^-QL_FIXED_BITS, corners summed in integers. Fails
 * (NUMERIC) when the map is too large for 63 bits. */
enum { QL_FIXED_BITS = 26 };
#define QL_FIXED_ONE ((int64_t)1 << QL_FIXED_BITS)
ql_status ql_map_fixed(const ql_map *map, const double *value, int64_t *uv);

/* Real minimiser over z (no rounding). */
ql_status ql_map_relaxed(const ql_map *map, double edge, double *z);

#endif

/* Homogeneous linear equations over the integers, solved by substitution: every variable becomes an integer combination of
 * free integers, and every integer choice of these is a solution (unimodular steps only: Euclid's algorithm on the
 * coefficients where none of them is +-1). */
#ifndef QL_QUAD_LATTICE_H
#define QL_QUAD_LATTICE_H

#include "base/status.h"

#include <stdint.h>

typedef struct ql_lattice ql_lattice;

/* `prefer[i]`: larger values are eliminated first. */
ql_status ql_lattice_create(ql_lattice **lattice, int32_t variables, const uint8_t *prefer);
void ql_lattice_destroy(ql_lattice *lattice); /* NULL-safe */

/* Adds sum of coefficient[i] * variable[i] = 0. */
ql_status ql_lattice_add(ql_lattice *lattice, const int32_t *variable, const int64_t *coefficient, int32_t count);

/* Dense matrix (variables x *free_count) with variable = matrix * free integers; ql_free it. */
ql_status ql_lattice_solve(ql_lattice *lattice, double **matrix, int32_t *free_count);

#endif

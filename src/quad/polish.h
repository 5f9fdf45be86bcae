/* Improvement of a quad mesh on its surface: doublets, smoothing, untangling.
 *
 * Every vertex moves to the mean of where its quads, fitted to squares, want it, and back onto the surface (or its feature
 * line; corners stay). A move is taken only when the worst scaled Jacobian around the vertex does not suffer, so folds never
 * appear; corners that are bad are then improved by direct search.
 */
#ifndef QL_QUAD_POLISH_H
#define QL_QUAD_POLISH_H

#include "base/status.h"
#include "quad/closest.h"

#include <stdint.h>

enum { QL_PIN_FREE, QL_PIN_LINE, QL_PIN_CORNER };

typedef struct ql_quads {
    int32_t vertex_count, face_count;
    double *vertices; /* n x 3 */
    int32_t *faces;   /* m x 4 */
    uint8_t *pin;     /* n: QL_PIN_* */
} ql_quads;

ql_status ql_quads_create(ql_quads *quads, int32_t vertex_count, int32_t face_count);
void ql_quads_destroy(ql_quads *quads); /* NULL-safe */

/* Scaled Jacobian of a quad (quadjudge.py): minimum over corners of (e_i x e_{i-1}) . n / (|e_i||e_{i-1}|). */
double ql_quad_scaled_jacobian(const double *a, const double *b, const double *c, const double *d);

/* Interior vertices of valence other than 4 (in judge.c). */
ql_status ql_quad_count_irregular(const ql_quads *quads, int32_t *irregular);

/* lines and chain (see remesh.h) may be NULL. A vertex on a line stays on its chain. */
ql_status ql_polish(ql_quads *quads, const ql_closest *surface, const ql_closest *lines, const int32_t *chain,
                    int sweeps);

#endif

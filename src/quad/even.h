/* Vertices on sharp edges and boundaries, spread along them where quads are long.
 *
 * Smoothing makes quads square and fitting brings them to the surface; both leave long quads beside short ones on the same line.
 * Here a vertex with a long edge along its line goes to the middle of its two neighbours on it, as far as the quads round it
 * keep a scaled Jacobian of what they have or 0.5, whichever is less. */
#ifndef QL_QUAD_EVEN_H
#define QL_QUAD_EVEN_H

#include "quad/star.h"

ql_status ql_even_lines(const ql_star *star, int sweeps);

#endif

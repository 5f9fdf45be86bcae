/* Fits a finished quad mesh to the surface it stands for.
 *
 * Vertices that lie on a curved surface leave their quads inside of it by the whole height of the chord; quads of which the
 * vertices lie outside by half of that are twice as near, and a tip between vertices is reached by pulling one of them
 * there. Minimised is the sum of d^4 over samples of both surfaces (d: distance to the nearest point of the other one; the
 * power makes it nearly the largest distance), by iteratively reweighted steps x_v += sum w b_v r / sum w b_v with w = d^2,
 * r the vector to the nearest point, and b_v the share of vertex v in the point of the quads. At last, vertices on sharp edges
 * and boundaries leave their lines by half of the height of the chords beside them. */
#ifndef QL_QUAD_FIT_H
#define QL_QUAD_FIT_H

#include "field/cross_surface.h"
#include "quad/closest.h"
#include "quad/polish.h"

/* Corners stay, vertices on lines move along their chains, then off them as said (lines, chain: see remesh.h; may be NULL), and no quad gets a
 * scaled Jacobian below what it has or 0.4, whichever is less. The largest sampled distance never grows. `tree` is of
 * the faces of `surface`. */
ql_status ql_fit(ql_quads *quads, const ql_surface *surface, const ql_closest *tree, const ql_closest *lines,
                 const int32_t *chain, int sweeps);

#endif

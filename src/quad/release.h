/* Folds that sharp edges hold: there, and only there, the quads let go of them; at last of the boundary, too. */
#ifndef QL_QUAD_RELEASE_H
#define QL_QUAD_RELEASE_H

#include "field/cross_surface.h"
#include "quad/closest.h"
#include "quad/polish.h"

#include <stdbool.h>

/* The quads as triangles. Each is split from a point of its own, so that two quads round a vertex of valence 2 do not seem to
 * share a diagonal. Fails (MESH) unless manifold and oriented. */
ql_status ql_quads_triangulate(ql_surface *surface, const ql_quads *quads);

/* Frees the vertices of bad quads and polishes again, with more of their surroundings each time (surface, lines, chain, sweeps:
 * see polish.h). Adds to *released how many were freed; true when no fold is left, also when there was none. */
bool ql_release_folds(ql_quads *quads, const ql_closest *surface, const ql_closest *lines, const int32_t *chain,
                      int sweeps, int32_t *released);

#endif

/* Re-meshing to near-equilateral triangles of one edge length (Botsch and Kobbelt 2004: split, collapse, flip, smooth),
 * features and topology kept, vertices on the original surface. The maps that follow need triangles of the size of the
 * quads or smaller and no slivers; it also bounds the work whatever the size of the input. */
#ifndef QL_QUAD_REMESH_H
#define QL_QUAD_REMESH_H

#include "field/cross_surface.h"
#include "quad/closest.h"

/* Re-meshes in place. `original` finds points on the input surface, `lines` on its features (may be NULL). Afterwards no
 * edge off the features joins two feature vertices when `separate` is set. */
ql_status ql_remesh(ql_surface *surface, double edge, int rounds, const ql_closest *original, const ql_closest *lines,
                    int separate);

/* Tree over the feature edges of a surface (NULL when it has none), and the chain that each of its edges belongs to: chains
 * end at corners (feature.h). chain: one number per edge of the tree, ql_free it. */
ql_status ql_remesh_lines(const ql_surface *surface, ql_closest **lines, int32_t **chain);

#endif

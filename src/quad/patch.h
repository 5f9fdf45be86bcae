/* Patches between feature edges that are too small for a quad: noise that looks like creases, detail below the quads' size. */
#ifndef QL_QUAD_PATCH_H
#define QL_QUAD_PATCH_H

#include "field/cross_surface.h"

/* Every patch (faces connected across edges that are no features) of an area below `least` joins the neighbour from which the
 * mildest crease parts it, smallest first: those edges are no features any longer. Every patch needs a cell of its own in an
 * integer-grid map, and where many have no room for one, the map folds. Boundaries stay. *merged counts. */
ql_status ql_patch_merge(ql_surface *surface, double least, int32_t *merged);

#endif

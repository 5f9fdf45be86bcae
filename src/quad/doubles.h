/* Faces with the same three vertices.
 *
 * Faces that run opposite ways round the same triangle are two sides of nothing. Decimation folds a surface into such flaps; one
 * face kept of a flap would stand on the surface as a fin and leave its edge with three faces, so a flap is dropped whole. It is
 * known by what remains: surfaces in which no edge has an odd number of faces, with or without it, and it has next to no area. A
 * sheet given with both its sides (nothing else at its edges, or not small) keeps one, like a face that is repeated by mistake.
 */
#ifndef QL_QUAD_DOUBLES_H
#define QL_QUAD_DOUBLES_H

#include "base/status.h"

#include <stdint.h>

/* vertices: 3 per vertex; tri: 3 x faces; drop (faces): in, not 0 for faces that do not count; out, also 1 for the faces to drop. */
ql_status ql_doubles_find(const double *vertices, const int32_t *tri, int32_t faces, uint8_t *drop);

#endif

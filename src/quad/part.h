/* Doubled edges of a quad mesh: an arm of the surface that is only two quads around has two edges between the same two vertices,
 * which no list of faces can tell apart.
 *
 *        q---a---r              q---a---r
 *        |   |   |               \ c   |         one of the two is taken out and the hexagon that is left filled with three quads
 *        |   |   |      ->       |  \ _|         round a new vertex that is no neighbour of both its ends
 *        p---b---s              p---b---s
 */
#ifndef QL_QUAD_PART_H
#define QL_QUAD_PART_H

#include "quad/polish.h"

/* Replaces doubled edges; those that it cannot (pinched there, or three arms at once) stay. *parted counts those replaced. */
ql_status ql_quads_part(ql_quads *quads, int32_t *parted);

#endif

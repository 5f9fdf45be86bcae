/* Singularities that lie closer to a feature or boundary than a grid can resolve are moved onto it. */
#ifndef QL_FIELD_CROSS_SNAP_H
#define QL_FIELD_CROSS_SNAP_H

#include "field/cross_surface.h"

#include <stdbool.h>

/* Moves singular vertices within `reach` (along edges) of a feature vertex onto it: an index I travels along half-edge h when
 * matching[h] grows by I. Then phi is smoothed again with the matching kept (a linear solve, features fixed); `follow`: only
 * departures from the turns of the field as it comes are smoothed, so that a given field stays what it is away from the paths.
 * phi (F) and matching (3F) are changed; *moved counts. */
ql_status ql_cross_snap(const ql_surface *surface, double reach, bool follow, double *phi, uint8_t *matching,
                        int32_t *moved);

#endif

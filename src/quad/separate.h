/* Conditions that keep rounding from folding the map: nodes (singular vertices, feature corners) and feature lines that lie
 * close to each other in the relaxed map must stay at least one cell apart, in the same order, along the axis that
 * separates them. Found by flooding the relaxed map round every node and feature vertex. */
#ifndef QL_QUAD_SEPARATE_H
#define QL_QUAD_SEPARATE_H

#include "quad/map.h"
#include "quad/round.h"

/* value: relaxed variables (size); reach: how many cells to look. */
ql_status ql_separate(ql_conditions *conditions, const ql_map *map, const double *value, double reach);

#endif
